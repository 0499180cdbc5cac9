"""Killed in a long answer: no hop that is on the disk is asked for again, and in the end the text is whole."""

from __future__ import annotations

import errno
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Reply
from tests.builders import chunk, sse, streaming, user
from tests.builders import model as said
from tests.crash.faults import Fault
from tests.crash.harness import Operation, Runner, Seen, World, kills
from tests.support import LONG, Model

pytestmark = pytest.mark.usefixtures("no_pause")

Figures = Callable[..., None]

PIECES = [f"piece {number}, " for number in range(10)]
IN_A_HOP = 2
TELL = user("tell")


@dataclass
class Storyteller(Model):
    """A model that tells the pieces, two in a hop; a token is the number of the piece it goes on from.

    `asked` are these numbers, one for each request. Each piece has a checkpoint. With `drops` the hop from that piece
    breaks off in the middle of its second piece.
    """

    asked: list[int] = field(default_factory=list)
    drops: int | None = None
    pause: float = 0.0

    def places(self, first: int) -> Iterator[int]:
        """Where the hops begin that are left when so many pieces were told."""
        while first < len(PIECES):
            yield first
            first += 1 if first == self.drops else IN_A_HOP

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        if request["contents"][-1] != TELL:
            return super()._answer(method, target, headers, body)
        self.requests.append(request)
        first = int(request.get("continuationToken", "0"))
        breaks = first == self.drops
        self.asked.append(first)
        events: list[Any] = []
        for number, piece in enumerate(PIECES[first : first + IN_A_HOP], first + 1):
            events.append(chunk(piece, usageMetadata={"totalTokenCount": number}))
            events[-1]["candidates"][0]["continuationToken"] = str(number)
        if breaks:
            return streaming(sse(events[0]), self.pause, sse(chunk(PIECES[first + 1][:3])), self.pause)
        last = events[-1]["candidates"][0]
        last["finishReason"] = "CONTINUATION" if number < len(PIECES) else "STOP"
        if number == len(PIECES):
            del last["continuationToken"]
        return streaming(*[step for event in events for step in (sse(event), self.pause)])


@pytest.fixture
def storyteller() -> Iterator[Storyteller]:
    """The model of these tests."""
    with Storyteller() as model:
        yield model


def told(count: int) -> list[Any]:
    """The history in which so many pieces were told."""
    return [TELL, said("".join(PIECES[:count]))]


STORY = told(len(PIECES))
BEGUN = tuple(told(count) for count in range(1, len(PIECES)))
_NEW, _TELL = ("new", "-s", "s"), ("send", "-s", "s", "tell")
_BEGIN = (*_TELL, "--max-hops", "2", "--allow", "incomplete")
_ONCE = ("send", "-s", "s", "--once", "k", "--on-unknown", "resend", "tell")
_REPLAY = ("replay", "tell.json", "-s", "s", "--on-unknown", "resend")
_CONTINUE = ("send", "-s", "s", "--continue")

OPERATIONS = [
    pytest.param(Operation(name, args, before, partway=BEGUN), id=name, marks=marks)
    for name, args, before, marks in (
        ("send", _TELL, (_NEW,), []),
        ("continue", _CONTINUE, (_NEW, _BEGIN), [pytest.mark.torture]),
        ("once", _ONCE, (_NEW,), [pytest.mark.torture]),
        ("replay", _REPLAY, (_NEW,), [pytest.mark.torture]),
        ("send-stream", (*_TELL, "--stream"), (_NEW,), [pytest.mark.torture]),
    )
]


