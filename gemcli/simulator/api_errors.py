"""What the simulator says when it will not answer: the error form of Google's APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Status(NamedTuple):
    """One google.rpc status.

    Its HTTP code, and what the API says with it when it says nothing particular.
    """

    code: int
    message: str


STATUSES = {
    "INVALID_ARGUMENT": Status(400, "Request contains an invalid argument."),
    "FAILED_PRECONDITION": Status(400, "User location is not supported for the API use."),
    "OUT_OF_RANGE": Status(400, "Client specified an invalid range."),
    "UNAUTHENTICATED": Status(
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
    ),
    "PERMISSION_DENIED": Status(403, "The caller does not have permission"),
    "NOT_FOUND": Status(404, "Requested entity was not found."),
    "ABORTED": Status(409, "The operation was aborted."),
    "ALREADY_EXISTS": Status(409, "Requested entity already exists"),
    "RESOURCE_EXHAUSTED": Status(429, "Resource has been exhausted (e.g. check quota)."),
    "CANCELLED": Status(499, "The operation was cancelled."),
    "INTERNAL": Status(
        500,
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    ),
    "DATA_LOSS": Status(500, "Unrecoverable data loss or corruption."),
    "UNKNOWN": Status(500, "Unknown Error."),
    "UNIMPLEMENTED": Status(501, "Operation is not implemented, or supported, or enabled."),
    "UNAVAILABLE": Status(503, "The model is overloaded. Please try again later."),
    "DEADLINE_EXCEEDED": Status(504, "Deadline expired before operation could complete."),
}
"""Every status that an error of Google's APIs can have, by its google.rpc name."""

QUOTA_MESSAGE = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this "
    "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
"""What the API says when a quota is used up."""


class Refused(Exception):
    """A request the API would not answer.

    Its google.rpc status, its words, and perhaps typed details and headers.

    An answer like any other to the client; no failure of the simulator.
    """

    def __init__(
        self,
        status: str,
        message: str,
        details: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = [dict(detail) for detail in details]
        self.headers = dict(headers or {})

    @property
    def code(self) -> int:
        """The HTTP status."""
        return STATUSES[self.status].code

    def body(self) -> dict[str, Any]:
        """The error as the API sends it."""
        error = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": error | ({"details": self.details} if self.details else {})}


def invalid(message: str) -> Refused:
    """The refusal that the API gives for most things: a request that breaks a rule."""
    return Refused("INVALID_ARGUMENT", message)


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    """One typed detail of an error; `kind` is the name of a message of google.rpc."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def error_info(reason: str) -> dict[str, Any]:
    """The detail that gives a machine's word for what happened, like API_KEY_INVALID."""
    metadata = {"service": "generativelanguage.googleapis.com"}
    return detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata=metadata)


def retry_info(delay: str) -> dict[str, Any]:
    """The detail that asks to wait: `delay` as Protocol Buffers write one, like `2.5s`."""
    return detail("RetryInfo", retryDelay=delay)


def quota_failure(quota_id: str) -> dict[str, Any]:
    """The detail that names the quota that is used up."""
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    return detail("QuotaFailure", violations=[{"quotaMetric": metric, "quotaId": quota_id}])


def bad_request(violations: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The detail that names fields (`""` for the body itself) and says what is wrong with each."""
    fields = [
        ({"field": field} if field else {}) | {"description": words} for field, words in violations
    ]
    return detail("BadRequest", fieldViolations=fields)
