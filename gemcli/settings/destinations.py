"""Who else gets a conversation: the project that pays for it, and servers that settings name.

A session may come from somebody else, who should not choose that silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gemcli.text.proto_json import camel

SERVICES = {
    "urlContext": "the web pages that it names",
    "parallelAiSearch": "parallel.ai",
    "exaAiSearch": "exa.ai",
}
"""Tools that reach other people's servers, and which."""

ADDRESSES = {"url", "endpoint", "outputUriPrefix"}
"""The keys of addresses, in the settings of tools and of output."""

PLACES = ("tools", "outputConfig")


def destinations(
    project: str | None, configs: Iterable[Mapping[str, Any]], environ: Mapping[str, str]
) -> list[str]:
    """Who gets parts of a conversation besides Google and the user's own project, each once."""
    found = []
    if project not in (None, environ.get("GOOGLE_CLOUD_PROJECT")):
        found.append(f"the Google Cloud project {project}")
    for config in configs:
        for key in config:
            if camel(key) in PLACES:
                found += _places(config[key])
    return list(dict.fromkeys(found))


def _places(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _places(inner)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        name = camel(key)
        if name in SERVICES:
            yield SERVICES[name]
        elif name in ADDRESSES and isinstance(inner, str):
            yield inner
        elif name != "functionDeclarations":
            yield from _places(inner)
