"""YAML whose scalars are text: what a tree says, what is refused, and where."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import Problem
from gemcli.text import tree, yaml_tree
from gemcli.text.problems import MAX_PROBLEMS, Problems
from gemcli.text.tree import Mapping, Node, Sequence, Text

LAUGHS = "a: &a [lol, lol]\nb: &b [*a, *a]\nc: [*b, *b]\n"

REFUSED: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "tag": ("a: !x 1", [("yaml-tag", 1, 4)]),
    "plain-tag": ("a: ! 1", [("yaml-tag", 1, 4)]),
    "standard-tag": ("- !!str 1", [("yaml-tag", 1, 3)]),
    "python-object": ("a: 1\nb: !!python/object/apply:os.system [id]\n", [("yaml-tag", 2, 4)]),
    "anchor": ("a: &x 1", [("yaml-anchor", 1, 4)]),
    "unknown-alias": ("a: *x", [("yaml-anchor", 1, 4)]),
    "alias-as-key": ("a: 1\n*x : 2", [("yaml-anchor", 2, 1)]),
    "billion-laughs": (LAUGHS, [("yaml-anchor", *place) for place in ((1, 4), (2, 4))]),
    "merge-key": ("a:\n  <<: {b: 1}\n", [("yaml-merge", 2, 3)]),
    "duplicate-key": ("a: 1\nb: 2\n'a': 3\n", [("yaml-duplicate", 3, 1)]),
    "list-as-key": ("? [a]\n: b\n", [("yaml-key", 1, 3)]),
    "mapping-as-key": ("{a: 1}: b\n", [("yaml-key", 1, 1)]),
    "two-documents": ("--- a\n--- b\n", [("yaml-document", 2, 1)]),
    "flow-depth": ("[" * 100_000, [("yaml-depth", 1, 101)]),
    "block-depth": ("- " * 100_000, [("yaml-depth", 1, 201)]),
    "empty-depth": ("[" * 101 + "]" * 101, [("yaml-depth", 1, 101)]),
    "recursion": ("&a [*a, b]", [("yaml-anchor", 1, 1)]),
    "anchor-twice": ("- &a b\n- &a c", [("yaml-anchor", 2, 3)]),
    "tag-and-alias": ("- !x &a b\n- *a", [("yaml-tag", 1, 3)]),
    "mapping-depth": ("{a: " * 100_000, [("yaml-depth", 1, 401)]),
    "tab": ("a:\n\tb: 1\n", [("yaml-syntax", 2, 1)]),
    "at-sign": ("a: @file\n", [("yaml-syntax", 1, 4)]),
    "colon": ("- a\n- b: c: d\n", [("yaml-syntax", 2, 7)]),
    "unclosed": ("a: [1,\n", [("yaml-syntax", 2, 1)]),
    "version": ("%YAML 9.1\n---\na", [("yaml-syntax", 1, 1)]),
    "nul": ("a: b\x00\n", [("yaml-character", 1, 5)]),
    "control-characters": ("é: 1\r\n😀\x07: 2\u2028\x1b", [("yaml-character", 2, 2), ("yaml-character", 3, 1)]),
    "lone-surrogate": ("a: \ud800", [("yaml-character", 1, 4)]),
    "several": ("a: !x 1\na: &b 2\n<<: *b\n",
        [("yaml-tag", 1, 4), ("yaml-anchor", 2, 4), ("yaml-duplicate", 2, 1), ("yaml-merge", 3, 1)]),
}  # fmt: skip
"""Documents that are refused, with the rule and the place of each problem (of the first ones)."""


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of PyYAML's two parsers in turn: machines without libyaml have the second."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")
    return str(request.param)


def found_in(text: str) -> list[Problem]:
    """Every problem of a document."""
    problems = Problems()
    assert (yaml_tree.load(text, problems) is None) == bool(problems)
    return problems.found


def problems(text: str) -> list[tuple[str, int | None, int | None]]:
    """The rule, line and column of every problem of a document; `[]` when it loads."""
    return [(problem.rule, problem.line, problem.column) for problem in found_in(text)]


def load(text: str) -> Node:
    """The tree of a sound document."""
    root = yaml_tree.load(text, Problems())
    assert root is not None
    return root


def plain_value(node: Node) -> Any:
    """The value of a tree without problems."""
    problems = Problems()
    value = tree.plain_value(node, problems)
    assert not problems
    return value


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """Whatever is more than text in mappings and lists is refused with its line and column."""
    text, expected = REFUSED[case]
    assert problems(text)[: len(expected)] == expected


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("scalar", ["yes", "no", "null", "~", "12:30", "1e3", "0o7", "2024-01-01", "=", ".nan", "a<<"])
def test_scalars_are_text(scalar: str) -> None:
    """A scalar that YAML would take for something else is the text as written."""
    assert load(f"- {scalar}\n") == [scalar]


@pytest.mark.usefixtures("parser")
def test_nodes_know_where_they_began() -> None:
    """Texts, keys, mappings and lists have line and column, and texts know whether they were quoted."""
    root = load("# note\na: yes\nb:\n  - 'x'\n  - {c: |}\n".replace("|", '"d"'))
    assert isinstance(root, Mapping)
    assert [(key, key.line, key.column) for key in root] == [("a", 2, 1), ("b", 3, 1)]
    items = root[Text("b")]
    assert isinstance(items, Sequence)
    places = [(node.line, node.column) for node in (root, root[Text("a")], items, *items)]
    assert places == [(2, 1), (2, 4), (4, 3), (4, 5), (5, 5)]
    texts = [root[Text("a")], items[0]]
    assert [isinstance(text, Text) and text.plain for text in texts] == [True, False]


DOCUMENTS = {
    "block": ("|\n  12\n  30\n", "12\n30\n", False),
    "quoted-nothing": ("''", "", False),
    **{repr(text): (text, "", True) for text in ("", "\n\n", "# nothing\n", "---\n", "--- # nothing\n...\n", "\ufeff")},
}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(("text", "value", "plain"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_of_one_text(text: str, value: str, plain: bool) -> None:
    """A document without content is empty text without quotes; a block keeps its line breaks and counts as quoted."""
    root = load(text)
    assert isinstance(root, Text)
    assert (root, root.plain) == (value, plain)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\tb: 1", "indent with spaces, not with tabs"),
        ("- @a", "put text that begins with @ in quotes"),
        ("- %a", "put text that begins with % in quotes"),
        ("- `a`", "put text that begins with ` in quotes"),
        ("a: b: c", "put text that has a colon and a space in it in quotes"),
        ("a: [", None),
    ],
)
@pytest.mark.usefixtures("parser")
def test_hints(text: str, hint: str | None) -> None:
    """The usual slips of people who write text are answered with what to do."""
    assert found_in(text)[0].hint == hint


@pytest.mark.usefixtures("parser")
def test_limits() -> None:
    """A hundred levels are read, one more is refused; what a parser stumbles over is a problem like any other."""
    deepest = tree.MAX_DEPTH
    assert problems("[" * deepest + "a" + "]" * deepest) == []
    assert problems("[" * (deepest + 1) + "]" * (deepest + 1)) == [("yaml-depth", 1, deepest + 1)]
    for text in ('a: "\\UFFFFFFFF"', "%YAML 1." + "1" * 5000 + "\n---\na", 'a: "\\ud800"', "!u!x a"):
        assert len(problems(text)) == 1


def test_hostile_documents_are_quick() -> None:
    """Depth, repetition and size are refused before they cost a second."""
    started = time.process_time()
    for text in ("[" * 1_000_000, "a: 1\n" * 50_000, "\x00" * 1_000_000, "x" * (yaml_tree.MAX_CHARACTERS + 1)):
        assert 1 <= len(problems(text)) <= MAX_PROBLEMS
    assert time.process_time() - started < 3


def test_every_rule_is_broken_by_a_test() -> None:
    """The table of rules names those that documents can break, and no others; of two there are tests of their own."""
    seen = {rule for text, _ in REFUSED.values() for rule, _, _ in problems(text)}
    assert seen | {"yaml-size", "yaml-dash"} == set(yaml_tree.RULES)


def test_plain_values_are_plain() -> None:
    """What `plain_value` gives are Python's own types, all the way down, empty values None."""
    value = plain_value(load("a: [b, 1.5, {c: }]"))
    assert value == {"a": ["b", 1.5, {"c": None}]}
    assert [type(found) for found in (*value, *value["a"])] == [str, str, float, dict]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_survives_yaml(texts: list[str]) -> None:
    """Text that PyYAML writes as a list item, in whatever style it chooses, is read as exactly that text."""
    # With allow_unicode PyYAML writes U+0085 in a way that it does not read back itself.
    for allow_unicode in (False, "\x85" not in "".join(texts)):
        assert load(yaml.safe_dump(texts, allow_unicode=allow_unicode)) == texts


