"""The conditions under which a message can be sent: every kind of answer and refusal, with what must come of each.

This is the table of `test_matrix`, in the order of FACTS.md, section 3.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import httpx2
import pytest

from gemcli.api.gemini import Gemini
from gemcli.sessions.filesystem import FileSystem
from gemcli.simulator.simulated_api import Cut, Reply, json_reply
from tests.builders import answer, api_error, chunk, quota_failure, raw, retry_info, sse, streaming
from tests.system import Listener, free_port, listening

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Cell:
    """The world in which one message is sent."""

    path: Path
    env: dict[str, str]
    patch: pytest.MonkeyPatch
    options: list[str]
    fs: FileSystem = field(default_factory=FileSystem)
    requests: Callable[[], int] = int


World = Callable[[Cell], contextlib.AbstractContextManager[None]]
"""What makes the world of a cell another one."""

Ends = Literal["answered", "blocked", "rejected", "unknown", "unsent", "unsaved"]
"""How sending ends.

- answered: the answer is recorded, and is in the history
- blocked: the answer is recorded, and is of no use
- rejected, unknown: a failure with this outcome is recorded
- unsent: nothing is sent, nothing is written
- unsaved: the answer is printed, and could not be recorded
"""


class Condition(NamedTuple):
    """One kind of answer or refusal.

    `reply` is what the server replies, `text` what is printed of the answer, `parts` what the history gets (None: the
    text), `body` is what the record of an answer holds, and `kept` what that of a failure keeps of one that began.
    """

    exit: int
    reason: str | None
    ends: Ends
    reply: Reply
    text: str = ""
    parts: list[dict[str, Any]] | None = None
    body: Mapping[str, Any] | None = None
    kept: Any = None
    http: int | None = None
    retry_after: float | None = None
    world: World | None = None
    slow: bool = False


# How rows are made


def refused(
    reply: Reply, exit_code: int, reason: str, retry_after: float | None = None, ends: Ends = "rejected"
) -> Condition:
    """An HTTP answer that brings no answer of a model: the same in every form."""
    return Condition(exit_code, reason, ends, reply, http=reply.status, retry_after=retry_after)


def not_an_answer(reply: Reply) -> Condition:
    """A success of HTTP that is no answer of the API."""
    return refused(reply, 76, "BAD_RESPONSE", ends="unknown")


def lost(*steps: Any, code: int = 200, length: bool = False) -> Condition:
    """A connection that breaks before the answer, or in it."""
    headers = {"content-type": "application/json", "content-length": "5000"} if length else {}
    reply = Reply(code, headers, steps)
    return Condition(75, "CONNECTION_LOST", "unknown", reply)


def answered(
    body: Mapping[str, Any],
    exit_code: int = 0,
    reason: str | None = None,
    ends: Ends = "answered",
    recorded: Mapping[str, Any] | None = None,
) -> Condition:
    """An answer in one event; `recorded` is its record, if that is another because Parts were merged."""
    kept = recorded or body
    candidate = (kept.get("candidates") or [{}])[0]
    parts = candidate.get("content", {}).get("parts", [])
    text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    return Condition(exit_code, reason, ends, streaming(sse(body)), text=text, parts=parts, body=kept)


def blocked(body: Mapping[str, Any], reason: str = "EMPTY_ANSWER", **more: Any) -> Condition:
    """An answer that is of no use."""
    return answered(body, 3, reason, "blocked", **more)


def streamed(*steps: Any, text: str = "hi") -> Condition:
    """A stream that is an answer."""
    return Condition(0, None, "answered", streaming(*steps), text=text)


def broken(exit_code: int, reason: str, *steps: Any, text: str = "half", **more: Any) -> Condition:
    """A stream that says "half" and then this, which ends it."""
    reply = streaming(sse(chunk("half")), *steps)
    return Condition(exit_code, reason, "unknown", reply, text=text, **({"kept": chunk(text)} | more))


def no_stream(body: bytes, exit_code: int = 76, reason: str = "BAD_RESPONSE", *, kept: bool = True) -> Condition:
    """A 200 that is no stream of answers."""
    return Condition(exit_code, reason, "unknown", streaming(body), kept=body.decode() if kept else None)


def verdict(exit_code: int, reason: str, *events: Any, text: str = "", ends: Ends = "blocked") -> Condition:
    """A stream that ends as no plain success."""
    return Condition(exit_code, reason, ends, streaming(sse(*events)), text=text)


def first_event(code: int, exit_code: int, reason: str, **error: Any) -> Condition:
    """A refusal that comes with a 200, as the first event of a stream."""
    body = {"error": {"code": code, "message": "no", **error}}
    return Condition(exit_code, reason, "rejected", streaming(sse(body)), http=200)


def in_world(world: World, exit_code: int, reason: str, ends: Ends, **more: Any) -> Condition:
    """A world in which the message cannot be sent, or its answer not be received."""
    reply = {"reply": streaming(sse(answer("fine")))}
    return Condition(exit_code, reason, ends, world=world, **(reply | more))


# Worlds


def environment(**values: str) -> World:
    """Other variables of the environment."""

    @contextlib.contextmanager
    def world(cell: Cell) -> Iterator[None]:
        cell.env |= values
        yield

    return world


def option(*words: str) -> World:
    """Other options."""

    @contextlib.contextmanager
    def world(cell: Cell) -> Iterator[None]:
        cell.options += words
        yield

    return world


def server(handle: Callable[[Listener, socket.socket, Cell], None]) -> World:
    """A bare server that reads the request before it does what it does."""

    @contextlib.contextmanager
    def world(cell: Cell) -> Iterator[None]:
        def one(listener: Listener, connection: socket.socket) -> None:
            listener.request(connection)
            handle(listener, connection, cell)

        with listening(one) as listener:
            cell.env |= listener.env
            cell.requests = lambda: len(listener.seen)
            yield

    return world


def failing(owner: Any, name: str, error: Exception, **env: str) -> World:
    """A function that fails."""

    def fail(*args: Any, **options: Any) -> Any:
        raise error

    @contextlib.contextmanager
    def world(cell: Cell) -> Iterator[None]:
        cell.env |= env
        cell.patch.setattr(owner, name, fail)
        yield

    return world


@contextlib.contextmanager
def nobody_listens(cell: Cell) -> Iterator[None]:
    """No server at the base URL."""
    cell.env["GOOGLE_GEMINI_BASE_URL"] = f"http://127.0.0.1:{free_port()}"
    yield


@contextlib.contextmanager
def plain_server_under_https(cell: Cell) -> Iterator[None]:
    """An https URL behind which nobody speaks TLS."""
    cell.env["GOOGLE_GEMINI_BASE_URL"] = cell.env["GOOGLE_GEMINI_BASE_URL"].replace("http:", "https:")
    yield


@contextlib.contextmanager
def busy(cell: Cell) -> Iterator[None]:
    """A session that somebody else holds."""
    cell.options += ["--wait", "0"]
    with cell.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def damaged(cell: Cell) -> Iterator[None]:
    """A session with a line that is not a record."""
    first, _, rest = cell.path.read_bytes().partition(b"\n")
    cell.path.write_bytes(first + b"\n{nonsense\n" + rest + b"{}\n")
    yield


@contextlib.contextmanager
def gone(cell: Cell) -> Iterator[None]:
    """No session."""
    cell.path.unlink()
    yield


class FullDisk(FileSystem):
    """A disk on which the n-th write finds no room, nor does any after it."""

    def __init__(self, number: int) -> None:
        self.left = number

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make the call, unless there is no room."""
        if function is os.write:
            self.left -= 1
            if self.left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args, **kwargs)


