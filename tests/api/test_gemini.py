"""The way to the model: the environment, one request, and an end to every wait."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gemcli.api.attempt import Attempt
from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.errors import GemcliError
from gemcli.signals import Interrupted, deferred, raised
from gemcli.simulator.simulated_api import json_reply
from tests.builders import answer, checkpoint, chunk, contents, error_from, lasting, raw, sse, streaming
from tests.support import CANARY, Model
from tests.system import Listener, listening

BODY = {"contents": contents("hello")}


pytestmark = pytest.mark.usefixtures("collected")


def way(environ: Mapping[str, str], backend: str = "gemini") -> Gemini:
    """The way to a backend, where nothing is noted."""
    return Gemini(endpoint_for(Backend(backend), environ, pytest.fail))


def failed(call: Callable[[], Any]) -> GemcliError:
    """The error of a call."""
    return error_from(call)


# Endpoints


@pytest.mark.parametrize("scheme", ["http", "HTTP", "Http", " http"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain_http_avoids_proxies(variable: str, scheme: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that goes out unprotected goes to this machine itself: no proxy sees it, however the URL is written."""
    with Model() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        env = model.env | {"GOOGLE_GEMINI_BASE_URL": model.url.replace("http", scheme)}
        with contextlib.suppress(GemcliError):  # to refuse such a URL would do as well
            way(env).ask("gemini-test", BODY, lasting(20))
        assert proxy.requests == []


def test_https_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is asked for a tunnel and learns the host, never the key; if it refuses, nothing was sent."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    with listening(handle) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        gemini = way({"GEMINI_API_KEY": "canary-key", "GOOGLE_GEMINI_BASE_URL": "https://gemini.invalid"})
        error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(20)))
    assert (error.reason, error.exit, error.outcome) == ("CONNECT", 75, "rejected")
    place = "gemini.invalid (GOOGLE_GEMINI_BASE_URL) through the proxy of HTTPS_PROXY"
    assert error.message == f"no connection to {place}: 403 Forbidden"
    assert len(proxy.seen) == 1
    assert proxy.seen[0].startswith(b"CONNECT gemini.invalid:443 ")
    assert b"canary" not in proxy.seen[0]


@pytest.mark.parametrize(
    ("proxy", "hint"),
    [
        ("socks5://user:PASSW@127.0.0.1:1", "pip install 'httpx2[socks]'"),
        ("socks5h://127.0.0.1:1", "pip install 'httpx2[socks]'"),
        ("gopher://user:PASSW@127.0.0.1:1", "http://"),
        ("http://user:PA/SSW@127.0.0.1:1", "http://"),
        ("http://user:PASSW@[::1", "http://"),
    ],
)
def test_proxy_that_cannot_be_used(proxy: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that no client can be made for is a matter of configuration: 78, nothing sent, no password told."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    gemini = way({"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": "https://gemini.invalid"})
    error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(20)))
    assert (error.reason, error.exit, error.outcome, error.retryable) == ("BASE_URL", 78, "rejected", False)
    assert hint in str(error.hint)
    trace = "".join(traceback.format_exception(error))
    assert not any(word in trace + str(error.hint) for word in ("user:", "PASSW", "'PA'", "SSW"))


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "gopher://127.0.0.1:1", "http://[::1"])
def test_what_needs_no_proxy(proxy: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that cannot be used is no matter on this machine, to the simulator, and where nothing is sent."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert way({"GEMINI_API_KEY": "k"}).preview("gemini-test", BODY)["method"] == "POST"
    network = {"GOOGLE_GEMINI_BASE_URL": "http://example.org", "GOOGLE_GENAI_USE_VERTEXAI": "1"}
    assert "hello" in str(way(network, "simulator").ask("simulator/echo", BODY, lasting(20))["candidates"])
    assert way(model.env).ask("gemini-test", BODY, lasting(20))["candidates"]


def test_password_of_the_base_url(model: Model) -> None:
    """User and password of a base URL reach the server, and are left out where a request is shown."""
    secret = model.env | {"GOOGLE_GEMINI_BASE_URL": model.url.replace("//", "//user:PASSW@")}
    way(secret).ask("m", BODY, lasting(42))
    assert model.headers[0]["Authorization"] == "Basic " + base64.b64encode(b"user:PASSW").decode()
    assert model.headers[0]["X-Server-Timeout"] == "42"  # the server learns how long the caller will wait
    gemini = way({"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": "https://user:PASSW@example.org/a"})
    shown = gemini.preview("gemini-test", BODY)["url"]
    assert shown == "https://example.org/a/v1/models/gemini-test:streamGenerateContent?alt=sse"


# One request


def test_body_goes_out_as_given(model: Model) -> None:
    """The body reaches the wire value for value, unknown keys and all; the SDK adds an empty generationConfig."""
    body = {
        "contents": [{"role": "user", "parts": [{"text": "a\ud800\u2028é", "unknown": {"snake_key": [None, 2**70]}}]}],
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}, {"googleSearch": {}}],
        "newField": {"newer_field": 1.5},
    }
    model.script(answer("hi"))
    assert way(model.env).ask("gemini-test", body, lasting(20)) == answer("hi")
    assert model.requests == [body | {"generationConfig": {}}]


