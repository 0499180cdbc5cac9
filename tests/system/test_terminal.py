"""Model text is data: on a terminal its control characters are made visible, in a pipe they are left as they are."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from gemcli.simulator.simulated_api import json_reply
from gemcli.terminal.screen import width
from tests.builders import (
    CALL,
    ECHO,
    answer,
    api_error,
    header,
    retry_info,
    slowly,
    sse,
    streaming,
    turn,
    unfinished,
    write_session,
)
from tests.support import PROGRAM, InProcess, Model

ESCAPES = {
    "csi": ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    "osc-8": ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "\\x1b]8;;http://evil\\x07link\\x1b]8;;\\x07"),
    "osc-52": ("\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\"),
    "dcs": ("\x1bPq#0\x1b\\", "\\x1bPq#0\\x1b\\"),
    "c1-csi": ("\x9b31mred", "\\x9b31mred"),
    "lone-escape": ("a\x1b", "a\\x1b"),
    "overwrite": ("harmless\rrm -rf", "harmless\\x0drm -rf"),
    "backspace": ("yes\x08\x08\x08no", "yes\\x08\\x08\\x08no"),
    "bell": ("\x07", "\\x07"),
    "delete": ("a\x7f", "a\\x7f"),
    "bidi": ("a\u202eb\u2066c\u200fd", "a\\u202eb\\u2066c\\u200fd"),
    "line-separators": ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
}

DANGEROUS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]
DANGEROUS += list("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029")


class Terminal:
    """A terminal that the program runs on: `terminal(args)` is its status and everything it printed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(
        self, *args: str | bytes, typed: bytes = b"", env: Mapping[str, str] | None = None, columns: int = 200
    ) -> tuple[int, str]:
        """Run the program with all its streams on a terminal of its own, without colours unless `env` has a TERM."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        raw = termios.tcgetattr(theirs)
        raw[1] &= ~termios.OPOST  # so that what is read here is what was written
        raw[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, raw)
        try:
            world = {**os.environ, "TERM": "dumb", **(env or {})}
            command = [PROGRAM, *args]
            process = subprocess.Popen(
                command, cwd=self.directory, env=world, stdin=theirs, stdout=theirs, stderr=theirs
            )
            os.close(theirs)
            if typed:
                os.write(ours, typed)
            printed = b""
            # On Linux a terminal that nobody holds any more is an error to read, not its end.
            with suppress(OSError):
                while data := os.read(ours, 65536):
                    printed += data
            return process.wait(timeout=60), printed.decode("utf-8")
        finally:
            os.close(ours)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in an empty directory."""
    return Terminal(tmp_path)


def assert_harmless(printed: str) -> None:
    """Nothing that was printed can move the cursor, colour, reorder or overwrite."""
    assert [character for character in DANGEROUS if character in printed] == []


def test_history_on_a_terminal(terminal: Terminal) -> None:
    """What a model said is shown with its control characters made visible."""
    turns = [turn(number, f"ask {text} end", f"say {text} end") for number, (text, _) in enumerate(ESCAPES.values(), 1)]
    write_session("a", header(), *chain.from_iterable(turns))
    status, printed = terminal("history", "-s", "a")
    assert status == 0
    shown = [(f"  ask {shown} end", f"  say {shown} end") for _, shown in ESCAPES.values()]
    assert [line for line in printed.split("\n") if line.startswith("  ")] == [*chain.from_iterable(shown)]
    assert_harmless(printed)


def test_the_conversation_in_colours(terminal: Terminal) -> None:
    """Roles are coloured where the terminal has colours and NO_COLOR is not set; without colours it reads the same."""
    write_session("a", header(), *turn(1, "question", "\x1b[31mred"))
    _, coloured = terminal("history", "-s", "a", env={"TERM": "xterm"})
    assert "\x1b[1;36muser\x1b[0m" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert_harmless(plain)
    for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert terminal("history", "-s", "a", env=env) == (0, plain)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_the_conversation_fits(terminal: Terminal, columns: int) -> None:
    """No line is wider than the terminal."""
    said = "word " * 60 + "\n```\n" + "code " * 60 + "\n```\n" + "日本語" * 60
    write_session("a", header(), *turn(1, said, said))
    status, printed = terminal("history", "-s", "a", columns=columns)
    assert status == 0
    widths = [width(line) for line in printed.split("\n")]
    assert columns - 12 <= max(widths) <= columns


