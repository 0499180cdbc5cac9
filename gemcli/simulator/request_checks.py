"""What the API refuses, with its status and in its words.

The words were read from refusals of the API that people have published; where none is known, they
follow the API's way of speaking. The order rules are those of `gemcli.turns`; `WORDS` says how the
API puts each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from gemcli.chat import turn_order
from gemcli.chat.contents import (
    Content,
    FunctionCall,
    FunctionResponse,
    Part,
    function_calls,
    function_responses,
)
from gemcli.simulator import leniency
from gemcli.simulator.api_errors import Refused, bad_request, invalid
from gemcli.simulator.fields import read, snake
from gemcli.simulator.messages import PART_DATA
from gemcli.text import strict_json

CALL_TURN = "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
RESPONSE_TURN = (
    "Please ensure that function response turn comes immediately after a function call turn."
)
RESPONSE_COUNT = (
    "Please ensure that the number of function response parts is equal to the number of function call parts "
    "of the function call turn."
)
ALTERNATE = "Please ensure that multiturn requests alternate between user and model."
ENDS_WITH_USER = (
    "Please ensure that multiturn requests ends with a user role or a function response."
)
NO_PARTS = "* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.\n"
NO_DATA = "required oneof field 'data' must have one initialized field"


def generate_request(body: bytes) -> dict[str, Any]:
    """The GenerateContentRequest in `body`, with camelCase names.

    Raises `Refused` as the API would.
    """
    request = _message("GenerateContentRequest", body)
    _require_contents(request, "GenerateContentRequest")
    contents = request["contents"]
    _require_order(
        contents, [breach for breach in _breaches(contents) if breach[0] not in ORDER_RULES]
    )
    read = leniency.as_read(contents)
    _require_order(read, _breaches(read))
    _require("".join(_inside(request)))
    settings = request.get("generationConfig", {})
    _require("".join(_beyond_limits(settings)))
    _require(next(_contradictions(settings), ""))
    return request


def count_request(body: bytes) -> dict[str, Any]:
    """The request whose tokens are to be counted.

    Any piece of a conversation can be: order does not matter.
    """
    outer = _message("CountTokensRequest", body)
    request: dict[str, Any] = outer.get("generateContentRequest", outer)
    _require_contents(request, "CountTokensRequest")
    contents = request["contents"]
    _require_order(
        contents, [breach for breach in _breaches(contents) if breach[0] not in ORDER_RULES]
    )
    return request


def _breaches(contents: Sequence[Content]) -> list[tuple[str, int]]:
    """Every breach of turn order, as rule and index of the Content."""
    return [(each.rule, each.index or 0) for each in turn_order.check_request(contents)]


def _require(words: str) -> None:
    if words:
        raise invalid(words)


def _message(kind: str, body: bytes) -> dict[str, Any]:
    try:
        # No body at all is an empty message to the API.
        value = strict_json.loads(body) if body.strip() else {}
    except ValueError as trouble:
        raise invalid(f"Invalid JSON payload received. {trouble}") from None
    message, violations = read(kind, value)
    if violations:
        raise Refused(
            "INVALID_ARGUMENT",
            "\n".join(v.description for v in violations),
            [bad_request(violations)],
        )
    return message


def _require_contents(request: dict[str, Any], kind: str) -> None:
    contents = request.get("contents")
    if not contents:
        raise invalid(f"* {kind}.contents: contents is not specified\n")
    for content in contents:
        content.setdefault("parts", [])
    if len(contents) == 1:
        # The one leniency in roles that quickstarts rely on: a single Content without a role is the
        # user's.
        contents[0].setdefault("role", "user")


Wording = str | Callable[[Sequence[Content], int], str]
"""Words in which `{index}` is filled in, or what finds them from the Contents and the index of the breach."""


def _no_data(contents: Sequence[Content], index: int) -> str:
    place = f"contents[{index}].parts"
    # A user Part with a signature on empty text is not blank; then the first empty text is meant.
    blank = list(_blank_parts(contents[index]["parts"], place)) or [f"{place}[0]"]
    return "".join(_blank_words(place) for place in blank)


def _calls_unanswered(contents: Sequence[Content], index: int) -> str:
    calls, responses = (
        function_calls(contents[index - 1]) if index else [],
        function_responses(contents[index]),
    )
    if not calls:
        return RESPONSE_TURN
    if not responses:
        return CALL_TURN
    # Where only names or ids differ the API is more lenient than we are: it counts.
    return (
        RESPONSE_COUNT
        if len(calls) != len(responses)
        else f"{RESPONSE_TURN} {_misnamed(calls, responses)}"
    )


def _misnamed(calls: Sequence[FunctionCall], responses: Sequence[FunctionResponse]) -> str:
    called = [(call.get("name"), call.get("id")) for call in calls]
    for response in responses:
        identity = (response.get("name"), response.get("id"))
        if identity not in called:
            return f"Got function response with name '{identity[0]}'."
        called.remove(identity)
    return ""


def _first(contents: Sequence[Content], index: int) -> str:
    return CALL_TURN if function_calls(contents[index]) else ALTERNATE


class Words(NamedTuple):
    """How the API refuses a breach of one order rule."""

    status: str
    wording: Wording


WORDS = {
    "role": Words("INVALID_ARGUMENT", "Please use a valid role: user, model."),
    "first": Words("INVALID_ARGUMENT", _first),
    "alternate": Words("INVALID_ARGUMENT", ALTERNATE),
    "no-parts": Words("INVALID_ARGUMENT", NO_PARTS),
    "blank-part": Words("INVALID_ARGUMENT", _no_data),
    "blank-text": Words("INVALID_ARGUMENT", _no_data),
    "call-role": Words("INVALID_ARGUMENT", CALL_TURN),
    "response-role": Words("INVALID_ARGUMENT", RESPONSE_TURN),
    "calls-answered": Words("INVALID_ARGUMENT", _calls_unanswered),
    "last": Words("INVALID_ARGUMENT", ENDS_WITH_USER),
}
"""The API's status and words for each rule of `turns.RULES` that can be broken once a body was read."""

