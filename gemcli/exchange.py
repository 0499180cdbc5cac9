"""The heart of gemcli: one message, one answer, and both in the session file.

How a message travels, from the command line to the model and back:

    cli.main                      parses the command line and makes an App
    commands.send                 reads the message
    send.send_message             makes the session if need be, and locks it
      send.choose_request         looks for a stored answer, and for what the last turn waits for
        requests.prepare_request  checks turn order and settings, and builds the request body
      exchange                    asks for the answer: for one hop, or several if it is long
        requests.hop              1. calls the model
                                  2. appends the request record, synced to disk, as it first leaves
                                  3. judges the answer
                                  4. appends the answer, or the failure, synced to disk
          requests.call_model     makes a request, and others as the retry policy says
            api.gemini            makes one HTTP request through the SDK
          sessions.session        appends one record
      tools.turn                  runs what the answer calls, if it may, and sends what comes of it
    send.print_reply              prints the answer

The request is on disk before its first byte leaves, but not yet while the SDK is loaded and the
server connected: a program that is killed there has sent nothing, and leaves nothing in doubt. Once
it is on disk, an outcome follows it, and before the caller gets the result. `send`, `tools` and
`replay` call the model through `exchange`; nothing else does.

An answer that is too long for one request comes in hops. Each hop leaves a token, and the next
request is the same one with that token. Hops are recorded as requests are: a `continue` record as
the hop leaves, and its outcome before the next one is asked for. So an answer survives the process
that asked for it: `continue_answer` goes on where another one ended. A hop that fails takes nothing
away; the result is then what the hops before it make, and incomplete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from gemcli.api.request_thread import interrupted
from gemcli.chat.answers import Answer, Verdict, content_of, continuation_token
from gemcli.chat.contents import text_of
from gemcli.chat.long_answers import is_unfinished
from gemcli.chat.merge_answers import sum_usage
from gemcli.errors import GemcliError, counted
from gemcli.requests.call_model import ResumeEvent, Transport
from gemcli.requests.hop import Hop, ask
from gemcli.requests.prepare_request import Request, how_to_continue
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import AttemptRecord
from gemcli.sessions.session import Session, Unsaved
from gemcli.sessions.turns import Exchange
from gemcli.signals import deferred

CUT_OFF = ("INCOMPLETE", "MAX_TOKENS_EMPTY")
"""The reasons of answers that may have left a token to go on from."""


@dataclass(frozen=True)
class Result:
    """An answered exchange, usable or not.

    `time` is when the request was recorded, `model` the one that was asked. `unsaved` is the error
    that kept the answer out of the session file. `elapsed_ms` is how long the `hops` took together,
    each from the moment its first request was ready to be sent to the end of its answer;
    `waited_ms` is the part of it that went into failed attempts, and the waits after them.
    `context_token_count` is what the first hop took in, if the API said it. A `resumable` answer
    was cut off, and `continue_answer` can go on with it.
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
    waited_ms: int = 0
    hops: int = 1
    context_token_count: int | None = None
    resumable: bool = False

    @property
    def latency_ms(self) -> int:
        """How long the attempts took that were answered."""
        return self.elapsed_ms - self.waited_ms


def exchange(session: Session, request: Request, transport: Transport) -> Result:
    """Send a request and record what comes of it; the result is on disk unless it is `unsaved`.

    A signal that arrives meanwhile is raised when the outcome is recorded. An unsaved answer exists
    nowhere else: the caller holds signals back (`with deferred`) until it has printed the answer.

    Raises `GemcliError`: TIMEOUT before anything is written if no time is left; `Unsaved` when the
    request could not be written, and nothing was sent; the error of the call when there was no
    answer, recorded with its outcome and every attempt; INTERRUPTED when a signal ended an answer
    that goes on, whose hops are recorded.
    """
    _require_sendable(request, transport)
    turn, name = session.journal.next_exchange(request.content)
    make_record = partial(
        records.request,
        turn,
        name,
        request.content,
        model=request.model,
        backend=transport.backend.name,
        config=request.config,
        key=request.key,
    )
    # From here until the outcome is on disk, a signal only ends the wait for the answer.
    with deferred:
        unsaved = ask(Hop(session, name, make_record), request, transport)
        sent = session.journal.turns[turn].exchanges[-1]
        return _go_on(session, sent, request, transport, unsaved)


def continue_answer(session: Session, request: Request, transport: Transport) -> Result:
    """Go on, as `exchange` does, with the answer of the exchange that is `continuable`.

    `request` comes from `prepare_continuation`. `on_chunk` first gets what there is of the answer.
    Raises what `exchange` raises, also if the first hop fails: then there is nothing that was not
    on disk before.
    """
    _require_sendable(request, transport)
    begun = session.journal.continuable
    if begun is None:
        raise ValueError("no answer can go on")
    if transport.on_chunk:
        transport.on_chunk(begun.answer or {})
    with deferred:
        unsaved = ask(_next_hop(session, begun, request), request, transport)
        return _go_on(session, begun, request, transport, unsaved)


