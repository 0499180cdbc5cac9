"""The manual is complete: every key that gemcli prints, writes or reads is on its page, and nothing else is.

Commands run in this process, with the simulator or a scripted model, and every document, event and record is compared
with the tables of gemcli-output(5) and gemcli-session(5), types included. The grammars of scripts and rules, and the
settings, are compared with the tables that they are read with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.genai import types

from gemcli.replay import checks, read_conversation, script_schema, template
from gemcli.sessions.record_lines import FIELDS
from gemcli.sessions.records import tool_ended, tool_started
from gemcli.settings.definitions import SETTINGS
from gemcli.simulator import read_answers, read_rules
from gemcli.simulator.simulated_api import json_reply
from tests.builders import (
    CALL,
    answer,
    contents,
    failure,
    header,
    mixed,
    request,
    response,
    sse,
    streaming,
    unfinished,
    write_session,
)
from tests.support import InProcess, Model
from tests.test_docs import gen_docs

MANUAL = Path(__file__).parents[1] / "man"

PRIMITIVES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
"""The types of the tables, apart from those that are tables themselves."""


class Key(NamedTuple):
    """A row of a table: the type of a key, and whether it may be absent."""

    type: str
    optional: bool


class Page:
    """A page with tables of keys: `| key | meaning | type |` under a heading of its own."""

    def __init__(self, name: str) -> None:
        self.tables = {
            title: {
                key: Key(type_.removesuffix(", optional"), type_.endswith(", optional"))
                for key, type_ in re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text, re.MULTILINE)
            }
            for title, text in sections(name).items()
            if "| key | meaning | type |" in text
        }
        self.seen: set[tuple[str, str]] = set()

    def check(self, table: str, document: Mapping[str, Any]) -> None:
        """Fail unless a document has the keys of a table, and their values the types."""
        keys = self.tables[table]
        assert document.keys() <= keys.keys(), f"{table}: not in the manual"
        missing = {key for key, row in keys.items() if not row.optional} - document.keys()
        assert not missing, f"{table}: only in the manual"
        for key, value in document.items():
            self.seen.add((table, key))
            kinds = keys[key].type.split(" or ")
            assert any(self._fits(kind, value) for kind in kinds), f"{table}: {key} is {value!r}"

    def _fits(self, kind: str, value: Any) -> bool:
        if kind.startswith("list of "):
            item = kind.removeprefix("list of ").removesuffix("s")
            return isinstance(value, list) and all(self._fits(item, each) for each in value)
        if kind in PRIMITIVES:
            return PRIMITIVES[kind](value)
        if isinstance(value, dict):
            self.check(kind, value)
        return isinstance(value, dict)

    @property
    def unseen(self) -> set[tuple[str, str]]:
        """The keys that no document had."""
        return {(title, key) for title, keys in self.tables.items() for key in keys} - self.seen


def sections(name: str) -> dict[str, str]:
    """The text below each heading of a page."""
    parts = re.split(r"^##+ (.*)\n", (MANUAL / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def keys_of(text: str) -> list[str]:
    """The first cells of the tables in a text."""
    return re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)


# What is printed and written


SCRIPT = """
name: all
model: gemini-test
turns:
- user: One
  wait: 0.01
  expect: {contains: Message, words: '<2', equals: [a, b], tokens: {output: '>=0'}}
