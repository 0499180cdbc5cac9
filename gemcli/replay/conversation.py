"""One conversation of a run: its turns in order, each a transaction, with the session as journal.

    for each turn   answered before              → reused, nothing is sent
                    another message was answered → DIVERGED: script or session was changed
                    sent with unknown outcome    → IN_DOUBT, unless it may be sent again
                    else                         → `exchange`, as in `send`
    answered in part             → `continue_answer`, as in `send --continue`
    the model calls functions    → the same with the script's results, until it has what it wants

A turn without a usable answer ends the conversation, so its history never has a hole. A signal lets
the request under way finish and be recorded, and nothing is sent after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from gemcli.api.request_thread import interrupted
from gemcli.chat.contents import function_calls, function_responses
from gemcli.errors import GemcliError
from gemcli.exchange import Result, continue_answer, exchange, stored_result
from gemcli.replay import events
from gemcli.replay.calls import MAX_ROUNDS, ToolResults
from gemcli.replay.checks import observe
from gemcli.replay.context import RunContext
from gemcli.replay.events import Outcome, Status, is_unfinished
from gemcli.replay.judge_turn import PlayedTurn, judge_turn
from gemcli.replay.plan import Plan, RecordedTurns, plans, require_settings
from gemcli.replay.script import Script
from gemcli.requests.call_model import wait_event
from gemcli.requests.prepare_request import prepare, prepare_continuation
from gemcli.sessions import once
from gemcli.sessions.journal import Journal
from gemcli.sessions.once import Delivery, Message
from gemcli.sessions.session import Session, Unsaved
from gemcli.signals import deferred
from gemcli.tools.results import content

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
        self._tool_results = ToolResults(script.tool_results)

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
        """Play the exchanges of a turn, one after the other. Errors are in the outcome."""
        played, length = PlayedTurn(), len(self._journal.records)
        message: Message | None = plan.message
        unanswered: GemcliError | None = None
        try:
            while message:
                if ended := self._play_exchange(place, plan, message, played):
                    return ended
                try:
                    message = self._following(plan, message, played)
                except GemcliError as error:
                    message, unanswered = None, error
            self._recorded.require_no_more_rounds(place, len(played.results))
        except GemcliError as error:
            # An answer of which a part came before a signal was sent, too.
            grew = len(self._journal.records) > length
            played.sent |= grew and not isinstance(error, Unsaved)
            return self._failed(plan, played, error)
        return judge_turn(plan, played, self._script, self._context, unanswered)

    def _play_exchange(
        self, place: int, plan: Plan, message: Message, played: PlayedTurn
    ) -> Outcome | None:
        """Find the stored answer to a message, or send it; the outcome if the turn ends here."""
        resend, round_ = self._script.on_unknown == "resend", len(played.results)
        stored = self._recorded.stored_answer(place, message, round_, resend=resend)
        unfinished = stored if stored and once.must_go_on(self._journal, stored) else None
        if stored and not unfinished:
            played.results.append(stored_result(stored, self._journal))
            return None
        if expected := self._expected_refusal(plan, message, played):
            return expected
        if self._session is None:
            return Outcome("planned", plan)
        has_begun = round_ > 0 or unfinished is not None
        wait = 0.0 if has_begun else plan.turn.wait
        if stop := self._context.stop_reason(wait) or self._pause(plan, wait):
            if has_begun:
                raise stop
            return Outcome("skipped", plan, error=stop)
        before = unfinished.answer if unfinished else None
        if before is None:
            self._tell_results(plan, message, played)
        result = self._ask(self._session, plan, message, goes_on=before is not None)
        played.add_sent(result, before)
        return None

    def _following(self, plan: Plan, message: Message, played: PlayedTurn) -> Message | None:
        """The message with the results of the calls in an answer; None if it ends the turn.

        So does an answer with calls if the script has no results at all for this turn. Raises
        `GemcliError` (NO_TOOL_RESULT) if it lacks one of them, or if there is no end of calls.
        """
        last, results = played.results[-1], plan.turn.tool_results
        waits = observe(last).calls_functions and not last.unsaved
        if not waits or not (results or self._script.tool_results):
            return None
        if len(played.results) > MAX_ROUNDS:
            what = f"the model goes on calling functions after {MAX_ROUNDS} rounds of results"
            raise GemcliError("NO_TOOL_RESULT", what, hint="rephrase the message")
        parts = self._tool_results.answer(function_calls(last.verdict.content), results)
        return plan.following(message, content(parts))

    def _tell_results(self, plan: Plan, message: Message, played: PlayedTurn) -> None:
        """Report each result that is about to be sent."""
        calls = function_calls(played.results[-1].verdict.content) if played.results else []
        for call, response in zip(calls, function_responses(message.content), strict=True):
            self._emit(plan, events.tool_event(call, response))

    def _failed(self, plan: Plan, played: PlayedTurn, error: GemcliError) -> Outcome:
        """The outcome of a turn without an answer."""
        status: Status = "in_doubt" if error.reason == "IN_DOUBT" else "error"
        sent = error.attempts is not None or played.sent
        # A request that could not be recorded is not a turn of the session.
        unsaved = isinstance(error, Unsaved) and not played.results
        last = None if unsaved else once.last_try(self._journal, plan.message)
        outcome = Outcome(status, plan, sent, error=error, paid=played.paid)
        if last is None:
            return outcome
        return replace(outcome, number=last.turn, time=last.request.get("time"))

    def _expected_refusal(self, plan: Plan, message: Message, played: PlayedTurn) -> Outcome | None:
        """The outcome of a turn that was refused as expected, though a retry might be answered."""
        last = once.last_try(self._journal, message)
        if last is None or once.delivery(self._journal, last) is not Delivery.RETRYABLE:
            return None
        refused = replace(played, results=[*played.results, stored_result(last, self._journal)])
        outcome = judge_turn(plan, refused, self._script, self._context)
        return None if outcome.error else outcome

    def _pause(self, plan: Plan, seconds: float) -> GemcliError | None:
        """Wait before a message if the script says so; the signal's error if one has arrived."""
        if seconds and not deferred.arrived:
            self._emit(plan, wait_event(seconds, "SCRIPT", "the script says so"))
            deferred.sleep(seconds)
        return interrupted(deferred.arrived[0], sent=False) if deferred.arrived else None

    def _ask(self, session: Session, plan: Plan, message: Message, *, goes_on: bool) -> Result:
        """The answer to a message, or the rest of one that an earlier run began."""
        journal, model = session.journal, message.model
        transport = self._context.transport(journal, model, partial(self._emit, plan))
        backend, config, key = transport.backend, plan.call_config, message.key
        with self._context.app.output.waiting(waiting_for):
            if goes_on:
                return continue_answer(session, prepare_continuation(journal, backend), transport)
            content = message.content
            request = prepare(journal, content, backend, model=model, config=config, key=key)
            return exchange(session, request, transport)

    def _emit(self, plan: Plan, event: Mapping[str, object]) -> None:
        self._context.emit({**event, "id": plan.turn.id, "run": self._script.name})

    def _ends_conversation(self, outcome: Outcome) -> bool:
        """Whether the turns after this one are skipped."""
        if is_unfinished(outcome.result):
            return True  # in the next run, but not once something follows it
        if outcome.status == "failed" and outcome.result:
            return observe(outcome.result).calls_functions or self._script.on_fail == "stop"
        return outcome.error is not None


def waiting_for() -> str:
    """What a person is told while a request is under way."""
    if deferred.arrived:
        return "letting the request finish; Ctrl-C again ends it"
    return "waiting for the answer"


def _with_script_hint(outcome: Outcome) -> Outcome:
    error, result = outcome.error, outcome.result
    hint = HINTS.get(error.reason) if error else None
    if error is None or hint is None:
        return outcome
    if is_unfinished(result):
        hint = "run the same command again: the answer goes on"
    return replace(outcome, error=error.replace(hint=hint))
