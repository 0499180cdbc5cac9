"""What an answer of the API means: read, judged, and given a reason when it is no use. Pure.

Nothing here raises for an answer that is merely bad news: "no exception" is not success with this
API, so every answer is judged by what it holds. The lists of names are those of `FinishReason` and
`BlockedReason` in google-genai 3.4.0; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemcli.chat import turn_order
from gemcli.chat.contents import Content, as_sent, function_calls, says_something, text_of
from gemcli.chat.shapes import answer_fault, content_of
from gemcli.errors import GemcliError, ReasonName
from gemcli.text import strict_json

FINISH_REASONS: dict[str, ReasonName | None] = {
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
"""What each finish reason makes of an answer; `None` is a plain success.

Unknown ones are taken as success.
"""


BLOCK_REASONS = (
    *(
        "SAFETY",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
        "JAILBREAK",
    ),
    "BLOCKED_REASON_UNSPECIFIED",
)
"""Why the API blocks a prompt."""

USAGE_COUNTERS = (
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
)
"""The counters of `usageMetadata`."""


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth.

    `valid` answers enter the history. `error` is what a script must be told, `None` for a plain
    success; it comes with valid answers too, when they are incomplete or wait for function
    responses.
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
    """The GenerateContentResponse in the body of a 200.

    Raises `GemcliError` (BAD_RESPONSE) if it is none.
    """
    try:
        answer = strict_json.loads(body)
    except ValueError as error:
        what = f"not JSON ({error})" if body.strip() else "empty"
        raise GemcliError(
            "BAD_RESPONSE", f"the answer is {what}", outcome="unknown", http=200
        ) from None
    if fault := answer_fault(answer):
        raise GemcliError(
            "BAD_RESPONSE", f"not an answer of the API: {fault}", outcome="unknown", http=200
        )
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


def _reason(
    answer: Mapping[str, Any], finish: str | None, content: Content
) -> tuple[ReasonName | None, str]:
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
    if breach := next(turn_order.alone(1, content), None):
        return "MALFORMED_ANSWER", f"the API would refuse its own answer: {breach.message}"
    return known, f"the answer is not whole: {finish}" if known else ""
