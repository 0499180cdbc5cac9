"""Streamed answers over real HTTP, cut at any byte and ended anyhow; the forms of streams are rows of `conditions`."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google import genai

from gemcli.api.attempt import Attempt
from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Cut, Reply
from tests.builders import answer, checkpoint, chunk, contents, lasting, records_of, sse, streaming
from tests.support import CANARY, InProcess, Model, clients_collected
from tests.system import Listener, listening

BODY = {"contents": contents("hello")}


pytestmark = pytest.mark.usefixtures("collected")


class Way:
    """A way to the model: `way()` streams one answer.

    `heard` are the chunks that were told, and `broken` is why what came is only what was before a checkpoint.
    """

    def __init__(self, environ: Mapping[str, str], body: dict[str, Any] = BODY) -> None:
        self.body = body
        self.gemini = Gemini(endpoint_for(Backend("gemini"), environ, lambda note: None))
        self.heard: list[Any] = []
        self.broken: GemcliError | None = None

    def __call__(self, seconds: float = 20) -> Any:
        """Stream one answer: the answer, or the error."""
        self.heard.clear()
        attempt = Attempt()
        try:
            return self.gemini.ask("gemini-test", self.body, lasting(seconds), self.heard.append, attempt)
        except GemcliError as error:
            return error
        finally:
            self.broken = attempt.broken

    def failed(self, seconds: float = 20) -> GemcliError:
        """The error of one streamed answer."""
        error = self(seconds)
        assert isinstance(error, GemcliError)
        return error


@pytest.fixture
def way(model: Model) -> Way:
    """A way to the scripted model."""
    return Way(model.env)


# Cut at every byte

EVENTS = [
    chunk({"text": "é", "thought": True}),
    chunk("a"),
    chunk("b"),
    chunk({"text": "", "thoughtSignature": "!"}),
    chunk(finish="STOP", n=1),
]
_PARTS = [EVENTS[0]["candidates"][0]["content"]["parts"][0], {"text": "a"}, {"text": "ab"}]
_PARTS.append({"text": "", "thoughtSignature": "!"})
JOINED = [None, chunk(_PARTS[0]), chunk(*_PARTS[:2]), chunk(_PARTS[0], _PARTS[2]), chunk(_PARTS[0], *_PARTS[2:])]
JOINED.append(chunk(_PARTS[0], *_PARTS[2:], finish="STOP", n=1))
"""What the first so many events make, joined by hand."""


class Cuttable:
    """A stream of events: `joined` is what the first so many make, `checkpoints` are what counts after a break."""

    def __init__(self, events: list[Any], joined: list[Any], checkpoints: list[Any] | None = None) -> None:
        self.events, self.joined, self.checkpoints = events, joined, checkpoints or [None] * len(joined)
        self._frames = [
            b"data:" + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() for event in events
        ]
        self.bytes = b"".join(frame + b"\r\n\r\n" for frame in self._frames)

    def arrived(self, size: int, *, ended: bool) -> int:
        """How many events are in the first so many bytes; at a clean end the last one needs no blank line."""
        tail = b"" if ended else b"\r\n\r\n"
        begun = [b"\r\n\r\n".join(self._frames[: number + 1]) for number in range(len(self._frames))]
        return sum(size >= len(whole + tail) for whole in begun)


PLAIN = Cuttable(EVENTS, JOINED)
TWO, FOUR = checkpoint("/+8=", "ab"), checkpoint("t", "abcd", n=2)
MARKED = Cuttable(
    [chunk("a"), checkpoint("/+8=", "b"), chunk("c", n=1), checkpoint("t", "d", n=2), checkpoint("u", finish="STOP")],
    [None, chunk("a"), TWO, checkpoint("/+8=", "abc", n=1), FOUR, checkpoint("u", "abcd", finish="STOP", n=2)],
    [None, None, TWO, TWO, FOUR, None],
)
CUTTABLE = {"plain": PLAIN, "checkpoints": MARKED}


ENDINGS: dict[str, tuple[Any, ...]] = {
    "clean": (),
    "close": (Cut("close"),),
    "reset": (0.05, Cut("reset")),
    "stall": (60.0,),
}
REASON = {"clean": "STREAM_CUT", "close": "CONNECTION_LOST", "reset": "CONNECTION_LOST", "stall": "TIMEOUT"}


def cut_stream(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """A model that says the first so many bytes of a stream, and ends it in the way that the message names."""
    name, size, ending = json.loads(body)["contents"][0]["parts"][0]["text"].split()
    return streaming(CUTTABLE[name].bytes[: int(size)], *ENDINGS[ending])


@pytest.mark.parametrize("name", CUTTABLE)
@pytest.mark.parametrize("ending", [
    "clean",
    *(pytest.param(ending, marks=pytest.mark.torture) for ending in ("close", "reset", "stall")),
])  # fmt: skip
def test_every_byte_of_a_stream(ending: str, name: str, model: Model, figures: Callable[..., None]) -> None:
    """Cut at any byte in any way, a stream is an answer if its finish reason arrived; else a failure that keeps it.

    It is an answer too up to its newest checkpoint, and not a word further.
    """
    stream = CUTTABLE[name]

    def wrong_at(size: int) -> str | None:
        way = Way(env, {"contents": [user_text(f"{name} {size} {ending}")]})
        result = way(3 if ending == "stall" else 60)
        most, whole = stream.arrived(size, ended=ending == "clean"), len(way.heard)
        # A reset may take away what nobody has read yet.
        right = way.heard == stream.events[:whole] and (whole <= most if ending == "reset" else whole == most)
        if whole == len(stream.events):
            right = right and result == stream.joined[-1] and way.broken is None
        elif checkpoint := stream.checkpoints[whole]:
            right = right and result == checkpoint and failed_well(way.broken, size, whole)
        else:
            right = right and way.broken is None and failed_well(result, size, whole)
        return None if right else f"{size}: {whole} of {most} events, {result!r}"

    def failed_well(error: object, size: int, whole: int) -> bool:
        # Of nothing, or of "dat", nobody can say that it was a stream.
        not_known = ending == "clean" and size <= len(b"data:")
        reason = "BAD_RESPONSE" if not_known else REASON[ending]
        if not isinstance(error, GemcliError) or (error.outcome, error.reason) != ("unknown", reason):
            return False
        return error.partial == stream.joined[whole] if whole else not isinstance(error.partial, dict)

    # The limit of a stall is waited for by many at once.
    with serve(cut_stream) as server, ThreadPoolExecutor(32 if ending == "stall" else 4) as pool:
        env = model.env | {"GOOGLE_GEMINI_BASE_URL": server.url}
        wrong_at(len(stream.bytes))  # loads the SDK
        with clients_collected():
            wrong = [told for told in pool.map(wrong_at, range(len(stream.bytes) + 1)) if told]
    figures(f"stream cut, {name}, {ending}", bytes=len(stream.bytes), wrong=len(wrong))
    assert not wrong, "\n".join(wrong)


# Broken before and after a checkpoint

BREAKS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "ended": ("STREAM_CUT", ()),
    "ended-in-an-event": ("STREAM_CUT", (b'data: {"candi',)),
    "closed": ("CONNECTION_LOST", (Cut("close"),)),
    "closed-in-an-event": ("CONNECTION_LOST", (b"data: {", Cut("close"))),
    "reset": ("CONNECTION_LOST", (0.05, Cut("reset"))),
    "error": ("STREAM_CUT", (sse({"error": {"code": 503, "message": "busy"}}),)),
    "error-without-code": ("STREAM_CUT", (sse({"error": "busy"}),)),
    "html": ("BAD_RESPONSE", (sse(b"<html>"),)),
    "null": ("BAD_RESPONSE", (sse(b"null"),)),
    "odd-candidates": ("BAD_RESPONSE", (sse({"candidates": "nope"}),)),
    "silent": ("TIMEOUT", (30.0,)),
    "deadline": ("TIMEOUT", (30.0,)),
}


@pytest.mark.parametrize(("name", "reason", "steps"), [(name, *row) for name, row in BREAKS.items()], ids=BREAKS)
def test_breaks(name: str, reason: str, steps: tuple[Any, ...], way: Way, model: Model) -> None:
    """However a stream breaks: after a checkpoint it is an answer up to there, before one a failure that keeps it."""
    slow = reason == "TIMEOUT"
    body = sse(chunk("a", responseId="r"), checkpoint("/+8=", "b"), chunk("c", responseId="r2"))
    model.script(streaming(body, *steps), streaming(sse(chunk("a"), chunk("c")), *steps))
    limits = Limits(60, time.monotonic() + 1.5) if name == "deadline" else lasting(1 if slow else 20)
    attempt, heard = Attempt(), list[Any]()
    assert way.gemini.ask("gemini-test", BODY, limits, heard.append, attempt) == checkpoint(
        "/+8=", "ab", responseId="r"
    )
    assert len(heard) == 3
    assert attempt.broken
    assert (attempt.broken.reason, attempt.broken.outcome) == (reason, "unknown")
    if not slow:  # which rows of `conditions` are about
        error = way.failed()
        assert (error.reason, error.outcome, error.partial) == (reason, "unknown", chunk("ac"))


def test_too_long_after_a_checkpoint(way: Way, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than any answer is none up to its checkpoint either: more of it would follow."""
    monkeypatch.setattr("gemcli.api.attempt.MAX_ANSWER", 2000)
    model.script(streaming(sse(checkpoint("t", "a"), *[chunk("b" * 100)] * 20)))
    assert way.failed().reason == "ANSWER_TOO_LONG"
    assert way.broken is None


