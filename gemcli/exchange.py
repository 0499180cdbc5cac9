"""The heart: one request, one answer, both in the journal.

    check the turn order → append the request → call the model → judge the answer → append the outcome

Whatever happens after the request is appended, an outcome is appended before anyone hears of it.
Every path to the model goes through `exchange`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini, interrupted
from gemcli.api.retry import Policy
from gemcli.chat import answers, contents, turn_order
from gemcli.chat.answers import Verdict
from gemcli.chat.contents import Content
from gemcli.errors import GemcliError
from gemcli.sessions import records, signatures
from gemcli.sessions.journal import ANSWERED, Exchange, Journal
from gemcli.sessions.session import Session, Unsaved
from gemcli.settings import config as settings
from gemcli.settings.config import Config
from gemcli.signals import deferred

Event = Mapping[str, Any]
"""What happens on the way: `{"event": "chunk", "chunk": …}` or `{"event": "wait", "seconds".

…, …}`.
"""


@dataclass(frozen=True)
class Limits:
    """How long things may take.

    `timeout` seconds for one request, `until` on the monotonic clock for all.

    `grace` are the seconds that a request under way has at least to come to its end: after a
    signal, unless there is a second one, and before `until`, so nothing begins later than that.
    """

    timeout: float
    until: float
    grace: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until everything must be over."""
        return self.until - time.monotonic()

    @property
    def room(self) -> float:
        """Seconds until no request may begin any more."""
        return self.left - self.grace

    @property
    def seconds(self) -> float:
        """Seconds left for a request that starts now.

        At least a moment, so that it ends as a timeout.
        """
        return max(0.001, min(self.timeout, self.left))


@dataclass(frozen=True)
class Line:
    """The line to the model.

    Who answers, how long it may take, how often to try, and who hears of it.

    Waits are told to `on_event`, and every chunk too if the answer is to `stream`; without it,
    waits go to `notice`.
    """

    gemini: Gemini
    backend: Backend
    limits: Limits
    retry: Policy
    notice: Callable[[str], None]
    on_event: Callable[[Event], None] | None = None
    stream: bool = False


@dataclass(frozen=True)
class Request:
    """A request ready to be sent and recorded.

    The effective model, the whole body, and what this call added.

    By its `key`, if it has one, it is known again (`keys`).
    """

    model: str
    body: dict[str, Any]
    content: Content
    config: Config
    notes: tuple[str, ...] = ()
    key: str | None = None


@dataclass(frozen=True)
class Result:
    """An answered exchange, usable or not.

    `unsaved` tells why it is not in the session, if it is not.

    `attempts` are those of its record, `elapsed_ms` the time from the first of them to the answer.
    """

    turn: int
    id: str
    answer: dict[str, Any]
    verdict: Verdict
    attempts: list[dict[str, Any]]
    elapsed_ms: int
    unsaved: Unsaved | None
    notes: tuple[str, ...]

    @property
    def latency_ms(self) -> int:
        """How long the attempt that was answered took.

        Without the waits, and what came before them.
        """
        last: dict[str, Any] = self.attempts[-1] if self.attempts else {}
        return int(last.get("elapsed_ms", self.elapsed_ms))


def prepare(
    journal: Journal,
    content: Content,
    backend: Backend,
    *,
    model: str | None = None,
    config: Config | None = None,
    key: str | None = None,
) -> Request:
    """The request that sends `content` on top of a session's history, under `key` if it has one.

    `model` and `config` (REST form) are for this call only; config is merged over the session's.
    Raises `GemcliError`: OPEN_CALL, TURN_ORDER or SETTINGS when the API would refuse it.
    """
    name = model or journal.header["model"]
    calls = turn_order.open_calls(journal.history)
    if calls and not contents.function_responses(content):
        raise _open_call(calls)
    answered = (
        exchange
        for turn in journal.live
        for exchange in turn.exchanges
        if exchange.state == ANSWERED
    )
    history, dropped = signatures.history(answered, name, backend.name)
    sent, stood_in = signatures.with_stand_ins([*history, content], name)
    turn_order.require(turn_order.check_request(sent), "the turn order of the session is broken")
    merged = settings.merge(journal.header["config"], config or {})
    turn_order.require(
        settings.check(merged), "the session's config with that of this call", "SETTINGS"
    )
    notes = ["thought signatures of another model or backend were left out"] if dropped else []
    notes += (
        ["a function call without a signature was sent with the documented stand-in"]
        if stood_in
        else []
    )
    return Request(name, {"contents": sent, **merged}, content, config or {}, tuple(notes), key)


