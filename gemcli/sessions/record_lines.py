"""Records as lines: how one is written, and what a line must be to be read as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, cast

from gemcli.chat import turn_order
from gemcli.chat.answers import invalid_response
from gemcli.errors import ReasonName
from gemcli.sessions.record_types import FORMAT, Record
from gemcli.text import strict_json

DEPTH = strict_json.MAX_DEPTH + 16
"""Nesting allowed in a line: whatever came in within `MAX_DEPTH` must load inside a record too."""

# fmt: off
FIELDS: dict[str, dict[str, type | UnionType]] = {
    "session":  {"format": int, "id": str, "model": str, "backend": str, "config": dict,
                 "project": str | None, "location": str | None, "origin": dict | None},
    "request":  {"turn": int, "id": str, "content": dict, "model": str, "backend": str,
                 "config": dict | None},
    "response": {"request": str, "answer": dict, "valid": bool,
                 "attempts": list | None, "elapsed_ms": int | None},
    "failure":  {"request": str, "outcome": str, "attempts": list | None},
    "continue": {"request": str, "hop": int, "token": str, "config": dict | None},
    "tool":     {"request": str, "place": int | None, "call": dict | None, "state": str | None,
                 "response": dict | None, "parts": list | None, "elapsed_ms": int | None},
    "rewind":   {"turns": list},
    "undo":     {"turns": list},
    "format":   {"format": int},
}
# fmt: on
"""The fields that are checked when a record is read; those with `None` are optional."""


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


def _invalid_config(config: dict[str, Any]) -> str | None:
    if not isinstance(config.get("generationConfig", {}), dict):
        return "`generationConfig` is not an object"
    if not _are_objects(tools := config.get("tools") or []):
        return "`tools` is not a list of objects"
    if not all(_are_objects(tool.get("functionDeclarations") or []) for tool in tools):
        return "`functionDeclarations` is not a list of objects"
    if not isinstance(tool_config := config.get("toolConfig") or {}, dict):
        return "`toolConfig` is not an object"
    if not isinstance(tool_config.get("functionCallingConfig") or {}, dict):
        return "`functionCallingConfig` is not an object"
    if "systemInstruction" in config:
        fault = turn_order.invalid_content(config["systemInstruction"])
        return f"`systemInstruction`{fault}" if fault else None
    return None


def _are_objects(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


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


def _invalid_state(state: str) -> str | None:
    return None if state in ("started", "ended") else "neither started nor ended"


def _invalid_turns(turns: list[object]) -> str | None:
    return None if all(type(number) is int for number in turns) else "not numbers"


FAULTS: dict[str, Callable[[Any], str | None]] = {
    "turn": _invalid_number,
    "hop": _invalid_number,
    "place": _invalid_number,
    "state": _invalid_state,
    "elapsed_ms": _invalid_number,
    "config": _invalid_config,
    "content": _invalid_content,
    "answer": invalid_response,
    "attempts": _invalid_attempts,
    "turns": _invalid_turns,
}
"""What can be wrong with a field beyond its type."""
