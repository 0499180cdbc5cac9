"""The merge of hops, against that of the SDK."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.genai import _extra_utils, types

from gemcli.chat import long_answers, merge_answers
from tests.builders import answer, call, unfinished
from tests.support import examples


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
        signed = {"text": "", "thoughtSignature": "c2ln"}
        thought = {"text": "hm", "thought": True}
        parts = self.some({"text": "a"}, {"text": ""}, {}, thought, signed, call())
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
        assert as_the_sdk_reads_it(merge_answers.merge(hops)).model_dump() == expected.model_dump(), hops


def test_what_the_sdk_does_not_know_is_kept() -> None:
    """Fields that the SDK drops stay: lists are joined, objects merged, of other values the last one counts."""
    first = unfinished("a", later={"list": [1], "value": 1, "gone": 1}, newTokenCount=2)
    second = answer("b", later={"list": [2], "value": 2, "more": None}, newTokenCount=3)
    merged: Any = merge_answers.merge([first, second])
    assert merged["later"] == {"list": [1, 2], "value": 2, "gone": 1, "more": None}
    assert merged["newTokenCount"] == 5
    assert merge_answers.merge([first]) is first
    assert merge_answers.merge([]) == {}


STRANGE: list[Any] = [None, 1, "x", [], [1], [None], [{}], {}, {"tokenCount": "x"}, {"partIndex": "x"}]


@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_values_of_another_type_can_be_merged(value: Any) -> None:
    """What no API sends is no reason to fail: it may stand in a session, and sessions load."""
    names = ("safetyRatings", "groundingMetadata", "citationMetadata", "urlContextMetadata", "tokenCount")
    usage = dict.fromkeys(("totalTokenCount", "promptTokensDetails"), value)
    strange = unfinished("a", usageMetadata=usage)
    strange["candidates"][0].update(dict.fromkeys(names, value))
    grounded = unfinished("b")
    grounded["candidates"][0]["groundingMetadata"] = {
        "groundingSupports": [value, {"segment": value, "groundingChunkIndices": value}],
        "groundingChunks": value,
    }
    hops = [strange, grounded, unfinished("c"), strange, grounded]
    assert long_answers.judge(hops).text == "abcab"


def test_the_bill() -> None:
    """The tokens of all requests are added up; of no request there are none."""
    usage: Any = {
        "promptTokenCount": 3,
        "totalTokenCount": 4,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    }
    assert merge_answers.sum_usage([usage, usage, {"thoughtsTokenCount": 1}]) == {
        "promptTokenCount": 6, "totalTokenCount": 8, "thoughtsTokenCount": 1,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}],
    }  # fmt: skip
    assert merge_answers.sum_usage([usage]) is usage
    assert merge_answers.sum_usage([]) is None
