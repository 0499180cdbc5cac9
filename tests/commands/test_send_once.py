"""`gemcli send --key` and `--if-turns`: loops that can be run again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gemcli.sessions import records
from gemcli.signals import deferred
from gemcli.simulator.simulated_api import Cut
from tests.commands import Here, asked, failed, header, told, turn, write
from tests.support import Done, Model, Reply, answer, contents, json_reply, texts
from tests.system import clients_collected

RESET = Reply(200, {}, (Cut("reset"),))
OVERLOADED = json_reply({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}, 503)


class Send(Here):
    """The program in this process: `send(message, …)` sends to the session a."""

    def send(self, message: str, *options: str) -> Done:
        """Send one message."""
        return self("send", "-n", "-s", "a", message, *options)


@pytest.fixture
def here(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Model
) -> Iterator[Send]:
    """The program in this process with a scripted model, and an empty session a."""
    monkeypatch.chdir(tmp_path)
    for name, value in model.env.items():
        monkeypatch.setenv(name, value)
    write("a", header("gemini-test"))
    with clients_collected():
        yield Send(capfdbinary)
    deferred.arrived.clear()


def session(name: str = "a") -> Path:
    """The file of a named session."""
    return Path(os.environ["GEMCLI_HOME"]) / "sessions" / f"{name}.jsonl"


def under(key: str, *content: Any) -> list[Any]:
    """Records with a key on every request."""
    return [record | {"key": key} if record["kind"] == "request" else record for record in content]


WAYS = {"key": ["--key", "k"], "if-turns": ["--if-turns", "0"]}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@ways
def test_once(here: Send, model: Model, way: list[str]) -> None:
    """Sent again, the message prints its recorded answer, sends and writes nothing, and needs no key."""
    model.script(answer("A"))
    first = here.send("q", *way)
    before = session().read_bytes()
    os.environ.pop("GEMINI_API_KEY")
    again = here.send("q", *way)
    assert (first.status, again.status, again.err) == (0, 0, "")
    assert (first.json["sent"], again.json["sent"], again.json["text"]) == (True, False, "A")
    assert again.json == first.json | {"sent": False}
    assert (len(model.requests), session().read_bytes()) == (1, before)


def test_the_key_is_recorded_and_told(here: Send) -> None:
    """The key stands in the request's record and in the document."""
    assert here.send("q", "--key", "2026-11-21 ü").json["key"] == "2026-11-21 ü"
    assert json.loads(session().read_text().splitlines()[1])["key"] == "2026-11-21 ü"
    assert here.send("q").json["key"] is None
    assert "key" not in json.loads(session().read_text().splitlines()[3])


@pytest.mark.parametrize(
    ("options", "out"),
    [(["--text"], "A\n"), (["--text", "--stream"], "A\n")],
    ids=["text", "stream-text"],
)
@ways
def test_text_again(here: Send, model: Model, way: list[str], options: list[str], out: str) -> None:
    """The recorded answer is printed in the form that is asked for now."""
    model.script(answer("A"))
    assert here.send("q", *way).status == 0
    done = here.send("q", *way, *options)
    assert (done.status, done.out, len(model.requests)) == (0, out, 1)


@ways
def test_stream_again(here: Send, model: Model, way: list[str]) -> None:
    """A stream of the recorded answer: its text in a chunk, and the final event that says it was not sent."""
    model.script(answer({"text": "hm", "thought": True}, "A"))
    here.send("q", *way)
    done = here.send("q", *way, "--stream")
    assert [event["event"] for event in done.lines] == ["thought", "chunk", "final"]
    assert (done.lines[-1]["sent"], done.lines[-1]["text"], done.lines[-1]["exit"]) == (False, "A", 0)
    assert len(model.requests) == 1


