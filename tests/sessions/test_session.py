"""A locked session: one record at a time, each on the disk before the next, and no more written than was."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gemcli.sessions import record_lines, records
from gemcli.sessions.filesystem import FileSystem, P, T
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_lines import RecordError
from gemcli.sessions.session import Session, Unsaved
from gemcli.sessions.store import Store
from tests.builders import answer, header
from tests.sessions.faulty import Faulty

ASKED = records.request(1, "1.1", {"role": "user", "parts": [{"text": "hello"}]}, model="m", backend="gemini")
TOLD = records.response("1.1", answer("hi"), valid=True, attempts=[], elapsed_ms=1)


@pytest.fixture
def fs() -> Faulty:
    """A file system that does as it is told."""
    return Faulty()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A session without turns."""
    Store(FileSystem(), print).create(str(tmp_path / "s.jsonl"), [header()])
    return tmp_path / "s.jsonl"


@contextmanager
def opened(fs: FileSystem, path: Path) -> Iterator[Session]:
    """The session, locked."""
    with Store(fs, lambda _: None).open(str(path), 0) as session:
        yield session


def kinds(path: Path) -> list[str]:
    """The kinds of the records on the disk."""
    return [record["kind"] for record in Store(FileSystem(), print).read(str(path)).records]


def test_a_record_is_on_the_disk_when_append_returns(fs: Faulty, path: Path) -> None:
    """Each append looks at the file, writes once, syncs, and looks again; file and journal agree."""
    with opened(fs, path) as session:
        for record in (ASKED, TOLD):
            fs.calls.clear()
            session.append(record)
            look = ["stat", "fstat", "fstat"]
            assert fs.calls == [*look, "write", "fsync", *look]
            on_disk = [record_lines.decode(line) for line in path.read_bytes().splitlines()]
            assert on_disk == session.journal.records
    assert session.journal.history == Store(fs, print).read(str(path)).history


