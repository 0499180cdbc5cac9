"""What an answer of the API means: read, judged, and given a reason if it cannot be used. Pure.

The names of reasons are those of `FinishReason` and `BlockedReason` in google-genai 3.4.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, cast

from gemcli.chat import turn_order
from gemcli.chat.contents import (
    Content,
    as_sent,
    function_calls,
    parts_of,
    says_something,
    text_of,
)
from gemcli.chat.open_calls import how_to_answer
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
"""The reason that each finish reason gives; `None` is success, and so are unknown ones."""

BLOCK_REASONS = (
    "SAFETY",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "IMAGE_SAFETY",
    "MODEL_ARMOR",
    "JAILBREAK",
    "BLOCKED_REASON_UNSPECIFIED",
)
"""Why the API blocks a prompt."""


class UsageMetadata(TypedDict, total=False):
    """The tokens of a request and its answer."""

    promptTokenCount: int
    cachedContentTokenCount: int
    candidatesTokenCount: int
    thoughtsTokenCount: int
    toolUsePromptTokenCount: int
    totalTokenCount: int


USAGE_COUNTERS = tuple(UsageMetadata.__annotations__)


class Candidate(TypedDict, total=False):
    """One of the answers to a prompt; gemcli uses the first."""

    index: int
    content: Content
    finishReason: str
    finishMessage: str
    continuationToken: str
    citationMetadata: object


class Answer(TypedDict, total=False):
    """A GenerateContentResponse, or a chunk of one, as received; there may be more keys."""

    candidates: list[Candidate]
    promptFeedback: dict[str, str] | None
    usageMetadata: UsageMetadata | None
    modelVersion: str
    responseId: str


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth: a `valid` one enters the history, one without `error` is a success.

    A valid answer has an error too when it is incomplete or waits for function responses.
    """

    valid: bool
    error: GemcliError | None
    finish_reason: str | None
    content: Content

    @property
    def text(self) -> str:
        """The text of the answer, without thoughts."""
        return text_of(self.content)


def read(body: bytes | bytearray) -> Answer:
    """The answer, or the chunk of one, in a body. Raises `GemcliError` (BAD_RESPONSE)."""
    try:
        answer = strict_json.loads(body)
    except ValueError as error:
        what = f"not JSON ({error})" if body.strip() else "empty"
        raise bad_response(f"the answer is {what}") from None
    if fault := invalid_response(answer):
        raise bad_response(f"not an answer of the API: {fault}")
    return cast("Answer", answer)


def bad_response(message: str) -> GemcliError:
    """The error of a 200 whose body cannot be read."""
    return GemcliError("BAD_RESPONSE", message, outcome="unknown", http=200)


def invalid_response(answer: object) -> str | None:
    """What keeps a value from being an answer that gemcli can read; `None` if nothing does."""
    if not isinstance(answer, dict):
        return "not an object"
    for name in ("promptFeedback", "usageMetadata"):
        if not isinstance(answer.get(name) or {}, dict):
            return f"`{name}` is not an object"
    candidates = answer.get("candidates") or []
    if not isinstance(candidates, list) or any(not isinstance(one, dict) for one in candidates):
        return "`candidates` is not a list of objects"
    for candidate in candidates:
        if not isinstance(candidate.get("finishReason") or "", str):
            return "`finishReason` is not text"
        if fault := turn_order.invalid_content(candidate.get("content") or {}):
            return f"`content`{fault}"
    return None


def content_of(answer: Answer | None) -> Content:
    """The Content of an answer's first candidate, as received; an empty one if there is none."""
    return first_candidate(answer or {}).get("content") or {"role": "model", "parts": []}


def first_candidate(answer: Answer) -> Candidate:
    """The candidate that counts; an empty one if there is none."""
    return (answer.get("candidates") or [Candidate()])[0]


def continuation_token(answer: Answer) -> str | None:
    """The token that an answer left to resume from, whatever it ended with."""
    return token_of(first_candidate(answer))


def token_of(candidate: Candidate) -> str | None:
    """The token in a candidate, or a piece of one, to resume from."""
    token: object = candidate.get("continuationToken")
    return token if isinstance(token, str) and token else None


def block_reason(answer: Answer) -> str | None:
    """Why the prompt was blocked; None if it was not."""
    return (answer.get("promptFeedback") or {}).get("blockReason")


def breach(content: Content) -> str | None:
    """Why the API would refuse its own Content in a request; None if it would not."""
    problem = next(turn_order.content_problems(1, content), None) if parts_of(content) else None
    return f"the API would refuse its own answer: {problem.message}" if problem else None


def token_count(usage: Mapping[str, object] | None, counter: str) -> int:
    """A counter of `usageMetadata`; 0 if it is left out, or is not the number of anything."""
    value = usage.get(counter) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= strict_json.MAX_EXACT else 0


def judge(answer: Answer) -> Verdict:
    """Judge an answer that can be read and is in one piece."""
    finish = first_candidate(answer).get("finishReason")
    content = as_sent(content_of(answer))
    reason, message = _reason(answer, finish, content)
    valid = reason in (None, "INCOMPLETE")
    calls = function_calls(content)
    hint = None
    if finish == "MAX_TOKENS" and reason == "INCOMPLETE":
        hint = "raise --max-output-tokens, or send 'continue'"
    if valid and calls:
        names = ", ".join(str(call.get("name")) for call in calls)
        reason, message = "FUNCTION_CALL", f"the model waits for the responses of {names}"
        hint = how_to_answer(calls)
    error = GemcliError(reason, message, hint=hint) if reason else None
    return Verdict(valid, error, finish, content)


def _reason(answer: Answer, finish: str | None, content: Content) -> tuple[ReasonName | None, str]:
    """The reason why an answer is not a plain success, and a message that explains it."""
    if block := block_reason(answer):
        return "PROMPT_BLOCKED", f"the prompt was blocked: {block}"
    if not answer.get("candidates"):
        return "EMPTY_ANSWER", "the answer has no candidates"
    reason = FINISH_REASONS.get(finish) if finish else "MALFORMED_ANSWER"
    if reason and reason != "INCOMPLETE":
        detail = first_candidate(answer).get("finishMessage")
        why = f": {detail}" if detail else ""
        return reason, f"the answer ended with {finish or 'no finish reason'}{why}"
    if not says_something(content):
        if reason:
            return "MAX_TOKENS_EMPTY", f"the answer ended with {finish} before it said anything"
        return "EMPTY_ANSWER", "the answer is empty"
    if refused := breach(content):
        return "MALFORMED_ANSWER", refused
    return reason, f"the answer was cut off: {finish}" if reason else ""
