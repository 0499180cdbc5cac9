"""Answers of the API: which are usable, what each of the others means, and errors of every shape."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from google.genai import types
from hypothesis import example, given
from hypothesis import strategies as st

from gemcli.api.http_errors import refusal
from gemcli.chat import answers, turn_order
from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS, judge, read
from gemcli.errors import EXIT, REASONS, GemcliError
from tests.support import answer

CALL = {"functionCall": {"name": "f", "args": {}}}
THOUGHT = {"text": "hm", "thought": True}


def candidate(**fields: Any) -> dict[str, Any]:
    """An answer with one candidate of these fields."""
    return {"candidates": [fields]}


def test_finish_reasons_are_those_of_the_sdk() -> None:
    """Every finish reason of the installed SDK is known, and none that it does not have."""
    assert FINISH_REASONS.keys() == {reason.value for reason in types.FinishReason}
    assert set(BLOCK_REASONS) == {reason.value for reason in types.BlockedReason}


# name: body, valid, reason, exit status, text
JUDGED: dict[str, tuple[Any, bool, str | None, int, str]] = {
    "stop": (answer("a"), True, None, 0, "a"),
    "stop-parts": (answer("a", "b"), True, None, 0, "ab"),
    "stop-thought-and-text": (answer(THOUGHT, "a"), True, None, 0, "a"),
    "stop-image": (answer({"inlineData": {"mimeType": "image/png", "data": "aGk="}}), True, None, 0, ""),
    "stop-code": (answer({"executableCode": {"code": "1"}}), True, None, 0, ""),
    "stop-unknown-part": (answer({"later": {"x": 1}}), True, None, 0, ""),
    "stop-space": (answer(" "), True, None, 0, " "),
    "stop-no-role": (candidate(content={"parts": [{"text": "a"}]}, finishReason="STOP"), True, None, 0, "a"),
    "stop-empty-part-too": (answer({}, "a", ""), True, None, 0, "a"),
    "two-candidates": ({"candidates": answer("a")["candidates"] + answer("b")["candidates"]}, True, None, 0, "a"),
    "unknown-reason": (answer("a", finish="TIDIED_UP"), True, None, 0, "a"),
    "unknown-reason-empty": (answer(finish="TIDIED_UP"), False, "EMPTY_ANSWER", 3, ""),
    "max-tokens": (answer("a", finish="MAX_TOKENS"), True, "INCOMPLETE", 4, "a"),
    "max-tokens-no-parts": (answer(finish="MAX_TOKENS"), False, "MAX_TOKENS_EMPTY", 3, ""),
    "max-tokens-no-content": (candidate(finishReason="MAX_TOKENS"), False, "MAX_TOKENS_EMPTY", 3, ""),
    "max-tokens-thought": (answer(THOUGHT, finish="MAX_TOKENS"), False, "MAX_TOKENS_EMPTY", 3, ""),
    "continuation": (answer("a", finish="CONTINUATION"), True, "INCOMPLETE", 4, "a"),
    "call": (answer(CALL), True, "FUNCTION_CALL", 5, ""),
    "call-and-text": (answer("look", CALL), True, "FUNCTION_CALL", 5, "look"),
    "call-before-incomplete": (answer(CALL, finish="MAX_TOKENS"), True, "FUNCTION_CALL", 5, ""),
    "prompt-blocked": ({"promptFeedback": {"blockReason": "SAFETY"}}, False, "PROMPT_BLOCKED", 3, ""),
    "prompt-blocked-unknown": ({"promptFeedback": {"blockReason": "MOON"}}, False, "PROMPT_BLOCKED", 3, ""),
    "feedback-without-block": ({**answer("a"), "promptFeedback": {"safetyRatings": []}}, True, None, 0, "a"),
    "feedback-null": ({**answer("a"), "promptFeedback": None, "usageMetadata": None}, True, None, 0, "a"),
    "nothing": ({}, False, "EMPTY_ANSWER", 3, ""),
    "no-candidates": ({"candidates": []}, False, "EMPTY_ANSWER", 3, ""),
    "candidates-null": ({"candidates": None}, False, "EMPTY_ANSWER", 3, ""),
    "stop-no-parts": (answer(), False, "EMPTY_ANSWER", 3, ""),
    "stop-empty-part": (answer({}), False, "EMPTY_ANSWER", 3, ""),
    "stop-empty-text": (answer(""), False, "EMPTY_ANSWER", 3, ""),
    "stop-thought-only": (answer(THOUGHT), False, "EMPTY_ANSWER", 3, ""),
    "stop-signature-only": (answer({"text": "", "thoughtSignature": "cw=="}), False, "EMPTY_ANSWER", 3, ""),
    "stop-no-content": (candidate(finishReason="STOP"), False, "EMPTY_ANSWER", 3, ""),
    "stop-content-null": (candidate(content=None, finishReason="STOP"), False, "EMPTY_ANSWER", 3, ""),
    "unfinished": (answer("half", finish=None), False, "MALFORMED_ANSWER", 3, "half"),
    "unfinished-empty-reason": (answer("half", finish=""), False, "MALFORMED_ANSWER", 3, "half"),
    "answers-with-a-response": (answer({"functionResponse": {"name": "f"}}), False, "MALFORMED_ANSWER", 3, ""),
    "malformed-call-no-content": (
        candidate(content={}, finishReason="MALFORMED_FUNCTION_CALL"),
        False,
        "MALFORMED_ANSWER",
        3,
        "",
    ),
    "malformed-call-with-call": (answer(CALL, finish="UNEXPECTED_TOOL_CALL"), False, "MALFORMED_ANSWER", 3, ""),
}


@pytest.mark.parametrize(("body", "valid", "reason", "status", "text"), JUDGED.values(), ids=JUDGED)
def test_judged(body: Any, valid: bool, reason: str | None, status: int, text: str) -> None:
    """Each kind of answer is valid or not, and ends in its reason and exit status."""
    verdict = judge(read(json.dumps(body).encode()))
    error = verdict.error
    assert (verdict.valid, error and error.reason, error.exit if error else 0, verdict.text) == (
        valid,
        reason,
        status,
        text,
    )
    assert turn_order.check([{"role": "user", "parts": [{"text": "q"}]}, verdict.content]) == [] or not valid


BLOCKING = {name: reason for name, reason in FINISH_REASONS.items() if reason not in (None, "INCOMPLETE")}


@pytest.mark.parametrize("finish", BLOCKING)
@pytest.mark.parametrize("parts", [(), ("half",), (CALL,)], ids=["empty", "text", "call"])
def test_bad_finish_reasons(finish: str, parts: Any) -> None:
    """SAFETY and its kin are never valid, with text and calls neither; the message names the reason."""
    verdict = judge(answer(*parts, finish=finish))
    assert not verdict.valid
    assert verdict.error is not None
    assert (verdict.error.exit, verdict.error.reason) == (3, BLOCKING[finish])
    assert finish in verdict.error.message


def test_malformed_answers_are_worth_another_try() -> None:
    """Of the unusable answers, the empty and the malformed ones may be sent again; a block may not."""
    retryable = {reason for reason, kind in REASONS.items() if kind.status == "blocked" and kind.retryable}
    assert retryable == {"EMPTY_ANSWER", "MALFORMED_ANSWER"}


MESSAGES = {
    "prompt": ({"promptFeedback": {"blockReason": "SAFETY"}}, "the prompt was blocked: SAFETY"),
    "finish-message": (
        candidate(finishReason="OTHER", finishMessage="no idea"),
        "the answer ended with OTHER: no idea",
    ),
    "unfinished": (answer("a", finish=None), "the answer ended with no finish reason"),
    "incomplete": (answer("a", finish="MAX_TOKENS"), "the answer is not whole: MAX_TOKENS"),
    "max-tokens-empty": (answer(finish="MAX_TOKENS"), "the answer ended with MAX_TOKENS before it said anything"),
    "no-candidates": ({}, "the answer has no candidates"),
    "empty": (answer(""), "the answer is empty"),
    "calls": (
        answer(CALL, {"functionCall": {"name": "g"}}),
        "the model waits for the responses of f, g",
    ),
    "response": (
        answer({"functionResponse": {"name": "f"}}),
        "the API would refuse its own answer: part 0 is a functionResponse in a model Content",
    ),
}


@pytest.mark.parametrize(("body", "message"), MESSAGES.values(), ids=MESSAGES)
def test_messages(body: Any, message: str) -> None:
    """What is wrong with an answer is said in these words."""
    error = judge(body).error
    assert error is not None
    assert error.message == message


# Bodies of a 200 that are no answer

BROKEN = {
    "empty": (b"", "the answer is empty"),
    "space": (b" \r\n", "the answer is empty"),
    "html": (b"<html>", "the answer is not JSON (Expecting value: line 1 column 1 (char 0))"),
    "cut": (b'{"candidates": [', "the answer is not JSON (Expecting value: line 1 column 17 (char 16))"),
    "nan": (b'{"a": NaN}', "the answer is not JSON (NaN is not JSON)"),
    "duplicate-key": (b'{"a": 1, "a": 2}', 'the answer is not JSON (duplicate key "a")'),
    "two-documents": (b"{}{}", "the answer is not JSON (Extra data: line 1 column 3 (char 2))"),
    "deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the answer is not JSON (nested too deeply)"),
    "null": (b"null", "not an answer of the API: not an object"),
    "list": (b"[]", "not an answer of the API: not an object"),
    "text": (b'"ok"', "not an answer of the API: not an object"),
    "candidates-text": (b'{"candidates": "nope"}', "not an answer of the API: `candidates` is not a list of objects"),
    "candidate-null": (b'{"candidates": [null]}', "not an answer of the API: `candidates` is not a list of objects"),
    "finish-number": (b'{"candidates": [{"finishReason": 1}]}', "not an answer of the API: `finishReason` is not text"),
    "content-text": (b'{"candidates": [{"content": "hi"}]}', "not an answer of the API: `content` is not an object"),
    "parts-object": (
        b'{"candidates": [{"content": {"parts": {}}}]}',
        "not an answer of the API: `content`: `parts` is an object, not a list",
    ),
    "part-text": (
        b'{"candidates": [{"content": {"parts": ["hi"]}}]}',
        "not an answer of the API: `content`: part 0 is not an object but text",
    ),
    "text-number": (
        b'{"candidates": [{"content": {"parts": [{"text": 1}]}}]}',
        "not an answer of the API: `content`: part 0: `text` is a number",
    ),
    "feedback-text": (
        b'{"promptFeedback": "x"}',
        "not an answer of the API: `promptFeedback` is not an object",
    ),
    "usage-list": (
        b'{"usageMetadata": [1]}',
        "not an answer of the API: `usageMetadata` is not an object",
    ),
}


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_bodies(body: bytes, message: str) -> None:
    """A 200 whose body is no answer is BAD_RESPONSE, exit 76, and whether it was billed is unknown."""
    with pytest.raises(GemcliError) as caught:
        read(body)
    error = caught.value
    assert (error.reason, error.exit, error.code, error.outcome, error.http) == (
        "BAD_RESPONSE",
        76,
        "INTERNAL",
        "unknown",
        200,
    )
    assert error.message == message


def test_broken_utf8() -> None:
    """An answer that is not UTF-8 is BAD_RESPONSE too."""
    with pytest.raises(GemcliError, match="not JSON") as caught:
        read(b'{"a": "\xff"}')
    assert caught.value.reason == "BAD_RESPONSE"


# Error answers: HTTP status, error body -> reason, exit, code, retryable


def details(*entries: Mapping[str, Any]) -> dict[str, Any]:
    """The details of an error."""
    return {"details": list(entries)}


def quota(**violation: str) -> dict[str, Any]:
    """A QuotaFailure of one violation."""
    return details({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})


ORDER = "Please ensure that function call turn comes immediately after a user turn."
INVALID = {"code": 400, "status": "INVALID_ARGUMENT"}

REFUSALS: dict[str, tuple[int, dict[str, Any], str, int, str, bool]] = {
    "400-order": (400, {**INVALID, "message": ORDER}, "TURN_ORDER", 65, "INVALID_ARGUMENT", False),
    "400-roles": (
        400,
        {**INVALID, "message": "Please use a valid role: user, model."},
        "TURN_ORDER",
        65,
        "INVALID_ARGUMENT",
        False,
    ),
    "400-parts": (
        400,
        {**INVALID, "message": "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty."},
        "TURN_ORDER",
        65,
        "INVALID_ARGUMENT",
        False,
    ),
    "400-too-long": (
        400,
        {**INVALID, "message": "The input token count (1048577) exceeds the maximum number of tokens allowed."},
        "CONTEXT_TOO_LONG",
        65,
        "INVALID_ARGUMENT",
        False,
    ),
    "400-key": (
        400,
        {**INVALID, "message": "API key not valid.", **details({"reason": "API_KEY_INVALID"})},
        "API_KEY_INVALID",
        77,
        "UNAUTHENTICATED",
        False,
    ),
    "400-region": (
        400,
        {"status": "FAILED_PRECONDITION", "message": "User location is not supported for the API use."},
        "PRECONDITION",
        78,
        "FAILED_PRECONDITION",
        False,
    ),
    "400-other": (400, {**INVALID, "message": "no"}, "BAD_REQUEST", 65, "INVALID_ARGUMENT", False),
    "401": (401, {"status": "UNAUTHENTICATED"}, "UNAUTHENTICATED", 77, "UNAUTHENTICATED", False),
    "402": (402, {}, "QUOTA_DAILY", 69, "RESOURCE_EXHAUSTED", False),
    "403": (403, {"message": "Your key was reported as leaked."}, "PERMISSION_DENIED", 77, "PERMISSION_DENIED", False),
    "404": (404, {"status": "NOT_FOUND"}, "MODEL_NOT_FOUND", 78, "NOT_FOUND", False),
    "405": (405, {}, "BAD_REQUEST", 65, "INVALID_ARGUMENT", False),
    "408": (408, {}, "SERVER_TIMEOUT", 75, "DEADLINE_EXCEEDED", True),
    "409": (409, {"status": "ABORTED"}, "ABORTED", 75, "ABORTED", True),
    "413": (413, {}, "TOO_LARGE", 65, "INVALID_ARGUMENT", False),
    "429-minute": (
        429,
        quota(quotaId="GenerateRequestsPerMinutePerProjectPerModel"),
        "RATE_LIMIT",
        75,
        "RESOURCE_EXHAUSTED",
        True,
    ),
    "429-day": (
        429,
        quota(quotaId="GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        "QUOTA_DAILY",
        69,
        "RESOURCE_EXHAUSTED",
        False,
    ),
    "429-limit-0": (
        429,
        {"message": "Quota exceeded for metric: requests, limit: 0"},
        "QUOTA_DAILY",
        69,
        "RESOURCE_EXHAUSTED",
        False,
    ),
    "429-limit-05": (429, {"message": "limit: 05"}, "RATE_LIMIT", 75, "RESOURCE_EXHAUSTED", True),
    "429-bare": (429, {}, "RATE_LIMIT", 75, "RESOURCE_EXHAUSTED", True),
    "499": (499, {"status": "CANCELLED"}, "CANCELLED", 75, "CANCELLED", True),
    "500": (500, {"status": "INTERNAL"}, "SERVER_ERROR", 75, "INTERNAL", True),
    "501": (501, {}, "SERVER_ERROR", 75, "INTERNAL", True),
    "502": (502, {}, "UNAVAILABLE", 75, "UNAVAILABLE", True),
    "503": (503, {"message": "The model is overloaded."}, "UNAVAILABLE", 75, "UNAVAILABLE", True),
    "504": (504, {"status": "DEADLINE_EXCEEDED"}, "SERVER_TIMEOUT", 75, "DEADLINE_EXCEEDED", True),
    "301": (301, {}, "REDIRECT", 78, "FAILED_PRECONDITION", False),
    "307": (307, {}, "REDIRECT", 78, "FAILED_PRECONDITION", False),
    "204": (204, {}, "BAD_RESPONSE", 76, "INTERNAL", False),
}


@pytest.mark.parametrize(("http", "fault", "reason", "status", "code", "again"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(http: int, fault: Mapping[str, Any], reason: str, status: int, code: str, again: bool) -> None:
    """Each error answer has its reason, exit status and code, and says whether the command may be run again."""
    error = refusal(http, {}, json.dumps({"error": fault}).encode())
    assert (error.reason, error.exit, error.code, error.retryable) == (reason, status, code, again)
    assert (error.http, error.outcome) == (http, "unknown" if http == 204 else "rejected")
    as_list = refusal(http, {}, json.dumps([{"error": fault}]).encode())
    assert as_list.to_json() == error.to_json()


SHAPES = {
    "google": (
        502,
        {},
        b'{"error": {"status": "UNAVAILABLE", "message": " Try later.\\n"}}',
        "the API answered HTTP 502 UNAVAILABLE: Try later.",
    ),
    "html": (
        502,
        {},
        b"<html><style>p {}</style><title>Bad</title>\n<h1>Gateway</h1><script>x</script>",
        "the API answered HTTP 502: Bad Gateway",
    ),
    "text": (502, {}, b"upstream  gone", "the API answered HTTP 502: upstream gone"),
    "bytes": (502, {}, b"\xff\xfe", "the API answered HTTP 502: \ufffd\ufffd"),
    "empty": (502, {}, b"", "the API answered HTTP 502"),
    "error-text": (502, {}, b'{"error": "down"}', "the API answered HTTP 502: down"),
    "error-null": (502, {}, b'{"error": null}', "the API answered HTTP 502"),
    "list-empty": (502, {}, b"[]", "the API answered HTTP 502"),
    "number": (502, {}, b"5", "the API answered HTTP 502"),
    "message-null": (502, {}, b'{"error": {"message": null, "status": 5}}', "the API answered HTTP 502"),
    "redirect": (307, {"location": "https://x/"}, b"", "the API answered HTTP 307: to https://x/"),
    "redirect-nowhere": (307, {}, b"", "the API answered HTTP 307: to nowhere"),
}


@pytest.mark.parametrize(("http", "headers", "body", "message"), SHAPES.values(), ids=SHAPES)
def test_error_shapes(http: int, headers: Mapping[str, str], body: bytes, message: str) -> None:
    """An error answer of any shape is told with what it says."""
    assert refusal(http, headers, body).message == message


def test_long_pages_are_cut() -> None:
    """Of a page that is no error answer, only the beginning is told."""
    assert len(refusal(502, {}, b"word " * 10_000).message) < 300


@pytest.mark.parametrize("page", [b"<" * 1_000_000, b"<style" * 150_000], ids=["brackets", "styles"])
@pytest.mark.slow
def test_large_pages_take_no_time(page: bytes) -> None:
    """A page of any size and shape is read at once: there is nobody who could stop it."""
    import subprocess
    import sys

    program = "import sys; from gemcli.api import http_errors; http_errors.refusal(502, {}, sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", program], input=page, timeout=10, check=True)


def retry_info(delay: Any) -> dict[str, Any]:
    """A RetryInfo with this delay."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


