"""Streamed answers: chunks joined to the answer that an unstreamed request would have brought."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gemcli.api import streamed_answer
from gemcli.api.http_errors import WORDS
from gemcli.api.streamed_answer import StreamedAnswer
from gemcli.chat import answers
from gemcli.chat.contents import merge_parts
from gemcli.errors import GemcliError
from gemcli.simulator import responses, streams
from gemcli.text import strict_json
from tests.builders import answer, error_from, json_values, retry_info
from tests.simulator import test_streams as oracle

REQUEST = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
CALL = {"functionCall": {"name": "f", "args": {"a": [1, None, "x"]}, "id": "c1"}}
SIGNED = {**CALL, "thoughtSignature": "not+base64/!"}


def joined(chunks: Any) -> StreamedAnswer:
    """What the chunks make."""
    whole = StreamedAnswer()
    for one in chunks:
        whole.add(one)
    return whole


def join(chunks: Any) -> Any:
    """The chunks as one answer; both are plain JSON to the tests."""
    return joined(chunks).answer


def chunk(*parts: Any, **candidate: Any) -> Any:
    """A chunk with these Parts."""
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **candidate}]}


def parts_of(*chunks: Any) -> Any:
    """The Parts of the joined chunks."""
    return join(chunks)["candidates"][0]["content"]["parts"]


texts = st.text(max_size=60) | st.text(" \n\tab.é漢😀", max_size=60)
parts = (
    st.fixed_dictionaries({"text": texts})
    | st.fixed_dictionaries({"text": texts, "thought": st.just(True)})
    | st.fixed_dictionaries({"text": texts, "thoughtSignature": st.just("c2ln")})
    | st.fixed_dictionaries({"text": texts, "thought": st.just(True), "thoughtSignature": st.just("c2ln")})
    | st.sampled_from([CALL, SIGNED, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}, {"new": [1]}])
)
bodies = st.builds(
    lambda said, finish, more: responses.answer(REQUEST, "m", said, finish) | more,
    st.lists(parts, max_size=7),
    st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY"]),
    st.sampled_from([{}, {"unknown": {"k": None}}, {"modelStatus": {"retirementTime": "x"}}]),
)


@given(bodies)
def test_streamed_as_unstreamed(body: Any) -> None:
    """An answer that comes in chunks is the answer that comes whole, value for value, and is judged alike."""
    events = [streamed_answer.read(strict_json.encode(one)) for one in streams.chunks(body)]
    whole = answers.read(strict_json.encode(body))
    assert join(events) == whole
    assert joined(events).finished
    judged, expected = answers.judge(join(events)), answers.judge(whole)
    assert (judged.valid, judged.content, judged.text) == (expected.valid, expected.content, expected.text)


@given(st.lists(bodies, min_size=1, max_size=4))
def test_join_against_another_merge(bodies: list[Any]) -> None:
    """Chunks in any order and number join as a merge that was written apart from this one says."""
    assume(all(body["candidates"][0]["content"] for body in bodies))
    events = [one for body in bodies for one in streams.chunks(body)]
    before = copy.deepcopy(events)
    expected = oracle.merged(events)
    assert join(events) == expected
    assert events == before


@given(st.lists(parts, max_size=8))
def test_merged(said: list[Any]) -> None:
    """Merging loses no text, splits nothing, is done when it is done, and leaves what it was given alone."""
    before = copy.deepcopy(said)
    whole = merge_parts(said)
    assert said == before
    assert merge_parts(whole) == whole
    for thought in (None, True):
        assert "".join(part.get("text", "") for part in whole if part.get("thought") is thought) == "".join(
            part.get("text", "") for part in said if part.get("thought") is thought
        )
    assert [part for part in whole if set(part) - {"text", "thought"}] == [
        part for part in said if set(part) - {"text", "thought"}
    ]


THOUGHT = {"text": "hm", "thought": True}


SIGNATURE = {"text": "", "thoughtSignature": "c2ln"}

# The Parts of a stream, and those of the answer if they are others
PARTS: dict[str, tuple[list[Any], list[Any] | None]] = {
    "text": ([{"text": "a"}, {"text": "b"}], [{"text": "ab"}]),
    "thoughts": ([THOUGHT, THOUGHT], [{"text": "hmhm", "thought": True}]),
    "thoughts-and-text": ([THOUGHT, {"text": "a"}, THOUGHT], None),
    "empty-text": ([{"text": "a"}, {"text": ""}, {"text": "b"}], [{"text": "ab"}]),
    "nothing-at-all": ([{"text": ""}, {"text": "", "thought": True}, {}], []),
    "signature-alone": ([{"text": "a"}, SIGNATURE], None),
    "signature-between": ([{"text": "a"}, {**SIGNATURE, "text": "b"}, {"text": "c"}], None),
    "signatures": ([{**SIGNATURE, "text": "a"}] * 2, None),
    "unknown-key": ([{"text": "a", "new": 1}, {"text": "b", "new": 1}], None),
    "thought-false": ([{"text": "a", "thought": False}, {"text": "b"}], None),
    "calls": ([CALL, CALL], None),
    "call-between": ([{"text": "a"}, CALL, {"text": "b"}], None),
}


@pytest.mark.parametrize(("said", "whole"), PARTS.values(), ids=PARTS)
def test_parts(said: list[Any], whole: list[Any] | None) -> None:
    """Neighbours of plain text, or of plain thoughts, are one; whatever has another key stands alone."""
    whole = said if whole is None else whole
    assert merge_parts(said) == whole
    assert parts_of(*(chunk(part) for part in said), chunk(finishReason="STOP")) == whole
    assert parts_of(chunk(*said)) == whole


def test_last_word() -> None:
    """What is not content is what the last chunk that has it says; what came before stays."""
    answer = join(
        [
            {"modelVersion": "m", "usageMetadata": {"totalTokenCount": 3}, **chunk({"text": "a"}, tokenCount=1)},
            chunk({"text": "b"}, finishReason="STOP", tokenCount=2),
            {"usageMetadata": {"totalTokenCount": 9}, "responseId": "r"},
        ]
    )
    assert answer == {
        "modelVersion": "m",
        "usageMetadata": {"totalTokenCount": 9},
        "responseId": "r",
        **chunk({"text": "ab"}, finishReason="STOP", tokenCount=2),
    }


EMPTY: Any = {
    "empty": {}, "null": None, "role-only": {"role": "model"}, "null-parts": {"role": "model", "parts": None},
    "no-parts": {"role": "model", "parts": []},
}  # fmt: skip


@pytest.mark.parametrize("name", ["no-content", *EMPTY])
def test_last_chunk_without_content(name: str) -> None:
    """A last chunk with only the finish reason takes nothing away; an only one without parts is the whole answer."""
    fields = {"content": EMPTY[name]} if name in EMPTY else {}
    answer = join([chunk({"text": "a"}), {"candidates": [{"finishReason": "STOP", **fields}]}])
    assert answer["candidates"][0]["content"] == {"role": "model", "parts": [{"text": "a"}]}
    assert answer["candidates"][0]["finishReason"] == "STOP"
    if name in ("empty", "null", "role-only", "no-parts"):
        only = {"candidates": [{**fields, "finishReason": "MAX_TOKENS", "index": 0}], "modelVersion": "m"}
        assert join([only]) == only


def test_chunk_without_candidates() -> None:
    """A chunk with an empty list of candidates takes none away; no chunks make an answer with nothing in it."""
    for more in cast(Any, [[], None]):
        assert parts_of(chunk({"text": "a"}, finishReason="STOP"), {"candidates": more}) == [{"text": "a"}]
    assert join([]) == {}


def test_candidates_by_index() -> None:
    """Several candidates are joined each for itself, by index, in the order of their numbers."""
    answer = join(
        [
            {"candidates": [{"index": 1, "content": {"parts": [{"text": "B"}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "a"}]}}]},
            {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
            {"candidates": [{"index": 1, "content": {"parts": [{"text": "B"}]}, "finishReason": "STOP"}]},
        ]
    )
    assert [one["content"]["parts"] for one in answer["candidates"]] == [[{"text": "aa"}], [{"text": "BB"}]]


ONE, TWO = {"uri": "a", "startIndex": 1}, {"uri": "b"}

CITATIONS: dict[str, tuple[list[Any], Any]] = {
    "repeated": ([{"citationSources": [ONE]}, {"citationSources": [ONE, TWO]}], {"citationSources": [ONE, TWO]}),
    "added": ([{"citationSources": [ONE]}, {"citationSources": [TWO]}], {"citationSources": [ONE, TWO]}),
    "other-key-order": ([{"a": [ONE]}, {"a": [dict(reversed(ONE.items()))]}], {"a": [ONE]}),
    "as-received": ([{"citationSources": [ONE, ONE]}], {"citationSources": [ONE, ONE]}),
    "other-fields": ([{"a": [ONE], "b": 1}, {"b": 2}], {"a": [ONE], "b": 2}),
    "other-form": ([{"a": [ONE]}, "x"], "x"),
    "null": ([{"a": [ONE]}, None], None),
}


@pytest.mark.parametrize(("metadata", "gathered"), CITATIONS.values(), ids=CITATIONS)
def test_citations_are_gathered(metadata: list[Any], gathered: Any) -> None:
    """Citations of all chunks are kept, each once; of anything else the last value counts."""
    chunks = [chunk({"text": "a"}, citationMetadata=one) for one in metadata]
    answer = join([*chunks, chunk({"text": "b"})])
    assert answer["candidates"][0]["citationMetadata"] == gathered


def test_many_chunks() -> None:
    """Joining takes time in proportion to the number of chunks, their length, and the number of citations."""
    chunks = [chunk(citationMetadata={"citationSources": [{"uri": str(number)}]}) for number in range(30_000)]
    start = time.monotonic()
    assert len(join(chunks)["candidates"][0]["citationMetadata"]["citationSources"]) == 30_000
    assert parts_of(*[chunk({"text": "x"})] * 100_000) == [{"text": "x" * 100_000}]
    assert parts_of(*[chunk({"text": "x" * 1000})] * 20_000) == [{"text": "x" * 20_000_000}]
    assert time.monotonic() - start < 6


# Checkpoints


A, B, C = ({"text": letter} for letter in "abc")
MARKED = chunk(A, continuationToken="/+8=")
TOKENS = {
    # The chunks, the token of the answer they make, and what had been said at the newest checkpoint
    "none": ([chunk(A), chunk(B)], None, None),
    "first": ([MARKED, chunk(B)], "/+8=", [A]),
    "in-the-middle": ([chunk(A), chunk(B, continuationToken="t"), chunk(C)], "t", [{"text": "ab"}]),
    "newest": ([MARKED, chunk(B, continuationToken="t"), chunk(C)], "t", [{"text": "ab"}]),
    "alone": ([chunk(A), {"candidates": [{"continuationToken": "t"}]}, chunk(B)], "t", [A]),
    "thought": ([chunk(THOUGHT, continuationToken="t"), chunk(A)], "t", [THOUGHT]),
    "signed": ([chunk(A), chunk(SIGNATURE, continuationToken="t"), chunk(B)], "t", [A, SIGNATURE]),
    "call": ([chunk(A), chunk(CALL, continuationToken="t"), chunk(CALL)], "t", [A, CALL]),
    "no-new-token": ([MARKED, chunk(B, continuationToken=None), chunk(C, continuationToken="")], "/+8=", [A]),
    "no-token": ([chunk(A, continuationToken=7)], 7, None),
    "token-and-then-none": ([MARKED, chunk(B, continuationToken=7)], "/+8=", [A]),
    "of-another-candidate": ([{"candidates": [{"index": 1, "continuationToken": "t"}]}, chunk(A)], None, None),
    # Ended: a checkpoint counts no more, but where the answer goes on
    "continuation": ([MARKED, chunk(B, continuationToken="t", finishReason="CONTINUATION")], "t", [A]),
    "continuation-without-token": ([MARKED, chunk(SIGNATURE, finishReason="CONTINUATION")], "/+8=", [A]),
    "continuation-and-more": ([MARKED, chunk(finishReason="CONTINUATION"), chunk(continuationToken="t")], "t", [A]),
    "stop": ([MARKED, chunk(B, finishReason="STOP")], None, [A]),
    "stop-and-more": ([MARKED, chunk(B, finishReason="STOP"), chunk(finishReason="")], None, [A]),
    "stop-with-token": ([MARKED, chunk(B, continuationToken="t", finishReason="STOP")], "t", [A]),
    "max-tokens": ([MARKED, chunk(B, finishReason="MAX_TOKENS")], None, [A]),
    "max-tokens-with-token": ([chunk(A, continuationToken="t", finishReason="MAX_TOKENS"), chunk()], "t", None),
    "safety": ([MARKED, chunk(finishReason="SAFETY")], None, [A]),
}


@pytest.mark.parametrize(("events", "token", "said"), TOKENS.values(), ids=TOKENS)
def test_tokens(events: list[Any], token: Any, said: list[Any] | None) -> None:
    """The newest token counts, and only up to the end; a checkpoint is what had been said with its chunk."""
    stream = joined(events)
    answer, there = cast("Any", stream.answer), cast("Any", stream.at_checkpoint)
    assert answer["candidates"][0].get("continuationToken") == token
    assert (there and there["candidates"][0]["content"]["parts"]) == said


@given(st.lists(bodies, min_size=1, max_size=3), st.data())
def test_checkpoints(bodies: list[Any], data: st.DataObject) -> None:
    """Wherever they are, what was at the newest checkpoint is what the chunks up to it make, in everything."""
    events = [one for body in bodies for one in streams.chunks(body)]
    marked = data.draw(st.sets(st.integers(0, len(events) - 1)))
    for number, event in enumerate(events):
        event["candidates"][0].pop("finishReason", None)
        if number in marked:
            event["candidates"][0]["continuationToken"] = str(number)
    stream = joined(events)
    assert stream.at_checkpoint == (join(events[: max(marked) + 1]) if marked else None)
    assert stream.answer == join(events)


def test_a_checkpoint_has_all_of_its_chunk() -> None:
    """What other candidates say in the chunk with the token belongs to the checkpoint; one that has ended has none."""
    token = {"index": 0, "content": {"parts": [A]}, "continuationToken": "t"}
    two = {"candidates": [token, {"index": 1, "content": {"parts": [B]}}], "responseId": "r"}
    assert joined([two, chunk(C)]).at_checkpoint == two
    ended = {"candidates": [token, {"index": 1, "finishReason": "STOP"}]}
    assert joined([ended, chunk(C)]).at_checkpoint is None


def test_a_checkpoint_in_each_chunk() -> None:
    """Checkpoints cost the same however much was said before them."""
    start = time.monotonic()
    stream = joined(chunk({"text": "x"}, continuationToken=str(number)) for number in range(30_000))
    assert time.monotonic() - start < 3
    assert stream.at_checkpoint == stream.answer


# Finished or not


STREAMS = {
    "none": ([], False, False),
    "empty": ([{}], False, False),
    "usage": ([{"usageMetadata": {}}], False, False),
    "no-candidates": ([{"candidates": []}], False, False),
    "empty-candidate": ([{"candidates": [{}]}], False, True),
    "text": ([chunk({"text": "a"})], False, True),
    "null-reason": ([chunk({"text": "a"}, finishReason=None)], False, True),
    "blank-reason": ([chunk({"text": "a"}, finishReason="")], False, True),
    "stop": ([chunk(finishReason="STOP")], True, True),
    "unknown-reason-then-usage": ([chunk(finishReason="NEW_ONE"), {"usageMetadata": {}}], True, True),
    "blocked": ([{"promptFeedback": {"blockReason": "SAFETY"}}], True, False),
    "not-blocked": ([{"promptFeedback": {}}], False, False),
    "null-feedback": ([{"promptFeedback": None}], False, False),
}


@pytest.mark.parametrize(("events", "finished", "begun"), STREAMS.values(), ids=STREAMS)
def test_finished(events: list[Any], finished: bool, begun: bool) -> None:
    """A stream has said all once there is a finish reason or a blocked prompt; it has begun with a candidate."""
    stream = joined(events)
    assert (stream.finished, stream.begun, stream.chunks) == (finished, begun, len(events))


# One event


def refused(data: bytes) -> GemcliError:
    """The error of an event."""
    return error_from(streamed_answer.read, data)


RATE = {"code": 429, "details": [retry_info("2.5s")]}
NO_CODES = ({"message": "overloaded"}, *({"code": code} for code in (None, "503", True, 200, 0, 14, 10**30)), {})


@pytest.mark.parametrize(
    ("error", "reason", "message", "wait"),
    [
        ({"code": 503, "message": "busy", "status": "UNAVAILABLE"}, "UNAVAILABLE", "503 UNAVAILABLE|: busy", None),
        ({"code": 429, "message": "slow down"}, "RATE_LIMIT", "429|: slow down", None),
        ({"code": 400, "message": "bad", "status": "INVALID"}, "BAD_REQUEST", "400 INVALID|: bad", None),
        (RATE, "RATE_LIMIT", "429|", 2.5),
        *[(error, "SERVER_ERROR", "500|", None) for error in (*NO_CODES[1:], [])],
        (NO_CODES[0], "SERVER_ERROR", "500|: overloaded", None),
        ("text", "SERVER_ERROR", "500|: text", None),
    ],
    ids=lambda value: json.dumps(value) if not isinstance(value, str | int) else str(value),
)
def test_error_events(error: Any, reason: str, message: str, wait: float | None) -> None:
    """An event with an error is the error of its code, with the wait it asks for; without one, a server's error."""
    found = refused(strict_json.encode({"error": error}))
    assert (found.reason, found.http, found.retry_after, found.outcome) == (reason, 200, wait, "rejected")
    assert found.message == f"{WORDS[found.reason]} (error {message.replace('|', ' with HTTP 200)')}"


