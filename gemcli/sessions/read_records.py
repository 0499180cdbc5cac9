"""A session file as bytes.

Its lines, the tail that a crash may have torn, and the journal they fold into.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from gemcli.errors import GemcliError, ReasonName
from gemcli.sessions import records
from gemcli.sessions.journal import Journal, JournalError


class Lines(NamedTuple):
    """A session file taken apart: its whole lines, where they end, and what stands after them.

    `end` counts bytes up to where the next record belongs, `torn` is what a crash left there, and
    `newline` tells whether the last whole line has its newline.
    """

    lines: list[bytes]
    end: int
    torn: bytes
    newline: bool


def scan(data: bytes) -> Lines:
    """Find the whole lines of a session file, and the torn one that a crash may have left at its end.

    The last line is whole if it reads as a record, with or without a newline. It is torn if it does
    not, and has no newline or holds a NUL byte, as blocks that were never written do.
    """
    newline = data.endswith(b"\n")
    lines = data.split(b"\n")
    if newline:
        lines.pop()
    last = lines[-1] if lines else b""
    if len(lines) < 2 or (newline and b"\0" not in last) or _is_record(last):
        return Lines(lines, len(data), b"", newline)
    whole = last.rstrip(b"\0")
    if _is_record(whole):
        # Of the last record only the newline was never written.
        return Lines([*lines[:-1], whole], len(data) - newline - len(last) + len(whole), b"", False)
    torn = last + (b"\n" if newline else b"")
    return Lines(lines[:-1], len(data) - len(torn), torn, True)


def fold(lines: Lines, path: str) -> Journal:
    """The journal of a scanned file.

    Raises `GemcliError` naming the file, the line and what is wrong with it.
    """
    if not any(lines.lines):
        anew = f"a new session in its place: gemcli new --force -s {shlex.quote(path)}"
        raise GemcliError("CORRUPT", f"{path} is empty", hint=anew)
    journal = Journal([])
    for number, line in enumerate(lines.lines, 1):
        try:
            journal.apply(records.decode(line))
        except JournalError as error:
            hint = _repair(path, number) if error.reason == "CORRUPT" else None
            raise GemcliError(error.reason, f"{path}: line {number}: {error}", hint=hint) from None
        except ValueError as error:
            # A first line that is no record at all: some other file, rather than a damaged session.
            reason: ReasonName = "CORRUPT" if number > 1 else "NOT_A_SESSION"
            raise GemcliError(
                reason, f"{path}: line {number}: {error}", hint=_repair(path, number)
            ) from None
    return journal


def _repair(path: str, number: int) -> str | None:
    """What to do about a bad line, if anything before it is worth keeping."""
    if number == 1:
        return None
    whole = f"head -n {number - 1} {shlex.quote(path)} > whole.jsonl"
    return f"restore the line from a backup, or keep what is before it: {whole}"


def _is_record(line: bytes) -> bool:
    try:
        records.decode(line)
    except ValueError:
        return False
    return True
