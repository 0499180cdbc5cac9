"""A request in a thread of its own, which is left behind if it takes too long.

A name server, a TLS handshake or a server that sends a byte a minute can block the HTTP client for
longer than any time limit that it offers.
"""

from __future__ import annotations

import math
import queue
import signal
import threading
import time
from collections.abc import Callable
from enum import Enum

from gemcli.api.attempt import CURRENT_ATTEMPT, Attempt
from gemcli.api.limits import Limits
from gemcli.errors import GemcliError
from gemcli.signals import POLL_INTERVAL, deferred


class _News(Enum):
    """What the thread that waits learns, besides an event of a stream and an error."""

    LEAVING = "leaving"
    DONE = "done"
    SIGNAL = "signal"


NewsQueue = queue.SimpleQueue[bytes | BaseException | _News]

EVENTS_AHEAD = 100
"""How many events may wait to be read. With more, a time limit could end while they are read."""


def run(
    request: Callable[[], None],
    attempt: Attempt,
    on_event: Callable[[bytes], None],
    limits: Limits,
) -> BaseException | None:
    """Run `request` and wait for its end within `limits`; return the error it raised, if any.

    The time limit of the request begins when everything for it is loaded. This thread calls
    `attempt.prepare_to_leave` when the request is about to leave, and `on_event` with the data of
    each event of a streamed answer. A signal that arrives while signals are deferred ends the wait,
    at once or, if the request was sent, after the grace; a second signal ends it at once. An answer
    that has arrived completely is never given up. Raises `GemcliError`: TIMEOUT, CONNECT_TIMEOUT,
    INTERRUPTED.
    """
    news, room = _start(request, attempt)
    end_of_grace = math.inf
    with deferred.waking(lambda: news.put(_News.SIGNAL)):
        while True:
            left = min(_until(attempt, limits), end_of_grace) - time.monotonic()
            if left <= 0 and not attempt.complete:
                sent = attempt.abandon()
                if deferred.arrived:
                    raise interrupted(deferred.arrived[0], sent=sent)
                raise _timed_out(attempt, limits, sent=sent)
            event = _next(news, left)
            if isinstance(event, BaseException):
                return event
            if event is _News.DONE or (event is None and left <= 0):
                return None
            if isinstance(event, bytes):
                room.release()
                on_event(event)
            elif event is _News.LEAVING:
                attempt.prepare_to_leave()
                if not deferred.arrived:  # else the signal is the next news
                    attempt.let_leave()
            elif event is _News.SIGNAL:
                is_first = end_of_grace == math.inf
                grace = limits.grace if attempt.sent and is_first else 0.0
                end_of_grace = min(end_of_grace, time.monotonic() + grace)


def _start(request: Callable[[], None], attempt: Attempt) -> tuple[NewsQueue, threading.Semaphore]:
    """Start the thread of the request; return its news, and the room for more of its events."""
    news: NewsQueue = queue.SimpleQueue()
    room = threading.Semaphore(EVENTS_AHEAD)

    def put_event(data: bytes) -> bool:
        in_time = room.acquire(timeout=POLL_INTERVAL)
        if in_time:
            news.put(data)
        return in_time

    attempt.ask_to_leave = lambda: news.put(_News.LEAVING)
    attempt.on_event = put_event
    work = threading.Thread(target=_work, args=(request, attempt, news), name="gemini", daemon=True)
    work.start()
    return news, room


def _work(request: Callable[[], None], attempt: Attempt, news: NewsQueue) -> None:
    CURRENT_ATTEMPT.set(attempt)
    try:
        request()
    except BaseException as error:  # whatever it is concerns the thread that waits
        news.put(error)
    else:
        news.put(_News.DONE)


def _next(news: NewsQueue, seconds: float) -> bytes | BaseException | _News | None:
    """The next news; None if there is none within so many seconds, or for a while."""
    try:
        return news.get(timeout=min(POLL_INTERVAL, max(0.0, seconds)))
    except queue.Empty:
        return None


def interrupted(signum: int, *, sent: bool) -> GemcliError:
    """The error of a request that a signal ended; `sent` tells whether it was under way."""
    fate = "whether the message was answered is unknown" if sent else "no request is in doubt"
    return GemcliError(
        "INTERRUPTED",
        f"stopped by {signal.Signals(signum).name}; {fate}",
        outcome="unknown" if sent else "rejected",
        exit_code=128 + signum,
    )


def _until(attempt: Attempt, limits: Limits) -> float:
    """When the request must have ended."""
    if attempt.started is None:
        return limits.until
    return min(limits.until, attempt.started + limits.timeout)


def _timed_out(attempt: Attempt, limits: Limits, *, sent: bool) -> GemcliError:
    if attempt.started is None:
        what = "the request was not ready before the deadline; nothing was sent"
        return GemcliError("TIMEOUT", what, outcome="rejected", hint="raise --deadline")
    seconds = min(limits.timeout, limits.until - attempt.started)
    if sent:
        what = f"no answer from {attempt.target} within {seconds:.3g} s"
        return GemcliError("TIMEOUT", what, outcome="unknown")
    what = f"no connection to {attempt.target} within {seconds:.3g} s"
    return GemcliError("CONNECT_TIMEOUT", what, outcome="rejected")
