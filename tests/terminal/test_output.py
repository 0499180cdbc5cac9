"""Everything that is printed: harmless on a terminal, whole in a pipe, honest when it could not be printed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import SHOWN_PROBLEMS, GemcliError, Problem
from gemcli.signals import time_limit
from gemcli.terminal import output
from gemcli.terminal.escapes import as_json, visible
from gemcli.terminal.output import MAX_LENGTH, Output
from gemcli.terminal.stream import Stream
from tests.builders import json_values

CONTROL = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\t", "\n"}
REORDERING = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(alphabet=st.characters(), max_size=50))
def test_visible_text_has_no_control_characters(text: str) -> None:
    """Whatever the text, nothing is left that acts on a terminal; other characters stay as they are."""
    shown = visible(text)
    assert not set(shown) & (CONTROL | REORDERING)
    shown.encode("utf-8")
    harmless = [each for each in text if each not in CONTROL | REORDERING and not "\ud800" <= each <= "\udfff"]
    if len(harmless) == len(text):
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("a\tb\nc", "a\tb\nc"),
        ("\r", "\\x0d"),
        ("\ud800", "\\ud800"),
        ("grüße 日本 😀 \u200d", "grüße 日本 😀 \u200d"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
    ids=ascii,
)
def test_visible(text: str, shown: str) -> None:
    """Control characters are written as escapes, as Python would; letters, marks and joiners stay."""
    assert visible(text) == shown


@given(json_values())
def test_json_is_one_harmless_line_that_reads_back(value: Any) -> None:
    """Any value is one line without control characters, in keys too, encodable, and reads back the same."""
    text = as_json(value)
    assert not set(text) & (CONTROL | REORDERING | {"\n", "\t"})
    text.encode("utf-8")
    assert json.loads(text) == value


def test_json() -> None:
    """Half of a character comes out as an escape, harmless text as it is; what is not JSON is never printed."""
    assert as_json("\ud83d") == '"\\ud83d"'
    assert as_json({"ü": ["日本", 1.5, None, True]}) == '{"ü":["日本",1.5,null,true]}'
    for number in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            as_json({"x": number})


# The streams


def test_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """JSON ends with a newline; text gets one unless it has one or is empty, and is UTF-8 with its escapes."""
    out = Output()
    out.json({"a": 1})
    out.jsonl([1, 2])
    for text in ("x", "y\n", "", "\n", "\x1b[31m ü \ud83d"):
        out.text(text)
    assert capfdbinary.readouterr() == ('{"a":1}\n1\n2\nx\ny\n\n\x1b[31m ü \ufffd\n'.encode(), b"")


def test_many_problems(capfd: pytest.CaptureFixture[str]) -> None:
    """Only the first problems are printed, with the number of all; the next line is the hint."""
    for count, rest in (
        (SHOWN_PROBLEMS, []),
        (21, ["  … and 1 more problem"]),
        (72_001, ["  … and 71981 more problems"]),
    ):
        error = GemcliError("SCRIPT", "wrong", hint="right", problems=[Problem("rule", "bad")] * count)
        Output().error(error)
        lines = capfd.readouterr().err.splitlines()
        assert lines == ["gemcli: error: wrong", *["  bad [rule]"] * SHOWN_PROBLEMS, *rest, "hint: right"]
        Output(errors_json=True).error(error)
        told = json.loads(capfd.readouterr().err)
        assert (len(told["problems"]), told["problem_count"]) == (SHOWN_PROBLEMS, count)


def test_stderr_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    """Each message is one line: notes, errors, each problem, the hint."""
    out = Output()
    out.notice("one\ntwo\tthree \x1b[0m")
    problem = Problem("role", "the role\n'x'", index=3, line=4, column=5, hint="user")
    out.error(GemcliError("TURN_ORDER", "bad\rthing", problems=[problem], hint="first"))
    assert capfd.readouterr().err.splitlines() == [
        "gemcli: note: one\\ntwo three \\x1b[0m",
        "gemcli: error: bad\\x0dthing",
        "  line 4, column 5, content 3: the role\\n'x' [role] (user)",
        "hint: first",
    ]


def test_stderr_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    """Each message is one object with its level."""
    out = Output(errors_json=True)
    out.notice("one\ntwo")
    out.warning("three")
    out.debug("trace\nback")
    out.error(GemcliError("IO", "\x9b", hint="first"))
    note, warning, debug, error = map(json.loads, capfd.readouterr().err.splitlines())
    assert note == {"level": "note", "message": "one\ntwo"}
    assert warning == {"level": "warning", "message": "three"}
    assert debug == {"level": "debug", "message": "trace\nback"}
    assert (error["level"], error["message"], error["hint"]) == ("error", "\x9b", "first")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * MAX_LENGTH, "x" * MAX_LENGTH),
        ("x" * (MAX_LENGTH + 1), "x" * (MAX_LENGTH - 1) + "…"),
        ("\x9b" * 150_000, None),
    ],
    ids=["longest", "too-long", "escapes"],
)
def test_long_messages_are_cut(text: str, shown: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    """No message and no hint on stderr is longer than what a person reads, in text and in JSON; JSON stays whole."""
    shown = text[: MAX_LENGTH - 1] + "…" if shown is None else shown
    for out in (Output(), Output(errors_json=True)):
        out.notice(text)
        out.error(GemcliError("SERVER_ERROR", text, hint=text))
    note, error, hint, *documents = capfd.readouterr().err.splitlines()
    assert note == f"gemcli: note: {visible(shown)}"
    assert error == f"gemcli: error: {visible(shown)}"
    assert hint == f"hint: {visible(shown)}"
    first, second = map(json.loads, documents)
    assert (first["message"], second["message"], second["hint"]) == (shown, shown, shown)


@contextmanager
def replaced(fd: int, other: int) -> Iterator[None]:
    """Another file in the place of a standard stream, for the time of the block."""
    kept = os.dup(fd)
    os.dup2(other, fd)
    try:
        yield
    finally:
        os.dup2(kept, fd)
        os.close(kept)


@pytest.mark.parametrize("write", [lambda out: out.json(1), lambda out: out.text("x")], ids=["json", "text"])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_stdout(write: Callable[[Output], None]) -> None:
    """What could not be printed is an error that says so."""
    with open("/dev/full", "wb") as full, replaced(1, full.fileno()), pytest.raises(GemcliError) as caught:
        write(Output())
    assert caught.value.reason == "NOT_PRINTED"
    assert caught.value.exit == 74


def test_nobody_reads() -> None:
    """A reader of stdout that went away is no error of ours; without one of stderr there is nobody left to tell."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with replaced(1, writing), pytest.raises(BrokenPipeError):
            Output().json(1)
        with replaced(2, writing):
            Output().notice("x")
            Output(errors_json=True).error(GemcliError("IO", "x"))
            Output().debug("x")
    finally:
        os.close(writing)


