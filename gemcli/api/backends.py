"""Backends: which service answers a request. `simulator/` models have one of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemcli.errors import GemcliError

NAMES = ("gemini", "vertex")
"""The backends to choose from: the Gemini API, or Vertex AI with Google Cloud credentials."""

SIMULATOR = "simulator"

RULES_PREFIX = "simulator/rules:"
"""The beginning of a model name that stands for a rules file; the rest is the file's path."""

# An id, a number, or an id in a domain:
# cloud.google.com/resource-manager/docs/creating-managing-projects
_PROJECT = re.compile(r"([a-z0-9][a-z0-9.-]*:)?[a-z0-9][a-z0-9-]*\Z")
_LOCATION = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


@dataclass(frozen=True)
class Backend:
    """A backend; None as `project` or `location` of Vertex AI means that of the environment.

    `rules` is the file that scripts the simulator.
    """

    name: str
    project: str | None = None
    location: str | None = None
    rules: str | None = None

    def to_json(self) -> dict[str, str]:
        """Its fields in a session record."""
        place = {"project": self.project, "location": self.location}
        return {"backend": self.name, **{name: value for name, value in place.items() if value}}


def backend_of_environment(environ: Mapping[str, str]) -> Backend:
    """The backend that the SDK's own variables choose."""
    enterprise = environ.get("GOOGLE_GENAI_USE_ENTERPRISE")
    use_vertex = enterprise or environ.get("GOOGLE_GENAI_USE_VERTEXAI") or ""
    return Backend("vertex" if use_vertex.lower() in ("1", "true") else "gemini")


def backend_for(header: Mapping[str, Any], model: str, environ: Mapping[str, str]) -> Backend:
    """The backend that answers when a session with this header sends to `model`.

    Raises `GemcliError` (NEWER_FORMAT) for one that only a newer gemcli may know.
    """
    if model.startswith(RULES_PREFIX):
        return Backend(SIMULATOR, rules=model.removeprefix(RULES_PREFIX))
    if is_simulator_model(model):
        return Backend(SIMULATOR)
    if header["backend"] == SIMULATOR:
        return backend_of_environment(environ)
    if header["backend"] not in NAMES:
        what = f"the session asks the backend {header['backend'][:80]!r}, which is unknown here"
        raise GemcliError("NEWER_FORMAT", what)
    return Backend(header["backend"], header.get("project"), header.get("location"))


def is_simulator_model(model: str) -> bool:
    """Whether the simulator answers for `model`."""
    return model.startswith("simulator/")


def model_in_url(model: str) -> str:
    """A model name as it stands in a URL, without the path of a rules file."""
    return RULES_PREFIX.rstrip(":") if model.startswith(RULES_PREFIX) else model


def check_project_and_location(project: str | None, location: str | None) -> None:
    """Raise `GemcliError` (PROJECT_NAME, LOCATION_NAME) unless both can stand in a URL."""
    # A location is the beginning of the host that gets the user's access token, and both may come
    # from a session file that somebody else has made.
    if project is not None and (not _PROJECT.match(project) or len(project) > 128):
        raise GemcliError("PROJECT_NAME", f"{project[:80]!r} is not a Google Cloud project")
    if location is not None and (not _LOCATION.match(location) or len(location) > 63):
        raise GemcliError("LOCATION_NAME", f"{location[:80]!r} is not a Google Cloud location")
