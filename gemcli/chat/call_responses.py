"""The responses of function calls: made of values and files, and fitted to the calls that wait.

A response repeats the name and the id of its call. The API reads the keys `output` and `error` of
a response as a result and a failure, and takes images and PDFs as `functionResponse.parts`
(ai.google.dev/gemini-api/docs/function-calling). Pure.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gemcli.chat.contents import Content, FunctionCall, FunctionResponse, Part
from gemcli.errors import GemcliError, Problem, did_you_mean, require_none
from gemcli.text import strict_json

MEDIA_TYPES = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"%PDF-": "application/pdf",
}
"""How the files begin that the API takes as a result. WebP has its name further in."""


@dataclass(frozen=True)
class GivenResponse:
    """A response as the user gave it: for the call with this name or id, JSON or a whole file.

    `file` is the name of the file, None for what was typed.
    """

    call: str
    data: bytes
    file: str | None = None


def fit(calls: Sequence[FunctionCall], given: Sequence[GivenResponse]) -> Content:
    """The user Content that answers every call, in the order of the calls.

    Calls with one name are told apart by their ids; those without ids are answered in order. Raises
    `GemcliError` RESPONSES with everything that is wrong.
    """
    if not calls:
        hint = "run gemcli history -s SESSION --last to see the last answer"
        raise GemcliError("RESPONSES", "no function call waits for a response", hint=hint)
    problems: list[Problem] = []
    parts: dict[int, Part] = {}
    for one in given:
        place = _place(calls, one, parts, problems)
        # What is given for no call is looked at, too: everything is told at once.
        part = _part(calls[place or 0], one, problems)
        if place is not None:
            parts[place] = part
    problems += _missing(calls, parts)
    require_none(problems, "the responses do not fit the calls", "RESPONSES")
    return {"role": "user", "parts": [parts[place] for place in range(len(calls))]}


def how_to_answer(calls: Sequence[FunctionCall]) -> str:
    """The hint that names the command which answers these calls."""
    options = " ".join(_option(calls, call) for call in calls)
    return f"answer it: gemcli send -s SESSION {options}"


def value_response(call: FunctionCall, value: object) -> Part:
    """The response that is a JSON value; what is no object is the `output` of one."""
    response = value if isinstance(value, dict) else {"output": value}
    return {"functionResponse": {**_identity(call), "response": response}}


def media_response(call: FunctionCall, data: bytes, mime_type: str, name: str) -> Part:
    """The response that is an image or a PDF, to which the model can refer by its name."""
    encoded = base64.b64encode(data).decode("ascii")
    blob = {"mimeType": mime_type, "data": encoded, "displayName": name}
    response: FunctionResponse = {**_identity(call), "response": {"file": {"$ref": name}}}
    parts = [{"inlineData": blob}]
    return {"functionResponse": {**response, "parts": parts}}


def media_type(data: bytes) -> str | None:
    """The type of a file that the API takes as a result, None for all others."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in MEDIA_TYPES.items() if data.startswith(start)), None)


def _identity(call: FunctionCall) -> FunctionResponse:
    identity: FunctionResponse = {"id": call["id"]} if "id" in call else {}
    return {**identity, "name": call.get("name", "")}


def _place(
    calls: Sequence[FunctionCall],
    one: GivenResponse,
    taken: dict[int, Part],
    problems: list[Problem],
) -> int | None:
    """Which call a response is for; None, with a problem, if that cannot be told."""
    ids = [place for place, call in enumerate(calls) if call.get("id") == one.call]
    places = ids or [place for place, call in enumerate(calls) if call.get("name") == one.call]
    label = _label(one)
    if not places:
        names = [word for call in calls for word in (call.get("name"), call.get("id")) if word]
        hint = did_you_mean(one.call, names) or f"the calls are {', '.join(map(_shown, calls))}"
        problems.append(Problem("unknown-call", f"{label}: no such call waits", hint=hint))
        return None
    if len(places) > 1 and all("id" in calls[place] for place in places):
        several = ", ".join(_word(calls, calls[place]) for place in places)
        hint = f"use an id: {several}"
        message = f"{label}: {len(places)} calls have this name"
        problems.append(Problem("ambiguous-call", message, hint=hint))
        return None
    free = [place for place in places if place not in taken]
    if not free:
        problems.append(Problem("duplicate", f"{label}: this call has a response already"))
        return None
    return free[0]


def _part(call: FunctionCall, one: GivenResponse, problems: list[Problem]) -> Part:
    """The Part with a response; a problem if it is neither JSON nor a file that the API takes."""
    kind = media_type(one.data)
    if kind is not None:
        name = one.file or f"file.{kind.rpartition('/')[2]}"
        return media_response(call, one.data, kind, name)
    try:
        return value_response(call, strict_json.loads(one.data))
    except ValueError as error:
        hint = "give a JSON value, or a PNG, JPEG, WebP or PDF file"
        if one.file is None:
            hint = f"put text in double quotes: --response {shlex.quote(one.call)}='\"…\"'"
        problems.append(Problem("value", f"{_label(one)}: not JSON: {error}", hint=hint))
        return {}


def _missing(calls: Sequence[FunctionCall], parts: dict[int, Part]) -> Iterator[Problem]:
    """A problem for each call without a response."""
    for place, call in enumerate(calls):
        if place not in parts:
            hint = f"add {_option(calls, call)}"
            yield Problem("missing", f"no response for the call of {_shown(call)}", hint=hint)


def _option(calls: Sequence[FunctionCall], call: FunctionCall) -> str:
    return f"--response {shlex.quote(_word(calls, call))}=JSON"


def _word(calls: Sequence[FunctionCall], call: FunctionCall) -> str:
    """What names a call: its name, or its id where others have that name too."""
    name = str(call.get("name"))
    alone = [other.get("name") for other in calls].count(name) == 1
    return name if alone else str(call.get("id", name))


def _shown(call: FunctionCall) -> str:
    """A call in a message."""
    return f"{call.get('name')} (id {call['id']})" if "id" in call else str(call.get("name"))


def _label(one: GivenResponse) -> str:
    return f"--response {one.call}"
