"""Streams: chunks that join to the answer, and their two forms on the wire."""

from __future__ import annotations

import copy
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator import responses
from gemcli.simulator.simulated_api import Reply, application
from gemcli.simulator.streams import chunks

from .support import json_of, post, says, talk

HELLO = {"contents": [says("user", "Hello")]}
CALL: Any = {
    "functionCall": {"name": "f", "args": {"a": "a long argument that nobody may split"}},
    "thoughtSignature": "c2ln",
}


def body_of(reply: Reply) -> bytes:
    """The bytes of a reply that has no pauses and no cuts."""
    return b"".join(step for step in reply.steps if isinstance(step, bytes))


def events(reply: Reply) -> list[Any]:
    """The documents of a body of Server-Sent Events, read strictly."""
    *parts, rest = body_of(reply).split(b"\r\n\r\n")
    assert rest == b""
    assert all(part.startswith(b"data: ") and b"\n" not in part for part in parts)
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


def merged(stream: list[dict[str, Any]]) -> dict[str, Any]:
    """One answer from its chunks, by the rule for streams.

    Adjacent parts of the same keys among {text} and {text, thought: true} are joined; a part with any other key
    never is; empty text without a signature is dropped. Written apart from the simulator on purpose.
    """
    result: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    candidate: dict[str, Any] = {}
    for chunk in copy.deepcopy(stream):
        result.update(chunk)
        for each in chunk.get("candidates", []):
            candidate.update(each)
            contents.append(each.get("content", {}))
            for part in each.get("content", {}).get("parts", []):
                joinable = part.keys() in ({"text"}, {"text", "thought"}) and part.get("thought", True) is True
                if joinable and parts and parts[-1].keys() == part.keys() and parts[-1].get("thought", True) is True:
                    parts[-1]["text"] += part["text"]
                elif not joinable or part["text"]:
                    parts.append(part)
    if any("parts" in content for content in contents):
        candidate["content"] = {**contents[-1], "parts": parts}
    return result | ({"candidates": [candidate]} if candidate else {})


texts = st.text(max_size=120) | st.text(" \n\tab.é漢😀", max_size=120)
parts = (
    st.fixed_dictionaries({"text": texts})
    | st.fixed_dictionaries({"text": texts, "thought": st.just(True)})
    | st.fixed_dictionaries({"text": texts, "thoughtSignature": st.just("c2ln")})
    | st.fixed_dictionaries({"text": st.just("x"), "thought": st.just(False)})
    | st.just(CALL)
)
answers = st.builds(
    lambda said, finish, more: responses.answer(HELLO, "m", said, finish) | more,
    st.lists(parts, max_size=6),
    st.sampled_from(["STOP", "SAFETY"]),
    st.sampled_from([{}, {"unknown": [1]}, {"usageMetadata": {"promptTokenCount": 1}}]),
)


@given(answers)
def test_chunks_join_to_the_answer(answer: dict[str, Any]) -> None:
    """Whatever an answer holds, its chunks joined again are the same answer, value for value."""
    assert merged(chunks(answer)) == answer


@given(answers)
def test_every_chunk_is_a_response(answer: dict[str, Any]) -> None:
    """Each chunk has the model, the id and the usage; only the last one has a finish reason; counts only grow."""
    stream = chunks(answer)
    assert {(chunk["modelVersion"], chunk["responseId"]) for chunk in stream} == {("m", answer["responseId"])}
    finishes = [chunk["candidates"][0].get("finishReason") for chunk in stream]
    assert finishes == [None] * (len(stream) - 1) + [answer["candidates"][0]["finishReason"]]
    counts = [chunk["usageMetadata"].get("totalTokenCount", 0) for chunk in stream]
    assert counts == sorted(counts)
    assert stream[-1]["usageMetadata"] == answer["usageMetadata"]


@given(texts)
def test_pieces_are_short(text: str) -> None:
    """No piece is longer than 21 characters, and none is empty."""
    stream = chunks(responses.answer(HELLO, "m", [{"text": text}]))
    pieces = [part["text"] for chunk in stream for part in chunk["candidates"][0]["content"].get("parts", [])]
    assert all(1 <= len(piece) <= 21 for piece in pieces)


