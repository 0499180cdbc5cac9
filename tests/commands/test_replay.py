"""`gemcli replay`: the command line, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsIndex

import pytest

from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.store import Store
from gemcli.simulator.simulated_api import Cut, Reply, json_reply
from gemcli.text import patterns
from tests.builders import CALL, answer, header, texts, turn, write_session
from tests.support import Done, InProcess, Model

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
RESET = Reply(200, {}, (Cut("reset"),))


class Doing(list[Reply]):
    """Replies; something is done before each."""

    def __init__(self, act: Callable[[], None], *replies: Reply) -> None:
        super().__init__(replies)
        self._act = act

    def pop(self, place: SupportsIndex = -1) -> Reply:
        """The next reply."""
        self._act()
        return super().pop(place)


def run(here: InProcess, document: Any, *options: str) -> Done:
    """Play a script, which is text or JSON, as s.yaml."""
    text = document if isinstance(document, str) else json.dumps(document)
    Path("s.yaml").write_text(text)
    return here("replay", "s.yaml", *options)


@pytest.fixture
def here(here: InProcess, monkeypatch: pytest.MonkeyPatch, model: Model) -> InProcess:
    """The program in this process and in an empty directory; nothing is sent again by itself."""
    monkeypatch.chdir(here.directory)
    monkeypatch.setattr("random.random", lambda: 0.0)
    here.env["GEMCLI_REPLAY_RETRIES"] = "0"
    return here


def refusal(code: int, status: str, *details: Any) -> Reply:
    """An error of the API."""
    return json_reply({"error": {"code": code, "message": "no", "status": status, "details": [*details]}}, code)


def statuses(done: Done) -> list[str]:
    """What the turns came to."""
    return [event["status"] for event in done.lines if event["event"] == "turn"]


def summary(done: Done) -> Any:
    """The last event."""
    last = done.lines[-1]
    assert last["event"] == "summary"
    return last


def pasted(here: InProcess, command: str) -> Done:
    """What becomes of a command line that was pasted."""
    words = shlex.split(command)
    assert words[0] == "gemcli"
    return here(*words[1:])


# Playing


def test_a_script(here: InProcess, model: Model) -> None:
    """Three lines are a script: each is sent on top of the answers before it; events say so, and stderr nothing."""
    done = run(here, "- My name is Alice\n- yes\n- 12:30\n", "-s", "a")
    assert (done.status, done.err) == (0, "")
    assert [event["event"] for event in done.lines] == ["run", "turn", "turn", "turn", "summary"]
    assert texts(model.requests[2]["contents"])[::2] == ["My name is Alice", "yes", "12:30"]
    first = done.lines[0]
    assert (first["run"], first["file"], first["turns"], first["resuming"]) == ("s", "s.yaml", 3, 0)
    assert first["script"].startswith("sha256:")


def test_again(here: InProcess, model: Model) -> None:
    """A finished script sends nothing, writes nothing, needs no key, and exits 0."""
    run(here, ["a", "b"], "-s", "a")
    before = here.session("a").read_bytes()
    here.env.pop("GEMINI_API_KEY")
    done = run(here, ["a", "b"], "-s", "a")
    assert (done.status, len(done.err.splitlines()), statuses(done)) == (0, 1, ["reused", "reused"])
    assert (done.lines[0]["resuming"], summary(done)["turns"]["sent"]) == (1, 0)
    assert (len(model.requests), here.session("a").read_bytes()) == (2, before)


def test_where_the_session_comes_from(here: InProcess) -> None:
    """A session that a script makes has its model and settings, and says from which script it is."""
    done = run(here, {"model": "m1", "system": "Be brief", "turns": ["a"]}, "-s", "a")
    first = json.loads(here.session("a").read_text().splitlines()[0])
    assert (first["model"], first["config"]) == ("m1", {"systemInstruction": {"parts": [{"text": "Be brief"}]}})
    assert first["origin"] == {"kind": "replay", "file": "s.yaml", "script": done.lines[0]["script"]}


def test_edited(here: InProcess, model: Model) -> None:
    """14 names the turn and tells how to go on, which works."""
    run(here, ["a", "b", "c"], "-s", "a")
    done = run(here, ["a", "x", "c"], "-s", "a", "--errors", "json")
    assert (done.status, statuses(done)) == (14, ["reused", "error", "skipped"])
    assert (
        done.error["message"] == "s/t2: turn 2 was answered for another message; this message was not sent (session a)"
    )
    assert (len(model.requests), summary(done)["next"]) == (3, None)
    assert pasted(here, done.error["hint"].partition(" and ")[0].removeprefix("run ")).status == 0
    done = run(here, ["a", "x", "c"], "-s", "a")
    assert (done.status, statuses(done)) == (0, ["reused", "ok", "ok"])


def test_a_base(here: InProcess, model: Model) -> None:
    """A session made with --from is continued, and one that was used by hand is not."""
    write_session("old", header("gemini-test"), *turn(1))
    assert here("new", "-s", "a", "--from", "old").status == 0
    assert run(here, ["a"], "-s", "a").status == 0
    assert texts(model.requests[0]["contents"]) == ["question 1", "answer 1", "a"]
    done = run(here, ["question 1", "a"], "-s", "old")
    assert (done.status, len(model.requests)) == (14, 1)


def test_in_doubt(here: InProcess, model: Model) -> None:
    """What was sent in vain is 13 until it is sent again on purpose; --on-unknown wins over the script's."""
    script = {"turns": ["a", "b"], "on_unknown": "resend"}
    model.script(RESET)
    done = run(here, script, "-s", "a")
    assert (done.status, statuses(done), summary(done)["reason"]) == (75, ["error", "skipped"], "CONNECTION_LOST")
    done = run(here, script, "-s", "a", "--on-unknown", "fail")
    assert (done.status, statuses(done), len(model.requests)) == (13, ["in_doubt", "skipped"], 1)
    assert "--on-unknown resend" in done.err
    assert run(here, script, "-s", "a").status == 0


