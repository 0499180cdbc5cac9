"""The seam: each method is one real system call, and all of them go through `call`."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from gemcli.sessions.filesystem import FileSystem
from tests.sessions.faulty import Faulty


def test_every_method_goes_through_the_seam(tmp_path: Path) -> None:
    """Each method makes exactly one call, so a fault at call k meets every system call there is."""
    fs, path = Faulty(), str(tmp_path / "file")
    fd = fs.open(path, os.O_RDWR | os.O_CREAT)
    assert fs.write(fd, b"some bytes") == 10
    fs.sync(fd)
    fs.truncate(fd, 4)
    assert fs.fstat(fd).st_size == 4
    assert fs.stat(path).st_ino == fs.fstat(fd).st_ino
    fs.lock(fd, wait=True)
    os.lseek(fd, 0, os.SEEK_SET)
    assert fs.read(fd, 100) == b"some"
    fs.close(fd)
    fs.link(path, path + "2")
    fs.replace(path + "2", path + "3")
    fs.unlink(path + "3")
    fs.mkdir(str(tmp_path / "directory"))
    assert sorted(fs.listdir(str(tmp_path))) == ["directory", "file"]
    assert fs.realpath(str(tmp_path / "." / "file")) == os.path.realpath(path)
    sync = "fcntl" if hasattr(fcntl, "F_FULLFSYNC") else "fsync"
    expected = (
        f"open write {sync} ftruncate fstat stat fstat flock read close link replace unlink mkdir listdir realpath"
    )
    assert fs.calls == expected.split()
    methods = {name for name, value in vars(FileSystem).items() if callable(value)} - {"call"}
    assert len(methods) == len(set(fs.calls)), "a method that this test does not know"


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY, errno.EIO])
def test_macos(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where F_FULLFSYNC is not supported, fsync has to do; where it fails, that is an error."""
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    fs = Faulty()
    fd = fs.open(str(tmp_path / "file"), os.O_RDWR | os.O_CREAT)
    fs.broken = {"fcntl": number}
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            fs.sync(fd)
    else:
        fs.sync(fd)
    assert fs.calls == (["open", "fcntl"] if number == errno.EIO else ["open", "fcntl", "fsync"])
    fs.close(fd)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_what_is_made_is_private(umask: int, tmp_path: Path) -> None:
    """Files are 0600 and directories 0700 at most, whatever the umask allows."""
    fs, before = FileSystem(), os.umask(umask)
    try:
        fs.close(fs.open(str(tmp_path / "file"), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        fs.mkdir(str(tmp_path / "directory"))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "directory")]
    assert modes == [0o600 & ~umask, 0o700 & ~umask]


def test_opening(tmp_path: Path) -> None:
    """A FIFO without a writer is opened at once, and no program that gemcli starts inherits a session or its lock."""
    os.mkfifo(tmp_path / "fifo")
    fs = FileSystem()
    fd = fs.open(str(tmp_path / "fifo"), os.O_RDONLY)
    assert stat.S_ISFIFO(fs.fstat(fd).st_mode)
    assert not os.get_inheritable(fd)
    fs.close(fd)


def test_a_name_that_is_taken_is_not_linked_over(tmp_path: Path) -> None:
    """`link` never overwrites."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        FileSystem().link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "b"


def test_a_taken_lock_is_an_error_without_wait(tmp_path: Path) -> None:
    """Two descriptors of one file exclude each other, and closing one gives its lock up."""
    fs, path = FileSystem(), str(tmp_path / "file")
    first, second = fs.open(path, os.O_RDWR | os.O_CREAT), fs.open(path, os.O_RDWR)
    fs.lock(first, wait=False)
    with pytest.raises(BlockingIOError):
        fs.lock(second, wait=False)
    fs.close(first)
    fs.lock(second, wait=False)
    fs.close(second)


def test_a_loop_of_links_is_left_for_open_to_refuse(tmp_path: Path) -> None:
    """`realpath` of a loop is no error; opening it is."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    fs = FileSystem()
    assert os.path.basename(fs.realpath(str(loop))) == "loop"
    with pytest.raises(OSError, match="loop") as error:
        fs.open(str(loop), os.O_RDONLY)
    assert error.value.errno == errno.ELOOP
