"""The table of settings: each one's place in a request, what it may be, and what it is for.

`SETTINGS` is the single source: options, config files, the check of session files, help and docs
are made from it. Tests compare it with the SDK's own types.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gemcli.settings.api_objects import OBJECTS, api_object, kind_of
from gemcli.text import schema
from gemcli.text.problems import Problems
from gemcli.text.proto_json import fields_of, snake
from gemcli.text.schema import FILLED_TEXT, INT32_MAX, Kind, Schema, Values, list_of, number
from gemcli.text.tree import Mapping, Node, Sequence, Text


@dataclass(frozen=True)
class Setting:
    """One setting: its key in a group of a request's body, and what it may be; `help` is one line.

    Those with an `option` can be given on the command line, several times if `repeatable`. `alias`
    is the SDK's name where it is not the API's in snake_case.
    """

    group: tuple[str, ...]
    key: str
    kind: Kind[object]
    help: str
    option: str = ""
    metavar: str = ""
    repeatable: bool = False
    alias: str | None = None

    @property
    def name(self) -> str:
        """What the SDK and the option's parameter call it."""
        return self.alias or snake(self.key)

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to the value in a request's body."""
        return (*self.group, self.key)


def whole(low: int) -> Kind[float]:
    """Whole numbers from `low`; the API's have 32 bits."""
    return number(low, INT32_MAX, whole=True)


_INSTRUCTION_HINT = 'write text, or {"parts": [{"text": "…"}]}'


def _instruction(problems: Problems, label: str, node: Node) -> Values | None:
    """A system instruction: a Content, or just its text."""
    if isinstance(node, Text):
        text = FILLED_TEXT(problems, label, node)
        if text is not None and re.fullmatch(r"@[^\s@]+", text):
            message = f"{label} is sent as it is, and not the text of a file"
            problems.note("file", message, node, "--system @FILE reads a file")
        return None if text is None else {"parts": [{"text": text}]}
    content = api_object("Content")(problems, label, node)
    if content is not None and not all(content.get("parts", ())):
        problems.add("value", f"{label} has a part without content", node)
    elif content is not None and not content.get("parts"):
        problems.add("value", f"{label} must have `parts`", node, _INSTRUCTION_HINT)
    return content


_SAFETY_SETTING: Schema[dict[str, str]] = Schema(
    dict,
    {key: kind_of(kind) for key, kind in fields_of(OBJECTS["SafetySetting"]).items()},
    required=("category", "threshold"),
)


def _safety_setting(problems: Problems, label: str, node: Node) -> dict[str, str] | None:
    """A safety setting, also accepted as CATEGORY=THRESHOLD."""
    if isinstance(node, Text):
        category, equals, threshold = node.partition("=")
        if not equals:
            message = f"{label} must be CATEGORY=THRESHOLD, or have `category` and `threshold`"
            problems.add("value", message, node, "write it like harassment=none")
            return None
        pair = Mapping(node.line, node.column)
        pair[Text("category")] = Text(category.strip(), node.line, node.column)
        pair[Text("threshold")] = Text(threshold.strip(), node.line, node.column)
        node = pair
    return _SAFETY_SETTING(problems, label, node)


def _safety_settings(problems: Problems, label: str, node: Node) -> list[dict[str, str]] | None:
    """Safety settings, at most one for each category."""
    settings = list_of(_safety_setting)(problems, label, node)
    if settings is None or not isinstance(node, Sequence):
        return None
    seen = set()
    for setting, place in zip(settings, node, strict=False):
        category = setting["category"] if setting else ""
        if category in seen:
            problems.add("duplicate", f"duplicate category {category} in {label}", place)
        if category:
            seen.add(category)
    return settings


def _tools(problems: Problems, label: str, node: Node) -> list[Values] | None:
    """Tools, whose functions have a name of their own each."""
    tools = list_of(api_object("Tool"))(problems, label, node)
    seen = set()
    for tool in tools or []:
        for function in (tool or {}).get("functionDeclarations") or []:
            name = (function or {}).get("name")
            if name in seen:
                problems.add("duplicate", f"duplicate function {name} in {label}", node)
            if name:
                seen.add(name)
    return tools


def _one(node: Text) -> int:
    if not node.plain or node not in ("1", "1.0"):
        raise ValueError("gemcli records one answer")
    return 1


_ONE = schema.scalar("1", _one)
_STOP_SEQUENCES = list_of(FILLED_TEXT, usual=5)

BODY: tuple[str, ...] = ()
GENERATION = ("generationConfig",)
THINKING = ("generationConfig", "thinkingConfig")


def _in_group(group: tuple[str, ...]) -> Callable[..., Setting]:
    """What makes the settings of a group; their kinds may be types of `api_objects`."""

    def setting(key: str, kind: Kind[object] | str, *more: Any, **named: Any) -> Setting:
        return Setting(group, key, kind_of(kind) if isinstance(kind, str) else kind, *more, **named)

    return setting


_body, _generation, _thinking = map(_in_group, (BODY, GENERATION, THINKING))

