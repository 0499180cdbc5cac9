"""Everything that gemcli prints: answers on stdout, everything else on stderr.

Nothing else writes to either.

Bytes go straight to the descriptors in UTF-8, whatever the locale, and at once: there is no buffer
that could fail later, when nobody looks. What a model or a file says is data: on a terminal its
control characters are made visible, in JSON they are escaped.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable, Iterable
from typing import Any

from gemcli.errors import GemcliError
from gemcli.text import strict_json

STDOUT, STDERR = 1, 2

LONGEST = 2_000
"""Characters of a message or a hint on stderr at most.

A server may send a whole page as its message.
"""

PATIENCE, LAST_PATIENCE = 1.0, 5.0
"""Seconds that a note, and an error, wait at most for a reader of stderr."""

# C0 (but tab and newline), DEL, C1, and what reorders or breaks lines: bidirectional marks, U+2028,
# U+2029.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CONTROL_IN_JSON = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Output:
    """The two streams. With `errors_json` every line on stderr is one JSON object."""

    def __init__(self, *, errors_json: bool = False) -> None:
        self.errors_json = errors_json
        self._patience = PATIENCE

    # stdout: what was asked for

    def json(self, value: Any) -> None:
        """Print one JSON document on one line.

        Raises `GemcliError` (NOT_PRINTED) or `BrokenPipeError`.
        """
        _write(STDOUT, as_json(value) + "\n")

    def jsonl(self, values: Iterable[Any]) -> None:
        """Print one JSON document a line, as `json` does."""
        for value in values:
            self.json(value)

    def text(self, text: str) -> None:
        """Print text, ended by a newline unless it is empty. Byte for byte but on a terminal."""
        if text:
            end = "" if text.endswith("\n") else "\n"
            _write(
                STDOUT,
                (visible(text) if _is_terminal(STDOUT) else _SURROGATE.sub("\ufffd", text)) + end,
            )

    # stderr: what a person or a log should know

    def notice(self, message: str) -> None:
        """Say one thing that is no error."""
        if self.errors_json:
            self._stderr(as_json({"level": "note", "message": _cut(message)}))
        else:
            self._stderr(f"gemcli: note: {_one_line(_cut(message))}")

    def error(self, error: GemcliError, hint: str | None = None) -> None:
        """Say what went wrong, every problem of it, and what to do next.

        `hint` is added to the error's own.
        """
        message, hints = _cut(error.message), [_cut(text) for text in (error.hint, hint) if text]
        if self.errors_json:
            facts = error.to_json() | {"message": message, "hint": "; ".join(hints) or None}
            self._stderr(as_json({"level": "error"} | facts), LAST_PATIENCE)
            return
        lines = [f"gemcli: error: {_one_line(message)}"]
        lines += [f"  {_one_line(problem.describe())}" for problem in error.problems]
        lines += [f"hint: {_one_line(text)}" for text in hints]
        self._stderr("\n".join(lines), LAST_PATIENCE)

    def progress(self, line: str) -> None:
        """Say how things go, if somebody watches: on a terminal."""
        if not self.errors_json and _is_terminal(STDERR):
            self._stderr(_one_line(line))

    def debug(self, trace: str) -> None:
        """Print a traceback, line by line."""
        if self.errors_json:
            self._stderr(as_json({"level": "debug", "message": trace}))
        else:
            self._stderr(visible(trace.rstrip("\n")))

    def _stderr(self, text: str, seconds: float | None = None) -> None:
        """Print one message. What nobody reads in `seconds` is dropped, and after that the next note does not wait."""
        data = (text + "\n").encode("utf-8", "backslashreplace")
        try:
            if _is_terminal(STDERR):  # somebody who stopped it with Ctrl-S reads on later
                _write_all(STDERR, data)
            else:
                patience = self._patience if seconds is None else seconds
                self._patience = PATIENCE if _write_within(patience, STDERR, data) else 0.0
        except OSError:  # there is nobody left to tell
            return


class Stream:
    """Standard output while an answer is still coming in.

    It never holds up the recording of the answer.

    What the reader does not take at once waits, to be printed with what comes next, or by `flush`.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._waiting = bytearray()
        self._lost: OSError | None = None

    def json(self, value: Any) -> None:
        """Print one event on one line, as far as the reader takes it now."""
        self._send(as_json(value) + "\n")

    def text(self, text: str) -> None:
        """Print a piece of text, as far as the reader takes it now; no newline is added."""
        self._send(visible(text) if _is_terminal(STDOUT) else _SURROGATE.sub("\ufffd", text))

    @property
    def broken(self) -> bool:
        """Whether nothing can be printed any more, which `flush` will say."""
        return self._lost is not None

    def flush(self) -> None:
        """Print what still waits, unless `stop` says that time is up.

        Raises what kept the stream from being printed: `BrokenPipeError`, or `GemcliError`
        (NOT_PRINTED).
        """
        while self._waiting and not self._lost:
            self._write(0.2)
            if self._waiting and not self._lost and self._stop():
                raise GemcliError("NOT_PRINTED", "nobody read the output in time")
        if isinstance(self._lost, BrokenPipeError):
            raise self._lost
        if self._lost:
            raise _not_printed(self._lost)

    def _send(self, text: str) -> None:
        if not self._lost:
            self._waiting += text.encode("utf-8")
            self._write(0)

    def _write(self, seconds: float) -> None:
        """Write what can be written now; wait at most `seconds` for the reader."""
        try:
            while self._waiting and select.select([], [STDOUT], [], seconds)[1]:
                # As much as a pipe takes for sure once it is ready: more could block.
                del self._waiting[: os.write(STDOUT, self._waiting[: select.PIPE_BUF])]
        except BlockingIOError:  # somebody else has filled the pipe since
            return
        except OSError as error:
            self._lost = error
            self._waiting.clear()


def as_json(value: Any) -> str:
    """Compact JSON on one line that is safe on a terminal and in UTF-8, whatever its strings hold."""
    return _CONTROL_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", strict_json.dumps(value))


def visible(text: str) -> str:
    """The text with its control characters shown as escapes; tabs and newlines stay."""
    return _CONTROL.sub(
        lambda match: (
            f"\\x{ord(match[0]):02x}" if ord(match[0]) < 256 else f"\\u{ord(match[0]):04x}"
        ),
        text,
    )


def _cut(message: str) -> str:
    """The message, or so much of it that a person may read, with an ellipsis."""
    return message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"


def _one_line(text: str) -> str:
    return visible(text.replace("\n", "\\n").replace("\t", " "))


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _write(fd: int, text: str) -> None:
    try:
        _write_all(fd, text.encode("utf-8"))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_printed(error) from error


def _not_printed(error: OSError) -> GemcliError:
    return GemcliError("NOT_PRINTED", f"cannot write to standard output: {error.strerror}")


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it, however long the reader takes. Raises `OSError`."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # O_NONBLOCK belongs to the pipe: whoever shares it may have set it
            select.select([], [fd], [])


def _write_within(seconds: float, fd: int, data: bytes) -> bool:
    """Write what the reader takes in so many seconds; whether that was all. Raises `OSError`."""
    view, until = memoryview(data), time.monotonic() + seconds
    while view and select.select([], [fd], [], max(0.0, until - time.monotonic()))[1]:
        try:
            # As much as a pipe takes for sure once it is ready: more could block.
            view = view[os.write(fd, view[: select.PIPE_BUF]) :]
        except BlockingIOError:  # somebody else has filled the pipe since
            if time.monotonic() >= until:
                break
    return not view
