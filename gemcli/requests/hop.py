"""One hop: a request that is asked until it is answered, and recorded before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemcli.api.models import with_suggestion
from gemcli.chat import long_answers
from gemcli.chat.answers import Answer
from gemcli.errors import GemcliError
from gemcli.requests.call_model import Transport, call
from gemcli.requests.prepare_request import Request
from gemcli.sessions import records
from gemcli.sessions.record_types import AttemptRecord, Record
from gemcli.sessions.session import Session, Unsaved


@dataclass
class Hop:
    """A hop that is about to be asked for: `earlier` are the answers of the hops before it.

    Its record is appended once, in the moment before its request first leaves. A hop that never
    leaves gets one with its failure.
    """

    session: Session
    exchange: str
    make_record: Callable[[], Record]
    token: str | None = None
    earlier: tuple[Answer, ...] = ()
    recorded: bool = False

    def write(self) -> None:
        """Append the record unless it is there. Raises `Unsaved`."""
        if not self.recorded:
            self.session.append(self.make_record())
            self.recorded = True


def ask(hop: Hop, request: Request, transport: Transport) -> Unsaved | None:
    """Ask for a hop and record what comes of it; what kept the answer from being saved, if any did.

    Raises `Unsaved` if the hop could not be written, and nothing was sent; the error of the call if
    there was no answer, which is recorded.
    """
    body = request.body
    if hop.token is not None:
        body = {**body, "continuationToken": hop.token}
    attempts: list[AttemptRecord] = []
    try:
        answer, elapsed_ms = call(transport, request.model, body, hop.write, attempts)
    except Unsaved:
        raise
    except GemcliError as error:
        if error.reason == "MODEL_NOT_FOUND":
            error = with_suggestion(error, request.model, hop.session.journal.models)
        if error.reason == "BAD_REQUEST" and hop.token:
            hint = "if the API no longer takes the token, send 'continue' as a message"
            error = error.replace(hint=hint)
        failure = error.replace(attempts=len(attempts))
        raise _record_failure(hop, failure, attempts, transport) from error.__cause__
    response = records.response(
        hop.exchange,
        answer,
        valid=long_answers.takes_last([*hop.earlier, answer]),
        attempts=attempts,
        elapsed_ms=elapsed_ms,
    )
    try:
        hop.session.append(response, paid=True)
    except Unsaved as error:
        return error
    return None


def _record_failure(
    hop: Hop, error: GemcliError, attempts: list[AttemptRecord], transport: Transport
) -> GemcliError:
    """Append the outcome of a call without an answer, and return the error to raise."""
    record = records.failure(
        hop.exchange,
        outcome=error.outcome or "unknown",
        code=error.code,
        reason=error.reason,
        message=error.message,
        attempts=attempts,
        partial=error.partial,
    )
    try:
        hop.write()
        hop.session.append(record, paid=error.partial is not None)
    except Unsaved as unsaved:
        # A note, not an error: the error of the call matters more.
        transport.notice(f"the failure could not be recorded: {unsaved.message}")
        if error.partial is not None:
            where = f"is in {unsaved.kept}" if unsaved.kept else "may not be in the session file"
            return error.replace(hint=f"the received part of the answer {where}")
    return error
