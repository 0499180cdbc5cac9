"""Conversations of suites: the data of others, one or many in a file, as messages to send."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from gemcli.chat.contents import text_of, user_text
from gemcli.errors import GemcliError
from gemcli.replay import read_script
from gemcli.replay.script import Script, Suite
from tests.builders import error_from

MT_BENCH = [
    {"question_id": 81, "category": "writing", "turns": ["Compose a blog post.", "Start every sentence with: A."]},
    {"question_id": 101, "category": "reasoning", "turns": ["{{x}}", "12:30"], "reference": ["a", "b"]},
    {"question_id": 160, "category": "humanities", "turns": ["yes", "no # not\nat all"]},
]


DIGEST = "39b7a8164ba6"
"""The name of a conversation that only says `a`."""


def load(*rows: Any) -> Suite:
    """The suite whose lines hold these values."""
    return read_script.load("\n".join(map(json.dumps, rows)), "s.jsonl", {})


def script(row: Any) -> Script:
    """The conversation of one line."""
    (read,) = load(row).scripts
    return read


def said(row: Any) -> list[str]:
    """The messages that one line sends."""
    return [text_of(turn.rendered({})) for turn in script(row).turns]


def problems(row: Any) -> list[str]:
    """What is wrong with one line."""
    caught = error_from(load, row)
    return [f"{problem.message} [{problem.rule}]" for problem in caught.problems]


def test_mt_bench_loads_unchanged() -> None:
    """Questions are sent as they stand, each named by its number; of recorded pairs, the user's halves."""
    suite = load(*MT_BENCH)
    assert [(one.name, [text_of(turn.rendered({})) for turn in one.turns]) for one in suite.scripts] == [
        (str(row["question_id"]), row["turns"]) for row in MT_BENCH
    ]
    assert (suite.many, suite.ignored) == (True, ("category", "reference"))
    row = {"task": "CM", "id": 1, "history": [{"user": "a", "bot": "b"}, {"user": "{{c}}", "bot": "d"}]}
    assert (said(row), script(row).name, load(row).ignored) == (["a", "{{c}}"], "1", ("task",))


def test_chat_completions() -> None:
    """The user's messages are sent, the system's is the system instruction, and the assistant's are left out."""
    row = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": None, "tool_calls": None, "function_call": None},
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "{{c}}"}]},
            {"role": "assistant", "content": "d", "tool_calls": []},
        ]
    }
    assert said(row) == ["a", "b{{c}}"]
    assert script(row).config == {"systemInstruction": {"parts": [{"text": "Be brief."}]}}


def test_contents_of_the_gemini_api() -> None:
    """The user's Contents are sent as one text each; the model's are left out, whatever is in them."""
    reply = {"role": "model", "parts": [{"text": "b", "thoughtSignature": "c2ln"}]}
    row = {"contents": [user_text("a"), reply, {"role": "user", "parts": [{"text": "c"}, {"text": "{{d}}"}]}]}
    assert said(row) == ["a", "c{{d}}"]


