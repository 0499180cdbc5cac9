"""The reference is that of the code: the manual and the tables in README.md; and what it shows works."""

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
from pathlib import Path
from typing import Any

import click
import pytest

from gemcli.api.gemini import IGNORED_ENVIRONMENT
from gemcli.cli import COMMANDS
from gemcli.errors import STATUSES
from gemcli.terminal.environment import ENVIRONMENT
from tests.builders import answer, call, contents, unfinished
from tests.support import InProcess, Model

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
DOCUMENTS: dict[str, str] = {str(path.relative_to(ROOT)): text for path, text in gen_docs.documents(ROOT).items()}
MAN_PAGES = [name for name in DOCUMENTS if re.fullmatch(r"man/man\d/.*", name)]
CONTEXTS: dict[str, click.Context] = gen_docs.contexts()
EXAMPLES = [line for context in CONTEXTS.values() for line in gen_docs.examples(context.command)]
RECIPES = [
    re.sub(r"^(?:[-*/\d]+ ){4}[-*/\d]+ +", "", line.strip())  # without the times of a crontab
    for line in re.findall(r"^    .*\bgemcli .*", README, re.MULTILINE)
]


def page(name: str) -> str:
    """The Markdown page of a command; of the program, if the name is ""."""
    return DOCUMENTS[f"man/gemcli-{name}.1.md" if name else "man/gemcli.1.md"]


def section(text: str, title: str) -> str:
    """A section of a Markdown page, without its heading."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# The files are those that the code makes


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_document_is_that_of_the_code(name: str) -> None:
    """Byte for byte: README.md, the pages in Markdown, and the man pages, which are ASCII."""
    encoding = "ascii" if name in MAN_PAGES else "utf-8"
    assert (ROOT / name).read_bytes() == DOCUMENTS[name].encode(encoding), AGAIN


def test_the_script_writes_what_differs_and_then_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` changes nothing, shows the difference and fails; after writing it is silent."""
    shutil.copytree(ROOT / "man", tmp_path / "man")
    for name, old, new in (
        ("README.md", "| 66 no_input |", "| 67 no_input |"),
        ("man/man1/gemcli-send.1", "print the answer", "print an answer"),
        ("man/gemcli-settings.5.md", "| `temperature` |", "| `temprature` |"),
    ):
        (tmp_path / name).write_text(DOCUMENTS[name].replace(old, new), encoding="utf-8")
    for name in ("man/gemcli-gone.1.md", "man/man1/gemcli-gone.1"):
        (tmp_path / name).write_text("<!-- Made by scripts/gen_docs: a command that is gone -->\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    assert gen_docs.main(["--check"], tmp_path) == 1
    diff = capsys.readouterr().out
    for line in ("-| 67 no_input", "+| 66 no_input", "a command that is gone", "+++ man/man1/gemcli-send.1"):
        assert line in diff
    assert {path: path.read_bytes() for path in before} == before

    assert gen_docs.main([], tmp_path) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "README.md",
        "man/gemcli-gone.1.md removed",
        "man/gemcli-settings.5.md",
        "man/man1/gemcli-gone.1 removed",
        "man/man1/gemcli-send.1",
    ]
    assert gen_docs.main(["--check"], tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_every_table_of_the_code_is_shown_somewhere() -> None:
    """A block that no document has is of no use."""
    written = "".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS if name.endswith(".md"))
    assert {mark["name"] for mark in gen_docs.MARKER.finditer(written)} - {None} == gen_docs.BLOCKS.keys()


