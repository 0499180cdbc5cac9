"""The records of a session file: their types, and how each is made.

A session is a journal in JSON Lines, UTF-8, one record a line, only ever appended to. Every record
has `kind` and `time` (RFC 3339, UTC; information only). Unknown keys are kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from gemcli.chat.answers import Answer
from gemcli.chat.contents import Content, FunctionCall, group_turns

if TYPE_CHECKING:
    from gemcli.settings.config import Config

FORMAT = 1
"""The newest format that this program reads, and the one it writes."""


class SessionRecord(TypedDict):
    """The first line of a session."""

    kind: Literal["session"]
    time: str
    format: int
    id: str
    model: str
    backend: str
    project: NotRequired[str]
    location: NotRequired[str]
    config: Config
    origin: NotRequired[dict[str, object]]


class RequestRecord(TypedDict):
    """A user Content that is about to be sent; `config` is what this call adds to the session's."""

    kind: Literal["request"]
    time: str
    turn: int
    id: str
    content: Content
    model: str
    backend: str
    config: NotRequired[Config]
    key: NotRequired[str]
    imported: NotRequired[bool]


class AttemptRecord(TypedDict):
    """One HTTP request of an exchange: its `reason` if it failed, and the wait before the next."""

    http: int | None
    elapsed_ms: int
    reason: NotRequired[str]
    wait_s: NotRequired[float]


class ContinueRecord(TypedDict):
    """The next hop of a long answer, about to be asked for, from the token that the last one left.

    `config` is what this hop adds to the session's, if that is not what the request added.
    """

    kind: Literal["continue"]
    time: str
    request: str
    hop: int
    token: str
    config: NotRequired[Config]
    imported: NotRequired[bool]


class ResponseRecord(TypedDict):
    """The API's answer to a request, or to one hop of it, whole and as received.

    `valid` says whether the history takes it, and with it the hops before it.
    """

    kind: Literal["response"]
    time: str
    request: str
    valid: bool
    answer: Answer
    attempts: list[AttemptRecord]
    elapsed_ms: int
    imported: NotRequired[bool]


class FailureRecord(TypedDict):
    """The end of a request without an answer; `outcome` is `rejected` or `unknown`."""

    kind: Literal["failure"]
    time: str
    request: str
    outcome: str
    code: str
    reason: str
    message: str
    attempts: list[AttemptRecord]
    partial: NotRequired[object]


class ToolRecord(TypedDict):
    """A tool that is run for the model: written when it starts, and when it has ended.

    `request` is the exchange whose answer has the `call`, `place` the call's among that answer's.
    """

    kind: Literal["tool"]
    time: str
    request: str
    place: int
    call: FunctionCall
    state: Literal["started", "ended"]
    response: NotRequired[dict[str, Any]]
    parts: NotRequired[list[Any]]
    elapsed_ms: NotRequired[int]


class RewindRecord(TypedDict):
    """The turns that leave the history, or with `undo` come back into it, oldest first."""

    kind: Literal["rewind", "undo"]
    time: str
    turns: list[int]


class FormatRecord(TypedDict):
    """By a newer program, before it writes what older ones cannot read."""

    kind: Literal["format"]
    time: str
    format: int


Record = (
    SessionRecord
    | RequestRecord
    | ContinueRecord
    | ResponseRecord
    | FailureRecord
    | ToolRecord
    | RewindRecord
    | FormatRecord
)


def now() -> str:
    """The time as records carry it: RFC 3339, UTC, milliseconds."""
    moment = time.time()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{seconds}.{int(moment % 1 * 1000):03d}Z"


def session(
    *,
    model: str,
    backend: str,
    config: Config,
    origin: dict[str, object] | None,
    project: str | None = None,
    location: str | None = None,
) -> SessionRecord:
    """The first line of a new session; `config` is the REST body without contents."""
    record: SessionRecord = {
        "kind": "session",
        "time": now(),
        "format": FORMAT,
        "id": os.urandom(8).hex(),
        "model": model,
        "backend": backend,
        "config": config,
    }
    if project is not None:
        record["project"] = project
    if location is not None:
        record["location"] = location
    if origin is not None:
        record["origin"] = origin
    return record


