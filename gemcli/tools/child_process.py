"""A process that works for a tool: spoken to within limits, and ended with all that it started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Self

from gemcli.tools.tool_context import Stopped, ToolContext

POLL_INTERVAL = 0.1
"""Seconds between two looks at whether the process has ended, or has to."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL for a process that has to end."""

CHUNK = 1 << 16

MOST_TOLD = 1_000_000
"""Bytes of stderr that are passed on in all."""

LAST_WORDS = 1_000
"""Bytes kept of the end of stderr."""


class TooSlow(Exception):
    """The process has not answered in time."""


class TooLong(Exception):
    """The process has printed more than it may; the argument is how that begins."""


class Child:
    """A running process: the first of a session of its own, without a terminal.

    It is used as a context manager: at the end of the block nothing is left of it.
    """

    def __init__(self, command: Sequence[str], name: str, context: ToolContext) -> None:
        """Start it; `name` stands before lines of its stderr. Raises `OSError`, `ValueError`."""
        self._name = name
        self._context = context
        self._unsent = memoryview(b"")
        self._is_last = False
        self._output = bytearray()
        self._line = b""
        self._told = 0
        self.last_words = b""
        self._process = subprocess.Popen(  # noqa: S603 (the user has named it, and there is no shell)
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=context.environ,
            start_new_session=True,
        )
        os.set_blocking(self._pipe("stdin").fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] = getattr(self._process, name)
        return pipe

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def ask(self, data: bytes, timeout: float, limit: int, *, for_line: bool = False) -> bytes:
        """Write `data`; return what is printed until the process ends, or a line of it does.

        Raises `TooSlow`, `TooLong`, `Stopped`; the process is still there then.
        """
        end = time.monotonic() + timeout
        self._unsent, self._output = memoryview(data), bytearray()
        self._is_last = not for_line
        with selectors.DefaultSelector() as pipes:
            pipes.register(self._pipe("stdin"), selectors.EVENT_WRITE, self._send)
            pipes.register(self._pipe("stdout"), selectors.EVENT_READ, self._receive)
            pipes.register(self._pipe("stderr"), selectors.EVENT_READ, self._hear)
            while True:
                ended = self.status is not None  # all of its output is there only if it had ended
                ready = self._wait(pipes, end)
                for key in ready:
                    if not key.data():
                        pipes.unregister(key.fileobj)
                if len(self._output) > limit:
                    raise TooLong(bytes(self._output[:limit]))
                # What went to stderr before the line was ready together with it.
                in_line = for_line and self._output.endswith(b"\n") and len(ready) < 2
                if in_line or (ended and not ready):
                    self._tell(b"\n")
                    return bytes(self._output)

    def end(self) -> None:
        """Kill it, politely first, and whatever it has left behind."""
        if self.status is None:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        self._signal(signal.SIGKILL)
        self._process.wait()
        for name in ("stdin", "stdout", "stderr"):
            self._pipe(name).close()

    def _wait(self, pipes: selectors.BaseSelector, end: float) -> list[selectors.SelectorKey]:
        """The pipes that are ready, after a nap if none is. Raises `Stopped`, `TooSlow`."""
        now = time.monotonic()
        if self._context.stop.is_set() or now >= self._context.until:
            raise Stopped
        if now >= end:
            raise TooSlow
        nap = min(POLL_INTERVAL, end - now)
        if pipes.get_map():
            return [key for key, _ in pipes.select(nap)]
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(nap)
        return []

    # What to do with a pipe that is ready; each tells whether there may be more to do.

    def _send(self) -> bool:
        stdin = self._pipe("stdin")
        try:
            self._unsent = self._unsent[stdin.write(self._unsent) or 0 :]
        except BrokenPipeError:  # it does not read its input, or not to the end
            self._unsent = memoryview(b"")
        if not self._unsent and self._is_last:
            stdin.close()
        return bool(self._unsent)

    def _receive(self) -> bool:
        data = self._pipe("stdout").read(CHUNK)
        self._output += data
        return bool(data)

    def _hear(self) -> bool:
        data = self._pipe("stderr").read(CHUNK)
        self._tell(data)
        return bool(data)

    def _tell(self, data: bytes) -> None:
        """Pass on what it wrote to stderr, as far as the lines are whole."""
        self.last_words = (self.last_words + data)[-LAST_WORDS:]
        before, self._told = self._told, self._told + len(data)
        if before > MOST_TOLD:
            return
        if self._told > MOST_TOLD:
            data = b"\n... (the rest is left out)\n"
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if text := line.decode("utf-8", "replace").rstrip():
                self._context.tell(f"{self._name}: {text}")

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left
            os.killpg(self._process.pid, number)