def test_on_fail(here: InProcess) -> None:
    """--on-fail wins over the script's."""
    script = {"turns": [{"user": "a", "expect": {"contains": "zebra"}}, "b"], "on_fail": "continue"}
    done = run(here, script, "-s", "a", "--on-fail", "stop")
    assert (done.status, statuses(done), "should contain" in done.err) == (10, ["failed", "skipped"], True)
    done = run(here, script | {"on_fail": "stop"}, "-s", "a", "--on-fail", "continue")
    assert (done.status, statuses(done)) == (10, ["failed", "ok"])


@pytest.mark.parametrize(
    ("body", "status"),
    [(answer("half", finish="MAX_TOKENS"), 4), (answer("half", finish="SAFETY"), 3), (answer(CALL), 5)],
    ids=["cut", "blocked", "call"],
)
def test_exit_statuses_of_answers(here: InProcess, model: Model, body: dict[str, Any], status: int) -> None:
    """What is wrong with an answer is the exit status of a run that met nothing graver."""
    model.script(body)
    done = run(here, ["a", "b"], "-s", "a")
    assert done.status == status
    assert done.lines[1]["function_calls"] == ([CALL["functionCall"]] if status == 5 else [])


def test_other_model_and_texts(here: InProcess, model: Model) -> None:
    """--model and --var win over the script's."""
    script = {"model": "m1", "vars": {"city": "Lyon"}, "turns": ["In {{city}} and {{river}}"]}
    words = ["--model", "m2", "--var", "city=Rome", "--var", "city=Paris", "--var", "river=a=b"]
    assert run(here, script, "-s", "a", *words).status == 0
    assert run(here, script, "-s", "b", "--var", "city=\udcff").status == 65
    assert texts(model.requests[0]["contents"]) == ["In Paris and a=b"]
    assert "/models/m2:" in model.targets[0]


def test_a_session_is_a_script(here: InProcess, model: Model) -> None:
    """The messages of a session are sent again, templates or not."""
    write_session("old", header("m1", {"generationConfig": {"topK": 3}}), *turn(1, "{{a}}"), *turn(2))
    done = here("replay", str(here.session("old")), "-s", "a", "--model", "m2")
    assert (done.status, statuses(done)) == (0, ["ok", "ok"])
    assert texts(model.requests[1]["contents"])[::2] == ["{{a}}", "question 2"]
    assert model.requests[0]["generationConfig"] == {"topK": 3}


def test_lines(here: InProcess, model: Model) -> None:
    """--lines sends each line of a text."""
    assert run(here, "- one: x\n\n{{two}}\n", "-s", "a", "--lines").status == 0
    assert texts(model.requests[1]["contents"])[::2] == ["- one: x", "{{two}}"]


def test_a_suite(here: InProcess, model: Model) -> None:
    """A conversation a line, each in a session of DIR, which is made."""
    Path("q.jsonl").write_text('{"name": "x", "turns": ["a"], "topic": "t"}\n{"id": "y", "turns": ["b", "c"]}\n')
    done = here("replay", "q.jsonl", "--out", "runs/1")
    assert (done.status, statuses(done)) == (0, ["ok"] * 3)
    assert sorted(path.name for path in Path("runs/1").iterdir()) == ["x.jsonl", "y.jsonl"]
    assert (done.lines[0]["conversations"], done.lines[0]["ignored_keys"]) == (2, ["topic"])
    assert summary(done)["sessions"] == ["runs/1/x.jsonl", "runs/1/y.jsonl"]
    done = here("replay", "q.jsonl", "--out", "runs/1")
    assert (done.status, done.lines[0]["resuming"], len(model.requests)) == (0, 2, 3)


