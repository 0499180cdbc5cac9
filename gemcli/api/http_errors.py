"""What an error answer of the API means: an HTTP status, headers and a body become one reason.

The conditions are those of the API's documentation of errors
(ai.google.dev/gemini-api/docs/troubleshooting) and of the google.rpc error model
(cloud.google.com/apis/design/errors). Pure, except that a date in Retry-After is counted from now.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gemcli.errors import GemcliError, ReasonName
from gemcli.text import strict_json

BY_STATUS: dict[int, ReasonName] = {
    401: "UNAUTHENTICATED",
    402: "QUOTA_DAILY",
    403: "PERMISSION_DENIED",
    404: "MODEL_NOT_FOUND",
    405: "MODEL_NOT_FOUND",
    408: "SERVER_TIMEOUT",
    409: "ABORTED",
    413: "TOO_LARGE",
    429: "RATE_LIMIT",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "SERVER_TIMEOUT",
}
"""The reason for each HTTP status whose body does not matter."""

BY_CLASS: dict[int, ReasonName] = {
    1: "BAD_RESPONSE",
    2: "BAD_RESPONSE",
    3: "REDIRECT",
    4: "BAD_REQUEST",
    5: "SERVER_ERROR",
}
"""The reason for the other statuses, by their first digit."""

BY_MESSAGE: tuple[tuple[str, ReasonName], ...] = (
    (r"(?i)token count|too many tokens|exceeds the maximum number of tokens", "CONTEXT_TOO_LONG"),
    (r"function (call|response) turn|function response parts", "TURN_ORDER"),
    (r"multiturn|valid role|contents?\.parts", "TURN_ORDER"),
)
"""The reason for a 400 by what its message contains; the first that matches decides."""

# fmt: off
WORDS: dict[ReasonName, str] = {
    "BAD_RESPONSE": "the server sent no answer of the API",
    "REDIRECT": "the server redirects",
    "BAD_REQUEST": "the API refuses the request",
    "TURN_ORDER": "the API refuses the order of the turns",
    "CONTEXT_TOO_LONG": "the conversation is too long for the model",
    "TOO_LARGE": "the request is too large",
    "API_KEY_INVALID": "the API key is not valid",
    "UNAUTHENTICATED": "the API does not accept the credentials",
    "PERMISSION_DENIED": "the API denies access",
    "PRECONDITION": "the API cannot be used in this way, or from here",
    "MODEL_NOT_FOUND": "the server does not know this model, or this version of the API",
    "QUOTA_DAILY": "a quota is used up",
    "RATE_LIMIT": "too many requests",
    "SERVER_TIMEOUT": "the API did not finish in time",
    "ABORTED": "the API aborted the request",
    "CANCELLED": "the API cancelled the request",
    "SERVER_ERROR": "the API failed",
    "UNAVAILABLE": "the API is not available",
}
# fmt: on
"""What happened, in our words. What the API says follows it."""

MAX_QUOTE = 1000
"""The longest quotation of what a server says, in characters. Messages of the API are shorter."""

_RETRY_IN = re.compile(r"\s*(?:Please )?[Rr]etry in ([0-9.]*[0-9]m?s)\.?")


@dataclass(frozen=True)
class _ApiError:
    """The `error` object of an error answer; `code` is an HTTP status."""

    code: int = 500
    status: str = ""
    message: str = ""
    details: Sequence[Mapping[str, object]] = ()


def error_of_response(
    http: int, headers: Mapping[str, str], body: bytes | bytearray
) -> GemcliError:
    """What an HTTP answer other than 200 means; after a 2xx, the outcome is unknown."""
    error = _parse(body)
    reason = _reason(http, error)
    if reason == "QUOTA_DAILY":  # untrue then, and another time in each answer
        error = replace(error, message=_RETRY_IN.sub("", error.message))
    message = f"{WORDS[reason]} ({f'HTTP {http} {error.status}'.rstrip()})"
    if http // 100 == 3:
        message += f" to {_shortened(headers.get('location', 'nowhere'), MAX_QUOTE)}"
    return GemcliError(
        reason,
        message + _quoted(error),
        http=http,
        outcome="unknown" if http < 300 else "rejected",
        retry_after=_retry_after(headers, error),
    )


def error_in_answer(answer: object) -> GemcliError | None:
    """The error that a 200, or an event of its stream, brings instead of an answer, if it does."""
    if not isinstance(answer, dict) or answer.get("error") is None or answer.get("candidates"):
        return None
    error = _api_error(answer["error"])
    reason = _reason(error.code, error)
    reported = f"error {error.code} {error.status}".rstrip()
    return GemcliError(
        reason,
        f"{WORDS[reason]} ({reported} with HTTP 200){_quoted(error)}",
        http=200,
        outcome="rejected",
        retry_after=_retry_after({}, error),
    )


def error_in_body(body: bytes | bytearray) -> GemcliError | None:
    """`error_in_answer` for the body of a 200 that should have been a stream."""
    try:
        answer = strict_json.loads(body)
    except ValueError:
        return None
    return error_in_answer(answer[0] if isinstance(answer, list) and answer else answer)


def _reason(http: int, error: _ApiError) -> ReasonName:
    if http == 400:
        return _reason_of_bad_request(error)
    if http == 429 and _is_daily(error):
        return "QUOTA_DAILY"
    return BY_STATUS.get(http) or BY_CLASS.get(http // 100, "SERVER_ERROR")


def _reason_of_bad_request(error: _ApiError) -> ReasonName:
    invalid_key = any(detail.get("reason") == "API_KEY_INVALID" for detail in error.details)
    if invalid_key or "API key not valid" in error.message:
        return "API_KEY_INVALID"
    if error.status == "FAILED_PRECONDITION":
        return "PRECONDITION"
    for pattern, reason in BY_MESSAGE:
        if re.search(pattern, error.message):
            return reason
    return "BAD_REQUEST"


def _is_daily(error: _ApiError) -> bool:
    """Whether the quota of a 429 is one that is not renewed before tomorrow, or is zero."""
    if re.search(r"\blimit: 0\b", error.message):
        return True
    for detail in error.details:
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else []:
            if isinstance(violation, dict):
                names = f"{violation.get('quotaId')} {violation.get('quotaMetric')}"
                if re.search(r"per\s?day", names, re.IGNORECASE):
                    return True
    return False


def _parse(body: bytes | bytearray) -> _ApiError:
    """The error object of an answer; the text of a page as its message if there is none."""
    try:
        answer = strict_json.loads(body)
    except ValueError:
        return _ApiError(message=text_of_page(body))
    if isinstance(answer, list) and answer:  # so a stream answers before its first event
        answer = answer[0]
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict | str):
        return _api_error(answer["error"])
    return _ApiError(message=_text_of_json(answer))


def _api_error(error: object) -> _ApiError:
    if not isinstance(error, dict):
        return _ApiError(message=_text_of_json(error))
    code, status, details = error.get("code"), error.get("status"), error.get("details")
    if not isinstance(details, list):
        details = []
    return _ApiError(
        code=code if isinstance(code, int) and 400 <= code < 600 else 500,
        status=_shortened(status, 100) if isinstance(status, str) else "",
        message=_text_of_json(error.get("message") or error.get("detail")),
        details=[detail for detail in details if isinstance(detail, dict)],
    )


def _text_of_json(value: object) -> str:
    """What an error in another form than the API's says: `message` or `detail`, or all of it."""
    if isinstance(value, dict):
        texts = [value.get(name) for name in ("message", "detail", "error_description")]
        value = next((text for text in texts if isinstance(text, str) and text), value)
    if isinstance(value, str):
        return " ".join(value.split())  # no pattern meets a megabyte of white space
    return strict_json.dumps(value) if value else ""


