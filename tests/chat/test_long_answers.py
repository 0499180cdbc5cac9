"""Long answers: their hops as one against the SDK's own merge, which of them go on, and what they are worth."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.genai import _extra_utils, types

from gemcli.chat import long_answers, turn_order
from gemcli.chat.contents import user_text
from tests.builders import answer, call, model
from tests.support import examples

THOUGHT = {"text": "hm", "thought": True}
SIGNED = {"text": "", "thoughtSignature": "c2ln"}


def hop(*parts: Any, finish: str | None = "CONTINUATION", token: str | None = "t", **more: Any) -> Any:
    """An answer that left a token."""
    body = answer(*parts, finish=finish, **more)
    if token is not None:
        body["candidates"][0]["continuationToken"] = token
    return body


# The SDK's merge as the oracle


class Dice:
    """Random hops, with every field of an answer that the SDK knows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, *values: Any, most: int = 3) -> list[Any]:
        """A list of these values, perhaps empty."""
        return self.random.choices(values, k=self.random.randint(0, most))

    def maybe(self, **fields: Any) -> dict[str, Any]:
        """An object with some of these fields, of which some are null."""
        kept = {name: value for name, value in fields.items() if self.random.random() < 0.6}
        return {name: None if self.random.random() < 0.06 else value for name, value in kept.items()}

    def one(self, *values: Any) -> Any:
        """One of these values."""
        return self.random.choice(values)

    def count(self) -> int:
        """A number of tokens."""
        return self.random.randint(0, 5)

    def ratings(self) -> list[Any]:
        """Safety ratings, perhaps two of a category."""
        categories = "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH"
        return [
            self.maybe(
                category=self.one(*categories), probability=self.one("LOW", "HIGH"), blocked=self.one(True, False)
            )
            for _ in range(self.count())
        ]

    def details(self) -> list[Any]:
        """Tokens by modality, perhaps two counts of one."""
        return [
            self.maybe(modality=self.one("TEXT", "IMAGE"), tokenCount=self.count()) for _ in range(self.count() // 2)
        ]

    def grounding(self) -> dict[str, Any]:
        """Sources, and which text they support."""
        segment = self.maybe(partIndex=self.count(), startIndex=1, endIndex=2, text="a")
        support = self.maybe(
            segment=segment, groundingChunkIndices=self.some(0, 1), confidenceScores=self.some(0.5, 1.0)
        )
        return self.maybe(
            groundingChunks=self.some({"web": {"uri": "u"}}, {"web": {"title": "t"}}),
            groundingSupports=self.some(support, {}),
            searchEntryPoint={"renderedContent": self.one("a", "b")},
            webSearchQueries=self.some("q", "r"),
            retrievalMetadata=self.maybe(googleSearchDynamicRetrievalScore=self.one(0.25, 0.5)),
        )

    def candidate(self) -> dict[str, Any]:
        """One candidate of a hop."""
        parts = self.some({"text": "a"}, {"text": ""}, {}, THOUGHT, SIGNED, call())
        log = {"token": "a", "logProbability": -0.5}
        chosen = self.some(log)
        return self.maybe(
            content=self.maybe(parts=parts, role="model"),
            finishReason=self.one("STOP", "MAX_TOKENS", "CONTINUATION"),
            finishMessage=self.one("x", "y"),
            continuationToken=self.one("YQ==", "Yg=="),
            tokenCount=self.count(),
            index=self.one(0, 1),
            avgLogprobs=self.one(-0.5, -1.5),
            logprobsResult=self.maybe(
                logProbabilitySum=self.one(-0.5, 1), chosenCandidates=chosen, topCandidates=[{"candidates": chosen}]
            ),
            safetyRatings=self.ratings(),
            citationMetadata=self.maybe(citations=self.some({"startIndex": 1, "uri": "u"}, {"uri": "v"})),
            groundingMetadata=self.grounding(),
            urlContextMetadata=self.maybe(urlMetadata=self.some({"retrievedUrl": "u"})),
        )

    def hop(self) -> Any:
        """One hop."""
        candidates = [self.candidate() for _ in range(self.one(0, 1, 1, 1, 2))]
        counters = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")
        lists = ("promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails")
        usage = {name: self.count() for name in counters} | {name: self.details() for name in lists}
        return self.maybe(
            candidates=candidates,
            usageMetadata=self.maybe(**usage, trafficType=self.one("ON_DEMAND", "PROVISIONED_THROUGHPUT")),
            promptFeedback=self.maybe(blockReason=self.one("SAFETY", "OTHER"), safetyRatings=self.ratings()),
            modelStatus=self.maybe(modelStage=self.one("STABLE", "LEGACY"), message=self.one("m", "n")),
            modelVersion=self.one("m-1", "m-2"),
            responseId=self.one("r1", "r2"),
            createTime="2026-01-01T00:00:00Z",
        )


def as_the_sdk_reads_it(body: Any) -> types.GenerateContentResponse:
    """An answer of the wire as an object of the SDK."""
    return types.GenerateContentResponse.model_validate(body)


@pytest.mark.parametrize("seed", range(8))
def test_merged_as_the_sdk_does(seed: int) -> None:
    """Random answers of one to five hops are merged as `merge_continuation_responses` merges them."""
    dice = Dice(seed)
    for _ in range(examples(125)):
        hops = [dice.hop() for _ in range(dice.one(1, 2, 2, 3, 3, 4, 5))]
        expected = _extra_utils.merge_continuation_responses([as_the_sdk_reads_it(hop) for hop in hops])
        assert as_the_sdk_reads_it(long_answers.merge(hops)).model_dump() == expected.model_dump(), hops


def test_what_the_sdk_does_not_know_is_kept() -> None:
    """Fields that the SDK drops stay: lists are joined, objects merged, of other values the last one counts."""
    first = hop("a", later={"list": [1], "value": 1, "gone": 1}, newTokenCount=2)
    second = answer("b", later={"list": [2], "value": 2, "more": None}, newTokenCount=3)
    merged: Any = long_answers.merge([first, second])
    assert merged["later"] == {"list": [1, 2], "value": 2, "gone": 1, "more": None}
    assert merged["newTokenCount"] == 5
    assert long_answers.merge([first]) is first
    assert long_answers.merge([]) == {}


STRANGE: list[Any] = [None, 1, "x", [], [1], [None], [{}], {}, {"tokenCount": "x"}, {"partIndex": "x"}]


@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_values_of_another_type_can_be_merged(value: Any) -> None:
    """What no API sends is no reason to fail: it may stand in a session, and sessions load."""
    names = ("safetyRatings", "groundingMetadata", "citationMetadata", "urlContextMetadata", "tokenCount")
    usage = dict.fromkeys(("totalTokenCount", "promptTokensDetails"), value)
    strange = hop("a", usageMetadata=usage)
    strange["candidates"][0].update(dict.fromkeys(names, value))
    grounded = hop("b")
    grounded["candidates"][0]["groundingMetadata"] = {
        "groundingSupports": [value, {"segment": value, "groundingChunkIndices": value}],
        "groundingChunks": value,
    }
    hops = [strange, grounded, hop("c"), strange, grounded]
    assert long_answers.judge(hops).text == "abcab"


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
    "no-token": (hop("a", token=None), False, False),
    "empty-token": (hop("a", token=""), False, False),
    "no-candidates": ({}, False, False),
    "blocked": (hop("a", promptFeedback={"blockReason": "SAFETY"}), False, False),
}


