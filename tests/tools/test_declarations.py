"""Tools files: their three forms, what is refused and where, and what the model is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from gemcli.settings.api_objects import fields_in
from gemcli.tools import declarations
from gemcli.tools.declarations import OWN_KEYS, Tool, Toolbox, load
from tests.builders import error_from

LIGHTS: Any = {
    "name": "set_lights",
    "description": "Dims the lights.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"brightness": {"type": "INTEGER", "description": "0 to 100"}},
        "required": ["brightness"],
    },
}
TIME: Any = {"name": "time", "parametersJsonSchema": {"type": "object", "properties": {}}}

FORMS: dict[str, Any] = {
    "list": [LIGHTS, TIME],
    "declarations": {"functionDeclarations": [LIGHTS, TIME]},
    "snake-case": {"function_declarations": [LIGHTS, TIME]},
    "tools": {"tools": [{"functionDeclarations": [LIGHTS]}, {"functionDeclarations": [TIME]}]},
    "tools-of-declarations": {"tools": [LIGHTS, TIME]},
    "tools-of-a-request": [{"functionDeclarations": [LIGHTS, TIME]}],
}

YAML = """
- name: set_lights
  description: Dims the lights.
  parameters:
    type: object
    properties:
      brightness: {type: integer, description: 0 to 100}
    required: [brightness]
  command: [./lights, --quiet, "1"]
  timeout: 2.5
  output_limit: 2000
  idempotent: true
- name: time
  parameters_json_schema: {type: object, properties: {}}
"""


def tools(text: str, name: str = "tools.yaml") -> list[Tool]:
    """The tools of a file about which there is nothing to say."""
    notes: list[str] = []
    found = load(text, name, notes.append)
    assert notes == []
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["tools.json", "tools.yaml"])
def test_forms(form: str, name: str) -> None:
    """Whatever stands around the declarations, they are read in their order, and are the SDK's."""
    found = tools(json.dumps(FORMS[form], indent=1), name)
    assert Toolbox(found).declarations == [LIGHTS, TIME]
    types.Tool.model_validate({"functionDeclarations": Toolbox(found).declarations})
    assert not any(tool.runs for tool in found)


def test_what_runs_it() -> None:
    """What gemcli needs to run a tool is read, and is not part of what the model is told."""
    lights, clock = tools(YAML)
    assert (lights.declaration, clock.declaration) == (LIGHTS, TIME)
    assert lights == Tool(
        "set_lights", LIGHTS, ("./lights", "--quiet", "1"), timeout=2.5, output_limit=2000, idempotent=True
    )
    assert lights.runs
    assert (clock.command, clock.timeout, clock.idempotent, clock.runs) == ((), 60, False, False)


def test_own_keys_are_none_of_the_api() -> None:
    """No key of the API is taken for one of gemcli's."""
    assert not OWN_KEYS.keys() & fields_in("FunctionDeclaration").keys()


REFUSED: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "empty": ("", [("shape", 1, 1)]),
    "no-declaration": ("[]", [("shape", 1, 1)]),
    "text": ("hello", [("shape", 1, 1)]),
    "no-json": ('[{"name": "f",]', [("json-syntax", 1, 15)]),
    "not-a-mapping": ("- f", [("shape", 1, 3)]),
    "nameless": ("- description: d", [("missing-key", 1, 3)]),
    "names": (
        '- name: "a b"\n- name: 1st\n- name: é\n- name: ""\n- name: ' + "a" * 129,
        [("value", line, 9) for line in range(1, 6)],
    ),
    "duplicates": (
        "- name: f\n- name: g\n- name: f\n- name: f",
        [("duplicate-function", 3, 9), ("duplicate-function", 4, 9)],
    ),
    "duplicates-in-tools": (
        "tools:\n- functionDeclarations: [{name: f}]\n- functionDeclarations: [{name: f}]",
        [("duplicate-function", 3, 33)],
    ),
    "deep": (
        "- name: f\n  parameters: {type: object,\n    properties: {x: {\n      items: {typ: string, enum: [1, [2]]}}}}",
        [("unknown-key", 4, 15), ("value", 4, 38)],
    ),
    "two-schemas": (
        "- {name: f, parameters: {type: object}, parametersJsonSchema: {}}",
        [("exclusive", 1, 41)],
    ),
    "shell": ("- {name: f, command: ls -l}", [("shape", 1, 22)]),
    "no-command": ("- {name: f, command: []}", [("shape", 1, 22)]),
    "empty-word": ('- {name: f, command: [""]}', [("value", 1, 23)]),
    "limits": (
        "- name: f\n  timeout: 0\n  output_limit: 0\n  idempotent: 3",
        [("value", 2, 12), ("value", 3, 17), ("value", 4, 15)],
    ),
    "built-in": ("tools:\n- googleSearch: {}", [("missing-key", 2, 3), ("unknown-key", 2, 3)]),
    "beside": (
        "functionDeclarations: [{name: f}]\ngoogle_search: {}",
        [("unknown-key", 2, 1)],
    ),
    "all-at-once": (
        "- name: 1st\n  parametres: {}\n- {}\n- name: f\n  command: f",
        [("value", 1, 9), ("unknown-key", 2, 3), ("missing-key", 3, 3), ("shape", 5, 12)],
    ),
}
"""Files that are refused, with the rule and the place of each problem."""


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """Everything that is wrong with a file is told at once, each with file, line and column."""
    text, expected = REFUSED[case]
    name = "tools.json" if case == "no-json" else "tools.yaml"
    error = error_from(load, text, name, print)
    assert error.reason == "SETTINGS"
    assert sorted((one.line, one.column, one.rule) for one in error.problems) == sorted(
        (line, column, rule) for rule, line, column in expected
    )
    assert {one.file for one in error.problems} == {name}


def test_every_rule_is_broken_by_a_test() -> None:
    """The table of rules names those that are not of schemas, documents and trees."""
    broken = {rule for _, expected in REFUSED.values() for rule, _, _ in expected}
    assert declarations.RULES.keys() <= broken


def test_two_files() -> None:
    """Two files that declare the same function exclude each other."""
    error = error_from(Toolbox, [*tools("- name: f"), *tools("- name: f")])
    assert (error.reason, "function f" in error.message) == ("SETTINGS", True)
