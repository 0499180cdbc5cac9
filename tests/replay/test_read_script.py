"""Scripts in all their forms: every text arrives as the message that is sent; the rest are errors, and only errors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gemcli.chat.contents import text_of, user_text
from gemcli.errors import GemcliError
from gemcli.formats.replay_script import dump
from gemcli.replay import read_script
from gemcli.replay.script import Script, Suite
from gemcli.text.problems import MAX_PROBLEMS
from tests.builders import contents, error_from
from tests.support import examples

SESSIONS = Path(__file__).parents[1] / "data" / "sessions" / "v1" / "valid"

HOSTILE = [
    *("yes", "no", "null", "~", "12:30", "1e3", "0x1F", "=", "<<", "- a", "a: b", "a # b", "#", "*a", "&a", "!a", "@a"),
    *("{{", "}}", "{{a}}", "{{ a | json }}", "$&", r"\1", "'", '"', "\\n", "a\nb", "\ta\n", " a ", "\r", "\x85",
        "\u2028"),
    *("\x00", "\x1b[31m", "\ufeff", "é😀\U0010ffff", '{"script": {}}', '{"kind": "session"}', "[]", "---", "|", ">5"),
]  # fmt: skip
TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=30) | st.text(alphabet="-:#'\"{}[]&*!|>%@` \n\ta1~\\", max_size=12)
MESSAGES = TEXTS.filter(lambda text: text.strip() != "")
LINES = MESSAGES.map(lambda text: "".join(text.split("\n")).rstrip("\r")).filter(lambda text: text.strip() != "")


def load(text: str, file: str = "s.yaml", **options: Any) -> Suite:
    """What a file holds, with nothing given for templates."""
    return read_script.load(text, file, {}, **options)


def only(suite: Suite) -> Script:
    """The one conversation of a file."""
    (script,) = suite.scripts
    return script


def sent(script: Script) -> list[Any]:
    """The Contents that a script sends."""
    return [turn.rendered(script.vars) for turn in script.turns]


def said(text: str, file: str = "s.yaml", **options: Any) -> list[str]:
    """The messages that the one conversation of a file sends."""
    return [text_of(content) for content in sent(only(load(text, file, **options)))]


# Text is text


@settings(max_examples=examples(60))
@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_any_text_survives_yaml(texts: list[str]) -> None:
    """Whatever YAML writes as the text of a raw turn is the message that is sent, and so is a list item."""
    # With allow_unicode PyYAML writes U+0085 in a way that it does not read back itself.
    for allow_unicode in (False, "\x85" not in "".join(texts)):
        turns = yaml.safe_dump([{"user": text, "raw": True} for text in texts], allow_unicode=allow_unicode)
        assert said(turns) == texts
        items = yaml.safe_dump([text.replace("{{", "{ {") for text in texts], allow_unicode=allow_unicode)
        assert said(items) == [text.replace("{{", "{ {") for text in texts]


@settings(max_examples=examples(60))
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_any_text_survives_json(texts: list[str], ensure_ascii: bool, indent: int | None) -> None:
    """Whatever JSON writes as a message is the message that is sent: in a document, in lines, and in a suite's line."""

    def written(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    raw = [{"user": text, "raw": True} for text in texts]
    plain = [text.replace("{{", "{ {") for text in texts]
    assert said(written({"turns": raw}, indent), "s.json") == texts
    assert said(written(plain, indent), "s.json") == plain
    assert said("\n".join(map(written, raw)), "s.jsonl") == texts
    assert said("\r\n".join(map(written, ["first", *plain])) + "\n", "-") == ["first", *plain]
    # A suite's messages are never templates.
    line = written({"turns": texts})
    assert [text_of(content) for script in load(f"{line}\n{line}", "s.jsonl").scripts for content in sent(script)] == [
        *texts,
        *texts,
    ]
    assert said(written({"messages": [{"role": "user", "content": text} for text in texts]}), "s.jsonl") == texts


@settings(max_examples=examples(100))
@given(st.lists(LINES, min_size=1, max_size=4))
@example(["{{name}}", "- a", "\x00", "a\rb"])
def test_any_line_survives_lines(texts: list[str]) -> None:
    """With --lines each line is a message, whatever it looks like; blank ones are none."""
    # A mark before the first line says how the file is written, and is no part of it.
    for joined in ("\n".join(texts), "\ufeff" + "\r\n\r\n".join(texts) + "\r\n"):
        if not joined.startswith("\ufeff\ufeff") and not texts[0].startswith("\ufeff"):
            assert said(joined, "s.txt", as_lines=True) == texts


@pytest.mark.parametrize("scalar", ["yes", "12:30", "null", "1e3", "~", "true", "2024-01-01", "0o7", "=", ".nan", "no"])
def test_scalars_are_messages(scalar: str) -> None:
    """What YAML would take for something else is the message as it was written, with and without `user`."""
    assert said(f"- {scalar}\n- user: {scalar}\n") == [scalar, scalar]


def test_blocks_and_quotes() -> None:
    """A block keeps its line breaks, quotes are not part of the message, and spaces in them stay."""
    assert said("- |\n  a: b\n  # c\n- >-\n  d\n  e\n- ' f '\n- \"\\tg\\u00e9\"\n") == [
        "a: b\n# c\n",
        "d e",
        " f ",
        "\tgé",
    ]


@settings(max_examples=examples(40))
@given(st.lists(MESSAGES, min_size=1, max_size=3))
@example([text for text in HOSTILE if text.strip() and text != "\ufeff"])
@example(["{% if a %}", "{{a.b}}", "{{#if a}}", "@notes.txt"])
def test_a_history_comes_back(texts: list[str]) -> None:
    """A session that was exported as a script sends the same messages to the same model, with the same config."""
    history = [content for text in texts for content in (user_text(text), contents("q", "a")[1])]
    config: Any = {
        "systemInstruction": {"parts": [{"text": "Be brief.\n{{not a template}}"}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["no", "1e3"], "seed": 7},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    script = only(load(dump(history, {"model": "gemini-x", "config": config})))
    assert sent(script) == history[::2]
    assert (script.model, script.config) == ("gemini-x", config)


# How forms are told apart


ONE = '{"user": "a", "raw": true}'


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("- a\n- b\n", "s.yaml"),
        ("- a\n- b\n", "-"),
        ("\ufeff- a\r\n- b\r\n", "s.yml"),
        ("[a, b]", "s.yaml"),
        ("turns: [a, b]", "s"),
        ('["a", "b"]', "s.json"),
        ('["a",\n"b"]', "-"),
        (' {"turns": ["a", "b"]}\n', "-"),
        ('"a"\n"b"\n', "-"),
        ('\n{"user": "a"}\n\n"b"', "-"),
        ('{"script": {"on_fail": "stop"}}\n"a"\n"b"', "-"),
        ('\ufeff"a"\r\n"b"\r\n', "s.ndjson"),
        ('["a", "b"]\n# the end\n', "s.yaml"),
        ('{"turns": ["a", "b"]}', "s.jsonl"),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}', "s.json"),
        ("contents:\n- {role: user, parts: [{text: a}]}\n- {role: user, parts: [{text: b}]}\n", "s.yaml"),
    ],
)
def test_forms_are_told_by_their_shape(text: str, file: str) -> None:
    """YAML, JSON and JSON Lines are told apart without being named, from a pipe as from a file."""
    assert said(text, file) == ["a", "b"]


