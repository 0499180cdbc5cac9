"""Every kind of answer over real HTTP: what a script is told, what is recorded, and what the next request carries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gemcli.errors import EXIT, REASONS, ReasonName
from tests.support import Gemcli, Model, Reply, answer, contents, json_reply, texts
from tests.system import Inside, clients_collected

BEFORE = contents("first question", "first answer")
"""The history of the session before the exchange under test."""


@pytest.fixture
def inside(capfd: pytest.CaptureFixture[str], model: Model, tmp_path: Path) -> Iterator[Inside]:
    """The program in this process, with a session `s` that holds one exchange."""
    running = Inside(capfd, model.env)
    (tmp_path / "before.json").write_text(json.dumps(BEFORE))
    running.ok("new", "-s", "s", "--history", str(tmp_path / "before.json"))
    with clients_collected():
        yield running


def api_error(code: int, status: str, message: Any = "it did not work", *details: Any, **headers: str) -> Reply:
    """An error answer as the API writes one."""
    fault = {"code": code, "message": message, "status": status} | ({"details": list(details)} if details else {})
    return json_reply({"error": fault}, code, {name.replace("_", "-"): value for name, value in headers.items()})


def page(code: int, **headers: str) -> Reply:
    """An error page as a proxy writes one."""
    text = b"<html><head><style>p {color: red}</style></head><body><h1>Bad gateway</h1></body></html>"
    return Reply(code, {"content-type": "text/html"} | headers, (text,))


def raw(code: int, body: bytes, **headers: str) -> Reply:
    """An answer with just this body."""
    return Reply(code, {"content-type": "application/json"} | headers, (body,))


def delay(value: Any) -> dict[str, Any]:
    """The detail of an error that says when to try again."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": value}


def quota(name: Any) -> dict[str, Any]:
    """The detail of an error that names the quota that is used up."""
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


INVALID, EXHAUSTED = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"
INVALID_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
PER_MINUTE = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
PER_DAY = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
CALL_TURN = "Please ensure that function call turn comes immediately after a user turn or after a function response."
NO_ROLE = "Please use a valid role: user, model."
NO_PARTS = "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty."
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
LIMIT_0 = "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0, model: gemini-pro"
IN_WORDS = "You exceeded your current quota. Please retry in 12.5s."


class Refusal(NamedTuple):
    """An HTTP answer other than a usable 200: the status and reason it ends in, and what else a script learns."""

    reply: Reply
    exit: int
    reason: ReasonName
    retry_after: float | None = None
    outcome: str = "rejected"


