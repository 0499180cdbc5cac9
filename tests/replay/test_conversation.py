"""One conversation: its turns in order, each sent once, and what every answer or failure comes to."""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

import pytest

from gemcli.errors import GemcliError
from gemcli.replay.conversation import waiting_for
from gemcli.replay.events import Outcome
from gemcli.sessions import records
from gemcli.signals import Interrupted, deferred
from tests.builders import CALL, answer, header, texts, turn
from tests.replay.world import Reply, World, blocked, came_to, error

# Playing, and playing again


def test_a_conversation(world: World) -> None:
    """Each message goes out after the answers before it, all is in the session; again, nothing is sent or written."""
    first = world.play(["a", "b", "c"])
    assert came_to(first) == ["ok"] * 3
    history = ["a", "answer 1", "b", "answer 2", "c", "answer 3"]
    assert [texts(body["contents"]) for body in world.model.bodies] == [history[:1], history[:3], history[:5]]
    assert (world.history, [outcome.number for outcome in first]) == (history, [1, 2, 3])
    before = world.path().read_bytes()
    again = world.play(["a", "b", "c"])
    assert (came_to(again), [outcome.sent for outcome in again]) == (["reused"] * 3, [False] * 3)
    assert [one.result and one.result.answer for one in again] == [one.result and one.result.answer for one in first]
    assert (len(world.model.bodies), world.path().read_bytes()) == (3, before)


CHANGED: dict[str, tuple[Any, list[str]]] = {
    "appended": ({"turns": ["a", "b", "c"]}, ["reused", "reused", "ok"]),
    "edited": ({"turns": ["a", "x", "c"]}, ["reused", "error DIVERGED", "skipped"]),
    "model": ({"model": "m2"}, ["error DIVERGED", "skipped"]),
    "config": ({"config": {"temperature": 0}}, ["error DIVERGED", "skipped"]),
}


@pytest.mark.parametrize(("document", "expected"), CHANGED.values(), ids=CHANGED)
def test_a_script_that_was_changed(world: World, document: Any, expected: list[str]) -> None:
    """Appended messages are sent alone; another message, model or config at an answered turn ends the conversation."""
    same: dict[str, Any] = {"model": "m1", "config": {"temperature": 1}, "turns": ["a", "b"]}
    world.play(same)
    planned = [status.replace("ok", "planned") for status in expected]
    assert came_to(world.play(same | document, dry=True)) == planned
    outcomes = world.play(same | document)
    assert came_to(outcomes) == expected
    assert len(world.model.bodies) == 2 + expected.count("ok")


def test_what_is_gone_from_a_script(world: World) -> None:
    """With fewer turns than were answered those are reported, then it raises; with a setting gone it raises at once."""
    world.play(["a", "b"], config={"temperature": 1})
    with pytest.raises(GemcliError, match="settings that the script no longer has"):
        world.play(["a", "b", "c"])
    seen: list[Outcome] = []
    with pytest.raises(GemcliError, match="turn 2") as caught:
        world.play_into(seen, ["a"], dry=True, config={"temperature": 1})
    assert (came_to(seen), caught.value.reason) == (["reused"], "DIVERGED")


def test_a_wrong_model_can_be_corrected(world: World) -> None:
    """Nothing was answered, so the session continues with what the script says now."""
    assert came_to(world.play(["a"], error("MODEL_NOT_FOUND"), model="m-typo")) == ["error MODEL_NOT_FOUND"]
    assert came_to(world.play(["a", "b"], model="m1")) == ["ok", "ok"]
    assert came_to(world.play(["a", "b"], model="m1")) == ["reused", "reused"]


def test_on_a_base(world: World) -> None:
    """A session with a history is continued, again and again."""
    world.write("s", header(), *(record | {"imported": True} for record in turn(1, "before", "yes")))
    assert came_to(world.play(["a"])) == ["ok"]
    assert came_to(world.play(["a", "b"])) == ["reused", "ok"]
    assert world.history[:3] == ["before", "yes", "a"]


