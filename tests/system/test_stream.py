"""Streamed answers over real HTTP: cut anywhere, ended anyhow, and in every form that servers send."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.errors import GemcliError
from gemcli.simulator.simulated_api import Cut
from tests.support import Model, Reply, answer, contents, json_reply, records_of, sse, streaming, texts
from tests.system import Inside, Listener, listening

BODY = {"contents": contents("hello")}


pytestmark = pytest.mark.usefixtures("collected")


@pytest.fixture
def inside(inside: Inside) -> Inside:
    """The program in this process, with an empty session `s`."""
    inside.ok("new", "-s", "s")
    return inside


def said(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with these Parts (text, or whole Parts)."""
    candidate: dict[str, Any] = {
        "content": {"parts": [{"text": one} if isinstance(one, str) else one for one in parts]}
    }
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], **more}


class Way:
    """A way to the model: `way()` streams one answer; `heard` are the chunks that were told."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.gemini = Gemini(endpoint_for(Backend("gemini"), environ, lambda note: None))
        self.heard: list[Any] = []

    def __call__(self, seconds: float = 20) -> Any:
        """Stream one answer: the answer, or the error."""
        self.heard.clear()
        try:
            return self.gemini.stream("gemini-test", BODY, seconds, self.heard.append)
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
    said({"text": "é", "thought": True}),
    said("a"),
    said("b"),
    said({"text": "", "thoughtSignature": "!"}),
    said(finish="STOP", n=1),
]
FRAMES = [b"data:" + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() for event in EVENTS]
STREAM = b"".join(frame + b"\r\n\r\n" for frame in FRAMES)

_PARTS = [EVENTS[0]["candidates"][0]["content"]["parts"][0], {"text": "a"}, {"text": "ab"}]
_PARTS.append({"text": "", "thoughtSignature": "!"})
JOINED = [None, said(_PARTS[0]), said(*_PARTS[:2]), said(_PARTS[0], _PARTS[2]), said(_PARTS[0], *_PARTS[2:])]
JOINED.append(said(_PARTS[0], *_PARTS[2:], finish="STOP", n=1))
"""What the first so many events make, joined by hand."""


def arrived(size: int, *, ended: bool) -> int:
    """How many events are in the first so many bytes; at a clean end the last one needs no blank line."""
    tail = b"" if ended else b"\r\n\r\n"
    return sum(size >= len(b"\r\n\r\n".join(FRAMES[: number + 1]) + tail) for number in range(len(FRAMES)))


@pytest.mark.parametrize("end", ["clean", pytest.param("close", marks=pytest.mark.torture)])
def test_cut_at_every_byte(end: str, way: Way, model: Model) -> None:
    """Cut anywhere, a stream is an answer only if its finish reason arrived; what arrived before is kept."""
    for size in range(len(STREAM) + 1):
        model.script(streaming(STREAM[:size], *([] if end == "clean" else [Cut("close")])))
        whole = arrived(size, ended=end == "clean")
        result = way()
        assert way.heard == EVENTS[:whole]
        if whole == len(EVENTS):
            assert result == JOINED[-1]
            continue
        assert isinstance(result, GemcliError)
        assert result.outcome == "unknown"
        if whole:
            reason = "STREAM_CUT" if end == "clean" else "CONNECTION_LOST"
            assert (result.reason, result.exit, result.partial) == (reason, 75, JOINED[whole])
    assert len(model.requests) == len(STREAM) + 1


@pytest.mark.torture
def test_reset_at_every_byte(way: Way, model: Model) -> None:
    """A reset may swallow bytes; what did arrive decides: the answer if it is whole, else a failure with the rest."""
    seen = set()
    for size in range(len(STREAM) + 1):
        # What comes before the last byte has time to be read; the reset itself may take the last one away.
        start, last = STREAM[: max(0, size - 1)], STREAM[max(0, size - 1) : size]
        model.script(streaming(start, 0.002, last, Cut("reset")))
        result, whole = way(), len(way.heard)
        seen.add(whole)
        assert way.heard == EVENTS[:whole]
        assert whole <= arrived(size, ended=False)
        if whole == len(EVENTS):
            assert result == JOINED[-1]
            continue
        assert isinstance(result, GemcliError)
        assert (result.reason, result.outcome, result.exit) == ("CONNECTION_LOST", "unknown", 75)
        assert result.partial == JOINED[whole] if whole else not isinstance(result.partial, dict)
    assert len(seen) > 2


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
    model.script(streaming(*[step for _ in range(100) for step in (sse(said("x")), 0.2)]))
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


def test_chunks_are_told_as_they_come(model: Model) -> None:
    """Each chunk is told when it arrives, not at the end."""
    model.script(streaming(sse(said("a")), 1.0, sse(said("b", finish="STOP"))))
    gemini, times = Gemini(endpoint_for(Backend("gemini"), model.env, lambda note: None)), []
    gemini.stream("gemini-test", BODY, 20, lambda chunk: times.append(time.monotonic()))
    assert times[1] - times[0] > 0.7
    assert model.targets[0].endswith("models/gemini-test:streamGenerateContent?alt=sse")


# Answers, in every form

FORMS: dict[str, bytes] = {
    "lf": sse(said("hi"), said(finish="STOP"), newline=b"\n"),
    "no-space": sse(said("hi"), said(finish="STOP")).replace(b"data: ", b"data:"),
    "done": sse(said("hi"), said(finish="STOP"), b"[DONE]"),
    "done-in-the-middle": sse(said("hi"), b"[DONE]", said(finish="STOP")),
    "comments": b": hello\r\n\r\n" + sse(said("hi")) + b": ping\r\n\r\n" + sse(said(finish="STOP")) + b":\n",
    "other-fields": sse(said("hi"), said(finish="STOP")).replace(b"data: ", b"event: x\r\nid: 1\r\ndata: "),
    "no-last-blank-line": sse(said("hi"), said(finish="STOP")).rstrip(),
    "one-event": sse(said("hi", finish="STOP")),
    "usage-last": sse(said("hi"), said(finish="STOP"), {"usageMetadata": {"totalTokenCount": 9}}),
    "no-content-last": sse(said("hi"), {"candidates": [{"finishReason": "STOP"}]}),
    "empty-candidates-last": sse(said("hi", finish="STOP"), {"candidates": []}),
    "no-role": sse(said("h"), said("i", finish="STOP")),
    "unknown-finish": sse(said("hi", finish="BRAND_NEW")),
    "rubbish-after-the-finish": sse(said("hi", finish="STOP"), b"<html>"),
    "error-after-the-finish": sse(said("hi", finish="STOP"), {"error": {"code": 503}}),
    "cut-after-the-finish": sse(said("hi", finish="STOP")) + b"data: {",
    "byte-order-mark": b"\xef\xbb\xbf" + sse(said("hi"), said(finish="STOP")),
}


@pytest.mark.parametrize("stream", FORMS.values(), ids=FORMS)
def test_forms(stream: bytes, inside: Inside, model: Model) -> None:
    """Every form in which servers send a whole answer is one: printed, recorded, in the next request."""
    model.script(streaming(stream))
    *_, final = inside.ok("send", "-s", "s", "--stream", "one")
    assert (final["event"], final["text"], final["exit"], final["saved"]) == ("final", "hi", 0, True)
    inside.ok("send", "-s", "s", "two")
    assert texts(model.requests[1]["contents"]) == ["one", "hi", "two"]


@pytest.mark.parametrize("how", ["reset", "close"])
def test_finish_then_cut(how: Any, inside: Inside, model: Model) -> None:
    """A connection that breaks after the finish reason takes nothing away: the answer is whole."""
    model.script(streaming(sse(said("hi", finish="STOP")), 0.3, Cut(how)))
    assert inside.ok("send", "-s", "s", "--stream", "one")[-1]["text"] == "hi"


ODD = [{"text": "", "thoughtSignature": "not base64 !"}, {"functionCall": {"name": "f"}, "thoughtSignature": "="}]


def parts_of(result: Any) -> Any:
    """The Parts of an answer."""
    return result["candidates"][0]["content"]["parts"]


@pytest.mark.parametrize("part", ODD, ids=["text", "call"])
def test_odd_signature(part: dict[str, Any], way: Way, model: Model) -> None:
    """A signature that is no base64, which the SDK would refuse, comes through as it is."""
    model.script(streaming(sse(said("a"), said(part), said(finish="STOP"))))
    assert parts_of(way()) == [{"text": "a"}, part]


def test_streamed_as_unstreamed(inside: Inside, model: Model) -> None:
    """The same answer, streamed and not, gives the same record and the same document."""
    body = answer({"text": "well", "thought": True}, "hello there", {"text": "", "thoughtSignature": "c2ln"})
    parts = body["candidates"][0]["content"]["parts"]
    pieces = [parts[0], {"text": "hello "}, {"text": "there"}, parts[2]]
    begun = [answer(piece, finish=None, usageMetadata={"promptTokenCount": 3}) for piece in pieces[:-1]]
    model.script(body, streaming(sse(*begun, answer(pieces[-1]))))
    (whole,) = inside.ok("send", "-s", "s", "one")
    *_, final = inside.ok("send", "-s", "s", "--stream", "two")
    own = ("turn", "id", "elapsed_ms", "totals")
    assert {key: value for key, value in final.items() if key not in (*own, "event", "exit", "error")} == {
        key: value for key, value in whole.items() if key not in own
    }
    records = [record for record in records_of() if record["kind"] == "response"]
    assert records[0]["answer"] == records[1]["answer"] == body
    assert records[0]["valid"] is records[1]["valid"] is True


# Answers that are no plain success

BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 2}}


@pytest.mark.parametrize(
    ("events", "reason", "exit_code", "text"),
    [
        ([said("half an"), said(" answer", finish="SAFETY")], "ANSWER_BLOCKED", 3, "half an answer"),
        ([said("half"), {"candidates": [{"finishReason": "SAFETY"}]}], "ANSWER_BLOCKED", 3, "half"),
        ([said("half"), said(finish="MAX_TOKENS")], "INCOMPLETE", 4, "half"),
        ([said(finish="MAX_TOKENS")], "MAX_TOKENS_EMPTY", 3, ""),
        ([BLOCKED], "PROMPT_BLOCKED", 3, ""),
        ([said("", finish="STOP")], "EMPTY_ANSWER", 3, ""),
        ([said({"text": "hm", "thought": True}), said(finish="STOP")], "EMPTY_ANSWER", 3, ""),
        ([{}], "EMPTY_ANSWER", 3, ""),
        ([{"usageMetadata": {"promptTokenCount": 2}}], "EMPTY_ANSWER", 3, ""),
        ([said("x"), said(finish="MALFORMED_FUNCTION_CALL")], "MALFORMED_ANSWER", 3, "x"),
        ([said({"functionCall": {"name": "f", "args": {}}}, finish="STOP")], "FUNCTION_CALL", 5, ""),
    ],
    ids=[
        "safety",
        "safety-without-content",
        "max-tokens",
        "max-tokens-empty",
        "blocked-prompt",
        "empty-text",
        "thought-only",
        "empty-object",
        "usage-only",
        "malformed",
        "call",
    ],
)
def test_verdicts(events: list[Any], reason: str, exit_code: int, text: str, inside: Inside, model: Model) -> None:
    """An answer that is not whole is recorded and printed with its own status, as an unstreamed one is."""
    model.script(streaming(sse(*events)))
    status, out, error = inside.error("send", "-s", "s", "--stream", "one")
    final = json.loads(out.splitlines()[-1])
    assert (status, error["reason"]) == (exit_code, reason)
    assert (final["exit"], final["error"]["reason"], final["reason"]) == (exit_code, reason, reason)
    assert (final["text"], final["saved"]) == (text, True)
    record = records_of()[-1]
    assert (record["kind"], record["valid"]) == ("response", exit_code in (4, 5))


# Failures


def failed(inside: Inside, model: Model, reply: Reply) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Stream a reply that is no answer: the status, the error and the record. The next message must get through."""
    model.script(reply)
    status, out, error = inside.error("send", "-s", "s", "--stream", "--retries", "0", "lost")
    final = json.loads(out.splitlines()[-1])
    assert (final["event"], final["exit"]) == ("final", status)
    assert {key: value for key, value in final["error"].items() if key != "hint"} == {
        key: value for key, value in error.items() if key not in ("level", "hint")
    }
    record = records_of()[-1]
    assert (record["kind"], record["reason"], record["outcome"]) == ("failure", error["reason"], error["outcome"])
    assert [attempt["reason"] for attempt in record["attempts"]] == [error["reason"]]
    inside.ok("send", "-s", "s", "--stream", "next")
    assert texts(model.requests[-1]["contents"]) == ["next"]
    return status, error, record


