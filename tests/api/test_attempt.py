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


def test_answer_is_collected() -> None:
    """A new attempt is unsent and has no answer; status, headers and all bytes are kept in the order they came."""
    attempt = Attempt()
    assert (attempt.sent, attempt.complete, attempt.status, bytes(attempt.body)) == (False, False, None, b"")
    attempt.set_head(200, {"a": "b"})
    attempt.receive(b"one ")
    attempt.receive(b"two")
    assert (attempt.status, attempt.headers, bytes(attempt.body)) == (200, {"a": "b"}, b"one two")
    assert not attempt.complete


def test_abandoned_or_sent() -> None:
    """A request that was given up before it left never leaves; one that was given up after it left counts as sent."""
    attempt, late = Attempt(), Attempt()
    assert attempt.abandon() is False
    for _ in range(2):
        with pytest.raises(Abandoned):
            attempt.mark_sent()
    assert attempt.sent is False
    late.mark_sent()
    assert (late.abandon(), late.sent) == (True, True)


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
