"""The HTTP client under the SDK: it sends once, follows nothing, and sees every byte of the answer.

Imported only when a request is made. The SDK's own reading of an answer drops unknown fields and
refuses some answers that were paid for, so gemcli reads the bytes noted here instead.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import google.auth.credentials
import google.auth.exceptions
import google.oauth2.credentials
import httpx2

from gemcli.api.attempt import CALL, Call
from gemcli.errors import GemcliError, ReasonName

CONNECT_TIMEOUT = 30.0
"""Seconds for the connection alone; the SDK knows one time limit for everything."""


class UnusableProxy(Exception):
    """The proxy that the environment names is none that a client can be made for.

    `hint` is what would be.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class UnexpectedHost(Exception):
    """A request was about to go where neither the backend nor the base URL sends it."""


GOOGLE = ".googleapis.com"
"""What the hosts of Google's APIs end with."""

FAULTS: tuple[tuple[type[BaseException], ReasonName], ...] = (
    (UnusableProxy, "BASE_URL"),
    (UnexpectedHost, "UNEXPECTED_HOST"),
    (ssl.SSLError, "TLS"),
    (socket.gaierror, "DNS"),
    (google.auth.exceptions.TransportError, "CONNECT"),
    (google.auth.exceptions.GoogleAuthError, "NO_CREDENTIALS"),
    (httpx2.ConnectTimeout, "CONNECT_TIMEOUT"),
    (httpx2.PoolTimeout, "CONNECT_TIMEOUT"),
    (httpx2.TimeoutException, "TIMEOUT"),
    (httpx2.ConnectError, "CONNECT"),
    (httpx2.ProxyError, "CONNECT"),
    (httpx2.UnsupportedProtocol, "BASE_URL"),
    (httpx2.InvalidURL, "BASE_URL"),
    (httpx2.LocalProtocolError, "BAD_KEY"),
    (httpx2.DecodingError, "BAD_RESPONSE"),
    (httpx2.TransportError, "CONNECTION_LOST"),
)
"""What a failure below HTTP means.

The first class that fits the error or one of its causes decides.
"""


class Client(httpx2.Client):
    """An HTTP client that notes what it sends and receives in the thread's `CALL`.

    It sends to the server of `base_url` only, or without one to Google's APIs: whatever a project,
    a location or a model is called, key, token and conversation go nowhere else.
    """

    def __init__(self, base_url: str | None, **options: Any) -> None:
        super().__init__(**options)
        self._server = None if base_url is None else _server(httpx2.URL(base_url))

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send one request, and hand the SDK an answer whose bytes are noted as it reads them."""
        self._require_expected(request.url)
        call = CALL.get()
        call.start()
        call.token = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        self._watch(request, call)
        inner = super().send(request, stream=True, **options)
        call.begin(
            inner.status_code, {name.lower(): value for name, value in inner.headers.items()}
        )
        # The body is handed on decompressed, so what describes its packing must not be.
        packing = ("content-encoding", "content-length", "transfer-encoding")
        headers = [
            (name, value)
            for name, value in inner.headers.multi_items()
            if name.lower() not in packing
        ]
        outer = httpx2.Response(
            inner.status_code, headers=headers, request=request, stream=_Tee(inner, call)
        )
        if not stream:
            try:
                outer.read()
            finally:
                outer.close()
        return outer

    def _require_expected(self, url: httpx2.URL) -> None:
        """Raise `UnexpectedHost` for a URL on another server than the one that was named."""
        google = url.scheme == "https" and url.host.endswith(GOOGLE)
        if not google if self._server is None else _server(url) != self._server:
            raise UnexpectedHost(
                f"it would go to {url.scheme}://{url.host}, which nobody asked for"
            )

    def _watch(self, request: httpx2.Request, call: Call) -> None:
        """Learn when the request leaves, and bound the time to connect."""
        if isinstance(self._transport, httpx2.HTTPTransport):
            request.extensions["trace"] = lambda event, info: _on_event(event, info, call)
        else:
            call.leave()
        limits = request.extensions.get("timeout") or {}
        connect = limits.get("connect")
        request.extensions["timeout"] = {
            **limits,
            "connect": min(connect or CONNECT_TIMEOUT, CONNECT_TIMEOUT),
        }


class _Tee(httpx2.SyncByteStream):
    def __init__(self, response: httpx2.Response, call: Call) -> None:
        self._response = response
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        for data in self._response.iter_bytes():
            self._call.feed(data)
            # The SDK gets a hollow event for each piece of a stream: its own reader would stop at
            # the first thing it does not know, and what follows was paid for.
            yield b"data: {}\n\n" if self._call.streams else data
        self._call.complete = True

    def close(self) -> None:
        self._response.close()


class Preview(httpx2.BaseTransport):
    """A transport that sends nothing, and remembers the request it was given."""

    def __init__(self) -> None:
        self.request: httpx2.Request | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Keep the request; the answer is an empty object."""
        request.read()
        self.request = request
        return httpx2.Response(200, json={})


