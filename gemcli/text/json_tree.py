"""JSON as the tree that `yamltext` makes of YAML.

Every scalar as it is written, with its line and column.

Whoever reads the tree says what may be a number, and can tell users where a mistake stands. What
JSON itself forbids is refused here, and so is what cannot be kept: duplicate keys, half a surrogate
pair.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator

from gemcli.errors import Problem
from gemcli.text.yaml_tree import MAX_DEPTH, Mapping, Node, Sequence, Text

RULES = {
    "json-syntax": "the text is JSON",
    "json-depth": f"objects and lists nest at most {MAX_DEPTH} levels deep",
    "json-duplicate": "a key stands once in an object",
    "json-character": "text is Unicode",
}
"""Every rule by its stable name, the name that problems carry."""


class Literal(Text):
    """A number, a boolean or null: JSON knows them from text, so they do not pass for it."""

    __slots__ = ()


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|[^\s\[\]{},:"]+')
_SURROGATE = re.compile("[\ud800-\udfff]")


def load(text: str, problems: list[Problem], line: int = 1) -> Node | None:
    """Read one JSON document, whose first line is line `line` of its file.

    Everything wrong with it is added to `problems`; the result is None if the text is not JSON at
    all.
    """
    try:
        # Numbers stay text here, so that none is too long.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        line, column = line + error.lineno - 1, error.colno
        problems.append(Problem("json-syntax", _words(error.msg), line=line, column=column))
        return None
    except ValueError as error:  # NaN or Infinity; all before it is JSON
        _Reader(text, problems, line).refuse_constant(str(error))
        return None
    except RecursionError:
        pass  # the reader comes to the depth it refuses before that
    try:
        return _Reader(text, problems, line).read()
    except _TooDeep:
        return None


class _TooDeep(Exception):
    """The rest of the text is not worth reading."""


class _Reader:
    """Builds the tree of a text that is known to be JSON as far as it is read, so that its tokens need no checking."""

    def __init__(self, text: str, problems: list[Problem], line: int) -> None:
        self._problems = problems
        self._line = line
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._tokens = self._scan(text)

    def read(self) -> Node:
        return self._node(*next(self._tokens), depth=1)

    def refuse_constant(self, name: str) -> None:
        """Note where the first number stands that JSON does not have."""
        _, line, column = next(found for found in self._tokens if found[0].startswith(name))
        self._refuse("json-syntax", f"{name} is not JSON", line, column)

    def _scan(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Every token but commas and colons, with its line and column."""
        for match in _TOKEN.finditer(text):
            row = bisect_right(self._starts, match.start()) - 1
            yield match[0], self._line + row, match.start() - self._starts[row] + 1

    def _node(self, token: str, line: int, column: int, *, depth: int) -> Node:
        if token[0] == '"':
            return self._string(token, line, column)
        if token not in ("[", "{"):
            return Literal(token, line, column, plain=True)
        if depth == MAX_DEPTH + 1:
            self._refuse("json-depth", f"nested more than {MAX_DEPTH} levels deep", line, column)
            raise _TooDeep
        if token == "[":  # noqa: S105  # not a password
            return self._list(Sequence(line, column), depth)
        return self._object(Mapping(line, column), depth)

    def _string(self, token: str, line: int, column: int) -> Text:
        value = json.loads(token)
        if _SURROGATE.search(value):
            self._refuse("json-character", "half a surrogate pair is not text", line, column)
        return Text(value, line, column, plain=False)

    def _list(self, items: Sequence, depth: int) -> Sequence:
        for token in self._tokens:
            if token[0] == "]":
                break
            items.append(self._node(*token, depth=depth + 1))
        return items

    def _object(self, mapping: Mapping, depth: int) -> Mapping:
        for token in self._tokens:
            if token[0] == "}":
                break
            key = self._string(*token)
            value = self._node(*next(self._tokens), depth=depth + 1)
            if key in mapping:
                self._refuse(
                    "json-duplicate", f"the key `{key[:40]}` stands twice in one object", *token[1:]
                )
            mapping[key] = value
        return mapping

    def _refuse(self, rule: str, message: str, line: int, column: int) -> None:
        self._problems.append(Problem(rule, message, line=line, column=column))


def _refuse(name: str) -> None:
    raise ValueError(name)


def _words(message: str) -> str:
    """The words of Python's reader as ours.

    In lower case, and without what it adds for programmers.
    """
    return (
        (message[0].lower() + message[1:])
        .removesuffix(" at")
        .removesuffix(" starting")
        .rstrip(": ")
    )