REFUSALS: dict[str, Refusal] = {
    "400": Refusal(api_error(400, INVALID), 65, "BAD_REQUEST"),
    "400-call-turn": Refusal(api_error(400, INVALID, CALL_TURN), 65, "TURN_ORDER"),
    "400-role": Refusal(api_error(400, INVALID, NO_ROLE), 65, "TURN_ORDER"),
    "400-parts": Refusal(api_error(400, INVALID, NO_PARTS), 65, "TURN_ORDER"),
    "400-too-long": Refusal(api_error(400, INVALID, TOO_LONG), 65, "CONTEXT_TOO_LONG"),
    "400-key-detail": Refusal(api_error(400, INVALID, "no", INVALID_KEY), 77, "API_KEY_INVALID"),
    "400-key-words": Refusal(api_error(400, INVALID, "API key not valid. Pass one."), 77, "API_KEY_INVALID"),
    "400-region": Refusal(api_error(400, "FAILED_PRECONDITION", "User location"), 78, "PRECONDITION"),
    "400-html": Refusal(page(400), 65, "BAD_REQUEST"),
    "401": Refusal(api_error(401, "UNAUTHENTICATED"), 77, "UNAUTHENTICATED"),
    "402": Refusal(api_error(402, "FAILED_PRECONDITION"), 69, "QUOTA_DAILY"),
    "403": Refusal(api_error(403, "PERMISSION_DENIED", "Your key was leaked."), 77, "PERMISSION_DENIED"),
    "404": Refusal(api_error(404, "NOT_FOUND", "models/x is not found"), 78, "MODEL_NOT_FOUND"),
    "405": Refusal(api_error(405, "UNKNOWN"), 65, "BAD_REQUEST"),
    "408": Refusal(api_error(408, "DEADLINE_EXCEEDED"), 75, "SERVER_TIMEOUT"),
    "409": Refusal(api_error(409, "ABORTED"), 75, "ABORTED"),
    "413-html": Refusal(page(413), 65, "TOO_LARGE"),
    "429": Refusal(api_error(429, EXHAUSTED), 75, "RATE_LIMIT"),
    "429-seconds": Refusal(api_error(429, EXHAUSTED, "wait", PER_MINUTE, delay("3.2s")), 75, "RATE_LIMIT", 3.2),
    "429-milliseconds": Refusal(api_error(429, EXHAUSTED, "wait", delay("900ms")), 75, "RATE_LIMIT", 0.9),
    "429-header": Refusal(api_error(429, EXHAUSTED, retry_after="7"), 75, "RATE_LIMIT", 7.0),
    "429-html-header": Refusal(page(429, **{"Retry-After": "8"}), 75, "RATE_LIMIT", 8.0),
    "429-words": Refusal(api_error(429, EXHAUSTED, IN_WORDS), 75, "RATE_LIMIT", 12.5),
    "429-info-wins": Refusal(api_error(429, EXHAUSTED, IN_WORDS, delay("3s"), retry_after="7"), 75, "RATE_LIMIT", 3.0),
    "429-odd-delay": Refusal(api_error(429, EXHAUSTED, "wait", delay("soon")), 75, "RATE_LIMIT"),
    "429-delay-number": Refusal(api_error(429, EXHAUSTED, "wait", delay(3)), 75, "RATE_LIMIT"),
    "429-endless-delay": Refusal(api_error(429, EXHAUSTED, "wait", delay("9" * 400 + "s")), 75, "RATE_LIMIT"),
    "429-per-day": Refusal(api_error(429, EXHAUSTED, "no", PER_DAY, delay("3s")), 69, "QUOTA_DAILY", 3.0),
    "429-limit-0": Refusal(api_error(429, EXHAUSTED, LIMIT_0), 69, "QUOTA_DAILY"),
    "499": Refusal(api_error(499, "CANCELLED"), 75, "CANCELLED"),
    "500": Refusal(api_error(500, "INTERNAL"), 75, "SERVER_ERROR"),
    "501": Refusal(api_error(501, "UNIMPLEMENTED"), 75, "SERVER_ERROR"),
    "502-html": Refusal(page(502), 75, "UNAVAILABLE"),
    "503": Refusal(api_error(503, "UNAVAILABLE", "The model is overloaded."), 75, "UNAVAILABLE"),
    "503-header": Refusal(api_error(503, "UNAVAILABLE", retry_after="30"), 75, "UNAVAILABLE", 30.0),
    "503-html": Refusal(page(503), 75, "UNAVAILABLE"),
    "504": Refusal(api_error(504, "DEADLINE_EXCEEDED"), 75, "SERVER_TIMEOUT"),
    "301": Refusal(page(301, location="http://127.0.0.1:9/elsewhere"), 78, "REDIRECT"),
    "302-nowhere": Refusal(page(302), 78, "REDIRECT"),
    "304": Refusal(Reply(304, {}, ()), 78, "REDIRECT"),
    "201": Refusal(json_reply(answer("hello"), 201), 76, "BAD_RESPONSE", outcome="unknown"),
    "204": Refusal(Reply(204, {}, ()), 76, "BAD_RESPONSE", outcome="unknown"),
    "500-empty": Refusal(raw(500, b""), 75, "SERVER_ERROR"),
    "500-list": Refusal(raw(500, b"[]"), 75, "SERVER_ERROR"),
    "500-null": Refusal(raw(500, b"null"), 75, "SERVER_ERROR"),
    "500-text": Refusal(raw(500, b'"down"'), 75, "SERVER_ERROR"),
    "500-error-text": Refusal(raw(500, b'{"error":"down"}'), 75, "SERVER_ERROR"),
    "500-error-list": Refusal(raw(500, b'{"error":[1]}'), 75, "SERVER_ERROR"),
    "500-error-empty": Refusal(raw(500, b'{"error":{}}'), 75, "SERVER_ERROR"),
    "500-odd-types": Refusal(
        raw(500, b'{"error":{"code":"x","message":{"a":1},"status":5,"details":{"b":2}}}'), 75, "SERVER_ERROR"
    ),
    "500-not-utf-8": Refusal(raw(500, b'{"error":{"message":"\xff"}}'), 75, "SERVER_ERROR"),
    "429-list-of-one": Refusal(
        raw(429, b'[{"error":{"code":429,"message":"Please retry in 2s"}}]'), 75, "RATE_LIMIT", 2.0
    ),
    "429-odd-details": Refusal(
        raw(429, b'{"error":{"details":[5,null,{"@type":7,"violations":"x","retryDelay":null}]}}'), 75, "RATE_LIMIT"
    ),
    "429-odd-violations": Refusal(raw(429, b'{"error":{"details":[{"violations":5}]}}'), 75, "RATE_LIMIT"),
    # A 200 that is no answer of the API
    "200-html": Refusal(page(200), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-empty": Refusal(raw(200, b""), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-blank": Refusal(raw(200, b" \n"), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-null": Refusal(raw(200, b"null"), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-list": Refusal(raw(200, b"[]"), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-text": Refusal(raw(200, b'"hello"'), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-cut-json": Refusal(raw(200, b'{"candidates": [{"con'), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-two-documents": Refusal(raw(200, b"{}{}"), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-not-utf-8": Refusal(raw(200, b'{"a":"\xff"}'), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-nan": Refusal(raw(200, b'{"a":NaN}'), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-infinite": Refusal(raw(200, b'{"a":1e999}'), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-long-integer": Refusal(raw(200, b'{"a":' + b"9" * 5000 + b"}"), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-doubled-key": Refusal(raw(200, b'{"a":1,"a":2}'), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-nested": Refusal(
        raw(200, b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}"), 76, "BAD_RESPONSE", None, "unknown"
    ),
    "200-candidates-text": Refusal(json_reply({"candidates": "nope"}), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-candidate-null": Refusal(json_reply({"candidates": [None]}), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-content-text": Refusal(json_reply({"candidates": [{"content": "hi"}]}), 76, "BAD_RESPONSE", None, "unknown"),
    "200-parts-text": Refusal(
        json_reply({"candidates": [{"content": {"parts": "hi"}}]}), 76, "BAD_RESPONSE", outcome="unknown"
    ),
    "200-part-text": Refusal(
        json_reply({"candidates": [{"content": {"parts": ["hi"]}}]}), 76, "BAD_RESPONSE", outcome="unknown"
    ),
    "200-text-number": Refusal(json_reply(answer({"text": 5})), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-call-text": Refusal(json_reply(answer({"functionCall": "f"})), 76, "BAD_RESPONSE", outcome="unknown"),
    "200-finish-number": Refusal(
        json_reply({"candidates": [{"finishReason": 3}]}), 76, "BAD_RESPONSE", outcome="unknown"
    ),
    "200-feedback-text": Refusal(json_reply(answer("hi", promptFeedback="x")), 76, "BAD_RESPONSE", None, "unknown"),
    "200-usage-list": Refusal(json_reply(answer("hi", usageMetadata=[1])), 76, "BAD_RESPONSE", None, "unknown"),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_refused(case: Refusal, inside: Inside, model: Model, gemcli: Gemcli) -> None:
    """An HTTP answer that brings no answer ends in its status and reason, once asked, and leaves the history alone."""
    model.script(case.reply)
    status, out, error = inside.error("send", "-s", "s", "lost question")

    assert (error["reason"], status, out) == (case.reason, case.exit, ""), error
    expected = {
        "level": "error",
        "exit": case.exit,
        "code": REASONS[case.reason].code,
        "retryable": REASONS[case.reason].retryable,
        "http": case.reply.status,
        "outcome": case.outcome,
        "retry_after_s": case.retry_after,
        "attempts": 1,
    }
    assert {key: error[key] for key in expected} == expected
    assert len(model.requests) == 1

    request, failure = gemcli.records("s")[-2:]
    assert (request["kind"], failure["kind"]) == ("request", "failure")
    assert failure["request"] == request["id"]
    assert (failure["outcome"], failure["reason"], failure["code"]) == (case.outcome, case.reason, error["code"])
    assert failure["message"] == error["message"]
    assert len(failure["attempts"]) == 1
    assert_goes_on(inside, model, BEFORE)


def assert_goes_on(inside: Inside, model: Model, history: list[dict[str, Any]]) -> None:
    """The session loads, is valid, and the next request carries exactly `history` and the new message."""
    inside.ok("history", "-s", "s", "--check")
    model.script(answer("fine"))
    (done,) = inside.ok("send", "-s", "s", "next question")
    assert done["text"] == "fine"
    assert model.requests[-1]["contents"] == history + contents("next question")


# Answers that are answers

TEXT = "Not all of it"
CALL = {"functionCall": {"name": "roll", "args": {"sides": 6}, "id": "c1"}}
SIGNED = {"text": "Thought through", "thoughtSignature": "c2lnbmVk"}
THOUGHT = {"text": "Let me see", "thought": True}
DEEP: Any = "bottom"
for _ in range(150):
    DEEP = {"d": DEEP}


class Answer(NamedTuple):
    """A 200 with an answer: the status and reason it ends in, and the model Content that enters the history."""

    body: Mapping[str, Any]
    exit: int
    reason: ReasonName | None
    enters: list[dict[str, Any]] | None
    """The parts as the next request carries them; `None` when the answer is not valid."""


BLOCKED = (
    *("SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_OTHER", "IMAGE_RECITATION", "NO_IMAGE", "ESCALATION"),
)
MALFORMED = (
    *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
    *("MISSING_THOUGHT_SIGNATURE", "FINISH_REASON_UNSPECIFIED"),
)

ANSWERS: dict[str, Answer] = {
    # Whole
    "text": Answer(answer("Hello"), 0, None, [{"text": "Hello"}]),
    "two-texts": Answer(answer("Hel", "lo"), 0, None, [{"text": "Hel"}, {"text": "lo"}]),
    "unknown-finish": Answer(answer(TEXT, finish="BRAND_NEW"), 0, None, [{"text": TEXT}]),
    "thought-and-text": Answer(answer(THOUGHT, "So"), 0, None, [THOUGHT, {"text": "So"}]),
    "signature": Answer(answer(SIGNED), 0, None, [SIGNED]),
    "signature-alone-too": Answer(
        answer("Yes", {"text": "", "thoughtSignature": "cw=="}),
        0,
        None,
        [{"text": "Yes"}, {"text": "", "thoughtSignature": "cw=="}],
    ),
    "empty-parts-beside-text": Answer(answer({}, {"text": ""}, "Yes"), 0, None, [{"text": "Yes"}]),
    "no-role": Answer(
        {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}, 0, None, [{"text": "Hi"}]
    ),
    "odd-role": Answer(
        {"candidates": [{"content": {"role": "assistant", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]},
        0,
        None,
        [{"text": "Hi"}],
    ),
    "unknown-fields": Answer(
        answer({"text": "Hi", "newField": {"a": [1, None]}}, another={"b": True}),
        0,
        None,
        [{"text": "Hi", "newField": {"a": [1, None]}}],
    ),
    "code": Answer(answer({"executableCode": {"code": "1"}}), 0, None, [{"executableCode": {"code": "1"}}]),
    "image": Answer(answer({"inlineData": {"data": "aa=="}}), 0, None, [{"inlineData": {"data": "aa=="}}]),
    "numbers": Answer(
        answer("Hi", big=2**80, small=1e-300, negative=-0.0, usageMetadata={"totalTokenCount": 2**70}),
        0,
        None,
        [{"text": "Hi"}],
    ),
    "usage-of-odd-types": Answer(
        answer("Hi", usageMetadata={"totalTokenCount": "7", "promptTokenCount": True}), 0, None, [{"text": "Hi"}]
    ),
    "lone-surrogate": Answer(answer("a\ud800b"), 0, None, [{"text": "a\ud800b"}]),
    "controls": Answer(answer("\0\x1b[31m\u2028\u202e\r\n"), 0, None, [{"text": "\0\x1b[31m\u2028\u202e\r\n"}]),
    "deep": Answer(answer({"text": "Hi", "deep": DEEP}), 0, None, [{"text": "Hi", "deep": DEEP}]),
    "long": Answer(answer("ab" * 500_000), 0, None, [{"text": "ab" * 500_000}]),
    "two-candidates": Answer(
        answer(candidates=[*answer("One")["candidates"], *answer("Two")["candidates"]]), 0, None, [{"text": "One"}]
    ),
    # Not whole
    "max-tokens": Answer(answer(TEXT, finish="MAX_TOKENS"), 4, "INCOMPLETE", [{"text": TEXT}]),
    "continuation": Answer(
        answer(TEXT, finish="CONTINUATION", continuationToken="next"), 4, "INCOMPLETE", [{"text": TEXT}]
    ),
    # No use
    "prompt-blocked": Answer({"promptFeedback": {"blockReason": "SAFETY"}}, 3, "PROMPT_BLOCKED", None),
    "prompt-blocked-unknown": Answer({"promptFeedback": {"blockReason": "BRAND_NEW"}}, 3, "PROMPT_BLOCKED", None),
    "prompt-blocked-with-text": Answer(
        answer(TEXT, promptFeedback={"blockReason": "OTHER"}), 3, "PROMPT_BLOCKED", None
    ),
    "empty-object": Answer({}, 3, "EMPTY_ANSWER", None),
    "no-candidates": Answer({"candidates": [], "usageMetadata": {"totalTokenCount": 9}}, 3, "EMPTY_ANSWER", None),
    "no-parts": Answer(answer(), 3, "EMPTY_ANSWER", None),
    "no-content": Answer({"candidates": [{"finishReason": "STOP"}]}, 3, "EMPTY_ANSWER", None),
    "empty-content": Answer({"candidates": [{"content": {}, "finishReason": "STOP"}]}, 3, "EMPTY_ANSWER", None),
    "empty-part": Answer(answer({}), 3, "EMPTY_ANSWER", None),
    "empty-text": Answer(answer(""), 3, "EMPTY_ANSWER", None),
    "thought-only": Answer(answer(THOUGHT), 3, "EMPTY_ANSWER", None),
    "signature-only": Answer(answer({"thoughtSignature": "cw=="}), 3, "EMPTY_ANSWER", None),
    "unknown-finish-empty": Answer(answer(finish="BRAND_NEW"), 3, "EMPTY_ANSWER", None),
    "max-tokens-empty": Answer(answer(finish="MAX_TOKENS"), 3, "MAX_TOKENS_EMPTY", None),
    "max-tokens-thoughts": Answer(answer(THOUGHT, finish="MAX_TOKENS"), 3, "MAX_TOKENS_EMPTY", None),
    "no-finish-reason": Answer(answer(TEXT, finish=None), 3, "MALFORMED_ANSWER", None),
    "response-in-answer": Answer(
        answer(TEXT, {"functionResponse": {"name": "f", "response": {}}}), 3, "MALFORMED_ANSWER", None
    ),
    "malformed-call-bare": Answer(
        {"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "roll(("}]},
        3,
        "MALFORMED_ANSWER",
        None,
    ),
    "safety-bare": Answer({"candidates": [{"finishReason": "SAFETY"}]}, 3, "ANSWER_BLOCKED", None),
    "safety-with-call": Answer(answer(CALL, finish="SAFETY"), 3, "ANSWER_BLOCKED", None),
    **{f"blocked-{name}": Answer(answer(TEXT, finish=name), 3, "ANSWER_BLOCKED", None) for name in BLOCKED},
    **{f"broken-{name}": Answer(answer(TEXT, finish=name), 3, "MALFORMED_ANSWER", None) for name in MALFORMED},
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_answered(case: Answer, inside: Inside, model: Model, gemcli: Gemcli) -> None:
    """An answer is recorded value for value, printed, judged, and is in the next request only if it is usable."""
    model.script(case.body)
    done = assert_recorded(case, inside, model, gemcli)
    assert done["saved"] is True
    history = BEFORE
    if case.enters is not None:
        history = [*BEFORE, *contents("odd question"), {"role": "model", "parts": case.enters}]
    assert_goes_on(inside, model, history)


def assert_recorded(case: Answer, inside: Inside, model: Model, gemcli: Gemcli) -> Any:
    """Send one message that `case` answers; the document that was printed."""
    status, out, err = inside("send", "-s", "s", "odd question", "--errors", "json")
    assert status == case.exit, err
    done = json.loads(out)
    assert done["reason"] == case.reason
    assert done["status"] == (REASONS[case.reason].status if case.reason else "ok")
    assert EXIT[done["status"]] == status
    if case.reason:
        error = json.loads(err.splitlines()[-1])
        assert error["reason"] == case.reason
        assert error["code"] == REASONS[case.reason].code
        assert error["retryable"] == REASONS[case.reason].retryable
    else:
        assert err == ""
    assert len(model.requests) == 1

    request, response = gemcli.records("s")[-2:]
    assert (request["kind"], response["kind"], response["request"]) == ("request", "response", request["id"])
    assert response["valid"] is (case.enters is not None)
    # As text, so that neither the order of keys nor 1 and 1.0 and True pass for the same.
    assert json.dumps(response["answer"]) == json.dumps(case.body)
    return done


CALLS: dict[str, tuple[Mapping[str, Any], list[dict[str, Any]]]] = {
    "call": (answer(CALL), [CALL]),
    "text-and-call": (answer("I will", CALL), [{"text": "I will"}, CALL]),
    "two-calls": (answer(CALL, {"functionCall": {"name": "flip"}}), [CALL, {"functionCall": {"name": "flip"}}]),
    "cut-call": (answer(CALL, finish="MAX_TOKENS"), [CALL]),
    "signed-call": (answer(CALL | {"thoughtSignature": "cw=="}), [CALL | {"thoughtSignature": "cw=="}]),
    "call-without-args": (answer({"functionCall": {"name": "roll"}}), [{"functionCall": {"name": "roll"}}]),
}


@pytest.mark.parametrize(("body", "parts"), CALLS.values(), ids=CALLS)
def test_function_calls(
    body: Mapping[str, Any], parts: list[dict[str, Any]], inside: Inside, model: Model, gemcli: Gemcli
) -> None:
    """A call leaves the turn open: a message is refused unsent until `rewind` has taken the turn out."""
    model.script(body)
    done = assert_recorded(Answer(body, 5, "FUNCTION_CALL", parts), inside, model, gemcli)
    assert done["function_calls"] == [part["functionCall"] for part in parts if "functionCall" in part]
    inside.ok("history", "-s", "s", "--check")
    before = gemcli.session("s").read_bytes()

    status, _, error = inside.error("send", "-s", "s", "and now?")
    assert (status, error["reason"]) == (65, "OPEN_CALL")
    assert "rewind" in error["hint"]
    assert gemcli.session("s").read_bytes() == before
    assert len(model.requests) == 1

    inside.ok("rewind", "-s", "s")
    assert_goes_on(inside, model, BEFORE)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("blocked", answer(TEXT, finish="SAFETY")),
        ("incomplete", answer(TEXT, finish="MAX_TOKENS")),
        ("function_call", answer(CALL)),
    ],
    ids=["blocked", "incomplete", "function_call"],
)
def test_allowed(status: str, body: Mapping[str, Any], inside: Inside, model: Model) -> None:
    """`--allow` turns the status it names into success, and no other."""
    others = [name for name in ("blocked", "incomplete", "function_call") if name != status]
    inside.ok("new", "-s", "t")
    model.script(body, body)
    assert inside("send", "-s", "s", "hi", "--allow", ",".join(others))[0] == EXIT[status]
    code, out, err = inside("send", "-s", "t", "hi", "--allow", status)
    assert (code, err, json.loads(out)["status"]) == (0, "", status)


def test_failures_are_counted(inside: Inside, model: Model) -> None:
    """Tokens of an unusable answer count in the totals: they were billed."""
    model.script(answer(TEXT, finish="SAFETY"), answer("fine"))
    assert inside("send", "-s", "s", "one")[0] == 3
    (done,) = inside.ok("send", "-s", "s", "two")
    assert (done["totals"]["requests"], done["totals"]["total_token_count"]) == (2, 14)


# The installed program, for a few of them


@pytest.mark.parametrize("name", ["429-seconds", "500-not-utf-8", "200-html", "204"])
def test_installed_refused(name: str, gemcli: Gemcli, model: Model) -> None:
    """The installed program tells a script the same as the tables above say, with nothing on stdout."""
    case = REFUSALS[name]
    gemcli("new", "-s", "s", env=model.env)
    model.script(case.reply)
    done = gemcli("send", "-s", "s", "hi", "--errors", "json", env=model.env)
    assert (done.status, done.out, done.error["reason"]) == (case.exit, "", case.reason)
    assert done.err.count("\n") == 1
    assert len(model.requests) == 1


@pytest.mark.parametrize("name", ["text", "lone-surrogate", "max-tokens", "safety-bare", "thought-only"])
def test_installed_answered(name: str, gemcli: Gemcli, model: Model) -> None:
    """The installed program prints one document with the answer, whatever its status."""
    case = ANSWERS[name]
    gemcli("new", "-s", "s", env=model.env)
    model.script(case.body)
    done = gemcli("send", "-s", "s", "hi", env=model.env)
    assert (done.status, done.json["reason"], done.json["saved"]) == (case.exit, case.reason, True)
    assert gemcli.records("s")[-1]["answer"] == case.body
    assert bool(done.err) == bool(case.exit)


def test_history_survives_everything(inside: Inside, model: Model) -> None:
    """After every refusal and every unusable answer in one session, the history is what was answered."""
    unusable = [case for case in ANSWERS.values() if case.enters is None]
    lost = [(case.reply, case.exit) for case in REFUSALS.values()]
    lost += [(json_reply(dict(case.body)), case.exit) for case in unusable]
    for place, (reply, status) in enumerate(lost):
        model.script(reply)
        assert inside("send", "-s", "s", f"lost {place}")[0] == status
    assert len(model.requests) == len(lost)
    assert all(texts(sent["contents"])[:-1] == texts(BEFORE) for sent in model.requests)
    assert_goes_on(inside, model, BEFORE)


# The table of reasons


def test_reasons_are_tested() -> None:
    """Every reason that gemcli can give stands in a test, by its name in quotes."""
    files = [file.read_text("utf-8") for file in Path(__file__).parents[1].rglob("*.py")]
    named = set(re.findall(r'"([A-Z][A-Z_]+)"', "\n".join(files)))
    assert set(REASONS) - named == set()
