"""Sessions on disk: made whole, read without a lock, changed under one, and never left broken.

What holds, whatever is interrupted: a session that loads, valid in its order, with every record
that was acknowledged. Writers hold an exclusive `flock` on the session file itself from loading to
the last append; appends keep the inode, so the lock and the path stay together, and before each
append that is checked. One record is in flight at most: the next is written when the last one is on
the disk. All system calls go through `fs.FileSystem`.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

from gemcli.errors import GemcliError
from gemcli.sessions import records
from gemcli.sessions.disk import Disk, io_error
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.names import SUFFIX
from gemcli.sessions.read_records import Lines, fold, scan
from gemcli.sessions.records import Record
from gemcli.sessions.session import Session
from gemcli.signals import TimeUp, time_limit

READ_AGAIN = 3
"""How often a reader looks again before it calls a line bad.

It may have read between a cut and an append.
"""
PAUSE = 0.05
"""Seconds between two looks."""

LEFT_BEHIND = 86400.0
"""Seconds after which a draft is nobody's any more.

One is in use while `new --force` waits for the lock.
"""

_DRAFT = re.compile("[0-9a-f]{12}")

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""Errors of `flock` on file systems that have no locks."""


class Store:
    """Opens and makes sessions. `notice` is told what a user should know, one line at a time."""

    def __init__(self, fs: FileSystem, notice: Callable[[str], None]) -> None:
        self.fs = fs
        self.disk = Disk(fs)
        self.notice = notice

    def read(self, path: str) -> Journal:
        """The session at `path` as it is now.

        Takes no lock, repairs nothing; a torn last line is not there yet.

        Raises `GemcliError`: SESSION_MISSING, NOT_A_SESSION, CORRUPT, NEWER_FORMAT or IO.
        """
        for attempt in count():
            data = self._contents(path)
            try:
                return fold(scan(data), path)
            except GemcliError:
                if attempt == READ_AGAIN:
                    raise
                time.sleep(PAUSE)
        raise AssertionError  # pragma: no cover - count() does not end

    @contextmanager
    def open(self, path: str, wait: float) -> Iterator[Session]:
        """Lock the session at `path`, load it, mend its tail, and hand it over for appending.

        Waits at most `wait` seconds for the lock (SESSION_BUSY); otherwise raises as `read` does.
        """
        path = self._resolve(path)
        fd = self._locked(path, time.monotonic() + wait)
        try:
            data = self._read_all(fd, path)
            lines = scan(data)
            journal = fold(lines, path)
            size = self._mend(fd, path, lines)
            yield Session(self.disk, path, fd, journal, data[: lines.end], size)
        finally:
            self.disk.close(fd)

    def create(
        self, path: str, content: Iterable[Record], *, force: bool = False, wait: float = 0
    ) -> str | None:
        """Make a session whole or not at all. The directory must exist.

        An existing session is SESSION_EXISTS; with `force` it is kept as `PATH.bak-<n>`, whose path
        is the result, and there is no moment without a session. Raises IO or DISK_FULL, and then
        nothing has changed.
        """
        path = self._resolve(path)
        directory = os.path.dirname(path)
        drafts = f".{os.path.basename(path)}.new-"
        draft = os.path.join(directory, f"{drafts}{os.urandom(6).hex()}")
        data = b"".join(map(records.encode, content))
        self._clear_away(directory, drafts)
        try:
            self.disk.write_new(draft, data)
            try:
                backup = self._replace(draft, path, wait) if force else None
                if backup is None:
                    self.fs.link(draft, path)
            finally:
                with suppress(OSError):
                    self.fs.unlink(draft)
            self.disk.sync_directory(directory)
        except FileExistsError:
            raise GemcliError(
                "SESSION_EXISTS", f"{path} exists already", hint="--force keeps it as a backup"
            ) from None
        except FileNotFoundError:
            raise GemcliError(
                "FILE_MISSING",
                f"the directory {directory} does not exist",
                hint=f"mkdir -p {shlex.quote(directory)}",
            ) from None
        except OSError as error:
            raise io_error(error, f"cannot create {path}") from error
        return backup

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`.

        Raises `GemcliError` (IO) when that cannot be told.
        """
        try:
            return self.disk.exists(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return True  # something is there, which opening it will name
            raise io_error(error, f"cannot look at {path}") from error

    def make_directory(self, directory: str) -> None:
        """Make a private directory and its parents, as far as they are missing."""
        missing: list[str] = []
        try:
            above = directory
            while above and not self.disk.exists(above):
                missing.append(above)
                above = os.path.dirname(above)
            for name in reversed(missing):
                with suppress(FileExistsError):
                    self.fs.mkdir(name)
                self.disk.sync_directory(os.path.dirname(name))
        except OSError as error:
            raise io_error(error, f"cannot make the directory {directory}") from error

    def names(self, directory: str) -> list[str]:
        """The names of the sessions in `directory`, sorted; none if it does not exist."""
        try:
            files = self.fs.listdir(directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise io_error(error, f"cannot read {directory}") from error
        return sorted(
            name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX) and name[0] != "."
        )

    # Opening

    def _resolve(self, path: str) -> str:
        """The file behind symbolic links, found once: every later step uses that name."""
        return self.fs.realpath(path)

    def _open_file(self, path: str, flags: int) -> int:
        """Open an existing session file and make sure that it is a plain file."""
        try:
            fd = self.fs.open(path, flags)
            if stat.S_ISREG(self.fs.fstat(fd).st_mode):
                return fd
            self.disk.close(fd)
        except FileNotFoundError:
            raise GemcliError("SESSION_MISSING", f"there is no session at {path}") from None
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.ENOTDIR):
                raise io_error(error, f"cannot open {path}") from error
        raise GemcliError("NOT_A_SESSION", f"{path} is not a plain file, so it is no session")

    def _locked(self, path: str, until: float) -> int:
        """A descriptor that holds the lock of the file that `path` names, waiting for it until `until`."""
        while True:
            fd = self._open_file(path, os.O_RDWR | os.O_APPEND)
            try:
                self._lock(fd, path, until)
                if self.disk.names(path, fd):
                    return fd
            except OSError as error:
                self.disk.close(fd)
                raise io_error(error, f"cannot look at {path}") from error
            except BaseException:
                self.disk.close(fd)
                raise
            # `new --force` put another file in its place while we waited.
            self.disk.close(fd)

    def _lock(self, fd: int, path: str, until: float) -> None:
        try:
            try:
                self.fs.lock(fd, wait=False)
            except BlockingIOError:
                if (left := until - time.monotonic()) <= 0:
                    raise TimeUp from None
                with time_limit(left):
                    self.fs.lock(fd, wait=True)
        except TimeUp:
            raise GemcliError("SESSION_BUSY", f"{path} is in use by another gemcli") from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise GemcliError(
                    "NO_LOCK", f"{path} cannot be locked: {error.strerror}"
                ) from error
            raise io_error(error, f"cannot lock {path}") from error

    # Reading and mending

    def _contents(self, path: str) -> bytes:
        fd = self._open_file(path, os.O_RDONLY)
        try:
            return self._read_all(fd, path)
        finally:
            self.disk.close(fd)

    def _read_all(self, fd: int, path: str) -> bytes:
        try:
            return self.disk.read_all(fd)
        except OSError as error:
            raise io_error(error, f"cannot read {path}") from error

    def _mend(self, fd: int, path: str, lines: Lines) -> int:
        """Put the tail of a locked session right; the size in bytes it has then."""
        try:
            if lines.torn:
                kept = self.disk.keep(path, "torn", lines.torn)
                self.fs.truncate(fd, lines.end)
                self.fs.sync(fd)
                self.notice(
                    f"the last record of {path} was torn by a crash; what was there is in {kept}"
                )
            elif not lines.newline:
                self.fs.truncate(fd, lines.end)
                self.disk.write_all(fd, b"\n")
                self.fs.sync(fd)
        except OSError as error:
            raise io_error(error, f"cannot mend {path}") from error
        return lines.end + (0 if lines.newline else 1)

    # Writing

    def _clear_away(self, directory: str, drafts: str) -> None:
        """Take away drafts that a `new` of the same session left when it was killed.

        Younger ones may be in use.
        """
        with suppress(OSError):
            for name in self.fs.listdir(directory):
                if name.startswith(drafts) and _DRAFT.fullmatch(name.removeprefix(drafts)):
                    left = os.path.join(directory, name)
                    if self.fs.stat(left).st_mtime < time.time() - LEFT_BEHIND:
                        self.fs.unlink(left)

    def _replace(self, draft: str, path: str, wait: float) -> str | None:
        """Put `draft` in the place of the session at `path`, kept under another name.

        `None` if there is none.
        """
        try:
            fd = self._locked(path, time.monotonic() + wait)
        except GemcliError as error:
            if error.reason == "SESSION_MISSING":
                return None
            raise
        try:
            backup = self.disk.keep_link(path, "bak")
            # A power loss may keep the later of two names and lose the earlier one, and with it the
            # old session.
            self.disk.sync_directory(os.path.dirname(path))
            self.fs.replace(draft, path)
            return backup
        finally:
            self.disk.close(fd)