def test_out_with_a_session_in_the_environment(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """GEMCLI_SESSION serves when neither -s nor --out is there."""
    monkeypatch.setenv("GEMCLI_SESSION", "a")
    assert run(here, ["a"], "--out", "runs").status == 0
    assert (Path("runs/s.jsonl").exists(), here.session("a").exists()) == (True, False)
    assert run(here, ["a"]).status == 0
    assert here.session("a").exists()
    assert run(here, ["a"], "--out", "runs", "-s", "b").status == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "use -s SESSION or --out DIR"),
        (["--out", ""], "--out takes a directory"),
        (["-s", ""], "session"),
        (["-s", "a", "--var", "x"], "--var takes NAME=TEXT"),
        (["-s", "a", "--var", "1=2"], "--var takes NAME=TEXT"),
        (["-s", "a", "--var", "x=2"], "no template `{{x}}`"),
        (["-s", "a", "--model", "a b"], "model"),
        (["-s", "a", "--on-fail", "x"], "on-fail"),
        (["-s", "a", "--max-wait", "-1"], "max-wait"),
    ],
)
def test_invalid_command_lines(here: InProcess, model: Model, options: list[str], said: str) -> None:
    """2 before anything is printed, made or sent."""
    done = run(here, ["a"], *options)
    assert (done.status, done.out, model.requests) == (2, "", [])
    assert said in done.err
    assert [path.name for path in Path().iterdir()] == ["s.yaml"]


TWO = '{"name": "x", "turns": ["a"]}\n{"name": "y", "turns": ["b"]}\n'


@pytest.mark.parametrize(
    ("file", "text", "options", "hint"),
    [
        ("q.jsonl", TWO, ["-s", "a"], "use --out DIR"),
        ("q.jsonl", TWO, ["-s", "a", "--dry-run"], "use --out DIR"),
        ("my script.yaml", "- a\n", ["--out", "runs"], "give the script a `name`"),
    ],
)
def test_scripts_that_need_other_sessions(here: InProcess, file: str, text: str, options: list[str], hint: str) -> None:
    """One session cannot hold many conversations, and with --out the script's name is the session's."""
    Path(file).write_text(text)
    done = here("replay", file, *options)
    assert (done.status, done.out, hint in done.err) == (2, "", True)


def test_a_fork_is_played_on(here: InProcess) -> None:
    """What a fork has of the script is not sent again, but under another model all of it is."""
    run(here, ["a", "b", "c"], "-s", "a")
    here("new", "-s", "b", "--from", "a", "--at", "2")
    assert statuses(run(here, ["a", "b", "c"], "-s", "b")) == ["reused", "reused", "ok"]
    assert statuses(run(here, ["a", "b", "c"], "-s", "b")) == ["reused"] * 3
    assert run(here, ["a", "x", "c"], "-s", "b").status == 14
    here("new", "-s", "c", "--from", "a", "--at", "2", "--model", "simulator/other")
    assert statuses(run(here, ["a", "b"], "-s", "c", "--dry-run")) == ["planned", "planned"]


def test_one_conversation_fits_one_session(here: InProcess) -> None:
    """However a file holds its only conversation, -s takes it; gemcli's own exports are such files."""
    here("new", "-s", "a")
    here("send", "-s", "a", "Hello")
    for form in ("contents", "request", "openai"):
        Path(f"{form}.jsonl").write_text(here("export", form, "-s", "a").out)
        done = here("replay", f"{form}.jsonl", "-s", form)
        sent = [event["user"] for event in done.lines if event["event"] == "turn"]
        assert (done.status, sent, done.lines[0]["ignored_keys"]) == (0, ["Hello"], [])


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("export", "markdown"), "Markdown is for reading; gemcli export contents "),
        (("history",), "this is the output of gemcli history; use gemcli export contents"),
        (("history", "--full", "--turn", "1"), "this is the output of gemcli history; "),
    ],
)
def test_what_is_printed_for_others_is_no_script(here: InProcess, command: tuple[str, ...], hint: str) -> None:
    """One line tells what to use instead, and no list of problems."""
    here("new", "-s", "a")
    here("send", "-s", "a", "Hello")
    done = run(here, here(*command, "-s", "a").out, "-s", "b", "--errors", "json")
    assert (done.status, done.error["reason"], done.error["problems"]) == (2, "SCRIPT", [])
    assert done.error["message"] == "s.yaml is not a script; nothing was sent"
    assert done.error["hint"].startswith(hint)


def test_warnings(here: InProcess) -> None:
    """What may be a slip is a note; with --strict it is 2."""
    done = run(here, "- say # this\n", "-s", "a")
    assert (done.status, "comment" in done.err) == (0, True)
    assert run(here, "- say # this\n", "-s", "b", "--strict").status == 2


# Standard input


