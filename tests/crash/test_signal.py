"""The program is told to stop at every system call: records stay whole, and the status says so.

Signals while it waits are in tests/system/test_interrupts.py.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.crash.faults import Fault
from tests.crash.harness import OPERATIONS, Operation, Runner, Seen, World
from tests.support import Model

by_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


@pytest.mark.torture
@by_operation
def test_a_signal_at_any_call_leaves_whole_records(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path
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
