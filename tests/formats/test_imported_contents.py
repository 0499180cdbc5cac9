"""Contents from outside: what the API would refuse is found, and what an answer of the API may hold is kept."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import turn_order
from gemcli.formats.imported_contents import DATA, REQUIRED, RULES, check, fill_in_ids, join_answers
from gemcli.settings.api_objects import fields_in, wire_form
from tests.builders import call, contents, json_values, model, result, user

Q, A = user("q"), model("a")

MEDIA = {"mimeType": "image/png", "data": "aGk="}

# rule -> name -> contents, index, message, perhaps a hint
BREACHES: dict[str, dict[str, tuple[Any, ...]]] = {
    "key": {
        "alone": ([user({"txt": "hi"}), A], 0, "`parts[0].txt` is not a key of the API", "did you mean `text`?"),
        "beside": ([user({"text": "hi", "later": 1}), A], 0, "`parts[0].later` is not a key of the API"),
        "content": ([{**Q, "name": "x"}, A], 0, "`name` is not a key of the API"),
        "slip-in-answer": ([Q, model({"text": "a", "thoughtSignatur": "cw=="})], 1,
            "`parts[0].thoughtSignatur` is not a key of the API", "did you mean `thoughtSignature`?"),
        "nested": ([user({"inlineData": {**MEDIA, "mimetype": "x"}}), A], 0,
            "`parts[0].inlineData.mimetype` is not a key of the API", "did you mean `mimeType`?"),
        "nested-list": ([Q, model(call()), user(result(parts=[{"inlineDta": {}}])), A], 2,
            "`parts[0].functionResponse.parts[0].inlineDta` is not a key of the API", "did you mean `inlineData`?"),
        "both-cases": ([Q, model(call() | {"function_call": {"name": "g"}})], 1,
            "`parts[0].function_call` is not a key of the API", "did you mean `functionCall`?"),
    },
    "type": {
        "args": ([Q, model({"functionCall": {"name": "f", "args": [1]}})], 1, "`parts[0].functionCall.args` is a list"),
        "media": ([user({"inlineData": "aGk="}), A], 0, "`parts[0].inlineData` is text"),
        "media-data": ([user({"inlineData": {"mimeType": "x/y", "data": 5}}), A], 0,
            "`parts[0].inlineData.data` is a number"),
        "id": ([Q, model(call(id=1))], 1, "`parts[0].functionCall.id` is a number"),
        "thought": ([Q, model("a", {"text": "hm", "thought": "yes"})], 1, "`parts[1].thought` is text"),
        "code": ([Q, model("a", {"executableCode": "1"})], 1, "`parts[1].executableCode` is text"),
        "parts": ([Q, model(call()), user(result(parts={})), A], 2, "`parts[0].functionResponse.parts` is an object"),
        "tool": ([Q, model("a", {"toolCall": {"args": 1}})], 1, "`parts[1].toolCall.args` is a number"),
    },
    "base64": {
        "data": ([user({"inlineData": {"mimeType": "image/png", "data": "a*b"}}), A], 0,
            "`parts[0].inlineData.data` is not base64"),
        "signature": ([Q, model({"text": "a", "thoughtSignature": "é"})], 1,
            "`parts[0].thoughtSignature` is not base64"),
        "signature-cut": ([Q, model("a", {"text": "a", "thoughtSignature": "abcde"})], 1,
            "`parts[1].thoughtSignature` is not base64"),
    },
    "data": {
        "two": ([user({"text": "q", "inlineData": MEDIA}), A], 0, "part 0 has both `text` and `inlineData`",
            "make each a Part of its own"),
        "call-and-text": ([Q, model("a", {"text": "b"} | call())], 1, "part 1 has both `text` and `functionCall`",
            "make each a Part of its own"),
        "no-type": ([user({"inlineData": {"data": "aGk="}}), A], 0, "`parts[0].inlineData.mimeType` is missing"),
        "no-data": ([user({"inlineData": {"mimeType": "x/y", "data": ""}}), A], 0,
            "`parts[0].inlineData.data` is missing"),
        "no-file": ([user("q", {"fileData": {"mimeType": "x/y"}}), A], 0, "`parts[1].fileData.fileUri` is missing"),
        "in-a-result": ([Q, model(call()), user(result(parts=[{"inlineData": {"mimeType": "x/y"}}])), A], 2,
            "`parts[0].functionResponse.parts[0].inlineData.data` is missing"),
        "only-marks": ([user("q", {"videoMetadata": {"fps": 1}}), A], 0,
            "part 1 has no data, only `videoMetadata`"),
    },
    "answer": {
        "thought": ([Q, model({"text": "hm", "thought": True})], 1, "nothing but thoughts or empty text",
            "leave this turn out"),
        "empty": ([Q, model("")], 1, "nothing but thoughts or empty text", "leave this turn out"),
        "signature": ([Q, model({"text": "", "thoughtSignature": "cw=="})], 1,
            "nothing but thoughts or empty text", "leave this turn out"),
    },
}  # fmt: skip

CASES = {f"{rule}-{name}": (rule, *breach) for rule, named in BREACHES.items() for name, breach in named.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_breach(case: tuple[Any, ...]) -> None:
    """Each rule broken is one problem with its name, its place and what to do."""
    rule, history, index, message, *hint = case
    (problem,) = [problem for problem in check(history)[0] if problem.rule in RULES]
    assert (problem.rule, problem.index, problem.message) == (rule, index, message)
    assert problem.hint == (hint[0] if hint else None)


def test_every_rule_has_a_breach() -> None:
    """The table above breaks every rule but that of the end, and no rule has the name of another."""
    assert BREACHES.keys() == RULES.keys() - {"unanswered"}
    assert not RULES.keys() & turn_order.RULES.keys()


def test_with_turn_order() -> None:
    """Breaches of turn order are found with the others, oldest first."""
    wrong = [Q, model({"text": "hm", "thought": True}), user({"inlineData": {"data": "*"}}, ""), A]
    assert [f"{problem.index} {problem.rule}" for problem in check(wrong)[0]] == [
        "1 answer", "2 blank-text", "2 data", "2 base64",
    ]  # fmt: skip


def test_what_an_answer_may_hold() -> None:
    """Keys that gemcli does not know, which the API may have added to an answer, are kept, and named."""
    new = {"text": "a", "later": 1, "thoughtSignature": "c2ln"}
    history = [Q, {**model(new, {"hologram": {"x": 1}}, {"toolCall": {"volume": "x"}}), "aside": 2}]
    assert check(history) == ([], ["later", "hologram", "volume", "aside"])


@pytest.mark.parametrize(
    "part",
    [
        *({"thoughtSignature": "c2ln"}, {"text": "", "thoughtSignature": "-_-_"}, {"executableCode": {"code": "1"}}),
        *(call(), call(args={"a": None}), {"text": "a", "thought": False}, {"inlineData": MEDIA}),
        {"fileData": {"fileUri": "f"}, "videoMetadata": {"fps": 1}, "mediaResolution": {"level": "x"}},
    ],
    ids=str,
)
def test_sound_parts(part: dict[str, Any]) -> None:
    """What the API writes and takes has no problem."""
    assert check([Q, model("a", part)]) == ([], [])


def test_fields_are_the_sdks() -> None:
    """The SDK's types have these kinds of data, and the keys that are required."""
    aliases = {field.alias for field in types.Part.model_fields.values()}
    assert set(DATA) <= aliases == fields_in("Part").keys()
    for name, required in REQUIRED.items():
        assert set(required) <= fields_in(name).keys()


