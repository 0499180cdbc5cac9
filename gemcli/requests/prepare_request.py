"""A message becomes a request: behind the history, with every setting, and in order.

What the API would refuse is refused here, before anything is written or sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from gemcli.api.backends import Backend
from gemcli.chat import contents, turn_order
from gemcli.chat.answers import continuation_token
from gemcli.chat.contents import Content
from gemcli.chat.open_calls import how_to_answer
from gemcli.errors import GemcliError, require_none
from gemcli.sessions import signatures
from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import Exchange
from gemcli.settings import config as settings
from gemcli.settings.config import Config

LARGEST_HOP = 65_536
"""How many tokens one request brings at most, and an answer without a limit of its own."""


@dataclass(frozen=True)
class Request:
    """A request ready to be recorded and sent.

    `config` is what this call adds to the session's config; `body` holds both, merged. `key`
    identifies a message that is to be sent once.
    """

    model: str
    body: dict[str, Any]
    content: Content
    config: Config
    notes: tuple[str, ...] = ()
    key: str | None = None


def prepare(
    journal: Journal,
    content: Content,
    backend: Backend,
    *,
    model: str | None = None,
    config: Config | None = None,
    key: str | None = None,
) -> Request:
    """The request that sends `content` after a session's history.

    `model` and `config` (REST form) are for this call only; `config` is merged over the session's,
    and over that of the request whose calls `content` answers: `settings_of_turn`. Raises
    `GemcliError` (OPEN_CALL, TURN_ORDER, SETTINGS) when the API would refuse the request.
    """
    turn = settings_of_turn(journal)
    name = model or turn.model
    config = settings.merge(turn.config, config or {})
    calls = journal.open_calls
    if calls and not contents.function_responses(content):
        waiting = ", ".join(str(call.get("name")) for call in calls)
        what = f"the history ends in calls of {waiting} that wait for their responses"
        hint = f"{how_to_answer(calls)}; or take its turn out: gemcli rewind -s SESSION"
        raise GemcliError("OPEN_CALL", f"{what}; a message cannot follow them", hint=hint)
    merged = settings.merge(journal.header["config"], config)
    body, notes = _body(journal, content, name, backend.name, merged)
    breaches = turn_order.check_request(body["contents"])
    require_none(breaches, "the turn order of the session is broken", "TURN_ORDER")
    clashes = settings.check(merged)
    require_none(clashes, "the settings of the session and of this message", "SETTINGS")
    return Request(name, body, content, config, notes, key)


class TurnSettings(NamedTuple):
    """The model of the next request, and the settings that it has beside the session's own."""

    model: str
    config: Config


def settings_of_turn(journal: Journal) -> TurnSettings:
    """The settings that an open turn goes on with, or a new turn begins with.

    A turn keeps the model and the settings of its message until it ends: those of the request whose
    answer called. An imported one has the model of its new session.
    """
    last = journal.open_exchange
    if last is None:
        return TurnSettings(journal.header["model"], {})
    imported = last.request.get("imported")
    model = journal.header["model"] if imported else last.request["model"]
    return TurnSettings(model, last.answered_config)


def last_request(journal: Journal) -> Request | None:
    """The request behind the last answer of the history, as it was sent; None without an answer."""
    answered = list(journal.answered)
    if not answered:
        return None
    last = answered[-1]
    return _same_request(journal, last, last.answered_config)


def prepare_continuation(
    journal: Journal, backend: Backend, max_output_tokens: int | None = None
) -> Request:
    """The request for the next hop of the last answer: the one before again, but for its token.

    `max_output_tokens` counts for the whole answer. It must be raised to go on with an answer that
    has used it up, and cannot be changed otherwise. Raises `GemcliError`: NOTHING_TO_CONTINUE,
    OPEN_CALL, USAGE.
    """
    exchange = journal.continuable
    if exchange is None:
        raise _nothing_to_continue(journal)
    if exchange.request["backend"] != backend.name:
        what = f"the answer to be continued comes from {exchange.request['backend']}"
        raise GemcliError("NOTHING_TO_CONTINUE", f"{what}, and this is {backend.name}")
    config = exchange.newest_config
    if max_output_tokens is not None:
        limit: Config = {"generationConfig": {"maxOutputTokens": max_output_tokens}}
        config = settings.merge(config, limit)
    request = _same_request(journal, exchange, config)
    request.body["continuationToken"] = continuation_token(exchange.answers[-1])
    _require_limit(journal, exchange, _token_limit(request.body))
    return request


def how_to_continue(journal: Journal) -> str:
    """The command that goes on with the last answer, which is `continuable`."""
    command = "gemcli send -s SESSION --continue"
    exchange = journal.continuable
    if exchange is None or exchange.verdict.finish_reason != "MAX_TOKENS":
        return command
    used_up = _token_limit(settings.merge(journal.header["config"], exchange.answered_config))
    return f"{command} --max-output-tokens {2 * (used_up or LARGEST_HOP)}"


def _require_limit(journal: Journal, exchange: Exchange, limit: int) -> None:
    """Raise `GemcliError` (USAGE) unless the answer can go on with this limit of tokens."""
    before = _token_limit(settings.merge(journal.header["config"], exchange.answered_config))
    if exchange.verdict.finish_reason == "MAX_TOKENS":
        problem = "has used up its tokens, and goes on only with more" if limit <= before else None
    else:
        problem = "has one --max-output-tokens for all of it" if limit != before else None
    if problem:
        raise GemcliError("USAGE", f"the answer {problem}", hint=how_to_continue(journal))


def _token_limit(body: Mapping[str, Any]) -> int:
    limit = (body.get("generationConfig") or {}).get("maxOutputTokens")
    return limit if isinstance(limit, int) else 0


def _nothing_to_continue(journal: Journal) -> GemcliError:
    if calls := journal.open_calls:
        what = "the last answer is complete, and its function calls wait for their responses"
        run = "gemcli send -s SESSION --continue --run-tools --tools FILE"
        hint = f"{how_to_answer(calls)}; or run the functions: {run}"
        return GemcliError("OPEN_CALL", what, hint=hint)
    return GemcliError("NOTHING_TO_CONTINUE", "no answer waits to be continued")


def _same_request(journal: Journal, exchange: Exchange, config: Config) -> Request:
    """The request of an exchange, as it was sent, with `config` beside the session's own."""
    record = exchange.request
    model, content, backend = record["model"], record["content"], record["backend"]
    merged = settings.merge(journal.header["config"], config)
    body, notes = _body(journal, content, model, backend, merged, until=exchange)
    return Request(model, body, content, config, notes)


def _body(
    journal: Journal,
    content: Content,
    model: str,
    backend: str,
    config: Config,
    *,
    until: Exchange | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body that sends `content` after the history, and notes about what was changed.

    With `until` it is as it was before that exchange.
    """

    def is_earlier(exchange: Exchange) -> bool:
        return exchange is not until

    to = signatures.target(model, backend, takewhile(is_earlier, journal.exchanges))
    answered = takewhile(is_earlier, journal.answered)
    sent, notes = signatures.sendable(answered, content, to)
    return {"contents": sent, **config}, tuple(notes)
