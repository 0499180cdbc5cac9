"""Backends: who answers for a session and a model."""

from __future__ import annotations

import pytest

from gemcli.api import backends
from gemcli.api.backends import Backend
from tests.builders import error_from


@pytest.mark.parametrize(
    ("model", "backend"),
    [("simulator/echo", "simulator"), ("simulator", "gemini"), ("gemini-x", "gemini"), ("x/simulator/y", "gemini")],
)
def test_backends(model: str, backend: str) -> None:
    """The simulator answers for the names under `simulator/`, and for no other."""
    assert backends.backend_for({"backend": "gemini"}, model, {}).name == backend


@pytest.mark.parametrize("name", ["GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"])
@pytest.mark.parametrize(
    ("value", "backend"), [("1", "vertex"), ("true", "vertex"), ("TRUE", "vertex"), ("0", "gemini")]
)
def test_the_environment_of_the_sdk(name: str, value: str, backend: str) -> None:
    """A session that names no backend gets the one that the SDK's own variables ask for."""
    assert backends.backend_of_environment({name: value}) == Backend(backend)


def test_the_backend_of_a_session() -> None:
    """A session keeps its backend, project and location; one for the simulator sent to a model has no say."""
    vertex = {"GOOGLE_GENAI_USE_VERTEXAI": "1"}
    header = {"backend": "vertex", "project": "p", "location": "l"}
    assert backends.backend_for(header, "gemini-x", {}) == Backend("vertex", "p", "l")
    assert backends.backend_for({"backend": "gemini"}, "gemini-x", vertex) == Backend("gemini")
    assert backends.backend_for({"backend": "simulator"}, "gemini-x", vertex) == Backend("vertex")


@pytest.mark.parametrize("name", ["", "azure", "Gemini"])
def test_an_unknown_backend(name: str) -> None:
    """A session that asks for something else does not get the Gemini API; the simulator still answers for its own."""
    error = error_from(backends.backend_for, {"backend": name}, "gemini-x", {})
    assert (error.reason, error.message) == (
        "NEWER_FORMAT",
        f"the session asks the backend {name!r}, which is unknown here",
    )
    assert backends.backend_for({"backend": name}, "simulator/echo", {}).name == "simulator"


def test_a_rules_file_is_no_part_of_the_url() -> None:
    """The file after `simulator/rules:` is the backend's, and the wire sees a plain name."""
    model = "simulator/rules:../a b.yaml"
    assert backends.backend_for({"backend": "gemini"}, model, {}) == Backend("simulator", rules="../a b.yaml")
    assert backends.model_in_url(model) == "simulator/rules"
    assert backends.model_in_url("gemini-x") == "gemini-x"


@pytest.mark.parametrize(
    ("backend", "fields"),
    [
        (Backend("vertex", "p", ""), {"backend": "vertex", "project": "p"}),
        (Backend(""), {"backend": ""}),  # of a session file that somebody edited
    ],
)
def test_fields_of_a_session_record(backend: Backend, fields: dict[str, str]) -> None:
    """The name is always there, project and location if they are set."""
    assert backend.to_json() == fields
