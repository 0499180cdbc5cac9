"""The heart: one request, one answer, both in the journal.

    check the turn order → append the request → call the model → judge the answer → append the outcome

Whatever happens after the request is appended, an outcome is appended before anyone hears of it. Every path to
the model goes through `exchange`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gemcli import answers, contents, records, settings, turns
from gemcli.answers import Verdict
from gemcli.contents import Content
from gemcli.errors import GemcliError
from gemcli.gemini import Gemini
from gemcli.names import backend_of
from gemcli.session import Session, Unsaved
from gemcli.settings import Config
from gemcli.signals import deferred


@dataclass(frozen=True)
class Limits:
    """How long things may take: `timeout` seconds for one request, `until` on the monotonic clock for all."""

    timeout: float
    until: float

    @property
    def seconds(self) -> float:
        """Seconds left for a request that starts now; at least a moment, so that it ends as a timeout."""
        return max(0.001, min(self.timeout, self.until - time.monotonic()))


@dataclass(frozen=True)
class Result:
    """An answered exchange, usable or not. `unsaved` tells why it is not in the session, if it is not."""

    turn: int
    id: str
    answer: dict[str, Any]
    verdict: Verdict
    attempts: int
    elapsed_ms: int
    unsaved: Unsaved | None


def exchange(
    session: Session,
    content: Content,
    *,
    gemini: Gemini,
    limits: Limits,
    notice: Callable[[str], None],
    model: str | None = None,
    config: Config | None = None,
) -> Result:
    """Send `content` on top of the session's history and record what comes of it.

    `model` and `config` (REST form) are for this call only; config is merged over the session's. The answer is
    on the disk when this returns, unless `unsaved` says otherwise. Raises `GemcliError`: TURN_ORDER, OPEN_CALL,
    SETTINGS or TIMEOUT before anything is written; `Unsaved` when the request could not be written, and nothing
    was sent; the call's own error when there was no answer, recorded with its outcome.
    """
    journal = session.journal
    name = model or journal.header["model"]
    body = request_body(session, content, settings.merge(journal.header["config"], config or {}))
    if limits.until <= time.monotonic():
        raise GemcliError("TIMEOUT", "the deadline passed before the request was made", outcome="rejected")
    turn, exchange_id = journal.next_exchange(content)
    asked = records.request(turn, exchange_id, content, model=name, backend=backend_of(name), config=config)
    # From here until the outcome is on the disk no signal may come in between; it ends the wait for the answer.
    with deferred:
        session.append(asked)
        start = time.monotonic()
        try:
            answer = gemini.generate(name, body, limits.seconds)
        except GemcliError as error:
            error.attempts = 1
            _record_failure(session, exchange_id, error, start, notice)
            raise
        elapsed = _since(start)
        verdict = answers.judge(answer)
        unsaved = _record_answer(session, exchange_id, answer, verdict, elapsed)
    return Result(turn, exchange_id, answer, verdict, 1, elapsed, unsaved)


def request_body(session: Session, content: Content, config: Config) -> dict[str, Any]:
    """The whole body of the request that sends `content` on top of the session's history.

    Raises `GemcliError`: OPEN_CALL, TURN_ORDER or SETTINGS when the API would refuse it.
    """
    history = session.journal.history
    calls = turns.open_calls(history)
    if calls and not contents.function_responses(content):
        names = ", ".join(str(call.get("name")) for call in calls)
        raise GemcliError(
            "OPEN_CALL",
            f"the history ends in calls of {names} that wait for their responses; a message cannot follow them",
            hint="gemcli rewind takes the turn with the calls out of the history",
        )
    turns.require(turns.check_request([*history, content]), f"the turn order of {session.path} is broken")
    turns.require(settings.check(config), f"the config of {session.path} with that of this call", "SETTINGS")
    return {"contents": [*history, content], **config}


def _record_answer(
    session: Session, exchange_id: str, answer: dict[str, Any], verdict: Verdict, elapsed_ms: int
) -> Unsaved | None:
    """Append the answer; why it could not be saved, if it could not."""
    attempts = [{"http": 200, "elapsed_ms": elapsed_ms}]
    record = records.response(exchange_id, answer, valid=verdict.valid, attempts=attempts, elapsed_ms=elapsed_ms)
    try:
        session.append(record, paid=True)
    except Unsaved as unsaved:
        return unsaved
    return None


def _record_failure(
    session: Session, exchange_id: str, error: GemcliError, start: float, notice: Callable[[str], None]
) -> None:
    """Append the outcome of a call that brought no answer. The error itself matters more than a failure here."""
    attempt = {"reason": error.reason, "http": error.http, "elapsed_ms": _since(start)}
    record = records.failure(
        exchange_id,
        outcome=error.outcome or "unknown",
        code=error.code,
        reason=error.reason,
        message=error.message,
        attempts=[attempt],
    )
    try:
        session.append(record)
    except Unsaved as unsaved:
        notice(f"the failure could not be recorded: {unsaved.message}")


def _since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)
