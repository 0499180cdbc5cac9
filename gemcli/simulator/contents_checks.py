"""What the API refuses in Contents: turn order, blank Parts, functions without a name.

The rules of turn order are those of `gemcli.chat.turn_order`; `ERROR_MESSAGES` has the API's
message for each of them. The messages were read from errors of the API that people have published;
where none is known, they follow the API's style.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from itertools import groupby
from typing import cast

from gemcli.chat import turn_order
from gemcli.chat.contents import (
    TOOL_PAIR,
    Content,
    Part,
    function_calls,
    function_responses,
)
from gemcli.simulator import gemini_3, response_media
from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.read_request import Message
from gemcli.simulator.request_fields import PART_DATA
from gemcli.text.proto_json import snake

CALL_TURN = (
    "Please ensure that function call turn comes immediately "
    "after a user turn or after a function response turn."
)
RESPONSE_TURN = (
    "Please ensure that function response turn comes immediately after a function call turn."
)
RESPONSE_COUNT = (
    "Please ensure that the number of function response parts is equal to "
    "the number of function call parts of the function call turn."
)
ALTERNATE = "Please ensure that multiturn requests alternate between user and model."
ENDS_WITH_USER = (
    "Please ensure that multiturn requests ends with a user role or a function response."
)
NO_PARTS = "* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.\n"
NO_DATA = "required oneof field 'data' must have one initialized field"

NOT_WHOLE = "must not be empty: parts of server-side tools are sent back as they came."
NOT_PAIRED = (
    "Please ensure that each server-side tool call comes with its tool response, and each response "
    "with its call."
)

NO_NAME = "Name cannot be empty."
MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;.*)?")

# fmt: off
REQUIRED: tuple[tuple[str, str, Callable[[str], object], str], ...] = (
    ("functionCall", "name", bool, NO_NAME),
    ("functionResponse", "name", bool, NO_NAME),
    ("inlineData", "mimeType", MIME_TYPE.fullmatch, "must be a MIME type, like image/png."),
    ("inlineData", "data", bool, "must not be empty."),
    ("fileData", "fileUri", bool, "must not be empty."),
)
# fmt: on
"""What a Part must have: its key, the key inside, whether a text will do, and the message."""

ORDER_RULES = {"first", "alternate", "calls-answered", "last"}
"""The rules about neighbours, which a mere piece of a conversation need not keep."""


def check_each(contents: Sequence[Content]) -> None:
    """Refuse a Content that is wrong by itself, whatever its neighbours."""
    _refuse_first(contents, without=ORDER_RULES)


def check_order(request: Message) -> None:
    """Refuse Contents that are in the wrong order, or that the model does not take so."""
    contents = _as_the_api_reads(request["contents"])
    _refuse_first(contents)
    if gemini_3.is_asked(request):
        gemini_3.check(contents)
    if gemini_3.shows_server_side(request):
        _check_server_side(contents)


def part_errors(parts: Sequence[Part], place: str) -> Iterator[str]:
    """What is missing in each of the Parts at `place`."""
    yield from _blank_errors(parts, place)
    for number, part in enumerate(cast(Sequence[Message], parts)):
        for key, inside, holds, message in REQUIRED:
            if part.get(key) and not holds(part[key].get(inside) or ""):
                path = f"{place}[{number}].{snake(key)}.{snake(inside)}"
                yield f"* GenerateContentRequest.{path}: {message}\n"
        if part.get("functionResponse"):
            path = f"{place}[{number}].function_response"
            yield from response_media.errors(part["functionResponse"], path)


def _blank_errors(parts: Sequence[Part], place: str) -> Iterator[str]:
    for number, part in enumerate(parts):
        # Empty text may carry a signature: streams end in such Parts.
        if not any(part.get(key) for key in (*PART_DATA, "thoughtSignature")):
            yield _no_data(f"{place}[{number}]")


def _no_data(place: str) -> str:
    return f"* GenerateContentRequest.{place}.data: {NO_DATA}\n"


# Turn order


def _check_server_side(contents: Sequence[Content]) -> None:
    """Refuse Parts of tools that the API runs itself, unless they come back whole and in pairs."""
    for index, content in enumerate(contents):
        halves: dict[str, Counter[object]] = {key: Counter() for key in TOOL_PAIR}
        for number, part in enumerate(cast(Sequence[Message], content["parts"])):
            for key in part.keys() & halves.keys():
                place = f"contents[{index}].parts[{number}]"
                missing = [name for name in ("id", "toolType") if not part[key].get(name)]
                if missing or not part.get("thoughtSignature"):
                    path = f"{snake(key)}.{snake(missing[0])}" if missing else "thought_signature"
                    message = f"* GenerateContentRequest.{place}.{path}: {NOT_WHOLE}\n"
                    raise invalid_argument(message)
                halves[key][part[key]["id"], part[key]["toolType"]] += 1
        if halves["toolCall"] != halves["toolResponse"]:
            raise invalid_argument(NOT_PAIRED)


def _first_content(contents: Sequence[Content], index: int) -> str:
    return CALL_TURN if function_calls(contents[index]) else ALTERNATE


def _blank_content(contents: Sequence[Content], index: int) -> str:
    place = f"contents[{index}].parts"
    # To `turn_order` a user's empty text is blank even with a signature: the first Part is named.
    return "".join(_blank_errors(contents[index]["parts"], place)) or _no_data(f"{place}[0]")


def _calls_unanswered(contents: Sequence[Content], index: int) -> str:
    calls = function_calls(contents[index - 1]) if index else []
    responses = function_responses(contents[index])
    if not calls:
        return RESPONSE_TURN
    if not responses:
        return CALL_TURN
    if len(calls) != len(responses):
        return RESPONSE_COUNT
    unanswered = [(call.get("name"), call.get("id")) for call in calls]
    for response in responses:
        answered = (response.get("name"), response.get("id"))
        if answered not in unanswered:
            return f"{RESPONSE_TURN} Got function response with name '{answered[0]}'."
        unanswered.remove(answered)
    return RESPONSE_TURN


ERROR_MESSAGES: dict[str, str | Callable[[Sequence[Content], int], str]] = {
    "role": "Please use a valid role: user, model.",
    "first": _first_content,
    "alternate": ALTERNATE,
    "no-parts": NO_PARTS,
    "blank-part": _blank_content,
    "blank-text": _blank_content,
    "call-role": CALL_TURN,
    "response-role": RESPONSE_TURN,
    "calls-answered": _calls_unanswered,
    "last": ENDS_WITH_USER,
}
"""The API's message for each rule of `turn_order.RULES` that a body can break once it was read.

