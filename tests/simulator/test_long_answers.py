"""Answers of rules that take several requests: what each hop holds, and how they break."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator import responses
from gemcli.simulator.continuation import NOT_VALID
from gemcli.simulator.long_answers import cut
from gemcli.simulator.rules import Answer
from gemcli.simulator.rules_model import NAME
from gemcli.simulator.simulated_api import SimulatedApp

from .support import SSE, body_of, error_of, json_of, post, talk, text_of
from .test_rules_model import app

FOX = "The quick brown fox jumps over the lazy dog."
LONG = f"answer: {{text: {FOX}, hops: 3, checkpoints: %s}}"


class Client:
    """Asks one application for all hops of an answer, as the SDK does."""

    def __init__(self, where: SimulatedApp, **body: Any) -> None:
        self.where = where
        self.body: dict[str, Any] = {"contents": talk("a long one"), **body}

    def hop(self, token: str | None = None, **more: Any) -> Any:
        """One hop in one piece."""
        resumed = {"continuationToken": token} if token else {}
        return json_of(post(self.body | resumed | more, model=NAME, app=self.where))

    def stream(self, token: str | None = None) -> list[Any]:
        """One hop as a stream: its chunks, and then how it broke, if it did."""
        resumed = {"continuationToken": token} if token else {}
        reply = post(self.body | resumed, SSE, NAME, self.where)
        data = body_of(reply).decode()
        chunks: list[Any] = [json.loads(each.removeprefix("data: ")) for each in data.split("\r\n\r\n")[:-1]]
        return chunks + [step for step in reply.steps if not isinstance(step, bytes)]

    def hops(self, limit: int = 20) -> list[Any]:
        """Every hop in one piece, to the end."""
        found = [self.hop()]
        while finish(found[-1]) == "CONTINUATION" and token_of(found[-1]) and len(found) < limit:
            found.append(self.hop(token_of(found[-1])))
        return found


def finish(answer: Any) -> Any:
    """The finish reason of an answer or a chunk."""
    return answer.get("candidates", [{}])[0].get("finishReason")


def token_of(answer: Any) -> Any:
    """The token of an answer or a chunk."""
    return answer["candidates"][0].get("continuationToken")


def said(*answers: Any) -> str:
    """The text of answers or chunks, joined."""
    parts = [part for answer in answers for part in answer["candidates"][0]["content"].get("parts", [])]
    return "".join(part["text"] for part in parts)


def test_hops() -> None:
    """An answer is cut into hops of one size, each with a token but the last, and its own response id."""
    hops = Client(app(LONG % 9)).hops()
    assert [finish(hop) for hop in hops] == ["CONTINUATION", "CONTINUATION", "STOP"]
    assert [len(said(hop)) for hop in hops] == [14, 15, 15]
    assert said(*hops) == FOX
    assert len({hop["responseId"] for hop in hops}) == 3
    assert token_of(hops[-1]) is None


def test_another_model() -> None:
    """The model that has answered may be another one, in every hop alike or in one of them."""
    hops = Client(app(f"answer: {{text: {FOX}, hops: 2, model_version: gemini-x-001}}")).hops()
    hops += Client(app("answer: {text: a, next_hops: [{text: b, model_version: models/gemini-y}]}")).hops()
    assert [hop["modelVersion"] for hop in hops] == ["gemini-x-001", "gemini-x-001", NAME, "gemini-y"]


def test_usage() -> None:
    """Each hop counts its own output, and what was put out before it as prompt."""
    usage = [hop["usageMetadata"] for hop in Client(app(LONG % 9)).hops()]
    assert [each["candidatesTokenCount"] for each in usage] == [4, 4, 4]
    assert [each["promptTokenCount"] for each in usage] == [3, 7, 11]
    assert [each["totalTokenCount"] for each in usage] == [7, 11, 15]


@given(
    st.lists(
        st.fixed_dictionaries({"text": st.text(max_size=9)})
        | st.fixed_dictionaries({"text": st.text(max_size=9), "thought": st.just(True)})
        | st.just({"functionCall": {"name": "f"}})
        | st.just({"text": "", "thoughtSignature": "c2ln"}),
        max_size=5,
    ),
    st.integers(1, 12),
)
def test_cutting_loses_nothing(parts: list[Any], count: int) -> None:
    """So many hops, joined again, are the answer; only the last one ends as it does."""
    hops = cut(Answer(tuple(parts), "SAFETY", usage={"x": 1}, carrier="early"), count)
    assert [hop.finish for hop in hops] == [None] * (count - 1) + ["SAFETY"]
    assert [part for hop in hops for part in hop.parts if "functionCall" in part] == [
        part for part in parts if "functionCall" in part
    ]
    assert responses.joined(part for hop in hops for part in hop.parts) == responses.joined(parts)
    assert [hop.usage for hop in hops] == [{"x": 1}] * count


NEXT = (
    "answer: {thoughts: Hm., next_hops: [half, {text: ' and half', finish: MAX_TOKENS}, "
    "{calls: [{name: f}], finish: SAFETY, usage: {prompt_token_count: 99}}]}"
)


def test_next_hops() -> None:
    """Hops may be written one by one: thoughts alone, other finish reasons, calls, usage."""
    client = Client(app(NEXT))
    hops = client.hops()
    assert [finish(hop) for hop in hops] == ["CONTINUATION", "CONTINUATION", "MAX_TOKENS"]
    assert hops[0]["candidates"][0]["content"]["parts"] == [{"text": "Hm.", "thought": True}]
    assert said(*hops[1:]) == "half and half"
    last = client.hop(token_of(hops[-1]), generationConfig={"maxOutputTokens": 9})
    assert (finish(last), token_of(last), last["usageMetadata"]["promptTokenCount"]) == ("SAFETY", None, 99)


@pytest.mark.parametrize("checkpoints", [1, 2])
def test_checkpoints(checkpoints: int) -> None:
    """Every so many chunks of a stream carry a token, and each gets exactly what comes after its chunk."""
    client = Client(app(f"answer: {{text: {FOX} {FOX}, checkpoints: {checkpoints}}}"))
    chunks = client.stream()
    marked = [number for number, chunk in enumerate(chunks[:-1], 1) if token_of(chunk)]
    assert marked == list(range(checkpoints, len(chunks), checkpoints))
    assert len(marked) > 1
    for number in marked:
        rest = client.stream(token_of(chunks[number - 1]))
        assert [said(chunk) for chunk in rest] == [said(chunk) for chunk in chunks[number:]]
        assert said(client.hop(token_of(chunks[number - 1]))) == said(*chunks[number:])


def test_broken_streams() -> None:
    """A stream that breaks again and again, resumed at its newest checkpoint each time, gives the whole answer."""
    breaks = "cut: {after: 3 chunks, how: close}"
    rules = [f"{{when: {{hop: {hop}}}, {breaks}}}" for hop in (2, 3)]
    client = Client(app(*rules, f"{{answer: {{text: {FOX} {FOX} {FOX}, hops: 1, checkpoints: 2}}, {breaks}}}"))
    kept = []
    token = None
    for _ in range(3):
        *chunks, broken = client.stream(token)
        assert (len(chunks), broken.how, token_of(chunks[2])) == (3, "close", None)
        token = token_of(chunks[1])
        kept += chunks[:2]
    kept += client.stream(token)
    assert (said(*kept), finish(kept[-1])) == (f"{FOX} {FOX} {FOX}", "STOP")


def test_a_hop_that_breaks() -> None:
    """A rule for a hop says how it is sent, and the answer goes on behind it; the message's own cut is for hop 1."""
    where = app(
        "{when: {hop: 3}, times: 1, error: UNAVAILABLE}",
        "{when: {hop: 3}, times: 1, cut: {after: 1 chunk, how: reset}}",
        f"{{times: 1, cut: {{after: 2 chunks, how: close}}, answer: {{text: {FOX} {FOX}, hops: 2, checkpoints: 1}}}}",
    )
    client = Client(where)
    *first, broken = client.stream()
    assert (len(first), broken.how) == (2, "close")
    second = client.stream(token_of(first[1]))
    token = token_of(second[-1])
    assert error_of(post(client.body | {"continuationToken": token}, SSE, NAME, where))[0] == 503
    *third, broken = client.stream(token)
    assert (len(third), broken.how) == (1, "reset")
    fourth = client.stream(token_of(third[0]))
    assert [finish(chunks[-1]) for chunks in (second, fourth)] == ["CONTINUATION", "STOP"]
    assert said(*first, *second, *third, *fourth) == f"{FOX} {FOX}"


