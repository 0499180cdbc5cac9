"""What a run reports: the keys of each event, the words in it, and the exit status of many conversations."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from gemcli.chat.answers import USAGE_COUNTERS, judge
from gemcli.chat.contents import user_text
from gemcli.errors import REASONS, STATUSES, GemcliError
from gemcli.exchange import Result
from gemcli.replay import events
from gemcli.replay.checks import Check
from gemcli.replay.events import SEVERITY, Outcome, Status, Tally
from gemcli.replay.judge_turn import PlayedTurn
from gemcli.replay.plan import Plan
from gemcli.replay.script import Script, Suite, Turn
from gemcli.sessions.once import Message
from gemcli.sessions.session import Unsaved
from gemcli.terminal.documents import snake_case
from tests.builders import CALL, answer

RUN = ["event", "time", "run", "file", "script", "conversations", "turns", "resuming", "dry_run", "ignored_keys"]
TURN = [
    *("event", "time", "run", "session", "index", "id", "turn", "status", "reason", "sent", "key", "model", "user"),
    *("text", "function_calls", "finish_reason", "block_reason", "usage_metadata", "model_version", "response_id"),
    *("hops", "context_token_count", "resumable"),
    *("attempts", "elapsed_ms", "waited_ms", "saved", "notes", "checks", "error"),
]
ERROR = [
    *("code", "reason", "exit", "message", "hint", "retryable", "retry_after_s", "http", "attempts", "outcome"),
    *("problems", "problem_count"),
]
SUMMARY = [
    *("event", "time", "run", "ok", "exit", "reason", "conversations", "turns", "usage_metadata", "elapsed_ms"),
    *("session_count", "sessions", "next"),
]
COUNTS = ["total", "sent", "ok", "reused", "failed", "error", "in_doubt", "skipped", "planned"]
"""The keys that scripts rely on: they may be added to, at their end or elsewhere."""

TURNS = tuple(Turn(name, user_text(name)) for name in ("t1", "t2", "t3"))
ONE, TWO = Script("one", TURNS), Script("two", TURNS[:1])
SUITE = Suite("s.jsonl", "s", "sha256:0", (ONE, TWO), many=True, ignored=("topic",))
PLAN = Plan(TURNS[0], Message("k", user_text("hello"), "m1", {}), {})


SENT = "2026-01-02T03:04:05.678Z"


def tokens(**counts: int) -> dict[str, int]:
    """The sums of a summary."""
    return {**snake_case(dict.fromkeys(USAGE_COUNTERS, 0)), **counts}


def result(body: Any, *, unsaved: Unsaved | None = None, attempts: list[Any] | None = None) -> Result:
    """An exchange that was answered."""
    tries = attempts or [{"http": 200, "elapsed_ms": 7}]
    return Result(3, "3.1", SENT, "m", body, judge(body), tries, 10, unsaved, ("a note",), waited_ms=3)


def told(outcome: Outcome) -> dict[str, Any]:
    """The event of a turn."""
    return events.turn_event(ONE, "one.jsonl", 1, outcome)


def test_run() -> None:
    """The beginning: what is played, and how much of it there is."""
    event = events.run_event(SUITE, 1, dry_run=True)
    assert list(event) == RUN
    assert event == {
        "event": "run", "time": event["time"], "run": "s", "file": "s.jsonl", "script": "sha256:0",
        "conversations": 2, "turns": 4, "resuming": 1, "dry_run": True, "ignored_keys": ["topic"],
    }  # fmt: skip


@pytest.mark.parametrize("status", events.STATUSES)
@pytest.mark.parametrize("answered", [False, True])
def test_every_turn_has_the_same_keys(status: Status, answered: bool) -> None:
    """Whatever a turn came to, the event has every key; what does not apply is null."""
    error = GemcliError("IN_DOUBT", "who knows")
    event = told(Outcome(status, PLAN, result=result(answer("hi")) if answered else None, error=error))
    assert list(event) == TURN
    assert list(event["error"]) == ERROR
    assert (event["text"], event["function_calls"]) == ("hi" if answered else "", [])
    answered_only = ["finish_reason", "elapsed_ms", "waited_ms", "saved"]
    assert {event[name] is None for name in answered_only} == {not answered}
    assert (event["reason"], event["block_reason"]) == ("IN_DOUBT", None)
    assert event["notes"] == (["a note"] if answered else [])


def test_an_answered_turn() -> None:
    """The answer with what scripts ask for: its text, why it ended, its tokens, and how long it took."""
    body = answer("hi ", "there", {"text": "hm", "thought": True}, CALL)
    attempts: list[dict[str, Any]] = [{"http": 429, "elapsed_ms": 1, "wait_s": 0.0}, {"http": 200, "elapsed_ms": 7}]
    checks: list[Check] = [{"check": "answer", "ok": True}]
    event = told(Outcome("ok", PLAN, True, 3, result(body, attempts=attempts), checks, time=SENT))
    assert event == {
        "event": "turn", "time": SENT, "run": "one", "session": "one.jsonl", "index": 1, "id": "t1", "turn": 3,
        "status": "ok", "reason": None, "sent": True, "key": "k", "model": "m1", "user": "hello", "text": "hi there",
        "function_calls": [CALL["functionCall"]], "finish_reason": "STOP", "block_reason": None,
        "usage_metadata": {"prompt_token_count": 3, "candidates_token_count": 4, "total_token_count": 7},
        "model_version": "gemini-test-001", "response_id": event["response_id"], "attempts": 2,
        "hops": 1, "context_token_count": None, "resumable": False,
        "elapsed_ms": 10, "waited_ms": 3, "saved": True, "notes": ["a note"], "checks": checks, "error": None,
    }  # fmt: skip


def test_other_turns() -> None:
    """An answer that was not saved, a turn that was tried three times, and a prompt that was blocked."""
    event = told(Outcome("error", PLAN, True, 3, result(answer("hi"), unsaved=Unsaved("DISK_FULL", "full"))))
    assert (event["saved"], event["text"]) == (False, "hi")
    lost = GemcliError("UNAVAILABLE", "busy", attempts=3, outcome="rejected")
    event = told(Outcome("error", PLAN, True, 3, error=lost))
    assert (event["attempts"], event["text"], event["error"]["attempts"]) == (3, "", 3)
    event = told(Outcome("error", PLAN, True, 3, result({"promptFeedback": {"blockReason": "SAFETY"}})))
    assert (event["finish_reason"], event["block_reason"]) == (None, "SAFETY")
    assert (event["text"], event["function_calls"], event["usage_metadata"]) == ("", [], {})


MALFORMED = {"promptTokenCount": "5", "candidatesTokenCount": True, "totalTokenCount": 7}


@pytest.mark.parametrize("usage", [None, "many", [], MALFORMED], ids=str)
def test_malformed_usage(usage: Any) -> None:
    """Whatever an answer has in the place of its tokens, the sums go on."""
    played = PlayedTurn()
    played.add_sent(result(answer("hi", usageMetadata=usage)))
    outcome = Outcome("ok", PLAN, True, 3, played.result, paid=played.paid)
    tally = Tally(SUITE)
    tally.add(outcome)
    assert tally.summary(None)["usage_metadata"] == tokens(total_token_count=7 if usage == MALFORMED else 0)


# The summary


def test_summary_of_nothing() -> None:
    """The end has every key, even if nothing was begun; without errors it ends in 0."""
    summary = Tally(SUITE, passed=2).summary(None)
    assert list(summary) == SUMMARY
    assert list(summary["turns"]) == COUNTS
    assert (summary["usage_metadata"], list(summary["conversations"])) == (tokens(), ["total", "passed", "planned"])
    assert list(events.STATUSES) == COUNTS[2:]
    assert (summary["ok"], summary["exit"], summary["reason"], summary["next"]) == (True, 0, None, None)


def test_summary_counts() -> None:
    """Turns by what they came to; tokens are those of what was sent now; the rest of the turns was skipped."""
    tally = Tally(SUITE)
    tally.add(Outcome("reused", PLAN, False, 1, result(answer("hi"))))
    tally.add(Outcome("ok", PLAN, True, 2, result(answer("hi")), paid={"promptTokenCount": 3, "totalTokenCount": 7}))
    tally.add(Outcome("error", PLAN, True, 3, error=GemcliError("RATE_LIMIT", "slow down")))
    tally.errors.append(GemcliError("RATE_LIMIT", "slow down"))
    tally.sessions.append("one.jsonl")
    summary = tally.summary("gemcli replay again")
    counts = {"ok": 1, "reused": 1, "failed": 0, "error": 1, "in_doubt": 0, "skipped": 1, "planned": 0}
    assert summary["turns"] == {"total": 4, "sent": 2} | counts
    assert summary["usage_metadata"] == tokens(prompt_token_count=3, total_token_count=7)
    assert (summary["ok"], summary["exit"], summary["reason"]) == (False, 75, "RATE_LIMIT")
    assert (summary["session_count"], summary["sessions"]) == (1, ["one.jsonl"])
    assert summary["next"] == "gemcli replay again"
    assert summary["conversations"] == {"total": 2, "passed": 0, "planned": 0}
    assert summary["elapsed_ms"] >= 0


def test_many_sessions() -> None:
    """The summary of a suite of thousands stays short: a few sessions are listed, many are counted."""
    few, many = Tally(SUITE, sessions=["s"] * 20).summary(None), Tally(SUITE, sessions=["s"] * 21).summary(None)
    assert (few["session_count"], few["sessions"]) == (20, ["s"] * 20)
    assert (many["session_count"], many["sessions"]) == (21, None)


def test_times() -> None:
    """Every event has its time; that of a turn is when its message was sent, if it was."""
    error = GemcliError("CORRUPT", "so it goes")
    others = [
        told(Outcome("planned", PLAN)),
        events.run_event(SUITE, 1, dry_run=True),
        events.error_event(ONE, None, error),
        Tally(SUITE).summary(None),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.\d{3}Z", event["time"]) for event in others)
    assert told(Outcome("in_doubt", PLAN, error=error, time=SENT))["time"] == SENT


# Which exit status counts

PRINTED_ORDER = [
    *("signal", "io", "diverged", "usage", "data", "no_input", "credentials", "config", "in_doubt", "budget", "quota"),
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
