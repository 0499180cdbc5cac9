"""The conversations of one file: their names, what holds for all, and what is not used."""

from __future__ import annotations

from collections import Counter, abc
from dataclasses import replace

from gemcli.errors import Problem, did_you_mean
from gemcli.replay import read_conversation, script_schema
from gemcli.replay.check_script import check_script, template_names
from gemcli.replay.script import Script
from gemcli.replay.script_schema import MAX_MESSAGES, refuse_so_many
from gemcli.text.problems import Problems
from gemcli.text.tree import Mapping, Node, Sequence, Text


class CollectedScripts:
    """Checks scripts and keeps them; `many` says that each needs a session of its own.

    `name` is what a script without a name is called, `given` are texts for templates.
    """

    def __init__(self, name: str, given: abc.Mapping[str, str]) -> None:
        self.name = name
        self.given = given
        self.problems = Problems()
        self.scripts: list[Script] = []
        self.many = False
        self.ignored: dict[str, None] = {}
        self._messages = 0
        self._used: set[str] = set()
        self._copies: Counter[str] = Counter()

    def add(self, node: Node) -> None:
        """Take in a document: one conversation, or a list of them with settings for all."""
        if suite := _suite(node):
            self._add_suite(*suite)
        elif read_conversation.is_recorded(node):
            self._check(read_conversation.read(self.problems, node, self.ignored, self.name))
        else:
            self._check(script_schema.read(self.problems, node, self.name))

    def _add_suite(self, header: Mapping, nodes: Sequence) -> None:
        self.many = True
        settings = script_schema.read_settings(self.problems, header)
        if settings is None:
            return
        self.name = settings.name or self.name
        lines: dict[str, int] = {}
        for node in nodes:
            script = read_conversation.read(self.problems, node, self.ignored)
            if script is not None:
                script = settings.under(self._with_own_name(script, node, lines))
                has_texts = script.vars or self.given
                self._check(script if has_texts else script.as_raw())
            if self._messages > MAX_MESSAGES:
                refuse_so_many(self.problems, node)
                break
            if self.problems.full:
                break

    def _with_own_name(self, script: Script, node: Node, lines: dict[str, int]) -> Script:
        """A conversation with a name that no other has; `lines` are those of the names so far."""
        name = script.name
        if name in lines and read_conversation.own_name(node):
            message = f"the conversation in line {lines[name]} is already called `{name}`"
            hint = "give each a `name` of its own"
            self.problems.add("duplicate-name", message, node, hint)
        elif name in lines:
            self._copies[name] += 1
            return replace(script, name=f"{name}-{self._copies[name] + 1}")
        lines.setdefault(name, node.line)
        return script

    def _check(self, script: Script | None) -> None:
        """Keep a script with the given texts, and find what does not go together in it."""
        if script is None:
            return
        self._messages += len(script.turns)
        self._used |= script.vars.keys() | template_names(script)
        if self.given:
            script = replace(script, vars={**script.vars, **self.given})
        check_script(script, self.problems)
        self.scripts.append(script)

    def unused(self) -> list[Problem]:
        """A problem for each given text that no template asks for: it would be ignored silently."""
        unused = [name for name in self.given if name not in self._used]
        if not unused:
            return []
        found = []
        for name in unused:
            hint = "lines of text, recorded messages and turns with raw: true are no templates"
            near = did_you_mean(name, self._used)
            found.append(
                Problem(
                    "unused", f"no template `{{{{{name}}}}}` for --var {name}", hint=near or hint
                )
            )
        return found


def _suite(node: Node) -> tuple[Mapping, Sequence] | None:
    """The settings and the conversations of a suite; None if it is one conversation."""
    if isinstance(node, Sequence):
        return (Mapping(), node) if _has_conversations(node) else None
    # ShareGPT has messages under this key.
    items = node.get(Text("conversations")) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(items, Sequence):
        return None
    header = Mapping(node.line, node.column)
    header.update((key, value) for key, value in node.items() if key != "conversations")
    return (header, items) if _has_conversations(items) else None


def _has_conversations(items: Sequence) -> bool:
    first = items[0] if items else Text("")
    if not isinstance(first, Mapping):
        return read_conversation.is_conversation(first)
    # `- turns: the tables` is a message that should be in quotes.
    shapes = [(key, value) for key, value in first.items() if key in read_conversation.SHAPES]
    return any(not key.plain or isinstance(value, Sequence) for key, value in shapes)