@pytest.mark.parametrize(
    ("options", "status"),
    [((), 2), (("-s", "a", "--var", "x"), 2), (("-s", "a", "--model", "?"), 2), (("-s", "a", "--out", "b"), 2)],
)
def test_a_wrong_command_does_not_wait_for_input(here: InProcess, options: tuple[str, ...], status: int) -> None:
    """What is wrong without the script is told at once, though a pipe has no end yet."""
    reader, writer = os.pipe()
    try:
        done = here("replay", "-", *options, stdin=reader, timeout=20)
    finally:
        os.close(reader)
        os.close(writer)
    assert (done.status, done.out) == (status, "")


@contextmanager
def standard(fd: int, replacement: int) -> Iterator[None]:
    """Another file in the place of a standard descriptor, which is closed at the end."""
    kept = os.dup(fd)
    os.dup2(replacement, fd)
    os.close(replacement)
    try:
        yield
    finally:
        os.dup2(kept, fd)
        os.close(kept)


def pipe_with(data: bytes) -> int:
    """The end of a pipe from which `data` can be read."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def test_from_standard_input(here: InProcess, model: Model) -> None:
    """`-` is standard input; no command can continue, for the script is gone."""
    with standard(0, pipe_with(b"- a\n- b\n")):
        assert here("replay", "-", "-s", "a").status == 0
    model.script(refusal(503, "UNAVAILABLE"))
    with standard(0, pipe_with(b"- a\n- b\n- c\n")):
        done = here("replay", "-", "-s", "a")
    assert (done.status, statuses(done), summary(done)["next"]) == (75, ["reused", "reused", "error"], None)
    assert done.lines[0]["run"] == "script"


def test_a_script_that_does_not_end(here: InProcess) -> None:
    """The deadline bounds the reading of the script too."""
    reader, writer = os.pipe()
    try:
        with standard(0, reader):
            done = here("replay", "-", "-s", "a", "--deadline", "0.05")
    finally:
        os.close(writer)
    assert (done.status, done.out, here.session("a").exists()) == (75, "", False)
    assert "the script did not end before the deadline" in done.err
    assert "hint: raise --deadline" in done.err


def test_a_script_from_a_named_pipe(here: InProcess) -> None:
    """Whatever is not a file by itself can be read once, and that is enough."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(b"- a\r\n- b\r\n"))
    writer.start()
    done = here("replay", "pipe", "-s", "a")
    writer.join()
    assert statuses(done) == ["ok", "ok"]


NO_SCRIPTS = {
    "empty": (b"", 2, "standard input is not a script: 1 problem; nothing was sent"),
    "comments": (b"# a\n\n  # b\n", 2, "there is no message [empty-script]"),
    "tabs": (b"turns:\n\t- a\n", 2, "(indent with spaces, not with tabs)"),
    "windows": (b"- \x93caf\xe9\x94\n", 65, "hint: convert it first, for example with iconv -f windows-1252 -t utf-8"),
    "utf-16": ("- a\n".encode("utf-16"), 65, "hint: convert it: iconv -f utf-16 -t utf-8"),
    "nul": (b"- a\0b\n", 65, "standard input: byte 4 is NUL: this is binary data, not text"),
    "image": (b"\xff\xd8\xff\xe0\0\x10JFIF", 65, "this is a JPEG image, not text"),
    "text": (b"Hello\nWorld\n", 2, "this is text, not a script"),
}


@pytest.mark.parametrize(("data", "status", "said"), NO_SCRIPTS.values(), ids=NO_SCRIPTS)
def test_what_is_no_script(here: InProcess, model: Model, data: bytes, status: int, said: str) -> None:
    """Whatever comes in instead of a script, nothing is sent or made, and people are told what it is."""
    with standard(0, pipe_with(data)):
        done = here("replay", "-", "-s", "a")
    assert (done.status, done.out, model.requests, here.session("a").exists()) == (status, "", [], False)
    assert said in done.err


def test_a_directory_is_no_script(here: InProcess) -> None:
    """A directory cannot be read, and that is said without more ado."""
    Path("d").mkdir()
    assert "cannot read d: Is a directory" in here("replay", "d", "-s", "a").err


def test_ten_thousand_messages(here: InProcess) -> None:
    """As many as nobody sends are planned in a moment."""
    start = time.process_time()
    done = run(here, [f"message {number}" for number in range(10_000)], "--dry-run")
    assert (summary(done)["turns"]["planned"], time.process_time() - start < 5) == (10_000, True)


# Dry runs


