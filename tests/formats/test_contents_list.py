"""Histories from outside: one JSON list or JSON Lines, with every problem, by Content and by line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import example, given
from hypothesis import strategies as st

from gemcli.errors import GemcliError, Problem
from gemcli.formats.contents_list import load
from gemcli.text import strict_json
from tests.builders import contents, error_from

TEXT = st.text(st.characters(), min_size=1, max_size=8)
HISTORIES = st.lists(st.tuples(TEXT, TEXT), max_size=4).map(
    lambda pairs: contents(*(text for pair in pairs for text in pair))
)
RICH: list[Any] = [
    {"role": "user", "parts": [{"text": "q"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
    {"role": "model", "parts": [{"text": "hm", "thought": True}, {"functionCall": {"name": "f", "args": {}}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": None}}}]},
    {"role": "model", "parts": [{"text": "a\u2028b", "thoughtSignature": "c2ln", "later": 1e-7}], "later": None},
]


@given(HISTORIES)
@example(RICH)
@example(RICH[:2])
def test_round_trip(history: list[Any]) -> None:
    """What is dumped can be loaded, value for value, as a list and as JSON Lines; it may end in an open call."""
    assert repr(load(strict_json.dumps(history), "x")) == repr(history)
    assert repr(load("\n".join(map(strict_json.dumps, history)), "x")) == repr(history)


@pytest.mark.parametrize("text", ["[]", " [ ] ", "\n\t[]\n", "", "   ", "\n\n"], ids=repr)
def test_empty(text: str) -> None:
    """A history may be empty, and so may its file."""
    assert load(text, "x") == []


def test_the_sdk_takes_it() -> None:
    """What is dumped is what the SDK takes as `history=`."""
    known = contents("q", "a") + RICH[:3]
    loaded = [types.Content.model_validate(content) for content in known]
    assert [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in loaded] == known


def test_pretty_and_blank_lines() -> None:
    """A list may be spread over lines; JSON Lines may have blank ones, CR LF, and no newline at the end."""
    history = contents("q", "a")
    first, second = map(strict_json.dumps, history)
    assert load(json.dumps(history, indent=2), "x") == history
    assert load(f"\n{first}\n\n  \n{second}", "x") == history
    assert load(f"{first}\r\n{second}\r\n", "x") == history


def test_line_separators_are_no_line_ends() -> None:
    """Characters that only some take for line ends do not move the numbers of lines."""
    text = strict_json.dumps({"role": "user", "parts": [{"text": "a\u2028\u0085\x1c"}]}).replace("\\u001c", "\\u001c")
    caught = error_from(load, f"{text}\nno\n", "x")
    assert [problem.line for problem in caught.problems] == [2]


UNREADABLE = {
    "text": ("hello", "x is neither a JSON list nor JSON Lines", [1]),
    "pretty-object": ('{\n  "role": "user"\n}', "x is neither a JSON list nor JSON Lines", [1, 2, 3]),
    "second-line": ('{"role": "user", "parts": []}\n{"role"\nnull\n', "x is neither a JSON list nor JSON Lines",
        [2, 3]),
    "nan": ('{"a": NaN}', "x is neither a JSON list nor JSON Lines", [1]),
    "duplicate": ('\n\n{"a": 1, "a": 2}', "x is neither a JSON list nor JSON Lines", [3]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message", "numbers"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(text: str, message: str, numbers: list[int]) -> None:
    """What is not JSON is BAD_HISTORY, exit 65, with every bad line."""
    caught = error_from(load, text, "x")
    assert (caught.reason, caught.exit, caught.message) == ("BAD_HISTORY", 65, message)
    assert [problem.line for problem in caught.problems] == numbers


@pytest.mark.parametrize("text", ["[", "[1,]", "[] []", '[{"a": 1, "a": 2}]', "[NaN]", "[1e999]"])
def test_unreadable_list(text: str) -> None:
    """A list that is not JSON is BAD_HISTORY and says where."""
    with pytest.raises(GemcliError, match=r"\Ax is not JSON: .") as caught:
        load(text, "x")
    assert (caught.value.reason, caught.value.exit) == ("BAD_HISTORY", 65)


WRONG: list[Any] = [
    {"role": "user", "parts": [{"text": "q"}]},
    {"role": "assistant", "parts": [{"text": "a"}]},
    {"role": "user", "parts": []},
]
FOUND = [(1, "role"), (2, "no-parts"), (2, "unanswered")]


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_problems(lines: bool) -> None:
    """Every breach is found at once, by the number of the Content, in JSON Lines by its line too, with blank ones."""
    text = "\n" + "\n\n".join(map(json.dumps, WRONG)) if lines else json.dumps(WRONG)
    caught = error_from(load, text, "x.json")
    assert caught.message == "x.json is not a history the API would accept: 3 problems"
    assert caught.reason == "TURN_ORDER"
    assert [(problem.index, problem.rule) for problem in caught.problems] == FOUND
    assert [problem.line for problem in caught.problems] == ([4, 6, 6] if lines else [None] * 3)


def test_last_message_needs_its_answer() -> None:
    """A history that ends with a user Content is refused, and told what to do with it."""
    caught = error_from(load, json.dumps(contents("q", "a", "b")), "x")
    message = "the history ends with a user Content that has no answer"
    hint = "leave it out, and send it as a message"
    assert caught.problems == (Problem("unanswered", message, 2, hint=hint),)


@given(st.text(max_size=30) | st.text(alphabet='[]{}",:\n 1ntrue', max_size=30))
def test_anything(text: str) -> None:
    """Whatever the text, it is a history or an error of exit 65."""
    try:
        assert isinstance(load(text, "x"), list)
    except GemcliError as error:
        assert error.exit == 65  # noqa: PT017 - a few are histories
