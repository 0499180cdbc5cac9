"""The records of a session file: their types, how one is made, and how one becomes a line and back.

A session is a journal in JSON Lines, UTF-8, one record a line, only ever appended to. Every record
has `kind` and `time` (RFC 3339, UTC; information only). Unknown keys are kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

from gemcli.chat import turn_order
from gemcli.chat.answers import Answer, invalid_response
from gemcli.chat.contents import Content, group_turns
from gemcli.errors import ReasonName
from gemcli.text import strict_json

if TYPE_CHECKING:
    from gemcli.settings.config import Config

FORMAT = 1
"""The newest format that this program reads, and the one it writes."""

DEPTH = strict_json.MAX_DEPTH + 16
"""Nesting allowed in a line: whatever came in within `MAX_DEPTH` must load inside a record too."""


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


class ResponseRecord(TypedDict):
    """The API's answer to a request, whole and as received."""

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
    """A tool that was run for the model."""

    kind: Literal["tool"]
    time: str
    request: str


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
    | ResponseRecord
    | FailureRecord
    | ToolRecord
    | RewindRecord
    | FormatRecord
)

# fmt: off
FIELDS: dict[str, dict[str, type | UnionType]] = {
    "session":  {"format": int, "id": str, "model": str, "backend": str, "config": dict,
                 "project": str | None, "location": str | None, "origin": dict | None},
    "request":  {"turn": int, "id": str, "content": dict, "model": str, "backend": str,
                 "config": dict | None},
    "response": {"request": str, "answer": dict, "valid": bool,
                 "attempts": list | None, "elapsed_ms": int | None},
    "failure":  {"request": str, "outcome": str, "attempts": list | None},
    "tool":     {"request": str},
    "rewind":   {"turns": list},
    "undo":     {"turns": list},
    "format":   {"format": int},
}
# fmt: on
"""The fields that are checked when a record is read; those with `None` are optional."""


# Reading and writing


class RecordError(ValueError):
    """A record that does not fit; `reason` is the reason of the error that the user gets."""

    def __init__(self, message: str, reason: ReasonName = "CORRUPT") -> None:
        super().__init__(message)
        self.reason = reason


def encode(record: Mapping[str, object]) -> bytes:
    """The record as one line, newline included."""
    return strict_json.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """Read and check one line. Raises `RecordError`, or `ValueError` if it is not a record."""
    return check(parse(line))


def parse(line: bytes) -> dict[str, Any]:
    """Read one line, with or without its newline. Raises `ValueError` if it is not a record."""
    record = strict_json.loads(line, DEPTH)
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise ValueError("not a record: an object with `kind` is expected")
    return record


def check(record: dict[str, Any]) -> Record:
    """Check the fields of a record. Raises `RecordError` naming the first that is invalid."""
    kind = record["kind"]
    if kind not in FIELDS:
        raise RecordError(f"records of kind {kind!r} are unknown to this version", "NEWER_FORMAT")
    if "format" in FIELDS[kind]:
        # Before anything else is checked: a newer format may have other fields.
        _require_known_format(record.get("format"))
    for name, expected in FIELDS[kind].items():
        value = record.get(name)
        fits = type(value) is expected
        # To Python a boolean is an integer.
        if not fits and (type(value) is bool or not isinstance(value, expected)):
            raise RecordError(f"a {kind} record with a missing or invalid `{name}`")
        fault = FAULTS[name](value) if name in FAULTS and value is not None else None
        if fault:
            raise RecordError(f"a {kind} record with an invalid `{name}`: {fault}")
    return cast("Record", record)


def _require_known_format(number: object) -> None:
    if type(number) is int and number > FORMAT:
        what = f"format {number} is newer than {FORMAT}, which this version reads"
        raise RecordError(what, "NEWER_FORMAT")


def _invalid_config(config: dict[str, object]) -> str | None:
    if not isinstance(config.get("generationConfig", {}), dict):
        return "`generationConfig` is not an object"
    if "systemInstruction" in config:
        fault = turn_order.invalid_content(config["systemInstruction"])
        return f"`systemInstruction`{fault}" if fault else None
    return None


def _invalid_content(content: object) -> str | None:
    problem = next(turn_order.shape_problems(0, content), None)
    return problem.message if problem else None


def _invalid_attempts(attempts: list[object]) -> str | None:
    for attempt in attempts:
        if not isinstance(attempt, dict) or _invalid_number(attempt.get("elapsed_ms", 0)):
            return "not objects, each with its time"
    return None


def _invalid_number(number: object) -> str | None:
    # Nothing is calculated with a larger one.
    fits = type(number) is int and 0 <= number <= strict_json.MAX_EXACT
    return None if fits else "not a number that it can be"


def _invalid_turns(turns: list[object]) -> str | None:
    return None if all(type(number) is int for number in turns) else "not numbers"


FAULTS: dict[str, Callable[[Any], str | None]] = {
    "turn": _invalid_number,
    "elapsed_ms": _invalid_number,
    "config": _invalid_config,
    "content": _invalid_content,
    "answer": invalid_response,
    "attempts": _invalid_attempts,
    "turns": _invalid_turns,
}
"""What can be wrong with a field beyond its type."""


# Making


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


def response(
    exchange: str, answer: Answer, *, valid: bool, attempts: list[AttemptRecord], elapsed_ms: int
) -> ResponseRecord:
    """The API's answer to request `exchange`, whole and as received."""
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


def rewind(turns: Sequence[int]) -> RewindRecord:
    """The turns that leave the history, oldest first."""
    return {"kind": "rewind", "time": now(), "turns": list(turns)}


def undo(turns: Sequence[int]) -> RewindRecord:
    """The turns that come back into the history, oldest first."""
    return {"kind": "undo", "time": now(), "turns": list(turns)}


def imported(contents: Sequence[Content], *, model: str, backend: str) -> list[Record]:
    """A valid history from outside as request and response records, numbered from turn 1."""
    records: list[Record] = []
    for number, turn in enumerate(group_turns(contents), 1):
        exchanges = zip(turn[::2], turn[1::2], strict=True)
        for place, (question, content) in enumerate(exchanges, 1):
            exchange = f"{number}.{place}"
            asked = request(number, exchange, question, model=model, backend=backend)
            answer: Answer = {"candidates": [{"content": content}]}
            answered = response(exchange, answer, valid=True, attempts=[], elapsed_ms=0)
            asked["imported"] = answered["imported"] = True
            records += [asked, answered]
    return records
