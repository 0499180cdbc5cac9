"""How a session is created: empty, with a history from a file, or as a fork of another session.

`empty`, `imported` and `forked` return the first records of a session; `create` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.models import DEFAULT_MODEL, check_model
from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.chat.contents import Content, parts_of
from gemcli.errors import GemcliError, require_none
from gemcli.formats import read_history
from gemcli.sessions import imported_history, names, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.read_records import fold, scan, torn_note
from gemcli.sessions.record_types import Record, SessionRecord
from gemcli.settings.config import Config, check, merge
from gemcli.terminal import inputs
from gemcli.text import strict_json


@dataclass(frozen=True)
class NewOptions:
    """What the user chose for a new session. None: the source's value, or the default.

    `history_model` is the model that gave the answers of an imported history.
    """

    model: str | None = None
    backend: Backend | None = None
    config: Config = field(default_factory=Config)
    history_model: str | None = None


SENDING = ("send", "replay")
"""The kinds of origin of sessions that are made by a command that goes on to send."""


def create(
    app: App, session: str, content: list[Record], *, force: bool = False, wait: float = 0
) -> str | None:
    """Write a new session, and return the path of the backup if `force` replaced an old one."""
    path = app.path(session)
    directory = os.path.dirname(path)
    if not names.is_path(session):
        app.store.make_directory(directory)
    name = names.dashed(session)
    try:
        backup = app.store.create(path, content, force=force, wait=wait)
    except GemcliError as error:
        if name is None or error.reason != "FILE_MISSING":
            raise
        hint = f"did you mean `-s {name}`? {session} is a path: {error.hint}"
        raise error.replace(hint=hint) from error.__cause__
    if name is not None:
        app.output.notice(f"{session} is a path, the file {path}; -s {name} would be a name")
    return backup


def create_if_missing(
    app: App,
    session: str,
    options: NewOptions,
    source: SessionRecord | None = None,
    origin: Mapping[str, object] | None = None,
) -> bool:
    """Create an empty session unless it exists. Returns whether it was created here."""
    if app.store.exists(app.path(session)):
        return False
    try:
        create(app, session, [header(app, options, source, origin)])
    except GemcliError as error:
        if error.reason != "SESSION_EXISTS":  # another process was faster
            raise
        return False
    return True


def renewed_header(
    app: App,
    journal: Journal,
    options: NewOptions,
    source: SessionRecord | None = None,
    origin: Mapping[str, object] | None = None,
) -> SessionRecord | None:
    """The session record that gives a session the settings of a new one, None if it keeps its own.

    It takes them if a command that sends made it, and every request was rejected. Otherwise what
    is corrected, such as the name of the model, would be so for one message only.
    """
    old = journal.header
    if (old.get("origin") or {}).get("kind") not in SENDING or not journal.only_rejected:
        return None
    new = header(app, options, source, origin)
    new["id"] = old["id"]
    whenever = {"time": old["time"], "origin": old["origin"]}
    return None if {**new, **whenever} == old else new


def empty(app: App, options: NewOptions) -> list[Record]:
    """The records of a session without a history."""
    return [header(app, options)]


def imported(app: App, options: NewOptions, path: str) -> list[Record]:
    """The records of a session that begins with the history in a file."""
    origin = {"kind": "import", "file": path}
    text = inputs.document(path, app.output.notice)
    if _is_session(text):
        source = fold(scan(text.encode()), path)
        if note := torn_note(path, source):
            app.output.notice(note)
        if options.history_model is not None:
            what = "--history-model is not for a session: it says itself which models answered"
            raise GemcliError("USAGE", what, hint="leave it out")
        return forked(app, options, source, origin)
    name = read_history.STANDARD_INPUT if path == "-" else path
    history = read_history.load(text, name)
    chosen = replace(options, config=merge(history.config, options.config))
    first = header(app, chosen, None, origin)
    notes = list(history.notes)
    if history.model not in (None, first["model"], f"models/{first['model']}"):
        notes.append(f"the model is {first['model']}, not {history.model}; --model chooses another")
    for note in notes:
        app.output.notice(f"{name}: {note}")
    answered = imported_history.from_contents(
        history.contents,
        model=first["model"],
        backend=first["backend"],
        answered_by=_history_model(app, options, history.contents),
    )
    return [first, *answered]


def _history_model(app: App, options: NewOptions, contents: Sequence[Content]) -> str | None:
    """The model that gave the answers of a history from outside, if the user says so.

    Without it nobody knows whose thought signatures there are.
    """
    if options.history_model is not None:
        return check_model(options.history_model)
    signed = ["thoughtSignature" in part for content in contents for part in parts_of(content)]
    if any(signed):
        what = "the thought signatures in the history will not be sent"
        app.output.notice(f"{what}: --history-model MODEL says which model made them")
    return None


def forked(
    app: App,
    options: NewOptions,
    source: Journal,
    origin: Mapping[str, object],
    turn: int | None = None,
) -> list[Record]:
    """The records of a session that begins with the history of `source`, as it was after `turn`."""
    breaches = turn_order.check(source.history)
    require_none(breaches, "the turn order of the source is broken", "TURN_ORDER")
    if turn is None:
        turn = source.live[-1].number if source.live else 0
    whole = {**origin, "id": source.header["id"], "turn": turn}
    return [header(app, options, source.header, whole), *imported_history.from_session(source)]


def header(
    app: App,
    options: NewOptions,
    source: SessionRecord | None = None,
    origin: Mapping[str, object] | None = None,
) -> SessionRecord:
    """The session record: the chosen options over those of the source, or over the defaults."""
    base: Mapping[str, Any] = source or _default_header(app)
    model = check_model(base["model"] if options.model is None else options.model)
    if options.backend and backends.is_simulator_model(model):
        what = "--backend, --project and --location are not for a model of the simulator"
        raise GemcliError("USAGE", what, hint="leave them out, or choose another --model")
    backend = _backend(app, options, base, model)
    backends.check_project_and_location(backend.project, backend.location)
    config = merge(base["config"], options.config)
    if options.config:
        require_none(check(config), "the settings of the session", "SETTINGS")
    return records.session(
        model=model,
        config=config,
        origin=dict(origin) if origin else None,
        **backend.to_json(),
    )


def _default_header(app: App) -> Mapping[str, Any]:
    model = app.environ.get("GEMCLI_MODEL") or DEFAULT_MODEL
    return {"model": model, "config": {}, **backends.backend_of_environment(app.environ).to_json()}


def _backend(app: App, options: NewOptions, base: Mapping[str, Any], model: str) -> Backend:
    if backends.is_simulator_model(model):
        return Backend(backends.SIMULATOR)
    backend = options.backend or backends.backend_for(base, model, app.environ)
    if backend.name == base["backend"] == "vertex":
        project = backend.project or base.get("project")
        location = backend.location or base.get("location")
        return Backend("vertex", project, location)
    return backend


def _is_session(text: str) -> bool:
    try:
        first = strict_json.loads(text.partition("\n")[0])
    except ValueError:
        return False
    return isinstance(first, dict) and first.get("kind") == "session"
