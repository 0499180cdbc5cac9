"""A turn in which the model calls functions: answers are acted on until one calls none.

exchange → calls → `call_tools` → their responses → exchange, and so on. Another process can go on
where this one stopped: the journal knows which calls are open, and which of them have been run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gemcli.api.request_thread import interrupted
from gemcli.chat.contents import Content, FunctionCall
from gemcli.chat.open_calls import how_to_answer
from gemcli.errors import GemcliError, counted
from gemcli.exchange import Result, exchange, taken_together
from gemcli.requests.call_model import Transport
from gemcli.requests.prepare_request import Request, settings_of_turn
from gemcli.sessions.journal import Journal
from gemcli.sessions.session import Session
from gemcli.settings import config as settings
from gemcli.settings.tool_settings import declared_functions
from gemcli.signals import deferred
from gemcli.tools import results
from gemcli.tools.call_tools import Run, Tooling, call_tools
from gemcli.tools.declarations import Toolbox


class Played(NamedTuple):
    """The last answer of a turn, with the cost of those before it, and the runs of tools."""

    result: Result
    runs: list[Run]


def play(
    session: Session,
    result: Result | None,
    request_for: Callable[[Content], Request],
    transport: Transport,
    tooling: Tooling,
) -> Played:
    """Go on after an answer, or if there is none now with the calls that are open.

    `request_for` makes the request with the responses of calls. The calls of the last answer stay
    open after `max_rounds`, and when one of them is for the user to answer. Raises `GemcliError`
    (OPEN_CALL) if that is the first one, and what `exchange` and `call_tools` raise.
    """
    runs: list[Run] = []
    answered = [result] if result else []
    rounds = tooling.max_rounds
    while result is None or (rounds and _calls_functions(result)):
        if by_hand := _calls_by_hand(session.journal, tooling.toolbox):
            if result is None:
                raise _nothing_runs(by_hand)
            break
        responses = _responses(session, tooling, runs)
        result = exchange(session, request_for(responses), transport)
        answered.append(result)
        rounds -= 1
    if tooling.max_rounds and not rounds and _calls_functions(result):
        what = f"functions were called {counted(tooling.max_rounds, 'time')}, and are called again"
        transport.notice(f"{what}; to go on with the turn: {tooling.command}")
    return Played(taken_together(answered), runs)


def _calls_functions(result: Result) -> bool:
    """Whether an answer ends in calls, and is where they can be answered: in the session."""
    error = result.verdict.error
    return error is not None and error.reason == "FUNCTION_CALL" and result.unsaved is None


def _responses(session: Session, tooling: Tooling, runs: list[Run]) -> Content:
    """The responses of the open calls, which are run for them; the runs are added to `runs`."""
    journal = session.journal
    exchange = journal.open_exchange
    new = call_tools(session, exchange, tooling) if exchange else []
    if deferred.arrived:  # all of them have ended, and nothing was sent
        raise interrupted(deferred.arrived[0], sent=False)
    runs += new
    return results.content(run.result.part(run.call) for run in new)


def _calls_by_hand(journal: Journal, toolbox: Toolbox) -> list[FunctionCall]:
    """The open calls of functions that are declared, and that nothing runs."""
    config = settings.merge(journal.header["config"], settings_of_turn(journal).config)
    declared = {function.get("name") for function in declared_functions(config)}
    declared -= {tool.name for tool in toolbox.tools.values() if tool.runs}
    calls = journal.open_calls
    return [call for call in calls if call["name"] in declared]


def _nothing_runs(calls: list[FunctionCall]) -> GemcliError:
    names = ", ".join(call["name"] for call in calls)
    what = f"nothing runs {names}: no --tools has a command for it"
    return GemcliError("OPEN_CALL", what, hint=how_to_answer(calls))
