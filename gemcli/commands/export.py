"""`gemcli export`: the history in another format, on stdout."""

from __future__ import annotations

import click

from gemcli import options, turns
from gemcli.app import App
from gemcli.errors import GemcliError
from gemcli.journal import Journal

FORMATS = {
    "contents": "a JSON list of Contents, for `history=` of the SDK or `gemcli new --history`",
    "request": "the generateContent body behind the last answer",
    "script": "the user's messages as YAML",
    "openai": "the messages of a Chat Completions request",
    "markdown": "the conversation to read",
}
"""Every format with what it is. `gemcli.formats.<name>` writes it."""


@click.command("export", short_help="Write the history in another format.")
@click.argument(
    "format_",
    metavar="FORMAT",
    type=click.Choice(list(FORMATS)),
    help="; ".join(f"{name}: {what}" for name, what in FORMATS.items()),
)
@options.session()
@click.option("--curl", is_flag=True, help="With request: a curl command. The key stays in the environment.")
@options.everywhere()
@click.pass_obj
def command(app: App, /, format_: str, session: str, curl: bool) -> None:
    """Write the history of a session to standard output, in another format.

    The history is what the next request would carry: what was refused, failed or rewound is not in it.

    \b
    Examples:
      gemcli export contents -s bug42 > contents.json
      gemcli export request -s bug42 --curl
      gemcli export script -s bug42 > nightly.yaml
      gemcli export markdown -s bug42 | less
    """
    from importlib import import_module

    if curl and format_ != "request":
        raise click.UsageError("--curl is for the format request.")
    journal = app.read(session)
    turns.require(turns.check(journal.history), f"the turn order of {session} is broken")
    if curl:
        app.output.text(curl_command(app, journal))
        return
    # A script has settings for each message, the other formats only those of the conversation.
    calls = [[turn.exchanges[0].request.get("config") or {} for turn in journal.live]] if format_ == "script" else []
    document = import_module(f"gemcli.formats.{format_}").dump(journal.history, journal.header, *calls)
    app.output.text(document) if isinstance(document, str) else app.output.json(document)


def curl_command(app: App, journal: Journal) -> str:
    """The request behind the last answer as a command for a shell. Loads the SDK, which knows the URL."""
    from gemcli import backends
    from gemcli.access import without_key
    from gemcli.formats import request

    header = journal.header
    backend = backends.of(header, header["model"], app.environ)
    if backend.name == backends.SIMULATOR:
        what = "the simulator answers inside gemcli, so there is nothing that curl could ask"
        raise GemcliError("NOT_EXPRESSIBLE", what, hint="python -m gemcli.simulator serves it over HTTP")
    shown = app.gemini(backend, dry=True).preview(header["model"], request.dump(journal.history, header), stream=False)
    credentials = backend.name == "vertex" and without_key(backend, app.environ).backend.project is not None
    return request.curl(shown, credentials=credentials)
