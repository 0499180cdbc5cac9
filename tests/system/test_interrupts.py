"""Signals at any moment: the command ends at once, the session stays whole, and the record says what is known."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Reply
from tests.builders import answer, contents, slowly
from tests.crash.test_concurrent import until_waiting
from tests.support import PROGRAM, Gemcli, InProcess, Model
from tests.system import Listener, free_port, listening
from tests.system.test_network import full_backlog

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
by_name = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


def wait_until(condition: Callable[[], object], process: subprocess.Popen[Any]) -> None:
    """Wait until something has come about, as long as the process runs."""
    end = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def ended(process: subprocess.Popen[Any]) -> tuple[int, str, str]:
    """The status and the output of a process that must end now."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out.decode(), err.decode()


SILENCE = Reply(200, {}, (30.0,))


def thinking(
    gemcli: Gemcli, here: InProcess, model: Model, *options: str, reply: Reply = SILENCE, **given: Any
) -> subprocess.Popen[Any]:
    """A send to the new session `s` whose message the model has got."""
    here.ok("new", "-s", "s")
    model.script(reply)
    process = gemcli.start("send", "-s", "s", "hello", *options, env=model.env, **given)
    wait_until(lambda: model.requests, process)
    return process


def assert_whole(here: InProcess, model: Model) -> list[dict[str, Any]]:
    """The session loads, is valid and takes the next message; its records before that."""
    records = here.records("s")
    assert here("history", "-s", "s", "--check").status == 0
    model.replies.clear()
    done = here("send", "-s", "s", "go on", "--wait", "0")
    assert done.status == 0, done.err
    return records