def test_a_loop(here: Send, model: Model) -> None:
    """A loop that is run again after its first half sends the second half only."""
    for count in (2, 4):
        assert [here.send(f"q{n}", "--key", f"k{n}").status for n in range(count)] == [0] * count
    assert [texts(body["contents"])[-1] for body in model.requests] == ["q0", "q1", "q2", "q3"]
    assert [here.send(f"q{n}", "--if-turns", f"{n}").json["sent"] for n in range(5)] == [False] * 4 + [True]


# What became of it


@pytest.mark.parametrize("pending", [False, True], ids=["unknown", "no-outcome"])
@pytest.mark.parametrize("options", [[], ["--stream"], ["--text"], ["--dry-run"]])
@ways
def test_in_doubt(here: Send, model: Model, way: list[str], options: list[str], pending: bool) -> None:
    """13 and nothing is sent, unless it is told to send again."""
    write(
        "a", header("gemini-test"), *under("k", asked(1, "q", model="gemini-test"), failed(1, "unknown"))[: 2 - pending]
    )
    before = session().read_bytes()
    done = here.send("q", *way, *options, "--errors", "json")
    assert (done.status, done.error["reason"], model.requests) == (13, "IN_DOUBT", [])
    assert session().read_bytes() == before
    assert "--on-unknown resend" in done.error["hint"]
    assert here.send("q", *way, *options, "--on-unknown", "resend").status == 0
    if options != ["--dry-run"]:
        assert here.send("q", *way, *options).status == 0
        assert len(model.requests) == 1


@ways
def test_a_broken_connection(here: Send, model: Model, way: list[str]) -> None:
    """75 now, and 13 from then on; a plain send goes on all the same."""
    model.script(RESET)
    assert here.send("q", *way).status == 75
    assert here.send("q", *way).status == 13
    assert here.send("another").status == 0
    assert len(model.requests) == 2


@ways
def test_rejected(here: Send, model: Model, way: list[str]) -> None:
    """What the API rejected never counted."""
    model.script(OVERLOADED)
    assert here.send("q", *way).status == 75
    done = here.send("q", *way)
    assert (done.status, done.json["sent"], done.json["turn"]) == (0, True, 2)


@pytest.mark.parametrize("options", [[], ["--stream"]])
@ways
def test_blocked(here: Send, model: Model, way: list[str], options: list[str]) -> None:
    """A refusal that would not change is told again with its status; --allow is asked now."""
    model.script(answer("half", finish="SAFETY"))
    first = here.send("q", *way)
    done = here.send("q", *way, *options, "--errors", "json")
    assert (first.status, done.status, done.error["reason"]) == (3, 3, "ANSWER_BLOCKED")
    assert (done.lines[-1]["sent"], done.lines[-1]["text"], done.lines[-1]["status"]) == (False, "half", "blocked")
    assert here.send("q", *way, *options, "--allow", "blocked").status == 0
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    "body", [answer(""), answer("x", finish="MALFORMED_FUNCTION_CALL")], ids=["empty", "malformed"]
)
@ways
def test_refusals_that_may_change(here: Send, model: Model, way: list[str], body: dict[str, Any]) -> None:
    """An empty or malformed answer is asked for again."""
    model.script(body)
    assert here.send("q", *way).status == 3
    assert (here.send("q", *way).json["sent"], len(model.requests)) == (True, 2)


@ways
def test_incomplete(here: Send, model: Model, way: list[str]) -> None:
    """An answer that was cut short is one: it is told again with its status."""
    model.script(answer("half", finish="MAX_TOKENS"))
    assert [here.send("q", *way).status for _ in range(2)] == [4, 4]
    assert len(model.requests) == 1


def test_after_a_rewind(here: Send, model: Model) -> None:
    """An answer that was taken out is asked for again; one that was brought back is not."""
    here.send("q", "--key", "k")
    here("rewind", "-s", "a")
    model.script(OVERLOADED)
    assert here.send("q", "--key", "k").status == 75
    here("rewind", "-s", "a", "--undo")
    done = here.send("q", "--key", "k")
    assert (done.json["turn"], done.json["sent"]) == (1, False)
    here("rewind", "-s", "a")
    assert here.send("q", "--key", "k").json["sent"] is True
    assert len(model.requests) == 3


