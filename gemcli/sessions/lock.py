"""The lock of a session: an exclusive `flock` on the session file itself.

Appends keep the inode, so the lock and the path stay together. `new --force` puts another file in
its place, so whoever has waited checks that the path still names what was locked.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from gemcli.errors import GemcliError
from gemcli.sessions import file_operations
from gemcli.sessions.file_operations import io_error
from gemcli.sessions.filesystem import UNSUPPORTED, FileSystem
from gemcli.signals import TimeUp, time_limit

NO_LOCKS = {errno.ENOLCK, *UNSUPPORTED}
"""Errors of `flock` on file systems that have no locks."""


Waiting = Callable[[], AbstractContextManager[None]]
"""Tells a person, in its block, that another gemcli is waited for."""


def open_locked(fs: FileSystem, path: str, wait: float, waiting: Waiting = nullcontext) -> int:
    """Open and lock a session for appending. Raises `GemcliError`: SESSION_BUSY, NO_LOCK, IO."""
    until = time.monotonic() + wait
    while True:
        fd = file_operations.open_session(fs, path, os.O_RDWR | os.O_APPEND)
        locked = False
        try:
            _lock(fs, fd, path, until, waiting)
            locked = file_operations.is_same_file(fs, path, fd)
        except OSError as error:
            raise io_error(error, f"cannot check {path}") from error
        finally:
            if not locked:
                file_operations.close(fs, fd)
        if locked:
            return fd


def _lock(fs: FileSystem, fd: int, path: str, until: float, waiting: Waiting) -> None:
    try:
        try:
            fs.lock(fd, wait=False)
        except BlockingIOError:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeUp from None
            with waiting(), time_limit(left):
                fs.lock(fd, wait=True)
    except TimeUp:
        raise GemcliError("SESSION_BUSY", f"{path} is in use by another gemcli") from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise GemcliError("NO_LOCK", f"{path} cannot be locked: {error.strerror}") from error
        raise io_error(error, f"cannot lock {path}") from error
