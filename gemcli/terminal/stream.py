"""Standard output while an answer still arrives; printing never delays its recording."""

from __future__ import annotations

from collections.abc import Callable

from gemcli.errors import GemcliError
from gemcli.terminal.descriptors import STDOUT, is_terminal, not_printed, write_ready
from gemcli.terminal.escapes import as_json, encodable, visible


class Stream:
    """Prints without waiting for the reader.

    What the reader does not take at once is kept, and printed with what comes next or by `flush`.
    `stop` tells `flush` to give up; `begin` is called before anything is printed.
    """

    def __init__(self, stop: Callable[[], bool], begin: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._begin = begin
        self._unwritten = bytearray()
        self._error: OSError | None = None

    def json(self, value: object) -> None:
        """Print one event on one line, as far as the reader takes it now."""
        self._print(as_json(value) + "\n")

    def text(self, text: str) -> None:
        """Print a piece of text, as far as the reader takes it now; no newline is added."""
        self._print(printable(text))

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
            raise not_printed(self._error)

    def _print(self, text: str) -> None:
        self._begin()
        if not self._error:
            self._unwritten += text.encode("utf-8")
            self._write(0)

    def _write(self, seconds: float) -> None:
        """Write what the reader takes; wait for it at most `seconds`."""
        try:
            write_ready(STDOUT, self._unwritten, seconds)
        except OSError as error:
            self._error = error
            self._unwritten.clear()


def printable(text: str) -> str:
    """Text for stdout: safe on a terminal, else unchanged but for what UTF-8 cannot encode."""
    return visible(text) if is_terminal(STDOUT) else encodable(text)
