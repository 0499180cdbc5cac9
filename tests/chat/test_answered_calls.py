"""Answered calls: which results belong to which calls, and in which order they are looked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat.answered_calls import answered_calls, is_among, shown
from tests.builders import call, json_values, model, result, user


def answered(*pairs: tuple[Any, Any]) -> list[Any]:
    """A turn in which f was called with these arguments one after the other, and returned these results."""
    contents = [user("a")]
    for args, returned in pairs:
        contents += [model(call(args=args)), user(result(response={"output": returned}))]
    return [*contents, model("done")]


def found(*pairs: tuple[Any, Any]) -> list[tuple[Any, Any, Any]]:
    """The arguments, the results and the `times` of what is made of them."""
    calls = answered_calls(answered(*pairs))
    return [(one["args"], one["result"]["output"], one.get("times")) for one in calls]


def test_calls_side_by_side() -> None:
    """Results are matched by id and name, in any order; parts of a result belong to it, an open call has none."""
    blob = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    contents = [
        user("a"),
        model("let me see", call("f", id="c1", args={"n": 1}), call("g", id="c2"), call("f", id="c3", args={"n": 2})),
        user(result("f", id="c3", response={"x": 3}), result("g", id="c2", parts=blob), result("f", id="c1")),
        model(call("h")),
    ]
    assert answered_calls(contents) == [
        {"name": "f", "args": {"n": 1}, "result": {"result": 1}},
        {"name": "f", "args": {"n": 2}, "result": {"x": 3}},
        {"name": "g", "args": {}, "result": {"result": 1}, "parts": blob},
    ]
    assert answered_calls([user("a"), model("b")]) == answered_calls([]) == []


def test_the_same_call_again() -> None:
    """Each of its results is for once, and the last one for good; the order of arguments makes no other call."""
    assert found(({}, 1), ({}, 2), ({}, 3)) == [({}, 1, 1), ({}, 2, 1), ({}, 3, None)]
    a, b = {"x": 1, "y": 2}, {"y": 2, "x": 1}
    assert found((a, 1), (b, 2)) == [(a, 1, 1), (b, 2, None)]


def test_special_calls_come_first() -> None:
    """What is asked with fewer arguments must not take the calls with more."""
    deep = {"a": {"b": [{"c": 1}]}}
    assert [args for args, *_ in found(({}, 1), ({"a": {}}, 2), (deep, 3))] == [deep, {"a": {}}, {}]


ARGS = st.dictionaries(st.sampled_from("abc"), json_values(st.integers(0, 1), st.just("x"), leaves=3), max_size=3)


@given(st.lists(ARGS, max_size=6))
def test_the_first_that_fits_is_the_right_one(args: list[Any]) -> None:
    """Calls that are made again in the same order get what they got."""
    calls = answered_calls(answered(*((one, number) for number, one in enumerate(args))))
    used: Counter[int] = Counter()
    for number, one in enumerate(args):
        fits = (place for place, other in enumerate(calls) if is_among(other["args"], one))
        place = next(place for place in fits if used[place] < calls[place].get("times", 99))
        used[place] += 1
        assert calls[place]["result"] == {"output": number} or is_among(one, args[calls[place]["result"]["output"]])


@pytest.mark.parametrize(
    ("wanted", "given", "ok"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1}, {"a": 1.0, "b": 2}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": None}, {}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": {}}, {"a": []}, False),
    ],
)
def test_is_among(wanted: Any, given: Any, ok: bool) -> None:
    """Objects may have more keys, at every depth; all else is the same, and true is not 1."""
    assert is_among(wanted, given) is ok


def test_shown() -> None:
    """A call in a line."""
    assert shown({"name": "f"}) == shown({"name": "f", "args": {}}) == "f()"
    assert shown({"name": "f", "args": {"city": "Zürich", "n": [1]}}) == 'f({"city":"Zürich","n":[1]})'