def request(
    turn: int,
    exchange: str,
    content: Content,
    *,
    model: str,
    backend: str,
    config: Config | None = None,
    key: str | None = None,
) -> RequestRecord:
    """A user Content about to be sent; `key` is what it is recognised by later."""
    record: RequestRecord = {
        "kind": "request",
        "time": now(),
        "turn": turn,
        "id": exchange,
        "content": content,
        "model": model,
        "backend": backend,
    }
    if config:
        record["config"] = config
    if key is not None:
        record["key"] = key
    return record


def continuation(
    exchange: str, hop: int, token: str, *, config: Config | None = None
) -> ContinueRecord:
    """The next hop of the answer to request `exchange`, about to be asked for."""
    record: ContinueRecord = {
        "kind": "continue",
        "time": now(),
        "request": exchange,
        "hop": hop,
        "token": token,
    }
    if config is not None:
        record["config"] = config
    return record


def response(
    exchange: str, answer: Answer, *, valid: bool, attempts: list[AttemptRecord], elapsed_ms: int
) -> ResponseRecord:
    """The API's answer to request `exchange`, or the next hop of it, whole and as received."""
    return {
        "kind": "response",
        "time": now(),
        "request": exchange,
        "valid": valid,
        "answer": answer,
        "attempts": attempts,
        "elapsed_ms": elapsed_ms,
    }


def failure(
    exchange: str,
    *,
    outcome: str,
    code: str,
    reason: str,
    message: str,
    attempts: list[AttemptRecord],
    partial: object = None,
) -> FailureRecord:
    """The end of request `exchange` without an answer; `partial` is what arrived of one."""
    record: FailureRecord = {
        "kind": "failure",
        "time": now(),
        "request": exchange,
        "outcome": outcome,
        "code": code,
        "reason": reason,
        "message": message,
        "attempts": attempts,
    }
    if partial is not None:
        record["partial"] = partial
    return record


def tool_started(exchange: str, place: int, call: FunctionCall) -> ToolRecord:
    """A tool is about to run for a call of the answer to request `exchange`."""
    return {
        "kind": "tool",
        "time": now(),
        "request": exchange,
        "place": place,
        "call": call,
        "state": "started",
    }


def tool_ended(
    exchange: str,
    place: int,
    call: FunctionCall,
    *,
    response: dict[str, Any],
    parts: list[Any] | None = None,
    elapsed_ms: int,
) -> ToolRecord:
    """A tool has run: `response` and `parts` are what the functionResponse will hold."""
    record = tool_started(exchange, place, call)
    record["state"] = "ended"
    record["response"] = response
    if parts:
        record["parts"] = parts
    record["elapsed_ms"] = elapsed_ms
    return record


def rewind(turns: Sequence[int]) -> RewindRecord:
    """The turns that leave the history, oldest first."""
    return {"kind": "rewind", "time": now(), "turns": list(turns)}


def undo(turns: Sequence[int]) -> RewindRecord:
    """The turns that come back into the history, oldest first."""
    return {"kind": "undo", "time": now(), "turns": list(turns)}


def imported(
    contents: Sequence[Content], *, model: str, backend: str, answered_by: str | None = None
) -> list[Record]:
    """A valid history from outside as request and response records, numbered from turn 1.

    `answered_by` is the model that gave the answers, and signed its thoughts, if that is known.
    """
    records: list[Record] = []
    for number, turn in enumerate(group_turns(contents), 1):
        exchanges = zip(turn[::2], turn[1::2], strict=True)
        for place, (question, content) in enumerate(exchanges, 1):
            exchange = f"{number}.{place}"
            name = answered_by or model
            asked = request(number, exchange, question, model=name, backend=backend)
            answer: Answer = {"candidates": [{"content": content}]}
            if answered_by:
                answer["modelVersion"] = answered_by
            answered = response(exchange, answer, valid=True, attempts=[], elapsed_ms=0)
            asked["imported"] = answered["imported"] = True
            records += [asked, answered]
    return records
