"""One request as two threads see it: it is either given up unsent or sent, and both agree which."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from gemcli.api import attempt as limits
from gemcli.api.attempt import Abandoned, Attempt
from gemcli.api.secrets import Secrets
from gemcli.errors import GemcliError


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


# Limits


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches at once."""
    for name, value in {"MAX_ANSWER": 100, "MAX_EVENT": 50, "MAX_ERROR_BODY": 30, "MAX_KEPT": 20}.items():
        monkeypatch.setattr(limits, name, value)


def receiving(status: int, *pieces: bytes) -> Attempt:
    """An attempt whose answer arrives in these pieces, as far as they are wanted."""
    attempt = Attempt()
    attempt.secrets = Secrets("AIza-a-secret-key")
    attempt.set_head(status, {})
    for piece in pieces:
        if not attempt.receive(piece):
            break
    return attempt


@pytest.mark.parametrize("status", [500, 404, 302, 204])
@pytest.mark.parametrize("size", [1, 7, 200])
def test_error_body_is_read_up_to_a_limit(status: int, size: int, small_limits: None) -> None:
    """Of an answer that brings no answer of a model, so much is read, and no more; it is not an error of its own."""
    attempt = receiving(status, *[b"x" * size] * 100)
    assert bytes(attempt.body) == b"x" * 30


def test_answer_up_to_the_limit(small_limits: None) -> None:
    """An answer may be as long as the limit, and no byte longer; so may an event, or an object in place of events."""
    receiving(200, b"data: " + b"x" * 44, b"\n\n", b"data: " + b"x" * 40, b"\n\n")
    receiving(200, b"{" + b"x" * 49)
    for pieces in (
        [b"data: 1\n\n"] * 12,
        [b"data: " + b"x" * 45],
        [b"data: x\n"] * 7,
        [b"{" + b"x" * 50],
        [b"{\n\n", *[b"x\n\n"] * 16],
    ):
        with pytest.raises(GemcliError, match="longer than"):
            receiving(200, *pieces)


@pytest.mark.parametrize("begin", [b"", b"data: ", b"{"])
@pytest.mark.parametrize("value", [b"[],", b'{"a":1},', b"1,", b'"a",'])
def test_values_up_to_the_limit(value: bytes, begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose values take far more memory than its bytes is left before it is parsed."""
    monkeypatch.setattr(limits, "MAX_VALUES", 300)
    receiving(200, begin, *[value] * 100)
    with pytest.raises(GemcliError, match="more than 300 values"):
        receiving(200, begin, *[value] * 301)
    receiving(200, begin, b"x" * 10_000)
    receiving(200, *[b"data: [1,2]\n\n"] * 301)


def test_what_is_kept_is_short(small_limits: None) -> None:
    """Of a body that is no answer the beginning is kept, and a secret at its end is hidden before it is cut."""
    assert receiving(200, b"x" * 48).text == "x" * 20
    assert receiving(200, b"x" * 10 + b"AIza-a-secret-key and more").text == "x" * 10 + "[the key] "


def test_limits() -> None:
    """No limit is below what real answers reach, and none allows for an endless one."""
    tens = 30 * 2**20
    assert 2 * tens < limits.MAX_EVENT <= limits.MAX_ANSWER < 10 * tens
    assert 500_000 < limits.MAX_VALUES < 5_000_000
    assert 4 * 65_536 <= limits.MAX_KEPT < limits.MAX_ERROR_BODY < tens


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
