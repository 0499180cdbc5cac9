"""How sessions are created, where `new`, `send --create` and `replay` have it in common."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gemcli.app import App
from gemcli.create_session import NewOptions, create, create_if_missing, empty, forked
from gemcli.sessions.journal import Journal
from gemcli.sessions.store import Store
from gemcli.terminal.output import Output
from tests.builders import ECHO, header, mixed, records_of, turn, write_session


@pytest.fixture
def app() -> App:
    """A world made from this environment."""
    return App(dict(os.environ), Output())


def test_only_a_missing_session_is_created(app: App) -> None:
    """The first call creates the session, the second leaves it as it is."""
    assert create_if_missing(app, "a", NewOptions(ECHO))
    first = records_of("a")
    assert not create_if_missing(app, "a", NewOptions("gemini-other"))
    assert records_of("a") == first


def test_another_process_is_faster(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that appears between the look and the creation is kept, and is no error."""
    path = write_session("a", header(), *turn(1))
    before = path.read_bytes()
    monkeypatch.setattr(Store, "exists", lambda _store, _path: False)
    assert not create_if_missing(app, "a", NewOptions(ECHO))
    assert path.read_bytes() == before


def test_backup(app: App) -> None:
    """With `force` the path of the old session is the result, else there is none."""
    assert create(app, "a", empty(app, NewOptions())) is None
    path = app.path("a")
    assert create(app, "a", empty(app, NewOptions()), force=True) == f"{path}.bak-1"


@pytest.mark.parametrize(("turn_number", "shown"), [(None, 6), (1, 1), (0, 0)])
def test_origin_of_a_fork(app: App, turn_number: int | None, shown: int) -> None:
    """A fork names its source, and the turn that it was taken at: the last one if none is given."""
    source = Journal(mixed())
    first: Any = forked(app, NewOptions(), source, {"kind": "fork", "session": "a"}, turn_number)[0]
    assert first["origin"] == {"kind": "fork", "session": "a", "id": source.header["id"], "turn": shown}
