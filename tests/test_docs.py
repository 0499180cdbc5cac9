"""The reference is that of the code: man pages, README blocks, environment; and what it shows works."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from gemcli.cli import COMMANDS
from gemcli.errors import STATUSES
from gemcli.terminal.environment import ENVIRONMENT
from tests.support import Gemcli, Model, contents

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
AGAIN = "not what the code says: run scripts/gen_docs"


def load_script(name: str) -> Any:
    """A script of the project as a module. It has no suffix, so Python must be told what it is."""
    loader = SourceFileLoader(name, str(ROOT / "scripts" / name))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


gen_docs = load_script("gen_docs")
PAGES: dict[str, str] = gen_docs.pages()
BLOCKS: dict[str, str] = gen_docs.blocks()
CONTEXTS: dict[str, click.Context] = gen_docs.contexts()
EXAMPLES = [line for context in CONTEXTS.values() for line in gen_docs.examples(context.command)]


# The files are those that the code makes


@pytest.mark.parametrize("name", PAGES)
def test_each_man_page_is_that_of_the_code(name: str) -> None:
    """Byte for byte."""
    assert (ROOT / "man" / name).read_bytes() == PAGES[name].encode("ascii"), AGAIN


def test_there_is_no_other_man_page() -> None:
    """A command that is gone takes its page with it."""
    assert sorted(path.name for path in (ROOT / "man").iterdir()) == sorted(PAGES)


@pytest.mark.parametrize("name", BLOCKS)
def test_each_block_of_the_readme_is_that_of_the_code(name: str) -> None:
    """Byte for byte. The layout of the help is click's own, so that is compared for one version of click."""
    if name == "help" and not version("click").startswith("8.5."):
        pytest.skip("README.md shows the help as click 8.5 lays it out, the oldest allowed version")
    assert gen_docs.cut(README, name)[1] == BLOCKS[name], AGAIN


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_help_is_what_the_program_prints(name: str, gemcli: Gemcli) -> None:
    """On a terminal of 80 columns, without any configuration."""
    printed = gemcli(*([name] if name else []), "--help", env={"COLUMNS": "80"}).out
    assert f"```text\n{printed}```" in BLOCKS["help"]


def test_the_script_writes_what_differs_and_then_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` changes nothing, shows the difference and fails; after writing it is silent."""
    name = "gemcli-send.1"
    (tmp_path / "README.md").write_text(README.replace("| 66 | no_input |", "| 67 | no_input |"), encoding="utf-8")
    shutil.copytree(ROOT / "man", tmp_path / "man")
    (tmp_path / "man" / "gemcli-gone.1").write_text("a command that is gone\n")
    (tmp_path / "man" / name).write_text(PAGES[name].replace("print the answer", "print an answer"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    assert gen_docs.main(["--check"], tmp_path) == 1
    diff = capsys.readouterr().out
    for line in ("-| 67 | no_input", "+| 66 | no_input", "-a command that is gone", "+++ man/gemcli-send.1"):
        assert line in diff
    assert {path: path.read_bytes() for path in before} == before

    assert gen_docs.main([], tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == ["README.md", "man/gemcli-gone.1 removed", f"man/{name}"]
    assert gen_docs.main(["--check"], tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_a_readme_without_its_markers_is_an_error() -> None:
    """A block that cannot be found is not skipped in silence, nor is one that stands there twice."""
    begin = "<!-- environment: made from gemcli/terminal/environment.py -->\n"
    for readme in (README.replace(begin, ""), README + begin, README.replace("<!-- end of environment -->\n", "")):
        with pytest.raises(ValueError, match="made from gemcli/terminal/environment"):
            gen_docs.readme_with_blocks(readme)


# Nothing is left out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described(name: str) -> None:
    """It has a summary, the same everywhere, a text, an example, and a place in the README's own words."""
    command = CONTEXTS[name].command
    assert command.short_help == COMMANDS[name]
    assert gen_docs.description(command)
    assert any(re.search(rf"\bgemcli {name}\b", line) for line in gen_docs.examples(command))
    assert f"`gemcli {name} " in README.replace(BLOCKS["help"], "")


@pytest.mark.parametrize("name", CONTEXTS)
def test_every_option_and_argument_has_a_help_text(name: str) -> None:
    """Hidden options have one, too; the man page has all the others."""
    for param in CONTEXTS[name].command.params:
        assert isinstance(param, click.Option | click.Argument)
        assert param.help, param.name
        if isinstance(param, click.Option):
            spelled = ", ".join(map(gen_docs.bold, param.opts))
            assert (f".TP\n{spelled}" in PAGES[_file(name)]) is not param.hidden


@pytest.mark.parametrize("name", CONTEXTS)
def test_every_page_has_the_statuses_of_the_code(name: str) -> None:
    """All of them, by number and name, in order."""
    page = PAGES[_file(name)].partition(".SH EXIT STATUS\n")[2].partition(".SH ")[0]
    found = re.findall(r"^\.TP\n\\fB(\d+)\\fR (\w+)$", page, re.MULTILINE)
    assert [(int(code), word) for code, word in found] == [(status.code, status.name) for status in STATUSES]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_page_has_the_sections_that_people_look_for(name: str) -> None:
    """In the order of man-pages(7), as far as it knows them."""
    sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "ARGUMENTS", "OPTIONS", "EXAMPLES"]
    sections += ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]
    if not any(isinstance(param, click.Argument) for param in CONTEXTS[name].command.params):
        sections.remove("ARGUMENTS")
    assert re.findall(r"^\.SH (.*)$", PAGES[_file(name)], re.MULTILINE) == sections


