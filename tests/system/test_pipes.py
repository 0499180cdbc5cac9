"""The program between other programs: closed and full outputs, pipes, loops, locales, names.

What counts every time: an answer that was paid for is in the session, and the status is one of gemcli's own, never
1 (Python, the shell) or 120 (Python at its exit).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builders import header, overloaded, turn, write_session
from tests.support import Gemcli, InProcess, Model

Conversation = Callable[[], list[str]]


@pytest.fixture
def conversation(here: InProcess) -> Conversation:
    """What the user said in each turn of the session `a`; an error unless the session is whole."""

    def messages() -> list[str]:
        here.ok("history", "-s", "a", "--check")
        return [each["user"] for each in here.ok("history", "-s", "a")]

    return messages


REDIRECTED = {
    ">&-": 74,
    "> /dev/full": 74,
    "--text > /dev/full": 74,
    "--stream > /dev/full": 74,
    "--stream --text > /dev/full": 74,
    "<&-": 0,
    "2>&-": 0,
    ">&- 2>&-": 74,
    "<&- >&- 2>&-": 74,
    "2> /dev/full": 0,
    "> /dev/full 2> /dev/full": 74,
}
"""Redirections of `send`, and its status."""


@pytest.mark.parametrize("redirection", REDIRECTED)
def test_send_with_a_missing_stream(gemcli: Gemcli, conversation: Conversation, redirection: str) -> None:
    """Whatever stream is closed or full, the turn is in the session, and a failed print has its own status."""
    write_session("a", header())
    done = gemcli.shell(f"gemcli send -s a hello {redirection}")
    assert done.status == REDIRECTED[redirection]
    assert not [words for words in ("Traceback", "Exception ignored") if words in done.err]
    assert conversation() == ["hello"]
    if done.status and "2>" not in redirection:
        assert "cannot write to standard output" in done.err
        assert "the answer is in the session: gemcli history -s a --last" in done.err


@pytest.mark.parametrize("words", [["send", "-s", "a", "hello"], ["--help"]], ids=["send", "help"])
def test_a_pipe_that_nobody_reads(gemcli: Gemcli, conversation: Conversation, words: list[str]) -> None:
    """When the reader has gone before anything is printed, the status is 141 without a word; the turn is there."""
    write_session("a", header())
    reading, writing = os.pipe()
    os.close(reading)
    done = gemcli(*words, stdout=writing)
    os.close(writing)
    assert (done.status, done.err) == (141, "")
    assert conversation() == (["hello"] if words[0] == "send" else [])


UNPRINTED = [
    *(f"{command} -s a" for command in ("history", "history --text", "export markdown", "rewind --dry-run")),
    *("--help", "--version", "send --help"),
]


@pytest.mark.parametrize("command", UNPRINTED)
@pytest.mark.parametrize("full", ["> /dev/full", ">&-"])
def test_what_cannot_be_printed(gemcli: Gemcli, command: str, full: str) -> None:
    """What cannot be printed is status 74 with one line that says so, if there is somebody to tell."""
    write_session("a", header(), *turn(1))
    done = gemcli.shell(f"gemcli {command} {full}")
    assert (done.status, done.err.count("\n")) == (74, 1)
    assert "gemcli: error: cannot write to standard output" in done.err
    if "help" in command:
        again = gemcli.shell(f"gemcli {command} {full} 2{full}")
        assert (again.status, again.err) == (74, "")


DONE = {
    "new -s b": "the session is made: gemcli history -s b",
    "new -s b --text": "the session is made: gemcli history -s b",
    "rewind -s a": "the command took out 1 turn nevertheless: gemcli history -s a --all",
    "rewind -s a --text": "the command took out 1 turn nevertheless: gemcli history -s a --all",
}


@pytest.mark.parametrize(("command", "hint"), DONE.items(), ids=DONE)
def test_what_is_done_and_cannot_be_printed(gemcli: Gemcli, command: str, hint: str) -> None:
    """A command that has changed something says so, where its result cannot be printed."""
    write_session("a", header(), *turn(1), *turn(2))
    done = gemcli.shell(f"gemcli {command} > /dev/full")
    told = ["gemcli: error: cannot write to standard output: No space left on device", f"hint: {hint}"]
    assert (done.status, done.err.splitlines()) == (74, told)
    shown = gemcli.shell(hint.partition(": ")[2])
    assert (shown.status, "rewound" in shown.out) == (0, "rewind" in command)


@pytest.mark.parametrize("args", ["", "nope", "send", "history -s missing"])
@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_an_error_that_cannot_be_printed(gemcli: Gemcli, args: str, redirection: str) -> None:
    """An error that nobody can be told of keeps its status."""
    assert gemcli.shell(f"gemcli {args} {redirection}").status == (66 if "missing" in args else 2)


def test_a_session_never_becomes_a_standard_stream(gemcli: Gemcli) -> None:
    """Without stdin there is no message; with all streams closed, nothing is written into the session."""
    write_session("a", header())
    done = gemcli.shell("gemcli send -s a <&-")
    assert (done.status, "there is no message" in done.err) == (2, True)
    assert gemcli.shell("gemcli send -s a <&- >&- 2>&-").status == 2
    assert gemcli.shell("gemcli send -s missing x <&- >&- 2>&-").status == 66
    assert [record["kind"] for record in gemcli.records("a")] == ["session"]


TWO = r"printf 'one\ntwo\n'"

SCRIPTS: dict[str, tuple[str, list[str]]] = {
    "with -n a loop over a pipe keeps its lines": (
        TWO + ' | while read -r line; do gemcli send -n -s a --text "$line"; done',
        ["one", "two"],
    ),
    "after -- a line may begin with a dash": (
        r"printf '%s\n' '- one' '--two'" + ' | while read -r line; do gemcli send -n -s a --text -- "$line"; done',
        ["- one", "--two"],
    ),
    "without it the first send takes the rest": (
        TWO + ' | while read -r line; do gemcli send -s a "$line"; done',
        ["one\n\ntwo\n"],
    ),
    "a file already read from is left alone": (
        TWO + ' > q; while read -r line; do gemcli send -s a --text "$line"; done < q',
        ["one", "two"],
    ),
    "a lone dash reads it from where it stands": (TWO + " > q; { read -r line; gemcli send -s a -; } < q", ["two\n"]),
    "xargs": (TWO + " | xargs -I{} gemcli send -s a {}", ["one", "two"]),
    "the lock is free before anything is printed": (
        "gemcli send -s a --text one | gemcli send -s a --text",
        ["one", 'Message 1 says: "one".\n'],
    ),
    "so it is before a stream ends": (
        "gemcli send -s a --stream --text one | gemcli send -s a --text",
        ["one", 'Message 1 says: "one".\n'],
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_lines_of_shell(gemcli: Gemcli, conversation: Conversation, name: str) -> None:
    """What loops, files and pipes give to `send` is what a user of a shell expects."""
    write_session("a", header())
    script, messages = SCRIPTS[name]
    done = gemcli.shell(script)
    left_alone = done.err.count("already read from, so it is left alone; use -n")
    assert (done.status, left_alone) == (0, 2 if "left alone" in name else 0), done.err
    assert done.err == "" or "-n " not in script
    assert conversation() == messages


@pytest.mark.parametrize("page", ["README.md", "man/notes/gemcli-send.md"])
def test_the_documented_loop_takes_any_line(gemcli: Gemcli, page: str) -> None:
    """The questions may be the items of a Markdown list, or look like options."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    loop = re.search(r"^ *while read.*?^ *done < questions.txt$", text, re.MULTILINE | re.DOTALL)
    assert loop, page
    write_session("faq", header())
    (gemcli.directory / "questions.txt").write_text("- one\n--two\n")
    done = gemcli.shell(loop[0])
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == ['Message 1 says: "- one".', 'Message 2 says: "--two". Before it: 1: "- one".']


