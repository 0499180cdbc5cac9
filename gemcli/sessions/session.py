"""A locked session: the right to append records to it, each on the disk before the next."""

from __future__ import annotations

from contextlib import suppress

from gemcli.errors import GemcliError, ReasonName
from gemcli.sessions import record_lines
from gemcli.sessions.file_operations import io_reason, is_same_file, write_all, write_numbered
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import Record
from gemcli.signals import deferred


class Unsaved(GemcliError):
    """A record is not safely in its session; `kept` is the file that holds it instead, if any."""

    def __init__(
        self, reason: ReasonName, message: str, *, hint: str | None = None, kept: str | None = None
    ) -> None:
        super().__init__(reason, message, hint=hint)
        self.kept = kept


class Session:
    """A session that this process has locked; `loaded` of it was read, `size` is its length."""

    def __init__(
        self, fs: FileSystem, path: str, fd: int, journal: Journal, loaded: bytes, size: int
    ) -> None:
        self.path = path
        self.journal = journal
        self._fs = fs
        self._fd = fd
        self._loaded = loaded
        self._size = size
        self._appended: list[bytes] = []

    def append(self, record: Record, *, paid: bool = False) -> None:
        """Append one record to the file and the journal; it is on the disk when this returns.

        If that fails the file is as it was, unless the record is `paid` for: then it stays although
        a power cut may take it. Raises `Unsaved`: DISK_FULL, IO, or SESSION_CHANGED if the file is
        not what this process loaded (then a paid record is kept in `PATH.lost-<n>`).
        """
        line = record_lines.encode(record)
        self.journal.apply(record_lines.decode(line))
        with deferred:
            self._appended.append(line)
            self._require_unchanged(self._size, paid)
            self._write(line, paid)
            self._sync(paid)
            self._require_in_place(line, paid)
            self._size += len(line)

    def _require_unchanged(self, size: int, paid: bool) -> None:
        """Raise `Unsaved` unless the path names the locked file, and that has this size."""
        try:
            same = is_same_file(self._fs, self.path, self._fd)
            if same and self._fs.fstat(self._fd).st_size == size:
                return
            what = f"{self.path} was changed by another program"
        except OSError as error:
            what = f"{self.path} cannot be checked ({error.strerror})"
        kept = self._write_copy() if paid else None
        where = f"this turn is in {kept}, a whole session" if kept else "nothing was written"
        raise Unsaved("SESSION_CHANGED", f"{what}; {where}", kept=kept)

    def _require_in_place(self, line: bytes, paid: bool) -> None:
        """Look again after the write: another program may have moved the file away meanwhile."""
        end = self._size + len(line)
        try:
            self._require_unchanged(end, paid)
        except Unsaved:
            with suppress(OSError):
                # Wherever the file is now, it must not hold a request that is never sent.
                if not paid and self._fs.fstat(self._fd).st_size == end:
                    self._cut_back()
            raise

    def _write_copy(self) -> str | None:
        """Write the session as this process knows it beside the file; the path, if that works."""
        newline = b"" if self._loaded.endswith(b"\n") else b"\n"
        whole = b"".join([self._loaded, newline, *self._appended])
        try:
            return write_numbered(self._fs, self.path, "lost", whole)
        except OSError:
            return None

    def _write(self, line: bytes, paid: bool) -> None:
        try:
            write_all(self._fs, self._fd, line)
        except OSError as error:
            self._cut_back()
            hint = "the answer is only in the output: keep that, and free some space"
            what = f"cannot write to {self.path}: {error.strerror or error}"
            raise Unsaved(io_reason(error), what, hint=hint if paid else None) from error

    def _sync(self, paid: bool) -> None:
        try:
            self._fs.sync(self._fd)
        except OSError as error:
            # Not tried again: the kernel reports such an error once, and then says yes without
            # having written.
            if not paid:
                self._cut_back()
            hint = "the answer is in the file, but a power cut may take it"
            what = f"{self.path} may not be on the disk: {error.strerror or error}"
            raise Unsaved(io_reason(error), what, hint=hint if paid else None) from error

    def _cut_back(self) -> None:
        # If even that fails, the next writer repairs the torn line.
        with suppress(OSError):
            self._fs.truncate(self._fd, self._size)
