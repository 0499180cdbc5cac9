"""`gemcli send --once`: loops that can be run again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemcli.sessions.record_types import Record
from gemcli.simulator.simulated_api import Cut, Reply, json_reply
from tests.builders import answer, failure, header, request, texts, write_session
from tests.support import Done, InProcess, Model

RESET = Reply(200, {}, (Cut("reset"),))
OVERLOADED = json_reply({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}, 503)


def send(here: InProcess, message: str, *options: str) -> Done:
    """Send one message to the session a."""
    return here("send", "-n", "-s", "a", message, *options)


@pytest.fixture
def here(here: InProcess, model: Model) -> InProcess:
    """The program in this process with a scripted model, and an empty session a."""
    write_session("a", header("gemini-test"))
    return here


def under(key: str, *content: Record) -> list[Record]:
    """Records with a key on every request."""
    return [record | {"key": key} if record["kind"] == "request" else record for record in content]


def test_once(here: InProcess, model: Model) -> None:
    """Sent again, the message prints its recorded answer, sends and writes nothing, and needs no key."""
    model.script(answer("A"))
    first = send(here, "q", "--once", "k")
    before = here.session("a").read_bytes()
    here.env.pop("GEMINI_API_KEY")
    again = send(here, "q", "--once", "k")
    assert (first.status, again.status, again.err) == (0, 0, "")
    assert (first.json["sent"], again.json["sent"], again.json["text"]) == (True, False, "A")
    assert again.json == first.json | {"sent": False}
    assert (len(model.requests), here.session("a").read_bytes()) == (1, before)


def test_the_key_is_recorded_and_told(here: InProcess) -> None:
    """The key stands in the request's record and in the document."""
    assert send(here, "q", "--once", "2026-11-21 ü").json["key"] == "2026-11-21 ü"
    assert json.loads(here.session("a").read_text().splitlines()[1])["key"] == "2026-11-21 ü"
    assert send(here, "q").json["key"] is None
    assert "key" not in json.loads(here.session("a").read_text().splitlines()[3])


@pytest.mark.parametrize("options", [["--text"], ["--text", "--stream"]], ids=["text", "stream-text"])
def test_text_again(here: InProcess, model: Model, options: list[str]) -> None:
    """The recorded answer is printed in the form that is asked for now."""
    model.script(answer("A"))
    send(here, "q", "--once", "k")
    done = send(here, "q", "--once", "k", *options)
    assert (done.status, done.out, len(model.requests)) == (0, "A\n", 1)


def test_stream_again(here: InProcess, model: Model) -> None:
    """A stream of the recorded answer: its text in a chunk, and the final event that says it was not sent."""
    model.script(answer({"text": "hm", "thought": True}, "A"))
    send(here, "q", "--once", "k")
    done = send(here, "q", "--once", "k", "--stream")
    assert [event["event"] for event in done.lines] == ["thought", "chunk", "final"]
    assert (done.lines[-1]["sent"], done.lines[-1]["text"], done.lines[-1]["exit"]) == (False, "A", 0)
    assert len(model.requests) == 1


def test_a_loop(here: InProcess, model: Model) -> None:
    """A loop that is run again after its first half sends the second half only."""
    for count in (2, 4):
        assert [send(here, f"q{n}", "--once", f"k{n}").status for n in range(count)] == [0] * count
    assert [texts(body["contents"])[-1] for body in model.requests] == ["q0", "q1", "q2", "q3"]


# What became of it


@pytest.mark.parametrize("pending", [False, True], ids=["unknown", "no-outcome"])
@pytest.mark.parametrize("options", [[], ["--stream"], ["--text"], ["--dry-run"]])
def test_in_doubt(here: InProcess, model: Model, options: list[str], pending: bool) -> None:
    """13 and nothing is sent, unless it is told to send again."""
    write_session(
        "a",
        header("gemini-test"),
        *under("k", request(1, "q", model="gemini-test"), failure(1, "unknown"))[: 2 - pending],
    )
    before = here.session("a").read_bytes()
    done = send(here, "q", "--once", "k", *options, "--errors", "json")
    assert (done.status, done.error["reason"], model.requests) == (13, "IN_DOUBT", [])
    assert here.session("a").read_bytes() == before
    assert "--on-unknown resend" in done.error["hint"]
    assert send(here, "q", "--once", "k", *options, "--on-unknown", "resend").status == 0
    if options != ["--dry-run"]:
        assert send(here, "q", "--once", "k", *options).status == 0
        assert len(model.requests) == 1