CALLS = {
    "chat": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"n": 1}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c2", "content": "fine"},
        {"role": "tool", "tool_call_id": "c1", "content": '{"x": true}'},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}, "content": ""},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c9", "function": {"name": "f"}}]},
    ],
    "contents": [
        user_text("a"),
        {"role": "model", "parts": [
            {"functionCall": {"name": "f", "id": "c1", "args": {"n": 1}}},
            {"function_call": {"name": "g", "id": "c2"}, "thought_signature": "c2ln"},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "g", "id": "c2", "response": {"output": "fine"}}},
            {"functionResponse": {"name": "f", "id": "c1", "response": {"x": True}}},
        ]},
        {"role": "model", "parts": [{"text": "done"}]},
        user_text("b"),
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]},
        {"role": "model", "parts": [{"text": "done"}]},
        user_text("c"),
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("key", "messages"), [("messages", CALLS["chat"]), ("contents", CALLS["contents"])])
def test_what_functions_returned(key: str, messages: Any) -> None:
    """It answers the calls of the same turn when they are made again; a call that nobody answered has no result."""
    row = {key: messages}
    assert said(row) == ["a", "b", "c"]
    results = [[(one.called, one.result.response) for one in turn.tool_results] for turn in script(row).turns]
    first, second, third = results
    assert first == [(("f", {"n": 1}), {"x": True}), (("g", {}), {"output": "fine"})]
    assert ([called for called, _ in second], third) == ([("f", {})], [])


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "a tool call must have a `function` with its `name`"),
        ({"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "["}}]},
            "the arguments of f are not a JSON object"),
        ({"role": "tool", "content": "a", "tool_call_id": "c7"}, "no call before it has the id 'c7'"),
        ({"role": "function", "content": "a", "name": "f"}, "a result belongs to none of the calls before it"),
        ({"from": "observation", "value": "a"}, "`observation` is no role that can be replayed"),
        ({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
            "a result belongs to none of the calls before it"),
    ],
)  # fmt: skip
def test_calls_that_cannot_be_played(message: dict[str, Any], problem: str) -> None:
    """A conversation whose calls and results do not fit is refused rather than sent with holes."""
    row = {"messages": [{"role": "user", "content": "a"}, message]}
    assert problem in problems(row)[0]
    assert problems(row)[0].partition(" (")[0].endswith("[function-call]")


def test_the_tools_of_recorded_messages() -> None:
    """They are read in the words of their format; a call of something else is the model's own affair."""
    chat = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
    expected = {"functionDeclarations": [{"name": "g", "parametersJsonSchema": {"type": "object"}}]}
    assert script({"messages": CALLS["chat"], "tools": [chat]}).config["tools"] == [expected]
    declared = {"functionDeclarations": [{"name": "g"}]}
    assert script({"contents": CALLS["contents"], "tools": [declared]}).config["tools"] == [declared]


def test_turns_may_be_whole_turns() -> None:
    """A line's turns are those of a script, with ids, waits, config and expectations; but no templates unasked."""
    row = {"turns": ["{{a}}", {"id": "x", "user": "{{b}}", "raw": False, "wait": 1, "expect": {"contains": "c"}}]}
    read = script(row)
    assert [(turn.id, turn.wait, turn.raw) for turn in read.turns] == [("t1", 0.0, True), ("x", 1.0, True)]
    assert said(row) == ["{{a}}", "{{b}}"]
    assert read.turns[1].expect.texts == {"contains": ("c",)}


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, DIGEST),
        ({"id": "a"}, "a"),
        ({"question_id": 7}, "7"),
        ({"question_id": 7, "id": "a"}, "a"),
        ({"question_id": 7, "id": "a", "name": "n"}, "n"),
        ({"name": None, "id": None, "question_id": 7}, "7"),
        ({"conversation_id": "c"}, "c"),
        ({"conversation_hash": "d"}, "d"),
        ({"id": "a/b"}, DIGEST),
        ({"id": ["a"]}, DIGEST),
        ({"id": ""}, DIGEST),
    ],
)
def test_names(keys: dict[str, Any], name: str) -> None:
    """A conversation is called what it says, and after its messages where that cannot name a session."""
    assert script({**keys, "turns": ["a"]}).name == name


def test_names_say_what_is_sent() -> None:
    """An unnamed conversation has the same name wherever it stands; those that say the same are counted."""
    one, two, three = {"turns": ["a"]}, {"messages": [{"role": "user", "content": "b"}]}, {"turns": ["c"], "model": "m"}
    names = [script(row).name for row in (one, two, three)]
    assert (names[0], len({*names})) == (DIGEST, 3)
    assert [script.name for script in load(three, two, one).scripts] == [*reversed(names)]
    assert [script.name for script in load(one, two, one, one).scripts] == [
        DIGEST,
        names[1],
        f"{DIGEST}-2",
        f"{DIGEST}-3",
    ]
    # Neither expectations nor the settings of the file are part of it: they may be edited.
    assert script({"turns": [{"user": "a", "id": "x", "wait": 1, "expect": {"words": "<9"}}]}).name == DIGEST
    assert [script.name for script in load({"script": {"model": "m"}}, one).scripts] == [DIGEST]
    others = [{"turns": ["a", "a"]}, {"turns": ["a"], "system": "s"}, {"turns": [{"user": "a", "config": {"seed": 1}}]}]
    assert DIGEST not in {script(row).name for row in others}


def test_what_is_null_is_not_there() -> None:
    """Data has null where it has nothing, for a setting as for a key nobody knows."""
    read = script({"turns": ["a"], "model": None, "system": None, "config": None, "vars": None, "modle": None})
    assert (read.model, read.config) == (None, {})
    assert said({"messages": None, "turns": ["a"]}) == ["a"]
    assert problems({"turns": None}) == [
        "a conversation must have one of turns, messages, contents, history, conversations, conversation [shape]"
    ]


