"""What comes in: messages from arguments and stdin, files that options name."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gemcli.errors import GemcliError
from gemcli.terminal import inputs
from tests.builders import ECHO, error_from, header, texts, write_session
from tests.support import InProcess


@contextmanager
def pipe(data: bytes) -> Iterator[int]:
    """A pipe that holds `data` and nobody writes to any more. Up to 64 KiB."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def message(argument: str | None, data: bytes = b"", *, leave: bool = False) -> str:
    """The message from an argument and a pipe; an error if there was a notice."""
    with pipe(data) as fd:
        return inputs.message(argument, leave_stdin=leave, notice=pytest.fail, stdin=fd)


@pytest.mark.parametrize(
    ("argument", "data", "leave", "expected"),
    [
        (None, b"x\n", False, "x\n"),
        ("m", b"x\n", False, "m\n\nx\n"),
        ("m\n", b"x", False, "m\n\n\nx"),
        ("m", b"", False, "m"),
        ("m", b" \n", False, "m"),
        ("", b"x", False, "x"),
        ("-", b"x", False, "x"),
        ("m", b"x", True, "m"),
        ("-", b"x", True, "x"),
        (None, b"x", True, ""),
        (None, b"", False, ""),
        (None, b"  ", False, "  "),
        (None, b"\xef\xbb\xbfx\r\n", False, "\ufeffx\r\n"),
    ],
)
def test_message(argument: str | None, data: bytes, leave: bool, expected: str) -> None:
    """The message is the argument, what a pipe holds, or both with a blank line between them, unaltered."""
    assert message(argument, data, leave=leave) == expected


def test_every_single_byte() -> None:
    """Each byte alone is either the text that it is, or an error that names it; never anything else."""
    for byte in range(1, 0x80):
        assert message(None, bytes([byte])) == chr(byte)
    for byte in (0, *range(0x80, 0x100)):
        with pytest.raises(GemcliError, match="byte 1 " if byte == 0 else rf"byte 1 \(0x{byte:02x}\)") as caught:
            message(None, bytes([byte]))
        assert caught.value.reason == "BAD_TEXT"


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"ab\xff", 3),
        ("ü".encode() + b"\xc3", 3),
        (b"\xc0\xaf", 1),
        (b"x\xed\xa0\x80", 2),
        (b"\xf4\x90\x80\x80", 1),
        ("üü".encode() + b"\0", 5),
        (b"\n\n\0", 3),
    ],
    ids=["end", "cut", "overlong", "surrogate", "beyond", "nul-after-wide", "nul"],
)
def test_the_first_bad_byte_is_named(data: bytes, place: int) -> None:
    """The error counts bytes from 1, whatever characters stand before."""
    with pytest.raises(GemcliError, match=f"a.txt: byte {place} ") as caught:
        inputs.as_text(data, "a.txt")
    assert caught.value.exit == 65


def test_an_argument_with_bytes_that_are_no_text() -> None:
    """Bytes that Python could not decode in an argument are told like those from stdin."""
    with pytest.raises(GemcliError, match=r"the message: byte 2 \(0xff\) is not UTF-8"):
        message(os.fsdecode(b"a\xff"))


def test_a_large_message_is_told_of(tmp_path: Path) -> None:
    """A file is read to its end, in as many reads as it takes; what the API will hardly take is told of."""
    notes: list[str] = []
    size = inputs.LARGE + 3_000_000
    (tmp_path / "f").write_bytes(b"x" * size)
    with (tmp_path / "f").open("rb") as file:
        assert len(inputs.message(None, leave_stdin=False, notice=notes.append, stdin=file.fileno())) == size
    assert notes == [f"this message has {size:,} characters; the API may refuse it"]


