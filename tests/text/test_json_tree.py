"""JSON as a tree whose scalars are text: what it says, what is refused, and where."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemcli.errors import Problem
from gemcli.text import json_tree, yaml_tree
from gemcli.text.json_tree import load
from gemcli.text.problems import Problems
from gemcli.text.tree import MAX_DEPTH, Literal, Mapping, Node, Sequence, Text, from_value, plain_value
from tests.builders import json_values
from tests.support import examples

REFUSED: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "nothing": ("", [("json-syntax", 1, 1)]),
    "text": ("\n hello", [("json-syntax", 2, 2)]),
    "second": ('{}\n "a"', [("json-syntax", 2, 2)]),
    "unclosed": ('["a",\n "b"', [("json-syntax", 2, 5)]),
    "unterminated": ('["a",\n "b]', [("json-syntax", 2, 2)]),
    "control-character": ('["a\tb"]', [("json-syntax", 1, 4)]),
    "escape": ('["\\x"]', [("json-syntax", 1, 3)]),
    "single-quotes": ("['a']", [("json-syntax", 1, 2)]),
    "nan": ('{"NaN": 1,\n "b": [NaN]}', [("json-syntax", 2, 8)]),
    "infinity": ('["Infinity", -Infinity, Infinity]', [("json-syntax", 1, 14)]),
    "nan-and-more": ("NaN-x", [("json-syntax", 1, 1)]),
    "key": ("{1: 2}", [("json-syntax", 1, 2)]),
    "duplicate": ('{"a": 1,\n "b": {"a": 2},\n "\\u0061": 3}', [("json-duplicate", 3, 2)]),
    "twice-duplicate": ('{"a": 1, "a": 2, "a": 3}', [("json-duplicate", 1, 10), ("json-duplicate", 1, 18)]),
    "surrogate": (
        '["\\ud83d\\ude00",\n "\\ud83d", {"\\ude00": 1}]',
        [("json-character", 2, 2), ("json-character", 2, 13)],
    ),
    "depth": ("[" * 101 + "]" * 101, [("json-depth", 1, 101)]),
    "object-depth": ('{"a":\n' * 101 + "1" + "}" * 101, [("json-depth", 101, 1)]),
    "python-depth": ("[" * 700 + "]" * 700, [("json-depth", 1, 101)]),
    "endless-depth": ("[" * 100_000, [("json-depth", 1, 101)]),
}
"""Texts that are refused, with the rule and the place of each problem."""


def problems(text: str, line: int = 1) -> list[Problem]:
    """Everything wrong with a text."""
    found = Problems()
    load(text, found, line)
    return found.found


def tree(text: str) -> Node:
    """The tree of a sound text."""
    found = Problems()
    node = load(text, found)
    assert node is not None
    assert not found
    return node


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """What is no JSON, and what cannot be kept, is refused with its line and column."""
    text, expected = REFUSED[case]
    assert [(problem.rule, problem.line, problem.column) for problem in problems(text)] == expected


def test_every_rule_is_broken_by_a_test() -> None:
    """The table of rules names those that texts can break, and no others; none is YAML's."""
    assert {rule for _, expected in REFUSED.values() for rule, _, _ in expected} == json_tree.RULES.keys()
    assert not json_tree.RULES.keys() & yaml_tree.RULES.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a value is missing"),
        ('"abc', "a text has no closing quote"),
        ('"a\tb"', "a text has a bare control character"),
        ('"a" "b"', "something follows the value"),
        ('["a" "b"]', "a ',' is missing"),
        ("[NaN]", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[" * 5000, f"nested more than {MAX_DEPTH} levels deep"),
        ('{"a": 1, "a": 2}', "duplicate key `a`"),
    ],
)
def test_words(text: str, message: str) -> None:
    """Problems are told in words, not in those of Python's reader for programmers."""
    assert [problem.message for problem in problems(text)] == [message]


def test_only_sound_json_has_a_tree() -> None:
    """What is no JSON has no tree; duplicates and half surrogates leave one, so that more can be found wrong."""
    for text in ("[1", "[NaN]", "[" * 101 + "]" * 101):
        assert load(text, Problems()) is None
    assert load('{"a": 1, "a": 2}', Problems()) == {"a": "2"}


