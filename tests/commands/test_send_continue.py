"""`gemcli send --continue`: going on with an answer that was cut off, in another process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Cut, Reply
from tests.builders import CALL, answer, api_error, header, overloaded, unfinished, write_session
from tests.support import Done, InProcess, Model

RESET = Reply(200, {}, (Cut("reset"),))


@pytest.fixture
def here(here: InProcess, model: Model) -> InProcess:
    """The program in this process with a scripted model, and an empty session a; nothing is sent again by itself."""
    write_session("a", header("gemini-test") | {"backend": "gemini"})
    here.env["GEMCLI_SEND_RETRIES"] = "0"
    return here


def cut_off(here: InProcess, model: Model, *options: str, finish: str = "CONTINUATION") -> Done:
    """Ask for an answer that is cut off after its first hop."""
    model.script(unfinished("Once", token="t1", finish=finish), overloaded())
    done = here("send", "-n", "-s", "a", "A tale", "--max-hops", "2", *options)
    model.replies.clear()
    return done


def go_on(here: InProcess, *options: str) -> Done:
    """Go on with the answer."""
    return here("send", "-s", "a", "--continue", *options)


def test_continue(here: InProcess, model: Model) -> None:
    """The hint of an answer that was cut off is the command that goes on with it, and prints all of it."""
    done = cut_off(here, model)
    document = done.json
    assert (done.status, document["status"], document["reason"]) == (4, "incomplete", "INCOMPLETE")
    assert (document["text"], document["hops"], document["resumable"], document["attempts"]) == ("Once", 1, True, 2)
    hint = done.err.splitlines()[-1].partition("hint: ")[2]
    assert hint == "gemcli send -s a --continue"
    model.script(unfinished(" upon", token="t2"), answer(" a time"))
    done = here(*hint.split()[1:])
    document = done.json
    assert (done.status, done.err, document["text"], document["sent"]) == (0, "", "Once upon a time", True)
    assert (document["turn"], document["hops"], document["resumable"]) == (1, 3, False)
    assert (document["usage_metadata"]["total_token_count"], document["context_token_count"]) == (21, 3)
    assert document["totals"]["total_token_count"] == 21
    assert [request.get("continuationToken") for request in model.requests] == [None, "t1", "t1", "t2"]


def test_the_request_is_as_it_was(here: InProcess, model: Model) -> None:
    """Model and settings are those of the message, whatever the environment says now."""
    cut_off(here, model, "--model", "gemini-other", "--temperature", "0.5")
    here.env["GEMCLI_SEND_TEMPERATURE"] = "1"
    here.env["GEMCLI_SEND_SYSTEM"] = "Be brief"
    here.env["GEMCLI_SEND_MODEL"] = "gemini-newest"
    here.env["GEMCLI_SEND_ONCE"] = "chapter"
    go_on(here)
    assert model.requests[2] == model.requests[0] | {"continuationToken": "t1"}
    assert "gemini-other:" in model.targets[2]
    assert "config" not in here.records("a")[-2]


# What there is to continue


def test_max_tokens(here: InProcess, model: Model) -> None:
    """An answer that used up its tokens goes on with more, for all of its hops, and is whole in the history."""
    done = cut_off(here, model, "--max-output-tokens", "100", finish="MAX_TOKENS")
    assert (done.status, done.json["resumable"]) == (4, True)
    assert "hint: gemcli send -s a --continue --max-output-tokens 200\n" in done.err
    for options in ([], ["--max-output-tokens", "100"]):
        refused = go_on(here, *options)
        assert (refused.status, refused.out, len(model.requests)) == (2, "", 1)
        assert "--max-output-tokens 200" in refused.err
    model.script(unfinished(" upon", token="t2"), answer(" a time"))
    assert go_on(here, "--max-output-tokens", "200").json["text"] == "Once upon a time"
    for request in model.requests[1:]:
        assert request["generationConfig"] == {"maxOutputTokens": 200}
    again = [record["config"] for record in here.records("a") if record["kind"] == "continue"]
    assert again == [{"generationConfig": {"maxOutputTokens": 200}}] * 2


def test_more_tokens_are_for_the_turn(here: InProcess, model: Model) -> None:
    """What follows in the turn has the larger limit, too, and so has what is exported."""
    cut_off(here, model, "--max-output-tokens", "100", finish="MAX_TOKENS")
    model.script(answer(CALL), answer("The end"))
    assert go_on(here, "--max-output-tokens", "200").status == 5
    assert here("export", "request", "-s", "a").json["generationConfig"] == {"maxOutputTokens": 200}
    here.ok("send", "-s", "a", "--response", "f=1")
    assert model.requests[-1]["generationConfig"] == {"maxOutputTokens": 200}
    assert "maxOutputTokens: 200" in here("export", "script", "-s", "a").out


def test_max_tokens_of_thoughts(here: InProcess, model: Model) -> None:
    """Where thoughts took all tokens, there is no answer yet; they are not paid for again."""
    model.script(unfinished({"text": "hm", "thought": True}, token="t1", finish="MAX_TOKENS"), answer("Once"))
    done = here("send", "-n", "-s", "a", "A tale", "--max-output-tokens", "100")
    assert (done.status, done.json["reason"], done.json["resumable"]) == (3, "MAX_TOKENS_EMPTY", True)
    assert "hint: gemcli send -s a --continue --max-output-tokens 200\n" in done.err
    done = go_on(here, "--max-output-tokens", "200")
    assert (done.status, done.json["text"], done.json["totals"]["turns"]) == (0, "Once", 1)


def test_the_limit_stays_in_another_process(here: InProcess, model: Model) -> None:
    """A hop that failed with a larger limit is asked for with that one again."""
    cut_off(here, model, "--max-output-tokens", "100", finish="MAX_TOKENS")
    model.script(overloaded(), answer(" upon a time"))
    assert go_on(here, "--max-output-tokens", "200").status == 75
    assert go_on(here).status == 0
    assert model.requests[-1]["generationConfig"] == {"maxOutputTokens": 200}


def test_the_limit_cannot_change_in_the_middle(here: InProcess, model: Model) -> None:
    """Only an answer that has used it up goes on with another limit."""
    cut_off(here, model, "--max-output-tokens", "100")
    refused = go_on(here, "--max-output-tokens", "200")
    assert (refused.status, len(model.requests)) == (2, 2)
    assert "hint: gemcli send -s a --continue\n" in refused.err
    model.script(answer(" upon a time"))
    assert go_on(here, "--max-output-tokens", "100").status == 0


def test_a_hop_in_doubt(here: InProcess, model: Model) -> None:
    """A hop that may have been answered is asked for again, with a note; what is in doubt is counted, too."""
    model.script(unfinished("Once", token="t1"), RESET)
    done = here("send", "-n", "-s", "a", "A tale")
    assert (done.status, done.json["resumable"]) == (4, True)
    model.script(RESET)
    done = go_on(here)
    assert (done.status, done.out) == (75, "")
    assert "hint: go on with the answer: gemcli send -s a --continue\n" in done.err
    model.script(answer(" upon a time"))
    done = go_on(here)
    assert (done.status, done.json["text"], done.json["totals"]["requests"]) == (0, "Once upon a time", 4)
    assert done.err == "gemcli: note: whether hop 2 of the answer was answered is unknown; it is asked for again\n"


def test_a_message_instead(here: InProcess, model: Model) -> None:
    """A message after an answer that is not finished gives it up, with a note that names the other way."""
    cut_off(here, model)
    model.script(answer("Well"))
    done = here("send", "-n", "-s", "a", "Another")
    note = "the answer of turn 1 is not finished, and this message gives up the rest"
    command = "gemcli send -s a --continue"
    assert (done.status, done.err) == (0, f"gemcli: note: {note}; {command} would have asked for it\n")


NOTHING: dict[str, tuple[list[Any], str]] = {
    "nothing-sent": ([], "NOTHING_TO_CONTINUE"),
    "complete": ([answer("A")], "NOTHING_TO_CONTINUE"),
    "complete-with-token": ([unfinished("A", token="t", finish="STOP")], "NOTHING_TO_CONTINUE"),
    "blocked": ([unfinished("A", token="t", finish="SAFETY")], "NOTHING_TO_CONTINUE"),
    "in-doubt": ([RESET], "NOTHING_TO_CONTINUE"),
    "followed": ([unfinished("A", token="t"), overloaded(), answer("B")], "NOTHING_TO_CONTINUE"),
    "call": ([answer(CALL)], "OPEN_CALL"),
}
"""What the model answered, and why there is nothing to go on with."""


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_continue(name: str, here: InProcess, model: Model) -> None:
    """Nothing is sent and nothing printed; the hint says what to do instead."""
    replies, reason = NOTHING[name]
    model.script(*replies)
    for _ in range(min(len(replies), 2)):
        here("send", "-n", "-s", "a", "A tale")
    before = here.session("a").read_bytes(), len(model.requests)
    done = go_on(here, "--errors", "json")
    assert (done.status, done.out, done.error["reason"]) == (65, "", reason)
    wanted = "gemcli send -s a --response f=JSON" if reason == "OPEN_CALL" else "gemcli history -s a --last"
    assert wanted in done.error["hint"]
    assert (here.session("a").read_bytes(), len(model.requests)) == before


def test_nothing_new(here: InProcess, model: Model) -> None:
    """If the first hop fails, the error is that of the hop: what there was is on disk, and nothing is printed."""
    cut_off(here, model)
    model.script(overloaded())
    assert (go_on(here).status, go_on(here, "--dry-run").json["body"]["continuationToken"]) == (75, "t1")
    model.script(api_error(400, "INVALID_ARGUMENT", "the token is too old"))
    done = go_on(here)
    assert (done.status, done.out) == (65, "")
    assert "too old" in done.err
    assert "send 'continue'" in done.err
    turn = json.loads(here("history", "-s", "a").out)
    assert (turn["text"], turn["state"], turn["resumable"]) == ("Once", "answered", False)
    # Whoever knows better may try again.
    model.script(answer(" upon a time"))
    assert go_on(here).status == 0


# What it prints


def streamed(out: str) -> str:
    """The text of a stream of events."""
    return "".join(json.loads(line)["text"] for line in out.splitlines()[:-1]) + "\n"


FORMS: dict[str, tuple[list[str], Callable[[str], str]]] = {
    "text": (["--text"], str),
    "stream-text": (["--text", "--stream"], str),
    "stream": (
        ["--stream"],
        lambda out: "".join(json.loads(line).get("text") for line in out.splitlines()[:-1]) + "\n",
    ),
}
"""Options, and how the text is read that they print."""


@pytest.mark.parametrize("form", FORMS)
def test_all_of_the_answer_is_printed(form: str, here: InProcess, model: Model) -> None:
    """What there was, and what is new."""
    options, read = FORMS[form]
    cut_off(here, model)
    model.script(answer(" upon a time"))
    done = go_on(here, *options)
    assert (done.status, read(done.out)) == (0, "Once upon a time\n")


def test_allowed(here: InProcess, model: Model) -> None:
    """--allow incomplete takes an answer that was cut off; the document says what it is."""
    done = cut_off(here, model, "--allow", "incomplete")
    assert (done.status, done.err, done.json["status"]) == (0, "", "incomplete")


# What does not go with it


@pytest.mark.parametrize(
    "words",
    [
        ["Hello"],
        ["--response", "f=1"],
        ["--once", "k"],
        ["--create"],
        ["--skip-empty"],
        ["-n"],
        ["--max-turns", "3"],
        ["--model", "m"],
        ["--temperature", "1"],
        ["--config", "f.yaml"],
    ],
    ids=lambda words: words[0],
)
def test_what_excludes_it(words: list[str], here: InProcess, model: Model) -> None:
    """An answer goes on as it began."""
    done = go_on(here, *words)
    assert (done.status, done.out, model.requests) == (2, "", [])
    assert "--continue" in done.err
    assert "exclude each other" in done.err


# Sending once


def test_once_goes_on(here: InProcess, model: Model) -> None:
    """The same command again goes on with an answer that is not finished, and then prints it as it is."""
    cut_off(here, model, "--once", "k")
    model.script(answer(" upon a time"))
    done = here("send", "-n", "-s", "a", "A tale", "--once", "k")
    assert (done.status, done.json["text"], done.json["sent"]) == (0, "Once upon a time", True)
    assert model.requests[-1]["continuationToken"] == "t1"
    again = here("send", "-n", "-s", "a", "A tale", "--once", "k")
    assert again.json == done.json | {"sent": False}
    assert len(model.requests) == 3


def test_once_with_a_hop_in_doubt(here: InProcess, model: Model) -> None:
    """It is in doubt like a message, and asked for again only if the user says so."""
    model.script(unfinished("Once", token="t1"), RESET)
    once = ["send", "-n", "-s", "a", "A tale", "--once", "k"]
    here(*once)
    assert (here(*once).status, len(model.requests)) == (13, 2)
    model.script(answer(" upon a time"))
    done = here(*once, "--on-unknown", "resend")
    assert (done.status, done.err, done.json["text"]) == (0, "", "Once upon a time")
    assert model.requests[-1]["continuationToken"] == "t1"


def test_once_with_another_message(here: InProcess, model: Model) -> None:
    """A name that was given to an answer that is not finished stands for its message."""
    cut_off(here, model, "--once", "k")
    assert here("send", "-n", "-s", "a", "Another", "--once", "k").status == 14


def test_once_with_a_token_that_is_refused(here: InProcess, model: Model) -> None:
    """What the API refused is not asked for again by itself."""
    model.script(unfinished("Once", token="t1"), api_error(400, "INVALID_ARGUMENT", "no"))
    once = ["send", "-n", "-s", "a", "A tale", "--once", "k"]
    assert here(*once).json["resumable"] is False
    again = here(*once)
    assert (again.status, again.json["text"], again.json["sent"], len(model.requests)) == (4, "Once", False, 2)


# Signals


def test_a_signal_between_two_hops(here: InProcess, model: Model) -> None:
    """What was answered is on disk, nothing more is asked for, and the hint says how to go on."""
    model.during = lambda number: signal.raise_signal(signal.SIGINT)
    model.script(unfinished("Once", token="t1"), answer(" upon a time"))
    done = here("send", "-n", "-s", "a", "A tale")
    assert (done.status, done.out, len(model.requests)) == (130, "", 1)
    assert "gemcli send -s a --continue" in done.err
    model.during = None
    assert go_on(here).json["text"] == "Once upon a time"
