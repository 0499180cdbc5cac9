"""Sending once: whether a message was sent before, and what that means for sending it now. Pure.

A message may have a key, which its `request` record carries: the name that the user gave it (`send
--once`), or what replay computes from the model, the config, the message and the key before it. The
last try under that key decides: an answered message is not sent again, and one in doubt only if the
user says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gemcli.chat.contents import Content
from gemcli.chat.long_answers import is_unfinished
from gemcli.errors import GemcliError
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import RequestRecord, SessionRecord
from gemcli.sessions.turns import ANSWERED, FAILED, REFUSED, Exchange, Turn
from gemcli.settings.config import Config, merge


class Delivery(Enum):
    """What the last try of a message means for sending it now."""

    UNSENT = "never sent, or rejected, or its answer was rewound"
    ANSWERED = "its answer is in the history"
    UNFINISHED = "answered in part, and the answer can go on"
    REFUSED = "answered with a refusal that sending again would not change"
    RETRYABLE = "answered with a refusal that sending again may change"
    IN_DOUBT = "sent, and the outcome is unknown"


@dataclass(frozen=True)
class Message:
    """A message as it would be sent now. `config` is the whole one, the session's included."""

    key: str
    content: Content
    model: str
    config: Config


def first_key(history: Sequence[Content]) -> str:
    """The start of a chain of keys for a conversation that continues `history`."""
    return _digest(["gemcli", 1, history])


def next_key(previous: str, model: str, config: Config, content: Content) -> str:
    """The key of the message that follows the one with the key `previous`."""
    return _digest([model, config, content, previous])


def is_computed(key: str) -> bool:
    """Whether a key is one of replay, and not a name that a person gave."""
    return re.fullmatch("[0-9a-f]{64}", key) is not None


def last_try(journal: Journal, message: Message) -> Exchange | None:
    """The newest exchange with the message's key that was sent in this session."""

    def rank(exchange: Exchange) -> tuple[bool, bool, int]:
        # Undoing a rewind brings an answer back below newer tries. The fate of another message
        # under the same key says nothing about this one.
        same_content = exchange.request["content"] == message.content
        return _in_history(journal, exchange), same_content, exchange.turn

    tries = [
        exchange
        for exchange in journal.exchanges
        if exchange.request.get("key") == message.key and not exchange.request.get("imported")
    ]
    # Of several in one turn, the newest.
    return max(reversed(tries), key=rank, default=None)


def delivery(journal: Journal, exchange: Exchange | None) -> Delivery:
    """What `exchange`, the last try of a message, means for sending it now."""
    if exchange is None or exchange.state == FAILED:
        return Delivery.UNSENT
    unfinished = is_unfinished(exchange.answer or {}) and not exchange.is_stuck
    if journal.continuable is exchange:
        if exchange.hop_in_doubt:
            return Delivery.IN_DOUBT
        if unfinished:
            return Delivery.UNFINISHED
    if exchange.state == ANSWERED:
        return Delivery.ANSWERED if _in_history(journal, exchange) else Delivery.UNSENT
    if exchange.state == REFUSED:
        if _history_changed_since(journal, exchange):
            return Delivery.UNSENT
        error = exchange.verdict.error
        retryable = error is None or error.retryable or unfinished
        return Delivery.RETRYABLE if retryable else Delivery.REFUSED
    return Delivery.IN_DOUBT


def stored_answer(
    journal: Journal, exchange: Exchange, message: Message, *, resend: bool, hint: str
) -> Exchange | None:
    """`exchange`, the last try, if its answer stands for `message`; None to send the message.

    The answer may have to go on: see `must_go_on`. Raises `GemcliError`: IN_DOUBT, unless `resend`;
    DIVERGED if it answered another message.
    """
    found = delivery(journal, exchange)
    if found is Delivery.IN_DOUBT and not resend:
        outcome = "is not recorded" if exchange.failure is None else "is unknown"
        sent = f"it was sent before, as turn {exchange.turn}"
        if exchange.hops:
            sent = f"hop {len(exchange.hops) + 1} of turn {exchange.turn} was asked for before"
        raise GemcliError("IN_DOUBT", f"{sent}, and its outcome {outcome}")
    if found in (Delivery.UNSENT, Delivery.RETRYABLE) or not exchange.hops:
        return None
    difference = _difference(journal.header, exchange.request, message)
    if difference is None:
        return exchange
    if exchange.state == REFUSED:
        return None
    what = f"turn {exchange.turn} was {difference}; this message was not sent"
    raise GemcliError("DIVERGED", what, hint=hint)


def last_answer(journal: Journal, exchange: Exchange, *, resend: bool) -> Exchange:
    """The last answer of the turn that `exchange` began, if that called functions.

    Raises `GemcliError` (IN_DOUBT), unless `resend`, if their responses may have been answered.
    """
    turn = journal.turns[exchange.turn]
    if exchange.state != ANSWERED:
        return exchange
    if journal.in_doubt in turn.exchanges and not resend:
        what = f"the functions of turn {turn.number} were answered, and the outcome is unknown"
        raise GemcliError("IN_DOUBT", what)
    return [one for one in turn.exchanges if one.state == ANSWERED][-1]


def must_go_on(journal: Journal, exchange: Exchange) -> bool:
    """Whether the answer of an exchange, the last try of a message, is not finished yet."""
    found = delivery(journal, exchange)
    return found is Delivery.UNFINISHED or (found is Delivery.IN_DOUBT and bool(exchange.hops))


def own_turns(journal: Journal) -> list[Turn]:
    """The turns of the history that the session was not created with, oldest first."""
    return [turn for turn in journal.live if not turn.exchanges[0].request.get("imported")]


def _difference(header: SessionRecord, request: RequestRecord, message: Message) -> str | None:
    """How the message of a `request` differs from `message`; None if they are the same."""
    if "key" not in request:
        return "sent without a key"
    if request["content"] != message.content:
        return "answered for another message"
    if request["model"] != message.model:
        return f"answered by another model, {request['model']}"
    config = merge(header["config"], request.get("config") or {})
    if config != message.config:
        names = {*config, *message.config}
        changed = {name for name in names if config.get(name) != message.config.get(name)}
        what = "system instruction" if changed == {"systemInstruction"} else "config"
        return f"answered with another {what}"
    if request["key"] != message.key:
        return "answered after another history"
    return None


def _in_history(journal: Journal, exchange: Exchange) -> bool:
    return exchange.state == ANSWERED and not journal.turns[exchange.turn].rewound


def _history_changed_since(journal: Journal, exchange: Exchange) -> bool:
    """Whether the history before `exchange` is no longer what it was when it was sent."""
    changed: set[int] = set()
    for record in journal.records[journal.records.index(exchange.request) :]:
        if record["kind"] in ("rewind", "undo"):
            # A turn that is taken out and brought back, in any order, is as it was.
            changed ^= set(record["turns"])
    return any(number < exchange.turn for number in changed)


def _digest(value: object) -> str:
    """A fingerprint of plain values, whatever the order of keys."""
    # ASCII, so that an unpaired surrogate, which JSON can hold, can be hashed too.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
