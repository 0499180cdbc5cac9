"""Signals as exceptions, the moments when they wait, and time limits."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from gemcli.signals import Interrupted, TimeUp, deferred, raised, time_limit

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

by_number = pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)


def kill_and_wait(number: int) -> None:
    """Send this process a signal, and give it the time to arrive."""
    os.kill(os.getpid(), number)
    time.sleep(5)


@by_number
def test_a_signal_is_raised(number: signal.Signals) -> None:
    """INT, TERM and HUP become an exception that knows its name, and the handlers come back afterwards."""
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as error, raised():
        kill_and_wait(number)
    assert (error.value.signum, error.value.name) == (number, number.name)
    assert signal.getsignal(number) is before


@by_number
def test_a_signal_waits_for_the_end_of_a_deferral(number: signal.Signals) -> None:
    """Inside `deferred` nothing is raised; at the end of the outermost block it is, once."""
    reached = []

    def nested() -> None:
        with deferred:
            with deferred:
                os.kill(os.getpid(), number)
                reached.append("inside")
            reached.append("still inside")
        reached.append("never")

    with pytest.raises(Interrupted) as error, raised():
        nested()
    assert error.value.signum == number
    assert reached == ["inside", "still inside"]
    with raised(), deferred:
        pass  # nothing is left of it


def test_a_deferred_signal_wakes_who_waits() -> None:
    """A wait inside a deferral is told, also of a signal that came before it began."""
    woken = []

    def wait_twice() -> None:
        with deferred.waking(lambda: woken.append("during")):
            os.kill(os.getpid(), signal.SIGTERM)
        with deferred.waking(lambda: woken.append("before")):
            pass

    with pytest.raises(Interrupted), raised(), deferred:
        wait_twice()
    assert woken == ["during", "before"]


@by_number
def test_what_the_parent_ignores_stays_ignored(number: signal.Signals) -> None:
    """A program under nohup, or in the background of a script, is not stopped by what it was told to ignore."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with raised():
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_other_threads_leave_signals_alone() -> None:
    """Outside the main thread `raised` changes nothing, for Python allows it nowhere else."""
    failed: list[BaseException] = []

    def enter() -> None:
        try:
            with raised():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert failed == []


def test_a_time_limit_ends_a_wait() -> None:
    """A call without a time limit of its own is ended, and the handler and timer are as before."""
    before = signal.getsignal(signal.SIGALRM)
    reader, writer = os.pipe()
    with pytest.raises(TimeUp), time_limit(0.1):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_time_limit_that_is_not_reached_does_nothing() -> None:
    """What is done in time is not disturbed, then or later."""
    with time_limit(0.2):
        pass
    time.sleep(0.3)


def test_a_time_limit_insists() -> None:
    """An exception that gets lost is raised again, until the block is left."""
    lost = 0
    with time_limit(0.05):
        while lost < 3:
            try:
                time.sleep(10)
            except TimeUp:
                lost += 1
    assert lost == 3


# Imports


@pytest.fixture
def struck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module during whose import TERM comes."""
    name = "struck_by_a_signal"
    source = "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.05)\nwhole = True\n"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def imported(name: str) -> None:
    """Import a module, and wait for a signal."""
    assert importlib.import_module(name).whole
    time.sleep(5)


def test_a_signal_during_an_import_waits_for_its_end(struck: str) -> None:
    """An exception in the middle of it could be swallowed, wrapped, or leave the import lock taken for good."""
    with pytest.raises(Interrupted) as error, raised():
        imported(struck)
    assert error.value.signum == signal.SIGTERM
    assert sys.modules[struck].whole
    assert (deferred.arrived, signal.getitimer(signal.ITIMER_REAL)[0]) == ([], 0)


def test_a_signal_during_an_import_in_a_deferral(struck: str) -> None:
    """It is raised at the end of the deferral, like any other."""
    reached = []

    def held() -> None:
        with deferred:
            importlib.import_module(struck)
            reached.append("the end")

    with pytest.raises(Interrupted), raised():
        held()
    assert reached == ["the end"]


def test_a_signal_during_an_import_comes_before_a_time_limit(struck: str) -> None:
    """Both need the one timer there is: what has arrived is raised first."""

    def limited() -> None:
        importlib.import_module(struck)
        with time_limit(5):
            time.sleep(5)

    start = time.monotonic()
    with pytest.raises(Interrupted), raised():
        limited()
    assert time.monotonic() - start < 4


def test_a_signal_during_an_import_in_a_time_limit(struck: str) -> None:
    """There is but one timer, so it is raised when the block is left."""
    reached = []

    def limited() -> None:
        with time_limit(5):
            importlib.import_module(struck)
            reached.append("the end")
        reached.append("never")

    with pytest.raises(Interrupted), raised():
        limited()
    assert reached == ["the end"]


def test_a_time_limit_waits_for_the_end_of_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being imported when the time is up is imported whole."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.2)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_to_import", raising=False)
    with pytest.raises(TimeUp), time_limit(0.05):
        imported("slow_to_import")
    assert sys.modules["slow_to_import"].whole


def test_a_blocked_alarm_is_unblocked() -> None:
    """Whoever blocked SIGALRM before the program began does not keep a time limit from ending; it is blocked again."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        with raised(), pytest.raises(TimeUp), time_limit(0.05):
            time.sleep(5)
        assert signal.SIGALRM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
