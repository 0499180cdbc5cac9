"""The table of settings: each one's place in a request, what it may be, and what it is for.

`SETTINGS` is the single source: options, config files, the check of session files, help and docs
are made from it. Tests compare it with the SDK's own types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemcli.settings.api_objects import api_object, kind_of, snake_case
from gemcli.text import schema
from gemcli.text.problems import Problems
from gemcli.text.schema import FILLED_TEXT, FLAG, INT32_MAX, Kind, Schema, list_of, map_of, number
from gemcli.text.tree import Mapping, Node, Text


@dataclass(frozen=True)
class Setting:
    """One setting: its key in a group of a request's body, and what it may be; `help` is one line.

    Those with an `option` can be given on the command line, several times if `repeatable`. `alias`
    is the SDK's name where it is not the API's in snake_case.
    """

    group: tuple[str, ...]
    key: str
    kind: Kind[Any]
    help: str
    option: str | None = None
    metavar: str | None = None
    repeatable: bool = False
    alias: str | None = None

    @property
    def name(self) -> str:
        """What the SDK and the option's parameter call it."""
        return self.alias or snake_case(self.key)

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to the value in a request's body."""
        return (*self.group, self.key)


def whole(low: int) -> Kind[float]:
    """Whole numbers from `low`; the API's have 32 bits."""
    return number(low, INT32_MAX, whole=True)


def _instruction(problems: Problems, label: str, node: Node) -> dict[str, Any] | None:
    """A system instruction: a Content, or just its text."""
    if isinstance(node, Text):
        text = FILLED_TEXT(problems, label, node)
        return None if text is None else {"parts": [{"text": text}]}
    content: dict[str, Any] | None = api_object("Content")(problems, label, node)
    if content is not None and not all(content.get("parts", ())):
        problems.add("value", f"{label} has a part without content", node)
    elif content is not None and not content.get("parts"):
        problems.add("value", f"{label} must have `parts`", node, _INSTRUCTION_HINT)
    return content


_INSTRUCTION_HINT = 'write text, or {"parts": [{"text": "…"}]}'


def _safety(problems: Problems, label: str, node: Node) -> dict[str, str] | None:
    """A safety setting, also accepted as CATEGORY=THRESHOLD."""
    if isinstance(node, Text):
        category, equals, threshold = node.partition("=")
        if not equals:
            message = f"{label} must be CATEGORY=THRESHOLD, or have `category` and `threshold`"
            problems.add("value", message, node, "write it like harassment=none")
            return None
        pair = Mapping(node.line, node.column)
        for name, value in (("category", category), ("threshold", threshold)):
            pair[Text(name)] = Text(value.strip(), node.line, node.column)
        node = pair
    setting: dict[str, str] | None = _SAFETY(problems, label, node)
    return setting


_SAFETY = Schema(
    dict,
    {
        "category": kind_of("HarmCategory"),
        "threshold": kind_of("HarmBlockThreshold"),
        "method": kind_of("HarmMethod"),
    },
    required=("category", "threshold"),
)


def _one(node: Text) -> int:
    if not node.plain or node not in ("1", "1.0"):
        raise ValueError("gemcli records one answer")
    return 1


ONE = schema.scalar("1", _one)
LABELS = map_of(kind_of("text"), kind_of("text"))
STOP_SEQUENCES = list_of(FILLED_TEXT, usual=5)
SAFETY_SETTINGS = list_of(_safety, unique="category")
MODALITIES = list_of(kind_of("Modality"))

BODY: tuple[str, ...] = ()
GENERATION = ("generationConfig",)
THINKING = ("generationConfig", "thinkingConfig")

