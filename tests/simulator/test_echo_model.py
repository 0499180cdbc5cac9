"""The echo: what it says about what it was sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .support import PNG, call, json_of, post, response, says, talk, text_of


def echo(*contents: Any, **more: Any) -> str:
    """What the echo says to these Contents."""
    return text_of(post({"contents": list(contents)} | more))


def test_the_first_message_is_echoed_whole() -> None:
    """The message of this turn comes back unaltered, however long."""
    text = "line one\n  line two " + "x" * 500
    assert echo(says("user", text)) == f'Message 1 says: "{text}".'


def test_earlier_messages_are_seen() -> None:
    """Each earlier message of the history is repeated, oldest first."""
    assert echo(*talk("one", "…", "two", "…", "three")) == 'Message 3 says: "three". Before it: 1: "one"; 2: "two".'


def test_long_earlier_messages_are_shortened() -> None:
    """An earlier message is cut to 60 characters on one line."""
    assert echo(*talk("a\n" * 100, "…", "b")) == f'Message 2 says: "b". Before it: 1: "{"a " * 29}a…".'


def test_a_long_history_is_counted() -> None:
    """Of many earlier messages the first three and the last three are repeated, and the others counted."""
    texts = [f"m{number}" for number in range(1, 11)]
    contents = talk(*[text for message in texts for text in (message, "ok")][:-1])
    assert echo(*contents) == (
        'Message 10 says: "m10". Before it: 1: "m1"; 2: "m2"; 3: "m3"; (3 more); 7: "m7"; 8: "m8"; 9: "m9".'
    )


def test_the_system_instruction_is_seen() -> None:
    """A system instruction is mentioned."""
    answer = echo(says("user", "a"), systemInstruction={"parts": [{"text": "Be brief"}]})
    assert answer == 'Message 1 says: "a". The system instruction says: "Be brief".'


def test_other_kinds_of_parts_are_named() -> None:
    """Images and files are named by their type, other Parts by their kind."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    file = {"fileData": {"fileUri": "https://example.com/a.pdf"}}
    assert (
        echo(says("user", PNG, "What?", file, code))
        == 'Message 1 says: [image/png] "What?" [fileData] [executableCode].'
    )


def test_function_responses_are_seen() -> None:
    """Responses belong to the message whose functions they answer, and are repeated whole."""
    contents = [says("user", "Time?"), says("model", call("now")), says("user", response("now", {"h": 12}), "Hurry")]
    assert echo(*contents) == 'Message 1 says: "Time?". Its functions answered: now: {"h":12}; "Hurry".'
    after = echo(*contents, says("model", "Noon"), says("user", "Thanks"))
    assert after == 'Message 2 says: "Thanks". Before it: 1: "Time?".'


def test_the_answer_is_a_whole_response() -> None:
    """The answer has all that a GenerateContentResponse of the API has."""
    answer = json_of(post({"contents": [says("user", "Hello")]}))
    identity = answer.pop("responseId")
    assert identity.isalnum()
    assert answer == {
        "candidates": [
            {
                "content": {"parts": [{"text": 'Message 1 says: "Hello".'}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
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
def test_an_answer_stops_where_it_was_told_to(settings: Any, text: str, finish: str) -> None:
    """Stop sequences and the token limit cut the answer, and the finish reason says which it was."""
    answer = json_of(post({"contents": [says("user", "Hello")], "generationConfig": settings}))
    candidate = answer["candidates"][0]
    assert (candidate["content"]["parts"][0]["text"], candidate["finishReason"]) == (text, finish)
    assert answer["usageMetadata"]["candidatesTokenCount"] <= settings.get("maxOutputTokens", 6)


def test_an_answer_stopped_before_its_first_word_has_no_parts() -> None:
    """Where nothing was said the content is empty and no tokens of it are counted, as in the API."""
    answer = json_of(post({"contents": [says("user", "a")], "generationConfig": {"stopSequences": ["M"]}}))
    assert answer["candidates"] == [{"content": {}, "finishReason": "STOP", "index": 0}]
    assert "candidatesTokenCount" not in answer["usageMetadata"]


def test_a_longer_history_costs_more() -> None:
    """Prompt tokens grow with the history, as bills do."""
    short = json_of(post({"contents": talk("a")}))["usageMetadata"]["promptTokenCount"]
    image = json_of(post({"contents": [says("user", "a", PNG)]}))["usageMetadata"]["promptTokenCount"]
    long = json_of(post({"contents": talk("a", "b", "c")}))["usageMetadata"]["promptTokenCount"]
    assert (short, image, long) == (1, 259, 3)


texts = st.text(min_size=1, max_size=80)
parts = texts | st.just(PNG)


@given(st.lists(st.tuples(st.lists(parts, min_size=1, max_size=3), texts), max_size=8), texts, texts)
def test_a_conversation_can_always_go_on(turns: Any, message: str, following: str) -> None:
    """An answer appended to its history, with another message after it, makes a request that is accepted."""
    contents = [each for user, model in turns for each in (says("user", *user), says("model", model))]
    contents.append(says("user", message))
    answer = json_of(post({"contents": contents}))["candidates"][0]["content"]
    reply = post({"contents": [*contents, answer, says("user", following)]})
    assert reply.status == 200
    assert text_of(reply).startswith(f'Message {len(turns) + 2} says: "{following}". Before it: 1: ')
