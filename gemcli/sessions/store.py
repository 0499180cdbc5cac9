"""Sessions on disk: created whole, read without a lock, changed under one, and never left broken.

A writer holds the lock from loading to its last append. One record is in flight at most: the next
is written when the last one is on the disk.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from gemcli.errors import GemcliError
from gemcli.sessions import file_operations, record_lines
from gemcli.sessions.atomic_create import create_file, remove_old_drafts
from gemcli.sessions.file_operations import io_error, sync_directory
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.lock import Waiting, open_locked
from gemcli.sessions.names import SUFFIX
from gemcli.sessions.read_records import fold, scan, torn_note
from gemcli.sessions.record_types import Record
from gemcli.sessions.repair import repair_tail
from gemcli.sessions.session import Session

READ_AGAIN = 3
PAUSE = 0.05
"""How often, and after how many seconds, a bad or torn line is read again: a writer may be at work.
"""


class Store:
    """Opens and creates sessions; `notice` prints what a user should know, one line at a time.

    In the block of `waiting` a lock is waited for. The sessions at `held` are locked by the
    gemcli that has started this one, and waits for it.
    """

    def __init__(
        self,
        fs: FileSystem,
        notice: Callable[[str], None],
        waiting: Waiting = nullcontext,
        held: Collection[str] = (),
    ) -> None:
        self.fs = fs
        self.notice = notice
        self.waiting = waiting
        self.held = held
        self._swept: set[str] = set()  # the directories where old drafts were looked for

    def read(self, path: str) -> Journal:
        """The session at `path` as it is now. Takes no lock, and repairs nothing, but notes it.

        Raises `GemcliError`: SESSION_MISSING, NOT_A_SESSION, CORRUPT, NEWER_FORMAT or IO.
        """
        again = READ_AGAIN
        while True:
            with self._dangling_link_told(path):
                fd = file_operations.open_session(self.fs, path, os.O_RDONLY)
            try:
                data = self._read_all(fd, path)
            finally:
                file_operations.close(self.fs, fd)
            try:
                journal = fold(scan(data), path)
                if not journal.torn_bytes or again == 0:
                    break
            except GemcliError:
                if again == 0:
                    raise
            again -= 1
            time.sleep(PAUSE)
        if note := torn_note(path, journal):
            self.notice(note)
        return journal

    @contextmanager
    def open(self, path: str, wait: float) -> Iterator[Session]:
        """Lock the session at `path`, load it, repair its tail, and hand it over for appending."""
        # Resolved once: every later step uses that name.
        given, path = path, file_operations.resolved(self.fs, path)
        with self._dangling_link_told(given), self._patience(path, wait) as seconds:
            fd = open_locked(self.fs, path, seconds, self.waiting)
        try:
            data = self._read_all(fd, path)
            lines = scan(data)
            journal = fold(lines, path)
            size = repair_tail(self.fs, fd, path, lines, self.notice)
            yield Session(self.fs, path, fd, journal, data[: lines.end], size)
        finally:
            file_operations.close(self.fs, fd)

    def create(
        self, path: str, content: Iterable[Record], *, force: bool = False, wait: float = 0
    ) -> str | None:
        """Create a session whole or not at all. `force` keeps an old one, and returns its path."""
        data = b"".join(map(record_lines.encode, content))
        self._require_no_dangling_link(path)
        target = file_operations.resolved(self.fs, path)
        directory = os.path.dirname(target)
        if directory not in self._swept:
            self._swept.add(directory)
            remove_old_drafts(self.fs, directory)
        with self._patience(target, wait) as seconds:
            return create_file(
                self.fs, target, data, force=force, wait=seconds, waiting=self.waiting
            )

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`. Raises `GemcliError` (IO) if that is not known."""
        try:
            return file_operations.exists(self.fs, path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return True
            raise io_error(error, f"cannot check {path}") from error

    def make_directory(self, directory: str) -> None:
        """Make a private directory and its parents, as far as they are missing."""
        missing: list[str] = []
        try:
            parent = directory
            while parent and not file_operations.exists(self.fs, parent):
                missing.append(parent)
                parent = os.path.dirname(parent)
            for path in reversed(missing):
                with suppress(FileExistsError):
                    self.fs.mkdir(path)
                sync_directory(self.fs, os.path.dirname(path))
        except OSError as error:
            raise io_error(error, f"cannot make the directory {directory}") from error

    @contextmanager
    def _patience(self, path: str, wait: float) -> Iterator[float]:
        """How long to wait for a lock: not at all for one that is held for as long as this runs."""
        held = path in [file_operations.resolved(self.fs, name) for name in self.held]
        try:
            yield 0 if held else wait
        except GemcliError as error:
            if not held or error.reason != "SESSION_BUSY":
                raise
            what = f"{path} is in use by the gemcli that runs this command as a tool"
            hint = "a tool cannot change the session of its own turn; it can use another one"
            raise GemcliError("SESSION_BUSY", what, hint=hint) from None

    @contextmanager
    def _dangling_link_told(self, path: str) -> Iterator[None]:
        """Tell a session that is missing from one that cannot be made either."""
        try:
            yield
        except GemcliError as error:
            if error.reason == "SESSION_MISSING":
                self._require_no_dangling_link(path)
            raise

    def _require_no_dangling_link(self, path: str) -> None:
        """Refuse a link to nothing: a file must not appear in a place that was not named."""
        directory, name = os.path.split(path)
        target = file_operations.resolved(self.fs, path)
        itself = os.path.join(file_operations.resolved(self.fs, directory), name)
        if itself != target and not self.exists(target):
            what = f"{path} is a symbolic link to {target}, which does not exist"
            hint = f"remove the link: rm {shlex.quote(path)}"
            raise GemcliError("NOT_A_SESSION", what, hint=hint)

    def names(self, directory: str) -> list[str]:
        """The names of the sessions in `directory`, sorted; `[]` if it does not exist."""
        try:
            files = self.fs.listdir(directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise io_error(error, f"cannot read {directory}") from error
        sessions = [file for file in files if file.endswith(SUFFIX) and file[0] != "."]
        return sorted(file.removesuffix(SUFFIX) for file in sessions)

    def _read_all(self, fd: int, path: str) -> bytes:
        try:
            return file_operations.read_all(self.fs, fd)
        except OSError as error:
            raise io_error(error, f"cannot read {path}") from error
