"""What a turn that was answered comes to: its checks, and whether a message can follow it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gemcli.chat.answers import USAGE_COUNTERS, Answer, token_count
from gemcli.chat.contents import FunctionCall, function_calls
from gemcli.errors import GemcliError, counted
from gemcli.exchange import Result, taken_together
from gemcli.replay.checks import Check, Expected, is_too_slow, observe, run_checks, unmet
from gemcli.replay.context import RunContext
from gemcli.replay.events import Outcome
from gemcli.replay.plan import Plan
from gemcli.replay.script import Script
from gemcli.replay.template import render


@dataclass
class PlayedTurn:
    """The exchanges of a turn so far; `paid` counts the tokens of what was `sent` now."""

    results: list[Result] = field(default_factory=list)
    sent: bool = False
    paid: Counter[str] = field(default_factory=Counter)

    def add_sent(self, result: Result, before: Answer | None = None) -> None:
        """Take in an answer that came now, or what came of it after there was a part of it."""
        self.results.append(result)
        self.sent = True
        for counter in USAGE_COUNTERS:
            earlier = token_count((before or {}).get("usageMetadata"), counter)
            self.paid[counter] += token_count(result.answer.get("usageMetadata"), counter) - earlier

    @property
    def result(self) -> Result:
        """The last answer, with what all of them together have cost: tokens, attempts and time."""
        return taken_together(self.results)

    @property
    def calls(self) -> list[FunctionCall]:
        """Every function call of the turn, in order."""
        verdicts = [result.verdict for result in self.results if result.verdict.valid]
        return [call for one in verdicts for call in function_calls(one.content)]


def judge_turn(
    plan: Plan,
    played: PlayedTurn,
    script: Script,
    context: RunContext,
    unanswered: GemcliError | None = None,
) -> Outcome:
    """The outcome of a turn: its checks are run on the answers as recorded.

    `unanswered` says why the calls of the last one have no results.
    """
    result, sent = played.result, played.sent
    outcome = Outcome("error", plan, sent, result.turn, result, time=result.time, paid=played.paid)
    try:
        expected = _rendered(plan.turn.expect, script.vars)
        checks = run_checks(expected, observe(result, played.calls), context.find)
    except GemcliError as stop:
        return replace(outcome, error=stop)
    error = result.unsaved or unanswered
    if error is None and (failed := [check for check in checks if not check["ok"]]):
        error = _unmet_error(result, failed, context.session_name(script))
    if error is None and plan.turn is not script.turns[-1]:
        error = _end_of_history(result)
    if error is None:
        return replace(outcome, status="ok" if sent else "reused", checks=checks)
    usable = result.verdict.valid and not result.unsaved
    return replace(outcome, status="failed" if usable else "error", checks=checks, error=error)


def _rendered(expected: Expected, texts: Mapping[str, str]) -> Expected:
    """What a turn expects, with its templates rendered."""
    rendered = {}
    for name, wanted in expected.texts.items():
        rendered[name] = tuple(render(text, texts) for text in wanted)
    return expected._replace(texts=rendered)


def _unmet_error(result: Result, failed: Sequence[Check], session: str | None) -> GemcliError:
    """Why an answer will not do: because of the `failed` checks, or of how it ended."""
    verdict = result.verdict
    names = [check["check"] for check in failed]
    ended_badly = "finish" in names and not observe(result).calls_functions
    if verdict.error and (ended_badly or not verdict.valid):
        return verdict.error
    if slow := [check for check in failed if is_too_slow(check)]:
        return GemcliError("SLOW_PATTERN", _unmet(result, slow))
    see = f"run gemcli history -s {shlex.quote(session)} --turn {result.turn}" if session else None
    return GemcliError("EXPECTATION", _unmet(result, failed), hint=see)


def _unmet(result: Result, failed: Sequence[Check]) -> str:
    """What an answer should have been, and what it is: the first of the failed checks."""
    more = f" (and {counted(len(failed) - 1, 'other check')} failed)" if failed[1:] else ""
    return unmet(failed[0], result.verdict.text) + more


def _end_of_history(result: Result) -> GemcliError | None:
    """Why no message can follow an answer that is as expected; None if one can."""
    verdict = result.verdict
    if verdict.error is None:
        return None
    if observe(result).calls_functions:
        hint = "give the script `tool_results` that answer the calls"
        return verdict.error.replace(hint=hint)
    if not verdict.valid:
        return verdict.error.replace(
            message="refused as expected, so no message can follow it",
            hint="make it the last message of the script; put what follows in another one",
        )
    return None
