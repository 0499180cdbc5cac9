"""`gemcli rewind`: take whole turns out of the history, or bring them back. They stay in the file."""

from __future__ import annotations

from typing import Any

import click

from gemcli import options, records, views
from gemcli.app import App
from gemcli.errors import GemcliError
from gemcli.journal import Journal
from gemcli.records import Record


@click.command("rewind", short_help="Take turns out of the history.")
@options.session()
@click.option(
    "-n", "--number", "count", metavar="N", type=click.IntRange(min=1), help="Take the last N turns.  [default: 1]"
)
@click.option("--to", metavar="TURN", type=click.IntRange(min=0), help="Make TURN the last one; 0 clears the history.")
@click.option("--undo", is_flag=True, help="Bring back what the last rewind took.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
@options.wait(300)
@options.everywhere()
@click.pass_obj
def command(
    app: App, /, session: str, count: int | None, to: int | None, undo: bool, dry_run: bool, wait: float
) -> None:
    """Take the last turn out of the history, so that the next message goes on from before it.

    Whole turns go, so no function call is left without its responses. A refused or failed turn never was in the
    history; the one before it is taken. The turns stay in the file, and --undo brings them back until the next
    answer.

    \b
    Examples:
      gemcli rewind -s bug42
      gemcli rewind -s bug42 --to 3
      gemcli rewind -s bug42 --undo
    """
    if (count is not None) + (to is not None) + undo > 1:
        raise click.UsageError("-n, --to and --undo exclude each other.")
    if dry_run:
        document = _plan(app, session, app.read(session), count=count, to=to, undo=undo)[1]
    else:
        with app.open(session, wait) as opened:
            record, document = _plan(app, session, opened.journal, count=count, to=to, undo=undo)
            if record:
                opened.append(record)
    app.output.json(document | {"dry_run": dry_run})


def _plan(
    app: App, session: str, journal: Journal, *, count: int | None, to: int | None, undo: bool
) -> tuple[Record | None, dict[str, Any]]:
    """The record to append, if any, and what the command prints."""
    if undo:
        numbers = undone(session, journal)
        left = [turn.number for turn in journal.live] + numbers
        return records.undo(numbers), _document(session, journal, left, restored=numbers)
    numbers = rewound(session, journal, count=count, to=to)
    _tell_skipped(app, journal, numbers)
    left = [turn.number for turn in journal.live if turn.number not in numbers]
    return records.rewind(numbers) if numbers else None, _document(session, journal, left, rewound=numbers)


def rewound(session: str, journal: Journal, *, count: int | None, to: int | None) -> list[int]:
    """The turns that `-n` or `--to` take, oldest first. Raises `GemcliError` (NO_SUCH_TURN)."""
    live = [turn.number for turn in journal.live]
    if to is not None:
        if to != 0 and to not in live:
            raise GemcliError("NO_SUCH_TURN", f"turn {to} is not in the history of {session}")
        return [number for number in live if number > to]
    count = count or 1
    if count > len(live):
        have = f"{len(live)} turns" if len(live) != 1 else "1 turn"
        raise GemcliError("NO_SUCH_TURN", f"cannot take {count} from {session}: it has {have} in its history")
    return live[-count:]


def undone(session: str, journal: Journal) -> list[int]:
    """The turns that `--undo` brings back, oldest first. Raises `GemcliError` (NO_SUCH_TURN) if there are none."""
    if not journal.undoable:
        hint = "a rewind can be taken back until the next answer; gemcli new --from S --at N gets older turns"
        raise GemcliError("NO_SUCH_TURN", f"there is no rewind to take back in {session}", hint=hint)
    return journal.undoable


def _tell_skipped(app: App, journal: Journal, numbers: list[int]) -> None:
    """Say so when the newest turn is not the one that is taken, because it never was in the history."""
    newest = next(reversed(journal.turns.values()), None)
    if newest and numbers and newest.number > numbers[-1] and not newest.rewound:
        state = views.turn_state(newest).replace("_", " ")
        app.output.notice(f"turn {newest.number} is {state} and was never in the history; turn {numbers[-1]} goes")


def _document(session: str, journal: Journal, left: list[int], **changed: list[int]) -> dict[str, Any]:
    shown = {name: [views.turn_view(journal.turns[number]) for number in numbers] for name, numbers in changed.items()}
    return {"session": session, **shown, "turns": len(left), "last_turn": left[-1] if left else None}
