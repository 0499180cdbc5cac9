"""Histories from outside, in every form, with every problem, by Content and by line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import example, given
from hypothesis import strategies as st

from gemcli.errors import GemcliError, Problem
from gemcli.formats.read_history import History
from gemcli.formats.read_history import load as load_history
from gemcli.simulator.rules_model import NAME, rules_app
from gemcli.text import strict_json
from tests.builders import call, contents, error_from, model, user
from tests.simulator.support import sdk_on

TEXT = st.text(st.characters(), min_size=1, max_size=8)
HISTORIES = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4).map(
    lambda pairs: contents(*(text for pair in pairs for text in pair))
)
RICH: list[Any] = [
    {"role": "user", "parts": [{"text": "q"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
    {"role": "model", "parts": [{"text": "hm", "thought": True}, {"functionCall": {"name": "f", "args": {}}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": None}}}]},
    {"role": "model", "parts": [{"text": "a\u2028b", "thoughtSignature": "c2ln", "later": 1e-7}], "new": {"a": None}},
]


def load(text: str, name: str) -> list[Any]:
    """The Contents of a history."""
    return list(load_history(text, name).contents)


def loaded(value: Any) -> History:
    """The history that a JSON value is."""
    return load_history(strict_json.dumps(value), "x")


@given(HISTORIES)
@example(RICH)
@example(RICH[:2])
def test_round_trip(history: list[Any]) -> None:
    """What is dumped can be loaded, value for value, as a list and as JSON Lines; it may end in an open call."""
    assert repr(load(strict_json.dumps(history), "x")) == repr(history)
    assert repr(load("\n".join(map(strict_json.dumps, history)), "x")) == repr(history)


EMPTY = {
    "nothing": ("", "x is empty"),
    "spaces": (" \n\t", "x is empty"),
    "mark": ("\ufeff", "x is empty"),
    "list": (" [ ]\n", "x has no message with an answer"),
    "object": ("{}", "x is not a history"),
    "null": ("null", "x is not a history"),
    "number": ("1", "x is not a history"),
    "text": ('"hello"', "x is not a history"),
    "no-contents": ('{"contents": []}', "x has no message with an answer"),
    "null-contents": ('{"contents": null}', "`contents` of x is not a list"),
    "no-messages": ('{"messages": []}', "x has no message with an answer"),
    "one-question": ('{"contents": [{"role": "user", "parts": [{"text": "q"}]}]}', "x has no message with an answer"),
    "system-only": ('{"messages": [{"role": "system", "content": "s"}]}', "x has no message with an answer"),
}


@pytest.mark.parametrize(("text", "message"), EMPTY.values(), ids=EMPTY)
def test_no_history(text: str, message: str) -> None:
    """What holds no history is an error, 65: the command that should have written it may have failed."""
    caught = error_from(load, text, "x")
    assert (caught.reason, caught.exit, caught.message) == ("BAD_HISTORY", 65, message)
    assert caught.hint


KNOWN = {
    "script": ("model: m\nturns:\n- a\n", "gemcli replay x -s NAME sends its messages"),
    "messages": ("- a\n- b\n", "gemcli replay x -s NAME sends its messages"),
    "json-script": ('{"turns": ["a"]}', "gemcli replay x -s NAME sends its messages"),
    "markdown": (
        "# Conversation with m\n\n",
        "Markdown is for reading; gemcli export contents -s NAME can be read back",
    ),
    "history": (
        '{"turn": 1, "state": "answered", "user": "q", "text": "a"}\n' * 2,
        (
            "this is the output of gemcli history;"
            " use gemcli export contents -s NAME, or gemcli history -s NAME --contents"
        ),
    ),
    "suite": ('{"messages": []}\n{"messages": []}\n', "gemcli replay x --out DIR sends the messages of each again"),
}


@pytest.mark.parametrize(("text", "hint"), KNOWN.values(), ids=KNOWN)
def test_what_is_read_by_others(text: str, hint: str) -> None:
    """What another command reads, or none, is told so, without a list of its lines."""
    caught = error_from(load, text, "x")
    assert (caught.reason, caught.hint, caught.problems) == ("BAD_HISTORY", hint, ())


def test_the_sdk_takes_it() -> None:
    """What is dumped is what the SDK takes as `history=`."""
    known = contents("q", "a") + RICH[:3]
    read = [types.Content.model_validate(content) for content in known]
    assert [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in read] == known


CALLING = """
rules:
  - when: {contains: party}
    answer:
      thoughts: Two things.
      calls: [{name: dim, args: {to: 0.5}, id: c1}, {name: play, args: {}, id: c2}]
      signature: c2k_c2k-
  - when: {after_call: dim}
    answer: {text: Now louder music., calls: [{name: play, args: {to: 11}}]}
  - when: {after_call: play}
    answer: {text: The party is on for all of us., signature: c2k_c2k-}
