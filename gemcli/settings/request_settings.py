"""The settings in the body of a request from outside, as a config file has them.

Beside Contents they are those of a generateContent body, beside messages those of Chat Completions,
which are given the names of the Gemini API. What would change the answers and has no counterpart is
a problem, not a loss.
"""

from __future__ import annotations

from collections.abc import Callable

from gemcli.settings.config import CONFIG
from gemcli.text.problems import Problems
from gemcli.text.schema import any_value
from gemcli.text.tree import Mapping, Node, Sequence, Text, from_value

GENERATION = ("generationConfig", "generation_config")

HARMLESS = (
    "model", "stream", "stream_options", "store", "service_tier", "user", "metadata",
    "parallel_tool_calls", "safety_identifier", "prompt_cache_key",
)  # fmt: skip
"""Parameters of Chat Completions that change no answer."""

WITHOUT_COUNTERPART = (
    "functions", "function_call", "logit_bias", "modalities", "audio", "prediction", "verbosity",
    "web_search_options",
)  # fmt: skip
"""Parameters of Chat Completions that would change the answers, and that are not read."""


class RequestSettings:
    """Collects the settings of one conversation; `chat` says that it is of Chat Completions."""

    def __init__(self, problems: Problems, config: Node | None, *, chat: bool) -> None:
        self._problems = problems
        self._chat = chat
        self._given = config
        self._found = Mapping()

    def take(self, key: Text, value: Node) -> bool:
        """Take a key of the conversation in; False if it is no setting of a request."""
        if self._chat and key in HARMLESS:
            return False
        if self._chat and key in WITHOUT_COUNTERPART:
            self._refuse(key, f"`{key}` has no counterpart in the Gemini API")
        elif self._chat and key in CHAT:
            self._put(_at(key, CHAT[key]), value)
        elif self._chat and key in READERS:
            found = READERS[key](value)
            if found is None:
                self._refuse(key, f"what `{key}` says has no counterpart in the Gemini API")
            for name, inner in (found or {}).items():
                self._put(_at(key, name), inner)
        elif key in GENERATION and isinstance(value, Mapping):
            for name, inner in value.items():
                self._put(name, inner)
        elif key in CONFIG.keys or key in CONFIG.aliases:
            self._put(key, value)
        else:
            return False
        return True

    def _refuse(self, key: Text, message: str) -> None:
        hint = "leave it out, or say it in the Gemini API's words"
        self._problems.add("unknown-key", message, key, hint)

    def _put(self, key: Text, value: Node) -> None:
        if key in self._found:
            self._problems.add("duplicate", f"`{key}` is set twice", key)
        self._found[key] = value

    def config(self) -> Node | None:
        """Everything that was taken in, with the conversation's own `config`; None if nothing."""
        if not self._found or not isinstance(self._given, Mapping):
            return self._found or self._given
        for key, value in self._given.items():
            self._put(key, value)
        return self._found


def _at(key: Text, name: str) -> Text:
    """A name in the place of a key."""
    return Text(name, key.line, key.column, plain=False)


# The parameters of Chat Completions

CHAT = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "n": "candidate_count",
    "logprobs": "response_logprobs",
    "top_logprobs": "logprobs",
}
"""Parameters that only have another name; some even have the same."""

Found = dict[str, Node] | None
"""The settings that a parameter stands for; None if it says what the Gemini API cannot."""


def _stop(value: Node) -> Found:
    # A stop sequence may stand alone.
    items = value if isinstance(value, Sequence) else Sequence(value.line, value.column, [value])
    return {"stop_sequences": items}


def _tools(value: Node) -> Found:
    functions = []
    for given in value if isinstance(value, Sequence) else [value]:
        function = given.get(Text("function")) if isinstance(given, Mapping) else None
        if not isinstance(function, Mapping):
            return None
        declaration = Mapping(function.line, function.column)
        for key, inner in function.items():
            if key == "parameters":
                declaration[_at(key, "parametersJsonSchema")] = inner
            elif key != "strict":
                declaration[key] = inner
        functions.append(declaration)
    tool = Mapping(value.line, value.column)
    tool[Text("functionDeclarations")] = Sequence(value.line, value.column, functions)
    return {"tools": Sequence(value.line, value.column, [tool])}


def _tool_choice(value: Node) -> Found:
    modes = {"none": "NONE", "auto": "AUTO", "required": "ANY"}
    if isinstance(value, Text) and value in modes:
        return {"tool_config": from_value({"functionCallingConfig": {"mode": modes[value]}})}
    function = value.get(Text("function")) if isinstance(value, Mapping) else None
    name = function.get(Text("name")) if isinstance(function, Mapping) else None
    if not isinstance(name, Text):
        return None
    calling = {"mode": "ANY", "allowedFunctionNames": [str(name)]}
    return {"tool_config": from_value({"functionCallingConfig": calling})}


def _response_format(value: Node) -> Found:
    given = any_value(Problems(), "", value)
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "text":
        return {}
    found: dict[str, object] = {"response_mime_type": "application/json"}
    if kind == "json_schema":
        holder = given.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        if not isinstance(schema, dict):
            return None
        found["response_json_schema"] = schema
    elif kind != "json_object":
        return None
    return {name: from_value(inner) for name, inner in found.items()}


def _reasoning_effort(value: Node) -> Found:
    if not isinstance(value, Text):
        return None
    thinking = {"thinkingBudget": 0} if value == "none" else {"thinkingLevel": str(value)}
    return {"thinking_config": from_value(thinking)}


READERS: dict[str, Callable[[Node], Found]] = {
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "reasoning_effort": _reasoning_effort,
}
"""Parameters whose values are written otherwise."""
