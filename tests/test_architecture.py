"""How the package is built: which module may know which, who touches the world, and what is loaded when."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import gemcli
from gemcli import cli
from gemcli.commands import export
from tests.support import PROGRAM, Gemcli

PACKAGE = Path(gemcli.__file__).parent


def _name(path: Path) -> str:
    """A module's name within the package: `store`, `commands.new`; "" for the package itself."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


TREES = {_name(path): ast.parse(path.read_bytes()) for path in sorted(PACKAGE.rglob("*.py"))}

PURE = "errors strictjson contents turns shapes records journal lines names"

ALLOWED: dict[str, str] = {
    # What everything stands on
    "": "",
    "errors": "",
    "strictjson": "",
    "contents": "",
    "sse": "",
    "signals": "",
    "fs": "",
    "backends": "errors",
    "models": "errors backends",
    "environment": "",
    # Conversations: pure
    "turns": "errors contents",
    "records": "strictjson contents",
    "shapes": "contents turns",
    "journal": "turns contents shapes records",
    "lines": "errors records journal",
    "names": "errors",
    "answers": "errors strictjson contents turns shapes",
    "refusals": "errors strictjson",
    "chunks": "errors strictjson contents shapes refusals",
    "signatures": "contents journal",
    "keys": "errors contents journal answers",
    "retry": "errors",
    "views": "contents turns shapes journal",
    # Settings: pure
    "yamltext": "errors",
    "jsontext": "errors yamltext",
    "forms": "errors strictjson yamltext",
    "settings_kinds": "errors yamltext",
    "settings_table": "settings_kinds",
    "settings": "errors yamltext settings_kinds settings_table",
    # Sessions on disk
    "disk": "errors fs",
    "session": "errors records journal signals disk",
    "store": "errors names records journal lines signals fs disk session",
    # The model
    "call": "sse",
    "wire": "errors call",
    "access": "errors inputs backends simulator.app simulator.player",
    "gemini": "errors answers chunks refusals backends access call signals wire simulator.transport",
    # The heart
    "exchange": (
        "errors contents turns records journal answers settings signals signatures retry backends session gemini"
    ),
    # Replay: scripts first, which are pure, then the run
    "replay": "",
    "replay.template": "",
    "replay.checks": "answers signals forms",
    "replay.script": "errors contents records settings replay.checks replay.template",
    "replay.crosschecks": "errors answers forms settings yamltext replay.checks replay.template",
    "replay.grammar": (
        "errors contents answers models names yamltext jsontext forms settings "
        "replay.checks replay.crosschecks replay.script replay.template"
    ),
    "replay.suites": ("errors contents turns names yamltext jsontext replay.crosschecks replay.grammar replay.script"),
    "replay.recognise": (
        "errors contents journal lines yamltext jsontext replay.crosschecks replay.grammar replay.script replay.suites"
    ),
    "replay.plan": "errors contents records journal keys settings replay.script",
    "replay.events": "errors contents journal exchange replay.checks replay.plan replay.script",
    "replay.conversation": (
        "errors journal keys signals session gemini exchange "
        "replay.checks replay.events replay.plan replay.script replay.template"
    ),
    "replay.run": "errors journal signals session gemini replay.conversation replay.events replay.script",
    # The command line
    "output": "errors strictjson",
    "inputs": "errors signals",
    "app": "errors names fs store output backends access gemini journal session",
    "options": "settings inputs",
    "commands": "",
    "commands.new": f"{PURE} models views settings inputs options app backends formats.contents",
    "commands.send": (
        f"{PURE} keys models views settings inputs options output app backends signals retry gemini exchange commands.new"
    ),
    "commands.history": f"{PURE} views options app",
    "commands.rewind": f"{PURE} views options app",
    "commands.export": "errors turns options app backends access journal formats.request",
    "commands.replay": (
        "errors models names records journal inputs options output app backends signals retry session gemini exchange "
        "commands.new replay.events replay.recognise replay.run replay.script replay.template"
    ),
    "cli": "errors fs output signals options app",
    "__main__": "cli",
    # Beside it: these know contents and turns only
    "formats": "",
    "formats.contents": "errors strictjson contents turns",
    "formats.script": "errors contents",
    "formats.request": "errors contents",
    "formats.openai": "errors strictjson contents turns",
    "formats.markdown": "strictjson contents",
    "simulator": "",
    "simulator.messages": "",
    "simulator.refusals": "",
    "simulator.leniency": "contents",
    "simulator.tokens": "strictjson contents",
    "simulator.replies": "strictjson",
    "simulator.fields": "strictjson simulator.messages",
    "simulator.responses": "strictjson contents simulator.tokens",
    "simulator.streams": "strictjson contents simulator.responses simulator.tokens",
    "simulator.delivery": "simulator.refusals simulator.replies simulator.streams",
    "simulator.echo": "strictjson contents simulator.messages simulator.responses simulator.tokens",
    "simulator.checks": (
        "strictjson contents turns simulator.fields simulator.leniency simulator.messages simulator.refusals"
    ),
    "simulator.app": (
        "simulator.checks simulator.delivery simulator.echo simulator.refusals simulator.replies simulator.streams "
        "simulator.tokens"
    ),
    "simulator.grammar": (
        "contents forms yamltext simulator.delivery simulator.refusals simulator.replies simulator.responses"
    ),
    "simulator.rules": "errors forms yamltext simulator.grammar",
    "simulator.player": (
        "contents strictjson simulator.app simulator.delivery simulator.echo simulator.grammar simulator.refusals "
        "simulator.replies simulator.responses simulator.rules"
    ),
    "simulator.transport": "simulator.app",
    "simulator.server": "simulator.app",
    "simulator.__main__": (
        "errors inputs simulator.app simulator.echo simulator.player simulator.rules simulator.server"
    ),
}
"""For each module the modules of gemcli that it may import, anywhere in it. The package itself may always be."""


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Every module that is imported anywhere in a tree, as `google.genai`, with its statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def own_imports(tree: ast.AST) -> set[str]:
    """The modules of gemcli that a tree imports, by their names within the package."""
    found = set()
    for name, _ in imports(tree):
        if name == "gemcli" or name.startswith("gemcli."):
            inner = name.removeprefix("gemcli").lstrip(".")
            # `from gemcli.errors import GemcliError` names something in a module.
            while inner not in TREES:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return found - {""}