"""


def dim(to: float) -> float:
    """Dim the lights."""
    return to


def play(to: int = 5) -> dict[str, int]:
    """Play music."""
    return {"volume": to}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_chat_that_calls_functions(streamed: bool) -> None:
    """What a chat of the SDK keeps, with calls side by side and in a row, is one turn, streamed or not."""
    with sdk_on(rules_app(CALLING, "r"), "in-process") as sdk:
        chat = sdk.chats.create(model=NAME, config={"tools": [dim, play]})
        if streamed:
            list(chat.send_message_stream("party"))
        else:
            chat.send_message("party")
        kept = chat.get_history(curated=True)
    history = loaded([one.model_dump(mode="json", exclude_none=True) for one in kept])
    # The SDK left the ids out, which the API wants to have back.
    results = (
        {"id": "c1", "name": "dim", "response": {"result": 0.5}},
        {"id": "c2", "name": "play", "response": {"result": {"volume": 5}}},
    )
    signed = {"thoughtSignature": "c2k_c2k-"}
    text = "The party is on for all of us."
    assert history.contents == [
        user("party"),
        model(
            {"text": "Two things.", "thought": True}, call("dim", id="c1", args={"to": 0.5}) | signed,
            call("play", id="c2"),
        ),
        user(*({"functionResponse": one} for one in results)),
        model("Now louder music.", call("play", args={"to": 11})),
        user({"functionResponse": {"name": "play", "response": {"result": {"volume": 11}}}}),
        model(text, {"text": ""} | signed),
    ]  # fmt: skip
    assert history.notes[-1] == "the ids of calls filled in, in 1 Content with responses"


@pytest.mark.parametrize("by_alias", [True, False])
@pytest.mark.parametrize("exclude_none", [True, False])
def test_what_the_sdk_dumps(by_alias: bool, exclude_none: bool) -> None:
    """What `model_dump` makes of the SDK's Contents is read, with null for what is not there, and in snake_case."""
    known = contents("q", "a") + RICH[:3] + contents("q", "a")[1:]
    read = [types.Content.model_validate(content) for content in known]
    dumped = [one.model_dump(mode="json", by_alias=by_alias, exclude_none=exclude_none) for one in read]
    history = loaded(dumped)
    # The SDK leaves out null, and args that are empty, but not what is within a response.
    assert history.contents == known
    assert history.notes == []


def test_a_streamed_chat_of_the_sdk() -> None:
    """Model Contents in a row are the chunks of one answer: they are joined, and a note says so."""
    chunks = [
        {"role": "model", "parts": [{"text": "hm", "thought": True}]},
        {"role": "model", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"text": "b"}]},
        {"role": "model", "parts": [{"text": "", "thoughtSignature": "c2ln"}]},
        {"role": "model", "parts": None},
    ]
    history = loaded([*contents("q"), *chunks, *contents("r", "s")])
    assert history.contents[1]["parts"] == [
        {"text": "hm", "thought": True}, {"text": "ab"}, {"text": "", "thoughtSignature": "c2ln"},
    ]  # fmt: skip
    assert [content["role"] for content in history.contents] == ["user", "model"] * 2
    assert history.notes == ["4 model Contents joined with those before"]
    wrong = [*contents("q"), *chunks, {"role": "user", "parts": [{"txt": "r"}]}, *contents("", "s")[1:]]
    assert [problem.index for problem in error_from(loaded, wrong).problems] == [6]


def test_a_byte_order_mark() -> None:
    """A mark before a list, JSON Lines or a request is no part of it."""
    history = contents("q", "a")
    for text in (json.dumps(history), "\n".join(map(json.dumps, history)), json.dumps({"contents": history})):
        assert load("\ufeff" + text, "x") == history


def test_pretty_and_blank_lines() -> None:
    """A list may be spread over lines; JSON Lines may have blank ones, CR LF, and no newline at the end."""
    history = contents("q", "a")
    first, second = map(strict_json.dumps, history)
    assert load(json.dumps(history, indent=2), "x") == history
    assert load(f"\n{first}\n\n  \n{second}", "x") == history
    assert load(f"{first}\r\n{second}\r\n", "x") == history


