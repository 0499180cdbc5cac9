"""The records of a session file: their shapes, and how one becomes a line.

A session is a journal in JSON Lines, UTF-8, one record a line, only ever appended to. Every record
has `kind` and `time` (RFC 3339, UTC; information only, order is the order of lines).

    session   first line    format, id, model, backend, config; project, location, origin when they apply
    request   before a call turn, id, content, model, backend; key, config, imported when they apply
    response  after it      request, answer, valid, attempts, elapsed_ms; imported
    failure   or instead    request, outcome, code, reason, message, attempts, partial
    tool      around a tool request, …
    rewind    by rewind     turns (taken out of the history)
    undo      by rewind     turns (the rewind that is taken back)
    format    by a newer program, before it writes what older ones cannot read

The functions below make each of them, so that the format has one home; `journal` folds them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gemcli.chat.contents import Content, group_turns
from gemcli.text import strict_json

Record = dict[str, Any]

FORMAT = 1
"""The newest format this program reads, and the one it writes."""

KINDS = frozenset({"session", "request", "response", "failure", "tool", "rewind", "undo", "format"})
"""Every kind of record there is in formats up to `FORMAT`."""

DEPTH = strict_json.MAX_DEPTH + 16
"""Nesting allowed in a line.

Whatever came in within `strictjson.MAX_DEPTH` must still load inside a record.
"""


def encode(record: Record) -> bytes:
    """The record as one line, newline included."""
    return strict_json.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """Read one line, with or without its newline. Raises `ValueError` when it is no record."""
    record = strict_json.loads(line, DEPTH)
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise ValueError("not a record: an object with `kind` is expected")
    return record


def now() -> str:
    """The time as records carry it: RFC 3339, UTC, milliseconds."""
    moment = time.time()
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03d}Z"
    )


def session(
    *,
    model: str,
    backend: str,
    config: Mapping[str, object],
    origin: dict[str, Any] | None,
    project: str | None = None,
    location: str | None = None,
) -> Record:
    """The first line of a new session; `config` is the REST body without contents."""
    header: Record = {
        "kind": "session",
        "time": now(),
        "format": FORMAT,
        "id": os.urandom(8).hex(),
        "model": model,
    }
    given = {
        "backend": backend,
        "project": project,
        "location": location,
        "config": config,
        "origin": origin,
    }
    return header | {key: value for key, value in given.items() if value is not None}


def request(
    turn: int,
    exchange: str,
    content: Content,
    *,
    model: str,
    backend: str,
    config: Mapping[str, object] | None = None,
    key: str | None = None,
) -> Record:
    """A user Content about to be sent.

    `config` is what this call adds to the session's, `key` tells it from others.
    """
    record: Record = {
        "kind": "request",
        "time": now(),
        "turn": turn,
        "id": exchange,
        "content": content,
    }
    record |= {"model": model, "backend": backend} | ({"config": config} if config else {})
    return record | ({"key": key} if key is not None else {})


def response(
    exchange: str,
    answer: dict[str, Any],
    *,
    valid: bool,
    attempts: list[dict[str, Any]],
    elapsed_ms: int,
) -> Record:
    """The API's answer to request `exchange`, whole and as received."""
    record: Record = {
        "kind": "response",
        "time": now(),
        "request": exchange,
        "valid": valid,
        "answer": answer,
    }
    return record | {"attempts": attempts, "elapsed_ms": elapsed_ms}


def failure(
    exchange: str,
    *,
    outcome: str,
    code: str,
    reason: str,
    message: str,
    attempts: list[dict[str, Any]],
    partial: Any = None,
) -> Record:
    """The end of request `exchange` without an answer. `outcome` is `rejected` or `unknown`."""
    record: Record = {
        "kind": "failure",
        "time": now(),
        "request": exchange,
        "outcome": outcome,
        "code": code,
    }
    record |= {"reason": reason, "message": message, "attempts": attempts}
    return record | ({"partial": partial} if partial is not None else {})


def rewind(turns: Sequence[int]) -> Record:
    """The turns that leave the history, oldest first."""
    return {"kind": "rewind", "time": now(), "turns": list(turns)}


def undo(turns: Sequence[int]) -> Record:
    """The turns that come back into the history, oldest first."""
    return {"kind": "undo", "time": now(), "turns": list(turns)}


def imported(contents: Sequence[Content], *, model: str, backend: str) -> list[Record]:
    """A history from outside as request/response records, numbered from turn 1.

    The history must have passed `turns.check_import` and end with a model Content.
    """
    records: list[Record] = []
    for number, turn in enumerate(group_turns(contents), 1):
        for exchange, (question, answer) in enumerate(zip(turn[::2], turn[1::2], strict=True), 1):
            name = f"{number}.{exchange}"
            asked = request(number, name, question, model=model, backend=backend)
            told = response(
                name, {"candidates": [{"content": answer}]}, valid=True, attempts=[], elapsed_ms=0
            )
            records += [asked | {"imported": True}, told | {"imported": True}]
    return records
