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
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from tests.builders import answer, error_from, json_values

CALL = {"functionCall": {"name": "f", "args": {}}}
THOUGHT = {"text": "hm", "thought": True}


def candidate(**fields: Any) -> dict[str, Any]:
    """An answer with one candidate of these fields."""
    return {"candidates": [fields]}


def test_finish_reasons_are_those_of_the_sdk() -> None:
    """Every finish reason of the installed SDK is known, and none that it does not have."""
    assert FINISH_REASONS.keys() == {reason.value for reason in types.FinishReason}
    assert set(BLOCK_REASONS) == {reason.value for reason in types.BlockedReason}


# name: body, valid, reason, text
JUDGED: dict[str, tuple[Any, bool, str | None, str]] = {
    "stop": (answer("a"), True, None, "a"),
    "stop-parts": (answer("a", "b"), True, None, "ab"),
    "stop-thought-and-text": (answer(THOUGHT, "a"), True, None, "a"),
    "stop-image": (answer({"inlineData": {"mimeType": "image/png", "data": "aGk="}}), True, None, ""),
    "stop-code": (answer({"executableCode": {"code": "1"}}), True, None, ""),
    "stop-unknown-part": (answer({"later": {"x": 1}}), True, None, ""),
    "stop-space": (answer(" "), True, None, " "),
    "stop-no-role": (candidate(content={"parts": [{"text": "a"}]}, finishReason="STOP"), True, None, "a"),
    "stop-empty-part-too": (answer({}, "a", ""), True, None, "a"),
    "two-candidates": ({"candidates": answer("a")["candidates"] + answer("b")["candidates"]}, True, None, "a"),
    "unknown-reason": (answer("a", finish="TIDIED_UP"), True, None, "a"),
    "unknown-reason-empty": (answer(finish="TIDIED_UP"), False, "EMPTY_ANSWER", ""),
    "max-tokens": (answer("a", finish="MAX_TOKENS"), True, "INCOMPLETE", "a"),
    "max-tokens-no-parts": (answer(finish="MAX_TOKENS"), False, "MAX_TOKENS_EMPTY", ""),
    "max-tokens-no-content": (candidate(finishReason="MAX_TOKENS"), False, "MAX_TOKENS_EMPTY", ""),
    "max-tokens-thought": (answer(THOUGHT, finish="MAX_TOKENS"), False, "MAX_TOKENS_EMPTY", ""),
    "continuation": (answer("a", finish="CONTINUATION"), True, "INCOMPLETE", "a"),
    "call": (answer(CALL), True, "FUNCTION_CALL", ""),
    "call-and-text": (answer("look", CALL), True, "FUNCTION_CALL", "look"),
    "call-before-incomplete": (answer(CALL, finish="MAX_TOKENS"), True, "FUNCTION_CALL", ""),
    "prompt-blocked": ({"promptFeedback": {"blockReason": "SAFETY"}}, False, "PROMPT_BLOCKED", ""),
    "prompt-blocked-unknown": ({"promptFeedback": {"blockReason": "MOON"}}, False, "PROMPT_BLOCKED", ""),
    "feedback-without-block": ({**answer("a"), "promptFeedback": {"safetyRatings": []}}, True, None, "a"),
    "feedback-null": ({**answer("a"), "promptFeedback": None, "usageMetadata": None}, True, None, "a"),
    "nothing": ({}, False, "EMPTY_ANSWER", ""),
    "no-candidates": ({"candidates": []}, False, "EMPTY_ANSWER", ""),
    "candidates-null": ({"candidates": None}, False, "EMPTY_ANSWER", ""),
    "stop-no-parts": (answer(), False, "EMPTY_ANSWER", ""),
    "stop-empty-part": (answer({}), False, "EMPTY_ANSWER", ""),
    "stop-empty-text": (answer(""), False, "EMPTY_ANSWER", ""),
    "stop-thought-only": (answer(THOUGHT), False, "EMPTY_ANSWER", ""),
    "stop-signature-only": (answer({"text": "", "thoughtSignature": "cw=="}), False, "EMPTY_ANSWER", ""),
    "stop-no-content": (candidate(finishReason="STOP"), False, "EMPTY_ANSWER", ""),
    "stop-content-null": (candidate(content=None, finishReason="STOP"), False, "EMPTY_ANSWER", ""),
    "unfinished": (answer("half", finish=None), False, "MALFORMED_ANSWER", "half"),
    "unfinished-empty-reason": (answer("half", finish=""), False, "MALFORMED_ANSWER", "half"),
    "answers-with-a-response": (answer({"functionResponse": {"name": "f"}}), False, "MALFORMED_ANSWER", ""),
    "malformed-call-no-content": (candidate(content={}, finishReason="MALFORMED_FUNCTION_CALL"), False,
        "MALFORMED_ANSWER", ""),
    "malformed-call-with-call": (answer(CALL, finish="UNEXPECTED_TOOL_CALL"), False, "MALFORMED_ANSWER", ""),
}  # fmt: skip
STATUSES = {None: 0, "INCOMPLETE": 4, "FUNCTION_CALL": 5}
"""The exit statuses of reasons; all others are 3."""