@pytest.mark.parametrize("events", [0, 1, 4, 5])
def test_stall(events: int, way: Way, model: Model) -> None:
    """A stream that falls silent ends with the time limit: an answer if the finish reason was there."""
    way()
    model.script(streaming(sse(*EVENTS[:events]) + b"data: {", 30.0))
    start = time.monotonic()
    if events == 5:
        assert way(1) == JOINED[-1]
    else:
        error = way.failed(1)
        arrived = JOINED[events] if events else "data: {"
        assert (error.reason, error.outcome, error.partial) == ("TIMEOUT", "unknown", arrived)
    assert time.monotonic() - start < 5
    assert way.heard == EVENTS[:events]


def test_drip(way: Way, model: Model) -> None:
    """A stream that drips, one event at a time, is ended by the time limit with what there was."""
    way()
    model.script(streaming(*[step for _ in range(100) for step in (sse(chunk("x")), 0.2)]))
    start = time.monotonic()
    error = way.failed(1)
    assert time.monotonic() - start < 5
    assert (error.reason, error.outcome) == ("TIMEOUT", "unknown")
    assert isinstance(error.partial, dict)
    assert set(error.partial["candidates"][0]["content"]["parts"][0]["text"]) == {"x"}


def test_flood(way: Way) -> None:
    """A stream that comes faster than it can be read is ended by the time limit too."""
    piece = sse(*[{"usageMetadata": {"promptTokenCount": 1}}] * 200)

    def handle(listener: Listener, connection: Any) -> None:
        listener.request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        end = time.monotonic() + 7
        while time.monotonic() < end and not listener.stop.is_set():
            connection.sendall(piece)

    with listening(handle) as listener:
        flooded = Way(listener.env)
        start = time.monotonic()
        error = flooded.failed(1)
        took = time.monotonic() - start
    assert (error.reason, error.outcome) == ("TIMEOUT", "unknown")
    assert took < 4


