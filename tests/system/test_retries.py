"""Retries over real HTTP: what is sent again and when, who hears of it, and what is never sent twice."""

from __future__ import annotations

import json
import signal
import socket
import time

import pytest

from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Cut
from tests.support import Gemcli, Model, Reply, answer, contents, json_reply, records_of, sse, streaming
from tests.system import Inside


@pytest.fixture(autouse=True)
def as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send again by itself, as the program does when nothing is said."""
    monkeypatch.delenv("GEMCLI_SEND_RETRIES")


pytestmark = pytest.mark.usefixtures("collected")


@pytest.fixture
def inside(inside: Inside) -> Inside:
    """The program in this process, with an empty session `s`."""
    inside.ok("new", "-s", "s")
    return inside


def limited(delay: str = "0.3s", code: int = 429) -> Reply:
    """A refusal with RetryInfo."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return json_reply({"error": {"code": code, "message": "slow down", "details": [info]}}, code)


BUSY = streaming(sse({"error": {"code": 503, "message": "slow down"}}))

streamed = pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])


@streamed
def test_hint(stream: list[str], inside: Inside, model: Model) -> None:
    """After a 429 with RetryInfo the message is sent again, not earlier than was asked, and answered."""
    inside.ok("send", "-s", "s", *stream, "warm up")
    model.script(limited("0.7s"), limited("0.7s"))
    start = time.monotonic()
    status, out, err = inside("send", "-s", "s", *stream, "hello")
    took = time.monotonic() - start
    assert status == 0
    assert 1.4 <= took < 8
    assert len(model.requests) == 4
    assert model.requests[1] == model.requests[2] == model.requests[3]
    first, second, third = records_of()[-1]["attempts"]
    for attempt in (first, second):
        assert attempt.keys() == {"reason", "http", "elapsed_ms", "wait_s"}
        assert (attempt["reason"], attempt["http"]) == ("RATE_LIMIT", 429)
        assert 0.7 <= attempt["wait_s"] <= 1.7
    assert third.keys() == {"http", "elapsed_ms"}
    assert third["http"] == 200
    assert [record["kind"] for record in records_of()[-2:]] == ["request", "response"]
    assert json.loads(out.splitlines()[-1])["attempts"] == 3
    if stream:
        waits = [event for event in map(json.loads, out.splitlines()) if event["event"] == "wait"]
        assert [wait["seconds"] for wait in waits] == [first["wait_s"], second["wait_s"]]
        assert all(wait.keys() == {"event", "seconds", "reason", "message"} for wait in waits)
        assert (waits[0]["reason"], "slow down" in waits[0]["message"], err) == ("RATE_LIMIT", True, "")
    else:
        assert len(err.splitlines()) == 2
        assert "slow down; sending again in " in err


def test_waits_of_streamed_text(inside: Inside, model: Model) -> None:
    """With --stream --text waits are told on stderr, and stdout has the text alone."""
    model.script(limited("0s"), answer("x"))
    model.replies[1] = Reply(200, {}, (b"data: " + json.dumps(answer("hi")).encode() + b"\n\n",))
    status, out, err = inside("send", "-s", "s", "--stream", "--text", "hello")
    assert (status, out) == (0, "hi\n")
    assert "slow down; sending again in " in err


def test_error_as_first_event(inside: Inside, model: Model) -> None:
    """A refusal that comes as the first event of a stream is sent again like any other."""
    model.script(BUSY)
    events = inside.ok("send", "-s", "s", "--stream", "hello")
    assert [event["event"] for event in events if event["event"] != "chunk"] == ["wait", "final"]
    assert [attempt["http"] for attempt in records_of()[-1]["attempts"]] == [503, 200]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_statuses(code: int, inside: Inside, model: Model) -> None:
    """Each status of a server in trouble is tried again."""
    model.script(limited("0s", code))
    assert inside.ok("send", "-s", "s", "hello")[0]["attempts"] == 2


