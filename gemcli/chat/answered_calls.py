"""Function calls and what they returned, for whoever answers the same calls again. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NotRequired, TypedDict

from gemcli.chat.contents import Content, FunctionCall, function_calls, function_responses
from gemcli.chat.turn_order import identity
from gemcli.text import strict_json


class AnsweredCall(TypedDict):
    """A call and its result; `times` says how often it was returned, if that matters."""

    name: str
    args: dict[str, Any]
    result: dict[str, Any]
    parts: NotRequired[list[Any]]
    times: NotRequired[int]


def answered_calls(contents: Sequence[Content]) -> list[AnsweredCall]:
    """The results that a turn's calls got, in such an order that the first that fits is the right.

    The same call may have returned another thing each time: all but the last of these results have
    `times`. Results of more special calls stand before those of calls whose arguments are fewer.
    """
    found = sorted(_in_order(contents), key=lambda one: -_size(one["args"]))
    left = Counter(map(_call, found))
    for one in found:
        left[_call(one)] -= 1
        if left[_call(one)]:
            one["times"] = 1
    return found


def _in_order(contents: Sequence[Content]) -> Iterator[AnsweredCall]:
    """The calls that were answered, in the order in which the model made them."""
    for asked, answered in pairwise(contents):
        left = function_responses(answered)
        for call in function_calls(asked):
            place = next((n for n, one in enumerate(left) if identity(one) == identity(call)), None)
            if place is None:
                continue
            response = left.pop(place)
            name, args = str(call.get("name")), call.get("args") or {}
            one = AnsweredCall(name=name, args=args, result=response.get("response") or {})
            parts = response.get("parts")
            if parts and isinstance(parts, list):  # a session may hold anything there
                one["parts"] = parts
            yield one


def _call(one: AnsweredCall) -> str:
    """The same text for the same call, whatever the order of its arguments."""
    return json.dumps([one["name"], one["args"]], sort_keys=True)


def shown(call: FunctionCall) -> str:
    """A call in one line: `find({"city":"Rome"})`."""
    args = call.get("args")
    return f"{call.get('name')}({strict_json.dumps(args) if args else ''})"


def _size(value: object) -> int:
    """How much a value asks for: one that is among another, and is not the same, has less."""
    if isinstance(value, dict):
        return len(value) + sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 0


def is_among(wanted: object, given: object) -> bool:
    """Whether a value has all that is wanted: objects may have more keys, all else is the same."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(key in given and is_among(one, given[key]) for key, one in wanted.items())
    if isinstance(wanted, list) and isinstance(given, list):
        same_length = len(wanted) == len(given)
        return same_length and all(map(is_among, wanted, given))
    # To Python, true is 1.
    return isinstance(wanted, bool) == isinstance(given, bool) and wanted == given
