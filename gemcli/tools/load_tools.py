"""What --tools names: tools files, and functions of Python files, as one toolbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from gemcli.errors import GemcliError
from gemcli.tools import declarations
from gemcli.tools.child_process import RunContext
from gemcli.tools.declarations import Tool, Toolbox
from gemcli.tools.python_functions import PythonFile


@contextmanager
def opened(
    given: Iterable[str], read: Callable[[str], str], context: RunContext
) -> Iterator[Toolbox]:
    """The tools that are `given` as FILE or FILE.py:NAME,…, which can be run in the block.

    `read` gets the text of a file. Raises `GemcliError`: SETTINGS with every problem of the first
    file that has one, USAGE, and whatever `read` raises.
    """
    with ExitStack() as python_files:
        tools: list[Tool] = []
        for each in given:
            file = _file(each)
            text = read(file)
            if file.endswith(".py"):
                python = PythonFile(file, _names(each), context)
                tools += python_files.enter_context(python).tools()
            else:
                tools += declarations.load(text, file, context.tell)
        yield Toolbox(tools)


def _file(given: str) -> str:
    return given.rpartition(":")[0] if re.search(r"\.py:[^/]*$", given) else given


def _names(given: str) -> list[str]:
    """The functions that are named after the file. Raises `GemcliError` (USAGE)."""
    names = [name.strip() for name in given.removeprefix(_file(given)).lstrip(":").split(",")]
    if not all(name.isidentifier() for name in names):
        what = f"--tools {given} does not name functions of the file"
        raise GemcliError("USAGE", what, hint="name them like this: --tools FILE.py:NAME,NAME")
    return names
