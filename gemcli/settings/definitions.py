"""The table of settings.

Every name, its place in a request, what its values may be, and what it is for.

`SETTINGS` is the single source: options, config files, the check of session files, help and docs
are made from it. It is written by hand, because asking the SDK takes half a second; tests compare
it with the SDK's own types.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemcli.settings import kinds
from gemcli.settings.kinds import number, whole


@dataclass(frozen=True)
class Setting:
    """One setting: where the SDK's GenerateContentConfig and the request's body have it, and what it may be.

    `field` and `wire` are paths with dots. `option` is its name on the command line, for those that
    have one; there `metavar` stands for its value. `help` is one line.
    """

    field: str
    wire: str
    kind: kinds.Kind
    help: str
    option: str | None = None
    metavar: str | None = None

    @property
    def name(self) -> str:
        """What the option's parameter is called: the last part of `field`."""
        return self.field.rpartition(".")[2]

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to the value in a request's body."""
        return tuple(self.wire.split("."))

    @property
    def repeatable(self) -> bool:
        """Whether the option may be given several times."""
        return isinstance(self.kind, kinds.ListOf)


OBJECT = kinds.Container()
OBJECTS = kinds.ListOf(item=OBJECT)
FLAG = kinds.Flag()
WORDS = kinds.Words()
ONE = kinds.Number(low=1, high=1, whole=True, expected="1", hint="gemcli records one answer")

# fmt: off
SETTINGS = (
    Setting("system_instruction", "systemInstruction", kinds.Instruction(),
            "what the model is told before the conversation", "--system", "TEXT|@FILE"),
    Setting("temperature", "generationConfig.temperature", number(0, 2),
            "randomness, 0 to 2: low is focused, high is creative", "--temperature", "NUMBER"),
    Setting("top_p", "generationConfig.topP", number(0, 1),
            "sample from the likeliest tokens up to this probability, 0 to 1", "--top-p", "NUMBER"),
    Setting("top_k", "generationConfig.topK", whole(1),
            "sample from this many likeliest tokens", "--top-k", "INTEGER"),
    Setting("seed", "generationConfig.seed", whole(-2**31),
            "the same seed gives similar answers", "--seed", "INTEGER"),
    Setting("max_output_tokens", "generationConfig.maxOutputTokens", whole(1),
            "longest answer in tokens, thoughts included", "--max-output-tokens", "INTEGER"),
    Setting("stop_sequences", "generationConfig.stopSequences", kinds.ListOf(item=WORDS, most=5),
            "end the answer before this text (up to 5)", "--stop", "TEXT"),
    Setting("safety_settings", "safetySettings", kinds.ListOf(item=kinds.Safety(), unique="category"),
            "what to block, like harassment=none", "--safety", "CATEGORY=THRESHOLD"),
    Setting("thinking_config.thinking_budget", "generationConfig.thinkingConfig.thinkingBudget", whole(-1),
            "tokens for thoughts; 0 is none, -1 lets the model choose", "--thinking-budget", "INTEGER"),
    Setting("thinking_config.thinking_level", "generationConfig.thinkingConfig.thinkingLevel", kinds.THINKING_LEVEL,
            "how much to think: minimal, low, medium, high, xhigh", "--thinking-level", "LEVEL"),
    Setting("thinking_config.include_thoughts", "generationConfig.thinkingConfig.includeThoughts", FLAG,
            "whether the answer tells the thoughts"),
    Setting("candidate_count", "generationConfig.candidateCount", ONE,
            "number of answers: always 1"),
    Setting("presence_penalty", "generationConfig.presencePenalty", number(-2, 2),
            "above 0, tokens that appeared become less likely; -2 to 2"),
    Setting("frequency_penalty", "generationConfig.frequencyPenalty", number(-2, 2),
            "above 0, tokens become less likely the more often they appeared; -2 to 2"),
    Setting("response_logprobs", "generationConfig.responseLogprobs", FLAG,
            "whether the answer tells how likely its tokens were"),
    Setting("logprobs", "generationConfig.logprobs", whole(0),
            "how many of the likeliest tokens are told at each step"),
    Setting("response_mime_type", "generationConfig.responseMimeType", WORDS,
            "the answer's type, such as application/json"),
    Setting("response_schema", "generationConfig.responseSchema", OBJECT,
            "the answer's schema, in the API's subset of OpenAPI"),
    Setting("response_json_schema", "generationConfig.responseJsonSchema", OBJECT,
            "the answer's schema, as a JSON Schema"),
    Setting("response_modalities", "generationConfig.responseModalities", kinds.ListOf(item=kinds.MODALITY),
            "what the answer consists of: text, image, audio, video"),
    Setting("media_resolution", "generationConfig.mediaResolution", kinds.MEDIA_RESOLUTION,
            "how closely images and videos are looked at: low, medium, high"),
    Setting("speech_config", "generationConfig.speechConfig", OBJECT,
            "voices and language of a spoken answer"),
    Setting("image_config", "generationConfig.imageConfig", OBJECT,
            "aspect ratio and size of an image that is made"),
    Setting("audio_timestamp", "generationConfig.audioTimestamp", FLAG,
            "whether audio is understood with its times (Vertex AI)"),
    Setting("audio_transcription_config", "generationConfig.audioTranscriptionConfig", OBJECT,
            "how speech is transcribed"),
    Setting("enable_enhanced_civic_answers", "generationConfig.enableEnhancedCivicAnswers", FLAG,
            "whether civic questions are answered with more care (Gemini API)"),
    Setting("routing_config", "generationConfig.routingConfig", OBJECT,
            "how a model is chosen (Vertex AI)"),
    Setting("model_selection_config", "generationConfig.modelConfig", OBJECT,
            "what matters when a model is chosen (Vertex AI)"),
    Setting("tools", "tools", OBJECTS,
            "what the model may call or look up"),
    Setting("tool_config", "toolConfig", OBJECT,
            "when and which tools are called"),
    Setting("cached_content", "cachedContent", WORDS,
            "the name of a cache that holds the beginning of the context"),
    Setting("labels", "labels", kinds.Labels(),
            "names and values for billing reports"),
    Setting("model_armor_config", "modelArmorConfig", OBJECT,
            "Model Armor templates, instead of safety settings (Vertex AI)"),
    Setting("service_tier", "serviceTier", kinds.SERVICE_TIER,
            "how the request is served: flex, standard, priority"),
    Setting("generation_output_config", "outputConfig", OBJECT,
            "where large results are stored (Vertex AI)"),
    Setting("store", "store", FLAG,
            "whether the API logs the request (Gemini API)"),
)
# fmt: on

