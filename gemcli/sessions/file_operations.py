"""Operations on files of several system calls. They raise `OSError`s; see `io_error`."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from gemcli.errors import GemcliError, ReasonName
from gemcli.sessions.filesystem import UNSUPPORTED, FileSystem

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

NOT_REGULAR = {errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.ENOTDIR}
"""Errors of `open` for paths that do not name a regular file."""


NO_LINKS = {errno.EPERM, errno.EMLINK, *UNSUPPORTED}
"""Errors of `link` on file systems without hard links, such as FAT and exFAT."""


def exists(fs: FileSystem, path: str) -> bool:
    """Whether `path` names anything. If that cannot be found out, it is an `OSError`, never no."""
    try:
        fs.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_same_file(fs: FileSystem, path: str, fd: int) -> bool:
    """Whether `path` names the open file. If that cannot be found out, it is an `OSError`."""
    try:
        return os.path.samestat(fs.stat(path), fs.fstat(fd))
    except (FileNotFoundError, NotADirectoryError):
        return False


def open_session(fs: FileSystem, path: str, flags: int) -> int:
    """Open a session file. Raises `GemcliError`: SESSION_MISSING, NOT_A_SESSION, IO."""
    try:
        fd = fs.open(path, flags)
        if stat.S_ISREG(fs.fstat(fd).st_mode):
            return fd
        close(fs, fd)
    except FileNotFoundError:
        raise GemcliError("SESSION_MISSING", f"there is no session at {path}") from None
    except OSError as error:
        if error.errno not in NOT_REGULAR:
            raise io_error(error, f"cannot open {path}") from error
    raise GemcliError("NOT_A_SESSION", f"{path} is not a regular file, so it is not a session")


def close(fs: FileSystem, fd: int) -> None:
    """Close a descriptor. Errors do not matter: what must be on the disk was synced before."""
    with suppress(OSError):
        fs.close(fd)


def read_all(fs: FileSystem, fd: int) -> bytes:
    """Exactly as many bytes as the file has now; fewer if it is cut meanwhile."""
    left = fs.fstat(fd).st_size
    chunks = []
    while left > 0 and (chunk := fs.read(fd, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def write_all(fs: FileSystem, fd: int, data: bytes) -> None:
    """Write all of `data`, in as many calls as it takes."""
    view = memoryview(data)
    while view:
        view = view[fs.write(fd, view) :]


def write_new(fs: FileSystem, path: str, data: bytes) -> None:
    """Write a new file, on the disk when this returns; on any error there is none."""
    fd = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_all(fs, fd, data)
        fs.sync(fd)
    except BaseException:
        with suppress(OSError):
            fs.unlink(path)
        raise
    finally:
        close(fs, fd)


def write_numbered(fs: FileSystem, path: str, label: str, data: bytes) -> str:
    """Write `data` to the first free `PATH.<label>-<n>`, file and name on the disk; its path."""
    written = _first_free(path, label, lambda name: write_new(fs, name, data))
    sync_directory(fs, os.path.dirname(written))
    return written


def link_numbered(fs: FileSystem, path: str, label: str) -> str:
    """Give the file at `path` a second name, the first free `PATH.<label>-<n>`; that name."""
    return _first_free(path, label, lambda name: fs.link(path, name))


def _first_free(path: str, label: str, make: Callable[[str], None]) -> str:
    number = 1
    while True:
        name = f"{path}.{label}-{number}"
        try:
            make(name)
        except FileExistsError:
            number += 1
        else:
            return name


def sync_directory(fs: FileSystem, path: str) -> None:
    """Put the names in a directory on the disk, if the file system can do that."""
    fd = fs.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fs.sync(fd)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        close(fs, fd)


def resolved(fs: FileSystem, path: str) -> str:
    """The path with its symbolic links followed. Raises `GemcliError` (IO)."""
    try:
        return fs.realpath(path)
    except OSError as error:
        raise io_error(error, f"cannot find {path}") from error


def io_error(error: OSError, what: str) -> GemcliError:
    """A failed system call as an error for the user; `what` is what could not be done."""
    return GemcliError(io_reason(error), f"{what}: {error.strerror or error}")


def io_reason(error: OSError) -> ReasonName:
    """The reason of a failed system call: DISK_FULL or IO."""
    return "DISK_FULL" if error.errno in FULL else "IO"
