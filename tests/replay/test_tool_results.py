"""Turns of several exchanges: the model calls functions, the script answers, and a run may stop at any point."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from gemcli.chat.answers import token_count
from gemcli.chat.contents import function_responses
from gemcli.replay import read_script
from gemcli.replay.calls import MAX_ROUNDS
from gemcli.replay.conversation import Conversation
from gemcli.replay.events import Outcome
from gemcli.signals import Interrupted, deferred
from tests.builders import answer, call, header, model, request, response, result, turn, user
from tests.replay.world import World, came_to, error

TOOLS = [{"name": "f"}, {"name": "g"}]
SCRIPT: dict[str, Any] = {
    "tools": TOOLS,
    "tool_results": [{"name": "f", "result": {"x": 1}}, {"name": "g", "result": 2}],
    "turns": ["a", "b"],
}
CALLS = [answer(call("f", id="c1"), call("g", id="c2")), answer("and then", call("f", id="c3")), answer("A")]
"""An answer to `a` after two rounds."""


def responses(world: World, number: int) -> list[Any]:
    """The responses that request `number` (from 1) brought."""
    return function_responses(world.model.bodies[number - 1]["contents"][-1])


def test_a_turn_of_several_exchanges(world: World) -> None:
    """All calls of an answer are answered in one Content, with ids and names; it is one turn, and is sent once."""
    first, second = world.play(SCRIPT, *CALLS)
    assert (came_to([first, second]), first.number, second.number) == (["ok", "ok"], 1, 2)
    assert responses(world, 2) == [
        {"id": "c1", "name": "f", "response": {"x": 1}},
        {"id": "c2", "name": "g", "response": {"output": 2}},
    ]
    assert responses(world, 3) == [{"id": "c3", "name": "f", "response": {"x": 1}}]
    assert first.result is not None
    assert (first.result.verdict.text, first.result.id, first.paid["totalTokenCount"]) == ("A", "1.3", 21)
    assert token_count(first.result.answer.get("usageMetadata"), "totalTokenCount") == 21
    assert len(first.result.attempts) == 3
    assert world.model.bodies[0]["tools"] == [{"functionDeclarations": TOOLS}]
    before = world.path().read_bytes()
    assert came_to(world.play(SCRIPT)) == ["reused", "reused"]
    assert (len(world.model.bodies), world.path().read_bytes()) == (4, before)


def test_each_result_is_told(world: World) -> None:
    """An event for each, before they are sent; what was sent before is not told again."""
    world.play(SCRIPT, *CALLS)
    assert [(one["event"], one["id"], one["run"]) for one in world.events] == [("tool", "t1", "s")] * 3
    assert [(one["name"], one["args"], one["response"]) for one in world.events] == [
        ("f", {}, {"x": 1}), ("g", {}, {"output": 2}), ("f", {}, {"x": 1}),
    ]  # fmt: skip
    world.events.clear()
    world.play(SCRIPT)
    assert world.events == []


def test_checks_of_calls(world: World) -> None:
    """They see every call of the turn, answered or not; the other checks see the last answer."""
    wanted = [{"name": "f", "args": {}}, "g", "f"]
    turns: list[Any] = [
        {"user": "a", "expect": {"calls": wanted, "equals": "A"}},
        {"user": "b", "expect": {"no_calls": True}},
    ]
    assert came_to(world.play(SCRIPT | {"turns": turns}, *CALLS)) == ["ok", "ok"]
    turns = [{"user": "a", "expect": {"no_calls": True}}, {"user": "b", "expect": {"calls": ["g"]}}]
    first, second = world.play(SCRIPT | {"turns": turns})
    assert came_to([first, second]) == ["failed EXPECTATION"] * 2
    assert str(first.error) == "the model should call nothing, it called f(), g(), f()"
    assert str(second.error) == "the model should call g(), it called nothing"
    assert first.checks[2:] == [{"check": "no_calls", "got": "f(), g(), f()", "ok": False}]
    assert second.checks[2:] == [{"check": "calls", "want": "g()", "got": "nothing", "ok": False}]


def test_expected_calls_of_a_whole_script(world: World) -> None:
    """What a turn says of calls goes before what its script says."""
    script = SCRIPT | {"expect": {"no_calls": True}}
    assert came_to(world.play(script, *CALLS)) == ["failed EXPECTATION", "ok"]
    assert (
        came_to(world.play(script | {"turns": [{"user": "a", "expect": {"no_calls": False}}, "b"]})) == ["reused"] * 2
    )


# What ends a turn


def test_without_results(world: World) -> None:
    """A turn that has none at all ends with its calls: as the last one it passes, another one fails as ever."""
    script = {"tools": TOOLS, "turns": [{"user": "a", "expect": {"calls": ["f", "g"]}}]}
    assert came_to(world.play(script, CALLS[0])) == ["ok"]
    assert came_to(world.play(script | {"turns": ["a", "b"]})) == ["failed FUNCTION_CALL", "skipped"]
    # With results it goes on.
    world.model.replies = CALLS[1:]
    assert came_to(world.play(SCRIPT, *CALLS[1:])) == ["ok", "ok"]


def test_a_result_is_missing(world: World) -> None:
    """The turn fails, its answer stays in the history, open; once the script has the result, it goes on there."""
    lacking = SCRIPT | {"tool_results": SCRIPT["tool_results"][:1]}
    outcomes = world.play(lacking, *CALLS)
    assert came_to(outcomes) == ["failed NO_TOOL_RESULT", "skipped"]
    assert str(outcomes[0].error) == "the script has no tool result for g()"
    assert (outcomes[0].sent, outcomes[0].number, len(world.model.bodies)) == (True, 1, 1)
    assert came_to(world.play(lacking)) == ["failed NO_TOOL_RESULT", "skipped"]
    assert came_to(world.play(SCRIPT, dry=True)) == ["planned", "planned"]
    assert came_to(world.play(SCRIPT, *CALLS[1:])) == ["ok", "ok"]
    assert len(world.model.bodies) == 4


def test_calls_without_end(world: World) -> None:
    """They are answered so many times, and no more; the next run does not go on either."""
    for _ in range(2):
        outcomes = world.play(SCRIPT, *[answer(call("f"))] * 20)
        assert came_to(outcomes) == ["failed NO_TOOL_RESULT", "skipped"]
        assert "after 8 rounds" in str(outcomes[0].error)
        assert len(world.model.bodies) == 1 + MAX_ROUNDS


def test_results_that_are_used_up(world: World) -> None:
    """What is used up stays so in the turns that follow, and in the next run, which counts what was recorded."""
    script = SCRIPT | {
        "tool_results": [{"name": "f", "result": n, "times": 1} for n in (1, 2)],
        "turns": ["a", "b", "c"],
    }
    replies = [answer(call("f")), answer("A"), answer(call("f"))]
    assert came_to(world.play(script, *replies, error("UNAVAILABLE")))[:2] == ["ok", "error UNAVAILABLE"]
    assert came_to(world.play(script, answer("B"), answer(call("f")))) == ["reused", "ok", "failed NO_TOOL_RESULT"]
    assert [responses(world, number)[0]["response"]["output"] for number in (2, 5)] == [1, 2]


def test_a_signal_between_exchanges(world: World) -> None:
    """The answer is recorded, its results are not sent; the next run sends them."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGINT)
        return CALLS[0]

    seen: list[Outcome] = []
    with pytest.raises(Interrupted):
        world.play_into(seen, SCRIPT, interrupt)
    assert came_to(seen) == ["error INTERRUPTED", "skipped"]
    assert (seen[0].sent, seen[0].number, seen[0].paid["totalTokenCount"], len(world.model.bodies)) == (True, 1, 7, 1)
    assert world.events == []
    assert came_to(world.play(SCRIPT, *CALLS[1:])) == ["ok", "ok"]


