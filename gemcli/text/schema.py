"""Typed values out of a YAML tree, by tables, with everything that is wrong in one go.

A kind reads one node: it gives the node's value, or notes a problem in the `Reading` and gives
None. Kinds are made from kinds, so that a grammar is a table of them: that of replay scripts is
one, that of the simulator's rules another.
"""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from gemcli.errors import GemcliError, Problem, did_you_mean
from gemcli.text import strict_json, yaml_tree
from gemcli.text.yaml_tree import Node, Text

RULES = {
    "value": "a value is of the kind that belongs there",
    "shape": "mappings, lists and text stand where they belong",
    "unknown-key": "a key is one of those that may stand there",
    "missing-key": "a key that must be there is there",
    "exclusive": "keys that exclude each other do not stand together",
}
"""Every rule by its stable name, the name that problems carry.

YAML has its own in `yamltext.RULES`.
"""

MAX_NAMES = 20
"""So many names are told in a hint at most."""


class Reading:
    """The problems of one document, in the order in which they were found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, rule: str, message: str, node: Node, hint: str | None = None) -> None:
        """Note a problem where `node` stands."""
        self.problems.append(Problem(rule, message, line=node.line, column=node.column, hint=hint))

    def near(self, word: str, known: Iterable[str]) -> str | None:
        """`did_you_mean`, which takes its time, as long as somebody may read it.

        Not after a hundred problems.
        """
        return None if len(self.problems) >= yaml_tree.MAX_PROBLEMS else did_you_mean(word, known)


Kind = Callable[[Reading, str, Node], Any]
"""Reads a node; the text is what messages call it, like "`turn`" or "an item of `calls`"."""


def scalar(expected: str, convert: Callable[[Text], Any]) -> Kind:
    """The kind of scalars that `convert` takes.

    It raises `ValueError` for others, perhaps with words of its own.
    """

    def read(reading: Reading, label: str, node: Node) -> Any:
        why = ""
        if isinstance(node, Text):
            try:
                return convert(node)
            except ValueError as trouble:
                why = f": {trouble}" if str(trouble) else ""
        reading.refuse("value", f"{label} must be {expected}, not {_shown(node)}{why}", node)
        return None

    return read


def choice(expected: str, names: Iterable[str], also: Mapping[str, str] | None = None) -> Kind:
    """The kind of scalars that are one of these names.

    `also` knows which name other words stand for, as hints.
    """
    known, others = tuple(names), also or {}

    def read(reading: Reading, label: str, node: Node) -> Any:
        if isinstance(node, Text) and node in known:
            return str(node)
        meant = others.get(node, node.upper()) if isinstance(node, Text) else ""
        hint = reading.near(meant, known) or f"one of {', '.join(known)}"
        reading.refuse("value", f"{label} must be {expected}, not {_shown(node)}", node, hint)
        return None

    return read


def list_of(item: Kind) -> Kind:
    """The kind of lists whose items are all of kind `item`; there is at least one."""

    def read(reading: Reading, label: str, node: Node) -> Any:
        if isinstance(node, yaml_tree.Sequence) and node:
            return [item(reading, f"an item of {label}", each) for each in node]
        expected = "must have an item" if node == [] else f"must be a list, not {_shown(node)}"
        reading.refuse("shape", f"{label} {expected}", node)
        return None

    return read


def map_of(name: Kind, item: Kind) -> Kind:
    """The kind of mappings whose keys are all of kind `name`, and whose values are all of kind `item`."""

    def read(reading: Reading, label: str, node: Node) -> Any:
        if isinstance(node, yaml_tree.Mapping):
            pairs = [
                (name(reading, f"a key of {label}", key), key, value) for key, value in node.items()
            ]
            return {key: item(reading, f"`{written}`", value) for key, written, value in pairs}
        reading.refuse("shape", f"{label} must be a mapping, not {_shown(node)}", node)
        return None

    return read


def data(reading: Reading, label: str, node: Node) -> Any:
    """The kind of JSON objects: what stands without quotes may be a number, a boolean or null."""
    if not isinstance(node, yaml_tree.Mapping):
        reading.refuse("shape", f"{label} must be a mapping, not {_shown(node)}", node)
        return None
    try:
        return yaml_tree.plain_value(node)
    except GemcliError as error:
        reading.problems += error.problems
        return None


@dataclass(frozen=True)
class Form:
    """The kind of mappings with these keys.

    `make` gets their values by name once nothing is wrong with them.

    `required` keys must be there, those of a pair in `exclusive` not both. Where `short` names a
    key, its value may stand for the mapping, unless that is a mapping itself. `hint` is for what is
    no mapping at all, `elsewhere` has the hints for keys that have their place in another one.
    """

    make: Callable[..., Any]
    keys: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    exclusive: Sequence[tuple[str, str]] = ()
    short: str | None = None
    hint: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, reading: Reading, label: str, node: Node) -> Any:
        """What `make` makes of the mapping, None when something is wrong with it."""
        if self.short and isinstance(node, Text):
            value = self.keys[self.short](reading, label, node)
            return None if value is None else self.make(**{self.short: value})
        if not isinstance(node, yaml_tree.Mapping):
            shapes = "text or a mapping" if self.short else "a mapping"
            reading.refuse(
                "shape", f"{label} must be {shapes}, not {_shown(node)}", node, self.hint
            )
            return None
        before = len(reading.problems)
        values = {str(key): self._value(reading, label, key, value) for key, value in node.items()}
        self._together(reading, label, node)
        return self.make(**values) if len(reading.problems) == before else None

    def _value(self, reading: Reading, label: str, key: Text, value: Node) -> Any:
        if key in self.keys:
            return self.keys[key](reading, f"`{key}`", value)
        near = reading.near(re.sub("[A-Z]", r"_\g<0>", key).lower(), self.keys)
        hint = self.elsewhere.get(key) or near or f"there are {', '.join(self.keys)}"
        reading.refuse("unknown-key", f"`{key[:40]}` is not a key of {label}", key, hint)
        return None

    def _together(self, reading: Reading, label: str, node: yaml_tree.Mapping) -> None:
        """Refuse what is missing, and what may not stand beside another."""
        for key in self.required:
            if key not in node:
                reading.refuse("missing-key", f"{label} must have `{key}`", node)
        for one, other in self.exclusive:
            if one in node and other in node:
                first, second = (key for key in node if key in (one, other))
                reading.refuse("exclusive", f"`{second}` cannot stand beside `{first}`", second)


def any_two(*keys: str) -> tuple[tuple[str, str], ...]:
    """Every pair of these keys: at most one of them may stand in a mapping."""
    return tuple(combinations(keys, 2))


def matching(
    pattern: str, convert: Callable[[re.Match[str]], Any] = lambda match: match[0]
) -> Callable[[Text], Any]:
    """A converter for scalars that match `pattern` as a whole.

    What `convert` makes of the match.
    """

    def read(node: Text) -> Any:
        match = re.fullmatch(pattern, node)
        if match is None:
            raise ValueError
        return convert(match)

    return read


def _text(node: Text) -> str:
    if node.plain and not node:
        raise ValueError('"" is text without a character')
    return str(node)


def _whole(node: Text) -> int:
    if not node.plain:
        raise ValueError
    return int(matching("[1-9][0-9]{0,8}")(node))


def _base64(node: Text) -> str:
    try:
        base64.b64decode(node.translate(str.maketrans("-_", "+/")), validate=True)
    except ValueError:
        raise ValueError from None
    return _text(node)


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression of Python's. Raises `ValueError` saying what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may mean something else one day
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


TEXT = scalar("text", _text)
COUNT = scalar("a whole number of at least 1", _whole)
BASE64 = scalar("base64", _base64)
REGEX = scalar("a regular expression", lambda node: compiled(_text(node)))


def _shown(node: Node) -> str:
    """A node in a message: scalars as JSON, cut after 40 characters; the others by their kind."""
    if not isinstance(node, Text):
        return "a mapping" if isinstance(node, yaml_tree.Mapping) else "a list"
    text = strict_json.dumps(str(node)) if node else "empty"
    return text if len(text) <= 40 else f"{text[:39]}…"
