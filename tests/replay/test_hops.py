"""Long answers in conversations: what a run does not get, the next one does, and nothing is asked for twice."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from gemcli.replay.events import Outcome
from gemcli.signals import Interrupted, deferred
from tests.builders import answer, call, unfinished
from tests.replay.world import World, came_to, error

TALE: dict[str, Any] = {"turns": [{"user": "a", "expect": {"equals": "Once upon a time"}}, "b"]}
HOPS = [unfinished("Once", token="t1"), unfinished(" upon", token="t2"), answer(" a time")]


def tokens(world: World) -> list[Any]:
    """The tokens that the model was sent, None for a message."""
    return [body.get("continuationToken") for body in world.model.bodies]


def test_in_one_run(world: World) -> None:
    """Hop after hop is asked for, and the whole answer is checked."""
    first, _ = outcomes = world.play(TALE, *HOPS)
    assert came_to(outcomes) == ["ok", "ok"]
    assert first.result is not None
    assert (first.result.hops, first.paid["totalTokenCount"], tokens(world)) == (3, 21, [None, "t1", "t2", None])
    assert came_to(world.play(TALE)) == ["reused", "reused"]
    assert len(world.model.bodies) == 4


def test_in_two_runs(world: World) -> None:
    """A hop that fails ends the conversation; the next run asks for it again, and pays for what is left."""
    first, _ = outcomes = world.play(TALE, HOPS[0], error("UNAVAILABLE"))
    assert came_to(outcomes) == ["failed INCOMPLETE", "skipped"]
    assert first.result is not None
    assert (first.result.resumable, first.result.verdict.text, first.paid["totalTokenCount"]) == (True, "Once", 7)
    assert first.error is not None
    assert first.error.hint == "run the same command again: the answer goes on"
    assert came_to(world.play(TALE, dry=True)) == ["planned", "planned"]
    first, _ = outcomes = world.play(TALE, *HOPS[1:])
    assert came_to(outcomes) == ["ok", "ok"]
    assert (first.number, first.sent, first.paid["totalTokenCount"]) == (1, True, 14)
    assert tokens(world) == [None, "t1", "t1", "t2", None]
    assert came_to(world.play(TALE)) == ["reused", "reused"]


def test_a_first_hop_that_fails_again(world: World) -> None:
    """It is an error of its own kind, and changes nothing of what there is."""
    world.play(TALE, HOPS[0], error("UNAVAILABLE"))
    outcomes = world.play(TALE, error("RATE_LIMIT"))
    assert (came_to(outcomes), outcomes[0].number) == (["error RATE_LIMIT", "skipped"], 1)
    assert came_to(world.play(TALE, *HOPS[1:])) == ["ok", "ok"]


def test_a_hop_in_doubt(world: World) -> None:
    """It is asked for again only if the script allows it."""
    world.play(TALE, HOPS[0], error("CONNECTION_LOST", "unknown"))
    for _ in range(2):
        outcomes = world.play(TALE)
        assert (came_to(outcomes), outcomes[0].number) == (["in_doubt IN_DOUBT", "skipped"], 1)
    assert len(world.model.bodies) == 2
    assert came_to(world.play(TALE, *HOPS[1:], on_unknown="resend")) == ["ok", "ok"]


def test_a_signal(world: World) -> None:
    """The hop under way is recorded, and the next run goes on after it."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGINT)
        return HOPS[0]

    seen: list[Outcome] = []
    with pytest.raises(Interrupted):
        world.play_into(seen, TALE, interrupt)
    assert (came_to(seen), seen[0].number, seen[0].sent) == (["error INTERRUPTED", "skipped"], 1, True)
    assert came_to(world.play(TALE, *HOPS[1:])) == ["ok", "ok"]
    assert tokens(world) == [None, "t1", "t2", None]


def test_a_message_that_was_edited(world: World) -> None:
    """A part of an answer is an answer: another message does not get the rest of it."""
    world.play(TALE, HOPS[0], error("UNAVAILABLE"))
    assert came_to(world.play(["x", "b"])) == ["error DIVERGED", "skipped"]
    assert len(world.model.bodies) == 2


def test_calls_of_a_long_answer(world: World) -> None:
    """They are answered when the answer is complete, in whatever run that is."""
    script = {"tool_results": [{"name": "f", "result": 1}], "turns": ["a"]}
    outcomes = world.play(script, unfinished("Let me see", call("f"), token="t1"), error("UNAVAILABLE"))
    assert came_to(outcomes) == ["failed INCOMPLETE"]
    (outcome,) = world.play(script, answer(call("f", id="c2")), unfinished("Do", token="t2"), answer("ne"))
    assert outcome.status == "ok"
    assert outcome.result is not None
    assert (outcome.result.verdict.text, outcome.result.hops) == ("Done", 2)
    assert tokens(world) == [None, "t1", "t1", None, "t2"]
    assert [one["name"] for one in world.events] == ["f", "f"]