def test_answer_that_is_no_stream(model: Model) -> None:
    """A server that answers with one JSON object, as a proxy that cannot stream, is understood; half of one is not."""
    whole = json.dumps(answer("hi"), indent=2).encode()
    model.script(raw(200, whole), raw(200, whole[:-1]), raw(200, b'{"error": {"code": 429}}'))
    gemini, heard = way(model.env), list[Any]()
    assert gemini.ask("gemini-test", BODY, lasting(20), heard.append) == answer("hi")
    assert heard == [answer("hi")]
    error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(20)))
    assert (error.reason, error.outcome, error.partial) == ("BAD_RESPONSE", "unknown", whole[:-1].decode())
    error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(20)))
    assert (error.reason, error.outcome) == ("RATE_LIMIT", "rejected")


@pytest.mark.parametrize(
    "body",
    [
        answer({"text": "hi", "thoughtSignature": "not base64!"}),
        answer("hi", usageMetadata={"totalTokenCount": "many"}),
        answer("hi", modelVersion=7, createTime="yesterday"),
        answer({"text": "hi", "thought": "perhaps"}),
        answer({"functionCall": {"name": "f", "args": [1, 2]}}),
    ],
    ids=["signature", "usage", "version", "thought", "args"],
)
def test_answers_the_sdk_cannot_read(body: Mapping[str, Any], model: Model) -> None:
    """An answer that was paid for is not lost because the SDK's types do not fit it."""
    model.script(body)
    assert way(model.env).ask("gemini-test", BODY, lasting(20)) == body


def test_page_instead_of_an_answer(model: Model) -> None:
    """A page with HTTP 200, such as a network portal sends, is told with what it says."""
    page = b"\n<!doctype html><title>Hotel</title> <p>Please <b>log in</b></p>"
    model.script(raw(200, page))
    error = failed(lambda: way(model.env).ask("gemini-test", BODY, lasting(20)))
    assert (error.reason, error.message) == ("BAD_RESPONSE", "the answer is a page of the web: Hotel Please log in")
    assert error.partial == page.decode()


def test_many_threads(model: Model) -> None:
    """Each of many threads on one way to the model gets its own answer, after a failure too."""
    gemini = way(model.env)
    model.script(json_reply({"error": {"code": 503}}, 503))
    assert failed(lambda: gemini.ask("gemini-test", BODY, lasting(20))).reason == "UNAVAILABLE"

    def ask(number: int) -> str:
        return str(gemini.ask("gemini-test", {"contents": contents(f"<{number}>")}, lasting(30)))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert len(model.requests) == 17
    assert all(f"<{number}>" in answers[number] for number in range(16))


