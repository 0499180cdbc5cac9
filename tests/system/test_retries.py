"""Retries over real HTTP: what is sent again and when, who hears of it, and what is never sent twice."""

from __future__ import annotations

import json
import signal
import time

import pytest

from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import answer, contents, records_of, retry_info
from tests.support import Gemcli, InProcess, Model
from tests.system import free_port


@pytest.fixture(autouse=True)
def as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send again by itself, as the program does when nothing is said."""
    monkeypatch.delenv("GEMCLI_SEND_RETRIES")


@pytest.fixture
def here(here: InProcess) -> InProcess:
    """The program in this process, with an empty session `s`."""
    here.ok("new", "-s", "s")
    return here


def limited(delay: str = "0.3s", code: int = 429) -> Reply:
    """A refusal with RetryInfo."""
    return json_reply({"error": {"code": code, "message": "slow down", "details": [retry_info(delay)]}}, code)


streamed = pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])


@streamed
def test_hint(stream: list[str], here: InProcess, model: Model) -> None:
    """After a 429 with RetryInfo the message is sent again, not earlier than was asked, and answered."""
    here.ok("send", "-s", "s", *stream, "warm up")
    model.script(limited("0.3s"), limited("0.3s"))
    start = time.monotonic()
    done = here("send", "-s", "s", *stream, "hello")
    took = time.monotonic() - start
    assert done.status == 0
    assert took >= 0.6
    assert len(model.requests) == 4
    assert model.requests[1] == model.requests[2] == model.requests[3]
    first, second, third = records_of()[-1]["attempts"]
    for attempt in (first, second):
        assert attempt.keys() == {"reason", "http", "elapsed_ms", "wait_s"}
        assert (attempt["reason"], attempt["http"]) == ("RATE_LIMIT", 429)
        assert 0.3 <= attempt["wait_s"] <= 1.3
    assert third.keys() == {"http", "elapsed_ms"}
    assert third["http"] == 200
    assert [record["kind"] for record in records_of()[-2:]] == ["request", "response"]
    assert json.loads(done.out.splitlines()[-1])["attempts"] == 3
    if stream:
        waits = [event for event in map(json.loads, done.out.splitlines()) if event["event"] == "wait"]
        assert [wait["seconds"] for wait in waits] == [first["wait_s"], second["wait_s"]]
        assert all(wait.keys() == {"event", "time", "seconds", "reason", "message"} for wait in waits)
        assert (waits[0]["reason"], "slow down" in waits[0]["message"], done.err) == ("RATE_LIMIT", True, "")
    else:
        assert len(done.err.splitlines()) == 2
        assert ": too many requests (HTTP 429): slow down\n" in done.err


def test_waits_of_streamed_text(here: InProcess, model: Model) -> None:
    """With --stream --text waits are told on stderr, and stdout has the text alone."""
    model.script(limited("0s"), answer("x"))
    model.replies[1] = Reply(200, {}, (b"data: " + json.dumps(answer("hi")).encode() + b"\n\n",))
    done = here("send", "-s", "s", "--stream", "--text", "hello")
    assert (done.status, done.out) == (0, "hi\n")
    assert ": too many requests (HTTP 429): slow down\n" in done.err


@streamed
@pytest.mark.parametrize(("retries", "requests"), [("0", 1), ("1", 2), ("2", 3)])
def test_number_of_retries(stream: list[str], retries: str, requests: int, here: InProcess, model: Model) -> None:
    """After so many retries the error is final: rejected, every attempt in the record."""
    model.script(*[limited("0s")] * 5)
    done = here.failed("send", "-s", "s", *stream, "--retries", retries, "hello")
    assert (done.status, done.error["reason"], done.error["outcome"]) == (75, "RATE_LIMIT", "rejected")
    assert (done.error["attempts"], len(model.requests), done.error["retry_after_s"]) == (requests, requests, 0.0)
    failure = records_of()[-1]
    assert (failure["kind"], failure["outcome"], len(failure["attempts"])) == ("failure", "rejected", requests)
    assert ["wait_s" in attempt for attempt in failure["attempts"]] == [True] * (requests - 1) + [False]
    assert bool(done.out) == bool(stream)


@pytest.mark.parametrize("value", ["-1", "x"])
def test_retries_that_are_none(value: str, here: InProcess, model: Model) -> None:
    """A number of retries that is none is a usage error."""
    assert here("send", "-s", "s", "--retries", value, "hello").status == 2
    assert model.requests == []


def test_hint_beyond_the_deadline(here: InProcess, model: Model) -> None:
    """A wait that would pass the deadline is not begun: 75 at once, and the error says how long to wait."""
    model.script(limited("37.5s"))
    start = time.monotonic()
    done = here.failed("send", "-s", "s", "--deadline", "30", "hello")
    assert time.monotonic() - start < 20
    assert (done.status, done.out, done.error["reason"]) == (75, "", "RATE_LIMIT")
    assert (done.error["retry_after_s"], done.error["retryable"], done.error["outcome"]) == (37.5, True, "rejected")
    assert (len(model.requests), done.error["attempts"]) == (1, 1)


@streamed
def test_deadline_bounds_it_all(stream: list[str], here: InProcess, model: Model) -> None:
    """However often it is refused, the command ends by its deadline, with the refusal as its error."""
    here.ok("send", "-s", "s", "warm up")
    model.requests.clear()
    model.script(*[limited("0.2s", 503)] * 50)
    start = time.monotonic()
    done = here.failed("send", "-s", "s", *stream, "--retries", "50", "--deadline", "3", "hello")
    assert time.monotonic() - start < 20
    assert (done.status, done.error["reason"], done.error["outcome"]) == (75, "UNAVAILABLE", "rejected")
    assert 2 <= len(model.requests) <= 15
    assert len(records_of()[-1]["attempts"]) == done.error["attempts"] == len(model.requests)


@streamed
def test_deadline_during_the_second_attempt(stream: list[str], here: InProcess, model: Model) -> None:
    """A second attempt that gets no answer ends at the deadline, outcome unknown; the first is in the record."""
    here.ok("send", "-s", "s", "warm up")
    model.script(limited("0s"), Reply(200, {}, (30.0,)))
    start = time.monotonic()
    done = here.failed("send", "-s", "s", *stream, "--deadline", "3", "hello")
    assert time.monotonic() - start < 20
    assert (done.status, done.error["reason"], done.error["outcome"]) == (75, "TIMEOUT", "unknown")
    assert done.error["attempts"] == 2
    assert [attempt["reason"] for attempt in records_of()[-1]["attempts"]] == ["RATE_LIMIT", "TIMEOUT"]


def test_server_that_comes_up(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A server that is up again in time gets the message: one exchange, two or more attempts."""
    port = free_port()
    env = model.env | {"GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}"}
    with gemcli.start("send", "-s", "s", "hello", env=env) as process:
        assert b"sending again in" in process.stderr.readline()  # type: ignore[union-attr]
        with serve(model._answer, port=port):
            out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out)["attempts"] >= 2
    assert [record["kind"] for record in records_of()] == ["session", "request", "response"]
    assert records_of()[-1]["attempts"][0]["reason"] == "CONNECT"


@streamed
def test_signal_during_a_wait(stream: list[str], gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A signal during a wait ends the command at once: 128 + n, rejected and recorded; nothing more is sent."""
    model.script(limited("60s"))
    command = ["send", "-s", "s", *stream, "--errors", "json", "hello"]
    with gemcli.start(*command, env=model.env) as process:
        told = process.stdout if stream else process.stderr
        assert told is not None
        assert told.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    error = json.loads(err.splitlines()[-1])
    assert (error["reason"], error["outcome"], error["exit"]) == ("INTERRUPTED", "rejected", 130)
    failure = records_of()[-1]
    assert (failure["kind"], failure["reason"], failure["outcome"]) == ("failure", "INTERRUPTED", "rejected")
    assert [attempt["reason"] for attempt in failure["attempts"]] == ["RATE_LIMIT"]
    if stream:
        assert json.loads(out)["exit"] == 130
    assert len(model.requests) == 1
    assert here("send", "-s", "s", "--wait", "0", "next").status == 0
    assert model.requests[-1]["contents"] == contents("next")
