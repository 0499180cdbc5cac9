"""`gemcli export`: the history in other formats, and back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest

from gemcli.commands import export
from gemcli.commands.export import FORMATS
from tests.builders import CALL, RESPONSE, header, mixed, request, response, turn, write_session
from tests.support import InProcess

CALLS = [request(7, "q"), response(7, CALL), request(7, RESPONSE, ordinal=2), response(7, "end", ordinal=2)]


def test_contents(here: InProcess) -> None:
    """`contents` is one JSON list of what the next request carries."""
    write_session("a", *mixed(), *CALLS)
    done = here("export", "contents", "-s", "a")
    assert done.json == here("history", "-s", "a", "--contents").lines
    assert len(done.json) == 8


def test_contents_come_back(here: InProcess, tmp_path: Path) -> None:
    """What `contents` wrote makes a session with the same history, value for value, byte for byte."""
    signed = response(8, {"text": "x", "thoughtSignature": "c2ln", "new": {"b": 1.50, "a": [None, "é\u2028"]}})
    write_session("a", *mixed(), *CALLS, request(8, "ü 😀"), signed)
    first = here("export", "contents", "-s", "a")
    (tmp_path / "c.json").write_bytes(first.bytes)
    assert here("new", "-s", "b", "--history", tmp_path / "c.json").json["turns"] == 4
    assert here("export", "contents", "-s", "b").bytes == first.bytes


@pytest.mark.parametrize("format_", FORMATS)
def test_rewound_and_refused_turns_stay_home(here: InProcess, format_: str) -> None:
    """No format has what is not in the history, and none changes the session."""
    path = write_session("a", *mixed())
    before = path.read_bytes()
    done = here("export", format_, "-s", "a")
    assert done.status == 0
    for number, inside in ((1, True), (2, False), (3, False), (4, False), (5, False), (6, True)):
        assert (f"question {number}" in done.out) == inside
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.jsonl"]


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_session(here: InProcess, format_: str) -> None:
    """A session without turns is exported, too; only a request cannot be empty."""
    write_session("a", header())
    assert here("export", format_, "-s", "a").status == (65 if format_ == "request" else 0)


def test_every_format_is_in_the_help() -> None:
    """The help of FORMAT tells each format, and each has its module."""
    (argument,) = (param for param in export.command.params if isinstance(param, click.Argument))
    for name, one in FORMATS.items():
        assert f"{name}: {one.description}" in str(argument.help)
        assert callable(one.dump)


def test_usage(here: InProcess) -> None:
    """A missing or unknown format is 2 and lists those that there are; a missing session is 66."""
    write_session("a", header())
    done = here("export", "pdf", "-s", "a")
    assert done.status == 2
    assert ", ".join(map(repr, FORMATS)) in done.err
    assert here("export", "-s", "a").status == 2
    assert here("export", "contents", "-s", "nope").status == 66


@pytest.mark.parametrize("format_", FORMATS)
def test_lone_surrogates_do_not_break_an_export(here: InProcess, format_: str) -> None:
    """Text that JSON can hold and UTF-8 cannot, as a cut emoji, is exported by every format."""
    write_session("a", header(), *turn(1, "\ud83d", "\ude00"))
    assert here("export", format_, "-s", "a").status == 0


def test_contents_keep_lone_surrogates(here: InProcess) -> None:
    """`contents` keeps everything: what UTF-8 cannot hold is a JSON escape, not another character."""
    write_session("a", header(), *turn(1, "\ud83d", "\ude00"))
    exported = [ascii(content["parts"][0]["text"]) for content in json.loads(here("export", "contents", "-s", "a").out)]
    assert exported == ["'\\ud83d'", "'\\ude00'"]
