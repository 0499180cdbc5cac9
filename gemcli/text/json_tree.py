"""JSON as a tree of text; what is not JSON, or could not be written back, is refused."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator

from gemcli.text import strict_json
from gemcli.text.problems import Problems
from gemcli.text.tree import MAX_DEPTH, Literal, Mapping, Node, Sequence, Text, shortened

RULES = {
    "json-syntax": "the text is JSON",
    "json-depth": f"objects and lists nest at most {MAX_DEPTH} levels deep",
    "json-duplicate": "each key of an object is different",
    "json-character": "text is Unicode",
}
"""Every rule by its stable name, the name that problems carry."""

# Possessive: what could be given back later takes 120 bytes a character.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|[^\s\[\]{},:"]+')
_SURROGATE = re.compile("[\ud800-\udfff]")


def load(text: str, problems: Problems, line: int = 1) -> Node | None:
    """Read one JSON document that begins in `line` of its file; None if it is no JSON."""
    try:
        # Python's reader checks the syntax; numbers stay text, so that none is too long.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = Text("", line + error.lineno - 1, error.colno)
        problems.add("json-syntax", strict_json.syntax_fault(error), place)
        return None
    except ValueError as error:  # NaN or Infinity; everything before it is JSON
        name = str(error)
        place = next(token for token in _tokens(text, line) if token.startswith(name))
        problems.add("json-syntax", f"{name} is not JSON", place)
        return None
    except RecursionError:
        pass  # the builder stops long before that depth
    try:
        return _Builder(text, problems, line).next_node(depth=1)
    except _TooDeep:
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _tokens(text: str, line: int) -> Iterator[Text]:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for match in _TOKEN.finditer(text):
        row = bisect_right(starts, match.start()) - 1
        yield Text(match[0], line + row, match.start() - starts[row] + 1)


class _TooDeep(Exception):
    """The text nests too deep to be read on."""


class _Builder:
    """Builds the tree of a text that is known to be JSON: its tokens need no checking."""

    def __init__(self, text: str, problems: Problems, line: int) -> None:
        self.problems = problems
        self.tokens = _tokens(text, line)

    def next_node(self, depth: int) -> Node:
        return self.node(next(self.tokens), depth)

    def node(self, token: Text, depth: int) -> Node:
        if token[0] == '"':
            return self.string(token)
        if token not in ("[", "{"):
            return Literal(token, token.line, token.column)
        if depth > MAX_DEPTH:
            self.problems.add("json-depth", f"nested more than {MAX_DEPTH} levels deep", token)
            raise _TooDeep
        return self.list(token, depth) if token == "[" else self.object(token, depth)  # noqa: S105

    def string(self, token: Text) -> Text:
        value = json.loads(token)
        if _SURROGATE.search(value):
            self.problems.add("json-character", "unpaired surrogate", token)
        return Text(value, token.line, token.column, plain=False)

    def list(self, start: Text, depth: int) -> Sequence:
        items = Sequence(start.line, start.column)
        for token in self.tokens:
            if token == "]":  # noqa: S105
                break
            items.append(self.node(token, depth + 1))
        return items

    def object(self, start: Text, depth: int) -> Mapping:
        mapping = Mapping(start.line, start.column)
        for token in self.tokens:
            if token == "}":  # noqa: S105
                break
            key = self.string(token)
            if key in mapping:
                self.problems.add("json-duplicate", f"duplicate key `{shortened(key)}`", key)
            mapping[key] = self.next_node(depth + 1)
        return mapping