def test_every_module_has_its_place() -> None:
    """The table of layers names every module of the package, and no other."""
    assert ALLOWED.keys() == TREES.keys()


@pytest.mark.parametrize("module", TREES)
def test_imports_point_down(module: str) -> None:
    """A module imports only what its place allows."""
    assert own_imports(TREES[module]) <= set(ALLOWED.get(module, "").split())


def test_layers_have_no_circle() -> None:
    """No module is allowed to import one that may, in the end, import it."""

    def below(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join((*above, module))
        for lower in ALLOWED[module].split():
            below(lower, (*above, module))

    for module in ALLOWED:
        below(module, ())


def test_layers_are_as_narrow_as_they_are_used() -> None:
    """Outside the commands nothing is allowed that is not needed: the table is the true picture."""
    narrow = {module: set(allowed.split()) for module, allowed in ALLOWED.items() if module.count(".") == 0}
    assert {module: own_imports(TREES[module]) for module in narrow} == narrow


def test_pure_modules_stay_pure() -> None:
    """What is pure imports nothing that reads or writes: no file, no socket, no process."""
    impure = {"socket", "subprocess", "fcntl", "shutil", "tempfile", "pathlib", "threading", "signal", "io", "select"}
    for module in [
        *PURE.split(),
        "answers",
        "keys",
        "jsontext",
        "forms",
        "replay.template",
        "replay.checks",
        "replay.script",
        "replay.crosschecks",
        "replay.grammar",
        "replay.suites",
        "replay.recognise",
        "replay.plan",
        "refusals",
        "views",
        "yamltext",
        "settings",
        "settings_kinds",
        "settings_table",
    ]:
        assert not {name.split(".")[0] for name, _ in imports(TREES[module])} & impure, module


# Rooms: who touches what

FILE_CALLS = (
    "access chmod chown close dup dup2 fdatasync fdopen fstat fsync ftruncate link listdir lseek lstat makedirs mkdir "
    "open path.exists path.getsize path.isfile path.isdir path.islink path.realpath pread pwrite read readlink remove "
    "rename replace rmdir scandir stat symlink truncate unlink utime walk write"
)
"""Functions of `os` that reach the file system or a descriptor."""

TOUCHES = {
    "fs": "close fstat fsync ftruncate link listdir mkdir open path.realpath read replace stat unlink write",
    "inputs": "fstat lseek read",
    "output": "write",
    "cli": "dup2 fdopen fstat open",
}
"""Which of them each module uses; all that sessions need is in `fs`."""


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def used(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that a tree uses, called or not."""
    return (_dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name))


def test_file_system_calls() -> None:
    """Sessions are touched by `fs` alone: nobody else makes system calls on files but for stdin, stdout and stderr."""
    calls = {f"os.{name}" for name in FILE_CALLS.split()}
    found = {module: {name for name in used(tree) if name in calls} for module, tree in TREES.items()}
    expected = {module: {f"os.{name}" for name in names.split()} for module, names in TOUCHES.items()}
    assert {module: names for module, names in found.items() if names} == expected


def test_builtin_open() -> None:
    """Only `inputs` opens files with `open`: those that the user names."""
    opening = {module for module, tree in TREES.items() if {"open", "io.open"} & set(used(tree))}
    assert opening == {"inputs"}


def test_locks() -> None:
    """Only `fs` locks files."""
    assert [module for module, tree in TREES.items() if "fcntl" in {name for name, _ in imports(tree)}] == ["fs"]


def test_files_are_opened_in_no_other_way() -> None:
    """Nobody brings in another library that opens files behind the seam."""
    others = {"shutil", "tempfile", "pathlib", "mmap", "codecs", "fileinput", "sqlite3", "glob"}
    for module, tree in TREES.items():
        assert not {name.split(".")[0] for name, _ in imports(tree)} & others, module


def test_printing() -> None:
    """Only `output` writes to stdout and stderr; click prints help, and the simulator its own lines."""
    speaking = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer"}
    found = {module: sorted(set(used(tree)) & speaking) for module, tree in TREES.items()}
    assert {module: names for module, names in found.items() if names} == {
        "cli": ["click.echo"],
        "simulator.__main__": ["click.echo"],
    }


HEAVY = ("google", "httpx2", "pydantic", "yaml", "jsonlines", "platformdirs", "asyncio", "logging", "ssl")
"""What is slow to load: at the top of a module only where the module itself is loaded late."""


def test_the_sdk_has_one_door() -> None:
    """Only `gemini` knows google-genai, late, and the wire google-auth's errors; only wire and mount know httpx2."""
    doors = {
        library: {m for m, tree in TREES.items() if any(name.split(".")[0] == library for name, _ in imports(tree))}
        for library in HEAVY[:3]
    }
    assert doors == {"google": {"gemini", "wire"}, "httpx2": {"wire", "simulator.transport"}, "pydantic": set()}


@pytest.mark.parametrize("module", [module for module in TREES if module not in ("wire", "simulator.transport")])
def test_heavy_modules_are_loaded_late(module: str) -> None:
    """No module loads a heavy one when it is imported itself."""
    top = [node for node in ast.iter_child_nodes(TREES[module]) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in top for name, _ in imports(ast.Module([node], []))}
    assert not {name for name in names if name.split(".")[0] in HEAVY}


@pytest.mark.parametrize("door", ["wire", "simulator.transport", "gemini.google"])
def test_late_modules_have_late_importers(door: str) -> None:
    """The modules that know HTTP are imported inside functions, and so is the SDK."""
    target = "google.genai" if door == "gemini.google" else f"gemcli.{door}"
    for module, tree in TREES.items():
        top = [node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {name for node in top for name, _ in imports(ast.Module([node], []))}
        assert not any(name == target or name.startswith(f"{target}.") for name in names), module


# What a command loads

LOADED = """
import json, runpy, sys
sys.argv[:] = [{program!r}, *json.loads({args!r})]
try:
    runpy.run_path({program!r}, run_name="__main__")
finally:
    sys.stdout.flush()
    sys.stderr.write("LOADED " + json.dumps(sorted(sys.modules)) + "\\n")
"""
NEVER = {"google.genai", "httpx2", "pydantic", "yaml", "attr", "attrs", "jsonlines", "asyncio", "ssl", "gemcli.gemini"}

WITHOUT = {
    "version": (["--version"], set()),
    "help": (["--help"], set()),
    "new-help": (["new", "--help"], set()),
    "send-help": (["send", "--help"], {"gemcli.gemini"}),
    "history-help": (["history", "--help"], set()),
    "rewind-help": (["rewind", "--help"], set()),
    "export-help": (["export", "--help"], set()),
    "new": (["new", "-s", "b", "--temperature", "0.5", "--system", "Hi"], set()),
    "new-from": (["new", "-s", "b", "--from", "a"], set()),
    "new-config": (["new", "-s", "b", "--config", "config.yaml"], {"yaml"}),
    "new-history": (["new", "-s", "b", "--history", "contents.json"], set()),
    "new-history-jsonl": (["new", "-s", "b", "--history", "contents.jsonl"], {"jsonlines", "attr"}),
    "history": (["history", "-s", "a"], set()),
    "history-sessions": (["history", "--sessions"], set()),
    "history-check": (["history", "-s", "a", "--check"], set()),
    "rewind": (["rewind", "-s", "a", "--dry-run"], set()),
    "replay-help": (["replay", "--help"], {"gemcli.gemini"}),
    "export-contents": (["export", "contents", "-s", "a"], set()),
    "export-markdown": (["export", "markdown", "-s", "a"], set()),
    "export-script": (["export", "script", "-s", "a"], {"yaml"}),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_loaded(gemcli: Gemcli, name: str) -> None:
    """A command that needs no network loads none of the heavy modules but the one its work needs."""
    history = [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "a"}]}]
    (gemcli.directory / "contents.json").write_text(json.dumps(history))
    (gemcli.directory / "contents.jsonl").write_text("\n".join(map(json.dumps, history)))
    (gemcli.directory / "config.yaml").write_text("temperature: 0.5\n")
    assert gemcli("new", "-s", "a", "--history", "contents.json").status == 0
    args, needed = WITHOUT[name]
    program = LOADED.format(program=PROGRAM, args=json.dumps(args))
    done = subprocess.run([sys.executable, "-c", program], cwd=gemcli.directory, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.decode().rpartition("LOADED ")[2]))
    assert "gemcli.cli" in loaded
    assert loaded & NEVER == needed