YAML_LIKE = st.lists(st.sampled_from([*"-:?{}[],&*!|>'\"%@`# \n\t\x00aé1<~", "- ", ": ", "<<", "---\n", "\n  "])).map(
    "".join
)


@given(st.one_of(st.text(), YAML_LIKE))
def test_any_document_gives_a_tree_or_an_error(text: str) -> None:
    """Loading ends in a tree, None or a `GemcliError` whose problems have places in the document."""
    found = problems(text)
    if not found:
        assert isinstance(load(text), Text | Mapping | Sequence)
    lines = len(text.splitlines()) + 1
    assert all(line and line <= lines and column for _, line, column in found)


@given(YAML_LIKE)
def test_both_parsers_agree(text: str) -> None:
    """Where both of PyYAML's parsers accept a document, they read the same."""
    if problems(text):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "CSafeLoader", yaml.SafeLoader, raising=False)
        found = problems(text)
        other = None if found else load(text)
    if not found:
        assert load(text) == other


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # JSON writes control characters raw or as escapes that YAML reads otherwise.
    | st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff\u2028\u2029")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from("ab1 -"), max_size=20), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_as_json(value: Any) -> None:
    """A JSON document, which is YAML too, stands for its own value."""
    assert plain_value(load(json.dumps(value, ensure_ascii=False))) == value


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("null", None),
        ("~", None),
        ("''", ""),
        ("'null'", "null"),
        ("true", True),
        ("TRUE", True),
        ("False", False),
        ("yes", "yes"),
        ("'true'", "true"),
        ("7", 7),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("'7'", "7"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("nan", "nan"),
        ("١", "١"),
    ],
)
def test_plain_values(scalar: str, value: Any) -> None:
    """Scalars without quotes follow the core schema of YAML 1.2; those in quotes are text."""
    read = plain_value(load(f"[{scalar}]"))
    assert read == [value]
    assert type(read[0]) is type(value)


