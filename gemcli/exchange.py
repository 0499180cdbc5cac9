"""The heart of gemcli: one request, one answer, and both in the session file.

How a message travels, from the command line to the model and back:

    cli.main                parses the command line and makes an App
    commands/send           reads the message, and prints what comes of it
    send_message            makes the session if need be, locks it, and looks for a stored answer
      prepare_request       checks turn order and settings, and builds the request body
      exchange              1. calls the model, again if the retry policy says so
                            2. appends the request record, synced to disk, as it first leaves
                            3. judges the answer
                            4. appends the answer, or the failure, synced to disk
        api.gemini          makes one HTTP request through the SDK
        sessions.session    appends one record

The request is on disk before its first byte leaves, but not yet while the SDK is loaded and the
server connected: a program that is killed there has sent nothing, and leaves nothing in doubt. Once
it is on disk, an outcome follows it, and before the caller gets the result. `send` and `replay`
both call the model through `exchange`; nothing else does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from gemcli.api.attempt import Attempt
from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.api.models import with_suggestion
from gemcli.api.request_thread import interrupted
from gemcli.api.retry import RetryPolicy
from gemcli.chat import long_answers
from gemcli.chat.answers import Answer, Verdict
from gemcli.errors import GemcliError, unexpected
from gemcli.prepare_request import Request
from gemcli.sessions import records
from gemcli.sessions.records import AttemptRecord
from gemcli.sessions.session import Session, Unsaved
from gemcli.sessions.turns import Exchange
from gemcli.signals import deferred


class WaitEvent(TypedDict):
    """An attempt failed, and the request is sent again after so many seconds."""

    event: Literal["wait"]
    time: str
    seconds: float
    reason: str
    message: str


@dataclass(frozen=True)
class Transport:
    """How a request reaches the model: the client, its limits and retries, and who is informed.

    `on_chunk` gets the answer as it arrives. Waits go to `on_wait`, or else to `notice`.
    """

    gemini: Gemini
    backend: Backend
    limits: Limits
    retry: RetryPolicy
    notice: Callable[[str], None]
    on_wait: Callable[[WaitEvent], None] | None = None
    on_chunk: Callable[[Answer], None] | None = None


@dataclass(frozen=True)
class Result:
    """An answered exchange, usable or not.

    `time` is when the request was recorded, `model` the one that was asked. `unsaved` is the error
    that kept the answer out of the session file. `elapsed_ms` is the time from the moment the first
    request was ready to be sent to the end of the answer.
    """

    turn: int
    id: str
    time: str | None
    model: str
    answer: Answer
    verdict: Verdict
    attempts: list[AttemptRecord]
    elapsed_ms: int
    unsaved: Unsaved | None = None
    notes: tuple[str, ...] = ()

    @property
    def latency_ms(self) -> int:
        """How long the last attempt took, the one that was answered."""
        if not self.attempts:
            return self.elapsed_ms
        return int(self.attempts[-1].get("elapsed_ms", self.elapsed_ms))

    @property
    def waited_ms(self) -> int:
        """The part of `elapsed_ms` that went into failed attempts, and the waits after them."""
        return max(0, self.elapsed_ms - self.latency_ms)


def exchange(session: Session, request: Request, transport: Transport) -> Result:
    """Send a request and record what comes of it; the result is on disk unless it is `unsaved`.

    A signal that arrives meanwhile is raised when the outcome is recorded. An unsaved answer exists
    nowhere else: the caller holds signals back (`with deferred`) until it has printed the answer.

    Raises `GemcliError`: TIMEOUT before anything is written if no time is left; `Unsaved` when the
    request could not be written, and nothing was sent; the error of the call when there was no
    answer, recorded with its outcome and every attempt.
    """
    if transport.limits.time_to_start <= 0:
        message = "there is no time left for a request before the deadline"
        raise GemcliError("TIMEOUT", message, outcome="rejected", hint="raise --deadline")
    transport.gemini.require_own_project(request.model)
    entry = _RequestEntry(session, request, transport.backend)
    attempts: list[AttemptRecord] = []
    unsaved: Unsaved | None = None
    # From here until the outcome is on disk, a signal only ends the wait for the answer.
    with deferred:
        try:
            answer, elapsed_ms = _call(request, transport, attempts, entry)
        except Unsaved:
            raise
        except GemcliError as error:
            if error.reason == "MODEL_NOT_FOUND":
                error = with_suggestion(error, request.model, session.journal.models)
            failure = error.replace(attempts=len(attempts))
            raise _record_failure(entry, failure, attempts, transport) from error.__cause__
        verdict = long_answers.judge([answer])
        response = records.response(
            entry.id, answer, valid=verdict.valid, attempts=attempts, elapsed_ms=elapsed_ms
        )
        try:
            session.append(response, paid=True)
        except Unsaved as error:
            unsaved = error
    return Result(
        turn=entry.turn,
        id=entry.id,
        time=entry.time,
        model=request.model,
        answer=answer,
        verdict=verdict,
        attempts=attempts,
        elapsed_ms=elapsed_ms,
        unsaved=unsaved,
        notes=request.notes,
    )


def stored_result(exchange: Exchange) -> Result:
    """The result of an exchange that was answered earlier, from its records."""
    response: Mapping[str, Any] = exchange.response or {}
    answer: Answer = exchange.answer or {}
    return Result(
        turn=exchange.turn,
        id=exchange.id,
        time=exchange.request.get("time"),
        model=exchange.request["model"],
        answer=answer,
        verdict=exchange.verdict,
        attempts=response.get("attempts") or [],
        elapsed_ms=response.get("elapsed_ms") or 0,
    )


class _RequestEntry:
    """The record of a request: it is appended once, in the moment before the request first leaves.

    A request that never leaves gets one with its failure. `time` is that of the record.
    """

    def __init__(self, session: Session, request: Request, backend: Backend) -> None:
        self.session = session
        self.turn, self.id = session.journal.next_exchange(request.content)
        self.time: str | None = None
        self._request = request
        self._backend = backend

    def write(self) -> None:
        """Append the record unless it is there. Raises `Unsaved`."""
        if self.time:
            return
        record = records.request(
            self.turn,
            self.id,
            self._request.content,
            model=self._request.model,
            backend=self._backend.name,
            config=self._request.config,
            key=self._request.key,
        )
        self.session.append(record)
        self.time = record["time"]


def _call(
    request: Request, transport: Transport, attempts: list[AttemptRecord], entry: _RequestEntry
) -> tuple[Answer, int]:
    """Call the model until it answers or the retry policy gives up, and list each attempt.

    The answer comes with the milliseconds since the first request was ready to be sent.
    """
    first = attempt = Attempt(entry.write)
    while True:
        try:
            answer = _send(request, transport, attempt)
        except GemcliError as error:
            record = AttemptRecord(
                reason=error.reason, http=error.http, elapsed_ms=attempt.elapsed_ms
            )
            wait = transport.retry.wait(len(attempts), error, transport.limits.time_to_start)
            attempts.append(record)
            if wait is None:
                raise
            record["wait_s"] = round(wait, 3)
            _announce_wait(transport, error, wait)
            if deferred.sleep(wait):
                raise interrupted(deferred.arrived[0], sent=False) from error
        else:
            attempts.append({"http": 200, "elapsed_ms": attempt.elapsed_ms})
            return answer, first.elapsed_ms
        attempt = Attempt(entry.write)


def _send(request: Request, transport: Transport, attempt: Attempt) -> Answer:
    """One HTTP request to the model. Raises `GemcliError`."""
    gemini, limits, on_chunk = transport.gemini, transport.limits, transport.on_chunk
    try:
        return gemini.ask(request.model, request.body, limits, on_chunk, attempt)
    except GemcliError:
        raise
    except Exception as error:  # whatever it is, what is known of the request is recorded
        failure = unexpected(error, "unknown" if attempt.abandon() else "rejected")
        raise attempt.secrets.hide_in_error(failure) from error


def wait_event(seconds: float, reason: str, message: str) -> WaitEvent:
    """A wait of so many seconds that begins now."""
    return WaitEvent(
        event="wait", time=records.now(), seconds=seconds, reason=reason, message=message
    )


def _announce_wait(transport: Transport, error: GemcliError, seconds: float) -> None:
    if transport.on_wait:
        transport.on_wait(wait_event(round(seconds, 3), error.reason, error.message))
    else:
        why = textwrap.shorten(error.message, 200, placeholder="…")
        transport.notice(f"sending again in {seconds:.1f} s: {why}")


def _record_failure(
    entry: _RequestEntry, error: GemcliError, attempts: list[AttemptRecord], transport: Transport
) -> GemcliError:
    """Append the outcome of a call without an answer, and return the error to raise."""
    record = records.failure(
        entry.id,
        outcome=error.outcome or "unknown",
        code=error.code,
        reason=error.reason,
        message=error.message,
        attempts=attempts,
        partial=error.partial,
    )
    try:
        entry.write()
        entry.session.append(record, paid=error.partial is not None)
    except Unsaved as unsaved:
        # A note, not an error: the error of the call matters more.
        transport.notice(f"the failure could not be recorded: {unsaved.message}")
        if error.partial is not None:
            where = f"is in {unsaved.kept}" if unsaved.kept else "may not be in the session file"
            return error.replace(hint=f"the received part of the answer {where}")
    return error