def test_dry_run(here: InProcess, model: Model) -> None:
    """It needs neither a key nor a session, prints what would be sent, and writes and sends nothing."""
    here.env.pop("GEMINI_API_KEY")
    done = run(here, ["a", "b"], "--dry-run")
    assert (done.status, statuses(done), done.lines[0]["dry_run"]) == (0, ["planned"] * 2, True)
    done = run(here, ["a", "b"], "--dry-run", "--out", "runs")
    assert (done.status, [path.name for path in Path().iterdir()]) == (0, ["s.yaml"])
    write_session("a", header())
    before = here.session("a").read_bytes()
    done = run(here, ["a", "b"], "--dry-run", "-s", "a")
    assert (done.status, done.lines[0]["resuming"]) == (0, 1)
    assert (here.session("a").read_bytes(), model.requests) == (before, [])


# What ends a run, and what continues it


NEXT: dict[str, tuple[Reply | dict[str, Any], int, list[str] | None]] = {
    "rate-limit": (refusal(429, "RESOURCE_EXHAUSTED"), 75, []),
    "server-error": (refusal(500, "INTERNAL"), 75, []),
    "lost": (RESET, 75, ["--on-unknown", "resend"]),
    "empty": (answer(""), 3, []),
    "blocked": (answer("half", finish="SAFETY"), 3, None),
    "bad-key": (refusal(401, "UNAUTHENTICATED"), 77, None),
    "portal": (Reply(200, {}, (b"<html>",)), 76, None),
}


@pytest.mark.parametrize(("reply", "status", "more"), NEXT.values(), ids=NEXT)
def test_the_command_that_goes_on(
    here: InProcess, model: Model, reply: Reply | dict[str, Any], status: int, more: list[str] | None
) -> None:
    """`next` is the same command, with what is needed to go on; pasted, it finishes the run."""
    model.script(reply)
    options = ["-s", "a", "--var", "x=it's", "--retries", "0", "--deadline", "600.5", "--on-fail", "stop"]
    done = run(here, ["a {{x}}", "b"], *options)
    assert done.status == status
    command = summary(done)["next"]
    if more is None:
        assert command is None
        return
    assert sorted(shlex.split(command)) == sorted(["gemcli", "replay", "s.yaml", *options, *more])
    done = pasted(here, command)
    assert (done.status, statuses(done)) == (0, ["ok", "ok"])


def test_a_session_as_a_script_is_the_same_conversation(here: InProcess, model: Model) -> None:
    """`export script` keeps the settings of each message: played on its session it sends nothing."""
    script = {
        "system": "You are a clerk.",
        "config": {"temperature": 0},
        "turns": ["a", {"user": "b", "config": {"temperature": 1, "system_instruction": "You are a judge."}}, "c {"],
    }
    assert run(here, script, "-s", "a").status == 0
    Path("again.yaml").write_text(here("export", "script", "-s", "a").out)
    done = here("replay", "again.yaml", "-s", "a")
    assert (done.status, statuses(done), len(model.requests)) == (0, ["reused"] * 3, 3)
    assert here("replay", "again.yaml", "-s", "b").status == 0
    assert [body | {"contents": None} for body in model.requests[:3]] == [
        body | {"contents": None} for body in model.requests[3:]
    ]


