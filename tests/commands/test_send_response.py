"""`gemcli send --response`: function calls answered by hand."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gemcli.errors import REASONS
from tests.builders import answer, call, header, overloaded, sse, streaming, turn, user, write_session
from tests.support import InProcess, Model

ROLL = call("roll", id="c1", args={"sides": 6})
FLIP = call("flip", id="c2")


def respond(name: str, response: Any, **more: Any) -> dict[str, Any]:
    """A Part with a response."""
    return {"functionResponse": {"name": name, "response": response} | more}


@pytest.fixture
def opened(here: InProcess, model: Model) -> InProcess:
    """A session whose first turn waits for two responses."""
    here.ok("new", "-s", "game")
    model.script(answer({"text": "Let me see."}, ROLL, FLIP))
    assert here("send", "-s", "game", "Play").status == 5
    return here


def test_a_turn_by_hand(opened: InProcess, model: Model) -> None:
    """A call ends in 5 with the command that answers it; the responses go out in one Content, and the turn goes on."""
    told = opened.failed("send", "-s", "game", "And now?")
    assert (told.status, told.error["reason"]) == (65, "OPEN_CALL")
    command = "gemcli send -s game --response roll=JSON --response flip=JSON"
    assert told.error["hint"] == f"answer it: {command}; or take its turn out: gemcli rewind -s game"
    model.script(answer("You won."))
    document = opened.ok("send", "-s", "game", "--response", 'flip={"side": "heads"}', "--response", "roll=4")[0]
    sent = user(respond("roll", {"output": 4}, id="c1"), respond("flip", {"side": "heads"}, id="c2"))
    assert model.requests[-1]["contents"][2] == sent
    assert (document["turn"], document["id"], document["text"]) == (1, "1.2", "You won.")
    assert document["totals"]["turns"] == 1
    assert opened.records("game")[3]["content"] == sent


@pytest.mark.parametrize("form", [[], ["--stream"], ["--text"]])
def test_the_hint_of_a_call(here: InProcess, model: Model, form: list[str]) -> None:
    """Status 5 names the command, with the session and the calls, wherever the error is printed."""
    here.ok("new", "-s", "my")
    model.script(streaming(sse(answer(ROLL))) if "--stream" in form else answer(ROLL))
    done = here("send", "-s", "my", "Play", *form, "--errors", "json")
    hint = "answer it: gemcli send -s my --response roll=JSON"
    assert (done.status, done.error["hint"]) == (5, hint)
    if "--stream" in form:
        assert done.lines[-1]["error"]["hint"] == hint


def test_files_and_standard_input(opened: InProcess, model: Model) -> None:
    """`@FILE` reads a file, which may be an image; `-` is standard input, which nothing else reads."""
    picture = b"\x89PNG\r\n\x1a\n\x00\xff"
    (opened.directory / "plot.png").write_bytes(picture)
    document = opened.ok(
        "send", "-s", "game", "--response", "roll=@plot.png", "--response", "flip=-", stdin='{"side": 1}'
    )[0]  # fmt: skip
    assert document["status"] == "ok"
    blob = {"mimeType": "image/png", "data": base64.b64encode(picture).decode(), "displayName": "plot.png"}
    image = respond("roll", {"file": {"$ref": "plot.png"}}, id="c1", parts=[{"inlineData": blob}])
    assert model.requests[-1]["contents"][2] == user(image, respond("flip", {"side": 1}, id="c2"))


def test_standard_input_is_left_alone(opened: InProcess, model: Model) -> None:
    """Without `-`, standard input is not read: it is no message beside responses."""
    opened.ok("send", "-s", "game", "--response", "roll=1", "--response", "flip=2", stdin="unread")
    assert "unread" not in str(model.requests[-1])


WRONG: dict[str, tuple[list[str], str, int]] = {
    "missing": (["--response", "roll=1"], "RESPONSES", 2),
    "twice": (["--response", "roll=1", "--response", "c1=1", "--response", "flip=1"], "RESPONSES", 2),
    "no-such-call": (["--response", "roll=1", "--response", "flip=1", "--response", "spin=1"], "RESPONSES", 2),
    "not-json": (["--response", "roll=four", "--response", "flip=1"], "RESPONSES", 2),
    "no-value": (["--response", "roll"], "USAGE", 2),
    "no-name": (["--response", "=1"], "USAGE", 2),
    "no-file": (["--response", "roll=@nosuch"], "FILE_MISSING", 66),
    "two-readers": (["--response", "roll=-", "--response", "flip=-"], "USAGE", 2),
    "a-message-too": (["--response", "roll=1", "--response", "flip=1", "Well?"], "USAGE", 2),
    "once": (["--response", "roll=1", "--once", "k"], "USAGE", 2),
    "create": (["--response", "roll=1", "--create"], "USAGE", 2),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit(opened: InProcess, model: Model, name: str) -> None:
    """What does not fit the calls is refused: nothing is written, nothing is sent."""
    args, reason, status = WRONG[name]
    before = opened.session("game").read_bytes()
    done = opened.failed("send", "-s", "game", *args)
    assert (done.status, done.error["reason"], done.out) == (status, reason, "")
    assert (opened.session("game").read_bytes(), len(model.requests)) == (before, 1)
    assert (reason == "RESPONSES") == bool(done.error["problems"])


def test_no_call_waits(here: InProcess) -> None:
    """Responses for a turn that is complete are refused, with the command that shows it."""
    write_session("a", header(), *turn(1))
    done = here.failed("send", "-s", "a", "--response", "roll=1")
    assert (done.status, done.error["reason"]) == (2, "RESPONSES")
    assert done.error["hint"] == "run gemcli history -s a --last to see the last answer"
    assert REASONS["RESPONSES"].status == "usage"


# An open turn keeps its settings


def test_the_settings_of_the_turn(here: InProcess, model: Model) -> None:
    """Responses go to the model that called, with its settings under those given now; the next turn has neither."""
    here.ok("new", "-s", "a", "--temperature", "0.1")
    model.script(answer(ROLL), answer(ROLL), answer("done"))
    here("send", "-s", "a", "Play", "--model", "gemini-other", "--temperature", "0.5", "--seed", "7")
    here("send", "-s", "a", "--response", "roll=1", "--temperature", "0.1")
    here("send", "-s", "a", "--response", "roll=2")
    here.ok("send", "-s", "a", "Next")
    sent = [request["generationConfig"] for request in model.requests]
    assert sent == [
        {"temperature": 0.5, "seed": 7},
        {"temperature": 0.1, "seed": 7},
        {"temperature": 0.1, "seed": 7},
        {"temperature": 0.1},
    ]
    asked = [target.partition("models/")[2].partition(":")[0] for target in model.targets]
    assert asked == ["gemini-other"] * 3 + ["gemini-test"]
    # `export request` builds the body of an answer from the records alone.
    records = [record for record in here.records("a") if record["kind"] == "request"]
    assert records[2]["config"] == {"generationConfig": {"temperature": 0.1, "seed": 7}}


def test_a_rejected_response_changes_nothing(opened: InProcess, model: Model) -> None:
    """Settings of a request that was rejected are not those of the turn."""
    model.script(overloaded())
    both = ["--response", "roll=1", "--response", "flip=1"]
    assert opened("send", "-s", "game", *both, "--model", "gemini-bad", "--retries", "0").status == 75
    assert opened.ok("send", "-s", "game", *both)[0]["model"] == "gemini-test"


def test_a_fork_of_an_open_turn(opened: InProcess, model: Model) -> None:
    """A fork answers the call with the model that it was given."""
    opened.ok("new", "-s", "b", "--from", "game", "--model", "gemini-next")
    both = ["--response", "roll=1", "--response", "flip=1"]
    assert opened.ok("send", "-s", "b", *both)[0]["model"] == "gemini-next"


def test_the_limit_of_turns(opened: InProcess) -> None:
    """A response goes on with a turn and does not begin one."""
    both = ["--response", "roll=1", "--response", "flip=1"]
    assert opened("send", "-s", "game", *both, "--max-turns", "0").status == 12
    assert opened.ok("send", "-s", "game", *both, "--max-turns", "1")[0]["turn"] == 1


def test_what_would_be_sent(opened: InProcess, model: Model) -> None:
    """A dry run shows the responses in their place, and sends nothing."""
    shown = opened.ok("send", "-s", "game", "--response", "roll=1", "--response", "flip=2", "--dry-run")[0]
    assert [part["functionResponse"]["name"] for part in shown["body"]["contents"][-1]["parts"]] == ["roll", "flip"]
    assert len(model.requests) == 1