def test_a_directory_as_stdin(tmp_path: Path) -> None:
    """A directory is no input; asked for with `-` it is an error."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert inputs.message("m", leave_stdin=False, notice=print, stdin=fd) == "m"
        with pytest.raises(GemcliError, match="cannot read standard input: Is a directory"):
            inputs.message("-", leave_stdin=False, notice=print, stdin=fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("rest", ["two\n", ""], ids=["middle", "end"])
def test_a_file_that_was_read_from(tmp_path: Path, rest: str) -> None:
    """It is left where it stands, as is the one of a loop's last line, with a note; `-` reads on from there."""
    path = tmp_path / "f"
    path.write_text(f"one\n{rest}")
    notes: list[str] = []
    with path.open("rb", buffering=0) as file:
        file.seek(4)
        assert inputs.message("m", leave_stdin=False, notice=notes.append, stdin=file.fileno()) == "m"
        assert file.tell() == 4
        assert len(notes) == 1
        assert "already read from" in notes[0]
        assert inputs.message("-", leave_stdin=False, notice=notes.append, stdin=file.fileno()) == rest
        assert len(notes) == 1


def test_an_empty_file(tmp_path: Path) -> None:
    """It says nothing, and there is nothing to say about it."""
    (tmp_path / "f").touch()
    with (tmp_path / "f").open("rb") as file:
        assert inputs.message("m", leave_stdin=False, notice=pytest.fail, stdin=file.fileno()) == "m"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", None], ids=str)
def test_what_is_not_read(device: str | None) -> None:
    """`/dev/null` and other devices are no input; nor is no stdin at all."""
    with pipe(b"") if device is None else open(device, "rb") as given:
        fd = given if isinstance(given, int) else given.fileno()
        if device is not None:
            assert inputs.message("m", leave_stdin=False, notice=print, stdin=fd) == "m"
    assert inputs.message("m", leave_stdin=False, notice=print, stdin=fd) == "m"


def test_a_socket_is_read() -> None:
    """A socket, as ssh and inetd give, is read like a pipe."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"x")
        ours.shutdown(socket.SHUT_WR)
        assert inputs.message(None, leave_stdin=False, notice=print, stdin=theirs.fileno()) == "x"


@pytest.mark.parametrize(
    "read",
    [
        lambda fd: inputs.message(None, leave_stdin=False, notice=print, stdin=fd),
        lambda fd: inputs.document("-", stdin=fd),
    ],
    ids=["message", "document"],
)
def test_a_pipe_that_does_not_wait(read: Callable[[int], str]) -> None:
    """A slow pipe that a parent has set to O_NONBLOCK is read to its end like any other."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    late = [threading.Timer(0.1, os.write, (writing, b"late")), threading.Timer(0.2, os.close, (writing,))]
    os.write(writing, b"first, ")
    for each in late:
        each.start()
    try:
        with inputs.within(10, "the pipe"):
            assert read(reading) == "first, late"
    finally:
        for each in late:
            each.join()
        os.close(reading)


def test_file_text(tmp_path: Path) -> None:
    """A named file is read as it is, and may be a pipe, as in `--config <(command)`."""
    (tmp_path / "f").write_bytes("ü\r\n\ufeff".encode())
    assert inputs.file_text(str(tmp_path / "f")) == "ü\r\n\ufeff"
    with pipe(b"temperature: 1\n") as fd:
        assert inputs.file_text(f"/dev/fd/{fd}") == "temperature: 1\n"