WAITS: dict[str, tuple[dict[str, str], dict[str, Any], float | None]] = {
    "nothing": ({}, {}, None),
    "retry-info": ({}, details(retry_info("37s")), 37),
    "retry-info-decimal": ({}, details(retry_info("2.5s")), 2.5),
    "retry-info-nanos": ({}, details(retry_info("0.123456789s")), 0.123456789),
    "retry-info-ms": ({}, details(retry_info("900ms")), 0.9),
    "retry-info-zero": ({}, details(retry_info("0s")), 0),
    "retry-info-second": ({}, details({"reason": "X"}, retry_info("4s")), 4),
    "message": ({}, {"message": "Quota. Please retry in 31.5s."}, 31.5),
    "message-ms": ({}, {"message": "Please retry in 720.5ms."}, 0.7205),
    "header": ({"retry-after": "7"}, {}, 7),
    "retry-info-before-header": ({"retry-after": "7"}, details(retry_info("3s")), 3),
    "retry-info-before-message": ({}, {"message": "retry in 9s", **details(retry_info("3s"))}, 3),
    "header-before-message": ({"retry-after": "7"}, {"message": "Please retry in 3s."}, 7),
    "broken-retry-info-then-header": ({"retry-after": "7"}, details(retry_info("soon")), 7),
    "broken-number": ({}, details(retry_info(3)), None),
    "broken-negative": ({}, details(retry_info("-3s")), None),
    "broken-words": ({"retry-after": "soon"}, {"message": "Please retry in a while"}, None),
    "broken-dots": ({}, {"message": "retry in 1.2.3s"}, None),
}