It has `{index}` to fill in, or is made from the Contents and that index.
"""

CHECKED_ELSEWHERE = {
    "shape": "read_request refuses values of the wrong kind",
    "response-object": "read_request refuses a response that is not a Struct",
    "name": "`part_errors` names the field that is missing",
}
"""The other rules of `turn_order.RULES`, and why they need no message here."""


def _refuse_first(contents: Sequence[Content], without: Collection[str] = ()) -> None:
    """Refuse the first breach of turn order, those of the rules `without` left out."""
    for problem in turn_order.check_request(contents):
        if problem.rule in CHECKED_ELSEWHERE or problem.rule in without:
            continue
        index, message = problem.index or 0, ERROR_MESSAGES[problem.rule]
        if isinstance(message, str):
            raise invalid_argument(message.format(index=index))
        raise invalid_argument(message(contents, index))


# Where the API is more lenient than the rules, because its own SDK sends such Contents


def _as_the_api_reads(contents: Sequence[Content]) -> list[Content]:
    """The Contents as the API reads them; their indexes may be others."""
    read = list(_model_contents_joined(contents))
    for index, content in enumerate(read[1:], 1):
        # Automatic function calling leaves ids out: the name alone says which call is answered.
        if any("id" not in response for response in function_responses(content)):
            read[index - 1] = _without_ids(read[index - 1])
            read[index] = _without_ids(content)
    return read


def _model_contents_joined(contents: Sequence[Content]) -> Iterator[Content]:
    """Each run of model Contents as one: chats send a streamed answer back chunk by chunk."""
    for role, run in groupby(contents, key=lambda content: content.get("role")):
        if role == "model":
            yield {"role": role, "parts": [part for content in run for part in content["parts"]]}
        else:
            yield from run


def _without_ids(content: Content) -> Content:
    """A Content whose function calls and responses have no id."""
    content = deepcopy(content)
    for function in (*function_calls(content), *function_responses(content)):
        function.pop("id", None)
    return content
