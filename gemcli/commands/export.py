"""`gemcli export`: the history in another format, on stdout."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import click

from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.errors import GemcliError, require_none
from gemcli.sessions.journal import Journal
from gemcli.terminal import options

if TYPE_CHECKING:
    from gemcli.requests.prepare_request import Request

Notice = Callable[[str], None]


# The formats, each imported when it is asked for


def _contents(journal: Journal, _notice: Notice) -> object:
    return journal.history


def _request(journal: Journal, _notice: Notice) -> object:
    return _last_request(journal).body


def _script(journal: Journal, notice: Notice) -> object:
    from gemcli.formats import replay_script

    if _other_models(journal):
        notice("left out: the models of single messages, since a script has one model")
    settings = [turn.exchanges[0].answered_config for turn in journal.live]
    return replay_script.dump(journal.history, journal.header, settings)


def _openai(journal: Journal, notice: Notice) -> object:
    from gemcli.formats import chat_completions

    document = chat_completions.dump(journal.history, journal.header)
    left_out = chat_completions.left_out(journal.history, journal.header)
    if _other_models(journal) or any(one.request.get("config") for one in journal.answered):
        left_out.append("the settings and models of single messages")
    if left_out:
        notice(f"left out: {', '.join(left_out)}")
    return document


def _markdown(journal: Journal, _notice: Notice) -> object:
    from gemcli.formats import markdown

    return markdown.dump(journal.history, journal.header)


def _other_models(journal: Journal) -> bool:
    """Whether another model than that of the session was asked for an answer of the history."""
    model = journal.header["model"]
    return any(exchange.request["model"] != model for exchange in journal.answered)


class Format(NamedTuple):
    """A format: its description for the help, and what makes the document, text or JSON."""

    description: str
    dump: Callable[[Journal, Notice], object]


FORMATS = {
    "contents": Format(
        "a JSON list of Contents, for `history=` of the SDK or `new --history`", _contents
    ),
    "request": Format("the generateContent body behind the last answer", _request),
    "script": Format("the user's messages and what functions returned, as YAML", _script),
    "openai": Format("the messages of a Chat Completions request", _openai),
    "markdown": Format("the conversation for reading", _markdown),
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


@click.command("export")
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
        document: object = _curl(app, journal)
    else:
        document = FORMATS[format_].dump(journal, app.output.notice)
    if isinstance(document, str):
        app.output.text(document)
    else:
        app.output.json(document)


def _last_request(journal: Journal) -> Request:
    from gemcli.requests.prepare_request import last_request

    request = last_request(journal)
    if request is None:
        what = "the history is empty, so there is no request"
        raise GemcliError("NOT_EXPRESSIBLE", what, hint="send a message first")
    return request


def _curl(app: App, journal: Journal) -> str:
    """The request behind the last answer as a curl command. Loads the SDK, which knows the URL."""
    from gemcli.api import backends, key_file
    from gemcli.api.endpoint import endpoint_without_key
    from gemcli.formats import curl_command

    request = _last_request(journal)
    backend = backends.backend_for(journal.header, request.model, app.environ)
    if backend.name == backends.SIMULATOR:
        what = "the simulator answers inside gemcli, where curl cannot reach it"
        hint = "run gemcli-simulator to serve it over HTTP"
        raise GemcliError("NOT_EXPRESSIBLE", what, hint=hint)
    shown = app.gemini(backend, dry=True).preview(request.model, request.body)
    # Who calls curl wants one document, not a stream.
    shown["url"] = shown["url"].replace(":streamGenerateContent?alt=sse", ":generateContent")
    project = endpoint_without_key(backend, app.environ).backend.project
    with_token = backend.name == "vertex" and project is not None
    file = key_file.existing_path(app.environ)
    return curl_command.dump(shown, credentials=with_token, key_file=file)