@pytest.mark.parametrize("token", ["/+8=", "_-8", "not base64 \u00e9\u2028", "A" * 100_000])
def test_token_goes_back_as_it_came(token: str, model: Model) -> None:
    """A token to resume from goes out beside the Contents letter for letter; the SDK would write it anew."""
    gemini = way(model.env)
    model.script(streaming(sse(checkpoint(token, "half", finish="CONTINUATION"))), answer("whole"))
    received: Any = gemini.ask("gemini-test", BODY, lasting(20))
    body = BODY | {"continuationToken": received["candidates"][0]["continuationToken"]}
    gemini.ask("gemini-test", body, lasting(20))
    assert model.requests == [
        BODY | {"generationConfig": {}},
        BODY | {"continuationToken": token, "generationConfig": {}},
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GOOGLE_GENAI_CLIENT_MODE", "replay"),
        ("GOOGLE_GENAI_CLIENT_MODE", "record"),
        ("GOOGLE_GENAI_HTTP_CLIENT", "httpx"),
        ("GOOGLE_GENAI_USE_ENTERPRISE", "true"),
        ("GOOGLE_GENAI_USE_VERTEXAI", "true"),
        ("GOOGLE_CLOUD_PROJECT", "somebody"),
        ("GOOGLE_CLOUD_LOCATION", "nowhere"),
        ("GOOGLE_VERTEX_BASE_URL", "http://127.0.0.1:9"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent.json"),
    ],
)
def test_environment_of_the_sdk(variable: str, value: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that would make the SDK another client change nothing."""
    monkeypatch.setenv(variable, value)
    model.script(answer("hi"))
    assert way({**os.environ, **model.env}).ask("gemini-test", BODY, lasting(20)) == answer("hi")
    assert model.headers[0]["x-goog-api-key"] == CANARY
    assert "Authorization" not in model.headers[0]


# Time


def dripping(data: bytes) -> Callable[[Listener, socket.socket], None]:
    """Read a request, then send `data` a byte every 0.1 s, and nothing more."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        for byte in data:
            connection.sendall(bytes([byte]))
            if listener.stop.wait(0.1):
                return
        listener.stop.wait()

    return handle


def test_time_is_up() -> None:
    """However slowly a server answers, the call ends in time, with an unknown outcome."""
    with listening(dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + b" " * 500)) as listener:
        gemini, start = way(listener.env), time.monotonic()
        error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(1.5)))
    assert time.monotonic() - start < 4
    assert (error.reason, error.exit, error.outcome) == ("TIMEOUT", 75, "unknown")
    place = f"127.0.0.1:{listener.port} (GOOGLE_GEMINI_BASE_URL)"
    assert error.message.startswith(f"no answer from {place} ")
    assert len(listener.seen) == 1


def test_late_connection_sends_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was given up while a name server thought is rejected, and is not sent afterwards either."""
    resolve, resolved = socket.getaddrinfo, threading.Event()

    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(1.5)
        try:
            return resolve(*args, **options)
        finally:
            resolved.set()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    gemini = way(model.env | {"GOOGLE_GEMINI_BASE_URL": model.url.replace("127.0.0.1", "localhost")})
    error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(0.5)))
    assert (error.reason, error.exit, error.outcome) == ("CONNECT_TIMEOUT", 75, "rejected")
    assert resolved.wait(20)
    time.sleep(0.5)
    assert model.requests == []


def test_time_is_up_in_a_stream(model: Model) -> None:
    """The time limit holds while chunks are read that arrived all at once, and that take long to print."""
    gemini = way(model.env)
    model.script(streaming(sse(*[chunk("x")] * 999, chunk("x", finish="STOP"))))
    start = time.monotonic()
    error = failed(lambda: gemini.ask("gemini-test", BODY, lasting(0.5), lambda _chunk: time.sleep(0.01)))
    assert time.monotonic() - start < 3
    assert (error.reason, error.outcome) == ("TIMEOUT", "unknown")
    partial: Any = error.partial
    assert len(partial["candidates"][0]["content"]["parts"][0]["text"]) < 500


# Signals


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals as the program has them."""
    with raised():
        yield


