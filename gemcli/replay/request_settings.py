"""The settings that stand beside recorded messages: what of a request becomes a script's `config`.

Beside Contents they are those of a body of generateContent, beside messages those of Chat
Completions. What would change the answers and has no counterpart here is refused.
"""

from __future__ import annotations

from gemcli.settings.config import CONFIG
from gemcli.text.problems import Problems
from gemcli.text.tree import Mapping, Node, Sequence, Text

GENERATION = ("generationConfig", "generation_config")

CHAT = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "stop": "stop_sequences",
    "n": "candidate_count",
    "logprobs": "response_logprobs",
    "top_logprobs": "logprobs",
}
"""Settings of Chat Completions that are called otherwise here."""

_WITHOUT = "name what it should be in `config`, in the Gemini API's words, and leave this out"

REFUSED = dict.fromkeys(
    (
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("response_format", "reasoning_effort", "logit_bias", "modalities", "audio"),
        *("prediction", "verbosity", "web_search_options"),
    ),
    _WITHOUT,
)
"""Settings of Chat Completions that would change the answers and are not read, with the hint."""

HARMLESS = ("stream", "stream_options", "store", "service_tier", "user", "metadata")
"""Settings of Chat Completions that change no answer."""


class RequestSettings:
    """Collects the settings of one conversation; `chat` says that it is of Chat Completions."""

    def __init__(self, problems: Problems, config: Node | None, *, chat: bool) -> None:
        self._problems = problems
        self._chat = chat
        self._given = config
        self._found = Mapping()

    def take(self, key: Text, value: Node) -> bool:
        """Take a key of the conversation in; False if it is no setting of a request."""
        if self._chat and key in REFUSED:
            message = f"`{key}` has no counterpart in a script"
            self._problems.add("unknown-key", message, key, REFUSED[key])
        elif self._chat and key in HARMLESS:
            return False
        elif self._chat and key in CHAT:
            # A stop sequence may stand alone.
            alone = key == "stop" and not isinstance(value, Sequence)
            items = Sequence(value.line, value.column, [value]) if alone else value
            self._put(Text(CHAT[key], key.line, key.column), items)
        elif key in GENERATION and isinstance(value, Mapping):
            for name, inner in value.items():
                self._put(name, inner)
        elif key in CONFIG.keys or key in CONFIG.aliases:
            self._put(key, value)
        else:
            return False
        return True

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
