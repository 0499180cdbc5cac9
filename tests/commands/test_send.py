"""`gemcli send`: one message, one exchange; where the message comes from, and what the answer comes to."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gemcli.api.attempt import Attempt
from gemcli.api.gemini import Gemini
from gemcli.chat.answers import judge
from gemcli.commands.send import ALLOWED
from gemcli.errors import GemcliError
from gemcli.exchange import Result
from gemcli.send.print_reply import print_result
from gemcli.sessions.session import Unsaved
from gemcli.simulator.simulated_api import json_reply
from gemcli.terminal.output import Output
from tests.builders import (
    CALL,
    answer,
    api_error,
    contents,
    failure,
    header,
    parts_of,
    records_of,
    request,
    retry_info,
    session_file,
    sse,
    streaming,
    turn,
    write_session,
)
from tests.support import Gemcli, InProcess, Model


def said(gemcli: Gemcli, name: str = "a") -> str:
    """The message of the last turn that was sent."""
    message: str = gemcli.records(name)[-2]["content"]["parts"][0]["text"]
    return message


# Where the message comes from


MESSAGES: dict[str, tuple[list[str], str | None, str]] = {
    "argument": (["hello"], None, "hello"),
    "stdin": ([], "hello\n", "hello\n"),
    "both": (["what?"], "x = 1\n", "what?\n\nx = 1\n"),
    "empty-pipe": (["what?"], "", "what?"),
    "blank-pipe": (["what?"], " \n", "what?"),
    "dash": (["-"], "x\n", "x\n"),
    "leave-stdin": (["-n", "what?"], "x\n", "what?"),
    "leave-stdin-long": (["--no-stdin", "what?"], "x\n", "what?"),
    "dash-wins": (["-n", "-"], "x\n", "x\n"),
    "after-two-dashes": (["--", "--help"], None, "--help"),
    "unaltered-argument": (["  indented\n"], None, "  indented\n"),
    "unaltered-stdin": ([], "\ufeffwith BOM\r\n\ttab", "\ufeffwith BOM\r\n\ttab"),
}
"""MESSAGE and options, standard input, and the message that they make."""


@pytest.mark.parametrize(("args", "stdin", "message"), MESSAGES.values(), ids=MESSAGES)
def test_the_message(here: InProcess, args: list[str], stdin: str | None, message: str) -> None:
    """The message is MESSAGE, what comes from stdin, or both with a blank line between them, unaltered."""
    write_session("a", header())
    done = here("send", "-s", "a", *args, stdin=stdin)
    assert (done.status, done.err) == (0, "")
    assert said(here) == message


def test_a_redirected_file(gemcli: Gemcli) -> None:
    """A redirected file follows MESSAGE as a pipe does; one that was already read from is left alone, with a note."""
    write_session("a", header())
    path = gemcli.directory / "f.txt"
    path.write_text("line 1\nline 2\n")
    with path.open("rb", buffering=0) as file:
        assert gemcli("send", "-s", "a", "read", stdin=file.fileno()).status == 0
        assert said(gemcli) == "read\n\nline 1\nline 2\n"
        file.seek(7)
        done = gemcli("send", "-s", "a", "again", stdin=file.fileno())
        assert said(gemcli) == "again"
        assert "gemcli: note: standard input is a file that was already read from" in done.err
        assert file.tell() == 7


# What is sent


def test_a_config_file_for_one_message(here: InProcess, model: Model) -> None:
    """`--config` and `--system @FILE` work for one message as they do for a session."""
    (here.directory / "c.yaml").write_text("temperature: 0.1\nseed: 7\n")
    (here.directory / "s.txt").write_text("In French")
    here("new", "-s", "a", "--system", "In German", env=model.env)
    here("send", "-s", "a", "x", "--config", "c.yaml", "--seed", "8", "--system", "@s.txt", env=model.env)
    assert model.requests[0]["generationConfig"] == {"temperature": 0.1, "seed": 8}
    assert model.requests[0]["systemInstruction"] == {"parts": [{"text": "In French"}]}


# What comes of it

IMAGE: Any = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
THOUGHT: Any = {"text": "Hm", "thought": True}
SIGNED: Any = {"text": "Yes", "thoughtSignature": "c2ln"}


@pytest.mark.parametrize(
    ("parts", "options", "printed"),
    [
        ([THOUGHT, SIGNED], [], False),
        ([THOUGHT, SIGNED], ["--full"], True),
        (["Look", IMAGE], [], True),
        (["Look", IMAGE], ["--stream"], False),
        (["Look", IMAGE], ["--stream", "--full"], True),
        ([CALL], [], False),
    ],
)
def test_parts(here: InProcess, model: Model, parts: list[Any], options: list[str], printed: bool) -> None:
    """What the text says is not printed a second time as Parts; but an image that is nowhere else is printed."""
    model.script(streaming(sse(answer(*parts))) if "--stream" in options else json_reply(answer(*parts)))
    document = here("send", "-s", "a", "--create", "x", *options, env=model.env).lines[-1]
    assert document.get("parts") == (parts_of(*parts) if printed else None)


def test_when_and_whom(here: InProcess) -> None:
    """The document says when the message was recorded, and which model was asked; again when it is printed again."""
    write_session("a", header())
    first = here("send", "-s", "a", "--once", "k", "x").json
    assert (first["time"], first["model"]) == (records_of("a")[1]["time"], "simulator/echo")
    again = here("send", "-s", "a", "--once", "k", "x").json
    assert (again["sent"], again["time"], again["model"]) == (False, first["time"], first["model"])
    assert here("history", "-s", "a").json["time"] == first["time"]


def test_waited(here: InProcess, model: Model) -> None:
    """`waited_ms` is the part of `elapsed_ms` that an attempt in vain and the wait after it took."""
    model.script(api_error(503, "UNAVAILABLE", "busy", retry_info("0.05s")), answer("at last"))
    done = here("send", "-s", "a", "--create", "x", "--retries", "1", env=model.env).json
    times = [attempt["elapsed_ms"] for attempt in records_of("a")[-1]["attempts"]]
    assert (done["attempts"], done["waited_ms"]) == (2, done["elapsed_ms"] - times[1])
    turn = here("history", "-s", "a").json
    assert [turn[key] for key in ("attempts", "elapsed_ms", "waited_ms")] == [
        done[key] for key in ("attempts", "elapsed_ms", "waited_ms")
    ]


def test_no_waits(here: InProcess, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was waited for where the first attempt was answered, however slowly the clock is read."""
    ticks = itertools.count()
    monkeypatch.setattr(Attempt, "elapsed_ms", property(lambda _attempt: next(ticks)))
    done = here.ok("send", "-s", "a", "--create", "Hello", env=model.env)[0]
    assert (done["attempts"], done["waited_ms"]) == (1, 0)


