"""The program is told to stop, at every system call and during the answer: records stay whole, the status says so."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.crash.faults import Fault
from tests.crash.harness import OPERATIONS, Operation, Runner, Seen, World
from tests.support import Gemcli, Model, texts

by_number = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
by_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


@pytest.mark.torture
@by_operation
def test_a_signal_at_any_call_leaves_whole_records(
    operation: Operation,
    runner: Runner,
    model: Model,
    tmp_path: Path,
) -> None:
    """Stopped anywhere, also between the halves of a write, there is no torn line, and the status says so."""
    world, left = World(operation, runner, model, tmp_path), Seen()
    for number in (signal.SIGTERM, signal.SIGINT):
        for at, call in enumerate(world.calls, 1):
            for how in ("signal-before", *(["signal-half"] if call == "write" else [])):
                ran = world.run(Fault(at, how, number))
                where = f"{how} {at}: {ran}"
                assert ran.status in (128 + number, operation.status), where
                assert ran.printed is None or ran.status == operation.status, where
                now = world.verify(ran)
                if world.path.exists() and not operation.damage:
                    assert world.path.read_bytes().endswith(b"\n"), where
                if left.first(now, state=world.state()):
                    world.verify_next(now)


def test_a_signal_in_the_request_record_sends_nothing(runner: Runner, model: Model, tmp_path: Path) -> None:
    """Stopped while the request is written down, the record is whole, with its outcome, and nothing was sent."""
    operation = next(operation for operation in OPERATIONS if operation.name == "send")
    world = World(operation, runner, model, tmp_path)
    at = world.calls.index("write") + 1
    for how in ("signal-before", "signal-half"):
        ran = world.run(Fault(at, how, signal.SIGTERM))
        assert ran.status == 143
        assert "SIGTERM" in ran.err
        assert model.requests == []
        last = [json.loads(line) for line in world.path.read_bytes().splitlines()][-2:]
        assert [record["kind"] for record in last] == ["request", "failure"]
        assert (last[1]["outcome"], last[1]["reason"]) == ("rejected", "INTERRUPTED")


def test_an_answer_that_has_arrived_is_recorded_first(runner: Runner, model: Model, tmp_path: Path) -> None:
    """Stopped while the answer is written down, the turn is there, whole."""
    operation = next(operation for operation in OPERATIONS if operation.name == "send")
    world = World(operation, runner, model, tmp_path)
    at = len(world.calls) - world.calls[::-1].index("write")
    for how in ("signal-before", "signal-half"):
        ran = world.run(Fault(at, how, signal.SIGTERM))
        assert ran.status == 143
        assert world.history() == world.after


class Silent(Model):
    """A model that does not answer before `end`; `asked` tells that it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.end = threading.Event(), threading.Event()

    def __enter__(self) -> Silent:
        super().__enter__()
        return self

    def _answer(self, *request: Any) -> Any:
        self.asked.set()
        self.end.wait(60)
        return super()._answer(*request)


@by_number
def test_a_signal_during_the_call_is_recorded_and_ends_it(number: signal.Signals, gemcli: Gemcli) -> None:
    """Stopped while the model thinks, the program ends at once with 128+n, and the request is in doubt."""
    with Silent() as model:
        try:
            sender = gemcli.start("send", "-s", "a", "--create", "hello", env=model.env)
            assert model.asked.wait(60)
            sender.send_signal(number)
            out, err = sender.communicate(timeout=30)
        finally:
            model.end.set()
    assert (sender.returncode, out) == (128 + number, b"")
    assert number.name.encode() in err
    assert [record["kind"] for record in gemcli.records("a")] == ["session", "request", "failure"]
    assert gemcli.records("a")[-1]["outcome"] == "unknown"


def test_nohup_outlives_the_terminal(gemcli: Gemcli) -> None:
    """A send under nohup goes on after HUP, and its answer is recorded and printed."""
    with Silent() as model:
        try:
            sender = gemcli.start("send", "-s", "a", "--create", "hello", env=model.env, preexec_fn=ignore_hup)
            assert model.asked.wait(60)
            sender.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                sender.wait(0.5)
        finally:
            model.end.set()
        out, _ = sender.communicate(timeout=60)
    assert sender.returncode == 0
    assert json.loads(out)["saved"] is True
    assert texts([record["content"] for record in gemcli.records("a") if record["kind"] == "request"]) == ["hello"]


def ignore_hup() -> None:
    """Do as nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_signal_after_the_reader_is_gone_is_no_traceback(gemcli: Gemcli) -> None:
    """Two signals in a row end the program like one."""
    with Silent() as model:
        try:
            sender = gemcli.start("send", "-s", "a", "--create", "hello", env=model.env)
            assert model.asked.wait(60)
            sender.send_signal(signal.SIGINT)
            sender.send_signal(signal.SIGINT)
            _, err = sender.communicate(timeout=30)
        finally:
            model.end.set()
    assert sender.returncode == 130
    assert b"Traceback" not in err
    assert [record["kind"] for record in gemcli.records("a")][:2] == ["session", "request"]
