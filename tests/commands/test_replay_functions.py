"""`gemcli replay` with functions: a conversation is played, exported in every form, and played again as it was."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from gemcli.simulator.simulated_api import json_reply
from tests.builders import answer, unfinished
from tests.support import InProcess, Model

RULES = """
rules:
- when: {contains: weather}
  answer: {thoughts: Two cities., calls: [
    {name: get_weather, args: {city: Boston}, id: c1}, {name: get_weather, args: {city: Rome, days: 2}, id: c2}]}
- when: {after_call: get_weather, turn: 1}
  answer: {calls: [{name: convert, args: {from: F}, id: c3}, {name: convert, args: {from: F}, id: c4}]}
- when: {after_call: convert, turn: 1}
  answer: Rome is warmer.
- when: {contains: again}
  answer: {text: Let me see., calls: [{name: get_weather, args: {city: Boston}, id: c5}]}
- when: {after_call: get_weather, turn: 2}
  answer: It snows.
- when: {contains: Thanks}
  answer: You are welcome.
"""

SCRIPT = """
model: simulator/rules:rules.yaml
tools:
- {name: get_weather, description: The weather, parameters: {type: object, properties: {city: {type: string}}}}
- {name: convert}
tool_results:
- {name: get_weather, args: {city: Boston}, result: {temp: 3, sky: snow}}
- {name: get_weather, result: sunny}
- {name: convert, result: -16.1, times: 1}
- {name: convert, result: 12}
turns:
- {user: How is the weather?, expect: {calls: [convert, {name: get_weather, args: {city: Rome}}], contains: Rome}}
- {user: And again?, tool_results: [{name: get_weather, result: null}]}
- {user: Thanks, expect: {no_calls: true}}
"""

AGAIN: dict[str, tuple[list[str], str]] = {
    "script": (["export", "script", "-s", "first"], "again.yaml"),
    "contents": (["export", "contents", "-s", "first"], "again.json"),
    "request": (["export", "request", "-s", "first"], "again.json"),
    "openai": (["export", "openai", "-s", "first"], "again.json"),
    "session": ([], "first.jsonl"),
}


@pytest.fixture
def played(here: InProcess) -> InProcess:
    """A directory with the session first, in which the script was played."""
    here.env["GEMCLI_HOME"] = str(here.directory)
    (here.directory / "rules.yaml").write_text(RULES)
    (here.directory / "script.yaml").write_text(SCRIPT)
    done = here("replay", "script.yaml", "-s", "./first.jsonl")
    assert done.status == 0, done.err
    return here


def responses(here: InProcess, name: str) -> list[Any]:
    """What the calls of a session returned, in order."""
    (contents,) = here("export", "contents", "-s", f"./{name}.jsonl").lines
    parts = [part for content in contents for part in content["parts"]]
    return [part["functionResponse"] for part in parts if "functionResponse" in part]


def test_what_is_told(played: InProcess) -> None:
    """A person sees each call with its turn; a program gets an event for each, and nothing of that the second time."""
    text = played("replay", "script.yaml", "-s", "./text.jsonl", "--text").out.splitlines()
    assert text[:2] == ['script/t1: get_weather({"city":"Boston"})', 'script/t1: get_weather({"city":"Rome","days":2})']
    events = played("replay", "script.yaml", "-s", "./events.jsonl").lines
    names = [event["name"] for event in events if event["event"] == "tool"]
    assert names == ["get_weather", "get_weather", "convert", "convert", "get_weather"]
    turns = [event for event in events if event["event"] == "turn"]
    assert [(turn["text"], turn["function_calls"]) for turn in turns] == [
        ("Rome is warmer.", []), ("It snows.", []), ("You are welcome.", []),
    ]  # fmt: skip
    assert "tool" not in [event["event"] for event in played("replay", "script.yaml", "-s", "./events.jsonl").lines]


@pytest.mark.parametrize(("export", "file"), AGAIN.values(), ids=AGAIN)
def test_played_again(played: InProcess, export: list[str], file: str) -> None:
    """Whatever the conversation was exported as, played again it has the same history."""
    if export:
        (played.directory / file).write_bytes(
            played(*(word.replace("first", "./first.jsonl") for word in export)).bytes
        )
    done = played("replay", file, "-s", "./again.jsonl", "--model", "simulator/rules:rules.yaml")
    assert done.status == 0, done.err
    (before,) = played("export", "contents", "-s", "./first.jsonl").lines
    (after,) = played("export", "contents", "-s", "./again.jsonl").lines
    assert after == before


def test_a_result_is_missing(played: InProcess) -> None:
    """It ends in 10 and is told with what to do; once the script has it, the same command goes on."""
    script = played.directory / "script.yaml"
    script.write_text(SCRIPT.replace("- {name: convert, result: 12}\n", ""))
    command = ("replay", "script.yaml", "-s", "./s.jsonl")
    done = played(*command, "--errors", "json")
    assert (done.status, done.error["reason"]) == (10, "NO_TOOL_RESULT")
    assert 'the script has no tool result for convert({"from":"F"})' in done.error["message"]
    assert [event["status"] for event in done.lines if event["event"] == "turn"] == ["failed", "skipped", "skipped"]
    script.write_text(SCRIPT)
    done = played(*command)
    assert (done.status, done.lines[-1]["turns"]["sent"]) == (0, 3)
    assert responses(played, "s") == responses(played, "first")


def test_an_answer_that_is_not_finished(here: InProcess, model: Model) -> None:
    """It ends in 4 with the command that goes on with it, which asks for the rest only."""
    (here.directory / "tale.yaml").write_text("- user: Tell\n  expect: {equals: Once upon a time}\n- Thanks\n")
    busy = json_reply({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}, 503)
    model.script(unfinished("Once", token="t1"), busy)
    done = here("replay", "tale.yaml", "-s", "./s.jsonl", "--retries", "0", "--errors", "json", env=model.env)
    summary = done.lines[-1]
    assert (done.status, done.error["reason"], summary["turns"]["skipped"]) == (4, "INCOMPLETE", 1)
    assert (done.lines[1]["resumable"], done.lines[1]["hops"]) == (True, 1)
    assert "run the same command again: the answer goes on" in done.error["hint"]
    model.script(unfinished(" upon", token="t2"), answer(" a time"))
    done = here(*shlex.split(summary["next"])[1:], env=model.env)
    assert (done.status, done.lines[1]["text"], done.lines[1]["hops"]) == (0, "Once upon a time", 3)
    tokens = [request.get("continuationToken") for request in model.requests]
    assert tokens == [None, "t1", "t1", "t2", None]
    assert (
        done.lines[-1]["usage_metadata"]["total_token_count"]
        == 14 + done.lines[2]["usage_metadata"]["total_token_count"]
    )
