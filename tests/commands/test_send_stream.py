"""`gemcli send --stream`: the events and their keys, and readers that leave, stall or stop early."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from gemcli.simulator.simulated_api import json_reply
from tests.builders import CALL, answer, header, records_of, session_file, sse, streaming, unfinished, write_session
from tests.support import Gemcli, InProcess, Model

pytestmark = pytest.mark.usefixtures("collected")


@pytest.fixture(autouse=True)
def session() -> None:
    """An empty session `s`."""
    write_session("s", header("gemini-test") | {"backend": "gemini"})


def said(*parts: Any, finish: str | None = None) -> Any:
    """A chunk with these Parts (text, or whole Parts)."""
    return answer(*parts, finish=finish)


LONG = [said("0123456789" * 800) for _ in range(40)]
"""Chunks of more text than any pipe holds."""


# Events


def test_events(here: InProcess, model: Model) -> None:
    """Each kind of event has its keys; together they say what the final event says."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    busy = json_reply({"error": {"code": 503, "message": "busy"}}, 503, {"retry-after": "0"})
    parts = [{"text": "hm", "thought": True}, "Hel", "lo", {"text": "", "thoughtSignature": "c2ln"}, image, CALL]
    model.script(busy, streaming(sse(*map(said, parts), said(finish="STOP"))))
    done = here("send", "-s", "s", "--stream", "--full", "hello", "--allow", "function_call", "--retries", "1")
    *events, final = [json.loads(line) for line in done.out.splitlines()]
    assert (done.status, done.err) == (0, "")
    assert events[0].keys() == {"event", "time", "seconds", "reason", "message"}
    assert (events[0]["event"], events[0]["reason"]) == ("wait", "UNAVAILABLE")
    assert events[1:] == [
        {"event": "thought", "text": "hm"},
        {"event": "chunk", "text": "Hel"},
        {"event": "chunk", "text": "lo"},
        {"event": "part", "part": image},
        {"event": "call", "function_call": CALL["functionCall"]},
    ]
    assert (final["event"], final["text"], final["attempts"]) == ("final", "Hello", 2)
    assert final["function_calls"] == [CALL["functionCall"]]
    assert final["parts"] == [parts[0], {"text": "Hello"}, *parts[3:]]
    assert (final["status"], final["exit"], final["error"], final["saved"]) == ("function_call", 0, None, True)


def test_several_parts_in_one_chunk(here: InProcess, model: Model) -> None:
    """Each Part of a chunk is an event of its own, in order."""
    model.script(streaming(sse(said({"text": "a", "thought": True}, "b", "", "c", finish="STOP"))))
    events = here.ok("send", "-s", "s", "--stream", "hello")
    assert [(event["event"], event["text"]) for event in events] == [
        ("thought", "a"),
        ("chunk", "b"),
        ("chunk", "c"),
        ("final", "bc"),
    ]


# Failures


# Text


@pytest.mark.parametrize(
    ("pieces", "out"),
    [
        (["Hel", "lo"], "Hello\n"),
        (["Hello\n"], "Hello\n"),
        (["a\n", "b"], "a\nb\n"),
        (["a\n\n"], "a\n\n"),
        ([{"text": "hm", "thought": True}, "é漢"], "é漢\n"),
        (["a", CALL], "a\n"),
        ([CALL], ""),
    ],
    ids=["joined", "newline", "lines", "newlines", "thought", "call", "call-only"],
)
def test_text(pieces: list[Any], out: str, here: InProcess, model: Model) -> None:
    """--stream --text prints the text of the answer and nothing else, the same as --text alone.

    A note names the call that the text does not show, as no error does.
    """
    note = "gemcli: note: not shown as text: the call of f; gemcli history -s {} --last --full shows it\n"
    err = note if CALL in pieces else ""
    allow = ["--allow", "function_call"]
    model.script(streaming(sse(*map(said, pieces), said(finish="STOP"))))
    done = here("send", "-s", "s", "--stream", "--text", "hello", *allow)
    assert (done.status, done.out, done.err) == (0, out, err.format("s"))
    here.ok("new", "-s", "t")
    model.script(answer(*pieces))
    done = here("send", "-s", "t", "--text", "hello", *allow)
    assert (done.status, done.out, done.err) == (0, out, err.format("t"))


def test_text_comes_as_it_comes(gemcli: Gemcli, model: Model) -> None:
    """The first text is there while the model is still at the rest."""
    model.script(streaming(sse(said("first")), 3.0, sse(said("last", finish="STOP"))))
    with gemcli.start("send", "-s", "s", "--stream", "--text", "hello", env=model.env) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"first"
        assert records_of()[-1]["kind"] == "request"
        assert process.communicate(timeout=20) == (b"last\n", b"")
    assert process.returncode == 0


# A stream that breaks, and goes on


BROKEN = streaming(sse(unfinished("Once", token="t1", finish=None), said(" up")))


def test_resumed_events(here: InProcess, model: Model) -> None:
    """An event says how much of the text counts; the rest of it is what follows."""
    model.script(BROKEN, answer(" upon a time"))
    *events, final = here.ok("send", "-s", "s", "--stream", "hello")
    assert [event.get("text") for event in events] == ["Once", " up", None, " upon a time"]
    assert (events[2]["event"], events[2]["hop"], events[2]["text_length"]) == ("resume", 2, 4)
    text = ""
    for event in events:
        text = text[: event["text_length"]] if event["event"] == "resume" else text + event["text"]
    assert final["text"] == text == "Once upon a time"
    assert (final["hops"], final["exit"]) == (2, 0)


