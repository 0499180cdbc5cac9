"""Scripts in all their forms, told apart by their shape.

What a file holds becomes a Suite, or all that is wrong.

YAML or JSON list                    each item a message                                      one
conversation YAML or JSON mapping with `turns`    a script with settings
one JSON Lines of messages               strings or turns; perhaps first {"script": {settings}}
one JSON Lines of conversations          each with turns, messages, contents or history
one a line a session                            its user messages again
one plain text, if the caller says so    each line a message
one
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from gemcli.chat.contents import function_calls, function_responses, user_text
from gemcli.errors import GemcliError, Problem, counted, did_you_mean, in_order
from gemcli.replay import script_schema, suites
from gemcli.replay.crosschecks import ScriptReading
from gemcli.replay.script import Script, Suite, Turn
from gemcli.sessions import read_records
from gemcli.sessions.journal import Turn as Recorded
from gemcli.text import json_tree, yaml_tree
from gemcli.text.yaml_tree import MAX_PROBLEMS, Node, Text


def load(
    text: str, file: str, given: Mapping[str, str], *, as_lines: bool = False, strict: bool = False
) -> Suite:
    """Read a script of any form; `file` is what messages call it.

    `given` are texts for templates, which win over the script's own `vars`. With `as_lines` each
    line is a message; with `strict` warnings are problems. Raises `GemcliError` SCRIPT with every
    problem at once, each with file, line and column; for a session also what reading it raises.
    """
    reading = _Reading(file, text, given)
    text = text.removeprefix("\ufeff")
    if as_lines:
        suite = reading.suite(reading.plain_lines(text))
    elif _is_session(text):
        suite = reading.suite(reading.session(text))
    elif rows := _rows(text, file):
        suite = reading.rows(rows)
    else:
        suite = reading.document(text)
    reading.require_use()
    if strict:
        reading.problems += reading.warnings
    if not suite.scripts and not reading.problems:
        reading.problems.append(Problem("empty-script", "there is no message", line=1, column=1))
    if reading.problems:
        raise _error(file, reading.problems)
    return replace(suite, warnings=tuple(_placed(file, reading.warnings)))


class _Reading:
    """Reads one file; what is wrong with it is in `problems`, what may be wrong in `warnings`."""

    def __init__(self, file: str, text: str, given: Mapping[str, str]) -> None:
        self.file = file
        self.digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        self.given = given
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.used: set[str] = set()
        self.name = "script" if file == "-" else os.path.basename(file).partition(".")[0]

    def suite(
        self, scripts: Sequence[Script], *, many: bool = False, ignored: Iterable[str] = ()
    ) -> Suite:
        """What the file holds."""
        name = self.name if many or not scripts else scripts[0].name
        return Suite(
            self.file, name, self.digest, tuple(scripts), many=many, ignored=tuple(ignored)
        )

    def plain_lines(self, text: str) -> tuple[Script, ...]:
        """Each line that is not blank as a message of one script."""
        rows = [(number, row.removesuffix("\r")) for number, row in enumerate(text.split("\n"), 1)]
        said = [(number, row) for number, row in rows if row.strip()]
        turns = [
            Turn(f"t{place}", user_text(row), raw=True, line=number)
            for place, (number, row) in enumerate(said, 1)
        ]
        return (Script(self.name, tuple(turns)),) if turns else ()

    def session(self, text: str) -> tuple[Script, ...]:
        """The user messages of a session, to be sent again with its model and settings."""
        journal = read_records.fold(read_records.scan(text.encode()), self.file)
        numbers = {id(record): number for number, record in enumerate(journal.records, 1)}
        turns = [
            self._recorded(turn, f"t{place}", numbers[id(turn.exchanges[0].request)])
            for place, turn in enumerate(journal.live, 1)
        ]
        if not turns:
            return ()
        header = journal.header
        return (Script(self.name, tuple(turns), header["model"], header["config"], header=header),)

    def _recorded(self, turn: Recorded, name: str, line: int) -> Turn:
        """The turn of a session that stands in line `line`, to be sent again as `name`."""
        request = turn.exchanges[0].request
        if any(function_calls(content) or function_responses(content) for content in turn.contents):
            what = (
                f"turn {turn.number} of the session calls functions, which a script cannot answer"
            )
            self.problems.append(Problem("function-call", what, line=line, column=1))
        return Turn(
            name, request["content"], raw=True, config=request.get("config") or {}, line=line
        )

    def document(self, text: str) -> Suite:
        """A YAML or JSON document."""
        node = self._json(text)
        if node is None and not self.problems:
            node = self._yaml(text)
        if node is None:
            return self.suite(())
        if isinstance(node, yaml_tree.Mapping) and suites.is_foreign(node):
            return self._suite([node])
        return self.suite(
            self._scripts(lambda reading: script_schema.read(reading, node, self.name))
        )

    def _json(self, text: str) -> Node | None:
        """The tree of a JSON document.

        None if it is none, which is a problem only if it is called one.
        """
        if not text.lstrip().startswith(("[", "{")):
            return None
        found: list[Problem] = []
        node = json_tree.load(text, found)
        self.problems += found if node is not None or self.file.endswith(".json") else []
        return node

    def _yaml(self, text: str) -> Node | None:
        try:
            return yaml_tree.load(text, self.file, reason="SCRIPT")
        except GemcliError as error:
            self.problems += error.problems
            return None

    def rows(self, rows: list[tuple[int, str]]) -> Suite:
        """JSON Lines: the messages of one conversation, or a conversation a line."""
        nodes: list[Node] = []
        for number, row in rows:
            node = json_tree.load(row, self.problems, number)
            if node is not None:
                nodes.append(node)
            if len(self.problems) >= MAX_PROBLEMS:
                break
        if not nodes:
            return self.suite(())
        if isinstance(nodes[0], yaml_tree.Mapping) and suites.is_one(nodes[0]):
            return self._suite(nodes)
        return self.suite(self._scripts(lambda reading: self._turns(reading, nodes)))

    def _turns(self, reading: ScriptReading, nodes: list[Node]) -> Script | None:
        """The script whose messages stand in lines, after the settings if there are any."""
        header, key = yaml_tree.Mapping(), Text("script")
        first = nodes[0] if nodes else None
        if isinstance(first, yaml_tree.Mapping) and list(first) == [key]:
            settings, nodes = first[key], nodes[1:]
            if not isinstance(settings, yaml_tree.Mapping):
                reading.refuse("shape", "`script` must be an object of settings", settings)
                return None
            header = settings
        written = next((key for key in header if key == "turns"), None)
        if written is not None:
            reading.refuse("unknown-key", "`turns` are the lines that follow", written)
        if nodes or written is None:
            turns = yaml_tree.Sequence(header.line, header.column)
            turns += nodes
            header[Text("turns", header.line, header.column)] = turns
        return script_schema.read(reading, header, self.name)

    def _suite(self, nodes: list[Node]) -> Suite:
        """A conversation a line."""
        scripts: list[Script] = []
        ignored: dict[str, None] = {}
        lines_by_name: dict[str, int] = {}
        for node in nodes:
            reading = ScriptReading(self.given, templates=False)
            script = suites.read(reading, node, ignored)
            self._take(reading)
            if script is not None:
                if script.name in lines_by_name:
                    what = f"the conversation in line {lines_by_name[script.name]} is called `{script.name}` already"
                    hint = "give each a `name` of its own"
                    self.problems.append(
                        Problem(
                            "duplicate-name", what, line=node.line, column=node.column, hint=hint
                        )
                    )
                lines_by_name.setdefault(script.name, node.line)
                scripts.append(script)
            if len(self.problems) >= MAX_PROBLEMS:
                break
        return self.suite(scripts, many=True, ignored=ignored)

    def _scripts(self, read: Callable[[ScriptReading], Script | None]) -> tuple[Script, ...]:
        reading = ScriptReading(self.given)
        script = read(reading)
        self._take(reading)
        return () if script is None else (script,)

    def require_use(self) -> None:
        """Refuse given texts that no template asks for.

        The script would quietly go without them.
        """
        for name in self.given if not self.problems else ():
            if name not in self.used:
                hint = did_you_mean(name, self.used)
                self.problems.append(
                    Problem("unused", f"there is no `{{{{{name}}}}}` for --var {name}", hint=hint)
                )

    def _take(self, reading: ScriptReading) -> None:
        self.used |= reading.used
        self.problems += reading.problems
        self.warnings += reading.warnings


def _is_session(text: str) -> bool:
    first = json_tree.load(text.lstrip().partition("\n")[0], [])
    return isinstance(first, yaml_tree.Mapping) and first.get(Text("kind")) == "session"


def _rows(text: str, file: str) -> list[tuple[int, str]]:
    """The lines of a text in JSON Lines that are not blank, with their numbers.

    None if it is in another format.

    That is so by the file's name, or when the first of several lines is a JSON value by itself,
    which no YAML document begins with.
    """
    rows = [(number, row) for number, row in enumerate(text.split("\n"), 1) if row.strip()]
    if not rows or file.endswith((".jsonl", ".ndjson")):
        return rows
    first = rows[0][1].lstrip()
    whole = first[0] in '"{[' and json_tree.load(first, []) is not None
    return rows if len(rows) > 1 and whole and not rows[1][1].lstrip().startswith("#") else []


def _placed(file: str, problems: list[Problem]) -> list[Problem]:
    """Problems with their file, in the order of lines."""
    return [replace(problem, file=file) for problem in in_order(problems)]


def _error(file: str, problems: list[Problem]) -> GemcliError:
    count = counted(len(problems), "problem")
    return GemcliError(
        "SCRIPT",
        f"{file} is not a script: {count}; nothing was sent",
        problems=_placed(file, problems),
    )
