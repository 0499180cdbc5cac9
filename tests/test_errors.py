"""The tables of statuses and reasons: what a script relies on, retyped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from gemcli.errors import EXIT, REASONS, STATUSES, GemcliError, Problem, ReasonName, require_none
from tests.builders import error_from

CONTRACT = {
    "ok": 0, "usage": 2, "blocked": 3, "incomplete": 4, "function_call": 5, "expectation": 10, "budget": 12,
    "in_doubt": 13, "diverged": 14, "data": 65, "no_input": 66, "quota": 69, "internal": 70,
    "exists": 73, "io": 74, "tempfail": 75, "protocol": 76, "credentials": 77, "config": 78,
    "signal": 128,
}  # fmt: skip

RPC_CODES = {
    "CANCELLED", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED", "UNKNOWN",
}  # fmt: skip


def test_exit_statuses() -> None:
    """The exit statuses and their names are a contract; 1 is never one of them."""
    assert EXIT == CONTRACT
    assert [status.code for status in STATUSES] == sorted(CONTRACT.values())


def test_reasons() -> None:
    """Every reason has a google.rpc code, and its hint is one line."""
    for reason, kind in REASONS.items():
        assert kind.code in RPC_CODES, reason
        assert kind.hint is None or (kind.hint and "\n" not in kind.hint), reason


def test_every_status_has_a_reason() -> None:
    """A reason ends in a known status other than ok, and there is no status that nothing can end in."""
    assert {kind.status for kind in REASONS.values()} == CONTRACT.keys() - {"ok"}


def test_what_may_be_run_again() -> None:
    """What ends in tempfail may be run again, all of it; nothing that would fail the same way may."""
    again = {kind.status for kind in REASONS.values() if kind.retryable}
    assert again == {"tempfail", "blocked", "signal"}
    assert all(kind.retryable for kind in REASONS.values() if kind.status == "tempfail")


def test_error_facts() -> None:
    """An error hands on every fact it is given; its own hint wins over the reason's."""
    problem = Problem("role", "no role", index=1, line=2, column=3, hint="add one")
    error = GemcliError(
        "INTERRUPTED",
        "stopped",
        hint="go on",
        problems=[problem],
        outcome="unknown",
        http=200,
        retry_after=1.5,
        attempts=2,
        exit_code=130,
    )
    facts = error.to_json()
    assert str(error) == "stopped"
    assert facts | {"problems": []} == {
        "code": "CANCELLED",
        "reason": "INTERRUPTED",
        "exit": 130,
        "message": "stopped",
        "hint": "go on",
        "retryable": True,
        "retry_after_s": 1.5,
        "http": 200,
        "attempts": 2,
        "outcome": "unknown",
        "problems": [],
        "problem_count": 1,
    }
    assert json.loads(json.dumps(facts["problems"])) == [
        {"rule": "role", "message": "no role", "index": 1, "line": 2, "column": 3, "hint": "add one", "file": None}
    ]


DESCRIBED = {
    "bare": (Problem("role", "no role"), "no role [role]"),
    "content": (Problem("role", "no role", 0), "content 0: no role [role]"),
    "line": (Problem("json", "bad", line=3), "line 3: bad [json]"),
    "all": (Problem("r", "m", 1, 2, 3, "h"), "line 2, column 3, content 1: m [r] (h)"),
}


@pytest.mark.parametrize(("problem", "line"), DESCRIBED.values(), ids=DESCRIBED)
def test_described(problem: Problem, line: str) -> None:
    """A problem is told in one line: where, what, which rule, and what to do."""
    assert problem.describe() == line


def test_the_type_of_reasons_has_every_one() -> None:
    """A type checker knows the names of all reasons, and no other."""
    assert get_args(ReasonName) == tuple(REASONS)


def test_replace() -> None:
    """An error with another hint is a new one of the same class; the first is as it was."""
    first = GemcliError("IO", "no", hint="one", attempts=2)
    first.__cause__ = OSError()
    second = first.replace(hint="other", message="yes")
    assert (first.hint, first.message, str(first)) == ("one", "no", "no")
    assert (second.hint, second.message, str(second), second.attempts) == ("other", "yes", "yes", 2)
    assert second.__cause__ is first.__cause__


def test_reasons_are_tested() -> None:
    """Every reason that gemcli can give stands in a test, by its name in quotes."""
    files = [file.read_text("utf-8") for file in Path(__file__).parent.rglob("*.py")]
    named = set(re.findall(r'"([A-Z][A-Z_]+)"', "\n".join(files)))
    assert set(REASONS) - named == set()


def test_require_none() -> None:
    """It says how many problems there are, hands them all on, and is silent when there are none."""
    require_none([], "the file", "IO")
    problem = Problem("role", "no role")
    error = error_from(require_none, [problem], "the file", "TURN_ORDER")
    assert (error.message, error.reason) == ("the file: 1 problem", "TURN_ORDER")
    error = error_from(require_none, [problem, problem], "the file", "BAD_HISTORY")
    assert (error.message, error.problems) == ("the file: 2 problems", (problem, problem))
