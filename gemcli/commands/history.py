"""`gemcli history`: show what is in a session. Takes no lock and changes nothing."""

from __future__ import annotations

import os
import time

import click

from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.chat.answers import Answer
from gemcli.errors import GemcliError, require_none
from gemcli.sessions import names
from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import Turn
from gemcli.terminal import conversation, documents, options, session_table
from gemcli.terminal.combinations import require_meaning
from gemcli.terminal.documents import Document
from gemcli.terminal.screen import Line, Piece, facts

TURNS = "--last --turn --all --full --raw"
"""The options that are about turns, and mean nothing in a view of something else."""

APART = {
    "--text": "--json --full --raw --contents",
    "--full": "--raw",
    "--turn": "--last --all",
    "--contents": f"{TURNS} --check --usage --path --sessions",
    "--check": f"{TURNS} --usage --path --sessions",
    "--usage": f"{TURNS} --path --sessions",
    "--path": f"{TURNS} --json --sessions",
    "--sessions": f"{TURNS} --session",
}
"""The options that exclude each other."""

NEEDS = {"--raw": "--last --turn"}
"""The options that mean nothing without another one."""


# fmt: off
OPTIONS = (
    options.group("Turns",
        click.option("--last", is_flag=True, help="Show only the last turn."),
        click.option("--turn", metavar="N", type=options.WholeNumber(min=1), help=(
            "Show only turn N, whether or not it is in the history.")),
        click.option("--all", "everything", is_flag=True, help=(
            "Also show turns that are refused, failed, in doubt or rewound.")),
    ),
    options.group("Output",
        options.forms("Print text to read, as on a terminal; with --last only the answer."),
        click.option("--full", is_flag=True, help=(
            "Print every exchange of a turn too: its Parts, settings and failures.")),
        click.option("--raw", is_flag=True, help=(
            "With --last or --turn: print the answer of the API as it was received, a long one "
            "as a whole.")),
        click.option("--contents", is_flag=True, help=(
            "Print the Contents of the history, one per line.")),
        click.option("--check", is_flag=True, help=(
            "Check the file and the turn order, and report every breach.")),
        click.option("--usage", is_flag=True, help=(
            "Print only the totals: turns, requests, tokens.")),
    ),
    options.group("Session",
        options.session(required=False),
        click.option("--sessions", is_flag=True, help="List the named sessions."),
        click.option("--path", is_flag=True, help="Print only the path of the session's file."),
    ),
    options.everywhere(),
)
# fmt: on


@click.command("history", cls=options.Command)
@options.all_of(OPTIONS)
@click.pass_obj
def command(
    app: App,
    /,
    session: str | None,
    as_text: bool,
    as_json: bool,
    full: bool,
    last: bool,
    raw: bool,
    turn: int | None,
    everything: bool,
    contents: bool,
    check: bool,
    usage: bool,
    path: bool,
    sessions: bool,
) -> None:
    """Show the turns of a session, oldest first: one JSON document per line, or text to read.

    On a terminal the conversation is laid out for you to read; --json and --text decide it,
    wherever the output goes. --sessions lists all sessions; only on a terminal, so does the command
    alone.

    The history is what the next request will carry; --all and --turn show other turns too. Nothing
    is locked or changed, so this command may run at any time.

    \b
    Examples:
      gemcli history -s bug42 --text | less
      gemcli history -s bug42 --last | jq -r .text
      gemcli history -s bug42 --usage | jq .total_token_count
      rm "$(gemcli history -s bug42 --path)"
    """
    require_meaning(APART, NEEDS)
    to_read = app.output.is_read(as_text=as_text, as_json=as_json)
    about_one = last or turn or everything or full or contents or check or usage or path or as_json
    if session is None and app.output.on_terminal and not about_one:
        sessions = True
    if sessions:
        print_sessions(app, to_read=to_read)
        return
    session = options.required(session)
    if path:
        app.output.text(existing_path(app, session))
        return
    journal = app.read(session)
    if check or usage:
        report = checked(session, journal) if check else totals(session, journal)
        if to_read:
            app.output.show(facts(report))
        else:
            app.output.json(report)
    elif contents:
        app.output.jsonl(journal.history)
    else:
        selected = select(session, journal, last=last, number=turn, everything=everything)
        if raw:
            app.output.json(raw_answer(session, selected))
        elif to_read and not full:
            print_to_read(app, selected, last=last)
        else:
            app.output.jsonl(documents.turn_document(turn, journal, full=full) for turn in selected)


def print_to_read(app: App, selected: list[Turn], *, last: bool) -> None:
    """The turns for a person: laid out on a terminal, plain elsewhere; of the last its answer."""
    if last:
        app.output.text(conversation.answer_text(selected[-1]))
    elif not app.output.on_terminal:
        app.output.text(conversation.plain_text(selected))
    elif not selected:
        app.output.show([[Piece("no turns yet", "faint")]])
    else:
        for place, turn in enumerate(selected):
            between: list[Line] = [[]] if place else []
            app.output.show([*between, *conversation.lines_of(turn, app.output.columns)])


def select(
    session: str, journal: Journal, *, last: bool, number: int | None, everything: bool
) -> list[Turn]:
    """The selected turns, oldest first. Raises `GemcliError` (NO_SUCH_TURN)."""
    if number is not None:
        if number not in journal.turns:
            raise GemcliError("NO_SUCH_TURN", f"{session} has no turn {number}")
        return [journal.turns[number]]
    turns = list(journal.turns.values()) if everything else journal.live
    if last and not turns:
        raise GemcliError("NO_SUCH_TURN", f"{session} has no turns yet")
    return turns[-1:] if last else turns


def raw_answer(session: str, selected: list[Turn]) -> Answer:
    """The API's answer to the last exchange that has one. Raises `GemcliError` (NO_SUCH_TURN)."""
    for exchange in reversed(selected[-1].exchanges):
        if exchange.answer is not None:
            return exchange.answer
    raise GemcliError("NO_SUCH_TURN", f"turn {selected[-1].number} of {session} has no answer")


def checked(session: str, journal: Journal) -> Document:
    """A report that the turn order is valid. Raises `GemcliError` with every breach of it."""
    breaches = turn_order.check(journal.history)
    require_none(breaches, f"the turn order of {session} is broken", "TURN_ORDER")
    return {
        "session": session,
        "ok": True,
        "turns": len(journal.live),
        "contents": len(journal.history),
        "torn_bytes": journal.torn_bytes,
    }


def totals(session: str, journal: Journal) -> Document:
    """What the session has cost so far."""
    return {"session": session, **documents.session_totals(journal)}


def existing_path(app: App, session: str) -> str:
    """The absolute path of a session's file, symlinks not resolved. Raises SESSION_MISSING."""
    app.require(session)
    return os.path.abspath(app.path(session))


def print_sessions(app: App, *, to_read: bool) -> None:
    """The named sessions: a table, newest first, or documents, sorted by name.

    One that cannot be read is listed with its error.
    """
    rows: list[session_table.Row] = []
    for name in app.store.names(names.sessions_directory(app.environ)):
        try:
            journal = app.read(name)
        except GemcliError as error:
            rows.append(session_table.unreadable(name, error))
            document = documents.unreadable_session(name, error)
        else:
            rows.append(session_table.row(name, journal))
            document = documents.session_document(name, app.path(name), journal)
        if not to_read:
            app.output.json(document)
    if rows and to_read:
        app.output.show(session_table.lines(rows, time.time(), app.output.columns))
    elif app.output.on_terminal and to_read:
        app.output.show([[Piece("no sessions yet: gemcli new -s NAME makes one", "faint")]])
