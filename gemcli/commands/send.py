"""`gemcli send`: one user message, one exchange."""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Any

import click

from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.gemini import preload
from gemcli.api.models import check_model
from gemcli.api.retry import Policy
from gemcli.app import App
from gemcli.chat.contents import Content, user_text
from gemcli.commands import new
from gemcli.errors import GemcliError
from gemcli.exchange import Limits, Line, Request, Result, exchange, prepare, recalled
from gemcli.sessions import once
from gemcli.sessions.journal import REFUSED, Exchange, Journal
from gemcli.sessions.records import Record
from gemcli.settings.config import Config, merge
from gemcli.signals import deferred
from gemcli.terminal import documents, inputs, options
from gemcli.terminal.output import Stream

ALLOWED = ("blocked", "incomplete", "function_call")
"""The statuses that --allow can turn into success."""

LONGEST_KEY = 256
"""Characters of a key at most."""


@click.command("send", short_help="Send one message and print the answer.")
@click.argument("message", required=False, help="The message; '-' is standard input.")
@options.session()
@click.option("--text", "as_text", is_flag=True, help="Print the answer's text only.")
@click.option(
    "--stream",
    is_flag=True,
    help="Print the answer as it comes: JSONL events, or text with --text.",
)
@click.option("-n", "--no-stdin", is_flag=True, help="Leave standard input alone.")
@click.option(
    "--create",
    is_flag=True,
    help="Make the session first if it is missing, with the settings given here.",
)
@click.option("--model", metavar="MODEL", help="Another model, for this message.")
@options.generation
@options.limits(deadline=600)
@options.wait(300)
@click.option("--key", metavar="KEY", help=(
    "Send under this key, once: if it was answered before, print that answer again."))  # fmt: skip
@click.option("--if-turns", metavar="N", type=click.IntRange(min=0), help=(
    "Send only as what follows N turns: if that was answered before, print its answer again."))  # fmt: skip
@click.option("--on-unknown", type=click.Choice(["fail", "resend"]), default="fail", show_default=True, help=(
    "With --key or --if-turns: what to do when nobody knows if the message was answered."))  # fmt: skip
@click.option("--max-turns", metavar="N", type=click.IntRange(min=0), help=(
    "Send nothing if the history has N turns already."))  # fmt: skip
@click.option("--allow", metavar="STATUS,…", default="", help=(
    "Exit 0 also when the answer is blocked, incomplete or a function_call."))  # fmt: skip
@click.option("--skip-empty", is_flag=True, help="With an empty message send nothing and exit 0.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the request that would be sent, and do nothing. Needs no key.",
)
@options.everywhere()
@click.pass_obj
def command(
    app: App,
    /,
    message: str | None,
    session: str,
    no_stdin: bool,
    skip_empty: bool,
    allow: str,
    **given: Any,
) -> None:
    """Send one message and print the answer as one JSON document.

    Without MESSAGE, standard input is the message. With MESSAGE and a pipe or a redirected file,
    what comes from there follows the message after a blank line. Request and answer are on the disk
    before anything is printed; with --stream, before the final event is.

    An answer that is blocked, cut short or a function call is printed too, and ends in an exit
    status of its own.

    In a loop that may be run again, --key says which message this is: what was answered is not sent
    again, and what may have been answered is not sent without being told to (13).

    \b
    Examples:
      gemcli send -s bug42 "What does this function do?" < main.c
      git diff | gemcli send -s bug42 --text "What could break?"
      gemcli send -s bug42 "In one word?" --temperature 0 | jq -r .text
      gemcli send -s bug42 --stream --text "Now at length"
      gemcli send -s daily --create --key "$(date +%F)" "A word for today?"
    """
    _require_key(given)
    allowed = _allowed(allow)
    until = app.started + given["deadline"]
    text = _message(app, message, leave_stdin=no_stdin, until=until)
    if not text.strip():
        if skip_empty:
            return
        raise GemcliError("EMPTY_MESSAGE", "there is no message: give MESSAGE, or pipe one in")
    with inputs.within(until - time.monotonic(), "what an option names"):
        config = options.config_from(given, app.output.notice)
    order = Order(
        session,
        text,
        config,
        **{name: given[name] for name in Order.__annotations__ if name in given},
    )
    if order.dry_run:
        app.output.json(preview(app, order))
    elif order.stream:
        streamed(app, order, allowed)
    else:
        answered(app, order, allowed)


@dataclass(frozen=True)
class Order:
    """What the command line asks `send` for, read and checked. Times are in seconds."""

    session: str
    message: str
    config: Config
    as_text: bool
    stream: bool
    create: bool
    model: str | None
    retries: int
    timeout: float
    deadline: float
    wait: float
    max_turns: int | None
    dry_run: bool
    key: str | None = None
    if_turns: int | None = None
    on_unknown: str = "fail"

    @property
    def once(self) -> bool:
        """Whether the message is known again when it is sent a second time."""
        return self.key is not None or self.if_turns is not None


