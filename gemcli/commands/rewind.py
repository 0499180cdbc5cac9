"""`gemcli rewind`: take turns out of the history, or bring them back. They stay in the file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

import click

from gemcli.app import App
from gemcli.chat.contents import text_of
from gemcli.errors import GemcliError, counted
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import RewindRecord
from gemcli.sessions.turns import Turn
from gemcli.terminal import documents, options
from gemcli.terminal.combinations import require_meaning
from gemcli.terminal.screen import Line, Piece, cut

APART = {
    "--number": "--to --undo",
    "--to": "--undo",
    "--text": "--json",
    "--dry-run": "--wait",
}
"""The options that exclude each other: a dry run waits for nobody."""

VERBS = {
    (False, False): "took out",
    (False, True): "would take out",
    (True, False): "brought back",
    (True, True): "would bring back",
}
"""What was done, by `--undo` and `--dry-run`."""


# fmt: off
OPTIONS = (
    options.session(),
    click.option("-n", "--number", "count", metavar="N", type=options.WholeNumber(min=1), help=(
        "Take out the last N turns.  [default: 1]")),
    click.option("--to", metavar="TURN", type=options.WholeNumber(min=0), help=(
        "Make TURN the last turn; 0 clears the history.")),
    click.option("--undo", is_flag=True, help="Bring back the turns of the last rewind."),
    options.forms("Print what changed in words, as on a terminal."),
    click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing."),
    options.wait(300),
    options.everywhere(),
)
# fmt: on


@click.command("rewind")
@options.all_of(OPTIONS)
@click.pass_obj
def command(
    app: App,
    /,
    session: str,
    count: int | None,
    to: int | None,
    undo: bool,
    as_text: bool,
    as_json: bool,
    dry_run: bool,
    wait: float,
) -> None:
    """Take the last turn out of the history, so that the next message follows the turn before it.

    Turns are taken out whole, so no function call stays without its responses. A refused or failed
    turn was never in the history: the turn before it is taken. The turns stay in the file, and
    --undo brings them back until the next answer.

    \b
    Examples:
      gemcli rewind -s bug42
      gemcli rewind -s bug42 --to 3
      gemcli rewind -s bug42 --undo
    """
    require_meaning(APART)
    find = partial(plan, app, session, count=count, to=to, undo=undo)
    if dry_run:
        journal = app.read(session)
        if record := find(journal):
            journal.apply(record)
    else:
        with app.open(session, wait) as opened:
            journal = opened.journal
            if record := find(journal):
                opened.append(record)
    numbers = record["turns"] if record else []
    changed = [journal.turns[number] for number in numbers]
    verb = VERBS[undo, dry_run]
    document = {
        "session": session,
        "restored" if undo else "rewound": [
            documents.turn_document(turn, journal) for turn in changed
        ],
        "turns": len(journal.live),
        "last_turn": journal.live[-1].number if journal.live else None,
        "dry_run": dry_run,
    }
    look = f"gemcli history -s {shlex.quote(session)} --all"
    done = f"the command {verb} {counted(len(changed), 'turn')} nevertheless: {look}"
    with app.output.after(done if changed and not dry_run else None):
        if app.output.is_read(as_text=as_text, as_json=as_json):
            app.output.show(in_words(verb, changed, len(journal.live), app.output.columns))
        else:
            app.output.json(document)


def in_words(verb: str, changed: Sequence[Turn], left: int, columns: int) -> Iterator[Line]:
    """What was done, in two lines."""
    if not changed:
        yield [Piece(f"{verb} nothing")]
    else:
        first, last = changed[0], changed[-1].number
        which = f"turn {last}" if first.number == last else f"turns {first.number} to {last}"
        words = " ".join(text_of(first.exchanges[0].request["content"]).split())
        yield [Piece(cut(f"{verb} {which}: {words}", columns))]
    yield [Piece(f"{counted(left, 'turn')} in the history", "faint")]


def plan(
    app: App, session: str, journal: Journal, *, count: int | None, to: int | None, undo: bool
) -> RewindRecord | None:
    """The record to append, None if nothing changes. Raises `GemcliError` (NO_SUCH_TURN)."""
    if undo:
        return records.undo(turns_to_restore(session, journal))
    numbers = turns_to_rewind(session, journal, count=count, to=to)
    if not numbers:
        return None
    if to is None:
        _note_skipped(app, journal, numbers[-1])
    return records.rewind(numbers)


def turns_to_rewind(
    session: str, journal: Journal, *, count: int | None, to: int | None
) -> list[int]:
    """The turns that `-n` or `--to` take, oldest first. Raises `GemcliError` (NO_SUCH_TURN)."""
    live = [turn.number for turn in journal.live]
    if to is not None:
        if to != 0 and to not in live:
            raise GemcliError("NO_SUCH_TURN", f"turn {to} is not in the history of {session}")
        return [number for number in live if number > to]
    count = count or 1
    if count > len(live):
        have = counted(len(live), "turn")
        message = f"cannot take {count} from {session}: it has {have} in its history"
        raise GemcliError("NO_SUCH_TURN", message)
    return live[-count:]


def turns_to_restore(session: str, journal: Journal) -> list[int]:
    """The turns that `--undo` brings back, oldest first. Raises `GemcliError` (NO_SUCH_TURN)."""
    if not journal.undoable:
        what = f"there is no rewind to undo in {session} since its last answer"
        hint = f"use gemcli new -s NEW --from {shlex.quote(session)} --at N for an older turn"
        raise GemcliError("NO_SUCH_TURN", what, hint=hint)
    return journal.undoable


def _note_skipped(app: App, journal: Journal, last: int) -> None:
    """Say so if the newest turn was not counted, because it was never in the history."""
    newest = list(journal.turns.values())[-1]
    if newest.number > last and not newest.rewound:
        state = documents.turn_state(newest).replace("_", " ")
        what = f"turn {newest.number} is not in the history ({state}), so it is not counted"
        app.output.notice(what)
