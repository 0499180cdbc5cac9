"""The tools that `--tools` names: those of files, all in one toolbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gemcli.terminal import inputs
from gemcli.tools import declarations
from gemcli.tools.declarations import Toolbox


def readers(values: Iterable[str]) -> dict[str, bool]:
    """Which of these values read standard input."""
    return {f"--tools {value}": value == "-" for value in values}


def read(values: Iterable[str], notice: Callable[[str], None]) -> Toolbox:
    """The tools that `--tools` names. Raises `GemcliError` (SETTINGS), and as `inputs.document`."""
    toolbox = []
    for value in values:
        shown = "standard input" if value == "-" else value
        toolbox += declarations.load(inputs.document(value, notice), shown, notice)
    return Toolbox(toolbox)