@pytest.mark.parametrize("scalar", [".nan", ".inf", "-.Inf", "1e999", "9" * 5000])
def test_numbers_json_cannot_hold(scalar: str) -> None:
    """NaN, infinities and absurdly long numbers are refused, each with its place."""
    found = Problems()
    tree.plain_value(load(f"a:\n- 1\n- {scalar}\nb: {scalar}\n"), found)
    places = [(problem.rule, problem.line, problem.column) for problem in found.found]
    assert places == [("number", 3, 3), ("number", 4, 4)]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a # b", "# b"),
        ("a   #", "#"),
        ("a #12 \n# c\n", "#12"),
        ("a\n b # c\n", "# c"),
        ("é😀 # b", "# b"),
        ("a\u2028b # c", "# c"),
        ("a#b", ""),
        ("C# and F#", ""),
        ("a\n# b\n", ""),
        ("# b\na", ""),
        ("a\n\n  # b\n", ""),
        ("'a' # b", ""),
        ('"a # b"', ""),
        ("|\n a # b\n", ""),
        ("| # b\n a\n", ""),
        (">-\n a # b\n", ""),
        ("'a\n  # b'", ""),
        ("# b", ""),
    ],
)
def test_texts_know_of_a_comment_behind_them(text: str, cut: str) -> None:
    """A comment on the last line of text without quotes may have been meant as text; any other was not."""
    for before, after in (("", ""), ("- ", "\n- c\n"), ("# x\r\n- a: 'é'\n  b: ", "\n")):
        if before and (text[0] == "#" or {"\n", "\u2028"} & {*text}):
            continue
        root = load(before + text + after)
        node = root[0] if isinstance(root, Sequence) else root
        node = node[Text("b")] if isinstance(node, Mapping) else node
        assert (node.comment if isinstance(node, Text) else "") == cut


@pytest.mark.usefixtures("parser")
def test_every_text_has_its_own_comment() -> None:
    """A comment is that of the text it follows: of keys and values, in blocks and between brackets."""
    root = load("- a # x\n- b\n- [c, d # y\n  , e]\n- f: g # z\n- '#'\n- # w\n")
    assert isinstance(root, Sequence)
    flow, mapping = root[2], root[3]
    assert isinstance(flow, Sequence)
    assert isinstance(mapping, Mapping)
    texts = [root[0], root[1], *flow, *mapping, *mapping.values(), *root[4:]]
    assert [node for node in texts if isinstance(node, Text) and node.comment] == ["a", "d", "g"]


@given(st.text(alphabet="a# '\"\n\t-:é\r\u2028|>[]", max_size=20))
def test_only_what_has_a_comment_is_cut_short(text: str) -> None:
    """Without its comments a document that was cut short by one says the same, and says it whole."""
    if problems(text):
        return
    root = load(text)
    if isinstance(root, Text) and root.comment:
        rest = "\n".join(line.partition(" #")[0].partition("\t#")[0] for line in text.split("\n"))
        assert "#" in text
        assert load(rest) == root


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("- Hi\n - Bye\n", [2]),
        ("- Hi\n\n  -\n  - c\n", [3, 4]),
        ("a: b\n  - c\n", [2]),
        ("- a\n- b\n", []),
        ("- - a\n  - b\n", []),
        ("- a\n  -b\n  --- c\n", []),
        ("- 'a\n  - b'\n- |\n  c\n  - d\n", []),
        ("a:\n- b\n", []),
    ],
)
def test_items_that_are_indented_too_far_are_noted(text: str, lines: list[int]) -> None:
    """YAML reads on where a line looks like an item but is not one: its text becomes part of the item before."""
    found = Problems()
    yaml_tree.load(text, found)
    assert [(note.rule, note.line) for note in found.notes] == [("yaml-dash", line) for line in lines]
    assert not found
