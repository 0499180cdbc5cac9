"""A locked session: the right to append to it, one record at a time, each on the disk before the next."""

from __future__ import annotations

from contextlib import suppress

from gemcli.errors import GemcliError, ReasonName
from gemcli.sessions import records
from gemcli.sessions.disk import Disk, io_reason
from gemcli.sessions.journal import Journal
from gemcli.sessions.records import Record
from gemcli.signals import deferred


class Unsaved(GemcliError):
    """A record is not safely in its session.

    `kept` names the file that holds it instead, if one does.
    """

    def __init__(
        self, reason: ReasonName, message: str, *, hint: str | None = None, kept: str | None = None
    ) -> None:
        super().__init__(reason, message, hint=hint)
        self.kept = kept


class Session:
    """A session that this process has locked.

    Its `path`, its `journal`, and the right to append to both.
    """

    def __init__(
        self, disk: Disk, path: str, fd: int, journal: Journal, loaded: bytes, size: int
    ) -> None:
        self.path = path
        self.journal = journal
        self._disk = disk
        self._fd = fd
        self._loaded = loaded
        self._size = size
        self._ours: list[bytes] = []

    def append(self, record: Record, *, paid: bool = False) -> None:
        """Put one record at the end of the file and of the journal; on the disk when this returns.

        When that fails the file is as it was, unless what was written is `paid` for: then it stays
        although it may not survive a power cut. Raises `Unsaved`: DISK_FULL or IO when it could not
        be written, SESSION_CHANGED when the file is no longer what this process loaded (paid
        records are then kept in `PATH.lost-<n>`). Raises `RecordError` before anything is written
        if the record does not fit.
        """
        line = records.encode(record)
        self.journal.apply(records.decode(line))
        with deferred:
            self._ours.append(line)
            self._require_unchanged(paid)
            self._write(line, paid)
            self._sync(paid)
            self._size += len(line)

    def _require_unchanged(self, paid: bool) -> None:
        try:
            if (
                self._disk.names(self.path, self._fd)
                and self._disk.fs.fstat(self._fd).st_size == self._size
            ):
                return
            what = f"{self.path} was changed by another program"
        except OSError as error:
            what = f"{self.path} cannot be looked at ({error.strerror})"
        kept = self._keep() if paid else None
        where = f"this turn is in {kept}, a whole session" if kept else "nothing was written"
        raise Unsaved("SESSION_CHANGED", f"{what}; {where}", kept=kept)

    def _keep(self) -> str | None:
        """Put the session as it should be beside the file; the path, or None if that fails too."""
        try:
            return self._disk.keep(self.path, "lost", self._whole())
        except OSError:
            return None

    def _whole(self) -> bytes:
        """The session as this process knows it, its own records included."""
        loaded = self._loaded if self._loaded.endswith(b"\n") else self._loaded + b"\n"
        return loaded + b"".join(self._ours)

    def _write(self, line: bytes, paid: bool) -> None:
        try:
            self._disk.write_all(self._fd, line)
        except OSError as error:
            self._cut_back()
            hint = (
                "what was answered is only in what is printed: keep that, and free some space"
                if paid
                else None
            )
            raise _unsaved(error, f"cannot write to {self.path}", hint) from error

    def _sync(self, paid: bool) -> None:
        try:
            self._disk.fs.sync(self._fd)
        except OSError as error:
            # Trying again would say yes without having written: the kernel forgets such an error
            # once told.
            if not paid:
                self._cut_back()
            hint = "what was answered is in the file; a power cut may take it" if paid else None
            raise _unsaved(error, f"{self.path} may not be on the disk", hint) from error

    def _cut_back(self) -> None:
        # If even that fails, the torn line is mended by the next writer.
        with suppress(OSError):
            self._disk.fs.truncate(self._fd, self._size)


def _unsaved(error: OSError, what: str, hint: str | None) -> Unsaved:
    return Unsaved(io_reason(error), f"{what}: {error.strerror or error}", hint=hint)
