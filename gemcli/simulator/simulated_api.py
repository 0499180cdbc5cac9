"""The simulated API as one pure function.

From a request to a status, headers and the steps of a body.

An application never sleeps and opens nothing. Pauses and broken connections are steps of its reply,
which the mounts (`transport`, `server`) act out; so a test can script them, and both mounts behave
alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from gemcli.simulator import echo_model, request_checks, tokens
from gemcli.simulator.api_errors import Refused
from gemcli.simulator.delivery import Scripted, deliver, refusal
from gemcli.simulator.replies import Cut, Reply, Step, json_reply
from gemcli.simulator.streams import Form

__all__ = [
    "METHODS",
    "VERBS",
    "App",
    "Cut",
    "Model",
    "Reply",
    "Scripted",
    "Step",
    "application",
    "json_reply",
    "simulate",
]

App = Callable[[str, str, Mapping[str, str], bytes], Reply]
"""An application: method, target (path and query), headers and body to a reply."""

Model = Callable[[dict[str, Any]], dict[str, Any] | Scripted]
"""A model: a checked GenerateContentRequest with camelCase names to a GenerateContentResponse, or to more."""

METHODS = ("generateContent", "countTokens")
"""What the models of the simulator can do, as the list of models says it.

The API does not list streams.
"""


def application(models: Mapping[str, Model]) -> App:
    """The API with these models, by name and without `models/`."""

    def app(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        path, _, query = target.partition("?")
        path = unquote(path)
        form = _form(path, query)
        try:
            _require_key(query, {name.lower(): value for name, value in headers.items()})
            return deliver(_route(models, method, path, body), form)
        except Refused as refused:
            return refusal(refused, form)

    return app


simulate: App = application({echo_model.NAME: echo_model.answer})
"""The simulated API as it comes: the model `simulator/echo` and no other."""


def _require_key(query: str, headers: Mapping[str, str]) -> None:
    """Refuse a caller without any key, as the API does. Which key it is does not matter here."""
    bearer = re.fullmatch(r"(?i:bearer)\s+(\S.*)", headers.get("authorization", "").strip())
    key = headers.get("x-goog-api-key", "").strip() or "".join(parse_qs(query).get("key", ()))
    if not key and not bearer:
        raise Refused(
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key "
            "or other form of API consumer identity to call this API.",
        )


def _form(path: str, query: str) -> Form:
    """The form of the body that is asked for.

    Streams are arrays unless they are to be Server-Sent Events.
    """
    if not path.endswith(":streamGenerateContent"):
        return "whole"
    return "sse" if parse_qs(query).get("alt") == ["sse"] else "array"


_PATH = re.compile(
    r"/(?P<version>v1|v1beta)/models(?:/(?P<model>[^:]+)(?::(?P<verb>\w+))?)?/?", re.DOTALL
)


def _route(models: Mapping[str, Model], method: str, path: str, body: bytes) -> Scripted:
    """What answers one request."""
    place = _PATH.fullmatch(path)
    if place is None:
        raise Refused("NOT_FOUND", "Requested entity was not found.")
    version, name, verb = place["version"], place["model"], place["verb"]
    if method == "GET" and name is None:
        # All fit on one page, so pageSize and pageToken change nothing.
        return Scripted({"models": [_described(each) for each in models]})
    if method == "GET" and verb is None:
        if name not in models:
            raise Refused(
                "NOT_FOUND", f"Model is not found: models/{name} for api version {version}"
            )
        return Scripted(_described(name))
    if method == "POST" and verb in VERBS:
        if name not in models:
            raise Refused("NOT_FOUND", _no_such_model(name, version, verb))
        return VERBS[verb](models[name], body)
    raise Refused("NOT_FOUND", "Requested entity was not found.")


def _no_such_model(name: str, version: str, verb: str) -> str:
    return (
        f"models/{name} is not found for API version {version}, or is not supported for {verb}. "
        "Call ModelService.ListModels to see the list of available models and their supported methods."
    )


def _generate(model: Model, body: bytes) -> Scripted:
    said = model(request_checks.generate_request(body))
    return said if isinstance(said, Scripted) else Scripted(said)


def _count(_model: Model, body: bytes) -> Scripted:
    count = tokens.of_request(request_checks.count_request(body))
    return Scripted({"totalTokens": count, "promptTokensDetails": tokens.modalities(count)})


VERBS: dict[str, Callable[[Model, bytes], Scripted]] = {
    "generateContent": _generate,
    "streamGenerateContent": _generate,  # the same answer, delivered in another form
    "countTokens": _count,
}
"""What can be asked of a model: the part of the path after the colon, and what answers it."""


def _described(name: str) -> dict[str, Any]:
    """A model as `models.get` and `models.list` show it."""
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": f"{name} (simulated)",
        "description": "A simulation; not a language model.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": list(METHODS),
    }
