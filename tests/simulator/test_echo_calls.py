"""The echo's calls: what is called, and with what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator.echo_calls import arguments

from .support import json_of, post, response, says, talk, text_of

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "STRING"},
        "unit": {"type": "STRING", "enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 3},
        "exact": {"type": "BOOLEAN"},
        "places": {"type": "ARRAY", "items": {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}}},
        "when": {"anyOf": [{"type": "STRING"}, {"type": "NULL"}]},
        "tier": {"type": "STRING", "default": "gold"},
        "nothing": {"type": "NULL"},
    },
}
VALUES = {
    "city": "Boston", "unit": "C", "days": 3, "exact": True, "places": [{"x": 1}], "when": "Boston", "tier": "gold",
    "nothing": None,
}  # fmt: skip
FUNCTIONS = [{"name": "f", "parameters": SCHEMA}, {"name": "g"}, {"name": "h"}]


def asked(mode: str, *allowed: str, contents: Any = None, model: str = "simulator/echo") -> dict[str, Any]:
    """The answer of the echo in a mode."""
    calling = {"mode": mode, **({"allowedFunctionNames": allowed} if allowed else {})}
    body = {"contents": contents or talk("Boston"), "tools": [{"functionDeclarations": FUNCTIONS}]}
    answer: dict[str, Any] = json_of(post(body | {"toolConfig": {"functionCallingConfig": calling}}, model=model))
    return answer


def calls(answer: dict[str, Any]) -> list[Any]:
    """The calls of an answer."""
    parts = answer["candidates"][0]["content"]["parts"]
    return [part["functionCall"] for part in parts if "functionCall" in part]


def test_what_is_called() -> None:
    """In the mode ANY the first function is called, or all that are allowed; in no other mode is any."""
    (first,) = calls(asked("ANY"))
    assert (first["name"], first["args"]) == ("f", VALUES)
    two = calls(asked("ANY", "h", "g"))
    assert [each["name"] for each in two] == ["g", "h"]
    assert len({each["id"] for each in two}) == 2
    for mode in ("AUTO", "NONE", "VALIDATED", "MODE_UNSPECIFIED"):
        assert calls(asked(mode)) == []


def test_the_turn_ends() -> None:
    """What was responded is said, and not called for again; the next message calls again."""
    answer = asked("ANY")
    (called,) = calls(answer)
    contents = [*talk("Boston"), answer["candidates"][0]["content"], says("user", response("f", id=called["id"]))]
    assert text_of_answer(asked("ANY", contents=contents)).endswith('Its functions answered: f: {"ok":true}.')
    assert calls(asked("ANY", contents=[*contents, says("model", "ok"), says("user", "More")]))


def text_of_answer(answer: dict[str, Any]) -> str:
    """What an answer says."""
    text: str = answer["candidates"][0]["content"]["parts"][0]["text"]
    return text


def test_nothing_declared() -> None:
    """Without functions the echo says what it was sent, as ever."""
    assert text_of(post({"contents": talk("Boston"), "tools": [{"googleSearch": {}}]})) == 'Message 1 says: "Boston".'


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        ({"type": ["object", "null"], "properties": {"a": {"type": ["string", "null"]}}}, {"a": "x"}),
        ({"type": "object", "properties": {"a": {"const": 7}, "b": {"$ref": "#/$defs/b"}, "c": True}},
            {"a": 7, "b": None, "c": None}),
        ({"type": "array"}, {}),
        (None, {}),
    ],
)  # fmt: skip
def test_json_schemas(schema: Any, args: dict[str, Any]) -> None:
    """JSON schemas serve as well; what they do not say is null."""
    assert arguments({"name": "f", "parametersJsonSchema": schema}, "x") == args


def test_types_as_numbers() -> None:
    """Older clients write the type of a schema as a number."""
    schema = {"type": 6, "properties": {"a": {"type": 1}, "b": {"type": 3}, "c": {"type": 99}}}
    assert arguments({"parameters": schema}, "x") == {"a": "x", "b": 1, "c": None}


KEYS = st.sampled_from(["type", "properties", "items", "enum", "anyOf", "default", "minimum", "a"])
VALUE: st.SearchStrategy[Any] = st.sampled_from([None, True, 0, -1, 6, "object", "STRING", "array", []])


@given(st.recursive(VALUE, lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner, max_size=2), max_leaves=9))
def test_any_json_is_a_schema(schema: Any) -> None:
    """A JSON schema that is none makes no difference to anybody."""
    assert isinstance(arguments({"parametersJsonSchema": schema}, "x"), dict)
