"""Contents and Parts: text, calls, what is blank, what says something, and how a history falls into turns."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.chat.contents import (
    Content,
    Part,
    as_sent,
    function_calls,
    function_responses,
    group_turns,
    is_blank,
    parts_of,
    says_something,
    text_of,
    user_text,
)

THOUGHT: Any = {"text": "hm", "thought": True}
CALL: Any = {"functionCall": {"name": "f"}}
RESPONSE: Any = {"functionResponse": {"name": "f"}}

# part: blank, says something
PARTS: dict[str, tuple[Any, bool, bool]] = {
    "empty": ({}, True, False),
    "empty-text": ({"text": ""}, True, False),
    "empty-thought": ({"text": "", "thought": True}, True, False),
    "only-marked": ({"thought": True}, True, False),
    "null": ({"text": None}, True, False),
    "text": ({"text": "a"}, False, True),
    "space": ({"text": " "}, False, True),
    "zero": ({"text": "0"}, False, True),
    "thought": (THOUGHT, False, False),
    "not-thought": ({"text": "a", "thought": False}, False, True),
    "signature": ({"text": "", "thoughtSignature": "cw=="}, False, False),
    "signed-text": ({"text": "a", "thoughtSignature": "cw=="}, False, True),
    "call": (CALL, False, True),
    "image": ({"inlineData": {"data": "aGk="}}, False, True),
    "unknown": ({"later": 1}, False, True),
}


@pytest.mark.parametrize(("part", "blank", "speaks"), PARTS.values(), ids=PARTS)
def test_parts(part: Part, blank: bool, speaks: bool) -> None:
    """A Part is blank when nothing of it need go back, and says something when it is an answer."""
    assert is_blank(part) == blank
    assert says_something({"role": "model", "parts": [{}, part]}) == speaks


TEXTS: dict[str, tuple[Any, str]] = {
    "none": (None, ""),
    "no-parts": ({"role": "model"}, ""),
    "parts-null": ({"role": "model", "parts": None}, ""),
    "joined": ({"parts": [{"text": "a"}, {"text": "b\n"}, {"text": "c"}]}, "ab\nc"),
    "thoughts-left-out": ({"parts": [THOUGHT, {"text": "a"}]}, "a"),
    "others-left-out": ({"parts": [CALL, {"text": "a"}, {"text": None}]}, "a"),
}


@pytest.mark.parametrize(("content", "text"), TEXTS.values(), ids=TEXTS)
def test_text_of(content: Any, text: str) -> None:
    """The text of a Content is that of its text Parts, joined as they are, thoughts left out."""
    assert text_of(content) == text
    assert text_of(user_text(f" {text}\n")) == f" {text}\n"


def test_calls_and_responses() -> None:
    """Calls and responses are found in their order, as they are on the wire."""
    content: Content = {
        "role": "model",
        "parts": [CALL, {"text": "a"}, RESPONSE, {"functionCall": {"name": "g", "id": "1"}}],
    }
    assert function_calls(content) == [{"name": "f"}, {"name": "g", "id": "1"}]
    assert function_responses(content) == [{"name": "f"}]
    assert function_calls(None) == function_responses({}) == parts_of(None) == []


def test_as_sent() -> None:
    """An answer goes back with the role model and without blank Parts; all else, unknown keys too, stays."""
    signed = {"text": "", "thoughtSignature": "cw=="}
    content: Any = {"later": 1, "parts": [{}, THOUGHT, {"text": "a", "x": None}, {"text": ""}, signed]}
    before = repr(content)
    assert as_sent(content) == {"later": 1, "role": "model", "parts": [THOUGHT, {"text": "a", "x": None}, signed]}
    assert repr(content) == before
    robot: Any = {"role": "robot", "parts": []}
    assert as_sent(robot)["role"] == "model"


def test_group_turns() -> None:
    """A turn begins at a user Content that answers no call."""
    question = user_text("q")
    answer: Content = {"role": "model", "parts": [{"text": "a"}]}
    calling: Content = {"role": "model", "parts": [CALL]}
    answering: Content = {"role": "user", "parts": [RESPONSE, {"text": "and"}]}
    first, second = [question, calling, answering, answer], [question, answer]
    assert group_turns([*first, *second, question]) == [first, second, [question]]
    assert group_turns([]) == []
