"""What Gemini 3 and later models ask of function calls: ids, and thought signatures.

The rules are those of https://ai.google.dev/gemini-api/docs/thought-signatures, and of refusals
that people have published.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

from gemcli.chat.contents import TOOL_PAIR, Content, Part, begins_turn, parts_of
from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.read_request import Message
from gemcli.text import strict_json

UNSIGNED_CALL = (
    "Function call is missing a thought_signature in functionCall parts. "
    "This is required for tools to work correctly, and missing thought_signature may lead to "
    "degraded model performance. "
    "Additional data, function call `default_api:{name}` , position {position}. "
    "Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
)
ENDS_WITH_MODEL = "Requests ending with a model turn are not supported."

_NAMES = re.compile(r"models/(?:.*/)?gemini-(?:[3-9]|[1-9][0-9]|.*-latest$)")


def is_asked(request: Message) -> bool:
    """Whether the model of a request is Gemini 3 or later, which an alias like -latest is."""
    return _NAMES.match(request.get("model", "")) is not None


def shows_server_side(request: Message) -> bool:
    """Whether the calls of tools that the API runs itself belong to the conversation."""
    return bool(request.get("toolConfig", {}).get("includeServerSideToolInvocations"))


def check(contents: Sequence[Content]) -> None:
    """Refuse Contents that such a model does not take; model Contents in a row are one here."""
    last = parts_of(contents[-1])
    places = [number for number, part in enumerate(last) if "functionResponse" in part]
    # What comes before the responses is taken by every model.
    if contents[-1]["role"] == "model" or (places and len(last) > places[0] + len(places)):
        raise invalid_argument(ENDS_WITH_MODEL)
    messages = [index for index, content in enumerate(contents) if begins_turn(content)]
    for index in range(messages[-1] if messages else 0, len(contents)):
        calls = [part for part in parts_of(contents[index]) if "functionCall" in part]
        if calls and not calls[0].get("thoughtSignature"):
            name = calls[0]["functionCall"].get("name")
            raise invalid_argument(UNSIGNED_CALL.format(name=name, position=index + 1))


def signed(parts: Iterable[Part], request: Message) -> list[Part]:
    """What the model says with the ids and signatures that belong to it, where none are given.

    Every call has an id, and the first one a signature; so have all Parts of server-side tools.
    """
    found: list[Part] = []
    unsigned = is_asked(request)
    for number, part in enumerate(parts):
        needs_signature = shows_server_side(request) and any(key in part for key in TOOL_PAIR)
        if "functionCall" in part and is_asked(request):
            call = part["functionCall"]
            part = {
                **part,
                "functionCall": {**call, "id": call.get("id", made_id(request, number))},
            }
            needs_signature, unsigned = unsigned, False
        if needs_signature and "thoughtSignature" not in part:
            signature = base64.b64encode(_digest(request, number)).decode()
            part = {**part, "thoughtSignature": signature}
        found.append(part)
    return found


def made_id(request: Message, number: int) -> str:
    """The id of a call: another one for each call of each answer."""
    return _digest(request, number).hex()[:8]


def _digest(request: Message, number: int) -> bytes:
    return hashlib.sha256(strict_json.encode([request, number])).digest()