FORMS: dict[str, tuple[list[str], str]] = {
    "history": (["history", "-s", "a"], "user  1"),
    "last": (["history", "-s", "a", "--last"], "answer 1\n"),
    "usage": (["history", "-s", "a", "--usage"], "session"),
    "check": (["history", "-s", "a", "--check"], "session"),
    "sessions": (["history", "--sessions"], "NAME"),
    "new": (["new", "-s", "b"], "b: a new session, answered by gemini-flash-latest\n/"),
    "fork": (["new", "-s", "b", "--from", "a"], "b: a new session with 1 turn, answered by simulator/echo\n/"),
    "rewind": (["rewind", "-s", "a"], "took out turn 1: question 1\n0 turns in the history\n"),
    "dry": (["rewind", "-s", "a", "--to", "0", "--dry-run"], "would take out turn 1: question 1\n0 turns"),
    "nothing": (["rewind", "-s", "a", "--to", "1"], "took out nothing\n1 turn in the history\n"),
}
"""Commands, and what they print for a person begins with."""


@pytest.mark.parametrize(("args", "start"), FORMS.values(), ids=FORMS)
def test_who_reads_decides_and_options_decide_otherwise(
    terminal: Terminal, here: InProcess, args: list[str], start: str
) -> None:
    """A terminal gets words, and JSON with --json; a pipe gets JSON, and words with --text."""
    path = write_session("a", header(), *turn(1))
    before = path.read_bytes()

    def again(printed: str) -> str:
        path.write_bytes(before)
        path.with_name("b.jsonl").unlink(missing_ok=True)
        return printed

    assert again(terminal(*args)[1]).startswith(start)
    assert json.loads(again(terminal(*args, "--json")[1]))
    assert again(here(*args).out).startswith("{")
    assert again(here(*args, "--json").out).startswith("{")
    words = again(here(*args, "--text").out)
    assert words.startswith("user: question 1" if args[0] == "history" and len(args) == 3 else start)


def test_an_answer_as_it_comes(terminal: Terminal, model: Model) -> None:
    """Calls and images have lines of their own; the line of what it took is faint, and an error begins a line."""
    image: Any = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    model.script(streaming(sse(answer("Let me", finish=None), answer(" see", image, CALL))))
    status, printed = terminal("send", "-s", "a", "--create", "hi", env=model.env | {"TERM": "xterm"})
    assert status == 5
    lines = printed.rpartition("\r\x1b[K")[2].splitlines()  # on a busy machine the answer is waited for
    assert lines[:3] == ["Let me see", "image/png, about 3 bytes", "→ f({})"]
    assert lines[3].startswith("\x1b[2mturn 1 · gemini-test-001")
    assert lines[4].startswith("gemcli: error: the model waits")


def test_a_tool_that_is_run(terminal: Terminal, model: Model, tmp_path: Path) -> None:
    """What it returned is a line between the call and the answer, cut where the terminal ends."""
    (tmp_path / "tools.json").write_text(json.dumps([{"name": "f", "command": ["printf", "%0200d"]}]))
    model.script(answer("Let me see", CALL), answer("It is 0."))
    tools = ("--tools", "tools.json", "--run-tools")
    status, printed = terminal("send", "-s", "a", "--create", *tools, "hi", env=model.env | {"TERM": "xterm"})
    assert status == 0
    lines = printed.rpartition("\r\x1b[K")[2].splitlines()
    assert lines[:2] == ["Let me see", "→ f({})"]
    assert lines[2].startswith('← f: {"output":')
    assert lines[2].endswith("…")
    assert lines[3] == "It is 0."


