"""What an error answer of the API means: an HTTP status, headers and a body become one reason.

Pure, but for a date in Retry-After, which is counted from now.


The conditions are those of the API's own documentation of errors
(ai.google.dev/gemini-api/docs/troubleshooting) and of the google.rpc error model
(cloud.google.com/apis/design/errors).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from gemcli.errors import GemcliError, ReasonName
from gemcli.text import strict_json

_TOO_LONG = re.compile(
    r"token count|too many tokens|exceeds the maximum number of tokens", re.IGNORECASE
)
_ORDER = re.compile(
    r"function (call|response) turn|function response parts|multiturn|valid role|contents?\.parts"
)
_DAILY = re.compile(r"per\s?day", re.IGNORECASE)

_BY_STATUS: dict[int, ReasonName] = {
    401: "UNAUTHENTICATED",
    402: "QUOTA_DAILY",
    403: "PERMISSION_DENIED",
    404: "MODEL_NOT_FOUND",
    408: "SERVER_TIMEOUT",
    409: "ABORTED",
    413: "TOO_LARGE",
    429: "RATE_LIMIT",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "SERVER_TIMEOUT",
}


def error_of_response(http: int, headers: Mapping[str, str], body: bytes) -> GemcliError:
    """What an HTTP answer other than 200 means. Header names are in lower case.

    The request counts as rejected, safe to send again, but for a 2xx that is no answer: its outcome
    is unknown.
    """
    fault = _api_error(body)
    message = str(fault.get("message") or "").strip()
    status = fault.get("status") if isinstance(fault.get("status"), str) else ""
    details = [detail for detail in fault.get("details") or [] if isinstance(detail, dict)]
    reason = _reason(http, str(status), message, details)
    said = " ".join(f"HTTP {http} {status or ''}".split()) + (f": {message}" if message else "")
    if http // 100 == 3:
        said += f": to {headers.get('location', 'nowhere')}"
    return GemcliError(
        reason,
        f"the API answered {said}",
        http=http,
        outcome="unknown" if http < 300 else "rejected",
        retry_after=_retry_after(headers, message, details),
    )


def _reason(http: int, status: str, message: str, details: list[dict[str, Any]]) -> ReasonName:
    if http < 300:
        return "BAD_RESPONSE"
    if http < 400:
        return "REDIRECT"
    if http == 400:
        return _bad_request(status, message, details)
    if http == 429 and _is_daily(message, details):
        return "QUOTA_DAILY"
    return _BY_STATUS.get(http, "SERVER_ERROR" if http >= 500 else "BAD_REQUEST")


def _bad_request(status: str, message: str, details: list[dict[str, Any]]) -> ReasonName:
    if (
        any(detail.get("reason") == "API_KEY_INVALID" for detail in details)
        or "API key not valid" in message
    ):
        return "API_KEY_INVALID"
    if status == "FAILED_PRECONDITION":
        return "PRECONDITION"
    if _TOO_LONG.search(message):
        return "CONTEXT_TOO_LONG"
    return "TURN_ORDER" if _ORDER.search(message) else "BAD_REQUEST"


def _is_daily(message: str, details: list[dict[str, Any]]) -> bool:
    lists = [
        detail["violations"] for detail in details if isinstance(detail.get("violations"), list)
    ]
    violations = [violation for one in lists for violation in one if isinstance(violation, dict)]
    quotas = " ".join(
        f"{violation.get('quotaId')} {violation.get('quotaMetric')}" for violation in violations
    )
    return bool(_DAILY.search(quotas) or re.search(r"\blimit: 0\b", message))


def _api_error(body: bytes) -> dict[str, Any]:
    """The `error` object of an error answer.

    Of one that is no such thing, its text as the message.
    """
    try:
        answer = strict_json.loads(body)
    except ValueError:
        # The beginning of a page says what it is; a pattern over all of a large one could take for
        # ever.
        text = re.sub(
            r"<(style|script).*?</\1>|<[^>]*>",
            " ",
            body[:4000].decode("utf-8", "replace"),
            flags=re.DOTALL,
        )
        return {"message": " ".join(text.split())[:200]}
    # An error before the first event of a stream comes as a list of one.
    if isinstance(answer, list) and answer:
        answer = answer[0]
    fault = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(fault, dict):
        return fault if isinstance(fault.get("details") or [], list) else {**fault, "details": []}
    return {"message": fault if isinstance(fault, str) else ""}


def _retry_after(
    headers: Mapping[str, str], message: str, details: list[dict[str, Any]]
) -> float | None:
    """The seconds a server asks to wait.

    RetryInfo, else Retry-After, else the words of the message.
    """
    asked = [
        detail.get("retryDelay")
        for detail in details
        if str(detail.get("@type", "")).endswith("RetryInfo")
    ]
    asked += [
        _seconds(headers.get("retry-after", "")),
        *re.findall(r"[Rr]etry in ([0-9.]+m?s)", message),
    ]
    for value in asked:
        if isinstance(value, str) and (
            match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?)(ms|s)", value)
        ):
            return float(match[1]) / (1000 if match[2] == "ms" else 1)
    return None


def _seconds(header: str) -> str:
    """A Retry-After header as seconds with their unit.

    It holds seconds, or the date to wait for.
    """
    if header.strip().isdecimal():
        return f"{header.strip()}s"
    from email.utils import parsedate_to_datetime

    try:
        return f"{max(0.0, parsedate_to_datetime(header).timestamp() - time.time()):.3f}s"
    except (ValueError, TypeError, IndexError, OverflowError):  # what the library lets through
        return ""
