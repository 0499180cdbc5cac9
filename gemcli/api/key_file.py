"""The file that may hold the API key, for cron and wherever else the environment is bare."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping

from gemcli.errors import GemcliError

VARIABLE = "GEMINI_API_KEY_FILE"
"""The variable that names the file of the key."""

MAX_LENGTH = 4096
"""The longest key that is read, in bytes."""


def default_path() -> str:
    """Where the key is looked for if no variable names it: in the configuration directory.

    Raises `GemcliError` (NO_KEY) where there is none.
    """
    import platformdirs

    try:
        directory = platformdirs.user_config_dir("gemcli", appauthor=False)
    except RuntimeError:
        what = "no variable holds a key, and there is no home directory with a file for it"
        raise GemcliError("NO_KEY", what) from None
    return os.path.join(directory, "api-key")


def path_of(environ: Mapping[str, str]) -> str:
    """The file that the variable names, or else the default one. A crontab expands no `~`."""
    named = environ.get(VARIABLE)
    return os.path.expanduser(named) if named else default_path()


def existing_path(environ: Mapping[str, str]) -> str | None:
    """The file, whatever is in it; None if there is no file."""
    path = path_of(environ)
    return path if os.path.exists(path) else None


def read(environ: Mapping[str, str]) -> str | None:
    """The key in the file, None if there is no file and no variable names one.

    Raises `GemcliError` (KEY_FILE) unless the file holds something that only its owner can read.
    """
    path = path_of(environ)
    try:
        # A FIFO would not be opened before somebody writes to it.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if missing and not environ.get(VARIABLE):
            return None
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    try:
        _require_private(path, os.fstat(fd))
        data = os.read(fd, MAX_LENGTH)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
    key = data.decode("latin-1").rstrip("\r\n")
    if not key:
        raise _unusable(path, "is empty")
    return key


def _require_private(path: str, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise _unusable(path, "is not a plain file")
    if info.st_mode & 0o077:
        hint = f"run chmod 600 {shlex.quote(path)}"
        raise _unusable(path, "can be read or changed by others", hint)


def _unusable(path: str, why: str, hint: str | None = None) -> GemcliError:
    return GemcliError("KEY_FILE", f"the key's file {path} {why}", hint=hint)