def _require_key(given: Mapping[str, Any]) -> None:
    """Raise what is wrong with the options that tell a message from others.

    `click.UsageError` or BAD_TEXT.
    """
    key = given["key"]
    if key is not None and given["if_turns"] is not None:
        raise click.UsageError("--key and --if-turns exclude each other.")
    if key is not None and not 0 < len(inputs.argument(key, "--key")) <= LONGEST_KEY:
        raise click.UsageError(f"--key takes 1 to {LONGEST_KEY} characters.")


def _message(app: App, argument: str | None, *, leave_stdin: bool, until: float) -> str:
    """The message, read within the deadline.

    It bounds the whole command, a silent pipe included.
    """
    with inputs.within(
        until - time.monotonic(), "standard input", "-n leaves standard input alone"
    ):
        return inputs.message(argument, leave_stdin=leave_stdin, notice=app.output.notice)


def answered(app: App, order: Order, allowed: list[str]) -> None:
    """Send, and print the answer when it is whole."""
    with ExitStack() as held:
        result, document = deliver(app, order, None, held)
        text = result.verdict.text
        show(
            order,
            result,
            lambda: app.output.text(text) if order.as_text else app.output.json(document),
        )
        if left := _left_to_say(result, allowed):
            raise left


def streamed(app: App, order: Order, allowed: list[str]) -> None:
    """Send, and print the answer as it comes; last the final event, which has the exit status."""
    until = app.started + order.deadline
    stream = Stream(lambda: deferred.stopping or time.monotonic() > until)
    with ExitStack() as held:
        try:
            result, document = deliver(app, order, _teller(app, order, stream), held)
        except GemcliError as error:
            _finish(order, stream, {"session": order.session}, "", error)
            # The failure matters more than that nobody reads of it.
            with suppress(GemcliError, BrokenPipeError):
                stream.flush()
            raise
        left = _left_to_say(result, allowed)
        _finish(order, stream, document, result.verdict.text, left)
        show(order, result, stream.flush)
        if left is not None:
            raise left


def _finish(
    order: Order, stream: Stream, document: dict[str, Any], text: str, error: GemcliError | None
) -> None:
    """Print the end of a stream: the final event, or the newline that a text lacks."""
    if not order.as_text:
        told = {"exit": error.exit if error else 0, "error": error.to_json() if error else None}
        stream.json({"event": "final", **document, **told})
    elif text and not text.endswith("\n"):
        stream.text("\n")


def deliver(
    app: App, order: Order, on_event: Callable[[Mapping[str, Any]], None] | None, held: ExitStack
) -> tuple[Result, dict[str, Any]]:
    """Send the message and return what came of it, with its JSON document.

    The session is free again after this.

    With an answer that is not saved, signals stay held back until `held` is left: it is printed
    first.
    """
    limits = Limits(order.timeout, app.started + order.deadline)
    created = order.create and _create(app, order)
    if not order.create:
        app.require(order.session)
    if not order.once:
        preload()
    with app.open(order.session, min(order.wait, max(0.0, limits.left))) as opened:
        if past := _sent_before(opened.journal, order):
            if on_event and past.answer:
                on_event({"event": "chunk", "chunk": past.answer})
            result = recalled(past)
            return result, answer_document(
                order, result, documents.totals_view(opened.journal), sent=False
            )
        request, backend = _request(app, opened.journal, order, stored=created)
        retry = Policy(order.retries, random.random)
        with closing(app.gemini(backend)) as gemini:
            line = Line(gemini, backend, limits, retry, app.output.notice, on_event, order.stream)
            held.enter_context(deferred)
            result = exchange(opened, request, line)
            if result.unsaved is None:
                held.close()
        document = answer_document(order, result, documents.totals_view(opened.journal))
    return result, document


def preview(app: App, order: Order) -> dict[str, Any]:
    """The request that would be sent, without a key and without sending it."""
    journal = app.read(order.session)
    if past := _sent_before(journal, order):
        nothing = dict.fromkeys(("model", "backend", "method", "url", "body"))
        notes = [f"answered before, as turn {past.turn}: nothing is sent"]
        return {"session": order.session, **nothing, "notes": notes}
    request, backend = _request(app, journal, order, stored=False)
    shown = app.gemini(backend, dry=True).preview(request.model, request.body, stream=order.stream)
    return {
        "session": order.session,
        "model": request.model,
        "backend": backend.name,
        **shown,
        "notes": request.notes,
    }


