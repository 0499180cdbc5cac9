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
from tests.support import PROGRAM, InProcess

PACKAGE = Path(gemcli.__file__).parent


def _name(path: Path) -> str:
    """A module's name within the package: `store`, `commands.new`; "" for the package itself."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


TREES = {_name(path): ast.parse(path.read_bytes()) for path in sorted(PACKAGE.rglob("*.py"))}

LAYERS: dict[str, str] = {
    "errors": "",
    "signals": "",
    "text": "errors",
    "chat": "errors text",
    "settings": "errors text chat",
    "sessions": "errors signals text chat settings",
    "formats": "errors text chat settings",
    "terminal": "errors signals text chat settings sessions",
    "simulator": "errors text chat terminal",
    "api": "errors signals text chat sessions terminal simulator",
    "requests": "errors signals chat settings sessions api",
    "exchange": "errors signals chat sessions api requests",
    "tools": "errors signals text chat settings sessions terminal api requests exchange",
    "app": "errors settings sessions terminal api",
    "create_session": "errors text chat settings sessions formats terminal api app",
    "send": "errors signals chat settings sessions terminal api requests exchange tools app create_session",
    "replay": (
        "errors signals text chat settings sessions formats terminal api requests exchange tools app create_session"
    ),
    "commands": (
        "errors signals text chat settings sessions formats terminal api requests exchange tools app create_session "
        "send replay"
    ),
    "cli": "errors signals sessions terminal api app commands",
    "__main__": "simulator cli",
}
"""What each package, or module at the top, may import: only what stands above it, so no arrow leads back."""


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


def room(module: str) -> str:
    """The package of a module, or the module itself where it stands at the top."""
    return module.partition(".")[0]


def test_every_room_has_its_place() -> None:
    """The table names every package and every module at the top, and each may import only what stands above it."""
    assert {room(module) for module in TREES} - {""} == LAYERS.keys()
    above: set[str] = set()
    for name, allowed in LAYERS.items():
        assert set(allowed.split()) <= above, name
        above.add(name)


def test_imports_point_up_the_table() -> None:
    """A module imports only from its own package, and from those that its row names."""
    for module in TREES.keys() - {""}:
        others = {room(name) for name in own_imports(TREES[module])} - {room(module)}
        assert others <= set(LAYERS[room(module)].split()), module


def test_packages_have_no_circles() -> None:
    """No module imports one that, in the end, imports it: inside a package too."""

    def below(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module not in done:
            for lower in own_imports(TREES[module]):
                below(lower, (*path, module))
            done.add(module)

    done: set[str] = set()
    for module in TREES:
        below(module, ())


# Rooms: who touches what

FILE_CALLS = (
    "access chmod chown close dup dup2 fdatasync fdopen fstat fsync ftruncate link listdir lseek lstat makedirs mkdir "
    "open path.exists path.getsize path.isfile path.isdir path.islink path.realpath pread pwrite read readlink remove "
    "rename replace rmdir scandir stat symlink truncate unlink utime walk write"
)
"""Functions of `os` that reach the file system or a descriptor."""

TOUCHING = {
    "sessions.filesystem", "terminal.inputs", "terminal.descriptors", "api.key_file", "api.http", "cli",
    "tools.function_host",
}  # fmt: skip
"""Who makes such calls: the first for sessions, the others for standard streams, and what the user names."""


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def used(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that a tree uses, called or not."""
    return (_dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name))


def test_file_system_calls() -> None:
    """Sessions are touched by `filesystem` alone; nobody else but those of the standard streams has such calls."""
    calls = {f"os.{name}" for name in FILE_CALLS.split()}
    assert {module for module, tree in TREES.items() if calls & set(used(tree))} == TOUCHING


def test_builtin_open() -> None:
    """Only `inputs` opens files with `open`: those that the user names."""
    opening = {module for module, tree in TREES.items() if {"open", "io.open"} & set(used(tree))}
    assert opening == {"terminal.inputs"}


def test_files_are_opened_in_no_other_way() -> None:
    """Nobody brings in another library that opens files behind the seam, and only the seam locks."""
    others = {"shutil", "tempfile", "pathlib", "mmap", "codecs", "fileinput", "sqlite3", "glob", "fcntl"}
    found = {module for module, tree in TREES.items() if {name.split(".")[0] for name, _ in imports(tree)} & others}
    assert found == {"sessions.filesystem"}


