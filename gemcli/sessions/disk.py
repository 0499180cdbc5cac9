"""Whole reads and writes on top of the seam.

What takes several system calls and must not stop half way.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import count

from gemcli.errors import GemcliError, ReasonName
from gemcli.sessions.filesystem import FileSystem

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Disk:
    """Operations on files, each built from calls of `fs`. All raise plain `OSError`."""

    def __init__(self, fs: FileSystem) -> None:
        self.fs = fs

    def exists(self, path: str) -> bool:
        """Whether `path` names anything. What cannot be told is an `OSError`, never a no."""
        try:
            self.fs.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def close(self, fd: int) -> None:
        """Close a descriptor. An error here is no news: what matters was synced before."""
        with suppress(OSError):
            self.fs.close(fd)

    def names(self, path: str, fd: int) -> bool:
        """Whether `path` names the open file `fd`.

        What cannot be told is an `OSError`, never a no.
        """
        try:
            named = self.fs.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        opened = self.fs.fstat(fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def read_all(self, fd: int) -> bytes:
        """Exactly as many bytes as the file has now; fewer if it is cut meanwhile."""
        left = self.fs.fstat(fd).st_size
        chunks = []
        while left > 0 and (chunk := self.fs.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)

    def write_all(self, fd: int, data: bytes) -> None:
        """Write all of `data`, in as many calls as it takes."""
        view = memoryview(data)
        while view:
            view = view[self.fs.write(fd, view) :]

    def write_new(self, path: str, data: bytes) -> None:
        """Write a new file, on the disk when this returns; on any error there is none."""
        fd = self.fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            self.write_all(fd, data)
            self.fs.sync(fd)
        except BaseException:
            with suppress(OSError):
                self.fs.unlink(path)
            raise
        finally:
            self.close(fd)

    def keep(self, path: str, label: str, data: bytes) -> str:
        """Write `data` to the first free `PATH.<label>-<n>`, file and name on the disk.

        The path it got.
        """
        for number in count(1):
            kept = f"{path}.{label}-{number}"
            with suppress(FileExistsError):
                self.write_new(kept, data)
                self.sync_directory(os.path.dirname(kept))
                return kept
        raise AssertionError  # pragma: no cover - count() does not end

    def keep_link(self, path: str, label: str) -> str:
        """Give the file at `path` a second name, the first free `PATH.<label>-<n>`; that name."""
        for number in count(1):
            kept = f"{path}.{label}-{number}"
            with suppress(FileExistsError):
                self.fs.link(path, kept)
                return kept
        raise AssertionError  # pragma: no cover - count() does not end

    def sync_directory(self, path: str) -> None:
        """Put the names in a directory on the disk."""
        fd = self.fs.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fs.sync(fd)
        finally:
            self.close(fd)


def io_error(error: OSError, what: str) -> GemcliError:
    """What a failed system call means to the user.

    `what` says what could not be done, and to which file.
    """
    return GemcliError(io_reason(error), f"{what}: {error.strerror or error}")


def io_reason(error: OSError) -> ReasonName:
    """The reason a failed system call gets: DISK_FULL or IO."""
    return "DISK_FULL" if error.errno in FULL else "IO"
