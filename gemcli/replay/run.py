"""The run: the conversations of a suite, one after the other, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from gemcli.api.request_thread import interrupted
from gemcli.errors import GemcliError
from gemcli.replay import events
from gemcli.replay.conversation import Conversation, Way
from gemcli.replay.events import Event, Tally
from gemcli.replay.script import Script, Suite
from gemcli.sessions.journal import Journal
from gemcli.sessions.session import Session
from gemcli.signals import Interrupted, deferred

HOPELESS = frozenset({"RATE_LIMIT", "CONNECT", "DNS", "CONNECT_TIMEOUT", "SESSION_BUSY"})
"""Reasons after which the conversations that follow would fare no better."""

HOPELESS_STATUSES = frozenset({"signal", "io", "credentials", "quota"})
"""Exit statuses of which the same is true."""


class Stage(Way, Protocol):
    """What a run needs of the world."""

    def look(self, script: Script) -> Journal:
        """The session of a script as it is, or as it would be made; nothing is written."""

    def open(self, script: Script) -> AbstractContextManager[Session]:
        """The session of a script, locked; made first if it is missing."""


class Run:
    """Plays the scripts of a suite. `tally` has the counts when it is done."""

    def __init__(
        self,
        suite: Suite,
        stage: Stage,
        tell: Callable[[Event], None],
        watch: Callable[[str], None],
    ) -> None:
        self.suite = suite
        self.tally = Tally(suite)
        self._stage = stage
        self._tell = tell
        self._watch = watch

    def play(self) -> None:
        """Play every conversation, until one meets what would keep the others from going on as well."""
        # The first session stays locked to the end, so a second run of the same suite ends at once.
        try:
            with ExitStack() as held:
                self._all(held)
        except (
            Interrupted
        ) as stop:  # while a session was being closed: what was done is told all the same
            self.tally.errors.append(interrupted(stop.signum, sent=False))

    def _all(self, held: ExitStack) -> None:
        for number, script in enumerate(self.suite.scripts):
            with ExitStack() as brief:
                errors = self._conversation(script, brief if number else held)
                self.tally.errors += errors
                self.tally.passed += not errors
            if any(_hopeless(error) for error in errors):
                return

    def look(self) -> None:
        """Tell what playing would do; nothing is sent or written."""
        for script in self.suite.scripts:
            try:
                errors = self._told(script, self._stage.look(script), None)
            except GemcliError as error:
                errors = [self._failed(script, error)]
            self.tally.errors += errors
            self.tally.passed += not errors

    def _conversation(self, script: Script, stack: ExitStack) -> list[GemcliError]:
        """Play one conversation; why it did not pass, if it did not."""
        errors: list[GemcliError] = []
        try:
            if over := self._stage.over():
                return [over]
            session = stack.enter_context(self._stage.open(script))
            with deferred:
                errors = self._told(script, session.journal, session)
        except GemcliError as error:
            errors.append(self._failed(script, error))
        except Interrupted as stop:
            if not any(error.status == "signal" for error in errors):
                errors.append(interrupted(stop.signum, sent=False))
        return errors

    def _told(self, script: Script, journal: Journal, session: Session | None) -> list[GemcliError]:
        """Play one conversation, or look at it, and tell of each turn; what went wrong."""
        name, errors = self._stage.name(script), []
        self.tally.sessions += [name] if name else []
        conversation = Conversation(
            script,
            journal,
            session,
            self._stage,
            lambda event: self._tell({**event, "run": script.name}),
        )
        try:
            for index, outcome in enumerate(conversation.play(), 1):
                self.tally.add(outcome)
                self._tell(events.turn_event(script, name, index, outcome))
                self._watch(events.progress(index, script, outcome))
                if outcome.error:
                    errors.append(_placed(outcome.error, f"{script.name}: {outcome.plan.turn.id}"))
        except GemcliError as error:
            errors.append(self._failed(script, error))
        return errors

    def _failed(self, script: Script, error: GemcliError) -> GemcliError:
        """Tell of what went wrong with a conversation outside of its turns.

        The error for the end of the run.
        """
        self._tell(events.error_event(script, self._stage.name(script), error))
        return _placed(error, script.name)


def _hopeless(error: GemcliError) -> bool:
    """Whether the conversations that follow would fare no better."""
    # After a request that was sent for nothing, each of theirs might be, and all would be in doubt.
    lost = error.reason == "TIMEOUT" or error.outcome == "unknown"
    return lost or error.reason in HOPELESS or error.status in HOPELESS_STATUSES


def _placed(error: GemcliError, where: str) -> GemcliError:
    """The error with where it happened, for the end of the run."""
    return error.replace(message=f"{where}: {error.message}")
