"""`gemcli export`: the history in another format, on stdout."""

from __future__ import annotations

import click

from gemcli import options, turns
from gemcli.app import App

FORMATS = {
    "contents": "a JSON list of Contents, for `history=` of the SDK or `gemcli new --history`",
    "script": "the user's messages as YAML",
    "markdown": "the conversation to read",
}
"""Every format with what it is. `gemcli.formats.<name>` writes it."""


@click.command("export", short_help="Write the history in another format.")
@click.argument(
    "format_",
    metavar="FORMAT",
    type=click.Choice(list(FORMATS)),
    help="; ".join(f"{n}: {t}" for n, t in FORMATS.items()),
)
@options.session()
@options.everywhere()
@click.pass_obj
def command(app: App, /, format_: str, session: str) -> None:
    """Write the history of a session to standard output, in another format.

    \b
    Examples:
      gemcli export contents -s bug42 > contents.json
      gemcli export script -s bug42 > nightly.yaml
      gemcli export markdown -s bug42 | less
    """
    from importlib import import_module

    journal = app.read(session)
    turns.require(turns.check(journal.history), f"the turn order of {session} is broken")
    document = import_module(f"gemcli.formats.{format_}").dump(journal.history, journal.header)
    app.output.text(document) if isinstance(document, str) else app.output.json(document)
