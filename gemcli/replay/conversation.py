"""One conversation of a run: its turns in order, each a transaction, with the session as journal.

    for each turn   answered before              → reused, nothing is sent
                    another message was answered → DIVERGED: script or session was changed
                    sent with unknown outcome    → IN_DOUBT, unless it may be sent again
                    else                         → `exchange`, as in `send`

A turn without a usable answer ends the conversation, so its history never has a hole. A signal lets
the request under way finish and be recorded, and nothing is sent after it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from gemcli.api.request_thread import interrupted
from gemcli.errors import GemcliError, counted
from gemcli.exchange import Result, WaitEvent, exchange, stored_result, wait_event
from gemcli.prepare_request import prepare
from gemcli.replay.checks import Check, Expected, is_too_slow, observe, run_checks, unmet
from gemcli.replay.context import RunContext
from gemcli.replay.events import Outcome, Status
from gemcli.replay.plan import Plan, RecordedTurns, plans, require_settings
from gemcli.replay.script import Script
from gemcli.replay.template import render
from gemcli.sessions import once
from gemcli.sessions.journal import Journal
from gemcli.sessions.once import Delivery
from gemcli.sessions.session import Session, Unsaved
from gemcli.signals import deferred

HINTS = {
    "UNAVAILABLE": "run the same command again later",
    "QUOTA_DAILY": "run the same command again tomorrow",
    "INCOMPLETE": "raise max_output_tokens in the script's `config`, and use a new session",
    "MAX_TOKENS_EMPTY": "raise max_output_tokens in `config`: thoughts used up the limit",
}
"""Hints for scripts, where another model or config would make another conversation."""


class Conversation:
    """A script and the journal of its session. Without a locked `session` nothing is sent."""

    def __init__(
        self, script: Script, journal: Journal, session: Session | None, context: RunContext
    ) -> None:
        self._script = script
        self._journal = journal
        self._session = session
        self._context = context
        self._recorded = RecordedTurns(script, journal, context.session_name(script))

    def play(self) -> Iterator[Outcome]:
        """Take the turns in order, and yield the outcome of each as soon as it is known.

        Raises `GemcliError` (DIVERGED) before the first turn if the session was made with other
        settings, or after the last if it has more turns than the script.
        """
        require_settings(self._script, self._journal.header)
        ended = False
        for place, plan in enumerate(plans(self._script, self._journal)):
            if ended:
                yield Outcome("skipped", plan)
                continue
            outcome = _with_script_hint(self._play_turn(place, plan))
            yield outcome
            ended = self._ends_conversation(outcome)
        if not ended:
            self._recorded.require_no_more()

    def _play_turn(self, place: int, plan: Plan) -> Outcome:
        """Find the stored answer of a turn, or send its message. Errors are in the outcome."""
        resend = self._script.on_unknown == "resend"
        try:
            stored = self._recorded.stored_answer(place, plan.message, resend=resend)
            if stored is not None:
                return self._judge(place, plan, stored_result(stored), sent=False)
            if expected := self._expected_refusal(place, plan):
                return expected
            if self._session is None:
                return Outcome("planned", plan)
            if stop := self._context.stop_reason(plan.turn.wait) or self._pause(plan):
                return Outcome("skipped", plan, error=stop)
            return self._judge(place, plan, self._send(self._session, plan), sent=True)
        except GemcliError as error:
            return self._failed(plan, error)

    def _failed(self, plan: Plan, error: GemcliError) -> Outcome:
        """The outcome of a turn without an answer."""
        status: Status = "in_doubt" if error.reason == "IN_DOUBT" else "error"
        sent = error.attempts is not None
        # A request that could not be recorded is not a turn of the session.
        unsaved = isinstance(error, Unsaved)
        last = None if unsaved else once.last_try(self._journal, plan.message)
        if last is None:
            return Outcome(status, plan, sent, error=error)
        time = last.request.get("time")
        return Outcome(status, plan, sent, last.turn, error=error, time=time)

    def _expected_refusal(self, place: int, plan: Plan) -> Outcome | None:
        """The outcome of a turn that was refused as expected, though a retry might be answered."""
        last = once.last_try(self._journal, plan.message)
        if last is None or once.delivery(self._journal, last) is not Delivery.RETRYABLE:
            return None
        outcome = self._judge(place, plan, stored_result(last), sent=False)
        return None if outcome.error else outcome

    def _pause(self, plan: Plan) -> GemcliError | None:
        """Wait before a message if the script says so; the signal's error if one has arrived."""
        seconds = plan.turn.wait
        if seconds and not deferred.arrived:
            self._emit(plan, wait_event(seconds, "SCRIPT", "the script says so"))
            deferred.sleep(seconds)
        return interrupted(deferred.arrived[0], sent=False) if deferred.arrived else None

    def _send(self, session: Session, plan: Plan) -> Result:
        message, journal, config = plan.message, session.journal, plan.call_config
        transport = self._context.transport(journal, message.model, partial(self._emit, plan))
        backend, model, key = transport.backend, message.model, message.key
        request = prepare(journal, message.content, backend, model=model, config=config, key=key)
        with self._context.app.output.waiting(waiting_for):
            return exchange(session, request, transport)

    def _emit(self, plan: Plan, event: WaitEvent) -> None:
        self._context.emit({**event, "id": plan.turn.id, "run": self._script.name})

    def _judge(self, place: int, plan: Plan, result: Result, *, sent: bool) -> Outcome:
        """The outcome of an answered turn: its checks are run on the answer as recorded."""
        try:
            checks = run_checks(self._expected(plan), observe(result), self._context.find)
        except GemcliError as stop:
            return Outcome("error", plan, sent, result.turn, result, (), stop, result.time)
        failed = [check for check in checks if not check["ok"]]
        error = result.unsaved or self._error(place, result, failed)
        if error is None:
            status: Status = "ok" if sent else "reused"
        else:
            usable = result.verdict.valid and not result.unsaved
            status = "failed" if usable else "error"
        return Outcome(status, plan, sent, result.turn, result, checks, error, result.time)

    def _expected(self, plan: Plan) -> Expected:
        """What a turn expects, with its templates rendered."""
        texts = {}
        for name, wanted in plan.turn.expect.texts.items():
            texts[name] = tuple(render(text, self._script.vars) for text in wanted)
        return plan.turn.expect._replace(texts=texts)

    def _error(self, place: int, result: Result, failed: Sequence[Check]) -> GemcliError | None:
        """Why an answer will not do: because of the `failed` checks, or of what would follow it."""
        verdict = result.verdict
        calls = observe(result).calls_functions
        if failed:
            names = [check["check"] for check in failed]
            ended_badly = not verdict.valid or ("finish" in names and not calls)
            if verdict.error and ended_badly:
                return verdict.error
            if slow := [check for check in failed if is_too_slow(check)]:
                return GemcliError("SLOW_PATTERN", self._unmet(result, slow))
            return GemcliError("EXPECTATION", self._unmet(result, failed), hint=self._hint(result))
        is_last = place + 1 == len(self._script.turns)
        if is_last or verdict.error is None:
            return None
        # As expected, but nothing can follow an open call, or an answer outside of the history.
        if calls:
            return verdict.error
        if not verdict.valid:
            return verdict.error.replace(
                message="refused as expected, so no message can follow it",
                hint="make it the last message of the script; put what follows in another one",
            )
        return None

    def _unmet(self, result: Result, failed: Sequence[Check]) -> str:
        """What an answer should have been, and what it is: the first of the failed checks."""
        more = f" (and {counted(len(failed) - 1, 'other check')} failed)" if failed[1:] else ""
        return unmet(failed[0], result.verdict.text) + more

    def _hint(self, result: Result) -> str | None:
        """How to see the whole answer of a turn."""
        session = self._context.session_name(self._script)
        return (
            f"run gemcli history -s {shlex.quote(session)} --turn {result.turn}"
            if session
            else None
        )

    def _ends_conversation(self, outcome: Outcome) -> bool:
        """Whether the turns after this one are skipped."""
        if outcome.status == "failed" and outcome.result:
            return observe(outcome.result).calls_functions or self._script.on_fail == "stop"
        return outcome.error is not None


def waiting_for() -> str:
    """What a person is told while a request is under way."""
    if deferred.arrived:
        return "letting the request finish; Ctrl-C again ends it"
    return "waiting for the answer"


def _with_script_hint(outcome: Outcome) -> Outcome:
    error = outcome.error
    if error is None or error.reason not in HINTS:
        return outcome
    return replace(outcome, error=error.replace(hint=HINTS[error.reason]))