def _server(url: httpx2.URL) -> tuple[str, str, int | None]:
    """What tells one server from another; the port is None for the scheme's own."""
    return url.scheme, url.host, url.port


def no_credentials() -> google.auth.credentials.Credentials:
    """Google Cloud credentials for a request that is not sent."""
    return google.oauth2.credentials.Credentials("no-token")  # type: ignore[no-untyped-call]  # google-auth is untyped


def client(base_url: str | None, transport: httpx2.BaseTransport | None) -> Client:
    """A client for one base URL (`None`: the API's own).

    Certificates and proxies come from the environment.

    Raises `UnusableProxy`.
    """
    local = base_url is not None and urlsplit(base_url).scheme == "http"
    # Plain HTTP is for this machine only, so no proxy may come between; nor are certificates
    # needed.
    verify = False if local else _certificates()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    with _proxies_checked():
        return Client(
            base_url,
            transport=transport,
            verify=verify,
            trust_env=not local,
            limits=limits,
            follow_redirects=False,
            timeout=None,
        )


@contextmanager
def _proxies_checked() -> Iterator[None]:
    """Tell what is wrong with the proxies of the environment.

    Without the library's words: they quote passwords.
    """
    try:
        yield
    except ImportError:
        raise UnusableProxy(
            "a SOCKS proxy needs a package that is missing", "pip install 'httpx2[socks]'"
        ) from None
    except (ValueError, httpx2.InvalidURL):
        hint = "ALL_PROXY or HTTPS_PROXY is http://, https:// or socks5://, a host, and a port"
        raise UnusableProxy(
            "the proxy of the environment has no URL that can be used", hint
        ) from None


def no_certificates() -> ssl.SSLContext:
    """A TLS context that trusts nobody, for a client that is never used."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def fault(error: BaseException, call: Call) -> GemcliError:
    """What a request that brought no whole answer means.

    An error that is not the network's is a bug.
    """
    causes = list(_causes(error))
    outcome = "unknown" if call.sent else "rejected"
    for kind, name in FAULTS:
        # A TLS error on a connection that has carried a request is a lost connection, not a bad
        # certificate.
        if name == "TLS" and call.sent:
            continue
        if found := next((cause for cause in causes if isinstance(cause, kind)), None):
            what = str(found) or type(found).__name__
            # A server of tokens that is busy says nothing about the credentials.
            busy = name == "NO_CREDENTIALS" and getattr(found, "retryable", False)
            reason: ReasonName = "UNAVAILABLE" if busy else name
            hint = found.hint if isinstance(found, UnusableProxy) else None
            return GemcliError(
                reason, f"the request failed: {what}", hint=hint, outcome=outcome, http=call.status
            )
    return GemcliError("BUG", f"{type(error).__name__}: {error}", outcome=outcome, http=call.status)


def _certificates() -> ssl.SSLContext:
    """The certificates to trust, chosen as the SDK does for its own client."""
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file or directory:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    return httpx2.create_ssl_context()


def _on_event(event: str, info: dict[str, Any], call: Call) -> None:
    # A proxy is first asked for a tunnel; that request carries nothing of ours.
    if (
        event.endswith("send_request_headers.started")
        and getattr(info.get("request"), "method", b"") != b"CONNECT"
    ):
        call.leave()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
