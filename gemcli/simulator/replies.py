"""What the simulator replies: a status, headers, and the steps of a body.

Pauses and broken connections are steps of a reply, which `transport` and `server` act out; a model
asks for them with a `ScriptedReply`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gemcli.simulator.api_errors import ApiError
from gemcli.simulator.responses import Response
from gemcli.simulator.streams import Checkpoints, Framing, chunks, framed
from gemcli.text import strict_json

JSON = "application/json; charset=UTF-8"
"""The content type of JSON, as the API writes it."""

CONTENT_TYPES: dict[Framing, str] = {"json": JSON, "sse": "text/event-stream", "array": JSON}

PIECE = 64
"""Bytes between two pauses of a body that has no chunks."""


@dataclass(frozen=True)
class Cut:
    """A broken connection: `reset` by the peer, or `close`d before the body was complete."""

    how: Literal["reset", "close"] = "reset"


Step = bytes | float | Cut
"""Bytes to send, seconds to pause, or a broken connection, which ends the reply."""


class Reply(NamedTuple):
    """What goes back to the client: status and headers together with the first bytes.

    Pauses and cuts before the first bytes come before everything; `b""` sends the head alone.
    """

    status: int
    headers: Mapping[str, str]
    steps: tuple[Step, ...]


class Amount(NamedTuple):
    """So many bytes of a body, or chunks of a stream; a body without chunks counts as one."""

    size: int
    unit: Literal["bytes", "chunks"] = "bytes"


NOTHING = Amount(0)


@dataclass(frozen=True)
class CutPoint:
    """Where and how a reply breaks off.

    `reset` and `close` break the connection; `clean` ends the body as if it were complete. An
    `error` is sent in the stream, as the API does; `after` must count chunks then.
    """

    after: Amount = NOTHING
    how: Literal["reset", "close", "clean"] = "reset"
    error: ApiError | None = None


Outcome = Response | ApiError | Reply
"""A GenerateContentResponse, an error of the API, or a reply that goes out as it is."""


@dataclass(frozen=True)
class ScriptedReply:
    """An outcome and how it is sent: seconds of `delay` before it, of `drip` between its chunks."""

    outcome: Outcome
    delay: float = 0.0
    drip: float = 0.0
    cut: CutPoint | None = None
    checkpoints: Checkpoints = field(default_factory=dict)


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with `value` as its JSON body, sent at once."""
    return Reply(status, {"content-type": JSON, **(headers or {})}, (strict_json.encode(value),))


def error_reply(error: ApiError, framing: Framing) -> Reply:
    """The reply that is an error: JSON, in a list where a list of chunks was asked for."""
    body = error.body()
    return json_reply([body] if framing == "array" else body, error.code, error.headers)


def build_reply(scripted: ScriptedReply, framing: Framing) -> Reply:
    """The reply that acts out `scripted`, its body in this framing."""
    cut = scripted.cut
    if cut is not None and cut.error is not None:
        reply = _failing_reply(scripted, cut.after.size, cut.error, framing)
        cut = None
    else:
        reply = _whole_reply(scripted, framing)
    pieces = [step for step in reply.steps if isinstance(step, bytes)]
    if cut is not None:
        pieces = _first(pieces, cut.after)
    steps: list[Step] = list(_paced(pieces, scripted.delay, scripted.drip))
    if cut is not None and cut.how != "clean":
        steps.append(Cut(cut.how))
    return reply._replace(steps=tuple(steps))


def _whole_reply(scripted: ScriptedReply, framing: Framing) -> Reply:
    outcome = scripted.outcome
    if isinstance(outcome, Reply):
        return outcome
    if isinstance(outcome, ApiError):
        return error_reply(outcome, framing)
    if framing == "json":
        return _body_of([outcome], framing)
    return _body_of(chunks(outcome, scripted.checkpoints), framing)


def _failing_reply(scripted: ScriptedReply, count: int, error: ApiError, framing: Framing) -> Reply:
    """The reply of a model that fails after `count` chunks: before the first, a plain error."""
    begun: list[Response] = []
    if isinstance(scripted.outcome, dict) and framing != "json":
        begun = chunks(scripted.outcome, scripted.checkpoints)[:count]
    return _body_of([*begun, error.body()], framing) if begun else error_reply(error, framing)


def _body_of(values: Sequence[object], framing: Framing) -> Reply:
    return Reply(200, {"content-type": CONTENT_TYPES[framing]}, tuple(framed(values, framing)))


def _paced(pieces: list[bytes], delay: float, drip: float) -> Iterator[Step]:
    """The pieces with pauses before and between them."""
    if drip and len(pieces) == 1:
        (body,) = pieces
        pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
    if delay:
        yield delay
    for number, piece in enumerate(pieces):
        if drip and number:
            yield drip
        yield piece


def _first(pieces: list[bytes], amount: Amount) -> list[bytes]:
    """The first bytes or chunks of a body."""
    if amount.unit == "chunks":
        return pieces[: amount.size]
    kept = []
    remaining = amount.size
    for piece in pieces:
        if remaining <= 0:
            break
        kept.append(piece[:remaining])
        remaining -= len(piece)
    return kept
