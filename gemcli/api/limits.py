"""How long requests may take."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long things may take.

    `timeout` is in seconds and for one request, from the moment everything for it is loaded.
    `until` is the deadline of the whole command on the monotonic clock, loading included. No
    request starts in the last `grace` seconds; a request under way may also take that long to
    finish after a first signal.
    """

    timeout: float
    until: float
    grace: float = 0.0

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.until - time.monotonic()

    @property
    def time_to_start(self) -> float:
        """Seconds in which a request may still start."""
        return self.remaining - self.grace

    @property
    def request_timeout(self) -> float:
        """Seconds for a request that starts now; above zero, so that it ends as a timeout."""
        return max(0.001, min(self.timeout, self.remaining))
