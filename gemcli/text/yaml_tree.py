"""YAML whose scalars are text, and which remembers its lines.

YAML guesses: `yes` becomes a boolean, `12:30` the number 750, `null` nothing, `1e3` sometimes text.
What people write to a model, and what they configure it with, must not change on the way. So a
document is built here from the parser's events, where every scalar is still the text as written,
and what turns text into something else (tags), or one thing into many (anchors, aliases, merge
keys), is refused. Whoever reads the tree decides what is a number; `plain_value` does for parts
that have no other rule than JSON's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Self, TypeAlias

from gemcli.errors import GemcliError, Problem, ReasonName, counted

MAX_DEPTH = 100
"""Deepest nesting of mappings and lists accepted; the API stops there too."""

MAX_CHARACTERS = 16 * 1024 * 1024
"""Longest document accepted: more is a mistake, and would take the parser minutes."""

MAX_PROBLEMS = 100
"""After so many problems a document is read no further.

It is something else than what it was taken for.
"""

RULES = {
    "yaml-syntax": "the text is YAML",
    "yaml-character": "there are no control characters (YAML writes them as escapes in double quotes)",
    "yaml-size": f"a document has at most {MAX_CHARACTERS} characters",
    "yaml-depth": f"mappings and lists nest at most {MAX_DEPTH} levels deep",
    "yaml-document": "there is one document",
    "yaml-anchor": "nothing is repeated by anchor and alias",
    "yaml-merge": "no mapping is merged into another with <<",
    "yaml-tag": "nothing has an explicit tag",
    "yaml-key": "keys are text",
    "yaml-duplicate": "a key stands once in a mapping",
    "yaml-number": "numbers are finite and of bearable length (`plain_value` only)",
}
"""Every rule by its stable name, the name that problems carry."""


class Text(str):
    """A scalar as written, with where it began (`line`, `column`, from 1).

    `plain` says that it stood there without quotes and not as a block: only then may it mean a
    number. `comment` says that a comment follows it on its last line, which may have been meant as
    text.
    """

    __slots__ = ("column", "comment", "line", "plain")

    line: int
    column: int
    plain: bool
    comment: bool

    def __new__(
        cls,
        value: str,
        line: int = 1,
        column: int = 1,
        plain: bool = True,
        *,
        comment: bool = False,
    ) -> Self:
        """Make the text `value` that began at `line` and `column`."""
        text = super().__new__(cls, value)
        text.line, text.column, text.plain, text.comment = line, column, plain, comment
        return text


class Mapping(dict[Text, "Node"]):
    """A mapping with text keys in their order, and where it began (`line`, `column`, from 1)."""

    def __init__(self, line: int = 1, column: int = 1) -> None:
        super().__init__()
        self.line, self.column = line, column


class Sequence(list["Node"]):
    """A list, and where it began (`line`, `column`, from 1)."""

    def __init__(self, line: int = 1, column: int = 1) -> None:
        super().__init__()
        self.line, self.column = line, column


Node: TypeAlias = Text | Mapping | Sequence
"""Anything in a YAML tree."""


def load(text: str, name: str, *, reason: ReasonName = "SETTINGS") -> Node | None:
    """Read one YAML document; None when it is empty (nothing but space and comments).

    `name` is what messages call the document. Raises `GemcliError` with `reason` and every problem
    that was found: all that is refused up to the first breach of YAML's own syntax, each with line
    and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise _error(
            name, reason, [Problem("yaml-size", f"longer than {MAX_CHARACTERS} characters")]
        )
    problems = list(islice(_control_characters(text), MAX_PROBLEMS))
    if problems:
        raise _error(name, reason, problems)
    reader = _Reader(text)
    root = reader.read()
    if reader.problems:
        raise _error(name, reason, reader.problems)
    return None if isinstance(root, Text) and root.plain and not root else root