@pytest.mark.parametrize(("headers", "fault", "seconds"), WAITS.values(), ids=WAITS)
def test_retry_after(headers: Mapping[str, str], fault: Mapping[str, Any], seconds: float | None) -> None:
    """The wait a server asks for comes from RetryInfo, else Retry-After, else the words of the message."""
    assert refusal(429, headers, json.dumps({"error": fault}).encode()).retry_after == seconds


def test_retry_after_is_finite() -> None:
    """A delay beyond all numbers is none: it could not even be printed as JSON."""
    error = refusal(429, {}, json.dumps({"error": details(retry_info("9" * 400 + "s"))}).encode())
    json.dumps(error.to_json(), allow_nan=False)


# Anything at all

KEYS = (
    "candidates content parts text finishReason promptFeedback blockReason functionCall usageMetadata "
    "finishMessage thought role"
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4),
    max_leaves=15,
)
DETAIL = st.fixed_dictionaries(
    {},
    optional={
        "@type": JSON | st.just("google.rpc.RetryInfo"),
        "retryDelay": JSON | st.from_regex(r"[0-9.]{1,400}m?s", fullmatch=True),
        "violations": JSON | st.lists(st.dictionaries(st.sampled_from(["quotaId", "quotaMetric"]), JSON)),
        "reason": JSON,
    },
)
FAULT = st.fixed_dictionaries(
    {},
    optional={
        "message": JSON | st.from_regex(r"retry in [0-9.]{1,400}m?s", fullmatch=True),
        "status": JSON,
        "details": JSON | st.lists(DETAIL | JSON, max_size=3),
    },
)
STATUS = st.sampled_from([201, 204, 302, 400, 401, 404, 418, 429, 429, 429, 500, 503, 599])


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_of_a_200(body: bytes) -> None:
    """Any body of a 200 is an answer that can be judged, or a GemcliError."""
    try:
        found = read(body)
    except GemcliError as error:
        assert error.reason == "BAD_RESPONSE"  # noqa: PT017 - most bodies are answers
        return
    verdict = judge(found)
    assert verdict.valid or verdict.error
    assert isinstance(verdict.text, str)