def test_readers_that_leave(gemcli: Gemcli, conversation: Conversation) -> None:
    """A reader that has seen enough ends a command silently, and what was sent is in the session whole."""
    write_session("a", header())
    done = gemcli.shell("head -c 300000 /dev/zero | tr '\\0' x | gemcli send -s a | head -c1")
    assert (done.status, done.out, done.err) == (141, "{", "")
    done = gemcli.shell("gemcli history -s a | head -c1")
    assert (done.status, done.out, done.err) == (141, "{", "")
    done = gemcli.shell("gemcli send -s a hello | true")  # whoever is faster
    assert (done.status in (0, 141), done.err) == (True, "")
    assert [len(said) for said in conversation()] == [300_000, 5]


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_and_errors_in_any_locale(gemcli: Gemcli, locale: dict[str, str]) -> None:
    """A file whose name is not ASCII, or not even UTF-8, is opened, and told of without a traceback."""
    assert gemcli("new", "-s", "./grün.jsonl", env=locale).status == 0
    assert (gemcli.directory / "grün.jsonl").exists()
    done = gemcli("history", "-s", b"./gr\xfcn.jsonl", env=locale)
    assert done.status == 66
    assert "there is no session at ./gr" in done.err
    assert "Traceback" not in done.err
    assert gemcli("new", "-s", b"./gr\xfcn.jsonl", env=locale).status == 0
    assert gemcli("history", "-s", b"./gr\xfcn.jsonl", "--path", env=locale).status == 0


