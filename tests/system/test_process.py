"""The program in odd surroundings: any byte, any locale, any clock, any standard stream that is missing."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from gemcli.api.gemini import Gemini
from gemcli.cli import COMMANDS
from gemcli.signals import deferred
from gemcli.simulator.simulated_api import json_reply
from tests.builders import ECHO, answer, header, turn, write_session
from tests.support import Gemcli, InProcess, Model
from tests.system import Listener, listening

# Bytes


@pytest.mark.parametrize("way", ["argument", "stdin"])
def test_every_byte(way: str, here: InProcess, monkeypatch: pytest.MonkeyPatch, figures: Callable[..., None]) -> None:
    """Each of the 256 bytes alone is a message as it is, no message, or an error that names it; never anything else."""
    monkeypatch.setattr(Gemini, "ask", lambda self, *request: request[-1].mark_sent() or answer("ok"))
    statuses = []
    for byte in (bytes([value]) for value in range(256)):
        path = write_session("a", header())
        before = path.read_bytes()
        done = here("send", "-s", "a", "-n", "--", byte) if way == "argument" else here("send", "-s", "a", stdin=byte)
        statuses.append(done.status)
        if byte == b"\0" or byte > b"\x7f":
            assert (done.status, done.out, path.read_bytes()) == (65, "", before)
            assert ("NUL" if byte == b"\0" else f"0x{byte[0]:02x}") in done.err
        elif not byte.decode().strip() or (way, byte) == ("argument", b"-"):
            assert (done.status, done.out, path.read_bytes()) == (2, "", before)
        else:
            assert (done.status, done.err) == (0, "")
            request = here.records("a")[1]
            assert request["content"] == {"role": "user", "parts": [{"text": byte.decode()}]}
        assert "Traceback" not in done.err
    figures(f"bytes as {way}", bytes=len(statuses), sent=statuses.count(0))


# Locales

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
SCRIPT = "- grüße\n- 日本 😀\n"

IN_C = {
    "new": ["new", "-s", "ü.jsonl", "--model", ECHO, "--system", "höflich"],
    "send": ["send", "-s", "a", "--model", ECHO, "grüße\u2028😀"],
    "send-stream": ["send", "-s", "a", "--model", ECHO, "--stream", "--text", "grüße\u2028😀"],
    "history": ["history", "-s", "a"],
    "history-text": ["history", "-s", "a", "--text"],
    "rewind": ["rewind", "-s", "a"],
    "export-script": ["export", "script", "-s", "a"],
    "export-markdown": ["export", "markdown", "-s", "a"],
    "export-contents": ["export", "contents", "-s", "a"],
    "replay": ["replay", "plän.yaml", "-s", "r", "--model", ECHO],
    "missing": ["history", "-s", "fehlt-ä.jsonl"],
    "unknown": ["send", "--größe", "x"],
    **{f"help-{name}": [name, "--help"] for name in COMMANDS},
}
"""A command line for each command, and what it is about is not ASCII."""


@pytest.mark.parametrize("name", IN_C)
def test_every_command_in_the_c_locale(name: str, gemcli: Gemcli, here: InProcess) -> None:
    """In the C locale every command does and prints what it does in any other, but for escapes in names of files."""
    runs = []
    for run, env in ((here, None), (gemcli, C_LOCALE)):
        for file in gemcli.directory.iterdir():
            file.unlink()
        gemcli.session("r").unlink(missing_ok=True)
        (gemcli.directory / "plän.yaml").write_text(SCRIPT, encoding="utf-8")
        write_session("a", header(), *turn(1, "grüße", "日本 😀"))
        done = run(*IN_C[name], env=env)
        assert "Traceback" not in done.err
        runs.append((done.status, changeless(done.out), changeless(done.err)))
    assert runs[0] == runs[1]
    assert runs[0][0] == {"missing": 66, "unknown": 2}.get(name, 0)
    assert name.startswith("help") or re.search("[äöüß]", runs[0][1] + runs[0][2])


def test_a_script_goes_on_in_another_locale(gemcli: Gemcli, here: InProcess) -> None:
    """A script that was played in the C locale, as by an old cron, is known again everywhere: nothing is sent twice."""
    (gemcli.directory / "plän.yaml").write_text(SCRIPT, encoding="utf-8")
    words = ["replay", "plän.yaml", "-s", "r", "--model", ECHO]
    assert gemcli(*words, env=C_LOCALE).lines[-1]["turns"]["sent"] == 2
    assert here(*words).lines[-1]["turns"]["reused"] == 2
    assert gemcli(*words, env=C_LOCALE).lines[-1]["turns"]["reused"] == 2


def changeless(printed: str) -> str:
    """What was printed, without what is another in every run: times and random names.

    Bytes of names that the locale does not know come as escapes; they stand for the same names.
    """

    def calm(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: calm(each) for key, each in value.items() if key not in CHANGING}
        return [calm(each) for each in value] if isinstance(value, list) else value

    lines = []
    for line in printed.splitlines():
        told = re.sub(r"\\udc([0-9a-f]{2})", lambda match: chr(0xDC00 + int(match[1], 16)), line)
        told = told.encode("utf-8", "surrogateescape").decode("utf-8")
        try:
            lines.append(json.dumps(calm(json.loads(told)), ensure_ascii=False))
        except ValueError:
            lines.append(told)
    return "\n".join(lines)


CHANGING = {"elapsed_ms", "waited_ms", "id", "time", "last_time", "path", "started", "key", "file"}


# Clocks

YEAR = 365.25 * 86400
JUMPS = [0.0, -10 * YEAR, 30 * YEAR, -3600, 0.001, -YEAR, 200 * YEAR, -0.5]
"""Seconds by which the clock of the machine is wrong, one after the other."""


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the machine jumps each time that somebody looks at it; the times it has shown are the result."""
    real = time.time
    shown: list[float] = []

    def look() -> float:
        shown.append(real() + JUMPS[len(shown) % len(JUMPS)])
        return shown[-1]

    monkeypatch.setattr(time, "time", look)
    return shown