def test_names_of_files() -> None:
    """A file called .json is JSON, any other may be YAML that looks like it; .jsonl holds lines, even if it is one."""
    for text in ("[a, b]", '["a" , NaN]'):
        assert len(said(text, "s.yaml")) == len(said(text, "-")) == 2
        assert [problem.rule for problem in error_from(load, text, "s.json").problems] == ["json-syntax"]
    assert said('"hello"', "s.jsonl") == ["hello"]
    assert "is not a script" in error_from(load, '"hello"', "-").message
    assert (load('{"turns": ["a"]}', "s.jsonl").many, load('{"turns": ["a"]}', "s.json").many) == (True, False)


def test_a_suite_has_a_conversation_a_line() -> None:
    """Each line is a script of its own, named by itself or by what it says; blank lines count as lines."""
    suite = load('{"question_id": 81, "turns": ["a", "b"]}\n\n{"turns": ["c"], "category": "x"}\n', "dir/q.v1.jsonl")
    assert [(script.name, script.turns[0].line) for script in suite.scripts] == [("81", 1), ("9c1763db9eb4", 3)]
    assert (suite.name, suite.many, suite.ignored) == ("q", True, ("category",))


def test_the_first_line_may_have_settings() -> None:
    """The settings before messages are those of a script, and templates are filled in."""
    script = only(load('{"script": {"name": "n", "model": "m", "vars": {"x": "1"}}}\n"{{x}}"\n{"user": "b"}', "-"))
    assert (script.name, script.model) == ("n", "m")
    assert [(turn.id, turn.line) for turn in script.turns] == [("t1", 2), ("t2", 3)]
    assert sent(script) == [user_text("1"), user_text("b")]


def test_names_and_digests() -> None:
    """A script without a name has its file's; the digest is that of all its bytes, a mark at the beginning included."""
    for file, name in (("-", "script"), ("dir/nightly.v2.yaml", "nightly"), ("nightly", "nightly")):
        suite = load("[a]", file)
        assert (suite.name, only(suite).name) == (name, name)
        suite = load("{name: n, turns: [a]}", file)
        assert (suite.name, only(suite).name, suite.file) == ("n", "n", file)
    known = "sha256:" + hashlib.sha256("\ufeff- é".encode()).hexdigest()
    assert load("\ufeff- é", "f").origin() == {"kind": "replay", "file": "f", "script": known}


