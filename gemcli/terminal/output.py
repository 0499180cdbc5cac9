"""Everything that gemcli prints: results on stdout, everything else on stderr.

Nothing else writes to either. Bytes go straight to the descriptor, in UTF-8 whatever the locale: no
buffer is left whose writing could fail later. Text of a model or a file is data: on a terminal its
control characters are shown as escapes, in JSON they are escaped.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable

from gemcli.errors import SHOWN_PROBLEMS, GemcliError, counted
from gemcli.terminal.escapes import as_json, encodable, one_line, visible
from gemcli.terminal.screen import Line, rendered

STDOUT, STDERR = 1, 2

MAX_LENGTH = 2_000
"""The longest message or hint on stderr, in characters. A server may send a page as its message."""

NOTE_TIMEOUT, ERROR_TIMEOUT = 1.0, 5.0
"""Seconds to wait for the reader of stderr before a note, or an error, is dropped."""


class Output:
    """Standard output and standard error. With `errors_json` each line on stderr is an object.

    With `colours` a terminal is coloured.
    """

    def __init__(
        self, *, errors_json: bool = False, program: str = "gemcli", colours: bool = False
    ) -> None:
        self.errors_json = errors_json
        self.program = program
        self.colours = colours
        self._reader_is_slow = False

    # stdout: the results

    def json(self, value: object) -> None:
        """Print JSON on one line. Raises `GemcliError` (NOT_PRINTED) or `BrokenPipeError`."""
        _write_stdout(as_json(value) + "\n")

    def jsonl(self, values: Iterable[object]) -> None:
        """Print one JSON document per line, as `json` does."""
        for value in values:
            self.json(value)

    def text(self, text: str) -> None:
        """Print text, with a newline at its end unless it is empty. Raises as `json` does."""
        if text:
            end = "" if text.endswith("\n") else "\n"
            _write_stdout(_printable(text) + end)

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines for a person, coloured only on a terminal. Raises as `json` does."""
        colours = self.colours and self.on_terminal
        _write_stdout("".join(rendered(line, colours=colours) + "\n" for line in lines))

    @property
    def on_terminal(self) -> bool:
        """Whether results go to a terminal, so that a person reads them."""
        return _is_terminal(STDOUT)

    def is_read(self, *, as_text: bool, as_json: bool) -> bool:
        """Whether results are for a person, who has a terminal or says --text, and not --json."""
        return as_text or (self.on_terminal and not as_json)

    @property
    def columns(self) -> int:
        """The width for lines that a person reads: that of the terminal, and elsewhere 80."""
        try:
            return max(20, os.get_terminal_size(STDOUT).columns or 80)
        except OSError:
            return 80

    # stderr: what a person or a log should know

    def notice(self, message: str) -> None:
        """Print a note that is not an error."""
        self._tell("note", message)

    def warning(self, message: str) -> None:
        """Print what is accepted and is probably a mistake."""
        self._tell("warning", message)

    def _tell(self, level: str, message: str) -> None:
        message = _shortened(message)
        if self.errors_json:
            self._print_stderr(as_json({"level": level, "message": message}))
        else:
            self._print_stderr(f"{self.program}: {level}: {one_line(message)}")

    def error(self, error: GemcliError) -> None:
        """Print an error with all its problems and its hint."""
        message = _shortened(error.message)
        hint = _shortened(error.hint) if error.hint else None
        if self.errors_json:
            document = {"level": "error", **error.to_json(), "message": message, "hint": hint}
            self._print_stderr(as_json(document), ERROR_TIMEOUT)
            return
        lines = [f"{self.program}: error: {one_line(message)}"]
        shown = error.problems[:SHOWN_PROBLEMS]
        lines += [f"  {one_line(problem.describe())}" for problem in shown]
        if left := len(error.problems) - len(shown):
            lines.append(f"  … and {counted(left, 'more problem')}")
        if hint:
            lines.append(f"hint: {one_line(hint)}")
        self._print_stderr("\n".join(lines), ERROR_TIMEOUT)

    def log(self, line: str) -> None:
        """Print a line that somebody has asked for, as it is."""
        self._print_stderr(one_line(line))

    def progress(self, line: str) -> None:
        """Print a line of progress, if stderr is a terminal."""
        if not self.errors_json and _is_terminal(STDERR):
            self._print_stderr(one_line(line))

    def debug(self, trace: str) -> None:
        """Print a traceback."""
        if self.errors_json:
            self._print_stderr(as_json({"level": "debug", "message": trace}))
        else:
            self._print_stderr(visible(trace.rstrip("\n")))

    def _print_stderr(self, text: str, timeout: float | None = None) -> None:
        """Print a message. What is not read in time is dropped; the next note is not waited for."""
        data = (text + "\n").encode("utf-8", "backslashreplace")
        if timeout is None:
            timeout = 0.0 if self._reader_is_slow else NOTE_TIMEOUT
        try:
            if _is_terminal(STDERR):  # after Ctrl-S a person may read on much later
                _write_all(STDERR, data)
            else:
                self._reader_is_slow = not _write_within(timeout, STDERR, data)
        except OSError:  # stderr is closed: nobody can be informed
            return


