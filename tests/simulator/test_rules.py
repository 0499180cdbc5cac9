"""Rules files: what may stand in one, and what people are told about one that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import GemcliError
from gemcli.simulator import api_errors, read_rules, tokens
from gemcli.simulator.replies import Amount, CutPoint, Reply
from gemcli.simulator.rules import AfterCall, Answer, Rule, When
from gemcli.text import schema, tree, yaml_tree
from tests.builders import error_from


def one(rule: str) -> Rule:
    """The only rule of a file, given as the text behind its dash."""
    (rule_read,) = read_rules.load(f"rules:\n  - {rule}\n", "r.yaml").rules
    return rule_read


def problems(text: str) -> list[str]:
    """What is wrong with a file, as users are told."""
    caught = error_from(read_rules.load, text, "r.yaml")
    assert caught.reason == "SETTINGS"
    count = len(caught.problems)
    assert caught.message == f"r.yaml: {count} problem{'s' if count > 1 else ''}"
    assert {problem.file for problem in caught.problems} == {"r.yaml"}
    return [replace(problem, file=None).describe() for problem in caught.problems]


def test_the_counts_are_the_apis() -> None:
    """The names of the counts are those of the SDK."""
    fields = types.GenerateContentResponseUsageMetadata.model_fields
    assert {name: fields[name].alias for name in tokens.COUNTS} == tokens.COUNTS


def test_every_problem_has_a_rule() -> None:
    """The names that problems carry are listed, and none of them is YAML's."""
    listed = {rule for case in BAD for rule in re.findall(r"\[([a-z-]+)\]", " ".join(case[1]))}
    notes = {"duplicate", "range", "unknown-value"}
    assert listed == {*schema.RULES, *read_rules.RULES, *tree.RULES, "yaml-duplicate"} - notes


def test_an_answer_in_short() -> None:
    """Text alone is an answer, whatever it looks like; Parts in wire form may hold anything."""
    assert one("answer: Hello yourself.").answer == Answer(({"text": "Hello yourself."},))
    assert one("answer: 12:30").answer == Answer(({"text": "12:30"},))
    assert one('answer: ""').answer == one("answer: {}").answer == Answer(())
    parts: Any = ({"text": "1e3", "thought": True}, {"executableCode": {"code": "x", "n": 2}})
    assert one("answer: {parts: [{text: 1e3, thought: true}, {executableCode: {code: x, n: 2}}]}").answer == Answer(
        parts
    )


