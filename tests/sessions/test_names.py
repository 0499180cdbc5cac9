"""Names of sessions, which become paths."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from gemcli.sessions.names import filled_in, session_path, sessions_directory
from tests.builders import ECHO, error_from
from tests.support import InProcess

HOME = {"GEMCLI_HOME": "/h"}


NAMES = ["a", "A1", "_x", "0", "bug-42", "a.b", "a..b", "a.jsonl.bak", "x" * 128, "jsonl"]
PATHS = ["./a", "/a", "a/b", "a.jsonl", "../a", "é/x", ".jsonl", "-x.jsonl", "a b.jsonl"]


@pytest.mark.parametrize("name", [*NAMES, *PATHS])
def test_names(name: str) -> None:
    """A name is a file among the sessions; what has a slash or ends in .jsonl is a path, taken as it is."""
    assert session_path(name, HOME) == (f"/h/sessions/{name}.jsonl" if name in NAMES else name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "-", "a b", "a\n", "é", "a:b", "a*", "x" * 129, "~", "a\\b", "١", "a\0", "/a\0b"],
)
def test_refused_names(name: str) -> None:
    """Anything else is a usage error that says what a name is made of; NUL is in no path either."""
    error = error_from(session_path, name, HOME)
    assert (error.reason, error.exit) == ("USAGE", 2)
    if "\0" in name:
        assert "NUL" in error.message
    else:
        assert error.message == f"{name!r} is not a session name"
        assert "at most 128" in (error.hint or "")


@pytest.mark.parametrize("path", ["/", "x/", "./", "../", "x/.", "a/..", "x.jsonl/"])
def test_directories_are_no_sessions(path: str) -> None:
    """A path that can only be a directory is refused, rather than taken for the file `x`."""
    error = error_from(session_path, path, HOME)
    assert (error.reason, error.message) == ("USAGE", f"{path!r} is a directory, not a session file")


def test_default_directory() -> None:
    """Without GEMCLI_HOME, or with an empty one, sessions live in the platform's data directory."""
    import platformdirs

    place = f"{platformdirs.user_data_dir('gemcli', appauthor=False)}/sessions"
    assert sessions_directory({}) == sessions_directory({"GEMCLI_HOME": ""}) == place
    assert session_path("a", {}) == f"{place}/a.jsonl"


# Dates in names

MOMENT = time.strptime("2026-01-02 03:04:05", "%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("name", "filled"),
    [
        ("nightly", "nightly"),
        ("runs/{date}.jsonl", "runs/2026-01-02.jsonl"),
        ("{date}/{time}-{date}", "2026-01-02/030405-2026-01-02"),
    ],
)
def test_date_and_time_in_a_name(name: str, filled: str) -> None:
    """They are replaced wherever they stand; a crontab needs no `%` for them."""
    assert filled_in(name, MOMENT) == filled


@pytest.mark.parametrize("name", ["{dat}", "{{date}}", "{date", "date}", "{}", "{Date}", "{x}", "a{b}c", "${date}{"])
def test_other_braces_in_a_name(name: str) -> None:
    """They are refused, with what was meant where that can be told."""
    error = error_from(filled_in, name, MOMENT)
    assert error.reason == "USAGE"
    assert re.search(r"\{date\}|\{time\}", error.hint or "")


def no_home(*_args: Any, **_options: Any) -> str:
    """What the library does where there is neither HOME nor a user of that number."""
    raise RuntimeError("could not determine the home directory")


def test_no_home(monkeypatch: pytest.MonkeyPatch, here: InProcess) -> None:
    """Without a home directory a named session has no place; GEMCLI_HOME gives it one, and a path needs none."""
    monkeypatch.setattr("platformdirs.user_data_dir", no_home)
    monkeypatch.setattr("platformdirs.user_config_dir", no_home)
    monkeypatch.delenv("GEMCLI_HOME")
    for command in (["new", "-s", "a"], ["send", "-s", "a", "hi"], ["history", "--sessions"]):
        done = here.failed(*command)
        assert (done.status, done.error["reason"]) == (78, "NO_HOME")
        assert "GEMCLI_HOME" in done.error["hint"]
    here.ok("send", "-s", "./a.jsonl", "--create", "hi", "--model", ECHO)
    done = here.failed("send", "-s", "./a.jsonl", "hi", "--model", "gemini-flash-latest")
    assert (done.status, done.error["reason"]) == (77, "NO_KEY")
    assert here("send", "--api-key", "x").status == 2
