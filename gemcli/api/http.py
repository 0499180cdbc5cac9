"""The HTTP client under the SDK: it sends once, follows no redirect, and sees every byte.

It is imported only when a request is made. Why gemcli reads the bytes itself: see `gemini`.
"""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gemcli.api.attempt import CURRENT_ATTEMPT, Attempt
from gemcli.errors import GemcliError

CONNECT_TIMEOUT = 30.0
"""Seconds for the connection alone; the SDK has one time limit for everything."""

CERTIFICATES = "unset it, or set it to the certificates that you trust"
"""What to do about a variable that names no certificates."""

ENCODING_HEADERS = {"content-encoding", "content-length", "transfer-encoding"}
"""Headers of an answer that no longer hold once its body is decompressed."""


class Client(httpx2.Client):
    """An HTTP client that notes in `CURRENT_ATTEMPT` what it sends and receives.

    It sends to the server of `base_url` only, or without one to Google's APIs: whatever a project,
    a location or a model is called, key, token and conversation go nowhere else.
    """

    def __init__(self, base_url: str | None, variable: str | None, **options: Any) -> None:
        super().__init__(**options)
        self._server = None if base_url is None else _server(httpx2.URL(base_url))
        self._variable = variable

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send the one request of an attempt; its answer is noted while the SDK reads it."""
        self._require_expected_host(request.url)
        attempt = CURRENT_ATTEMPT.get()
        attempt.target = attempt.target or self._target(request.url)
        attempt.start()
        attempt.secrets.token = request.headers.get("authorization", "").removeprefix("Bearer ")
        limits = request.extensions.get("timeout") or {}
        connect = min(limits.get("connect") or CONNECT_TIMEOUT, CONNECT_TIMEOUT)
        request.extensions["timeout"] = {**limits, "connect": connect}
        self._watch_departure(request, attempt)
        inner = super().send(request, stream=True, **options)
        attempt.set_head(inner.status_code, inner.headers)
        kept = [item for item in inner.headers.multi_items() if item[0] not in ENCODING_HEADERS]
        body = _Diversion(inner, attempt)
        outer = httpx2.Response(inner.status_code, headers=kept, request=request, stream=body)
        if not stream:
            with closing(outer):
                outer.read()
        return outer

    def _require_expected_host(self, url: httpx2.URL) -> None:
        """Raise `GemcliError` (UNEXPECTED_HOST) for a URL on a server that nobody named."""
        if self._server is None:
            expected = url.scheme == "https" and url.host.endswith(".googleapis.com")
        else:
            expected = _server(url) == self._server
        if not expected:
            what = f"the request would go to {url.scheme}://{url.host}"
            what += ", which is not the configured server"
            raise GemcliError("UNEXPECTED_HOST", what)

    def _target(self, url: httpx2.URL) -> str:
        """The server of a URL, and the variables that lead there, for messages."""
        target = url.netloc.decode("ascii")
        if self._variable:
            target += f" ({self._variable})"
        proxy = _proxy_variable(url) if self.trust_env else None
        return f"{target} through the proxy of {proxy}" if proxy else target

    def _watch_departure(self, request: httpx2.Request, attempt: Attempt) -> None:
        """Mark the attempt as sent just before the request leaves."""
        if not isinstance(self._transport, httpx2.HTTPTransport):
            attempt.mark_sent()
            return

        def trace(event: str, info: dict[str, Any]) -> None:
            # A proxy is first asked for a tunnel; that request carries nothing of ours.
            tunnel = getattr(info.get("request"), "method", b"") == b"CONNECT"
            if event.endswith("send_request_headers.started") and not tunnel:
                attempt.mark_sent()

        request.extensions["trace"] = trace


class _Diversion(httpx2.SyncByteStream):
    """The body of an answer: the attempt gets every byte, and the SDK none."""

    def __init__(self, response: httpx2.Response, attempt: Attempt) -> None:
        self._response = response
        self._attempt = attempt

    def __iter__(self) -> Iterator[bytes]:
        for data in self._response.iter_bytes():
            if not self._attempt.receive(data):
                break
        self._attempt.complete = True
        yield b""

    def close(self) -> None:
        self._response.close()


def client(
    base_url: str | None, transport: httpx2.BaseTransport | None, variable: str | None = None
) -> Client:
    """A client for one base URL, which `variable` holds (None: the API's own).

    Raises `GemcliError` (BASE_URL, TLS) for proxies and certificates that cannot be used.
    """
    # Plain HTTP is for this machine only, so no proxy of the environment may come between.
    local = base_url is not None and urlsplit(base_url).scheme == "http"
    with _proxies_checked():
        return Client(
            base_url,
            variable,
            transport=transport,
            verify=False if local else _certificates(),
            trust_env=not local,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=None,
        )


def _server(url: httpx2.URL) -> tuple[str, str, int | None]:
    """What tells one server from another; the port is None for the scheme's own."""
    return url.scheme, url.host, url.port


def _proxy_variable(url: httpx2.URL) -> str | None:
    """The variable of the environment that names the proxy for a URL, if one does."""
    if urllib.request.proxy_bypass(url.host):
        return None
    names = (f"{url.scheme}_proxy", "all_proxy")
    variables = [variable for name in names for variable in (name, name.upper())]
    return next((variable for variable in variables if os.environ.get(variable)), None)


@contextmanager
def _proxies_checked() -> Iterator[None]:
    """Say what is wrong with the environment's proxies; the library would quote passwords."""
    try:
        yield
    except ImportError:
        what, hint = "no package for SOCKS proxies is installed", "run: pip install 'httpx2[socks]'"
        raise GemcliError("BASE_URL", what, hint=hint) from None
    except (ValueError, httpx2.InvalidURL):
        what = "the URL of the proxy in the environment is invalid"
        hint = "set ALL_PROXY or HTTPS_PROXY to http://, https:// or socks5://, a host, and a port"
        raise GemcliError("BASE_URL", what, hint=hint) from None


def require_bundle() -> None:
    """Raise `GemcliError` (TLS) if the library that gets access tokens would find none."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            if not os.path.exists(path):
                raise GemcliError("TLS", f"{name}={path} names no file", hint=CERTIFICATES)
            return


def _certificates() -> ssl.SSLContext:
    """The certificates to trust, chosen as the SDK does for its own client."""
    file, directories = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    # OpenSSL does not mind if none of the directories exists; then no server can be trusted.
    if directories and not any(map(os.path.isdir, directories.split(os.pathsep))):
        what = f"SSL_CERT_DIR={directories} names no directory"
        raise GemcliError("TLS", what, hint=CERTIFICATES)
    if not file:
        if directories:
            return ssl.create_default_context(capath=directories)
        return httpx2.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=file, capath=directories or None)
    except OSError as error:  # ssl.SSLError is one, for a file that holds no certificates
        what = f"SSL_CERT_FILE={file}: {error.strerror or error}"
        raise GemcliError("TLS", what, hint=CERTIFICATES) from error
