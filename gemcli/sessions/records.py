"""New records, made now: one function for each kind."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gemcli.chat.answers import Answer
from gemcli.chat.contents import Content, FunctionCall
from gemcli.sessions.record_types import (
    FORMAT,
    AttemptRecord,
    ContinueRecord,
    FailureRecord,
    RequestRecord,
    ResponseRecord,
    RewindRecord,
    SessionRecord,
    ToolRecord,
)

if TYPE_CHECKING:
    from gemcli.settings.config import Config


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