- Two
"""

CALLING = """
name: calling
model: gemini-test
tools: [{name: f}]
turns:
- {user: One, tool_results: [{name: f, result: 1}], expect: {calls: [f]}}
- {user: Two, expect: {no_calls: true}}
"""

SUITE = '{"id": "q1", "mine": 1, "turns": ["One"]}\n{"id": "q2", "turns": ["Two"]}\n'


def printed(here: InProcess, model: Model) -> Iterator[tuple[str, Any]]:
    """Everything that commands print, each with the name of its table."""

    def run(*args: str, env: Mapping[str, str] = model.env) -> list[Any]:
        done = here("--errors", "json", *args, env=env)
        notes.extend(json.loads(line) for line in done.err.splitlines())
        assert done.status in [status.code for status in gen_docs.statuses(args[0])], args
        return done.lines

    def each(table: str, *args: str) -> Iterator[tuple[str, Any]]:
        return ((table, document) for document in run(*args))

    def events(*args: str) -> Iterator[tuple[str, Any]]:
        for event in run(*args):
            if event["event"] == "final":  # the rest of it is the answer
                rest = {key: event.pop(key) for key in list(event) if key not in ("event", "exit", "error")}
                if rest.keys() != {"session", "time"}:
                    yield "answer", rest
            yield f"{event['event']} event", event

    notes: list[Any] = []
    busy = json_reply({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}, 503)
    (here.directory / "history.json").write_text(json.dumps(contents("One", "Two")))
    (here.directory / "broken.json").write_text(json.dumps(contents("One", "Two", "Three")[1:]))
    (here.directory / "all.yaml").write_text(SCRIPT)
    (here.directory / "more.yaml").write_text(SCRIPT.replace("- Two", "- Three"))
    (here.directory / "suite.jsonl").write_text(SUITE)
    (here.directory / "calling.yaml").write_text(CALLING)
    write_session("mixed", *mixed())
    write_session("doubtful", header(), request(1, "Is anybody there?"), failure(1, "unknown"))
    run_of_f = ("1.1", 0, CALL["functionCall"])
    ended = tool_ended(*run_of_f, response={"output": 1}, parts=[{}], elapsed_ms=3)
    write_session("tools", header(), request(1, "q"), response(1, CALL), tool_started(*run_of_f), ended)
    write_session("corrupt", header(), {"kind": "response", "request": "7.1"})

    yield from each("session", "new", "-s", "a", "--system", "Be brief")
    yield from each("session", "new", "-s", "a", "--force", "--history", "history.json")
    yield from each("session", "new", "-s", "b", "--from", "a", "--at", "1")
    yield from each("session", "new", "-s", "copy", "--from", "tools")
    yield from each("session", "new", "-s", "v", "--backend", "vertex", "--project", "p-1", "--location", "global")
    yield from each("answer", "send", "-s", "a", "--once", "k", "Hello")
    yield from each("answer", "send", "-s", "a", "--once", "k", "Hello")
    yield from each("request", "send", "-s", "a", "--dry-run", "Hello")
    yield from each("request", "send", "-s", "a", "--dry-run", "--once", "k", "Hello")
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    model.script(busy, streaming(sse(answer({"text": "Hm", "thought": True}, "Yes", blob, CALL))))
    yield from events("send", "-s", "b", "--stream", "--retries", "1", "Hello")
    model.script(streaming(sse(answer("Half an", finish=None))))
    yield from events("send", "-s", "c", "--create", "--stream", "Hello")
    model.script(busy)
    yield from events("send", "-s", "c", "--stream", "Hello")
    yield from each("answer", "send", "-s", "mixed", "--temperature", "1", "Hello")
    yield from each("answer", "send", "-s", "mixed", "--full", "Hello")
    model.script(unfinished("Once", token="t1"), busy)
    yield from each("answer", "send", "-s", "long", "--create", "--retries", "0", "A tale")
    model.script(unfinished(" upon", token="t2", finish="MAX_TOKENS"), answer(" a time"))
    yield from each("answer", "send", "-s", "long", "--continue")
    yield from each("answer", "send", "-s", "long", "--continue", "--max-output-tokens", "9")
    model.script(streaming(sse(unfinished("Half", token="t1", finish=None))), answer(" and half"))
    yield from events("send", "-s", "c", "--stream", "Hello")
    (here.directory / "tools.yaml").write_text("[{name: f, command: [cat]}]")
    model.script(answer(CALL), answer("Done"))
    yield from events("send", "-s", "c", "--stream", "--tools", "tools.yaml", "--run-tools", "Hello")
    yield from each("session", "new", "-s", "longer", "--from", "long")
    yield from each("turn", "history", "-s", "mixed", "--all", "--full")
    yield from each("turn", "history", "-s", "tools", "--full")
    for view, table in (("--all", "turn"), ("--usage", "totals"), ("--check", "report")):
        yield from each(table, "history", "-s", "mixed", view)
    for listed in run("history", "--sessions"):
        yield "unreadable session" if "error" in listed else "session", listed
    yield from each("change", "rewind", "-s", "mixed")
    yield from each("change", "rewind", "-s", "mixed", "--undo")
    yield from events("replay", "all.yaml", "-s", "r.jsonl")
    yield from events("replay", "all.yaml", "-s", "r.jsonl", "--dry-run")
    yield from events("replay", "more.yaml", "-s", "r.jsonl")
    yield from events("replay", "all.yaml", "-s", "corrupt")
    yield from events("replay", "suite.jsonl", "--out", "out")
    model.script(json_reply(answer(CALL)))
    yield from events("replay", "calling.yaml", "-s", "called.jsonl")
    # What goes wrong, and what is told of it.
    run("new", "-s", "bad", "--history", "broken.json")
    run("send", "-s", "nobody", "Hello", "--debug")
    run("send", "-s", "doubtful", "Hello", "--model", "simulator/echo")
    model.script(json_reply({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, 429, {"retry-after": "9"}))
    run("send", "-s", "a", "Hello")
    run("rewind", "-s", "doubtful")
    write_session("refused", *mixed()[:5])
    run("rewind", "-s", "refused")
    for note in notes:
        yield "error" if note["level"] == "error" else "note", note


def records(home: Path, directory: Path) -> Iterator[dict[str, Any]]:
    """Every record that was written below these directories."""
    for path in (*home.rglob("*.jsonl"), *directory.rglob("r.jsonl"), *directory.rglob("out/*.jsonl")):
        if path.stem != "corrupt":
            yield from (json.loads(line) for line in path.read_bytes().splitlines())


def test_every_key_that_is_printed_or_written_is_in_the_manual(
    here: InProcess, model: Model, own_world: Path, tmp_path: Path
) -> None:
    """With its type, and the other way round: the manual has no key that nobody has ever seen."""
    output, session = Page("gemcli-output.5.md"), Page("gemcli-session.5.md")
    for table, document in printed(here, model):
        output.check(table, document)
    assert output.unseen == set()
    for record in records(own_world, tmp_path):
        session.check(record["kind"], record)
    assert {(table, key) for table, key in session.unseen if table != "format"} == set()
    assert session.tables.keys() - {"origin", "attempt"} == FIELDS.keys()


def test_what_is_not_in_the_manual_is_found() -> None:
    """A key too many, a key too few, and a value of another type."""
    page = Page("gemcli-output.5.md")
    page.check("conversations", {"total": 2, "passed": 1, "planned": 0})
    for document in ({"total": 2, "passed": 1, "more": 0}, {"total": 2}, {"total": 2, "passed": "1"}):
        with pytest.raises(AssertionError, match="conversations"):
            page.check("conversations", document)


# What is read


def script_keys() -> dict[str, set[str]]:
    """The keys of scripts as they are read, by the heading of their table in gemcli-script(5)."""
    return {
        "Keys of a script": {*script_schema.SCRIPT.keys},
        "Keys of a turn": {*script_schema.TURN.keys},
        "Checks": {*script_schema.EXPECT.keys},
        "Token counts": {*checks.TOKENS},
        "Functions": {*script_schema.TOOL_RESULT.keys},
        "Templates": {*template.FILTERS},
        "Conversations": {*read_conversation.SHAPES},
    }


def rules_keys() -> dict[str, set[str]]:
    """The keys of rules files as they are read, by the heading of their table in gemcli-simulator(1)."""
    titles = ("rule", "when", "after_call", "answer", "call", "error", "raw", "cut")
    grammar = vars(read_answers) | vars(read_rules)
    return {title: {*grammar[title.upper()].keys} for title in titles}


@pytest.mark.parametrize(("page", "read"), [("gemcli-script.5.md", script_keys), ("gemcli-simulator.1.md", rules_keys)])
def test_every_key_that_is_read_is_in_the_manual(page: str, read: Callable[[], dict[str, set[str]]]) -> None:
    """Those of each grammar, and no others."""
    shown, expected = sections(page), read()
    assert {title: set(keys_of(shown[title])) for title in expected} == expected


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("gemcli-script.5.md", ("replay", "FILE", "--dry-run")),
        ("gemcli-settings.5.md", ("new", "-s", "a", "--config", "FILE")),
        ("gemcli-simulator.1.md", ("send", "-s", "a", "--create", "--model", "simulator/rules:FILE", "Hello")),
    ],
)
def test_every_file_that_is_shown_is_read(page: str, words: tuple[str, ...], here: InProcess) -> None:
    """By the command that it is for."""
    files = re.findall(r"^```yaml\n(.*?)^```$", (MANUAL / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert files
    for text in files:
        (here.directory / "file.yaml").write_text(text)
        done = here(*(word.replace("FILE", "file.yaml") for word in words))
        assert done.status == 0, done.err


def test_every_setting_is_in_the_manual() -> None:
    """By its key in a config file, with what its value is."""
    keys = keys_of(sections("gemcli-settings.5.md")["Settings"])
    assert keys == [gen_docs.setting_key(setting) for setting in SETTINGS]
    assert gen_docs.VALUE_OF.keys() == {setting.name for setting in SETTINGS}
    known = types.GenerateContentConfig.model_fields.keys() | types.ThinkingConfig.model_fields.keys()
    assert {key.rpartition(".")[2] for key in keys} <= known


def test_names_of_safety_settings_are_the_api_s() -> None:
    """All that the manual has are known to the SDK."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", sections("gemcli-settings.5.md")["Safety settings"], re.MULTILINE)
    enums = {"category": types.HarmCategory, "threshold": types.HarmBlockThreshold, "method": types.HarmBlockMethod}
    assert [name for name, _ in rows] == list(enums)
    for name, values in rows:
        known = " ".join(enums[name].__members__).lower().split()
        for value in re.findall(r"`(\w+)`", values):
            assert any(one == value or one.endswith(f"_{value}") for one in known), value
