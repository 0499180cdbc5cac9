"""The HTTP client under the SDK, over real sockets: what each fault below HTTP means, and what is seen of an answer."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gemcli.api import http
from gemcli.api.attempt import CALL, Abandoned, Call
from gemcli.api.backends import Backend
from gemcli.api.credentials import access
from gemcli.api.gemini import Gemini
from gemcli.errors import GemcliError
from tests.support import Model, Reply, answer, contents, json_reply
from tests.system import Handler, Listener, listening

BODY = {"contents": contents("hello")}
ANSWER = json.dumps(answer("hi")).encode()


pytestmark = pytest.mark.usefixtures("collected")


def ask(url: str, seconds: float = 20) -> Any:
    """One request of one message to the model at `url`."""
    notes: list[str] = []
    gemini = Gemini(
        access(Backend("gemini"), {"GEMINI_API_KEY": "test-key", "GOOGLE_GEMINI_BASE_URL": url}, notes.append)
    )
    try:
        return gemini.generate("gemini-test", BODY, seconds)
    finally:
        assert notes == []


def failed(url: str, seconds: float = 20) -> GemcliError:
    """The error of one request to the model at `url`."""
    with pytest.raises(GemcliError) as caught:
        ask(url, seconds)
    return caught.value


def sending(data: bytes, *, reset: bool = False) -> Handler:
    """Read a request, send `data`, and close the connection."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        connection.sendall(data)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return handle


# What a fault means

UNMAPPED = {
    "HTTPError": "the base of others",
    "RequestError": "the base of others",
    "HTTPStatusError": "only raise_for_status raises it, which nobody calls",
    "TooManyRedirects": "redirects are not followed",
    "CookieConflict": "cookies are not read by name",
    "StreamError": "the base of others",
    "StreamConsumed": "a misuse of the client: a bug",
    "StreamClosed": "a misuse of the client: a bug",
    "ResponseNotRead": "a misuse of the client: a bug",
    "RequestNotRead": "a misuse of the client: a bug",
}
"""Exceptions of the HTTP library that have no meaning of their own here, and why."""


def test_every_exception_has_a_meaning() -> None:
    """Each exception that the HTTP library shows is mapped, or known to have no meaning: new ones are noticed."""
    public = {name: value for name, value in vars(httpx2).items() if not name.startswith("_")}
    errors = {name: value for name, value in public.items() if isinstance(value, type)}
    errors = {name: value for name, value in errors.items() if issubclass(value, BaseException)}
    mapped = {name for name, kind in errors.items() if issubclass(kind, tuple(kind for kind, _ in http.FAULTS))}
    assert set(errors) - mapped == set(UNMAPPED)


