"""Streams: chunks that join to the answer, and their two forms on the wire."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator import responses
from gemcli.simulator.replies import Reply
from gemcli.simulator.simulated_api import application
from gemcli.simulator.streams import chunks

from .support import body_of, json_of, post, talk

HELLO = {"contents": talk("Hello")}
CALL = {
    "functionCall": {"name": "f", "args": {"a": "a long argument that nobody may split"}},
    "thoughtSignature": "c2ln",
}
FOX: Any = {"text": "The quick brown fox jumps over the lazy dog."}


def events(reply: Reply) -> list[Any]:
    """The documents of a body of Server-Sent Events, read strictly."""
    *parts, rest = body_of(reply).split(b"\r\n\r\n")
    assert rest == b""
    assert all(part.startswith(b"data: ") and b"\n" not in part for part in parts)
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


def streamed(*parts: Any) -> list[list[dict[str, Any]]]:
    """The Parts of each chunk of an answer with these Parts."""
    stream = chunks(responses.answer(HELLO, "m", parts))
    return [chunk["candidates"][0]["content"].get("parts", []) for chunk in stream]


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
    assert all(1 <= len(part["text"]) <= 21 for parts in streamed({"text": text}) for part in parts)


def test_linear_time() -> None:
    """Half a megabyte makes tens of thousands of chunks, and the time to make them does not grow with its square."""
    started = time.process_time()
    assert len(streamed({"text": "word " * 100_000})) > 25_000
    assert time.process_time() - started < 5


SIGNED = {"text": "Text that bears a signature of its own.", "thoughtSignature": "c2ln"}
END = {"text": "", "thoughtSignature": "c2ln"}


@pytest.mark.parametrize(
    ("parts", "pieces"),
    [
        ([FOX], [[{"text": "The quick brown "}], [{"text": "fox jumps over "}], [{"text": "the lazy dog."}]]),
        ([CALL, SIGNED, END], [[CALL], [SIGNED], [END]]),
    ],
)
def test_pieces(parts: list[dict[str, Any]], pieces: list[Any]) -> None:
    """Words stay whole; so do calls and what bears a signature, and an empty last part may bear one."""
    assert streamed(*parts) == pieces


def test_usage_grows() -> None:
    """Each chunk counts the answer up to its end; the prompt and the thoughts are counted from the start."""
    answer = responses.answer(HELLO, "m", [{"text": "Hm, hm, hm.", "thought": True}, FOX])
    names = ("promptTokenCount", "thoughtsTokenCount", "candidatesTokenCount", "totalTokenCount")
    counts = [tuple(chunk["usageMetadata"].get(name) for name in names) for chunk in chunks(answer)]
    assert counts == [(2, 3, None, 5), (2, 3, 4, 9), (2, 3, 8, 13), (2, 3, 11, 16)]


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
def test_one_chunk(answer: dict[str, Any]) -> None:
    """An answer without parts is one chunk; so is one with several candidates."""
    assert chunks(answer) == [answer]


@pytest.mark.parametrize("query", ["?alt=sse", "?key=k&alt=sse", "?alt=sse&prettyPrint=false"])
def test_framings(query: str) -> None:
    """Server-Sent Events and the array have the same chunks, and joined they are what generateContent answers."""
    body = {"contents": talk("one message", "…", "another one")}
    sse, array = post(body, f"streamGenerateContent{query}"), post(body, "streamGenerateContent")
    assert (sse.status, sse.headers["content-type"]) == (200, "text/event-stream")
    assert (array.status, array.headers["content-type"]) == (200, "application/json; charset=UTF-8")
    assert events(sse) == json.loads(body_of(array))
    assert len(sse.steps) == len(array.steps) == len(events(sse)) > 2
    assert merged(events(sse)) == json_of(post(body))


def test_array() -> None:
    """Every chunk of an array but the last can be read before the next one is written; one chunk is an array, too."""
    reply = post({"contents": talk("Hello, hello, hello")}, "streamGenerateContent")
    for end in range(1, len(reply.steps)):
        json.loads(body_of(reply._replace(steps=reply.steps[:end])) + b"]")
    app = application({"m": lambda request: {"candidates": []}})
    assert json_of(post(HELLO, "streamGenerateContent", "m", app)) == [{"candidates": []}]
