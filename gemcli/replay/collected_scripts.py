"""The scripts of one file while it is read: their names, what holds for all, and what is unused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from gemcli.errors import Problem, did_you_mean
from gemcli.replay import script_schema, suites
from gemcli.replay.check_script import check_script, raw_names, template_names
from gemcli.replay.script import Script, Settings
from gemcli.replay.script_schema import MAX_MESSAGES, refuse_so_many
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.text.tree import Node


class CollectedScripts:
    """Checks scripts and keeps them; `many` says that each needs a session of its own.

    `name` is what a script without a name is called, `given` are texts for templates.
    """

    def __init__(self, name: str, given: Mapping[str, str]) -> None:
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
        """Take in a script of gemcli."""
        self._check(script_schema.read(self.problems, node, self.name))

    def add_recorded(self, node: Node) -> None:
        """Take in a conversation of another format."""
        self._check(suites.read(self.problems, node, self.ignored, self.name))

    def add_suite(self, nodes: Iterable[Node], header: tree.Mapping | None = None) -> None:
        """Take in many conversations, after the settings of all if there are any."""
        self.many = True
        settings = script_schema.read_settings(self.problems, header or tree.Mapping())
        if settings is None:
            return
        self.name = settings.name or self.name
        lines: dict[str, int] = {}
        for node in nodes:
            script = suites.read(self.problems, node, self.ignored)
            if script is not None:
                self._check(self._in_suite(script, settings, node, lines))
            if self._messages > MAX_MESSAGES:
                refuse_so_many(self.problems, node)
                break
            if self.problems.full:
                break

    def _in_suite(
        self, script: Script, settings: Settings, node: Node, lines: dict[str, int]
    ) -> Script:
        """A conversation with what holds for all; `lines` are those of the names before it."""
        if script.name in lines and suites.own_name(node):
            first = lines[script.name]
            message = f"the conversation in line {first} is already called `{script.name}`"
            hint = "give each a `name` of its own"
            self.problems.add("duplicate-name", message, node, hint)
        elif script.name in lines:
            script = replace(script, name=self._numbered_name(script.name, lines))
        lines.setdefault(script.name, node.line)
        script = settings.under(script)
        if not script.vars and not self.given:
            script = replace(script, turns=tuple(replace(turn, raw=True) for turn in script.turns))
        return script

    def _numbered_name(self, name: str, taken: Container[str]) -> str:
        """The name of the next conversation that says the same as others."""
        while True:
            self._copies[name] += 1
            numbered = f"{name}-{self._copies[name] + 1}"
            if numbered not in taken:
                return numbered

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
        raw = {name for script in self.scripts for name in raw_names(script)}
        found = []
        for name in unused:
            message = f"there is no `{{{{{name}}}}}` for --var {name}"
            hint = did_you_mean(name, self._used)
            if name in raw:
                message = f"`{{{{{name}}}}}` for --var {name} is in messages that are no templates"
                hint = "lines of text, recorded messages and turns with raw: true are none"
            found.append(Problem("unused", message, hint=hint))
        return found
