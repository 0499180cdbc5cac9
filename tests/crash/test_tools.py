"""Killed while functions are called: the call stays open, or has its results."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import answer, call, user
from tests.crash.harness import CHANGING, Operation, Runner, Seen, World, kills
from tests.support import LONG, Model

pytestmark = pytest.mark.usefixtures("no_pause")

Figures = Callable[..., None]

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


_NEW, _CALL = ("new", "-s", "s"), ("send", "-s", "s", "call")
_RESPOND = ("send", "-s", "s", "--response", "f=1", "--response", "c2=2")


RESPOND = Operation("response", _RESPOND, (_NEW, (*_CALL, "--allow", "function_call")))


def test_a_kill_while_results_are_sent(runner: Runner, caller: Caller, tmp_path: Path, figures: Figures) -> None:
    """Results by hand: the call stays open, or is answered; given again, the results are sent once more."""
    world, left = World(RESPOND, runner, caller, tmp_path), Seen()
    points = [fault for fault in kills(world.calls) if LONG or world.calls[fault.at - 1] in CHANGING]
    for fault in points:
        ran = world.run(fault)
        assert ran.status == -signal.SIGKILL, fault
        now = world.verify(ran)
        if now == world.before and left.first(state=world.state()):
            assert world.command(*_RESPOND).status == 0
            assert world.history() == world.after
    figures("kills: results by hand", trials=len(points), broken=0)
