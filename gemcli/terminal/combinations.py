"""Which options mean nothing together, or without another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click
from click.core import ParameterSource

Table = Mapping[str, str]
"""For an option, others, separated by spaces."""


def require_meaning(apart: Table, needs: Table | None = None) -> None:
    """Raise `click.UsageError` unless the options of the command line mean something together.

    An option is refused beside each of those in `apart`, and without one of those in `needs`.
    """
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
    """The options that were given in a place, by their long names, and arguments like MESSAGE."""
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is place:
            is_option = isinstance(parameter, click.Option)
            yield max(parameter.opts, key=len) if is_option else parameter.human_readable_name
