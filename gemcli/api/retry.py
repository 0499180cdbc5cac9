"""Whether to send a request again, and when. Pure: clock and chance are given.

Only a request that the API rejected, or that never reached it, is sent again automatically: any
other may have been answered, and would be paid for twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemcli.errors import GemcliError

RETRIED_REASONS = {
    "RATE_LIMIT",
    "SERVER_TIMEOUT",
    "SERVER_ERROR",
    "UNAVAILABLE",
    "CONNECT",
    "DNS",
    "CONNECT_TIMEOUT",
}
"""HTTP 408, 429 and 5xx, and connections that were never made."""

LONGEST_BACKOFF = 60.0
"""The longest wait in seconds, unless the server asks for a longer one."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often to send again; a wait of more than `max_wait` seconds is not begun.

    `jitter` returns numbers from 0 to 1 that spread the waits of many clients.
    """

    retries: int
    jitter: Callable[[], float]
    max_wait: float = float("inf")

    def wait(self, attempt: int, error: GemcliError, remaining: float) -> float | None:
        """Seconds to wait before sending again; None for not at all.

        `attempt` counts from 0; `remaining` is the time in seconds that the command still has.
        """
        if attempt >= self.retries:
            return None
        if error.outcome != "rejected" or error.reason not in RETRIED_REASONS:
            return None
        if error.retry_after is not None:
            seconds = error.retry_after + self.jitter()
        else:
            backoff = min(LONGEST_BACKOFF, 2.0 ** min(attempt, 6))
            seconds = backoff / 2 + self.jitter() * backoff / 2
        in_time = seconds < remaining and seconds <= self.max_wait
        return seconds if in_time else None