def test_lines_are_counted_from_where_the_text_stands() -> None:
    """The first line of a text may be any line of its file, for problems as for nodes."""
    for text, place in (('["a",\n b]', (8, 2)), ("[NaN]", (7, 2)), ('[\n"\\ud800"]', (8, 1))):
        assert [(problem.line, problem.column) for problem in problems(text, 7)] == [place]
    node = load('\n["a"]', Problems(), 7)
    assert isinstance(node, Sequence)
    assert (node.line, node[0].line, node[0].column) == (8, 8, 2)


def test_nodes_know_where_they_began() -> None:
    """Texts, keys, objects and lists have line and column; what stands in quotes is not plain."""
    root = tree('{"é": ["😀", 1.50, {}],\r\n\t"b": null}')
    assert isinstance(root, Mapping)
    assert [(key, key.line, key.column, key.plain) for key in root] == [("é", 1, 2, False), ("b", 2, 2, False)]
    items, last = root[Text("é")], root[Text("b")]
    assert isinstance(items, Sequence)
    assert [(node.line, node.column) for node in (root, items, *items, last)] == [
        (1, 1), (1, 7), (1, 8), (1, 13), (1, 19), (2, 7),
    ]  # fmt: skip
    assert items == ["😀", "1.50", {}]
    assert [isinstance(node, Literal) and node.plain for node in (*items, last)] == [False, True, False, True]


def test_only_strings_are_text() -> None:
    """Numbers, booleans and null are told from text, and are kept as they were written, however long."""
    for written in ("0", "-1.50E+3", "true", "false", "null", "9" * 5000):
        node = tree(f" {written} ")
        assert isinstance(node, Literal)
        assert (node, node.plain) == (written, True)
        quoted = tree(json.dumps(written))
        assert isinstance(quoted, Text)
        assert not isinstance(quoted, Literal)
        assert (quoted, quoted.plain) == (written, False)


@settings(max_examples=examples(60))
@given(json_values(), st.booleans(), st.sampled_from([None, 0, 2]))
def test_the_tree_stands_for_the_value(value: Any, ensure_ascii: bool, indent: int | None) -> None:
    """Whatever JSON writes, the tree stands for the same value, however it is laid out."""
    found = Problems()
    for node in (tree(json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)), from_value(value)):
        assert plain_value(node, found) == value
    assert not found


JSON_LIKE = st.lists(st.sampled_from([*'[]{},:"\\ \n\t1a', "NaN", "\\u", "d800", "null"])).map("".join)


@settings(max_examples=examples(100))
@given(st.text(max_size=40) | JSON_LIKE)
def test_any_text_gives_a_tree_or_a_problem(text: str) -> None:
    """Loading ends in a tree or in problems with places in the text, and agrees with Python on what is JSON."""
    problems = Problems()
    node, found = load(text, problems), problems.found
    assert node is not None or len(found) == 1
    assert all(problem.rule in json_tree.RULES for problem in found)
    assert all(problem.line and problem.line <= text.count("\n") + 1 and problem.column for problem in found)
    try:
        json.loads(text)
    except json.JSONDecodeError:
        assert node is None


def test_large_texts_are_quick() -> None:
    """A megabyte is read in no time: long strings, long lists, many lines."""
    started = time.process_time()
    for text in (json.dumps('a\\"' * 200_000), json.dumps(["a"] * 50_000, indent=0), "[" * 500_000):
        load(text, Problems())
    assert time.process_time() - started < 2


@pytest.mark.parametrize("escape", ["", "\\n"])
def test_long_texts_take_as_much_memory_as_they_are_long(escape: str) -> None:
    """A text of a million characters takes a few megabytes while it is read, and no hundred for each of its own."""
    text = json.dumps("x" * 1_000_000) if not escape else f'"{escape * 1_000_000}"'
    tracemalloc.start()
    try:
        json_tree.load(text, Problems())
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
