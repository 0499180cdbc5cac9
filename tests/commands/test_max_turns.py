"""`gemcli send --max-turns`: a limit that is kept before anything is sent or written."""

from __future__ import annotations

import pytest

from gemcli.sessions import imported_history, records
from gemcli.sessions.record_types import Record
from tests.builders import CALL, RESPONSE, contents, failure, header, mixed, request, response, turn, write_session
from tests.support import InProcess, Model


def test_the_limit(here: InProcess, model: Model) -> None:
    """N turns are sent and no more: the next one is 12, nothing is asked, printed or written."""
    here.ok("new", "-s", "a")
    for _ in range(2):
        here.ok("send", "-s", "a", "hello", "--max-turns", "2")
    path = here.session("a")
    before = path.read_bytes()
    done = here.failed("send", "-s", "a", "hello", "--max-turns", "2")
    assert (done.status, done.out, done.error["reason"], done.error["retryable"]) == (12, "", "TOO_MANY_TURNS", False)
    assert "2 turns" in done.error["message"]
    assert "gemcli rewind" in done.error["hint"]
    assert (len(model.requests), path.read_bytes()) == (2, before)


CALLED = [request(1, "q"), response(1, CALL), request(1, RESPONSE, ordinal=2), response(1, "end", ordinal=2)]
UNDONE = [records.rewind([1]), records.undo([1])]
IMPORTED = imported_history.from_contents(contents("q", "a"), model="gemini-x", backend="gemini")
COUNTED = {
    "none": ([header("gemini-x")], 0),
    "not-in-the-history": (mixed(), 2),
    "imported": ([header("gemini-x"), *IMPORTED], 1),
    "several-exchanges": ([header("gemini-x"), *CALLED], 1),
    "in-doubt": ([header("gemini-x"), *turn(1), request(2, "x"), failure(2, "unknown"), *UNDONE, request(3, "y")], 1),
}
"""Sessions, and how many turns their history has."""


@pytest.mark.parametrize(("content", "turns"), COUNTED.values(), ids=COUNTED)
def test_turns_of_the_history_count(here: InProcess, model: Model, content: list[Record], turns: int) -> None:
    """Only turns of the history count, each once; at the limit nothing is written, below it the message is sent."""
    path = write_session("a", *content)
    before = path.read_bytes()
    send = ("send", "-s", "a", "hello", "--model", "gemini-x", "--max-turns")
    assert here.failed(*send, str(turns)).status == 12
    assert (path.read_bytes(), model.requests) == (before, [])
    here.ok(*send, str(turns + 1))
    assert len(model.requests) == 1


def test_it_needs_no_key(here: InProcess, model: Model) -> None:
    """The limit is looked at before the way to the model is: no key, yet 12."""
    del here.env["GEMINI_API_KEY"]
    write_session("a", header("gemini-test"), *turn(1))
    assert here.failed("send", "-s", "a", "hello", "--max-turns", "1").status == 12
    assert here.failed("send", "-s", "a", "hello", "--max-turns", "2").status == 77


@pytest.mark.parametrize("value", ["-1", "x", "1.5", ""], ids=repr)
def test_what_is_no_number(here: InProcess, model: Model, value: str) -> None:
    """What is no whole number from 0 is a usage error."""
    write_session("a", header("gemini-test"))
    assert here.failed("send", "-s", "a", "hello", "--max-turns", value).status == 2
    assert model.requests == []