def test_markers_that_do_not_match_are_an_error() -> None:
    """A block that cannot be found is not skipped in silence, nor is one that nobody knows or that has no end."""
    begin = "<!-- commands: made from gemcli/cli.py -->\n"
    end = "<!-- end of commands -->\n"
    assert "gemcli-send(1)" in gen_docs.filled(begin + "old\n" + end, "x")
    for text in (begin, end, begin + begin + end, "<!-- gone: made from x.py -->\n<!-- end of gone -->\n"):
        with pytest.raises(ValueError, match="x: "):
            gen_docs.filled(text, "x")


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.endswith(".md")] + ["CONTRIBUTING.md"])
def test_links_between_documents_lead_somewhere(name: str) -> None:
    """On a code host and in a checkout."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert (ROOT / name).parent.joinpath(target).is_file(), target


def test_the_rooms_and_files_that_newcomers_are_sent_to_exist() -> None:
    """CONTRIBUTING.md has each package and each module at the top, and no file that is gone."""
    text, package = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), ROOT / "gemcli"
    files = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    rooms = {name.partition("/")[0] + "/" * ("/" in name) for name in files} - {"__init__.py", "__main__.py"}
    table = text.partition("## Layout\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)) == rooms
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert name in files or (ROOT / name).is_file(), name


# Nothing is left out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described(name: str) -> None:
    """It has a text, an example, and a place in the README."""
    command = CONTEXTS[name].command
    assert gen_docs.description(command)
    assert any(re.search(rf"\bgemcli {name}\b", line) for line in gen_docs.examples(command))
    assert f"(man/gemcli-{name}.1.md)" in README


@pytest.mark.parametrize("name", CONTEXTS)
def test_every_option_and_argument_has_a_help_text(name: str) -> None:
    """Hidden options have one, too; the page has all the others."""
    for param in CONTEXTS[name].command.params:
        assert isinstance(param, click.Option | click.Argument)
        assert param.help, param.name
        if isinstance(param, click.Option):
            spelled = ", ".join(f"`{one}`" for one in param.opts)
            assert (f"\n| {spelled} " in page(name)) is not param.hidden


def test_every_page_has_the_statuses_that_concern_it() -> None:
    """All are in gemcli(1); those of a command are among them, in order, and no command is named that is none."""
    everything = [f"`{status.code}` {status.name}" for status in STATUSES]
    for name in CONTEXTS:
        found = re.findall(r"^\| (`\d+` \w+) \|", section(page(name), "Exit status"), re.MULTILINE)
        assert found == [one for one in everything if one in found]
        assert found == everything or name
    assert gen_docs.CONCERNS.keys() <= {status.name for status in STATUSES}
    assert {name for names in gen_docs.CONCERNS.values() for name in names} <= COMMANDS.keys()
    assert "`3` blocked" in page("send")
    assert "`3` blocked" not in page("history")


def variables_read(tree: ast.AST) -> set[str]:
    """The environment variables that a module names: every string that looks like one."""
    strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {one for one in strings if isinstance(one, str) and VARIABLE.fullmatch(one)}


VARIABLE = re.compile("(GEMCLI|GEMINI|GOOGLE|SSL_CERT)_[A-Z_]+|NO_COLOR|TERM")


def test_every_variable_that_the_code_reads_is_in_the_table() -> None:
    """And the other way round: the table has none that nobody reads."""
    sources = {path for path in (ROOT / "gemcli").rglob("*.py") if path.name != "environment.py"}
    read = {name for path in sources for name in variables_read(ast.parse(path.read_bytes()))}
    assert read - set(IGNORED_ENVIRONMENT) == {one.name for one in ENVIRONMENT if one.reader == "gemcli"}
    assert len({one.name for one in ENVIRONMENT}) == len(ENVIRONMENT)
    assert {name for one in ENVIRONMENT for name in one.commands} <= set(COMMANDS)


# What is shown works


MARKDOWN = """# a-b(5): what it *is*

<!-- a comment -->

## See

.TH `--now` at
once, 'tis [b-c(1)](b-c.1.md) and <https://example.org>

- one
  more

| key | meaning | type |
|---|---|---|
| `a\\|b` | a thing | text |
| `c` | done. | |

