"""Published conversations with functions: the recipes of gemcli-script(5) make suites of them that can be played.

The files in data/bfcl and data/sgd are a few conversations in the form in which BFCL and SGD are published.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gemcli.chat.contents import Content, function_calls, function_responses, group_turns
from tests.support import InProcess, read_session

PAGE = (Path(__file__).parents[2] / "man" / "gemcli-script.5.md").read_text(encoding="utf-8")
DATA = Path(__file__).parents[1] / "data"

RECIPES = {"bfcl": "python", "sgd": "jq"}


def blocks(kind: str) -> list[str]:
    """The code blocks of the page that are of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def rules(suite: list[Any]) -> str:
    """A model that makes the expected calls of every message, one after the other, and then says Done."""
    found = []
    for script in suite:
        for number, turn in enumerate(script["turns"], 1):
            calls = turn.get("expect", {}).get("calls", [])
            steps: list[Any] = [*({"calls": [call | {"id": f"c{place}"}]} for place, call in enumerate(calls)), "Done."]
            whens = [{"contains": turn["user"]}, *({"turn": number, "after_call": call["name"]} for call in calls)]
            found += [{"when": when, "answer": step} for when, step in zip(whens, steps, strict=True)]
    return yaml.safe_dump({"rules": found})


def played(directory: Path) -> dict[str, list[list[Content]]]:
    """The turns of each session."""
    return {path.stem: group_turns(read_session(path).history) for path in directory.glob("*.jsonl")}


@pytest.mark.parametrize("name", RECIPES)
def test_published_conversations_are_played(name: str, here: InProcess) -> None:
    """Each expected call is made, gets its result, and the suite passes; the second time nothing is sent."""
    if RECIPES[name] == "jq" and not shutil.which("jq"):
        pytest.skip("the recipe is one of jq, which is not installed here")
    directory = here.directory
    shutil.copytree(DATA / name, directory, dirs_exist_ok=True)
    suffix = {"python": "py", "jq": "jq"}[RECIPES[name]]
    (directory / f"{name}.{suffix}").write_text(blocks(RECIPES[name])[0])
    (script,) = (block for block in blocks("sh") if f"{name}.{suffix}" in block)
    make, play = script.strip().rsplit("\n", 1)
    done = here.shell(make)
    assert done.status == 0, done.err
    suite = [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
    (directory / "rules.yaml").write_text(rules(suite))
    _, *words = shlex.split(play.replace("gemini-flash-latest", "simulator/rules:rules.yaml"))
    done = here(*words)
    assert done.status == 0, done.out
    sessions = played(directory / name)
    assert sessions.keys() == {one["name"] for one in suite}
    for one in suite:
        for turn, contents in zip(one["turns"], sessions[one["name"]], strict=True):
            made = [{"name": call["name"], "args": call["args"]} for each in contents for call in function_calls(each)]
            assert made == turn.get("expect", {}).get("calls", [])
            results = [response["response"] for each in contents for response in function_responses(each)]
            assert results == [{"output": result["result"]} for result in turn.get("tool_results", [])]
    assert any(len(contents) > 4 for turns in sessions.values() for contents in turns) is (name == "bfcl")
    assert here(*words).lines[-1]["turns"]["sent"] == 0