def test_an_answer_that_breaks_off(terminal: Terminal, model: Model) -> None:
    """The error begins on a line of its own."""
    model.script(streaming(sse(answer("Half an", finish=None))))
    status, printed = terminal("send", "-s", "a", "--create", "hi", env=model.env)
    assert status == 75
    assert printed.startswith("Half an\ngemcli: error: ")


def test_a_wait_between_hops(terminal: Terminal, model: Model) -> None:
    """The note begins on a line of its own."""
    busy = api_error(503, "UNAVAILABLE", "busy", retry_info("0.01s"))
    model.script(unfinished("Half an", token="t1"), busy, answer(" answer"))
    status, printed = terminal("send", "-s", "a", "--create", "--retries", "1", "hi", env=model.env)
    assert status == 0
    assert printed.rpartition("\r\x1b[K")[2].startswith("Half an\ngemcli: note: sending again in ")


@pytest.mark.parametrize("options", [["--json"], ["--json", "--stream"], ["--full"]])
def test_an_answer_as_json(terminal: Terminal, options: list[str]) -> None:
    """On a terminal too, if that is asked for; nothing is said beside it."""
    write_session("a", header())
    status, printed = terminal("send", "-s", "a", "hi", *options)
    assert status == 0
    assert all(json.loads(line) for line in printed.splitlines())


def test_an_answer_that_was_given_before(terminal: Terminal) -> None:
    """It is said that nothing was sent."""
    write_session("a", header())
    first, again = (terminal("send", "-s", "a", "--once", "k", "hi")[1] for _ in range(2))
    assert first.splitlines()[0] == again.splitlines()[0]
    assert again.splitlines()[1] == "turn 1 · simulator/echo · 7 tokens · answered before"


def test_what_is_no_text_is_told(here: InProcess, model: Model) -> None:
    """In a pipe `--text` prints text only, and a note names what else there is."""
    image: Any = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    for options, body in (([], json_reply), (["--stream"], lambda body: streaming(sse(body)))):
        model.script(body(answer("Look", image, image)))
        done = here("send", "-s", "a", "--create", "--text", *options, "hi", env=model.env)
        assert (done.status, done.out) == (0, "Look\n")
        what = "not shown as text: image/png, about 3 bytes and 1 more"
        assert done.err == f"gemcli: note: {what}; gemcli history -s a --last --full shows it\n"


# Waiting


WAITING = re.compile(r"(\r\x1b\[Kwaiting for the answer, \d s)+")


def test_who_waits_is_told_what_for(terminal: Terminal, model: Model) -> None:
    """After two seconds a line says what is waited for; it is gone before the answer is printed."""
    model.script(streaming(2.4, sse(answer("at last"))))
    env = {**model.env, "TERM": "xterm", "NO_COLOR": "1"}
    _, printed = terminal("send", "-s", "a", "--create", "hi", env=env)
    line, erased, rest = printed.partition("\r\x1b[K" + "at last\n")
    assert WAITING.fullmatch(line)
    assert erased
    assert rest.startswith("turn 1")


def test_who_waits_for_a_replay_is_told_so(terminal: Terminal, model: Model) -> None:
    """A run tells what it waits for too; the line is gone before the turn is printed."""
    model.script(slowly(2.4, "at last"))
    (terminal.directory / "s.yaml").write_text("- hi\n")
    env = {**model.env, "TERM": "xterm", "NO_COLOR": "1"}
    status, printed = terminal("replay", "s.yaml", "-s", "a.jsonl", env=env)
    line, _, rest = printed.partition("\r\x1b[K" + "s/t1: ok, ")
    assert status == 0
    assert WAITING.fullmatch(line)
    assert "  at last\n" in rest


