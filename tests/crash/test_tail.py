"""The end of the file after a crash: torn at any byte, zeroed from any byte, without its newline."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from gemcli.errors import GemcliError
from gemcli.sessions import record_lines, records
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.store import Store
from tests.builders import header, turn

pytestmark = pytest.mark.usefixtures("no_pause")

KINDS: dict[str, Callable[[bytes, int], bytes]] = {
    "torn": lambda line, at: line[:at],
    "zeroed": lambda line, at: line[:at] + b"\0" * (len(line) - at),
    "zeroed-then-newline": lambda line, at: line[:at] + b"\0" * (len(line) - 1 - at) + b"\n",
}
"""What a crash makes of the last line: it was on the disk up to byte `at`."""


@pytest.fixture
def notes() -> list[str]:
    """What the store told the user."""
    return []


@pytest.fixture
def store(notes: list[str]) -> Store:
    """A store over the real file system."""
    return Store(FileSystem(), notes.append)


def session(turns: int) -> list[bytes]:
    """The lines of a session with some turns."""
    numbers = range(1, turns + 1)
    made = [header(), *chain.from_iterable(turn(n, f"message {n} äöü", f"answer {n} ☃") for n in numbers)]
    return [record_lines.encode(record) for record in made]


def texts(journal: Journal) -> list[str]:
    """The texts of the history."""
    return [content["parts"][0]["text"] for content in journal.history]


@pytest.mark.parametrize("last", ["request", "response"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_last_record_is_ignored_and_then_cut_off(
    kind: str, last: str, store: Store, notes: list[str], tmp_path: Path
) -> None:
    """Whatever byte a crash stopped at, readers see what was before; a writer keeps the rest apart and goes on."""
    lines = session(2) if last == "response" else session(2)[:-1]
    *before, line = lines
    whole, path = b"".join(before), tmp_path / "s.jsonl"
    said = texts(Journal(map(record_lines.decode, before)))
    for at in range(1, len(line) - 1):
        damaged = KINDS[kind](line, at)
        path.write_bytes(whole + damaged)
        assert texts(store.read(str(path))) == said, at
        assert "it is left out" in notes.pop()
        assert path.read_bytes() == whole + damaged, "a reader never repairs"
        with store.open(str(path), 0) as opened:
            assert texts(opened.journal) == said, at
            assert path.read_bytes() == whole
            if at % 16 == 1:
                opened.append(records.rewind([opened.journal.live[-1].number]))
        kept = tmp_path / "s.jsonl.torn-1"
        assert kept.read_bytes() == damaged, at
        assert kept.stat().st_mode & 0o777 == 0o600
        assert str(kept) in notes.pop()
        assert notes == []
        assert texts(store.read(str(path))) == (said[:-2] if at % 16 == 1 else said), at
        kept.unlink()


def test_nothing_of_the_last_record_is_no_tail(store: Store, notes: list[str], tmp_path: Path) -> None:
    """A file that ends after a newline has no tail: nothing is kept apart and nothing is said."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(session(1)))
    with store.open(str(path), 0) as opened:
        assert texts(opened.journal) == ["message 1 äöü", "answer 1 ☃"]
    assert [file.name for file in tmp_path.iterdir()] == ["s.jsonl"]
    assert notes == []


def test_only_zeros_after_the_last_record_are_a_tail(store: Store, notes: list[str], tmp_path: Path) -> None:
    """Blocks that were never written, behind a whole record, are cut off, and the record stays."""
    path, whole = tmp_path / "s.jsonl", b"".join(session(1))
    path.write_bytes(whole + b"\0" * 4096)
    assert len(store.read(str(path)).history) == 2
    with store.open(str(path), 0) as opened:
        assert len(opened.journal.history) == 2
    assert path.read_bytes() == whole
    assert (tmp_path / "s.jsonl.torn-1").read_bytes() == b"\0" * 4096
    assert len(notes) == 2


