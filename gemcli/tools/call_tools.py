"""The function calls of one answer, run side by side, each recorded before and after.

A run that was recorded as ended is never repeated, whatever process recorded it. One that was
recorded as started only is in doubt: it is repeated if its declaration or the user allows that.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from gemcli.chat.contents import FunctionCall
from gemcli.errors import GemcliError
from gemcli.sessions import records
from gemcli.sessions.session import Session
from gemcli.signals import POLL_INTERVAL, deferred
from gemcli.tools import results
from gemcli.tools.child_process import RunContext, Stopped
from gemcli.tools.declarations import Toolbox
from gemcli.tools.results import Result
from gemcli.tools.run_command import run_command


class ToolEvent(TypedDict):
    """A tool starts to run, or has ended with a response."""

    event: Literal["tool"]
    time: str
    state: Literal["started", "ended"]
    id: str | None
    name: str
    args: dict[str, Any]
    response: NotRequired[dict[str, Any]]
    elapsed_ms: NotRequired[int]


@dataclass(frozen=True)
class Tooling:
    """How the calls of a turn are answered: by which tools, and who is told of it.

    `max_rounds` is how many answers with calls are acted on. With `resend`, tools that are in doubt
    run again.
    """

    toolbox: Toolbox
    context: RunContext
    max_rounds: int
    resend: bool = False
    on_event: Callable[[ToolEvent], None] = lambda _event: None


@dataclass(frozen=True)
class Run:
    """A call and its result; it is `reused` if an earlier command ran the tool."""

    call: FunctionCall
    result: Result
    elapsed_ms: int
    reused: bool = False


def call_tools(
    session: Session, exchange: str, calls: Sequence[FunctionCall], tooling: Tooling
) -> list[Run]:
    """Run what the answer of `exchange` calls; the runs are in the order of the calls.

    Raises `GemcliError`: IN_DOUBT before anything is run; INTERRUPTED or TIMEOUT when the tools
    that still run are killed, and those that have ended are recorded; `Unsaved`.
    """
    recorded = session.journal.tool_runs(exchange)
    runs = {
        place: Run(
            calls[place],
            Result(run["response"], tuple(run.get("parts") or ())),
            run["elapsed_ms"],
            True,
        )
        for place, run in recorded.items()
        if run["state"] == "ended"
    }
    waiting = [place for place in range(len(calls)) if place not in runs]
    _require_certain([calls[place] for place in waiting if place in recorded], tooling)
    with deferred:
        runs |= _SideBySide(session, exchange, calls, tooling).run(waiting)
    return [runs[place] for place in range(len(calls))]


def _require_certain(doubtful: Sequence[FunctionCall], tooling: Tooling) -> None:
    """Raise `GemcliError` (IN_DOUBT) for tools that were started, and may not run again."""
    tools = tooling.toolbox.tools
    names = [call["name"] for call in doubtful if not tools[call["name"]].idempotent]
    if names and not tooling.resend:
        what = f"{', '.join(names)}: started before, and whether it has done its work is unknown"
        hint = "use --on-unknown resend to run it again, or answer the call with --response"
        raise GemcliError("IN_DOUBT", what, hint=hint)


class _SideBySide:
    """Runs in threads of their own; this thread records them."""

    def __init__(
        self, session: Session, exchange: str, calls: Sequence[FunctionCall], tooling: Tooling
    ) -> None:
        self._session = session
        self._exchange = exchange
        self._calls = calls
        self._tooling = tooling
        self._stop = tooling.context.stop
        self._news: queue.SimpleQueue[tuple[int, Result | None, int] | None] = queue.SimpleQueue()

    def run(self, places: Sequence[int]) -> dict[int, Run]:
        """Run the tools of these calls."""
        threads = []
        try:
            with deferred.waking(lambda: self._news.put(None)):
                for place in places:
                    if not deferred.arrived:
                        threads.append(self._start(place))
                runs = self._collect(len(threads))
        except BaseException:
            self._stop.set()
            raise
        finally:
            for thread in threads:
                thread.join()
        if len(runs) < len(places):
            raise self._stopped(
                [self._calls[place]["name"] for place in places if place not in runs]
            )
        return runs

    def _start(self, place: int) -> threading.Thread:
        call = self._calls[place]
        self._session.append(records.tool_started(self._exchange, place, call))
        self._tooling.on_event(_event(call, "started"))
        thread = threading.Thread(target=self._work, args=(place,), name="tool", daemon=True)
        thread.start()
        return thread

    def _work(self, place: int) -> None:
        begun = time.monotonic()
        result = None
        with suppress(Stopped):
            result = _run(self._calls[place], self._tooling)
        self._news.put((place, result, round((time.monotonic() - begun) * 1000)))

    def _collect(self, count: int) -> dict[int, Run]:
        """Record what comes of so many runs, until the last one has ended or was killed."""
        runs = {}
        while count:
            if deferred.arrived:
                self._stop.set()
            with suppress(queue.Empty):
                news = self._news.get(timeout=POLL_INTERVAL)
                if news is None:
                    continue
                place, result, elapsed_ms = news
                count -= 1
                if result:
                    runs[place] = Run(self._calls[place], result, elapsed_ms)
                    self._record(place, runs[place])
        return runs

    def _record(self, place: int, run: Run) -> None:
        response, parts = run.result.response, list(run.result.parts)
        record = records.tool_ended(
            self._exchange,
            place,
            run.call,
            response=response,
            parts=parts,
            elapsed_ms=run.elapsed_ms,
        )
        self._session.append(record)
        event = _event(run.call, "ended")
        event["response"], event["elapsed_ms"] = response, run.elapsed_ms
        self._tooling.on_event(event)

    def _stopped(self, names: Sequence[str]) -> GemcliError:
        """The error of a turn whose tools could not end."""
        what = f"{', '.join(names)} did not end; what was done is unknown"
        if not deferred.arrived:
            return GemcliError(
                "TIMEOUT", f"{what} at the deadline", outcome="unknown", hint="raise --deadline"
            )
        number = deferred.arrived[0]
        message = f"stopped by {signal.Signals(number).name}: {what}"
        return GemcliError("INTERRUPTED", message, outcome="unknown", exit_code=128 + number)


def _run(call: FunctionCall, tooling: Tooling) -> Result:
    tools = tooling.toolbox.tools
    tool = tools.get(call["name"])
    args = call.get("args") or {}
    if tool is None:
        known = ", ".join(tools)
        return results.of_failure(f"there is no function {call['name']}; there are {known}")
    if tool.function:
        return tool.function(tool, args)
    return run_command(tool, args, tooling.context)


def _event(call: FunctionCall, state: Literal["started", "ended"]) -> ToolEvent:
    return ToolEvent(
        event="tool",
        time=records.now(),
        state=state,
        id=call.get("id"),
        name=call["name"],
        args=call.get("args") or {},
    )