def test_keys_of_others_are_left_alone_but_slips_are_not() -> None:
    """A key that is nearly one of ours is a slip; any other is somebody's data, and told."""
    assert load({"turns": ["a"], "category": 1, "reference": []}, {"turns": ["b"], "source": 1}).ignored == (
        "category",
        "reference",
        "source",
    )
    assert problems({"turns": ["a"], "on_fial": "stop"}) == ["`on_fial` is not a key of a conversation [unknown-key]"]


@pytest.mark.parametrize("system_first", [True, False])
def test_a_system_instruction_stands_once(system_first: bool) -> None:
    """A system message beside `system` is refused, in whatever order they stand."""
    messages = {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}
    row = {"system": "c"} | messages if system_first else messages | {"system": "c"}
    assert problems(row) == ["a second system message [exclusive]"]


def test_one_bad_line_does_not_hide_another() -> None:
    """Every line is read, and each problem names its own."""
    with pytest.raises(GemcliError) as caught:
        load({"turns": ["a"]}, {"turns": [""]}, {"messages": 5}, {"turns": ["b"], "name": "no name"})
    assert [(problem.line, problem.rule) for problem in caught.value.problems] == [
        (2, "empty-message"),
        (3, "shape"),
        (4, "value"),
    ]


# Recorded conversations of every kind

SHARED = [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"},
    {"from": "human", "value": "{{c}}"}]  # fmt: skip
CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
    {"role": "user", "content": "{{c}}"}]  # fmt: skip
CONTENTS = [user_text("a"), {"role": "model", "parts": [{"text": "b"}]}, user_text("{{c}}")]
INSTRUCTION = {"systemInstruction": {"parts": [{"text": "s"}]}}

CONVERSATIONS = {
    "ShareGPT": {"id": "x_0", "conversations": SHARED},
    "ShareGPT as chat": {"conversations": CHAT},
    "LMSYS-Chat": {"conversation_id": "x", "conversation": CHAT, "turn": 2, "language": "English", "redacted": False},
    "Chat Completions": {"messages": CHAT},
    "turns of Chat Completions": {"turns": CHAT},
    "body of generateContent": {"contents": CONTENTS, "systemInstruction": {"parts": [{"text": "s"}]}},
    "SDK's history": {"history": CONTENTS, "system": "s"},
    "messages alone": CHAT,
}


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize("form", ["document", "YAML", "list", "YAML list", "lines", "mapping"])
def test_conversations_of_every_kind_in_every_form(kind: str, form: str) -> None:
    """The user's messages are sent, the system's is the instruction, whatever the format and the form of the file."""
    value = CONVERSATIONS[kind]
    text, file, many = {
        "document": (json.dumps(value, indent=1), "s.json", False),
        "YAML": (yaml.safe_dump(value), "s.yaml", False),
        "list": (json.dumps([value, value]), "s.json", True),
        "YAML list": (yaml.safe_dump([value]), "s.yaml", True),
        "lines": (json.dumps(value) + "\n" + json.dumps(value) + "\n", "-", True),
        "mapping": (json.dumps({"conversations": [value], "on_fail": "stop"}), "-", True),
    }[form]
    if isinstance(value, dict) and form in ("list", "lines"):  # both are called alike
        text = text.replace('"x_0"', '"y"', 1).replace('"x"', '"y"', 1)
    suite = read_script.load(text, file, {})
    assert suite.many == many
    assert {tuple(text_of(turn.rendered({})) for turn in one.turns) for one in suite.scripts} == {("a", "{{c}}")}
    assert all(one.config == INSTRUCTION for one in suite.scripts)
    assert many or suite.scripts[0].name in ("s", "x", "x_0")


@pytest.mark.parametrize("rows", [CONTENTS, CHAT], ids=["Contents", "messages"])
def test_a_message_a_line_is_one_conversation(rows: list[Any]) -> None:
    """A file with a Content or a message a line is one conversation, and no suite."""
    suite = load(*rows)
    assert suite.many is False
    assert [text_of(turn.content) for turn in suite.scripts[0].turns] == ["a", "{{c}}"]


@pytest.mark.parametrize("text", ["- turns: the tables\n- b\n", '["a", {"messages": []}]'])
def test_a_list_of_messages_is_no_suite(text: str) -> None:
    """A message with a colon, or what comes later, does not make a list of messages a list of conversations."""
    caught = error_from(read_script.load, text, "s.yaml", {})
    assert "unquoted-message" in {problem.rule for problem in caught.problems}


ASKED = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SHARED_ASKED = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]

