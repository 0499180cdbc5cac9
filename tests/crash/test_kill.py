"""SIGKILL at system calls of every operation, and of the repair after it; in the long form at every one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.faults import Fault
from tests.crash.harness import (
    CHANGING,
    NEXT,
    OPERATIONS,
    Operation,
    Runner,
    Seen,
    World,
    by_operation,
    kills,
    kills_to_try,
)
from tests.support import LONG, Model

pytestmark = pytest.mark.usefixtures("no_pause")

Figures = Callable[..., None]

HOUR = 3600.0


@by_operation
def test_a_kill_at_any_call_loses_nothing(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, figures: Figures
) -> None:
    """Killed anywhere, an operation leaves the old history or the new one, and the next message builds on it."""
    world = World(operation, runner, model, tmp_path)
    points, left = kills_to_try(world.calls), Seen()
    for fault in points:
        ran = world.run(fault)
        assert ran.status == -signal.SIGKILL, fault
        now = world.verify(ran)
        if left.first(now, state=world.state()):
            world.verify_next(now)
    assert len(points) >= (2 * len(world.calls) + 1 if LONG else 9), f"{len(points)} trials at {len(world.calls)} calls"
    figures(f"kills: {operation.name}", trials=len(points), broken=0)


REPAIRS = {
    "the repair": ("send", "-s", "s", "--create", NEXT),
    "rewind": ("rewind", "-s", "s"),
    "send-key": ("send", "-s", "s", "--create", "--stream", "--once", "again", NEXT),
    "new-force": ("new", "-s", "s", "--force", "--history", "history.json"),
}
"""What may come after a kill, and be killed in its turn."""

IN_SHORT = {"send-torn", "new-force"}
"""The operations whose repair is killed in the short form, too: a second kill squares the number of trials."""

KILLED_TWICE = [
    pytest.param(
        operation,
        repair,
        id=f"{operation.name}, {repair}",
        marks=[] if operation.name in IN_SHORT and repair == "the repair" else [pytest.mark.torture],
    )
    for operation in OPERATIONS
    for repair in REPAIRS
]


@pytest.mark.parametrize(("operation", "repair"), KILLED_TWICE)
def test_a_kill_in_the_repair_loses_nothing_either(
    operation: Operation, repair: str, runner: Runner, model: Model, tmp_path: Path, figures: Figures
) -> None:
    """Killed again anywhere in the next command, no turn is lost, and the message after that goes through."""
    world = World(operation, runner, model, tmp_path)
    ends, trials = Seen(), 0
    for fault, history, kept in world.remains(tmp_path):
        calls = world.command(*REPAIRS[repair]).calls
        after = world.history()
        for second in kills(calls):
            # Only some calls change what is on the disk.
            if calls[second.at - 1] not in CHANGING:
                continue
            # Killed after a call is killed before the next one; the long form tries both with other commands.
            if second.how == "kill-after" and repair == "the repair":
                continue
            world.restore(kept)
            ran = world.command(*REPAIRS[repair], fault=second)
            now = world.history()
            trials += 1
            where = f"{fault}, then {second}: {ran}"
            assert ran.status == -signal.SIGKILL, where
            assert now in (history, after) or (now == [] and history is None), where
            assert ran.printed is None or now == after, where
            world.verify_requests()
            if ends.first(now, state=world.state()):
                world.verify_next(now, "the last one")
    assert trials >= (20 if repair == "the repair" else 2), f"only {trials} trials"
    trials += len(kills_to_try(world.calls)) if repair == "the repair" else 0  # the first kills are counted here, too
    figures(f"kills, then kills in {repair}: {operation.name}", trials=trials, broken=0)


@pytest.mark.parametrize("call", ["link", "unlink"])
def test_what_a_killed_new_leaves_is_cleared_away(call: str, runner: Runner, model: Model, tmp_path: Path) -> None:
    """The next `new` in that directory takes away every draft that is older than an hour, and no other file."""
    world = World(next(one for one in OPERATIONS if one.name == "new"), runner, model, tmp_path)
    world.run(Fault(world.calls.index(call) + 1, "kill-before"))
    (draft,) = world.sessions.glob(".s.jsonl.new-*")
    of_another = world.sessions / ".t u.jsonl.new-0123456789ab"
    others = [world.sessions / name for name in (".s.jsonl.new-by-hand", "s.jsonl.bak-1", "x.new-0123456789ab")]
    for other in (of_another, *others):
        other.write_bytes(b"")
    for age, left in ((HOUR - 60, True), (HOUR + 60, False)):
        for file in (draft, of_another, *others):
            os.utime(file, (0, time.time() - age))
        assert world.command("new", "-s", "s").status in (0, 73)
        assert draft.exists() == of_another.exists() == left
    assert all(other.exists() for other in others)