@pytest.mark.parametrize(
    ("name", "reason", "status"),
    [("missing", "FILE_MISSING", 66), ("", "FILE_MISSING", 66), (".", "IO", 74), ("bad", "BAD_TEXT", 65)],
    ids=["missing", "no-name", "directory", "not-text"],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str, status: int
) -> None:
    """A file that is missing, a directory or no text is told by its name and reason."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad").write_bytes(b"\xff")
    caught = error_from(inputs.file_text, name)
    assert (caught.reason, caught.exit) == (reason, status)
    assert name in caught.message


def test_reading_within_a_time() -> None:
    """A pipe that nobody closes ends the reading when the time is over, and the error says what did not end."""
    read, write = os.pipe()
    try:
        late = pytest.raises(GemcliError, match="the script did not end before the deadline")
        with late as caught, inputs.within(0.05, "the script", "a hint"):
            os.read(read, 1)
    finally:
        os.close(read)
        os.close(write)
    assert (caught.value.reason, caught.value.outcome, caught.value.hint) == ("TIMEOUT", "rejected", "a hint")


@pytest.mark.parametrize("path", ["pipe", "-"])
def test_a_pipe_that_stays_open(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note says what gemcli waits for; what was read meanwhile is not lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "SILENCE", 0.1)
    os.mkfifo("pipe")
    keep = os.open("pipe", os.O_RDWR) if path == "-" else None
    notes: list[str] = []

    def write() -> None:
        with open("pipe", "wb", buffering=0) as pipe:
            pipe.write(b"one ")
            time.sleep(0.3)
            pipe.write(b"two")

    writer = threading.Thread(target=write)
    writer.start()
    stdin = os.open("pipe", os.O_RDONLY) if path == "-" else 0
    if keep is not None:
        os.close(keep)
    assert inputs.document(path, notes.append, stdin=stdin) == "one two"
    writer.join()
    assert notes == [f"waiting for the end of {'standard input' if path == '-' else 'pipe'}"]


def test_a_file_is_no_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has no note, and starts no thread."""
    monkeypatch.setattr(threading.Thread, "start", lambda _self: pytest.fail("a thread"))
    (tmp_path / "file").write_text("text")
    assert inputs.file_text(str(tmp_path / "file"), pytest.fail) == "text"


# Standard input for what an option names


def test_a_config_and_a_system_instruction_from_standard_input(here: InProcess) -> None:
    """`-` is standard input for each of them, at `new` and at `send`; the message is then the argument alone."""
    made = here("new", "-s", "a", "--model", ECHO, "--config", "-", stdin="seed: 7\n").json
    assert made["config"] == {"generationConfig": {"seed": 7}}
    assert here("new", "-s", "b", "--model", ECHO, "--system", "@-", stdin="Be brief").json["config"].keys() == {
        "systemInstruction"
    }
    shown = here("send", "-s", "a", "hi", "--system", "@-", "--dry-run", stdin="Be brief").json["body"]
    assert (texts(shown["contents"]), texts([shown["systemInstruction"]])) == (["hi"], ["Be brief"])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["new", "-s", "b", "--config", "-", "--system", "@-"], "--config and --system"),
        (["new", "-s", "b", "--config", "-", "--history", "-"], "--history and --config"),
        (["send", "-s", "a", "hi", "--config", "-", "--system", "@-"], "--config and --system"),
        (["send", "-s", "a", "--config", "-"], "MESSAGE and --config"),
        (["send", "-s", "a", "-", "-n", "--system", "@-"], "MESSAGE and --system"),
    ],
)
def test_standard_input_is_read_once(here: InProcess, words: list[str], names: str) -> None:
    """Two that would both read it are refused, before anything is read or made."""
    write_session("a", header())
    done = here(*words, stdin="seed: 7\n")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"gemcli: error: {names} would both read standard input\n")
    assert not here.session("b").exists()
    assert len(here.records("a")) == 1


def test_a_faulty_config_names_its_file(here: InProcess) -> None:
    """Each problem, and each note, has file, line and column; what was piped in is called so."""
    (here.directory / "c.yaml").write_text("seed: 99999999999\ntop_k: many\n")
    done = here("new", "-s", "b", "--config", "c.yaml", "--errors", "json")
    assert [(one["file"], one["line"]) for one in done.error["problems"]] == [("c.yaml", 2)]
    assert "  c.yaml:2:8: `top_k` must be" in here("new", "-s", "b", "--config", "c.yaml").err
    assert "  standard input:1:8: `top_k` must be" in here("new", "-s", "b", "--config", "-", stdin="top_k: many").err
    (here.directory / "c.yaml").write_text("seed: 99999999999\n")
    note = "note: c.yaml:1:7: `seed` should be at most 2147483647, not 99999999999; it is sent as given"
    assert note in here("new", "-s", "b", "--config", "c.yaml").err
