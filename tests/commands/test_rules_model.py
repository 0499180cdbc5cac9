"""The model `simulator/rules:FILE`: the program with answers and faults from a rules file and no key."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gemcli.text import patterns
from tests.support import Gemcli, InProcess

HELLO = "rules:\n  - when: {contains: hello}\n    answer: Hello yourself.\n  - answer: What?\n"
MODEL = ("--model", "simulator/rules:r.yaml")


def put(here: Gemcli, text: str, name: str = "r.yaml") -> Path:
    """Write a rules file into the directory that the program runs in."""
    path = here.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def send(here: Gemcli, *options: str) -> Any:
    """What a message that is answered prints."""
    done = here("send", "-s", "a", *options)
    assert (done.status, done.err) == (0, "")
    return done.json


@pytest.mark.parametrize("name", ["r.yaml", "a b.yaml", "sub/ü 'x'.yaml", "-r", "a:b?c#d%20", "..r"])
def test_a_file_by_its_path(here: Gemcli, name: str) -> None:
    """The file is found relative to the current directory, whatever it is called, and the session goes on with it."""
    put(here, HELLO, name)
    assert here("new", "-s", "a", "--model", f"simulator/rules:{name}").status == 0
    assert send(here, "say hello")["text"] == "Hello yourself."
    assert send(here, "bye")["text"] == "What?"
    header, request = here.records("a")[:2]
    assert (header["model"], header["backend"]) == (f"simulator/rules:{name}", "simulator")
    assert (request["model"], request["backend"]) == (f"simulator/rules:{name}", "simulator")


def test_an_absolute_path(here: Gemcli, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An absolute path is taken as it is."""
    path = tmp_path_factory.mktemp("else where") / "r.yaml"
    path.write_text(HELLO)
    here("new", "-s", "a", "--model", f"simulator/rules:{path}")
    assert send(here, "hello")["text"] == "Hello yourself."


def test_for_one_message(here: Gemcli) -> None:
    """A rules file can answer a single message of a session with another model."""
    put(here, HELLO)
    here("new", "-s", "a", "--model", "simulator/echo")
    assert send(here, "hello", *MODEL)["text"] == "Hello yourself."
    assert send(here, "hello")["text"] != "Hello yourself."


def test_turns_are_counted_in_the_history(here: Gemcli) -> None:
    """`turn` counts the user's messages of the history, so it holds across commands and after a rewind."""
    put(here, "rules:\n  - when: {turn: 1}\n    answer: one\n  - when: {turn: 2}\n    answer: two\n")
    here("new", "-s", "a", *MODEL)
    assert [send(here, "x")["text"] for _ in range(2)] == ["one", "two"]
    assert here("rewind", "-s", "a").status == 0
    assert send(here, "x")["text"] == "two"


@pytest.mark.parametrize("options", [[], ["--stream"], ["--dry-run"]], ids=["whole", "stream", "dry-run"])
def test_a_missing_file(here: Gemcli, options: list[str]) -> None:
    """Without its file the model is 66; the message names the file, and nothing is recorded."""
    here("new", "-s", "a", *MODEL)
    before = here.session("a").read_bytes()
    done = here("send", "-s", "a", "hello", "--errors", "json", *options)
    assert (done.status, done.error["reason"]) == (66, "FILE_MISSING")
    assert "r.yaml" in done.error["message"]
    assert here.session("a").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("rules:\n  - answer: a\n    anser: b\n  - when: {turn: none}\n    answer: c\n", [3, 4]),
        ("rules:\n  - answer: a\n\tx: [\n", [3]),
        ("", []),
        ("- answer: a\n", []),
    ],
    ids=["two", "no-yaml", "empty", "no-rules"],
)
def test_bad_rules(here: Gemcli, text: str, lines: list[int]) -> None:
    """Everything wrong with the rules is said with its line: 2, and nothing is recorded. Other files are not quoted."""
    here("new", "-s", "a", *MODEL)
    before = here.session("a").read_bytes()
    put(here, text)
    done = here("send", "-s", "a", "hello", "--errors", "json")
    assert (done.status, done.out) == (2, "")
    assert [problem.get("line") for problem in done.error["problems"]] == lines
    assert "r.yaml" in done.error["message"]
    assert here.session("a").read_bytes() == before


