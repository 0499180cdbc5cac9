"""The seam between sessions and the file system: each method is one system call, as a rule.

All of them go through `FileSystem.call`, the single place where a test can kill the process, fail
the call or record it. Errors are plain `OSError`s.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY}
"""Errors of calls that a file system does not have."""


class FileSystem:
    """The system calls that sessions need; new files are private to their owner."""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one system call."""
        return function(*args, **kwargs)

    def open(self, path: str, flags: int) -> int:
        """Open `path`, never waiting (for FIFOs), never taking over a terminal."""
        return self.call(os.open, path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        """Close a descriptor, which gives up its lock."""
        self.call(os.close, fd)

    def read(self, fd: int, size: int) -> bytes:
        """Read at most `size` bytes from the current position."""
        return self.call(os.read, fd, size)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of `data`; the number of bytes written."""
        return self.call(os.write, fd, data)

    def sync(self, fd: int) -> None:
        """Put a file or directory on the disk itself."""
        # macOS: fsync only reaches the drive's cache (see fsync(2) there), but not every file
        # system has the other call.
        if full := getattr(fcntl, "F_FULLFSYNC", None):
            try:
                self.call(fcntl.fcntl, fd, full)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
            else:
                return
        self.call(os.fsync, fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        self.call(os.ftruncate, fd, size)

    def fstat(self, fd: int) -> os.stat_result:
        """The status of an open file."""
        return self.call(os.fstat, fd)

    def stat(self, path: str) -> os.stat_result:
        """The status of what `path` names, links followed."""
        return self.call(os.stat, path)

    def lock(self, fd: int, *, wait: bool) -> None:
        """Take the exclusive `flock` of a file; without `wait`, `BlockingIOError` if taken."""
        self.call(fcntl.flock, fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; `FileExistsError` if there is one."""
        self.call(os.link, source, target)

    def replace(self, source: str, target: str) -> None:
        """Rename, atomically replacing `target`."""
        self.call(os.replace, source, target)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        self.call(os.unlink, path)

    def mkdir(self, path: str) -> None:
        """Make a private directory."""
        self.call(os.mkdir, path, 0o700)

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, in no order."""
        return self.call(os.listdir, path)

    def realpath(self, path: str) -> str:
        """`path` absolute and without symbolic links; a loop stays, for `open` to refuse."""
        return self.call(os.path.realpath, path)