def test_turns_that_were_sent_by_hand(world: World) -> None:
    """They do not belong to the script, wherever they stand."""
    world.write("s", header(), *turn(1))
    assert came_to(world.play(["question 1"])) == ["error DIVERGED"]
    world.path().unlink()
    world.play(["a"])
    world.append(*turn(2))
    assert came_to(world.play(["a", "b", "c"])) == ["reused", "error DIVERGED", "skipped"]
    with pytest.raises(GemcliError, match="turn 2 of the session"):
        world.play(["a"])
    assert len(world.model.bodies) == 1


def test_after_a_rewind(world: World) -> None:
    """What was rewound is sent again; undoing the rewind brings its answers back."""
    script = ["a", "b", "c"]
    world.play(script)
    world.append(records.rewind([2, 3]))
    assert came_to(world.play(script, dry=True)) == ["reused", "planned", "planned"]
    world.append(records.undo([2, 3]))
    assert came_to(world.play(script)) == ["reused"] * 3
    world.append(records.rewind([2, 3]))
    assert came_to(world.play(script)) == ["reused", "ok", "ok"]
    assert world.history == ["a", "answer 1", "b", "answer 4", "c", "answer 5"]
    assert came_to(world.play(script)) == ["reused"] * 3


# What sending can come to

SENT, DOUBT = ["ok", "ok"], ["in_doubt IN_DOUBT", "skipped"]


def stays(*first: str) -> tuple[list[str], list[str]]:
    """The outcome of a turn that no later run sends again."""
    return [*first, "skipped"], [*first, "skipped"]


FATES: dict[str, tuple[Reply, str, tuple[list[str], list[str]]]] = {
    # reply: what the turn comes to; what the next run comes to, and one with on_unknown: resend
    "rate-limit": (error("RATE_LIMIT"), "error RATE_LIMIT", (SENT, SENT)),
    "server-error": (error("SERVER_ERROR"), "error SERVER_ERROR", (SENT, SENT)),
    "no-connection": (error("CONNECT"), "error CONNECT", (SENT, SENT)),
    "bad-key": (error("API_KEY_INVALID"), "error API_KEY_INVALID", (SENT, SENT)),
    "lost": (error("CONNECTION_LOST", "unknown"), "error CONNECTION_LOST", (DOUBT, SENT)),
    "timeout": (error("TIMEOUT", "unknown"), "error TIMEOUT", (DOUBT, SENT)),
    "portal": (error("BAD_RESPONSE", "unknown"), "error BAD_RESPONSE", (DOUBT, SENT)),
    "blocked": (blocked(), "error ANSWER_BLOCKED", stays("error ANSWER_BLOCKED")),
    "blocked-prompt": ({"promptFeedback": {"blockReason": "SAFETY"}}, "error PROMPT_BLOCKED",
        stays("error PROMPT_BLOCKED")),
    "only-thoughts": (answer({"text": "hm", "thought": True}, finish="MAX_TOKENS"), "error MAX_TOKENS_EMPTY",
        stays("error MAX_TOKENS_EMPTY")),
    "empty": (answer(""), "error EMPTY_ANSWER", (SENT, SENT)),
    "malformed": (blocked("MALFORMED_FUNCTION_CALL"), "error MALFORMED_ANSWER", (SENT, SENT)),
    "call": (answer(CALL), "failed FUNCTION_CALL", stays("failed FUNCTION_CALL")),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "expected", "later"), FATES.values(), ids=FATES)