def test_who_waits_for_a_session_is_told_so(terminal: Terminal) -> None:
    """Another gemcli has it; the line is gone before the error is printed."""
    with write_session("a", header(), *turn(1)).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        env = {"TERM": "xterm", "NO_COLOR": "1"}
        status, printed = terminal("rewind", "-s", "a", "--wait", "2.4", env=env, columns=40)
    assert status == 75
    assert printed.startswith("\r\x1b[Kwaiting for another gemcli that uses t…\r\x1b[Kgemcli: error: ")


def test_nothing_to_show(terminal: Terminal, here: InProcess) -> None:
    """A person is told that there is nothing; in a pipe there is nothing."""
    assert terminal("history") == (0, "no sessions yet: gemcli new -s NAME makes one\n")
    assert here("history", "--sessions", "--text").out == ""
    write_session("a", header())
    assert terminal("history", "-s", "a") == (0, "no turns yet\n")
    assert here("history", "-s", "a", "--text").out == ""


def test_no_session_on_a_terminal(terminal: Terminal, here: InProcess) -> None:
    """`history` alone shows a person which sessions there are; with GEMCLI_SESSION it shows that one, as ever."""
    write_session("a", header(), *turn(1))
    assert terminal("history")[1].startswith("NAME")
    assert terminal("history", env={"GEMCLI_SESSION": "a"})[1].startswith("user")
    assert terminal("history", "--last")[0] == 2
    assert terminal("history", "--json")[0] == 2
    assert here("history", "--text").status == 2


def test_text_of_an_answer_on_a_terminal(terminal: Terminal, model: Model) -> None:
    """`send` shows every escape of an answer; tabs, line ends and other letters stay. Then it says what it took."""
    said = "\tgrüße 😀\n" + " ".join(text for text, _ in ESCAPES.values())
    model.script(streaming(sse(answer(said))))
    status, printed = terminal("send", "-s", "a", "--create", "hi", env=model.env)
    assert status == 0
    lines = printed.splitlines()
    assert lines[:2] == ["\tgrüße 😀", " ".join(shown for _, shown in ESCAPES.values())]
    assert re.fullmatch(r"turn 1 · gemini-test-001 · 7 tokens · \d+\.\d s", lines[2])


def test_text_in_a_pipe(here: InProcess, model: Model) -> None:
    """In a pipe the text is what the model said, byte for byte."""
    said = " ".join(text for text, _ in ESCAPES.values())
    model.script(answer(said))
    done = here("send", "-s", "a", "--create", "--text", "hi")
    assert done.bytes == said.encode() + b"\n"
    assert here("history", "-s", "a", "--text").bytes == b"user: hi\nmodel: " + said.encode() + b"\n"
    # A carriage return ends a line of Markdown, and every line is quoted.
    assert said.replace("\r", "\n> ").encode() in here("export", "markdown", "-s", "a").bytes


@pytest.mark.parametrize(
    "command",
    [["history"], ["history", "--last", "--raw"], ["rewind"], ["history", "--contents"], ["export", "contents"]],
)
def test_json_is_harmless_everywhere(here: InProcess, command: list[str]) -> None:
    """JSON has all of it escaped, in a pipe too, and reads back to what was said."""
    said = " ".join(text for text, _ in ESCAPES.values())
    write_session("a", header(), *turn(1, said, said))
    done = here(*command, "-s", "a")
    assert done.status == 0
    assert_harmless(done.out)
    assert said in json_strings(done.lines)