def test_a_whole_answer() -> None:
    """Thoughts come first, then text, then calls; the first call bears the signature."""
    rule = one(
        "answer: {text: Let me see., thoughts: Hm., calls: [{name: f, args: {n: 1, s: '1'}, id: c1}, {name: g}], "
        "signature: c2ln, finish: MAX_TOKENS, finish_message: Enough., usage: {thoughts_token_count: 90}}"
    )
    assert rule.answer == Answer(
        (
            {"text": "Hm.", "thought": True},
            {"text": "Let me see."},
            {"functionCall": {"name": "f", "args": {"n": 1, "s": "1"}, "id": "c1"}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g", "args": {}}},
        ),
        "MAX_TOKENS",
        "Enough.",
        {"thoughtsTokenCount": 90},
    )


def test_a_signature_without_calls_is_a_part_of_its_own() -> None:
    """The API streams it as a last part with empty text."""
    answer = one("answer: {text: Hi, signature: c2ln}").answer
    assert answer == Answer(({"text": "Hi"}, {"text": "", "thoughtSignature": "c2ln"}))


def test_conditions() -> None:
    """Every condition is read; a model may be named as the API lists it."""
    when = one("when: {contains: a, matches: b+, turn: 2, after_call: f, model: models/gemini-x}").when
    assert when == When("a", re.compile("b+"), 2, AfterCall("f"), "gemini-x")
    assert one("when: {after_call: {name: f, result: {n: 1}}}").when == When(after_call=AfterCall("f", {"n": 1}))
    assert one("when: {hop: 2}").when == When(hop=2)
    assert read_rules.load("rules: [{when: {model: a}}, {when: {model: models/a}}, {}]", "r").models == ("a",)


@pytest.mark.parametrize(
    ("written", "seconds"), [("0.5", 0.5), ("2s", 2.0), ("500ms", 0.5), ("0", 0.0), ("1.25 ", 1.25), ("'3s'", 3.0)]
)
def test_times(written: str, seconds: float) -> None:
    """A time is in seconds unless it says milliseconds."""
    rule = one(f"{{delay: {written}, drip: {written}}}")
    assert (rule.delay, rule.drip) == (seconds, seconds)


@pytest.mark.parametrize(
    ("written", "cut"),
    [
        ("reset", CutPoint()),
        ("{how: close}", CutPoint(how="close")),
        ("{after: 30}", CutPoint(Amount(30))),
        ("{after: 30 bytes, how: clean}", CutPoint(Amount(30), "clean")),
        ("{after: 1 chunk, how: close}", CutPoint(Amount(1, "chunks"), "close")),
        ("{after: 2chunks}", CutPoint(Amount(2, "chunks"))),
    ],
)
def test_cuts(written: str, cut: CutPoint) -> None:
    """Where a reply breaks off can be said in bytes and in chunks."""
    assert one(f"cut: {written}").cut == cut


def test_a_raw_reply() -> None:
    """Status, headers and body are taken as they are; a text alone is a body."""
    assert one("raw: <html>").raw == Reply(200, {}, (b"<html>",))
    raw = one("raw: {status: 502, headers: {Content-Type: text/html}, body: '<h1>é'}").raw
    assert raw == Reply(502, {"Content-Type": "text/html"}, ("<h1>é".encode(),))


def test_an_error_in_short() -> None:
    """A status alone is an error in the API's usual words; a delay always has its unit on the wire."""
    for status, (code, words) in api_errors.STATUSES.items():
        error = one(f"error: {status}").error
        assert error is not None
        assert error.body() == {"error": {"code": code, "message": words, "status": status}}
    error = one("error: {status: UNAVAILABLE, message: Later., retry_delay: 2.5}").error
    assert error is not None
    assert (error.message, error.details) == ("Later.", [api_errors.retry_info("2.5s")])


def test_an_error_with_details() -> None:
    """Each detail is the typed message of google.rpc that it stands for, and headers are kept."""
    details = "retry_delay: 900ms, quota_id: PerDay, reason: RATE, field: 'contents[0]'"
    error = one(f"error: {{status: RESOURCE_EXHAUSTED, {details}, headers: {{retry-after: 3}}}}").error
    assert error is not None
    assert error.headers == {"retry-after": "3"}
    assert (error.code, error.message) == (429, api_errors.QUOTA_MESSAGE)
    kinds = "type.googleapis.com/google.rpc."
    service = {"service": "generativelanguage.googleapis.com"}
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    field = {"field": "contents[0]", "description": api_errors.QUOTA_MESSAGE}
    assert error.body()["error"]["details"] == [
        {"@type": f"{kinds}ErrorInfo", "reason": "RATE", "domain": "googleapis.com", "metadata": service},
        {"@type": f"{kinds}QuotaFailure", "violations": [{"quotaMetric": metric, "quotaId": "PerDay"}]},
        {"@type": f"{kinds}BadRequest", "fieldViolations": [field]},
        {"@type": f"{kinds}RetryInfo", "retryDelay": "900ms"},
    ]


def bad_files() -> Iterator[tuple[str, list[str]]]:
    """The files of bad_rules.txt, each with what people are told about it."""
    text = Path(__file__).with_name("bad_rules.txt").read_text(encoding="utf-8")
    for case in text.split("\n\n")[1:]:
        file, *messages = case.splitlines()
        yield file, [message.removeprefix("    ") for message in messages]


BAD = [
    ("", ["line 1, column 1: a rules file must be a mapping, not empty [shape] (it begins with a line `rules:`)"]),
    *bad_files(),
]


@pytest.mark.parametrize(("text", "messages"), BAD)
def test_a_bad_file_is_told_what_is_wrong(text: str, messages: list[str]) -> None:
    """Each mistake has its words, its place, its rule and, where there is one, what to do."""
    assert problems(text) == messages


def test_every_problem_is_told_at_once() -> None:
    """One reading finds all that is wrong, in the order of the lines."""
    text = (
        "rules:\n  - when: {turn: x}\n    anser: a\n  - error: GONE\n    delay: soon\n  - block: SAFETY\n    times: 0\n"
    )
    assert [found.partition(" ")[2].partition(",")[0] for found in problems(text)] == ["2", "3", "4", "5", "7"]


words = st.sampled_from(
    [
        *("rules", "when", "answer", "error", "raw", "cut", "delay", "times", "turn", "contains", "matches", "text"),
        *("calls", "name", "args", "status", "after", "how", "parts", "usage", "headers", "body", "block", "drip"),
        *("hops", "next_hops", "checkpoints", "token", "early", "hop", "after_call", "result"),
        *("SAFETY", "UNAVAILABLE", "reset", "1", "2s", "2 chunks", "(?i)a", "a", "{}", "[]", "''"),
    ]
)
trees = st.recursive(
    words,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(words, inner, max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
        )
    ),
    max_leaves=12,
)


@given(st.text(max_size=80) | trees | trees.map("rules: [{}]".format) | trees.map("rules: [{{answer: {}}}]".format))
def test_any_text_is_rules_or_an_error(text: str) -> None:
    """Whatever is in a file, it is rules, or an error that says where; never anything else."""
    try:
        assert read_rules.load(text, "any").rules
        found = []
    except GemcliError as error:
        found = [problem.rule for problem in error.problems] or ["none"]
    assert set(found) <= schema.RULES.keys() | read_rules.RULES.keys() | yaml_tree.RULES.keys() | tree.RULES.keys()