DAILY = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerDay"}]}


@pytest.mark.parametrize("form", ["http", "event"])
@pytest.mark.parametrize(
    ("fault", "reason", "exit_code"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, "RATE_LIMIT", 75),
        ({"code": 503, "status": "UNAVAILABLE"}, "UNAVAILABLE", 75),
        ({"code": 500}, "SERVER_ERROR", 75),
        ({"code": 429, "details": [DAILY]}, "QUOTA_DAILY", 69),
        ({"code": 400, "status": "INVALID_ARGUMENT"}, "BAD_REQUEST", 65),
        ({"code": 403}, "PERMISSION_DENIED", 77),
        ({"code": 404}, "MODEL_NOT_FOUND", 78),
    ],
    ids=lambda value: str(value["code"]) if isinstance(value, dict) else str(value),
)
def test_refused_before_the_first_event(
    form: str, fault: dict[str, Any], reason: str, exit_code: int, inside: Inside, model: Model
) -> None:
    """A refusal is one as an HTTP status and as the first event: rejected, nothing partial."""
    body = {"error": {"message": "no", **fault}}
    status, error, record = failed(
        inside, model, json_reply(body, fault["code"]) if form == "http" else streaming(sse(body))
    )
    assert (status, error["reason"], error["outcome"]) == (exit_code, reason, "rejected")
    assert error["http"] == fault["code"]
    assert "partial" not in record


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"code": 503, "message": "overloaded"}, "UNAVAILABLE"),
        ({"code": 429, "message": "slow down"}, "RATE_LIMIT"),
        ({"message": "overloaded"}, "SERVER_ERROR"),
        ("overloaded", "SERVER_ERROR"),
    ],
    ids=["503", "429", "no-code", "text"],
)
def test_error_in_the_middle(fault: Any, reason: str, inside: Inside, model: Model) -> None:
    """An error event after the answer began ends it: outcome unknown, not sent again, what arrived is kept."""
    model.script(streaming(sse(said("half"), said(" an"), {"error": fault})))
    status, out, error = inside.error("send", "-s", "s", "--stream", "lost")
    assert (status, error["reason"], error["outcome"], error["attempts"]) == (75, reason, "unknown", 1)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["chunk", "chunk", "final"]
    record = records_of()[-1]
    assert (record["outcome"], record["partial"]) == ("unknown", said("half an"))
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    "steps",
    [
        (sse(said("half")),),
        (sse(said("half")) + b'data: {"candi',),
        (sse(said("half")) + b"data: {", Cut("close")),
        (sse(said("half")), 0.2, Cut("reset")),
        (sse(said("half"), b"<html>"),),
        (sse(said("half"), b"null"),),
        (sse(said("half"), {"candidates": "nope"}),),
    ],
    ids=["between-events", "in-an-event", "close", "reset", "html", "null", "wrong-type"],
)
def test_broken_in_the_middle(steps: tuple[Any, ...], inside: Inside, model: Model) -> None:
    """A stream that breaks before its finish reason is a failure in doubt, and what arrived is in the record."""
    _, error, record = failed(inside, model, streaming(*steps))
    assert error["outcome"] == "unknown"
    assert record["partial"] == said("half")


