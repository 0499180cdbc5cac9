"""Declared functions as tools of Chat Completions, and what of them is left out. They come back in test_round_trips."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.formats.chat_completions import dump, left_out

FUNCTION = {"name": "f", "description": "Do it."}
SCHEMA = {
    "type": "OBJECT",
    "properties": {
        "type": {"type": "STRING", "nullable": True, "enum": ["A"]},
        "list": {"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}, {"type": "NUMBER"}]}},
    },
    "required": ["type"],
}
"""A Schema of the API: `type` is a key, and the name of a property."""


def test_declarations() -> None:
    """Functions are declared as tools; a Schema of the API is written as JSON Schema, which is kept as it is."""
    as_json_schema = {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["A"]},
            "list": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "number"}]}},
        },
        "required": ["type"],
    }
    declared: Any = [
        {"functionDeclarations": [{**FUNCTION, "parameters": SCHEMA}]},
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {"name": "g", "parametersJsonSchema": SCHEMA},
                {"name": "h", "behavior": "BLOCKING"},
            ]
        },
    ]
    header: Any = {"model": "m", "config": {"tools": declared}}
    assert dump([], header)["tools"] == [
        {"type": "function", "function": {**FUNCTION, "parameters": as_json_schema}},
        {"type": "function", "function": {"name": "g", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "h"}},
    ]
    assert left_out([], header) == ["googleSearch", "behavior"]
    assert "tools" not in dump([], {"model": "m", "config": {"tools": []}})


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ({"functionCallingConfig": {"mode": "ANY"}}, "required"),
        ({"functionCallingConfig": {"mode": "AUTO"}}, "auto"),
        ({"functionCallingConfig": {"mode": "NONE"}}, "none"),
        (
            {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            {"type": "function", "function": {"name": "f"}},
        ),
        ({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}}, None),
        ({"functionCallingConfig": {"mode": "VALIDATED"}}, None),
        ({"functionCallingConfig": {"mode": "ANY"}, "includeServerSideToolInvocations": True}, None),
    ],
)
def test_tool_choice(given: Any, choice: Any) -> None:
    """Whether and which functions are called is said as far as both APIs can; the rest is named."""
    header: Any = {"model": "m", "config": {"toolConfig": given}}
    assert dump([], header).get("tool_choice") == choice
    assert left_out([], header) == ([] if choice else ["toolConfig"])
