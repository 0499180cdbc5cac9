"""Signals as exceptions, and the stretches of code in which they must wait.

INT, TERM and HUP raise `Interrupted` in the main thread. Inside `with deferred:` they are stored
instead, end a wait for the network, and are raised after the block: so a record is always written
completely, and an answer that has arrived is recorded before the program ends. Signals also wait
while a module is imported.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Interrupted(BaseException):
    """A signal that ends the program. No `Exception`, so that nothing catches it by accident."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def name(self) -> str:
        """The signal's name, as in `SIGINT`."""
        return signal.Signals(self.signum).name


class TimeUp(BaseException):
    """The time of `time_limit` is over."""


POLL_INTERVAL = 0.5
"""Seconds between two looks at signals by code that waits: a signal may not have woken it."""

NAP = 0.1
"""Seconds between two looks at signals by code that sleeps: no signal wakes it."""

IMPORT_RECHECK = 0.005
"""Seconds until a signal that came during an import is tried again."""


class _Deferral:
    """A stretch of code that signals must not interrupt. May be nested."""

    def __init__(self) -> None:
        self.depth = 0
        self.arrived: list[int] = []
        self.first: int | None = None  # the first signal since the program began
        self._wake: Callable[[], None] | None = None

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.depth -= 1
        if self.depth == 0 and self.arrived:
            first = self.arrived[0]
            self.arrived.clear()
            # An error that leaves the block says more than the signal, and ends the program too.
            if kind is None:
                raise Interrupted(first)

    @property
    def stopping(self) -> bool:
        """Whether any signal has arrived since the program began."""
        return self.first is not None

    def raise_pending(self) -> None:
        """Raise a stored signal, unless a deferral is still going on."""
        with self:
            pass

    def arrive(self, signum: int) -> None:
        """Store a signal, and wake code that waits. Called by the signal handler."""
        self.arrived.append(signum)
        if self._wake:
            self._wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` when a signal arrives in the block, or has arrived before it.

        It runs in the signal handler and may only do what is safe there: `SimpleQueue.put`, say.
        """
        self._wake = wake
        try:
            if self.arrived:
                wake()
            yield
        finally:
            self._wake = None

    def sleep(self, seconds: float) -> bool:
        """Sleep inside a deferral. Returns whether a signal ended the sleep."""
        until = time.monotonic() + seconds
        # In short naps, because Python goes on with a sleep after a handler that does not raise.
        while not self.arrived and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, NAP))
        return bool(self.arrived)


deferred = _Deferral()
"""`with deferred:` holds INT, TERM and HUP back until the end of the block."""


@contextmanager
def raised() -> Iterator[None]:
    """Turn INT, TERM and HUP into `Interrupted` in the block. Ignored ones (nohup) stay ignored."""
    deferred.first = None

    def on_signal(signum: int, frame: FrameType | None) -> None:
        deferred.first = deferred.first or signum
        if not deferred.depth and not _importing(frame):
            raise Interrupted(signum)
        deferred.arrive(signum)
        if not deferred.depth and signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, IMPORT_RECHECK)

    def on_alarm(_signum: int, frame: FrameType | None) -> None:
        if _importing(frame):
            signal.setitimer(signal.ITIMER_REAL, IMPORT_RECHECK)
        else:
            deferred.raise_pending()

    before = {}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if threading.current_thread() is threading.main_thread():
        # Whoever starts gemcli may have blocked it; then no time limit would ever end.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, on_alarm)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        if before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: an exception there may be lost, or leave a lock held."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in the block after `seconds`, repeatedly until the block ends.

    For system calls without a timeout of their own. Repeated, because Python may lose an exception
    that a signal handler raises at an unlucky moment (inside `__del__`, say). It waits for imports,
    like other signals. There is only one timer: signals that came during an import are raised
    before or after the block.
    """
    deferred.raise_pending()
    armed = True

    def on_alarm(_signum: int, frame: FrameType | None) -> None:
        if armed and not _importing(frame):
            raise TimeUp

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.05)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    deferred.raise_pending()