AGAIN: dict[str, tuple[Reply | dict[str, Any], int, int, int]] = {
    # reply: exit status, then that of the same command again, and how many requests there were in all
    "lost": (RESET, 75, 13, 1),
    "rejected": (OVERLOADED, 75, 0, 2),
    "empty": (answer(""), 3, 0, 2),
    "malformed": (answer("x", finish="MALFORMED_FUNCTION_CALL"), 3, 0, 2),
    "cut": (answer("half", finish="MAX_TOKENS"), 4, 4, 1),
}


@pytest.mark.parametrize(("reply", "first", "again", "requests"), AGAIN.values(), ids=AGAIN)
def test_again(
    here: InProcess, model: Model, reply: Reply | dict[str, Any], first: int, again: int, requests: int
) -> None:
    """What never counted, or may come out better, is sent again; the rest is not. A plain send goes on in any case."""
    model.script(reply)
    assert [send(here, "q", "--once", "k").status for _ in range(2)] == [first, again]
    assert len(model.requests) == requests
    assert send(here, "another").status == 0


@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_blocked(here: InProcess, model: Model, options: list[str]) -> None:
    """A refusal that would not change is printed again with its status; --allow counts now."""
    model.script(answer("half", finish="SAFETY"))
    first = send(here, "q", "--once", "k")
    done = send(here, "q", "--once", "k", *options, "--errors", "json")
    assert (first.status, done.status, done.error["reason"]) == (3, 3, "ANSWER_BLOCKED")
    assert (done.lines[-1]["sent"], done.lines[-1]["text"], done.lines[-1]["status"]) == (False, "half", "blocked")
    assert send(here, "q", "--once", "k", *options, "--allow", "blocked").status == 0
    assert len(model.requests) == 1


def test_after_a_rewind(here: InProcess, model: Model) -> None:
    """An answer that was taken out is asked for again; one that was brought back is not."""
    send(here, "q", "--once", "k")
    here("rewind", "-s", "a")
    model.script(OVERLOADED)
    assert send(here, "q", "--once", "k").status == 75
    here("rewind", "-s", "a", "--undo")
    done = send(here, "q", "--once", "k")
    assert (done.json["turn"], done.json["sent"]) == (1, False)
    here("rewind", "-s", "a")
    assert send(here, "q", "--once", "k").json["sent"] is True
    assert len(model.requests) == 3


def test_a_refusal_of_another_history(here: InProcess, model: Model) -> None:
    """A refusal stands while what was said before it does, whatever was said after it."""
    model.script(answer("A"), answer("half", finish="SAFETY"))
    loop = (("q1", "k1"), ("q2", "k2"), ("q3", "k3"))
    assert [send(here, message, "--once", key).status for message, key in loop] == [0, 3, 0]
    assert [send(here, message, "--once", key).json["sent"] for message, key in loop] == [False] * 3
    here("rewind", "-s", "a", "--to", "0")
    assert [send(here, message, "--once", key).json["sent"] for message, key in loop] == [True] * 3


# Another message


@pytest.mark.parametrize("options", [[], ["--stream"], ["--dry-run"]])
def test_another_message(here: InProcess, model: Model, options: list[str]) -> None:
    """Under what was answered for another message nothing is sent: 14 names the turn and how to see it."""
    send(here, "q", "--once", "k")
    before = here.session("a").read_bytes()
    done = send(here, "another", "--once", "k", *options, "--errors", "json")
    assert (done.status, done.error["reason"], len(model.requests)) == (14, "DIVERGED", 1)
    assert done.error["message"] == "turn 1 was answered for another message; this message was not sent"
    command = done.error["hint"].removeprefix("run ").removesuffix(" to see it").split()
    assert here(*command[1:]).json["user"] == "q"
    assert here.session("a").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "what"),
    [(["--model", "m2"], "model"), (["--temperature", "1"], "config"), (["--system", "x"], "system instruction")],
    ids=["model", "temperature", "system"],
)
def test_another_way_of_asking(here: InProcess, model: Model, options: list[str], what: str) -> None:
    """The model and the config are part of the message."""
    send(here, "q", "--once", "k")
    done = send(here, "q", "--once", "k", *options)
    assert (done.status, len(model.requests)) == (14, 1)
    assert f"another {what}" in done.err


