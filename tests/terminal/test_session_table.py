"""The table of sessions: newest first, and as wide as the terminal."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.errors import GemcliError
from gemcli.sessions.journal import Journal
from gemcli.terminal import session_table
from gemcli.terminal.screen import rendered, width
from tests.builders import header, turn

NOW = 1_800_000_000.0


def journal(changed: str, *messages: str) -> Journal:
    """A session with these messages, which was changed last at this time."""
    records: list[Any] = [
        header("gemini-2.5-flash") | {"time": "2019-01-01T00:00:00.000Z"},
        *(each for n, text in enumerate(messages, 1) for each in turn(n, text)),
    ]
    records[-1]["time"] = changed
    return Journal(records)


ROWS = [
    session_table.unreadable("broken", GemcliError("CORRUPT", "line 3 is no record")),
    session_table.row("old", journal("2020-01-01T00:00:00.000Z", "日本語 " * 20)),
    session_table.row("newer", journal("2027-01-15T06:00:00.000Z", "What\nis  this?", "And that?")),
    session_table.row("empty", journal("2027-01-15T07:59:50.000Z")),
]


def shown(columns: int) -> list[str]:
    """The table at this width, without colours."""
    return [rendered(line, colours=False) for line in session_table.lines(ROWS, NOW, columns)]


def test_the_table() -> None:
    """Newest first; what cannot be read stands at the end, with the reason."""
    assert shown(72) == [
        "NAME    AGE        TURNS  MODEL             FIRST WORDS",
        "empty   now        0      gemini-2.5-flash",
        "newer   2 hours    2      gemini-2.5-flash  What is this?",
        "old     2571 days  1      gemini-2.5-flash  日本語 日本語 日本語 日本語…",
        "broken  ?          ?      ?                 CORRUPT: line 3 is no record",
    ]


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 200])
def test_it_is_never_too_wide(columns: int) -> None:
    """Columns without room are left out, the model first, and rows are cut; the name is always there."""
    lines = shown(columns)
    assert max(map(width, lines)) <= columns
    assert [line.split()[0] for line in lines] == ["NAME", "empty", "newer", "old", "broken"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (59, "now"), (60, "1 minute"), (7200, "2 hours"), (86_400, "1 day"), (-5, "now")],
)
def test_age(seconds: float, text: str) -> None:
    """In the largest unit; what is to come is now."""
    assert session_table.age(NOW, NOW - seconds) == text