def full(number: int) -> World:
    """No room for the n-th record."""

    @contextlib.contextmanager
    def world(cell: Cell) -> Iterator[None]:
        cell.fs = FullDisk(number)
        yield

    return world


def replaced(listener: Listener, connection: socket.socket, cell: Cell) -> None:
    """An editor that writes the session anew while the model thinks: as it was before this message."""
    draft = cell.path.with_name("draft")
    draft.write_bytes(b"".join(cell.path.read_bytes().splitlines(keepends=True)[:-1]))
    os.replace(draft, cell.path)
    body = json.dumps(answer("fine")).encode()
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    connection.sendall(head + (sse(answer("fine")) if "--stream" in cell.options else body))


def stopped_by(number: signal.Signals) -> Condition:
    """A signal while the model thinks."""

    def handle(listener: Listener, connection: socket.socket, cell: Cell) -> None:
        os.kill(os.getpid(), number)
        listener.stop.wait()

    return in_world(server(handle), 128 + number, "INTERRUPTED", "unknown")


def garbage(listener: Listener, connection: socket.socket, cell: Cell) -> None:
    """Something that is not HTTP."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


# The rows


def page(code: int, **headers: str) -> Reply:
    """An error page as a proxy writes one."""
    text = b"<html><head><style>p {color: red}</style></head><body><h1>Bad gateway</h1></body></html>"
    return Reply(code, {"content-type": "text/html"} | headers, (text,))


INVALID, EXHAUSTED = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"
INVALID_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
PER_MINUTE = quota_failure("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
PER_DAY = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
CALL_TURN = "Please ensure that function call turn comes immediately after a user turn or after a function response."
NO_ROLE = "Please use a valid role: user, model."
NO_PARTS = "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty."
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
LIMIT_0 = "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0, model: gemini-pro"
IN_WORDS = "You exceeded your current quota. Please retry in 12.5s."

REFUSED: dict[str, Condition] = {
    "400": refused(api_error(400, INVALID), 65, "BAD_REQUEST"),
    "400-call-turn": refused(api_error(400, INVALID, CALL_TURN), 65, "TURN_ORDER"),
    "400-role": refused(api_error(400, INVALID, NO_ROLE), 65, "TURN_ORDER"),
    "400-parts": refused(api_error(400, INVALID, NO_PARTS), 65, "TURN_ORDER"),
    "400-too-long": refused(api_error(400, INVALID, TOO_LONG), 65, "CONTEXT_TOO_LONG"),
    "400-key-detail": refused(api_error(400, INVALID, "no", INVALID_KEY), 77, "API_KEY_INVALID"),
    "400-key-words": refused(api_error(400, INVALID, "API key not valid. Pass one."), 77, "API_KEY_INVALID"),
    "400-region": refused(api_error(400, "FAILED_PRECONDITION", "User location"), 78, "PRECONDITION"),
    "400-html": refused(page(400), 65, "BAD_REQUEST"),
    "400-delay": refused(api_error(400, INVALID, "no", retry_info("0s")), 65, "BAD_REQUEST", 0.0),
    "401": refused(api_error(401, "UNAUTHENTICATED"), 77, "UNAUTHENTICATED"),
    "402": refused(api_error(402, "FAILED_PRECONDITION"), 69, "QUOTA_DAILY"),
    "403": refused(api_error(403, "PERMISSION_DENIED", "Your key was leaked."), 77, "PERMISSION_DENIED"),
    "403-delay": refused(api_error(403, "PERMISSION_DENIED", "no", retry_info("0s")), 77, "PERMISSION_DENIED", 0.0),
    "404": refused(api_error(404, "NOT_FOUND", "models/x is not found"), 78, "MODEL_NOT_FOUND"),
    "405": refused(api_error(405, "UNKNOWN"), 78, "MODEL_NOT_FOUND"),
    "408": refused(api_error(408, "DEADLINE_EXCEEDED"), 75, "SERVER_TIMEOUT"),
    "409": refused(api_error(409, "ABORTED"), 75, "ABORTED"),
    "409-delay": refused(api_error(409, "ABORTED", "no", retry_info("0s")), 75, "ABORTED", 0.0),
    "413-html": refused(page(413), 65, "TOO_LARGE"),
    "429": refused(api_error(429, EXHAUSTED), 75, "RATE_LIMIT"),
    "429-seconds": refused(api_error(429, EXHAUSTED, "wait", PER_MINUTE, retry_info("3.2s")), 75, "RATE_LIMIT", 3.2),
    "429-milliseconds": refused(api_error(429, EXHAUSTED, "wait", retry_info("900ms")), 75, "RATE_LIMIT", 0.9),
    "429-header": refused(api_error(429, EXHAUSTED, retry_after="7"), 75, "RATE_LIMIT", 7.0),
    "429-html-header": refused(page(429, **{"Retry-After": "8"}), 75, "RATE_LIMIT", 8.0),
    "429-words": refused(api_error(429, EXHAUSTED, IN_WORDS), 75, "RATE_LIMIT", 12.5),
    "429-info-wins": refused(
        api_error(429, EXHAUSTED, IN_WORDS, retry_info("3s"), retry_after="7"), 75, "RATE_LIMIT", 3.0
    ),
    "429-odd-delay": refused(api_error(429, EXHAUSTED, "wait", retry_info("soon")), 75, "RATE_LIMIT"),
    "429-delay-number": refused(api_error(429, EXHAUSTED, "wait", retry_info(3)), 75, "RATE_LIMIT"),
    "429-endless-delay": refused(api_error(429, EXHAUSTED, "wait", retry_info("9" * 400 + "s")), 75, "RATE_LIMIT"),
    "429-per-day": refused(api_error(429, EXHAUSTED, "no", PER_DAY, retry_info("3s")), 69, "QUOTA_DAILY", 3.0),
    "429-limit-0": refused(api_error(429, EXHAUSTED, LIMIT_0), 69, "QUOTA_DAILY"),
    "429-list-of-one": refused(
        raw(429, b'[{"error":{"code":429,"message":"Please retry in 2s"}}]'), 75, "RATE_LIMIT", 2.0
    ),
    "429-odd-details": refused(
        raw(429, b'{"error":{"details":[5,null,{"@type":7,"violations":"x","retryDelay":null}]}}'), 75, "RATE_LIMIT"
    ),
    "429-odd-violations": refused(raw(429, b'{"error":{"details":[{"violations":5}]}}'), 75, "RATE_LIMIT"),
    "499": refused(api_error(499, "CANCELLED"), 75, "CANCELLED"),
    "499-delay": refused(api_error(499, "CANCELLED", "no", retry_info("0s")), 75, "CANCELLED", 0.0),
    "500": refused(api_error(500, "INTERNAL"), 75, "SERVER_ERROR"),
    "501": refused(api_error(501, "UNIMPLEMENTED"), 75, "SERVER_ERROR"),
    "502-html": refused(page(502), 75, "UNAVAILABLE"),
    "503": refused(api_error(503, "UNAVAILABLE", "The model is overloaded."), 75, "UNAVAILABLE"),
    "503-header": refused(api_error(503, "UNAVAILABLE", retry_after="30"), 75, "UNAVAILABLE", 30.0),
    "503-html": refused(page(503), 75, "UNAVAILABLE"),
    "504": refused(api_error(504, "DEADLINE_EXCEEDED"), 75, "SERVER_TIMEOUT"),
    "301": refused(page(301, location="http://127.0.0.1:9/elsewhere"), 78, "REDIRECT"),
    "302-nowhere": refused(page(302), 78, "REDIRECT"),
    "304": refused(Reply(304, {}, ()), 78, "REDIRECT"),
    "307": refused(Reply(307, {"location": "/x"}, ()), 78, "REDIRECT"),
    # Errors in another form
    **{
        f"500-{name}": refused(raw(500, body), 75, "SERVER_ERROR")
        for name, body in {
            "empty": b"",
            "list": b"[]",
            "null": b"null",
            "text": b'"down"',
            "error-text": b'{"error":"down"}',
            "error-list": b'{"error":[1]}',
            "error-empty": b'{"error":{}}',
            "odd-types": b'{"error":{"code":"x","message":{"a":1},"status":5,"details":{"b":2}}}',
            "not-utf-8": b'{"error":{"message":"\xff"}}',
        }.items()
    },
    # Successes that are not answers of the API
    "201": not_an_answer(json_reply(answer("hello"), 201)),
    "204": not_an_answer(Reply(204, {}, ())),
    "200-html": not_an_answer(page(200)),
    **{
        f"200-{name}": not_an_answer(raw(200, body))
        for name, body in {
            "empty": b"",
            "blank": b" \n",
            "null": b"null",
            "list": b"[]",
            "text": b'"hello"',
            "cut-json": b'{"candidates": [{"con',
            "two-documents": b"{}{}",
            "not-utf-8": b'{"a":"\xff"}',
            "nan": b'{"a":NaN}',
            "infinite": b'{"a":1e999}',
            "long-integer": b'{"a":' + b"9" * 5000 + b"}",
            "doubled-key": b'{"a":1,"a":2}',
            "nested": b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}",
        }.items()
    },
    **{
        f"200-{name}": not_an_answer(json_reply(body))
        for name, body in {
            "candidates-text": {"candidates": "nope"},
            "candidate-null": {"candidates": [None]},
            "content-text": {"candidates": [{"content": "hi"}]},
            "parts-text": {"candidates": [{"content": {"parts": "hi"}}]},
            "part-text": {"candidates": [{"content": {"parts": ["hi"]}}]},
            "text-number": answer({"text": 5}),
            "call-text": answer({"functionCall": "f"}),
            "finish-number": {"candidates": [{"finishReason": 3}]},
            "feedback-text": answer("hi", promptFeedback="x"),
            "usage-list": answer("hi", usageMetadata=[1]),
        }.items()
    },
}

CLOSE, RESET = Cut("close"), Cut("reset")

BELOW_HTTP: dict[str, Condition] = {
    "connection-refused": in_world(nobody_listens, 75, "CONNECT", "rejected"),
    "unknown-host": in_world(
        failing(
            socket,
            "getaddrinfo",
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            GOOGLE_GEMINI_BASE_URL="https://gemini.invalid",
        ),
        75,
        "DNS",
        "rejected",
    ),
    "no-tls": in_world(plain_server_under_https, 78, "TLS", "rejected"),
    # `test_network` has a connection that really hangs.
    "connect-timeout": in_world(
        failing(httpx2.HTTPTransport, "handle_request", httpx2.ConnectTimeout("timed out")),
        75,
        "CONNECT_TIMEOUT",
        "rejected",
    ),
    "read-timeout": in_world(
        option("--timeout", "1"),
        75,
        "TIMEOUT",
        "unknown",
        reply=Reply(200, {}, (60.0,)),
        slow=True,
    ),
    "deadline": in_world(
        option("--deadline", "1"),
        75,
        "TIMEOUT",
        "unknown",
        reply=streaming(sse(chunk("half")), 60.0),
        text="half",
        slow=True,
    ),
    "closed": lost(CLOSE),
    "reset": lost(RESET),
    "short-body": lost(b'{"paid', CLOSE, length=True),
    "short-error": lost(b"{", CLOSE, code=503, length=True),
    "garbage": in_world(server(garbage), 75, "CONNECTION_LOST", "unknown"),
}

HI = sse(chunk("hi"))
STOP = sse(chunk(finish="STOP"))
UNSTREAMED = json.dumps(answer("paid for"), indent=2).encode()
HI_STOP = sse(chunk("hi", finish="STOP"))

STREAMS: dict[str, Condition] = {
    # Every form in which servers send a whole answer
    "lf": streamed(sse(chunk("hi"), chunk(finish="STOP"), newline=b"\n")),
    "no-space": streamed((HI + STOP).replace(b"data: ", b"data:")),
    "done": streamed(HI + STOP + sse(b"[DONE]")),
    "done-in-the-middle": streamed(HI + sse(b"[DONE]") + STOP),
    "comments": streamed(b": hello\r\n\r\n" + HI + b": ping\r\n\r\n" + STOP + b":\n"),
    "other-fields": streamed((HI + STOP).replace(b"data: ", b"event: x\r\nid: 1\r\ndata: ")),
    "no-last-blank-line": streamed((HI + STOP).rstrip()),
    "one-event": streamed(HI_STOP),
    "usage-last": streamed(HI + STOP + sse({"usageMetadata": {"totalTokenCount": 9}})),
    "no-content-last": streamed(HI + sse({"candidates": [{"finishReason": "STOP"}]})),
    "empty-candidates-last": streamed(HI_STOP + sse({"candidates": []})),
    "two-texts": streamed(sse(chunk("h"), chunk("i", finish="STOP"))),
    "unknown-finish": streamed(sse(chunk("hi", finish="BRAND_NEW"))),
    "rubbish-after-the-finish": streamed(HI_STOP + sse(b"<html>")),
    "error-after-the-finish": streamed(HI_STOP + sse({"error": {"code": 503}})),
    "cut-after-the-finish": streamed(HI_STOP + b"data: {"),
    "close-after-the-finish": streamed(HI_STOP, 0.05, CLOSE),
    "reset-after-the-finish": streamed(HI_STOP, 0.05, RESET),
    "byte-order-mark": streamed(b"\xef\xbb\xbf" + HI + STOP),
    # Broken before the finish reason
    "close": broken(75, "CONNECTION_LOST", CLOSE),
    "close-in-an-event": broken(75, "CONNECTION_LOST", b"data: {", CLOSE),
    "reset": broken(75, "CONNECTION_LOST", 0.05, RESET),
    "cut-in-json": broken(75, "STREAM_CUT", b'data: {"candi', http=200),
    "cut-between": broken(75, "STREAM_CUT", http=200),
    "stall": broken(75, "TIMEOUT", 60.0, world=option("--timeout", "1"), slow=True),
    "html-in-the-middle": broken(76, "BAD_RESPONSE", sse(b"<html>")),
    "null-in-the-middle": broken(76, "BAD_RESPONSE", sse(b"null")),
    "wrong-type-in-the-middle": broken(76, "BAD_RESPONSE", sse({"candidates": "nope"})),
    "error": broken(75, "STREAM_CUT", sse(chunk(" an"), {"error": {"code": 503}}), text="half an", http=200),
    "error-429": broken(75, "STREAM_CUT", sse({"error": {"code": 429, "message": "slow down"}}), http=200),
    "error-no-code": broken(75, "STREAM_CUT", sse({"error": {"message": "overloaded"}})),
    "error-text": broken(75, "STREAM_CUT", sse({"error": "overloaded"})),
    "error-no-blank-line": broken(75, "STREAM_CUT", sse({"error": {"code": 429, "details": [PER_DAY]}}).rstrip()),
    "error-null": streamed(sse(chunk("h", error=None), chunk("i", finish="STOP", error=None))),
    # Refused with a 200
    "first-429": first_event(429, 75, "RATE_LIMIT", status=EXHAUSTED),
    "first-429-per-day": first_event(429, 69, "QUOTA_DAILY", details=[PER_DAY]),
    "first-429-limit-0": first_event(429, 69, "QUOTA_DAILY", message="limit: 0"),
    "first-503": first_event(503, 75, "UNAVAILABLE", status="UNAVAILABLE"),
    "first-500": first_event(500, 75, "SERVER_ERROR"),
    "first-400": first_event(400, 65, "BAD_REQUEST", status=INVALID),
    "first-403": first_event(403, 77, "PERMISSION_DENIED"),
    "first-404": first_event(404, 78, "MODEL_NOT_FOUND"),
    "error-unstreamed": Condition(75, "RATE_LIMIT", "rejected", raw(200, b'{"error":{"code":429}}'), http=200),
    "error-list": Condition(77, "PERMISSION_DENIED", "rejected", raw(200, b'[{"error":{"code":403}}]'), http=200),
    # One object, which is as good as one event
    "unstreamed": Condition(0, None, "answered", raw(200, UNSTREAMED), text="paid for"),
    "unstreamed-object": Condition(3, "EMPTY_ANSWER", "blocked", raw(200, b"{}")),
    "unstreamed-cut": Condition(75, "CONNECTION_LOST", "unknown", streaming(UNSTREAMED[:-1], CLOSE)),
    # No stream at all
    "cut-in-the-first": no_stream(b'data: {"candidates": [{"content": {"parts": [{"text": "paid f', 75, "STREAM_CUT"),
    "html": no_stream(b"<html><body>Sign in to the network</body></html>"),
    "null": no_stream(b"null"),
    "list": no_stream(b"[]"),
    "array": no_stream(json.dumps([answer("paid for")]).encode()),
    "event-of-html": no_stream(sse(b"<html>")),
    "event-of-null": no_stream(sse(b"null")),
    "event-of-a-list": no_stream(sse(b"[]")),
    "event-of-text": no_stream(sse({"candidates": "nope"})),
    "event-of-wrong-parts": no_stream(sse({"candidates": [{"content": {"parts": "x"}}]})),
    "nothing": no_stream(b"", kept=False),
    "blank-lines": no_stream(b"\r\n\r\n", kept=False),
    "only-done": no_stream(b"data: [DONE]\r\n\r\n", kept=False),
    "only-a-comment": no_stream(b": ping\n\n", kept=False),
    # Answers in several events that are no plain success
    "no-candidates": verdict(3, "EMPTY_ANSWER", {"usageMetadata": {}}),
    "safety": verdict(3, "ANSWER_BLOCKED", chunk("half an"), chunk(" answer", finish="SAFETY"), text="half an answer"),
    "safety-bare": verdict(
        3, "ANSWER_BLOCKED", chunk("half"), {"candidates": [{"finishReason": "SAFETY"}]}, text="half"
    ),
    "max-tokens": verdict(4, "INCOMPLETE", chunk("half"), chunk(finish="MAX_TOKENS"), text="half", ends="answered"),
    "max-tokens-empty": verdict(3, "MAX_TOKENS_EMPTY", chunk(finish="MAX_TOKENS")),
    "thought-only": verdict(3, "EMPTY_ANSWER", chunk({"text": "hm", "thought": True}), chunk(finish="STOP")),
    "malformed": verdict(3, "MALFORMED_ANSWER", chunk("x"), chunk(finish="MALFORMED_FUNCTION_CALL"), text="x"),
}

TEXT = "Not all of it"
CALL = {"functionCall": {"name": "roll", "args": {"sides": 6}, "id": "c1"}}
THOUGHT = {"text": "Let me see", "thought": True}
DEEP: Any = "bottom"
for _ in range(150):
    DEEP = {"d": DEEP}

BLOCKED = (
    *("SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_OTHER", "IMAGE_RECITATION", "NO_IMAGE", "ESCALATION"),
)
MALFORMED = (
    *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
    *("MISSING_THOUGHT_SIGNATURE", "FINISH_REASON_UNSPECIFIED"),
)


def candidate(**fields: Any) -> dict[str, Any]:
    """An answer with just this candidate."""
    return {"candidates": [fields]}


HI_PART = {"text": "Hi"}
SECOND = {**answer("Two")["candidates"][0], "index": 1}

ANSWERED: dict[str, Condition] = {
    "text": answered(answer("Hello")),
    "two-texts": answered(answer("Hel", "lo"), recorded=answer("Hello")),
    "two-candidates": answered(answer(candidates=[*answer("One")["candidates"], SECOND])),
    "unknown-finish": answered(answer(TEXT, finish="BRAND_NEW")),
    "thought-and-text": answered(answer(THOUGHT, "So")),
    "signature": answered(answer({"text": "Thought through", "thoughtSignature": "c2lnbmVk"})),
    "signature-alone-too": answered(answer("Yes", {"text": "", "thoughtSignature": "cw=="})),
    "empty-parts-beside-text": answered(answer({}, {"text": ""}, "Yes"), recorded=answer("Yes")),
    "no-role": answered(candidate(content={"parts": [HI_PART]}, finishReason="STOP")),
    "odd-role": answered(candidate(content={"role": "assistant", "parts": [HI_PART]}, finishReason="STOP")),
    "unknown-fields": answered(answer({"text": "Hi", "newField": {"a": [1, None]}}, another={"b": True})),
    "code": answered(answer({"executableCode": {"code": "1"}})),
    "image": answered(answer({"inlineData": {"data": "aa=="}})),
    "numbers": answered(answer("Hi", big=2**80, small=1e-300, negative=-0.0, usageMetadata={"totalTokenCount": 2**70})),
    "usage-of-odd-types": answered(answer("Hi", usageMetadata={"totalTokenCount": "7", "promptTokenCount": True})),
    "lone-surrogate": answered(answer("a\ud800b")),
    "controls": answered(answer("\0\x1b[31m\u2028\u202e\r\n")),
    "deep": answered(answer({"text": "Hi", "deep": DEEP})),
    "long": answered(answer("ab" * 500_000)),
    # Not whole
    "max-tokens": answered(answer(TEXT, finish="MAX_TOKENS"), 4, "INCOMPLETE"),
    "continuation": answered(answer(TEXT, finish="CONTINUATION", continuationToken="next"), 4, "INCOMPLETE"),
    # Function calls
    **{
        name: answered(body, 5, "FUNCTION_CALL")
        for name, body in {
            "call": answer(CALL),
            "text-and-call": answer("I will", CALL),
            "thought-text-call": answer(THOUGHT, "I will", CALL),
            "two-calls": answer(CALL, {"functionCall": {"name": "flip"}}),
            "cut-call": answer(CALL, finish="MAX_TOKENS"),
            "signed-call": answer(CALL | {"thoughtSignature": "cw=="}),
            "call-without-args": answer({"functionCall": {"name": "roll"}}),
        }.items()
    },
    # Of no use
    "prompt-blocked": blocked({"promptFeedback": {"blockReason": "SAFETY"}}, "PROMPT_BLOCKED"),
    "prompt-blocked-unknown": blocked({"promptFeedback": {"blockReason": "BRAND_NEW"}}, "PROMPT_BLOCKED"),
    "prompt-blocked-with-text": blocked(answer(TEXT, promptFeedback={"blockReason": "OTHER"}), "PROMPT_BLOCKED"),
    "empty-object": blocked({}),
    "no-candidates": blocked({"candidates": [], "usageMetadata": {"totalTokenCount": 9}}),
    "no-parts": blocked(answer()),
    "no-content": blocked(candidate(finishReason="STOP")),
    "empty-content": blocked(candidate(content={}, finishReason="STOP")),
    "empty-part": blocked(answer({}), recorded=answer()),
    "empty-text": blocked(answer(""), recorded=answer()),
    "thought-only": blocked(answer(THOUGHT)),
    "signature-only": blocked(answer({"thoughtSignature": "cw=="})),
    "unknown-finish-empty": blocked(answer(finish="BRAND_NEW")),
    "max-tokens-empty": blocked(answer(finish="MAX_TOKENS"), "MAX_TOKENS_EMPTY"),
    "max-tokens-thoughts": blocked(answer(THOUGHT, finish="MAX_TOKENS"), "MAX_TOKENS_EMPTY"),
    "response-in-answer": blocked(
        answer(TEXT, {"functionResponse": {"name": "f", "response": {}}}), "MALFORMED_ANSWER"
    ),
    "malformed-call-bare": blocked(
        candidate(content={}, finishReason="MALFORMED_FUNCTION_CALL", finishMessage="roll(("), "MALFORMED_ANSWER"
    ),
    "safety-bare": blocked(candidate(finishReason="SAFETY"), "ANSWER_BLOCKED"),
    "safety-with-call": blocked(answer(CALL, finish="SAFETY"), "ANSWER_BLOCKED"),
    **{f"blocked-{name}": blocked(answer(TEXT, finish=name), "ANSWER_BLOCKED") for name in BLOCKED},
    **{f"broken-{name}": blocked(answer(TEXT, finish=name), "MALFORMED_ANSWER") for name in MALFORMED},
}

THIS_MACHINE: dict[str, Condition] = {
    "no-key": in_world(environment(GEMINI_API_KEY=""), 77, "NO_KEY", "unsent"),
    "blank-key": in_world(environment(GEMINI_API_KEY="   "), 77, "BAD_KEY", "unsent"),
    "key-newline": in_world(environment(GEMINI_API_KEY="a\nb"), 77, "BAD_KEY", "unsent"),
    "key-two-words": in_world(environment(GEMINI_API_KEY="abc def"), 77, "BAD_KEY", "unsent"),
    "key-quotes": in_world(environment(GEMINI_API_KEY="“abc”"), 77, "BAD_KEY", "unsent"),
    "unprotected-url": in_world(environment(GOOGLE_GEMINI_BASE_URL="http://example.org"), 78, "BASE_URL", "unsent"),
    "model-dots": in_world(option("--model", "../x"), 2, "MODEL_NAME", "unsent"),
    "model-query": in_world(option("--model", "a?b"), 2, "MODEL_NAME", "unsent"),
    "model-return": in_world(option("--model", "a\rb"), 2, "MODEL_NAME", "unsent"),
    "session-busy": in_world(busy, 75, "SESSION_BUSY", "unsent"),
    "session-missing": in_world(gone, 66, "SESSION_MISSING", "unsent"),
    "session-damaged": in_world(damaged, 65, "CORRUPT", "unsent"),
    "disk-full": in_world(full(1), 74, "DISK_FULL", "unsent"),
    "too-many-turns": in_world(option("--max-turns", "0"), 12, "TOO_MANY_TURNS", "unsent"),
    "disk-full-for-the-answer": in_world(full(2), 74, "DISK_FULL", "unsaved", text="fine"),
    "session-changed": in_world(server(replaced), 74, "SESSION_CHANGED", "unsaved", text="fine"),
    "bug": in_world(failing(Gemini, "_request", LookupError("surprise")), 70, "BUG", "rejected"),
    **{number.name: stopped_by(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)},
}

CONDITIONS: dict[str, Condition] = {
    **REFUSED,
    **BELOW_HTTP,
    **{f"sse-{name}": condition for name, condition in STREAMS.items()},
    **{f"answer-{name}": condition for name, condition in ANSWERED.items()},
    **THIS_MACHINE,
}
