"""The README is true: its tour runs, its tables are those of the code, its options exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from gemcli.cli import COMMANDS
from gemcli.cli import gemcli as program
from gemcli.errors import STATUSES
from tests.support import PROGRAM

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TOUR = README.partition("<!-- tour -->")[2].partition("<!-- end of tour -->")[0]


def steps() -> list[tuple[str, str]]:
    """Each command of the tour with what the README shows after it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", TOUR, re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            found.append((command, shown))
    return found


def matches(shown: str, printed: str) -> bool:
    """Whether `printed` is what is shown, where `[..]` stands for any text in a line."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("[..]"))), printed) is not None


def statuses() -> str:
    """The table of exit statuses as the README has it."""
    rows = ["| status | name | when | in the history? | again? |", "|--:|---|---|---|---|"]
    rows += [f"| {' | '.join(map(str, status))} |" for status in STATUSES]
    return "\n".join(rows) + "\n"


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
    assert len(tour) > 10, "the tour was not found in README.md"
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


def test_the_comparison_can_fail() -> None:
    """`[..]` matches any text within a line, and nothing else matches but itself."""
    assert matches("at [..]/a.jsonl\n", "at /some/where/a.jsonl\n")
    assert not matches("at [..]/a.jsonl\n", "at /some\nwhere/a.jsonl\n")
    assert not matches("one\n", "one\n[exit 3]\n")
    assert not matches("a.c\n", "abc\n")


def test_the_table_of_exit_statuses_is_that_of_the_code() -> None:
    """The README lists exactly the statuses in `errors.STATUSES`, in the same words."""
    table = README.partition("<!-- exit statuses: made from gemcli/errors.py -->\n")[2]
    assert table.partition("<!-- end of exit statuses -->")[0] == statuses()


def test_every_command_is_in_the_table_of_commands() -> None:
    """The README's table of commands has each command, and no other."""
    table = README.partition("## Commands\n")[2].partition("\n\n`gemcli COMMAND")[0]
    assert re.findall(r"^\| `gemcli (\w+)", table, re.MULTILINE) == list(COMMANDS)


def test_every_option_in_the_text_exists() -> None:
    """Each `--option` of the prose and of the tables is an option of some command."""
    known = set().union(*options_by_command().values())
    code = " ".join(re.findall(r"`([^`\n]+)`", README))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)) - {"--lowest"}
    assert len(named) > 15
    assert named <= known


def test_every_option_in_a_command_line_belongs_to_that_command() -> None:
    """In each command line that the README shows, the options are options of the command they are given to."""
    options = options_by_command()
    lines = re.findall(rf"gemcli ({'|'.join(COMMANDS)})\b([^|&)\n`]*)", README)
    assert len(lines) > 15
    for command, rest in lines:
        words = re.sub(r"\"[^\"]*\"|#.*", "", rest)
        given = set(re.findall(r"(?<!\S)--?[a-zA-Z][a-zA-Z-]*", words))
        assert given <= options[command], f"gemcli {command}{rest}"


def test_every_variable_of_the_environment_is_read_by_the_code() -> None:
    """Each variable in the README's table that is gemcli's own or an endpoint's stands in the code."""
    table = README.partition("## Environment\n")[2].partition("\n\n##")[0]
    package = Path(__file__).parents[2] / "gemcli"
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for name in re.findall(r"`([A-Z_]+)`", row):
            # Proxies are the HTTP client's business.
            assert name in code or "PROXY" in name, name


def test_the_rules_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline that is tried without a key gets from the rules file what the file says."""
    rules = re.search(r"^```yaml\n(# review.yaml:.*?)^```$", README, re.DOTALL | re.MULTILINE)
    script = re.search(r"^```sh\n(python -m gemcli.simulator.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert rules is not None
    assert script is not None
    (tmp_path / "review.yaml").write_text(rules[1], encoding="utf-8")
    monkeypatch.setenv("PATH", str(Path(PROGRAM).parent), prepend=":")
    monkeypatch.delenv("GEMCLI_SEND_RETRIES")
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", script[1]],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.decode() == "The loop reads one line too many.\nUse range(len(lines) - \n", done.stderr.decode()
