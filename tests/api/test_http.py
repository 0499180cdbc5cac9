"""The HTTP client under the SDK, over real sockets: broken connections, certificates, and what is seen of an answer."""

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

import httpcore2
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gemcli.api import attempt as limits
from gemcli.api import http
from gemcli.api.attempt import CURRENT_ATTEMPT, Abandoned, Attempt
from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.api.transport_errors import error_of_transport
from gemcli.errors import GemcliError
from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import answer, chunk, contents, error_from, lasting
from tests.support import CANARY, Model
from tests.system import Handler, Listener, listening

BODY = {"contents": contents("hello")}
ANSWER = json.dumps(answer("hi")).encode()


pytestmark = pytest.mark.usefixtures("collected")


def ask(url: str, seconds: float = 20) -> Any:
    """One request of one message to the model at `url`."""
    environ = {"GEMINI_API_KEY": CANARY, "GOOGLE_GEMINI_BASE_URL": url}
    gemini = Gemini(endpoint_for(Backend("gemini"), environ, pytest.fail))
    return gemini.ask("gemini-test", BODY, lasting(seconds))


def failed(url: str, seconds: float = 20) -> GemcliError:
    """The error of one request to the model at `url`."""
    return error_from(ask, url, seconds)


def sending(data: bytes, *, reset: bool = False) -> Handler:
    """Read a request, send `data`, and close the connection."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        connection.sendall(data)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return handle


# No connection


def test_refused() -> None:
    """Nobody listens: CONNECT, and nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = failed(f"http://127.0.0.1:{port}")
    assert (error.reason, error.exit, error.outcome, error.http) == ("CONNECT", 75, "rejected", None)
    assert error.message.startswith(f"no connection to 127.0.0.1:{port} (GOOGLE_GEMINI_BASE_URL): ")
    assert error.hint == "check GOOGLE_GEMINI_BASE_URL and the network; nothing was sent"


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no name server knows: DNS, and nothing was sent."""
    asked = []

    def unknown(host: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failed("https://gemini.invalid")
    assert (error.reason, error.exit, error.outcome) == ("DNS", 75, "rejected")
    assert error.message.startswith("no address was found of gemini.invalid (GOOGLE_GEMINI_BASE_URL): ")
    assert {host.decode() if isinstance(host, bytes) else host for host in asked} == {"gemini.invalid"}


PROXIES: dict[str, tuple[dict[str, str], str | None]] = {
    "none": ({}, None),
    "https": ({"HTTPS_PROXY": "http://p"}, "HTTPS_PROXY"),
    "lower-case": ({"https_proxy": "http://p", "ALL_PROXY": "http://p"}, "https_proxy"),
    "all": ({"ALL_PROXY": "http://p", "HTTP_PROXY": "http://p"}, "ALL_PROXY"),
    "exempt": ({"HTTPS_PROXY": "http://p", "NO_PROXY": "gemini.invalid"}, None),
    "other-exempt": ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.org"}, "HTTPS_PROXY"),
}


@pytest.mark.parametrize(("environ", "variable"), PROXIES.values(), ids=PROXIES)
def test_the_variable_of_the_proxy(
    environ: dict[str, str], variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is named whose proxy the HTTP library takes, and none if it takes none."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    url = httpx2.URL("https://gemini.invalid/x")
    used = httpx2.Client()._transport_for_url(url)
    assert http._proxy_variable(url) == variable
    assert (variable is not None) == isinstance(used._pool, httpcore2.HTTPProxy)  # type: ignore[attr-defined]


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
    """SSL_CERT_FILE makes a certificate trusted, and the answer comes through; under another name it is refused."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(secure.url) == answer("hi")
    secure.seen.clear()
    error = failed(f"https://localhost:{secure.port}")
    assert (error.reason, error.outcome) == ("TLS", "rejected")
    assert set(map(bytes, secure.seen)) == {b""}


def test_plain_server_under_https(model: Model) -> None:
    """A server that speaks plain HTTP on an https URL is a TLS fault, and gets no request."""
    error = failed(model.url.replace("http:", "https:"))
    assert (error.reason, error.exit, error.outcome) == ("TLS", 78, "rejected")
    assert model.requests == []


# Answers without an end