# Tables


def test_commands_are_files() -> None:
    """Every file in `commands` is a command of the table, and every command has its file."""
    assert {module for module in TREES if module.startswith("commands.")} == {
        f"commands.{name}" for name in cli.COMMANDS
    }


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_command_summaries(name: str) -> None:
    """The summary in the table is the one of the command, and the command has the table's name."""
    command: click.Command = import_module(f"gemcli.commands.{name}").command
    assert (command.name, command.short_help) == (name, cli.COMMANDS[name])


def test_formats_are_files() -> None:
    """Every file in `formats` is a format of `export`, and every format has its file and can write."""
    assert {module for module in TREES if module.startswith("formats.")} == {
        f"formats.{name}" for name in export.FORMATS
    }
    assert all(callable(import_module(f"gemcli.formats.{name}").dump) for name in export.FORMATS)


LONG_FUNCTIONS = {
    "commands.new.command": "its options are its lines",
    "commands.history.command": "its options are its lines",
    "commands.send.command": "its options are its lines",
}
"""Functions of more than 60 lines, each with the reason."""


def _functions(tree: ast.AST, path: str) -> Iterator[tuple[str, int]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not isinstance(node, ast.ClassDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                yield f"{path}.{node.name}", (node.end_lineno or first) - first + 1
            yield from _functions(node, f"{path}.{node.name}")


def test_long_functions_have_a_reason() -> None:
    """A function of more than 60 lines is one that is named above."""
    lengths = dict(each for module, tree in TREES.items() for each in _functions(tree, module))
    assert {name for name, length in lengths.items() if length > 60} == LONG_FUNCTIONS.keys()