def test_lines_of_text() -> None:
    """Messages of --lines are raw, numbered by place, and know their lines."""
    script = only(load("a\n\n  b \r\n\t\n{{c}}", "dir/s.txt", as_lines=True))
    assert [(turn.id, turn.line, turn.raw) for turn in script.turns] == [
        ("t1", 1, True),
        ("t2", 3, True),
        ("t3", 5, True),
    ]
    assert sent(script) == [user_text("a"), user_text("  b "), user_text("{{c}}")]


# Sessions


@pytest.mark.parametrize("name", ["plain", "imported", "forked", "rewound-and-undone", "torn", "no-final-newline"])
def test_a_session_is_sent_again(name: str) -> None:
    """The user messages of the history are sent again, exactly, with the session's model and config."""
    text = (SESSIONS / f"{name}.jsonl").read_bytes().decode("utf-8", "replace")
    records = [json.loads(line) for line in text.split("\n") if line.endswith("}")]
    script = only(load(text, f"{name}.jsonl"))
    by_line = {number: record for number, record in enumerate(records, 1) if record["kind"] == "request"}
    assert [by_line[turn.line]["content"] for turn in script.turns] == sent(script)
    assert all(turn.raw for turn in script.turns)
    assert (script.model, script.config, script.header) == (records[0]["model"], records[0]["config"], records[0])


def test_the_settings_of_one_message_are_kept() -> None:
    """What a message of a session was sent with beyond the session's config is the turn's config."""
    header = {"kind": "session", "format": 1, "id": "x", "model": "m", "backend": "gemini", "config": {}}
    ask = {"kind": "request", "turn": 1, "id": "1.1", "content": user_text("{{a}}"), "model": "m", "backend": "gemini"}
    got = {"kind": "response", "request": "1.1", "valid": True, "attempts": [], "elapsed_ms": 0}
    answer = {"answer": {"candidates": [{"content": contents("q", "a")[1], "finishReason": "STOP"}]}}
    own = {"config": {"generationConfig": {"seed": 1}}}
    text = "".join(
        json.dumps({"time": "2026-01-05T10:00:01.000Z", **record}) + "\n"
        for record in (header, ask | own, got | answer)
    )
    script = only(load(text, "s.jsonl"))
    assert sent(script) == [user_text("{{a}}")]
    assert script.turns[0].config == own["config"]


def test_a_session_without_turns_has_no_message() -> None:
    """There is nothing to send again of an empty session."""
    with pytest.raises(GemcliError) as caught:
        load((SESSIONS / "empty.jsonl").read_text(encoding="utf-8"), "empty.jsonl")
    assert [problem.rule for problem in caught.value.problems] == ["empty-script"]


def test_a_broken_session_is_told_as_one() -> None:
    """A session that is damaged, or of another time, is not taken for a script."""
    good = (SESSIONS / "plain.jsonl").read_text(encoding="utf-8")
    for text, reason in (
        (good.replace('"kind":"request"', '"kind":"question"', 1), "NEWER_FORMAT"),
        (good.replace('"turn":1', '"turn":"one"', 1), "CORRUPT"),
        (good.replace('"format":1', '"format":99', 1), "NEWER_FORMAT"),
    ):
        caught = error_from(load, text, "s.jsonl")
        assert caught.reason == reason
        assert "s.jsonl" in caught.message


# Warnings, and texts for templates


def test_comments_are_warned_of() -> None:
    """A comment behind a message is no mistake, but told; in strict reading it is one."""
    suite = load("- a # b\n- c\n", "s.yaml")
    assert [warning.describe() for warning in suite.warnings] == [
        (
            "s.yaml:1:3: a message ends before `# b`, which is a comment in YAML [comment]"
            " (put the text in quotes if that belongs to it)"
        )
    ]
    with pytest.raises(GemcliError):
        load("- a # b\n- c\n", strict=True)


def test_given_texts() -> None:
    """What is given takes the place of the script's own, in messages, and is put in once; expectations use it too."""
    suite = read_script.load("{vars: {a: 1, b: 2}, turns: ['{{a}} {{b}} {{c}}']}", "s", {"a": "{{b}}", "c": "{{c}}"})
    assert sent(only(suite)) == [user_text("{{b}} 2 {{c}}")]
    suite = read_script.load('{"turns": [{"user": "a", "expect": {"contains": "{{x}}"}}]}', "s.jsonl", {"x": "1"})
    assert only(suite).vars == {"x": "1"}


