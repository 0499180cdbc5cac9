"""Schemas: tables that say what a document may hold, and that read it.

A *kind* reads one node of a tree: it returns the value that the node stands for, or adds to the
problems what is wrong with it and returns None. Kinds are made from kinds, so the grammar of a
document is a table that can be read from top to bottom:

    TURN = Schema(Turn, {"user": TEXT, "wait": SECONDS, "tags": list_of(TEXT)}, required=("user",))

Config files, options, session configs, replay scripts and the simulator's rules are read this way.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Generic, TypeAlias, TypeVar

from gemcli.text import strict_json, tree
from gemcli.text.problems import Problems
from gemcli.text.proto_json import is_base64
from gemcli.text.tree import Literal, Node, Text

RULES = {
    "value": "a value is of its kind",
    "shape": "mappings, lists and text are where they belong",
    "unknown-key": "each key is known",
    "missing-key": "required keys are present",
    "exclusive": "keys that exclude each other are not both present",
    "duplicate": "nothing is set twice",
    "range": "a number is within the usual limits (a note)",
    "unknown-value": "a name is one that is known today (a note)",
}
"""Every rule by its stable name, the name that problems carry."""

MAX_NAMES = 20
"""Most names that a hint lists."""

INT32_MAX = 2**31 - 1

T = TypeVar("T")
K = TypeVar("K")

Kind: TypeAlias = Callable[[Problems, str, Node], T | None]
"""Reads a node. The text is what messages call it, like "`turn`" or "an item of `calls`"."""

Values: TypeAlias = dict[str, Any]
"""The values of a mapping, by key."""


def _mismatch(label: str, expected: str, node: Node) -> str:
    return f"{label} must be {expected}, not {_shown(node)}"


def _shown(node: Node) -> str:
    """A node in a message: scalars as JSON, shortened; others by their kind."""
    if not isinstance(node, Text):
        return "a mapping" if isinstance(node, tree.Mapping) else "a list"
    if not node:
        return "empty"
    return tree.shortened(str(node) if isinstance(node, Literal) else strict_json.dumps(node))


# Scalars


def scalar(expected: str, convert: Callable[[Text], T]) -> Kind[T]:
    """Scalars that `convert` takes; it raises `ValueError` for others, perhaps with a reason."""

    def read(problems: Problems, label: str, node: Node) -> T | None:
        message = _mismatch(label, expected, node)
        if isinstance(node, Text):
            try:
                return convert(node)
            except ValueError as reason:
                message += f": {reason}" if str(reason) else ""
        problems.add("value", message, node)
        return None

    return read


def matching(expected: str, pattern: str, convert: Callable[[re.Match[str]], T]) -> Kind[T]:
    """Scalars that match `pattern` as a whole, as `convert` reads the match."""

    def read(node: Text) -> T:
        match = re.fullmatch(pattern, node)
        if match is None:
            raise ValueError
        return convert(match)

    return scalar(expected, read)


def matched_text(match: re.Match[str]) -> str:
    """What `matching` converts with when the text stays as it is."""
    return match[0]


def to_text(node: Text) -> Text:
    """Text as it is; in YAML, empty text needs quotes, and in JSON all text does."""
    if isinstance(node, Literal):
        raise ValueError("in JSON, text is in quotes")
    if node.plain and not node:
        raise ValueError('"" is empty text')
    return node


def unquoted(node: Text) -> str:
    """What is written without quotes, as everything but text is."""
    if not node.plain:
        raise ValueError("remove the quotes")
    return str(node)


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression of Python's. Raises `ValueError` with what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what may change its meaning one day
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _filled(node: Text) -> Text:
    if not node or isinstance(node, Literal):
        raise ValueError
    return node


def _flag(node: Text) -> bool:
    if not node.plain or node.lower() not in ("true", "false"):
        raise ValueError
    return node.lower() == "true"


def _count(node: Text) -> int:
    if not node.plain or not re.fullmatch("[0-9]{1,9}", node) or int(node) == 0:
        raise ValueError
    return int(node)


def _base64(node: Text) -> str:
    if not is_base64(to_text(node)) or len(node) % 4:
        raise ValueError
    return str(node)


def _float(node: Text) -> float:
    if not tree.FLOAT.fullmatch(unquoted(node)):
        raise ValueError
    value = float(node)
    if not math.isfinite(value):
        raise ValueError("too large")
    return value


def _whole(node: Text) -> int:
    value = _float(node)
    if not value.is_integer():
        raise ValueError
    return int(value)


TEXT = scalar("text", to_text)
FILLED_TEXT = scalar("text", _filled)
FLAG = scalar("true or false", _flag)
COUNT = scalar("a whole number of at least 1", _count)
NUMBER = scalar("a number", _float)
WHOLE = scalar("a whole number", _whole)
BASE64 = scalar("base64", _base64)
REGEX = scalar("a regular expression", lambda node: compiled(to_text(node)))


def number(low: float, high: float, *, whole: bool = False) -> Kind[float]:
    """Numbers, with a note about those that are not from `low` to `high`."""
    limits = f"from {low:.15g} to {high:.15g}" if high < INT32_MAX else f"of at least {low:.15g}"
    expected = f"a whole number {limits}" if whole else f"a number {limits}"
    read_number = scalar(expected, _whole if whole else _float)

    def read(problems: Problems, label: str, node: Node) -> float | None:
        value = read_number(problems, label, node)
        if value is not None and not low <= value <= high:
            too_large = value > high >= INT32_MAX  # a limit that `expected` is silent about
            within = f"at most {high:.15g}" if too_large else expected
            message = f"{label} should be {within}, not {node}; it is sent as given"
            problems.note("range", message, node)
        return value

    return read


# Names


def choice(expected: str, names: Iterable[str], also: Mapping[str, str] | None = None) -> Kind[str]:
    """One of these names; `also` maps other words to the name that they were meant for."""
    known, others = tuple(names), also or {}

    def read(problems: Problems, label: str, node: Node) -> str | None:
        if isinstance(node, Text) and node in known:
            return str(node)
        word = others.get(node, node) if isinstance(node, Text) else ""
        near = problems.suggest(word, known) or problems.suggest(word.upper(), known)
        hint = near or f"use one of {', '.join(known)}"
        problems.add("value", _mismatch(label, expected, node), node, hint)
        return None

    return read


def enum(expected: str, names: Iterable[str], prefix: str = "") -> Kind[str]:
    """A name of one of the API's enums, in any case and without its prefix.

    A name that is unknown today is sent as given, with a note: the API has new ones every month.
    """
    values = {name.removeprefix(prefix).lower(): name for name in names}
    words = [word for word in values if not word.endswith("unspecified")]
    read_text = scalar(expected, _filled)

    def read(problems: Problems, label: str, node: Node) -> str | None:
        given = read_text(problems, label, node)
        if given is None:
            return None
        word = given.lower().replace("-", "_").removeprefix(prefix.lower())
        if word not in values:
            hint = problems.suggest(word, words) or f"known today: {', '.join(words)}"
            message = f"{label} should be {expected}, not {_shown(node)}; it is sent as given"
            problems.note("unknown-value", message, node, hint)
        return values.get(word, given)

    return read


# Lists and mappings


def list_of(item: Kind[T], *, least: int = 0, usual: int | None = None) -> Kind[list[T]]:
    """Lists of one kind with at least `least` items; more than `usual` are worth a note."""

    def read(problems: Problems, label: str, node: Node) -> list[T] | None:
        if not isinstance(node, tree.Sequence):
            problems.add("shape", _mismatch(label, "a list", node), node)
            return None
        if len(node) < least:
            problems.add("shape", f"{label} must have an item", node)
        if usual is not None and len(node) > usual:
            message = f"{label} should have at most {usual} items, not {len(node)}"
            problems.note("range", f"{message}; they are sent as given", node)
        items: list[Any] = []
        for each in node:
            items.append(item(problems, f"an item of {label}", each))
            if problems.full:
                break
        return items

    return read


def map_of(name: Kind[K], item: Kind[T]) -> Kind[dict[K, T]]:
    """Mappings whose keys are of one kind, and whose values are of another."""

    def read(problems: Problems, label: str, node: Node) -> dict[Any, Any] | None:
        if not isinstance(node, tree.Mapping):
            problems.add("shape", _mismatch(label, "a mapping", node), node)
            return None
        keys = [name(problems, f"a key of {label}", key) for key in node]
        values = [item(problems, f"`{key}`", value) for key, value in node.items()]
        return dict(zip(keys, values, strict=True))

    return read


def any_value(problems: Problems, _label: str, node: Node) -> Any:
    """Any JSON, whose names and values are the user's own."""
    return tree.plain_value(node, problems)


