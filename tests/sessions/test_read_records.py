"""A session file as bytes: whole lines, torn tails at every byte, bad lines; and whole files kept as examples."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import turn_order
from gemcli.chat.contents import Content
from gemcli.errors import GemcliError
from gemcli.sessions import record_lines
from gemcli.sessions.journal import Journal
from gemcli.sessions.read_records import Lines, fold, scan
from gemcli.sessions.totals import totals_of
from tests.builders import answer, contents, error_from
from tests.support import Gemcli, InProcess

T = "2026-01-01T00:00:00.000Z"
HEADER = {"kind": "session", "time": T, "format": 1, "id": "s", "model": "m", "backend": "gemini", "config": {}}


def exchange(number: int) -> list[dict[str, Any]]:
    """The records of one answered turn, with text of several bytes a character."""
    name, content = f"{number}.1", {"role": "user", "parts": [{"text": "frägt €😀\n"}]}
    asked = {"kind": "request", "time": T, "turn": number, "id": name, "content": content, "model": "m"}
    told = {"kind": "response", "time": T, "request": name, "valid": True, "answer": answer("sägt")}
    return [asked | {"backend": "gemini"}, told]


WHOLE = [record_lines.encode(record) for record in (HEADER, *exchange(1), *exchange(2))]
FILE = b"".join(WHOLE)
BARE = [line[:-1] for line in WHOLE]
LAST = len(WHOLE[-1])


def test_whole() -> None:
    """A whole file has its lines and nothing is torn; without its last newline too, and with no turn at all."""
    assert scan(FILE) == Lines(BARE, len(FILE), b"", True)
    assert scan(FILE[:-1]) == Lines(BARE, len(FILE) - 1, b"", False)
    assert scan(WHOLE[0]) == Lines(BARE[:1], len(WHOLE[0]), b"", True)
    assert scan(BARE[0]) == Lines(BARE[:1], len(BARE[0]), b"", False)


def test_torn_at_every_byte() -> None:
    """A last record that was cut anywhere is torn, all of it, and the file before it is whole."""
    for left in range(1, LAST - 1):
        lines = scan(FILE[: len(FILE) - LAST + left])
        assert lines == Lines(BARE[:-1], len(FILE) - LAST, WHOLE[-1][:left], True)
        assert fold(lines, "x").pending is not None


TAILS = {
    "zeros": b"\0" * 100,
    "zeros-and-newline": b"\0" * 100 + b"\n",
    "half-and-zeros": WHOLE[1][:40] + b"\0" * 10,
    "half-zeros-and-newline": WHOLE[1][:40] + b"\0" * 10 + b"\n",
    "no-record": b"{}",
    "not-utf-8": b'{"kind":"\xff',
    "space": b" ",
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_torn_tails(tail: bytes) -> None:
    """A tail without newline, or with zeros that were never written, is torn; what is before it stands."""
    assert scan(FILE + tail) == Lines(BARE, len(FILE), tail, True)


@pytest.mark.parametrize("zeros", [b"\0", b"\0\0", b"\0" * 4096, b"\0\n"], ids=["one", "two", "block", "newline"])
def test_a_record_before_zeros_is_whole(zeros: bytes) -> None:
    """A record of which only the newline was never written stands; it ends where its zeros begin."""
    assert scan(FILE + BARE[1] + zeros) == Lines([*BARE, BARE[1]], len(FILE + BARE[1]), b"", False)


BAD = {
    "half-line-with-newline": b'{"kind":"requ\n',
    "blank-line": b"\n",
    "no-record": b"{}\n",
    "not-utf-8": b'{"kind":"\xff"}\n',
    "carriage-return-alone": b"\r\n",
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [1, 3, 5])
def test_bad_lines(line: bytes, place: int) -> None:
    """Any other bad line is an error with file and line, and a hint that can be typed: so many lines are whole."""
    data = b"".join([*WHOLE[:place], line, *WHOLE[place:]])
    assert scan(data).torn == b""
    error = error_from(fold, scan(data), "a.jsonl")
    assert error.reason == "CORRUPT"
    assert error.message.startswith(f"a.jsonl: line {place + 1}: ")
    assert "\n" not in error.message
    assert f"head -n {place}" in (error.hint or "")


def test_windows_newlines_and_zeros_in_the_middle() -> None:
    """CR LF is read like LF, for CR is space to JSON; zeros before the last line are no torn tail: nothing is cut."""
    assert fold(scan(FILE.replace(b"\n", b"\r\n")), "x").history == fold(scan(FILE), "x").history
    data = b"".join([*WHOLE[:3], b"\0" * 10 + b"\n", *WHOLE[3:]])
    assert scan(data).torn == b""
    assert "line 4" in error_from(fold, scan(data), "x").message


FIRST = {
    "empty": (b"", "CORRUPT", "x is empty"),
    "newlines": (b"\n\n", "CORRUPT", "x is empty"),
    "torn-header": (WHOLE[0][:30], "NOT_A_SESSION", "x is not a session: line 1: "),
    "zeros": (b"\0" * 20, "NOT_A_SESSION", "x is not a session: line 1: "),
    "text": (b"hello\n", "NOT_A_SESSION", "x is not a session: line 1: "),
    "json": (b'[{"role": "user"}]\n', "NOT_A_SESSION", "x is not a session: line 1: not a record"),
    "other-record": (WHOLE[1], "NOT_A_SESSION", "x is not a session: line 1: not a session record"),
    "byte-order-mark": (b"\xef\xbb\xbf" + FILE, "NOT_A_SESSION", "x is not a session: line 1: "),
}


def test_the_hint_of_an_empty_file_can_be_pasted(gemcli: Gemcli) -> None:
    """What is said of an empty file is a whole command, and puts a new session in its place."""
    path = gemcli.directory / "it's empty.jsonl"
    path.touch()
    said = gemcli("history", "-s", path, "--errors", "json").error
    intro, command = said["hint"].split(": ", 1)
    assert (said["reason"], intro) == ("CORRUPT", "a new session in its place")
    program, *words = shlex.split(command)
    assert (program, words) == ("gemcli", ["new", "--force", "-s", str(path)])
    assert gemcli(*words).status == 0
    assert gemcli("history", "-s", path).status == 0


@pytest.mark.parametrize(("data", "reason", "message"), FIRST.values(), ids=FIRST)
def test_first_line(data: bytes, reason: str, message: str) -> None:
    """What does not begin with a session record is no session, and is never mended."""
    assert scan(data).torn == b""
    error = error_from(fold, scan(data), "x")
    assert error.reason == reason
    assert error.message.startswith(message)


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from([*WHOLE, b"\n", b"{}", b"\0", b'{"kind":"x"}\n'])).map(b"".join)
)
def test_anything(data: bytes) -> None:
    """Whatever a file holds, no byte of it gets lost in the scan, and it folds or is refused."""
    found = scan(data)
    assert data == b"\n".join(found.lines) + (b"\n" if found.newline and found.lines else b"") + found.torn
    assert data[found.end :] == found.torn
    try:
        fold(found, "x")
    except GemcliError as error:
        assert error.exit == 65  # noqa: PT017 - most files are whole


# Whole files

DATA = Path(__file__).parents[1] / "data" / "sessions" / "v1"

CALL: Content = {
    "role": "model",
    "parts": [{"functionCall": {"name": "weather", "args": {"city": "Rome"}, "id": "c1"}}],
}
RESULT: Content = {
    "role": "user",
    "parts": [{"functionResponse": {"name": "weather", "id": "c1", "response": {"result": "sunny"}}}],
}
SIGNED: Content = {"role": "model", "parts": [{"text": "It is sunny.", "thoughtSignature": "c2ln"}]}
LATER: Any = {"role": "model", "parts": [{"text": "hello", "mood": {"warm": True}}], "later": None}

COUNTED: Content = {
    "role": "model",
    "parts": [{"text": "hm", "thought": True}, {"text": "one two"}, {"text": "", "thoughtSignature": "c2ln"}],
}

# file: history, numbers of the live turns, requests, total tokens, open turn
VALID: dict[str, tuple[list[Content], list[int], int, int, int | None]] = {
    "plain": (contents("hi", "hello", "and é 😀?", "fine\n"), [1, 2], 2, 14, None),
    "empty": ([], [], 0, 0, None),
    "function-calls": ([*contents("Rome?"), CALL, RESULT, SIGNED], [1], 3, 23, None),
    "open-call": ([*contents("Rome?"), CALL], [1], 1, 9, 1),
    "tool-run": ([*contents("Rome?"), CALL], [1], 1, 9, 1),
    "rewound-and-undone": (contents("one", "1", "two", "2", "four", "4"), [1, 2, 4], 4, 28, None),
    "refused-and-failed": (contents("ok", "yes", "again", "now"), [1, 7], 7, 21, None),
    "forked": (contents("two", "2", "three", "3"), [2, 3], 1, 7, None),
    "imported": (contents("hi", "hello", "mine", "ours"), [1, 2], 1, 7, None),
    "no-final-newline": (contents("hi", "hello"), [1], 1, 7, None),
    "unknown-keys": ([*contents("hi"), LATER], [1], 1, 7, None),
    "torn": (contents("hi", "hello"), [1], 2, 7, None),
    "long-answer": ([*contents("count"), COUNTED, *contents("more", "three")], [1, 2], 6, 61, None),
    "long-answer-in-doubt": (contents("count", "one "), [1], 2, 9, None),
}

INVALID = {
    "second-session": ("CORRUPT", "line 2: a second session record: were two files joined?"),
    "merged-turns": ("CORRUPT", "line 4: turn 1 is repeated or out of order: were two copies merged?"),
    "merged-ids": ("CORRUPT", "line 4: the id '1.1' does not follow in turn 1: were two copies merged?"),
    "response-without-request": ("CORRUPT", "line 2: an outcome for request '1.1', which is not pending"),
    "undo-of-nothing": ("CORRUPT", "line 4: undoes a rewind of turns [1], which is not the last one"),
    "rewind-not-last": ("CORRUPT", "line 6: rewinds turns [1], which are not the last of the history"),
    "message-while-open": ("CORRUPT", "line 4: a new message while turn 1 waits for function responses"),
    "responses-without-call": ("CORRUPT", "line 2: function responses for turn 1, which has no open call"),
    "continue-of-nothing": ("CORRUPT", "line 4: goes on with the answer to request '1.1', which left no token"),
    "unknown-kind": ("NEWER_FORMAT", "line 2: records of kind 'note' are unknown to this version"),
    "newer-format": ("NEWER_FORMAT", "line 1: format 2 is newer than 1, which this version reads"),
    "newer-format-later": ("NEWER_FORMAT", "line 4: format 2 is newer than 1, which this version reads"),
    "no-model": ("CORRUPT", "line 1: a session record with a missing or invalid `model`"),
    "valid-is-text": ("CORRUPT", "line 3: a response record with a missing or invalid `valid`"),
    "unknown-role": (
        "CORRUPT",
        "line 2: a request record with an invalid `content`: the role 'assistant' is not known",
    ),
    "conflict-marks": ("CORRUPT", "line 4: a value is missing (column 1)"),
    "blank-line": ("CORRUPT", "line 2: a value is missing (column 1)"),
    "duplicate-key": ("CORRUPT", 'line 2: duplicate key "turn"'),
    "nan": ("CORRUPT", "line 3: NaN is not JSON"),
    "chat-log": ("NOT_A_SESSION", "is not a session: line 1: not a record: an object with `kind` is expected"),
    "no-session-record": ("NOT_A_SESSION", "is not a session: line 1: not a session record"),
}


def load(kind: str, name: str) -> Journal:
    """The journal of one of the files."""
    return fold(scan((DATA / kind / f"{name}.jsonl").read_bytes()), name)


def test_every_file_is_named() -> None:
    """The tables name every file there is."""
    assert {path.stem for path in (DATA / "valid").iterdir()} == VALID.keys()
    assert {path.stem for path in (DATA / "invalid").iterdir()} == INVALID.keys()


@pytest.mark.parametrize("name", VALID)
def test_valid_files(name: str) -> None:
    """A session of format 1 is read today as it was when it was written."""
    journal = load("valid", name)
    totals = totals_of(journal)
    open_turn = journal.open_turn.number if journal.open_turn else None
    found = [turn.number for turn in journal.live], totals["requests"], totals["totalTokenCount"], open_turn
    assert (journal.history, *found) == VALID[name]
    assert turn_order.check(journal.history) == []


@pytest.mark.parametrize("name", INVALID)
def test_invalid_files(name: str) -> None:
    """A broken session is refused with its line and the rule that it breaks."""
    error = error_from(load, "invalid", name)
    reason, message = INVALID[name]
    colon = "" if message.startswith("is") else ":"
    assert (error.reason, error.message, error.exit) == (reason, f"{name}{colon} {message}", 65)


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("my script.yaml", "- hello\n", "to send what is in a script: gemcli replay 'my script.yaml' -s NAME"),
        ("a.yml", "- hello\n", "to send what is in a script: gemcli replay a.yml -s NAME"),
        ("a.json", '["hello"]', "to send what is in a script: gemcli replay a.json -s NAME"),
        ("a.jsonl", '{\n  "kind": "session"\n}\n', "a session has one record a line: jq -c . a.jsonl > whole.jsonl"),
        ("passwd", "root:x:0:0:root:/root:/bin/bash\n", None),
    ],
)
def test_other_files(name: str, content: str, hint: str | None) -> None:
    """A file of another kind is called that, with what can be done with it."""
    error = error_from(fold, scan(content.encode()), name)
    assert (error.reason, error.hint) == ("NOT_A_SESSION", hint)
    assert error.message.startswith(f"{name} is not a session: line 1: ")


@pytest.mark.parametrize("name", VALID)
def test_valid_files_in_the_program(here: InProcess, name: str) -> None:
    """The program shows the same history, and its readers change nothing."""
    path = DATA / "valid" / f"{name}.jsonl"
    before = path.read_bytes()
    shown = here("history", "-s", str(path), "--contents")
    assert (shown.status, shown.lines) == (0, VALID[name][0])
    assert here("history", "-s", str(path), "--check").json["turns"] == len(VALID[name][1])
    assert here("history", "-s", str(path), "--all").status == 0
    assert path.read_bytes() == before
