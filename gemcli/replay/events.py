"""What a run reports: JSON events for the run, each turn, each wait, and a summary at the end.

Their keys are a contract, like those of other commands, and the same thing has the same name there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from gemcli.chat import long_answers
from gemcli.chat.answers import USAGE_COUNTERS
from gemcli.chat.contents import FunctionCall, FunctionResponse, text_of
from gemcli.errors import GemcliError, counted
from gemcli.exchange import Result
from gemcli.replay.checks import Check
from gemcli.replay.plan import Plan
from gemcli.replay.script import Script, Suite
from gemcli.sessions import records
from gemcli.terminal import documents

Event = dict[str, Any]

Status = Literal["ok", "reused", "failed", "error", "in_doubt", "skipped", "planned"]

STATUSES: dict[Status, str] = {
    "ok": "sent now, and answered as expected",
    "reused": "answered in an earlier run, as expected; not sent",
    "failed": "answered, but not as expected",
    "error": "no usable answer, or none that could be checked in time",
    "in_doubt": "sent in an earlier run with unknown outcome; not sent again",
    "skipped": "not sent, because of what happened before it",
    "planned": "would be sent (`--dry-run`)",
}
"""The status of a turn, and what it means."""

# fmt: off
SEVERITY = (
    "signal", "io", "internal", "diverged", "usage", "data", "no_input", "credentials", "config",
    "in_doubt", "budget", "quota", "exists", "tempfail", "protocol", "blocked", "function_call",
    "incomplete", "expectation",
)
# fmt: on
"""Exit statuses, gravest first: a run with several errors ends in the first of these."""

# fmt: off
ANSWER_KEYS = (
    "text", "function_calls", "finish_reason", "block_reason", "usage_metadata", "model_version",
    "response_id", "hops", "context_token_count", "resumable", "attempts", "elapsed_ms",
    "waited_ms", "saved",
)
# fmt: on
"""The keys of a turn event that describe the answer."""

MOST_SESSIONS = 20
"""How many sessions a summary lists; of more it only has the number."""


@dataclass(frozen=True)
class Outcome:
    """What came of a turn, `number` in the session. With an `error` it has not passed.

    `time` is when its request was recorded, None if there was none. `paid` counts the tokens of
    the answers that came now; `result` is the last of the turn's.
    """

    status: Status
    plan: Plan
    sent: bool = False
    number: int | None = None
    result: Result | None = None
    checks: Sequence[Check] = ()
    error: GemcliError | None = None
    time: str | None = None
    paid: Mapping[str, int] = field(default_factory=dict)


def run_event(suite: Suite, resuming: int, *, dry_run: bool) -> Event:
    """The start of a run. `resuming` counts the sessions that exist already."""
    return {
        "event": "run",
        "time": records.now(),
        "run": suite.name,
        "file": suite.file,
        "script": suite.digest,
        "conversations": len(suite.scripts),
        "turns": _turn_count(suite),
        "resuming": resuming,
        "dry_run": dry_run,
        "ignored_keys": list(suite.ignored),
    }


def turn_event(script: Script, session: str | None, index: int, outcome: Outcome) -> Event:
    """The outcome of a turn. `index` counts the script's turns from 1."""
    turn, message = outcome.plan.turn, outcome.plan.message
    result, error = outcome.result, outcome.error
    return {
        "event": "turn",
        "time": outcome.time or records.now(),
        "run": script.name,
        "session": session,
        "index": index,
        "id": turn.id,
        "turn": outcome.number,
        "status": outcome.status,
        "reason": error.reason if error else None,
        "sent": outcome.sent,
        "key": message.key,
        "model": message.model,
        "user": text_of(message.content),
        **(_answer(result) if result else _no_answer(error)),
        "notes": list(result.notes) if result else [],
        "checks": list(outcome.checks),
        "error": error.of_session(session).to_json() if error else None,
    }


def tool_event(call: FunctionCall, response: FunctionResponse) -> Event:
    """The result of a call, which is about to be sent."""
    return {
        "event": "tool",
        "time": records.now(),
        "name": call["name"],
        "args": call.get("args") or {},
        "response": response["response"],
    }


