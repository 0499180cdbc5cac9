"""How a message is sent: into a session that may have to be made first, and only once if asked to.

`send` does what the command of that name promises; `exchange` does the rest.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import NamedTuple

from gemcli import exchange
from gemcli.api.backends import Backend
from gemcli.api.gemini import preload
from gemcli.api.retry import RetryPolicy
from gemcli.app import App
from gemcli.chat.contents import Content
from gemcli.create_session import create_if_missing, header, renewed_header
from gemcli.errors import GemcliError
from gemcli.exchange import Result
from gemcli.requests.call_model import Transport
from gemcli.requests.prepare_request import Request, how_to_continue
from gemcli.send.choose_request import (
    SendOptions,
    Step,
    continuation_request,
    first_request,
    first_step,
    message_request,
    sent_before,
)
from gemcli.sessions import names, once
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import SessionRecord
from gemcli.sessions.session import Session
from gemcli.signals import deferred
from gemcli.terminal.answer_printer import Printer
from gemcli.tools import turn
from gemcli.tools.call_tools import Run
from gemcli.tools.turn import Played

ORIGIN = {"kind": "send"}
"""The origin of a session that --create makes."""


class Reply(NamedTuple):
    """What came of a message, and the tools that were run for it.

    `sent` is false if the answer was stored before.
    """

    result: Result
    journal: Journal
    sent: bool
    runs: list[Run]


@contextmanager
def send(app: App, options: SendOptions, printer: Printer) -> Iterator[Reply]:
    """Send the message; `printer` gets the answer as it arrives, and in the block the result.

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
            stored = sent_before(session.journal, options)
            step = first_step(session.journal, options, stored)
            runs: list[Run] = []
            if stored and step is Step.NOTHING:
                result = exchange.stored_result(stored, session.journal)
                printer.on_chunk(result.answer)
            else:
                if settings := _new_settings(app, session.journal, options):
                    session.append(settings)
                request, backend = first_request(app, session.journal, options, step)
                if names.is_path(options.session) and not created:
                    app.tell_destinations(session.journal.header)
                _note_what_came_before(app, session.journal, options, step)
                with _transport(app, backend, options, printer) as transport:
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
        return message_request(app, session.journal, answering)[0]

    try:
        return turn.play(session, result, request_for, transport, options.tooling)
    except GemcliError as error:
        may_go_on = options.tooling.max_rounds and session.journal.open_turn
        command = options.tooling.command
        is_told = command in (error.hint or "")
        if error.status not in ("tempfail", "signal") or not may_go_on or is_told:
            raise
        hint = f"go on with the turn: {command}"
        raise error.replace(hint=hint) from error.__cause__


def _ask(session: Session, request: Request, transport: Transport, step: Step) -> Result:
    """Send the request, or go on with the last answer. Raises `GemcliError`."""
    send_it = exchange.continue_answer if step is Step.GO_ON else exchange.exchange
    try:
        return send_it(session, request, transport)
    except GemcliError as error:
        lost = error.reason == "INTERRUPTED" or (step is Step.GO_ON and error.outcome == "unknown")
        if not lost or not session.journal.continuable:
            raise
        hint = f"go on with the answer: {how_to_continue(session.journal)}"
        raise error.replace(hint=hint) from error.__cause__


@contextmanager
def _transport(
    app: App, backend: Backend, options: SendOptions, printer: Printer
) -> Iterator[Transport]:
    with closing(app.gemini(backend, options.limits.remaining)) as gemini:
        yield Transport(
            gemini=gemini,
            backend=backend,
            limits=options.limits,
            retry=RetryPolicy(options.retries, random.random),
            notice=app.output.notice,
            on_wait=printer.on_wait,
            on_chunk=printer.on_chunk,
            on_resume=printer.on_resume,
            max_hops=options.max_hops,
        )


def _note_what_came_before(app: App, journal: Journal, options: SendOptions, step: Step) -> None:
    """Say that the last request may have been answered, or that its answer is given up."""
    session = shlex.quote(options.session)
    long = journal.continuable
    if step is Step.SEND and long and once.must_go_on(journal, long):
        what = f"the answer of turn {long.turn} is not finished, and this message gives up the rest"
        app.output.notice(f"{what}; gemcli send -s {session} --continue would have asked for it")
    before = long if step is Step.GO_ON else journal.in_doubt
    if before is None or options.resend:
        return
    if step is Step.CALL:
        what = f"whether the responses of turn {before.turn} were answered is unknown"
        app.output.notice(f"{what}; they are sent again")
    elif step is Step.SEND:
        what = f"whether turn {before.turn} was answered is unknown; it is not in the history"
        see = f"gemcli history -s {session} --turn {before.turn}"
        app.output.notice(f"{what}, and this message goes on without it (see {see})")
    elif before.hop_in_doubt:
        what = f"whether hop {len(before.hops) + 1} of the answer was answered is unknown"
        app.output.notice(f"{what}; it is asked for again")


def preview(app: App, options: SendOptions) -> dict[str, object]:
    """The request that would be sent. Needs no key."""
    journal = _journal(app, options)
    stored = sent_before(journal, options)
    step = first_step(journal, options, stored)
    if stored and step is Step.NOTHING:
        return {
            "session": options.session,
            **dict.fromkeys(("model", "backend", "method", "url", "body")),
            "notes": [f"answered before, as turn {stored.turn}: nothing is sent"],
        }
    choose = continuation_request if step is Step.GO_ON else message_request
    request, backend = choose(app, journal, options)
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
    _, backend = message_request(app, _journal(app, options), options)
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
