"""Scripts in all their forms, told apart by their shape.

a list of messages                     text or turns, or messages of other formats
a mapping with `turns`                 a script with settings
a mapping with `messages` or the like  a conversation of another format
a list of conversations                a suite; its settings beside it in a mapping, if it has any
JSON Lines                             messages or conversations, perhaps after {"script": {…}}
a session                              its user messages again
plain text, if the caller says so      each line a message
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace

from gemcli.chat.contents import function_calls, function_responses, user_text
from gemcli.errors import GemcliError, Problem, counted, did_you_mean, in_order
from gemcli.replay import recorded_messages, script_schema, suites
from gemcli.replay.check_script import check_script, raw_names, template_names
from gemcli.replay.script import Script, Settings, Suite, Turn
from gemcli.sessions import read_records
from gemcli.sessions.journal import Turn as Recorded
from gemcli.settings.config import Config
from gemcli.text import json_tree, tree, yaml_tree
from gemcli.text.problems import Problems
from gemcli.text.tree import Node, Text


def load(
    text: str, file: str, given: Mapping[str, str], *, as_lines: bool = False, strict: bool = False
) -> Suite:
    """Read a script of any form; `file` is what messages call it.

    `given` are texts for templates, which win over the script's own `vars`. With `as_lines` each
    line is a message; with `strict` warnings are problems. Raises `GemcliError` SCRIPT with every
    problem at once, each with file, line and column; for a session also what reading it raises.
    """
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    text = text.removeprefix("\ufeff")
    reader = _Reader(file, given)
    if as_lines:
        reader.read_lines(text)
    elif _is_session(text):
        reader.read_session(text)
    elif rows := _json_lines(text, file):
        reader.read_json_lines(rows)
    else:
        reader.read_document(text)
    problems, scripts = reader.problems, tuple(reader.scripts)
    found = problems.found or reader.unused()
    if strict:
        found = found + problems.notes
    if not scripts and not found:
        found = [Problem("empty-script", "there is no message", line=1, column=1)]
    if found:
        message = f"{file} is not a script: {counted(len(found), 'problem')}; nothing was sent"
        raise GemcliError("SCRIPT", message, problems=_in_file(file, found))
    name = reader.name if reader.many else scripts[0].name
    warnings = tuple(_in_file(file, problems.notes))
    ignored = tuple(reader.ignored)
    return Suite(file, name, digest, scripts, reader.many, warnings=warnings, ignored=ignored)


class _Reader:
    """Reads one file into `scripts`; `many` says that each needs a session of its own."""

    def __init__(self, file: str, given: Mapping[str, str]) -> None:
        self.file = file
        self.name = "script" if file == "-" else os.path.basename(file).partition(".")[0]
        self.given = given
        self.problems = Problems()
        self.scripts: list[Script] = []
        self.many = False
        self.copies: Counter[str] = Counter()
        self.ignored: dict[str, None] = {}
        self.used: set[str] = set()

    def read_lines(self, text: str) -> None:
        """Each line that is not blank is a message of one script."""
        turns = [
            Turn("", user_text(row.removesuffix("\r")), raw=True, line=number)
            for number, row in enumerate(text.split("\n"), 1)
            if row.strip()
        ]
        if turns:
            self.scripts.append(Script(self.name, _numbered(turns)))

    def read_session(self, text: str) -> None:
        """The user messages of a session are sent again with its model and settings."""
        journal = read_records.fold(read_records.scan(text.encode()), self.file)
        if journal.torn_bytes:
            end = Text("", len(journal.records) + 1, 1)
            self.problems.note("torn-tail", "a crash tore this record; it is left out", end)
        lines = {id(record): line for line, record in enumerate(journal.records, 1)}
        requests = [(turn, lines[id(turn.exchanges[0].request)]) for turn in journal.live]
        turns = [self._recorded(turn, line) for turn, line in requests]
        header = journal.header
        if turns:
            script = Script(self.name, _numbered(turns), header["model"], header["config"])
            self.scripts.append(replace(script, header=header))

    def _recorded(self, turn: Recorded, line: int) -> Turn:
        """A turn of a session, whose request is in `line`, to be sent again."""
        request = turn.exchanges[0].request
        if any(function_calls(content) or function_responses(content) for content in turn.contents):
            message = f"turn {turn.number} of the session calls functions"
            hint = "a script cannot answer them"
            self.problems.add("function-call", message, Text("", line, 1), hint)
        config: Config = request.get("config") or {}
        return Turn("", request["content"], raw=True, config=config, line=line)

    def read_document(self, text: str) -> None:
        """A YAML or JSON document is one script, or a list of conversations."""
        node = self._json(text)
        if node is None and not self.problems:
            node = yaml_tree.load(text, self.problems)
        if node is not None and not (isinstance(node, Text) and node.plain and not node):
            self._read_node(node)

    def _read_node(self, node: Node) -> None:
        """The root of a document."""
        if conversations := suites.conversations_of(node):
            self._read_suite(conversations)
        elif isinstance(node, tree.Mapping) and (inner := _conversations_in(node)):
            header = tree.Mapping(node.line, node.column)
            header.update((key, value) for key, value in node.items() if key != "conversations")
            self._read_suite(inner, header)
        elif suites.is_recorded(node):
            self._take(suites.read(self.problems, node, self.ignored, self.name))
        else:
            self._take(script_schema.read(self.problems, node, self.name))

    def _json(self, text: str) -> Node | None:
        """The tree of a JSON document; what is no JSON may be YAML, but for a file called .json."""
        if not text.lstrip().startswith(("[", "{")):
            return None
        problems = Problems()
        node = json_tree.load(text, problems)
        if node is not None or self.file.endswith(".json"):
            self.problems.include(problems)
        return node

    def read_json_lines(self, rows: list[tuple[int, str]]) -> None:
        """The messages of one conversation, or a conversation a line."""
        nodes: list[Node] = []
        for number, row in rows:
            node = json_tree.load(row, self.problems, number)
            if node is not None:
                nodes.append(node)
            if self.problems.full:
                break
        header = tree.Mapping()
        if nodes and isinstance(nodes[0], tree.Mapping) and list(nodes[0]) == [Text("script")]:
            settings, nodes = nodes[0][Text("script")], nodes[1:]
            if not isinstance(settings, tree.Mapping):
                self.problems.add("shape", "`script` must be an object of settings", settings)
                return
            header = settings
        first = nodes[0] if nodes else None
        if first is not None and suites.is_conversation(first):
            self._read_suite(nodes, header)
        elif len(rows) == 1 and isinstance(first, tree.Sequence):
            self._read_node(first)
        elif header or first is not None:
            self._read_messages(nodes, header)

    def _read_messages(self, nodes: list[Node], header: tree.Mapping) -> None:
        """One conversation: its messages a line each, after its settings if there are any."""
        own_turns = [key for key in header if key == "turns"]
        for key in own_turns:
            self.problems.add("unknown-key", "`turns` are the lines that follow", key)
        recorded = bool(nodes) and recorded_messages.is_message(nodes[0])
        if nodes or not own_turns:
            script = tree.Mapping(header.line, header.column)
            script.update(header)
            shape = Text("messages" if recorded else "turns", header.line, header.column)
            script[shape] = tree.Sequence(header.line, header.column, nodes)
            header = script
        if recorded:
            self._take(suites.read(self.problems, header, self.ignored, self.name))
        else:
            self._take(script_schema.read(self.problems, header, self.name))

    def _read_suite(self, nodes: list[Node], header: tree.Mapping | None = None) -> None:
        """Many conversations, after the settings of all if there are any."""
        self.many = True
        settings = script_schema.read_settings(self.problems, header or tree.Mapping())
        if settings is None:
            return
        self.name = settings.name or self.name
        lines: dict[str, int] = {}
        for node in nodes:
            script = suites.read(self.problems, node, self.ignored)
            if script is not None:
                self._take(self._in_suite(script, settings, node, lines))
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
            self.copies[name] += 1
            numbered = f"{name}-{self.copies[name] + 1}"
            if numbered not in taken:
                return numbered

    def _take(self, script: Script | None) -> None:
        """Check a script that was read, and keep it with the given texts."""
        if script is None:
            return
        self.used |= script.vars.keys() | template_names(script)
        script = replace(script, vars={**script.vars, **self.given})
        check_script(script, self.problems)
        self.scripts.append(script)

    def unused(self) -> list[Problem]:
        """A problem for each given text that no template asks for: it would be ignored silently."""
        found = []
        raw = {name for script in self.scripts for name in raw_names(script)}
        for name in [name for name in self.given if name not in self.used]:
            message = f"there is no `{{{{{name}}}}}` for --var {name}"
            hint = did_you_mean(name, self.used)
            if name in raw:
                message = f"`{{{{{name}}}}}` for --var {name} is in messages that are no templates"
                hint = "lines of text, recorded messages and turns with raw: true are none"
            found.append(Problem("unused", message, hint=hint))
        return found


def _numbered(turns: list[Turn]) -> tuple[Turn, ...]:
    """The turns, each with its place as its id."""
    return tuple(replace(turn, id=f"t{number}") for number, turn in enumerate(turns, 1))


def _conversations_in(node: tree.Mapping) -> tree.Sequence | None:
    """The conversations of a file with settings for all; ShareGPT has messages under that key."""
    conversations = node.get(Text("conversations"))
    return None if conversations is None else suites.conversations_of(conversations)


def _is_session(text: str) -> bool:
    first = json_tree.load(text.lstrip().partition("\n")[0], Problems())
    return isinstance(first, tree.Mapping) and first.get(Text("kind")) == "session"


def _json_lines(text: str, file: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers; none if the text is not JSON Lines.

    It is if its file is called so, or if the first of several lines is a JSON value by itself.
    """
    rows = [(number, row) for number, row in enumerate(text.split("\n"), 1) if row.strip()]
    if not rows or file.endswith((".jsonl", ".ndjson")):
        return rows
    first = rows[0][1].lstrip()
    is_value = first[0] in '"{[' and json_tree.load(first, Problems()) is not None
    is_lines = len(rows) > 1 and is_value and not rows[1][1].lstrip().startswith("#")
    return rows if is_lines else []


def _in_file(file: str, problems: list[Problem]) -> list[Problem]:
    """Problems with their file, in the order of lines."""
    return [replace(problem, file=file) for problem in in_order(problems)]