@pytest.mark.parametrize("more", [{"error": None}, {"error": {"code": 503}, "candidates": [{}]}])
def test_no_error_event(more: Any) -> None:
    """A chunk of an answer that was paid for is not dropped for an `error` beside it, be it null or not."""
    body = answer("x") | more
    assert streamed_answer.read(strict_json.encode(body)) == body


BROKEN = (
    *(b"", b"<html>", b"{", b'{"a":1}{"a":1}', b'{"a":1,"a":1}', b'{"a":NaN}', b"\xff", b"[" * 5000),
    *(b"null", b"[]", b"[{}]", b'"x"', b"1", b'{"usageMetadata":1}', b'{"promptFeedback":"x"}'),
    *(b'{"candidates":"nope"}', b'{"candidates":[1]}', b'{"candidates":{"a":1}}', b'{"candidates":[{"content":"x"}]}'),
    *(b'{"candidates":[{"content":{"parts":"x"}}]}', b'{"candidates":[{"content":{"parts":[{"text":1}]}}]}'),
    b'{"candidates":[{"finishReason":1}]}',
)


@pytest.mark.parametrize("data", BROKEN, ids=lambda data: data.decode("latin-1")[:40] or "nothing")
def test_shapes(data: bytes) -> None:
    """What is not a chunk is named; it came with a 200, so what became of the message is unknown."""
    error = refused(data)
    assert (error.reason, error.outcome, error.http, error.exit) == ("BAD_RESPONSE", "unknown", 200, 76)


@pytest.mark.parametrize("body", [{}, {"unknown": 1}, {"candidates": None}, answer("x"), answer("x", finish=None)])
def test_chunks_are_read_as_they_are(body: Any) -> None:
    """A chunk is what the wire said, unknown keys included."""
    assert streamed_answer.read(strict_json.encode(body)) == body


KEYS = (
    *("candidates", "content", "parts", "text", "index", "finishReason", "error", "code"),
    *("citationMetadata", "promptFeedback", "usageMetadata", "thought", "blockReason"),
)
JSON = json_values(st.none() | st.booleans() | st.integers(-3, 700) | st.text(max_size=3), st.sampled_from(KEYS))


@given(st.lists(st.dictionaries(st.sampled_from(["candidates", "promptFeedback"]), JSON) | JSON, max_size=4))
def test_anything_is_joined_or_refused(values: list[Any]) -> None:
    """Whatever JSON comes as events, it is refused with a reason, or joins and is judged."""
    known = []
    for value in values:
        with contextlib.suppress(GemcliError):
            known.append(streamed_answer.read(strict_json.encode(value)))
    answers.judge(join(known))
