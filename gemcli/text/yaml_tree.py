"""YAML as a tree of text.

YAML guesses: `yes` becomes a boolean, `12:30` the number 750. What people write to a model must not
change on the way. So scalars stay as written, and what turns text into something else (tags), or
one thing into many (anchors, aliases, merge keys), is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gemcli.text.problems import Place, Problems
from gemcli.text.tree import MAX_DEPTH, Mapping, Node, Sequence, Text, shortened

if TYPE_CHECKING:
    import yaml

MAX_CHARACTERS = 16 * 1024 * 1024
"""Longest document accepted: more is a mistake, and would take the parser minutes."""

RULES = {
    "yaml-syntax": "the text is YAML",
    "yaml-character": "there are no control characters (write them as escapes in double quotes)",
    "yaml-size": f"a document has at most {MAX_CHARACTERS} characters",
    "yaml-depth": f"mappings and lists nest at most {MAX_DEPTH} levels deep",
    "yaml-document": "there is one document",
    "yaml-anchor": "nothing is repeated by anchor and alias",
    "yaml-merge": "no mapping is merged into another with <<",
    "yaml-tag": "nothing has an explicit tag",
    "yaml-key": "keys are text",
    "yaml-duplicate": "each key of a mapping is different",
    "yaml-dash": "no line of text without quotes begins like an item (a note)",
}
"""Every rule by its stable name, the name that problems carry."""


def load(text: str, problems: Problems) -> Node | None:
    """Read one YAML document; None if it has a problem. Without content, it is empty plain text."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        problems.add("yaml-size", f"longer than {MAX_CHARACTERS} characters", Text(""))
        return None
    if _UNPRINTABLE.search(text):
        _refuse_characters(text, problems)
        return None
    before = len(problems)
    root = _compose(text, problems)
    tree = Text("", 1, 1) if root is None else _Walk(text, problems).node(root, depth=1)
    return tree if len(problems) == before else None


class _TooDeep(Exception):
    """The document nests too deep to be composed; its argument is the node where it does."""


def _compose(text: str, problems: Problems) -> yaml.Node | None:
    """The nodes of a document, None if there are none."""
    import yaml

    # libyaml reads ten times faster; both give the same nodes.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """Stops at the depth where composing, which is recursive, could crash."""

        depth = 0

        def descend_resolver(self, parent: yaml.Node, _index: object) -> None:
            self.depth += 1
            if self.depth > MAX_DEPTH + 1:
                raise _TooDeep(parent)

        def ascend_resolver(self) -> None:
            self.depth -= 1

    try:
        return yaml.compose(text, Loader)
    except _TooDeep as error:
        problems.add(*_TOO_DEEP, _place(error.args[0]))
    except yaml.MarkedYAMLError as error:
        _refuse_syntax(error, text, problems)
    except yaml.YAMLError as error:
        problems.add("yaml-syntax", str(error).partition("\n")[0], Text("", 1, 1))
    except (ValueError, OverflowError):
        # The parser written in Python lets these through, for escapes like "\UFFFFFFFF".
        message = "an escape, or a number in a directive, is out of range"
        problems.add("yaml-syntax", message, Text("", 1, 1))
    return None


