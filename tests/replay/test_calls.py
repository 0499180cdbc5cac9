"""Function calls in scripts: which calls are meant, and what they are answered with."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.replay.calls import Called, ToolResult, ToolResults, are_made
from gemcli.tools.results import of_value
from tests.builders import error_from

F: dict[str, Any] = {"a": {"a": 1}, "b": {"b": 2}, "ab": {"a": 1, "b": 2}, "": {}}


def calls(*names: str) -> list[Any]:
    """Calls of f with these arguments."""
    return [{"name": "f", "args": F[name]} for name in names]


@pytest.mark.parametrize(
    ("wanted", "made", "ok"),
    [
        ([""], ["a"], [True]),
        (["a"], ["b"], [False]),
        (["a"], ["b", "ab"], [True]),
        # Each wanted call is one of its own.
        (["", ""], ["a"], [True, False]),
        (["", ""], ["a", "b"], [True, True]),
        # In any order, and whoever can give way does.
        (["b", "a"], ["a", "b"], [True, True]),
        (["", "a"], ["a", "b"], [True, True]),
        (["", "a", "b"], ["ab", "a", "b"], [True, True, True]),
        (["a"], [], [False]),
        ([], ["a"], []),
    ],
)
def test_are_made(wanted: list[str], made: list[str], ok: list[bool]) -> None:
    """Each wanted call needs a call of its own."""
    assert are_made([Called("f", F[name]) for name in wanted], calls(*made)) == ok


def test_another_function() -> None:
    """It is never meant, and a call without arguments is one with none."""
    assert not Called("g").fits({"name": "f"})
    assert Called("f").fits({"name": "f"})
    assert not Called("f", {"a": 1}).fits({"name": "f"})


def result(name: str, value: Any, times: int | None = None) -> ToolResult:
    """A result for the calls of f with these arguments."""
    return ToolResult(Called("f", F[name]), of_value(value), times)


def outputs(results: ToolResults, made: str, *own: ToolResult) -> Any:
    """What a call is answered with."""
    (part,) = results.answer(calls(made), own)
    return part["functionResponse"]["response"]["output"]


def test_the_first_that_is_left() -> None:
    """A turn's own results come first; one with `times` is used up, others never are."""
    results = ToolResults([result("a", 1), result("", 2, 1), result("", 3)])
    assert [outputs(results, "a"), outputs(results, "b"), outputs(results, "b"), outputs(results, "b")] == [1, 2, 3, 3]
    own = result("", 9, 1)
    assert [outputs(results, "a", own), outputs(results, "a", own)] == [9, 1]


def test_none_is_left() -> None:
    """Every call without a result is named."""
    results = ToolResults([result("a", 1, 1)])
    caught = error_from(results.answer, [*calls("a", "b"), {"name": "g"}], [])
    assert (caught.reason, caught.exit) == ("NO_TOOL_RESULT", 10)
    assert caught.message == 'the script has no tool result for f({"b":2}), g()'
