"""SIGKILL at every system call of every operation, and at every one of the repair after it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.crash.faults import Fault
from tests.crash.harness import CHANGING, OPERATIONS, Operation, Runner, Seen, World, kills
from tests.support import Model

pytestmark = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def test_a_kill_at_any_call_loses_nothing(operation: Operation, runner: Runner, model: Model, tmp_path: Path) -> None:
    """Killed anywhere, an operation leaves the old history or the new one, and the next message builds on it."""
    world = World(operation, runner, model, tmp_path)
    points, left = kills(world.calls), Seen()
    for fault in points:
        ran = world.run(fault)
        assert ran.status == -signal.SIGKILL, fault
        now = world.verify(ran)
        if left.first(now, state=world.state()):
            world.verify_next(now)
    assert len(points) > 2 * len(world.calls), f"{len(points)} trials at {len(world.calls)} calls"


def test_a_kill_in_the_repair_loses_nothing_either(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path
) -> None:
    """Killed again anywhere in the next command, the session still holds what the first kill left."""
    world = World(operation, runner, model, tmp_path)
    left, ends, trials = Seen(), Seen(), 0
    for number, fault in enumerate(kills(world.calls)):
        history = world.verify(world.run(fault))
        if not left.first(state=world.state()):
            continue
        world.keep(kept := tmp_path / f"left-{number}")
        calls = world.run_next().calls
        after = world.history()
        # Killed after a call is killed before the next one, and only some calls change what is on the disk.
        for second in [kill for kill in kills(calls) if calls[kill.at - 1] in CHANGING and kill.how != "kill-after"]:
            world.restore(kept)
            ran = world.run_next(fault=second)
            now = world.history()
            trials += 1
            where = f"{fault}, then {second}: {ran}"
            assert now in (history or [], after) or (now is None and history is None), where
            assert ran.printed is None or now == after, where
            world.verify_requests()
            if ends.first(now, state=world.state()):
                world.verify_next(now, "the last one")
    assert trials >= 20, f"only {trials} trials"


def test_a_power_loss_at_any_call_loses_nothing(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path
) -> None:
    """What was printed survives a power loss that takes everything that was not synced, and nothing breaks."""
    world, left = World(operation, runner, model, tmp_path), Seen()
    for how in ("power", "power-zeros"):
        for at in range(1, len(world.calls) + 2):
            ran = world.run(Fault(at, how))
            assert ran.status == -signal.SIGKILL, (at, how)
            now = world.verify(ran)
            if left.first(now, state=world.state()):
                world.verify_next(now)