ERRORS = JSON | FAULT.map(lambda fault: {"error": fault})


@example(429, b'{"error": {"details": [{"violations": 5}]}}')
@example(429, b'{"error": {"details": [{"violations": {"a": 1}, "retryDelay": {}}], "message": {"a": 1}}}')
@given(STATUS, st.binary(max_size=60) | ERRORS.map(lambda value: json.dumps(value).encode()))
def test_any_error_body(http: int, body: bytes) -> None:
    """Any body of an error answer is a GemcliError that can be printed as strict JSON."""
    error = refusal(http, {"retry-after": "1"}, body)
    assert error.exit in EXIT.values()
    assert json.dumps(error.to_json(), allow_nan=False)


@given(
    st.sampled_from([*FINISH_REASONS, "NEW", None]),
    st.lists(st.sampled_from([CALL, THOUGHT, {}, {"text": ""}, {"text": "a"}])),
)
def test_valid_answers_keep_the_turn_order(finish: str | None, parts: list[dict[str, Any]]) -> None:
    """Whatever is judged valid can stand in a history."""
    verdict = judge(answer(*parts, finish=finish))
    if verdict.valid:
        history = [{"role": "user", "parts": [{"text": "q"}]}, verdict.content]
        assert turn_order.check_import(history) == []


def test_reading_loses_nothing() -> None:
    """An answer is kept value for value: unknown fields, key order and numbers as they came."""
    content = '{"parts":[{"text":"a\\ud800","new":1e-7}]}'
    body = f'{{"z":1,"candidates":[{{"content":{content},"new":[]}}],"a":12345678901234567890}}'
    assert json.dumps(read(body.encode()), separators=(",", ":")) == re.sub("1e-7", "1e-07", body)


def test_the_sdk_reads_what_is_valid() -> None:
    """The answers judged valid above are answers to the SDK as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for body, valid, *_ in JUDGED.values():
            if valid and body is not JUDGED["stop-unknown-part"][0]:
                assert types.GenerateContentResponse.model_validate(body).candidates
    assert answers.FINISH_REASONS["STOP"] is None
