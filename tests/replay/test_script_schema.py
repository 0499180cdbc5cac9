"""The grammar of scripts: what each key makes of its value, and which keys there are."""

from __future__ import annotations

import pytest

from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS
from gemcli.chat.contents import user_text
from gemcli.replay import check_script, read_conversation, read_script, script_schema
from gemcli.replay.checks import NOTHING, TEXT_CHECKS, Bound, Expected
from gemcli.replay.script import Script, Turn
from gemcli.settings.config import Config
from gemcli.text import json_tree, schema, tree, yaml_tree
from gemcli.tools.results import FunctionResult
from tests.builders import error_from


def script(text: str, file: str = "s.yaml", **texts: str) -> Script:
    """The one conversation of a file."""
    (read,) = read_script.load(text, file, texts).scripts
    return read


def turn(text: str, **texts: str) -> Turn:
    """The only turn of a script, given as the text behind its dash."""
    (read,) = script(f"- {text}\n", **texts).turns
    return read


def problems(text: str, file: str = "s.yaml") -> list[str]:
    """What is wrong with a script, without its place."""
    caught = error_from(script, text, file)
    return [problem.message for problem in caught.problems]


# The tables


def test_the_checks_are_those_of_the_table() -> None:
    """`expect` takes every check there is, and nothing else."""
    others = {"finish", "words", "chars", "latency_ms", "tokens", "calls", "no_calls"}
    assert script_schema.EXPECT.keys.keys() == {*TEXT_CHECKS, *others}


def test_no_two_tables_give_a_rule_another_meaning() -> None:
    """A rule that only scripts have is in no other table."""
    tables = [check_script.RULES, schema.RULES, tree.RULES, json_tree.RULES, yaml_tree.RULES]
    rules = [rule for table in tables for rule in table]
    assert len(set(rules)) == len(rules)


# Headers


def test_a_script_of_everything() -> None:
    """Every key of a header is read."""
    read = script(
        "name: n-1.x\nmodel: models/gemini-x\nsystem: Be brief.\nconfig: {temperature: 0.5, stop_sequences: [no]}\n"
        "vars: {a: 12:30, b: '', _c: yes}\nturns: [hello]\non_fail: continue\non_unknown: resend\n"
    )
    config: Config = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["no"]},
    }
    assert read == Script(
        "n-1.x",
        (Turn("t1", user_text("hello"), line=6),),
        "models/gemini-x",
        config,
        {"a": "12:30", "b": "", "_c": "yes"},
        "continue",
        "resend",
    )


def test_a_script_of_nothing_else() -> None:
    """What a script does not say is left to the session, and to the command line."""
    read = script("turns: [hello]")
    assert (read.model, read.config, read.vars, read.on_fail, read.on_unknown) == (None, {}, {}, None, None)
    assert read.turns == (Turn("t1", user_text("hello"), False, 0.0, {}, NOTHING, 1),)


def test_functions() -> None:
    """`tools` are what a tools file declares, without what runs them; results and expected calls are data."""
    read = script(
        "tools: [{name: find, parameters: {type: object}, command: [rm, -r]}]\n"
        "tool_results:\n- {name: find, args: {n: 3}, result: 7, times: 2}\n- {name: find, result: {error: gone}}\n"
        "turns:\n- user: a\n  tool_results: [{name: find, result: [yes, '1'], parts: [{inline_data: {data: AAAA}}]}]\n"
        "  expect: {calls: [find, {name: find, args: {n: 3}}]}\n- {user: b, expect: {no_calls: true}}"
    )
    parameters = {"type": "OBJECT"}
    assert read.config == {"tools": [{"functionDeclarations": [{"name": "find", "parameters": parameters}]}]}
    found = [(one.called, one.result.response, one.times) for one in read.tool_results]
    assert found == [(("find", {"n": 3}), {"output": 7}, 2), (("find", {}), {"error": "gone"}, None)]
    (own,) = read.turns[0].tool_results
    assert own.result == FunctionResult({"output": ["yes", "1"]}, ({"inlineData": {"data": "AAAA"}},))
    assert [turn.expect.calls for turn in read.turns] == [(("find", {}), ("find", {"n": 3})), ()]
    assert [turn.expect.no_calls for turn in read.turns] == [None, True]


