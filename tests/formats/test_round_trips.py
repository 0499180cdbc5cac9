"""What is exported can be read again: the history is the same, and what is left out is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import turn_order
from gemcli.chat.contents import Content, function_calls, function_responses, group_turns, parts_of, text_of
from gemcli.formats import chat_completions, read_history, replay_script
from gemcli.replay import read_script
from gemcli.replay.calls import ToolResults
from gemcli.text import strict_json
from tests.builders import call, model, records_of, request, response, user, write_session
from tests.builders import header as session_header
from tests.support import InProcess

IMAGE = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
TEXT = st.text(min_size=1, max_size=6)
ARGS = st.dictionaries(st.sampled_from(["a", "key_b"]), st.none() | st.integers(0, 3) | TEXT, max_size=2)
MARKS: list[dict[str, Any]] = [{}, {"thoughtSignature": "c2ln"}]


@st.composite
def histories(draw: st.DrawFn) -> list[Content]:
    """Histories of turns with images, thoughts, signatures, and calls with their responses in any order."""
    history: list[Content] = []
    for turn in range(draw(st.integers(1, 3))):
        question = [{"text": one} for one in draw(st.lists(TEXT, min_size=1, max_size=2))]
        history.append(user(*question, *draw(st.sampled_from([[], [IMAGE]]))))
        for step in range(draw(st.integers(0, 2))):
            names = draw(st.lists(st.sampled_from("fg"), min_size=1, max_size=3))
            ids = [f"c{turn}-{step}-{place}" for place in range(len(names))]
            calls = [call(name, id=one, args=draw(ARGS)) for name, one in zip(names, ids, strict=True)]
            thought = [{"text": "hm", "thought": True}] if draw(st.booleans()) else []
            history.append(model(*thought, {**calls[0], **draw(st.sampled_from(MARKS))}, *calls[1:]))
            results = [
                {"functionResponse": {"name": name, "id": one, "response": draw(ARGS)}}
                for name, one in draw(st.permutations(list(zip(names, ids, strict=True))))
            ]
            history.append(user(*results, *draw(st.sampled_from([[], ["and this"]]))))
        history.append(model({"text": draw(TEXT), **draw(st.sampled_from(MARKS))}))
    assert turn_order.check(history) == []
    return history


def meaning(history: Sequence[Content]) -> list[Any]:
    """What Chat Completions can say of a history: roles, texts, images, calls and their results."""
    return [
        (
            content["role"],
            text_of(content),
            [part["inlineData"] for part in parts_of(content) if "inlineData" in part],
            function_calls(content),
            function_responses(content),
        )
        for content in history
    ]


@given(histories())
def test_contents(history: list[Content]) -> None:
    """Contents come back value for value."""
    assert read_history.load(strict_json.dumps(history), "h").contents == history


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2), "topP": st.floats(0, 1), "seed": st.integers(0, 9),
        "maxOutputTokens": st.integers(1, 9), "stopSequences": st.lists(TEXT, min_size=1, max_size=2),
        "presencePenalty": st.floats(-2, 2), "frequencyPenalty": st.floats(-2, 2),
        "responseLogprobs": st.booleans(), "logprobs": st.integers(0, 3),
    },
)  # fmt: skip


SCHEMAS: list[Any] = [{}, {"parametersJsonSchema": {"type": "object", "properties": {"a": {"type": "string"}}}}]
TOOLS = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(
            st.builds(lambda name, more: {"name": name, "description": "d"} | more, st.sampled_from("fgh"),
                st.sampled_from(SCHEMAS)), min_size=1, max_size=3, unique_by=lambda one: str(one["name"]),
        ).map(lambda functions: [{"functionDeclarations": functions}]),
        "toolConfig": st.sampled_from([
            {"functionCallingConfig": {"mode": "NONE"}},
            {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        ]),
    },
)  # fmt: skip
"""Functions that are declared, and which are called."""


@given(histories(), CONFIGS, st.none() | TEXT, TOOLS)
def test_chat_completions(history: list[Content], generation: dict[str, Any], system: str | None, tools: Any) -> None:
    """Messages come back with what they can say, and the settings that both APIs have."""
    config: Any = ({"generationConfig": generation} if generation else {}) | tools
    if system:
        config["systemInstruction"] = {"parts": [{"text": system}]}
    document = chat_completions.dump(history, {"model": "m", "config": config})
    read = read_history.load(strict_json.dumps(document), "h")
    assert meaning(read.contents) == meaning(history)
    assert (read.config, read.model, read.notes) == (config, "m", [])


def test_what_chat_completions_leave_out() -> None:
    """Marks of Parts, thoughts and settings without a counterpart are named, each once."""
    said = [
        user("q", {**IMAGE, "mediaResolution": {}}),
        model({"text": "hm", "thought": True}, {"text": "a", "later": 1}),
    ]
    config: Any = {"generationConfig": {"topK": 3, "seed": 1}, "tools": [], "systemInstruction": {"parts": []}}
    header: Any = {"model": "m", "config": config}
    assert chat_completions.left_out(said * 2, header) == ["mediaResolution", "thoughts", "later", "topK"]
    assert chat_completions.left_out([user("q"), model("a")], {"model": "m", "config": {}}) == []


def session(*turns: list[Any], config: Any = None) -> None:
    """A session `a` with these records."""
    write_session("a", session_header(config=config), *(record for turn in turns for record in turn))


SETTINGS: Any = {
    "systemInstruction": {"parts": [{"text": "Be brief"}]},
    "generationConfig": {"temperature": 0.5, "topK": 3},
}
OPEN = [
    request(1, "q", IMAGE),
    response(1, {"text": "hm", "thought": True}, call(id="c1") | {"thoughtSignature": "c2ln"}),
]
CLOSED = [
    *OPEN,
    request(1, {"functionResponse": {"name": "f", "id": "c1", "response": {"x": None}}}, ordinal=2),
    response(1, "done", ordinal=2),
]
CONFIGURED = [{**request(2, "again"), "config": {"generationConfig": {"seed": 7}}}, response(2, "ok")]

# format -> what is lost of the history, and what is said
NOTES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "contents": (lambda history: history, ""),
    "openai": (
        meaning,
        "gemcli: note: left out: thoughts, thoughtSignature, topK, the settings and models of single messages\n",
    ),
}


@pytest.mark.parametrize("format_", NOTES)
@pytest.mark.parametrize("turns", [[CLOSED], [CLOSED, CONFIGURED], [OPEN]], ids=["closed", "configured", "open"])
def test_a_session_comes_back(here: InProcess, format_: str, turns: list[list[Any]]) -> None:
    """A session with calls, thoughts, images and settings of a message is exported and made again."""
    session(*turns, config=SETTINGS)
    same, note = NOTES[format_]
    done = here("export", format_, "-s", "a")
    if CONFIGURED not in turns:
        note = note.replace(", the settings and models of single messages", "")
    assert (done.status, done.err) == (0, note)
    env = {"GEMCLI_MODEL": "simulator/echo"}
    made = here("new", "-s", "b", "--history", "-", "--history-model", "simulator/echo", stdin=done.bytes, env=env)
    assert (made.status, made.err) == (0, "")
    before, after = (here("history", "-s", name, "--contents").lines for name in "ab")
    assert same(after) == same(before)


def test_a_request_comes_back(here: InProcess) -> None:
    """The body of a request has the settings of its message, and the history before it."""
    session(CLOSED, CONFIGURED, config=SETTINGS)
    here("new", "-s", "b", "--history", "-", stdin=here("export", "request", "-s", "a").bytes)
    assert records_of("b")[0]["config"] == {
        **SETTINGS, "generationConfig": {"temperature": 0.5, "topK": 3, "seed": 7},
    }  # fmt: skip
    before, after = (here("history", "-s", name, "--contents").lines for name in "ab")
    assert after == before[:4]


@given(st.lists(st.tuples(st.text(max_size=6), CONFIGS), min_size=1, max_size=3), CONFIGS)
def test_a_script_comes_back(messages: list[tuple[str, dict[str, Any]]], generation: dict[str, Any]) -> None:
    """The messages of a script come back with the settings of each, and the session's."""
    history = [content for text, _ in messages for content in (user(text or "x"), model("a"))]
    config: Any = {"generationConfig": generation} if generation else {}
    calls = [{"generationConfig": one} if one else {} for _, one in messages]
    text = replay_script.dump(history, {"model": "m", "config": config}, calls)
    (script,) = read_script.load(text, "s.yaml", {}).scripts
    assert (script.model, script.config) == ("m", config)
    assert [turn.rendered({}) for turn in script.turns] == history[::2]
    assert [turn.config for turn in script.turns] == calls


