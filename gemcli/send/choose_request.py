"""Which request `send` begins with: a message, responses, or what the last turn still waits for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum

from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.limits import Limits
from gemcli.api.models import check_model
from gemcli.app import App
from gemcli.chat.contents import Content
from gemcli.chat.long_answers import is_unfinished
from gemcli.create_session import NewOptions
from gemcli.errors import GemcliError, counted
from gemcli.requests.prepare_request import Request, prepare, prepare_continuation, settings_of_turn
from gemcli.sessions import once
from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import Exchange
from gemcli.settings.config import Config, merge
from gemcli.tools import given_responses
from gemcli.tools.call_tools import NO_TOOLS, Tooling, recorded_results
from gemcli.tools.given_responses import GivenResponse


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


class Step(Enum):
    """What a command does first."""

    NOTHING = "the answer is stored"
    GO_ON = "ask for the next hop of the last answer"
    CALL = "run the tools that the last answer calls"
    SEND = "send a message, or the responses that are given"


def sent_before(journal: Journal, options: SendOptions) -> Exchange | None:
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


def first_step(journal: Journal, options: SendOptions, stored: Exchange | None) -> Step:
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
    return more or is_unfinished(last.answer or {})


def first_request(
    app: App, journal: Journal, options: SendOptions, step: Step
) -> tuple[Request | None, Backend]:
    """The request of the first step, or None if tools run before it, and its backend."""
    if step is Step.GO_ON:
        return continuation_request(app, journal, options)
    if step is Step.SEND:
        return message_request(app, journal, options)
    model = check_model(settings_of_turn(journal).model)
    return None, backends.backend_for(journal.header, model, app.environ)


def message_request(app: App, journal: Journal, options: SendOptions) -> tuple[Request, Backend]:
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


def continuation_request(
    app: App, journal: Journal, options: SendOptions
) -> tuple[Request, Backend]:
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
    return given_responses.fit(journal.open_calls, options.responses, recorded_results(journal))
