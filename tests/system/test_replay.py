"""Scripted conversations as cron, a shell and an impatient person meet them: the installed program, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Reply
from tests.builders import answer, api_error, retry_info, slowly
from tests.support import Gemcli, InProcess, Model
from tests.system.test_interrupts import by_name, ended, wait_until

THREE = ["one", "two", "three"]
DOUBT, BUSY = 13, 75


def script(gemcli: Gemcli, *turns: Any, name: str = "s.json") -> str:
    """A script in the directory in which the program runs; its name."""
    (gemcli.directory / name).write_text(json.dumps(turns or THREE))
    return name


def asked(model: Model) -> list[str]:
    """The last message of each request, in the order of their arrival."""
    return [request["contents"][-1]["parts"][0]["text"] for request in model.requests]


def lines(out: str) -> list[Any]:
    """The events that were printed; the last one is the summary."""
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "summary", out
    return events


def statuses(out: str) -> list[str]:
    """What each turn came to."""
    return [event["status"] for event in lines(out) if event["event"] == "turn"]


def finished(here: InProcess, model: Model, *args: str, sends: list[str]) -> None:
    """Run the same again: it succeeds, sends these messages and no others; and once more, which sends nothing."""
    model.replies.clear()
    before = len(model.requests)
    done = here("replay", "s.json", "-s", "s", *args)
    assert (done.status, done.err) == (0, "")
    assert asked(model)[before:] == sends
    assert [record["kind"] for record in here.records("s")].count("response") == len(THREE)
    done = here("replay", "s.json", "-s", "s")
    assert (done.status, statuses(done.out)) == (0, ["reused"] * 3)
    assert len(model.requests) == before + len(sends)
    assert here("history", "-s", "s", "--check").status == 0


def in_the_second(gemcli: Gemcli, model: Model, second: Reply, *options: str) -> subprocess.Popen[Any]:
    """A run that is in its second turn, which is answered by `second`."""
    script(gemcli)
    model.script(answer("first"), second)
    process = gemcli.start("replay", "s.json", "-s", "s", *options, env=model.env)
    wait_until(lambda: len(model.requests) == 2, process)
    return process


@by_name
def test_a_signal_lets_the_request_finish(
    number: signal.Signals, gemcli: Gemcli, here: InProcess, model: Model
) -> None:
    """Told to stop, it finishes the running request and records it, sends nothing more, and goes on the next time."""
    process = in_the_second(gemcli, model, slowly(1.0, "second"))
    process.send_signal(number)
    status, out, err = ended(process)
    assert status == 128 + number
    assert statuses(out) == ["ok", "ok", "skipped"]
    summary = lines(out)[-1]
    assert (summary["exit"], summary["reason"], summary["turns"]["sent"]) == (status, "INTERRUPTED", 2)
    assert summary["next"] == "gemcli replay s.json -s s"
    assert number.name in err
    assert len(model.requests) == 2
    finished(here, model, sends=["three"])


def test_a_second_signal_leaves_at_once(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A second Ctrl-C does not wait for the answer: the turn is in doubt, 13 next time, and sent when allowed."""
    process = in_the_second(gemcli, model, slowly(30))
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGINT)
    status, out, _ = ended(process)
    assert (status, statuses(out)) == (130, ["ok", "error", "skipped"])
    in_doubt(here, model)


@pytest.mark.parametrize("grace", ["0", "0.5"])
def test_a_request_that_outlives_the_grace_is_in_doubt(
    grace: str, gemcli: Gemcli, here: InProcess, model: Model
) -> None:
    """With --grace 0 at once, else after so long, the request is given up: unknown, and 13 next time."""
    process = in_the_second(gemcli, model, slowly(30), "--grace", grace)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    status, out, _ = ended(process)
    assert time.monotonic() - began >= float(grace)
    assert (status, statuses(out)) == (143, ["ok", "error", "skipped"])
    in_doubt(here, model)


def in_doubt(here: InProcess, model: Model) -> None:
    """The second turn was sent, and nobody knows more: 13, nothing is sent, until it is allowed."""
    last = here.records("s")[-1]
    assert (last["kind"], last["reason"], last["outcome"]) == ("failure", "INTERRUPTED", "unknown")
    done = here("replay", "s.json", "-s", "s")
    assert (done.status, statuses(done.out)) == (DOUBT, ["reused", "in_doubt", "skipped"])
    assert "--on-unknown resend" in lines(done.out)[-1]["next"]
    assert len(model.requests) == 2
    finished(here, model, "--on-unknown", "resend", sends=["two", "three"])