class Telling(World):
    """A world in which the story is told, to the end or to the next kill."""

    model: Storyteller

    def _prepare(self) -> None:
        super()._prepare()
        (self._start / "tell.json").write_text('["tell"]')

    def run(self, fault: Fault | None = None, kill_after: float | None = None) -> Any:
        """Run the operation from the start."""
        self.restore()
        self.model.asked.clear()
        return self.command(*self.operation.args, fault=fault, kill_after=kill_after)

    def finish(self, *, killed_anywhere: bool = False) -> None:
        """Have the story told to its end, by commands that a user would give; see what the model was asked for that."""
        before, self.model.asked[:] = self.model.asked.copy(), []
        assert before == sorted(set(before)), f"asked for twice in one command: {before}"
        done = self.done
        journal = self.journal()
        written = [one["token"] for one in journal.records if one["kind"] == "continue"] if journal else []
        assert {str(place) for place in before if place} <= {*written}, "asked for before it was written down"
        assert len([place for place in before if place >= done]) <= 1, f"{before} with {done} on the disk"
        if self.operation.args in (_ONCE, _REPLAY):
            args: tuple[str, ...] = self.operation.args
        elif journal and journal.continuable:
            args = _CONTINUE
        else:
            args = _TELL if done < len(PIECES) else ("history", "-s", "s")
        ran = self.command(*args)
        assert ran.status == 0, ran
        assert self.history() == STORY
        left = [*self.model.places(done)]
        # What a killed command asked for may reach the model late.
        late = [done] if killed_anywhere and Counter(self.model.asked)[done] > 1 else []
        assert sorted(self.model.asked) == sorted(late + left), "a recorded hop is asked for again, or none is"

    @property
    def done(self) -> int:
        """How many pieces of the story are on the disk."""
        history = self.history() or []
        return history[1]["parts"][0]["text"].count(",") if history else 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_call_loses_no_hop(
    operation: Operation, runner: Runner, storyteller: Storyteller, tmp_path: Path, figures: Figures
) -> None:
    """Killed anywhere, the hops on the disk stay, and the next command asks for the others only."""
    world = Telling(operation, runner, storyteller, tmp_path)
    assert world.after == STORY
    points, left = kills(world.calls), Seen()
    if not LONG:  # only writes change what a kill leaves behind
        points = [fault for fault in points if world.calls[fault.at - 1] == "write" and fault.how != "kill-after"]
    for fault in points:
        ran = world.run(fault)
        assert ran.status == -signal.SIGKILL, fault
        now = world.verify(ran)
        if left.first(now, state=world.state()):
            world.finish()
    figures(f"kills: {operation.name} of five hops", trials=len(points), broken=0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_moment_loses_no_hop(
    operation: Operation, runner: Runner, storyteller: Storyteller, tmp_path: Path, figures: Figures
) -> None:
    """The same at random moments, while the model tells, breaks off and is asked for more."""
    storyteller.pause, storyteller.drops = 0.003, 4
    world = Telling(operation, runner, storyteller, tmp_path)
    trials, killed, seconds = 200 if LONG else 6, 0, 0.2
    while killed < trials:
        moment, begun = random.uniform(0, seconds), time.monotonic()
        ran = world.run(kill_after=moment)
        world.verify(ran)
        if ran.status == -signal.SIGKILL:
            killed += 1
            world.finish(killed_anywhere=True)
        else:  # it takes less time than thought
            seconds = min(seconds, time.monotonic() - begun)
    figures(f"kills at random moments: {operation.name} of five hops", trials=killed, broken=0)


INCOMPLETE, IO = 4, 74


@pytest.mark.torture
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_call_that_fails_loses_no_hop(
    operation: Operation, number: int, runner: Runner, storyteller: Storyteller, tmp_path: Path, figures: Figures
) -> None:
    """What is on the disk is what was printed, or less and then that is said; nothing is asked for unrecorded."""
    world = Telling(operation, runner, storyteller, tmp_path)
    points = range(1, len(world.calls) + 1)
    for at in points:
        ran = world.run(Fault(at, "error", number))
        where = f"{at}: {ran}"
        assert ran.status in (0, INCOMPLETE, IO), where
        printed = next((event for event in ran.events if event.get("sent") and event.get("hops")), None)
        assert (ran.status == IO) == (printed is None or not printed["saved"]), where
        if printed:
            told_of = printed["text"].count(",")
            # An answer that a power cut may take is there until then.
            assert world.done == told_of if printed["saved"] else world.done <= told_of, where
        world.finish()
    figures(f"failing calls: {operation.name} of five hops", cases=len(points), lost=0)


@pytest.mark.torture
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_signal_at_any_call_loses_no_hop(
    operation: Operation, runner: Runner, storyteller: Storyteller, tmp_path: Path
) -> None:
    """Stopped anywhere, what was answered is recorded whole, and the next command asks for the rest."""
    world = Telling(operation, runner, storyteller, tmp_path)
    for at, call in enumerate(world.calls, 1):
        for how in ("signal-before", *(["signal-half"] if call == "write" else [])):
            ran = world.run(Fault(at, how, signal.SIGTERM))
            assert ran.status in (0, 128 + signal.SIGTERM), (at, ran)
            assert world.path.read_bytes().endswith(b"\n")
            world.finish()
