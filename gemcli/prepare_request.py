"""A message becomes a request: behind the history, with every setting, and in order.

What the API would refuse is refused here, before anything is written or sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gemcli.api.backends import Backend
from gemcli.chat import contents, turn_order
from gemcli.chat.contents import Content
from gemcli.chat.open_calls import how_to_answer
from gemcli.errors import GemcliError, require_none
from gemcli.sessions import signatures
from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import ANSWERED, Exchange
from gemcli.settings import config as settings
from gemcli.settings.config import Config


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
    calls = turn_order.open_calls(journal.history)
    if calls and not contents.function_responses(content):
        waiting = ", ".join(str(call.get("name")) for call in calls)
        what = f"the history ends in calls of {waiting} that wait for their responses"
        hint = f"{how_to_answer(calls)}; or take its turn out: gemcli rewind -s SESSION"
        raise GemcliError("OPEN_CALL", f"{what}; a message cannot follow them", hint=hint)
    merged = settings.merge(journal.header["config"], config)
    body, notes = _body(journal.answered, content, name, backend.name, merged)
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
    turn = journal.open_turn
    if turn is None:
        return TurnSettings(journal.header["model"], {})
    answered = [exchange for exchange in turn.exchanges if exchange.state == ANSWERED]
    request = answered[-1].request
    model = journal.header["model"] if request.get("imported") else request["model"]
    return TurnSettings(model, request.get("config") or {})


def last_request(journal: Journal) -> Request | None:
    """The request behind the last answer of the history, as it was sent; None without an answer."""
    answered = list(journal.answered)
    if not answered:
        return None
    record = answered.pop().request
    model, content, config = record["model"], record["content"], record.get("config") or Config()
    merged = settings.merge(journal.header["config"], config)
    body, notes = _body(answered, content, model, record["backend"], merged)
    return Request(model, body, content, config, notes)


def _body(
    answered: Iterable[Exchange], content: Content, model: str, backend: str, config: Config
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body that sends `content` after these exchanges, and notes about what was changed."""
    history, dropped = signatures.history(answered, model, backend)
    sent, stood_in = signatures.with_stand_ins([*history, content], model)
    notes = []
    if dropped:
        notes.append("thought signatures of another model or backend were left out")
    if stood_in:
        notes.append("a function call without a signature was sent with the documented stand-in")
    return {"contents": sent, **config}, tuple(notes)
