"""How a message is sent: into a session that may have to be made first, and only once if asked to.

`send` does what the command of that name promises, and prints nothing; `exchange` does the rest.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
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
from gemcli.chat import long_answers, turn_order
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
from gemcli.tools import given_responses, turn
from gemcli.tools.call_tools import NO_TOOLS, Run, Tooling
from gemcli.tools.given_responses import GivenResponse
from gemcli.tools.turn import Played

ORIGIN = {"kind": "send"}
"""The origin of a session that --create makes."""


@dataclass(frozen=True)
class SendOptions:
    """What the command line asks for, read and checked. `wait` is for the session, in seconds.

    `content` is the message. There is none if `responses` answer the calls of the last turn, or if
    the command `continues` the last answer. It asks for at most `max_hops` hops of an answer. With
    `tooling` it runs what answers call.
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
    tooling: Tooling = NO_TOOLS

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
    """What came of a message, and the tools that were run for it.

    `sent` is false if the answer was stored before.
    """

    result: Result
    journal: Journal
    sent: bool
    runs: list[Run]


class Step(Enum):
    """What a command does first."""

    NOTHING = "the answer is stored"
    GO_ON = "ask for the next hop of the last answer"
    CALL = "run the tools that the last answer calls"
    SEND = "send a message, or the responses that are given"


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
            step = _first_step(session.journal, options, stored)
            runs: list[Run] = []
            if stored and step is Step.NOTHING:
                result = exchange.stored_result(stored, session.journal)
                if on_chunk:
                    on_chunk(result.answer)
            else:
                if settings := _new_settings(app, session.journal, options):
                    session.append(settings)
                request, backend = _FIRST[step](app, session.journal, options)
                if names.is_path(options.session) and not created:
                    app.tell_destinations(session.journal.header)
                _note_doubt(app, session.journal, options, step)
                with _transport(app, backend, options, on_chunk, on_wait, on_resume) as transport:
                    signals_held.enter_context(deferred)
                    with app.output.waiting("waiting for the answer"):
                        result, runs = _play(app, session, request, transport, options, step)
                    if result.unsaved is None:
                        signals_held.close()  # the answer is safe: a signal may end the program
        yield Reply(result, session.journal, step is not Step.NOTHING, runs)


def _play(
    app: App,
    session: Session,
    request: Request | None,
    transport: Transport,
    options: SendOptions,
    step: Step,
) -> Played:
    """Do the first step, and run the tools that answers call, if they may be run."""
    result = _ask(session, request, transport, step) if request else None

    def request_for(responses: Content) -> Request:
        answering = replace(options, content=responses, key=None, create=False)
        return _message(app, session.journal, answering)[0]

    try:
        return turn.play(session, result, request_for, transport, options.tooling)
    except GemcliError as error:
        may_go_on = options.tooling.max_rounds and session.journal.open_turn
        if error.status not in ("tempfail", "signal") or not may_go_on:
            raise
        hint = f"go on with the turn: {options.tooling.command}"
        raise error.replace(hint=hint) from error.__cause__


def _ask(session: Session, request: Request, transport: Transport, step: Step) -> Result:
    """Send the request, or go on with the last answer. Raises `GemcliError`."""
    send_it = exchange.continue_answer if step is Step.GO_ON else exchange.exchange
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


def _note_doubt(app: App, journal: Journal, options: SendOptions, step: Step) -> None:
    """Say that the request goes out although the one before may have been answered."""
    before = journal.continuable if step is Step.GO_ON else journal.in_doubt
    if before is None or options.resend:
        return
    if step is Step.CALL:
        what = f"whether the responses of turn {before.turn} were answered is unknown"
        app.output.notice(f"{what}; they are sent again")
    elif step is Step.SEND:
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
    step = _first_step(journal, options, stored)
    if stored and step is Step.NOTHING:
        return {
            "session": options.session,
            **dict.fromkeys(("model", "backend", "method", "url", "body")),
            "notes": [f"answered before, as turn {stored.turn}: nothing is sent"],
        }
    request, backend = (_continuation if step is Step.GO_ON else _message)(app, journal, options)
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
    _, backend = _message(app, _journal(app, options), options)
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


def _first_step(journal: Journal, options: SendOptions, stored: Exchange | None) -> Step:
    """What to do: for a message that is `stored`, what its turn still waits for, if anything."""
    if stored and once.must_go_on(journal, stored):
        return Step.GO_ON
    if not stored and not options.continues:
        return Step.SEND
    open_turn = journal.open_turn
    may_call = options.tooling.max_rounds and not _must_be_longer(journal, options)
    if may_call and open_turn and (stored is None or stored.turn == open_turn.number):
        return Step.CALL
    return Step.NOTHING if stored else Step.GO_ON


def _must_be_longer(journal: Journal, options: SendOptions) -> bool:
    """Whether the last answer goes on before its calls count."""
    last = journal.continuable
    if last is None:
        return False
    more = options.continues and options.max_output_tokens is not None
    return more or long_answers.goes_on(last.answer or {})


def _message(app: App, journal: Journal, options: SendOptions) -> tuple[Request, Backend]:
    """The request with a message or responses, and its backend."""
    content = _content(journal, options)
    turns = len(journal.live) - (journal.open_turn is not None)
    if options.max_turns is not None and turns >= options.max_turns:
        has = f"{options.session} has {counted(turns, 'turn')}"
        message = f"{has}, and --max-turns is {options.max_turns}; nothing was sent"
        raise GemcliError("TOO_MANY_TURNS", message)
    before = settings_of_turn(journal)
    model = check_model(before.model if options.model is None else options.model)
    backend = backends.backend_for(journal.header, model, app.environ)
    usual = merge(journal.header["config"], before.config)
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


def _calls(app: App, journal: Journal, _options: SendOptions) -> tuple[None, Backend]:
    """No request, because tools run before it, and the backend of the one with their results."""
    model = check_model(settings_of_turn(journal).model)
    return None, backends.backend_for(journal.header, model, app.environ)


_FIRST: dict[Step, Callable[[App, Journal, SendOptions], tuple[Request | None, Backend]]] = {
    Step.GO_ON: _continuation,
    Step.CALL: _calls,
    Step.SEND: _message,
}
"""What makes the request of each step."""


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
    stored = once.stored_answer(journal, last, message, resend=options.resend, hint=hint)
    return once.last_answer(journal, stored, resend=options.resend) if stored else None