class _Walk:
    """Turns the parser's nodes into a tree, and refuses what is more than text."""

    def __init__(self, text: str, problems: Problems) -> None:
        self.text = text
        self.problems = problems
        self.lines = _LINE_BREAK.split(text)
        self.anchored: set[int] = set()

    def node(self, node: Any, depth: int) -> Node:
        """The tree below a node."""
        place = _place(node)
        if id(node) in self.anchored:  # an alias: its anchor was refused
            return place
        self._refuse_properties(node, place)
        if isinstance(node.value, str):
            return self._text(node, place)
        if depth > MAX_DEPTH:
            self.problems.add(*_TOO_DEEP, place)
            return place
        if node.id == "sequence":
            items = [self.node(item, depth + 1) for item in node.value]
            return Sequence(place.line, place.column, items)
        mapping = Mapping(place.line, place.column)
        for key_node, value_node in node.value:
            key = self.node(key_node, depth + 1)
            value = self.node(value_node, depth + 1)
            if isinstance(key, Text) and self._is_new_key(key, mapping):
                mapping[key] = value
            elif not isinstance(key, Text):
                hint = "quote text that begins with { or ["
                self.problems.add("yaml-key", "a mapping or a list as a key", key, hint)
        return mapping

    def _text(self, node: Any, place: Text) -> Text:
        if _SURROGATE.search(node.value):
            self.problems.add("yaml-character", "unpaired surrogate", place)
        plain = not node.style  # None, or "" from libyaml
        end = node.end_mark
        may_have_comment = plain and node.value and end.line < len(self.lines)
        comment = may_have_comment and _COMMENT.match(self.lines[end.line], end.column)
        if plain and end.line >= place.line:
            self._warn_of_dashes(place, end.line)
        text = comment[1].rstrip() if comment else ""
        return Text(node.value, place.line, place.column, plain, text)

    def _warn_of_dashes(self, start: Text, end: int) -> None:
        """Warn of lines that look like items of a list, and go on with the text before them."""
        for number, line in enumerate(self.lines[start.line : end + 1], start.line + 1):
            if dash := _DASH.match(line):
                message = f"this line goes on with the text that begins in line {start.line}"
                place = Text("", number, dash.end())
                hint = "begin it right below the - of the first item, or put the text in quotes"
                self.problems.note("yaml-dash", message, place, hint)

    def _refuse_properties(self, node: yaml.Node, place: Place) -> None:
        """Refuse an anchor or a tag: no node begins with these characters otherwise."""
        mark = self.text[node.start_mark.index : node.start_mark.index + 1]
        if mark not in ("&", "!"):
            return
        self.anchored.add(id(node))
        what = "anchor" if mark == "&" else "tag"
        written = _PROPERTY.match(self.text, node.start_mark.index)
        message = f"the {what} {shortened(written[0] if written else mark)}"
        self.problems.add(f"yaml-{what}", message, place, f"quote text that begins with {mark}")

    def _is_new_key(self, key: Text, mapping: Mapping) -> bool:
        if key == "<<" and key.plain:
            self.problems.add("yaml-merge", "the merge key <<", key, "write the keys out")
        elif key in mapping and not self.problems.full:
            first = next(known.line for known in mapping if known == key)
            message = f"duplicate key `{shortened(key)}`, first in line {first}"
            self.problems.add("yaml-duplicate", message, key)
        else:
            return key not in mapping
        return False


_TOO_DEEP = ("yaml-depth", f"nested more than {MAX_DEPTH} levels deep")
_COMMENT = re.compile("[ \t]+(#.*)")
_DASH = re.compile(r"[ \t]*-(?=[ \t]|$)")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PROPERTY = re.compile(r"[^\s,\[\]{}]+")
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


def _place(node: yaml.Node) -> Text:
    return Text("", node.start_mark.line + 1, node.start_mark.column + 1)


def _refuse_characters(text: str, problems: Problems) -> None:
    # The parsers would name the first one only, and libyaml gives its position in bytes.
    line, start = 1, 0
    for match in _UNPRINTABLE.finditer(text):
        for line_break in _LINE_BREAK.finditer(text, start, match.start()):
            line, start = line + 1, line_break.end()
        message = f"the character U+{ord(match.group()):04X} is not allowed"
        problems.add("yaml-character", message, Text("", line, match.start() - start + 1))
        if problems.full:
            return


def _refuse_syntax(error: yaml.MarkedYAMLError, text: str, problems: Problems) -> None:
    """Refuse what the parser did not read, in its words unless ours are better."""
    mark = error.problem_mark or error.context_mark
    place = Text("", mark.line + 1, mark.column + 1) if mark else Text("", 1, 1)
    problem, context = error.problem or "not YAML", error.context
    if "anchor" in (context or "") or problem.startswith("found undefined alias"):
        hint = "write the value out, or quote text that begins with * or &"
        problems.add("yaml-anchor", "an anchor or alias", place, hint)
    elif "another document" in problem:
        hint = "keep one document in a file"
        problems.add("yaml-document", "a second document begins here", place, hint)
    else:
        usual = _HINTS.get(text[mark.index : mark.index + 1]) if mark else None
        problems.add("yaml-syntax", f"{problem}, {context}" if context else problem, place, usual)
