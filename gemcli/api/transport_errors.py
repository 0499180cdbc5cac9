"""What an error below HTTP means. Loads the HTTP library, so it is imported late."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence

import google.auth.exceptions
import httpx2

from gemcli.api.attempt import Attempt
from gemcli.errors import GemcliError, ReasonName, missing_resource, unexpected

TRANSPORT_ERRORS: tuple[tuple[type[BaseException], ReasonName], ...] = (
    (ssl.SSLEOFError, "CONNECT"),
    (ssl.SSLZeroReturnError, "CONNECT"),
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
"""The reason for each class; the first class that fits the error or one of its causes decides."""


WORDS: dict[ReasonName, str] = {
    "TLS": "no trusted connection to {target}",
    "DNS": "no address was found of {target}",
    "CONNECT": "no connection to {target}",
    "CONNECT_TIMEOUT": "no connection to {target} in time",
    "TIMEOUT": "no answer from {target} in time",
    "CONNECTION_LOST": "the connection to {target} broke",
    "BAD_RESPONSE": "the answer of {target} cannot be decompressed",
    "NO_CREDENTIALS": "no Google Cloud credentials that can be used",
}
"""What happened, in our words; what the library says follows it."""


def error_of_transport(error: BaseException, attempt: Attempt) -> GemcliError:
    """What a request means that brought no complete answer; secrets may still be in it."""
    outcome = "unknown" if attempt.sent else "rejected"
    causes = list(_with_causes(error))
    for cause in causes:
        if missing_resource(cause):
            return unexpected(cause, outcome)
    for cause in causes:
        if isinstance(cause, GemcliError):  # of our own HTTP client
            return cause.replace(outcome=outcome, http=attempt.status)
    known = _find(causes, sent=attempt.sent)
    if known is None:
        return unexpected(error, outcome)
    found, reason = known
    # Before it comes to the server of a request, that of the access tokens is asked.
    target = attempt.target or "the server of the access token"
    what = WORDS.get(reason, "the request failed").format(target=target)
    message = f"{what}: {str(found) or type(found).__name__}"
    return GemcliError(reason, message.rstrip(". "), outcome=outcome, http=attempt.status)


def _find(
    causes: Sequence[BaseException], *, sent: bool
) -> tuple[BaseException, ReasonName] | None:
    """The error that decides, of one and its causes, and its reason; None if it is not known."""
    for kind, reason in TRANSPORT_ERRORS:
        # Once a request was sent, a TLS error is a lost connection and not a bad certificate.
        if sent and issubclass(kind, ssl.SSLError):
            continue
        for cause in causes:
            if isinstance(cause, kind):
                # A token server that is busy says nothing about the credentials.
                busy = reason == "NO_CREDENTIALS" and getattr(cause, "retryable", False)
                return cause, "UNAVAILABLE" if busy else reason
    return None


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
