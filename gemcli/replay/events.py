"""What a run tells: JSON events for the run, each turn, each wait, and the summary with its exit status.

The keys are a contract, like those of other commands: they are added to, never changed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemcli.chat.answers import token_count
from gemcli.chat.contents import function_calls, text_of
from gemcli.errors import GemcliError
from gemcli.exchange import Result
from gemcli.replay.checks import TOKENS, Heard
from gemcli.replay.plan import Plan
from gemcli.replay.script import Script, Suite

Event = dict[str, Any]

STATUSES = {
    "ok": "sent now, and answered as expected",
    "reused": "answered in an earlier run, as expected; not sent",
    "failed": "answered, and an expectation was not met",
    "error": "no usable answer",
    "in_doubt": "sent in an earlier run, and what came of it is not known; not sent",
    "skipped": "not sent, because of what happened before it",
    "planned": "would be sent (`--dry-run`)",
}
"""What a turn can come to."""

ORDER = (
    *(
        "signal",
        "io",
        "internal",
        "diverged",
        "usage",
        "data",
        "no_input",
        "credentials",
        "config",
        "in_doubt",
    ),
    *(
        "quota",
        "exists",
        "tempfail",
        "protocol",
        "blocked",
        "function_call",
        "incomplete",
        "expectation",
    ),
)
"""Which exit status a run has when several would do: the first of these."""


@dataclass(frozen=True)
class Outcome:
    """What a turn came to: a key of STATUSES, and what is told of it.

    `number` is its turn in the session, if it has one. With an `error` the conversation has not
    passed.
    """

    status: str
    plan: Plan
    sent: bool = False
    number: int | None = None
    result: Result | None = None
    checks: Sequence[Mapping[str, Any]] = ()
    error: GemcliError | None = None


def run_event(suite: Suite, resuming: int, *, dry_run: bool) -> Event:
    """The beginning. `resuming` counts the sessions that are there already."""
    turns = sum(len(script.turns) for script in suite.scripts)
    event: Event = {"event": "run", "run": suite.name, "file": suite.file, "script": suite.digest}
    event |= {
        "conversations": len(suite.scripts),
        "turns": turns,
        "resuming": resuming,
        "dry_run": dry_run,
    }
    return event | {"ignored_keys": list(suite.ignored)}


def turn_event(script: Script, session: str | None, index: int, outcome: Outcome) -> Event:
    """What a turn came to. `index` counts the script's turns from 1."""
    plan = outcome.plan
    event: Event = {
        "event": "turn",
        "run": script.name,
        "session": session,
        "index": index,
        "id": plan.turn.id,
    }
    event |= {
        "turn": outcome.number,
        "status": outcome.status,
        "sent": outcome.sent,
        "key": plan.key,
    }
    event |= {"model": plan.model, "user": text_of(plan.content)} | _answer(outcome.result)
    if outcome.error and outcome.result is None:
        event["attempts"] = outcome.error.attempts
    return event | {
        "checks": list(outcome.checks),
        "error": outcome.error.to_json() if outcome.error else None,
    }


def error_event(script: Script, session: str | None, error: GemcliError) -> Event:
    """What went wrong with a conversation that is not about one of its turns."""
    return {"event": "error", "run": script.name, "session": session, "error": error.to_json()}


def _answer(result: Result | None) -> Event:
    """The answer, as far as scripts ask for it; null where there is none."""
    if result is None:
        names = (
            "reply",
            "finish",
            "calls",
            "model_version",
            "usage",
            "latency_ms",
            "waited_ms",
            "attempts",
            "saved",
        )
        return dict.fromkeys(names) | {"notes": []}
    heard = heard_of(result)
    return {
        "reply": result.verdict.text,
        "finish": heard.finish,
        "calls": function_calls(result.verdict.content),
        "model_version": result.answer.get("modelVersion"),
        "usage": dict(heard.tokens),
        "latency_ms": heard.latency_ms,
        "waited_ms": max(0, result.elapsed_ms - heard.latency_ms),
        "attempts": len(result.attempts),
        "saved": result.unsaved is None,
        "notes": list(result.notes),
    }


def heard_of(result: Result) -> Heard:
    """What checks look at."""
    usage = result.answer.get("usageMetadata")
    told = usage if isinstance(usage, dict) else None
    tokens = {
        name: None if told is None else token_count(told, wire) for name, wire in TOKENS.items()
    }
    block = (result.answer.get("promptFeedback") or {}).get("blockReason")
    return Heard(result.verdict, result.verdict.finish_reason or block, result.latency_ms, tokens)


def progress(index: int, script: Script, outcome: Outcome) -> str:
    """A turn in one line, for somebody who watches."""
    line = f"{script.name} {index}/{len(script.turns)} {outcome.plan.turn.id}: {outcome.status}"
    if outcome.sent and outcome.result:
        line += f", {outcome.result.latency_ms / 1000:.1f} s"
    return f"{line} ({outcome.error.message})" if outcome.error else line


@dataclass
class Tally:
    """Counts the turns and conversations of a run, for the summary."""

    suite: Suite
    started: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    sent: int = 0
    passed: int = 0
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    sessions: list[str] = field(default_factory=list)
    errors: list[GemcliError] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count a turn; tokens are those of what was sent now."""
        self.counts[outcome.status] += 1
        self.sent += outcome.sent
        if outcome.sent and outcome.result:
            for name, count in heard_of(outcome.result).tokens.items():
                self.usage[name] += count or 0

    @property
    def worst(self) -> GemcliError | None:
        """The error that the exit status is for; of several of a kind the first."""
        return min(self.errors, key=lambda error: ORDER.index(error.status), default=None)

    def summary(self, following: str | None) -> Event:
        """The end. `following` is the command that goes on, if there is one."""
        total = sum(len(script.turns) for script in self.suite.scripts)
        worst, counts = self.worst, dict(self.counts)
        # Turns of conversations that were never begun, and those after the last one that was told
        # of.
        counts["skipped"] += total - sum(counts.values())
        event: Event = {"event": "summary", "run": self.suite.name, "ok": worst is None}
        event |= {"exit": worst.exit if worst else 0, "reason": worst.reason if worst else None}
        event |= {"conversations": {"total": len(self.suite.scripts), "passed": self.passed}}
        event |= {"turns": {"total": total, "sent": self.sent} | counts, "usage": self.usage}
        event |= {
            "wall_s": round(time.monotonic() - self.started, 3),
            "sessions": self.sessions,
            "next": following,
        }
        return event
