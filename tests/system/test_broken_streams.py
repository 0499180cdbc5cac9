"""Streams that break, as the command line sees it: after a checkpoint the answer goes on, before one it is in doubt."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Cut, Reply
from tests.builders import checkpoint, chunk, header, sse, streaming, write_session
from tests.support import Gemcli, InProcess, Model

WORDS = ["One ", "two ", "three ", "four ", "five."]
WHOLE = "".join(WORDS)


def event(number: int) -> Any:
    """The event with word number 0, 1, …: after every second word is a checkpoint, after the last one the end."""
    if number == len(WORDS) - 1:
        return chunk(WORDS[number], finish="STOP")
    return checkpoint(f"/+{number + 1}=", WORDS[number]) if number % 2 else chunk(WORDS[number])


def said(first: int) -> list[bytes]:
    """The events from word number `first` on, each with its bytes."""
    return [sse(event(number)) for number in range(first, len(WORDS))]


@dataclass
class Teller(Model):
    """A model that says the words, from where the token says; each of its streams may be `cut` by steps of a reply.

    A cut is how many bytes of the stream are said, and what comes then; after the last cut every stream is whole.
    """

    cuts: list[tuple[int, tuple[Any, ...]]] = field(default_factory=list)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        self.requests.append(request)
        first = int(request.get("continuationToken", "/+0=").strip("/+="))
        stream = b"".join(said(first))
        if not self.cuts:
            return streaming(stream)
        size, steps = self.cuts.pop(0)
        return streaming(stream[:size], *steps)


@pytest.fixture
def model() -> Iterator[Teller]:
    """The model, which `here` has as its own."""
    with Teller() as running:
        yield running


def new_session() -> None:
    """The session `s` of the model, without turns."""
    write_session("s", header("gemini-test", backend="gemini"))


def kinds(here: InProcess) -> list[str]:
    """The kinds of the records after the header."""
    return [record["kind"] for record in here.records("s")[1:]]


def heard(events: list[Any]) -> str:
    """The text that a reader of events puts together, who heeds what is repeated."""
    text = ""
    for one in events:
        if one["event"] == "chunk":
            text += one["text"]
        elif one["event"] == "resume":
            text = text[: one["text_length"]]
    return text


SIZE = sum(map(len, said(0)))

ENDINGS: dict[str, tuple[Any, ...]] = {
    "ended": (),
    "error": (sse({"error": {"code": 503, "message": "busy"}}),),
    "html": (sse(b"<html>"),),
    "closed": (Cut("close"),),
    "reset": (0.05, Cut("reset")),
}


@pytest.mark.parametrize(
    ("ending", "step"),
    [(ending, 29) for ending in ENDINGS] + [pytest.param(ending, 1, marks=pytest.mark.torture) for ending in ENDINGS],
)
def test_cut_anywhere(ending: str, step: int, here: InProcess, model: Teller, figures: Callable[..., None]) -> None:
    """Wherever the first stream is cut: after a checkpoint the answer gets whole, and no word of it comes twice."""
    resumed = 0
    for size in range(0, SIZE + 1, step):
        new_session()
        model.requests.clear()
        model.cuts[:] = [(size, ENDINGS[ending])]
        done = here("send", "-s", "s", "--stream", "hello")
        *events, final = done.lines
        arrived = next((place for place, one in enumerate(events) if one["event"] == "resume"), len(events))
        if arrived == len(WORDS):
            assert (done.status, final["text"], kinds(here)) == (0, WHOLE, ["request", "response"])
        elif arrived < 2:
            assert (done.status, len(model.requests), kinds(here)) == (final["exit"], 1, ["request", "failure"])
            assert final["error"]["outcome"] == ("unknown" if size or ending != "error" else "rejected")
        else:
            resumed += 1
            first, then = model.requests
            assert then == first | {"continuationToken": f"/+{arrived // 2 * 2}="}
            assert (done.status, final["text"], final["hops"]) == (0, WHOLE, 2)
            assert kinds(here) == ["request", "response", "continue", "response"]
            assert heard(events) == WHOLE
    figures(f"resumed, {ending}", cuts=SIZE // step + 1, resumed=resumed)
    assert resumed > SIZE / step / 3


def test_each_stream_breaks(here: InProcess, model: Teller) -> None:
    """An answer whose streams all break goes on as long as each brings a checkpoint, also in other commands."""
    new_session()
    after_a_checkpoint = len(b"".join(said(0)[:2])) + 9
    model.cuts[:] = [(after_a_checkpoint, ())] * 2
    done = here("send", "-s", "s", "--max-hops", "1", "hello")
    assert (done.status, done.json["text"], done.json["resumable"]) == (4, "One two ", True)
    (document,) = here.ok("send", "-s", "s", "--continue")
    assert (document["text"], document["hops"]) == (WHOLE, 3)
    assert [sent.get("continuationToken") for sent in model.requests] == [None, "/+2=", "/+4="]
    assert here.ok("history", "-s", "s", "--contents")[1]["parts"] == [{"text": WHOLE}]


def test_a_break_before_the_next_checkpoint(here: InProcess, model: Teller) -> None:
    """A later stream that breaks too early leaves its hop in doubt; the ones before it stay, and can be continued."""
    new_session()
    model.cuts[:] = [(len(b"".join(said(0)[:3])), ()), (10, (Cut("close"),))]
    done = here("send", "-s", "s", "hello")
    assert (done.status, done.json["text"], done.json["resumable"]) == (4, "One two ", True)
    assert kinds(here) == ["request", "response", "continue", "failure"]
    assert here.records("s")[-1]["outcome"] == "unknown"
    done = here("send", "-s", "s", "--continue")
    assert (done.status, done.json["text"], done.json["hops"]) == (0, WHOLE, 2)
    assert [sent.get("continuationToken") for sent in model.requests] == [None, "/+2=", "/+2="]


@pytest.mark.parametrize(("option", "status"), [("--timeout", 0), ("--deadline", 4)])
def test_silence(option: str, status: int, here: InProcess, model: Teller) -> None:
    """A stream that falls silent after a checkpoint goes on after --timeout; after --deadline, when it is asked to."""
    new_session()
    model.cuts[:] = [(len(b"".join(said(0)[:3])), (30.0,))]
    done = here("send", "-s", "s", option, "1", "hello")
    assert (done.status, done.json["text"]) == (status, "One two " if status else WHOLE)
    assert here.records("s")[2]["attempts"][-1]["reason"] == "TIMEOUT"
    if status:
        assert here.ok("send", "-s", "s", "--continue")[0]["text"] == WHOLE


def test_a_signal(gemcli: Gemcli, here: InProcess, model: Teller) -> None:
    """A signal after a checkpoint ends the command with what came up to there on disk; another command goes on."""
    new_session()
    model.cuts[:] = [(len(b"".join(said(0)[:3])), (30.0,))]
    with gemcli.start("send", "-s", "s", "--stream", "hello", env=model.env) as process:
        assert process.stdout
        while json.loads(process.stdout.readline())["text"] != WORDS[2]:
            pass
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    end = here.records("s")[-1]
    assert (end["kind"], end["valid"], end["attempts"][-1]["reason"]) == ("response", True, "INTERRUPTED")
    assert here.ok("send", "-s", "s", "--continue")[0]["text"] == WHOLE
    assert len(model.requests) == 2
