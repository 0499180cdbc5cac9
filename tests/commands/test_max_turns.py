"""`gemcli send --max-turns`: a limit that is kept before anything is sent or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gemcli.sessions import records
from tests.commands import CALL, RESPONSE, asked, failed, header, mixed, told, turn, write
from tests.support import Model
from tests.system import Inside


def test_the_limit(inside: Inside, model: Model) -> None:
    """N turns are sent and no more: the next one is 65, nothing is asked, printed or written."""
    inside.ok("new", "-s", "a")
    for _ in range(2):
        inside.ok("send", "-s", "a", "hello", "--max-turns", "2")
    path = Path(os.environ["GEMCLI_HOME"]) / "sessions" / "a.jsonl"
    before = path.read_bytes()
    status, out, error = inside.error("send", "-s", "a", "hello", "--max-turns", "2")
    assert (status, out, error["reason"], error["retryable"]) == (65, "", "TOO_MANY_TURNS", False)
    assert "2 turns" in error["message"]
    assert "gemcli rewind" in error["hint"]
    assert (len(model.requests), path.read_bytes()) == (2, before)


def test_a_stream_ends_in_it(inside: Inside, model: Model) -> None:
    """With --stream the final event has the error, and nothing else is printed."""
    write("a", header("gemini-test"), *turn(1))
    status, out, error = inside.error("send", "-s", "a", "hello", "--stream", "--max-turns", "1")
    assert (status, error["reason"], model.requests) == (65, "TOO_MANY_TURNS", [])
    assert out.count("\n") == 1
    assert '"TOO_MANY_TURNS"' in out


CALLED = [asked(1, "q"), told(1, CALL), asked(1, RESPONSE, ordinal=2), told(1, "end", ordinal=2)]
UNDONE = [records.rewind([1]), records.undo([1])]
COUNTED = {
    "none": ([header("gemini-x")], 0),
    "not-in-the-history": (mixed(), 2),
    "several-exchanges": ([header("gemini-x"), *CALLED], 1),
    "in-doubt": ([header("gemini-x"), *turn(1), asked(2, "x"), failed(2, "unknown"), *UNDONE, asked(3, "y")], 1),
}
"""Sessions, and how many turns their history has."""


@pytest.mark.parametrize(("content", "turns"), COUNTED.values(), ids=COUNTED)
def test_turns_of_the_history_count(inside: Inside, model: Model, content: list[records.Record], turns: int) -> None:
    """Only turns of the history count, each once; at the limit nothing is written, below it the message is sent."""
    path = write("a", *content)
    before = path.read_bytes()
    send = ("send", "-s", "a", "hello", "--model", "gemini-x", "--max-turns")
    assert inside.error(*send, str(turns))[0] == 65
    assert (path.read_bytes(), model.requests) == (before, [])
    inside.ok(*send, str(turns + 1))
    assert len(model.requests) == 1


def test_a_rewind_makes_room(inside: Inside, model: Model) -> None:
    """After a rewind there is room again, and an undo takes it back."""
    write("a", header("gemini-test"), *turn(1), *turn(2))
    assert inside.error("send", "-s", "a", "hello", "--max-turns", "2")[0] == 65
    inside.ok("rewind", "-s", "a")
    inside.ok("send", "-s", "a", "hello", "--max-turns", "2")
    assert inside.error("send", "-s", "a", "hello", "--max-turns", "2")[0] == 65


def test_imported_turns_count(inside: Inside, model: Model) -> None:
    """Turns that the session was created with are part of its history."""
    write("a", header("gemini-test"), *turn(1), *turn(2))
    inside.ok("new", "-s", "b", "--from", "a", "--at", "1")
    assert inside.error("send", "-s", "b", "hello", "--max-turns", "1")[0] == 65
    inside.ok("send", "-s", "b", "hello", "--max-turns", "2")


def test_it_needs_no_key(inside: Inside, model: Model) -> None:
    """The limit is looked at before the way to the model is: no key, yet 65."""
    del inside.env["GEMINI_API_KEY"]
    write("a", header("gemini-test"), *turn(1))
    assert inside.error("send", "-s", "a", "hello", "--max-turns", "1")[0] == 65
    assert inside.error("send", "-s", "a", "hello", "--max-turns", "2")[0] == 77


def test_the_environment_sets_it(inside: Inside, model: Model) -> None:
    """GEMCLI_SEND_MAX_TURNS is the same limit, and the option wins over it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEMCLI_SEND_MAX_TURNS", "1")
        write("a", header("gemini-test"), *turn(1))
        assert inside.error("send", "-s", "a", "hello")[2]["reason"] == "TOO_MANY_TURNS"
        inside.ok("send", "-s", "a", "hello", "--max-turns", "5")


@pytest.mark.parametrize("value", ["-1", "x", "1.5", ""], ids=repr)
def test_what_is_no_number(inside: Inside, model: Model, value: str) -> None:
    """What is no whole number from 0 is a usage error."""
    write("a", header("gemini-test"))
    assert inside.error("send", "-s", "a", "hello", "--max-turns", value)[0] == 2
    assert model.requests == []