def answer_document(
    order: Order, result: Result, totals: dict[str, Any], *, sent: bool = True
) -> dict[str, Any]:
    """What `send` prints: the answer, where it stands, whether it is saved, and whether it was `sent` for now."""
    error = result.verdict.error
    document = {
        "session": order.session,
        "turn": result.turn,
        "id": result.id,
        "key": order.key,
        "sent": sent,
    }
    document |= documents.answer_view(result.answer, result.verdict.content)
    document |= {
        "status": error.status if error else "ok",
        "reason": error.reason if error else None,
    }
    document |= {
        "attempts": len(result.attempts),
        "elapsed_ms": result.elapsed_ms,
        "saved": result.unsaved is None,
    }
    return document | {"totals": totals, "notes": list(result.notes)}


def _request(app: App, journal: Journal, order: Order, *, stored: bool) -> tuple[Request, Backend]:
    """The request for the message, and who answers it.

    `stored` settings are the session's own already.
    """
    if order.max_turns is not None and len(journal.live) >= order.max_turns:
        what = (
            f"{order.session} has {len(journal.live)} turns, and --max-turns is {order.max_turns}"
        )
        raise GemcliError("TOO_MANY_TURNS", f"{what}; nothing was sent")
    model = check_model(journal.header["model"] if order.model is None else order.model)
    backend = backends.of(journal.header, model, app.environ)
    config = {} if stored else order.config
    return prepare(
        journal, user_text(order.message), backend, model=model, config=config, key=order.key
    ), backend


def _sent_before(journal: Journal, order: Order) -> Exchange | None:
    """The exchange whose answer is to be printed again, if the message was sent before.

    Raises `GemcliError`: IN_DOUBT if it may have been answered, DIVERGED if another message was.
    """
    content = user_text(order.message)
    if order.key is not None:
        last = once.newest(journal, order.key, content)
    elif order.if_turns is not None:
        last = once.following(journal, order.if_turns, content)
    else:
        return None
    past = once.recall(journal, last, resend=order.on_unknown == "resend")
    if past is None or (change := _difference(journal, past.request, order, content)) is None:
        return past
    if past.state == REFUSED:
        return None
    hint = f"gemcli history -s {shlex.quote(order.session)} --turn {past.turn} shows it"
    raise GemcliError(
        "DIVERGED",
        f"turn {past.turn} was answered for another {change}; nothing was sent",
        hint=hint,
    )


def _difference(journal: Journal, request: Record, order: Order, content: Content) -> str | None:
    """What a message that was sent before had otherwise, None if it is the same one."""
    if request["content"] != content:
        return "message"
    if request.get("imported"):
        return None
    if request["model"] != (order.model or journal.header["model"]):
        return "model"
    own: Config = journal.header["config"]
    recorded: Config = request.get("config") or {}
    return None if merge(own, recorded) == merge(own, order.config) else "config"


def _create(app: App, order: Order) -> bool:
    """Make the session if it is missing; whether it was made here."""
    if app.store.exists(app.path(order.session)):
        return False
    try:
        new.make(app, order.session, new.begun(app, new.Wanted(order.model, None, order.config)))
    except GemcliError as error:
        if error.reason != "SESSION_EXISTS":
            raise
        return False
    return True


def _teller(app: App, order: Order, stream: Stream) -> Callable[[Mapping[str, Any]], None]:
    """What is told of the events on the way: JSON events, or the bare text."""

    def tell(event: Mapping[str, Any]) -> None:
        for one in documents.chunk_events(event["chunk"]) if event["event"] == "chunk" else [event]:
            if not order.as_text:
                stream.json(one)
            elif one["event"] == "chunk":
                stream.text(one["text"])
            elif one["event"] == "wait":
                app.output.notice(f"{one['message']}; sending again in {one['seconds']:.1f} s")

    return tell


def _left_to_say(result: Result, allowed: list[str]) -> GemcliError | None:
    """What a script must still be told when the answer is printed.

    That it is not saved, or not whole.
    """
    if result.unsaved:
        return result.unsaved
    error = result.verdict.error
    return error if error and error.status not in allowed else None


def show(order: Order, result: Result, printing: Callable[[], None]) -> None:
    """Print an answer. When that fails, say where it can be read, or that it is not saved, which matters more."""
    try:
        printing()
    except (GemcliError, BrokenPipeError) as unprinted:
        if result.unsaved:
            raise result.unsaved from unprinted
        if isinstance(unprinted, BrokenPipeError):
            raise
        where = (
            f"the answer is in the session: gemcli history -s {shlex.quote(order.session)} --last"
        )
        raise GemcliError(unprinted.reason, unprinted.message, hint=where) from unprinted


def _allowed(text: str) -> list[str]:
    """The statuses named by --allow. Raises `click.UsageError` for one that cannot be allowed."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in ALLOWED:
            raise click.UsageError(f"--allow takes {', '.join(ALLOWED)}; not {word!r}.")
    return words