OPTIONS = tuple(setting for setting in SETTINGS if setting.option)
"""The settings that have a command-line option, in the order of the help."""

REFUSED = {
    "http_options": "gemcli makes the connection: see --timeout and GOOGLE_GEMINI_BASE_URL",
    "should_return_http_response": "gemcli always records the whole answer",
    "automatic_function_calling": "the SDK would send requests that are not recorded",
    "automatic_continuation": "the SDK would send requests that are not recorded",
    "continuation_token": "it belongs to one answer, not to a session",
}
"""Fields of the SDK's config that are no settings of a generation, and why gemcli does not take them."""

MISPLACED = {
    "generation_config": "put its keys at the top level",
    "model": "name the model with --model",
    "contents": "a history comes in with --history",
    "history": "a history comes in with --history",
}
"""Keys that people look for in a config, and where they are instead."""

EXCLUSIVE = (
    (
        "generationConfig.thinkingConfig.thinkingBudget",
        "generationConfig.thinkingConfig.thinkingLevel",
    ),
    ("generationConfig.responseSchema", "generationConfig.responseJsonSchema"),
    ("safetySettings", "modelArmorConfig"),
    ("cachedContent", "systemInstruction"),
    ("cachedContent", "tools"),
    ("cachedContent", "toolConfig"),
)
"""Settings the API refuses side by side.

Those of the first two lines say the same in two ways: see `merge`.
"""