def exchange(session: Session, request: Request, line: Line) -> Result:
    """Send a request and record what comes of it.

    The answer is on the disk unless `unsaved` says otherwise.

    A signal on the way is raised when that is done. Whoever is to print an answer that is not saved
    holds signals back until then (`deferred`): it was paid for, and is nowhere else.

    Raises `GemcliError`: TIMEOUT before anything is written if no time is left; `Unsaved` when the
    request could not be written, and nothing was sent; the call's own error when there was no
    answer, recorded with its outcome and every attempt.
    """
    if line.limits.room <= 0:
        raise GemcliError(
            "TIMEOUT", "there is no time left for a request before the deadline", outcome="rejected"
        )
    turn, name = session.journal.next_exchange(request.content)
    asked = records.request(
        turn,
        name,
        request.content,
        model=request.model,
        backend=line.backend.name,
        config=request.config,
        key=request.key,
    )
    attempts: list[dict[str, Any]] = []
    # From here until the outcome is on the disk no signal may come in between; it ends the wait for
    # the answer.
    with deferred:
        session.append(asked)
        start = time.monotonic()
        try:
            answer = _call(request, line, attempts)
        except GemcliError as error:
            error.attempts = len(attempts)
            _record_failure(session, name, error, attempts, line.notice)
            raise
        elapsed, verdict = _since(start), answers.judge(answer)
        told = records.response(
            name, answer, valid=verdict.valid, attempts=attempts, elapsed_ms=elapsed
        )
        unsaved = _record_answer(session, told)
    return Result(turn, name, answer, verdict, attempts, elapsed, unsaved, request.notes)


def recalled(exchange: Exchange) -> Result:
    """The result of an exchange that was answered before, from its records."""
    outcome, answer = exchange.outcome or {}, exchange.answer or {}
    verdict, valid = answers.judge(answer), exchange.state == ANSWERED
    # What is in the history stays there, whatever is thought of its form: imported answers have no
    # finish reason.
    error = None if valid and not verdict.valid else verdict.error
    verdict = replace(verdict, valid=valid, error=error)
    attempts, elapsed = outcome.get("attempts") or [], outcome.get("elapsed_ms") or 0
    return Result(exchange.turn, exchange.id, answer, verdict, attempts, elapsed, None, ())


def _call(request: Request, line: Line, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    """Call the model until it answers or the retry policy gives up.

    Each attempt is noted in `attempts`.
    """
    for number in count():
        start = time.monotonic()
        try:
            answer = _attempt(request, line)
        except GemcliError as error:
            attempts.append(
                {"reason": error.reason, "http": error.http, "elapsed_ms": _since(start)}
            )
            wait = line.retry.wait(number, error, line.limits.room)
            if wait is None:
                raise
            attempts[-1]["wait_s"] = round(wait, 3)
            _tell_wait(line, error, wait)
            if deferred.sleep(wait):
                raise interrupted(deferred.arrived[0], sent=False) from error
        else:
            attempts.append({"http": 200, "elapsed_ms": _since(start)})
            return answer
    raise AssertionError  # pragma: no cover - count() does not end


def _attempt(request: Request, line: Line) -> dict[str, Any]:
    """One request to the model, streamed if anyone listens."""
    tell, limits = line.on_event, line.limits
    if tell is None or not line.stream:
        return line.gemini.generate(request.model, request.body, limits.seconds, limits.grace)
    return line.gemini.stream(
        request.model,
        request.body,
        limits.seconds,
        lambda chunk: tell({"event": "chunk", "chunk": chunk}),
    )


def _tell_wait(line: Line, error: GemcliError, seconds: float) -> None:
    if line.on_event:
        line.on_event(
            {
                "event": "wait",
                "seconds": round(seconds, 3),
                "reason": error.reason,
                "message": error.message,
            }
        )
    else:
        line.notice(f"{error.message}; sending again in {seconds:.1f} s")


def _record_answer(session: Session, record: records.Record) -> Unsaved | None:
    """Append the answer; why it could not be saved, if it could not."""
    try:
        session.append(record, paid=True)
    except Unsaved as unsaved:
        return unsaved
    return None


def _record_failure(
    session: Session,
    exchange_id: str,
    error: GemcliError,
    attempts: list[dict[str, Any]],
    notice: Callable[[str], None],
) -> None:
    """Append the outcome of a call that brought no answer.

    The error itself matters more than a failure here.
    """
    record = records.failure(
        exchange_id,
        outcome=error.outcome or "unknown",
        code=error.code,
        reason=error.reason,
        message=error.message,
        attempts=attempts,
        partial=error.partial,
    )
    try:
        session.append(record, paid=error.partial is not None)
    except Unsaved as unsaved:
        notice(f"the failure could not be recorded: {unsaved.message}")
        if error.partial is not None:
            where = f"is in {unsaved.kept}" if unsaved.kept else "may not be in the session file"
            error.hint = f"what arrived {where}"


def _open_call(calls: list[dict[str, Any]]) -> GemcliError:
    names = ", ".join(str(call.get("name")) for call in calls)
    return GemcliError(
        "OPEN_CALL",
        f"the history ends in calls of {names} that wait for their responses; a message cannot follow them",
        hint="gemcli rewind takes the turn with the calls out of the history",
    )


def _since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)
