"""Long answers: which of them go on, and what they are worth."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.chat import long_answers, turn_order
from gemcli.chat.answers import continuation_token
from gemcli.chat.contents import user_text
from tests.builders import answer, call, model
from tests.builders import unfinished as hop

THOUGHT = {"text": "hm", "thought": True}
NO_NAME: Any = {"functionCall": {"args": {}}}
SIGNED = {"text": "", "thoughtSignature": "c2ln"}


# Which answers go on

GOING_ON: dict[str, tuple[Any, bool, bool]] = {
    "continuation": (hop("a"), True, True),
    "a-broken-stream": (hop("a", finish=None), True, True),
    "an-empty-finish-reason": (hop("a", finish=""), True, True),
    "nothing-said": (hop(), True, True),
    "max-tokens": (hop("a", finish="MAX_TOKENS"), False, True),
    "stop": (hop("a", finish="STOP"), False, False),
    "safety": (hop("a", finish="SAFETY"), False, False),
    "unknown": (hop("a", finish="NEW"), False, False),
    "refused-by-the-api": (hop(NO_NAME), False, False),
    "no-token": (hop("a", token=None), False, False),
    "empty-token": (hop("a", token=""), False, False),
    "no-candidates": ({}, False, False),
    "blocked": (hop("a", promptFeedback={"blockReason": "SAFETY"}), False, False),
}


@pytest.mark.parametrize(("body", "by_itself", "at_all"), GOING_ON.values(), ids=GOING_ON)
def test_going_on(body: Any, by_itself: bool, at_all: bool) -> None:
    """An answer with a token goes on by itself, or when asked with a larger limit, or it is over."""
    assert (long_answers.is_unfinished(body), long_answers.is_continuable(body)) == (by_itself, at_all)


def test_the_token() -> None:
    """It is the first candidate's, verbatim, whatever the answer ended with; what is no text is no token."""
    assert continuation_token(hop("a", finish="STOP", token="/+8=")) == "/+8="
    assert continuation_token(hop("a", token=None)) is None
    assert continuation_token({"candidates": [{}, {"continuationToken": "t"}]}) is None
    odd: Any = {"candidates": [{"continuationToken": 5}]}
    assert continuation_token(odd) is None


# What they are worth

BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}}

# name: hops, how many of them the history takes, reason, message, text
JUDGED: dict[str, tuple[list[Any], int, str | None, str, str]] = {
    "whole": ([hop("a"), answer("b")], 2, None, "", "ab"),
    "one-that-goes-on": ([hop("a")], 1, "INCOMPLETE", "the answer is not finished", "a"),
    "several-that-go-on": ([hop("a"), hop("b", finish=None)], 2, "INCOMPLETE", "the answer is not finished", "ab"),
    "thoughts-only": ([hop(THOUGHT)], 0, "INCOMPLETE", "the answer is not finished", ""),
    "nothing-at-all": ([hop(finish=None)], 0, "INCOMPLETE", "the answer is not finished", ""),
    "thoughts-first": ([hop(THOUGHT), hop(THOUGHT), answer("a")], 3, None, "", "a"),
    "nothing-at-last": ([hop("a"), answer()], 2, None, "", "a"),
    "max-tokens": ([hop("a"), hop("b", finish="MAX_TOKENS")], 2, "INCOMPLETE", "the answer was cut off: MAX_TOKENS",
        "ab"),
    "max-tokens-thoughts": ([hop(THOUGHT), hop(finish="MAX_TOKENS")], 0, "MAX_TOKENS_EMPTY",
        "the answer ended with MAX_TOKENS before it said anything", ""),
    "safety": ([hop("a"), hop("b"), answer("c", finish="SAFETY")], 2, "INCOMPLETE",
        "the answer was cut off at hop 3: the answer ended with SAFETY", "ab"),
    "safety-with-a-token": ([hop("a"), hop("b", finish="SAFETY")], 1, "INCOMPLETE",
        "the answer was cut off at hop 2: the answer ended with SAFETY", "a"),
    "safety-after-thoughts": ([hop(THOUGHT), answer("a", finish="SAFETY")], 0, "ANSWER_BLOCKED",
        "the answer ended with SAFETY", "a"),
    "prompt-blocked": ([hop("a"), BLOCKED], 1, "INCOMPLETE",
        "the answer was cut off at hop 2: the prompt was blocked: SAFETY", "a"),
    "prompt-blocked-after-thoughts": ([hop(THOUGHT), BLOCKED], 0, "PROMPT_BLOCKED", "the prompt was blocked: SAFETY",
        ""),
    "no-candidates": ([hop("a"), {}], 1, "INCOMPLETE",
        "the answer was cut off at hop 2: the answer has no candidates", "a"),
    "malformed": ([hop("a"), answer("b", finish="MALFORMED_FUNCTION_CALL")], 1, "INCOMPLETE",
        "the answer was cut off at hop 2: the answer ended with MALFORMED_FUNCTION_CALL", "a"),
    "refused-by-the-api": ([hop("a"), answer(NO_NAME)], 1, "INCOMPLETE",
        "the answer was cut off at hop 2: the API would refuse its own answer: part 0: the functionCall has no name",
        "a"),
    "refused-by-the-api-at-once": ([hop(NO_NAME)], 0, "MALFORMED_ANSWER",
        "the API would refuse its own answer: part 0: the functionCall has no name", ""),
    "a-call-that-may-not-be-all": ([hop("a", call())], 1, "INCOMPLETE", "the answer is not finished", "a"),
    "a-call": ([hop("a", call()), answer("b")], 2, "FUNCTION_CALL", "the model waits for the responses of f", "ab"),
    "a-call-cut-off": ([hop(call()), answer(finish="SAFETY")], 1, "INCOMPLETE",
        "the answer was cut off at hop 2: the answer ended with SAFETY", ""),
}  # fmt: skip