def test_totals_grow(here: InProcess, model: Model) -> None:
    """`totals` counts the whole session with every answer, refused ones too; `usage_metadata` only this one."""
    model.script(answer("1"), answer("2", finish="SAFETY"), answer("3"))
    here("new", "-s", "a", env=model.env)
    documents = [here("send", "-s", "a", "x", env=model.env).json for _ in range(3)]
    counted = [[each["totals"][name] for name in ("turns", "requests", "total_token_count")] for each in documents]
    assert counted == [[1, 1, 7], [1, 2, 14], [2, 3, 21]]
    assert [each["usage_metadata"]["total_token_count"] for each in documents] == [7, 7, 7]


@pytest.mark.parametrize("form", [[], ["--stream"]], ids=["whole", "stream"])
def test_numbers_of_a_hostile_server(form: list[str], here: InProcess, model: Model) -> None:
    """A number that no API sends neither keeps an answer that was paid for from being printed, nor any later one."""
    huge: Any = {
        "usageMetadata": dict.fromkeys(["promptTokenCount", "totalTokenCount"], 10**4299),
        "other": -(10**4299),
    }
    bodies = [answer("1", **huge), answer("2", **huge), answer("3", index=10**4299)]
    model.script(*[streaming(sse(body)) if form else body for body in bodies])
    here("new", "-s", "a", env=model.env)
    documents = [here("send", "-s", "a", *form, "x", env=model.env) for _ in bodies]
    assert [(each.status, each.lines[-1]["totals"]["total_token_count"]) for each in documents] == [
        (0, 0),
        (0, 0),
        (0, 7),
    ]
    assert here("history", "-s", "a", "--usage").json["total_token_count"] == 7
    assert [turn["text"] for turn in here.ok("history", "-s", "a")] == ["1", "2", "3"]


ANSWERS: dict[str, tuple[dict[str, Any], int]] = {
    "blocked": ({"promptFeedback": {"blockReason": "SAFETY"}}, 3),
    "incomplete": (answer("half", finish="MAX_TOKENS"), 4),
    "function_call": (answer(CALL), 5),
}