@pytest.mark.parametrize(
    ("reply", "finished"), [("block: SAFETY", None), ("answer: {finish: SAFETY}", "SAFETY"), ("answer: end", "STOP")]
)
def test_another_reply_to_a_hop(reply: str, finished: str | None) -> None:
    """A rule for a hop may reply otherwise; what was put out before belongs to its prompt all the same."""
    first, last = Client(app(f"{{when: {{hop: 2}}, {reply}}}", LONG % 9)).hops()
    assert finish(last) == finished
    assert last["usageMetadata"]["promptTokenCount"] == first["usageMetadata"]["totalTokenCount"] == 7


def test_rules_for_hops_take_no_messages() -> None:
    """A rule without `hop` takes no later hop, and a rule with one no message; `times` counts messages."""
    where = app("{when: {hop: 2, contains: short}}", "{times: 1, " + LONG % 9 + "}", "answer: other")
    client = Client(where)
    assert said(*client.hops()) == FOX
    assert text_of(post({"contents": talk("short")}, model=NAME, app=where)) == "other"


def test_where_the_token_is() -> None:
    """On the last chunk, on the one before it, nowhere, or the token of the request once more."""
    early = Client(app(f"answer: {{text: {FOX}, token: early, hops: 2}}"))
    *_, before, last = early.stream()
    assert (finish(last), token_of(last), said(last)) == ("CONTINUATION", None, "")
    assert last["candidates"][0]["content"]["parts"][0]["thoughtSignature"]
    assert token_of(before) == token_of(early.hop())
    assert said(*early.hops()) == FOX
    (only,) = Client(app(f"answer: {{text: {FOX}, token: none, hops: 2}}")).hops()
    assert (finish(only), token_of(only)) == ("CONTINUATION", None)
    repeated = Client(app("answer: {text: a, next_hops: [{text: b, token: repeated}, c]}"))
    hops = repeated.hops(limit=4)
    assert len({token_of(hop) for hop in hops}) == 1
    assert said(*hops) == "abbb"
    ended = Client(app("answer: {text: a, token: last}"))
    assert (finish(ended.hop()), said(ended.hop(token_of(ended.hop())))) == ("STOP", "")


def test_a_token_is_for_one_request() -> None:
    """With another body the token of a rule's answer is refused, in the form that was asked for."""
    client = Client(app(LONG % 9), generationConfig={"maxOutputTokens": 70000})
    token = token_of(client.hop())
    client.body["generationConfig"] = {"maxOutputTokens": 70001}
    reply = post(client.body | {"continuationToken": token}, "streamGenerateContent", NAME, client.where)
    assert error_of(reply) == (400, "INVALID_ARGUMENT", NOT_VALID)
