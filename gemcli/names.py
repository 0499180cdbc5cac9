"""Names: of sessions, which become paths, and of models, projects and locations, which become part of a URL."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from gemcli.backends import RULES
from gemcli.errors import GemcliError

SUFFIX = ".jsonl"

DEFAULT_MODEL = "gemini-flash-latest"
"""The model of a session that names none: an alias, because dated names are retired."""

_SESSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_MODEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._@-]*(/[A-Za-z0-9_-][A-Za-z0-9._@-]*)*\Z")
# An id, a number, or an id in a domain: cloud.google.com/resource-manager/docs/creating-managing-projects
_PROJECT = re.compile(r"([a-z0-9][a-z0-9.-]*:)?[a-z0-9][a-z0-9-]*\Z")
_LOCATION = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


def is_session_name(text: str) -> bool:
    """Whether `text` is the name of a session, and so can be that of a file anywhere."""
    return _SESSION.match(text) is not None and len(text) <= 128


def session_path(session: str, environ: Mapping[str, str]) -> str:
    """The file of a session: a name's place under GEMCLI_HOME, or the path it is.

    Anything with a `/` or ending in `.jsonl` is a path, taken as it is. Raises `GemcliError` (USAGE) for a name
    that is not one.
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
    """Where named sessions live: `$GEMCLI_HOME/sessions`, by default in the platform's data directory."""
    home = environ.get("GEMCLI_HOME")
    if not home:
        import platformdirs

        home = platformdirs.user_data_dir("gemcli", appauthor=False)
    return os.path.join(home, "sessions")


def check_model(model: str) -> str:
    """`model` if it can stand in a URL as it is, or is a rules file. Raises `GemcliError` (MODEL_NAME) if not."""
    if model.startswith(RULES) and len(model) > len(RULES):
        return model
    if not _MODEL.match(model) or len(model) > 256:
        raise GemcliError("MODEL_NAME", f"{model[:80]!r} is not a model name")
    return model


def check_place(project: str | None, location: str | None) -> None:
    """Raise `GemcliError` (PROJECT_NAME, LOCATION_NAME) unless a Google Cloud project and location can stand in a URL.

    A location is the beginning of the host that gets the user's access token, and both may come from a session file
    that somebody else has made.
    """
    if project is not None and (not _PROJECT.match(project) or len(project) > 128):
        raise GemcliError("PROJECT_NAME", f"{project[:80]!r} is not a Google Cloud project")
    if location is not None and (not _LOCATION.match(location) or len(location) > 63):
        raise GemcliError("LOCATION_NAME", f"{location[:80]!r} is not a Google Cloud location")