@pytest.mark.parametrize("word", ALLOWED)
@pytest.mark.parametrize("form", [[], ["--stream"], ["--stream", "--text"]], ids=" ".join)
def test_allow(here: InProcess, model: Model, word: str, form: list[str]) -> None:
    """A status named by --allow is 0 without an error, any other is not; the document says the same."""
    reply, status = ANSWERS[word]
    others = [other for other in ANSWERS if other != word]
    model.script(*[streaming(sse(reply)) if form else reply] * 2)
    here("new", "-s", "a", env=model.env)
    here("new", "-s", "b", env=model.env)
    strict = here("send", "-s", "a", "x", *form, "--allow", ",".join(others), env=model.env)
    allowed = here("send", "-s", "b", "x", *form, "--allow", f" {word} ,incomplete", env=model.env)
    assert (strict.status, allowed.status) == (status, 0)
    unsaid = "--text" in form and word == "function_call"  # a note tells of the call that is not printed
    assert allowed.err.startswith("gemcli: note: not shown as text") if unsaid else allowed.err == ""
    if "--text" not in form:
        assert strict.lines[-1]["status"] == allowed.lines[-1]["status"] == word
        assert (strict.lines[-1].get("exit", status), allowed.lines[-1].get("exit", 0)) == (status, 0)
    assert "gemcli: error: " in strict.err


@pytest.mark.parametrize("words", ["ok", "tempfail", "blocked;incomplete", "BLOCKED"])
def test_allow_what_cannot_be_allowed(here: InProcess, words: str) -> None:
    """A word that --allow does not know is 2 before anything is sent."""
    write_session("a", header())
    done = here("send", "-s", "a", "x", "--allow", words)
    assert done.status == 2
    assert "--allow takes blocked, incomplete, function_call" in done.err
    assert len(here.records("a")) == 1


@pytest.mark.parametrize("finish", ["STOP", "MAX_TOKENS"])
def test_an_open_call_takes_no_message(finish: str, here: InProcess, model: Model) -> None:
    """A call leaves the turn open: the next message is refused until `rewind` has taken the turn out."""
    here.ok("new", "-s", "s")
    model.script(answer("hello"), answer(CALL, finish=finish))
    here.ok("send", "-s", "s", "hi")
    assert here("send", "-s", "s", "call it").status == 5
    here.ok("history", "-s", "s", "--check")
    before = here.session("s").read_bytes()

    done = here.failed("send", "-s", "s", "and now?")
    assert (done.status, done.error["reason"], len(model.requests)) == (65, "OPEN_CALL", 2)
    assert "rewind" in done.error["hint"]
    assert here.session("s").read_bytes() == before

    here.ok("rewind", "-s", "s")
    here.ok("send", "-s", "s", "next")
    assert model.requests[-1]["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"text": "hello"}]},
        *contents("next"),
    ]


# Sessions


def test_wait(gemcli: Gemcli) -> None:
    """A session in use is 75 after --wait, with nothing sent; free in time, it is used."""
    path = write_session("a", header())
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        busy = gemcli("send", "-s", "a", "--wait", "0.2", "x", "--errors", "json")
        assert (busy.status, busy.out) == (75, "")
        assert (busy.error["reason"], busy.error["retryable"]) == ("SESSION_BUSY", True)
        at_once = gemcli("send", "-s", "a", "--wait", "0", "x")
        assert at_once.status == 75
        with gemcli.start("send", "-s", "a", "waiting") as waiting:
            time.sleep(0.5)
            assert waiting.poll() is None
            fcntl.flock(held, fcntl.LOCK_UN)
            out, _ = waiting.communicate(timeout=60)
    assert json.loads(out)["turn"] == 1
    assert waiting.returncode == 0
    assert len(gemcli.records("a")) == 3


@pytest.mark.parametrize("value", ["0", "-1", "soon", "", "nan", "inf", "1e10"])
@pytest.mark.parametrize("name", ["--timeout", "--deadline", "--wait"])
def test_invalid_time_limits(here: InProcess, name: str, value: str) -> None:
    """A limit that is not a time, or longer than timers can be, is 2; a wait of no time at all is one."""
    path = write_session("a", header())
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = here("send", "-s", "a", "x", "--wait", "0", f"{name}={value}")
    assert done.status == (75 if (name, value) == ("--wait", "0") else 2)
    assert len(here.records("a")) == 1