def test_a_refusal_of_another_history(here: Send, model: Model) -> None:
    """A refusal stands while what was said before it does, whatever was said after it."""
    model.script(answer("A"), answer("half", finish="SAFETY"))
    loop = (("q1", "k1"), ("q2", "k2"), ("q3", "k3"))
    assert [here.send(message, "--key", key).status for message, key in loop] == [0, 3, 0]
    assert [here.send(message, "--key", key).json["sent"] for message, key in loop] == [False] * 3
    here("rewind", "-s", "a", "--to", "0")
    assert [here.send(message, "--key", key).json["sent"] for message, key in loop] == [True] * 3


# Another message


@pytest.mark.parametrize("options", [[], ["--stream"], ["--dry-run"]])
@ways
def test_another_message(here: Send, model: Model, way: list[str], options: list[str]) -> None:
    """Under what was answered for another message nothing is sent: 14 names the turn and how to see it."""
    here.send("q", *way)
    before = session().read_bytes()
    done = here.send("another", *way, *options, "--errors", "json")
    assert (done.status, done.error["reason"], len(model.requests)) == (14, "DIVERGED", 1)
    assert done.error["message"] == "turn 1 was answered for another message; nothing was sent"
    command = done.error["hint"].removesuffix(" shows it").split()
    assert here(*command[1:]).json["user"] == "q"
    assert session().read_bytes() == before


@pytest.mark.parametrize(
    ("options", "what"),
    [(["--model", "m2"], "model"), (["--temperature", "1"], "config"), (["--system", "x"], "config")],
    ids=["model", "temperature", "system"],
)
@ways
def test_another_way_of_asking(here: Send, model: Model, way: list[str], options: list[str], what: str) -> None:
    """The model and the config are part of the message."""
    here.send("q", *way)
    done = here.send("q", *way, *options)
    assert (done.status, len(model.requests)) == (14, 1)
    assert f"another {what}" in done.err


@ways
def test_settings_of_the_call(here: Send, model: Model, way: list[str]) -> None:
    """The same settings are the same message, wherever they stand."""
    options = [*way, "--temperature", "0", "--model", "gemini-test"]
    assert [here.send("q", *options).json["sent"] for _ in range(2)] == [True, False]
    assert here.send("q", *way).status == 14


def test_another_message_after_a_refusal(here: Send, model: Model) -> None:
    """What was refused can be put in other words under the same key."""
    model.script(answer("half", finish="SAFETY"))
    assert here.send("q", "--key", "k").status == 3
    assert here.send("q, please", "--key", "k").json["sent"] is True
    assert here.send("q, please", "--key", "k").json["sent"] is False
    assert here.send("q", "--key", "k").status == 14


# Sessions that are made, imported, short


@pytest.mark.parametrize(
    "options", [["--model", "m1"], ["--temperature", "0"], ["--system", "Be brief", "--model", "m1"]]
)
@ways
def test_create(here: Send, model: Model, way: list[str], options: list[str]) -> None:
    """The first run makes the session with the settings, the second one knows the message again."""
    words = ["send", "-n", "-s", "new", "--create", "q", *way, *options]
    assert [here(*words).json["sent"] for _ in range(2)] == [True, False]
    assert len(model.requests) == 1
    assert here("send", "-n", "-s", "new", "--create", "q", *way, *options, "--top-k", "3").status == 14


def test_imported_turns_match_no_key(here: Send, model: Model) -> None:
    """What a session was created with was asked under no key of this session, whatever its records say."""
    here.send("q", "--key", "k")
    assert here("new", "-s", "b", "--from", "a").status == 0
    assert here("send", "-n", "-s", "b", "q", "--key", "k").json["sent"] is True
    assert texts(model.requests[1]["contents"])[::2] == ["q", "q"]


