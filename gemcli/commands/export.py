"""`gemcli export`: the history in another format, on stdout."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import click

from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.errors import GemcliError, require_none
from gemcli.sessions.journal import Journal
from gemcli.terminal import options


class Format(NamedTuple):
    """A format: its description for the help, and the module of `gemcli.formats` that writes it."""

    description: str
    module: str

    @property
    def dump(self) -> Callable[..., Any]:
        """The function that makes the document: text, or a JSON value."""
        function: Callable[..., Any] = import_module(f"gemcli.formats.{self.module}").dump
        return function


FORMATS = {
    "contents": Format(
        "a JSON list of Contents, for `history=` of the SDK or `gemcli new --history`",
        "contents_list",
    ),
    "request": Format("the generateContent body behind the last answer", "request_body"),
    "script": Format("the user's messages as YAML", "replay_script"),
    "openai": Format("the messages of a Chat Completions request", "chat_completions"),
    "markdown": Format("the conversation for reading", "markdown"),
}
"""Every format by its name."""


# fmt: off
OPTIONS = (
    click.argument("format_", metavar="FORMAT", type=click.Choice(list(FORMATS)), help=(
        "; ".join(f"{name}: {one.description}" for name, one in FORMATS.items()))),
    options.session(),
    click.option("--curl", is_flag=True, help=(
        "With request: write a curl command. The key stays in the environment.")),
    options.everywhere(),
)
# fmt: on


@click.command("export", short_help="Write the history in another format.")
@options.all_of(OPTIONS)
@click.pass_obj
def command(app: App, /, format_: str, session: str, curl: bool) -> None:
    """Write the history of a session to standard output, in another format.

    The history is what the next request would carry, without turns that were refused, failed or
    rewound.

    \b
    Examples:
      gemcli export contents -s bug42 > contents.json
      gemcli export request -s bug42 --curl
      gemcli export script -s bug42 > nightly.yaml
      gemcli export markdown -s bug42 | less
    """
    if curl and format_ != "request":
        raise click.UsageError("--curl is only for the format request")
    journal = app.read(session)
    breaches = turn_order.check(journal.history)
    require_none(breaches, f"the turn order of {session} is broken", "TURN_ORDER")
    if curl:
        app.output.text(curl_command(app, journal))
        return
    dump = FORMATS[format_].dump
    if format_ == "script":  # it has the settings of each message too
        settings = [turn.exchanges[0].request.get("config") or {} for turn in journal.live]
        document = dump(journal.history, journal.header, settings)
    else:
        document = dump(journal.history, journal.header)
    if isinstance(document, str):
        app.output.text(document)
    else:
        app.output.json(document)


def curl_command(app: App, journal: Journal) -> str:
    """The request behind the last answer as a curl command. Loads the SDK, which knows the URL."""
    from gemcli.api import backends
    from gemcli.api.endpoint import endpoint_without_key
    from gemcli.formats import request_body

    header = journal.header
    backend = backends.backend_for(header, header["model"], app.environ)
    if backend.name == backends.SIMULATOR:
        what = "the simulator answers inside gemcli, where curl cannot reach it"
        hint = "run gemcli-simulator to serve it over HTTP"
        raise GemcliError("NOT_EXPRESSIBLE", what, hint=hint)
    body = request_body.dump(journal.history, header)
    shown = app.gemini(backend, dry=True).preview(header["model"], body, stream=False)
    project = endpoint_without_key(backend, app.environ).backend.project
    with_token = backend.name == "vertex" and project is not None
    return request_body.curl(shown, credentials=with_token)
