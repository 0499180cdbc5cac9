"""Atomic create: a session file is written as a draft, synced, and named in one system call.

A file system without hard links (FAT, exFAT) cannot name a file without replacing another. There
the name is taken first, by an empty file, which the draft then replaces: still nothing is ever
overwritten, but a crash in between leaves the empty file.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from contextlib import nullcontext, suppress

from gemcli.errors import GemcliError
from gemcli.sessions import file_operations
from gemcli.sessions.file_operations import NO_LINKS, io_error, io_reason, sync_directory
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.lock import Waiting, open_locked
from gemcli.signals import deferred

DRAFT = re.compile(r"\..+\.new-[0-9a-f]{12}")
DRAFT_LIFETIME = 3600.0
"""Seconds after which a draft is not in use any more: it is named as soon as it is on the disk."""


def create_file(
    fs: FileSystem,
    path: str,
    data: bytes,
    *,
    force: bool,
    wait: float,
    waiting: Waiting = nullcontext,
) -> str | None:
    """Create the file `path`, or with `force` replace it; the path of the backup, if there is one.

    Raises `GemcliError`: SESSION_EXISTS, FILE_MISSING if there is no directory, DISK_FULL or IO.
    """
    directory = os.path.dirname(path)
    try:
        backup = _replace(fs, path, data, wait, waiting) if force else None
        if backup is None:
            _create(fs, path, data)
    except FileExistsError:
        hint = "--force keeps it as a backup"
        raise GemcliError("SESSION_EXISTS", f"{path} already exists", hint=hint) from None
    except FileNotFoundError:
        what = f"the directory {directory} does not exist"
        hint = f"mkdir -p {shlex.quote(directory)}"
        raise GemcliError("FILE_MISSING", what, hint=hint) from None
    except OSError as error:
        raise io_error(error, f"cannot create {path}") from error
    try:
        sync_directory(fs, directory)
    except OSError as error:
        what = f"{path} is there, but its name may not be on the disk: {error.strerror or error}"
        hint = "a power cut may take the name; after that, look for it again"
        raise GemcliError(io_reason(error), what, hint=hint) from error
    return backup


def remove_old_drafts(fs: FileSystem, directory: str) -> None:
    """Remove the drafts in a directory that were left there when a program was killed."""
    with suppress(OSError):
        for name in filter(DRAFT.fullmatch, fs.listdir(directory)):
            draft = os.path.join(directory, name)
            with suppress(OSError):  # another program may be faster
                if fs.stat(draft).st_mtime < time.time() - DRAFT_LIFETIME:
                    fs.unlink(draft)


def _create(fs: FileSystem, path: str, data: bytes) -> None:
    draft = _write_draft(fs, path, data)
    try:
        fs.link(draft, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _take_and_replace(fs, draft, path)
    finally:
        with suppress(OSError):
            fs.unlink(draft)


def _take_and_replace(fs: FileSystem, draft: str, path: str) -> None:
    """Name the draft without a hard link: an empty file takes the name, the draft its place."""
    with deferred:
        fd = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            # Whoever opens the empty file waits, and then looks what the name has become.
            with suppress(OSError):
                fs.lock(fd, wait=False)
            fs.replace(draft, path)
        except OSError:
            with suppress(OSError):
                fs.unlink(path)
            raise
        finally:
            file_operations.close(fs, fd)


def _replace(fs: FileSystem, path: str, data: bytes, wait: float, waiting: Waiting) -> str | None:
    """Put a new file in the place of the session at `path`, if there is one; the backup's path."""
    try:
        fd = open_locked(fs, path, wait, waiting)
    except GemcliError as error:
        if error.reason == "SESSION_MISSING":
            return None
        raise
    try:
        draft = _write_draft(fs, path, data)
        try:
            backup = _back_up(fs, path, fd)
            # A power loss may keep the later of two names and lose the earlier one, and with it
            # the old session.
            sync_directory(fs, os.path.dirname(path))
            fs.replace(draft, path)
            return backup
        finally:
            with suppress(OSError):
                fs.unlink(draft)
    finally:
        file_operations.close(fs, fd)


def _write_draft(fs: FileSystem, path: str, data: bytes) -> str:
    directory, name = os.path.split(path)
    draft = os.path.join(directory, f".{name}.new-{os.urandom(6).hex()}")
    file_operations.write_new(fs, draft, data)
    return draft


def _back_up(fs: FileSystem, path: str, fd: int) -> str:
    """Give the locked file a second name, or copy it where a file can only have one."""
    try:
        return file_operations.link_numbered(fs, path, "bak")
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    return file_operations.write_numbered(fs, path, "bak", file_operations.read_all(fs, fd))