# Going on in the middle of a turn


@pytest.mark.parametrize("kept", range(1, 7))
def test_killed_at_any_record(world: World, kept: int) -> None:
    """An exchange that was answered is never sent again; one without outcome is in doubt."""
    (first,) = world.play(SCRIPT | {"turns": ["a"]}, *CALLS)
    assert first.status == "ok"
    lines = world.path().read_bytes().splitlines(keepends=True)
    assert len(lines) == 7
    world.path().write_bytes(b"".join(lines[: 1 + kept]))
    done = kept // 2
    if kept % 2:
        assert came_to(world.play(SCRIPT | {"turns": ["a"]})) == ["in_doubt IN_DOUBT"]
        assert len(world.model.bodies) == 3
    sent = len(CALLS) - done
    outcomes = world.play(SCRIPT | {"turns": ["a"]}, *CALLS[done:], on_unknown="resend")
    assert came_to(outcomes) == ["ok" if sent else "reused"]
    assert (len(world.model.bodies), outcomes[0].paid.get("totalTokenCount", 0)) == (3 + sent, 7 * sent)
    assert came_to(world.play(SCRIPT | {"turns": ["a"]})) == ["reused"]
    assert world.model.bodies[-1]["contents"] == world.model.bodies[2]["contents"]


FATES: dict[str, tuple[Any, str, str]] = {
    "busy": (error("UNAVAILABLE"), "error UNAVAILABLE", "ok"),
    "lost": (error("CONNECTION_LOST", "unknown"), "error CONNECTION_LOST", "in_doubt IN_DOUBT"),
    "blocked": (answer("half", finish="SAFETY"), "error ANSWER_BLOCKED", "error ANSWER_BLOCKED"),
    "empty": (answer(""), "error EMPTY_ANSWER", "ok"),
}


