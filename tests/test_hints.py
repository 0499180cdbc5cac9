"""Hints: whatever command a hint names does something when it is pasted."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import gemcli
from gemcli.cli import COMMANDS
from gemcli.cli import gemcli as program
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
        for text in strings(ast.parse(path.read_bytes()))
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