def flooding(head: bytes, piece: bytes) -> Handler:
    """Read a request, send `head`, and then this piece for ever."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece * 1000)

    return handle


EVENT = b"data: " + json.dumps(chunk("x" * 1000)).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("code", "piece", "reason", "outcome"),
    [
        (200, b"[1], ", "ANSWER_TOO_LONG", "unknown"),
        (200, b"<p>junk</p>\n", "ANSWER_TOO_LONG", "unknown"),
        (200, EVENT, "ANSWER_TOO_LONG", "unknown"),
        (500, b"<p>junk</p>\n", "SERVER_ERROR", "rejected"),
        (204, b"[1], ", "BAD_RESPONSE", "unknown"),
    ],
)
def test_endless_answer(code: int, piece: bytes, reason: str, outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without an end is left at a limit, long before the time is up, and little of it is kept."""
    monkeypatch.setattr(limits, "MAX_ANSWER", 4_000_000)
    monkeypatch.setattr(limits, "MAX_EVENT", 2_000_000)
    with listening(flooding(b"HTTP/1.1 %d X\r\n\r\n" % code, piece)) as listener:
        error = failed(listener.url, 30)
    assert (error.reason, error.outcome, error.http) == (reason, outcome, code)
    assert len(str(error.partial or "")) <= limits.MAX_KEPT
    assert len(error.message) < 300


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
@pytest.mark.parametrize(("code", "reason"), [(200, "ANSWER_TOO_LONG"), (500, "SERVER_ERROR")])
def test_decompression_bomb(encoding: str, code: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small answer that is a large one once it is decompressed: the large size counts, and it is never there."""
    monkeypatch.setattr(limits, "MAX_ANSWER", 4_000_000)
    body = b" " * 100_000_000
    for _ in encoding.split(", "):
        body = gzip.compress(body)
    head = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\ncontent-encoding: %b\r\n\r\n"
    sizes, receive = [], Attempt.receive

    def watched(self: Attempt, data: bytes) -> bool:
        sizes.append(len(data))
        return receive(self, data)

    monkeypatch.setattr(Attempt, "receive", watched)
    with listening(sending(head % (code, len(body), encoding.encode()) + body)) as listener:
        assert failed(listener.url).reason == reason
    assert max(sizes) <= 2**20
    assert sum(sizes) < 6_000_000


# Broken connections

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


BROKEN = {
    "before-the-head": (b"", None),
    "in-the-head": (b"HTTP/1.1 200 OK\r\ncontent-", None),
    "garbage": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", None),
    "odd-status": (b"HTTP/1.1 two hundred\r\n\r\n", None),
    "odd-header": (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", None),
    "short-body": (HEAD + b"content-length: 5000\r\n\r\n" + ANSWER, 200),
    "no-body": (HEAD + b"content-length: 5000\r\n\r\n", 200),
    "no-last-chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(ANSWER), ANSWER), 200),
    "odd-chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\nnot a size\r\n", 200),
    "error-cut": (b"HTTP/1.1 503 Busy\r\ncontent-length: 50\r\n\r\n{", 503),
}


@pytest.mark.parametrize(("data", "http"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_broken_connection(data: bytes, http: int | None, reset: bool) -> None:
    """A connection that ends before the answer is whole is CONNECTION_LOST, outcome unknown, never an answer."""
    with listening(sending(data, reset=reset)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.exit, error.outcome) == ("CONNECTION_LOST", 75, "unknown")
    # After a reset the head may be lost as well.
    assert error.http in ({http, None} if reset else {http})
    assert len(listener.seen) == 1


PACKED = gzip.compress(ANSWER)
GZIP = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n"

READABLE = {
    "gzip": GZIP % len(PACKED) + PACKED,
    "without-length": HEAD + b"connection: close\r\n\r\n" + ANSWER,
    "early-hints": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    + (HEAD + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER),
}


@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
def test_readable_answers(data: bytes) -> None:
    """An answer is read although it is compressed, ends with the connection, or comes after early hints."""
    with listening(sending(data)) as listener:
        assert ask(listener.url) == answer("hi")


CUT = PACKED[:-12]
HELLO = b"HTTP/1.1 %d X\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello"
BAD_GZIP = {"no-gzip": (HELLO % 200, 200), "error": (HELLO % 429, 429), "cut": (GZIP % len(CUT) + CUT, 200)}


@pytest.mark.parametrize(("data", "code"), BAD_GZIP.values(), ids=BAD_GZIP)
def test_bad_gzip(data: bytes, code: int) -> None:
    """An answer that says it is compressed and is not, or not to its end, is BAD_RESPONSE, outcome unknown."""
    with listening(sending(data)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.exit, error.http, error.outcome) == ("BAD_RESPONSE", 76, code, "unknown")


def test_header_names_in_any_case() -> None:
    """Header names of an answer count whatever their case."""
    head = b"HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\nContent-LENGTH: 0\r\n\r\n"
    with listening(sending(head)) as listener:
        error = failed(listener.url)
    assert (error.reason, error.retry_after, error.outcome) == ("RATE_LIMIT", 7.0, "rejected")


# The client itself


@pytest.fixture
def client(model: Model) -> Iterator[httpx2.Client]:
    """The client for the scripted model."""
    with http.client(model.url, None) as client:
        yield client


def test_second_request_is_refused(client: httpx2.Client, model: Model) -> None:
    """One attempt makes one request; a second one does not reach the model."""
    CURRENT_ATTEMPT.set(Attempt())
    model.script({}, {})
    client.post(model.url, json={})
    with pytest.raises(RuntimeError, match="second request"):
        client.post(model.url, json={})
    assert len(model.requests) == 1


def transport(requests: list[httpx2.Request]) -> httpx2.MockTransport:
    """A transport that sends nothing and remembers its requests."""

    def remember(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={})

    return httpx2.MockTransport(remember)


STRANGERS = [
    ("http://127.0.0.1:1", "http://127.0.0.1:2/x"),
    ("http://127.0.0.1:1", "https://127.0.0.1:1/x"),
    ("https://gemini.example", "https://gemini.example.evil.example/x"),
    (None, "https://evil.example/-aiplatform.googleapis.com/x"),
    (None, "https://evil.example/#-aiplatform.googleapis.com/x"),
    (None, "https://evilgoogleapis.com/x"),
    (None, "http://aiplatform.googleapis.com/x"),
]


@pytest.mark.parametrize(("base_url", "url"), STRANGERS)
def test_nothing_goes_to_a_host_that_nobody_named(base_url: str | None, url: str) -> None:
    """A request for another server than that of the base URL, or of Google, is refused before it leaves."""
    requests: list[httpx2.Request] = []
    attempt = Attempt()
    CURRENT_ATTEMPT.set(attempt)
    with http.client(base_url, transport(requests)) as client, pytest.raises(GemcliError) as caught:
        client.post(url, headers={"authorization": "Bearer t"}, json={})
    assert (requests, attempt.sent) == ([], False)
    assert error_of_transport(caught.value, attempt).reason == "UNEXPECTED_HOST"


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
    requests: list[httpx2.Request] = []
    CURRENT_ATTEMPT.set(Attempt())
    with http.client(base_url, transport(requests)) as client:
        client.post(url, json={})
    assert [str(request.url) for request in requests] == [url]


def test_abandoned_request_is_not_sent(client: httpx2.Client, model: Model) -> None:
    """An attempt that was abandoned before its request left sends nothing, although the connection is there."""
    attempt = Attempt()
    CURRENT_ATTEMPT.set(attempt)
    assert attempt.abandon() is False
    with pytest.raises(Abandoned):
        client.post(model.url, json={})
    assert (model.requests, attempt.sent) == ([], False)


def test_request_counts_as_sent_before_it_leaves() -> None:
    """By the time a server sees a request, the attempt says that it was sent."""
    attempt = Attempt()
    CURRENT_ATTEMPT.set(attempt)
    seen: list[bool] = []

    def watched(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        seen.append(attempt.sent)
        connection.sendall(HEAD + b"content-length: 2\r\n\r\n{}")

    with listening(watched) as listener, http.client(listener.url, None) as own:
        own.post(listener.url, json={})
    assert seen == [True]
    assert (attempt.complete, attempt.status, bytes(attempt.body)) == (True, 200, b"{}")


def test_unread_stream_is_not_complete(client: httpx2.Client, model: Model) -> None:
    """An answer counts as complete only when its last byte was read."""
    attempt = Attempt()
    CURRENT_ATTEMPT.set(attempt)
    model.script(Reply(200, {}, (b"one", b"two")))
    with client.stream("POST", model.url, json={}) as response:
        assert attempt.status == 200
        assert attempt.complete is False
        assert response.read() == b""  # the bytes are the attempt's
    assert (attempt.complete, bytes(attempt.body)) == (True, b"onetwo")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int, client: httpx2.Client, model: Model) -> None:
    """A redirect is an answer, and nothing goes where it points."""
    CURRENT_ATTEMPT.set(Attempt())
    model.script(Reply(code, {"location": model.url + "/other"}, (b"",)), json_reply({}))
    assert client.post(model.url, json={}).status_code == code
    assert len(model.requests) == 1


# What the environment names


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "missing.pem"),
        ("SSL_CERT_FILE", "."),
        ("SSL_CERT_FILE", "nonsense.pem"),
        ("SSL_CERT_DIR", "missing"),
        ("SSL_CERT_DIR", "nonsense.pem:missing"),
    ],
)
def test_certificates_that_are_none(variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no certificates is named: 78, nothing was sent."""
    (tmp_path / "nonsense.pem").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    error = failed("https://127.0.0.1:1")
    assert (error.reason, error.exit, error.outcome) == ("TLS", 78, "rejected")
    assert f"{variable}={value}" in error.message
    assert "unset it" in str(error.hint)


def test_no_certificates_are_needed_on_this_machine(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is encrypted, certificates do not matter."""
    monkeypatch.setenv("SSL_CERT_FILE", "missing.pem")
    assert ask(model.url)["candidates"]


@pytest.mark.parametrize("orderly", [True, False])
def test_connection_closed_in_the_handshake(orderly: bool) -> None:
    """A server that hangs up while TLS begins may be there again later: 75, and nothing was sent."""

    def hang_up(listener: Listener, connection: socket.socket) -> None:
        connection.recv(1)
        if not orderly:  # closed with bytes unread: reset
            return
        connection.recv(65536)

    with listening(hang_up) as listener:
        error = failed(listener.url.replace("http:", "https:"))
    assert (error.reason, error.exit, error.outcome) == ("CONNECT", 75, "rejected")


def test_cookies_are_not_sent(client: httpx2.Client, model: Model) -> None:
    """A server that sets cookies gets none of them back."""
    model.script(*[json_reply({}, 503, {"set-cookie": f"{name}=1; Path=/"}) for name in "abc"])
    for _ in range(3):
        CURRENT_ATTEMPT.set(Attempt())
        client.post(model.url + "/v1/x", json={})
    assert all("Cookie" not in headers for headers in model.headers)
    assert not client.cookies
