"""What a script would send to a session, and what of that was answered before. Pure.

The key of each message covers everything said before it, so an answered turn is recognised however
often the script runs, and a script that was edited at an answered turn is found out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gemcli.chat.contents import Content
from gemcli.errors import GemcliError
from gemcli.replay.script import Script, Turn
from gemcli.sessions import names, once
from gemcli.sessions.journal import Journal
from gemcli.sessions.once import Message
from gemcli.sessions.record_types import SessionRecord
from gemcli.sessions.turns import ANSWERED, Exchange
from gemcli.sessions.turns import Turn as RecordedTurn
from gemcli.settings import config as settings
from gemcli.settings.config import Config


@dataclass(frozen=True)
class Plan:
    """A turn of a script as it would be sent: its message, and the config of this one call."""

    turn: Turn
    message: Message
    call_config: Config

    def following(self, message: Message, content: Content) -> Message:
        """The message that brings the results of calls, after another one of the same turn."""
        key = once.next_key(message.key, message.model, message.config, content)
        return replace(message, key=key, content=content)


def plans(script: Script, journal: Journal) -> Iterator[Plan]:
    """Every turn of a script as it would be sent to a session, in order."""
    base = journal.live[: len(journal.live) - len(played_turns(script, journal))]
    key = once.first_key(_contents(base))
    for turn in script.turns:
        plan = _plan(script, turn, journal.header, key)
        key = plan.message.key
        yield plan


def played_turns(script: Script, journal: Journal) -> list[RecordedTurn]:
    """The turns of the history that are compared with those of the script, oldest first.

    They are those that the session was not created with. In a fork they begin with the turn that
    was the script's first one in the session it was forked from.
    """
    own = once.own_turns(journal)
    inherited = journal.live[: len(journal.live) - len(own)]
    first = script.turns[0].rendered(script.vars)
    for place, turn in enumerate(inherited):
        request = turn.exchanges[0].request
        if "key" not in request or request["content"] != first:
            continue
        start = once.first_key(_contents(inherited[:place]))
        if _plan(script, script.turns[0], journal.header, start).message.key == request["key"]:
            return journal.live[place:]
    return own


def _plan(script: Script, turn: Turn, header: SessionRecord, previous: str) -> Plan:
    """A turn that follows the message with the key `previous`."""
    content = turn.rendered(script.vars)
    model = script.model or header["model"]
    call_config = settings.merge(script.config, turn.config)
    config = settings.merge(header["config"], call_config)
    message = Message(once.next_key(previous, model, config, content), content, model, config)
    return Plan(turn, message, {} if config == header["config"] else call_config)


def _contents(turns: Sequence[RecordedTurn]) -> list[Content]:
    return [content for turn in turns for content in turn.contents]


def require_settings(script: Script, header: SessionRecord) -> None:
    """Raise `GemcliError` (DIVERGED) if the session was created with settings now gone.

    Every other change goes out with each message, and into its key.
    """
    created_by_replay = (header.get("origin") or {}).get("kind") == "replay"
    if created_by_replay and settings.merge(header["config"], script.config) != script.config:
        what = "the session was created with settings that the script no longer has"
        raise GemcliError("DIVERGED", what, hint="replay the script in a new session")


class RecordedTurns:
    """The turns that were answered in a session before this run; hints call it `session`."""

    def __init__(self, script: Script, journal: Journal, session: str | None = None) -> None:
        self._script = script
        self._journal = journal
        self._session = session
        self._turns = played_turns(script, journal)

    def stored_answer(
        self, place: int, message: Message, round_: int, *, resend: bool
    ) -> Exchange | None:
        """The exchange that answers a message; None if it must be sent.

        It is that of the turn at `place` or, from `round_` 1, brings results of calls to it.
        """
        answered, hint = self._answered(place), self._hint(place)
        if round_ < len(answered):
            exchange = answered[round_]
            if round_ and exchange.request["content"] != message.content:
                what = f"turn {exchange.turn} was answered with other tool results"
                raise GemcliError("DIVERGED", f"{what}; nothing was sent", hint=hint)
        elif last := once.last_try(self._journal, message):
            exchange = last
        else:
            return None
        return once.stored_answer(self._journal, exchange, message, resend=resend, hint=hint)

    def require_no_more_rounds(self, place: int, count: int) -> None:
        """Raise `GemcliError` (DIVERGED) if a turn has more than `count` answered exchanges."""
        answered = self._answered(place)
        if len(answered) > count:
            what = f"the script lacks tool results that turn {answered[0].turn} was answered with"
            raise GemcliError("DIVERGED", what, hint=self._hint(place))

    def require_no_more(self) -> None:
        """Raise `GemcliError` (DIVERGED) if more turns were answered than the script has."""
        length = len(self._script.turns)
        if len(self._turns) > length:
            what = f"the script has no message for turn {self._turns[length].number} of the session"
            raise GemcliError("DIVERGED", what, hint=self._hint(length))

    def _answered(self, place: int) -> list[Exchange]:
        """The exchanges of the turn at `place` that are in the history."""
        turn = self._turns[place] if place < len(self._turns) else None
        exchanges = turn.exchanges if turn else ()
        return [exchange for exchange in exchanges if exchange.state == ANSWERED]

    def _hint(self, place: int) -> str:
        """How to go on where the script and the session part: at `place`, from 0."""
        if place == 0 and self._session and self._is_of_a_person():
            copy = shlex.quote(names.copy_of(self._session))
            command = f"gemcli new -s {copy} --from {shlex.quote(self._session)}"
            return f"the session was not made by a script; replay into a copy of it: {command}"
        kept = self._journal.live[: len(self._journal.live) - len(self._turns) + place]
        number = kept[-1].number if kept else 0
        session = f" -s {shlex.quote(self._session)}" if self._session else ""
        return f"run gemcli rewind{session} --to {number} and replay again, or use a new session"

    def _is_of_a_person(self) -> bool:
        """Whether a person sent the first of the turns, and not a script."""
        requests = [turn.exchanges[0].request for turn in self._turns[:1]]
        return any(not once.is_computed(request.get("key", "")) for request in requests)