def test_a_record_that_does_not_fit_is_not_written(path: Path) -> None:
    """What the fold refuses never reaches the file."""
    before = path.read_bytes()
    with opened(FileSystem(), path) as session, pytest.raises(RecordError):
        session.append(TOLD)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "DISK_FULL"), (errno.EIO, "IO")], ids=["full", "io"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_a_failed_write_is_cut_back(paid: bool, number: int, reason: str, fs: Faulty, path: Path) -> None:
    """A record that could not be written leaves the file as it was."""
    before = path.read_bytes()
    with opened(fs, path) as session:
        fs.broken["write"] = number
        with pytest.raises(Unsaved) as error:
            session.append(ASKED, paid=paid)
        assert fs.calls[-1] == "ftruncate"
    assert (error.value.reason, error.value.exit) == (reason, 74)
    assert path.read_bytes() == before


@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_a_failed_sync_is_not_tried_again(paid: bool, fs: Faulty, path: Path) -> None:
    """The kernel forgets a write error once told: a request is cut back; what was paid for stays in the file."""
    with opened(fs, path) as session:
        session.append(ASKED)
        fs.calls.clear()
        fs.broken["fsync"] = errno.EIO
        with pytest.raises(Unsaved, match="may not be on the disk") as error:
            session.append(TOLD, paid=paid)
        assert fs.calls.count("fsync") == 1
        assert error.value.kept is None
    assert kinds(path) == ["session", "request", *(["response"] if paid else [])]


def test_a_file_that_cannot_even_be_cut_back_is_mended_by_the_next(fs: Faulty, path: Path) -> None:
    """Half a record that stays behind is a torn tail like any other."""

    class Half(Faulty):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, data[: len(data) // 2]) if "write" not in self.calls else self.call(_full)

    half = Half()
    with opened(half, path) as session:
        half.calls.clear()
        half.broken["ftruncate"] = errno.EIO
        with pytest.raises(Unsaved):
            session.append(ASKED)
    assert kinds(path) == ["session"]
    with opened(FileSystem(), path) as session:
        session.append(ASKED)
    assert kinds(path) == ["session", "request"]
    assert path.with_name("s.jsonl.torn-1").exists()


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_a_file_that_is_moved_away_during_the_write(call: str, paid: bool, path: Path) -> None:
    """Another file under the name is found after the write: a paid record is kept beside it, a request is cut back."""

    class Moving(Faulty):
        def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            if getattr(function, "__name__", "") == call and not moved.exists():
                path.rename(moved)
                path.write_bytes(b"theirs")
            return super().call(function, *args, **kwargs)

    moved = path.with_name("moved")
    with opened(Moving(), path) as session:
        if paid:
            moved.touch()
            session.append(ASKED)
            moved.unlink()
        with pytest.raises(Unsaved, match="was changed by another program") as error:
            session.append(TOLD if paid else ASKED, paid=paid)
    assert (error.value.reason, path.read_bytes()) == ("SESSION_CHANGED", b"theirs")
    lost = path.with_name("s.jsonl.lost-1")
    assert error.value.kept == (str(lost) if paid else None)
    assert kinds(moved) == (["session", "request", "response"] if paid else ["session"])
    if paid:
        assert kinds(lost) == kinds(moved)


def _full() -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("change", ["grown", "cut", "replaced", "removed"])
@pytest.mark.parametrize("newline", [True, False], ids=["newline", "none"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_a_changed_file_gets_nothing(change: str, newline: bool, paid: bool, path: Path) -> None:
    """A file that is no longer what was loaded stays as it is; a paid record is kept beside it in a whole session."""
    if not newline:
        path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    with opened(FileSystem(), path) as session:
        session.append(ASKED)
        alter(path, change)
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(Unsaved, match=None if paid else "nothing was written") as error:
            session.append(TOLD, paid=paid)
    assert (error.value.reason, error.value.exit) == ("SESSION_CHANGED", 74)
    assert (path.read_bytes() if path.exists() else None) == before
    assert error.value.kept == (f"{path}.lost-1" if paid else None)
    assert [file.name for file in path.parent.iterdir() if file != path] == (["s.jsonl.lost-1"] if paid else [])
    if error.value.kept:
        kept = Store(FileSystem(), print).read(error.value.kept)
        assert kept.records == session.journal.records
        assert len(kept.history) == 2


@pytest.mark.parametrize("call", ["stat", "fstat"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_a_file_that_cannot_be_looked_at_gets_nothing(paid: bool, call: str, fs: Faulty, path: Path) -> None:
    """When it cannot be told whether the file is still the same, nothing is appended, and a paid record is kept."""
    with opened(fs, path) as session:
        session.append(ASKED)
        before = path.read_bytes()
        fs.broken[call] = errno.EIO
        with pytest.raises(Unsaved) as error:
            session.append(TOLD, paid=paid)
        assert error.value.exit == 74
        assert path.read_bytes() == before
    assert bool(error.value.kept) == paid
    if error.value.kept:
        assert len(Store(FileSystem(), print).read(error.value.kept).history) == 2


def alter(path: Path, change: str) -> None:
    """What another program may do to a session."""
    data = path.read_bytes()
    if change == "grown":
        path.write_bytes(data + b'{"kind":"tool","request":"1.1"}\n')
    elif change == "cut":
        os.truncate(path, len(data) - 1)
    elif change == "replaced":
        draft = path.with_name("draft")
        draft.write_bytes(data)
        draft.replace(path)
    else:
        path.unlink()


def test_the_journal_of_a_session_is_the_fold_of_its_file(path: Path) -> None:
    """After any appends, the journal in memory equals the one that a reader makes of the file."""
    with opened(FileSystem(), path) as session:
        for record in (ASKED, TOLD, records.rewind([1]), records.undo([1])):
            session.append(record)
        again = Journal([record_lines.decode(line) for line in path.read_bytes().splitlines()])
        assert session.journal.history == again.history
        assert [turn.number for turn in session.journal.live] == [turn.number for turn in again.live] == [1]
