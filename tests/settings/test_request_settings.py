"""Settings of request bodies from outside: each parameter has its place in the Gemini API, or is refused by name."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given

from gemcli.settings.config import CONFIG
from gemcli.settings.request_settings import CHAT, HARMLESS, READERS, WITHOUT_COUNTERPART, RequestSettings
from gemcli.text import tree
from gemcli.text.problems import Problems
from tests.builders import json_values


def read(body: dict[str, Any], *, chat: bool = True) -> tuple[Any, list[str]]:
    """The config of a body, and what is wrong with it."""
    problems = Problems()
    settings = RequestSettings(problems, None, chat=chat)
    for key, value in cast(tree.Mapping, tree.from_value(body)).items():
        settings.take(key, value)
    config = CONFIG(problems, "the request", settings.config() or tree.Mapping())
    return config, [problem.message for problem in problems.found]


FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": True}
SCHEMA = {"type": "object", "additionalProperties": False}

# body, config
PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "numbers": (
        {"temperature": 0.5, "top_p": 0.9, "seed": 3, "presence_penalty": 1, "frequency_penalty": -1, "n": 1},
        {"generationConfig": {"temperature": 0.5, "topP": 0.9, "seed": 3, "presencePenalty": 1.0,
            "frequencyPenalty": -1.0, "candidateCount": 1}},
    ),
    "limit": ({"max_tokens": 5}, {"generationConfig": {"maxOutputTokens": 5}}),
    "newer-limit": ({"max_completion_tokens": 5}, {"generationConfig": {"maxOutputTokens": 5}}),
    "logprobs": (
        {"logprobs": True, "top_logprobs": 2},
        {"generationConfig": {"responseLogprobs": True, "logprobs": 2}},
    ),
    "stop": ({"stop": "END"}, {"generationConfig": {"stopSequences": ["END"]}}),
    "stops": ({"stop": ["a", "b"]}, {"generationConfig": {"stopSequences": ["a", "b"]}}),
    "tools": (
        {"tools": [{"type": "function", "function": FUNCTION}]},
        {"tools": [{"functionDeclarations": [
            {"name": "f", "description": "d", "parametersJsonSchema": FUNCTION["parameters"]}]}]},
    ),
    "choice": ({"tool_choice": "required"}, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
    "named-choice": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}},
    ),
    "json": (
        {"response_format": {"type": "json_object"}},
        {"generationConfig": {"responseMimeType": "application/json"}},
    ),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
    ),
    "text": ({"response_format": {"type": "text"}}, {}),
    "effort": ({"reasoning_effort": "low"}, {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}),
    "no-effort": ({"reasoning_effort": "none"}, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}),
    "harmless": ({"stream": True, "user": "u", "service_tier": "auto"}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "config"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters(body: dict[str, Any], config: dict[str, Any]) -> None:
    """Parameters of Chat Completions become the settings that mean the same."""
    assert read(body) == (config, [])


@pytest.mark.parametrize("name", WITHOUT_COUNTERPART)
def test_without_counterpart(name: str) -> None:
    """A parameter that would change the answers and that the Gemini API does not have is refused by name."""
    assert read({name: "x"})[1] == [f"`{name}` has no counterpart in the Gemini API"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "custom"}]),
        ("tool_choice", "maybe"),
        ("tool_choice", {"type": "function"}),
        ("response_format", {"type": "grammar"}),
        ("response_format", {"type": "json_schema"}),
        ("response_format", 1),
        ("reasoning_effort", []),
    ],
)
def test_values_without_counterpart(name: str, value: Any) -> None:
    """So is a value of a parameter that has none."""
    assert read({name: value})[1] == [f"what `{name}` says has no counterpart in the Gemini API"]


def test_each_parameter_has_one_place() -> None:
    """No parameter is in two tables."""
    names = [*CHAT, *READERS, *HARMLESS, *WITHOUT_COUNTERPART]
    assert len(names) == len(set(names))


@given(json_values())
def test_any_value(value: Any) -> None:
    """Any value of any parameter is read or refused."""
    for name in (*CHAT, *READERS):
        config, problems = read({name: value})
        assert config or problems or value in ([], {}, {"type": "text"}), name
