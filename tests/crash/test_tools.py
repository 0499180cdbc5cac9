"""Killed while functions are called: results that were given stay, and none that has ended is run again."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import answer, call, model, user
from tests.crash.harness import Operation, Ran, Runner, Seen, World, kills
from tests.support import LONG, Model

pytestmark = pytest.mark.usefixtures("no_pause")

Figures = Callable[..., None]

IN_DOUBT = 13

CALLS = [call("f", id="c1", args={"n": 1}), call("g", id="c2", args={"n": 2})]


class Caller(Model):
    """A model that calls two functions when it is told to, and tells what they returned."""

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        said = request["contents"][-1]
        results = [part["functionResponse"]["response"] for part in said["parts"] if "functionResponse" in part]
        if said != user("call") and not results:
            return super()._answer(method, target, headers, body)
        self.requests.append(request)
        return json_reply(answer(json.dumps(results)) if results else answer(*CALLS))


@pytest.fixture
def caller() -> Iterator[Caller]:
    """The model of these tests."""
    with Caller() as model:
        yield model


RUNS = "cat > /dev/null; echo # >> ran; echo #"
TOOLS = [{"name": name, "description": name, "command": ["sh", "-c", RUNS.replace("#", name)]} for name in "fg"]
_NEW, _CALL = ("new", "-s", "s"), ("send", "-s", "s", "call")
_RESPOND = ("send", "-s", "s", "--response", "f=1", "--response", "c2=2")


_RUN = ("--tools", "tools.json", "--run-tools")
_CONTINUE = ("send", "-s", "s", "--continue", *_RUN)

RESPOND = Operation("response", _RESPOND, (_NEW, (*_CALL, "--allow", "function_call")))


def test_a_kill_while_results_are_sent(runner: Runner, caller: Caller, tmp_path: Path, figures: Figures) -> None:
    """Results by hand: the call stays open, or is answered; given again, the results are sent once more."""
    world, left = World(RESPOND, runner, caller, tmp_path), Seen()
    points = [fault for fault in kills(world.calls) if LONG or world.calls[fault.at - 1] == "write"]
    for fault in points:
        ran = world.run(fault)
        assert ran.status == -signal.SIGKILL, fault
        now = world.verify(ran)
        if now == world.before and left.first(state=world.state()):
            assert world.command(*_RESPOND).status == 0
            assert world.history() == world.after
    figures("kills: results by hand", trials=len(points), broken=0)


class Calling(World):
    """A world in which functions are run; each writes its name into a file."""

    def _prepare(self) -> None:
        super()._prepare()
        (self._start / "tools.json").write_text(json.dumps(TOOLS))

    def restore(self, place: Path | None = None) -> None:
        """Go back, twice if a tool that was left behind writes meanwhile."""
        try:
            super().restore(place)
        except FileExistsError:
            super().restore(place)

    @property
    def ran(self) -> Counter[str]:
        """How often each function was run."""
        file = self.directory / "ran"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    def recorded(self) -> dict[str, str]:
        """The functions that were started, and the state that is on the disk."""
        journal = self.journal()
        runs = journal.tool_runs("1.1").values() if journal else ()
        return {run["call"]["name"]: run["state"] for run in runs}

    def finish(self, killed: Ran) -> None:
        """What was asked for is done in the end, by commands that a user would give."""
        before, states = self.history(), self.recorded()
        doubtful = [name for name, state in states.items() if state == "started"]
        if before != self.after:
            ran = self.command(*(_CONTINUE if before else RUN.args))
            if before and doubtful:
                assert ran.status == IN_DOUBT, (killed, ran)
                assert all(name in ran.err for name in doubtful)
                assert self.recorded() == states, "something was run although not all may"
                ran = self.command(*_CONTINUE, "--on-unknown", "resend")
            assert ran.status == 0, (killed, ran)
        assert self.history() == self.after
        for name in "fg":
            most = 2 if name in doubtful else 1
            assert 1 <= self.ran[name] <= most, f"{name} was run {self.ran[name]} times: {killed}"


OPEN = [user("call"), model(*CALLS)]
RUN = Operation("run-tools", ("send", "-s", "s", "call", *_RUN), (_NEW,), partway=(OPEN,))


def test_a_kill_while_tools_run(runner: Runner, caller: Caller, tmp_path: Path, figures: Figures) -> None:
    """A tool whose end is recorded is never run again; one that was under way is, if the user says so."""
    world, left = Calling(RUN, runner, caller, tmp_path), Seen()
    points = [fault for fault in kills(world.calls) if LONG or world.calls[fault.at - 1] == "write"]
    for fault in points:
        ran = world.run(fault)
        assert ran.status == -signal.SIGKILL, fault
        world.verify(ran)
        if left.first(state=world.state()):
            world.finish(ran)
    figures("kills: tools that run", trials=len(points), broken=0)


def test_a_kill_at_any_moment_while_tools_run(runner: Runner, caller: Caller, tmp_path: Path, figures: Figures) -> None:
    """The same at random moments."""
    world = Calling(RUN, runner, caller, tmp_path)
    trials, killed, seconds = 200 if LONG else 5, 0, 0.3
    while killed < trials:
        moment, begun = random.uniform(0, seconds), time.monotonic()
        world.restore()
        ran = world.command(*RUN.args, kill_after=moment)
        world.verify(ran)
        if ran.status == -signal.SIGKILL:
            killed += 1
            world.finish(ran)
        else:
            seconds = min(seconds, time.monotonic() - begun)
    figures("kills at random moments: tools that run", trials=killed, broken=0)
