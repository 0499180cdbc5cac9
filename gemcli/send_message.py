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
from gemcli.chat import turn_order
from gemcli.chat.answers import Answer
from gemcli.chat.contents import Content
from gemcli.create_session import NewOptions, create_if_missing, header, renewed_header
from gemcli.errors import GemcliError, counted
from gemcli.exchange import Result, Transport, WaitEvent
from gemcli.prepare_request import Request, prepare, settings_of_turn
from gemcli.sessions import names, once
from gemcli.sessions.journal import Journal
from gemcli.sessions.records import SessionRecord
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

    `content` is the message, None if `responses` answer the calls of the last turn.
    """

    session: str
    content: Content | None
    responses: tuple[GivenResponse, ...]
    model: str | None
    config: Config
    create: bool
    limits: Limits
    retries: int
    wait: float
    key: str | None
    resend: bool
    max_turns: int | None
    stream: bool
    full: bool

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
            if stored:
                result = exchange.stored_result(stored)
                if on_chunk:
                    on_chunk(result.answer)
            else:
                if settings := _new_settings(app, session.journal, options):
                    session.append(settings)
                request, backend = _request(app, session.journal, options)
                if names.is_path(options.session) and not created:
                    app.tell_destinations(session.journal.header)
                _note_doubt(app, session.journal, options)
                with _transport(app, backend, options, on_chunk, on_wait) as transport:
                    signals_held.enter_context(deferred)
                    with app.output.waiting("waiting for the answer"):
                        result = exchange.exchange(session, request, transport)
                    if result.unsaved is None:
                        signals_held.close()  # the answer is safe: a signal may end the program
        yield Reply(result, session.journal, sent=not stored)


@contextmanager
def _transport(
    app: App,
    backend: Backend,
    options: SendOptions,
    on_chunk: Callable[[Answer], None] | None,
    on_wait: Callable[[WaitEvent], None] | None,
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
        )


def _note_doubt(app: App, journal: Journal, options: SendOptions) -> None:
    """Say that the message goes out although the one before may have been answered."""
    before = journal.in_doubt
    if before and not options.resend:
        what = f"whether turn {before.turn} was answered is unknown; it is not in the history"
        see = f"gemcli history -s {shlex.quote(options.session)} --turn {before.turn}"
        app.output.notice(f"{what}, and this message goes on without it (see {see})")


def preview(app: App, options: SendOptions) -> dict[str, object]:
    """The request that would be sent. Needs no key."""
    journal = _journal(app, options)
    if stored := _sent_before(journal, options):
        return {
            "session": options.session,
            **dict.fromkeys(("model", "backend", "method", "url", "body")),
            "notes": [f"answered before, as turn {stored.turn}: nothing is sent"],
        }
    request, backend = _request(app, journal, options)
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
    _, backend = _request(app, _journal(app, options), options)
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


def _request(app: App, journal: Journal, options: SendOptions) -> tuple[Request, Backend]:
    """The request, and its backend."""
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
