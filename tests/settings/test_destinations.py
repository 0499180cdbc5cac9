"""Who else gets a conversation."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.settings.destinations import ADDRESSES, SERVICES, destinations

MCP = {"mcpServers": [{"name": "x", "streamableHttpTransport": {"url": "https://a"}}]}


@pytest.mark.parametrize(
    ("config", "places"),
    [
        ({}, []),
        ({"tools": [{"googleSearch": {}}, {"codeExecution": {}}, {"fileSearch": {}}]}, []),
        ({"tools": [MCP, MCP]}, ["https://a"]),
        ({"tools": MCP}, ["https://a"]),
        ({"tools": [{"mcp_servers": [{"streamable_http_transport": {"url": "https://a"}}]}]}, ["https://a"]),
        ({"tools": [{"retrieval": {"externalApi": {"endpoint": "https://b"}}}]}, ["https://b"]),
        ({"tools": [{"urlContext": {}}, {"parallelAiSearch": {"apiKey": "x"}}]},
            [SERVICES["urlContext"], "parallel.ai"]),
        ({"outputConfig": {"outputUriPrefix": "gs://c"}}, ["gs://c"]),
        ({"output_config": {"output_uri_prefix": "gs://c"}}, ["gs://c"]),
        ({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"url": "no"}}]}]}, []),
        ({"labels": {"url": "https://d"}, "systemInstruction": {"parts": [{"text": "url"}]}}, []),
        ({"tools": ["url", None, {"x": [[{"endpoint": 5}]]}]}, []),
    ],
)  # fmt: skip
def test_destinations(config: dict[str, Any], places: list[str]) -> None:
    """Addresses and services of tools and of output, each once, whatever the shape of the rest."""
    assert destinations(None, [config], {}) == places


def test_projects() -> None:
    """A project is somebody else's unless the environment has it, too."""
    environ = {"GOOGLE_CLOUD_PROJECT": "mine"}
    assert destinations("theirs", [], environ) == ["the Google Cloud project theirs"]
    assert destinations("mine", [], environ) == destinations(None, [], environ) == []


def test_the_names_are_the_apis() -> None:
    """Each name that is looked for is a field of the API."""
    from google.genai import types

    fields = {field.alias for name in dir(types) for field in _fields(getattr(types, name))}
    assert SERVICES.keys() | ADDRESSES <= fields


def _fields(kind: Any) -> list[Any]:
    return list(getattr(kind, "model_fields", {}).values()) if isinstance(kind, type) else []
