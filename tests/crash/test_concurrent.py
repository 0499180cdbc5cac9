"""Many programs on one session at once: the installed program, real processes, a model that counts."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gemcli.sessions.filesystem import FileSystem
from tests.builders import texts
from tests.support import Gemcli, InProcess, Model, read_session

EXISTS, BUSY = 73, 75


def ended(process: subprocess.Popen[Any], seconds: float = 500) -> tuple[int, str, str]:
    """Wait for a process; its status, output and errors."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out.decode(), err.decode()


def verify_chain(path: Path, model: Model, messages: set[str]) -> None:
    """The session has a turn for each message, and each request carried exactly the turns before it."""
    journal = read_session(path)
    history = journal.history
    assert set(texts(history[::2])) == messages
    assert [turn.number for turn in journal.live] == list(range(1, len(messages) + 1))
    assert len(model.requests) == len(messages)
    for place, request in enumerate(model.requests):
        assert request["contents"] == history[: 2 * place + 1], place


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a session's lock, as another gemcli does."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def until_waiting(process: subprocess.Popen[Any]) -> None:
    """Return when a process waits for a lock. Where the system does not tell: when it has had the time to."""
    locks = Path("/proc/locks")
    until = time.monotonic() + (60 if locks.exists() else 5)
    while time.monotonic() < until:
        if locks.exists() and any(
            "->" in line and f" {process.pid} " in line for line in locks.read_text().splitlines()
        ):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert not locks.exists(), "it never waited"


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, pytest.param(16, marks=pytest.mark.torture)])
def test_many_senders_create_one_session(number: int, gemcli: Gemcli, model: Model) -> None:
    """So many sends with --create on a missing session: one makes it, and the turns of all are in it."""
    messages = {f"message {place}" for place in range(number)}
    senders = [gemcli.start("send", "-s", "a", "--create", message, env=model.env) for message in sorted(messages)]
    results = [ended(sender) for sender in senders]
    assert [(status, err) for status, _, err in results] == [(0, "")] * number
    verify_chain(gemcli.session("a"), model, messages)
    assert [file.name for file in gemcli.session("a").parent.iterdir()] == ["a.jsonl"]


def test_of_two_new_at_once_one_wins(gemcli: Gemcli, model: Model) -> None:
    """Of several `new` on one name one creates the session, and the others say that it exists."""
    makers = [gemcli.start("new", "-s", "a", "--system", f"maker {number}", env=model.env) for number in range(4)]
    results = [ended(maker) for maker in makers]
    assert sorted(status for status, _, _ in results) == [0, EXISTS, EXISTS, EXISTS]
    winner = next(number for number, (status, _, _) in enumerate(results) if status == 0)
    instruction = read_session(gemcli.session("a")).header["config"]["systemInstruction"]
    assert instruction["parts"] == [{"text": f"maker {winner}"}]
    assert os.listdir(gemcli.session("a").parent) == ["a.jsonl"]


