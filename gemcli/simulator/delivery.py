"""From what a model decides to the steps of a reply.

The form of the body, pauses, and where it breaks off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gemcli.simulator.api_errors import Refused
from gemcli.simulator.replies import JSON, Cut, Reply, Step, json_reply
from gemcli.simulator.streams import Form, chunks, framed

DRIP = 64
"""Bytes between two pauses of a body that has no chunks."""

CONTENT_TYPES: dict[Form, str] = {"whole": JSON, "sse": "text/event-stream", "array": JSON}


class Amount(NamedTuple):
    """So many bytes of a body, or chunks of a stream; a body without chunks counts as one."""

    size: int
    unit: Literal["bytes", "chunks"] = "bytes"


NOTHING = Amount(0)


@dataclass(frozen=True)
class Break:
    """Where and how a reply breaks off.

    `reset` and `close` break the connection, before the head when nothing goes before them; `clean`
    ends the body as if it were complete. With an `error` the stream itself goes on to say so, as
    the API does when a model fails halfway; `after` must count chunks then.
    """

    after: Amount = NOTHING
    how: Literal["reset", "close", "clean"] = "reset"
    error: Refused | None = None


@dataclass(frozen=True)
class Scripted:
    """What a model gives when an answer alone does not say it all.

    `outcome` is a GenerateContentResponse, a refusal, or a reply as it is; `delay` are seconds
    before it begins, `drip` seconds between its chunks.
    """

    outcome: dict[str, Any] | Refused | Reply
    delay: float = 0.0
    drip: float = 0.0
    cut: Break | None = None


def deliver(scripted: Scripted, form: Form) -> Reply:
    """The reply that acts out `scripted`, its body in this form."""
    outcome, cut = scripted.outcome, scripted.cut
    if cut is not None and cut.error is not None:
        reply, cut = _failing(outcome, cut.after.size, cut.error, form), None
    elif isinstance(outcome, dict):
        reply = _values([outcome] if form == "whole" else chunks(outcome), form)
    else:
        reply = refusal(outcome, form) if isinstance(outcome, Refused) else outcome
    return reply._replace(steps=tuple(_paced(reply.steps, scripted.delay, scripted.drip, cut)))


def refusal(refused: Refused, form: Form) -> Reply:
    """The reply to a request that is refused.

    A JSON error, in a list where a list of chunks was asked for.
    """
    body = refused.body()
    return json_reply([body] if form == "array" else body, refused.code, refused.headers)


def _values(values: Sequence[Any], form: Form) -> Reply:
    return Reply(200, {"content-type": CONTENT_TYPES[form]}, tuple(framed(values, form)))


def _failing(
    outcome: dict[str, Any] | Refused | Reply, said: int, error: Refused, form: Form
) -> Reply:
    """The reply of a model that fails after so many chunks.

    Before the first one the error is a plain one.
    """
    begun = chunks(outcome)[:said] if isinstance(outcome, dict) and form != "whole" else []
    return _values([*begun, error.body()], form) if begun else refusal(error, form)


def _paced(steps: Iterable[Step], delay: float, drip: float, cut: Break | None) -> Iterator[Step]:
    """The bytes among `steps`, with pauses before and between them, up to the cut."""
    pieces = [step for step in steps if isinstance(step, bytes)]
    if cut is not None:
        pieces = _first(pieces, cut.after)
    if drip and len(pieces) == 1:
        pieces = [pieces[0][start : start + DRIP] for start in range(0, len(pieces[0]), DRIP)]
    if delay:
        yield delay
    for number, piece in enumerate(pieces):
        if drip and number:
            yield drip
        yield piece
    if cut is not None and cut.how != "clean":
        yield Cut(cut.how)


def _first(pieces: list[bytes], amount: Amount) -> list[bytes]:
    """The first so many bytes or chunks of a body."""
    if amount.unit == "chunks":
        return pieces[: amount.size]
    kept, left = [], amount.size
    for piece in pieces:
        if left <= 0:
            break
        kept.append(piece[:left])
        left -= len(piece)
    return kept
