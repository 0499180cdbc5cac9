"""What an answer of the API means: read, judged, and given a reason when it is no use. Pure.

Nothing here raises for an answer that is merely bad news: "no exception" is not success with this API, so every
answer is judged by what it holds. The lists of names are those of `FinishReason` and `BlockedReason` in
google-genai 3.4.0; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemcli import strictjson, turns
from gemcli.contents import Content, as_sent, function_calls, says_something, text_of
from gemcli.errors import GemcliError
from gemcli.journal import content_of

FINISH_REASONS: dict[str, str | None] = {
    "STOP": None,
    "MAX_TOKENS": "INCOMPLETE",
    "CONTINUATION": "INCOMPLETE",
    "SAFETY": "ANSWER_BLOCKED",
    "RECITATION": "ANSWER_BLOCKED",
    "LANGUAGE": "ANSWER_BLOCKED",
    "OTHER": "ANSWER_BLOCKED",
    "BLOCKLIST": "ANSWER_BLOCKED",
    "PROHIBITED_CONTENT": "ANSWER_BLOCKED",
    "SPII": "ANSWER_BLOCKED",
    "IMAGE_SAFETY": "ANSWER_BLOCKED",
    "IMAGE_PROHIBITED_CONTENT": "ANSWER_BLOCKED",
    "IMAGE_OTHER": "ANSWER_BLOCKED",
    "IMAGE_RECITATION": "ANSWER_BLOCKED",
    "NO_IMAGE": "ANSWER_BLOCKED",
    "MODEL_ARMOR": "ANSWER_BLOCKED",
    "ESCALATION": "ANSWER_BLOCKED",
    "PUP_LIMITED_DISABLED": "ANSWER_BLOCKED",
    "FINISH_REASON_UNSPECIFIED": "MALFORMED_ANSWER",
    "MALFORMED_FUNCTION_CALL": "MALFORMED_ANSWER",
    "MALFORMED_RESPONSE": "MALFORMED_ANSWER",
    "UNEXPECTED_TOOL_CALL": "MALFORMED_ANSWER",
    "TOO_MANY_TOOL_CALLS": "MALFORMED_ANSWER",
    "MISSING_THOUGHT_SIGNATURE": "MALFORMED_ANSWER",
}
"""What each finish reason makes of an answer; `None` is a plain success. Unknown ones are taken as success."""


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth.

    `valid` answers enter the history. `error` is what a script must be told, `None` for a plain success; it
    comes with valid answers too, when they are incomplete or wait for function responses.
    """

    valid: bool
    error: GemcliError | None
    finish_reason: str | None
    content: Content

    @property
    def text(self) -> str:
        """The text of the answer, thoughts left out."""
        return text_of(self.content)


def read(body: bytes) -> dict[str, Any]:
    """The GenerateContentResponse in the body of a 200. Raises `GemcliError` (BAD_RESPONSE) if it is none."""
    try:
        answer = strictjson.loads(body)
    except ValueError as error:
        what = f"not JSON ({error})" if body.strip() else "empty"
        raise GemcliError("BAD_RESPONSE", f"the answer is {what}", outcome="unknown", http=200) from None
    if fault := _fault(answer):
        raise GemcliError("BAD_RESPONSE", f"not an answer of the API: {fault}", outcome="unknown", http=200)
    checked: dict[str, Any] = answer
    return checked


def judge(answer: Mapping[str, Any]) -> Verdict:
    """Judge an answer that `read` has let through."""
    candidates = answer.get("candidates") or []
    finish = candidates[0].get("finishReason") if candidates else None
    content = as_sent(content_of(dict(answer)))
    reason, message = _reason(answer, finish, content)
    valid = reason in (None, "INCOMPLETE")
    if valid and (calls := function_calls(content)):
        names = ", ".join(str(call.get("name")) for call in calls)
        reason, message = "FUNCTION_CALL", f"the model waits for the responses of {names}"
    error = GemcliError(reason, message) if reason else None
    return Verdict(valid, error, finish, content)


def _reason(answer: Mapping[str, Any], finish: str | None, content: Content) -> tuple[str | None, str]:
    """The reason an answer is not a plain success, and how to say so."""
    feedback = answer.get("promptFeedback") or {}
    if block := feedback.get("blockReason"):
        return "PROMPT_BLOCKED", f"the prompt was blocked: {block}"
    if not answer.get("candidates"):
        return "EMPTY_ANSWER", "the answer has no candidates"
    known = FINISH_REASONS.get(finish) if finish else "MALFORMED_ANSWER"
    if known and known != "INCOMPLETE":
        said = f": {detail}" if (detail := answer["candidates"][0].get("finishMessage")) else ""
        return known, f"the answer ended with {finish or 'no finish reason'}{said}"
    if not says_something(content):
        if known:
            return "MAX_TOKENS_EMPTY", f"the answer ended with {finish} before it said anything"
        return "EMPTY_ANSWER", "the answer is empty"
    if breach := next(turns.alone(1, content), None):
        return "MALFORMED_ANSWER", f"the API would refuse its own answer: {breach.message}"
    return known, f"the answer is not whole: {finish}" if known else ""


