"""Options that mean nothing together are refused, never ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click
from click.core import ParameterSource

Apart = Mapping[str, str]
"""For an option, those that it cannot be combined with, separated by spaces."""


def require_meaning(apart: Apart) -> None:
    """Raise `click.UsageError` if the command line has two options that `apart` keeps apart."""
    given = list(_given(click.get_current_context()))
    for option in given:
        for other in apart.get(option, "").split():
            if other in given:
                raise click.UsageError(f"{option} and {other} exclude each other")


def _given(context: click.Context) -> Iterator[str]:
    """The options of the command line, by their long names; not those of the environment."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is ParameterSource.COMMANDLINE:
            yield max(parameter.opts, key=len)
