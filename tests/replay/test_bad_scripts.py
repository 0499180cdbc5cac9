"""Scripts with mistakes: what people are told about each, word for word.

Beside each script in bad_scripts/ stands what is expected: the command line, the error, and every problem.
"""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from gemcli.chat import turn_order
from gemcli.errors import Problem
from gemcli.replay import check_script, read_script
from gemcli.replay.script import Suite
from gemcli.text import json_tree, schema, tree, yaml_tree
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
    own = {*check_script.RULES, *schema.RULES, *tree.RULES, *json_tree.RULES, *yaml_tree.RULES}
    seen = {problem.rule for command in CASES.values() for problem in problems(command.partition("\n")[0])}
    # A file of 16 million characters is made in a test of its own; the others are notes.
    assert own - seen == {"yaml-size", "range", "unknown-value"}
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
