"""`gemcli new`: create a session, empty or with a history."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import click

from gemcli import create_session
from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.models import DEFAULT_MODEL
from gemcli.app import App
from gemcli.create_session import NewOptions
from gemcli.errors import GemcliError, counted
from gemcli.sessions import names
from gemcli.sessions.journal import Journal
from gemcli.terminal import documents, inputs, options
from gemcli.terminal.combinations import require_meaning
from gemcli.terminal.screen import Line, Piece
from gemcli.tools import read_tools
from gemcli.tools.tool_context import ToolContext

APART = {"--from": "--history", "--text": "--json"}
"""The options that exclude each other."""

NEEDS = {"--at": "--from", "--wait": "--force", "--history-model": "--history"}
"""The options that mean nothing without another one."""


# fmt: off
OPTIONS = (
    options.group("Session",
        options.session(),
        click.option("--force", is_flag=True, help=(
            "Replace an existing session; it is kept as FILE.bak-<n>.")),
        options.wait(300),
    ),
    options.group("History",
        click.option("--history", "history_file", metavar="FILE", help=(
            "Start with the history in this file, - for standard input: Contents as a JSON list or "
            "as JSON Lines, the body of a request, Chat Completions messages, or a session.")),
        click.option("--history-model", metavar="MODEL", help=(
            "With --history: the model that gave its answers, and gets their thought signatures.")),
        click.option("--from", "source", metavar="SESSION", help=(
            "Start with the history, model and config of another session.")),
        click.option("--at", metavar="TURN", type=options.WholeNumber(min=0), help=(
            "With --from: take the history up to this turn; 0 takes no turns.")),
    ),
    options.group("Model",
        click.option("--model", metavar="MODEL", help=(
            f"Model that answers.  [default: $GEMCLI_MODEL or {DEFAULT_MODEL}]")),
        click.option("--backend", type=click.Choice(backends.NAMES), help=(
            "Service that answers.  [default: from the SDK's environment, or gemini]")),
        click.option("--project", metavar="PROJECT", help=(
            "Google Cloud project for Vertex AI.  [default: $GOOGLE_CLOUD_PROJECT]")),
        click.option("--location", metavar="LOCATION", help=(
            "Google Cloud location for Vertex AI.  [default: $GOOGLE_CLOUD_LOCATION or global]")),
    ),
    options.group("Generation", options.generation),
    options.group("Tools", options.tools),
    options.group("Output", options.forms("Print what was made in words, as on a terminal.")),
    options.everywhere(),
)
# fmt: on


@click.command("new", cls=options.Command)
@options.all_of(OPTIONS)
@click.pass_obj
def command(
    app: App,
    /,
    session: str,
    model: str | None,
    backend: str | None,
    project: str | None,
    location: str | None,
    history_file: str | None,
    history_model: str | None,
    source: str | None,
    at: int | None,
    force: bool,
    wait: float,
    tools_files: tuple[str, ...],
    as_text: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Create a session.

    The file is created completely or not at all, and an existing session is never overwritten.
    Settings given here apply to every message; `gemcli send` takes the same options for one
    message.

    \b
    Examples:
      gemcli new -s bug42 --system "You review C code." --temperature 0.2
      gemcli new -s bug42-try2 --from bug42 --at 3
      gemcli new -s imported --history contents.json
    """
    require_meaning(APART, NEEDS)
    if (project or location) and backend not in (None, "vertex"):
        raise click.UsageError("--project and --location are for Vertex AI")
    readers = options.stdin_readers(settings) | read_tools.readers(tools_files)
    inputs.only_one({"--history": history_file == "-", **readers})
    context = ToolContext.of_session(app.path(session), app.environ, app.output.notice)
    with read_tools.opened(tools_files, context) as toolbox:
        config = options.config_from(settings, app.output.notice, toolbox.declarations)
    chosen = NewOptions(model, _backend(backend, project, location), config, history_model)
    if source is not None:
        origin = {"kind": "fork", "session": source}
        content = create_session.forked(app, chosen, _source(app, source, at), origin, at)
    elif history_file is not None:
        content = create_session.imported(app, chosen, history_file)
    else:
        content = create_session.empty(app, chosen)
    journal = Journal(content)
    if history_file is not None or names.is_path(source or ""):
        app.tell_destinations(journal.header)
    backup = create_session.create(app, session, content, force=force, wait=wait)
    with app.output.after(f"the session is made: gemcli history -s {shlex.quote(session)}"):
        if app.output.is_read(as_text=as_text, as_json=as_json):
            app.output.show(in_words(session, app.path(session), journal, backup))
        else:
            view = documents.session_document(session, app.path(session), journal)
            app.output.json({**view, "backup": backup})


def in_words(session: str, path: str, journal: Journal, backup: str | None) -> Iterator[Line]:
    """What was made, in two lines, and where the session is that it replaced."""
    turns = f" with {counted(len(journal.live), 'turn')}" if journal.live else ""
    yield [Piece(f"{session}: a new session{turns}, answered by {journal.header['model']}")]
    yield [Piece(path, "faint")]
    if backup:
        yield [Piece(f"replaced, and kept as {backup}", "faint")]


def _backend(name: str | None, project: str | None, location: str | None) -> Backend | None:
    """The backend that the options choose, None if they choose none. A project alone: Vertex AI."""
    if name is None and project is None and location is None:
        return None
    return Backend(name or "vertex", project, location)


def _source(app: App, source: str, at: int | None) -> Journal:
    """The session to fork, as it was after turn `at`."""
    try:
        journal = app.read(source)
    except GemcliError as error:
        if error.reason != "SESSION_MISSING":
            raise
        hint = app.similar(source) or "run gemcli history --sessions to see the sessions"
        raise error.replace(hint=hint) from error.__cause__
    try:
        return journal if at is None else journal.at(at)
    except KeyError:
        missing = GemcliError("NO_SUCH_TURN", f"{source} has no turn {at}")
        raise missing.of_session(source) from None