def test_names() -> None:
    """A name, or an id, that JSON writes as a number is a name all the same; a model is named as everywhere else."""
    read = script('{"name": 7, "turns": [{"id": 8, "user": "a"}]}', "s.json")
    assert (read.name, read.turns[0].id) == ("7", "8")
    for model in ("gemini-2.5-pro", "models/m", "publishers/google/models/m@1", "simulator/rules:r.yaml"):
        assert script(f"model: {model}\nturns: [a]").model == model


# Turns


def test_a_whole_turn() -> None:
    """Every key of a turn is read."""
    read = turn("{id: Some_id-1, user: 'a {{b}}', raw: true, wait: 1.5, config: {top_k: 3}, expect: {contains: b}}")
    expect = Expected({"contains": ("b",)})
    config: Config = {"generationConfig": {"topK": 3}}
    assert read == Turn("Some_id-1", user_text("a {{b}}"), True, 1.5, config, expect, 1)


def test_ids_are_numbered_by_place() -> None:
    """A turn without an id is called after its place, whatever the others are called; lines are those of the dash."""
    read = script("# first\n- a\n- id: x\n  user: b\n- |\n  c\n- user: d\n")
    assert [(one.id, one.line) for one in read.turns] == [("t1", 2), ("x", 3), ("t3", 5), ("t4", 7)]


def test_waits_and_raw_messages() -> None:
    """A pause is in seconds, up to a day; a raw message is sent as it is, any other is filled in."""
    for written, seconds in (("0", 0.0), ("2", 2.0), ("0.25", 0.25), ("86400", 86400.0)):
        assert turn(f"{{user: a, wait: {written}}}").wait == seconds
    assert turn("{user: 'a {{x}}', raw: true}").rendered({"x": "1"}) == user_text("a {{x}}")
    assert turn("{user: 'a {{x}}', raw: false}", x="1").rendered({"x": "1"}) == user_text("a 1")


def test_what_is_no_name_is_no_template() -> None:
    """Braces around anything but a name are text, and need no raw."""
    for text in (
        "{{}}",
        "{{1a}}",
        "{{a b}}",
        "{{.Name}}",
        "{{a - b}}",
        "{ {a}}",
        "\\frac{{x+1}}{2}",
        "{{a\nb}}",
        "{{é}}",
    ):
        (read,) = script("turns:\n- " + repr(text).replace("\\\\", "\\") if "\n" not in text else f"['{text}']").turns
        assert read.rendered({}) == user_text(text.replace("\n", " "))


# Expectations


def test_texts_are_one_or_many() -> None:
    """A check of text takes a text or a list of them; what looks like something else is text too."""
    expect = turn("{user: a, expect: {contains: yes, equals: [12:30, ''], regex: ['^a', b+], starts_with: ~}}").expect
    assert expect.texts == {"contains": ("yes",), "equals": ("12:30", ""), "regex": ("^a", "b+"), "starts_with": ("~",)}


@pytest.mark.parametrize("reason", [*FINISH_REASONS, *BLOCK_REASONS])
def test_every_finish_can_be_expected(reason: str) -> None:
    """Each finish reason and each block reason of the API may stand alone or in a list."""
    assert turn(f"{{user: a, expect: {{finish: {reason}}}}}").expect.finish == (reason,)
    assert turn(f"{{user: a, expect: {{finish: [STOP, {reason}]}}}}").expect.finish == ("STOP", reason)