def test_line_separators_are_no_line_ends() -> None:
    """Characters that only some take for line ends do not move the numbers of lines."""
    text = strict_json.dumps({"role": "user", "parts": [{"text": "a\u2028\u0085\x1c"}]}).replace("\\u001c", "\\u001c")
    caught = error_from(load, f"{text}\nno\n", "x")
    assert [problem.line for problem in caught.problems] == [2]


UNREADABLE = {
    "text": ("hello", "x is neither a JSON list nor JSON Lines", [1]),
    "broken-object": ('{\n  "role": "user"\n', "x is neither a JSON list nor JSON Lines", [1, 2]),
    "second-line": ('{"role": "user", "parts": []}\n{"role"\nnull\n', "x is neither a JSON list nor JSON Lines",
        [2, 3]),
    "nan": ('{"a": NaN}', "x is neither a JSON list nor JSON Lines", [1]),
    "duplicate": ('\n\n{"a": 1, "a": 2}', "x is neither a JSON list nor JSON Lines", [3]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message", "numbers"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(text: str, message: str, numbers: list[int]) -> None:
    """What is not JSON is BAD_HISTORY, exit 65, with every bad line."""
    caught = error_from(load, text, "x")
    assert (caught.reason, caught.exit, caught.message) == ("BAD_HISTORY", 65, message)
    assert [problem.line for problem in caught.problems] == numbers


@pytest.mark.parametrize("text", ["[", "[1,]", "[] []", '[{"a": 1, "a": 2}]', "[NaN]", "[1e999]"])
def test_unreadable_list(text: str) -> None:
    """A list that is not JSON is BAD_HISTORY and says where."""
    with pytest.raises(GemcliError, match=r"\Ax is not JSON: .") as caught:
        load(text, "x")
    assert (caught.value.reason, caught.value.exit) == ("BAD_HISTORY", 65)


WRONG: list[Any] = [
    {"role": "user", "parts": [{"text": "q"}]},
    {"role": "assistant", "parts": [{"text": "a"}]},
    {"role": "user", "parts": []},
]
FOUND = [(1, "role"), (2, "no-parts"), (2, "unanswered")]


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_problems(lines: bool) -> None:
    """Every breach is found at once, by the number of the Content, in JSON Lines by its line too, with blank ones."""
    text = "\n" + "\n\n".join(map(json.dumps, WRONG)) if lines else json.dumps(WRONG)
    caught = error_from(load, text, "x.json")
    assert caught.message == "x.json is not a history the API would accept: 3 problems"
    assert caught.reason == "TURN_ORDER"
    assert [(problem.index, problem.rule) for problem in caught.problems] == FOUND
    assert [problem.line for problem in caught.problems] == ([4, 6, 6] if lines else [None] * 3)


def test_last_message_needs_its_answer() -> None:
    """A history that ends with a user Content is refused, and told what to do with it."""
    caught = error_from(load, json.dumps(contents("q", "a", "b")), "x")
    message = "the history ends with a user Content that has no answer"
    hint = "leave it out, and send it as a message"
    assert caught.problems == (Problem("unanswered", message, 2, hint=hint),)


@given(st.text(max_size=30) | st.text(alphabet='[]{}",:\n 1ntrue', max_size=30))
def test_anything(text: str) -> None:
    """Whatever the text, it is a history or an error of exit 65."""
    try:
        assert isinstance(load(text, "x"), list)
    except GemcliError as error:
        assert error.exit == 65  # noqa: PT017 - a few are histories


# Requests


def test_a_request() -> None:
    """The body of a request brings its settings along; its last message, which it asks to be answered, is left out."""
    config: Any = {"systemInstruction": {"parts": [{"text": "s"}]}, "generationConfig": {"temperature": 0.5},
        "tools": [{"googleSearch": {}}], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}  # fmt: skip
    history = loaded({"contents": contents("q", "a", "r"), **config, "model": "models/m"})
    assert (history.contents, history.config, history.model) == (contents("q", "a"), config, "models/m")
    assert history.notes == ["the last message has no answer and was left out: send it again"]
    history = loaded({"contents": contents("q", "a"), "generation_config": {"top_k": 3}, "tools": None})
    assert (history.config, history.notes) == ({"generationConfig": {"topK": 3}}, [])


def test_a_request_that_waits_for_an_answer_to_a_call() -> None:
    """Without the responses that it ends with, the history of a request ends in the call."""
    assert loaded({"contents": RICH[:3]}).contents == RICH[:2]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"generationConfig": {"temperatur": 1}}, "`temperatur` is not a key of the request"),
        ({"tool": []}, None),
        ({"tool": [1]}, "`tool` is not a key of a request"),
        ({"tools": [{"gogleSearch": {}}]}, "`gogleSearch` is not a key of an item of `tools`"),
        ({"candidateCount": 2}, "`candidateCount` must be 1, not 2: gemcli records one answer"),
    ],
)
def test_settings_of_a_request_are_checked(more: dict[str, Any], message: str | None) -> None:
    """No setting of a request is dropped without a word: what is unknown is named, with a suggestion."""
    body = {"contents": contents("q", "a"), **more}
    if message is None:
        assert loaded(body).config == {}
        return
    caught = error_from(loaded, body)
    assert (caught.reason, [problem.message for problem in caught.problems]) == ("SETTINGS", [message])