def test_streamed_as_unstreamed(here: InProcess, model: Model) -> None:
    """The same answer, streamed and not, gives the same record and the same document."""
    body = answer({"text": "well", "thought": True}, "hello there", {"text": "", "thoughtSignature": "c2ln"})
    parts = body["candidates"][0]["content"]["parts"]
    pieces = [parts[0], {"text": "hello "}, {"text": "there"}, parts[2]]
    begun = [answer(piece, finish=None, usageMetadata={"promptTokenCount": 3}) for piece in pieces[:-1]]
    model.script(body, streaming(sse(*begun, answer(pieces[-1]))))
    (whole,) = here.ok("send", "-s", "s", "--create", "one")
    *_, final = here.ok("send", "-s", "s", "--stream", "two")
    own = ("turn", "id", "time", "elapsed_ms", "totals")
    assert {key: value for key, value in final.items() if key not in (*own, "event", "exit", "error")} == {
        key: value for key, value in whole.items() if key not in own
    }
    records = [record for record in records_of() if record["kind"] == "response"]
    assert records[0]["answer"] == records[1]["answer"] == body
    assert records[0]["valid"] is records[1]["valid"] is True


@pytest.mark.parametrize("breaks", [False, True], ids=["whole", "broken"])
def test_the_sdk_goes_on_alike(breaks: bool, here: InProcess, model: Model) -> None:
    """A long answer is asked for as the SDK asks, and is the same; only after a break the SDK says some words twice."""
    first = (
        [chunk("a"), checkpoint("dG9r", "b"), chunk("c")]
        if breaks
        else [checkpoint("dG9r", "ab", finish="CONTINUATION")]
    )
    replies = streaming(sse(*first)), streaming(sse(chunk("c", finish="STOP")))
    model.script(*replies)
    here.ok("new", "-s", "s")
    assert here.ok("send", "-s", "s", "hello")[0]["text"] == "abc"
    ours = [{**sent, "generationConfig": {}} for sent in model.requests]
    model.requests.clear()
    model.script(*replies)
    with genai.Client(api_key=CANARY, http_options={"base_url": model.url}) as sdk:
        chat = sdk.chats.create(model="gemini-test")
        told = "".join(str(one.text) for one in chat.send_message_stream("hello"))
    assert told == ("abcc" if breaks else "abc")
    assert [{**sent, "generationConfig": {}} for sent in model.requests] == ours


def test_gzip(way: Way, model: Model) -> None:
    """A compressed stream is read as any other."""
    packed = gzip.compress(PLAIN.bytes)
    model.script(streaming(packed[:40], 0.1, packed[40:], headers={"content-encoding": "gzip"}))
    assert way() == JOINED[-1]
    model.script(streaming(packed[:60], headers={"content-encoding": "gzip"}))
    assert way.failed().outcome == "unknown"
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(MARKED.bytes[:-9]) + packer.flush(zlib.Z_SYNC_FLUSH)
    model.script(streaming(packed, headers={"content-encoding": "gzip"}))
    assert way() == FOUR
    assert way.broken
