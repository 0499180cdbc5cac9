"""`--tools`, `--tool`, `--tool-mode` and `--allowed-function` of `new` and `send`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.builders import ECHO, answer, call, header, write_session
from tests.support import InProcess, Model

TOOLS = """
- name: roll
  description: Roll a die.
  parameters: {type: object, properties: {sides: {type: integer}}, required: [sides]}
  command: [./roll, --fair]
  timeout: 5
- name: flip
"""
ROLL: Any = {
    "name": "roll",
    "description": "Roll a die.",
    "parameters": {"type": "OBJECT", "properties": {"sides": {"type": "INTEGER"}}, "required": ["sides"]},
}
FUNCTIONS: Any = {"functionDeclarations": [ROLL, {"name": "flip"}]}


@pytest.fixture(autouse=True)
def tools(here: InProcess) -> None:
    """A tools file, and sessions with and without tools."""
    (here.directory / "tools.yaml").write_text(TOOLS)
    write_session("plain", header(model=ECHO))
    write_session("searching", header(model=ECHO, config={"tools": [{"googleSearch": {}}]}))


def body(here: InProcess, session: str, *args: str, **given: Any) -> Any:
    """What `send` would tell the API of tools."""
    shown = here.ok("send", "-s", session, "Hi", *args, "--dry-run", **given)[0]["body"]
    return {key: value for key, value in shown.items() if key in ("tools", "toolConfig")}


def test_new_keeps_what_the_model_is_told(here: InProcess) -> None:
    """The declarations are in the session, in the API's form; what runs them is not."""
    here.ok("new", "-s", "a", "--model", ECHO, "--tools", "tools.yaml", "--tool", "google-search", "--tool-mode", "any")
    config = {
        "tools": [FUNCTIONS, {"googleSearch": {}}],
        "toolConfig": {"includeServerSideToolInvocations": True, "functionCallingConfig": {"mode": "ANY"}},
    }
    assert here.records("a")[0]["config"] == body(here, "a") == config
    assert "fair" not in here.session("a").read_text()


def test_send_has_tools_for_one_message(here: InProcess, model: Model) -> None:
    """Tools given with a message take the place of the session's, go out with it, and do not stay."""
    here.ok("new", "-s", "a", "--tool", "google-search")
    model.script(answer(call("roll", id="c")), answer("4"))
    asked = here("send", "-s", "a", "Roll", "--tools", "tools.yaml", "--tool-mode", "any", "--allowed-function", "roll")
    here.ok("send", "-s", "a", "--response", "roll=4", "--tool-mode", "auto")
    here.ok("send", "-s", "a", "Thanks")
    assert asked.status == 5
    only = {"mode": "ANY", "allowedFunctionNames": ["roll"]}
    sent = [(request["tools"], request.get("toolConfig")) for request in model.requests]
    assert sent == [
        ([FUNCTIONS], {"functionCallingConfig": only}),
        ([FUNCTIONS], {"functionCallingConfig": {"mode": "AUTO"}}),
        ([{"googleSearch": {}}], None),
    ]


def test_several_files_and_standard_input(here: InProcess) -> None:
    """Each file adds its functions; a mapping in JSON is read as well, and so is standard input."""
    more = json.dumps({"functionDeclarations": [{"name": "spin"}]})
    shown = body(here, "plain", "--tools", "tools.yaml", "--tools", "-", stdin=more)
    assert shown["tools"] == [{"functionDeclarations": [ROLL, {"name": "flip"}, {"name": "spin"}]}]


def test_a_config_file_has_tools_too(here: InProcess) -> None:
    """Tools of `--config` are sent, functions beside the API's own; options take their place."""
    text = "tools: [{function_declarations: [{name: spin}]}, {google_search: {}}]\ntool_config: {}\n"
    (here.directory / "c.yaml").write_text(text)
    tools = [{"functionDeclarations": [{"name": "spin"}]}, {"googleSearch": {}}]
    shown = body(here, "plain", "--config", "c.yaml")
    assert shown == {"tools": tools, "toolConfig": {"includeServerSideToolInvocations": True}}
    assert body(here, "plain", "--config", "c.yaml", "--tools", "tools.yaml")["tools"] == [FUNCTIONS]


WRONG: dict[str, tuple[str, list[str], str, str]] = {
    "duplicate": ("- name: f\n- name: f\n", [], "duplicate-function", "twice"),
    "bad-name": ("- name: 4f\n", [], "value", "begins with a letter"),
    "no-name": ("- description: x\n", [], "missing-key", "must have `name`"),
    "misspelt-deep": (
        "- {name: f, parameters: {type: object, properties: {a: {typ: string}}}}", [], "unknown-key", "did you mean"),
    "built-in": ("googleSearch: {}\n", [], "unknown-key", "--tool"),
    "empty": ("", [], "shape", "no declaration"),
    "shell": ("- {name: f, command: rm -rf x}\n", [], "shape", "no shell"),
    "unknown-tool": ("- name: f\n", ["--tool", "gogle-search"], "value", "google-search"),
    "undeclared": ("- name: f\n", ["--tool-mode", "any", "--allowed-function", "g"], "unknown-function", "are f"),
    "no-mode": ("- name: f\n", ["--allowed-function", "f"], "value", "--tool-mode any"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_by_name(here: InProcess, name: str) -> None:
    """A mistake in a tools file or an option is named with its place, before anything is written or sent."""
    text, options, rule, words = WRONG[name]
    (here.directory / "bad.yaml").write_text(text)
    before = here.session("plain").read_bytes()
    done = here.failed("send", "-s", "plain", "Hi", "--tools", "bad.yaml", *options)
    assert (done.status, done.error["reason"]) == (2, "SETTINGS")
    assert [problem["rule"] for problem in done.error["problems"]] == [rule]
    assert words in done.err
    assert here.session("plain").read_bytes() == before


@pytest.mark.parametrize("command", [["new", "-s", "b", "--model", ECHO], ["send", "-s", "plain", "Hi"]])
def test_commands_are_not_for_the_session(here: InProcess, command: list[str]) -> None:
    """A command in the tools of a config is refused: it would be kept in the session."""
    (here.directory / "c.yaml").write_text("tools: [{functionDeclarations: [{name: f, command: [ls]}]}]\n")
    done = here.failed(*command, "--config", "c.yaml")
    (problem,) = done.error["problems"]
    assert (problem["rule"], "--tools" in problem["hint"]) == ("unknown-key", True)


def test_a_session_that_could_not_be_used_is_not_made(here: InProcess) -> None:
    """`new` refuses what every message would be refused for, also with the tools of its source."""
    here.ok("new", "-s", "source", "--model", ECHO, "--tools", "tools.yaml")
    allowed = ["--tool-mode", "any", "--allowed-function", "rol"]
    done = here.failed("new", "-s", "b", "--from", "source", *allowed)
    assert (done.status, [problem["hint"] for problem in done.error["problems"]]) == (2, ["did you mean `roll`?"])
    assert not here.session("b").exists()


def test_one_reader_of_standard_input(here: InProcess) -> None:
    """Tools and a message cannot both come from standard input."""
    done = here.failed("send", "-s", "plain", "-", "--tools", "-", stdin="x")
    assert (done.status, done.error["reason"]) == (2, "USAGE")
    assert here("new", "-s", "b", "--tools", "-", "--history", "-", stdin="x").status == 2
    assert here.failed("new", "-s", "b", "--tools", "nosuch").status == 66
    assert not here.session("b").exists()
