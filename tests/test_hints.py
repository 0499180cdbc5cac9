"""Hints: whatever command a hint names does something when it is pasted."""

from __future__ import annotations

import ast
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import gemcli
from gemcli.cli import COMMANDS
from gemcli.cli import gemcli as program
from gemcli.sessions.filesystem import FileSystem
from gemcli.signals import Interrupted
from tests.builders import CALL, api_error, header, request, response, turn, write_session
from tests.support import InProcess, Model
from tests.terminal.test_usage_errors import WRONG

PACKAGE = Path(gemcli.__file__).parent

COMMAND = re.compile(rf"\bgemcli (?:{'|'.join(COMMANDS)})\b[^;,`|&)…]*")
"""A command line in a sentence, with the words after it."""


INNER = re.compile(r'"\$\((.*?)\)"')
"""A command line whose output is a word of another."""


def strings(tree: ast.AST) -> Iterator[str]:
    """Every text in a module that is no docstring; X stands for what is filled in."""
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.JoinedStr):
                    parts = (str(part.value) if isinstance(part, ast.Constant) else "X" for part in child.values)
                    yield "".join(parts)
                elif isinstance(child, ast.Constant) and not isinstance(node, ast.Expr | ast.JoinedStr):
                    yield str(child.value)


def commands(text: str) -> list[str]:
    """The command lines that a text names, also those within others."""
    inner = INNER.findall(text)
    return [match.strip() for part in [INNER.sub("X", text), *inner] for match in COMMAND.findall(part)]


def parses(words: list[str]) -> bool:
    """Whether click takes a command line; N in it is a number, and so is X where one is wanted."""
    name, *rest = words
    for place, word in enumerate(rest):
        if word == "N" or (word == "X" and rest[place - 1] in ("--turn", "--at", "--to")):
            rest[place] = "1"
    command = program.get_command(click.Context(program), name)
    assert command is not None
    try:
        command.make_context(name, rest)
    except click.exceptions.Exit:  # --help
        return True
    except click.UsageError:
        return False
    return True


def assert_it_works(line: str) -> None:
    """A command, with all options that are named behind it, is one that click takes."""
    try:
        words = shlex.split(line)[1:]
    except ValueError:
        words = line.split()[1:]
    last = max((place for place, word in enumerate(words) if word.startswith("-")), default=0)
    lengths = range(len(words), last, -1)
    assert any(parses(words[:length]) for length in lengths), line


HINTS = sorted(
    {
        line
        for path in PACKAGE.rglob("*.py")
        if "gemcli " in (source := path.read_text(encoding="utf-8"))
        for text in strings(ast.parse(source))
        for line in commands(text)
    }
)


@pytest.mark.parametrize("line", HINTS)
def test_commands_in_messages(line: str) -> None:
    """Each command in a message or a hint of the source can be pasted, once the capitals are filled in."""
    assert_it_works(line)


@pytest.mark.parametrize("hint", sorted({hint for _, hint in WRONG.values()}))
def test_commands_in_hints_for_wrong_command_lines(hint: str) -> None:
    """So can those that are made from what was typed."""
    for line in commands(hint):
        if "…" not in hint:
            assert_it_works(line)


def test_commands_in_the_help() -> None:
    """The way in that `gemcli --help` shows is one."""
    with click.Context(program, info_name="gemcli") as context:
        shown = commands(program.get_help(context))
    assert len(shown) == 2
    for line in shown:
        assert_it_works(line)


def test_hints_are_found() -> None:
    """The search finds what the source holds; a command without its session does not pass."""
    assert "gemcli history --sessions lists them" in HINTS or len(HINTS) > 10
    for line in ("gemcli rewind", "gemcli history -s X --lst", "gemcli new --project P"):
        with pytest.raises(AssertionError):
            assert_it_works(line)


def test_nobody_is_told_to_install_a_strangers_program() -> None:
    """The name `gemcli` on the package index is another project's."""
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"pipx? install[^'\n]* gemcli\b", path.read_text("utf-8")), path


class Stopped(FileSystem):
    """A file system in which Ctrl-C arrives."""

    def open(self, path: str, flags: int) -> int:
        """End the program instead."""
        raise Interrupted(signal.SIGINT)


VIDEO = {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}}
NAMED: dict[str, tuple[list[str], str]] = {
    "OPEN_CALL": (
        ["send", "Hi"],
        "answer it: gemcli send -s a --response f=JSON; or take its turn out: gemcli rewind -s a",
    ),
    "TOO_MANY_TURNS": (["send", "Hi", "--max-turns", "0"], "gemcli new -s NEW --from a --at N, or gemcli rewind -s a"),
    "NO_SUCH_TURN": (["history", "--turn", "9"], "run gemcli history -s a --all to see its turns"),
    "NOT_EXPRESSIBLE": (["export", "openai"], "gemcli export contents -s a keeps everything"),
    "INTERRUPTED": (["history"], "run gemcli history -s a --last to see what is recorded"),
}
"""Commands that fail in the session `a`, and how their hints end."""


@pytest.mark.parametrize("reason", NAMED)
@pytest.mark.parametrize("how", ["-s", "--session=", "GEMCLI_SESSION"])
def test_hints_name_the_session(here: InProcess, reason: str, how: str) -> None:
    """What a hint says about the session of a command, it says with the name that it was given, however it was."""
    (command, *args), hint = NAMED[reason]
    write_session("a", header(), *turn(1), request(2, VIDEO), response(2, CALL))
    words = {"-s": ["-s", "a"], "--session=": ["--session=a"]}.get(how, [])
    world = {"GEMCLI_SESSION": "a"} if not words else {}
    done = here.failed(command, *words, *args, env=world, fs=Stopped() if reason == "INTERRUPTED" else None)
    assert done.error["reason"] == reason
    assert done.error["hint"].endswith(hint)


def test_a_name_that_needs_quotes(here: InProcess) -> None:
    """A path with a blank is quoted, so that the command can be pasted."""
    path = here.directory / "my game.jsonl"
    path.write_bytes(write_session("a", header(), *turn(1)).read_bytes())
    hint = here.failed("history", "-s", "./my game.jsonl", "--turn", "9").error["hint"]
    assert hint == "run gemcli history -s './my game.jsonl' --all to see its turns"


def test_replay_names_the_session_of_each_conversation(here: InProcess, model: Model) -> None:
    """So do the events of replay, and the error that ends it, where each conversation has a session of its own."""
    too_long = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    model.script(api_error(400, "INVALID_ARGUMENT", too_long))
    (here.directory / "suite.jsonl").write_text('{"id": "one", "turns": ["Hi"]}\n')
    done = here.failed("replay", "suite.jsonl", "--out", "runs")
    (told,) = [event["error"] for event in done.lines if event.get("error")]
    assert told["reason"] == "CONTEXT_TOO_LONG"
    for hint in (told["hint"], done.error["hint"]):
        assert hint.endswith("gemcli new -s NEW --from runs/one.jsonl --at N, or gemcli rewind -s runs/one.jsonl")
