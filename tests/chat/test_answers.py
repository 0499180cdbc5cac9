"""Answers of the API: which are usable, what each of the others means, and errors of every shape."""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import answers, turn_order
from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS, judge, read
from gemcli.errors import REASONS, GemcliError
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
    "incomplete": (answer("a", finish="MAX_TOKENS"), "the answer was cut off: MAX_TOKENS"),
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
    "duplicate-key": (b'{"a": 1, "a": 2}', 'the answer is not JSON (the key "a" stands twice in one object)'),
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
