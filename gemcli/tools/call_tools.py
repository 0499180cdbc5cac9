"""The function calls of one answer, run side by side, each recorded before and after.

A run that was recorded as ended is never repeated, whatever process recorded it. One that was
recorded as started only is in doubt: it is repeated if its declaration or the user allows that.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from gemcli.chat.contents import FunctionCall
from gemcli.chat.open_calls import option_for
from gemcli.errors import GemcliError
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.session import Session
from gemcli.sessions.turns import Exchange
from gemcli.signals import POLL_INTERVAL, deferred
from gemcli.tools import results
from gemcli.tools.declarations import Toolbox
from gemcli.tools.results import FunctionResult
from gemcli.tools.tool_context import Stopped, ToolContext


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

    `max_rounds` is how many answers with calls are acted on. `command` goes on with a turn that
    ended early. With `resend`, tools that are in doubt run again.
    """

    toolbox: Toolbox
    context: ToolContext
    max_rounds: int
    command: str
    resend: bool = False
    on_event: Callable[[ToolEvent], None] = lambda _event: None


NO_TOOLS = Tooling(Toolbox(), ToolContext({}, lambda _line: None), max_rounds=0, command="")
"""All calls are for the user to answer."""


@dataclass(frozen=True)
class Run:
    """A call and its result; it is `reused` if an earlier command ran the tool."""

    call: FunctionCall
    result: FunctionResult
    elapsed_ms: int
    reused: bool = False


def call_tools(session: Session, exchange: Exchange, tooling: Tooling) -> list[Run]:
    """Run what the answer of the open `exchange` calls; the runs are in the order of the calls.

    Raises `GemcliError`: IN_DOUBT before anything is run; INTERRUPTED or TIMEOUT when the tools
    that still run are killed, and those that have ended are recorded; `Unsaved`.
    """
    calls = session.journal.open_calls
    recorded = session.journal.open_runs
    runs = {
        place: Run(calls[place], result, recorded[place].get("elapsed_ms", 0), reused=True)
        for place, result in recorded_results(session.journal).items()
    }
    waiting = [place for place in range(len(calls)) if place not in runs]
    _require_certain(calls, [place for place in waiting if place in recorded], tooling)
    with deferred:
        runs |= _SideBySide(session, exchange.id, calls, tooling).run(waiting)
    return [runs[place] for place in range(len(calls))]


def recorded_results(journal: Journal) -> dict[int, FunctionResult]:
    """What tools have returned for the calls that wait, by the places of these."""
    return {
        place: FunctionResult(run.get("response") or {}, tuple(run.get("parts") or ()))
        for place, run in journal.open_runs.items()
        if run["state"] == "ended"
    }


def _require_certain(
    calls: Sequence[FunctionCall], started: Sequence[int], tooling: Tooling
) -> None:
    """Raise `GemcliError` (IN_DOUBT) for tools that were started, and may not run again."""
    doubtful = _once_only([calls[place] for place in started], tooling)
    if doubtful and not tooling.resend:
        what = f"{_names(doubtful)}: started before, and whether it did its work is unknown"
        by_hand = " ".join(option_for(call, calls) for call in doubtful)
        answer_it = f"answer it: gemcli send -s SESSION {by_hand}"
        hint = f"use --on-unknown resend to run it again, or {answer_it}"
        raise GemcliError("IN_DOUBT", what, hint=hint)


def _once_only(calls: Sequence[FunctionCall], tooling: Tooling) -> list[FunctionCall]:
    """Those of the calls that are not run again without a word of the user."""
    again = {tool.name for tool in tooling.toolbox.tools.values() if tool.idempotent}
    return [call for call in calls if call["name"] not in again]


_News = tuple[int, FunctionResult | Exception, int] | None
"""Where a run belongs, what came of it, and how long it took; None if a signal has arrived."""


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
        self._threads: dict[int, threading.Thread] = {}
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()

    def run(self, places: Sequence[int]) -> dict[int, Run]:
        """Run the tools of these calls."""
        try:
            with deferred.waking(lambda: self._news.put(None)):
                for place in places:
                    if not deferred.arrived:
                        self._start(place)
                runs = self._collect(len(self._threads))
        except BaseException:
            self._stop.set()
            raise
        finally:
            for thread in self._threads.values():
                thread.join()
        if len(runs) < len(places):
            raise self._stopped(runs)
        return runs

    def _start(self, place: int) -> None:
        call = self._calls[place]
        self._session.append(records.tool_started(self._exchange, place, call))
        self._tooling.on_event(_event(call, "started"))
        thread = threading.Thread(target=self._work, args=(place,), name="tool", daemon=True)
        thread.start()
        self._threads[place] = thread

    def _work(self, place: int) -> None:
        begun = time.monotonic()
        try:
            outcome: FunctionResult | Exception = _run(self._calls[place], self._tooling)
        except Exception as error:  # whatever it is concerns the thread that waits
            outcome = error
        self._news.put((place, outcome, round((time.monotonic() - begun) * 1000)))

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
                place, outcome, elapsed_ms = news
                count -= 1
                if isinstance(outcome, FunctionResult):
                    runs[place] = Run(self._calls[place], outcome, elapsed_ms)
                    self._record(place, runs[place])
                elif not isinstance(outcome, Stopped):
                    raise outcome
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
        if "error" in response:
            self._tooling.context.tell(f"{run.call['name']} failed: {response['error']}")
        event = _event(run.call, "ended")
        event["response"], event["elapsed_ms"] = response, run.elapsed_ms
        self._tooling.on_event(event)

    def _stopped(self, ended: Mapping[int, Run]) -> GemcliError:
        """The error of a turn in which only these runs have ended."""
        lost = [self._calls[place] for place in self._threads if place not in ended]
        what = f"{_names(lost)} did not end, and what was done is unknown"
        outcome = "unknown" if lost else "rejected"
        hint = f"go on with the turn: {self._tooling.command}"
        if doubtful := _once_only(lost, self._tooling):
            again = f"{self._tooling.command} --on-unknown resend"
            hint = f"if {_names(doubtful)} may run again: {again}"
        if not deferred.arrived:
            message = f"at the deadline {what}"
            return GemcliError("TIMEOUT", message, outcome=outcome, hint=hint)
        number = deferred.arrived[0]
        by = f"stopped by {signal.Signals(number).name}"
        message = f"{by}; {what if lost else 'no tool is in doubt'}"
        exit_code = 128 + number
        return GemcliError("INTERRUPTED", message, outcome=outcome, hint=hint, exit_code=exit_code)


def _names(calls: Sequence[FunctionCall]) -> str:
    return ", ".join(call["name"] for call in calls)


def _run(call: FunctionCall, tooling: Tooling) -> FunctionResult:
    tools = tooling.toolbox.tools
    tool = tools.get(call["name"])
    args = call.get("args") or {}
    if tool is None:
        known = ", ".join(tools)
        return results.of_failure(f"there is no function {call['name']}; there are {known}")
    if tool.function:
        return tool.function(tool, args)
    from gemcli.tools.run_command import run_command  # loads subprocess

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