def test_printing() -> None:
    """Only `descriptors` writes to stdout and stderr; click prints help."""
    speaking = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer"}
    assert {module for module, tree in TREES.items() if speaking & set(used(tree))} == {"cli"}


HEAVY = ("google", "httpx2", "pydantic", "yaml", "jsonlines", "platformdirs", "asyncio", "logging", "ssl")
"""What is slow to load: at the top of a module only where the module itself is loaded late."""


LATE = {"api.http", "api.transport_errors", "simulator.transport", "tools.function_host"}
"""Modules that load a heavy one at their top, and so are imported inside functions themselves, or a process apart."""


def test_the_sdk_has_one_door() -> None:
    """Only `gemini` asks a model; the errors of transport know the library for credentials.

    Python functions are declared and called by the SDK, too, but not in the process that asks.
    """
    doors = {m for m, tree in TREES.items() if any(name.split(".")[0] == "google" for name, _ in imports(tree))}
    assert doors == {"api.gemini", "api.transport_errors", "tools.function_host"}
    assert not any("tools.function_host" in own_imports(tree) for tree in TREES.values())


def test_heavy_modules_are_loaded_late() -> None:
    """No module loads a heavy one when it is imported itself, nor one that does."""
    for module in TREES.keys() - LATE:
        top = [node for node in ast.iter_child_nodes(TREES[module]) if isinstance(node, ast.Import | ast.ImportFrom)]
        tree = ast.Module([*top], [])
        assert not {name for name, _ in imports(tree) if name.split(".")[0] in HEAVY}, module
        assert not own_imports(tree) & LATE, module


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
NEVER = {
    "google.genai", "httpx2", "pydantic", "yaml", "attr", "attrs", "jsonlines", "asyncio", "ssl",
    "subprocess", "gemcli.api.gemini",
}  # fmt: skip

WITHOUT = {
    "version": (["--version"], set()),
    "help": (["--help"], set()),
    "new-help": (["new", "--help"], set()),
    "send-help": (["send", "--help"], {"gemcli.api.gemini"}),
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
    "replay-help": (["replay", "--help"], {"gemcli.api.gemini"}),
    "export-contents": (["export", "contents", "-s", "a"], set()),
    "export-markdown": (["export", "markdown", "-s", "a"], set()),
    "export-script": (["export", "script", "-s", "a"], {"yaml"}),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_loaded(here: InProcess, name: str) -> None:
    """A command that needs no network loads none of the heavy modules but the one its work needs."""
    history = [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "a"}]}]
    (here.directory / "contents.json").write_text(json.dumps(history))
    (here.directory / "contents.jsonl").write_text("\n".join(map(json.dumps, history)))
    (here.directory / "config.yaml").write_text("temperature: 0.5\n")
    assert here("new", "-s", "a", "--history", "contents.json").status == 0
    args, needed = WITHOUT[name]
    program = LOADED.format(program=PROGRAM, args=json.dumps(args))
    done = subprocess.run([sys.executable, "-c", program], cwd=here.directory, capture_output=True, check=False)
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
def test_command_names(name: str) -> None:
    """A command has the name of its module."""
    command: click.Command = import_module(f"gemcli.commands.{name}").command
    assert command.name == name


def test_formats_are_files() -> None:
    """Every file in `formats` that writes a format is one of `export`; the others read histories."""
    files = {module for module in TREES if module.startswith("formats.")}
    writers = {module for module in files if hasattr(import_module(f"gemcli.{module}"), "dump")}
    assert writers == {module for module in own_imports(TREES["commands.export"]) if module in files}


LONG_FUNCTIONS: dict[str, str] = {
    "commands.send.command": "it names each option twice, and its docstring is the help",
}
"""Functions whose body has more than 50 lines, each with the reason."""


def _bodies(tree: ast.AST, path: str) -> Iterator[tuple[str, int]]:
    """The lines of each function's body, docstring included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}.{node.name}", (node.end_lineno or 0) - node.body[0].lineno + 1
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _bodies(node, f"{path}.{node.name}")


def test_long_functions_have_a_reason() -> None:
    """A function with a body of more than 50 lines is one that is named above."""
    lengths = dict(each for module, tree in TREES.items() for each in _bodies(tree, module))
    assert {name for name, length in lengths.items() if length > 50} == LONG_FUNCTIONS.keys()