def test_a_long_answer_is_cut_in_linear_time() -> None:
    """Half a megabyte makes tens of thousands of chunks, and the time to make them does not grow with its square."""
    started = time.process_time()
    assert len(chunks(responses.answer(HELLO, "m", [{"text": "word " * 100_000}]))) > 25_000
    assert time.process_time() - started < 5


def test_prose_is_cut_at_ends_of_words() -> None:
    """Words stay whole."""
    text = "The quick brown fox jumps over the lazy dog."
    stream = chunks(responses.answer(HELLO, "m", [{"text": text}]))
    pieces = [chunk["candidates"][0]["content"]["parts"] for chunk in stream]
    assert pieces == [[{"text": "The quick brown "}], [{"text": "fox jumps over "}], [{"text": "the lazy dog."}]]


def test_usage_grows_with_what_was_said() -> None:
    """Each chunk counts the answer up to its end; the prompt and the thoughts are counted from the start."""
    said: list[Any] = [
        {"text": "Hm, hm, hm.", "thought": True},
        {"text": "The quick brown fox jumps over the lazy dog."},
    ]
    usages = [chunk["usageMetadata"] for chunk in chunks(responses.answer(HELLO, "m", said))]
    names = ("promptTokenCount", "thoughtsTokenCount", "candidatesTokenCount", "totalTokenCount")
    counts = [tuple(usage.get(name) for name in names) for usage in usages]
    assert counts == [(2, 3, None, 5), (2, 3, 4, 9), (2, 3, 8, 13), (2, 3, 11, 16)]


def test_calls_and_signatures_stay_whole() -> None:
    """A call is one chunk with its signature; text that bears one is not split; an empty last part may bear one."""
    signed: Any = {"text": "Text that bears a signature of its own.", "thoughtSignature": "c2ln"}
    end: Any = {"text": "", "thoughtSignature": "c2ln"}
    stream = chunks(responses.answer(HELLO, "m", [CALL, signed, end]))
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in stream] == [[CALL], [signed], [end]]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"candidates": []},
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"candidates": [{"content": {}, "finishReason": "SAFETY"}]},
        {"candidates": [{"finishReason": "SAFETY"}]},
        {"candidates": [{"content": {"parts": [{"text": "a long text, said by two"}]}}] * 2},
    ],
)
def test_what_cannot_be_cut_is_one_chunk(answer: dict[str, Any]) -> None:
    """An answer without parts is one chunk; so is one with several candidates."""
    assert chunks(answer) == [answer]


def test_both_forms_carry_the_unstreamed_answer() -> None:
    """Server-Sent Events and the array have the same chunks, and joined they are what generateContent answers."""
    body = {"contents": talk("one message", "…", "another one")}
    sse, array = post(body, "streamGenerateContent?alt=sse"), post(body, "streamGenerateContent")
    assert (sse.status, sse.headers["content-type"]) == (200, "text/event-stream")
    assert (array.status, array.headers["content-type"]) == (200, "application/json; charset=UTF-8")
    assert events(sse) == json.loads(body_of(array))
    assert len(sse.steps) == len(array.steps) == len(events(sse)) > 2
    assert merged(events(sse)) == json_of(post(body))


def test_an_array_is_written_as_it_grows() -> None:
    """Every chunk but the last could be read before the next one is written."""
    reply = post({"contents": [says("user", "Hello, hello, hello")]}, "streamGenerateContent")
    seen = b""
    for step in reply.steps[:-1]:
        assert isinstance(step, bytes)
        seen += step
        json.loads(seen + b"]")


def test_an_answer_of_one_chunk_is_an_array_of_one() -> None:
    """The array is an array, however short."""
    app = application({"m": lambda request: {"candidates": []}})
    assert json_of(post(HELLO, "streamGenerateContent", "m", app)) == [{"candidates": []}]


@pytest.mark.parametrize("query", ["?alt=sse", "?key=k&alt=sse", "?alt=sse&prettyPrint=false"])
def test_alt_may_stand_anywhere_in_the_query(query: str) -> None:
    """`alt=sse` is found among other parameters."""
    assert re.match(b"data: {", body_of(post(HELLO, f"streamGenerateContent{query}")))


@given(texts.filter(bool))
def test_the_echo_streams_what_it_says(text: str) -> None:
    """Over the whole application too a stream says what the answer says, for any message."""
    body = {"contents": [says("user", text)]}
    assert merged(events(post(body, "streamGenerateContent?alt=sse"))) == json_of(post(body))