# Chat Completions

SAID: list[Any] = [
    {"role": "system", "content": "s"},
    {"role": "developer", "content": [{"type": "text", "text": "t"}]},
    {"role": "user", "content": [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]},
    {"role": "assistant", "content": "look", "refusal": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]},
    {"role": "tool", "tool_call_id": "c2", "content": '{"b":2}'},
    {"role": "tool", "tool_call_id": "c1", "content": "plain"},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "x", "reasoning_content": "hm"},
    {"role": "assistant", "content": "y"},
    {"role": "user", "content": "next"},
]  # fmt: skip


def test_chat_completions() -> None:
    """Messages become Contents: calls and their results, what is said with results, images and sounds."""
    history = loaded({"model": "gpt", "messages": SAID, "temperature": 0.5, "stop": "END", "stream": True})
    assert history.contents == [
        {"role": "user", "parts": [
            {"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ]},
        {"role": "model", "parts": [
            {"text": "look"}, {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}},
            {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "g", "response": {"b": 2}, "id": "c2"}},
            {"functionResponse": {"name": "f", "response": {"output": "plain"}, "id": "c1"}},
            {"text": "and?"},
        ]},
        {"role": "model", "parts": [{"text": "xy"}]},
    ]  # fmt: skip
    assert history.config == {
        "systemInstruction": {"parts": [{"text": "s"}, {"text": "t"}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["END"]},
    }
    assert history.model == "gpt"
    assert history.notes == [
        "1 model Content joined with those before",
        "the last message has no answer and was left out: send it again",
        "left out of the messages: reasoning_content",
    ]


def test_messages_alone() -> None:
    """A list of messages, or JSON Lines of them, is read as well; a role of another API in Contents is not."""
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    for text in (json.dumps(said), "\n".join(map(json.dumps, said))):
        assert load(text, "x") == contents("q", "a")
    assert error_from(loaded, [{**contents("q")[0], "role": "human"}]).reason == "TURN_ORDER"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"role": "human", "content": "q"}, "the role 'human' is not known"),
        ({"role": "system", "content": "q"}, "a system message after the first message of the conversation"),
        ({"role": "tool", "tool_call_id": "c9", "content": "q"}, "no call before it has the id 'c9'"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
            "`content` must be text, or a list of texts, and of images and sounds as data"),
        ({"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
            "the arguments of f are not a JSON object"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
            "a tool call must have a `function` with its `name`"),
        ("text", "a message must be an object with `role` and `content`"),
    ],
)  # fmt: skip
def test_messages_that_contents_cannot_hold(wrong: Any, message: str) -> None:
    """What has no counterpart is refused, by the number of the message, not left out."""
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, wrong]
    caught = error_from(loaded, {"messages": said})
    assert (caught.exit, caught.reason) == (65, "BAD_HISTORY")
    assert [(problem.index, problem.message) for problem in caught.problems] == [(2, message)]


def test_turn_order_of_messages() -> None:
    """The rules of turn order hold for messages, too, by the number of the message."""
    said = [{"role": "system", "content": "s"}, *SAID[2:4], {"role": "user", "content": "no"}, *SAID[7:8]]
    caught = error_from(loaded, {"messages": said})
    assert [(problem.index, problem.rule) for problem in caught.problems] == [(3, "calls-answered")]
