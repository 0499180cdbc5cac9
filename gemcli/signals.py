"""Signals as exceptions, and the moments when they must wait.

INT, TERM and HUP raise `Interrupted` in the main thread, except inside `with deferred:`. There they
are remembered, wake whoever waits, and are raised when the block is done: a record is written
whole, and an answer that has arrived is recorded before the program ends. While a module is
imported they wait too, for a moment.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType


class Interrupted(BaseException):
    """A signal asked the program to stop. Not an `Exception`: nothing may catch it by accident."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def name(self) -> str:
        """The signal's name, as in `SIGINT`."""
        return signal.Signals(self.signum).name


class TimeUp(BaseException):
    """The time given to `time_limit` is over."""


POLL_INTERVAL = 0.5
"""Seconds after which who waits looks for signals by itself: it may not have been woken by one."""


IMPORT_RECHECK = 0.005
"""Seconds after which it is looked again whether a signal that came during an import can be raised."""


class _Deferral:
    """A stretch of code that INT, TERM and HUP must not cut in two. May be nested.

    `stopping` tells whether one of them has come since the program began, inside or outside.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.arrived: list[int] = []
        self.stopping = False
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
            # An error on its way out says more than the signal, and ends the program as well.
            if kind is None:
                raise Interrupted(first)

    def raise_pending(self) -> None:
        """Raise a signal that has arrived and waits for nothing any more."""
        with self:
            pass

    def arrive(self, signum: int) -> None:
        """Remember a signal, and wake who waits inside the deferral.

        Called by the signal handler.
        """
        self.arrived.append(signum)
        if self._wake:
            self._wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` when a signal arrives inside the block, or has arrived before it.

        It runs in the signal handler, at any moment, so it may only do what is safe there:
        `SimpleQueue.put` is.
        """
        self._wake = wake
        try:
            if self.arrived:
                wake()
            yield
        finally:
            self._wake = None

    def sleep(self, seconds: float) -> bool:
        """Sleep inside the deferral; whether a signal ended it early."""
        import queue

        woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        until = time.monotonic() + seconds
        with self.waking(lambda: woken.put(None)):
            # Looked at again and again: a signal that another thread takes, or that comes just
            # before the wait begins, runs its handler only when this thread wakes up.
            while not self.arrived and (left := until - time.monotonic()) > 0:
                with suppress(queue.Empty):
                    woken.get(timeout=min(left, POLL_INTERVAL))
        return bool(self.arrived)


deferred = _Deferral()
"""`with deferred:` holds INT, TERM and HUP back until the block is done."""


@contextmanager
def raised() -> Iterator[None]:
    """Turn INT, TERM and HUP into `Interrupted` inside the block.

    What the parent ignores (nohup) stays ignored.
    """
    deferred.stopping = False

    def on_signal(signum: int, frame: FrameType | None) -> None:
        deferred.stopping = True
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
    if threading.current_thread() is threading.main_thread():
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


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported.

    An exception in there may be swallowed, or leave a lock taken for good.
    """
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in the block once `seconds` have passed, again and again until it is left.

    For system calls that have no time limit of their own. It repeats because Python may swallow an
    exception that a signal handler raises at an unlucky moment (inside `__del__`, say). Like other
    signals it waits for imports; those that it holds up meanwhile, as there is but one timer, are
    raised before and after the block.
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
