"""The program on a simulated Gemini: long answers that break, and function calls of a model that checks signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemcli.simulator import read_rules
from gemcli.simulator.rules_model import RulesModel
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import application
from tests.support import InProcess

NUMBERS = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
BROKEN = f"""
rules:
  - {{when: {{hop: 3}}, cut: {{after: 2 chunks, how: reset}}}}
  - {{answer: {{text: {NUMBERS}, hops: 2, checkpoints: 1}}, cut: {{after: 2 chunks, how: close}}}}
"""


def test_a_long_answer_that_breaks(here: InProcess) -> None:
    """Each hop is resumed at its checkpoint, by the same command or by another; what was put out is put out once."""
    (here.directory / "r.yaml").write_text(BROKEN)
    options = ("--create", "--model", "simulator/rules:r.yaml", "--max-hops", "2", "count")
    done = here("send", "-s", "a", *options)
    assert (done.status, done.json["hops"], done.json["resumable"]) == (4, 2, True)
    assert NUMBERS.startswith(done.json["text"])
    (whole,) = here.ok("send", "-s", "a", "--continue")
    assert (whole["text"], whole["finish_reason"], whole["hops"]) == (NUMBERS, "STOP", 4)
    assert [line["text"] for line in here.ok("history", "-s", "a")] == [NUMBERS]


def test_rules_that_were_changed(here: InProcess) -> None:
    """A token that the model no longer takes ends the answer where it is; the rest of the session goes on."""
    rules = here.directory / "r.yaml"
    rules.write_text("rules: [{answer: {text: one, finish: MAX_TOKENS, next_hops: [two]}}]")
    assert here("send", "-s", "a", "--create", "--model", "simulator/rules:r.yaml", "count").status == 4
    rules.write_text("rules: [{answer: other}]")
    refused = here.failed("send", "-s", "a", "--continue", "--max-output-tokens", "9")
    assert "The continuation token is not valid for this request" in refused.err
    assert here.ok("history", "-s", "a")[0]["text"] == "one"
    assert here.ok("send", "-s", "a", "hello")[0]["text"] == "other"


STEPS = """
rules:
  - when: {after_call: {name: weather, result: {output: rain}}}
    answer: {calls: [{name: umbrella}]}
  - when: {after_call: umbrella}
    answer: Take it.
  - answer: {calls: [{name: weather, args: {city: Boston}}, {name: weather, args: {city: Paris}}]}
"""
GEMINI_3 = ("--model", "gemini-4-argon", "--tools", "tools.json", "--tool", "google-search")


@pytest.fixture
def simulated(here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """The program with these rules as any model, and with the functions declared."""
    monkeypatch.setenv("GEMINI_API_KEY", "any-key-that-is-long-enough")
    declared = [{"name": "weather", "description": "The weather."}, {"name": "umbrella", "description": "Look for it."}]
    (tmp_path / "tools.json").write_text(json.dumps(declared))
    app = application({}, RulesModel(read_rules.load(STEPS, "r")).named)
    with serve(app) as server:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        yield here


def test_signed_calls(simulated: InProcess) -> None:
    """Calls go back with their ids and signatures, step after step, and beside a built-in tool."""
    simulated.ok("new", "-s", "a", *GEMINI_3)
    asked = simulated("send", "-s", "a", "Do I need an umbrella?")
    assert asked.status == 5
    first, second = (call["id"] for call in asked.json["function_calls"])
    asked = simulated("send", "-s", "a", "--response", f'{first}="sun"', "--response", f'{second}="rain"')
    assert (asked.status, [call["name"] for call in asked.json["function_calls"]]) == (5, ["umbrella"])
    assert simulated.ok("send", "-s", "a", "--response", "umbrella=true")[0]["text"] == "Take it."


def test_calls_from_elsewhere(simulated: InProcess, tmp_path: Path) -> None:
    """A call without a signature gets a stand-in while its turn lasts, whatever the server calls its version."""
    call = {"functionCall": {"name": "weather", "args": {}, "id": "x"}}
    history = [{"role": "user", "parts": [{"text": "Umbrella?"}]}, {"role": "model", "parts": [call]}]
    (tmp_path / "history.json").write_text(json.dumps(history))
    simulated.ok("new", "-s", "a", *GEMINI_3, "--history", "history.json")
    asked = simulated("send", "-s", "a", "--response", 'weather="rain"')
    assert (asked.status, [call["name"] for call in asked.json["function_calls"]]) == (5, ["umbrella"])
    assert simulated.ok("send", "-s", "a", "--response", "umbrella=true")[0]["text"] == "Take it."
