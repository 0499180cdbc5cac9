"""Repair of a torn tail: what a crash left after the last whole record of a session."""

from __future__ import annotations

from collections.abc import Callable

from gemcli.sessions.file_operations import io_error, write_all, write_numbered
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.read_records import Lines


def repair_tail(
    fs: FileSystem, fd: int, path: str, lines: Lines, notice: Callable[[str], None]
) -> int:
    """Make a locked session end after a whole record, keep the rest, and return its new size."""
    try:
        if lines.torn:
            kept = write_numbered(fs, path, "torn", lines.torn)
            fs.truncate(fd, lines.end)
            fs.sync(fd)
            notice(f"the last record of {path} was torn by a crash; what was there is in {kept}")
        elif not lines.newline:
            fs.truncate(fd, lines.end)
            write_all(fs, fd, b"\n")
            fs.sync(fd)
    except OSError as error:
        raise io_error(error, f"cannot repair {path}") from error
    return lines.end + (0 if lines.newline else 1)
