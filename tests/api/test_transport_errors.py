"""Errors below HTTP: the reason of each, and whether the request may have been answered."""

from __future__ import annotations

import socket
import ssl

import httpx2
import pytest

from gemcli.api.attempt import Attempt
from gemcli.api.transport_errors import TRANSPORT_ERRORS, error_of_transport
from gemcli.errors import GemcliError

UNMAPPED = {
    "HTTPError": "the base of others",
    "RequestError": "the base of others",
    "StreamError": "the base of others",
    "HTTPStatusError": "only raise_for_status raises it, which nobody calls",
    "TooManyRedirects": "redirects are not followed",
    "CookieConflict": "cookies are not read by name",
    "StreamConsumed": "a misuse of the client: a bug",
    "StreamClosed": "a misuse of the client: a bug",
    "ResponseNotRead": "a misuse of the client: a bug",
    "RequestNotRead": "a misuse of the client: a bug",
}
"""Exceptions of the HTTP library that are not in the table, and why."""


def test_every_exception_has_a_reason() -> None:
    """Each exception of the HTTP library is in the table, or is known not to be: new ones are noticed."""
    classes = [value for value in vars(httpx2).values() if isinstance(value, type)]
    kinds = tuple(kind for kind, _ in TRANSPORT_ERRORS)
    errors = {kind.__name__ for kind in classes if issubclass(kind, BaseException) and not issubclass(kind, kinds)}
    assert errors == UNMAPPED.keys()


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
        (GemcliError("TLS", "no certificates"), "TLS"),
        (socket.gaierror(-2, "unknown"), "DNS"),
        (httpx2.ConnectError("[Errno 24] Too many open files"), "CONNECT"),
        (OSError(24, "Too many open files"), "OUT_OF_RESOURCES"),
        (MemoryError(), "OUT_OF_RESOURCES"),
        (ValueError("surprise"), "BUG"),
        (httpx2.StreamConsumed(), "BUG"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_reasons(error: Exception, reason: str, sent: bool) -> None:
    """An error has one reason, found also when it is the cause of another; the outcome says if a request left."""
    attempt = Attempt()
    if sent:
        attempt.mark_sent()
    outer = KeyError("wrapped")
    outer.__cause__ = error
    found = error_of_transport(outer, attempt)
    assert (found.reason, found.outcome) == (reason, "unknown" if sent else "rejected")


def test_tls_error_after_sending_is_a_lost_connection() -> None:
    """A TLS error is a matter of certificates before the request has left, and a broken connection after."""
    attempt = Attempt()
    error = httpx2.ReadError("decryption failed")
    error.__cause__ = ssl.SSLError("decryption failed")
    assert error_of_transport(error, attempt).reason == "TLS"
    attempt.mark_sent()
    assert error_of_transport(error, attempt).reason == "CONNECTION_LOST"
