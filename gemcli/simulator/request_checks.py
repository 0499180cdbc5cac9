"""What the API refuses in a request whose fields are all known.

The messages were read from errors of the API that people have published; where none is known, they
follow the API's style.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gemcli.simulator import contents_checks, tool_checks
from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.read_request import Message, read_message
from gemcli.text.proto_json import snake

NO_INSTRUCTION = (
    "* GenerateContentRequest.system_instruction.parts: contents.parts must not be empty.\n"
)


def generate_request(body: bytes, model: str) -> Message:
    """The GenerateContentRequest to `model` in `body`; raises what the API would reply.

    As to the API, the model of the path is a field of the request.
    """
    request = read_message("GenerateContentRequest", body) | {"model": f"models/{model}"}
    _require_contents(request, "GenerateContentRequest")
    contents_checks.check_each(request["contents"])
    contents_checks.check_order(request)
    settings = request.get("generationConfig", {})
    for errors in (
        _part_errors(request),
        _limit_errors(settings),
        tool_checks.tool_errors(request),
        tool_checks.safety_errors(request),
        _contradictions(settings),
        tool_checks.combination_errors(request),
    ):
        if message := "".join(errors):
            raise invalid_argument(message)
    return request


def count_request(body: bytes) -> Message:
    """The request whose tokens are to be counted: any piece of a conversation, in any order."""
    outer = read_message("CountTokensRequest", body)
    request: Message = outer.get("generateContentRequest", outer)
    _require_contents(request, "CountTokensRequest")
    contents_checks.check_each(request["contents"])
    return request


def _require_contents(request: Message, kind: str) -> None:
    contents = request.get("contents")
    if not contents:
        raise invalid_argument(f"* {kind}.contents: contents is not specified\n")
    for content in contents:
        content.setdefault("parts", [])
    if len(contents) == 1:
        # The API's quickstarts rely on it: a single Content without a role is the user's.
        contents[0].setdefault("role", "user")


def _part_errors(request: Message) -> Iterator[str]:
    """What is missing in Parts, those of the system instruction included."""
    instruction = request.get("systemInstruction", {}).get("parts", [])
    if "systemInstruction" in request and not instruction:
        yield NO_INSTRUCTION
    for index, content in enumerate(request["contents"]):
        yield from contents_checks.part_errors(content["parts"], f"contents[{index}].parts")
    yield from contents_checks.part_errors(instruction, "system_instruction.parts")


MIME_TYPES = [
    "text/plain",
    "application/json",
    "application/xml",
    "application/yaml",
    "text/x.enum",
]

# fmt: off
LIMITS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("temperature", lambda value: 0 <= value <= 2, "temperature must be in the range [0.0, 2.0]."),
    ("topP", lambda value: 0 <= value <= 1, "top_p must be in the range [0.0, 1.0]."),
    ("topK", lambda value: value >= 0, "top_k must not be negative."),
    ("maxOutputTokens", lambda value: value > 0, "max_output_tokens must be positive."),
    ("stopSequences", lambda value: len(value) <= 5,
     "the number of stop_sequences must not exceed 5."),
    ("stopSequences", lambda value: "" not in value, "stop_sequences must not be empty."),
    ("responseMimeType", lambda value: value in MIME_TYPES,
     f"allowed mimetypes are `{'`, `'.join(MIME_TYPES[:-1])}` and `{MIME_TYPES[-1]}`."),
)
# fmt: on
"""The limits of generation settings: name, whether a value keeps it, and the API's message."""


def _limit_errors(settings: Message) -> Iterator[str]:
    for name, holds, message in LIMITS:
        if name in settings and not holds(settings[name]):
            yield f"* GenerateContentRequest.generation_config.{snake(name)}: {message}\n"
    if "responseSchema" in settings:
        place = "generation_config.response_schema"
        yield from tool_checks.schema_errors(settings["responseSchema"], place)


def _contradictions(settings: Message) -> Iterator[str]:
    """The API's message for settings that are sound one by one and not together."""
    if settings.get("candidateCount", 1) != 1:
        yield "Only one candidate can be specified"
    elif {"thinkingBudget", "thinkingLevel"} <= settings.get("thinkingConfig", {}).keys():
        yield "You can only set only one of thinking budget and thinking level."
