"""Atomic create: a session file is written as a draft, synced, and named in one system call."""

from __future__ import annotations

import os
import re
import shlex
import time
from contextlib import suppress

from gemcli.errors import GemcliError
from gemcli.sessions import file_operations
from gemcli.sessions.file_operations import io_error, sync_directory
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.lock import open_locked

DRAFT_LIFETIME = 86400.0
"""Seconds after which a draft is not in use any more, even if `new --force` waits for the lock."""


def create_file(fs: FileSystem, path: str, data: bytes, *, force: bool, wait: float) -> str | None:
    """Create the file `path`, or with `force` replace it; the path of the backup, if there is one.

    Raises `GemcliError`: SESSION_EXISTS, FILE_MISSING if there is no directory, DISK_FULL or IO.
    """
    directory, name = os.path.split(path)
    drafts = f".{name}.new-"
    draft = os.path.join(directory, drafts + os.urandom(6).hex())
    _remove_old_drafts(fs, directory, drafts)
    backup = None
    try:
        file_operations.write_new(fs, draft, data)
        try:
            if force:
                backup = _replace(fs, draft, path, wait)
            if backup is None:
                fs.link(draft, path)
        finally:
            with suppress(OSError):
                fs.unlink(draft)
        sync_directory(fs, directory)
    except FileExistsError:
        hint = "--force keeps it as a backup"
        raise GemcliError("SESSION_EXISTS", f"{path} already exists", hint=hint) from None
    except FileNotFoundError:
        what = f"the directory {directory} does not exist"
        hint = f"mkdir -p {shlex.quote(directory)}"
        raise GemcliError("FILE_MISSING", what, hint=hint) from None
    except OSError as error:
        raise io_error(error, f"cannot create {path}") from error
    return backup


def _replace(fs: FileSystem, draft: str, path: str, wait: float) -> str | None:
    """Put `draft` in the place of the session at `path`, if there is one; the backup's path."""
    try:
        fd = open_locked(fs, path, wait)
    except GemcliError as error:
        if error.reason == "SESSION_MISSING":
            return None
        raise
    try:
        backup = file_operations.link_numbered(fs, path, "bak")
        # A power loss may keep the later of two names and lose the earlier one, and with it the
        # old session.
        sync_directory(fs, os.path.dirname(path))
        fs.replace(draft, path)
        return backup
    finally:
        file_operations.close(fs, fd)


def _remove_old_drafts(fs: FileSystem, directory: str, drafts: str) -> None:
    """Remove drafts that a `new` of the same session left when it was killed."""
    with suppress(OSError):
        for name in fs.listdir(directory):
            if re.fullmatch(re.escape(drafts) + "[0-9a-f]{12}", name):
                draft = os.path.join(directory, name)
                # Younger ones may be in use.
                if fs.stat(draft).st_mtime < time.time() - DRAFT_LIFETIME:
                    fs.unlink(draft)
