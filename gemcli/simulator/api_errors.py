"""The errors of the API: every google.rpc status, the body of an error, and its typed details.

The form is that of all Google APIs, described at https://google.aip.dev/193.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

Detail = dict[str, object]
"""One typed detail of an error, as on the wire."""


class Status(NamedTuple):
    """A google.rpc status: its HTTP status code, and the API's message when it has no other."""

    code: int
    message: str


STATUSES = {
    "INVALID_ARGUMENT": Status(400, "Request contains an invalid argument."),
    "FAILED_PRECONDITION": Status(400, "User location is not supported for the API use."),
    "OUT_OF_RANGE": Status(400, "Client specified an invalid range."),
    "UNAUTHENTICATED": Status(
        401,
        "Request had invalid authentication credentials. "
        "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
        "See https://developers.google.com/identity/sign-in/web/devconsole-project.",
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
"""Every status of an error of Google's APIs, by its google.rpc name."""

QUOTA_MESSAGE = (
    "You exceeded your current quota, please check your plan and billing details. "
    "For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
"""The API's message when a quota is used up."""


class ApiError(Exception):
    """An error that the API replies; no failure of the simulator."""

    def __init__(
        self,
        status: str,
        message: str,
        details: Iterable[Detail] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = list(details)
        self.headers = dict(headers or {})

    @property
    def code(self) -> int:
        """The HTTP status code."""
        return STATUSES[self.status].code

    def body(self) -> dict[str, dict[str, object]]:
        """The error as the API sends it."""
        details = {"details": self.details} if self.details else {}
        error = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": {**error, **details}}


def invalid_argument(message: str) -> ApiError:
    """The API's error for a request that breaks a rule."""
    return ApiError("INVALID_ARGUMENT", message)


def invalid_fields(violations: Iterable[tuple[str, str]]) -> ApiError:
    """The API's error for fields that do not fit: the path of each, and what is wrong with it."""
    found = list(violations)
    message = "\n".join(description for _, description in found)
    return ApiError("INVALID_ARGUMENT", message, [bad_request(found)])


def _detail(kind: str, **fields: object) -> Detail:
    """A detail of this kind, which is the name of a message of google.rpc."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def error_info(reason: str) -> Detail:
    """The detail that names the cause for programs, like API_KEY_INVALID."""
    metadata = {"service": "generativelanguage.googleapis.com"}
    return _detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata=metadata)


def retry_info(delay: str) -> Detail:
    """The detail that asks to wait: `delay` as Protocol Buffers write a duration, like `2.5s`."""
    return _detail("RetryInfo", retryDelay=delay)


def quota_failure(quota_id: str) -> Detail:
    """The detail that names the quota that is used up."""
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    return _detail("QuotaFailure", violations=[{"quotaMetric": metric, "quotaId": quota_id}])


def bad_request(violations: Iterable[tuple[str, str]]) -> Detail:
    """The detail that names fields and what is wrong with each."""
    listed = [
        {"field": field, "description": description} if field else {"description": description}
        for field, description in violations
    ]
    return _detail("BadRequest", fieldViolations=listed)
