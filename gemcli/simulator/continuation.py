"""Continuation tokens: where a long answer goes on, sealed to the request that it answers.

The simulator remembers no answer: the whole place is in the token. A token that was changed, or
that comes with another model or another body, breaks the seal. Only after MAX_TOKENS may the
request differ, in a larger `maxOutputTokens`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.read_request import Message
from gemcli.text import proto_json, strict_json

NOT_VALID = "The continuation token is not valid for this request."
NOT_LARGER = (
    "The answer has used up its max_output_tokens: continue it with a larger value than {limit}."
)

_SEAL = 18
"""Bytes of a token's seal."""


class Place(NamedTuple):
    """Where the answer to a request begins: of the first hop, at its beginning."""

    hop: int = 1
    """The number of the hop that is asked for."""
    rule: int = 0
    """The index of the rule that plays the answer."""
    step: int = 0
    """The index of the hop among those that the answer was cut into."""
    sent: int = 0
    """How much of that step was sent: pieces, or characters of an echo."""
    output: int = 0
    """Tokens that all hops before it have put out."""


def token(request: Message, place: Place, finish: str | None = None) -> str:
    """The token that resumes the answer to `request` at `place`, after a hop that ended so."""
    limit = _limit(request) if finish == "MAX_TOKENS" else None
    return _sealed(place, limit, _fingerprint(request, limit))


def checkpoints(request: Message, places: Iterable[Place]) -> list[str]:
    """The tokens that resume the answer to `request` at these places, in the middle of a hop."""
    fingerprint = _fingerprint(request, None)
    return [_sealed(place, None, fingerprint) for place in places]


def place_of(request: Message) -> Place:
    """Where the answer to a request begins. Raises `ApiError` if its token is not its own."""
    written = request.get("continuationToken")
    if not written:
        return Place()
    data = proto_json.decode_base64(written)
    seal, payload = data[:_SEAL], data[_SEAL:]
    try:
        *numbers, limit = strict_json.loads(payload)
    except (ValueError, TypeError):
        raise invalid_argument(NOT_VALID) from None
    if seal != _seal(payload, _fingerprint(request, limit)):
        raise invalid_argument(NOT_VALID)
    if limit and 0 < _limit(request) <= limit:
        raise invalid_argument(NOT_LARGER.format(limit=limit))
    return Place(*numbers)


def _limit(request: Message) -> int:
    """The limit of tokens that a request sets; 0 is none."""
    limit: int = request.get("generationConfig", {}).get("maxOutputTokens", 0)
    return limit


def _sealed(place: Place, limit: int | None, fingerprint: bytes) -> str:
    payload = strict_json.encode([*place, limit])
    return base64.b64encode(_seal(payload, fingerprint) + payload).decode()


def _seal(payload: bytes, fingerprint: bytes) -> bytes:
    """What only this payload has with this request."""
    return hashlib.sha256(payload + fingerprint).digest()[:_SEAL]


def _fingerprint(request: Message, limit: int | None) -> bytes:
    """What is the same for the same request, whose limit is open where one is given."""
    settings = dict(request.get("generationConfig", {}))
    if limit is not None:
        settings.pop("maxOutputTokens", None)
    body = request | {"generationConfig": settings}
    body.pop("continuationToken", None)
    # As in the API, an empty generationConfig, which the SDK adds to later hops, is as good as
    # none, and the order of keys means nothing.
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
