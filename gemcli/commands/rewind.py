"""`gemcli rewind`: take whole turns out of the history, or bring them back.

They stay in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from gemcli.app import App
from gemcli.errors import GemcliError, counted
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.records import RewindRecord, UndoRecord
from gemcli.terminal import documents, options


@click.command("rewind", short_help="Take turns out of the history.")
@options.session()
@click.option(
    "-n",
    "--number",
    "count",
    metavar="N",
    type=click.IntRange(min=1),
    help="Take the last N turns.  [default: 1]",
)
@click.option(
    "--to",
    metavar="TURN",
    type=click.IntRange(min=0),
    help="Make TURN the last one; 0 clears the history.",
)
@click.option("--undo", is_flag=True, help="Bring back what the last rewind took.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
@options.wait(300)
@options.everywhere()
@click.pass_obj
def command(
    app: App,
    /,
    session: str,
    count: int | None,
    to: int | None,
    undo: bool,
    dry_run: bool,
    wait: float,
) -> None:
    """Take the last turn out of the history, so that the next message goes on from before it.

    Whole turns go, so no function call is left without its responses. A refused or failed turn
    never was in the history; the one before it is taken. The turns stay in the file, and --undo
    brings them back until the next answer.

    \b
    Examples:
      gemcli rewind -s bug42
      gemcli rewind -s bug42 --to 3
      gemcli rewind -s bug42 --undo
    """
    if (count is not None) + (to is not None) + undo > 1:
        raise click.UsageError("-n, --to and --undo exclude each other.")
    wanted = Wanted(session, count, to, undo)
    if dry_run:
        journal = app.read(session)
        if planned := plan(app, journal, wanted):
            journal.apply(planned)
    else:
        with app.open(session, wait) as opened:
            journal = opened.journal
            if planned := plan(app, journal, wanted):
                opened.append(planned)
    app.output.json(
        _document(session, journal, planned, "restored" if undo else "rewound")
        | {"dry_run": dry_run}
    )


@dataclass(frozen=True)
class Wanted:
    """Which turns of which session are to go, or to come back."""

    session: str
    count: int | None
    to: int | None
    undo: bool


def plan(app: App, journal: Journal, wanted: Wanted) -> RewindRecord | UndoRecord | None:
    """The record that does what is wanted, None if nothing is to be done.

    Raises `GemcliError` (NO_SUCH_TURN).
    """
    if wanted.undo:
        return records.undo(undone(wanted.session, journal))
    numbers = rewound(wanted.session, journal, count=wanted.count, to=wanted.to)
    _tell_skipped(app, journal, numbers)
    return records.rewind(numbers) if numbers else None


def rewound(session: str, journal: Journal, *, count: int | None, to: int | None) -> list[int]:
    """The turns that `-n` or `--to` take, oldest first. Raises `GemcliError` (NO_SUCH_TURN)."""
    live = [turn.number for turn in journal.live]
    if to is not None:
        if to != 0 and to not in live:
            raise GemcliError("NO_SUCH_TURN", f"turn {to} is not in the history of {session}")
        return [number for number in live if number > to]
    count = count or 1
    if count > len(live):
        have = counted(len(live), "turn")
        raise GemcliError(
            "NO_SUCH_TURN", f"cannot take {count} from {session}: it has {have} in its history"
        )
    return live[-count:]


def undone(session: str, journal: Journal) -> list[int]:
    """The turns that `--undo` brings back, oldest first.

    Raises `GemcliError` (NO_SUCH_TURN) if there are none.
    """
    if not journal.undoable:
        hint = "a rewind can be taken back until the next answer; gemcli new --from S --at N gets older turns"
        raise GemcliError(
            "NO_SUCH_TURN", f"there is no rewind to take back in {session}", hint=hint
        )
    return journal.undoable


def _tell_skipped(app: App, journal: Journal, numbers: list[int]) -> None:
    """Say so when the newest turn is not the one that is taken, because it never was in the history."""
    newest = next(reversed(journal.turns.values()), None)
    if newest and numbers and newest.number > numbers[-1] and not newest.rewound:
        state = documents.turn_state(newest).replace("_", " ")
        app.output.notice(
            f"turn {newest.number} is {state} and was never in the history; turn {numbers[-1]} goes"
        )


def _document(
    session: str, journal: Journal, done: RewindRecord | UndoRecord | None, change: str
) -> dict[str, Any]:
    """What the command prints: the turns that changed, and the history that is left."""
    changed = [
        documents.turn_view(journal.turns[number]) for number in (done["turns"] if done else [])
    ]
    last = journal.live[-1].number if journal.live else None
    return {"session": session, change: changed, "turns": len(journal.live), "last_turn": last}
