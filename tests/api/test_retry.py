"""The retry policy: what is sent again, and when; clock and chance are given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.api.http_errors import error_of_response
from gemcli.api.retry import LONGEST_BACKOFF, RETRIED_REASONS, RetryPolicy
from gemcli.errors import REASONS, GemcliError, ReasonName

AGAIN = ["RATE_LIMIT", "SERVER_TIMEOUT", "SERVER_ERROR", "UNAVAILABLE", "CONNECT", "DNS", "CONNECT_TIMEOUT"]
"""The contract, retyped."""

NEVER = -1.0


def failure(
    reason: ReasonName = "UNAVAILABLE", outcome: str | None = "rejected", after: float | None = None
) -> GemcliError:
    """The error of an attempt."""
    return GemcliError(reason, "no", outcome=outcome, retry_after=after)


def waits(attempt: int, error: GemcliError, left: float = 1e9, retries: int = 10) -> tuple[float, float]:
    """The shortest and the longest wait; `NEVER` for not sending again."""
    shortest = RetryPolicy(retries, lambda: 0.0).wait(attempt, error, left)
    longest = RetryPolicy(retries, lambda: 1.0).wait(attempt, error, left)
    return NEVER if shortest is None else shortest, NEVER if longest is None else longest


WAITS = {
    "first": (0, None, 100, (0.5, 1)),
    "second": (1, None, 100, (1, 2)),
    "third": (2, None, 100, (2, 4)),
    "fourth": (3, None, 100, (4, 8)),
    "sixth": (5, None, 100, (16, 32)),
    "at-most-a-minute": (6, None, 100, (30, 60)),
    "still-a-minute": (9, None, 100, (30, 60)),
    "no-more-retries": (10, None, 100, (NEVER, NEVER)),
    "too-late": (0, None, 0.5, (NEVER, NEVER)),
    "perhaps-too-late": (0, None, 0.6, (0.5, NEVER)),
    "no-time": (0, None, 0, (NEVER, NEVER)),
    "past-the-deadline": (0, None, -5, (NEVER, NEVER)),
    "hint-of-nothing": (0, 0.0, 100, (0, 1)),
    "hint": (0, 2.5, 100, (2.5, 3.5)),
    "hint-on-a-later-attempt": (7, 2.5, 100, (2.5, 3.5)),
    "hint-over-a-minute": (0, 90.0, 100, (90, 91)),
    "hint-just-fits": (0, 0.9, 1.5, (0.9, NEVER)),
    "hint-too-long": (0, 37.0, 30, (NEVER, NEVER)),
    "hint-of-all-that-is-left": (0, 30.0, 30, (NEVER, NEVER)),
}


@pytest.mark.parametrize(("attempt", "after", "left", "expected"), WAITS.values(), ids=WAITS)
def test_policy(attempt: int, after: float | None, left: float, expected: tuple[float, float]) -> None:
    """The wait by attempt, hint and time left: from the shortest to the longest that chance can make it."""
    assert waits(attempt, failure(after=after), left) == expected


def test_reasons() -> None:
    """Only what the API rejected for now, or what never reached it, is sent again; every other reason is final."""
    assert {reason for reason in REASONS if waits(0, failure(reason))[0] != NEVER} == set(AGAIN) == RETRIED_REASONS


@pytest.mark.parametrize("outcome", ["unknown", None])
@pytest.mark.parametrize("reason", AGAIN)
def test_unknown_outcomes_are_final(reason: ReasonName, outcome: str | None) -> None:
    """What may have been answered is not sent again, whatever the reason and whatever the server asks for."""
    assert waits(0, failure(reason, outcome)) == (NEVER, NEVER)
    assert waits(0, failure(reason, outcome, after=0.1)) == (NEVER, NEVER)


def test_http_statuses() -> None:
    """Of all HTTP statuses 408, 429 and those of a server in trouble are tried again."""
    again = [code for code in range(300, 600) if waits(0, error_of_response(code, {}, b"{}"))[0] != NEVER]
    assert again == [408, 429, *range(500, 600)]


@pytest.mark.parametrize(("after", "expected"), [(4.0, 4.0), (5.0, 5.0), (5.1, None)])
def test_longest_wait(after: float, expected: float | None) -> None:
    """A wait of more than `max_wait` seconds is not begun, even if the server asks for it."""
    assert RetryPolicy(10, lambda: 0.0, max_wait=5).wait(0, failure(after=after), 1e9) == expected


errors = st.builds(
    failure,
    st.sampled_from(sorted(REASONS)),
    st.sampled_from(["rejected", "unknown", None]),
    st.none() | st.floats(0, 1e6),
)


@given(errors, st.integers(0, 5000), st.integers(0, 5000), st.floats(-10, 1e7), st.floats(0, 1))
def test_bounds(error: GemcliError, attempt: int, retries: int, left: float, jitter: float) -> None:
    """Whatever happens: never past the time left, never before the hint, and at most a minute of its own accord."""
    wait = RetryPolicy(retries, lambda: jitter).wait(attempt, error, left)
    if wait is None:
        return
    assert attempt < retries
    assert error.outcome == "rejected"
    assert 0 <= wait < left
    if error.retry_after is not None:
        assert error.retry_after <= wait <= error.retry_after + 1
    else:
        backoff = min(LONGEST_BACKOFF, 2.0 ** min(attempt, 6))
        assert backoff / 2 <= wait <= backoff


@given(st.lists(st.floats(0, 1), min_size=100, max_size=100), st.floats(0, 1000))
def test_sum_of_waits(numbers: list[float], left: float) -> None:
    """All waits of a request together end before its deadline."""
    total, chance = 0.0, iter(numbers)
    policy = RetryPolicy(100, lambda: next(chance))
    for attempt in range(100):
        wait = policy.wait(attempt, failure(), left - total)
        if wait is None:
            break
        total += wait
    assert total <= left
