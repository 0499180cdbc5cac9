"""Lines of suites: the data of others as conversations to send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemcli.chat.contents import text_of, user_text
from gemcli.errors import GemcliError
from gemcli.replay import read_script
from gemcli.replay.script import Script, Suite
from tests.builders import error_from

MT_BENCH = [
    {"question_id": 81, "category": "writing", "turns": ["Compose a blog post.", "Start every sentence with: A."]},
    {"question_id": 101, "category": "reasoning", "turns": ["{{x}}", "12:30"], "reference": ["a", "b"]},
    {"question_id": 160, "category": "humanities", "turns": ["yes", "no # not\nat all"]},
]


def load(*rows: Any) -> Suite:
    """The suite whose lines hold these values."""
    return read_script.load("\n".join(map(json.dumps, rows)), "s.jsonl", {})


def script(row: Any) -> Script:
    """The conversation of one line."""
    (read,) = load(row).scripts
    return read


def said(row: Any) -> list[str]:
    """The messages that one line sends."""
    return [text_of(turn.rendered({})) for turn in script(row).turns]


def problems(row: Any) -> list[str]:
    """What is wrong with one line."""
    caught = error_from(load, row)
    return [f"{problem.message} [{problem.rule}]" for problem in caught.problems]


def test_mt_bench_loads_unchanged() -> None:
    """Questions are sent as they stand, each named by its number; of recorded pairs, the user's halves."""
    suite = load(*MT_BENCH)
    assert [(one.name, [text_of(turn.rendered({})) for turn in one.turns]) for one in suite.scripts] == [
        (str(row["question_id"]), row["turns"]) for row in MT_BENCH
    ]
    assert (suite.many, suite.ignored) == (True, ("category", "reference"))
    row = {"task": "CM", "id": 1, "history": [{"user": "a", "bot": "b"}, {"user": "{{c}}", "bot": "d"}]}
    assert (said(row), script(row).name, load(row).ignored) == (["a", "{{c}}"], "1", ("task",))


def test_chat_completions() -> None:
    """The user's messages are sent, the system's is the system instruction, and the assistant's are left out."""
    row = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": None, "tool_calls": None, "function_call": None},
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "{{c}}"}]},
            {"role": "assistant", "content": "d", "tool_calls": []},
        ]
    }
    assert said(row) == ["a", "b{{c}}"]
    assert script(row).config == {"systemInstruction": {"parts": [{"text": "Be brief."}]}}


def test_contents_of_the_gemini_api() -> None:
    """The user's Contents are sent as one text each; the model's are left out, whatever is in them."""
    reply = {"role": "model", "parts": [{"text": "b", "thoughtSignature": "c2ln"}]}
    row = {"contents": [user_text("a"), reply, {"role": "user", "parts": [{"text": "c"}, {"text": "{{d}}"}]}]}
    assert said(row) == ["a", "c{{d}}"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "function_call": {"name": "f"}},
        {"role": "tool", "content": "a"},
        {"role": "function", "content": "a"},
    ],
)
def test_function_calls_cannot_be_played(message: dict[str, Any]) -> None:
    """A conversation that needs the responses of functions is refused rather than sent with holes."""
    row = {"messages": [{"role": "user", "content": "a"}, message]}
    assert problems(row) == ["a conversation with function calls cannot be replayed [function-call]"]


def test_turns_may_be_whole_turns() -> None:
    """A line's turns are those of a script, with ids, waits, config and expectations; but never templates."""
    row = {"turns": ["{{a}}", {"id": "x", "user": "{{b}}", "raw": False, "wait": 1, "expect": {"contains": "c"}}]}
    read = script(row)
    assert [(turn.id, turn.wait, turn.raw) for turn in read.turns] == [("t1", 0.0, True), ("x", 1.0, True)]
    assert said(row) == ["{{a}}", "{{b}}"]
    assert read.turns[1].expect.texts == {"contains": ("c",)}


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "line-1"),
        ({"id": "a"}, "a"),
        ({"question_id": 7}, "7"),
        ({"question_id": 7, "id": "a"}, "a"),
        ({"question_id": 7, "id": "a", "name": "n"}, "n"),
        ({"name": None, "id": None, "question_id": 7}, "7"),
        ({"id": "a/b"}, "line-1"),
        ({"id": ["a"]}, "line-1"),
        ({"id": ""}, "line-1"),
    ],
)
def test_names(keys: dict[str, Any], name: str) -> None:
    """A conversation is called what it says, and after its line where that cannot name a session."""
    assert script({**keys, "turns": ["a"]}).name == name


def test_what_is_null_is_not_there() -> None:
    """Data has null where it has nothing, for a setting as for a key nobody knows."""
    read = script({"turns": ["a"], "model": None, "system": None, "config": None, "vars": None, "modle": None})
    assert (read.model, read.config) == (None, {})
    assert said({"messages": None, "turns": ["a"]}) == ["a"]
    assert problems({"turns": None}) == ["a conversation must have one of turns, messages, contents, history [shape]"]


def test_keys_of_others_are_left_alone_but_slips_are_not() -> None:
    """A key that is nearly one of ours is a slip; any other is somebody's data, and told."""
    assert load({"turns": ["a"], "category": 1, "reference": []}, {"turns": ["b"], "source": 1}).ignored == (
        "category",
        "reference",
        "source",
    )
    assert problems({"turns": ["a"], "on_fial": "stop"}) == ["`on_fial` is not a key of a conversation [unknown-key]"]


@pytest.mark.parametrize("system_first", [True, False])
def test_a_system_instruction_stands_once(system_first: bool) -> None:
    """A system message beside `system` is refused, in whatever order they stand."""
    messages = {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}
    row = {"system": "c"} | messages if system_first else messages | {"system": "c"}
    assert problems(row) == ["a second system message [exclusive]"]


def test_one_bad_line_does_not_hide_another() -> None:
    """Every line is read, and each problem names its own."""
    with pytest.raises(GemcliError) as caught:
        load({"turns": ["a"]}, {"turns": [""]}, {"messages": 5}, {"turns": ["b"], "name": "no name"})
    assert [(problem.line, problem.rule) for problem in caught.value.problems] == [
        (2, "empty-message"),
        (3, "shape"),
        (4, "value"),
    ]