@contextmanager
def pipe(*, waits: bool) -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; one whose writer does not wait is O_NONBLOCK, as node and ssh hand it on."""
    reading, writing = os.pipe()
    os.set_blocking(writing, waits)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def taken_late(fd: int, size: int) -> tuple[threading.Thread, bytearray]:
    """Read so many bytes, beginning after a while; the thread that does, and what it has read."""
    data = bytearray()

    def read() -> None:
        time.sleep(0.1)
        while len(data) < size and (chunk := os.read(fd, size)):
            data.extend(chunk)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread, data


def streamed(text: str) -> None:
    """Print a text as a stream."""
    stream = Stream(lambda: False)
    stream.text(text)
    stream.flush()


@pytest.mark.parametrize("write", [lambda text: Output().text(text), streamed], ids=["at-once", "streamed"])
def test_a_stdout_that_does_not_wait(write: Callable[[str], None]) -> None:
    """A slow reader of an O_NONBLOCK pipe gets everything."""
    text = "0123456789" * 50_000 + "\n"
    with pipe(waits=False) as (reading, writing):
        thread, data = taken_late(reading, len(text))
        with replaced(1, writing), time_limit(10):
            write(text)
        thread.join(10)
        assert data == text.encode()


@pytest.mark.parametrize("waits", [True, False], ids=["blocking", "nonblocking"])
@pytest.mark.parametrize("errors_json", [False, True], ids=["text", "json"])
def test_a_stderr_that_is_read_late(errors_json: bool, waits: bool) -> None:
    """A reader that is only slow gets a long error whole: problems are told in full, however long."""
    problems = [Problem("rule", f"{number} {'x' * 10_000}") for number in range(SHOWN_PROBLEMS)]
    error = GemcliError("SCRIPT", "wrong", problems=problems)
    lines = ["gemcli: error: wrong", *(f"  {problem.describe()}" for problem in problems)]
    expected = as_json({"level": "error"} | error.to_json()) if errors_json else "\n".join(lines)
    with pipe(waits=waits) as (reading, writing):
        thread, data = taken_late(reading, len(expected) + 1)
        with replaced(2, writing), time_limit(10):
            Output(errors_json=errors_json).error(error)
        thread.join(10)
        assert data.decode() == expected + "\n"


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The next writes to stdout find it full, though it seemed ready: so many as the one number in the list."""
    left, write = [0], os.write

    def refuse(fd: int, data: bytes) -> int:
        if fd == 1 and left[0] > 0:
            left[0] -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    return left