@pytest.mark.parametrize("file", ["/dev/stdin", "/dev/fd/9", "/proc/self/fd/9"])
def test_no_command_reads_a_pipe_again(
    here: InProcess, model: Model, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script from a pipe is gone when the run is over: there is no command that goes on."""
    monkeypatch.setattr("gemcli.terminal.inputs.document", lambda *_: "[a]")
    model.script(refusal(503, "UNAVAILABLE"))
    done = here("replay", file, "-s", "a")
    assert (done.status, summary(done)["reason"], summary(done)["next"]) == (75, "UNAVAILABLE", None)


def test_another_model_is_no_way_on(here: InProcess, model: Model) -> None:
    """Hints are for scripts: in one, another model would be another conversation."""
    model.script(answer("A"), refusal(503, "UNAVAILABLE"), answer("half", finish="MAX_TOKENS"))
    done = run(here, ["a", "b"], "-s", "a")
    assert done.lines[2]["error"]["hint"] == "run the same command again later"
    assert "config" in run(here, ["a", "b"], "-s", "a").lines[2]["error"]["hint"]


def test_the_command_that_goes_on_from_doubt(here: InProcess, model: Model) -> None:
    """After 13 `next` sends again what is in doubt, with every option that says what is played and where."""
    model.script(RESET)
    Path("q.txt").write_text("a\n")
    options = ["--out", "it's here", "--model", "m1", "--lines"]
    assert here("replay", "q.txt", *options).status == 75
    done = here("replay", "q.txt", *options)
    assert done.status == 13
    assert shlex.split(summary(done)["next"]) == ["gemcli", "replay", "q.txt", *options, "--on-unknown", "resend"]
    done = pasted(here, summary(done)["next"])
    assert (done.status, statuses(done), len(model.requests)) == (0, ["ok"], 2)


def test_a_script_whose_name_looks_like_an_option(here: InProcess, model: Model) -> None:
    """`next` finds it all the same."""
    model.script(refusal(500, "INTERNAL"))
    Path("-q.yaml").write_text("- a\n")
    done = here("replay", "-s", "a", "--", "-q.yaml")
    assert (done.status, pasted(here, summary(done)["next"]).status) == (75, 0)


def test_overlapping_runs(here: InProcess, model: Model) -> None:
    """The second run is 75 at once, sends nothing, and says that the same command goes on later."""
    run(here, ["a"], "-s", "a")
    start = time.monotonic()
    with Store(FileSystem(), print).open(str(here.session("a")), 0):
        done = run(here, ["a", "b"], "-s", "a")
        late = run(here, ["a", "b"], "-s", "a", "--wait", "60", "--deadline", "0.2")
    assert time.monotonic() - start < 10
    assert (done.status, summary(done)["reason"], statuses(done)) == (75, "SESSION_BUSY", [])
    assert (late.status, len(model.requests)) == (75, 1)
    assert pasted(here, summary(done)["next"]).status == 0


def test_a_wait_for_a_retry(here: InProcess, model: Model) -> None:
    """A rate limit is waited out as an event says; if it asks for more than --max-wait, the run ends in 75."""
    info = {"@type": RETRY_INFO, "retryDelay": "0.01s"}
    model.script(refusal(429, "RESOURCE_EXHAUSTED", info))
    done = run(here, ["a"], "-s", "a", "--retries", "1")
    assert (done.status, [event["event"] for event in done.lines]) == (0, ["run", "wait", "turn", "summary"])
    wait, event = done.lines[1:3]
    assert list(wait) == ["event", "time", "seconds", "reason", "message", "id", "run"]
    assert (wait["seconds"], wait["reason"], wait["id"], wait["run"]) == (0.01, "RATE_LIMIT", "t1", "s")
    assert (event["attempts"], event["waited_ms"] >= 10) == (2, True)
    model.script(refusal(429, "RESOURCE_EXHAUSTED", info | {"retryDelay": "3.5s"}))
    done = run(here, ["a", "b"], "-s", "a", "--retries", "1", "--max-wait", "3")
    assert (done.status, statuses(done)) == (75, ["reused", "error"])
    assert done.lines[2]["error"]["retry_after_s"] == 3.5


def test_the_deadline(here: InProcess, model: Model) -> None:
    """It bounds the run, the request under way included."""
    model.script(Reply(200, {}, (5.0, b"{}")))
    done = run(here, ["a", "b"], "-s", "a", "--deadline", "0.3")
    assert (done.status, statuses(done), summary(done)["reason"]) == (75, ["error", "skipped"], "TIMEOUT")


def test_no_request_begins_when_it_could_not_end(here: InProcess, model: Model) -> None:
    """Before the deadline each request has the time of --grace, or half of the run's: nothing is in doubt after it."""
    slow = Reply(200, {"content-type": "application/json"}, (0.3, json.dumps(answer("well")).encode()))
    model.script(*[slow] * 9)
    for _ in range(9):
        done = run(here, list("abcd"), "-s", "a", "--deadline", "1.2")
        if done.status == 0:
            break
        error = done.lines[-2]["error"] or done.lines[-1]
        assert (done.status, summary(done)["reason"], summary(done)["turns"]["in_doubt"]) == (75, "TIMEOUT", 0), error
    assert (done.status, len(model.requests)) == (0, 4)


def test_without_a_key(here: InProcess) -> None:
    """77, and the run goes on when there is one."""
    key = here.env.pop("GEMINI_API_KEY")
    done = run(here, ["a", "b"], "-s", "a")
    assert (done.status, statuses(done), done.lines[1]["sent"]) == (77, ["error", "skipped"], False)
    here.env["GEMINI_API_KEY"] = key
    assert run(here, ["a", "b"], "-s", "a").status == 0


def test_several_errors(here: InProcess, model: Model) -> None:
    """The gravest is printed on stderr, with the number of the others and where they are."""
    Path("q.jsonl").write_text(TWO)
    model.script(answer(""), refusal(500, "INTERNAL"))
    done = here("replay", "q.jsonl", "--out", "runs", "--errors", "json")
    assert (done.status, len(done.err.splitlines())) == (75, 1)
    assert done.error["message"].startswith("y/t1: ")
    assert done.error["message"].endswith("; 1 other failure")
    assert done.error["hint"].endswith("; standard output has all of them, --text prints a line for each")


def test_several_unmet_expectations(here: InProcess, model: Model) -> None:
    """How to see the others, which sends nothing; with --text they have been seen."""
    script = {"turns": ["a", "b"], "expect": {"contains": "x"}}
    done = run(here, script, "-s", "a", "--errors", "json")
    assert done.error["message"].endswith("; 1 other failure")
    assert done.error["hint"].endswith("--turn 1; run it again with --text to see all, nothing is sent")
    done = run(here, script, "-s", "a", "--errors", "json", "--text")
    assert done.out.count("failed (") == 2
    assert done.error["hint"].endswith("--turn 1")
    assert len(model.requests) == 2


# Where the events go


def test_a_closed_pipe(here: InProcess, model: Model) -> None:
    """Nobody reads: what was asked is recorded, nothing more is sent, and the same command goes on."""
    reader, writer = os.pipe()
    model.replies = Doing(lambda: os.close(reader), json_reply(answer("A")))
    with standard(1, writer):
        done = run(here, ["a", "b"], "-s", "a")
    assert (done.status, done.err, len(model.requests)) == (141, "", 1)
    done = run(here, ["a", "b"], "-s", "a")
    assert (done.status, statuses(done)) == (0, ["reused", "ok"])


def test_a_pipe_that_was_closed_before(here: InProcess, model: Model) -> None:
    """Nothing is sent at all."""
    reader, writer = os.pipe()
    os.close(reader)
    with standard(1, writer):
        assert run(here, ["a"], "-s", "a").status == 141
    assert (model.requests, here.session("a").exists()) == ([], False)


def test_a_full_standard_output(here: InProcess, model: Model) -> None:
    """74, and nothing is sent; so does a finished run end, for who reads the events has none."""
    for sent in (0, 2):
        with standard(1, os.open("/dev/full", os.O_WRONLY)):
            done = run(here, ["a", "b"], "-s", "a", "--errors", "json")
        assert (done.status, done.error["reason"], len(model.requests)) == (74, "NOT_PRINTED", sent)
        assert run(here, ["a", "b"], "-s", "a").status == 0


def test_a_session_that_cannot_be_written(here: InProcess, model: Model) -> None:
    """74 ends the run; the answer is reported as not saved."""

    def meddle() -> None:
        with here.session("a").open("ab") as file:
            file.write(b"{}\n")

    model.replies = Doing(meddle, json_reply(answer("A")))
    done = run(here, ["a", "b"], "-s", "a", "--errors", "json")
    assert (done.status, statuses(done), done.lines[1]["saved"]) == (74, ["error", "skipped"], False)
    assert (done.error["reason"], done.lines[1]["text"], summary(done)["next"]) == ("SESSION_CHANGED", "A", None)


def test_a_session_by_its_name(here: InProcess) -> None:
    """SCRIPT is a file; when a session has that name, the hint says how its file is named."""
    write_session("old", header(), *turn(1))
    done = here("replay", "old", "-s", "new")
    assert (done.status, 'gemcli replay "$(gemcli history -s old --path)"' in done.err) == (66, True)
    done = here("replay", "older", "-s", "new")
    assert (done.status, done.out, "gemcli history" in done.err, here.session("new").exists()) == (66, "", False, False)


# Dates in names, and runs with nothing to do


@pytest.mark.parametrize(("option", "name"), [("-s", "runs/{date}.jsonl"), ("--out", "runs-{date}")])
def test_a_session_a_day(here: InProcess, model: Model, option: str, name: str) -> None:
    """`{date}` is the local date; the command that continues has the date of the run it continues."""
    model.script(refusal(500, "INTERNAL"))
    today = time.strftime("%Y-%m-%d")
    done = run(here, ["a"], option, name)
    assert done.status == 75
    words = shlex.split(summary(done)["next"])
    assert name.replace("{date}", today) in words
    assert pasted(here, summary(done)["next"]).status == 0
    assert run(here, ["a"], option, name).status == 0
    assert len(model.requests) == 2


def test_other_braces(here: InProcess, model: Model) -> None:
    """They are refused before anything is made, with what was meant."""
    done = run(here, ["a"], "-s", "runs/{dat}.jsonl", "--errors", "json")
    assert (done.status, done.out, done.error["hint"]) == (2, "", "did you mean `{date}`?")
    assert not Path("runs").exists()


def test_a_run_with_nothing_to_do(here: InProcess, model: Model) -> None:
    """The second night on the same session is no silent success: a note says why nothing was sent."""
    assert "nothing was sent" not in run(here, ["a", "b"], "-s", "s").err
    today = time.strftime("%Y-%m-%d")
    done = run(here, ["a", "b"], "-s", "s")
    note = f"nothing was sent: 2 messages, all answered by {today}; a new run needs a new session"
    assert (done.status, note in done.err, "-s 'runs/{date}.jsonl'" in done.err) == (0, True, True)
    assert "nothing was sent" not in run(here, ["a", "b"], "-s", "s", "--dry-run").err
    unmet = run(here, ["a", {"user": "b", "expect": {"contains": "zebra"}}], "-s", "s")
    assert (unmet.status, "nothing was sent" in unmet.err) == (10, False)
    assert "nothing was sent" not in run(here, ["a", "b", "c"], "-s", "s").err
    assert len(model.requests) == 3


def test_a_session_of_an_odd_time(here: InProcess, model: Model) -> None:
    """A record may hold anything in the place of its time: then the note has no date."""
    run(here, ["a"], "-s", "s")
    path = here.session("s")
    path.write_text(re.sub(r'"time":"[^"]*"', '"time":"one day"', path.read_text()))
    assert "nothing was sent: 1 message, all answered; a new run" in run(here, ["a"], "-s", "s").err


@pytest.mark.parametrize("target", [["-s", "runs/1/s.jsonl"], ["--out", "runs/1"]], ids=lambda words: words[0])
def test_the_directory_of_a_session_is_made(here: InProcess, model: Model, target: list[str]) -> None:
    """`-s` makes it as `--out` does, for its owner only; a dry run does not."""
    assert run(here, ["a"], *target, "--dry-run").status == 0
    assert not Path("runs").exists()
    assert run(here, ["a"], *target).status == 0
    assert [path.stat().st_mode & 0o777 for path in (Path("runs"), Path("runs/1"))] == [0o700, 0o700]


@pytest.mark.parametrize("session", ["chat", "./chat.jsonl"])
def test_on_the_chat_of_somebody(here: InProcess, model: Model, session: str) -> None:
    """14 does not advise to rewind it: a copy is continued by the script, and the chat stays as it is."""
    for once in ([], ["--once", "greeting"]):
        here("send", "-s", session, "--create", "Hello", *once)
    done = run(here, ["a", "b"], "-s", session, "--errors", "json")
    assert (done.status, "rewind" in done.error["hint"]) == (14, False)
    assert pasted(here, done.error["hint"].partition("copy of it: ")[2]).status == 0
    copy = session.replace("chat", "chat-copy")
    for _ in range(2):
        assert run(here, ["a", "b"], "-s", copy).status == 0
    assert [len(body["contents"]) for body in model.requests] == [1, 3, 5, 7]
    assert len(here.ok("history", "-s", session)) == 2


# Patterns that take for ever

SLOW = {"user": "a", "expect": {"regex": "(a+)+$"}}
SLOW_ANSWER = answer("a" * 60 + "!")


def test_a_slow_pattern(here: InProcess, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no plain mismatch: the error says which pattern, and how to mend it."""
    monkeypatch.setattr("gemcli.text.patterns.TIME_LIMIT", 0.2)
    model.script(SLOW_ANSWER)
    done = run(here, [SLOW, "b"], "-s", "s", "--errors", "json")
    assert (done.status, statuses(done)) == (10, ["failed", "ok"])
    assert (done.error["reason"], "(a+)+$" in done.error["message"]) == ("SLOW_PATTERN", True)
    assert "repeat" in done.error["hint"]


def test_slow_patterns_and_the_deadline(here: InProcess, model: Model) -> None:
    """However many patterns there are, the run ends in time; the answer is on disk, and checked again later."""
    slow = [f"(a+){{{number}}}(a+)+$" for number in range(1, 20)]
    model.script(SLOW_ANSWER)
    start = time.monotonic()
    options = ("--deadline", "2", "--grace", "0", "--errors", "json")
    done = run(here, [{"user": "a", "expect": {"regex": slow}}, "b"], "-s", "s", *options)
    assert time.monotonic() - start < 4
    assert (done.status, done.error["reason"], statuses(done)) == (75, "TIMEOUT", ["error", "skipped"])
    assert summary(done)["next"] == "gemcli replay s.yaml -s s --deadline 2 --grace 0"
    again = run(here, [{"user": "a", "expect": {"regex": "a"}}, "b"], "-s", "s")
    assert (again.status, statuses(again), len(model.requests)) == (0, ["reused", "ok"], 2)


def test_slow_patterns_and_a_signal(here: InProcess, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal ends the search too; nothing is sent after it."""
    search = patterns.found

    def interrupted_search(*arguments: Any) -> bool:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return search(*arguments)

    monkeypatch.setattr(patterns, "found", interrupted_search)
    model.script(SLOW_ANSWER)
    start = time.monotonic()
    done = run(here, [{"user": "a", "expect": {"regex": ["(a+)+$"] * 20}}, "b"], "-s", "s", "--errors", "json")
    assert time.monotonic() - start < 5
    assert (done.status, done.error["reason"], len(model.requests)) == (143, "INTERRUPTED", 1)
    assert statuses(done) == ["error", "skipped"]


def test_many_warnings(here: InProcess) -> None:
    """Nobody reads hundreds of warnings: the first ones, and that there are more."""
    (here.directory / "w.yaml").write_text("".join(f"- a #{number}\n" for number in range(500)))
    lines = here("replay", "w.yaml", "--dry-run").err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "gemcli: warning: w.yaml has more than 20 such places"
