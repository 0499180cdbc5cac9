"""Everything that gemcli prints: results on stdout, everything else on stderr.

It is UTF-8 whatever the locale. Text of a model or a file is data: on a terminal its control
characters are shown as escapes, in JSON they are escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from gemcli.errors import SHOWN_PROBLEMS, GemcliError, counted
from gemcli.terminal.descriptors import (
    STDERR,
    STDOUT,
    columns,
    is_in_front,
    is_terminal,
    not_printed,
    write_all,
    write_within,
)
from gemcli.terminal.escapes import as_json, one_line, visible
from gemcli.terminal.screen import Line, Piece, rendered
from gemcli.terminal.status_line import StatusLine
from gemcli.terminal.stream import Stream, printable

MAX_LENGTH = 2_000
"""The longest message or hint on stderr, in characters. A server may send a page as its message."""

NOTE_TIMEOUT, ERROR_TIMEOUT = 1.0, 5.0
"""Seconds to wait for the reader of stderr before a note, or an error, is dropped."""


class Output:
    """Standard output and standard error. With `errors_json` each line on stderr is an object.

    With `colours` a terminal is coloured; on a `dumb` one, no line is drawn a second time.
    """

    def __init__(
        self,
        *,
        errors_json: bool = False,
        program: str = "gemcli",
        colours: bool = False,
        dumb: bool = True,
    ) -> None:
        self.errors_json = errors_json
        self.program = program
        self.colours = colours
        self.dumb = dumb
        self._reader_is_slow = False
        self._status = StatusLine(self._draw, self._status_columns)

    # stdout: the results

    def json(self, value: object) -> None:
        """Print JSON on one line. Raises `GemcliError` (NOT_PRINTED) or `BrokenPipeError`."""
        self._write(as_json(value) + "\n")

    def jsonl(self, values: Iterable[object]) -> None:
        """Print one JSON document per line, as `json` does."""
        for value in values:
            self.json(value)

    def stream(self, stop: Callable[[], bool]) -> Stream:
        """Standard output for what still arrives; `stop` tells when not to wait for its reader."""
        return Stream(stop, self._status.stop)

    def text(self, text: str) -> None:
        """Print text, with a newline at its end unless it is empty. Raises as `json` does."""
        if text:
            end = "" if text.endswith("\n") else "\n"
            self._write(printable(text) + end)

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines for a person, coloured only on a terminal. Raises as `json` does."""
        colours = self.colours and self.on_terminal
        self._write("".join(rendered(line, colours=colours) + "\n" for line in lines))

    @contextmanager
    def after(self, done: str | None) -> Iterator[None]:
        """Print results in the block; an error that they cannot be printed has `done` as hint."""
        try:
            yield
        except GemcliError as error:
            raise error.replace(hint=done) from error.__cause__

    @property
    def on_terminal(self) -> bool:
        """Whether results go to a terminal, so that a person reads them."""
        return is_terminal(STDOUT)

    def is_read(self, *, as_text: bool, as_json: bool) -> bool:
        """Whether results are for a person, who has a terminal or says --text, and not --json."""
        return as_text or (self.on_terminal and not as_json)

    @property
    def columns(self) -> int:
        """The width for lines that a person reads: that of the terminal, and elsewhere 80."""
        return columns(STDOUT)

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

    def aside(self, line: str) -> None:
        """Print a faint line beside results, if a person sees both on a terminal."""
        if not self.errors_json and self.on_terminal and is_terminal(STDERR):
            self._print_stderr(rendered([Piece(line, "faint")], colours=self.colours))

    def waiting(self, what: str | Callable[[], str]) -> AbstractContextManager[None]:
        """Tell a person, after some seconds of the block, what it waits for."""
        return self._status.waiting(what)

    def above_status(self) -> AbstractContextManager[None]:
        """Keep the line that tells what is waited for below what the block prints."""
        return self._status.hidden()

    def progress(self, line: str) -> None:
        """Print a line of progress, if stderr is a terminal."""
        if not self.errors_json and is_terminal(STDERR):
            self._print_stderr(one_line(line))

    def debug(self, trace: str) -> None:
        """Print a traceback."""
        if self.errors_json:
            self._print_stderr(as_json({"level": "debug", "message": trace}))
        else:
            self._print_stderr(visible(trace.rstrip("\n")))

    def _write(self, text: str) -> None:
        """Write a result. Raises `GemcliError` (NOT_PRINTED) or `BrokenPipeError`."""
        self._status.stop()
        try:
            write_all(STDOUT, text.encode("utf-8"))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise not_printed(error) from error

    def _draw(self, text: str) -> None:
        """Draw on the terminal, unless its user has stopped it with Ctrl-S: nobody waits for it."""
        with suppress(OSError):
            write_within(0, STDERR, text.encode("utf-8"))

    def _status_columns(self) -> int | None:
        """The columns for a status line; None if nobody sees it, or another program is in front.

        Whoever reads results in a pipe may be in front too: a pager owns the screen.
        """
        if self.errors_json or self.dumb or not (self.on_terminal and is_terminal(STDERR)):
            return None
        return columns(STDERR) if is_in_front(STDERR) else None

    def _print_stderr(self, text: str, timeout: float | None = None) -> None:
        """Print a message. What is not read in time is dropped; the next note is not waited for."""
        data = (text + "\n").encode("utf-8", "backslashreplace")
        if timeout is None:
            timeout = 0.0 if self._reader_is_slow else NOTE_TIMEOUT
        with suppress(OSError), self._status.hidden():  # if stderr is closed, nobody is informed
            if is_terminal(STDERR):  # after Ctrl-S a person may read on much later
                write_all(STDERR, data)
            else:
                self._reader_is_slow = not write_within(timeout, STDERR, data)


def _shortened(message: str) -> str:
    if len(message) <= MAX_LENGTH:
        return message
    return message[: MAX_LENGTH - 1] + "…"
