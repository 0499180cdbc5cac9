"""Function calls in scripts: which calls are meant, and what they are answered with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gemcli.chat.answered_calls import AnsweredCall, is_among, shown
from gemcli.chat.contents import FunctionCall, Part
from gemcli.errors import GemcliError
from gemcli.tools.results import FunctionResult

MAX_ROUNDS = 8
"""How often the calls of one turn are answered: a model that goes on calling is stopped."""


class Called(NamedTuple):
    """The calls of a function that have at least these arguments."""

    name: str
    args: Mapping[str, Any] = {}

    def fits(self, call: FunctionCall) -> bool:
        """Whether a call is one of them."""
        return call.get("name") == self.name and is_among(self.args, call.get("args") or {})

    def __str__(self) -> str:
        return shown(FunctionCall(name=self.name, args={**self.args}))


def are_made(wanted: Sequence[Called], calls: Sequence[FunctionCall]) -> list[bool]:
    """For each wanted call whether it was made; none of the calls counts for two of them."""
    taken: dict[int, int] = {}  # the wanted call that each call counts for

    def take(number: int, seen: set[int]) -> bool:
        """Find a call for a wanted one, if need be another one for the wanted that has it."""
        fitting = [place for place, call in enumerate(calls) if wanted[number].fits(call)]
        for place in sorted(fitting, key=taken.__contains__):  # free ones first
            if place not in seen:
                seen.add(place)
                if place not in taken or take(taken[place], seen):
                    taken[place] = number
                    return True
        return False

    return [take(number, set()) for number in range(len(wanted))]


@dataclass(frozen=True, slots=True, eq=False)
class ToolResult:
    """What a script answers calls with, at most `times` times."""

    called: Called
    result: FunctionResult
    times: int | None = None


def recorded_result(one: AnsweredCall) -> ToolResult:
    """What a recorded call is answered with when it is made again."""
    result = FunctionResult(one["result"], tuple(one.get("parts") or ()))
    return ToolResult(Called(one["name"], one["args"]), result, one.get("times"))


@dataclass
class ToolResults:
    """The results of one conversation; those for all of its turns are `shared`."""

    shared: Sequence[ToolResult]
    _used: Counter[ToolResult] = field(default_factory=Counter)

    def answer(self, calls: Sequence[FunctionCall], own: Sequence[ToolResult]) -> list[Part]:
        """The Parts that answer the calls of one answer; the turn's `own` results go first.

        Raises `GemcliError` (NO_TOOL_RESULT) if a call has none.
        """
        parts, missing = [], []
        for call in calls:
            fitting = (one for one in (*own, *self.shared) if one.called.fits(call))
            found = next(filter(self._is_left, fitting), None)
            if found:
                self._used[found] += 1
                parts.append(found.result.part(call))
            else:
                missing.append(shown(call))
        if missing:
            what = f"the script has no tool result for {', '.join(missing)}"
            raise GemcliError("NO_TOOL_RESULT", what)
        return parts

    def _is_left(self, result: ToolResult) -> bool:
        return result.times is None or self._used[result] < result.times