def interrupted(gemini: Gemini, before: signal.Signals | None = None) -> GemcliError:
    """The error of a call that a signal ends; the signal comes first if one is given."""

    def call() -> None:
        with deferred:
            if before:
                os.kill(os.getpid(), before)
            gemini.ask("gemini-test", BODY, lasting(20))

    return failed(call)


def test_signal_before_the_call(model: Model, handlers: None) -> None:
    """A signal that came before the call keeps the request from being sent."""
    error = interrupted(way(model.env), before=signal.SIGTERM)
    assert (error.reason, error.exit, error.outcome) == ("INTERRUPTED", 143, "rejected")
    time.sleep(0.5)
    assert model.requests == []


def test_signal_while_the_request_is_recorded(model: Model, handlers: None) -> None:
    """A signal in the moment before a request leaves keeps it from leaving."""

    def call() -> None:
        with deferred:
            attempt = Attempt(lambda: os.kill(os.getpid(), signal.SIGTERM))
            way(model.env).ask("gemini-test", BODY, lasting(20), attempt=attempt)

    error = failed(call)
    assert (error.reason, error.exit, error.outcome) == ("INTERRUPTED", 143, "rejected")
    time.sleep(0.2)
    assert model.requests == []


def test_signal_after_a_checkpoint(model: Model, handlers: None) -> None:
    """What came up to a checkpoint before a signal is an answer, and the signal comes after it."""
    attempt, answers = Attempt(), list[Any]()
    model.script(streaming(sse(checkpoint("t", "a"), chunk("b")), 30.0))

    def stop(heard: Any) -> None:
        if heard == chunk("b"):
            os.kill(os.getpid(), signal.SIGTERM)

    def call() -> None:
        with deferred:
            answers.append(way(model.env).ask("gemini-test", BODY, lasting(20), stop, attempt))

    with pytest.raises(Interrupted):
        call()
    assert answers == [checkpoint("t", "a")]
    assert attempt.broken
    assert (attempt.broken.reason, attempt.broken.exit, attempt.broken.outcome) == ("INTERRUPTED", 143, "unknown")


def test_interrupted_once(model: Model, handlers: None) -> None:
    """A signal is used up by the call it ended: the next one in the same process is made."""
    gemini = way(model.env)
    assert interrupted(gemini, before=signal.SIGTERM).reason == "INTERRUPTED"
    model.script(answer("hi"))
    with deferred:
        assert gemini.ask("gemini-test", BODY, lasting(20))["candidates"]


def slow_sdk(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let something happen, and a second pass, between the last byte of an answer and the SDK's being done."""
    from google.genai.models import Models

    stream = Models.generate_content_stream

    def slow(*args: Any, **options: Any) -> Iterator[Any]:
        yield from stream(*args, **options)
        meanwhile()
        time.sleep(1)

    monkeypatch.setattr(Models, "generate_content_stream", slow)


def test_signal_after_the_answer(model: Model, handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that has arrived whole is not thrown away for a signal; the signal comes after it."""
    slow_sdk(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    model.script(answer("hi"))
    answers: list[Any] = []

    def call() -> None:
        with deferred:
            answers.append(way(model.env).ask("gemini-test", BODY, lasting(20)))

    with pytest.raises((Interrupted, GemcliError)) as caught:
        call()
    assert answers == [answer("hi")], caught.value
    assert caught.type is Interrupted


def test_time_up_after_the_answer(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that has arrived whole in time is not thrown away because the SDK is slow to say so."""
    gemini = way(model.env)
    gemini.ask("gemini-test", BODY, lasting(20))  # loads the SDK, which takes a while
    slow_sdk(monkeypatch, lambda: None)
    model.script(answer("hi"))
    assert gemini.ask("gemini-test", BODY, lasting(0.7)) == answer("hi")
