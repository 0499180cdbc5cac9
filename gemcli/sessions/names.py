"""Names of sessions, and the paths they stand for."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping

from gemcli.errors import GemcliError, did_you_mean

SUFFIX = ".jsonl"

MOMENTS = {"{date}": "%Y-%m-%d", "{time}": "%H%M%S"}
"""What may stand for the local date and time in the name of a session."""


def is_session_name(text: str) -> bool:
    """Whether `text` is the name of a session, and so a safe file name anywhere."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", text) is not None


def is_path(session: str) -> bool:
    """Whether a session is named by the path of its file."""
    return "/" in session or session.endswith(SUFFIX)


def dashed(session: str) -> str | None:
    """The name that was perhaps meant by a path like `feature/x`, which is that of a branch."""
    name = session.replace("/", "-")
    plain = "/" in session and session[0] not in "/.~" and not session.endswith(SUFFIX)
    return name if plain and is_session_name(name) else None


def session_path(session: str, environ: Mapping[str, str]) -> str:
    """The file of a session: the path itself if it has a `/` or ends in `.jsonl`, else by name.

    Raises `GemcliError` (USAGE) for what is neither a path nor a name.
    """
    if "\0" in session:
        raise GemcliError("USAGE", "a session's name cannot contain NUL")
    if os.path.basename(session) in ("", ".", "..") and "/" in session:
        raise GemcliError("USAGE", f"{session!r} is a directory, not a session file")
    if is_path(session):
        return session
    if not is_session_name(session):
        hint = (
            "use at most 128 letters, digits, '.', '_' and '-', not starting with '.' or '-'; "
            "or a path with '/'"
        )
        raise GemcliError("USAGE", f"{session!r} is not a session name", hint=hint)
    return os.path.join(sessions_directory(environ), session + SUFFIX)


def filled_in(name: str, moment: time.struct_time) -> str:
    """A session or a directory as it is called at a moment: `{date}` and `{time}` are replaced.

    Raises `GemcliError` (USAGE) for other braces.
    """

    def text_of(match: re.Match[str]) -> str:
        if match[0] in MOMENTS:
            return time.strftime(MOMENTS[match[0]], moment)
        known = " and ".join(MOMENTS)
        hint = did_you_mean(match[0], MOMENTS) or f"{known} are replaced; no other braces may stand"
        raise GemcliError("USAGE", f"{name!r}: nothing replaces {match[0]}", hint=hint)

    return re.sub(r"\{+[^{}]*\}+|[{}]", text_of, name)


def copy_of(session: str) -> str:
    """A name for a copy of a session, beside it."""
    suffix = SUFFIX if session.endswith(SUFFIX) else ""
    return session.removesuffix(SUFFIX) + "-copy" + suffix


def sessions_directory(environ: Mapping[str, str]) -> str:
    """Where named sessions are: `$GEMCLI_HOME/sessions`, or in the platform's data directory.

    Raises `GemcliError` (NO_HOME) where there is none.
    """
    home = environ.get("GEMCLI_HOME")
    if not home:
        import platformdirs

        try:
            home = platformdirs.user_data_dir("gemcli", appauthor=False)
        except RuntimeError:
            what = "there is no home directory that sessions could be in"
            raise GemcliError("NO_HOME", what) from None
    return os.path.join(home, "sessions")
