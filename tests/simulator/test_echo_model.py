"""The echo: what it says about what it was sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator import echo_model

from .support import PNG, call, json_of, post, response, says, talk, text_of

CALLED = [says("user", "Time?"), says("model", call("now")), says("user", response("now", {"h": 12}), "Hurry")]
MANY = [text for number in range(1, 11) for text in (f"m{number}", "ok")][:-1]
CODE = {"executableCode": {"language": "PYTHON", "code": "1"}}
FILE = {"fileData": {"fileUri": "https://example.com/a.pdf"}}
WHOLE = "line one\n  line two " + "x" * 500

SAID = {
    "whole": (talk(WHOLE), f'Message 1 says: "{WHOLE}".'),
    "earlier": (talk("one", "…", "two", "…", "three"), 'Message 3 says: "three". Before it: 1: "one"; 2: "two".'),
    "shortened": (talk("a\n" * 100, "…", "b"), f'Message 2 says: "b". Before it: 1: "{"a " * 29}a…".'),
    "first-and-last": (talk(*MANY),
        'Message 10 says: "m10". Before it: 1: "m1"; 2: "m2"; 3: "m3"; (3 more); 7: "m7"; 8: "m8"; 9: "m9".'),
    "other-parts": ([says("user", PNG, "What?", FILE, CODE)],
        'Message 1 says: [image/png] "What?" [fileData] [executableCode].'),
    "responses": (CALLED, 'Message 1 says: "Time?". Its functions answered: now: {"h":12}; "Hurry".'),
    "after-responses": ([*CALLED, says("model", "Noon"), says("user", "Thanks")],
        'Message 2 says: "Thanks". Before it: 1: "Time?".'),
}  # fmt: skip
"""Contents, and what the echo says to them."""


@pytest.mark.parametrize("name", SAID)
def test_said(name: str) -> None:
    """The message of this turn comes back whole, those before it shortened, and Parts without text by their kind."""
    contents, text = SAID[name]
    assert text_of(post({"contents": contents})) == text


def test_system_instruction() -> None:
    """A system instruction is mentioned; where nothing was said the content is empty and none of it is counted."""
    answer = post({"contents": talk("a"), "systemInstruction": {"parts": [{"text": "Be brief"}]}})
    assert text_of(answer) == 'Message 1 says: "a". The system instruction says: "Be brief".'
    stopped = json_of(post({"contents": talk("a"), "generationConfig": {"stopSequences": ["M"]}}))
    assert stopped["candidates"] == [{"content": {}, "finishReason": "STOP", "index": 0}]
    assert "candidatesTokenCount" not in stopped["usageMetadata"]


def test_whole_response() -> None:
    """The answer has all that a GenerateContentResponse of the API has."""
    answer = json_of(post({"contents": talk("Hello")}))
    assert answer.pop("responseId").isalnum()
    content = {"parts": [{"text": 'Message 1 says: "Hello".'}], "role": "model"}
    assert answer == {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 2,
            "candidatesTokenCount": 6,
            "totalTokenCount": 8,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}],
        },
        "modelVersion": "simulator/echo",
    }


@pytest.mark.parametrize(
    ("settings", "text", "finish"),
    [
        ({"stopSequences": ["says", "1"]}, "Message ", "STOP"),
        ({"stopSequences": ["nowhere"]}, 'Message 1 says: "Hello".', "STOP"),
        ({"maxOutputTokens": 2}, "Message ", "MAX_TOKENS"),
        ({"maxOutputTokens": 1}, "Mess", "MAX_TOKENS"),
        ({"maxOutputTokens": 6}, 'Message 1 says: "Hello".', "STOP"),
        ({"maxOutputTokens": 2, "stopSequences": ["1"]}, "Message ", "STOP"),
        ({"maxOutputTokens": 1, "stopSequences": ["1"]}, "Mess", "MAX_TOKENS"),
    ],
)
def test_limits(settings: Any, text: str, finish: str) -> None:
    """Stop sequences and the token limit cut the answer, and the finish reason says which it was."""
    reply = post({"contents": talk("Hello"), "generationConfig": settings})
    answer = json_of(reply)
    assert (text_of(reply), answer["candidates"][0]["finishReason"]) == (text, finish)
    assert answer["usageMetadata"]["candidatesTokenCount"] <= settings.get("maxOutputTokens", 6)


@pytest.mark.parametrize(
    ("contents", "tokens"), [(talk("a"), 1), ([says("user", "a", PNG)], 259), (talk("a", "b", "c"), 3)]
)
def test_prompt_tokens(contents: Any, tokens: int) -> None:
    """Prompt tokens grow with the history, as bills do."""
    assert json_of(post({"contents": contents}))["usageMetadata"]["promptTokenCount"] == tokens


texts = st.text(min_size=1, max_size=80)
parts = texts | st.just(PNG)


@given(st.lists(st.tuples(st.lists(parts, min_size=1, max_size=3), texts), max_size=8), texts, texts)
def test_conversation_goes_on(turns: Any, message: str, following: str) -> None:
    """An answer appended to its history, with another message after it, makes a request that is accepted."""
    contents = [each for user, model in turns for each in (says("user", *user), says("model", model))]
    contents.append(says("user", message))
    answer = json_of(post({"contents": contents}))["candidates"][0]["content"]
    reply = post({"contents": [*contents, answer, says("user", following)]})
    assert reply.status == 200
    assert text_of(reply).startswith(f'Message {len(turns) + 2} says: "{following}". Before it: 1: ')


def test_more_of_it() -> None:
    """What the limit of tokens cut goes on from its token with a larger limit, which is one for all hops."""
    body: dict[str, Any] = {"contents": talk("Hello, echo")}
    whole = text_of(post(body))
    said, hops = "", []
    for limit in (2, 5, 100):
        hops.append(json_of(post(body | {"generationConfig": {"maxOutputTokens": limit}})))
        candidate = hops[-1]["candidates"][0]
        said += candidate["content"]["parts"][0]["text"]
        assert said == whole[: 4 * limit]
        body["continuationToken"] = candidate.get("continuationToken")
    assert [hop["candidates"][0]["finishReason"] for hop in hops] == ["MAX_TOKENS", "MAX_TOKENS", "STOP"]
    assert [hop["usageMetadata"]["promptTokenCount"] for hop in hops] == [3, 5, 8]
    assert body["continuationToken"] is None


def test_hops() -> None:
    """Where more tokens are asked for than a hop has, a longer answer goes on in the next one."""
    body: dict[str, Any] = {
        "contents": talk("long " * 60000),
        "generationConfig": {"maxOutputTokens": echo_model.HOP + 1},
    }
    first = json_of(post(body))
    assert (first["candidates"][0]["finishReason"], len(text_of(post(body)))) == ("CONTINUATION", 4 * echo_model.HOP)
    body["continuationToken"] = first["candidates"][0]["continuationToken"]
    last = json_of(post(body))
    assert (last["candidates"][0]["finishReason"], len(text_of(post(body)))) == ("MAX_TOKENS", 4)