def test_a_file_of_mistakes_ends() -> None:
    """A long file that is something else than JSON Lines is not told line by line to its end."""
    for text in ("hello\n" * 5000, '{"turns": []}\n' * 5000):
        caught = error_from(load, text, "s.jsonl")
        assert len(caught.problems) == MAX_PROBLEMS


# Whatever is in a file

GOOD = [
    "- a\n- 'b: {{c}}'\n",
    """
name: n
model: m
system: s
config: {temperature: 0, stop_sequences: [a]}
vars: {c: d}
turns:
- a # b
- id: x
  user: 'b {{c}}'
  raw: false
  wait: 2
  config: {seed: 1}
  expect: {contains: [a, '{{c|trim}}'], regex: '^a', finish: STOP, words: 1..3, tokens: {input: '<3'}}
on_fail: stop
""",
    """{"script": {"vars": {"c": "d"}}}
"a"
{"user": "{{c}}", "expect": {"equals": "b", "chars": ">=1"}}
""",
    """{"turns": ["a", {"user": "b"}], "name": "n"}
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"text": "a"}]}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": []}]}
{"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
{"history": [{"user": "a", "bot": "b"}], "id": null}
""",
    """{"script": {"model": "m", "vars": {"c": "d"}, "expect": {"contains": "{{c}}", "words": "<9"}}}
{"id": "x_0", "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}], "temperature": 1}
{"conversation_id": "y", "conversation": [{"role": "user", "content": "a"}], "turn": 1, "model": "n"}
[{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]
{"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"topP": 1}, "systemInstruction": {"parts": []}}
""",
    """
system: s
conversations:
- turns: [a, {user: 'b {{c}}', expect: {finish: STOP}}]
  vars: {c: d}
- messages:
  - {role: user, content: a}
  - {role: assistant, content: b}
  max_tokens: 5
- - {from: human, value: a}
""",
    (SESSIONS / "plain.jsonl").read_text(encoding="utf-8"),
]
PIECES = st.sampled_from(
    [
        *("\n", "\n- ", "- ", ": ", " #", "{{c}}", "{{", "}}", "[", "]", "{", "}", '"', "'", ",", "null", "5",
            "\\ud800"),
        *("&a ", "*a", "!x ", "<<: ", "|", ">", "\t", "\x07", "turns", "messages", "user", "raw", "wait", "expect",
            "NaN"),
        *("config", "vars", "name", "id", "script", "contents", "history", "regex", "(", "words", "role", "parts",
            "\r", "conversations", "conversation", "from", "value", "human", "content", "system", "{% a %}", "{{a.b}}"),
    ]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good script with a few pieces taken out, put in, or changed."""
    text = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 3, 20])))
        text = text[:start] + draw(PIECES | st.just("")) + text[end:]
    return text


@settings(max_examples=examples(250))
@given(mutated() | st.text(max_size=60), st.sampled_from(["s.yaml", "s.jsonl", "-"]), st.booleans())
@example("[" * 600 + "]" * 600, "s.json", False)
@example('"a"\n' + "[" * 3000, "s.jsonl", False)
@example('"a"\n' + "1" * 5000, "s.jsonl", False)
@example('{"turns": [{"user": "{{x}}", "raw": false}]}', "s.jsonl", False)
@example("config: {cached_content: c}\nturns:\n- {user: a, system: b}\n", "s.yaml", False)
def test_any_text_is_a_script_or_an_error(text: str, file: str, strict: bool) -> None:
    """Whatever is in a file, it can be sent, or is an error that says where; never anything else."""
    suite, error = attempt(text, file, strict=strict)
    if suite:
        messages = [(text_of(content), script.header) for script in suite.scripts for content in sent(script)]
        assert messages
        # A session's messages are sent as they were, and may have been no text.
        assert all(message.strip() or header for message, header in messages)
        return
    assert error
    assert error.reason in ("SCRIPT", "CORRUPT", "NOT_A_SESSION", "NEWER_FORMAT")
    assert error.problems or error.reason != "SCRIPT"
    assert all(problem.file == file and problem.message for problem in error.problems)
    last = sum(text.count(mark) for mark in "\n\r\x85\u2028\u2029") + 2  # YAML may want more after the end
    assert all(1 <= (problem.line or 1) <= last for problem in error.problems)


@settings(max_examples=examples(60))
@given(st.text(max_size=60))
def test_any_text_is_lines_or_nothing(text: str) -> None:
    """With --lines every file that is not blank can be sent."""
    suite, error = attempt(text, "s.txt", as_lines=True)
    assert (suite is None) == (not text.removeprefix("\ufeff").strip())
    assert error is None or [problem.rule for problem in error.problems] == ["empty-script"]


def attempt(text: str, file: str, **options: Any) -> tuple[Suite | None, GemcliError | None]:
    """What a file holds, or the error that it is."""
    try:
        return load(text, file, **options), None
    except GemcliError as error:
        return None, error
