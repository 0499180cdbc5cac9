"""Problems of a document: kept up to a limit, and raised together."""

from __future__ import annotations

from gemcli.text.problems import MAX_PROBLEMS, Problems
from gemcli.text.tree import Text
from tests.builders import error_from


def test_all_are_raised_in_the_order_of_lines() -> None:
    """The error names the document, counts its problems and carries the reason that was asked for."""
    problems = Problems()
    problems.require_none("talk.yaml")
    problems.add("value", "second", Text("", 2, 1))
    problems.add("value", "first", Text("", 1, 5), "a hint")
    problems.note("range", "unusual", Text("", 1, 1))
    caught = error_from(problems.require_none, "talk.yaml", "USAGE")
    assert (caught.reason, caught.message, caught.exit) == ("USAGE", "talk.yaml: 2 problems", 2)
    assert [problem.describe() for problem in caught.problems] == [
        "line 1, column 5: first [value] (a hint)",
        "line 2, column 1: second [value]",
    ]


def test_nobody_reads_more_than_a_hundred() -> None:
    """Once there are many, no more are kept, and no time is spent on suggestions."""
    problems, others = Problems(), Problems()
    assert problems.suggest("temprature", ["temperature"]) == "did you mean `temperature`?"
    for line in range(2 * MAX_PROBLEMS):
        problems.add("value", "wrong", Text("a", line))
        problems.note("range", "unusual", Text("a", line))
    others.include(problems)
    others.include(problems)
    assert len(problems) == len(problems.notes) == len(others) == len(others.notes) == MAX_PROBLEMS
    assert problems.full
    assert problems.suggest("temprature", ["temperature"]) is None


def test_the_same_problem_is_kept_once() -> None:
    """What is looked at several times is wrong once; elsewhere it is another problem."""
    problems = Problems()
    for line in (1, 1, 2):
        problems.add("value", "wrong", Text("a", line))
        problems.note("range", "unusual", Text("a", line))
    assert len(problems) == len(problems.notes) == 2