ELSEWHERE = {
    "shape": "fields.read refuses values of the wrong kind",
    "response-object": "fields.read refuses a response that is no Struct",
    "base64": "fields.read refuses bytes that do not decode",
    "answer": "the API takes a model Content of nothing but thoughts",
    "key": "fields.read takes keys in either case, as the API does",
    "name": "`_inside` names the field that is missing",
}
"""The other rules of `turns.RULES`, and why they need no words here."""

ORDER_RULES = {"first", "alternate", "calls-answered", "last"}
"""The rules about neighbours: what a mere piece of a conversation need not keep."""


def _require_order(contents: Sequence[Content], breaches: Sequence[tuple[str, int]]) -> None:
    """Refuse the first breach of turn order, given as rule and index of the Content."""
    for rule, index in breaches:
        if rule in ELSEWHERE:
            continue
        status, wording = WORDS[rule]
        raise Refused(
            status,
            wording.format(index=index) if isinstance(wording, str) else wording(contents, index),
        )


def _inside(request: dict[str, Any]) -> Iterator[str]:
    """What is missing inside Parts, the system instruction's included."""
    places = [
        (f"contents[{index}].parts", content["parts"])
        for index, content in enumerate(request["contents"])
    ]
    if "systemInstruction" in request:
        places.append(("system_instruction.parts", request["systemInstruction"].get("parts", [])))
        if not places[-1][1]:
            yield "* GenerateContentRequest.system_instruction.parts: contents.parts must not be empty.\n"
    for place, parts in places:
        yield from map(_blank_words, _blank_parts(parts, place))
        for number, part in enumerate(parts):
            for key in ("functionCall", "functionResponse"):
                if key in part and not part[key].get("name"):
                    path = f"{place}[{number}].{snake(key)}.name"
                    yield f"* GenerateContentRequest.{path}: Name cannot be empty.\n"


def _blank_parts(parts: Sequence[Part], place: str) -> Iterator[str]:
    """The places of Parts without data.

    Empty text may carry a signature: streams end in such Parts.
    """
    for number, part in enumerate(parts):
        if not any(part.get(key) for key in (*PART_DATA, "thoughtSignature")):
            yield f"{place}[{number}]"


def _blank_words(place: str) -> str:
    return f"* GenerateContentRequest.{place}.data: {NO_DATA}\n"


class Limit(NamedTuple):
    """What one generation setting must keep, and what the API says when it does not."""

    name: str
    holds: Callable[[Any], bool]
    words: str


MIME_TYPES = (
    "text/plain",
    "application/json",
    "application/xml",
    "application/yaml",
    "text/x.enum",
)

LIMITS = (
    Limit(
        "temperature", lambda value: 0 <= value <= 2, "temperature must be in the range [0.0, 2.0]."
    ),
    Limit("topP", lambda value: 0 <= value <= 1, "top_p must be in the range [0.0, 1.0]."),
    Limit("topK", lambda value: value >= 0, "top_k must not be negative."),
    Limit("maxOutputTokens", lambda value: value > 0, "max_output_tokens must be positive."),
    Limit(
        "stopSequences",
        lambda value: len(value) <= 5,
        "the number of stop_sequences must not exceed 5.",
    ),
    Limit("stopSequences", lambda value: "" not in value, "stop_sequences must not be empty."),
    Limit(
        "responseMimeType",
        lambda value: value in MIME_TYPES,
        "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` "
        "and `text/x.enum`.",
    ),
)
"""The limits of generation settings; all breaches are reported together."""


def _beyond_limits(settings: dict[str, Any]) -> Iterator[str]:
    for limit in LIMITS:
        if limit.name in settings and not limit.holds(settings[limit.name]):
            yield f"* GenerateContentRequest.generation_config.{snake(limit.name)}: {limit.words}\n"


def _contradictions(settings: dict[str, Any]) -> Iterator[str]:
    """Settings that the API reads one by one and then refuses."""
    if settings.get("candidateCount", 1) != 1:
        yield "Only one candidate can be specified"
    if {"thinkingBudget", "thinkingLevel"} <= settings.get("thinkingConfig", {}).keys():
        yield "You can only set only one of thinking budget and thinking level."