def json_strings(value: object) -> set[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return set().union(*map(json_strings, inner))
    return {value} if isinstance(value, str) else set()


def test_the_answer_as_json(here: InProcess, model: Model) -> None:
    """`send` prints an answer with all its escapes escaped."""
    said = " ".join(text for text, _ in ESCAPES.values())
    model.script(answer(said, modelVersion="\x9bm\u202e", responseId="\x1b[2J"))
    done = here("send", "-s", "a", "--create", "hi")
    assert_harmless(done.out)
    assert (done.json["text"], done.json["model_version"], done.json["response_id"]) == (said, "\x9bm\u202e", "\x1b[2J")


@pytest.mark.parametrize("errors", ["text", "json"])
def test_a_file_name_with_escapes(here: InProcess, errors: str) -> None:
    """A file name cannot write to the terminal by way of an error message, and not by way of a hint."""
    name = "./\x1b[31m\u202ex\n\x9b2J.jsonl"
    done = here("history", "-s", name, "--errors", errors)
    assert done.status == 66
    assert_harmless(done.err)
    assert done.err.count("\n") == (1 if errors == "json" else 2)
    assert "1b" in done.err


@pytest.mark.parametrize("errors", ["text", "json"])
def test_an_error_of_the_api_with_escapes(here: InProcess, model: Model, errors: str) -> None:
    """A message of the API cannot write to the terminal, nor forge a second line of ours."""
    message = "no\x1b[2J\rgemcli: all is well\nhint: rm -rf \x9b\u202e"
    model.script(api_error(400, "INVALID_ARGUMENT", message))
    done = here("send", "-s", "a", "--create", "hi", "--errors", errors)
    assert done.status == 65
    assert_harmless(done.err)
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "args", [["new", "-s", "a\x1b[31m"], ["\x1b[31m"], ["history", "--\x1b[31m"], ["export", "\x9bm"]]
)
def test_what_was_typed_with_escapes(here: InProcess, args: list[str]) -> None:
    """Usage errors quote what was typed with its control characters made visible."""
    done = here(*args)
    assert done.status == 2
    assert_harmless(done.err)


def test_a_traceback_with_escapes(here: InProcess) -> None:
    """--debug prints tracebacks that are as harmless as any other message."""
    done = here("history", "-s", "./\x1b[31m\u202e", "--debug")
    assert "Traceback" in done.err
    assert_harmless(done.err)


def test_a_terminal_is_not_read(here: InProcess, terminal: Terminal) -> None:
    """What is typed while `send` runs is no message: only the argument is."""
    write_session("a", header())
    status, printed = terminal("send", "-s", "a", "--text", "hello", typed=b"typed\n\x04")
    assert (status, printed.splitlines()[0]) == (0, 'Message 1 says: "hello".')
    assert here("history", "-s", "a").json["user"] == "hello"


def test_no_message_on_a_terminal(terminal: Terminal) -> None:
    """Without MESSAGE on a terminal `send` says so at once, rather than waiting for somebody to type."""
    write_session("a", header())
    status, printed = terminal("send", "-s", "a")
    assert status == 2
    assert "there is no message: give MESSAGE, or pipe one in" in printed


def test_a_terminal_is_read_when_asked_for(here: InProcess, terminal: Terminal) -> None:
    """`-` asks for what is typed, up to its end."""
    write_session("a", header())
    status, _ = terminal("send", "-s", "a", "--text", "-", typed=b"typed\n\x04")
    assert status == 0
    assert here("history", "-s", "a").json["user"] == "typed\n"


def test_export_on_a_terminal(terminal: Terminal) -> None:
    """An export to a terminal is as harmless as any other text."""
    write_session("a", header(), *turn(1, "ask", "\x1b[31m\u202e"))
    status, printed = terminal("export", "markdown", "-s", "a")
    assert status == 0
    assert_harmless(printed)


def test_a_replay_on_a_terminal(terminal: Terminal) -> None:
    """A run is told in lines: each turn with its answer, and a summary; --json gives the events."""
    (terminal.directory / "s.yaml").write_text("- hi\n")
    options = ("replay", "s.yaml", "--model", ECHO)
    status, printed = terminal(*options, "-s", "a.jsonl")
    first, said, summary = printed.splitlines()
    assert (status, said) == (0, '  Message 1 says: "hi".')
    assert first.startswith("s/t1: ok, ")
    assert summary.startswith("1 turn: 1 ok; ")
    status, printed = terminal(*options, "-s", "b.jsonl", "--json")
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events] == ["run", "turn", "summary"]
