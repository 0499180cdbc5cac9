"""`gemcli history`: show what is in a session. Takes no lock and changes nothing."""

from __future__ import annotations

import os

import click

from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.chat.answers import Answer
from gemcli.chat.contents import text_of
from gemcli.errors import GemcliError, require_none
from gemcli.sessions import names
from gemcli.sessions.journal import Journal, Turn
from gemcli.terminal import documents, options
from gemcli.terminal.documents import Document

VIEWS = ("contents", "check", "usage", "path", "sessions")
"""The flags that print something else than turns; at most one may be given."""


# fmt: off
OPTIONS = (
    options.session(required=False),
    click.option("--text", "as_text", is_flag=True, help="Print 'role: text' instead of JSON."),
    click.option("--full", is_flag=True, help=(
        "Print every exchange of a turn too: its Parts, settings and failures.")),
    click.option("--last", is_flag=True, help="Show only the last turn."),
    click.option("--raw", is_flag=True, help=(
        "With --last or --turn: print the answer of the API as it was received.")),
    click.option("--turn", metavar="N", type=click.IntRange(min=1), help=(
        "Show only turn N, whether or not it is in the history.")),
    click.option("--all", "everything", is_flag=True, help=(
        "Also show turns that are refused, failed, in doubt or rewound.")),
    click.option("--contents", is_flag=True, help=(
        "Print the Contents of the history, one per line.")),
    click.option("--check", is_flag=True, help=(
        "Check the file and the turn order, and report every breach.")),
    click.option("--usage", is_flag=True, help="Print only the totals: turns, requests, tokens."),
    click.option("--path", is_flag=True, help="Print only the path of the session's file."),
    click.option("--sessions", is_flag=True, help="List the named sessions."),
    options.everywhere(),
)
# fmt: on


@click.command("history", short_help="Show the turns of a session.")
@options.all_of(OPTIONS)
@click.pass_obj
def command(
    app: App,
    /,
    session: str | None,
    as_text: bool,
    full: bool,
    last: bool,
    raw: bool,
    turn: int | None,
    everything: bool,
    **view: bool,
) -> None:
    """Show the turns of a session, oldest first, one JSON document per line.

    The history is what the next request will carry; --all and --turn show other turns too. Nothing
    is locked or changed, so this command may run at any time.

    \b
    Examples:
      gemcli history -s bug42 --text
      gemcli history -s bug42 --last | jq -r .text
      gemcli history -s bug42 --usage | jq .total_token_count
      rm "$(gemcli history -s bug42 --path)"
    """
    chosen = [name for name in VIEWS if view[name]]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    if chosen == ["sessions"]:
        app.output.jsonl(sessions(app))
        return
    if session is None:
        raise click.UsageError("missing option '-s' / '--session'")
    if chosen == ["path"]:
        app.output.text(existing_path(app, session))
        return
    journal = app.read(session)
    if chosen == ["contents"]:
        app.output.jsonl(journal.history)
        return
    if chosen:
        report = check if chosen == ["check"] else totals
        app.output.json(report(session, journal))
        return
    if raw and not last and turn is None:
        raise click.UsageError("--raw needs --last or --turn")
    selected = select(session, journal, last=last, number=turn, everything=everything)
    if raw:
        app.output.json(raw_answer(session, selected))
    elif as_text:
        app.output.text("\n".join(conversation_text(turn) for turn in selected))
    else:
        app.output.jsonl(documents.turn_document(turn, full=full) for turn in selected)


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


def conversation_text(turn: Turn) -> str:
    """A turn as a person reads it: `role: text`, one line or more for each Content with text."""
    spoken: list[tuple[str, str]] = [
        (content["role"], text_of(content)) for content in turn.contents
    ]
    if not spoken:
        question = turn.exchanges[0].request["content"]
        spoken = [("user", text_of(question)), ("note", documents.turn_state(turn))]
    return "".join(f"{role}: {text.rstrip()}\n" for role, text in spoken if text)


def check(session: str, journal: Journal) -> Document:
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


def sessions(app: App) -> list[Document]:
    """The named sessions, sorted. One that cannot be read is listed with its error."""
    listed: list[Document] = []
    for name in app.store.names(names.sessions_directory(app.environ)):
        try:
            journal = app.read(name)
        except GemcliError as error:
            listed.append({"session": name, "error": error.reason, "message": error.message})
        else:
            listed.append(documents.session_document(name, app.path(name), journal))
    return listed