def _fault(answer: Any) -> str | None:
    """What keeps a JSON value from being a GenerateContentResponse, as far as gemcli reads one."""
    if not isinstance(answer, dict):
        return "not an object"
    candidates = answer.get("candidates")
    if candidates is not None and not (isinstance(candidates, list) and all(isinstance(c, dict) for c in candidates)):
        return "`candidates` is not a list of objects"
    if not isinstance(answer.get("promptFeedback") or {}, dict) or not isinstance(
        answer.get("usageMetadata") or {}, dict
    ):
        return "`promptFeedback` or `usageMetadata` is not an object"
    for candidate in (candidates or [])[:1]:
        if not isinstance(candidate.get("finishReason") or "", str):
            return "`finishReason` is not text"
        content = candidate.get("content")
        if content is not None and not isinstance(content, dict):
            return "`content` is not an object"
        readable = {"parts": [], **(content or {}), "role": "model"}
        if problem := next(turns.shape(0, readable), None):
            return f"content: {problem.message}"
    return None


# Error answers

_TOO_LONG = re.compile(r"token count|too many tokens|exceeds the maximum number of tokens", re.IGNORECASE)
_ORDER = re.compile(r"function (call|response) turn|function response parts|multiturn|valid role|contents?\.parts")
_DAILY = re.compile(r"per\s?day", re.IGNORECASE)

_BY_STATUS = {
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


def refusal(http: int, headers: Mapping[str, str], body: bytes) -> GemcliError:
    """What an HTTP answer other than 200 means. Header names are in lower case.

    The request counts as rejected, safe to send again, but for a 2xx that is no answer: its outcome is unknown.
    """
    fault = _api_error(body)
    message = str(fault.get("message") or "").strip()
    status = fault.get("status") if isinstance(fault.get("status"), str) else ""
    details = [detail for detail in fault.get("details") or [] if isinstance(detail, dict)]
    reason = _refusal_reason(http, str(status), message, details)
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


def _refusal_reason(http: int, status: str, message: str, details: list[dict[str, Any]]) -> str:
    if http < 300:
        return "BAD_RESPONSE"
    if http < 400:
        return "REDIRECT"
    if http == 400:
        return _bad_request(status, message, details)
    if http == 429 and _is_daily(message, details):
        return "QUOTA_DAILY"
    return _BY_STATUS.get(http, "SERVER_ERROR" if http >= 500 else "BAD_REQUEST")


def _bad_request(status: str, message: str, details: list[dict[str, Any]]) -> str:
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details) or "API key not valid" in message:
        return "API_KEY_INVALID"
    if status == "FAILED_PRECONDITION":
        return "PRECONDITION"
    if _TOO_LONG.search(message):
        return "CONTEXT_TOO_LONG"
    return "TURN_ORDER" if _ORDER.search(message) else "BAD_REQUEST"


def _is_daily(message: str, details: list[dict[str, Any]]) -> bool:
    violations = [v for detail in details for v in detail.get("violations") or [] if isinstance(v, dict)]
    quotas = " ".join(f"{v.get('quotaId')} {v.get('quotaMetric')}" for v in violations)
    return bool(_DAILY.search(quotas) or re.search(r"\blimit: 0\b", message))


def _api_error(body: bytes) -> dict[str, Any]:
    """The `error` object of an error answer; of one that is no such thing, its text as the message."""
    try:
        answer = strictjson.loads(body)
    except ValueError:
        text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", body.decode("utf-8", "replace"), flags=re.DOTALL)
        return {"message": " ".join(text.split())[:200]}
    # An error before the first event of a stream comes as a list of one.
    if isinstance(answer, list) and answer:
        answer = answer[0]
    fault = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(fault, dict):
        return fault if isinstance(fault.get("details") or [], list) else {**fault, "details": []}
    return {"message": fault if isinstance(fault, str) else ""}


def _retry_after(headers: Mapping[str, str], message: str, details: list[dict[str, Any]]) -> float | None:
    """The seconds a server asks to wait: RetryInfo, else Retry-After, else the words of the message."""
    asked = [detail.get("retryDelay") for detail in details if str(detail.get("@type", "")).endswith("RetryInfo")]
    if found := re.search(r"[Rr]etry in ([0-9.]+m?s)", message):
        asked.append(found[1])
    if (header := headers.get("retry-after", "")).isdecimal():
        asked.insert(1, f"{header}s")
    for value in asked:
        if isinstance(value, str) and (match := re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)(ms|s)", value)):
            return float(match[1]) / (1000 if match[2] == "ms" else 1)
    return None