# fmt: off
SETTINGS = (
    Setting(BODY, "systemInstruction", _instruction,
            "what the model is told before the conversation", "--system", "TEXT|@FILE"),
    Setting(GENERATION, "temperature", number(0, 2),
            "randomness, 0 to 2: low is focused, high is creative", "--temperature", "NUMBER"),
    Setting(GENERATION, "topP", number(0, 1),
            "sample from the likeliest tokens up to this probability, 0 to 1", "--top-p", "NUMBER"),
    Setting(GENERATION, "topK", whole(1),
            "sample from this many likeliest tokens", "--top-k", "INTEGER"),
    Setting(GENERATION, "seed", whole(-(2**31)),
            "the same seed gives similar answers", "--seed", "INTEGER"),
    Setting(GENERATION, "maxOutputTokens", whole(1),
            "longest answer in tokens, thoughts included", "--max-output-tokens", "INTEGER"),
    Setting(GENERATION, "stopSequences", STOP_SEQUENCES,
            "end the answer before this text (up to 5)", "--stop", "TEXT", repeatable=True),
    Setting(BODY, "safetySettings", SAFETY_SETTINGS,
            "what to block, like harassment=none",
            "--safety", "CATEGORY=THRESHOLD", repeatable=True),
    Setting(THINKING, "thinkingBudget", whole(-1),
            "tokens for thoughts; 0 is none, -1 lets the model choose",
            "--thinking-budget", "INTEGER"),
    Setting(THINKING, "thinkingLevel", kind_of("ThinkingLevel"),
            "how much to think: minimal, low, medium, high, xhigh", "--thinking-level", "LEVEL"),
    Setting(THINKING, "includeThoughts", FLAG,
            "whether the answer has the thoughts"),
    Setting(GENERATION, "candidateCount", ONE,
            "number of answers: always 1"),
    Setting(GENERATION, "presencePenalty", number(-2, 2),
            "above 0, tokens that appeared become less likely; -2 to 2"),
    Setting(GENERATION, "frequencyPenalty", number(-2, 2),
            "above 0, tokens become less likely the more often they appeared; -2 to 2"),
    Setting(GENERATION, "responseLogprobs", FLAG,
            "whether the answer says how likely its tokens were"),
    Setting(GENERATION, "logprobs", whole(0),
            "how many of the likeliest tokens are listed at each step"),
    Setting(GENERATION, "responseMimeType", FILLED_TEXT,
            "the answer's type, such as application/json"),
    Setting(GENERATION, "responseSchema", kind_of("Schema"),
            "the answer's schema, in the API's subset of OpenAPI"),
    Setting(GENERATION, "responseJsonSchema", schema.any_object,
            "the answer's schema, as a JSON Schema"),
    Setting(GENERATION, "responseModalities", MODALITIES,
            "what the answer consists of: text, image, audio, video"),
    Setting(GENERATION, "mediaResolution", kind_of("MediaResolution"),
            "how closely images and videos are looked at: low, medium, high"),
    Setting(GENERATION, "speechConfig", kind_of("SpeechConfig"),
            "voices and language of a spoken answer"),
    Setting(GENERATION, "imageConfig", kind_of("ImageConfig"),
            "aspect ratio and size of an image that is made"),
    Setting(GENERATION, "audioTimestamp", FLAG,
            "whether audio is understood with its times (Vertex AI)"),
    Setting(GENERATION, "audioTranscriptionConfig", kind_of("AudioTranscriptionConfig"),
            "how speech is transcribed"),
    Setting(GENERATION, "enableEnhancedCivicAnswers", FLAG,
            "whether civic questions are answered with more care (Gemini API)"),
    Setting(GENERATION, "routingConfig", kind_of("RoutingConfig"),
            "how a model is chosen (Vertex AI)"),
    Setting(GENERATION, "modelConfig", kind_of("ModelConfig"),
            "what matters when a model is chosen (Vertex AI)", alias="model_selection_config"),
    Setting(BODY, "tools", kind_of("Tool*"),
            "what the model may call or look up"),
    Setting(BODY, "toolConfig", kind_of("ToolConfig"),
            "when and which tools are called"),
    Setting(BODY, "cachedContent", FILLED_TEXT,
            "the name of a cache that holds the beginning of the context"),
    Setting(BODY, "labels", LABELS,
            "names and values for billing reports"),
    Setting(BODY, "modelArmorConfig", kind_of("ModelArmorConfig"),
            "Model Armor templates, instead of safety settings (Vertex AI)"),
    Setting(BODY, "serviceTier", kind_of("ServiceTier"),
            "how the request is served: flex, standard, priority"),
    Setting(BODY, "outputConfig", kind_of("OutputConfig"),
            "where large results are stored (Vertex AI)", alias="generation_output_config"),
    Setting(BODY, "store", FLAG,
            "whether the API logs the request (Gemini API)"),
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
"""Settings that say the same in two ways: the API refuses both, and a call's replaces a session's."""

EXCLUSIVE = (
    ("safetySettings", "modelArmorConfig"),
    ("cachedContent", "systemInstruction"),
    ("cachedContent", "tools"),
    ("cachedContent", "toolConfig"),
)
"""Other settings that the API refuses side by side."""
