"""What a script would send to a session, and what of it was sent before. Pure.

Each message has a key, made from the model, the config, the message itself and, by the key before
it, everything that was said before. So a turn that was answered is known again, however often the
script runs; and a script that was edited at an answered turn is found out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from gemcli.chat.contents import Content
from gemcli.errors import GemcliError
from gemcli.replay.script import Script, Turn
from gemcli.sessions import once
from gemcli.sessions.journal import Exchange, Journal
from gemcli.sessions.records import Record
from gemcli.settings.config import Config, merge


@dataclass(frozen=True)
class Plan:
    """A turn as it is to be sent.

    The user Content, its key, the model, and the config that this call adds.
    """

    turn: Turn
    content: Content
    key: str
    model: str
    call: Config


def plans(script: Script, journal: Journal) -> Iterator[Plan]:
    """Every turn of a script as it would be sent to a session, in order."""
    own = len(once.own_turns(journal))
    base = journal.live[: len(journal.live) - own]
    header, key = (
        journal.header,
        once.first([content for turn in base for content in turn.contents]),
    )
    model = script.model or header["model"]
    for turn in script.turns:
        content = turn.rendered(script.vars)
        call = merge(script.config, turn.config)
        config = merge(header["config"], call)
        key = once.chained(key, model, config, content)
        yield Plan(turn, content, key, model, {} if config == header["config"] else call)


def require_settings(script: Script, header: Record) -> None:
    """Raise `GemcliError` (DIVERGED) if the session was made by this script with settings that it has no more.

    All else that changed since then goes with each message, and into its key.
    """
    made = (header.get("origin") or {}).get("kind") == "replay"
    if made and merge(header["config"], script.config) != script.config:
        what = "the session was made with settings that the script has no more"
        raise GemcliError("DIVERGED", what, hint="play it in a new session")


class Past:
    """What was answered in a session before the run, turn by turn.

    `name` is what hints call the session.
    """

    def __init__(self, script: Script, journal: Journal, name: str | None = None) -> None:
        self._script = script
        self._journal = journal
        self._rewind = f"gemcli rewind -s {shlex.quote(name)}" if name else "gemcli rewind"
        self._answered = once.own_turns(journal)

    def exchange(self, place: int, plan: Plan, *, resend: bool) -> Exchange | None:
        """The exchange that makes sending a turn needless; None if it is to be sent.

        `place` counts from 0.

        Raises `GemcliError`: DIVERGED if something else was answered in its place, IN_DOUBT unless
        `resend`.
        """
        if place >= len(self._answered):
            return once.recall(self._journal, once.newest(self._journal, plan.key), resend=resend)
        first = self._answered[place].exchanges[0]
        if first.request.get("key") == plan.key:
            return first
        number = first.turn
        raise GemcliError(
            "DIVERGED",
            _difference(plan, self._journal.header, first.request, number),
            hint=self._way_back(place),
        )

    def require_no_more(self) -> None:
        """Raise `GemcliError` (DIVERGED) if more was answered than the script has turns."""
        if len(self._answered) > len(self._script.turns):
            number = self._answered[len(self._script.turns)].number
            what = f"turn {number} of the session is no turn of this script"
            raise GemcliError("DIVERGED", what, hint=self._way_back(len(self._script.turns)))

    def _way_back(self, place: int) -> str:
        """How to keep the turns before `place` and go on from there."""
        kept = self._journal.live[: len(self._journal.live) - len(self._answered) + place]
        number = kept[-1].number if kept else 0
        return f"{self._rewind} --to {number} takes it out, and the script goes on from there; or use a new session"


def _difference(plan: Plan, header: Record, request: Record, number: int) -> str:
    """Which of the things that make a key is another one now."""
    name = plan.turn.id
    if "key" not in request:
        return f"turn {number} of the session was not sent by this script"
    if request["content"] != plan.content:
        return f"the message of {name} is not the one that was answered in turn {number}"
    if request["model"] != plan.model:
        return f"{name} was answered by {request['model']} in turn {number}, and is to go to {plan.model} now"
    recorded: Config = request.get("config") or {}
    before, now = merge(header["config"], recorded), merge(header["config"], plan.call)
    if before != now:
        system = {key for key in {**before, **now} if before.get(key) != now.get(key)} == {
            "systemInstruction"
        }
        return f"{name} was answered with another {'system instruction' if system else 'config'} in turn {number}"
    return f"{name} was answered with another history in turn {number}"