def stored_result(exchange: Exchange, journal: Journal) -> Result:
    """The result of an exchange that was answered earlier, from its records."""
    verdict = exchange.verdict
    resumable = journal.resumable is exchange
    if resumable and verdict.error and verdict.error.reason in CUT_OFF:
        error = verdict.error.replace(hint=how_to_continue(journal))
        verdict = replace(verdict, error=error)
    return Result(
        turn=exchange.turn,
        id=exchange.id,
        time=exchange.request.get("time"),
        model=exchange.request["model"],
        answer=exchange.answer or {},
        verdict=verdict,
        attempts=exchange.attempts,
        elapsed_ms=exchange.elapsed_ms or 0,
        waited_ms=exchange.waited_ms or 0,
        hops=len(exchange.hops),
        context_token_count=exchange.context_token_count,
        resumable=resumable,
    )


def taken_together(results: Sequence[Result]) -> Result:
    """The last of these answers of a turn, with what all have cost: tokens, attempts and time."""
    last = results[-1]
    if len(results) == 1:
        return last
    usages = [result.answer.get("usageMetadata") for result in results]
    usage = sum_usage([one for one in usages if isinstance(one, dict)])
    return replace(
        last,
        time=results[0].time,
        answer={**last.answer, "usageMetadata": usage},
        attempts=[attempt for result in results for attempt in result.attempts],
        elapsed_ms=sum(result.elapsed_ms for result in results),
        waited_ms=sum(result.waited_ms for result in results),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
    )


def _require_sendable(request: Request, transport: Transport) -> None:
    """Raise `GemcliError` (TIMEOUT, PROJECT_NAME) if the request must not be sent at all."""
    if transport.limits.time_to_start <= 0:
        message = "there is no time left for a request before the deadline"
        raise GemcliError("TIMEOUT", message, outcome="rejected", hint="raise --deadline")
    transport.gemini.require_own_project(request.model)


# One hop after another


def _next_hop(session: Session, exchange: Exchange, request: Request) -> Hop:
    """The hop that goes on from the newest token of an answer."""
    earlier = exchange.answers
    token = continuation_token(earlier[-1]) or ""
    config = None if request.config == exchange.request.get("config", {}) else request.config
    number = len(earlier) + 1
    make_record = partial(records.continuation, exchange.id, number, token, config=config)
    return Hop(session, exchange.id, make_record, token, tuple(earlier))


def _go_on(
    session: Session,
    exchange: Exchange,
    request: Request,
    transport: Transport,
    unsaved: Unsaved | None,
) -> Result:
    """Ask for hop after hop until the answer is complete, or something ends it before.

    The first hop that this command asked for is recorded already, or else `unsaved`.
    """
    end, asked = None, 1
    while unsaved is None and is_unfinished(exchange.answer or {}):
        if deferred.arrived:
            raise interrupted(deferred.arrived[0], sent=False)
        if end := _reason_to_end(exchange, asked, transport):
            break
        _tell_of_resuming(exchange, transport)
        try:
            unsaved = ask(_next_hop(session, exchange, request), request, transport)
        except GemcliError as error:
            if error.reason == "INTERRUPTED":
                raise
            end = f"hop {len(exchange.hops) + 1} failed: {error.message} ({error.reason})"
            break
        asked += 1
    result = replace(stored_result(exchange, session.journal), notes=request.notes)
    if unsaved:
        return replace(result, unsaved=unsaved, resumable=False)
    return _ended(result, end) if end else result


def _reason_to_end(exchange: Exchange, asked: int, transport: Transport) -> str | None:
    """Why no hop should be asked for after so many; None if one should."""
    if exchange.is_stuck:
        return "the API gave the same token twice"
    if asked >= transport.max_hops:
        return f"stopped after {counted(asked, 'hop')}"
    if transport.limits.time_to_start <= 0:
        return "there is no time left for the next hop before the deadline"
    return None


def _tell_of_resuming(exchange: Exchange, transport: Transport) -> None:
    """Say where the answer goes on, if the stream of its newest hop broke."""
    broke = any("reason" in attempt for attempt in exchange.hops[-1]["attempts"][-1:])
    if broke and transport.on_resume:
        length = len(text_of(content_of(exchange.answer)))
        hop = len(exchange.hops) + 1
        event = ResumeEvent(event="resume", time=records.now(), hop=hop, text_length=length)
        transport.on_resume(event)


def _ended(result: Result, end: str) -> Result:
    """The result of an answer that was ended before it was complete, with the reason."""
    error = result.verdict.error
    if error:
        error = error.replace(message=f"{error.message}: {end}")
    return replace(result, verdict=replace(result.verdict, error=error))
