"""`gemcli export`: the history in other formats, and back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
import yaml

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


def test_contents_of_an_empty_session(here: InProcess, tmp_path: Path) -> None:
    """A session without turns is the empty list, which makes a session without turns."""
    write_session("a", header())
    done = here("export", "contents", "-s", "a")
    assert done.out == "[]\n"


def test_script(here: InProcess) -> None:
    """`script` is the user's side, with model, system instruction and settings, as YAML that reads back."""
    config = {
        "systemInstruction": {"parts": [{"text": "Be brief.\nReally."}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["END"]},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    write_session("a", header(config=config), *turn(1, "hello"), *turn(2, "two\nlines\n"), *turn(3, "{{name}}"))
    script = yaml.safe_load(here("export", "script", "-s", "a").out)
    assert script == {
        "model": "simulator/echo",
        "system": "Be brief.\nReally.",
        "config": {
            "safetySettings": config["safetySettings"],
            "temperature": 0.5,
            "stopSequences": ["END"],
        },
        "turns": ["hello", "two\nlines\n", {"user": "{{name}}", "raw": True}],
    }


def test_a_script_cannot_hold_calls(here: InProcess) -> None:
    """A message that is no text cannot be in a script: 65, with what can hold it."""
    write_session("a", *mixed(), *CALLS)
    done = here("export", "script", "-s", "a")
    assert (done.status, done.out) == (65, "")
    assert "hint: gemcli export contents keeps everything" in done.err


def test_markdown(here: InProcess) -> None:
    """`markdown` is to be read: headings, texts as they are, thoughts as quotes, calls in fences."""
    data = {"inlineData": {"mimeType": "image/png", "data": "AAAA" * 1000}}
    thoughtful = response(1, {"text": "hm\nso", "thought": True}, "**Yes**")
    write_session(
        "a",
        header(config={"systemInstruction": {"parts": [{"text": "Be brief"}]}}),
        request(1, "Is it?", data),
        thoughtful,
    )
    assert here("export", "markdown", "-s", "a").out == (
        "# Conversation with simulator/echo\n\n## System\n\n> Be brief\n\n## User\n\n> Is it?\n\n"
        '```json\n{"inlineData":{"mimeType":"image/png","data":"(4000 characters of base64)"}}\n```\n\n'
        "## Model\n\n> *Thought:*\n> hm\n> so\n\n> **Yes**\n"
    )


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


def test_contents_are_as_harmless_as_other_json(here: InProcess) -> None:
    """`contents` escapes what could act on a terminal, as every JSON that gemcli prints."""
    write_session("a", header(), *turn(1, "\x9b31m", "\u202e"))
    assert here("export", "contents", "-s", "a").out.isascii()
