"""The outside world as one object: sessions by name, hints, and no way to a model without a key."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gemcli.api.backends import Backend
from gemcli.app import App
from gemcli.errors import GemcliError
from gemcli.sessions import names
from gemcli.sessions.filesystem import FileSystem
from gemcli.terminal.output import Output
from tests.builders import header, turn, write_session


@pytest.fixture
def app() -> App:
    """A world made from this environment."""
    return App(dict(os.environ), Output())


def use(app: App, method: str, session: str) -> None:
    """Go for a session by one of the ways to it: `read`, `require` or `open`."""
    if method == "open":
        with app.open(session, 0):
            return
    getattr(app, method)(session)


def test_a_name_is_a_place_below_the_home(app: App) -> None:
    """A name is a file in the directory of sessions; a path is taken as it is."""
    assert app.path("a") == f"{os.environ['GEMCLI_HOME']}/sessions/a.jsonl"
    assert [app.path(path) for path in ("./a", "a.jsonl", "/x/y", "../a.jsonl")] == [
        "./a",
        "a.jsonl",
        "/x/y",
        "../a.jsonl",
    ]


@pytest.mark.parametrize("home", [None, ""], ids=["unset", "empty"])
def test_the_default_home(home: str | None) -> None:
    """Without GEMCLI_HOME sessions live in the platform's data directory, an absolute path below the home."""
    environ = {} if home is None else {"GEMCLI_HOME": home}
    path = App(environ, Output()).path("a")
    assert os.path.isabs(path)
    assert path.startswith(os.environ["HOME"])
    assert path.endswith("/gemcli/sessions/a.jsonl")


@pytest.mark.parametrize("method", ["read", "require", "open"])
@pytest.mark.parametrize(
    ("session", "shown"), [("no", "no"), ("./a b.jsonl", "'./a b.jsonl'"), ("./a'b", "'./a'\"'\"'b'")]
)
def test_a_missing_session_tells_how_it_is_made(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, session: str, shown: str
) -> None:
    """The hint is a command that a shell takes, in the words of the command line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GemcliError) as caught:
        use(app, method, session)
    assert caught.value.reason == "SESSION_MISSING"
    assert caught.value.hint == f"make it: gemcli new -s {shown}"


def test_require_does_not_read(app: App) -> None:
    """`require` asks only whether there is something: a corrupt session is there."""
    write_session("a").write_text("nonsense")
    app.require("a")
    with pytest.raises(GemcliError, match="line 1"):
        app.read("a")


def test_open_holds_the_lock_and_gives_it_back(app: App) -> None:
    """An open session is busy for anybody else, and free afterwards, even after an error."""
    write_session("a", header(), *turn(1))
    with app.open("a", 0) as opened:
        assert opened.journal.last_number == 1
        with pytest.raises(GemcliError) as caught, app.open("a", 0.01):
            pass
        assert caught.value.reason == "SESSION_BUSY"
        assert app.read("a").last_number == 1
    with pytest.raises(RuntimeError), app.open("a", 0):
        raise RuntimeError
    with app.open("a", 0):
        pass


class Denied(FileSystem):
    """A file system that lets nobody open anything."""

    def open(self, path: str, flags: int) -> int:
        """Refuse."""
        raise PermissionError(13, "Permission denied", path)


@pytest.mark.parametrize("method", ["read", "open"])
def test_a_session_that_may_not_be_opened(method: str) -> None:
    """Without permission a session is 74 and named: it is not missing."""
    path = write_session("a", header())
    app = App(dict(os.environ), Output(), Denied())
    with pytest.raises(GemcliError, match="Permission denied") as caught:
        use(app, method, "a")
    assert caught.value.exit == 74
    assert str(path) in caught.value.message


def test_there_is_no_way_to_a_model_without_a_key(app: App) -> None:
    """Without a key a real model is an error, and the simulator is not taken instead; it is by name."""
    with pytest.raises(GemcliError) as caught:
        app.gemini(Backend("gemini"))
    assert caught.value.reason == "NO_KEY"
    app.gemini(Backend("simulator"))


def test_directories_are_made_privately(app: App) -> None:
    """The directory of sessions is made with its parents, for the owner alone."""
    directory = names.sessions_directory(app.environ)
    app.store.make_directory(directory)
    app.store.make_directory(directory)
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
