"""Scripts: every message survives YAML, and so do model, system instruction and config."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gemcli.chat.contents import user_text
from gemcli.formats.replay_script import dump
from gemcli.settings import config as settings
from gemcli.text import tree, yaml_tree
from gemcli.text.problems import Problems
from tests.builders import call, contents, error_from, json_values, model, result, user


def header(model: str = "m", **config: Any) -> Any:
    """What a script takes from a session's first record."""
    return {"model": model, "config": config}


def read(text: str) -> Any:
    """A script as it is read again: every scalar is text."""
    problems = Problems()
    node = yaml_tree.load(text, problems)
    assert not problems
    return node


def message(text: str) -> Any:
    """A message after its way through a script: its text, and whether it was marked as raw."""
    history = [
        *contents("before", "a"),
        user_text(text),
        {"role": "model", "parts": [{"text": "a"}]},
        *contents("after", "a"),
    ]
    before, turn, after = read(dump(history, header()))["turns"]
    assert (before, after) == ("before", "after")
    return (turn["user"], turn["raw"]) if isinstance(turn, dict) else (turn, None)


HOSTILE = [
    *("", " ", "\n", "\n\n", " \n", "\n ", "a\n", "\na", " a", "a ", " a\nb", "a\n b", "a \nb", "\n  a", "a\n\n\n"),
    *("\ta\n", "\t", "a\tb\n", "yes", "no", "null", "~", "true", "12:30", "1e3", "0o17", "0x1F", ".5", "1_000", "-0"),
    *("=", "<<", "2001-01-01", "- yes", "a: b", "a:", "? a", "# a", "a # b", "[a", "{a}", "&a", "*a", "!a", "%a", "@a"),
    *("`a", "|", ">", "---", "...", "--- a\nb", "...\nb", "a\n---\nb", "a\n...\nb", "- a\n- b\n", "key:\n  - 1\n"),
    *("'", '"', "\\", "\\n", "a \"b\" 'c'\nd", "a: |\n  b", "{{", "{{name}}", "a\n{{b}}\n", "{{ 12:30 }}", "{ {", "}}"),
    *("\r", "a\rb", "a\r\nb", "\x85", "a\x85b\n", "\u2028", "a\u2029\nb", "\ufeffa", "a\ufeff\nb", "\x00", "\x7f"),
    *("\x1b[31m\n", "é😀\n漢", "\U0010ffff\n", "\ufffe\n", "a" * 300, "a " * 300, ("b" * 200 + "\n") * 3),
]


def test_hostile_messages() -> None:
    """Text that YAML would take for something else comes back exactly."""
    for text in HOSTILE:
        assert message(text) == (text, "true" if "{{" in text or "{%" in text else None)


LINES = st.sampled_from(
    ["", " ", "  a", "a  ", "- yes", "12:30", "{{b}}", "\ta", "\x85", "#", ": ", "'", '"', "a: b", "\r", "---"]
)
MESSAGES = (
    st.text(max_size=20)
    | st.lists(LINES, max_size=6).map("\n".join)
    | st.text(alphabet=" \n\t:-#'\"{}[]a\r\x85\u2028", max_size=20)
)


@given(MESSAGES)
@example("a\n\u2028")
@example("{% if a %}")
def test_any_message(text: str) -> None:
    """Any text comes back exactly, and where it looks like a template it is marked as raw."""
    assert message(text) == (text, "true" if "{{" in text or "{%" in text else None)


def test_shape() -> None:
    """A script has model, system instruction, config and turns; text of several lines is a readable block."""
    config = {
        "systemInstruction": {"parts": [{"text": "Be brief.\nAlways."}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["END"]},
        "safetySettings": [],
    }
    assert dump(contents("one\ntwo\n", "a", "three", "b", "{{x}}", "c"), header("m", **config)) == (
        "model: m\n"
        "system: |-\n"
        "  Be brief.\n"
        "  Always.\n"
        "config:\n"
        "  safetySettings: []\n"
        "  temperature: 0.5\n"
        "  stopSequences:\n"
        "  - END\n"
        "turns:\n"
        "- |\n"
        "  one\n"
        "  two\n"
        "- three\n"
        "- user: '{{x}}'\n"
        "  raw: true\n"
    )


@pytest.mark.parametrize("text", ["- a\n- b\n", "1. a\n2. b", "~\n", ".\n.", "{{a}}\nb"], ids=ascii)
def test_lines_are_a_block(text: str) -> None:
    """Text of several lines is written as it reads, whatever it begins with."""
    assert f"|{'' if text.endswith(chr(10)) else '-'}\n" in dump(contents(text, "a"), header())
    assert message(text)[0] == text


def test_turns_and_header() -> None:
    """A session without turns has no messages, and several texts are one; the session is left as it was."""
    assert dump([], header()) == "model: m\nturns: []\n"
    config: dict[str, Any] = {"systemInstruction": {"parts": [{"text": "s"}]}, "generationConfig": {"seed": 1}}
    given_header = header(**config)
    before = repr(given_header)
    history = [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}, *contents("q", "a")[1:]]
    assert read(dump(history, given_header))["turns"] == ["ab"]
    assert repr(given_header) == before