# Wire form


def test_wire_form() -> None:
    """Null is left out and names are in camelCase, as deep as there are objects of the API; the user's own stays."""
    args = {"some_key": None, "x": [None]}
    part = {
        "function_call": {"name": "f", "args": args, "id": None, "partial_args": None},
        "thought_signature": "c2ln",
        "video_metadata": {"end_offset": None},
        "text": None,
        "new_key": {"old_key": None},
    }
    assert wire_form({"role": "model", "parts": [part, None], "later": None}) == {
        "role": "model",
        "parts": [
            {
                "functionCall": {"name": "f", "args": args},
                "thoughtSignature": "c2ln",
                "videoMetadata": {"end_offset": None},
                "new_key": {"old_key": None},
            },
            None,
        ],
    }
    result_part = {"function_response": {"name": "f", "response": args, "parts": [{"inline_data": None}]}}
    formed = {"functionResponse": {"name": "f", "response": args, "parts": [{}]}}
    assert wire_form({"parts": [result_part]}) == {"parts": [formed]}


@given(json_values())
def test_any_value(value: Any) -> None:
    """Any JSON has a wire form, which is its own, and is joined and checked."""
    formed = wire_form(value)
    assert wire_form(formed) == formed
    joined, places = join_answers([formed, value])
    assert len(joined) == len(places)
    check(joined)
    assert len(fill_in_ids([formed, value])[0]) == 2


@given(st.lists(st.sampled_from([Q, A, model(call()), model(), model({"text": 1}), None]), max_size=6))
def test_join(history: list[Any]) -> None:
    """Only sound model Contents are joined, and each keeps the place of its first."""
    joined, places = join_answers(history)
    assert places == sorted(set(places))
    sound: list[Any] = [content or {"parts": []} for content in joined]
    given: list[Any] = [content or {"parts": []} for content in history]
    assert [given[place].get("role") for place in places] == [content.get("role") for content in sound]
    assert sum(len(content["parts"]) for content in sound) <= sum(len(content["parts"]) for content in given)
    assert join_answers(contents("a", "b", "c")) == (contents("a", "b", "c"), [0, 1, 2])


IDS: dict[str, tuple[list[Any], list[Any], list[Any]]] = {
    "in-order": ([call("f", id="a"), call("f", id="b")], [result("f"), result("f")], ["a", "b"]),
    "by-name": ([call("f", id="a"), call("g", id="b")], [result("g"), result("f")], ["b", "a"]),
    "given": ([call("f", id="a"), call("f", id="b")], [result("f", id="a"), result("f")], ["a", "b"]),
    "call-without": ([call("f"), call("f", id="b")], [result("f"), result("f")], ["b", None]),
    "too-many": ([call("f", id="a")], [result("f"), result("f")], ["a", None]),
    "no-such-call": ([call("f", id="a")], [result("g")], [None]),
}
"""Calls, their responses, and the ids that these have then."""


@pytest.mark.parametrize(("calls", "results", "ids"), IDS.values(), ids=IDS)
def test_ids_are_filled_in(calls: list[Any], results: list[Any], ids: list[Any]) -> None:
    """A response without an id gets that of the first call of its name which no other response has."""
    before = [Q, model(*calls), user("see", *results)]
    filled, count = fill_in_ids(before)
    after: Any = filled[2]
    assert [part["functionResponse"].get("id") for part in after["parts"][1:]] == ids
    assert (filled[:2], count) == (before[:2], 0 if after == before[2] else 1)