def test_a_rewind_waits_for_a_send(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A rewind that comes while a turn is under way takes that turn."""
    assert here("send", "-s", "a", "--create", "first").status == 0
    with held(gemcli.session("a")):
        sender = gemcli.start("send", "-s", "a", "second", env=model.env)
        until_waiting(sender)
        rewinder = gemcli.start("rewind", "-s", "a")
        until_waiting(rewinder)
    assert [ended(process)[0] for process in (sender, rewinder)] == [0, 0]
    journal = read_session(gemcli.session("a"))
    assert len(journal.turns) == 2
    assert len(journal.live) == 1


@pytest.mark.parametrize("args", [("send", "-s", "a", "x"), ("rewind", "-s", "a"), ("new", "-s", "a", "--force")])
def test_a_held_session_is_busy_at_once_without_wait(here: InProcess, model: Model, args: tuple[str, ...]) -> None:
    """With --wait 0 a session in use is 75, SESSION_BUSY, and nothing is sent or changed."""
    assert here("send", "-s", "a", "--create", "first").status == 0
    before = here.session("a").read_bytes()
    with held(here.session("a")):
        done = here(*args, "--wait", "0", "--errors", "json")
        assert here("history", "-s", "a").status == 0, "readers take no lock"
    assert (done.status, done.out) == (BUSY, "")
    assert (done.error["reason"], done.error["retryable"]) == ("SESSION_BUSY", True)
    assert here.session("a").read_bytes() == before
    assert len(model.requests) == 1
    assert [file.name for file in here.session("a").parent.iterdir()] == ["a.jsonl"]


def test_a_waiter_goes_on_with_the_session_that_took_the_place(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """When the session is replaced while a sender waits for it, the sender's turn goes into the new one."""
    assert here("send", "-s", "a", "--create", "old").status == 0
    assert here("new", "-s", "b", "--temperature", "0").status == 0
    old = gemcli.session("a").read_bytes()
    kept = gemcli.session("a").with_name("kept")
    kept.hardlink_to(gemcli.session("a"))
    with held(gemcli.session("a")):
        sender = gemcli.start("send", "-s", "a", "new", env=model.env)
        until_waiting(sender)
        gemcli.session("b").replace(gemcli.session("a"))
    status, _, err = ended(sender)
    assert (status, err) == (0, "")
    assert texts(read_session(gemcli.session("a")).history[::2]) == ["new"]
    assert model.requests[-1]["generationConfig"] == {"temperature": 0}
    assert kept.read_bytes() == old


def test_new_force_waits_its_turn_among_senders(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """`new --force` between waiting senders: each turn is in the old session or the new one, whole."""
    assert here("send", "-s", "a", "--create", "first").status == 0
    with held(gemcli.session("a")):
        commands = [("send", "-s", "a", "one"), ("new", "-s", "a", "--force"), ("send", "-s", "a", "two")]
        started = []
        for command in commands:
            started.append(gemcli.start(*command, env=model.env))
            until_waiting(started[-1])
    results = [ended(process) for process in started]
    assert [(status, err) for status, _, err in results] == [(0, "")] * 3
    backup = gemcli.session("a").with_name("a.jsonl.bak-1")
    old, new = texts(read_session(backup).history[::2]), texts(read_session(gemcli.session("a")).history[::2])
    assert old[0] == "first"
    assert sorted(old[1:] + new) == ["one", "two"]


def test_a_session_deleted_while_a_sender_waits_is_missing(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A session that goes while a sender waits for it is not brought back: 66, and nothing is sent."""
    assert here("new", "-s", "a").status == 0
    with held(gemcli.session("a")):
        sender = gemcli.start("send", "-s", "a", "x", env=model.env)
        until_waiting(sender)
        gemcli.session("a").unlink()
    assert ended(sender)[0] == 66
    assert model.requests == []
    assert not gemcli.session("a").exists()


def test_the_lock_does_not_outlive_a_killed_sender(gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """A sender that is killed while the model answers leaves no lock behind."""
    asked, go_on = threading.Event(), threading.Event()

    def wait(number: int) -> None:
        asked.set()
        go_on.wait(60)

    model.during = wait
    sender = gemcli.start("send", "-s", "a", "--create", "x", env=model.env)
    assert asked.wait(60)
    sender.kill()
    ended(sender)
    go_on.set()
    assert here("send", "-s", "a", "y", "--wait", "0").status == 0
    assert texts(read_session(gemcli.session("a")).history[::2]) == ["y"]


def test_children_of_a_program_do_not_inherit_the_lock(tmp_path: Path) -> None:
    """Descriptors of sessions close on exec, so a child that goes on living holds no lock."""
    path = tmp_path / "s.jsonl"
    path.write_text("")
    fd = FileSystem().open(str(path), os.O_RDWR)
    code = f"import os; os.fstat({fd})"
    done = subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True)
    FileSystem().close(fd)
    assert b"Bad file descriptor" in done.stderr