@pytest.mark.parametrize("options", [[], ["--text"]], ids=["json", "text"])
def test_the_session_is_free_when_the_answer_is_printed(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """Whoever reads the answer can use the session at once: `gemcli send -s a x | gemcli send -s a`."""
    path = write_session("a", header())
    printed = []

    def locked_meanwhile(_output: Output, value: object) -> None:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        printed.append(value)

    monkeypatch.setattr(Output, "json", locked_meanwhile)
    monkeypatch.setattr(Output, "text", locked_meanwhile)
    assert here("send", "-s", "a", "x", *options).status == 0
    assert len(printed) == 1


@pytest.mark.parametrize("fault", [BrokenPipeError(), GemcliError("NOT_PRINTED", "full")], ids=["no-reader", "full"])
def test_an_answer_neither_saved_nor_printed_is_told_as_unsaved(fault: Exception) -> None:
    """When an answer could not be saved and nobody reads it, the status is that of the session, never a quiet 141."""
    unsaved = Unsaved("DISK_FULL", "no space")
    result = Result(1, "1.1", None, "m", answer("hi"), judge(answer("hi")), [], 1, unsaved, ())
    with pytest.raises(Unsaved) as caught, print_result("a", result):
        raise fault
    assert caught.value.exit == 74


@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
def test_a_signal_does_not_take_an_answer_that_is_nowhere_else(
    options: list[str], here: InProcess, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be saved, and TERM comes before it is printed: it is printed, and then told as unsaved."""
    assert here("new", "-s", "a", env=model.env).status == 0
    put, close = os.write, Gemini.close
    writes: list[int] = []

    def full(fd: int, data: bytes) -> int:
        if fd > 2:
            writes.append(fd)
        if fd > 2 and len(writes) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(fd, data)

    def struck(self: Gemini) -> None:
        close(self)
        os.kill(os.getpid(), signal.SIGTERM)

    model.script(json_reply(answer("dear")) if not options else streaming(sse(answer("dear", finish="STOP"))))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(Gemini, "close", struck)
        done = here("send", "-n", "-s", "a", "hello", *options, env=model.env)
    assert (done.status, done.lines[-1]["saved"]) == (74, False)
    assert "dear" in done.out


@pytest.mark.parametrize("option", [("--config", ""), ("--system", "@")], ids=["config", "system"])
def test_a_pipe_that_nobody_writes_to(option: tuple[str, str], here: InProcess, model: Model, tmp_path: Path) -> None:
    """What an option names is read within the deadline, like everything else."""
    os.mkfifo(tmp_path / "pipe")
    name, prefix = option
    done = here("send", "-n", "-s", "a", "--create", "x", name, f"{prefix}pipe", "--deadline", "0.2", env=model.env)
    assert (done.status, model.requests) == (75, [])
    assert "a file named by an option did not end before the deadline" in done.err


# After a message whose fate is unknown

ENDS: dict[str, list[Any]] = {
    "killed": [],
    "unknown": [failure(2, "unknown")],
    "rejected": [failure(2, "rejected")],
    "answered-since": [failure(2, "unknown"), *turn(3)],
}
"""What follows the request of turn 2."""


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("options", [(), ("--once", "k")], ids=["plain", "once"])
def test_note_after_a_turn_in_doubt(name: str, options: tuple[str, ...], here: InProcess) -> None:
    """A message goes out although the one before may have been answered, and one note says so; the next has none."""
    write_session("a", header(), *turn(1), request(2, "what?"), *ENDS[name])
    notes = [
        here("send", "-n", "-s", "a", message, *options).err
        for message in ("one", "one" if "--once" in options else "two")
    ]
    if name in ("killed", "unknown"):
        assert notes[0] == (
            "gemcli: note: whether turn 2 was answered is unknown; it is not in the history, and this message goes on "
            "without it (see gemcli history -s a --turn 2)\n"
        )
        notes.pop(0)
    assert not any(notes)


def test_no_note_for_what_is_sent_again(here: InProcess) -> None:
    """Who asks for the message to be sent again knows that its fate is unknown."""
    write_session("a", header())
    here.ok("send", "-n", "-s", "a", "--once", "k", "hello")
    path = session_file("a")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    done = here("send", "-n", "-s", "a", "--once", "k", "hello", "--on-unknown", "resend")
    assert (done.status, done.err) == (0, "")
