"""What a run reports: the keys of each event, the words in it, and the exit status of many conversations."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gemcli.chat.answers import judge
from gemcli.chat.contents import user_text
from gemcli.errors import REASONS, STATUSES, GemcliError
from gemcli.exchange import Result
from gemcli.replay import events
from gemcli.replay.events import SEVERITY, Outcome, Status, Tally
from gemcli.replay.plan import Plan
from gemcli.replay.script import Script, Suite, Turn
from gemcli.sessions.once import Message
from gemcli.sessions.session import Unsaved
from tests.builders import CALL, answer

RUN = ["event", "run", "file", "script", "conversations", "turns", "resuming", "dry_run", "ignored_keys"]
TURN = [
    *("event", "run", "session", "index", "id", "turn", "status", "sent", "key", "model", "user", "reply", "finish"),
    *("calls", "model_version", "usage", "latency_ms", "waited_ms", "attempts", "saved", "notes", "checks", "error"),
]
ERROR = [
    *("code", "reason", "exit", "message", "hint", "retryable", "retry_after_s", "http", "attempts", "outcome"),
    "problems",
]
SUMMARY = [
    *("event", "run", "ok", "exit", "reason", "conversations", "turns", "usage", "wall_s", "sessions", "next"),
]
COUNTS = ["total", "sent", "ok", "reused", "failed", "error", "in_doubt", "skipped", "planned"]
USAGE = ["input", "output", "thoughts", "total"]
"""The keys that scripts rely on, as they were published: they may be added to, at their end or elsewhere."""

TURNS = tuple(Turn(name, user_text(name)) for name in ("t1", "t2", "t3"))
ONE, TWO = Script("one", TURNS), Script("two", TURNS[:1])
SUITE = Suite("s.jsonl", "s", "sha256:0", (ONE, TWO), many=True, ignored=("topic",))
PLAN = Plan(TURNS[0], Message("k", user_text("hello"), "m1", {}), {})


def result(body: Any, *, unsaved: Unsaved | None = None, attempts: list[Any] | None = None) -> Result:
    """An exchange that was answered."""
    return Result(3, "3.1", body, judge(body), attempts or [{"http": 200, "elapsed_ms": 7}], 10, unsaved, ("a note",))


def told(outcome: Outcome) -> dict[str, Any]:
    """The event of a turn."""
    return events.turn_event(ONE, "one.jsonl", 1, outcome)


def test_run() -> None:
    """The beginning: what is played, and how much of it there is."""
    event = events.run_event(SUITE, 1, dry_run=True)
    assert list(event) == RUN
    assert event == {
        "event": "run", "run": "s", "file": "s.jsonl", "script": "sha256:0", "conversations": 2, "turns": 4,
        "resuming": 1, "dry_run": True, "ignored_keys": ["topic"],
    }  # fmt: skip


@pytest.mark.parametrize("status", events.STATUSES)
@pytest.mark.parametrize("answered", [False, True])
def test_every_turn_has_the_same_keys(status: Status, answered: bool) -> None:
    """Whatever a turn came to, the event has every key; what does not apply is null."""
    error = GemcliError("IN_DOUBT", "who knows")
    event = told(Outcome(status, PLAN, result=result(answer("hi")) if answered else None, error=error))
    assert list(event) == TURN
    assert list(event["error"]) == ERROR
    absent = ["reply", "finish", "calls", "model_version", "usage", "latency_ms", "waited_ms", "attempts", "saved"]
    assert {event[name] is None for name in absent} == {not answered}
    assert event["notes"] == (["a note"] if answered else [])


def test_an_answered_turn() -> None:
    """The answer with what scripts ask for: its text, why it ended, its tokens, and how long it took."""
    body = answer("hi ", "there", {"text": "hm", "thought": True}, CALL)
    attempts: list[dict[str, Any]] = [{"http": 429, "elapsed_ms": 1, "wait_s": 0.0}, {"http": 200, "elapsed_ms": 7}]
    event = told(Outcome("ok", PLAN, True, 3, result(body, attempts=attempts), [{"check": "answer", "ok": True}]))
    assert event == {
        "event": "turn", "run": "one", "session": "one.jsonl", "index": 1, "id": "t1", "turn": 3,
        "status": "ok", "sent": True, "key": "k", "model": "m1", "user": "hello", "reply": "hi there",
        "finish": "STOP", "calls": [CALL["functionCall"]], "model_version": "gemini-test-001",
        "usage": {"input": 3, "output": 4, "thoughts": 0, "total": 7}, "latency_ms": 7, "waited_ms": 3,
        "attempts": 2, "saved": True, "notes": ["a note"], "checks": [{"check": "answer", "ok": True}],
        "error": None,
    }  # fmt: skip


def test_other_turns() -> None:
    """An answer that was not saved, a turn that was tried three times, and a prompt that was blocked."""
    event = told(Outcome("error", PLAN, True, 3, result(answer("hi"), unsaved=Unsaved("DISK_FULL", "full"))))
    assert (event["saved"], event["reply"]) == (False, "hi")
    lost = GemcliError("UNAVAILABLE", "busy", attempts=3, outcome="rejected")
    event = told(Outcome("error", PLAN, True, 3, error=lost))
    assert (event["attempts"], event["reply"], event["error"]["attempts"]) == (3, None, 3)
    # There is no finish reason: the block reason stands in its place. Nobody told of tokens.
    event = told(Outcome("error", PLAN, True, 3, result({"promptFeedback": {"blockReason": "SAFETY"}})))
    assert (event["finish"], event["reply"], event["calls"]) == ("SAFETY", "", [])
    assert event["usage"] == dict.fromkeys(USAGE)


def test_progress() -> None:
    """A line for somebody who watches: what it came to, how long it took, and why it did not do."""
    done, error = result(answer("hi")), GemcliError("IN_DOUBT", "who knows")
    assert events.progress(1, ONE, Outcome("ok", PLAN, True, 3, done)) == "one 1/3 t1: ok, 0.0 s"
    assert events.progress(1, ONE, Outcome("reused", PLAN, False, 3, done)) == "one 1/3 t1: reused"
    assert events.progress(1, ONE, Outcome("in_doubt", PLAN, error=error)) == "one 1/3 t1: in_doubt (who knows)"


COUNTED: dict[str, int | None] = {"input": 0, "output": 0, "thoughts": 0, "total": 7}
MALFORMED = {"promptTokenCount": "5", "candidatesTokenCount": True, "totalTokenCount": 7}


@pytest.mark.parametrize("usage", [None, "many", [], MALFORMED], ids=str)
def test_malformed_usage(usage: Any) -> None:
    """Whatever an answer has in the place of its tokens, the event is whole, and the sums go on."""
    outcome = Outcome("ok", PLAN, True, 3, result(answer("hi", usageMetadata=usage)))
    assert told(outcome)["usage"] == (COUNTED if usage == MALFORMED else dict.fromkeys(USAGE))
    tally = Tally(SUITE)
    tally.add(outcome)
    assert tally.usage["total"] == (7 if usage == MALFORMED else 0)


# The summary


def test_summary_of_nothing() -> None:
    """The end has every key, even if nothing was begun; without errors it ends in 0."""
    summary = Tally(SUITE, passed=2).summary(None)
    assert list(summary) == SUMMARY
    assert list(summary["turns"]) == COUNTS
    assert (list(summary["usage"]), list(summary["conversations"])) == (USAGE, ["total", "passed"])
    assert list(events.STATUSES) == COUNTS[2:]
    assert (summary["ok"], summary["exit"], summary["reason"], summary["next"]) == (True, 0, None, None)


def test_summary_counts() -> None:
    """Turns by what they came to; tokens are those of what was sent now; the rest of the turns was skipped."""
    tally = Tally(SUITE)
    tally.add(Outcome("reused", PLAN, False, 1, result(answer("hi"))))
    tally.add(Outcome("ok", PLAN, True, 2, result(answer("hi"))))
    tally.add(Outcome("error", PLAN, True, 3, error=GemcliError("RATE_LIMIT", "slow down")))
    tally.errors.append(GemcliError("RATE_LIMIT", "slow down"))
    tally.sessions.append("one.jsonl")
    summary = tally.summary("gemcli replay again")
    counts = {"ok": 1, "reused": 1, "failed": 0, "error": 1, "in_doubt": 0, "skipped": 1, "planned": 0}
    assert summary["turns"] == {"total": 4, "sent": 2} | counts
    assert summary["usage"] == {"input": 3, "output": 4, "thoughts": 0, "total": 7}
    assert (summary["ok"], summary["exit"], summary["reason"]) == (False, 75, "RATE_LIMIT")
    assert (summary["sessions"], summary["next"]) == (["one.jsonl"], "gemcli replay again")
    assert summary["conversations"] == {"total": 2, "passed": 0}
    assert summary["wall_s"] >= 0


# Which exit status counts

PRINTED_ORDER = [
    *("signal", "io", "diverged", "usage", "data", "no_input", "credentials", "config", "in_doubt", "quota"),
    *("tempfail", "protocol", "blocked", "function_call", "incomplete", "expectation"),
]


def of(status: str, message: str = "so it goes") -> GemcliError:
    """An error that ends in a status."""
    reason = next(name for name, reason in REASONS.items() if reason.status == status)
    return GemcliError(reason, message, exit_code=130 if status == "signal" else None)


@pytest.mark.parametrize(("graver", "other"), [*itertools.pairwise(PRINTED_ORDER)])
def test_the_gravest_error_counts(graver: str, other: str) -> None:
    """Of several conversations' errors the one that a person must deal with first gives the exit status."""
    for errors in ([of(graver), of(other)], [of(other), of(graver)]):
        tally = Tally(SUITE, errors=errors)
        assert tally.worst is not None
        assert tally.worst.status == graver


def test_the_first_of_a_kind_counts() -> None:
    """Of errors with one exit status the first is told; every status but success has its place."""
    tally = Tally(SUITE, errors=[of("blocked", "b"), of("tempfail", "first"), of("tempfail", "second")])
    assert tally.worst is not None
    assert tally.worst.message == "first"
    assert Tally(SUITE).worst is None
    assert sorted(SEVERITY) == sorted({status.name for status in STATUSES} - {"ok"})