def test_no_file_at_all(here: Gemcli) -> None:
    """`simulator/rules:` without a file is no model name, and no session is made."""
    done = here("new", "-s", "a", "--model", "simulator/rules:", "--errors", "json")
    assert (done.status, done.error["reason"]) == (2, "MODEL_NAME")
    assert not here.session("a").exists()


def test_a_stream(here: Gemcli) -> None:
    """--stream gets several chunks, which make the recorded answer."""
    put(here, "rules:\n  - answer: {text: A longer answer in many words than one chunk would hold., thoughts: Hm}\n")
    here("new", "-s", "a", *MODEL)
    done = here("send", "-s", "a", "hello", "--stream")
    *chunks, final = done.lines
    assert done.status == 0
    assert len(chunks) > 1
    said = "".join(chunk.get("text") or "" for chunk in chunks)
    assert final["text"] == "A longer answer in many words than one chunk would hold."
    assert final["text"] in said
    parts = here.records("a")[-1]["answer"]["candidates"][0]["content"]["parts"]
    assert parts == [{"text": "Hm", "thought": True}, {"text": final["text"]}]


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ("block: SAFETY", 3),
        ("answer: {text: half, finish: MAX_TOKENS}", 4),
        ("answer: {text: half, finish: SAFETY}", 3),
        ("error: {status: UNAUTHENTICATED}", 77),
        ("error: {status: NOT_FOUND}", 78),
        ("raw: not json", 76),
        ("cut: reset", 75),
    ],
)
def test_each_ending_has_its_status(here: Gemcli, rule: str, status: int) -> None:
    """What the rules file makes happen has the exit status that it has with the API, and the session still loads."""
    put(here, f"rules:\n  - {rule}\n")
    here("new", "-s", "a", *MODEL)
    assert here("send", "-s", "a", "hello", "--retries", "0").status == status
    assert here("history", "-s", "a", "--check").status == 0
    assert len(here.records("a")) == 3


@pytest.mark.parametrize("command", ["send", "send --create", "replay"])
def test_rules_are_read_within_the_deadline(command: str, here: InProcess, tmp_path: Path) -> None:
    """Rules from a pipe that nobody writes to end the command in time: 75, nothing is in doubt."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "script.yaml").write_text("[hello]")
    options = ["-s", "s", "--model", "simulator/rules:pipe", "--deadline", "0.5"]
    if command == "send":
        here.ok("new", "-s", "s")
    start = time.monotonic()
    done = here.failed(*command.split(), "script.yaml" if command == "replay" else "hello", *options)
    assert time.monotonic() - start < 4
    assert (done.status, done.error["reason"], done.error["outcome"]) == (75, "TIMEOUT", "rejected")
    assert "the rules in pipe" in done.error["message"]


SLOW_RULE = "rules:\n- when: {matches: '(a+)+$'}\n  answer: hi\n"


def test_a_pattern_that_takes_too_long(here: Gemcli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up neither the deadline nor the program: the request is refused, by the name of the pattern."""
    put(here, SLOW_RULE)
    here("new", "-s", "a", *MODEL)
    start = time.monotonic()
    done = here("send", "-s", "a", "a" * 60 + "!", "--deadline", "1", "--errors", "json")
    assert (done.status, done.error["reason"]) == (75, "TIMEOUT")
    assert time.monotonic() - start < 3
    monkeypatch.setattr(patterns, "TIME_LIMIT", 0.2)
    done = here("send", "-s", "a", "a" * 60 + "!", "--errors", "json")
    assert (done.status, "(a+)+$" in done.error["message"]) == (65, True)