def test_a_clock_that_jumps(jumping: list[float], here: InProcess, model: Model) -> None:
    """Records of any order of times make one valid session: sending, sending again, rewinding and replaying go on."""
    busy = json_reply({"error": {"code": 503, "message": "busy"}}, 503, {"retry-after": "0"})
    (here.directory / "s.yaml").write_text("- one\n- two\n")
    assert here("new", "-s", "a").status == 0
    start = time.monotonic()
    for number in range(1, 9):
        model.replies[:] = [busy] if number % 2 else []
        words = ["--once", f"k{number}"] if number % 3 else ["--stream"]
        done = here("send", "-s", "a", "--retries", "1", f"message {number}", *words)
        assert done.status == 0, done.err
    assert here("rewind", "-s", "a", "-n", "2").status == 0
    assert here("send", "-s", "a", "--once", "k1", "message 1").lines[-1]["sent"] is False
    assert here("replay", "s.yaml", "-s", "r").status == 0
    assert here("replay", "s.yaml", "-s", "r").lines[-1]["turns"]["reused"] == 2
    assert here("history", "-s", "a", "--check").status == here("history", "-s", "r", "--check").status == 0
    assert here("new", "-s", "b", "--from", "a").status == 0
    assert [json.loads(line)["turn"] for line in here("history", "-s", "a").out.splitlines()] == [*range(1, 7)]
    times = [record["time"] for record in here.records("a")]
    assert len(jumping) > 20
    assert times != sorted(times)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "wrong", [-10 * YEAR, -3600.0, 0.0, 3600.0, 10 * YEAR, 5000 * YEAR], ids=lambda by: f"{by:+.0f}"
)
def test_a_wrong_clock_and_a_date_to_wait_for(
    wrong: float, here: InProcess, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Retry-After that is a date is a wait from now by our clock; however wrong it is, the deadline holds."""
    now = time.time()
    when = formatdate(now + 5, usegmt=True)
    waits: list[float] = []
    monkeypatch.setattr(time, "time", lambda: now + wrong)
    monkeypatch.setattr(deferred, "sleep", lambda seconds: waits.append(seconds))
    model.script(json_reply({"error": {"code": 503}}, 503, {"retry-after": when}))
    assert here("new", "-s", "a").status == 0
    words = ["send", "-s", "a", "hi", "--retries", "1", "--deadline", "60", "--errors", "json"]
    done = here(*words)
    if wrong < 0:
        # The date is hours or years away: nobody waits for it, and the caller learns of it.
        assert (done.status, done.out, waits) == (75, "", [])
        assert done.error["retry_after_s"] is None or done.error["retry_after_s"] > 60
        assert (done.error["reason"], done.error["outcome"]) == ("UNAVAILABLE", "rejected")
    else:
        assert done.status == 0, done.err
        (wait,) = waits
        assert 0 <= wait <= 6 + 1
        assert wrong or wait > 3
    assert here("history", "-s", "a", "--check").status == 0


def test_the_deadline_is_not_on_that_clock(here: InProcess, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps by years during a request neither ends it nor lets it go on for ever."""
    real = time.time
    looks = itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() + next(looks) * 50 * YEAR)
    assert here("new", "-s", "a").status == 0
    assert here("send", "-s", "a", "hi", "--deadline", "60", "--timeout", "60").status == 0