def test_a_turn_without_a_usable_answer(
    world: World, reply: Reply, expected: str, later: tuple[list[str], list[str]]
) -> None:
    """It ends the conversation; the next run sends it again, or not, as its outcome says."""
    again, resent = later
    outcomes = world.play(["a", "b"], reply)
    assert came_to(outcomes) == [expected, "skipped"]
    assert (outcomes[0].sent, outcomes[0].number, len(world.model.bodies)) == (True, 1, 1)
    # A dry run does not change what the run does.
    assert came_to(world.play(["a", "b"], dry=True)) == (["planned", "planned"] if again == SENT else again)
    before = world.path().read_bytes()
    outcomes = world.play(["a", "b"])
    assert came_to(outcomes) == again
    if again != SENT:
        assert (world.path().read_bytes(), len(world.model.bodies)) == (before, 1)
        assert (outcomes[0].sent, outcomes[0].number) == (False, 1)
        assert came_to(world.play(["a", "b"], on_unknown="resend")) == resent
    if resent == SENT:
        assert world.history == ["a", "answer 2", "b", "answer 3"]


def test_killed_before_the_outcome(world: World) -> None:
    """A request without outcome is in doubt, with the number of its turn; sent again and lost, it is in doubt again."""
    world.play(["a", "b"])
    world.path().write_bytes(b"".join(world.path().read_bytes().splitlines(keepends=True)[:-1]))
    outcomes = world.play(["a", "b", "c"])
    assert came_to(outcomes) == ["reused", *DOUBT]
    assert (outcomes[1].number, outcomes[1].sent) == (2, False)
    world.play(["a", "b"], error("CONNECTION_LOST", "unknown"), on_unknown="resend")
    assert came_to(world.play(["a", "b"])) == ["reused", "in_doubt IN_DOUBT"]
    assert came_to(world.play(["a", "b"], on_unknown="resend")) == ["reused", "ok"]


def test_a_refusal_in_a_history_that_was_rewound(world: World) -> None:
    """A message that was refused after an answer is sent again when that answer was rewound."""
    world.play(["a", "b"], answer("A"), blocked())
    assert came_to(world.play(["a", "b"])) == ["reused", "error ANSWER_BLOCKED"]
    world.append(records.rewind([1]))
    assert came_to(world.play(["a", "b"])) == ["ok", "ok"]


def test_a_base_with_an_open_call(world: World) -> None:
    """A script cannot continue a history that waits for function responses."""
    opened = [header(), *(record | {"imported": True} for record in turn(1))]
    opened[-1]["answer"]["candidates"][0]["content"]["parts"] = [CALL]
    world.write("s", *opened)
    outcomes = world.play(["a", "b"])
    assert (came_to(outcomes), outcomes[0].sent) == (["error OPEN_CALL", "skipped"], False)


def test_a_retry_is_part_of_the_turn(world: World) -> None:
    """What is rejected is sent again at once, with an event that says who waits; the turn is one turn."""
    world.retries = 2
    (outcome,) = world.play(["a"], error("RATE_LIMIT", retry_after=0.0), error("RATE_LIMIT", retry_after=0.0))
    assert (outcome.status, len(world.model.bodies)) == ("ok", 3)
    wait = {"event": "wait", "seconds": 0.0, "reason": "RATE_LIMIT", "message": "so it goes", "id": "t1", "run": "s"}
    assert world.events == [wait | {"time": event["time"]} for event in world.events]
    assert len(world.events) == 2
    assert outcome.result is not None
    assert len(outcome.result.attempts) == 3


def test_models_and_configs(world: World) -> None:
    """Each message goes to the script's model with the script's config and its own over that."""
    turn_config = {"user": "b", "config": {"top_k": 3}}
    world.play(["a", turn_config], model="m1", system="Be brief", config={"temperature": 0})
    assert world.model.models == ["m1", "m1"]
    first, second = world.model.bodies
    assert first["systemInstruction"] == second["systemInstruction"] == {"parts": [{"text": "Be brief"}]}
    assert first["generationConfig"] == {"temperature": 0.0}
    assert second["generationConfig"] == {"temperature": 0.0, "topK": 3}
    requests = [record for record in world.app.read(str(world.path())).records if record["kind"] == "request"]
    assert ["config" in request for request in requests] == [False, True]


