"""The line that tells what is waited for: late, once, and never in the way of anything else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gemcli.signals import TimeUp
from gemcli.terminal import output, status_line
from gemcli.terminal.output import Output
from gemcli.terminal.status_line import ERASED, StatusLine

WHAT = "waiting for the answer"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line comes almost at once."""
    monkeypatch.setattr(status_line, "PATIENCE", 0.02)
    monkeypatch.setattr(status_line, "INTERVAL", 0.02)


class Screen:
    """A terminal: what was drawn on it, piece by piece."""

    def __init__(self, columns: int | None = 80) -> None:
        self.drawn: list[str] = []
        self.columns = columns
        self.line = StatusLine(self.drawn.append, lambda: self.columns)

    def until(self, seen: Callable[[], bool]) -> None:
        """Wait until it is so, and fail if it never is."""
        end = time.monotonic() + 5
        while not seen():
            assert time.monotonic() < end, self.drawn
            time.sleep(0.005)


def test_the_line_comes_and_goes() -> None:
    """It is drawn while the block waits, and erased once at its end; then nothing is drawn any more."""
    screen = Screen()
    with screen.line.waiting(WHAT):
        assert screen.drawn == []
        screen.until(lambda: len(screen.drawn) >= 2)
    drawn = list(screen.drawn)
    assert set(drawn[:-1]) == {f"{ERASED}{WHAT}, 0 s"}
    assert drawn[-1] == ERASED
    time.sleep(0.1)
    assert screen.drawn == drawn


def test_what_is_waited_for_may_change() -> None:
    """A function is asked for each line that is drawn."""
    screen, words = Screen(), [WHAT]
    with screen.line.waiting(lambda: words[-1]):
        screen.until(lambda: screen.drawn[-1:] == [f"{ERASED}{WHAT}, 0 s"])
        words.append("the end")
        screen.until(lambda: screen.drawn[-1] == f"{ERASED}the end, 0 s")


def test_a_short_wait_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not wait for long is told nothing, and nothing is erased either."""
    monkeypatch.setattr(status_line, "PATIENCE", 5)
    screen = Screen()
    with screen.line.waiting(WHAT):
        pass
    screen.line.stop()
    assert screen.drawn == []


def test_what_is_printed_meanwhile() -> None:
    """The line makes way, and comes back."""
    screen = Screen()
    with screen.line.waiting(WHAT):
        screen.until(lambda: bool(screen.drawn))
        with screen.line.hidden():
            assert screen.drawn[-1] == ERASED
            size = len(screen.drawn)
            time.sleep(0.1)
            assert len(screen.drawn) == size
        screen.until(lambda: len(screen.drawn) > size)


def test_stopped_for_good() -> None:
    """When the answer begins to arrive, the line does not come back, though the block goes on."""
    screen = Screen()
    with screen.line.waiting(WHAT):
        screen.until(lambda: bool(screen.drawn))
        screen.line.stop()
        size = len(screen.drawn)
        time.sleep(0.1)
    assert (screen.drawn[-1], len(screen.drawn)) == (ERASED, size)


def wait_in_vain(screen: Screen, end: type[BaseException]) -> None:
    """Wait until the line is there, and give up."""
    with screen.line.waiting(WHAT):
        screen.until(lambda: bool(screen.drawn))
        raise end


@pytest.mark.parametrize("end", [TimeUp, KeyboardInterrupt, ValueError])
def test_it_goes_however_the_wait_ends(end: type[BaseException]) -> None:
    """A signal or an error ends the wait: the line is erased before the error is printed. The next wait is as good."""
    screen = Screen()
    for _ in range(2):
        screen.drawn.clear()
        with pytest.raises(end):
            wait_in_vain(screen, end)
        assert screen.drawn[-1] == ERASED


def test_waits_that_overlap() -> None:
    """Each ends its own line."""
    screen = Screen()
    with screen.line.waiting(WHAT):
        with screen.line.waiting("waiting for something else"):
            screen.until(lambda: bool(screen.drawn))
        screen.until(lambda: screen.drawn[-1].endswith(f"{WHAT}, 0 s"))
    size = len(screen.drawn)
    time.sleep(0.1)
    assert (screen.drawn[-1], len(screen.drawn)) == (ERASED, size)


def test_no_wider_than_the_terminal_is_now() -> None:
    """A terminal that is made smaller gets a shorter line the next time."""
    screen = Screen(80)
    with screen.line.waiting(WHAT):
        screen.until(lambda: bool(screen.drawn))
        screen.columns = 20
        screen.until(lambda: screen.drawn[-1] == f"{ERASED}waiting for the an…")


def test_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program has the terminal nothing is drawn."""
    screen = Screen(80)
    with screen.line.waiting(WHAT):
        screen.until(lambda: bool(screen.drawn))
        screen.columns = None
        time.sleep(0.05)
        size = len(screen.drawn)
        time.sleep(0.1)
        assert len(screen.drawn) == size


@pytest.mark.parametrize(
    ("person", "options", "terminals", "in_front"),
    [
        (True, {"dumb": False}, {1, 2}, True),
        (False, {"dumb": True}, {1, 2}, True),
        (False, {"dumb": False, "errors_json": True}, {1, 2}, True),
        (False, {"dumb": False}, {1}, True),
        (False, {"dumb": False}, {2}, True),
        (False, {"dumb": False}, {1, 2}, False),
    ],
    ids=["person", "dumb", "errors-json", "log", "pager", "background"],
)
def test_only_a_person_is_told(
    person: bool, options: dict[str, Any], terminals: set[int], in_front: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else starts a thread or gets a byte."""
    drawn: list[bytes] = []
    monkeypatch.setattr(output, "is_terminal", lambda fd: fd in terminals)
    monkeypatch.setattr(output, "is_in_front", lambda _: in_front)
    monkeypatch.setattr(output, "write_within", lambda _seconds, _fd, data: drawn.append(data))
    before = set(threading.enumerate())  # threads of other tests may still be about to end
    with Output(**options).waiting(WHAT):
        threads = [thread for thread in threading.enumerate() if thread not in before]
        time.sleep(0.1)
    assert bool(drawn) is person
    assert bool(threads) is person