```sh
.x -y 'z' `w` ^~ …
```
"""

ROFF = r""".TH A\-B 5 "" "gemcli 1" "File Formats"
.nh
.ad l
.SH NAME
a\-b \- what it *is*
.SH SEE
\&.TH \fB\-\-now\fR at once, \(aqtis \fBb\-c\fR(1) and https://example.org
.IP \(bu 2
one more
.TP
\fBa|b\fR
A thing. Type: text.
.TP
\fBc\fR
Done.
.PP
.RS 4
.nf
\&.x \-y \(aqz\(aq \(gaw\(ga \(ha\(ti \[u2026]
.fi
.RE
"""


def test_a_man_page_shows_what_was_written() -> None:
    """No character is a command, and none turns into another that a shell would not understand."""
    assert gen_docs.man_page.roff(MARKDOWN, "1").partition("\n")[2] == ROFF


@pytest.mark.parametrize("text", ["# no section", "# a(1): b\n\n1. a numbered list", "# a(1): b\n\n![image](x)"])
def test_what_a_man_page_cannot_show_is_an_error(text: str) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(ValueError, match=r"a man page cannot show|the title of a page"):
        gen_docs.man_page.roff(text, "1")


@pytest.mark.parametrize("name", MAN_PAGES)
def test_man_shows_each_page_without_a_warning(name: str) -> None:
    """With man-db, which can tell. The examples can be pasted from what it shows."""
    man = shutil.which("man")
    about = subprocess.run([man, "--version"], capture_output=True, text=True, check=False).stdout if man else ""
    if not re.match(r"man \d+\.\d+\.\d+", about):
        pytest.skip("man-db is not installed, whose man reports what is wrong with a page")
    show = ["man", "--warnings", "-E", "UTF-8", "-l", str(ROOT / name)]
    world = {**os.environ, "MANWIDTH": "300"}
    done = subprocess.run(show, env=world, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    command = CONTEXTS.get(Path(name).stem.removeprefix("gemcli").removeprefix("-"))
    for line in gen_docs.examples(command.command) if command else ():
        assert f" {line}\n" in done.stdout


def command_lines(line: str) -> Iterator[list[str]]:
    """The arguments of each gemcli in a line of shell, those in `$(…)` too."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from command_lines(inner)
    line = re.sub(r"\$\([^()]*\)", "something", re.sub(r"\b2>", ">", line))
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
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
    "tools.yaml": "- name: list_files\n  command: [ls]\n",
    "questions.jsonl": '{"id":"q1","turns":["One?","Two?"]}\n{"id":"q2","turns":["Three?"]}\n',
}
"""The files that examples read, besides the session bug42."""


@pytest.mark.parametrize("line", EXAMPLES + RECIPES)
def test_every_example_runs(line: str, here: InProcess, model: Model) -> None:
    """Each gemcli in it succeeds, where there is a session with some turns and the files that examples name."""
    for name, text in FILES.items():
        (here.directory / name).write_text(text)
    (here.directory / "runs").mkdir()
    (here.directory / "history.json").write_text(json.dumps(contents(*"abcdefgh")))
    world = model.env
    commands = list(command_lines(line))
    assert commands, "there is no gemcli in this example"
    if commands[0][:3] != ["new", "-s", "bug42"]:
        assert here("new", "-s", "bug42", "--history", "history.json", env=world).status == 0
    if "old.jsonl" in line:
        assert here("new", "-s", "old.jsonl", "--history", "history.json", env=world).status == 0
    if "--undo" in line:  # there must be something to undo
        assert here("rewind", "-s", "bug42", env=world).status == 0
    if "--response" in line:  # there must be a call that waits
        model.script(answer(call("read_file")))
        assert here("send", "-s", "bug42", "Read it", env=world).status == 5
    if "--continue" in line:  # there must be an answer that was cut off
        model.script(unfinished("At length", token="t"), answer(" and to the end"))
        assert here("send", "-s", "bug42", "At length", "--max-hops", "1", env=world).status == 4
    for args in commands:
        done = here(*args, env=world)
        assert done.status == 0, f"gemcli {shlex.join(args)}: {done.err}"


def test_figures_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a small tree, where they can be counted by hand."""
    for name, text in {
        "gemcli/__init__.py": "",
        "gemcli/a.py": "from typing import Any\n\nfrom gemcli.b import c\n\nx: Any = 1  # a comment\n",
        "gemcli/b/c.py": f'"""{"x" * 100}"""\nimport os\nimport gemcli.b.d\n',
        "gemcli/b/d.py": "",
        "tests/t.py": "1\n2\n",
        "README.md": "# three words\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert load_script("figures").main([str(tmp_path)]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        "8",
        "4.00",  # 24 tokens in 6 rows
        "(12.5%)",
        "2",
        "2",
        "1",
        "3",
        "2",
    ]