@pytest.mark.parametrize(("body", "by_itself", "at_all"), GOING_ON.values(), ids=GOING_ON)
def test_going_on(body: Any, by_itself: bool, at_all: bool) -> None:
    """An answer with a token goes on by itself, or when asked with a larger limit, or it is over."""
    assert (long_answers.goes_on(body), long_answers.can_go_on(body)) == (by_itself, at_all)


def test_the_token() -> None:
    """It is the first candidate's, verbatim, whatever the answer ended with; what is no text is no token."""
    assert long_answers.resume_token(hop("a", finish="STOP", token="/+8=")) == "/+8="
    assert long_answers.resume_token(hop("a", token=None)) is None
    assert long_answers.resume_token({"candidates": [{}, {"continuationToken": "t"}]}) is None
    odd: Any = {"candidates": [{"continuationToken": 5}]}
    assert long_answers.resume_token(odd) is None


# What they are worth

BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}}
NO_NAME: Any = {"functionCall": {"args": {}}}

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


def test_plain_neighbours_are_joined_in_the_history_only() -> None:
    """Text is joined across hops, thoughts too; what is signed stays alone, blank Parts go, hops stay as they came."""
    hops = [hop("a", "b"), hop("c", SIGNED, THOUGHT), answer(THOUGHT, {}, "d")]
    assert long_answers.content(hops) == model("abc", SIGNED, {"text": "hmhm", "thought": True}, "d")
    merged: Any = long_answers.merge(hops)
    assert len(merged["candidates"][0]["content"]["parts"]) == 8
    assert long_answers.content(hops[:1]) == model("a", "b")
    assert hops[0] == hop("a", "b")


def test_the_bill() -> None:
    """The tokens of all requests are added up; of no request there are none."""
    usage: Any = {
        "promptTokenCount": 3,
        "totalTokenCount": 4,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    }
    assert long_answers.sum_usage([usage, usage, {"thoughtsTokenCount": 1}]) == {
        "promptTokenCount": 6, "totalTokenCount": 8, "thoughtsTokenCount": 1,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}],
    }  # fmt: skip
    assert long_answers.sum_usage([usage]) is usage
    assert long_answers.sum_usage([]) is None