def variables_read(tree: ast.AST) -> Iterator[str]:
    """The environment variables that a module reads by name: `environ.get("X")`, `environ["X"]`, `envvar="X"`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "envvar":
            yield from _strings(node.value)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            yield from _strings(node.slice)
        elif isinstance(node, ast.Call) and re.search(r"environ\.get$|getenv$", ast.unparse(node.func)):
            yield from _strings(node.args[0])


def test_every_variable_that_the_code_reads_is_in_the_table() -> None:
    """And the other way round: the table has none that nobody reads."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "gemcli").rglob("*.py")]
    read = {name for source in sources for name in variables_read(ast.parse(source))}
    assert read == {one.name for one in ENVIRONMENT if one.reader == "gemcli"}
    assert len({one.name for one in ENVIRONMENT}) == len(ENVIRONMENT)
    assert {name for one in ENVIRONMENT for name in one.commands} <= set(COMMANDS)


def test_variables_are_found_however_they_are_read() -> None:
    """The search sees each way to read one, and nothing else."""
    source = (
        """app.environ.get("A") or os.environ["B"]; os.getenv("C", ""); option(envvar=["D", "E"]); names.get("F")"""
    )
    assert sorted(variables_read(ast.parse(source))) == ["A", "B", "C", "D", "E"]


# What is shown works


def test_roff_shows_what_was_written() -> None:
    """No character is a command, and none turns into another that a shell would not understand."""
    assert gen_docs.roff(r"a\nb -x 'y' `z` ^~ …") == r"a\enb \-x \(aqy\(aq \(gaz\(ga \(ha\(ti \[u2026]"
    assert gen_docs.prose(".TH `--now` at\n  once") == r"\&.TH \fB\-\-now\fR at once"
    assert gen_docs.prose("'tis") == r"\(aqtis"


@pytest.mark.parametrize("name", PAGES)
def test_man_shows_each_page_without_a_warning(name: str) -> None:
    """With man-db, which can tell. The examples can be pasted from what it shows."""
    man = shutil.which("man")
    about = subprocess.run([man, "--version"], capture_output=True, text=True, check=False).stdout if man else ""
    if not re.match(r"man \d+\.\d+\.\d+", about):
        pytest.skip("man-db is not installed, whose man reports what is wrong with a page")
    show = ["man", "--warnings", "-E", "UTF-8", "-l", str(ROOT / "man" / name)]
    world = {**os.environ, "MANWIDTH": "300"}
    done = subprocess.run(show, env=world, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    command = name.removesuffix(".1").removeprefix("gemcli").removeprefix("-")
    for line in gen_docs.examples(CONTEXTS[command].command):
        assert f" {line}\n" in done.stdout


def command_lines(line: str) -> Iterator[list[str]]:
    """The arguments of each gemcli in a line of shell, those in `$(…)` too."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from command_lines(inner)
    words = shlex.shlex(re.sub(r"\$\([^()]*\)", "something", line), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found: list[list[str]] = [[]]
    redirected = False
    for word in words:
        if set(word) <= set("|&;"):
            found.append([])
        elif set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        else:
            found[-1].append(word)
    yield from (command[1:] for command in found if command[:1] == ["gemcli"])


def test_commands_are_found_in_shell() -> None:
    """Pipes, lists, redirections, quotes and substitutions are the shell's; the rest is for gemcli."""
    line = (
        """git diff | gemcli send -s a "x | y" < in.txt > out.txt && rm "$(gemcli history -s a --path)"; gemcli new"""
    )
    assert list(command_lines(line)) == [["history", "-s", "a", "--path"], ["send", "-s", "a", "x | y"], ["new"]]


FILES = {
    "main.c": "int main(void) { return 0; }\n",
    "contents.json": json.dumps(contents("I am Alice", "Hello Alice")),
    "nightly.yaml": "- My name is Alice\n- user: What is my name?\n  expect: {contains: Alice}\n",
    "questions.jsonl": '{"id":"q1","turns":["One?","Two?"]}\n{"id":"q2","turns":["Three?"]}\n',
}
"""The files that examples read, besides the session bug42."""


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_runs(line: str, gemcli: Gemcli, model: Model) -> None:
    """Each gemcli in it succeeds, where there is a session with some turns and the files that examples name."""
    for name, text in FILES.items():
        (gemcli.directory / name).write_text(text)
    (gemcli.directory / "runs").mkdir()
    (gemcli.directory / "history.json").write_text(json.dumps(contents(*"abcdefgh")))
    world = model.env
    commands = list(command_lines(line))
    assert commands, "there is no gemcli in this example"
    if commands[0][:3] != ["new", "-s", "bug42"]:
        assert gemcli("new", "-s", "bug42", "--history", "history.json", env=world).status == 0
    if "old.jsonl" in line:
        assert gemcli("new", "-s", "old.jsonl", "--history", "history.json", env=world).status == 0
    if "--undo" in line:  # there must be something to undo
        assert gemcli("rewind", "-s", "bug42", env=world).status == 0
    for args in commands:
        done = gemcli(*args, stdin="something\n", env=world)
        assert done.status == 0, f"gemcli {shlex.join(args)}: {done.err}"


def _file(name: str) -> str:
    """The man page of a command; of the program, if it is ""."""
    return f"gemcli-{name}.1" if name else "gemcli.1"


def _strings(node: ast.AST) -> Iterator[str]:
    return (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))
