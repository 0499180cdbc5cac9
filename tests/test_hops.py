"""Answers that are longer than one request: each hop on the disk before the next, and what ends them early."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemcli import signals
from gemcli.chat.answers import content_of
from gemcli.chat.contents import text_of
from gemcli.exchange import Result
from gemcli.sessions.filesystem import FileSystem
from gemcli.simulator.simulated_api import Cut, Reply
from tests.builders import answer, api_error, error_from, overloaded, sse, streaming, unfinished
from tests.support import Model
from tests.test_exchange import Failing, Talk

pytestmark = pytest.mark.usefixtures("collected")


@pytest.fixture
def talk(tmp_path: Path, model: Model) -> Talk:
    """An empty session, and a way to the scripted model."""
    talk = Talk(tmp_path / "s.jsonl", model.env)
    talk.begin()
    return talk


def kinds(talk: Talk) -> str:
    """The records after the first, as letters: q(uestion), c(ontinue), r(esponse), f(ailure)."""
    letters = {"request": "q", "continue": "c", "response": "r", "failure": "f"}
    return "".join(letters[record["kind"]] for record in talk.records[1:])


def tokens(model: Model) -> list[Any]:
    """The token that each request carried."""
    return [request.get("continuationToken") for request in model.requests]


# Hop after hop


def test_hops(talk: Talk, model: Model) -> None:
    """An answer goes on by itself: the same body with the token, and one answer of all hops at the end."""
    model.script(unfinished("A", token="t/1+="), unfinished("B", token="t2"), answer("C"))
    result = talk("hello")
    assert (result.verdict.text, result.verdict.error, result.hops, result.resumable) == ("ABC", None, 3, False)
    assert tokens(model) == [None, "t/1+=", "t2"]
    first = json.dumps(model.requests[0])
    for request in model.requests[1:]:
        token = request.pop("continuationToken")
        assert token in ("t/1+=", "t2")
        assert json.dumps(request) == first
    assert kinds(talk) == "qrcrcr"
    assert [record["token"] for record in talk.records if record["kind"] == "continue"] == ["t/1+=", "t2"]
    assert [record["hop"] for record in talk.records if record["kind"] == "continue"] == [2, 3]
    assert talk.history[1]["parts"] == [{"text": "ABC"}]
    usage = result.answer["usageMetadata"]
    assert usage is not None
    assert (usage["totalTokenCount"], result.context_token_count) == (21, 3)


def test_each_hop_is_on_the_disk_before_the_next_is_asked_for(talk: Talk, model: Model) -> None:
    """When a request arrives, its own record and every answer before it are in the file."""
    seen: list[str] = []
    model.during = lambda number: seen.append(kinds(talk))
    model.script(unfinished("A", token="t1"), unfinished("B", token="t2"), answer("C"))
    talk("hello")
    assert seen == ["q", "qrc", "qrcrc"]


def test_times_are_those_of_all_hops(talk: Talk, model: Model) -> None:
    """Attempts, time and waits are added up, and each hop has retries of its own."""
    talk.retries = 1
    busy = api_error(503, "UNAVAILABLE", retry_after="0.01")
    model.script(busy, unfinished("A", token="t1"), busy, answer("B"))
    result = talk("hello")
    assert [attempt.get("reason") for attempt in result.attempts] == ["UNAVAILABLE", None] * 2
    first, second = (record for record in talk.records if record["kind"] == "response")
    assert result.elapsed_ms == first["elapsed_ms"] + second["elapsed_ms"]
    assert result.latency_ms == sum(record["attempts"][-1]["elapsed_ms"] for record in (first, second))
    assert kinds(talk) == "qrcr"


# What ends it early


class Ended:
    """What became of an answer that was ended after its first hop."""

    def __init__(self, result: Result) -> None:
        error = result.verdict.error
        assert error is not None
        self.reason, self.exit, self.message, self.hint = error.reason, error.exit, error.message, error.hint
        assert result.verdict.valid
        assert result.unsaved is None
        self.text, self.resumable = result.verdict.text, result.resumable


FAILURES: dict[str, tuple[Any, str, bool]] = {
    "503": (overloaded(), "overloaded (UNAVAILABLE)", True),
    "400": (api_error(400, "INVALID_ARGUMENT", "bad token"), "bad token (BAD_REQUEST)", False),
    "403": (api_error(403, "PERMISSION_DENIED", "not yours"), "not yours (PERMISSION_DENIED)", False),
    "404": (api_error(404, "NOT_FOUND", "no such thing"), "(MODEL_NOT_FOUND)", False),
    "401": (api_error(401, "UNAUTHENTICATED", "who?"), "(UNAUTHENTICATED)", True),
}
"""An answer to the second hop, what the message says of it, and whether the token may be used again."""


@pytest.mark.parametrize("name", FAILURES)
def test_a_hop_that_fails(name: str, talk: Talk, model: Model) -> None:
    """What there is stays and is the result; the failure is recorded, and nothing more is asked."""
    reply, message, resumable = FAILURES[name]
    model.script(unfinished("A", token="t1"), reply)
    ended = Ended(talk("hello"))
    assert (ended.reason, ended.exit, ended.text, ended.resumable) == ("INCOMPLETE", 4, "A", resumable)
    assert "hop 2 failed: " in ended.message
    assert message in ended.message
    assert ("--continue" in (ended.hint or "")) == resumable
    assert (kinds(talk), len(model.requests)) == ("qrcf", 2)
    assert talk.history[1]["parts"] == [{"text": "A"}]


def test_max_hops(talk: Talk, model: Model) -> None:
    """No more hops are asked for than the command may; another one goes on where it ended."""
    model.script(unfinished("A", token="t1"), unfinished("B", token="t2"), unfinished("C", token="t3"), answer("D"))
    talk.max_hops = 2
    ended = Ended(talk("hello"))
    assert (ended.text, ended.resumable, len(model.requests)) == ("AB", True, 2)
    assert "stopped after 2 hops" in ended.message
    assert ended.hint == "gemcli send -s SESSION --continue"
    result = talk.goes_on()
    assert (result.verdict.text, result.verdict.error, result.hops) == ("ABCD", None, 4)
    assert tokens(model) == [None, "t1", "t2", "t3"]


def test_no_time_for_another_hop(talk: Talk, model: Model) -> None:
    """After the deadline no hop is asked for; what was answered stays."""
    model.during = lambda number: time.sleep(0.25)
    model.script(unfinished("A", token="t1"))
    ended = Ended(talk("hello", left=5, grace=4.8))
    assert (ended.text, ended.resumable, len(model.requests)) == ("A", True, 1)
    assert "before the deadline" in ended.message


@pytest.mark.parametrize("again", ["t1", "t2"], ids=["the-last", "an-earlier"])
def test_a_token_that_is_not_new(again: str, talk: Talk, model: Model) -> None:
    """An API that gives a token twice is not asked for ever."""
    left = {"A": again, "B": "t1", "C": again, "D": "t1"}
    model.script(*(unfinished(text, token=token) for text, token in left.items()))
    ended = Ended(talk("hello"))
    assert (ended.text, ended.resumable) == ("AB" if again == "t1" else "ABC", False)
    assert "same token twice" in ended.message


def test_no_new_token(talk: Talk, model: Model) -> None:
    """Without a token there is nothing to go on from."""
    model.script(unfinished("A", token="t1"), answer("B", finish="CONTINUATION"))
    ended = Ended(talk("hello"))
    assert (ended.text, ended.resumable, len(model.requests)) == ("AB", False, 2)


def test_thoughts_only(talk: Talk, model: Model) -> None:
    """A hop of thoughts is no refusal: the answer is not over."""
    model.script(unfinished({"text": "hm", "thought": True}, token="t1"), answer("A"))
    result = talk("hello")
    assert (result.verdict.valid, result.verdict.text, result.hops) == (True, "A", 2)


def test_a_later_hop_that_is_blocked(talk: Talk, model: Model) -> None:
    """A safety filter costs the hop that it hits, and not those before it."""
    model.script(unfinished("A", token="t1"), answer("B", finish="SAFETY"))
    ended = Ended(talk("hello"))
    assert (ended.reason, ended.text, ended.resumable) == ("INCOMPLETE", "A", False)
    assert "SAFETY" in ended.message
    assert talk.history[1]["parts"] == [{"text": "A"}]


@pytest.mark.parametrize("finish", ["CONTINUATION", "MAX_TOKENS"])
def test_a_hop_that_the_api_would_refuse(finish: str, talk: Talk, model: Model) -> None:
    """No further hop could mend the answer, so none is asked for."""
    no_name: Any = {"functionCall": {"args": {}}}
    model.script(unfinished("A", token="t1"), unfinished(no_name, token="t2", finish=finish), answer("C"))
    ended = Ended(talk("hello"))
    assert (ended.reason, ended.text, ended.resumable, len(model.requests)) == ("INCOMPLETE", "A", False, 2)
    assert "the functionCall has no name" in ended.message


# Streams that break


def broken(text: str, token: str, lost: str, *how: Any) -> Reply:
    """A stream with a checkpoint after some text; what comes after it is lost when the stream breaks."""
    return streaming(sse(unfinished(text, token=token, finish=None), answer(lost, finish=None)), *how)


BREAKS: dict[str, tuple[list[Any], str]] = {
    "reset": ([0.05, Cut("reset")], "CONNECTION_LOST"),
    "end": ([], "STREAM_CUT"),
    "error": ([sse({"error": {"code": 503, "message": "no"}})], "STREAM_CUT"),
    "junk": ([sse(b"{")], "BAD_RESPONSE"),
    "silence": ([5.0], "TIMEOUT"),
}
"""How a stream breaks, and the reason of the attempt."""


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks(how: str, talk: Talk, model: Model) -> None:
    """The answer goes on from the checkpoint; what came after it is void, and who was shown it is told."""
    steps, reason = BREAKS[how]
    said: list[Any] = []
    talk.on_chunk = lambda chunk: said.append(text_of(content_of(chunk)))
    talk.on_resume = said.append
    model.script(broken("Once ", "t1", "up", *steps), answer("upon a time"))
    result = talk("hello", timeout=0.5)
    assert (result.verdict.text, result.verdict.error, result.hops) == ("Once upon a time", None, 2)
    resumed = said.pop(2)
    assert said == ["Once ", "up", "upon a time"]
    assert resumed.keys() == {"event", "time", "hop", "text_length"}
    assert (resumed["event"], resumed["hop"], resumed["text_length"]) == ("resume", 2, 5)
    first = talk.records[2]
    assert first["attempts"][-1]["reason"] == reason
    assert "finishReason" not in first["answer"]["candidates"][0]
    assert first["valid"]
    assert (tokens(model), kinds(talk)) == ([None, "t1"], "qrcr")


def test_a_stream_that_breaks_again_and_again(talk: Talk, model: Model) -> None:
    """Each time it goes on from the newest checkpoint."""
    model.script(broken("a", "t1", "x"), broken("b", "t2", "x"), broken("c", "t3", "x"), answer("d"))
    assert talk("hello").verdict.text == "abcd"
    assert tokens(model) == [None, "t1", "t2", "t3"]


@pytest.mark.parametrize("token", [None, "t1"], ids=["no-checkpoint", "no-new-one"])
def test_a_hop_that_breaks_without_a_checkpoint(token: str | None, talk: Talk, model: Model) -> None:
    """It is in doubt, and not asked for again by itself; what had arrived of it is kept with the failure."""
    chunk = unfinished("x", token=token, finish=None) if token else answer("x", finish=None)
    model.script(unfinished("A", token="t1"), streaming(sse(chunk)), answer("B"))
    ended = Ended(talk("hello"))
    assert (ended.text, ended.resumable, len(model.requests)) == ("A", True, 2)
    failed = talk.records[-1]
    assert (failed["outcome"], failed["reason"]) == ("unknown", "STREAM_CUT")
    assert failed["partial"]["candidates"][0]["content"]["parts"] == [{"text": "x"}]
    assert talk.goes_on().verdict.text == "AB"


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_signal_in_a_hop(checkpoint: bool, talk: Talk, model: Model) -> None:
    """It ends the answer: up to the checkpoint if there is one, else the hop is in doubt."""
    second = broken("B", "t2", "x", 5.0) if checkpoint else streaming(sse(answer("x", finish=None)), 5.0)

    def on_chunk(chunk: Any) -> None:
        if text_of(content_of(chunk)) == "x":
            signal.raise_signal(signal.SIGTERM)

    talk.on_chunk = on_chunk
    model.script(unfinished("A", token="t1"), second, answer("C"))
    with signals.raised():
        error = talk.failed("hello")
    assert (error.reason, error.exit) == ("INTERRUPTED", 143)
    assert kinds(talk) == ("qrcr" if checkpoint else "qrcf")
    assert talk.goes_on().verdict.text == ("ABC" if checkpoint else "AC")


# Disks that fail


@pytest.mark.parametrize("function", [os.write, os.fsync], ids=["write", "sync"])
def test_a_hop_that_cannot_be_saved(function: Callable[..., Any], talk: Talk, model: Model) -> None:
    """It is handed over with what came before, and nothing more is asked for."""
    talk.fs = Failing(function, 4)
    model.script(unfinished("A", token="t1"), unfinished("B", token="t2"), answer("C"))
    result = talk("hello")
    assert (result.verdict.text, result.hops, result.resumable, len(model.requests)) == ("AB", 2, False, 2)
    assert result.unsaved is not None
    assert result.unsaved.reason == "DISK_FULL"
    talk.fs = FileSystem()
    assert talk.goes_on().verdict.text == ("AC" if function is os.write else "ABC")


@pytest.mark.parametrize("function", [os.write, os.fsync], ids=["write", "sync"])
def test_a_hop_that_cannot_be_written_down(function: Callable[..., Any], talk: Talk, model: Model) -> None:
    """It is not asked for; what there is is saved, and incomplete."""
    talk.fs = Failing(function, 3)
    model.script(unfinished("A", token="t1"), answer("B"))
    ended = Ended(talk("hello"))
    assert (ended.text, ended.resumable, len(model.requests)) == ("A", True, 1)
    assert "DISK_FULL" in ended.message
    assert kinds(talk) == "qr"
    talk.fs = Failing(function, 1)
    error = error_from(talk.goes_on)
    assert (error.exit, len(model.requests)) == (74, 1)
    talk.fs = FileSystem()
    assert talk.goes_on().verdict.text == "AB"