@by_name
def test_while_the_model_thinks(number: signal.Signals, gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A signal during the call ends it at once: 128 + n, outcome unknown, recorded; the session goes on."""
    process = thinking(gemcli, here, model, "--errors", "json")
    process.send_signal(number)
    status, out, err = ended(process)
    error = json.loads(err.splitlines()[-1])
    assert (status, out, error["reason"], error["outcome"]) == (128 + number, "", "INTERRUPTED", "unknown")
    assert (error["exit"], number.name in error["message"]) == (128 + number, True)
    failure = assert_whole(here, model)[-1]
    assert (failure["kind"], failure["reason"], failure["outcome"]) == ("failure", "INTERRUPTED", "unknown")
    assert model.requests[-1]["contents"] == contents("go on")


def loading(gemcli: Gemcli, here: InProcess, model: Model, *options: str) -> subprocess.Popen[Any]:
    """A send to the new session `s` that has the lock and never gets ready, because it loads something without end."""
    here.ok("new", "-s", "s")
    package, begun = gemcli.directory / "google" / "genai", gemcli.directory / "begun"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(60)\n")
    env = model.env | {"PYTHONPATH": str(gemcli.directory)}
    process = gemcli.start("send", "-s", "s", "hello", *options, env=env)
    wait_until(begun.exists, process)
    wait_until(lambda: here("rewind", "-s", "s", "--wait", "0").status == 75, process)
    time.sleep(0.3)
    return process


def connecting(gemcli: Gemcli, here: InProcess, model: Model, port: int, *options: str) -> subprocess.Popen[Any]:
    """A send to the new session `s` whose connection hangs."""
    here.ok("new", "-s", "s")
    env = model.env | {"GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}"}
    process = gemcli.start("send", "-s", "s", "hello", *options, env=env)
    wait_until(lambda: is_connecting(process), process)
    return process


def is_connecting(process: subprocess.Popen[Any]) -> bool:
    """Whether a process has a socket that it opened for a connection."""
    files = Path(f"/proc/{process.pid}/fd").iterdir()
    with suppress(OSError):  # closed meanwhile
        return any(os.readlink(file).startswith("socket:") for file in files)
    return False


def retrying(gemcli: Gemcli, here: InProcess, model: Model, *options: str) -> subprocess.Popen[Any]:
    """A send to the new session `s` that found nobody at its server, and waits to try again."""
    here.ok("new", "-s", "s")
    env = model.env | {"GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    process = gemcli.start("send", "-s", "s", "hello", "--retries", "9", *options, env=env)
    assert process.stderr
    assert b"sending again" in process.stderr.readline()
    return process


STAGES = ["loading", "connecting", "retrying"]


@contextmanager
def before_the_request_leaves(
    stage: str, gemcli: Gemcli, here: InProcess, model: Model, *options: str
) -> Iterator[subprocess.Popen[Any]]:
    """A send that stays at one of the stages before its request leaves."""
    if stage == "loading":
        yield loading(gemcli, here, model, *options)
        return
    if stage == "retrying":
        yield retrying(gemcli, here, model, *options)
        return
    with full_backlog() as port:
        yield connecting(gemcli, here, model, port, *options)


@pytest.mark.parametrize(("stage", "number"), list(zip(STAGES, SIGNALS, strict=True)), ids=STAGES)
def test_before_the_request_leaves(
    stage: str, number: signal.Signals, gemcli: Gemcli, here: InProcess, model: Model
) -> None:
    """A signal before the request has left ends the command: 128 + n, rejected and recorded, for nothing was sent."""
    with before_the_request_leaves(stage, gemcli, here, model, "--errors", "json") as process:
        process.send_signal(number)
        status, _, err = ended(process)
    assert (status, json.loads(err.splitlines()[-1])["outcome"]) == (128 + number, "rejected")
    failure = assert_whole(here, model)[-1]
    assert (failure["kind"], failure["outcome"]) == ("failure", "rejected")


@pytest.mark.parametrize("stage", STAGES)
def test_killed_before_the_request_leaves(stage: str, gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A program that is killed before its request has left leaves nothing in doubt: the request is not on disk yet."""
    with before_the_request_leaves(stage, gemcli, here, model) as process:
        process.kill()
        ended(process)
    assert [record["kind"] for record in assert_whole(here, model)] == ["session"]


def test_while_waiting_for_the_lock(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A signal while another gemcli has the session ends the command and writes nothing."""
    first = thinking(gemcli, here, model)
    second = gemcli.start("send", "-s", "s", "second", env=model.env)
    until_waiting(second)
    second.send_signal(signal.SIGHUP)
    assert ended(second)[0] == 129
    assert first.poll() is None
    first.terminate()
    assert ended(first)[0] == 143
    assert [record.get("turn") for record in assert_whole(here, model) if record["kind"] == "request"] == [1]


def test_twice(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """Of several signals the first decides the status; the others change nothing: recorded once, no traceback."""
    process = thinking(gemcli, here, model)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.01)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status == 143
    assert "Traceback" not in err
    assert [record["kind"] for record in assert_whole(here, model)] == ["session", "request", "failure"]


def ignore_hangup() -> None:
    """What nohup does before it starts a program."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_nohup(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """Under nohup a hangup changes nothing: the answer is waited for, recorded and printed."""
    process = thinking(gemcli, here, model, "--text", reply=slowly(1.5, "patience"), preexec_fn=ignore_hangup)
    process.send_signal(signal.SIGHUP)
    status, out, err = ended(process)
    assert (status, out, err) == (0, "patience\n", "")
    assert assert_whole(here, model)[-1]["kind"] == "response"


@pytest.mark.slow
def test_around_the_answer(gemcli: Gemcli, here: InProcess) -> None:
    """Signals in the moments in which an answer arrives: it is recorded whole, or the exchange is in doubt."""
    delays = iter([0.0, 0.002, 0.004, 0.008, 0.016, 0.032])
    process: subprocess.Popen[Any]

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        body = json.dumps(answer("hi")).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        time.sleep(next(delays))
        process.send_signal(signal.SIGTERM)

    with listening(handle) as listener:
        here("new", "-s", "s", env=listener.env)
        for _ in range(6):
            process = gemcli.start("send", "-s", "s", "hello", env=listener.env)
            status, out, err = ended(process)
            last = gemcli.records("s")[-1]
            assert status in (0, 143, -15), err
            assert "Traceback" not in err
            if last["kind"] == "failure":
                assert (status, out, last["outcome"]) == (143, "", "unknown")
            else:
                assert (last["kind"], last["answer"]) == ("response", answer("hi"))
            assert here("history", "-s", "s", "--check").status == 0


@pytest.mark.torture
@by_name
def test_random_moments(number: signal.Signals, gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A signal at any moment of a send: it ends, the session loads, and no request that was sent lacks its outcome."""
    here.ok("new", "-s", "s")
    moments = random.Random(number)  # the same moments each time
    start = time.monotonic()
    assert gemcli("send", "-s", "s", "how long?", env=model.env).status == 0
    whole = time.monotonic() - start
    for place in range(7):
        before, asked = gemcli.records("s"), len(model.requests)
        model.script(slowly(0.2))
        process = gemcli.start("send", "-s", "s", f"question {place}", env=model.env)
        timer = threading.Timer(moments.uniform(0.02, whole + 0.3), process.send_signal, [number])
        timer.start()
        status, out, err = ended(process)
        timer.join()
        # Before the program has begun and after it has ended, signals are the interpreter's.
        assert status in (0, 128 + number, -number), err
        new = gemcli.records("s")[len(before) :]
        kinds = [record["kind"] for record in new]
        assert kinds in ([], ["request", "failure"], ["request", "response"]), err
        if len(model.requests) > asked:
            assert kinds, "a request was sent and not written down"
        if kinds[1:] == ["failure"] and new[1]["outcome"] == "rejected":
            assert len(model.requests) == asked
        if out:
            assert (kinds[1:], json.loads(out)["text"]) == (["response"], "hi")
        model.replies.clear()
    assert_whole(here, model)


def test_stopped_and_continued(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A process that was stopped and continued goes on where it was."""
    process = thinking(gemcli, here, model, "--text", reply=slowly(1.0))
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGCONT)
    assert ended(process) == (0, "hi\n", "")


PROGRAMS = [[PROGRAM], [f"{PROGRAM}-simulator"], [sys.executable, "-m", "gemcli"]]


@pytest.mark.parametrize("program", PROGRAMS, ids=["gemcli", "gemcli-simulator", "python -m gemcli"])
def test_while_modules_are_imported(program: list[str], gemcli: Gemcli) -> None:
    """Ctrl-C before the program has really begun ends it: status 130 for a shell, and no traceback."""
    begun = gemcli.directory / "begun"
    (gemcli.directory / "click.py").write_text(f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(30)\n")
    env = {**os.environ, "PYTHONPATH": str(gemcli.directory)}
    process = subprocess.Popen([*program, "--help"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(begun.exists, process)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (-signal.SIGINT, "", "")


def block_alarm() -> None:
    """What a parent does that handles SIGALRM in a thread of its own, and forgets that its children inherit that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})


def test_an_inherited_signal_mask(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """Waits end in time although the parent has blocked SIGALRM: that for a session, and that for standard input."""
    first = thinking(gemcli, here, model)
    done = gemcli("send", "-n", "-s", "s", "x", "--wait", "0.5", env=model.env, timeout=20, preexec_fn=block_alarm)
    assert (done.status, "is in use" in done.err) == (75, True)
    first.terminate()
    ended(first)
    unread, kept = os.pipe()
    done = gemcli("send", "-s", "s", "--deadline", "0.5", stdin=unread, timeout=20, preexec_fn=block_alarm)
    assert (done.status, "standard input did not end" in done.err) == (75, True)
    os.close(unread)
    os.close(kept)


def test_while_a_pipe_is_waited_for(gemcli: Gemcli) -> None:
    """A signal ends `new` while it waits for somebody to write to a pipe."""
    os.mkfifo(gemcli.directory / "pipe")
    process = gemcli.start("new", "-s", "s", "--history", "pipe")
    wait_until(lambda: "wait_for_partner" in Path(f"/proc/{process.pid}/wchan").read_text(), process)
    process.send_signal(signal.SIGTERM)
    status, out, err = ended(process)
    assert (status, out) == (143, "")
    assert "Traceback" not in err
    assert not gemcli.session("s").exists()