def plain_value(node: Node, *, reason: ReasonName = "SETTINGS") -> Any:
    """The JSON value that a tree stands for: dicts, lists, texts, numbers, booleans, None.

    Scalars without quotes follow the core schema of YAML 1.2: empty, `~` and `null` are None,
    `true` and `false` booleans, `7`, `0x1F`, `1e3` and `.5` numbers, all else is text; so are all
    scalars in quotes. Raises `GemcliError` with `reason` and a problem for each number JSON cannot
    hold (`.nan`, `.inf`, `1e999`).
    """
    problems: list[Problem] = []
    value = _plain(node, problems)
    if problems:
        raise _error("numbers", reason, problems)
    return value


# What comes after these cannot be read, or would take the parser minutes: its time grows with depth
# squared.
_FATAL = ("yaml-syntax", "yaml-depth", "yaml-document")


class _StopReading(Exception):
    """The rest of the document is not worth reading."""


class _Reader:
    """Builds the tree of one document from the parser's events and collects what it refuses on the way.

    Events are `Any`: the stubs of PyYAML do not know that each has a mark, and each node an anchor.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.text = text
        self.lines: list[str] | None = None
        self.events = self._parse()
        self.mark: tuple[int, int] = (1, 1)

    def read(self) -> Node | None:
        """The document's root, None for a stream without a document.

        See `problems` before using it.
        """
        import yaml

        root: Node | None = None
        documents = 0
        try:
            for event in self.events:
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse(
                            "yaml-document",
                            "a second document begins here",
                            "keep one document in a file",
                        )
                elif isinstance(event, yaml.NodeEvent):
                    root = self._node(event, 1)
        except _StopReading:
            pass
        return root

    def _parse(self) -> Iterator[Any]:
        """The parser's events, `mark` following them.

        A breach of syntax becomes a problem and ends them.
        """
        import yaml

        # libyaml reads ten times faster; both give the same events.
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            events: Iterator[Any] = yaml.parse(self.text, Loader=loader)
            for event in events:
                self.mark = event.start_mark.line + 1, event.start_mark.column + 1
                yield event
        except yaml.YAMLError as error:
            self.problems.append(_syntax(error, self.text, self.mark))
            raise _StopReading from None
        except (ValueError, OverflowError):
            # The parser written in Python lets these through, for escapes like "\UFFFFFFFF".
            self._refuse("yaml-syntax", "an escape, or a number in a directive, is out of range")

    def _node(self, event: Any, depth: int) -> Node:
        import yaml

        line, column = self.mark
        if isinstance(event, yaml.AliasEvent):
            self._refuse(
                "yaml-anchor",
                f"the alias *{event.anchor}",
                "write the value out, or quote text that begins with *",
            )
            return Text("", line, column)
        self._refuse_marks(event)
        if isinstance(event, yaml.ScalarEvent):
            if _SURROGATE.search(event.value):
                self._refuse("yaml-character", "half a surrogate pair is not text")
            return Text(
                event.value, line, column, event.implicit[0], comment=self._is_cut_short(event)
            )
        if depth > MAX_DEPTH:
            self._refuse("yaml-depth", f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(Mapping(line, column), depth)
        return self._sequence(Sequence(line, column), depth)

    def _is_cut_short(self, event: Any) -> bool:
        """Whether a comment follows a scalar without quotes on its line."""
        if not event.implicit[0] or not event.value or "#" not in self.text:
            return False
        if self.lines is None:
            self.lines = _LINE_BREAK.split(self.text)
        end = event.end_mark
        return (
            end.line < len(self.lines)
            and _COMMENT.match(self.lines[end.line], end.column) is not None
        )

    def _refuse_marks(self, event: Any) -> None:
        """Refuse the anchor and the tag of a node.

        The node itself is read on, for what else is wrong with it.
        """
        if event.anchor is not None:
            self._refuse(
                "yaml-anchor", f"the anchor &{event.anchor}", "quote text that begins with &"
            )
        if event.tag is not None:
            self._refuse(
                "yaml-tag", f"the tag {_short(event.tag)}", "quote text that begins with !"
            )

    def _sequence(self, sequence: Sequence, depth: int) -> Sequence:
        import yaml

        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            sequence.append(self._node(event, depth + 1))
        return sequence

    def _mapping(self, mapping: Mapping, depth: int) -> Mapping:
        import yaml

        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            where, aliased = self.mark, isinstance(event, yaml.AliasEvent)
            key = self._node(event, depth + 1)
            accepted = not aliased and self._is_key(key, mapping, where)
            value = self._node(next(self.events), depth + 1)
            if accepted and isinstance(key, Text):
                mapping[key] = value
        return mapping

    def _is_key(self, key: Node, mapping: Mapping, where: tuple[int, int]) -> bool:
        """Whether `key`, which began at `where`, may be added to `mapping`; refuses it when not."""
        if not isinstance(key, Text):
            self._refuse(
                "yaml-key",
                "a mapping or a list as a key",
                "quote text that begins with { or [",
                where,
            )
        elif key == "<<" and key.plain:
            self._refuse("yaml-merge", "the merge key <<", "write the keys out", where)
        elif key in mapping:
            first = next(known.line for known in mapping if known == key)
            self._refuse(
                "yaml-duplicate",
                f"the key `{_short(key)}` stands in line {first} already",
                where=where,
            )
        else:
            return True
        return False

    def _refuse(
        self, rule: str, message: str, hint: str | None = None, where: tuple[int, int] | None = None
    ) -> None:
        line, column = where or self.mark
        self.problems.append(Problem(rule, message, line=line, column=column, hint=hint))
        if rule in _FATAL or len(self.problems) >= MAX_PROBLEMS:
            raise _StopReading


_COMMENT = re.compile("[ \t]+#")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# What YAML calls printable, which is what both of PyYAML's parsers accept.
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# The parser written in Python lets escapes like "\\ud800" through.
_SURROGATE = re.compile("[\ud800-\udfff]")

_HINTS = {
    "\t": "indent with spaces, not with tabs",
    "@": "put text that begins with @ in quotes",
    "`": "put text that begins with ` in quotes",
    "%": "put text that begins with % in quotes",
    ":": "put text that has a colon and a space in it in quotes",
}
"""What usually led to a breach of syntax, by the character at which the parser gave up."""


def _control_characters(text: str) -> Iterator[Problem]:
    # The parsers would name the first one only, and libyaml gives its position in bytes.
    line, start = 1, 0
    for match in _UNPRINTABLE.finditer(text):
        for line_break in _LINE_BREAK.finditer(text, start, match.start()):
            line, start = line + 1, line_break.end()
        message = f"the character U+{ord(match.group()):04X} is not allowed"
        yield Problem("yaml-character", message, line=line, column=match.start() - start + 1)


def _syntax(error: Exception, text: str, reached: tuple[int, int]) -> Problem:
    """The problem that a parser's error tells of; `reached` serves when it does not say where."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    message, context = (
        getattr(error, "problem", None) or "not YAML",
        getattr(error, "context", None),
    )
    line, column = (mark.line + 1, mark.column + 1) if mark else reached
    hint = _HINTS.get(text[mark.index : mark.index + 1]) if mark else None
    return Problem(
        "yaml-syntax",
        f"{message}, {context}" if context else message,
        line=line,
        column=column,
        hint=hint,
    )


def _error(name: str, reason: ReasonName, problems: list[Problem]) -> GemcliError:
    count = counted(len(problems), "problem")
    return GemcliError(reason, f"{name}: {count}", problems=problems)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


_CORE: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _plain(node: Node, problems: list[Problem]) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value, problems) for key, value in node.items()}
    if isinstance(node, Sequence):
        return [_plain(item, problems) for item in node]
    if not node.plain:
        return str(node)
    if node in _CORE:
        return _CORE[node]
    value = _number(node)
    if value is None:
        message = f"{_short(node)} is a number that JSON cannot hold"
        problems.append(
            Problem(
                "yaml-number",
                message,
                line=node.line,
                column=node.column,
                hint="quote it if it is text",
            )
        )
    return value


def _number(text: Text) -> int | float | str | None:
    """The number that plain text stands for, the text itself if for none, None if it cannot be held."""
    try:
        if _INTEGER.fullmatch(text):
            return int(text, 0 if text.startswith("0") and text[1:2] in ("o", "x") else 10)
        if _FLOAT.fullmatch(text):
            number = float(text)
            return number if number - number == 0.0 else None
    except ValueError:
        # Python refuses to convert thousands of digits.
        return None
    return None if _NOT_FINITE.fullmatch(text) else str(text)