def test_a_stream_that_is_full_for_a_moment(busy: list[int]) -> None:
    """A pipe that another writer has filled in between is no lost reader: what waits is printed next."""
    with pipe(waits=False) as (reading, writing), replaced(1, writing):
        stream = Stream(lambda: False)
        busy[0] = 1
        stream.text("a")
        assert not stream.broken
        stream.text("b")
        busy[0] = 3
        stream.text("c")
        stream.flush()
        assert os.read(reading, 10) == b"abc"


def test_a_stream_that_stays_full(busy: list[int]) -> None:
    """A stream that nothing can be written to is given up when it is told to stop."""
    with pipe(waits=False) as (_, writing), replaced(1, writing):
        asked = iter([False, False, True])
        stream = Stream(lambda: next(asked))
        busy[0] = 1000
        stream.text("a")
        with pytest.raises(GemcliError, match="the output was not read in time"):
            stream.flush()
    assert next(asked, None) is None


@pytest.mark.parametrize("waits", [True, False], ids=["blocking", "nonblocking"])
@pytest.mark.parametrize("errors_json", [False, True], ids=["text", "json"])
def test_a_stderr_that_is_full(monkeypatch: pytest.MonkeyPatch, errors_json: bool, waits: bool) -> None:
    """A pipe on stderr that nobody reads holds up nothing for long: what it cannot take is dropped."""
    monkeypatch.setattr(output, "NOTE_TIMEOUT", 0.2)
    monkeypatch.setattr(output, "ERROR_TIMEOUT", 0.2)
    problems = [Problem("rule", "x" * 10_000)] * SHOWN_PROBLEMS
    out = Output(errors_json=errors_json)
    with pipe(waits=waits) as (reading, writing), replaced(2, writing), time_limit(10):
        start = time.monotonic()
        out.error(GemcliError("SCRIPT", "wrong", hint="right", problems=problems))
        assert 0.2 <= time.monotonic() - start < 1
        for _ in range(20):
            out.notice("more")
        assert time.monotonic() - start < 1
        assert os.read(reading, 10).startswith(b'{"' if errors_json else b"gemcli: ")


def test_a_stderr_that_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a message was dropped, the next ones are printed once there is room."""
    monkeypatch.setattr(output, "NOTE_TIMEOUT", 0.2)
    out = Output()
    with pipe(waits=True) as (reading, writing), replaced(2, writing), time_limit(10):
        out.debug("x" * 200_000)
        out.notice("dropped")
        os.read(reading, 1 << 20)
        out.notice("seen")
        assert os.read(reading, 100) == b"gemcli: note: seen\n"


def test_output_is_not_buffered() -> None:
    """What was printed is out when the call returns: nothing is left to fail at the program's end."""
    with pipe(waits=True) as (reading, writing), replaced(1, writing):
        os.set_blocking(reading, False)
        Output().json(1)
        assert os.read(reading, 10) == b"1\n"
