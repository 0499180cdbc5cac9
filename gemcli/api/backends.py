"""Backends: who answers.

A session names its own; a model under `simulator/` brings the simulator with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemcli.errors import GemcliError

NAMES = ("gemini", "vertex")
"""The backends that can be chosen.

The Gemini API with a key, or Vertex AI with Google Cloud credentials.
"""

SIMULATOR = "simulator"

RULES_PREFIX = "simulator/rules:"
"""What the name of a model begins with that a rules file scripts; the rest is the file."""

# An id, a number, or an id in a domain:
# cloud.google.com/resource-manager/docs/creating-managing-projects
_PROJECT = re.compile(r"([a-z0-9][a-z0-9.-]*:)?[a-z0-9][a-z0-9-]*\Z")
_LOCATION = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


@dataclass(frozen=True)
class Backend:
    """A backend by `name`.

    `project` and `location` are Vertex AI's, and None means the environment's; `rules` is the file
    that scripts the simulator.
    """

    name: str
    project: str | None = None
    location: str | None = None
    rules: str | None = None

    def to_json(self) -> dict[str, str]:
        """The fields it has in a session record."""
        given = {"project": self.project, "location": self.location}
        return {"backend": self.name} | {key: value for key, value in given.items() if value}


def backend_of_environment(environ: Mapping[str, str]) -> Backend:
    """The backend that the SDK's own variables ask for."""
    asked = (
        environ.get("GOOGLE_GENAI_USE_ENTERPRISE") or environ.get("GOOGLE_GENAI_USE_VERTEXAI") or ""
    ).lower()
    return Backend("vertex" if asked in ("1", "true") else "gemini")


def backend_for(header: Mapping[str, Any], model: str, environ: Mapping[str, str]) -> Backend:
    """Who answers when a session sends to `model`."""
    if is_simulator_model(model):
        return Backend(
            SIMULATOR,
            rules=model.removeprefix(RULES_PREFIX) if model.startswith(RULES_PREFIX) else None,
        )
    if header["backend"] == SIMULATOR:
        return backend_of_environment(environ)
    return Backend(header["backend"], header.get("project"), header.get("location"))


def is_simulator_model(model: str) -> bool:
    """Whether a model's name is one of the simulator's."""
    return model.startswith("simulator/")


def model_in_url(model: str) -> str:
    """A model's name as it stands in a URL: that of a rules file is no business of the wire."""
    return RULES_PREFIX.rstrip(":") if model.startswith(RULES_PREFIX) else model


def check_project_and_location(project: str | None, location: str | None) -> None:
    """Raise `GemcliError` (PROJECT_NAME, LOCATION_NAME) unless a Google Cloud project and location can stand in a URL.

    A location is the beginning of the host that gets the user's access token, and both may come
    from a session file that somebody else has made.
    """
    if project is not None and (not _PROJECT.match(project) or len(project) > 128):
        raise GemcliError("PROJECT_NAME", f"{project[:80]!r} is not a Google Cloud project")
    if location is not None and (not _LOCATION.match(location) or len(location) > 63):
        raise GemcliError("LOCATION_NAME", f"{location[:80]!r} is not a Google Cloud location")