def error_event(script: Script, session: str | None, error: GemcliError) -> Event:
    """A failure of a conversation that does not belong to one of its turns."""
    return {
        "event": "error",
        "time": records.now(),
        "run": script.name,
        "session": session,
        "error": error.of_session(session).to_json(),
    }


def is_unfinished(result: Result | None) -> bool:
    """Whether an answer is not finished, and another run can ask for the rest of it."""
    return result is not None and result.resumable and long_answers.is_unfinished(result.answer)


def _answer(result: Result) -> Event:
    """The keys of a turn event that describe the answer."""
    fields = {
        **documents.answer_fields(result.answer, result.verdict.content),
        "hops": result.hops,
        "context_token_count": result.context_token_count,
        "resumable": result.resumable,
        "attempts": len(result.attempts),
        "elapsed_ms": result.elapsed_ms,
        "waited_ms": result.waited_ms,
        "saved": result.unsaved is None,
    }
    return {name: fields[name] for name in ANSWER_KEYS}


def _no_answer(error: GemcliError | None) -> Event:
    """The same keys for a turn without an answer."""
    return {
        **dict.fromkeys(ANSWER_KEYS),
        "text": "",
        "function_calls": [],
        "usage_metadata": {},
        "hops": 0,
        "resumable": False,
        "attempts": error.attempts if error else None,
    }


@dataclass
class Tally:
    """Counts the turns and conversations of a run, for the summary."""

    suite: Suite
    dry_run: bool = False
    started: float = field(default_factory=time.monotonic)
    counts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    sent: int = 0
    passed: int = 0
    planned: int = 0
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE_COUNTERS, 0))
    sessions: list[str] = field(default_factory=list)
    errors: list[GemcliError] = field(default_factory=list)
    newest: str = ""
    unfinished: bool = False

    def add(self, outcome: Outcome) -> None:
        """Count a turn; only the tokens of what was sent now are added."""
        self.counts[outcome.status] += 1
        self.sent += outcome.sent
        self.newest = max(self.newest, outcome.time or "")
        self.unfinished |= is_unfinished(outcome.result)
        for counter, count in outcome.paid.items():
            self.usage[counter] += count

    @property
    def had_nothing_to_send(self) -> bool:
        """Whether this was to send something, and every turn was answered before, as expected."""
        all_reused = self.counts["reused"] == _turn_count(self.suite)
        return all_reused and not self.errors and not self.dry_run

    def all_answered(self) -> str:
        """How many messages were answered, and by which local date."""
        day = ""
        with suppress(ValueError):  # a record may hold anything in the place of its time
            day = f" by {datetime.fromisoformat(self.newest).astimezone().date()}"
        return f"{counted(self.counts['reused'], 'message')}, all answered{day}"

    @property
    def worst(self) -> GemcliError | None:
        """The error that decides the exit status: the first of the gravest."""
        return min(self.errors, key=lambda error: SEVERITY.index(error.status), default=None)

    def summary(self, next_command: str | None) -> Event:
        """The end of a run. `next_command` continues it, if anything can."""
        worst = self.worst
        total = _turn_count(self.suite)
        # Turns of conversations that never began, or ended early, have no event of their own.
        unreported = total - sum(self.counts.values())
        counts = {**self.counts, "skipped": self.counts["skipped"] + unreported}
        return {
            "event": "summary",
            "time": records.now(),
            "run": self.suite.name,
            "ok": worst is None,
            "exit": worst.exit if worst else 0,
            "reason": worst.reason if worst else None,
            "conversations": {
                "total": len(self.suite.scripts),
                "passed": self.passed,
                "planned": self.planned,
            },
            "turns": {"total": total, "sent": self.sent, **counts},
            "usage_metadata": documents.snake_case(self.usage),
            "elapsed_ms": round((time.monotonic() - self.started) * 1000),
            "session_count": len(self.sessions),
            "sessions": self.sessions if len(self.sessions) <= MOST_SESSIONS else None,
            "next": next_command,
        }


def _turn_count(suite: Suite) -> int:
    return sum(len(script.turns) for script in suite.scripts)
