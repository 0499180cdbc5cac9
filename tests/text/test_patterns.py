"""Searching with patterns that may take for ever: the process that searches, and how it is ended."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.text import patterns
from gemcli.text.patterns import TooSlow
from tests.builders import error_from

SLOW = ("(a+)+$", "a" * 60 + "!")
"""A pattern and a text for which `re` needs longer than anybody waits."""


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """Leave no process to the next test."""
    yield
    patterns._searcher.close()


def process_id() -> int:
    """The process that searches."""
    process = patterns._searcher._process
    assert process is not None
    return process.pid


def test_searching() -> None:
    """A pattern is one of Python's, anywhere in the text; one process makes many searches."""
    assert patterns.found("(?i)merci", "Ah, MERCI!")
    first = process_id()
    for pattern, text, expected in (
        ("^b", "a\nb", False),
        ("(?m)^b$", "a\nb", True),
        ("é\ud800\0", "xé\ud800\0", True),
        ("$", "", True),
        ("b$", "a" * 3_000_000 + "b", True),
    ):
        assert patterns.found(pattern, text) is expected
    assert process_id() == first


@given(st.text(), st.text(), st.text())
def test_any_text(before: str, text: str, after: str) -> None:
    """What is there is found, whatever it is made of."""
    assert patterns.found(re.escape(text), before + text + after)


def test_a_search_that_takes_too_long() -> None:
    """It is given up in time, its process is ended, and the next search finds what it looks for."""
    start = time.monotonic()
    with pytest.raises(TooSlow):
        patterns.found(*SLOW, seconds=0.3)
    assert time.monotonic() - start < 2
    assert patterns._searcher._process is None
    assert patterns.found("a", "a")


def test_the_process_ends_by_itself() -> None:
    """If gemcli is killed, nobody ends the search: it has an alarm of its own."""
    patterns.found("a", "a")
    process = patterns._searcher._process
    assert process is not None
    print(json.dumps([*SLOW, 0.2]), file=process.stdin, flush=True)
    assert process.wait(10) == -signal.SIGALRM


def test_others_run_meanwhile() -> None:
    """A search in a thread holds up no other thread."""

    def search() -> None:
        with pytest.raises(TooSlow):
            patterns.found(*SLOW, seconds=0.5)

    thread = threading.Thread(target=search)
    thread.start()
    ticks = 0
    while thread.is_alive():
        time.sleep(0.01)
        ticks += 1
    assert ticks > 5


def test_no_process_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a process to spare is an error that says so."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("subprocess.Popen", refuse)
    error = error_from(patterns.found, "a", "a")
    assert (error.reason, "cannot start a process" in error.message) == ("IO", True)
    monkeypatch.undo()
    assert patterns.found("a", "a")
