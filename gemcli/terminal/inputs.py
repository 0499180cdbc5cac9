"""What comes in: the message from arguments and stdin, and files that options name.

All of it before any lock.

Text is read to its end, unaltered and never cut; bytes that are not UTF-8 are an error that names
the byte.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gemcli.errors import GemcliError
from gemcli.signals import TimeUp, time_limit

SILENCE = 5.0
"""Seconds without a byte from a pipe after which a note says what gemcli waits for."""

LARGE = 20_000_000
"""Bytes from which on a message gets a warning.

Requests of about this size are refused by the API.
"""

LARGEST_FILE = 1 << 29
"""Bytes that are read of a file or a pipe at most: a device, or `yes`, would never end."""


@contextmanager
def within(seconds: float, what: str, hint: str | None = None) -> Iterator[None]:
    """Read in the block for so many seconds at most: whoever writes to a pipe may never end.

    Raises `GemcliError` (TIMEOUT) when they are over, which says that `what` did not end.
    """
    try:
        with time_limit(seconds):
            yield
    except TimeUp:
        told = f"{what} did not end before the deadline"
        raise GemcliError("TIMEOUT", told, outcome="rejected", hint=hint) from None


def message(
    given: str | None, *, leave_stdin: bool, notice: Callable[[str], None], stdin: int = 0
) -> str:
    """The user's message: the argument, standard input, or the one, a blank line and the other.

    A terminal, `/dev/null` and a file that somebody has already read from are not read; the
    argument `-` asks for stdin alone. The result may be empty. Raises `GemcliError` (BAD_TEXT) for
    text that is none.
    """
    explicit = given == "-"
    said = "" if given is None or explicit else argument(given, "the message")
    piped = "" if leave_stdin and not explicit else _from_stdin(stdin, explicit, notice)
    text = f"{said}\n\n{piped}" if said and piped.strip() else said or piped
    if len(text) > LARGE:
        notice(f"this message has {len(text):,} characters; the API may refuse it")
    return text


def file_text(path: str) -> str:
    """The text of a file that an option names.

    Raises `GemcliError`: FILE_MISSING, IO, TOO_LARGE or BAD_TEXT.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise GemcliError("FILE_MISSING", f"there is no file {path}") from None
    except OSError as error:
        raise GemcliError("IO", f"cannot read {path}: {error.strerror}") from error
    if len(data) > LARGEST_FILE:
        raise GemcliError("TOO_LARGE", f"{path} is larger than {LARGEST_FILE:,} bytes")
    return as_text(data, path)


def document(path: str, stdin: int = 0) -> str:
    """The text of a file, or with `-` of standard input. Raises as `file_text` does."""
    if path != "-":
        return file_text(path)
    return _read_all(stdin)


def argument(text: str, name: str) -> str:
    """Text from the command line.

    Raises `GemcliError` (BAD_TEXT) for what is none; `name` says what it was for.
    """
    # Python hands on bytes that are not UTF-8 as lone surrogates.
    return as_text(text.encode("utf-8", "surrogateescape"), name)


def as_text(data: bytes, name: str) -> str:
    """`data` as text. Raises `GemcliError` (BAD_TEXT) naming the first byte that is none.

    Not UTF-8, or NUL.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GemcliError(
            "BAD_TEXT",
            f"{name}: byte {error.start + 1} (0x{data[error.start]:02x}) is not UTF-8",
            hint="convert it first, for example with: iconv -f latin1 -t utf-8",
        ) from None
    if (place := text.find("\0")) >= 0:
        where = len(text[:place].encode()) + 1
        raise GemcliError("BAD_TEXT", f"{name}: byte {where} is NUL: this is not text")
    return text


def _from_stdin(fd: int, explicit: bool, notice: Callable[[str], None]) -> str:
    try:
        mode = os.fstat(fd)
    except OSError:
        return ""
    if not explicit and not _is_input(fd, mode, notice):
        return ""
    if not stat.S_ISREG(mode.st_mode) and not select.select([fd], [], [], SILENCE)[0]:
        notice("waiting for the end of standard input (-n leaves it alone)")
    return _read_all(fd)


def _read_all(fd: int) -> str:
    """The text that comes on a descriptor until its end.

    Raises `GemcliError`: IO, BAD_TEXT, or TOO_LARGE.
    """
    chunks, size = [], 0
    try:
        while chunk := _read(fd):
            chunks.append(chunk)
            if (size := size + len(chunk)) > LARGEST_FILE:
                raise GemcliError(
                    "TOO_LARGE", f"standard input is longer than {LARGEST_FILE:,} bytes"
                )
    except OSError as error:
        raise GemcliError("IO", f"cannot read standard input: {error.strerror}") from error
    return as_text(b"".join(chunks), "standard input")


def _read(fd: int) -> bytes:
    """What comes next on a descriptor, nothing at its end. Raises `OSError`."""
    while True:
        try:
            return os.read(fd, 1 << 20)
        except BlockingIOError:  # O_NONBLOCK belongs to the pipe: whoever shares it may have set it
            select.select([fd], [], [])


def _is_input(fd: int, status: os.stat_result, notice: Callable[[str], None]) -> bool:
    """Whether stdin was meant for gemcli: a pipe, a socket, or a file from its start."""
    if stat.S_ISREG(status.st_mode):
        if os.lseek(fd, 0, os.SEEK_CUR) != 0 and status.st_size > 0:
            notice(
                "standard input is a file that was already read from, so it is left alone (-n says so)"
            )
            return False
        return True
    return stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)