@pytest.mark.parametrize(("hops", "taken", "reason", "message", "text"), JUDGED.values(), ids=JUDGED)
def test_judged(hops: list[Any], taken: int, reason: str | None, message: str, text: str) -> None:
    """A long answer is worth what its hops are worth together; a bad hop costs only itself."""
    verdict = long_answers.judge(hops)
    error = verdict.error
    assert (verdict.valid, error and error.reason, error.message if error else "") == (taken > 0, reason, message)
    assert verdict.text == text
    assert verdict.finish_reason == (hops[-1].get("candidates") or [{}])[0].get("finishReason")
    assert turn_order.check([user_text("q"), verdict.content]) == [] or not verdict.valid
    decided = [place for place in range(1, len(hops) + 1) if long_answers.takes_last(hops[:place])]
    assert max(decided, default=0) == taken
    again = long_answers.judge(hops, taken)
    assert (again.valid, again.content, str(again.error)) == (verdict.valid, verdict.content, str(error))


def test_what_was_decided_counts() -> None:
    """The verdict of the day on which the hops were recorded is kept, for and against."""
    hops = [hop("a"), answer("b", finish="SAFETY")]
    taken = long_answers.judge(hops, 2)
    assert (taken.valid, taken.error, taken.text) == (True, None, "ab")
    assert not long_answers.judge([answer("fine")], 0).valid
    cut_off = long_answers.judge([hop("a"), answer("fine")], 1)
    assert (cut_off.valid, cut_off.text) == (True, "a")
    assert cut_off.error is not None
    assert (cut_off.error.reason, cut_off.error.message) == ("INCOMPLETE", "the answer was cut off at hop 2")
    assert str(cut_off.error.hint).startswith("send another message")


def test_plain_neighbours_are_joined_in_the_history_only() -> None:
    """Text is joined across hops, thoughts too; what is signed stays alone, blank Parts go, hops stay as they came."""
    hops = [hop("a", "b"), hop("c", SIGNED, THOUGHT), answer(THOUGHT, {}, "d")]
    assert long_answers.content(hops) == model("abc", SIGNED, {"text": "hmhm", "thought": True}, "d")
    assert long_answers.content(hops[:1]) == model("a", "b")
    assert hops[0] == hop("a", "b")
