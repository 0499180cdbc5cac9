"""The sessions as a table for a person, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gemcli.chat.contents import text_of
from gemcli.errors import GemcliError
from gemcli.sessions.journal import Journal
from gemcli.terminal import documents
from gemcli.terminal.screen import Line, Look, Piece, cut, padded, width

GAP = 2
LEAST = 10
"""Columns that the last column needs; with fewer it is left out."""

UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


class Row(NamedTuple):
    """A session in the table; `changed` is when it last was, in seconds since 1970, if known."""

    name: str
    changed: float | None
    turns: str
    model: str
    first: str
    look: Look = "plain"


def row(name: str, journal: Journal) -> Row:
    """The row of a session that was read."""
    first = text_of(journal.live[0].exchanges[0].request["content"]) if journal.live else ""
    model = journal.header["model"]
    changed = seconds(documents.last_time(journal))
    return Row(name, changed, str(len(journal.live)), model, " ".join(first.split()))


def unreadable(name: str, error: GemcliError) -> Row:
    """The row of a session that could not be read."""
    return Row(name, None, "?", "?", f"{error.reason}: {error.message}", "warning")


def lines(rows: Sequence[Row], now: float, columns: int) -> Iterator[Line]:
    """The table: a heading, and a line for each session. Columns without room are left out."""
    ordered = sorted(rows, key=lambda row: row.changed or 0.0, reverse=True)
    table: list[tuple[str, ...]] = [("NAME", "AGE", "TURNS", "MODEL", "FIRST WORDS")]
    table += [(row.name, age(now, row.changed), row.turns, row.model, row.first) for row in ordered]
    widths = [max(width(cell) for cell in column) for column in zip(*table, strict=True)]
    while sum(widths[:-1]) + GAP * (len(widths) - 1) + LEAST > columns and len(widths) > 2:
        del widths[-2]
        table = [(*cells[: len(widths) - 1], cells[-1]) for cells in table]
    looks: list[Look] = ["faint", *(row.look for row in ordered)]
    for cells, look in zip(table, looks, strict=True):
        start = "".join(
            padded(cell, size + GAP) for cell, size in zip(cells[:-1], widths[:-1], strict=True)
        )
        yield [Piece(cut((start + cells[-1]).rstrip(), columns), look)]


def seconds(moment: object) -> float | None:
    """A time of a record in seconds since 1970; None if it is not one."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return None


def age(now: float, then: float | None) -> str:
    """How long ago, in the largest unit that fits."""
    if then is None:
        return "?"
    seconds = now - then
    for size, unit in UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "now"
