"""The outside world as one object: sessions by name, hints, and no way to a model without a key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gemcli.api.backends import Backend
from gemcli.app import App
from gemcli.errors import GemcliError
from gemcli.sessions.filesystem import FileSystem
from gemcli.terminal.output import Output
from tests.builders import header, write_session


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
    assert caught.value.hint == f"make it: gemcli new -s {shown}; gemcli history --sessions lists the others"


@pytest.mark.parametrize(
    ("session", "meant"),
    [
        ("bsae", "base"),
        ("feature/x", "feature-x"),
        ("bsae.jsonl", "base.jsonl"),
        ("here/bsae.jsonl", "here/base.jsonl"),
        ("./here/bse", "./here/base.jsonl"),
        ("zzz", None),
        ("zzz/base", None),
        ("nowhere/base.jsonl", None),
    ],
)
def test_a_similar_session(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: str, meant: str | None
) -> None:
    """A misspelt session is suggested, among the named ones or among the files in the same directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("base", "feature-x"):
        write_session(name, header())
    for directory in (".", "here"):
        Path(directory).mkdir(exist_ok=True)
        Path(directory, "base.jsonl").touch()
    assert app.similar(session) == (f"did you mean `{meant}`?" if meant else None)
    with pytest.raises(GemcliError) as caught:
        app.read(session)
    make = f"make it: gemcli new -s {session}"
    others = "; gemcli history --sessions lists the others"
    assert caught.value.hint == (f"did you mean `{meant}`? or {make}" if meant else make + others)


def test_require_does_not_read(app: App) -> None:
    """`require` asks only whether there is something: a corrupt session is there."""
    write_session("a").write_text("nonsense")
    app.require("a")
    with pytest.raises(GemcliError, match="line 1"):
        app.read("a")


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
