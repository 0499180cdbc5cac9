"""One request as two threads see it: it is either given up unsent or sent, and both agree which."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from gemcli.api.attempt import Abandoned, Attempt


@pytest.fixture
def rapid_switches() -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_new_attempt_is_unsent() -> None:
    """An attempt that nobody has made yet has no answer and was not sent."""
    attempt = Attempt()
    assert (attempt.sent, attempt.complete, attempt.status, bytes(attempt.body)) == (False, False, None, b"")


def test_abandoned_attempt_is_not_sent() -> None:
    """A request that was given up before it left never leaves, however often it is tried."""
    attempt = Attempt()
    assert attempt.abandon() is False
    for _ in range(2):
        with pytest.raises(Abandoned):
            attempt.mark_sent()
    assert attempt.sent is False


def test_abandoning_a_sent_attempt_says_so() -> None:
    """A request that was given up after it left counts as sent."""
    attempt = Attempt()
    attempt.mark_sent()
    assert attempt.abandon() is True
    assert attempt.sent is True


def test_second_start_is_refused() -> None:
    """An attempt makes one request: the second is a hidden resend."""
    attempt = Attempt()
    attempt.start()
    with pytest.raises(RuntimeError, match="second request"):
        attempt.start()


def test_answer_is_collected() -> None:
    """Status, headers and all bytes of the body are kept in the order they came."""
    attempt = Attempt()
    attempt.set_head(200, {"a": "b"})
    attempt.receive(b"one ")
    attempt.receive(b"two")
    assert (attempt.status, attempt.headers, bytes(attempt.body), attempt.complete) == (
        200, {"a": "b"}, b"one two", False,
    )  # fmt: skip


def test_abandon_and_mark_sent_agree(rapid_switches: None) -> None:
    """However two threads race, `abandon` says "sent" exactly when the request has left."""
    rounds = 5000
    attempts = [Attempt() for _ in range(rounds)]
    left: list[bool] = []
    together = threading.Barrier(2, timeout=30)

    def send() -> None:
        for attempt in attempts:
            together.wait()
            try:
                attempt.mark_sent()
            except Abandoned:
                left.append(False)
            else:
                left.append(True)

    thread = threading.Thread(target=send)
    thread.start()
    sent = []
    for attempt in attempts:
        together.wait()
        sent.append(attempt.abandon())
    thread.join(60)
    assert sent == left
    assert [attempt.sent for attempt in attempts] == left
