"""`gemcli history`: what is in a session, in several views. Takes no lock and changes nothing."""

from __future__ import annotations

import os
from typing import Any

import click

from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.chat.answers import Answer
from gemcli.chat.contents import text_of
from gemcli.errors import GemcliError
from gemcli.sessions import names
from gemcli.sessions.journal import Journal, Turn
from gemcli.terminal import documents, options

VIEWS = ("contents", "check", "usage", "path", "sessions")
"""The flags that replace the turns by something else; at most one of them."""


@click.command("history", short_help="Show the turns of a session.")
@options.session(required=False)
@click.option("--text", "as_text", is_flag=True, help="Print 'role: text' instead of JSON.")
@click.option("--last", is_flag=True, help="Only the last turn.")
@click.option(
    "--raw", is_flag=True, help="With --last or --turn: the API's whole answer, as it was received."
)
@click.option(
    "--turn",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only turn N, whether or not it is in the history.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also the turns that are refused, failed, in doubt or rewound.",
)
@click.option(
    "--contents", is_flag=True, help="The Contents that the next request will carry, one a line."
)
@click.option(
    "--check", is_flag=True, help="Check the file and the turn order; report every breach."
)
@click.option("--usage", is_flag=True, help="Only the session's totals: turns, requests, tokens.")
@click.option("--path", is_flag=True, help="Only the path of the session's file.")
@click.option("--sessions", is_flag=True, help="List the named sessions.")
@options.everywhere()
@click.pass_obj
def command(
    app: App,
    /,
    session: str | None,
    as_text: bool,
    last: bool,
    raw: bool,
    turn: int | None,
    everything: bool,
    **view: bool,
) -> None:
    """Show the turns of a session, oldest first, one JSON document a line.

    The turns of the history are those that the next request will carry; --all and --turn show the
    others, too. Nothing is locked or changed, so this may be run at any time.

    \b
    Examples:
      gemcli history -s bug42 --text
      gemcli history -s bug42 --last | jq -r .text
      gemcli history -s bug42 --usage | jq .total_token_count
      rm "$(gemcli history -s bug42 --path)"
    """
    chosen = [name for name in VIEWS if view[name]]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other.")
    if chosen == ["sessions"]:
        app.output.jsonl(sessions(app))
        return
    if session is None:
        raise click.UsageError("Missing option '-s' / '--session'.")
    if chosen == ["path"]:
        app.output.text(existing_path(app, session))
        return
    journal = app.read(session)
    if chosen:
        _show(app, session, journal, chosen[0])
        return
    if raw and not last and turn is None:
        raise click.UsageError("--raw needs --last or --turn.")
    selected = select(session, journal, last=last, number=turn, everything=everything)
    if raw:
        app.output.json(raw_answer(session, selected))
    elif as_text:
        app.output.text("\n".join(lines_of(one) for one in selected))
    else:
        app.output.jsonl(documents.turn_view(one) for one in selected)


def select(
    session: str, journal: Journal, *, last: bool, number: int | None, everything: bool
) -> list[Turn]:
    """The turns asked for, oldest first. Raises `GemcliError` (NO_SUCH_TURN)."""
    if number is not None:
        if number not in journal.turns:
            raise GemcliError("NO_SUCH_TURN", f"{session} has no turn {number}")
        return [journal.turns[number]]
    turns_ = list(journal.turns.values()) if everything else journal.live
    if last and not turns_:
        raise GemcliError("NO_SUCH_TURN", f"{session} has no turns yet")
    return turns_[-1:] if last else turns_


def raw_answer(session: str, selected: list[Turn]) -> Answer:
    """The whole answer of the last exchange that has one.

    Raises `GemcliError` (NO_SUCH_TURN) if none has.
    """
    for exchange in reversed(selected[-1].exchanges):
        if exchange.answer is not None:
            return exchange.answer
    raise GemcliError("NO_SUCH_TURN", f"turn {selected[-1].number} of {session} has no answer")


def lines_of(turn: Turn) -> str:
    """A turn as a person reads it: `role: text`, one paragraph for each Content that has text."""
    said: list[tuple[str, str]] = [(content["role"], text_of(content)) for content in turn.contents]
    if not said:
        said = [
            ("user", text_of(turn.exchanges[0].request["content"])),
            ("note", documents.turn_state(turn)),
        ]
    return "".join(f"{role}: {text.rstrip()}\n" for role, text in said if text)


def check(session: str, journal: Journal) -> dict[str, Any]:
    """Raise `GemcliError` with every breach of turn order; a short report when there is none."""
    turn_order.require(turn_order.check(journal.history), f"the turn order of {session} is broken")
    return {
        "session": session,
        "ok": True,
        "turns": len(journal.live),
        "contents": len(journal.history),
    }


def existing_path(app: App, session: str) -> str:
    """The session's file, absolute, links left as they are.

    Raises `GemcliError` (SESSION_MISSING).
    """
    path = os.path.abspath(app.path(session))
    if not app.store.exists(path):
        app.read(session)
    return path


def sessions(app: App) -> list[dict[str, Any]]:
    """The named sessions, sorted; one that does not load is listed with its error."""
    listed = []
    for name in app.store.names(names.sessions_directory(app.environ)):
        try:
            listed.append(documents.session_view(name, app.path(name), app.read(name)))
        except GemcliError as error:
            listed.append({"session": name, "error": error.reason, "message": error.message})
    return listed


def _show(app: App, session: str, journal: Journal, view: str) -> None:
    if view == "contents":
        app.output.jsonl(journal.history)
    elif view == "check":
        app.output.json(check(session, journal))
    else:
        app.output.json({"session": session, **documents.totals_view(journal)})
