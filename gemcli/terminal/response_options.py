"""The values of `--response`, read: JSON as it was typed, a file, or standard input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click

from gemcli.chat.call_responses import GivenResponse
from gemcli.terminal import inputs

STDIN = ("-", "@-")
"""The values that stand for standard input."""


def readers(values: Iterable[str]) -> dict[str, bool]:
    """Which of these values read standard input."""
    return {f"--response {value}": value.partition("=")[2] in STDIN for value in values}


def read(values: Iterable[str], notice: Callable[[str], None]) -> tuple[GivenResponse, ...]:
    """The responses that `--response` gives. Raises what `inputs.data` raises."""
    return tuple(_read(value, notice) for value in values)


def _read(given: str, notice: Callable[[str], None]) -> GivenResponse:
    call, equals, value = given.partition("=")
    if not call or not equals:
        what = f"--response takes NAME=JSON, NAME=@FILE or NAME=-; not {given!r}"
        raise click.UsageError(what)
    if value in STDIN:
        return GivenResponse(call, inputs.data("-", notice), "standard input")
    if value.startswith("@"):
        path = value[1:]
        return GivenResponse(call, inputs.data(path, notice), os.path.basename(path))
    return GivenResponse(call, value.encode("utf-8", "surrogateescape"))
