"""Scripts with mistakes: what people are told about each, word for word.

Beside each script in bad_scripts/ stands what is expected: the command line, the error, and every problem.
"""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from gemcli.chat import turn_order
from gemcli.errors import Problem
from gemcli.replay import check_script, read_script, script_schema, suites
from gemcli.replay.script import Suite
from gemcli.text import json_tree, schema, tree, yaml_tree
from gemcli.tools import declarations
from tests.builders import error_from

FOLDER = Path(__file__).with_name("bad_scripts")
CASES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.expected"))}
"""What is expected, by the script's name without its suffix."""


def replay(command: str) -> Suite:
    """What `gemcli replay` reads of the script that a command line names."""
    file, *options = shlex.split(command.removeprefix("gemcli replay "))
    given = dict(text.split("=", 1) for before, text in pairwise(options) if before == "--var")
    text = (FOLDER / file).read_text(encoding="utf-8")
    return read_script.load(text, file, given, as_lines="--lines" in options, strict="--strict" in options)


@pytest.mark.parametrize("case", CASES)
def test_a_bad_script_is_told_what_is_wrong(case: str) -> None:
    """Each mistake has its file, line and column, its words, its rule and, where there is one, what to do."""
    command, *messages = CASES[case].splitlines()
    if "[yaml-syntax]" in CASES[case] and not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML's other parser says it in other words")
    caught = error_from(replay, command)
    assert (caught.reason, caught.exit) == ("SCRIPT", 2)
    assert [caught.message, *(f"  {problem.describe()}" for problem in caught.problems)] == messages


def test_every_script_has_its_expectation() -> None:
    """No script stands in the folder without what is expected of it, nor the other way round."""
    scripts = [path.name for path in FOLDER.iterdir() if path.suffix != ".expected"]
    named = [shlex.split(expected.partition("\n")[0])[2] for expected in CASES.values()]
    assert sorted(scripts) == sorted(named)
    assert len(named) >= 50


def test_every_rule_is_broken() -> None:
    """Each rule that a script can break is broken by one of them, and problems carry no other names."""
    own = {*check_script.RULES, *declarations.RULES, *schema.RULES, *tree.RULES, *json_tree.RULES, *yaml_tree.RULES}
    seen = {problem.rule for command in CASES.values() for problem in problems(command.partition("\n")[0])}
    # Files of millions of characters are made in tests of their own; the others are notes.
    assert own - seen == {"yaml-size", "too-long", "too-many", "torn-tail", "range", "unknown-value"}
    assert seen <= own | turn_order.RULES.keys()


def problems(command: str) -> list[Problem]:
    """Everything wrong with the script that a command line names."""
    caught = error_from(replay, command)
    return list(caught.problems)


def test_a_script_of_millions_of_characters_is_refused() -> None:
    """What is too long to be read as YAML is said so, with the file's name."""
    caught = error_from(read_script.load, "-" * (yaml_tree.MAX_CHARACTERS + 1), "huge.yaml", {})
    (problem,) = caught.problems
    assert problem.describe() == "huge.yaml: longer than 16777216 characters [yaml-size]"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """A file has only a few messages in the tests."""
    for module in (script_schema, suites, read_script):
        monkeypatch.setattr(module, "MAX_MESSAGES", 10)
    return 10


@pytest.mark.parametrize("options", [{}, {"as_lines": True}])
@pytest.mark.parametrize("file", ["s.txt", "s.json", "s.jsonl", "suite.json", "suite.jsonl"])
def test_a_file_has_so_many_messages(few: int, file: str, options: dict[str, bool]) -> None:
    """The message that is one too many is a problem, in every form."""

    def text(count: int) -> str:
        rows = ['{"turns": ["a"]}' if file.startswith("suite") else '"a"'] * count
        return "[" + ",\n".join(rows) + "]" if file.endswith(".json") else "\n".join(rows)

    assert read_script.load(text(few), file, {}, **options).scripts
    (problem,) = error_from(read_script.load, text(few + 1) + "\n", file, {}, **options).problems
    assert (problem.line, problem.rule, problem.hint) == (few + 1, "too-many", "split the file")


def test_a_conversation_has_so_many_characters() -> None:
    """What templates make of a few characters is counted before it is made, in messages and in expectations."""
    given = {"a": "x" * 1_000_000}
    turns = ["{{a}}"] * 20
    assert read_script.load(json.dumps(turns), "s.json", given).scripts
    expected = [{"user": "b", "expect": {"regex": "{{a}}" * 21}}]
    for document, place in (([*turns, "b"], 20 * 9 + 2), ([*turns[1:], "{{a}}{{a}}"], 19 * 9 + 2), (expected, 36)):
        (problem,) = error_from(read_script.load, json.dumps(document), "s.json", given).problems
        assert (problem.rule, problem.column) == ("too-long", place)
    # Each conversation of a suite has as many.
    assert read_script.load('{"turns": ["' + "{{a}}" * 20 + '"]}\n{"turns": ["{{a}}"]}', "s.jsonl", given).scripts
