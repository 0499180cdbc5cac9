"""A line that tells a person what gemcli waits for; it is gone before anything else is printed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gemcli.terminal.screen import cut

PATIENCE = 2.0
"""Seconds of a wait before the line appears."""

INTERVAL = 1.0
"""Seconds until it is drawn again."""

ERASED = "\r\x1b[K"


class StatusLine:
    """One line at the bottom of a terminal, drawn by a thread of its own while another one waits.

    `draw` writes to the terminal; `columns` is its width now, None if nothing may be drawn.
    """

    def __init__(self, draw: Callable[[str], None], columns: Callable[[], int | None]) -> None:
        self._draw = draw
        self._columns = columns
        self._drawn = False
        # Reentrant: a signal may end a block that holds it, and the error is printed after it.
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._stopped.set()

    @contextmanager
    def waiting(self, what: str | Callable[[], str]) -> Iterator[None]:
        """Show what is waited for, from the third second of the block until its end, or `stop`.

        If `what` changes while it is waited for, it is a function, which is called for each line.
        """
        if self._columns() is None:
            yield
            return
        # An event of its own: a thread of an earlier wait may not have ended yet.
        self._stopped = stopped = threading.Event()
        args = (what, stopped, time.monotonic())
        threading.Thread(target=self._run, args=args, name="status", daemon=True).start()
        try:
            yield
        finally:
            self._end(stopped)

    def stop(self) -> None:
        """Erase the line for good: what is waited for is here."""
        self._end(self._stopped)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Keep the line away from what the block prints; it comes back later."""
        with self._lock:
            if self._drawn:
                self._drawn = False
                self._draw(ERASED)
            yield

    def _end(self, stopped: threading.Event) -> None:
        stopped.set()
        with self.hidden():
            pass

    def _run(self, what: str | Callable[[], str], stopped: threading.Event, start: float) -> None:
        pause = PATIENCE
        while not stopped.wait(pause):
            pause = INTERVAL
            with self._lock:
                columns = self._columns()
                if columns is not None and not stopped.is_set():
                    words = what() if callable(what) else what
                    line = f"{words}, {time.monotonic() - start:.0f} s"
                    self._drawn = True
                    self._draw(ERASED + cut(line, columns - 1))
