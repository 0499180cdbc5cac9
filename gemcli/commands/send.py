"""`gemcli send`: one user message, one exchange."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from gemcli import inputs, names, options, views
from gemcli.app import App
from gemcli.commands import new
from gemcli.contents import user_text
from gemcli.errors import EXIT, GemcliError
from gemcli.exchange import Limits, Result, exchange
from gemcli.gemini import preload
from gemcli.settings import Config

ALLOWED = ("blocked", "incomplete", "function_call")
"""The statuses that --allow can turn into success."""


@click.command("send", short_help="Send one message and print the answer.")
@click.argument("message", required=False, help="The message; '-' is standard input.")
@options.session()
@click.option("--text", "as_text", is_flag=True, help="Print the answer's text only.")
@click.option("-n", "--no-stdin", is_flag=True, help="Leave standard input alone.")
@click.option("--create", is_flag=True, help="Make the session first if it is missing, with the settings given here.")
@click.option("--model", metavar="MODEL", help="Another model, for this message.")
@options.generation
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=options.Seconds(0.001),
    default=300,
    show_default=True,
    help="Longest time for one request.",
)
@click.option(
    "--deadline",
    metavar="SECONDS",
    type=options.Seconds(0.001),
    default=600,
    show_default=True,
    help="Longest time for the whole command.",
)
@options.wait(300)
@click.option(
    "--allow",
    metavar="STATUS,…",
    default="",
    help="Exit 0 also when the answer is blocked, incomplete or a function_call.",
)
@click.option("--skip-empty", is_flag=True, help="With an empty message send nothing and exit 0.")
@options.everywhere()
@click.pass_obj
def command(
    app: App,
    /,
    message: str | None,
    session: str,
    as_text: bool,
    no_stdin: bool,
    create: bool,
    skip_empty: bool,
    allow: str,
    **given: Any,
) -> None:
    """Send one message and print the answer as one JSON document.

    Without MESSAGE, standard input is the message. With MESSAGE and a pipe or a redirected file, what comes from
    there follows the message after a blank line. Request and answer are on the disk before anything is printed.

    \b
    Examples:
      gemcli send -s bug42 "What does this function do?" < main.c
      git diff | gemcli send -s bug42 --text "What could break?"
      gemcli send -s bug42 "In one word?" --temperature 0 | jq -r .text
    """
    allowed = _allowed(allow)
    text = inputs.message(message, leave_stdin=no_stdin, notice=app.output.notice)
    if not text.strip():
        if skip_empty:
            return
        raise GemcliError("EMPTY_MESSAGE", "there is no message: give MESSAGE, or pipe one in")
    result, document = deliver(app, session, text, create=create, **given)
    try:
        app.output.text(result.verdict.text) if as_text else app.output.json(document)
    except GemcliError as error:
        where = f"the answer is in the session: gemcli history -s {shlex.quote(session)} --last"
        raise GemcliError(error.reason, error.message, hint=None if result.unsaved else where) from error
    if result.unsaved:
        raise result.unsaved
    if result.verdict.error and result.verdict.error.status not in allowed:
        raise result.verdict.error


def deliver(
    app: App,
    session: str,
    text: str,
    *,
    create: bool,
    model: str | None,
    timeout: float,
    deadline: float,
    wait: float,
    **given: Any,
) -> tuple[Result, dict[str, Any]]:
    """Send `text` and return what came of it, with its JSON document. The session is free again after this."""
    config = options.config_from(given)
    if model:
        names.check_model(model)
    limits = Limits(timeout, app.started + deadline)
    if create and _create(app, session, model, config):
        model, config = None, {}
    elif not create:
        app.require(session)
    preload()
    with app.open(session, min(wait, max(0.0, limits.until - time.monotonic()))) as opened:
        gemini = app.gemini(model or opened.journal.header["model"])
        result = exchange(
            opened, user_text(text), gemini=gemini, limits=limits, notice=app.output.notice, model=model, config=config
        )
        document = answer_document(session, result) | {"totals": views.totals_view(opened.journal)}
    return result, document


def answer_document(session: str, result: Result) -> dict[str, Any]:
    """What `send` prints: the answer, where it stands, and whether it is saved."""
    error = result.verdict.error
    document = {"session": session, "turn": result.turn, "id": result.id}
    document |= views.answer_view(result.answer, result.verdict.content)
    document |= {"status": error.status if error else "ok", "reason": error.reason if error else None}
    document |= {"attempts": result.attempts, "elapsed_ms": result.elapsed_ms, "saved": result.unsaved is None}
    return document


def _create(app: App, session: str, model: str | None, config: Config) -> bool:
    """Make the session if it is missing; whether it was made here."""
    if app.store.exists(app.path(session)):
        return False
    try:
        new.make(app, session, new.begun(app, model, config))
    except GemcliError as error:
        if error.reason != "SESSION_EXISTS":
            raise
        return False
    return True


def _allowed(text: str) -> list[str]:
    """The statuses named by --allow. Raises `click.UsageError` for one that cannot be allowed."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in ALLOWED or word not in EXIT:
            raise click.UsageError(f"--allow takes {', '.join(ALLOWED)}; not {word!r}.")
    return words
