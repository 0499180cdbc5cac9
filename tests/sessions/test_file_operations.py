"""Whole reads and writes: everything or an error, however little each call does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from gemcli.sessions import file_operations
from gemcli.sessions.file_operations import (
    io_error,
    io_reason,
    is_same_file,
    link_numbered,
    read_all,
    write_new,
    write_numbered,
)
from gemcli.sessions.filesystem import FileSystem, P, T


class Slow(FileSystem):
    """Reads and writes three bytes at a time; `broken` names calls that fail with EIO."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make the call, a small one."""
        name, given = getattr(function, "__name__", ""), cast(tuple[Any, ...], args)
        if name in self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if name == "read":
            return cast(T, os.read(given[0], 3))
        if name == "write":
            return cast(T, os.write(given[0], given[1][:3]))
        return function(*args, **kwargs)


def test_reading_and_writing_go_on_until_everything_is_done(tmp_path: Path) -> None:
    """Calls that do a part are repeated."""
    fs, path = Slow(), str(tmp_path / "file")
    write_new(fs, path, b"twenty bytes of data")
    fd = fs.open(path, os.O_RDONLY)
    assert read_all(fs, fd) == b"twenty bytes of data"
    fs.close(fd)


def test_reading_ends_where_the_file_ended_at_the_start(tmp_path: Path) -> None:
    """What is appended while a file is read is not read; what is cut off is missing, and no error."""
    path = tmp_path / "file"

    class Changing(FileSystem):
        def __init__(self, change: Callable[[], object]) -> None:
            self.change = change

        def fstat(self, fd: int) -> os.stat_result:
            status = super().fstat(fd)
            self.change()
            return status

    def append() -> None:
        with path.open("ab") as file:
            file.write(b" and more")

    for change, expected in ((append, b"at first"), (lambda: os.truncate(path, 2), b"at")):
        path.write_bytes(b"at first")
        fs = Changing(change)
        fd = fs.open(str(path), os.O_RDONLY)
        assert read_all(fs, fd) == expected
        fs.close(fd)


def test_a_new_file_that_cannot_be_written(tmp_path: Path) -> None:
    """When writing or syncing fails, nothing is left behind; an existing file is an error and stays as it is."""
    for broken in ("write", "fsync"):
        with pytest.raises(OSError, match="Input/output"):
            write_new(Slow(broken), str(tmp_path / "file"), b"data")
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        write_new(FileSystem(), str(tmp_path / "file"), b"ours")
    assert (tmp_path / "file").read_bytes() == b"theirs"


def test_write_numbered_takes_the_first_free_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept gets a number that nobody has, links to nowhere included, in the current directory too."""
    fs, path = FileSystem(), str(tmp_path / "s")
    (tmp_path / "s.torn-2").symlink_to(tmp_path / "nowhere")
    assert write_numbered(fs, path, "torn", b"one") == path + ".torn-1"
    monkeypatch.chdir(tmp_path)
    assert write_numbered(fs, "s", "torn", b"three") == "s.torn-3"
    assert (tmp_path / "s.torn-3").read_bytes() == b"three"
    assert not (tmp_path / "nowhere").exists()


def test_link_numbered_gives_a_second_name(tmp_path: Path) -> None:
    """The file is the same under both names, and a name that is taken is left alone."""
    path = tmp_path / "s"
    path.write_bytes(b"data")
    (tmp_path / "s.bak-1").write_bytes(b"older")
    kept = Path(link_numbered(FileSystem(), str(path), "bak"))
    assert kept.name == "s.bak-2"
    assert kept.samefile(path)
    assert (tmp_path / "s.bak-1").read_bytes() == b"older"


def test_is_same_file(tmp_path: Path) -> None:
    """A file that was replaced or removed is no longer named, and one with the same bytes is another."""
    fs, path = FileSystem(), tmp_path / "s"
    path.write_bytes(b"data")
    fd = fs.open(str(path), os.O_RDONLY)
    assert is_same_file(fs, str(path), fd)
    path.rename(tmp_path / "elsewhere")
    assert not is_same_file(fs, str(path), fd)
    path.write_bytes(b"data")
    assert not is_same_file(fs, str(path), fd)
    (tmp_path / "elsewhere").replace(path)
    assert is_same_file(fs, str(path), fd)
    fs.close(fd)


def test_closing_badly_is_no_news() -> None:
    """An error of close is not raised: what matters was synced before."""
    file_operations.close(Slow("close"), 9999)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "DISK_FULL"),
        (errno.EDQUOT, "DISK_FULL"),
        (errno.EFBIG, "DISK_FULL"),
        (errno.EIO, "IO"),
        (errno.EACCES, "IO"),
        (errno.EROFS, "IO"),
        (errno.EMFILE, "IO"),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else None,
)
def test_errors_get_the_reason_that_tells_what_to_do(number: int, reason: str) -> None:
    """A full disk is told apart from one that fails; both are 74."""
    error = OSError(number, os.strerror(number))
    assert io_reason(error) == reason
    told = io_error(error, "cannot write to file")
    assert (told.reason, told.exit) == (reason, 74)
    assert told.message == f"cannot write to file: {os.strerror(number)}"
