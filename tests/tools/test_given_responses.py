"""Responses fitted to the calls that wait: which response is for which call, and everything that is wrong at once."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gemcli.chat import turn_order
from gemcli.chat.open_calls import how_to_answer
from gemcli.tools.given_responses import GivenResponse, fit
from gemcli.tools.results import FunctionResult
from tests.builders import error_from, model, user

ROLL: Any = {"name": "roll", "id": "c1", "args": {"sides": 6}}
FLIP: Any = {"name": "flip", "id": "c2", "args": {}}
AGAIN: Any = {"name": "roll", "id": "c3", "args": {"sides": 20}}
OLD: Any = {"name": "roll", "args": {}}
"""A call as models before Gemini 3 make it: without an id."""

PNG = b"\x89PNG\r\n\x1a\nrest"


def given(*pairs: tuple[str, str]) -> list[GivenResponse]:
    """Responses as they are typed."""
    return [GivenResponse(call, text.encode()) for call, text in pairs]


def responses(calls: list[Any], *pairs: tuple[str, str]) -> list[Any]:
    """The function responses that these make, after a check that the API takes them."""
    content = fit(calls, given(*pairs), {})
    asked = model(*({"functionCall": call} for call in calls))
    assert turn_order.check([user("q"), asked, content]) == []
    return [part["functionResponse"] for part in content["parts"]]


FITTED: dict[str, tuple[list[Any], list[tuple[str, str]], list[tuple[str | None, Any]]]] = {
    "by-name": ([ROLL], [("roll", '{"eyes": 4}')], [("c1", {"eyes": 4})]),
    "by-id": ([ROLL], [("c1", '{"eyes": 4}')], [("c1", {"eyes": 4})]),
    "order": ([ROLL, FLIP], [("flip", "1"), ("roll", '{"b": 2}')], [("c1", {"b": 2}), ("c2", {"output": 1})]),
    "one-name-two-ids": ([ROLL, AGAIN], [("c3", "20"), ("c1", "6")], [("c1", {"output": 6}), ("c3", {"output": 20})]),
    "one-name-no-ids": ([OLD, OLD], [("roll", "1"), ("roll", "2")], [(None, {"output": 1}), (None, {"output": 2})]),
    "one-name-one-id": ([ROLL, ROLL], [("c1", "1"), ("roll", "2")], [("c1", {"output": 1}), ("c1", {"output": 2})]),
    "text": ([ROLL], [("roll", '"four"')], [("c1", {"output": "four"})]),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_fitted(name: str) -> None:
    """Each response has the name and id of its call, in the order of the calls; what is no object is the output."""
    calls, pairs, expected = FITTED[name]
    assert [(each.get("id"), each["response"]) for each in responses(calls, *pairs)] == expected


def test_recorded_results() -> None:
    """What a tool has returned need not be given; what is given counts for calls without a result first."""
    recorded = {0: FunctionResult({"output": 1}), 1: FunctionResult({"output": 2})}

    def outputs(*pairs: tuple[str, str]) -> list[Any]:
        parts: Any = fit([OLD, FLIP, OLD], given(*pairs), recorded)["parts"]
        return [part["functionResponse"]["response"]["output"] for part in parts]

    assert outputs(("roll", "3")) == [1, 2, 3]
    assert outputs(("roll", "3"), ("roll", "4"), ("flip", "5")) == [4, 5, 3]
    error = error_from(fit, [OLD, FLIP, OLD], given(("flip", "5")), recorded)
    assert [problem.rule for problem in error.problems] == ["missing"]


@pytest.mark.parametrize(("file", "shown"), [("plot.png", "plot.png"), (None, "file")])
def test_media(file: str | None, shown: str) -> None:
    """An image or a PDF is a Part of the response, which refers to it by name."""
    part: Any = fit([ROLL], [GivenResponse("roll", PNG, file)], {})["parts"][0]["functionResponse"]
    assert (part["id"], part["name"], part["response"]) == ("c1", "roll", {"file": {"$ref": shown}})
    encoded = base64.b64encode(PNG).decode()
    assert part["parts"] == [{"inlineData": {"mimeType": "image/png", "data": encoded, "displayName": shown}}]


UNFIT: dict[str, tuple[list[Any], list[tuple[str, str]], list[tuple[str, str]]]] = {
    "misspelt": ([ROLL], [("rol", "1")], [("unknown-call", "`roll`"), ("missing", "add --response roll=JSON")]),
    "unknown": ([ROLL], [("weather", "1"), ("c1", "2")], [("unknown-call", "the calls are roll (id c1)")]),
    "ambiguous": ([ROLL, AGAIN], [("roll", "1"), ("c1", "1"), ("c3", "1")], [("ambiguous-call", "use an id: c1, c3")]),
    "twice": ([ROLL], [("roll", "1"), ("roll", "2")], [("duplicate", "")]),
    "twice-by-name-and-id": ([ROLL], [("roll", "1"), ("c1", "2")], [("duplicate", "")]),
    "one-too-many": ([OLD], [("roll", "1"), ("roll", "2")], [("duplicate", "")]),
    "bare-text": ([ROLL], [("roll", "it's four")], [("value", """--response 'roll="it'"'"'s four"'""")]),
    "long-text": ([ROLL], [("roll", "four " * 99)], [("value", "--response 'roll=\"…\"'")]),
    "nothing": ([ROLL], [("roll", "")], [("value", "")]),
    "missing": ([ROLL, FLIP, AGAIN], [("c1", "1")], [("missing", "--response flip"), ("missing", "--response c3")]),
    "none": ([FLIP], [], [("missing", "add --response flip=JSON")]),
    "all": ([ROLL, FLIP], [("x", "y"), ("roll", "z")], [(r, "") for r in ("unknown-call", *2 * ["value"], "missing")]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_unfit(name: str) -> None:
    """Everything that is wrong is told at once, each with what to do about it."""
    calls, pairs, expected = UNFIT[name]
    error = error_from(fit, calls, given(*pairs), {})
    assert (error.reason, error.exit) == ("RESPONSES", 2)
    assert [problem.rule for problem in error.problems] == [rule for rule, _ in expected]
    for problem, (_, hint) in zip(error.problems, expected, strict=True):
        assert hint in (problem.hint or "")


def test_a_file_that_is_neither() -> None:
    """A file that is no JSON and of no type that the API takes is refused, with how text becomes JSON."""
    error = error_from(fit, [ROLL], [GivenResponse("roll", b"GIF89a", "a.gif")], {})
    assert "jq -Rs . makes of text, or a PNG" in str(error.problems[0].hint)


def test_no_open_call() -> None:
    """Where no call waits there is nothing to answer."""
    assert error_from(fit, [], given(("roll", "1")), {}).reason == "RESPONSES"


def test_the_command_that_answers() -> None:
    """The hint has one option for each call, with the id where the name is not enough."""
    hint = "answer it: gemcli send -s SESSION --response c1=JSON --response flip=JSON --response c3=JSON"
    assert how_to_answer([ROLL, FLIP, AGAIN]) == hint