# Standard streams

CLOSED = ["", "<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]
"""Every combination of missing standard streams."""

COMMAND_LINES = {
    "new": "new -s n --model simulator/echo",
    "send": "send -s a hello",
    "send --stream": "send -s a --stream hello",
    "history": "history -s a",
    "rewind": "rewind -s a",
    "export": "export script -s a",
    "replay": "replay s.yaml -s n --model simulator/echo",
}
"""A command line for each command; those with `-s n` make a session."""


SLOW = {
    # What test_pipes does not have; the others are proven in the long run.
    "send": ("<&- >&-", "<&- 2>&-"),
    "send --stream": (">&-", "<&- >&- 2>&-"),
    "replay": ("<&-", ">&-", "<&- 2>&-", "<&- >&- 2>&-"),
}
"""The commands that load the SDK, with the combinations that every run of the tests tries."""

COMBINATIONS = [
    pytest.param(name, closed, marks=[pytest.mark.torture] if closed not in SLOW.get(name, CLOSED) else [])
    for name in COMMAND_LINES
    for closed in CLOSED
]


@pytest.mark.parametrize(("name", "closed"), COMBINATIONS)
def test_every_command_with_missing_streams(name: str, closed: str, gemcli: Gemcli, here: InProcess) -> None:
    """Whichever streams are closed: 0, or 74 without stdout, no word of Python's own, and a session that is whole."""
    write_session("a", header(), *turn(1))
    (gemcli.directory / "s.yaml").write_text("- one\n- two\n")
    done = gemcli.shell(f"gemcli {COMMAND_LINES[name]} {closed}")
    printed = ">&-" not in closed.replace("2>&-", "")
    assert done.status == (0 if printed else 74), done.err
    assert bool(done.out) == printed
    assert not [words for words in ("Traceback", "Exception ignored") if words in done.err]
    assert bool(done.err) == (not printed and "2>&-" not in closed)
    kinds = [record["kind"] for record in gemcli.records("a")]
    added = {"rewind": ["rewind"], "send": ["request", "response"], "send --stream": ["request", "response"]}
    assert kinds == ["session", "request", "response", *added.get(name, [])]
    assert here("history", "-s", "a", "--check").status == 0
    if name == "replay":
        # With nobody to tell, nothing is sent; with somebody, all of it.
        made = [record["kind"] for record in gemcli.records("n")] if gemcli.session("n").exists() else []
        assert made == (["session", *["request", "response"] * 2] if printed else [])
    else:
        assert gemcli.session("n").exists() == (name == "new")


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_that_does_not_wake_the_waiting_thread(number: signal.Signals, here: InProcess) -> None:
    """A signal taken by another thread, or just before the wait begins, ends the command all the same, and soon."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        signal.pthread_kill(threading.get_ident(), number)
        listener.stop.wait()

    with listening(handle) as listener:
        assert here("new", "-s", "a", env=listener.env).status == 0
        start = time.monotonic()
        done = here("send", "-s", "a", "hi", "--timeout", "30", "--errors", "json", env=listener.env)
        assert time.monotonic() - start < 10
    assert (done.status, done.error["reason"], done.error["outcome"]) == (128 + number, "INTERRUPTED", "unknown")
    deferred.arrived.clear()


# Limits of the machine


@pytest.mark.parametrize(
    ("error", "missing"),
    [("MemoryError", "there is not enough memory"), ('RuntimeError("can\'t start new thread")', "no more threads")],
)
def test_what_cannot_be_loaded(error: str, missing: str, gemcli: Gemcli) -> None:
    """Where the SDK cannot be loaded, the error says what is missing, nothing else is printed, and nothing in doubt."""
    package = gemcli.directory / "google" / "genai"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"raise {error}")
    done = gemcli("send", "-s", "s", "--create", "hi", env={"GEMCLI_MODEL": ECHO, "PYTHONPATH": str(gemcli.directory)})
    assert (done.status, done.out) == (75, "")
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == ["gemcli", "hint"]
    assert missing in done.err
    assert [record.get("outcome") for record in gemcli.records("s")] == [None, None, "rejected"]
