"""What a script would send to a session, and what of that was answered before. Pure.

The key of each message covers everything said before it, so an answered turn is recognised however
often the script runs, and a script that was edited at an answered turn is found out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from gemcli.errors import GemcliError
from gemcli.replay.script import Script, Turn
from gemcli.sessions import once
from gemcli.sessions.journal import Exchange, Journal
from gemcli.sessions.once import Message
from gemcli.sessions.records import SessionRecord
from gemcli.settings import config as settings
from gemcli.settings.config import Config


@dataclass(frozen=True)
class Plan:
    """A turn of a script as it would be sent: its message, and the config of this one call."""

    turn: Turn
    message: Message
    call_config: Config


def plans(script: Script, journal: Journal) -> Iterator[Plan]:
    """Every turn of a script as it would be sent to a session, in order."""
    header = journal.header
    own = len(once.own_turns(journal))
    base = journal.live[: len(journal.live) - own]
    key = once.first_key([content for turn in base for content in turn.contents])
    model = script.model or header["model"]
    for turn in script.turns:
        content = turn.rendered(script.vars)
        call_config = settings.merge(script.config, turn.config)
        config = settings.merge(header["config"], call_config)
        key = once.next_key(key, model, config, content)
        message = Message(key, content, model, config)
        yield Plan(turn, message, {} if config == header["config"] else call_config)


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
        self._turns = once.own_turns(journal)

    def stored_answer(self, place: int, message: Message, *, resend: bool) -> Exchange | None:
        """The exchange that answers the turn at `place` (from 0); None if it must be sent."""
        if place < len(self._turns):
            exchange = self._turns[place].exchanges[0]
        elif last := once.last_try(self._journal, message):
            exchange = last
        else:
            return None
        hint = self.rewind_hint(place)
        return once.stored_answer(self._journal, exchange, message, resend=resend, hint=hint)

    def require_no_more(self) -> None:
        """Raise `GemcliError` (DIVERGED) if more turns were answered than the script has."""
        length = len(self._script.turns)
        if len(self._turns) > length:
            what = f"the script has no message for turn {self._turns[length].number} of the session"
            raise GemcliError("DIVERGED", what, hint=self.rewind_hint(length))

    def rewind_hint(self, place: int) -> str:
        """How to keep the turns before `place` and continue from there."""
        kept = self._journal.live[: len(self._journal.live) - len(self._turns) + place]
        number = kept[-1].number if kept else 0
        session = f" -s {shlex.quote(self._session)}" if self._session else ""
        return f"run gemcli rewind{session} --to {number} and replay again, or use a new session"
