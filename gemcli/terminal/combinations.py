"""Options that mean nothing together are refused, never ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click
from click.core import ParameterSource

Apart = Mapping[str, str]
"""For an option, those that it cannot be combined with, separated by spaces."""


Needs = Mapping[str, str]
"""For an option, those of which it needs one, separated by spaces."""


def require_meaning(apart: Apart, needs: Needs | None = None) -> None:
    """Raise `click.UsageError` if an option of the command line means nothing beside the others."""
    context = click.get_current_context()
    typed = set(_given(context, ParameterSource.COMMANDLINE))
    there = typed | set(_given(context, ParameterSource.ENVIRONMENT))
    for option, others in apart.items():
        for other in others.split():
            if {option, other} <= typed:
                raise click.UsageError(f"{option} and {other} exclude each other")
    for option, others in (needs or {}).items():
        if option in typed and not there & set(others.split()):
            raise click.UsageError(f"{option} needs {' or '.join(others.split())}")


def _given(context: click.Context, place: ParameterSource) -> Iterator[str]:
    """The options that were given in a place, by their long names."""
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is place:
            yield max(parameter.opts, key=len)
