"""What came of a request: its answer, or the error that says why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from gemcli.api import http_errors
from gemcli.api.attempt import Attempt
from gemcli.api.streamed_answer import StreamedAnswer
from gemcli.chat import answers
from gemcli.errors import GemcliError


def check(
    attempt: Attempt,
    error: BaseException | None,
    streamed: StreamedAnswer,
    on_event: Callable[[bytes], None],
) -> None:
    """Return if what came of a request that has ended is an answer; raise `GemcliError` if not.

    `error` is what the SDK raised; `on_event` gets an event that is left at the end of the stream.
    """
    if not attempt.complete or attempt.status != 200:
        _raise_failure(attempt, error)
    rest = attempt.events.rest
    try:
        for event in attempt.events.end():
            on_event(event)
    except GemcliError as unreadable:
        if unreadable.reason != "BAD_RESPONSE" or attempt.events.is_object:
            raise
        raise _cut("the stream ended inside an event") from unreadable
    if not streamed.chunks:
        if reported := http_errors.error_in_body(attempt.body):
            raise reported
        if page := _page_error(attempt):
            raise page
        what = "not a stream of events" if rest or attempt.body.strip() else "empty"
        raise answers.bad_response(f"the answer is {what}")
    if streamed.begun and not streamed.finished:
        raise _cut("the stream ended without a finish reason")


def explained(error: GemcliError, attempt: Attempt, streamed: StreamedAnswer) -> GemcliError:
    """The error as the user gets it: what had arrived, the hint for this endpoint, no secrets."""
    if streamed.chunks and error.reason != "ANSWER_TOO_LONG":
        if error.outcome == "rejected":  # what the API reports may be retried, but not its answer
            error = _cut(f"the answer broke off: {error.message}")
        error = error.replace(partial=attempt.secrets.hide_in_answer(streamed.answer))
    elif error.outcome == "unknown" and attempt.status == 200 and attempt.body:
        error = error.replace(partial=attempt.text)
    hint = attempt.hints.get(error.reason, error.hint)
    return attempt.secrets.hide_in_error(error.replace(hint=hint))


def _cut(what: str) -> GemcliError:
    """The error of a stream that ended before the answer did."""
    return GemcliError("STREAM_CUT", what, outcome="unknown", http=200)


def _raise_failure(attempt: Attempt, error: BaseException | None) -> NoReturn:
    """Raise what a request means that brought no answer: an error of the API, or of the network."""
    if attempt.complete and attempt.status is not None:
        raise http_errors.error_of_response(attempt.status, attempt.headers, attempt.body)
    from gemcli.api.transport_errors import error_of_transport

    error = error or RuntimeError("the SDK returned without having made a request")
    failure = error_of_transport(error, attempt)
    raise failure from (None if attempt.secrets.token_in_traceback(error) else error)


def _page_error(attempt: Attempt) -> GemcliError | None:
    """The error of a page that came instead of an answer, such as that of a network portal."""
    if not attempt.body.lstrip().startswith(b"<"):
        return None
    text = http_errors.text_of_page(attempt.body)
    return answers.bad_response(f"the answer is a page of the web: {text}")