def _quoted(error: _ApiError) -> str:
    """What a server says, to follow our words: on one line, of a limited length, without a stop."""
    # A call of the API is no command of gemcli.
    text = re.sub(r" ?Call (?:\w+\.)?ListModels [^.]*\.", "", error.message)
    return f": {_shortened(text, MAX_QUOTE).rstrip('. ')}" if text else ""


def text_of_page(body: bytes | bytearray) -> str:
    """The beginning of a page without its tags: more could keep the pattern busy for minutes."""
    page = body[:4000].decode("utf-8", "replace")
    words = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL).split()
    if len(body) > 4000:
        words = words[:-1]  # which may be half of a secret
    return _shortened(" ".join(words), 200)


def _shortened(text: str, width: int) -> str:
    """`text` on one line. Words, which may be secrets that are hidden later, are never cut."""
    return textwrap.shorten(
        text, width, placeholder="…", break_long_words=False, break_on_hyphens=False
    )


def _retry_after(headers: Mapping[str, str], error: _ApiError) -> float | None:
    """The seconds that a server asks to wait: RetryInfo, else Retry-After, else the message."""
    infos = [each for each in error.details if str(each.get("@type")).endswith("RetryInfo")]
    delays = [_duration(info.get("retryDelay")) for info in infos]
    delays.append(_seconds_of_header(headers.get("retry-after", "").strip()))
    delays += map(_duration, _RETRY_IN.findall(error.message))
    return next((seconds for seconds in delays if seconds is not None), None)


def _duration(text: object) -> float | None:
    """The seconds in a duration as the API writes them: `37s`, `0.3s`, `900ms`."""
    if not isinstance(text, str):
        return None
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?)(ms|s)", text)
    return float(match[1]) / (1000 if match[2] == "ms" else 1) if match else None


def _seconds_of_header(value: str) -> float | None:
    """The seconds in a Retry-After header, which holds a number of seconds or a date."""
    if value.isdecimal():
        return _duration(f"{value}s")
    from email.utils import parsedate_to_datetime

    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, IndexError, OverflowError):  # the library lets all of them out
        return None
    return _duration(f"{max(0.0, seconds):.3f}s")
