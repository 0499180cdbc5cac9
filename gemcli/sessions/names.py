"""Names of sessions, which become paths."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from gemcli.errors import GemcliError

SUFFIX = ".jsonl"

_SESSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")


def is_session_name(text: str) -> bool:
    """Whether `text` is the name of a session, and so can be that of a file anywhere."""
    return _SESSION.match(text) is not None and len(text) <= 128


def session_path(session: str, environ: Mapping[str, str]) -> str:
    """The file of a session: a name's place under GEMCLI_HOME, or the path it is.

    Anything with a `/` or ending in `.jsonl` is a path, taken as it is. Raises `GemcliError`
    (USAGE) for a name that is not one.
    """
    if "\0" in session:
        raise GemcliError("USAGE", "a session's name cannot contain NUL")
    if "/" in session or session.endswith(SUFFIX):
        return session
    if not is_session_name(session):
        raise GemcliError(
            "USAGE",
            f"{session!r} is not a session name",
            hint="letters, digits, '.', '_' and '-', at most 128, not starting with '.' or '-'; or a path with '/'",
        )
    return os.path.join(sessions_directory(environ), session + SUFFIX)


def sessions_directory(environ: Mapping[str, str]) -> str:
    """Where named sessions live.

    `$GEMCLI_HOME/sessions`, by default in the platform's data directory.
    """
    home = environ.get("GEMCLI_HOME")
    if not home:
        import platformdirs

        home = platformdirs.user_data_dir("gemcli", appauthor=False)
    return os.path.join(home, "sessions")
