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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from gemcli.chat.answered_calls import answered_calls
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError, Problem, in_order
from gemcli.replay import read_conversation, tools_file
from gemcli.replay.calls import recorded_result
from gemcli.replay.script import Script, Suite, Turn
from gemcli.replay.script_schema import MAX_MESSAGES, refuse_so_many
from gemcli.replay.suites import CollectedScripts
from gemcli.sessions import read_records
from gemcli.sessions.turns import Turn as Recorded
from gemcli.text import json_or_yaml, json_tree, outputs, tree
from gemcli.text.problems import Problems, how_many
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
    name = "script" if file == "-" else os.path.basename(file).partition(".")[0]
    collected = CollectedScripts(name, given)
    problems, scripts = collected.problems, collected.scripts
    if as_lines:
        _read_lines(text, collected)
    elif _is_session(text):
        _read_session(text, file, collected)
    elif node := _document(text, file, problems):
        tools_file.include(problems, node, file)
        collected.add(node)
    found = problems.found or collected.unused()
    if strict:
        found = found + problems.notes
    if not scripts and not found:
        found = [Problem("empty-script", "there is no message", line=1, column=1)]
    if found:
        raise _not_a_script(text, file, found)
    return Suite(
        file,
        collected.name if collected.many else scripts[0].name,
        digest,
        tuple(scripts),
        collected.many,
        warnings=tuple(_in_file(file, problems.notes)),
        ignored=tuple(collected.ignored),
    )


def _not_a_script(text: str, file: str, found: list[Problem]) -> GemcliError:
    """The error for a script with problems, or for something that was never meant to be one."""
    name = "standard input" if file == "-" else file
    if hint := outputs.hint(text):
        return GemcliError("SCRIPT", f"{name} is not a script; nothing was sent", hint=hint)
    message = f"{name} is not a script: {how_many(found)}; nothing was sent"
    return GemcliError("SCRIPT", message, problems=_in_file(file, found))


def _read_lines(text: str, collected: CollectedScripts) -> None:
    """Each line that is not blank is a message of one script."""
    rows = _rows(text)
    if len(rows) > MAX_MESSAGES:
        refuse_so_many(collected.problems, Text("", rows[MAX_MESSAGES][0], 1))
    elif rows:
        turns = [
            Turn("", user_text(row.removesuffix("\r")), raw=True, line=number)
            for number, row in rows
        ]
        collected.scripts.append(Script(collected.name, _numbered(turns)))


def _read_session(text: str, file: str, collected: CollectedScripts) -> None:
    """The user messages of a session are sent again with its model and settings."""
    journal = read_records.fold(read_records.scan(text.encode()), file)
    if journal.torn_bytes:
        end = Text("", len(journal.records) + 1, 1)
        collected.problems.note("torn-tail", "a crash tore this record; it is left out", end)
    lines = {id(record): line for line, record in enumerate(journal.records, 1)}
    turns = [_recorded(turn, lines[id(turn.exchanges[0].request)]) for turn in journal.live]
    header = journal.header
    if turns:
        script = Script(collected.name, _numbered(turns), header["model"], header["config"])
        collected.scripts.append(replace(script, header=header))


def _recorded(turn: Recorded, line: int) -> Turn:
    """A turn of a session, whose request is in `line`, to be sent again; its calls are answered."""
    first = turn.exchanges[0]
    results = tuple(map(recorded_result, answered_calls(turn.contents)))
    return Turn(
        "",
        first.request["content"],
        True,
        config=first.answered_config,
        line=line,
        tool_results=results,
    )


def _document(text: str, file: str, problems: Problems) -> Node | None:
    """What a text holds that is JSON Lines, JSON or YAML; None if it is wrong, or empty."""
    if rows := _json_lines(text, file):
        return _lines(rows, problems)
    return json_or_yaml.load(text, file, problems)


def _lines(rows: list[tuple[int, str]], problems: Problems) -> Node | None:
    """The document of JSON Lines: a list of its values, or what its settings and they say."""
    # One message more than a file may have, after the line with the settings.
    nodes = tree.Sequence(rows[0][0], 1, _nodes(rows[: MAX_MESSAGES + 2], problems))
    first = nodes[0] if nodes else None
    if isinstance(first, tree.Mapping) and list(first) == ["script"]:
        return _with_settings(first[Text("script")], nodes[1:], problems)
    if len(rows) == 1 and isinstance(first, tree.Sequence):
        return first
    return nodes or None


def _with_settings(settings: Node, items: list[Node], problems: Problems) -> Node | None:
    """The lines of a file after its settings, where a mapping has them."""
    if not isinstance(settings, tree.Mapping):
        problems.add("shape", "`script` must be an object of settings", settings)
        return None
    key = "turns"
    if items and read_conversation.is_conversation(items[0]):
        key = "conversations"
    own = next((name for name in settings if name in read_conversation.SHAPES), None)
    if own is not None:
        problems.add("unknown-key", f"`{own}` are the lines that follow", own)
    if items or own is None:
        lines = tree.Sequence(settings.line, settings.column, items)
        settings[Text(key, settings.line, settings.column)] = lines
    return settings


def _nodes(rows: Iterable[tuple[int, str]], problems: Problems) -> Iterator[Node]:
    """The values of lines; those that are none are problems."""
    for number, row in rows:
        node = json_tree.load(row, problems, number)
        if node is not None:
            yield node
        if problems.full:
            break


def _numbered(turns: list[Turn]) -> tuple[Turn, ...]:
    """The turns, each with its place as its id."""
    return tuple(replace(turn, id=f"t{number}") for number, turn in enumerate(turns, 1))


def _is_session(text: str) -> bool:
    line = text.lstrip().partition("\n")[0]
    if '"session"' not in line:
        return False
    first = json_tree.load(line, Problems())
    return isinstance(first, tree.Mapping) and first.get(Text("kind")) == "session"


def _json_lines(text: str, file: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers; none if the text is not JSON Lines.

    It is if its file is called so, or if the first of several lines is a JSON value by itself.
    """
    rows = _rows(text)
    if not rows or file.endswith((".jsonl", ".ndjson")):
        return rows
    first = rows[0][1].lstrip()
    if len(rows) == 1 or first[0] not in '"{[' or rows[1][1].lstrip().startswith("#"):
        return []
    return [] if json_tree.load(first, Problems()) is None else rows


def _rows(text: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    return [(number, row) for number, row in enumerate(text.split("\n"), 1) if row.strip()]


def _in_file(file: str, problems: list[Problem]) -> list[Problem]:
    """Problems with their file, in the order of lines; those of another file know it."""
    return [replace(problem, file=problem.file or file) for problem in in_order(problems)]
