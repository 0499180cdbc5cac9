"""One conversation of a run: its turns in order, each a transaction, the session their journal.

    for each turn   answered before          → reused, nothing is sent
                    something else answered  → DIVERGED: somebody changed the script, or the session
                    sent, and nobody knows   → IN_DOUBT, unless told to send again
                    else                     → `exchange`, as `send` does it

A turn without a usable answer ends the conversation, so there is never a hole in its history. A
signal lets the request under way finish and be recorded, and nothing is sent after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from gemcli.api.request_thread import interrupted
from gemcli.errors import GemcliError
from gemcli.exchange import Result, Transport, exchange, prepare, stored_result
from gemcli.replay import checks
from gemcli.replay.events import Event, Outcome, heard_of
from gemcli.replay.plan import Past, Plan, plans, require_settings
from gemcli.replay.script import Script
from gemcli.replay.template import render
from gemcli.sessions import once
from gemcli.sessions.journal import Journal
from gemcli.sessions.once import Standing
from gemcli.sessions.session import Session, Unsaved
from gemcli.signals import deferred

HINTS = {
    "UNAVAILABLE": "run the same command again later",
    "QUOTA_DAILY": "run the same command again tomorrow",
    "INCOMPLETE": "raise max_output_tokens in the script's `config`, and play it in a new session",
    "MAX_TOKENS_EMPTY": "thoughts used up the limit: raise max_output_tokens in the turn's `config`",
}
"""What to do about these in a script, where another model or config makes another conversation."""


class Way(Protocol):
    """The way to models, and what may end it."""

    def name(self, script: Script) -> str | None:
        """What the session of a script is called."""

    def line(
        self, journal: Journal, model: str, on_event: Callable[[Mapping[str, Any]], None]
    ) -> Transport:
        """The line to a model that a session asks."""

    def over(self, wait: float = 0.0) -> GemcliError | None:
        """Why nothing more should be sent after `wait` seconds, if so.

        Nobody listens, or time is up.
        """


class Conversation:
    """A script and the journal of its session.

    Without `session`, the right to append to it, nothing is sent.
    """

    def __init__(
        self,
        script: Script,
        journal: Journal,
        session: Session | None,
        way: Way,
        tell: Callable[[Event], None],
    ) -> None:
        self._script = script
        self._journal = journal
        self._session = session
        self._way = way
        self._tell = tell

    def play(self) -> Iterator[Outcome]:
        """Do the turns in order, and tell what each came to as soon as it is done.

        Raises `GemcliError` (DIVERGED) before the first turn if the session is none of this
        script's, or after the last if it has more.
        """
        require_settings(self._script, self._journal.header)
        past, ended = Past(self._script, self._journal, self._way.name(self._script)), False
        for place, plan in enumerate(plans(self._script, self._journal)):
            if ended:
                yield Outcome("skipped", plan)
                continue
            outcome = self._turn(past, place, plan)
            if error := outcome.error:
                hint = HINTS.get(error.reason, error.hint)
                outcome = replace(outcome, error=error.replace(hint=hint))
            yield outcome
            ended = self._ends(outcome)
        if not ended:
            past.require_no_more()

    def _turn(self, past: Past, place: int, plan: Plan) -> Outcome:
        """Find the answer of a turn, or send it.

        What went wrong is in the outcome, never raised.
        """
        try:
            known = past.exchange(place, plan, resend=self._script.on_unknown == "resend")
            if known is not None:
                return self._judged(place, plan, stored_result(known), sent=False)
            if expected := self._refused_as_expected(place, plan):
                return expected
            if self._session is None:
                return Outcome("planned", plan)
            if over := self._way.over(plan.turn.wait) or self._pause(plan):
                return Outcome("skipped", plan, error=over)
            return self._judged(place, plan, self._send(self._session, plan), sent=True)
        except GemcliError as error:
            # What could not be written down is no turn of the session.
            last = None if isinstance(error, Unsaved) else once.newest(self._journal, plan.key)
            status, number = (
                "in_doubt" if error.reason == "IN_DOUBT" else "error",
                last.turn if last else None,
            )
            return Outcome(
                status, plan, sent=error.attempts is not None, number=number, error=error
            )

    def _refused_as_expected(self, place: int, plan: Plan) -> Outcome | None:
        """What a turn came to that was answered as expected, though sending again might bring another answer."""
        last = once.newest(self._journal, plan.key)
        if last is None or once.standing(self._journal, last) is not Standing.RETRYABLE:
            return None
        outcome = self._judged(place, plan, stored_result(last), sent=False)
        return None if outcome.error else outcome

    def _pause(self, plan: Plan) -> GemcliError | None:
        """Wait as the script wants it before the message is sent.

        Why it should not be sent any more, if so.
        """
        if plan.turn.wait and not deferred.arrived:
            event = {
                "event": "wait",
                "seconds": plan.turn.wait,
                "reason": "SCRIPT",
                "message": "the script says so",
            }
            self._tell({**event, "id": plan.turn.id})
            deferred.sleep(plan.turn.wait)
        return interrupted(deferred.arrived[0], sent=False) if deferred.arrived else None

    def _send(self, session: Session, plan: Plan) -> Result:
        line = self._way.line(
            session.journal, plan.model, lambda event: self._tell({**event, "id": plan.turn.id})
        )
        request = prepare(
            session.journal,
            plan.content,
            line.backend,
            model=plan.model,
            config=plan.call,
            key=plan.key,
        )
        return exchange(session, request, line)

    def _judged(self, place: int, plan: Plan, result: Result, *, sent: bool) -> Outcome:
        """What an answered turn came to: its checks, made on the answer as recorded."""
        expected = plan.turn.expect
        texts = {
            name: tuple(render(text, self._script.vars) for text in wanted)
            for name, wanted in expected.texts.items()
        }
        made = checks.made(expected._replace(texts=texts), heard_of(result))
        error = result.unsaved or self._error(
            place, result, [check for check in made if not check["ok"]]
        )
        status = "ok" if sent else "reused"
        if error:
            status = "failed" if result.verdict.valid and not result.unsaved else "error"
        return Outcome(status, plan, sent, result.turn, result, made, error)

    def _error(
        self, place: int, result: Result, failed: list[dict[str, object]]
    ) -> GemcliError | None:
        """Why an answer does not do: for what it is, or for the checks that `failed`."""
        verdict, calls = result.verdict, heard_of(result).calls
        ended = any(check["check"] == "finish" for check in failed) and not calls
        if failed and (not verdict.valid or ended) and verdict.error:
            return verdict.error
        if failed:
            names = ", ".join(str(check["check"]) for check in failed)
            return GemcliError(
                "EXPECTATION", f"not as expected: {names}", hint="the turn's event has every check"
            )
        if (
            place + 1 == len(self._script.turns)
            or verdict.error is None
            or (verdict.valid and not calls)
        ):
            return None
        # As expected, but nothing can follow a call that waits, or an answer that never enters the
        # history.
        if not verdict.valid:
            hint = "only the last message of a script may be refused; what follows is for another script"
            return GemcliError(
                verdict.error.reason, "refused as expected, so no message can follow it", hint=hint
            )
        return verdict.error

    def _ends(self, outcome: Outcome) -> bool:
        """Whether the turns after this one are not to be sent."""
        if outcome.status == "failed":
            called = outcome.result is not None and heard_of(outcome.result).calls
            return called or self._script.on_fail == "stop"
        return outcome.error is not None