def test_settings_of_the_call(here: InProcess, model: Model) -> None:
    """The same settings are the same message, wherever they stand."""
    options = ["--once", "k", "--temperature", "0", "--model", "gemini-test"]
    assert [send(here, "q", *options).json["sent"] for _ in range(2)] == [True, False]
    assert send(here, "q", "--once", "k").status == 14


def test_another_message_after_a_refusal(here: InProcess, model: Model) -> None:
    """What was refused can be put in other words under the same key."""
    model.script(answer("half", finish="SAFETY"))
    assert send(here, "q", "--once", "k").status == 3
    assert send(here, "q, please", "--once", "k").json["sent"] is True
    assert send(here, "q, please", "--once", "k").json["sent"] is False
    assert send(here, "q", "--once", "k").status == 14


# Sessions that are made, imported, short


@pytest.mark.parametrize(
    "options", [["--model", "m1"], ["--temperature", "0"], ["--system", "Be brief", "--model", "m1"]]
)
def test_create(here: InProcess, model: Model, options: list[str]) -> None:
    """The first run makes the session with the settings, the second one knows the message again."""
    words = ["send", "-n", "-s", "new", "--create", "q", "--once", "k", *options]
    assert [here(*words).json["sent"] for _ in range(2)] == [True, False]
    assert len(model.requests) == 1
    assert here("send", "-n", "-s", "new", "--create", "q", "--once", "k", *options, "--top-k", "3").status == 14


def test_imported_turns_match_no_key(here: InProcess, model: Model) -> None:
    """What a session was created with was asked under no key of this session, whatever its records say."""
    send(here, "q", "--once", "k")
    assert here("new", "-s", "b", "--from", "a").status == 0
    assert here("send", "-n", "-s", "b", "q", "--once", "k").json["sent"] is True
    assert texts(model.requests[1]["contents"])[::2] == ["q", "q"]


def test_max_turns(here: InProcess, model: Model) -> None:
    """An answer that is there is printed however long the history is."""
    send(here, "q", "--once", "k")
    assert send(here, "q", "--once", "k", "--max-turns", "1").status == 0
    assert send(here, "q", "--once", "k2", "--max-turns", "1").status == 12
    assert len(model.requests) == 1


def test_dry_run(here: InProcess, model: Model) -> None:
    """It shows the request, or that there is none because the message was answered."""
    shown = send(here, "q", "--once", "k", "--dry-run").json
    assert texts(shown["body"]["contents"]) == ["q"]
    send(here, "q", "--once", "k")
    again = send(here, "q", "--once", "k", "--dry-run").json
    assert list(again) == list(shown)
    assert (again["body"], again["notes"]) == (None, ["answered before, as turn 1: nothing is sent"])
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--once", ""], 2),
        (["--once", "k" * 257], 2),
        (["--once", "k", "--on-unknown", "x"], 2),
        (["--once", "\udcff"], 65),
    ],
    ids=["empty", "long", "on-unknown", "not-utf-8"],
)
def test_invalid_keys(here: InProcess, model: Model, options: list[str], status: int) -> None:
    """Nothing is sent with an invalid key."""
    done = send(here, "q", *options)
    assert (done.status, done.out, model.requests) == (status, "", [])


def test_the_longest_key(here: InProcess) -> None:
    """A key may have 256 characters, any of them."""
    key = "\n-é" + "k" * 253
    assert send(here, "q", "--once", key).json["sent"] is True
    assert send(here, "q", "--once", key).json["sent"] is False