def test_resumed_text(here: InProcess, model: Model) -> None:
    """What is repeated begins on a line of its own, and a note says so."""
    model.script(BROKEN, answer(" upon a time"))
    done = here("send", "-s", "s", "--stream", "--text", "hello")
    assert (done.status, done.out) == (0, "Once up\n upon a time\n")
    note = "the answer broke off; its first 4 characters are kept, and the rest comes again"
    assert done.err == f"gemcli: note: {note}\n"


@pytest.mark.parametrize("form", ["--text", "--json"])
def test_a_whole_answer_is_not_repeated(form: str, here: InProcess, model: Model) -> None:
    """Where nothing was printed yet, nothing is said."""
    model.script(BROKEN, answer(" upon a time"))
    done = here("send", "-s", "s", form, "hello")
    assert (done.status, done.err) == (0, "")
    text = done.out if form == "--text" else done.json["text"] + "\n"
    assert text == "Once upon a time\n"


# The reader


def test_final_event_is_printed_after_the_record(gemcli: Gemcli, model: Model) -> None:
    """When a reader sees the final event, the answer is on the disk and the session is free."""
    model.script(streaming(sse(said("a")), 0.5, sse(said("b", finish="STOP"))))
    with gemcli.start("send", "-s", "s", "--stream", "hello", env=model.env) as process:
        assert process.stdout is not None
        seen = [(json.loads(line)["event"], records_of()[-1]["kind"]) for line in process.stdout]
        assert process.wait(20) == 0
    assert seen[0] == ("chunk", "request")
    assert seen[-1] == ("final", "response")


@pytest.mark.parametrize("as_text", [False, True], ids=["events", "text"])
def test_reader_goes_away(as_text: bool, gemcli: Gemcli, model: Model) -> None:
    """When the reader leaves, the rest is still received and recorded; the status is 141, and nothing is said."""
    model.script(streaming(sse(said("a\n")), 0.5, sse(*LONG, said("z", finish="STOP"))))
    words = ["send", "-s", "s", "--stream", *["--text"] * as_text, "hello"]
    with gemcli.start(*words, env=model.env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""
    response = records_of()[-1]
    assert (response["kind"], response["valid"]) == ("response", True)
    (part,) = response["answer"]["candidates"][0]["content"]["parts"]
    assert len(part["text"]) == 3 + 40 * 8000


def stuck(gemcli: Gemcli, model: Model, *words: str) -> subprocess.Popen[Any]:
    """A stream whose reader never reads, with more in it than the pipe holds."""
    model.script(streaming(sse(*LONG, said("z", finish="STOP"))))
    return gemcli.start("send", "-s", "s", "--stream", *words, "hello", env=model.env)


def until_recorded() -> None:
    """Wait for the record of the answer, with its newline."""
    end = time.monotonic() + 30
    while session_file("s").read_bytes().count(b"\n") < 3:
        assert time.monotonic() < end, "it was not recorded"
        time.sleep(0.02)


def assert_whole_answer() -> None:
    """The last record is the whole long answer."""
    response = records_of()[-1]
    assert (response["kind"], response["valid"]) == ("response", True)
    assert len(response["answer"]["candidates"][0]["content"]["parts"][0]["text"]) == 1 + 40 * 8000


def test_reader_that_never_reads(gemcli: Gemcli, model: Model) -> None:
    """A reader that never reads cannot keep the command beyond its deadline, nor the answer from the disk: 74."""
    with stuck(gemcli, model, "--deadline", "8", "--errors", "json") as process:
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(20) == 74
    assert_whole_answer()
    error = json.loads(err.splitlines()[-1])
    assert (error["reason"], error["exit"]) == ("NOT_PRINTED", 74)
    assert "gemcli history -s s --last" in error["hint"]


def test_reader_that_reads_late_does_not_hold_up_the_record(gemcli: Gemcli, model: Model) -> None:
    """An answer is on the disk when it is whole, however long its reader takes; then the reader gets all of it."""
    with stuck(gemcli, model, "--deadline", "60") as process:
        until_recorded()
        assert_whole_answer()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["event"] == "final"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_while_nobody_reads(number: signal.Signals, gemcli: Gemcli, model: Model) -> None:
    """A signal ends a stream that nobody reads, and the answer that had arrived is recorded whole."""
    with stuck(gemcli, model) as process:
        until_recorded()
        process.send_signal(number)
        assert process.wait(20) == 128 + number
        process.communicate()
    assert_whole_answer()


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
def test_full_stdout_of_an_incomplete_answer(stream: list[str], gemcli: Gemcli, model: Model) -> None:
    """Status 4 means recorded and printed: an incomplete answer that could not be printed is 74, streamed or not."""
    body = said("a", finish="MAX_TOKENS")
    model.script(streaming(sse(body)) if stream else body)
    with open("/dev/full", "wb") as full:
        done = gemcli("send", "-s", "s", *stream, "hello", env=model.env, stdout=full)
    assert done.status == 74
    assert records_of()[-1]["kind"] == "response"


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
def test_reader_of_an_incomplete_answer_is_gone(stream: list[str], gemcli: Gemcli, model: Model) -> None:
    """An incomplete answer whose reader left before the end is 141, streamed or not."""
    body = said("a", finish="MAX_TOKENS")
    model.script(streaming(0.5, sse(body)) if stream else body)
    with gemcli.start("send", "-s", "s", *stream, "hello", env=model.env) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr is not None
        process.stderr.read()
    assert records_of()[-1]["kind"] == "response"