def test_cut_in_the_first_event(inside: Inside, model: Model) -> None:
    """A stream that ends inside its first event was cut: try again later, and the bytes are kept."""
    half = b'data: {"candidates": [{"content": {"parts": [{"text": "paid f'
    status, error, record = failed(inside, model, streaming(half))
    assert (status, error["reason"], error["outcome"]) == (75, "STREAM_CUT", "unknown")
    assert record["partial"] == half.decode()


def test_last_event_is_an_error_without_blank_line(inside: Inside, model: Model) -> None:
    """An error event counts as one when the blank line after it was left out."""
    events = sse(said("half"), {"error": {"code": 429, "details": [DAILY]}}).rstrip()
    status, error, record = failed(inside, model, streaming(events))
    assert (status, error["reason"], error["outcome"]) == (69, "QUOTA_DAILY", "unknown")
    assert record["partial"] == said("half")


BODIES: dict[str, bytes] = {
    "html": b"<html><body>Sign in to the network</body></html>",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "unstreamed": json.dumps(answer("paid for")).encode(),
    "array": json.dumps([answer("paid for")]).encode(),
    "event-of-html": sse(b"<html>"),
    "event-of-null": sse(b"null"),
    "event-of-a-list": sse(b"[]"),
    "event-of-text": sse({"candidates": "nope"}),
    "event-of-wrong-parts": sse({"candidates": [{"content": {"parts": "x"}}]}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_stream(body: bytes, inside: Inside, model: Model) -> None:
    """A 200 that is no stream of answers is a failure in doubt, and its bytes are kept as they came."""
    status, error, record = failed(inside, model, streaming(body))
    assert (status, error["reason"], error["outcome"], error["http"]) == (76, "BAD_RESPONSE", "unknown", 200)
    assert record["partial"] == body.decode()


@pytest.mark.parametrize("body", [b"", b"\r\n\r\n", b"data: [DONE]\r\n\r\n", b": ping\n\n"], ids=repr)
def test_nothing(body: bytes, inside: Inside, model: Model) -> None:
    """A 200 without any event is a failure in doubt."""
    status, error, _ = failed(inside, model, streaming(body))
    assert (status, error["reason"], error["outcome"]) == (76, "BAD_RESPONSE", "unknown")


def test_key_in_an_error_event(inside: Inside, model: Model) -> None:
    """A server that quotes the key in an error event does not get it into the session or onto stderr."""
    model.script(streaming(sse(said("a"), {"error": {"code": 403, "message": "key test-key is bad"}})))
    status, out, error = inside.error("send", "-s", "s", "--stream", "lost")
    assert status == 77
    assert "test-key" not in json.dumps([error, records_of(), out])
    assert "[the key]" in error["message"]


def test_gzip(way: Way, model: Model) -> None:
    """A compressed stream is read as any other."""
    import gzip

    packed = gzip.compress(STREAM)
    model.script(streaming(packed[:40], 0.1, packed[40:], headers={"content-encoding": "gzip"}))
    assert way() == JOINED[-1]
    model.script(streaming(packed[:60], headers={"content-encoding": "gzip"}))
    assert way.failed().outcome == "unknown"