PUBLISHED: dict[str, dict[str, Any]] = {
    "LMSYS-Chat-1M": {
        "conversation_id": "c0ffee",
        "model": "vicuna-13b",
        "conversation": ASKED,
        "turn": 1,
        "language": "English",
        "openai_moderation": [{"categories": {"violence": False}}],
        "redacted": False,
    },
    "WildChat": {
        "conversation_hash": "ab12",
        "model": "gpt-4-0314",
        "timestamp": "2023-04-09T00:02:53",
        "turn": 1,
        "conversation": [{**ASKED[0], "language": "English", "toxic": False}],
        "state": None,
        "header": {},
    },
    "ShareGPT": {"id": "QWJhYvA_0", "conversations": SHARED_ASKED, "model": "Default (GPT-3.5)", "title": "t"},
    "UltraChat": {"prompt": "a", "prompt_id": "f0e3", "messages": ASKED},
    "Hermes": {"conversations": SHARED_ASKED, "system_prompt": None, "model_name": None, "source": "airoboros2.2"},
    "SlimOrca": {"conversations": [{"from": "system", "value": "s", "weight": None}, *SHARED_ASKED]},
    "LLaMA-Factory": {"conversations": SHARED_ASKED, "system": "", "tools": "[]"},
    "fine-tuning": {"messages": [ASKED[0], {**ASKED[1], "weight": 1}]},
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_rows_of_published_data(kind: str) -> None:
    """They load as they are, whatever else stands in them; who answered them then does not answer now."""
    read = script(PUBLISHED[kind])
    assert ([text_of(turn.content) for turn in read.turns], read.model) == (["a"], None)


def test_a_system_prompt_is_one() -> None:
    """What data sets call the system instruction is read, and stands once like any other."""
    assert script({"conversations": SHARED_ASKED, "system_prompt": "s"}).config == INSTRUCTION
    assert problems({"messages": CHAT, "system_prompt": "s"}) == ["a second system message [exclusive]"]


# Settings beside recorded messages


def test_settings_of_a_body_are_read() -> None:
    """The settings beside Contents are those of the request, in either case."""
    body = {
        "contents": CONTENTS,
        "generationConfig": {"temperature": 0.5, "topP": 0.9},
        "tools": [{"googleSearch": {}}],
    }
    expected = {"generationConfig": {"temperature": 0.5, "topP": 0.9}, "tools": [{"googleSearch": {}}]}
    assert script(body).config == expected
    snake = {"contents": CONTENTS, "generation_config": {"temperature": 0.5, "top_p": 0.9}, "config": {"seed": 1}}
    assert script(snake).config["generationConfig"] == {"temperature": 0.5, "topP": 0.9, "seed": 1}


def test_contents_as_the_sdk_dumps_them() -> None:
    """Null is left out, and names may be in snake_case."""
    part = {"text": "a", "function_call": None, "thought_signature": None, "inlineData": None}
    body = {"contents": [{"role": "user", "parts": [part]}], "generation_config": None}
    assert [text_of(turn.content) for turn in script(body).turns] == ["a"]


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("gpt-4o", None),
        ("anthropic/claude-3", None),
        ("gemini-x", "gemini-x"),
        ("models/gemini-x", "models/gemini-x"),
        ("simulator/echo", "simulator/echo"),
    ],
)
def test_the_model_of_another_service_is_not_taken_over(model: str, taken: str | None) -> None:
    """A request that was made for another API goes to the model of the session, and that is told."""
    row = {"model": model, "messages": CHAT}
    assert script(row).model == taken
    assert load(row).ignored == (() if taken else ("model",))
    assert load({"script": {"model": model}}, *CHAT).scripts[0].model == model


