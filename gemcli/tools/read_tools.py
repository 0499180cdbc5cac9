"""What `--tools` names: tools files, and functions of Python files, all in one toolbox."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from gemcli.errors import GemcliError
from gemcli.terminal import inputs
from gemcli.tools import declarations
from gemcli.tools.declarations import Tool, Toolbox
from gemcli.tools.tool_context import ToolContext


def readers(values: Iterable[str]) -> dict[str, bool]:
    """Which of these values read standard input."""
    return {f"--tools {value}": value == "-" for value in values}


@contextmanager
def opened(values: Iterable[str], context: ToolContext) -> Iterator[Toolbox]:
    """The tools that `--tools` names as FILE or FILE.py:NAME,…; in the block they can be run.

    Raises `GemcliError`: SETTINGS with every problem of the first file that has one, USAGE, and
    what `inputs.document` raises.
    """
    with ExitStack() as python_files:
        tools: list[Tool] = []
        for value in values:
            file, names = _parts(value)
            text = inputs.document(file, context.tell)
            if names:
                from gemcli.tools.python_functions import PythonFile  # loads subprocess

                python = PythonFile(file, names, context)
                tools += python_files.enter_context(python).tools()
            else:
                shown = "standard input" if file == "-" else file
                tools += declarations.load(text, shown, context.tell)
        yield Toolbox(tools)


def _parts(value: str) -> tuple[str, list[str]]:
    """A file, and for one of Python the functions named after it. Raises `GemcliError` (USAGE)."""
    python = re.fullmatch(r"(.*\.py)(?::([^/]*))?", value, re.DOTALL)
    if python is None:
        return value, []
    names = [name.strip() for name in (python[2] or "").split(",")]
    if not all(name.isidentifier() for name in names):
        what = f"--tools {value} does not name functions of the file"
        raise GemcliError("USAGE", what, hint="name them like this: --tools FILE.py:NAME,NAME")
    return python[1], names