def test_a_signal_ends_the_wait_before_sending_again(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A signal while the run waits out a 429 ends it at once; nothing is in doubt, and the next run sends the rest."""
    script(gemcli)
    busy = api_error(429, "RESOURCE_EXHAUSTED", "Slow down.", retry_info("60s"))
    model.script(answer("first"), busy)
    process = gemcli.start("replay", "s.json", "-s", "s", env=model.env)
    wait_until(lambda: len(gemcli.records("s")) == 4 if len(model.requests) == 2 else False, process)
    until_printed(process, b'"event":"wait"')
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    assert gemcli.records("s")[-1]["outcome"] == "rejected"
    finished(here, model, sends=["two", "three"])


def test_a_signal_ends_a_pause_of_the_script(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A signal in a `wait:` ends it at once, with nothing sent or in doubt; the next run sends the rest."""
    script(gemcli, "one", {"user": "two", "wait": 60}, "three")
    process = gemcli.start("replay", "s.json", "-s", "s", env=model.env)
    until_printed(process, b'"event":"wait"')
    process.send_signal(signal.SIGHUP)
    assert ended(process)[0] == 129
    assert [record["kind"] for record in gemcli.records("s")] == ["session", "request", "response"]
    script(gemcli)  # without the pause, which is no part of what is sent
    finished(here, model, sends=["two", "three"])


def until_printed(process: subprocess.Popen[Any], words: bytes) -> None:
    """Read what a process prints until these words come."""
    assert process.stdout
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(process.communicate())


def test_a_signal_when_nobody_reads(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """With a reader that has stopped reading, answers are recorded all the same, and a signal ends the run."""
    script(gemcli)
    model.script(answer("x" * 200_000), slowly(0.5))
    process = gemcli.start("replay", "s.json", "-s", "s", env=model.env)
    wait_until(lambda: len(model.requests) == 2, process)
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(10) == 143
    finally:
        process.kill()
        process.communicate()
    assert [record["kind"] for record in gemcli.records("s")] == ["session", *["request", "response"] * 2]
    finished(here, model, sends=["three"])


SUITE = "".join(
    json.dumps({"question_id": number, "category": "writing", "turns": [f"{number} a", f"{number} b"]}) + "\n"
    for number in (81, 82)
)


@pytest.mark.parametrize(("file", "text", "to", "place"), [
    ("s.json", json.dumps(THREE), ("-s", "s"), 1),
    ("suite.jsonl", SUITE, ("--out", "out"), 3),
], ids=["script", "second conversation of a suite"])  # fmt: skip
def test_overlapping_runs(file: str, text: str, to: tuple[str, ...], place: int, gemcli: Gemcli, model: Model) -> None:
    """While one run is under way, a second one is 75 at once and sends nothing; the first one completes."""
    (gemcli.directory / file).write_text(text)
    go_on = threading.Event()
    model.during = lambda number: number == place and go_on.wait(60)
    first = gemcli.start("replay", file, *to, env=model.env)
    wait_until(lambda: len(model.requests) == place, first)
    second = gemcli("replay", file, *to, env=model.env, timeout=30)
    assert (second.status, lines(second.out)[-1]["reason"]) == (BUSY, "SESSION_BUSY")
    assert [event["event"] for event in lines(second.out)] == ["run", "error", "summary"], "it did not stop at once"
    assert (first.poll(), len(model.requests)) == (None, place)
    go_on.set()
    status, out, err = ended(first)
    assert (status, err, set(statuses(out))) == (0, "", {"ok"})
    assert asked(model) == (THREE if file == "s.json" else ["81 a", "81 b", "82 a", "82 b"])


@pytest.mark.torture
@pytest.mark.parametrize(("file", "text", "to"), [
    ("s.json", json.dumps(THREE), ("-s", "s")),
    ("suite.jsonl", SUITE, ("--out", "out")),
], ids=["script", "suite"])  # fmt: skip
def test_runs_that_start_at_the_same_time(
    file: str, text: str, to: tuple[str, ...], gemcli: Gemcli, model: Model
) -> None:
    """Of six runs that start at once one makes the session and plays; the others are 75, and send nothing."""
    (gemcli.directory / file).write_text(text)
    model.script(slowly(5))
    runs = [gemcli.start("replay", file, *to, env=model.env) for _ in range(6)]
    results = [ended(run) for run in runs]
    assert sorted(status for status, _, _ in results) == [0, *[BUSY] * 5]
    assert sorted(lines(out)[-1]["turns"]["sent"] for _, out, _ in results) == [0, 0, 0, 0, 0, len(model.requests)]
    assert asked(model) == (THREE if file == "s.json" else ["81 a", "81 b", "82 a", "82 b"])