def test_settings_of_chat_completions_are_read() -> None:
    """What has a counterpart is read, empty ones are not there, and what changes no answer is left alone."""
    row = {
        "messages": CHAT,
        "model": "gemini-x",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "stop": "END",
        "seed": 1,
        "n": 1,
        "frequency_penalty": 0,
        "tools": [],
        "response_format": None,
        "stream": True,
        "user": "u",
    }
    read = script(row)
    assert read.model == "gemini-x"
    assert read.config["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "maxOutputTokens": 9,
        "stopSequences": ["END"],
        "seed": 1,
        "candidateCount": 1,
        "frequencyPenalty": 0,
    }
    assert load(row).ignored == ("stream", "user")
    listed = {"messages": CHAT, "stop": ["a", "b"], "max_completion_tokens": 5}
    assert script(listed).config["generationConfig"] == {"stopSequences": ["a", "b"], "maxOutputTokens": 5}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"tools": [{"type": "function"}]},
            "what `tools` says has no counterpart in the Gemini API [unknown-key]",
        ),
        ({"logit_bias": {"50256": -100}}, "`logit_bias` has no counterpart in the Gemini API [unknown-key]"),
        ({"n": 3}, "`candidate_count` must be 1, not 3: gemcli records one answer [value]"),
        (
            {"max_tokens": "9"},
            '`max_output_tokens` must be a whole number of at least 1, not "9": remove the quotes [value]',
        ),
        ({"temperature": 1, "config": {"temperature": 0}}, "`temperature` is set twice [duplicate]"),
    ],
)
def test_settings_without_a_counterpart_are_refused(keys: dict[str, Any], expected: str) -> None:
    """No setting that would change the answers is dropped without a word."""
    assert problems({"messages": CHAT[1:], **keys}) == [expected]


def test_settings_beside_turns_are_refused() -> None:
    """A script has its settings under `config`, in a suite too."""
    assert problems({"turns": ["a"], "temperature": 0}) == [
        "`temperature` is not a key of a conversation [unknown-key]"
    ]


# What holds for a whole file

SETTINGS = {
    "model": "m",
    "system": "s",
    "vars": {"x": "1", "y": "2"},
    "config": {"seed": 1, "top_k": 2},
    "expect": {"contains": "{{x}}", "words": "<9"},
    "on_fail": "stop",
    "on_unknown": "resend",
}


@pytest.mark.parametrize("lines", [True, False])
def test_settings_of_a_file(lines: bool) -> None:
    """They hold for every conversation that has none of its own, and checks for every turn, one by one."""
    own = {"user": "{{x}} {{y}} {{z}}", "expect": {"words": "<5", "chars": ">0"}}
    rows = [
        {"turns": [own], "model": "n", "vars": {"y": "3"}, "config": {"seed": 4}, "system": "t", "on_fail": "continue"},
        {"messages": CHAT[1:]},
    ]
    if lines:
        text = "\n".join(map(json.dumps, [{"script": SETTINGS}, *rows]))
    else:
        text = yaml.safe_dump({**SETTINGS, "name": "all", "conversations": rows})
    suite = read_script.load(text, "q.yaml", {"z": "5"})
    first, second = suite.scripts
    assert suite.name == ("q" if lines else "all")
    assert text_of(first.turns[0].rendered(first.vars)) == "1 3 5"
    assert (first.model, first.on_fail, first.on_unknown) == ("n", "continue", "resend")
    assert first.config["generationConfig"] == {"seed": 4, "topK": 2}
    assert text_of(first.config["systemInstruction"]) == "t"
    expected = first.turns[0].expect
    assert (expected.texts, {name: bound.text for name, bound in expected.bounds.items()}) == (
        {"contains": ("{{x}}",)},
        {"words": "<5", "chars": ">0"},
    )
    assert (second.model, text_of(second.config["systemInstruction"]), second.on_fail) == ("m", "s", "stop")
    assert [text_of(turn.rendered(second.vars)) for turn in second.turns] == ["a", "{{c}}"]
    assert all(turn.expect.texts == {"contains": ("{{x}}",)} for turn in second.turns)


def test_turns_of_a_suite_are_templates_if_something_is_defined() -> None:
    """Data may have braces; who defines a text wants them replaced, but not in what was recorded."""
    row = {"turns": ["{{x}}", {"user": "{{x}}", "raw": True}]}

    def sent(given: dict[str, str], **more: Any) -> list[str]:
        (only,) = read_script.load(json.dumps(row | more), "s.jsonl", given).scripts
        return [text_of(turn.rendered(only.vars)) for turn in only.turns]

    assert sent({}) == ["{{x}}", "{{x}}"]
    assert sent({"x": "1"}) == sent({}, vars={"x": "1"}) == ["1", "{{x}}"]


def test_a_bad_setting_of_a_file_is_told_once() -> None:
    """What is wrong with the settings of a file is one problem, not one for each conversation."""
    for settings, rule in (({"modle": "m"}, "unknown-key"), ({"expect": {"contains": "{{x}}"}}, "undefined")):
        text = "\n".join(map(json.dumps, [{"script": settings}, {"turns": ["a", "b"]}, {"turns": ["c"]}]))
        assert [problem.rule for problem in error_from(read_script.load, text, "s.jsonl", {}).problems] == [rule]
