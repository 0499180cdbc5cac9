"""`gemcli new`: create a session, empty or with a history."""

from __future__ import annotations

import os
from typing import Any

import click

from gemcli import inputs, names, options, records, strictjson, turns, views
from gemcli.app import App
from gemcli.errors import GemcliError
from gemcli.formats import contents
from gemcli.journal import Journal
from gemcli.lines import fold, scan
from gemcli.records import Record
from gemcli.settings import Config, merge


@click.command("new", short_help="Create a session.")
@options.session()
@click.option(
    "--model", metavar="MODEL", help=f"The model that answers. [default: $GEMCLI_MODEL or {names.DEFAULT_MODEL}]"
)
@options.generation
@click.option(
    "--history",
    "history_file",
    metavar="FILE",
    help="Begin with this history: a JSON list of Contents, JSON Lines, or a session file.",
)
@click.option(
    "--from", "source", metavar="SESSION", help="Begin with the history, model and config of another session."
)
@click.option(
    "--at", metavar="TURN", type=click.IntRange(min=0), help="With --from: as it was after this turn; 0 takes no turns."
)
@click.option("--force", is_flag=True, help="Replace an existing session, which is kept as FILE.bak-<n>.")
@options.wait(300)
@options.everywhere()
@click.pass_obj
def command(
    app: App,
    /,
    session: str,
    model: str | None,
    history_file: str | None,
    source: str | None,
    at: int | None,
    force: bool,
    wait: float,
    **given: Any,
) -> None:
    """Create a session.

    The file is created whole or not at all, and an existing session is never overwritten. Settings given here
    hold for every message; `gemcli send` takes the same options for a single one.

    \b
    Examples:
      gemcli new -s bug42 --system "You review C code." --temperature 0.2
      gemcli new -s bug42-try2 --from bug42 --at 3
      gemcli new -s imported --history contents.json
    """
    if at is not None and source is None:
        raise click.UsageError("--at needs --from.")
    if source is not None and history_file is not None:
        raise click.UsageError("--from and --history exclude each other.")
    config = options.config_from(given)
    if source is not None:
        content = forked(_source(app, source, at), source, at, model, config)
    else:
        content = begun(app, model, config, history_file)
    app.output.json(make(app, session, content, force=force, wait=wait))


def begun(app: App, model: str | None, config: Config, history_file: str | None = None) -> list[Record]:
    """The records of a session that begins here, perhaps with a history from a file."""
    if history_file is None:
        return [_header(model or default_model(app), config, None)]
    text = inputs.file_text(history_file)
    if _is_session(text):
        journal = fold(scan(text.encode()), history_file)
        return forked(journal, history_file, None, model, config, kind="import")
    history = contents.load(text, history_file)
    header = _header(model or default_model(app), config, {"kind": "import", "file": history_file})
    return [header, *records.imported(history, model=header["model"], backend=header["backend"])]


def forked(
    journal: Journal, source: str, at: int | None, model: str | None, config: Config, kind: str = "fork"
) -> list[Record]:
    """The records of a session that goes on from another one, with its model and config unless given anew."""
    problems = turns.check(journal.history)
    turns.require(problems, f"the turn order of {source} is broken")
    origin = {"kind": kind, "session": source, "id": journal.header["id"], "turn": at}
    if at is None:
        origin["turn"] = journal.live[-1].number if journal.live else 0
    header = _header(model or journal.header["model"], merge(journal.header["config"], config), origin)
    return [header, *journal.fork()]


def make(app: App, session: str, content: list[Record], *, force: bool = False, wait: float = 0) -> dict[str, Any]:
    """Write a new session and tell what it is. The directory of named sessions is made when it is missing."""
    path = app.path(session)
    if os.path.dirname(path) == names.sessions_directory(app.environ):
        app.store.make_directory(os.path.dirname(path))
    backup = app.store.create(path, content, force=force, wait=wait)
    return views.session_view(session, path, Journal(content)) | {"backup": backup}


def default_model(app: App) -> str:
    """The model of a session that names none."""
    return app.environ.get("GEMCLI_MODEL") or names.DEFAULT_MODEL


def _header(model: str, config: Config, origin: dict[str, Any] | None) -> Record:
    names.check_model(model)
    return records.session(model=model, backend=names.backend_of(model), config=config, origin=origin)


def _source(app: App, source: str, at: int | None) -> Journal:
    journal = app.read(source)
    try:
        return journal if at is None else journal.at(at)
    except KeyError:
        raise GemcliError(
            "NO_SUCH_TURN", f"{source} has no turn {at}", hint=f"gemcli history -s {source} --all"
        ) from None


def _is_session(text: str) -> bool:
    try:
        first = strictjson.loads(text.partition("\n")[0])
    except ValueError:
        return False
    return isinstance(first, dict) and first.get("kind") == "session"
