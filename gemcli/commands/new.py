"""`gemcli new`: create a session, empty or with a history."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import Any

import click

from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.models import DEFAULT_MODEL, check_model
from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.errors import GemcliError
from gemcli.formats import contents_list
from gemcli.sessions import names, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.read_records import fold, scan
from gemcli.sessions.records import Record
from gemcli.settings.config import Config, merge
from gemcli.terminal import documents, inputs, options
from gemcli.text import strict_json


@click.command("new", short_help="Create a session.")
@options.session()
@click.option(
    "--model",
    metavar="MODEL",
    help=f"The model that answers.  [default: $GEMCLI_MODEL or {DEFAULT_MODEL}]",
)
@click.option(
    "--backend",
    type=click.Choice(backends.NAMES),
    help="Who answers. [default: as the SDK's environment says, gemini]",
)
@click.option(
    "--project",
    metavar="PROJECT",
    help="Google Cloud project, for Vertex AI. [default: the environment's]",
)
@click.option(
    "--location",
    metavar="LOCATION",
    help="Google Cloud location, for Vertex AI. [default: the environment's]",
)
@options.generation
@click.option(
    "--history",
    "history_file",
    metavar="FILE",
    help="Begin with this history: a JSON list of Contents, JSON Lines, or a session file.",
)
@click.option(
    "--from",
    "source",
    metavar="SESSION",
    help="Begin with the history, model and config of another session.",
)
@click.option(
    "--at",
    metavar="TURN",
    type=click.IntRange(min=0),
    help="With --from: as it was after this turn; 0 takes no turns.",
)
@click.option(
    "--force", is_flag=True, help="Replace an existing session, which is kept as FILE.bak-<n>."
)
@options.wait(300)
@options.everywhere()
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
    source: str | None,
    at: int | None,
    force: bool,
    wait: float,
    **given: Any,
) -> None:
    """Create a session.

    The file is created whole or not at all, and an existing session is never overwritten. Settings
    given here hold for every message; `gemcli send` takes the same options for a single one.

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
    if (project or location) and backend == "gemini":
        raise click.UsageError("--project and --location are Vertex AI's.")
    config = options.config_from(given, app.output.notice)
    wanted = Wanted(model, _backend(backend, project, location), config)
    if source is not None:
        content = forked(
            app, _source(app, source, at), wanted, {"kind": "fork", "session": source, "turn": at}
        )
    else:
        content = begun(app, wanted, history_file)
    app.output.json(make(app, session, content, force=force, wait=wait))


@dataclass(frozen=True)
class Wanted:
    """What was asked for of a new session; None is for its source, or the default, to say."""

    model: str | None = None
    backend: Backend | None = None
    config: Config = field(default_factory=Config)


def _backend(name: str | None, project: str | None, location: str | None) -> Backend | None:
    """The backend that the options name, if they name one: a project alone means Vertex AI."""
    if name is None and project is None and location is None:
        return None
    return Backend(name or "vertex", project, location)


def begun(app: App, wanted: Wanted, history_file: str | None = None) -> list[Record]:
    """The records of a session that begins here, perhaps with a history from a file."""
    if history_file is None:
        return [header(app, wanted, None, None)]
    text = inputs.file_text(history_file)
    if _is_session(text):
        journal = fold(scan(text.encode()), history_file)
        return forked(app, journal, wanted, {"kind": "import", "file": history_file})
    history = contents_list.load(text, history_file)
    first = header(app, wanted, None, {"kind": "import", "file": history_file})
    return [first, *records.imported(history, model=first["model"], backend=first["backend"])]


def forked(app: App, journal: Journal, wanted: Wanted, origin: dict[str, Any]) -> list[Record]:
    """The records of a session that goes on from another one, with what that has unless wanted otherwise."""
    turn_order.require(turn_order.check(journal.history), "the turn order of the source is broken")
    last = journal.live[-1].number if journal.live else 0
    turn = last if origin.get("turn") is None else origin["turn"]
    whole = {name: value for name, value in origin.items() if name != "turn"} | {
        "id": journal.header["id"],
        "turn": turn,
    }
    return [header(app, wanted, journal.header, whole), *journal.fork()]


def make(
    app: App, session: str, content: list[Record], *, force: bool = False, wait: float = 0
) -> dict[str, Any]:
    """Write a new session and tell what it is.

    The directory of named sessions is made when it is missing.
    """
    path = app.path(session)
    if os.path.dirname(path) == names.sessions_directory(app.environ):
        app.store.make_directory(os.path.dirname(path))
    backup = app.store.create(path, content, force=force, wait=wait)
    return documents.session_view(session, path, Journal(content)) | {"backup": backup}


def default_model(app: App) -> str:
    """The model of a session that names none."""
    return app.environ.get("GEMCLI_MODEL") or DEFAULT_MODEL


def header(
    app: App, wanted: Wanted, source: Record | None, origin: dict[str, Any] | None
) -> Record:
    """The session record, with the source's model, backend and config where nothing else is wanted."""
    base: Record = (
        source
        or {"model": default_model(app), "config": {}}
        | backends.from_environment(app.environ).to_json()
    )
    model = check_model(base["model"] if wanted.model is None else wanted.model)
    backend = wanted.backend or backends.of(base, model, app.environ)
    if backends.is_simulated(model):
        backend = Backend(backends.SIMULATOR)
    elif backend.name == base["backend"] == "vertex":
        project, location = (
            backend.project or base.get("project"),
            backend.location or base.get("location"),
        )
        backend = Backend("vertex", project, location)
    backends.check_place(backend.project, backend.location)
    config = merge(base["config"], wanted.config)
    return records.session(model=model, config=config, origin=origin, **backend.to_json())


def _source(app: App, source: str, at: int | None) -> Journal:
    journal = app.read(source)
    try:
        return journal if at is None else journal.at(at)
    except KeyError:
        raise GemcliError(
            "NO_SUCH_TURN",
            f"{source} has no turn {at}",
            hint=f"gemcli history -s {shlex.quote(source)} --all",
        ) from None


def _is_session(text: str) -> bool:
    try:
        first = strict_json.loads(text.partition("\n")[0])
    except ValueError:
        return False
    return isinstance(first, dict) and first.get("kind") == "session"
