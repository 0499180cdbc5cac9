"""Answers that are no plain success, as a script meets them; every kind of answer is a row of `conditions`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gemcli.errors import EXIT, REASONS
from tests.builders import CALL, answer, contents
from tests.support import InProcess, Model

CUT_OFF = {
    "blocked": answer("Not all of it", finish="SAFETY"),
    "incomplete": answer("Not all of it", finish="MAX_TOKENS"),
    "function_call": answer(CALL),
}


@pytest.mark.parametrize("finish", ["STOP", "MAX_TOKENS"])
def test_function_calls(finish: str, here: InProcess, model: Model) -> None:
    """A call leaves the turn open: a message is refused unsent until `rewind` has taken the turn out."""
    here.ok("new", "-s", "s")
    model.script(answer("hello"), answer(CALL, finish=finish))
    here.ok("send", "-s", "s", "hi")
    assert here("send", "-s", "s", "call it").status == 5
    here.ok("history", "-s", "s", "--check")
    before = here.session("s").read_bytes()

    done = here.failed("send", "-s", "s", "and now?")
    assert (done.status, done.error["reason"], len(model.requests)) == (65, "OPEN_CALL", 2)
    assert "rewind" in done.error["hint"]
    assert here.session("s").read_bytes() == before

    here.ok("rewind", "-s", "s")
    here.ok("send", "-s", "s", "next")
    assert model.requests[-1]["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"text": "hello"}]},
        *contents("next"),
    ]


@pytest.mark.parametrize("status", CUT_OFF)
def test_allowed(status: str, here: InProcess, model: Model) -> None:
    """`--allow` turns the status it names into success, and no other."""
    others = [name for name in CUT_OFF if name != status]
    here.ok("new", "-s", "s")
    here.ok("new", "-s", "t")
    model.script(CUT_OFF[status], CUT_OFF[status])
    assert here("send", "-s", "s", "hi", "--allow", ",".join(others)).status == EXIT[status]
    done = here("send", "-s", "t", "hi", "--allow", status)
    assert (done.status, done.err, done.json["status"]) == (0, "", status)


def test_failures_are_counted(here: InProcess, model: Model) -> None:
    """Tokens of an unusable answer count in the totals: they were billed."""
    model.script(CUT_OFF["blocked"], answer("fine"))
    assert here("send", "-s", "s", "--create", "one").status == 3
    totals: dict[str, Any] = here.ok("send", "-s", "s", "two")[0]["totals"]
    assert (totals["requests"], totals["total_token_count"]) == (2, 14)


def test_reasons_are_tested() -> None:
    """Every reason that gemcli can give stands in a test, by its name in quotes."""
    files = [file.read_text("utf-8") for file in Path(__file__).parents[1].rglob("*.py")]
    named = set(re.findall(r'"([A-Z][A-Z_]+)"', "\n".join(files)))
    assert set(REASONS) - named == set()