@given(histories())
def test_tool_results_come_back(history: list[Content]) -> None:
    """Calls that are made again get what they returned, each its own, from a script as from recorded Contents."""
    for content in history:  # what a script cannot hold
        kinds = {"functionResponse"} if function_responses(content) else {"text", "functionCall"}
        content["parts"] = [part for part in parts_of(content) if kinds & part.keys()]
    text = replay_script.dump(history, {"model": "m", "config": {}})
    for document, file in ((text, "s.yaml"), (strict_json.dumps(history), "s.json")):
        (script,) = read_script.load(document, file, {}).scripts
        results = ToolResults(script.tool_results)
        for turn, contents in zip(script.turns, group_turns(history), strict=True):
            for asked, answered in zip(contents[1::2], contents[2::2], strict=False):
                parts = results.answer(function_calls(asked), turn.tool_results)
                given = {response["id"]: response for response in function_responses(answered)}
                assert function_responses(user(*parts)) == [given[one["id"]] for one in function_calls(asked)]


def test_models_that_a_script_leaves_out(here: InProcess) -> None:
    """A script has one model: that others were asked is said."""
    session([request(1, "q", model="simulator/other"), response(1, "a")])
    done = here("export", "script", "-s", "a")
    assert done.err == "gemcli: note: left out: the models of single messages, since a script has one model\n"
    assert json.loads(here("export", "script", "-s", "a", "--errors", "json").err)["level"] == "note"