def any_object(problems: Problems, label: str, node: Node) -> Values | None:
    """Any JSON object, whose names and values are the user's own."""
    if not isinstance(node, tree.Mapping):
        problems.add("shape", _mismatch(label, "a mapping", node), node)
        return None
    return {str(key): tree.plain_value(value, problems) for key, value in node.items()}


@dataclass(frozen=True)
class Schema(Generic[T]):
    """Mappings with known keys; `make` is called with their values by name if all are sound.

    `aliases` are other names of keys. Of a pair of `exclusive` keys at most one is present. If
    `short` names a key, its value may take the place of the whole mapping. `hint` helps those who
    give no mapping, `elsewhere` has hints for keys that belong somewhere else.
    """

    make: Callable[..., T]
    keys: Mapping[str, Kind[object]]
    required: tuple[str, ...] = ()
    exclusive: Sequence[tuple[str, str]] = ()
    short: str | None = None
    hint: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, problems: Problems, label: str, node: Node) -> T | None:
        """What `make` makes of a mapping, None if something is wrong with it."""
        if self.short and isinstance(node, Text):
            value = self.keys[self.short](problems, label, node)
            return None if value is None else self.make(**{self.short: value})
        if not isinstance(node, tree.Mapping):
            expected = "text or a mapping" if self.short else "a mapping"
            problems.add("shape", _mismatch(label, expected, node), node, self.hint)
            return None
        before = len(problems)
        values: Values = {}
        written: dict[str, Text] = {}
        for key, inner in node.items():
            name = self.aliases.get(key, str(key))
            if name not in self.keys:
                self._refuse_key(problems, label, key)
            elif name in written:
                message = f"`{key}` and `{written[name]}` are the same setting"
                problems.add("duplicate", message, key)
            else:
                values[name] = self.keys[name](problems, f"`{key}`", inner)
                written[name] = key
            if problems.full:
                return None
        for name in self.required:
            if name not in written:
                problems.add("missing-key", f"{label} must have `{name}`", node)
        for pair in self.exclusive:
            present = [key for name, key in written.items() if name in pair]
            if len(present) == 2:
                message = f"`{present[0]}` and `{present[1]}` exclude each other"
                problems.add("exclusive", message, present[1])
        return self.make(**values) if len(problems) == before else None

    def _refuse_key(self, problems: Problems, label: str, key: Text) -> None:
        hint = self.elsewhere.get(key) or problems.suggest(key, [*self.keys, *self.aliases])
        if hint is None and len(self.keys) <= MAX_NAMES:
            hint = f"the keys are {', '.join(self.keys)}" if self.keys else "it has no keys"
        problems.add("unknown-key", f"`{key[:40]}` is not a key of {label}", key, hint)


def any_two(*keys: str) -> tuple[tuple[str, str], ...]:
    """Every pair of these keys, as `Schema.exclusive` wants them."""
    return tuple(combinations(keys, 2))