def test_a_whole_record_whose_newline_is_a_zero_stays(store: Store, notes: list[str], tmp_path: Path) -> None:
    """A power loss that zeroes the newline of an answer does not take the answer with it."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(session(1))[:-1] + b"\0")
    assert len(store.read(str(path)).history) == 2
    with store.open(str(path), 0) as opened:
        opened.append(records.rewind([1]))
    assert store.read(str(path)).undoable == [1]


def test_a_missing_newline_is_added_by_the_writer(store: Store, notes: list[str], tmp_path: Path) -> None:
    """A whole record without its newline counts, and the next record gets a line of its own."""
    path, whole = tmp_path / "s.jsonl", b"".join(session(1))
    path.write_bytes(whole[:-1])
    assert len(store.read(str(path)).history) == 2
    assert path.read_bytes() == whole[:-1]
    with store.open(str(path), 0) as opened:
        assert path.read_bytes() == whole
        opened.append(records.rewind([1]))
    assert [json.loads(line)["kind"] for line in path.read_bytes().splitlines()][-2:] == ["response", "rewind"]
    assert [file.name for file in tmp_path.iterdir()] == ["s.jsonl"]
    assert notes == []


def test_torn_tails_never_overwrite_each_other(store: Store, tmp_path: Path) -> None:
    """Each torn tail gets a file of its own, the first free number."""
    path, whole = tmp_path / "s.jsonl", b"".join(session(1))
    for number in (1, 2, 3):
        path.write_bytes(whole + b'{"kind": "rewind", "turns": [' + b"1" * number)
        with store.open(str(path), 0):
            pass
    kept = [(tmp_path / f"s.jsonl.torn-{number}").read_bytes().count(b"1") for number in (1, 2, 3)]
    assert kept == [1, 2, 3]


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("line", [b"{broken\n", b"\n", b"[]\n", b"\xff\xfe\n", b'{"kind": "re\0ponse"}\n', b"\0\n"])
def test_a_bad_line_in_the_middle_is_named_and_nothing_is_changed(
    number: int, line: bytes, store: Store, tmp_path: Path
) -> None:
    """A line that no crash can have made is an error with its number, for readers and writers alike."""
    path, lines = tmp_path / "s.jsonl", session(2)
    lines[number - 1] = line
    data = b"".join(lines)
    path.write_bytes(data)
    with pytest.raises(GemcliError, match=f"line {number}: ") as read:
        store.read(str(path))
    with pytest.raises(GemcliError, match=f"line {number}: ") as written, store.open(str(path), 0):
        pass
    assert (read.value.reason, written.value.reason) == ("CORRUPT", "CORRUPT")
    assert read.value.exit == 65
    assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["s.jsonl"]


def test_a_whole_bad_last_line_is_no_torn_one(store: Store, tmp_path: Path) -> None:
    """A last line that ends with a newline was written whole by somebody, so it is an error and stays."""
    path, data = tmp_path / "s.jsonl", b"".join(session(1)) + b"{broken\n"
    path.write_bytes(data)
    with pytest.raises(GemcliError, match="line 4: "), store.open(str(path), 0):
        pass
    assert path.read_bytes() == data


def test_no_reader_fails_between_a_cut_and_an_append(store: Store, tmp_path: Path) -> None:
    """Readers that run while a writer cuts torn tails off and appends always see a whole history."""
    path = tmp_path / "s.jsonl"
    lines = session(40)
    path.write_bytes(b"".join(lines[:3]))
    writing, seen, failed = threading.Event(), set(), list[BaseException]()
    writing.set()

    def read() -> None:
        own = Store(FileSystem(), lambda _: None)
        try:
            while writing.is_set():
                seen.add(len(own.read(str(path)).history))
        except BaseException as error:
            failed.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in written(path, lines[3:]):
            with store.open(str(path), 0):
                pass  # mends what was written, as a crashed writer's successor does
            (tmp_path / "s.jsonl.torn-1").unlink()
    finally:
        writing.clear()
        for reader in readers:
            reader.join()
    assert failed == []
    assert len(seen) > 3
    assert store.read(str(path)).history[-1]["parts"][0]["text"] == "answer 40 ☃"


def written(path: Path, lines: list[bytes]) -> Iterator[None]:
    """Append lines to a file by and by, each one torn first."""
    for place, line in enumerate(lines):
        with path.open("ab", buffering=0) as file:
            file.write(line[: 1 + place % (len(line) - 2)])
        yield
        with path.open("ab", buffering=0) as file:
            file.write(line)
