"""The README is true: its tour runs, its tables are those of the code, its options exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gemcli.cli import COMMANDS
from gemcli.cli import gemcli as program
from gemcli.simulator.__main__ import main as simulator
from tests.support import PROGRAM

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "man").glob("*.md")}
PAGE = PAGES["gemcli-simulator.1.md"]


def steps() -> list[tuple[str, str]]:
    """Each command of the tour with what the README shows after it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            found.append((command, shown))
    return found


def matches(shown: str, printed: str) -> bool:
    """Whether `printed` is what is shown, where `[..]` stands for any text in a line."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("[..]"))), printed) is not None


def known_options(command: click.Command) -> set[str]:
    """Every spelling of every option of a command."""
    return {name for option in command.params if isinstance(option, click.Option) for name in option.opts} | {"--help"}


def options_by_command() -> dict[str, set[str]]:
    """The options of each command, and under "" those of the program."""
    context = click.Context(program)
    found = {"": known_options(program) | {"-h"}}
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert command is not None
        found[name] = known_options(command) | {"-h"}
    return found


def test_the_tour_runs_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the tour prints what the README shows, and ends with the status it shows."""
    if not shutil.which("jq"):
        pytest.skip("the tour pipes into jq, which is not installed here")
    monkeypatch.setenv("PATH", str(Path(PROGRAM).parent), prepend=":")
    tour = steps()
    assert len(tour) > 8, "the tour was not found in README.md"
    for command, shown in tour:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        printed = done.stdout + (f"[exit {done.returncode}]\n" if done.returncode else "")
        assert matches(shown, printed), f"$ {command}\nREADME.md shows:\n{shown}\nbut it prints:\n{printed}"


def test_the_first_example_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines at the top of the README need nothing but a key: no session that was made before."""
    if not (shutil.which("jq") and shutil.which("git")):
        pytest.skip("the example pipes git into gemcli, and gemcli into jq")
    monkeypatch.setenv("PATH", str(Path(PROGRAM).parent), prepend=":")
    monkeypatch.setenv("GEMCLI_MODEL", "simulator/echo")
    example = re.search(r"^(    .*\n)+", README, re.MULTILINE)
    assert example is not None
    script = f"set -e; git init -q; echo x > f; git add -N f\n{example[0]}"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, second = re.findall(r"^Message \d.*", done.stdout, re.MULTILINE)
    assert "diff --git a/f b/f" in done.stdout
    assert first.startswith('Message 1 says: "What could break?')
    assert second.startswith('Message 2 says: "Now look at the locking only". Before it: 1: "What could break?')


def test_the_comparison_can_fail() -> None:
    """`[..]` matches any text within a line, and nothing else matches but itself."""
    assert matches("at [..]/a.jsonl\n", "at /some/where/a.jsonl\n")
    assert not matches("at [..]/a.jsonl\n", "at /some\nwhere/a.jsonl\n")
    assert not matches("one\n", "one\n[exit 3]\n")
    assert not matches("a.c\n", "abc\n")


@pytest.mark.parametrize("name", ["README.md", *PAGES])
def test_every_option_that_is_named_exists(name: str) -> None:
    """In the text and in tables an option of some command; in a command line of the command that it is given to."""
    options, text = options_by_command(), PAGES.get(name, README)
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code))
    assert named <= set().union(*options.values(), known_options(simulator))
    for command, rest in re.findall(rf"gemcli ({'|'.join(COMMANDS)})\b([^|&;)\n`*]*)", text):
        words = re.sub(r"\"[^\"]*\"|#.*", "", rest)
        given = set(re.findall(r"(?<!\S)--?[a-zA-Z][a-zA-Z-]*", words))
        assert given <= options[command], f"gemcli {command}{rest}"


@pytest.mark.parametrize(
    ("text", "before", "shown"),
    [
        (PAGE, "--rules review.yaml ", "The loop reads one line too many.\nUse range(len(lines) - \n"),
        (README, "", 'Message 1 says: "Hello".\n'),
    ],
    ids=["page", "README"],
)
def test_the_examples_with_a_server_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, before: str, shown: str
) -> None:
    """A pipeline that is tried without a key gets what the text says; if the server cannot start, it ends at once."""
    monkeypatch.setenv("PATH", _with_simulator(tmp_path), prepend=":")
    monkeypatch.delenv("GEMCLI_SEND_RETRIES")
    script = re.search(r"^```sh\n(rm -f url; gemcli-simulator.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert script is not None
    for rules in re.findall(r"^```yaml\n(# review.yaml:.*?)^```$", text, re.DOTALL | re.MULTILINE):
        (tmp_path / "review.yaml").write_text(rules, encoding="utf-8")
    done = _run_shell(script[1], tmp_path)
    assert done.stdout == shown, done.stderr
    broken = _run_shell(script[1].replace(f"simulator {before}", "simulator --port x "), tmp_path)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "gemcli-simulator: error: invalid value for '--port'" in broken.stderr


def _with_simulator(directory: Path) -> str:
    """A directory with both programs; an environment that is older than the second lacks it."""
    programs = directory / "bin"
    programs.mkdir()
    (programs / "gemcli").symlink_to(PROGRAM)
    simulator_program = programs / "gemcli-simulator"
    simulator_program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gemcli.simulator "$@"\n', encoding="utf-8")
    simulator_program.chmod(0o755)
    return str(programs)


def _run_shell(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-e", "-c", script]
    return subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
