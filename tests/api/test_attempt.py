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


def test_new_call_is_unsent() -> None:
    """A call that nobody has made yet has no answer and was not sent."""
    call = Attempt()
    assert (call.sent, call.complete, call.status, bytes(call.body)) == (False, False, None, b"")


def test_abandoned_call_does_not_leave() -> None:
    """A request that was given up before it left never leaves, however often it is tried."""
    call = Attempt()
    assert call.abandon() is False
    for _ in range(2):
        with pytest.raises(Abandoned):
            call.mark_sent()
    assert call.sent is False


def test_abandoning_a_sent_call_says_so() -> None:
    """A request that was given up after it left counts as sent."""
    call = Attempt()
    call.mark_sent()
    assert call.abandon() is True
    assert call.sent is True


def test_second_start_is_refused() -> None:
    """A call makes one request: the second is a hidden resend."""
    call = Attempt()
    call.start()
    with pytest.raises(RuntimeError, match="second request"):
        call.start()


def test_answer_is_collected() -> None:
    """Status, headers and all bytes of the body are kept in the order they came."""
    call = Attempt()
    call.set_head(200, {"a": "b"})
    call.receive(b"one ")
    call.receive(b"two")
    assert (call.status, call.headers, bytes(call.body), call.complete) == (200, {"a": "b"}, b"one two", False)


def test_abandon_and_leave_agree(rapid_switches: None) -> None:
    """However two threads race, `abandon` says "sent" exactly when the request has left."""
    rounds = 5000
    calls = [Attempt() for _ in range(rounds)]
    left: list[bool] = []
    together = threading.Barrier(2, timeout=30)

    def leave() -> None:
        for call in calls:
            together.wait()
            try:
                call.mark_sent()
            except Abandoned:
                left.append(False)
            else:
                left.append(True)

    thread = threading.Thread(target=leave)
    thread.start()
    sent = []
    for call in calls:
        together.wait()
        sent.append(call.abandon())
    thread.join(60)
    assert sent == left
    assert [call.sent for call in calls] == left
