"""Keys: how a message that was sent before is known again, so that nobody pays for it twice. Pure.

A message may be sent under a key, which its `request` record carries. The newest request with that
key decides what may be done with it: what was answered is not sent again; of what is in doubt
nobody knows, so it is not sent again without being told to; what was rejected never counted.

Replay makes its keys itself: each covers the model, the config, the message and, by the key before
it, everything that was said before. What a session was created with (a fork, an import) was asked
under no key of this session.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from gemcli.chat import answers
from gemcli.chat.contents import Content
from gemcli.errors import GemcliError, counted
from gemcli.sessions.journal import ANSWERED, FAILED, REFUSED, Exchange, Journal, Turn


class Standing(Enum):
    """What a message's past means for sending it now."""

    UNSENT = "it was never sent, or rejected, or its answer was taken out of the history"
    ANSWERED = "its answer is in the history"
    REFUSED = "it was answered with a refusal that sending again would not change"
    RETRYABLE = "it was answered with a refusal that sending again may change"
    IN_DOUBT = "it was sent, and what became of it is not known"


def first(history: Sequence[Content]) -> str:
    """What a chain of keys begins with when the conversation goes on from `history`."""
    return _digest(["gemcli", 1, history])


def chained(before: str, model: str, config: Mapping[str, object], content: Content) -> str:
    """The key of a message: `before` is the key of the one before it, `config` the whole one it is sent with."""
    return _digest([model, config, content, before])


def newest(journal: Journal, key: str, content: Content | None = None) -> Exchange | None:
    """The newest exchange that was asked under `key` in this session.

    One with its answer in the history comes first, as a rewind that is taken back puts it under
    newer tries; then those with `content`, as what became of another message under the same key
    says nothing of this one.
    """
    found = (
        one
        for one in journal.exchanges
        if one.request.get("key") == key and not one.request.get("imported")
    )
    return max(
        found,
        key=lambda one: (_in_history(journal, one), one.request["content"] == content, one.turn),
        default=None,
    )


def following(journal: Journal, place: int, content: Content) -> Exchange | None:
    """The exchange behind the first `place` turns of the history.

    The answered one, or the newest try of `content`.

    Raises `GemcliError` (DIVERGED) when the history has fewer turns.
    """
    live = journal.live
    if len(live) > place:
        return live[place].exchanges[0]
    if len(live) < place:
        have = counted(len(live), "turn")
        raise GemcliError(
            "DIVERGED",
            f"the history has {have}, not {place}",
            hint="messages before it are missing",
        )
    for turn in reversed(journal.turns.values()):
        if live and turn is live[-1]:
            break
        tried = turn.exchanges[0]
        if tried.request["content"] == content and not _of_another_history(journal, tried):
            return None if turn.contents else tried  # what was answered here was taken out
    return None


def standing(journal: Journal, exchange: Exchange | None) -> Standing:
    """What `exchange`, the newest of its key, means for sending the message now."""
    if exchange is None or exchange.state == FAILED:
        return Standing.UNSENT
    if exchange.state == ANSWERED:
        return Standing.ANSWERED if _in_history(journal, exchange) else Standing.UNSENT
    if exchange.state == REFUSED:
        if _of_another_history(journal, exchange):
            return Standing.UNSENT
        error = answers.judge(exchange.answer or {}).error
        return Standing.RETRYABLE if error is None or error.retryable else Standing.REFUSED
    return Standing.IN_DOUBT


def recall(journal: Journal, exchange: Exchange | None, *, resend: bool) -> Exchange | None:
    """The `exchange`, the newest of its key, if its answer stands.

    None if the message is to be sent.

    Raises `GemcliError` (IN_DOUBT) when it may have been answered, unless it is to be sent again
    then.
    """
    found = standing(journal, exchange)
    if exchange and found is Standing.IN_DOUBT and not resend:
        what = "is not recorded" if exchange.outcome is None else "is unknown"
        raise GemcliError(
            "IN_DOUBT", f"it was sent before, as turn {exchange.turn}, and what came of it {what}"
        )
    return exchange if found in (Standing.ANSWERED, Standing.REFUSED) else None


def own_turns(journal: Journal) -> list[Turn]:
    """The turns of the history that were sent in this session, oldest first.

    All but those it was created with.
    """
    return [turn for turn in journal.live if not turn.exchanges[0].request.get("imported")]


def _in_history(journal: Journal, exchange: Exchange) -> bool:
    return exchange.state == ANSWERED and not journal.turns[exchange.turn].rewound


def _of_another_history(journal: Journal, exchange: Exchange) -> bool:
    """Whether what was said before `exchange` is not what was in the history when it was asked."""
    turned: set[int] = set()
    for record in journal.records[journal.records.index(exchange.request) :]:
        if record["kind"] in (
            "rewind",
            "undo",
        ):  # what is taken out and brought back, in any order, is as it was
            turned ^= set(record["turns"])
    return any(number < exchange.turn for number in turned)


def _digest(value: Any) -> str:
    """A fingerprint of plain values, whatever the order of keys."""
    # ASCII, so that a lone surrogate, which JSON can hold, can be hashed too.
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    ).hexdigest()