@streamed
@pytest.mark.parametrize(("retries", "requests"), [("0", 1), ("1", 2), ("2", 3)])
def test_number_of_retries(stream: list[str], retries: str, requests: int, inside: Inside, model: Model) -> None:
    """After so many retries the error is final: rejected, every attempt in the record."""
    model.script(*[limited("0s")] * 5)
    status, out, error = inside.error("send", "-s", "s", *stream, "--retries", retries, "hello")
    assert (status, error["reason"], error["outcome"]) == (75, "RATE_LIMIT", "rejected")
    assert (error["attempts"], len(model.requests), error["retry_after_s"]) == (requests, requests, 0.0)
    failure = records_of()[-1]
    assert (failure["kind"], failure["outcome"], len(failure["attempts"])) == ("failure", "rejected", requests)
    assert ["wait_s" in attempt for attempt in failure["attempts"]] == [True] * (requests - 1) + [False]
    assert bool(out) == bool(stream)


@pytest.mark.parametrize("value", ["-1", "x", "1.5", ""])
def test_retries_that_are_none(value: str, inside: Inside, model: Model) -> None:
    """A number of retries that is none is a usage error."""
    assert inside("send", "-s", "s", "--retries", value, "hello")[0] == 2
    assert model.requests == []


DAILY = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerDay-x"}]}

FINAL: dict[str, tuple[Reply, str, int, str]] = {
    "daily-quota": (json_reply({"error": {"code": 429, "details": [DAILY]}}, 429), "QUOTA_DAILY", 69, "rejected"),
    "limit-0": (json_reply({"error": {"code": 429, "message": "limit: 0"}}, 429), "QUOTA_DAILY", 69, "rejected"),
    "400": (limited("0s", 400), "BAD_REQUEST", 65, "rejected"),
    "403": (limited("0s", 403), "PERMISSION_DENIED", 77, "rejected"),
    "409": (limited("0s", 409), "ABORTED", 75, "rejected"),
    "499": (limited("0s", 499), "CANCELLED", 75, "rejected"),
    "redirect": (Reply(307, {"location": "/x"}, ()), "REDIRECT", 78, "rejected"),
    "204": (Reply(204, {}, ()), "BAD_RESPONSE", 76, "unknown"),
    "html": (Reply(200, {}, (b"<html>",)), "BAD_RESPONSE", 76, "unknown"),
    "closed": (Reply(200, {}, (Cut("close"),)), "CONNECTION_LOST", 75, "unknown"),
    "reset": (Reply(200, {}, (Cut("reset"),)), "CONNECTION_LOST", 75, "unknown"),
    "cut-error": (Reply(503, {}, (b"{", Cut("close"))), "CONNECTION_LOST", 75, "unknown"),
    "silence": (Reply(200, {}, (9.0,)), "TIMEOUT", 75, "unknown"),
}


@streamed
@pytest.mark.parametrize("name", FINAL)
def test_final_at_once(name: str, stream: list[str], inside: Inside, model: Model) -> None:
    """What is refused for good, and what may have been answered, is never sent again."""
    reply, reason, exit_code, outcome = FINAL[name]
    model.script(reply)
    status, _, error = inside.error("send", "-s", "s", *stream, "--timeout", "2", "hello")
    assert (status, error["reason"], error["outcome"]) == (exit_code, reason, outcome)
    assert (len(model.requests), error["attempts"], len(records_of()[-1]["attempts"])) == (1, 1, 1)
    assert records_of()[-1]["outcome"] == outcome


def test_hint_beyond_the_deadline(inside: Inside, model: Model) -> None:
    """A wait that would pass the deadline is not begun: 75 at once, and the error says how long to wait."""
    model.script(limited("37.5s"))
    start = time.monotonic()
    status, out, error = inside.error("send", "-s", "s", "--deadline", "30", "hello")
    assert time.monotonic() - start < 5
    assert (status, out, error["reason"]) == (75, "", "RATE_LIMIT")
    assert (error["retry_after_s"], error["retryable"], error["outcome"]) == (37.5, True, "rejected")
    assert (len(model.requests), error["attempts"]) == (1, 1)