def test_imported_turns_count(here: Send, model: Model) -> None:
    """For --if-turns they are turns like others: the message that stands there was answered."""
    write("a", header("gemini-test"), *(record | {"imported": True} for record in turn(1)))
    done = here.send("question 1", "--if-turns", "0")
    assert (done.json["sent"], done.json["text"]) == (False, "answer 1")
    assert here.send("another", "--if-turns", "0").status == 14
    assert here.send("q", "--if-turns", "1").json["sent"] is True
    assert len(model.requests) == 1


def test_an_imported_answer_without_a_finish_reason(here: Send, model: Model) -> None:
    """What is in the history is an answer, whatever its form: histories of other programs say not how it ended."""
    Path("h.json").write_text(json.dumps(contents("hello", "hi there")))
    assert here("new", "-s", "b", "--history", "h.json").status == 0
    done = here("send", "-n", "-s", "b", "hello", "--if-turns", "0")
    assert (done.status, done.json["text"], done.json["status"], done.json["sent"]) == (0, "hi there", "ok", False)


def test_turns_that_are_missing(here: Send, model: Model) -> None:
    """A message that follows more turns than there are is not sent: one before it is missing."""
    done = here.send("q", "--if-turns", "1")
    assert (done.status, model.requests) == (14, [])
    assert "the history has 0 turns, not 1" in done.err


def test_a_turn_in_doubt_before_it(here: Send) -> None:
    """Another message than the one in doubt is none of its tries."""
    write("a", header("gemini-test"), asked(1, "q", model="gemini-test"), failed(1, "unknown"))
    assert here.send("another", "--if-turns", "0").json["sent"] is True


def test_max_turns(here: Send, model: Model) -> None:
    """An answer that is there is printed however long the history is."""
    here.send("q", "--key", "k")
    assert here.send("q", "--key", "k", "--max-turns", "1").status == 0
    assert here.send("q", "--key", "k2", "--max-turns", "1").status == 65
    assert len(model.requests) == 1


def test_dry_run(here: Send, model: Model) -> None:
    """It shows the request, or that there is none because the message was answered."""
    shown = here.send("q", "--key", "k", "--dry-run").json
    assert texts(shown["body"]["contents"]) == ["q"]
    here.send("q", "--key", "k")
    again = here.send("q", "--key", "k", "--dry-run").json
    assert list(again) == list(shown)
    assert (again["body"], again["notes"]) == (None, ["answered before, as turn 1: nothing is sent"])
    assert len(model.requests) == 1


def test_an_answer_brought_back_under_a_newer_try(here: Send, model: Model) -> None:
    """The answer in the history counts, not what was tried while it was out of it."""
    content = under("k", asked(1, "q", model="gemini-test"), told(1, "A"))
    tried = under("k", asked(2, "q", model="gemini-test"), failed(2, "unknown"))
    write("a", header("gemini-test"), *content, records.rewind([1]), *tried, records.undo([1]))
    assert here.send("q", "--key", "k").json["text"] == "A"
    assert model.requests == []


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--key", ""], 2),
        (["--key", "k" * 257], 2),
        (["--key", "k", "--if-turns", "0"], 2),
        (["--if-turns", "-1"], 2),
        (["--key", "k", "--on-unknown", "x"], 2),
        (["--key", "\udcff"], 65),
    ],
    ids=["empty", "long", "both", "negative", "on-unknown", "not-utf-8"],
)
def test_options_that_are_none(here: Send, model: Model, options: list[str], status: int) -> None:
    """Nothing is sent with a key that is none."""
    done = here.send("q", *options)
    assert (done.status, done.out, model.requests) == (status, "", [])


def test_the_longest_key(here: Send) -> None:
    """A key may have 256 characters, any of them."""
    key = "\n-é" + "k" * 253
    assert here.send("q", "--key", key).json["sent"] is True
    assert here.send("q", "--key", key).json["sent"] is False