@pytest.mark.parametrize(("reply", "expected", "later"), FATES.values(), ids=FATES)
def test_what_becomes_of_a_later_exchange(world: World, reply: Any, expected: str, later: str) -> None:
    """It decides what the turn comes to, and whether the next run sends the results again."""
    outcomes = world.play(SCRIPT, CALLS[0], reply)
    assert (came_to(outcomes), outcomes[0].sent, outcomes[0].number) == ([expected, "skipped"], True, 1)
    assert len(world.model.bodies) == 2
    outcomes = world.play(SCRIPT, *CALLS[1:])
    assert came_to(outcomes)[0] == later
    assert len(world.model.bodies) == (5 if later == "ok" else 2)
    if "in_doubt" in later:
        assert came_to(world.play(SCRIPT, *CALLS[1:], on_unknown="resend")) == ["ok", "ok"]
    assert came_to(world.play(SCRIPT))[0] in ("reused", later)


EDITED: dict[str, tuple[Any, str | None]] = {
    "unused": ([*SCRIPT["tool_results"], {"name": "g", "result": "never"}], None),
    "first": ([{"name": "g", "result": 3}, *SCRIPT["tool_results"]], "turn 1 was answered with other tool results"),
    "removed": (SCRIPT["tool_results"][:1], "the script lacks tool results that turn 1 was answered with"),
    "all": ([], "the script lacks tool results that turn 1 was answered with"),
}


@pytest.mark.parametrize(("results", "what"), EDITED.values(), ids=EDITED)
def test_results_that_were_edited(world: World, results: Any, what: str | None) -> None:
    """A result that was sent is part of the conversation, like a message; others can be changed freely."""
    world.play(SCRIPT, *CALLS)
    outcomes = world.play(SCRIPT | {"tool_results": results})
    assert came_to(outcomes) == (["error DIVERGED", "skipped"] if what else ["reused", "reused"])
    assert (what or "") in str(outcomes[0].error)
    assert len(world.model.bodies) == 4


def test_declarations_that_were_edited(world: World) -> None:
    """They go out with each request, so another declaration makes another conversation."""
    world.play(SCRIPT, *CALLS)
    assert came_to(world.play(SCRIPT | {"tools": [*TOOLS, {"name": "h"}]})) == ["error DIVERGED", "skipped"]


def test_calls_answered_by_hand(world: World) -> None:
    """They do not belong to the script, even with the same result."""
    script = {"tools": TOOLS, "turns": ["a"]}
    world.play(script, answer(call("f")))
    world.append(request(1, result("f", response={"x": 1}), ordinal=2), response(1, "A", ordinal=2))
    assert came_to(world.play(script)) == ["error DIVERGED"]
    assert came_to(world.play(SCRIPT)) == ["error DIVERGED", "skipped"]


# Sessions as scripts


def test_a_session_is_played_with_what_its_functions_returned(world: World) -> None:
    """Its calls get the results that they got then, files included, and a failure on the way changes nothing."""
    blob = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    records = [
        header(config={"tools": [{"functionDeclarations": TOOLS}]}),
        request(1, "a"),
        response(1, call("f", args={"n": 1}), call("g")),
        request(1, result("f"), result("g", parts=blob), ordinal=2),
        {"kind": "failure", "time": "", "request": "1.2", "outcome": "rejected", "code": "", "reason": "UNAVAILABLE",
            "message": "", "attempts": []},
        request(1, result("f"), result("g", parts=blob), ordinal=3),
        response(1, "A", ordinal=3),
        *turn(2, "b"),
    ]  # fmt: skip
    text = "\n".join(json.dumps(record) for record in records)
    (script,) = read_script.load(text, "old.jsonl", {}).scripts
    assert [(one.called, one.result.response) for one in script.turns[0].tool_results] == [
        (("f", {"n": 1}), {"result": 1}), (("g", {}), {"result": 1}),
    ]  # fmt: skip
    world.model.replies = [answer(call("g", id="new")), answer("done"), answer("B")]
    with world.context().open_session(script) as session, deferred:
        outcomes: list[Outcome] = [*Conversation(script, session.journal, session, world.context()).play()]
    assert came_to(outcomes) == ["ok", "ok"]
    assert responses(world, 2) == [{"id": "new", "name": "g", "response": {"result": 1}, "parts": blob}]


def test_turn_order(world: World) -> None:
    """Whatever happens on the way, the history is one that the API takes."""
    world.play(SCRIPT, CALLS[0], error("CONNECTION_LOST", "unknown"))
    world.play(SCRIPT, *CALLS[1:], on_unknown="resend")
    history = world.app.read(str(world.path())).history
    assert [content["role"] for content in history] == ["user", "model"] * 4
    assert history[0] == user("a")
    assert history[5] == model("A")