def test_a_relative_path_is_a_session(gemcli: Gemcli) -> None:
    """A path is taken as it is: from the directory one is in, through links, with blanks in it."""
    assert gemcli.shell("mkdir 'a b' && gemcli new -s 'a b/c' --model simulator/echo").status == 0
    assert gemcli.shell("ln -s 'a b/c' link.jsonl && cd 'a b' && gemcli send -s ../link.jsonl hi").status == 0
    assert (gemcli.directory / "link.jsonl").is_symlink()
    assert (gemcli.directory / "a b" / "c").read_bytes().count(b"\n") == 3


def test_the_session_of_the_environment(here: InProcess) -> None:
    """GEMCLI_SESSION serves when -s is absent; -s wins over it, even if it is empty, as from an unset variable."""
    write_session("a", header(), *turn(1, "in a"))
    write_session("b", header(), *turn(1, "in b"))
    env = {"GEMCLI_SESSION": "a"}
    assert here("history", env=env).json["user"] == "in a"
    assert here("history", "-s", "b", env=env).json["user"] == "in b"
    assert here("send", "-s", "", "x", env=env).status == 2
    assert len(here.records("a")) == 3


def test_options_from_the_environment(here: InProcess) -> None:
    """An option with a value can come from `GEMCLI_<COMMAND>_<OPTION>`; a flag, which none could undo, cannot."""
    write_session("a", header(), *turn(1), *turn(2))
    env = {"GEMCLI_SEND_TEXT": "1", "GEMCLI_SEND_DRY_RUN": "1", "GEMCLI_SEND_STREAM": "1", "GEMCLI_SEND_FULL": "1"}
    assert here("send", "-s", "a", "hi", env=env).json.keys() == here("send", "-s", "a", "hi").json.keys()
    assert here("rewind", "-s", "a", "-n", "2").json["turns"] == 2
    env = {"GEMCLI_NEW_SYSTEM": "Be brief", "GEMCLI_NEW_TEMPERATURE": "0.5", "GEMCLI_NEW_STOP": "END"}
    made = here("new", "-s", "b", env=env).json
    assert made["config"] == {
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["END"]},
    }
    assert here("rewind", "-s", "a", env={"GEMCLI_REWIND_NUMBER": "2"}).json["turns"] == 0


@pytest.mark.slow
def test_a_silent_pipe_is_told_of(gemcli: Gemcli) -> None:
    """After five seconds of silence on a pipe, one note says what the program waits for; then it goes on waiting."""
    write_session("a", header())
    process = gemcli.start("send", "-s", "a", "--text", "hello", stdin=subprocess.PIPE)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            b"gemcli: note: waiting for the end of standard input; use -n to leave it alone\n"
        )
        out, err = process.communicate(b"late", timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert out == b'Message 1 says: "hello\n\nlate".\n'


def test_a_long_message_to_a_stderr_that_nobody_reads(gemcli: Gemcli, model: Model) -> None:
    """A server's long message to a full pipe on stderr does not keep the program from ending in time."""
    model.script(*[overloaded("x" * 150_000)] * 10)
    reading, stderr = os.pipe()
    os.set_blocking(stderr, False)
    with suppress(BlockingIOError):
        while True:
            os.write(stderr, b"-" * 4096)
    os.set_blocking(stderr, True)
    try:
        done = gemcli("send", "-s", "a", "--create", "--deadline", "6", "hi", env=model.env, stderr=stderr, timeout=20)
    finally:
        os.close(reading)
        os.close(stderr)
    assert (done.status, done.out) == (75, "")
    assert model.requests