def test_bounds() -> None:
    """Bounds are read for numbers, and those of tokens one by one; empty, they ask for nothing."""
    tokens = "tokens: {output: <=3, total: '>0'}"
    assert turn(f"{{user: a, expect: {{words: <6, chars: '>=2', latency_ms: 1..9, {tokens}}}}}").expect.bounds == {
        "words": Bound("<6", high=6, exclusive=True),
        "chars": Bound(">=2", low=2),
        "latency_ms": Bound("1..9", 1, 9),
        "tokens.output": Bound("<=3", high=3),
        "tokens.total": Bound(">0", low=0, exclusive=True),
    }
    assert turn("{user: a, expect: {}}").expect == turn("{user: a, expect: {tokens: {}}}").expect == NOTHING


def test_patterns_are_tried_once_filled_in() -> None:
    """A template in a regular expression may stand for part of it; it is checked as it will be used."""
    text = "vars: {open: '(', x: 'a|b'}\nturns:\n- {user: a, expect: {regex: '{{open}}{{x}})'}}\n"
    assert script(text).turns[0].expect.texts == {"regex": ("{{open}}{{x}})",)}
    assert problems(text.replace("})'", "}'"))[0].startswith("`regex` is not a regular expression once its templates")


# One mistake, one message


MISTAKES = [
    ("- usr: a\n", "s.yaml"),
    ("- user: '{{x}}'\n  raw: yes\n", "s.yaml"),
    ("vars: {x: [a]}\nturns: ['{{x}}', '{{x}}']\n", "s.yaml"),
    ("- user:\n", "s.yaml"),
    ("[]", "s.yaml"),
    ("[5]", "s.json"),
    ('"a"\n}\n', "s.jsonl"),
    ("}\n", "s.jsonl"),
    ('{"messages": [{"role": "robot", "content": "a"}]}', "s.jsonl"),
    ('{"script": {"turns": ["a"]}}\n', "s.jsonl"),
    ("system: a\nconfig: {system_instruction: b, cached_content: c}\nturns: [a]", "s.yaml"),
]


@pytest.mark.parametrize(("text", "file"), MISTAKES)
def test_a_mistake_is_told_once(text: str, file: str) -> None:
    """What is wrong for one reason is told once."""
    assert len(problems(text, file)) == 1


def test_settings_that_clash_are_found_before_anything_is_sent() -> None:
    """What the script's and a message's config make together is checked, as well as each alone."""
    clash = "config: {cached_content: cachedContents/c}\nturns:\n- a\n- {user: b, config: {tools: []}}\n"
    assert problems(clash) == ["`cachedContent` and `tools` exclude each other (with the script's `config`)"]
    level, budget = "{thinking_config: {thinking_level: LOW}}", "{thinking_config: {thinking_budget: 0}}"
    fine = f"config: {level}\nturns: [{{user: a, config: {budget}}}]"
    assert script(fine).turns[0].config == {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}


def test_suites_know_the_same_keys() -> None:
    """A line of a suite takes every key of a script, and no name of a shape is one of them."""
    values = {"name": '"n"', "model": '"m"', "system": '"s"', "config": '{"seed": 1}', "on_fail": '"stop"'}
    values |= {"on_unknown": '"fail"', "vars": '{"x": "1"}', "expect": '{"words": "<9"}'}
    values |= {"tools": '[{"name": "f"}]', "tool_results": '[{"name": "f", "result": 1}]'}
    assert values.keys() == script_schema.SCRIPT.keys.keys() - {"turns"} == script_schema.SUITE.keys.keys()
    line = "{" + ", ".join(f'"{key}": {value}' for key, value in values.items()) + ', "turns": ["a"]}'
    read = script(line, "s.jsonl")
    assert (read.name, read.model, read.on_fail, read.on_unknown) == ("n", "m", "stop", "fail")
    assert {*read_conversation.SHAPES} & {*script_schema.SCRIPT.keys, *script_schema.TURN.keys} == {"turns"}
