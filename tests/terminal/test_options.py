"""Options that commands share: what they are called, that they are told of, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from gemcli.cli import COMMANDS
from gemcli.cli import gemcli as program
from gemcli.settings.config import Config
from gemcli.settings.definitions import OPTIONS
from gemcli.terminal import options
from tests.builders import error_from


def command(name: str) -> click.Command:
    """A command of the program."""
    found = program.get_command(click.Context(program), name)
    assert found is not None
    return found


def options_of(name: str) -> list[click.Option]:
    """The options of a command."""
    return [param for param in command(name).params if isinstance(param, click.Option)]


@pytest.mark.parametrize("name", ["new", "send"])
def test_every_setting_is_an_option(name: str) -> None:
    """Each setting with an option is one of `new` and of `send`, under its name, in the order of the table."""
    known = [option.opts[0] for option in options_of(name)]
    wanted = [setting.option for setting in OPTIONS]
    assert [opt for opt in known if opt in wanted] == wanted
    by_name = {option.name: option for option in options_of(name)}
    for setting in OPTIONS:
        assert by_name[setting.name].multiple == setting.repeatable


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    """Help fits 80 columns, each option in it is a sentence, and its examples are command lines with known options."""
    found = command(name)
    for option in options_of(name):
        if not option.hidden:
            assert re.match(r"[A-Z].*[.)\]]$", option.help or "", re.DOTALL), option.opts
    with click.Context(found, info_name=f"gemcli {name}", max_content_width=80, terminal_width=80) as context:
        text = found.get_help(context)
    assert max(map(len, text.splitlines())) <= 80
    assert f"gemcli {name} " in text.partition("Examples:")[2]
    lines = re.findall(r"gemcli (\w+)((?: [^|<>&)]+)?)", (found.help or "").partition("Examples:")[2])
    assert lines
    for used, rest in lines:
        known = {opt for option in options_of(used) for opt in (*option.opts, *option.secondary_opts)}
        words = re.sub(r'"[^"]*"', "", rest)
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", words)) <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_groups_of_options(name: str) -> None:
    """Nobody has to read a list of more than a dozen: many options stand in groups, each shown once."""
    found = command(name)
    with click.Context(found, info_name=name, terminal_width=80) as context:
        groups = options.headed(context)
        text = found.get_help(context)
    assert max(map(len, groups.values())) <= 13
    for heading, group in groups.items():
        section = text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
        for option in group:
            assert re.search(rf"^  {option.opts[0]}\b", section, re.MULTILINE)
    shown = [option for group in groups.values() for option in group]
    assert len(shown) == len({*shown}) == sum(not option.hidden for option in options_of(name)) + 1  # --help


def test_no_key_on_the_command_line() -> None:
    """No option takes an API key: arguments are visible to everyone on the machine."""
    keys = [opt for name in COMMANDS for option in options_of(name) for opt in option.opts if "key" in opt]
    assert keys == []


@pytest.mark.parametrize("name", COMMANDS)
def test_variables_of_options(name: str) -> None:
    """An option with a value has a variable, made from its name on the command line; a flag has none, nor `--debug`."""
    for option in options_of(name):
        long = max(option.opts, key=len).lstrip("-").replace("-", "_").upper()
        shared = {"SESSION": "GEMCLI_SESSION", "ERRORS": "GEMCLI_ERRORS"}
        wanted = None if option.is_flag else shared.get(long, f"GEMCLI_{name.upper()}_{long}")
        assert option.envvar == wanted, option.opts
        assert not option.count


def test_no_other_variables() -> None:
    """No variables are made by click itself."""
    with program.make_context("gemcli", ["send"]) as context:
        assert context.auto_envvar_prefix is None


# What the options of a generation come to


def config_from(given: Mapping[str, object]) -> Config:
    """The config of options about which there is nothing to say."""
    notes: list[str] = []
    config = options.config_from(given, notes.append)
    assert notes == []
    return config


def test_config_from_a_file_and_options(tmp_path: Path) -> None:
    """Options become a config in REST form and win over the file; what is absent is not there, what is typed stays."""
    given = {"temperature": "0.5", "stop_sequences": ("a", "b"), "seed": None, "safety_settings": (), "other": 1}
    before = dict(given)
    assert config_from(given) == {"generationConfig": {"temperature": 0.5, "stopSequences": ["a", "b"]}}
    assert (config_from({}), given) == ({}, before)
    path = tmp_path / "c.yaml"
    path.write_text("temperature: 1\nseed: 3\n")
    given = {"config_file": str(path), "temperature": "0.5"}
    assert config_from(given) == {"generationConfig": {"temperature": 0.5, "seed": 3}}


def test_a_system_instruction_that_names_a_file(tmp_path: Path) -> None:
    """`@FILE` is the file's text, which may not be empty; an `@` elsewhere is text."""
    (tmp_path / "s").write_text("@not a file\n")
    read = config_from({"system_instruction": f"@{tmp_path}/s"})
    assert read == {"systemInstruction": {"parts": [{"text": "@not a file\n"}]}}
    plain = config_from({"system_instruction": "mail me@example.org"})
    assert plain == {"systemInstruction": {"parts": [{"text": "mail me@example.org"}]}}
    (tmp_path / "s").write_text("")
    caught = error_from(config_from, {"system_instruction": f"@{tmp_path}/s"})
    assert caught.exit == 2
    assert "--system" in caught.problems[0].message


def test_what_is_unusual_is_noted(tmp_path: Path) -> None:
    """A value outside today's limits is no mistake: of options and of the file it is told, and goes out."""
    path = tmp_path / "c.yaml"
    path.write_text("top_k: 0\n")
    notes: list[str] = []
    config = options.config_from({"config_file": str(path), "temperature": "3"}, notes.append)
    assert config == {"generationConfig": {"topK": 0, "temperature": 3.0}}
    assert [note.partition(" should be ")[0] for note in notes] == ["`--temperature`", f"{path}:1:8: `top_k`"]
