"""Tools files: the functions that a model may call, as the API has them, and what runs each.

YAML or JSON: a list of declarations, or a mapping with `functionDeclarations`, or with `tools` that
have them, as in a request. Beside the API's keys, a declaration may say what command runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gemcli.errors import GemcliError
from gemcli.settings.api_objects import aliases, fields_in, kind_of
from gemcli.text import json_or_yaml, schema, tree
from gemcli.text.problems import Problems
from gemcli.text.schema import COUNT, FLAG, Kind, Schema, list_of, matching
from gemcli.text.tree import Node, Text
from gemcli.tools.results import FunctionResult

RULES = {"duplicate-function": "each function is declared once"}
"""Every rule by its stable name, the name that problems carry; those of schemas come on top."""

Declaration = dict[str, Any]
"""A FunctionDeclaration of the API."""

TIMEOUT = 60.0
"""Seconds that a tool may take, unless its declaration says otherwise."""

OUTPUT_LIMIT = 1_000_000
"""Bytes that a tool may print, unless its declaration says otherwise."""


@dataclass(frozen=True)
class Tool:
    """A function that the model may call. `declaration` is what the model is told of it.

    `command` runs it, or else `function` does; without both, its calls are for the user to answer.
    `idempotent` tools may be run again if nobody knows whether they ran.
    """

    name: str
    declaration: Declaration
    command: tuple[str, ...] = ()
    function: Callable[[Tool, dict[str, Any]], FunctionResult] | None = None
    timeout: float = TIMEOUT
    output_limit: int = OUTPUT_LIMIT
    idempotent: bool = False

    @property
    def runs(self) -> bool:
        """Whether there is something that runs it."""
        return bool(self.command or self.function)


class Toolbox:
    """Tools by their names."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        """Raises `GemcliError` (SETTINGS) for two tools of one name: they are of two files."""
        self.tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self.tools:
                what = f"the function {tool.name} is declared by two of --tools"
                raise GemcliError("SETTINGS", what)
            self.tools[tool.name] = tool

    @property
    def declarations(self) -> list[Declaration]:
        """What the model is told, in the order of the files; no command is in it."""
        return [tool.declaration for tool in self.tools.values()]


def load(text: str, name: str, notice: Callable[[str], None]) -> list[Tool]:
    """The tools of a file called `name`. Raises `GemcliError` (SETTINGS) with every problem."""
    problems = Problems(name)
    node = json_or_yaml.load(text, name, problems)
    tools: list[Tool] | None = None
    if node is not None:
        tools = read(problems, "the file", node)
    elif not problems:
        problems.add("shape", "there is no declaration", Text("", 1, 1))
    problems.require_none(name)
    for note in problems.notes:
        notice(note.describe())
    return tools or []


def read(problems: Problems, label: str, node: Node) -> list[Tool] | None:
    """The tools that a tree declares, in any of the three forms; a kind as schemas have them."""
    before = len(problems)
    declarations = list(_declarations(problems, label, node))
    tools = [_declaration()(problems, "a declaration", each) for each in declarations]
    _refuse_duplicates(problems, declarations)
    if not declarations and len(problems) == before:
        problems.add("shape", f"{label} must declare a function", node)
    return [tool for tool in tools if tool is not None] if len(problems) == before else None


def _declarations(problems: Problems, label: str, node: Node) -> Iterator[Node]:
    """The nodes of the declarations, in lists that may be below the keys of a request's tools."""
    if isinstance(node, tree.Sequence):
        for item in node:
            if isinstance(item, tree.Mapping) and item.keys() & {*_LISTS.keys, *_LISTS.aliases}:
                yield from _declarations(problems, "an item of `tools`", item)
            else:
                yield item
    elif isinstance(node, tree.Mapping):
        for key, inner in (_LISTS(problems, label, node) or {}).items():
            yield from _declarations(problems, f"`{key}`", inner)
    else:
        message = f"{label} must be a list of declarations, or a mapping that has one"
        problems.add("shape", message, node)


def _refuse_duplicates(problems: Problems, declarations: Iterable[Node]) -> None:
    first: dict[str, Text] = {}
    for node in declarations:
        name = node.get(Text("name")) if isinstance(node, tree.Mapping) else None
        if not isinstance(name, Text):
            continue
        if name in first:
            message = (
                f"the function `{name[:40]}` is declared twice, first in line {first[name].line}"
            )
            problems.add("duplicate-function", message, name)
        first.setdefault(name, name)


def _as_it_is(_problems: Problems, _label: str, node: Node) -> Node:
    return node


_BUILT_IN = dict.fromkeys(
    (*fields_in("Tool"), *aliases(fields_in("Tool"))),
    "a tools file declares functions; the API's own tools have the option --tool",
)

_LISTS: Schema[dict[str, Node]] = Schema(
    dict,
    {"functionDeclarations": _as_it_is, "tools": _as_it_is},
    hint="a tools file is a list of declarations",
    elsewhere=_BUILT_IN,
    aliases={"function_declarations": "functionDeclarations"},
)
"""What may stand around a list of declarations."""


def _seconds(node: Text) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", schema.unquoted(node)) or not float(node):
        raise ValueError
    return float(node)


def _word(node: Text) -> str:
    if not node:
        raise ValueError
    return str(node)


def _command(problems: Problems, label: str, node: Node) -> tuple[str, ...] | None:
    if isinstance(node, Text):
        message = f"{label} must be a list of words: there is no shell that would split it"
        problems.add("shape", message, node, 'with a shell it is ["sh", "-c", "…"]')
        return None
    words = list_of(schema.scalar("text", _word), least=1)(problems, label, node)
    return None if words is None else tuple(words)


NAME = matching(
    "a name of letters, digits, `_`, `.`, `:` and `-`, at most 128, that begins with a letter or _",
    "[A-Za-z_][A-Za-z0-9_.:-]{0,127}",
    schema.matched_text,
)

OWN_KEYS: Mapping[str, Kind[object]] = {
    "command": _command,
    "timeout": schema.scalar("a number of seconds, as in 2.5", _seconds),
    "output_limit": COUNT,
    "idempotent": FLAG,
}
"""What a declaration says besides what the model is told."""


@cache
def _declaration() -> Schema[Tool]:
    """The schema of a declaration: that of the API has Schemas in it, which are made on use."""
    keys = {name: kind_of(kind) for name, kind in fields_in("FunctionDeclaration").items()}
    return Schema(
        _tool,
        {**keys, "name": NAME, **OWN_KEYS},
        required=("name",),
        exclusive=(("parameters", "parametersJsonSchema"), ("response", "responseJsonSchema")),
        elsewhere=_BUILT_IN,
        aliases=aliases(keys),
    )


def _tool(**values: Any) -> Tool:
    own = {key: values.pop(key) for key in OWN_KEYS if key in values}
    return Tool(values["name"], values, **own)