@pytest.mark.parametrize(("body", "valid", "reason", "text"), JUDGED.values(), ids=JUDGED)
def test_judged(body: Any, valid: bool, reason: str | None, text: str) -> None:
    """Each kind of answer is valid or not, and ends in its reason and exit status."""
    verdict = judge(read(json.dumps(body).encode()))
    error = verdict.error
    assert (verdict.valid, error and error.reason, verdict.text) == (valid, reason, text)
    assert (error.exit if error else 0) == STATUSES.get(reason, 3)
    assert turn_order.check([user_text("q"), verdict.content]) == [] or not valid


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


MESSAGES = {
    "prompt": ({"promptFeedback": {"blockReason": "SAFETY"}}, "the prompt was blocked: SAFETY"),
    "finish-message": (candidate(finishReason="OTHER", finishMessage="no idea"),
        "the answer ended with OTHER: no idea"),
    "unfinished": (answer("a", finish=None), "the answer ended with no finish reason"),
    "incomplete": (answer("a", finish="MAX_TOKENS"), "the answer was cut off: MAX_TOKENS"),
    "max-tokens-empty": (answer(finish="MAX_TOKENS"), "the answer ended with MAX_TOKENS before it said anything"),
    "no-candidates": ({}, "the answer has no candidates"),
    "empty": (answer(""), "the answer is empty"),
    "calls": (answer(CALL, {"functionCall": {"name": "g"}}), "the model waits for the responses of f, g"),
    "response": (answer({"functionResponse": {"name": "f"}}),
        "the API would refuse its own answer: part 0 is a functionResponse in a model Content"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), MESSAGES.values(), ids=MESSAGES)
def test_messages(body: Any, message: str) -> None:
    """What is wrong with an answer is said in these words."""
    error = judge(body).error
    assert error is not None
    assert error.message == message


@pytest.mark.parametrize(("finish", "limited"), [("MAX_TOKENS", True), ("CONTINUATION", False)])
def test_the_hint_of_what_was_cut_off(finish: str, limited: bool) -> None:
    """A larger limit is advised only where the limit has cut an answer off."""
    error = judge(answer("a", finish=finish)).error
    assert error is not None
    assert "send 'continue'" in str(error.hint)
    assert ("--max-output-tokens" in str(error.hint)) == limited


# Bodies of a 200 that are no answer

NOT_JSON = {
    "empty": (b"", "the answer is empty"),
    "space": (b" \r\n", "the answer is empty"),
    "html": (b"<html>", "the answer is not JSON (a value is missing (column 1))"),
    "cut": (b'{"candidates": [', "the answer is not JSON (a value is missing (column 17))"),
    "not-utf-8": (b'{"a": "\xff"}', "the answer is not JSON (byte 8 (0xff) is not UTF-8)"),
    "deep": (b'{"a": ' + b"[" * 100000 + b"]" * 100000 + b"}", "the answer is not JSON (nested too deeply)"),
}
NOT_AN_ANSWER = {
    "null": (b"null", "not an object"),
    "list": (b"[]", "not an object"),
    "text": (b'"ok"', "not an object"),
    "candidates-text": (b'{"candidates": "nope"}', "`candidates` is not a list of objects"),
    "candidate-null": (b'{"candidates": [null]}', "`candidates` is not a list of objects"),
    "finish-number": (b'{"candidates": [{"finishReason": 1}]}', "`finishReason` is not text"),
    "content-text": (b'{"candidates": [{"content": "hi"}]}', "`content` is not an object"),
    "parts-object": (b'{"candidates": [{"content": {"parts": {}}}]}', "`content`: `parts` is an object, not a list"),
    "part-text": (b'{"candidates": [{"content": {"parts": ["hi"]}}]}', "`content`: part 0 is not an object but text"),
    "text-number": (
        b'{"candidates": [{"content": {"parts": [{"text": 1}]}}]}',
        "`content`: part 0: `text` is a number",
    ),
    "feedback-text": (b'{"promptFeedback": "x"}', "`promptFeedback` is not an object"),
    "usage-list": (b'{"usageMetadata": [1]}', "`usageMetadata` is not an object"),
}
BROKEN = NOT_JSON | {name: (body, f"not an answer of the API: {what}") for name, (body, what) in NOT_AN_ANSWER.items()}


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_bodies(body: bytes, message: str) -> None:
    """A 200 whose body is no answer is BAD_RESPONSE, exit 76, and whether it was billed is unknown."""
    error = error_from(read, body)
    assert (error.reason, error.exit, error.code) == ("BAD_RESPONSE", 76, "INTERNAL")
    assert (error.message, error.outcome, error.http) == (message, "unknown", 200)


# Anything at all

KEYS = (
    "candidates content parts text finishReason promptFeedback blockReason functionCall usageMetadata "
    "finishMessage thought role"
)
JSON = json_values(keys=st.sampled_from(KEYS.split()))


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
        assert turn_order.check([user_text("q"), verdict.content]) == []


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
