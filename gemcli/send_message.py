"""How a message is sent: into a session that may have to be made first, and only once if asked to.

`send` does what the command of that name promises, and prints nothing; `exchange` does the rest.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from gemcli import exchange
from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.gemini import preload
from gemcli.api.limits import Limits
from gemcli.api.models import check_model
from gemcli.api.retry import RetryPolicy
from gemcli.app import App
from gemcli.call_model import ResumeEvent, Transport, WaitEvent
from gemcli.chat import turn_order
from gemcli.chat.answers import Answer
from gemcli.chat.contents import Content
from gemcli.create_session import NewOptions, create_if_missing, header, renewed_header
from gemcli.errors import GemcliError, counted
from gemcli.exchange import Result
from gemcli.prepare_request import (
    Request,
    how_to_continue,
    prepare,
    prepare_continuation,
    settings_of_turn,
)
from gemcli.sessions import names, once
from gemcli.sessions.journal import Journal
from gemcli.sessions.records import SessionRecord
from gemcli.sessions.session import Session
from gemcli.sessions.turns import Exchange
from gemcli.settings.config import Config, merge
from gemcli.signals import deferred
from gemcli.tools import given_responses
from gemcli.tools.given_responses import GivenResponse

ORIGIN = {"kind": "send"}
"""The origin of a session that --create makes."""


@dataclass(frozen=True)
class SendOptions:
    """What the command line asks for, read and checked. `wait` is for the session, in seconds.

    `content` is the message. There is none if `responses` answer the calls of the last turn, or if
    the command `continues` the last answer. It asks for at most `max_hops` hops of an answer.
    """

    session: str
    content: Content | None
    responses: tuple[GivenResponse, ...]
    continues: bool
    model: str | None
    config: Config
    create: bool
    limits: Limits
    retries: int
    wait: float
    key: str | None
    resend: bool
    max_turns: int | None
    max_hops: int
    stream: bool
    full: bool

    @property
    def max_output_tokens(self) -> int | None:
        """The new limit of an answer that the command continues."""
        limit = (self.config.get("generationConfig") or {}).get("maxOutputTokens")
        return limit if isinstance(limit, int) else None

    @property
    def for_new(self) -> NewOptions:
        """What a session is made with by --create."""
        return NewOptions(self.model, None, self.config)


class Reply(NamedTuple):
    """What came of a message. `sent` is false if the answer was stored before."""

    result: Result
    journal: Journal
    sent: bool


@contextmanager
def send(
    app: App,
    options: SendOptions,
    on_chunk: Callable[[Answer], None] | None = None,
    on_wait: Callable[[WaitEvent], None] | None = None,
    on_resume: Callable[[ResumeEvent], None] | None = None,
) -> Iterator[Reply]:
    """Send the message; `on_chunk` gets the answer as it arrives, and the block prints the result.

    In the block, request and answer are on disk and the session is unlocked. If the answer could
    not be saved, signals are held back until the block has printed it.
    """
    created = options.create and _create_if_missing(app, options)
    if not created:
        app.require(options.session)
    if options.key is None:
        preload()
    wait = min(options.wait, max(0.0, options.limits.remaining))
    with ExitStack() as signals_held:
        with app.open(options.session, wait) as session:
            stored = _sent_before(session.journal, options)
            goes_on = _goes_on(session.journal, options, stored)
            if stored and not goes_on:
                result = exchange.stored_result(stored, session.journal)
                if on_chunk:
                    on_chunk(result.answer)
            else:
                if settings := _new_settings(app, session.journal, options):
                    session.append(settings)
                request, backend = _request(app, session.journal, options, goes_on=goes_on)
                if names.is_path(options.session) and not created:
                    app.tell_destinations(session.journal.header)
                _note_doubt(app, session.journal, options, goes_on=goes_on)
                with _transport(app, backend, options, on_chunk, on_wait, on_resume) as transport:
                    signals_held.enter_context(deferred)
                    with app.output.waiting("waiting for the answer"):
                        result = _ask(session, request, transport, goes_on=goes_on)
                    if result.unsaved is None:
                        signals_held.close()  # the answer is safe: a signal may end the program
        yield Reply(result, session.journal, sent=goes_on or not stored)


def _ask(session: Session, request: Request, transport: Transport, *, goes_on: bool) -> Result:
    """Send the request, or go on with the last answer. Raises `GemcliError`."""
    send_it = exchange.continue_answer if goes_on else exchange.exchange
    try:
        return send_it(session, request, transport)
    except GemcliError as error:
        if error.reason != "INTERRUPTED" or not session.journal.continuable:
            raise
        hint = f"go on with the answer: {how_to_continue(session.journal)}"
        raise error.replace(hint=hint) from error.__cause__


@contextmanager
def _transport(
    app: App,
    backend: Backend,
    options: SendOptions,
    on_chunk: Callable[[Answer], None] | None,
    on_wait: Callable[[WaitEvent], None] | None,
    on_resume: Callable[[ResumeEvent], None] | None,
) -> Iterator[Transport]:
    with closing(app.gemini(backend, options.limits.remaining)) as gemini:
        yield Transport(
            gemini=gemini,
            backend=backend,
            limits=options.limits,
            retry=RetryPolicy(options.retries, random.random),
            notice=app.output.notice,
            on_wait=on_wait,
            on_chunk=on_chunk,
            on_resume=on_resume,
            max_hops=options.max_hops,
        )


def _note_doubt(app: App, journal: Journal, options: SendOptions, *, goes_on: bool) -> None:
    """Say that the request goes out although the one before may have been answered."""
    before = journal.continuable if goes_on else journal.in_doubt
    if before is None or options.resend:
        return
    if not goes_on:
        what = f"whether turn {before.turn} was answered is unknown; it is not in the history"
        see = f"gemcli history -s {shlex.quote(options.session)} --turn {before.turn}"
        app.output.notice(f"{what}, and this message goes on without it (see {see})")
    elif before.hop_in_doubt:
        what = f"whether hop {len(before.hops) + 1} of the answer was answered is unknown"
        app.output.notice(f"{what}; it is asked for again")


def preview(app: App, options: SendOptions) -> dict[str, object]:
    """The request that would be sent. Needs no key."""
    journal = _journal(app, options)
    stored = _sent_before(journal, options)
    goes_on = _goes_on(journal, options, stored)
    if stored and not goes_on:
        return {
            "session": options.session,
            **dict.fromkeys(("model", "backend", "method", "url", "body")),
            "notes": [f"answered before, as turn {stored.turn}: nothing is sent"],
        }
    request, backend = _request(app, journal, options, goes_on=goes_on)
    gemini = app.gemini(backend, dry=True)
    return {
        "session": options.session,
        "model": request.model,
        "backend": backend.name,
        **gemini.preview(request.model, request.body),
        "notes": request.notes,
    }


def _create_if_missing(app: App, options: SendOptions) -> bool:
    """Create the session, unless it exists or the message could not be sent anyway."""
    if app.store.exists(app.path(options.session)):
        return False
    _, backend = _request(app, _journal(app, options), options, goes_on=False)
    app.require_endpoint(backend, options.limits.remaining)
    return create_if_missing(app, options.session, options.for_new, origin=ORIGIN)


def _journal(app: App, options: SendOptions) -> Journal:
    """The session as it is, or as --create would make it; nothing is written."""
    if options.create and not app.store.exists(app.path(options.session)):
        return Journal([header(app, options.for_new, origin=ORIGIN)])
    journal = app.read(options.session)
    if settings := _new_settings(app, journal, options):
        journal.apply(settings)
    return journal


def _new_settings(app: App, journal: Journal, options: SendOptions) -> SessionRecord | None:
    """The record that gives a session the settings of --create, if it takes them."""
    if not options.create:
        return None
    return renewed_header(app, journal, options.for_new, origin=ORIGIN)


def _goes_on(journal: Journal, options: SendOptions, stored: Exchange | None) -> bool:
    """Whether the request is for the next hop of an answer, and not for an answer to a message."""
    return options.continues or (stored is not None and once.must_go_on(journal, stored))


def _request(
    app: App, journal: Journal, options: SendOptions, *, goes_on: bool
) -> tuple[Request, Backend]:
    """The request, and its backend."""
    if goes_on:
        return _continuation(app, journal, options)
    content = _content(journal, options)
    turns = len(journal.live) - (journal.open_turn is not None)
    if options.max_turns is not None and turns >= options.max_turns:
        has = f"{options.session} has {counted(turns, 'turn')}"
        message = f"{has}, and --max-turns is {options.max_turns}; nothing was sent"
        raise GemcliError("TOO_MANY_TURNS", message)
    turn = settings_of_turn(journal)
    model = check_model(turn.model if options.model is None else options.model)
    backend = backends.backend_for(journal.header, model, app.environ)
    usual = merge(journal.header["config"], turn.config)
    config = {} if merge(usual, options.config) == usual else options.config
    if options.create and (config or model != journal.header["model"]):
        what = f"{options.session} exists and has other settings"
        app.output.notice(f"{what}: these hold for this message only")
    request = prepare(journal, content, backend, model=model, config=config, key=options.key)
    return request, backend


def _continuation(app: App, journal: Journal, options: SendOptions) -> tuple[Request, Backend]:
    """The request for the next hop of the last answer, and its backend."""
    begun = journal.continuable
    model = begun.request["model"] if begun else journal.header["model"]
    backend = backends.backend_for(journal.header, model, app.environ)
    limit = options.max_output_tokens if options.continues else None
    return prepare_continuation(journal, backend, limit), backend


def _content(journal: Journal, options: SendOptions) -> Content:
    """The message, or the responses of the calls that wait. Raises `GemcliError` (RESPONSES)."""
    if options.content is not None:
        return options.content
    return given_responses.fit(turn_order.open_calls(journal.history), options.responses)


def _sent_before(journal: Journal, options: SendOptions) -> Exchange | None:
    """The exchange whose answer stands for the message, if it was sent before under its key."""
    if options.key is None:
        return None
    model = options.model or journal.header["model"]
    config = merge(journal.header["config"], options.config)
    message = once.Message(options.key, _content(journal, options), model, config)
    last = once.last_try(journal, message)
    if last is None:
        return None
    hint = f"run gemcli history -s {shlex.quote(options.session)} --turn {last.turn} to see it"
    return once.stored_answer(journal, last, message, resend=options.resend, hint=hint)
