"""System calls of every operation fail; in the long form every call, in every way that disks fail, also for good."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.faults import Fault
from tests.crash.harness import Operation, Ran, Runner, Seen, World, by_operation, failures
from tests.support import Model

pytestmark = pytest.mark.usefixtures("no_pause")

IO = 74
EVERY = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE)
SOME = (errno.ENOSPC, errno.EIO)

Figures = Callable[..., None]


def verify(world: World, ran: Ran, fault: object) -> None:
    """What holds after a failed call: the status says what is on the disk, and no answer is lost."""
    undisturbed = world.operation.status
    where = f"{fault}: {ran}"
    assert ran.status in (undisturbed, IO), where
    now = world.verify(ran)
    asked = len(world.model.requests)
    if ran.status == undisturbed:
        assert now == world.after, where
    else:
        assert "gemcli: error: " in ran.err, where
    if world.operation.args[0] == "send" and undisturbed == 0:
        saved = ran.printed["saved"] if ran.printed else None
        # Not asked, or answered and saved, or answered and printed with the word that it is not saved.
        assert (ran.status, asked, saved) in ((IO, 0, None), (0, 1, True), (IO, 1, False)), where
    elif world.operation.args[0] == "send" and ran.status == IO and ran.printed is None:
        assert asked == 0, where
    told = [ran.printed["saved"]] if ran.printed and "saved" in ran.printed else []
    if world.operation.args[0] == "replay":
        # Every request that was made is told of, and at most the last answer is not saved.
        told = [event["saved"] for event in ran.events if event["event"] == "turn" and event["sent"]]
        assert len(told) == asked, where
        assert False not in told[:-1], where
    # A copy of the session is for an answer that could not go into it.
    for lost in world.sessions.glob("*.lost-*") if world.sessions.exists() else ():
        assert told[-1:] == [False] or f"the received part of the answer is in {lost}" in ran.err, (lost, where)
    # A failure whose record could not be written does not say that what had arrived is in the session.
    assert "could not be recorded" not in ran.err or "is in the session file" not in ran.err, where


@by_operation
@pytest.mark.parametrize(
    ("lasting", "numbers"),
    [
        pytest.param("", SOME, id="once"),
        pytest.param("", EVERY, id="once-every-number", marks=pytest.mark.torture),
        pytest.param("kind", SOME, id="its-kind", marks=pytest.mark.torture),
        pytest.param("all", SOME, id="everything", marks=pytest.mark.torture),
    ],
)
def test_a_call_that_fails_is_74_or_does_not_matter(
    operation: Operation,
    lasting: str,
    numbers: tuple[int, ...],
    runner: Runner,
    model: Model,
    tmp_path: Path,
    figures: Figures,
) -> None:
    """A failing call ends in 74 with a session that holds, or in the usual success; nothing unrecorded is sent."""
    world, left = World(operation, runner, model, tmp_path), Seen()
    points = failures(world.calls, lasting, numbers)
    for fault in points:
        verify(world, world.run(fault), fault)
        now = world.history()
        if left.first(now, state=world.state()):
            world.verify_next(now)
    assert len(points) >= 2 * 8
    figures(f"failing calls: {operation.name}: {lasting or 'once'}, {len(numbers)} errors", cases=len(points), lost=0)


@by_operation
def test_a_write_cut_short_by_a_full_disk_is_taken_back(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path
) -> None:
    """A disk that is full after half a record leaves the session as it was, without a torn line."""
    world = World(operation, runner, model, tmp_path)
    writes = [at for at, call in enumerate(world.calls, 1) if call == "write"]
    for at in writes:
        fault = Fault(at, "error-half", errno.ENOSPC)
        ran = world.run(fault)
        assert ran.status in (IO, operation.status), ran
        verify(world, ran, fault)
        if world.path.exists() and not operation.damage:
            assert world.path.read_bytes().endswith(b"\n")
        world.verify_next(world.history())
    assert writes


@by_operation
def test_a_short_write_goes_on(operation: Operation, runner: Runner, model: Model, tmp_path: Path) -> None:
    """A write that takes only half of the bytes is no error: the rest follows."""
    world = World(operation, runner, model, tmp_path)
    for at, call in enumerate(world.calls, 1):
        if call == "write":
            ran = world.run(Fault(at, "short"))
            assert ran.status == operation.status
            assert world.verify(ran) == world.after
            world.verify_next(world.after)
