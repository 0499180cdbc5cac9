"""A session file as bytes: its lines, its tail that a crash may have torn, and their journal."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from gemcli.errors import GemcliError, ReasonName, counted
from gemcli.sessions import record_lines
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_lines import RecordError


class Lines(NamedTuple):
    """The whole lines of a session file, which end at `end`, and what a crash left behind them.

    `newline` is whether the last whole line has its newline.
    """

    lines: list[bytes]
    end: int
    torn: bytes
    newline: bool


def scan(data: bytes) -> Lines:
    """Find the whole lines of a session file, and a torn one at its end.

    The last line is whole if it can be read as a record, with or without a newline. It is torn if
    it cannot, and has no newline or holds a NUL byte, as blocks that were never written do.
    """
    newline = data.endswith(b"\n")
    lines = data.split(b"\n")
    if newline:
        lines.pop()
    last = lines[-1] if lines else b""
    if len(lines) < 2 or (newline and b"\0" not in last) or _is_record(last):
        return Lines(lines, len(data), b"", newline)
    torn = last + b"\n" if newline else last
    end = len(data) - len(torn)
    whole = last.rstrip(b"\0")
    if _is_record(whole):
        # Of the last record only the newline was never written.
        return Lines([*lines[:-1], whole], end + len(whole), b"", False)
    return Lines(lines[:-1], end, torn, True)


def fold(lines: Lines, path: str) -> Journal:
    """The journal of a scanned file. Raises `GemcliError` that names the file, line and fault."""
    if not any(lines.lines):
        hint = f"a new session in its place: gemcli new --force -s {shlex.quote(path)}"
        raise GemcliError("CORRUPT", f"{path} is empty", hint=hint)
    journal = Journal([])
    for number, line in enumerate(lines.lines, 1):
        try:
            record = record_lines.parse(line)
            if number == 1 and record["kind"] != "session":
                raise ValueError("not a session record")
            journal.apply(record_lines.check(record))
        except ValueError as error:
            raise _bad_line(path, number, line, error) from None
    journal.torn_bytes = len(lines.torn)
    return journal


def torn_note(path: str, journal: Journal) -> str | None:
    """What a reader tells about a torn tail that it has left out, if there is one."""
    if not journal.torn_bytes:
        return None
    return (
        f"{path} ends in a record that a crash tore ({counted(journal.torn_bytes, 'byte')}); "
        "it is left out, and the next command that writes moves it to a file of its own"
    )


def _bad_line(path: str, number: int, line: bytes, error: ValueError) -> GemcliError:
    if number == 1 and not isinstance(error, RecordError):
        # Some other file, rather than a damaged session.
        what = f"{path} is not a session: line 1: {error}"
        return GemcliError("NOT_A_SESSION", what, hint=_hint_for_another_file(path, line))
    reason: ReasonName = error.reason if isinstance(error, RecordError) else "CORRUPT"
    hint = None
    if reason == "CORRUPT" and number > 1:
        whole = f"head -n {number - 1} {shlex.quote(path)} > whole.jsonl"
        hint = f"restore the line from a backup, or keep what is before it: {whole}"
    return GemcliError(reason, f"{path}: line {number}: {error}", hint=hint)


def _hint_for_another_file(path: str, first: bytes) -> str | None:
    if path.endswith((".yaml", ".yml", ".json")):
        return f"to send what is in a script: gemcli replay {shlex.quote(path)} -s NAME"
    if first.strip() == b"{":
        return f"a session has one record a line: jq -c . {shlex.quote(path)} > whole.jsonl"
    return None


def _is_record(line: bytes) -> bool:
    try:
        record_lines.parse(line)
    except ValueError:
        return False
    return True