def test_shared_values_are_written_out() -> None:
    """A value that occurs twice is written twice: a script has no aliases."""
    schema = {"type": "string"}
    shared = read(dump([], header(generationConfig={"responseJsonSchema": schema, "x": [schema]})))
    assert shared["config"]["x"] == [schema]


def test_config_can_be_given_again() -> None:
    """The config of a script is a config file: read again it is the session's config."""
    config: dict[str, Any] = {
        "generationConfig": {"temperature": 0.5, "stopSequences": ["no", "12:30", "1e3"], "seed": 7},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    script = dump([], header("m", **config))
    body = script.partition("config:\n")[2].partition("turns:")[0]
    assert settings.from_yaml("\n".join(line[2:] for line in body.split("\n")), "config.yaml", print) == config


WORDS = st.sampled_from(
    ["1e3", "0o17", "0x1F", "+.5", "1.5e3", ".inf", ".nan", "012", "yes", "~", "2001-01-01", "=", "5."]
)
NUMBERS = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
JSON = json_values(NUMBERS | st.text(max_size=6) | WORDS | st.text(alphabet="0123456789.eE+-ox_", max_size=5))


@given(JSON)
@example("1e3")
@example({"1e3": ["0o17", "+.5"]})
def test_any_config_value(value: Any) -> None:
    """Data in a config (a schema, an enum's names) is read again as the same data: text stays text."""
    config = tree.plain_value(read(dump([], header(data=value)))["config"], Problems())
    assert config == {"data": value}
    assert repr(config) == repr({"data": value})


def test_instruction_that_is_no_text() -> None:
    """A system instruction that is more than text stays in the config."""
    instruction = {"parts": [{"text": "s"}, {"fileData": {"fileUri": "f"}}]}
    script = read(dump([], header(systemInstruction=instruction)))
    assert "system" not in script
    assert script["config"] == {"systemInstruction": instruction}


INEXPRESSIBLE = {
    "image": {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
    "file": {"fileData": {"fileUri": "f"}},
    "marked-text": {"text": "a", "videoMetadata": {}},
}


@pytest.mark.parametrize("part", INEXPRESSIBLE.values(), ids=INEXPRESSIBLE)
def test_what_a_script_cannot_hold(part: dict[str, Any]) -> None:
    """A message with anything but text is refused with its number, exit 65; nothing is left out silently."""
    history = [*contents("q", "a"), {"role": "user", "parts": [{"text": "look"}, part]}, *contents("q", "a")[1:]]
    caught = error_from(dump, history, header())
    assert (caught.reason, caught.exit) == ("NOT_EXPRESSIBLE", 65)
    assert caught.message == "message 2 has parts that are not text, which a script cannot hold"
    assert caught.hint == "gemcli export contents -s SESSION keeps everything"


def test_function_calls() -> None:
    """What they returned stands with the message that led to them; the model's part is left out, as ever."""
    blob = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    history = [
        user("a"), model("let me see", call("f", args={"n": "1"}, id="c1"), call("g")),
        user(result("f", id="c1", response={"x": True}), result("g", parts=blob)),
        model(call("f", args={"n": "1"})), user(result("f", response={"output": 2.5})), model("done"),
        *contents("b", "c"),
    ]  # fmt: skip
    text = dump(history, header("m", tools=[{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]))
    assert text.partition("turns:\n")[2] == (
        "- user: a\n"
        "  tool_results:\n"
        "  - name: f\n"
        "    args:\n"
        '      n: "1"\n'
        "    result:\n"
        "      x: true\n"
        "    times: 1\n"
        "  - name: f\n"
        "    args:\n"
        '      n: "1"\n'
        "    result:\n"
        "      output: 2.5\n"
        "  - name: g\n"
        "    args: {}\n"
        "    result:\n"
        "      result: 1\n"
        "    parts:\n"
        "    - inlineData:\n"
        "        mimeType: image/png\n"
        "        data: AAAA\n"
        "- b\n"
    )


def test_text_beside_a_response() -> None:
    """A script has no place for it."""
    history = [user("a"), model(call()), user(result(), "look"), model("b")]
    caught = error_from(dump, history, header())
    assert caught.message.startswith("message 1 has more than responses in the answer to its function calls")
