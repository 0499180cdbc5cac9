"""Documents as trees of text, which YAML and JSON, options and stored configs are read into.

A scalar stays the text that was written, with its place, because only the schema knows whether
`12:30` is a time, a number or a message. `plain_value` gives the JSON value of free-form parts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Self, TypeAlias

from gemcli.text.problems import Problems

MAX_DEPTH = 100
"""Deepest nesting of mappings and lists accepted; the API stops there too."""

RULES = {"number": "JSON can hold the number"}
"""The rule of `plain_value`; the readers of YAML and JSON have their own."""


class Text(str):
    """A scalar as written, with the `line` and `column` where it began.

    `plain` scalars had no quotes and may be numbers; the `comment` that follows some in their line
    may have been meant as text.
    """

    __slots__ = ("column", "comment", "line", "plain")

    line: int
    column: int
    plain: bool
    comment: str

    def __new__(
        cls, value: str, line: int = 0, column: int = 0, plain: bool = True, comment: str = ""
    ) -> Self:
        """Make the text `value` that began at `line` and `column`."""
        text = super().__new__(cls, value)
        text.line, text.column, text.plain, text.comment = line, column, plain, comment
        return text


class Literal(Text):
    """A number, a boolean or null of JSON, which is never text."""

    __slots__ = ()


class Mapping(dict[Text, "Node"]):
    """A mapping with text keys in their order, and the place where it began."""

    def __init__(self, line: int = 0, column: int = 0) -> None:
        super().__init__()
        self.line, self.column = line, column


class Sequence(list["Node"]):
    """A list, and the place where it began."""

    def __init__(self, line: int = 0, column: int = 0, items: Iterable[Node] = ()) -> None:
        super().__init__(items)
        self.line, self.column = line, column

    def under(self, key: str) -> Mapping:
        """A mapping that has only this list, under `key`."""
        mapping = Mapping(self.line, self.column)
        mapping[Text(key, self.line, self.column)] = self
        return mapping


Node: TypeAlias = Text | Mapping | Sequence


def from_value(value: object) -> Node:
    """The tree of a JSON value, without places."""
    if isinstance(value, dict):
        mapping = Mapping()
        for key, inner in value.items():
            mapping[Text(key, plain=False)] = from_value(inner)
        return mapping
    if isinstance(value, list):
        return Sequence(items=[from_value(item) for item in value])
    return Text(value, plain=False) if isinstance(value, str) else Literal(json.dumps(value))


def plain_value(node: Node, problems: Problems) -> Any:
    """The JSON value that a tree stands for, by the core schema of YAML 1.2.

    Without quotes, empty, `~` and `null` are None, `true` and `false` booleans, and `7`, `0x1F`,
    `1e3` and `.5` numbers. Numbers that JSON cannot hold are problems, and become None.
    """
    if isinstance(node, Mapping):
        return {str(key): plain_value(value, problems) for key, value in node.items()}
    if isinstance(node, Sequence):
        return [plain_value(item, problems) for item in node]
    if not node.plain:
        return str(node)
    if node in _WORDS:
        return _WORDS[node]
    try:
        return _number(node)
    except ValueError:
        message = f"{shortened(node)} is a number that JSON cannot hold"
        problems.add("number", message, node, "quote it if it is text")
        return None


def shortened(text: str) -> str:
    """At most 40 characters of a text, for messages."""
    return text if len(text) <= 40 else f"{text[:39]}…"


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|NaN|-?Infinity")


def _number(text: Text) -> int | float | str:
    """The number that plain text stands for, or the text. Raises `ValueError` if too large."""
    if _INTEGER.fullmatch(text):
        return int(text)  # Python refuses thousands of digits
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if not FLOAT.fullmatch(text):
        if _NOT_FINITE.fullmatch(text) and (text[0] in "+-." or isinstance(text, Literal)):
            raise ValueError(text)
        return str(text)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
