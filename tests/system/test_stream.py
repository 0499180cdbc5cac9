"""Streamed answers over real HTTP, cut at any byte and ended anyhow; the forms of streams are rows of `conditions`."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Cut, Reply
from tests.builders import answer, chunk, contents, lasting, records_of, sse, streaming
from tests.support import InProcess, Model, clients_collected
from tests.system import Listener, listening

BODY = {"contents": contents("hello")}


pytestmark = pytest.mark.usefixtures("collected")


class Way:
    """A way to the model: `way()` streams one answer; `heard` are the chunks that were told."""

    def __init__(self, environ: Mapping[str, str], body: dict[str, Any] = BODY) -> None:
        self.body = body
        self.gemini = Gemini(endpoint_for(Backend("gemini"), environ, lambda note: None))
        self.heard: list[Any] = []

    def __call__(self, seconds: float = 20) -> Any:
        """Stream one answer: the answer, or the error."""
        self.heard.clear()
        try:
            return self.gemini.ask("gemini-test", self.body, lasting(seconds), self.heard.append)
        except GemcliError as error:
            return error

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
FRAMES = [b"data:" + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() for event in EVENTS]
STREAM = b"".join(frame + b"\r\n\r\n" for frame in FRAMES)

_PARTS = [EVENTS[0]["candidates"][0]["content"]["parts"][0], {"text": "a"}, {"text": "ab"}]
_PARTS.append({"text": "", "thoughtSignature": "!"})
JOINED = [None, chunk(_PARTS[0]), chunk(*_PARTS[:2]), chunk(_PARTS[0], _PARTS[2]), chunk(_PARTS[0], *_PARTS[2:])]
JOINED.append(chunk(_PARTS[0], *_PARTS[2:], finish="STOP", n=1))
"""What the first so many events make, joined by hand."""


def arrived(size: int, *, ended: bool) -> int:
    """How many events are in the first so many bytes; at a clean end the last one needs no blank line."""
    tail = b"" if ended else b"\r\n\r\n"
    return sum(size >= len(b"\r\n\r\n".join(FRAMES[: number + 1]) + tail) for number in range(len(FRAMES)))


ENDINGS: dict[str, tuple[Any, ...]] = {
    "clean": (),
    "close": (Cut("close"),),
    "reset": (0.05, Cut("reset")),
    "stall": (60.0,),
}
REASON = {"clean": "STREAM_CUT", "close": "CONNECTION_LOST", "reset": "CONNECTION_LOST", "stall": "TIMEOUT"}


def cut_stream(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """A model that says the first so many bytes of a stream, and ends it in the way that the message names."""
    size, ending = json.loads(body)["contents"][0]["parts"][0]["text"].split()
    return streaming(STREAM[: int(size)], *ENDINGS[ending])


@pytest.mark.parametrize("ending", [
    "clean",
    *(pytest.param(ending, marks=pytest.mark.torture) for ending in ("close", "reset", "stall")),
])  # fmt: skip
def test_every_byte_of_a_stream(ending: str, model: Model, figures: Callable[..., None]) -> None:
    """Cut at any byte in any way, a stream is an answer if its finish reason arrived; else a failure that keeps it."""

    def wrong_at(size: int) -> str | None:
        way = Way(env, {"contents": [user_text(f"{size} {ending}")]})
        result = way(3 if ending == "stall" else 60)
        most, whole = arrived(size, ended=ending == "clean"), len(way.heard)
        # A reset may take away what nobody has read yet.
        right = way.heard == EVENTS[:whole] and (whole <= most if ending == "reset" else whole == most)
        if whole == len(EVENTS):
            right = right and result == JOINED[-1]
        else:
            right = right and isinstance(result, GemcliError) and failed_well(result, size, whole)
        return None if right else f"{size}: {whole} of {most} events, {result!r}"

    def failed_well(error: GemcliError, size: int, whole: int) -> bool:
        # Of nothing, or of "dat", nobody can say that it was a stream.
        not_known = ending == "clean" and size <= len(b"data:")
        if (error.outcome, error.reason) != ("unknown", "BAD_RESPONSE" if not_known else REASON[ending]):
            return False
        return error.partial == JOINED[whole] if whole else not isinstance(error.partial, dict)

    # The limit of a stall is waited for by many at once.
    with serve(cut_stream) as server, ThreadPoolExecutor(32 if ending == "stall" else 4) as pool:
        env = model.env | {"GOOGLE_GEMINI_BASE_URL": server.url}
        wrong_at(len(STREAM))  # loads the SDK
        with clients_collected():
            wrong = [told for told in pool.map(wrong_at, range(len(STREAM) + 1)) if told]
    figures(f"stream cut, {ending}", bytes=len(STREAM), wrong=len(wrong))
    assert not wrong, "\n".join(wrong)


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


def test_gzip(way: Way, model: Model) -> None:
    """A compressed stream is read as any other."""
    packed = gzip.compress(STREAM)
    model.script(streaming(packed[:40], 0.1, packed[40:], headers={"content-encoding": "gzip"}))
    assert way() == JOINED[-1]
    model.script(streaming(packed[:60], headers={"content-encoding": "gzip"}))
    assert way.failed().outcome == "unknown"