class Stream:
    """Standard output while an answer still arrives; printing never delays its recording.

    What the reader does not take at once is kept, and printed with what comes next or by `flush`.
    `stop` tells `flush` to give up.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._unwritten = bytearray()
        self._error: OSError | None = None

    def json(self, value: object) -> None:
        """Print one event on one line, as far as the reader takes it now."""
        self._print(as_json(value) + "\n")

    def text(self, text: str) -> None:
        """Print a piece of text, as far as the reader takes it now; no newline is added."""
        self._print(_printable(text))

    @property
    def broken(self) -> bool:
        """Whether writing has failed; `flush` then raises the error."""
        return self._error is not None

    def flush(self) -> None:
        """Print what is left. Raises `BrokenPipeError`, or `GemcliError` (NOT_PRINTED)."""
        while self._unwritten and not self._error:
            self._write(0.2)
            if self._unwritten and not self._error and self._stop():
                raise GemcliError("NOT_PRINTED", "the output was not read in time")
        if isinstance(self._error, BrokenPipeError):
            raise self._error
        if self._error:
            raise _not_printed(self._error)

    def _print(self, text: str) -> None:
        if not self._error:
            self._unwritten += text.encode("utf-8")
            self._write(0)

    def _write(self, seconds: float) -> None:
        """Write what the reader takes; wait for it at most `seconds`."""
        try:
            while self._unwritten and select.select([], [STDOUT], [], seconds)[1]:
                # A pipe that is ready takes PIPE_BUF bytes; more could block.
                del self._unwritten[: os.write(STDOUT, self._unwritten[: select.PIPE_BUF])]
        except BlockingIOError:  # another writer has filled the pipe meanwhile
            return
        except OSError as error:
            self._error = error
            self._unwritten.clear()


def _printable(text: str) -> str:
    """Text for stdout: safe on a terminal, else unchanged but for what UTF-8 cannot encode."""
    return visible(text) if _is_terminal(STDOUT) else encodable(text)


def _shortened(message: str) -> str:
    if len(message) <= MAX_LENGTH:
        return message
    return message[: MAX_LENGTH - 1] + "…"


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _write_stdout(text: str) -> None:
    try:
        _write_all(STDOUT, text.encode("utf-8"))
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
        except BlockingIOError:  # O_NONBLOCK is set on the pipe itself, perhaps by another process
            select.select([], [fd], [])


def _write_within(seconds: float, fd: int, data: bytes) -> bool:
    """Write what the reader takes within `seconds`; returns whether that was all of it."""
    view, until = memoryview(data), time.monotonic() + seconds
    while view and select.select([], [fd], [], max(0.0, until - time.monotonic()))[1]:
        try:
            # A pipe that is ready takes PIPE_BUF bytes; more could block.
            view = view[os.write(fd, view[: select.PIPE_BUF]) :]
        except BlockingIOError:  # another writer has filled the pipe meanwhile
            if time.monotonic() >= until:
                break
    return not view
