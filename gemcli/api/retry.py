"""Whether to send again, and when. Pure: the clock and the dice are given.

Only what the API rejected, or what never reached it, is sent again by itself: anything else may
have been answered, and would be paid for twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemcli.errors import GemcliError

RETRIED_REASONS = frozenset(
    {
        "RATE_LIMIT",
        "SERVER_TIMEOUT",
        "SERVER_ERROR",
        "UNAVAILABLE",
        "CONNECT",
        "DNS",
        "CONNECT_TIMEOUT",
    }
)
"""The reasons after which a request is sent again.

HTTP 408, 429, 5xx, and connections that were never made.
"""

LONGEST_BACKOFF = 60.0
"""Seconds that gemcli waits at most of its own accord."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often to send again (`retries`), and a source of numbers from 0 to 1 that spreads the waits.

    A wait of more than `patience` seconds is not begun.
    """

    retries: int
    dice: Callable[[], float]
    patience: float = float("inf")

    def wait(self, attempt: int, error: GemcliError, left: float) -> float | None:
        """Seconds to wait before sending again, `None` for not at all.

        `attempt` counts from 0; `left` is the time in seconds that the command still has. A wait
        that the server asked for is kept and lengthened by up to a second, so that many clients do
        not return at once; else it is `2**attempt` up to a minute, half of it by chance. What would
        not end in time is not begun.
        """
        if (
            attempt >= self.retries
            or error.outcome != "rejected"
            or error.reason not in RETRIED_REASONS
        ):
            return None
        if error.retry_after is not None:
            seconds = error.retry_after + self.dice()
        else:
            longest = min(LONGEST_BACKOFF, 2.0 ** min(attempt, 6))
            seconds = longest / 2 + self.dice() * longest / 2
        return seconds if seconds < left and seconds <= self.patience else None