# fmt: off
SETTINGS = (
    _body("systemInstruction", _instruction, "what the model is told before the conversation",
        "--system", "TEXT|@FILE"),
    _generation("temperature", number(0, 2), "randomness, 0 to 2: low is focused, high is creative",
        "--temperature", "NUMBER"),
    _generation("topP", number(0, 1),
        "sample from the likeliest tokens up to this probability, 0 to 1",
        "--top-p", "NUMBER"),
    _generation("topK", whole(1), "sample from this many likeliest tokens", "--top-k", "INTEGER"),
    _generation("seed", whole(-(2**31)), "the same seed gives similar answers",
        "--seed", "INTEGER"),
    _generation("maxOutputTokens", whole(1), "longest answer in tokens, thoughts included",
        "--max-output-tokens", "INTEGER"),
    _generation("stopSequences", _STOP_SEQUENCES, "end the answer before this text (up to 5)",
        "--stop", "TEXT", repeatable=True),
    _body("safetySettings", _safety_settings, "what to block, like harassment=none",
        "--safety", "CATEGORY=THRESHOLD", repeatable=True),
    _thinking("thinkingBudget", whole(-1),
        "tokens for thoughts; 0 is none, -1 lets the model choose",
        "--thinking-budget", "INTEGER"),
    _thinking("thinkingLevel", "ThinkingLevel",
        "how much to think: minimal, low, medium, high, xhigh",
        "--thinking-level", "LEVEL"),
    _thinking("includeThoughts", "flag", "whether the answer has the thoughts"),
    _generation("candidateCount", _ONE, "number of answers: always 1"),
    _generation("presencePenalty", number(-2, 2),
        "above 0, tokens that appeared become less likely; -2 to 2"),
    _generation("frequencyPenalty", number(-2, 2),
        "above 0, tokens become less likely the more often they appeared; -2 to 2"),
    _generation("responseLogprobs", "flag", "whether the answer says how likely its tokens were"),
    _generation("logprobs", whole(0), "how many of the likeliest tokens are listed at each step"),
    _generation("responseMimeType", "filled", "the answer's type, such as application/json"),
    _generation("responseSchema", "Schema", "the answer's schema, in the API's subset of OpenAPI"),
    _generation("responseJsonSchema", schema.any_object, "the answer's schema, as a JSON Schema"),
    _generation("responseModalities", "Modality*",
        "what the answer consists of: text, image, audio, video"),
    _generation("mediaResolution", "MediaResolution",
        "how closely images and videos are looked at: low, medium, high"),
    _generation("speechConfig", "SpeechConfig", "voices and language of a spoken answer"),
    _generation("imageConfig", "ImageConfig", "aspect ratio and size of an image that is made"),
    _generation("audioTimestamp", "flag", "whether audio is understood with its times (Vertex AI)"),
    _generation("audioTranscriptionConfig", "AudioTranscriptionConfig",
        "how speech is transcribed"),
    _generation("enableEnhancedCivicAnswers", "flag",
        "whether civic questions are answered with more care (Gemini API)"),
    _generation("routingConfig", "RoutingConfig", "how a model is chosen (Vertex AI)"),
    _generation("modelConfig", "ModelConfig", "what matters when a model is chosen (Vertex AI)",
        alias="model_selection_config"),
    _body("tools", _tools, "what the model may call or look up"),
    _body("toolConfig", "ToolConfig", "when and which tools are called"),
    _body("cachedContent", "filled", "the name of a cache that holds the beginning of the context"),
    _body("labels", "text{}", "names and values for billing reports"),
    _body("modelArmorConfig", "ModelArmorConfig",
        "Model Armor templates, instead of safety settings (Vertex AI)"),
    _body("serviceTier", "ServiceTier", "how the request is served: flex, standard, priority"),
    _body("outputConfig", "OutputConfig", "where large results are stored (Vertex AI)",
        alias="generation_output_config"),
    _body("store", "flag", "whether the API logs the request (Gemini API)"),
)
# fmt: on
"""Every setting, in the order of the help."""

OPTIONS = tuple(setting for setting in SETTINGS if setting.option)
"""The settings that have a command-line option, in the order of the help."""

REFUSED = {
    "http_options": "gemcli makes the connection: see --timeout and GOOGLE_GEMINI_BASE_URL",
    "should_return_http_response": "gemcli always records the whole answer",
    "automatic_function_calling": "the SDK would send requests that are not recorded",
    "automatic_continuation": "the SDK would send requests that are not recorded",
    "continuation_token": "it belongs to one answer, not to a session",
}
"""Fields of the SDK's config that gemcli does not accept, and why."""

MISPLACED = {
    "generation_config": "put its keys at the top level",
    "model": "name the model with --model",
    "contents": "a history comes in with --history",
    "history": "a history comes in with --history",
}
"""Keys that people look for in a config, and where they belong."""

RIVALS = (("thinkingBudget", "thinkingLevel"), ("responseSchema", "responseJsonSchema"))
"""Settings that say the same in two ways: the API refuses both; a call's replaces a session's."""

EXCLUSIVE = (
    ("safetySettings", "modelArmorConfig"),
    ("cachedContent", "systemInstruction"),
    ("cachedContent", "tools"),
    ("cachedContent", "toolConfig"),
)
"""Other settings that the API refuses side by side."""