@streamed
def test_deadline_bounds_it_all(stream: list[str], inside: Inside, model: Model) -> None:
    """However often it is refused, the command ends by its deadline, with the refusal as its error."""
    model.script(*[limited("0.5s", 503)] * 50)
    start = time.monotonic()
    status, _, error = inside.error("send", "-s", "s", *stream, "--retries", "50", "--deadline", "3", "hello")
    assert time.monotonic() - start < 5
    assert (status, error["reason"], error["outcome"]) == (75, "UNAVAILABLE", "rejected")
    assert 2 <= len(model.requests) < 8
    assert len(records_of()[-1]["attempts"]) == error["attempts"] == len(model.requests)


@streamed
def test_deadline_during_the_second_attempt(stream: list[str], inside: Inside, model: Model) -> None:
    """A second attempt that gets no answer ends at the deadline, outcome unknown; the first is in the record."""
    model.script(limited("0s"), Reply(200, {}, (30.0,)))
    start = time.monotonic()
    status, _, error = inside.error("send", "-s", "s", *stream, "--deadline", "3", "hello")
    assert time.monotonic() - start < 5
    assert (status, error["reason"], error["outcome"], error["attempts"]) == (75, "TIMEOUT", "unknown", 2)
    assert [attempt["reason"] for attempt in records_of()[-1]["attempts"]] == ["RATE_LIMIT", "TIMEOUT"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_connection_refused(inside: Inside, model: Model) -> None:
    """A refused connection is tried again, then it is an error: rejected, for nothing was sent."""
    inside.env["GOOGLE_GEMINI_BASE_URL"] = f"http://127.0.0.1:{free_port()}"
    status, _, error = inside.error("send", "-s", "s", "--retries", "1", "hello")
    assert (status, error["reason"], error["outcome"], error["attempts"]) == (75, "CONNECT", "rejected", 2)
    assert [attempt["reason"] for attempt in records_of()[-1]["attempts"]] == ["CONNECT", "CONNECT"]


def test_server_that_comes_up(gemcli: Gemcli, model: Model) -> None:
    """A server that is up again in time gets the message: one exchange, two or more attempts."""
    port = free_port()
    env = model.env | {"GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}"}
    gemcli("new", "-s", "s", env=env)
    with gemcli.start("send", "-s", "s", "hello", env=env) as process:
        assert b"sending again in" in process.stderr.readline()  # type: ignore[union-attr]
        with serve(model._answer, port=port):
            out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out)["attempts"] >= 2
    assert [record["kind"] for record in records_of()] == ["session", "request", "response"]
    assert records_of()[-1]["attempts"][0]["reason"] == "CONNECT"


@streamed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_during_a_wait(number: signal.Signals, stream: list[str], gemcli: Gemcli, model: Model) -> None:
    """A signal during a wait ends the command at once: 128 + n, rejected and recorded; nothing more is sent."""
    gemcli("new", "-s", "s", env=model.env)
    model.script(limited("60s"))
    command = ["send", "-s", "s", *stream, "--errors", "json", "hello"]
    with gemcli.start(*command, env=model.env) as process:
        told = process.stdout if stream else process.stderr
        assert told is not None
        assert told.readline()
        start = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 3
    assert process.returncode == 128 + number
    error = json.loads(err.splitlines()[-1])
    assert (error["reason"], error["outcome"], error["exit"]) == ("INTERRUPTED", "rejected", 128 + number)
    failure = records_of()[-1]
    assert (failure["kind"], failure["reason"], failure["outcome"]) == ("failure", "INTERRUPTED", "rejected")
    assert [attempt["reason"] for attempt in failure["attempts"]] == ["RATE_LIMIT"]
    if stream:
        assert json.loads(out)["exit"] == 128 + number
    assert len(model.requests) == 1
    assert gemcli("send", "-s", "s", "--wait", "0", "next", env=model.env).status == 0
    assert model.requests[-1]["contents"] == contents("next")
