"""Everything that gemcli reads: the message, and the files that options name.

All of it is read before a session is locked. Text is read to its end and never changed; bytes that
are not UTF-8 are an error that names the byte.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from gemcli.errors import GemcliError
from gemcli.signals import TimeUp, time_limit
from gemcli.text import encodings

SILENCE = 5.0
"""Seconds without input from a pipe before a note says what gemcli waits for."""

LARGE = 20_000_000
"""Characters of a message that get a warning: the API refuses requests of about this size."""

LARGEST_FILE = 1 << 29
"""The largest file or input, in bytes: a device, or `yes`, would never end."""


@contextmanager
def within(seconds: float, what: str, hint: str = "raise --deadline") -> Iterator[None]:
    """Limit the time that the block takes to read `what`: a pipe may never end. Raises TIMEOUT."""
    try:
        with time_limit(seconds):
            yield
    except TimeUp:
        text = f"{what} did not end before the deadline"
        raise GemcliError("TIMEOUT", text, outcome="rejected", hint=hint) from None


def message(
    given: str | None, *, leave_stdin: bool, notice: Callable[[str], None], stdin: int = 0
) -> str:
    """The user's message: the argument, standard input, or both with a blank line between them.

    `-` means standard input alone. Otherwise a terminal, `/dev/null` and a file that was already
    read from are not read. The message may be empty. Raises `GemcliError` (BAD_TEXT).
    """
    only_stdin = given == "-"
    typed = "" if given is None or only_stdin else argument(given, "the message")
    piped = "" if leave_stdin and not only_stdin else _from_stdin(stdin, only_stdin, notice)
    text = f"{typed}\n\n{piped}" if typed and piped.strip() else typed or piped
    if len(text) > LARGE:
        notice(f"this message has {len(text):,} characters; the API may refuse it")
    return text


def is_device(fd: int = 0) -> bool:
    """Whether this is a terminal or `/dev/null`, so that nobody meant it to be the message."""
    try:
        return stat.S_ISCHR(os.fstat(fd).st_mode)
    except OSError:
        return True


def file_text(path: str, notice: Callable[[str], None] | None = None) -> str:
    """The text of a file. Notes as `data` does, and raises `GemcliError` (BAD_TEXT) as well."""
    return as_text(_file_bytes(path, notice), path)


def document(path: str, notice: Callable[[str], None] | None = None, *, stdin: int = 0) -> str:
    """The text of a file, or of standard input for `-`. Notes and raises as `file_text` does."""
    return as_text(data(path, notice, stdin=stdin), "standard input" if path == "-" else path)


def data(path: str, notice: Callable[[str], None] | None = None, *, stdin: int = 0) -> bytes:
    """The bytes of a file, or of standard input for `-`.

    A note to `notice` says what gemcli waits for if it is a pipe that stays open. Raises
    `GemcliError` (FILE_MISSING, IO, TOO_LARGE).
    """
    if path != "-":
        return _file_bytes(path, notice)
    with _noted_if_slow("standard input", notice):
        return _read_all(stdin)


def _file_bytes(path: str, notice: Callable[[str], None] | None) -> bytes:
    try:
        with _noted_if_slow(path, notice), open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise GemcliError("FILE_MISSING", f"there is no file {path}") from None
    except OSError as error:
        raise GemcliError("IO", f"cannot read {path}: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise GemcliError("TOO_LARGE", f"{path} is larger than {LARGEST_FILE:,} bytes")
    return content


def only_one(readers: Mapping[str, bool]) -> str | None:
    """The one of these that reads standard input, None if none does.

    Raises `GemcliError` (USAGE) if several would: the first would leave nothing to the others.
    """
    found = [name for name, reads in readers.items() if reads]
    if len(found) > 1:
        what = f"{found[0]} and {found[1]} would both read standard input"
        raise GemcliError("USAGE", what, hint="name a file for one of them")
    return found[0] if found else None


def argument(text: str, name: str) -> str:
    """Text from the command line; `name` is its name in messages. Raises BAD_TEXT."""
    # Python represents bytes that are not UTF-8 as unpaired surrogates.
    return as_text(text.encode("utf-8", "surrogateescape"), name)


def as_text(data: bytes, name: str) -> str:
    """`data` as text. Raises `GemcliError` (BAD_TEXT) with what it is, or its first bad byte."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = f"byte {error.start + 1} (0x{data[error.start]:02x}) is not UTF-8"
        raise _bad_text(data, name, fault, error.reason) from None
    if (place := text.find("\0")) >= 0:
        raise _bad_text(data, name, f"byte {len(text[:place].encode()) + 1} is NUL")
    return text


def _bad_text(data: bytes, name: str, fault: str, reason: str = "") -> GemcliError:
    """The error for bytes that are not text in UTF-8, which says what they are if that is known."""
    what, hint = encodings.guess(data)
    if what is not None:
        fault += f": this is {what}"
    elif reason == "unexpected end of data":
        hint = "the text ends in the middle of a character; was it cut off?"
    return GemcliError("BAD_TEXT", f"{name}: {fault}", hint=hint)


@contextmanager
def _noted_if_slow(name: str, notice: Callable[[str], None] | None) -> Iterator[None]:
    """Say what gemcli waits for if the block, which reads `name`, takes longer than a file does."""
    if notice is None or os.path.isfile(name):
        yield
        return
    note = threading.Timer(SILENCE, notice, [f"waiting for the end of {name}"])
    note.daemon = True
    with suppress(RuntimeError):  # there can be no more threads
        note.start()
    try:
        yield
    finally:
        note.cancel()


def _from_stdin(fd: int, required: bool, notice: Callable[[str], None]) -> str:
    try:
        mode = os.fstat(fd)
    except OSError:
        return ""
    if not required and not _is_input(fd, mode, notice):
        return ""
    if not stat.S_ISREG(mode.st_mode) and not select.select([fd], [], [], SILENCE)[0]:
        notice("waiting for the end of standard input; use -n to leave it alone")
    return as_text(_read_all(fd), "standard input")


def _read_all(fd: int) -> bytes:
    """The bytes from a descriptor, to its end. Raises `GemcliError` (IO, TOO_LARGE)."""
    content = bytearray()
    try:
        while chunk := _read(fd):
            content += chunk
            if len(content) > LARGEST_FILE:
                what = f"standard input is longer than {LARGEST_FILE:,} bytes"
                raise GemcliError("TOO_LARGE", what)
    except OSError as error:
        raise GemcliError("IO", f"cannot read standard input: {error.strerror}") from error
    return bytes(content)


def _read(fd: int) -> bytes:
    """The next bytes from a descriptor, none at its end. Raises `OSError`."""
    while True:
        try:
            return os.read(fd, 1 << 20)
        except BlockingIOError:  # O_NONBLOCK is set on the pipe itself, perhaps by another process
            select.select([fd], [], [])


def _is_input(fd: int, status: os.stat_result, notice: Callable[[str], None]) -> bool:
    """Whether stdin is meant for gemcli: a pipe, a socket, or a file at its start."""
    if stat.S_ISREG(status.st_mode):
        already_read = os.lseek(fd, 0, os.SEEK_CUR) != 0 and status.st_size > 0
        if already_read:
            what = "standard input is a file that was already read from, so it is left alone"
            notice(f"{what}; use -n to silence this note")
        return not already_read
    return stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)