def test_a_request_that_cannot_be_saved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not sent, and is not a turn of the session."""
    world.play(["a"])

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        outcomes = world.play(["a", "b"])
    assert came_to(outcomes) == ["reused", "error DISK_FULL"]
    assert (outcomes[1].sent, outcomes[1].number, len(world.model.bodies)) == (False, None, 1)


def test_an_answer_that_cannot_be_saved(world: World) -> None:
    """It is reported with what keeps it out of the session, and nothing follows it."""

    def meddle() -> Any:
        with world.path().open("ab") as file:
            file.write(b"{}\n")
        return answer("A")

    outcomes = world.play(["a", "b"], meddle)
    assert came_to(outcomes) == ["error SESSION_CHANGED", "skipped"]
    assert outcomes[0].result is not None
    assert outcomes[0].result.verdict.text == "A"


# Expectations

UNMET = {"user": "a", "expect": {"contains": "zebra"}}


def test_checks_are_run_again_on_the_record(world: World) -> None:
    """An expectation that was changed is checked again, for nothing."""
    for message, expected in ((UNMET, "failed EXPECTATION"), (UNMET, "failed EXPECTATION"), ("a", "reused")):
        assert came_to(world.play([message])) == [expected]
    (outcome,) = world.play([UNMET])
    checks = {check["check"]: check["ok"] for check in outcome.checks}
    assert checks == {"answer": True, "finish": True, "contains": False}
    assert (outcome.sent, len(world.model.bodies)) == (False, 1)


@pytest.mark.parametrize(("on_fail", "then"), [("stop", "skipped"), ("continue", "ok"), (None, "ok")])
def test_on_fail(world: World, on_fail: str | None, then: str) -> None:
    """An expectation that is not met ends the conversation, or does not: the answer is in the history either way."""
    script = {"turns": [UNMET, "b"], **({"on_fail": on_fail} if on_fail else {})}
    assert came_to(world.play(script)) == ["failed EXPECTATION", then]
    later = {"ok": "reused", "skipped": "skipped"}[then]
    assert came_to(world.play(script)) == ["failed EXPECTATION", later]
    # It continues when the script says so, or when the expectation is met now.
    assert came_to(world.play(["a", "b"], dry=True))[0] == "reused"
    assert came_to(world.play([UNMET, "b"], on_fail="continue"))[1] in ("ok", "reused")


def test_an_incomplete_answer(world: World) -> None:
    """It is in the history, and a failure of its own kind, reported before an unmet check, unless it is expected."""
    assert came_to(world.play([UNMET, "b"], answer("half", finish="MAX_TOKENS"))) == ["failed INCOMPLETE", "ok"]
    assert world.history[:2] == ["a", "half"]
    assert came_to(world.play([{"user": "a", "expect": {"finish": ["STOP", "MAX_TOKENS"]}}, "b"])) == ["reused"] * 2
    world.path().unlink()
    assert came_to(world.play([UNMET], blocked())) == ["error ANSWER_BLOCKED"]


def test_expected_texts_are_templates(world: World) -> None:
    """`{{name}}` in an expectation stands for what it stands for in a message."""
    expect = {"contains": ["{{city}}", "{{sign}}"], "equals": ["x", "{{city}} {{sign}}"]}
    script = {"vars": {"city": "Lyon", "sign": "{{city}}"}, "turns": [{"user": "a", "expect": expect}]}
    (outcome,) = world.play(script, answer("Lyon {{city}}"))
    assert outcome.status == "ok"
    assert [check["want"] for check in outcome.checks[2:]] == ["Lyon", "{{city}}", ["x", "Lyon {{city}}"]]


@pytest.mark.parametrize("finish", ["SAFETY", "MALFORMED_FUNCTION_CALL"])
def test_an_expected_refusal(world: World, finish: str) -> None:
    """It passes as the last turn, and is not sent again even if that may bring another; no message can follow it."""
    expected = {"user": "a", "expect": {"finish": finish}}
    assert came_to(world.play([expected], blocked(finish))) == ["ok"]
    assert came_to(world.play([expected], dry=True)) == came_to(world.play([expected])) == ["reused"]
    assert len(world.model.bodies) == 1
    if finish == "SAFETY":
        outcomes = world.play([expected, "b"])
        assert came_to(outcomes) == ["error ANSWER_BLOCKED", "skipped"]
        assert str(outcomes[0].error) == "refused as expected, so no message can follow it"
    else:  # once it is no longer expected, it is sent again
        assert came_to(world.play(["a"])) == ["ok"]


def test_a_function_call(world: World) -> None:
    """It passes as the last turn; before others the turn fails whatever was expected, for nobody answers the call."""
    assert came_to(world.play(["a"], answer("let me see", CALL))) == ["ok"]
    assert came_to(world.play(["a"])) == ["reused"]
    for message, reason in (
        ("a", "FUNCTION_CALL"),
        (UNMET, "EXPECTATION"),
        ({"user": "a", "expect": {"finish": "MAX_TOKENS"}}, "EXPECTATION"),
    ):
        for on_fail in ("stop", "continue"):
            assert came_to(world.play([message, "b"], on_fail=on_fail)) == [f"failed {reason}", "skipped"]
    assert len(world.model.bodies) == 1


# Dry runs, waits, the end of time


def test_a_dry_run(world: World) -> None:
    """Without a locked session nothing is sent or written: what would be sent is planned."""
    assert came_to(world.play(["a", "b"], dry=True)) == ["planned"] * 2
    assert (world.model.bodies, [*world.directory.iterdir()]) == ([], [])
    world.play(["a"])
    before = world.path().read_bytes()
    assert came_to(world.play(["a", "b"], dry=True)) == ["reused", "planned"]
    assert world.path().read_bytes() == before


def test_a_wait_of_the_script(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wait` comes before its message is sent, with an event; never before one that is not sent."""
    slept: list[float] = []
    monkeypatch.setattr(deferred, "sleep", lambda seconds: slept.append(seconds))
    script = ["a", {"user": "b", "wait": 2.5}]
    world.play(script, dry=True)
    assert (slept, world.events) == ([], [])
    world.play(script)
    time = world.events[0]["time"]
    wait = {"event": "wait", "time": time, "seconds": 2.5, "reason": "SCRIPT", "message": "the script says so"}
    assert (slept, world.events) == ([2.5], [wait | {"id": "t2", "run": "s"}])
    world.play(script)
    assert slept == [2.5]


