"""Calling the model: one HTTP request, and others if the API turned it away, until it answers.

Nothing here knows of sessions. Who is told of what happens meanwhile is in the `Transport`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from gemcli.api.attempt import Attempt
from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.api.request_thread import interrupted
from gemcli.api.retry import RetryPolicy
from gemcli.chat.answers import Answer, continuation_token
from gemcli.errors import GemcliError, unexpected
from gemcli.sessions import records
from gemcli.sessions.record_types import AttemptRecord
from gemcli.signals import deferred

DEFAULT_HOPS = 40
"""How many hops of one answer a command asks for: more than the longest answer of any model has."""


class WaitEvent(TypedDict):
    """An attempt failed, and the request is sent again after so many seconds."""

    event: Literal["wait"]
    time: str
    seconds: float
    reason: str
    message: str


class ResumeEvent(TypedDict):
    """A stream broke, and the answer goes on after the first `text_length` characters of its text.

    What was streamed beyond them is repeated, in hop number `hop`.
    """

    event: Literal["resume"]
    time: str
    hop: int
    text_length: int


@dataclass(frozen=True)
class Transport:
    """How a request reaches the model: the client, its limits and retries, and who is informed.

    `on_chunk` gets the answer as it arrives, and `on_resume` is told where it goes on after a
    stream broke. Waits go to `on_wait`, or else to `notice`. At most `max_hops` hops are asked for.
    """

    gemini: Gemini
    backend: Backend
    limits: Limits
    retry: RetryPolicy
    notice: Callable[[str], None]
    on_wait: Callable[[WaitEvent], None] | None = None
    on_chunk: Callable[[Answer], None] | None = None
    on_resume: Callable[[ResumeEvent], None] | None = None
    max_hops: int = DEFAULT_HOPS


def call(
    transport: Transport,
    model: str,
    body: Mapping[str, object],
    before_leaving: Callable[[], None],
    attempts: list[AttemptRecord],
) -> tuple[Answer, int]:
    """Call the model until it answers or the retry policy gives up; `attempts` lists each try.

    `before_leaving` is called each time right before the request leaves. The answer comes with the
    milliseconds since the first request was ready to be sent. Raises `GemcliError`.
    """
    first = attempt = Attempt(before_leaving)
    while True:
        try:
            answer = _ask(transport, model, body, attempt)
        except GemcliError as error:
            wait = transport.retry.wait(len(attempts), error, transport.limits.time_to_start)
            record = AttemptRecord(
                reason=error.reason, http=error.http, elapsed_ms=attempt.elapsed_ms
            )
            attempts.append(record)
            if wait is None:
                raise
            record["wait_s"] = round(wait, 3)
            _announce_wait(transport, error, wait)
            if deferred.sleep(wait):
                raise interrupted(deferred.arrived[0], sent=False) from error
        else:
            elapsed_ms = attempt.elapsed_ms  # read once: a moment later it is a millisecond more
            record = AttemptRecord(http=200, elapsed_ms=elapsed_ms)
            if attempt.broken:
                record["reason"] = attempt.broken.reason
            attempts.append(record)
            return answer, elapsed_ms if attempt is first else first.elapsed_ms
        attempt = Attempt(before_leaving)


def _ask(transport: Transport, model: str, body: Mapping[str, object], attempt: Attempt) -> Answer:
    """One HTTP request to the model. Raises `GemcliError`."""
    try:
        answer = transport.gemini.ask(model, body, transport.limits, transport.on_chunk, attempt)
    except GemcliError:
        raise
    except Exception as error:  # whatever it is, what is known of the request is recorded
        failure = unexpected(error, "unknown" if attempt.abandon() else "rejected")
        raise attempt.secrets.hide_in_error(failure) from error
    # A stream may begin with the token that it resumes from: that is no checkpoint of its own.
    if attempt.broken and continuation_token(answer) == body.get("continuationToken"):
        raise attempt.broken
    return answer


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