@pytest.mark.parametrize("sent", [False, True], ids=["unsent", "sent"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx2.ConnectError("refused"), "CONNECT"),
        (httpx2.ConnectTimeout("slow"), "CONNECT_TIMEOUT"),
        (httpx2.PoolTimeout("full"), "CONNECT_TIMEOUT"),
        (httpx2.ReadTimeout("slow"), "TIMEOUT"),
        (httpx2.WriteTimeout("slow"), "TIMEOUT"),
        (httpx2.ReadError("reset"), "CONNECTION_LOST"),
        (httpx2.WriteError("reset"), "CONNECTION_LOST"),
        (httpx2.CloseError("reset"), "CONNECTION_LOST"),
        (httpx2.RemoteProtocolError("garbage"), "CONNECTION_LOST"),
        (httpx2.DecodingError("not gzip"), "BAD_RESPONSE"),
        (httpx2.LocalProtocolError("bad header"), "BAD_KEY"),
        (httpx2.UnsupportedProtocol("gopher"), "BASE_URL"),
        (httpx2.InvalidURL("no url"), "BASE_URL"),
        (httpx2.ProxyError("403"), "CONNECT"),
        (socket.gaierror(-2, "unknown"), "DNS"),
        (ValueError("surprise"), "BUG"),
        (httpx2.StreamConsumed(), "BUG"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_faults(error: Exception, reason: str, sent: bool) -> None:
    """A fault has one reason, found also when it is the cause of another, and the outcome says if a request left."""
    call = Call()
    if sent:
        call.leave()
    try:
        try:
            raise error
        except Exception as cause:
            raise KeyError("wrapped") from cause
    except KeyError as outer:
        found = http.fault(outer, call)
    assert (found.reason, found.outcome) == (reason, "unknown" if sent else "rejected")


def test_tls_fault_after_sending_is_a_lost_connection() -> None:
    """A TLS error is a matter of certificates before the request has left, and a broken connection after."""
    call = Call()
    error = httpx2.ReadError("decryption failed")
    error.__cause__ = ssl.SSLError("decryption failed")
    assert http.fault(error, call).reason == "TLS"
    call.leave()
    assert (http.fault(error, call).reason, http.fault(error, call).outcome) == ("CONNECTION_LOST", "unknown")


# No connection


def test_refused() -> None:
    """Nobody listens: CONNECT, and nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = failed(f"http://127.0.0.1:{port}")
    assert (error.reason, error.exit, error.outcome, error.http) == ("CONNECT", 75, "rejected", None)


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no name server knows: DNS, and nothing was sent."""
    asked = []

    def unknown(host: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failed("https://gemini.invalid")
    assert (error.reason, error.exit, error.outcome) == ("DNS", 75, "rejected")
    assert {host.decode() if isinstance(host, bytes) else host for host in asked} == {"gemini.invalid"}


# Certificates


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine that nobody else has signed, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    today = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today - datetime.timedelta(days=1))
    builder = builder.not_valid_after(today + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[Listener]:
    """An https server that shows the certificate and answers each request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handle(listener: Listener, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tunnel:
            listener.request(tunnel)
            tunnel.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))

    with listening(handle) as listener:
        listener.url = f"https://127.0.0.1:{listener.port}"
        yield listener


def test_untrusted_certificate(secure: Listener) -> None:
    """A server with a certificate of its own making gets nothing: TLS, rejected, and no byte inside the tunnel."""
    error = failed(secure.url)
    assert (error.reason, error.exit, error.outcome) == ("TLS", 78, "rejected")
    assert "SSL_CERT_FILE" in str(error.hint)
    assert secure.seen == [b""]


def test_trusted_certificate(secure: Listener, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE makes a certificate trusted, and the answer comes through."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(secure.url) == answer("hi")


def test_certificate_of_another_host(secure: Listener, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted certificate of another name is refused too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    error = failed(f"https://localhost:{secure.port}")
    assert (error.reason, error.outcome) == ("TLS", "rejected")
    assert set(map(bytes, secure.seen)) == {b""}


def test_plain_server_under_https(model: Model) -> None:
    """A server that speaks plain HTTP on an https URL is a TLS fault, and gets no request."""
    error = failed(model.url.replace("http:", "https:"))
    assert (error.reason, error.exit, error.outcome) == ("TLS", 78, "rejected")
    assert model.requests == []


# Broken connections

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("data", "http"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r\ncontent-", None),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", None),
        (b"HTTP/1.1 two hundred\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", None),
        (HEAD + b"content-length: 5000\r\n\r\n" + ANSWER, 200),
        (HEAD + b"content-length: 5000\r\n\r\n", 200),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(ANSWER), ANSWER), 200),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nnot a size\r\n", 200),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 50\r\n\r\n{", 503),
    ],
    ids=[
        *("before-the-head", "in-the-head", "garbage", "odd-status", "odd-header", "short-body", "no-body"),
        *("no-last-chunk", "odd-chunk", "error-cut"),
    ],
)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_broken_connection(data: bytes, http: int | None, reset: bool) -> None:
    """A connection that ends before the answer is whole is CONNECTION_LOST, outcome unknown, never an answer."""
    with listening(sending(data, reset=reset)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.exit, error.outcome) == ("CONNECTION_LOST", 75, "unknown")
    # After a reset the head may be lost as well.
    assert error.http in ({http, None} if reset else {http})
    assert len(listener.seen) == 1


def test_gzip() -> None:
    """A compressed answer is read like any other."""
    packed = gzip.compress(ANSWER)
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with listening(sending(head + packed)) as listener:
        assert ask(listener.url) == answer("hi")


@pytest.mark.parametrize("code", [200, 429])
def test_not_gzip(code: int) -> None:
    """An answer that says it is compressed and is not is BAD_RESPONSE, outcome unknown."""
    head = b"HTTP/1.1 %d X\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello" % code
    with listening(sending(head)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.exit, error.http, error.outcome) == ("BAD_RESPONSE", 76, code, "unknown")


def test_cut_gzip() -> None:
    """A compressed answer that stops in the middle is never taken for an answer."""
    packed = gzip.compress(ANSWER)[:-12]
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with listening(sending(head + packed)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.outcome) == ("BAD_RESPONSE", "unknown")


def test_answer_without_length() -> None:
    """An answer that ends with the connection is whole when its JSON is."""
    with listening(sending(HEAD + b"connection: close\r\n\r\n" + ANSWER)) as listener:
        assert ask(listener.url) == answer("hi")


def test_header_names_in_any_case() -> None:
    """Header names of an answer count whatever their case."""
    head = b"HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\nContent-LENGTH: 0\r\n\r\n"
    with listening(sending(head)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.retry_after, error.outcome) == ("RATE_LIMIT", 7.0, "rejected")


def test_early_hints_are_skipped() -> None:
    """Informational answers before the real one are not the answer."""
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    data = early + HEAD + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
    with listening(sending(data)) as listener:
        assert ask(listener.url) == answer("hi")


# The client itself


@pytest.fixture
def client(model: Model) -> Iterator[httpx2.Client]:
    """The client for the scripted model."""
    with http.client(model.url, None) as client:
        yield client


def test_second_request_is_refused(client: httpx2.Client, model: Model) -> None:
    """One call makes one request; another one does not reach the model."""
    CALL.set(Call())
    model.script({}, {})
    client.post(model.url, json={})
    with pytest.raises(RuntimeError, match="second request"):
        client.post(model.url, json={})
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://127.0.0.1:1", "http://127.0.0.1:2/x"),
        ("http://127.0.0.1:1", "https://127.0.0.1:1/x"),
        ("https://gemini.example", "https://gemini.example.evil.example/x"),
        (None, "https://evil.example/-aiplatform.googleapis.com/x"),
        (None, "https://evil.example/#-aiplatform.googleapis.com/x"),
        (None, "https://evilgoogleapis.com/x"),
        (None, "http://aiplatform.googleapis.com/x"),
    ],
)
def test_nothing_goes_to_a_host_that_nobody_named(base_url: str | None, url: str) -> None:
    """A request for another server than that of the base URL, or of Google, is refused before it leaves."""
    transport = http.Preview()
    call = Call()
    CALL.set(call)
    with http.client(base_url, transport) as client, pytest.raises(http.UnexpectedHost) as caught:
        client.post(url, headers={"authorization": "Bearer t"}, json={})
    assert (transport.request, call.sent) == (None, False)
    assert http.fault(caught.value, call).reason == "UNEXPECTED_HOST"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (None, "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"),
        (None, "https://europe-west4-aiplatform.googleapis.com/v1/x"),
        (None, "https://aiplatform.us.rep.googleapis.com/v1/x"),
        (None, "https://aiplatform.mtls.googleapis.com/v1/x"),
        ("https://gemini.example:443/base", "https://gemini.example/base/v1/x"),
    ],
)
def test_hosts_that_were_named(base_url: str | None, url: str) -> None:
    """The hosts of Google's APIs and the server of the base URL get their requests."""
    transport = http.Preview()
    CALL.set(Call())
    with http.client(base_url, transport) as client:
        client.post(url, json={})
    assert str(transport.request and transport.request.url) == url


def test_abandoned_request_is_not_sent(client: httpx2.Client, model: Model) -> None:
    """A call that was given up before its request left sends nothing, although the connection is there."""
    call = Call()
    CALL.set(call)
    assert call.abandon() is False
    with pytest.raises(Abandoned):
        client.post(model.url, json={})
    assert (model.requests, call.sent) == ([], False)


def test_request_counts_as_sent_before_it_leaves() -> None:
    """By the time a server sees a request, the call says that it was sent."""
    call = Call()
    CALL.set(call)
    seen: list[bool] = []

    def watched(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        seen.append(call.sent)
        connection.sendall(HEAD + b"content-length: 2\r\n\r\n{}")

    with listening(watched) as listener, http.client(listener.url, None) as own:
        own.post(listener.url, json={})
    assert seen == [True]
    assert (call.complete, call.status, bytes(call.body)) == (True, 200, b"{}")


def test_unread_stream_is_not_complete(client: httpx2.Client, model: Model) -> None:
    """An answer counts as complete only when its last byte was read."""
    call = Call()
    CALL.set(call)
    model.script(Reply(200, {}, (b"one", b"two")))
    with client.stream("POST", model.url, json={}) as response:
        assert call.status == 200
        assert call.complete is False
        assert response.read() == b"onetwo"
    assert (call.complete, bytes(call.body)) == (True, b"onetwo")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int, client: httpx2.Client, model: Model) -> None:
    """A redirect is an answer, and nothing goes where it points."""
    CALL.set(Call())
    model.script(Reply(code, {"location": model.url + "/other"}, (b"",)), json_reply({}))
    assert client.post(model.url, json={}).status_code == code
    assert len(model.requests) == 1