ENDS = {
    "no-reader": (1e6, True, 0, "READER_GONE"),
    "late": (-1, False, 0, "TIMEOUT"),
    "wait": (60, False, 90, "TIMEOUT"),
}


@pytest.mark.parametrize(("left", "closed", "wait", "reason"), ENDS.values(), ids=ENDS)
def test_nothing_is_sent_when_the_run_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch, left: float, closed: bool, wait: int, reason: str
) -> None:
    """Without readers or time, also for a wait, what would be sent is skipped; stored answers are reported."""
    monkeypatch.setattr(deferred, "sleep", lambda seconds: pytest.fail("slept"))
    world.play(["a"])
    world.left, world.output_closed = left, closed
    assert came_to(world.play(["a", {"user": "b", "wait": wait}, "c"])) == ["reused", f"skipped {reason}", "skipped"]
    assert len(world.model.bodies) == 1


def test_a_signal(world: World) -> None:
    """The request under way is answered and recorded, and nothing is sent after it."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGINT)
        return answer("A")

    seen: list[Outcome] = []
    with pytest.raises(Interrupted):
        world.play_into(seen, ["a", {"user": "b", "wait": 60}, "c"], interrupt)
    assert came_to(seen) == ["ok", "skipped INTERRUPTED", "skipped"]
    assert (seen[1].error and seen[1].error.exit, world.history, world.events) == (130, ["a", "A"], [])


def test_what_a_person_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C it is the end of the request, which another one ends."""
    assert waiting_for() == "waiting for the answer"
    monkeypatch.setattr(deferred, "arrived", [signal.SIGINT])
    assert waiting_for() == "letting the request finish; Ctrl-C again ends it"
