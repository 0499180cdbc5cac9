"""The run: the conversations of a suite, one after the other, and what is reported of them."""

from __future__ import annotations

from contextlib import ExitStack

from gemcli.api.request_thread import interrupted
from gemcli.errors import GemcliError
from gemcli.replay import events
from gemcli.replay.context import RunContext
from gemcli.replay.conversation import Conversation
from gemcli.replay.events import Tally
from gemcli.replay.script import Script, Suite
from gemcli.sessions.journal import Journal
from gemcli.sessions.session import Session
from gemcli.signals import Interrupted, deferred

ENDING_REASONS = ("RATE_LIMIT", "CONNECT", "DNS", "CONNECT_TIMEOUT", "SESSION_BUSY", "TIMEOUT")
"""Reasons that the conversations after this one would meet as well."""

ENDING_STATUSES = ("signal", "io", "credentials", "quota")
"""Exit statuses that end the run too."""


def run(suite: Suite, context: RunContext, *, dry_run: bool = False) -> Tally:
    """Play the conversations of a suite in order, and report each turn as an event.

    With `dry_run` nothing is sent or written. The tally has the errors, in order.
    """
    tally = Tally(suite, dry_run=dry_run)
    resuming = sum(context.session_exists(script) for script in suite.scripts)
    context.emit(events.run_event(suite, resuming, dry_run=dry_run))
    playing = _Run(context, tally)
    if dry_run:
        playing.preview(suite)
    else:
        playing.play(suite)
    return tally


class _Run:
    """A run under way."""

    def __init__(self, context: RunContext, tally: Tally) -> None:
        self._context = context
        self._tally = tally

    def preview(self, suite: Suite) -> None:
        """Report what playing would do."""
        for script in suite.scripts:
            try:
                journal = self._context.read_session(script)
            except GemcliError as error:
                self._report_error(script, error)
            else:
                planned_before = self._tally.counts["planned"]
                passed = self._play_turns(script, journal, None)
                if self._tally.counts["planned"] > planned_before:
                    self._tally.planned += 1
                else:
                    self._tally.passed += passed

    def play(self, suite: Suite) -> None:
        """Play until a conversation meets what would end the others as well."""
        try:
            self._play_conversations(suite)
        except Interrupted as stop:
            if not any(error.status == "signal" for error in self._tally.errors):
                self._tally.errors.append(interrupted(stop.signum, sent=False))

    def _play_conversations(self, suite: Suite) -> None:
        # The first session stays locked to the end, so a second run of the suite ends at once.
        with ExitStack() as first_lock:
            for script in suite.scripts:
                if any(_would_recur(error) for error in self._tally.errors):
                    return
                with ExitStack() as lock:
                    self._play_conversation(script, lock)
                    if script is suite.scripts[0]:
                        first_lock.enter_context(lock.pop_all())

    def _play_conversation(self, script: Script, lock: ExitStack) -> None:
        """Play one conversation, with its session locked until `lock` is closed."""
        if stop := self._context.stop_reason():
            self._tally.errors.append(stop)
            return
        try:
            session = lock.enter_context(self._context.open_session(script))
        except GemcliError as error:
            self._report_error(script, error)
            return
        with deferred:  # a signal ends the conversation between its turns, not within one
            passed = self._play_turns(script, session.journal, session)
        self._tally.passed += passed

    def _play_turns(self, script: Script, journal: Journal, session: Session | None) -> bool:
        """Play one conversation, and report each turn; whether nothing failed."""
        name = self._context.session_name(script)
        if name:
            self._tally.sessions.append(name)
        errors_before = len(self._tally.errors)
        conversation = Conversation(script, journal, session, self._context)
        try:
            for index, outcome in enumerate(conversation.play(), 1):
                self._tally.add(outcome)
                self._context.emit(events.turn_event(script, name, index, outcome))
                if outcome.error:
                    where = f"{script.name}/{outcome.plan.turn.id}"
                    # A turn without an answer has another number each time that it is sent.
                    where += f", turn {outcome.number}" if outcome.result else ""
                    self._tally.errors.append(_located(outcome.error, where, name))
        except GemcliError as error:
            self._report_error(script, error)
        return len(self._tally.errors) == errors_before

    def _report_error(self, script: Script, error: GemcliError) -> None:
        """Report a failure of a conversation outside of its turns."""
        session = self._context.session_name(script)
        self._context.emit(events.error_event(script, session, error))
        self._tally.errors.append(_located(error, script.name, session))


def _would_recur(error: GemcliError) -> bool:
    """Whether the conversations that follow would meet the same error."""
    # If one request was sent in vain, each of theirs may be, and all would be in doubt.
    sent_in_vain = error.outcome == "unknown"
    return sent_in_vain or error.reason in ENDING_REASONS or error.status in ENDING_STATUSES


def _located(error: GemcliError, where: str, session: str | None) -> GemcliError:
    """The error with where it happened, for the end of the run."""
    file = f" (session {session})" if session else ""
    message = f"{where}: {error.message}{file}"
    return error.replace(message=message).of_session(session)
