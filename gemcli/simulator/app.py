"""The simulated API as one pure function: from a request to a status, headers and the steps of a body.

An application never sleeps and opens nothing. Pauses and broken connections are steps of its reply, which the
mounts (`transport`, `server`) act out; so a test can script them, and both mounts behave alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, unquote

from gemcli import strictjson
from gemcli.simulator import checks, echo, tokens
from gemcli.simulator.refusals import Refused


@dataclass(frozen=True)
class Cut:
    """A broken connection: `reset` by the peer, or `close`d before the body was complete."""

    how: Literal["reset", "close"] = "reset"


Step = bytes | float | Cut
"""Bytes to send, seconds to pause, or a broken connection, which ends the reply."""


class Reply(NamedTuple):
    """What goes back to the client.

    The head (status and headers) goes out with the first bytes: pauses and cuts before them happen before the
    client has seen anything, and `b""` sends the head alone.
    """

    status: int
    headers: Mapping[str, str]
    steps: tuple[Step, ...]


App = Callable[[str, str, Mapping[str, str], bytes], Reply]
"""An application: method, target (path and query), headers and body to a reply."""

Model = Callable[[dict[str, Any]], dict[str, Any]]
"""A model: a checked GenerateContentRequest with camelCase names to a GenerateContentResponse."""

METHODS = ("generateContent", "countTokens")
"""What the models of the simulator can do, as the list of models says it."""


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with `value` as its JSON body, sent at once."""
    plain = {"content-type": "application/json; charset=UTF-8"}
    return Reply(status, plain | dict(headers or {}), (strictjson.encode(value),))


def application(models: Mapping[str, Model]) -> App:
    """The API with these models, by name and without `models/`."""

    def app(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        try:
            path, _, query = target.partition("?")
            _require_key(query, {name.lower(): value for name, value in headers.items()})
            return json_reply(_route(models, method, unquote(path), body))
        except Refused as refusal:
            return json_reply(refusal.body(), refusal.code)

    return app


simulate: App = application({echo.NAME: echo.answer})
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


_PATH = re.compile(r"/(?P<version>v1|v1beta)/models(?:/(?P<model>[^:]+)(?::(?P<verb>\w+))?)?/?", re.DOTALL)


def _route(models: Mapping[str, Model], method: str, path: str, body: bytes) -> dict[str, Any]:
    """The JSON answer to one request."""
    place = _PATH.fullmatch(path)
    if place is None:
        raise Refused("NOT_FOUND", "Requested entity was not found.")
    version, name, verb = place["version"], place["model"], place["verb"]
    if method == "GET" and name is None:
        # All fit on one page, so pageSize and pageToken change nothing.
        return {"models": [_described(each) for each in models]}
    if method == "GET" and verb is None:
        if name not in models:
            raise Refused("NOT_FOUND", f"Model is not found: models/{name} for api version {version}")
        return _described(name)
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


def _generate(model: Model, body: bytes) -> dict[str, Any]:
    return model(checks.generate_request(body))


def _count(_model: Model, body: bytes) -> dict[str, Any]:
    count = tokens.of_request(checks.count_request(body))
    return {"totalTokens": count, "promptTokensDetails": tokens.modalities(count)}


def _no_streams(_model: Model, _body: bytes) -> dict[str, Any]:
    raise Refused("UNIMPLEMENTED", "streamGenerateContent is not part of this simulator yet; use generateContent.")


VERBS: dict[str, Callable[[Model, bytes], dict[str, Any]]] = {
    "generateContent": _generate,
    "countTokens": _count,
    "streamGenerateContent": _no_streams,
}
"""What can be asked of a model: the part of the path after the colon, and what answers it."""


def _described(name: str) -> dict[str, Any]:
    """A model as `models.get` and `models.list` show it."""
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": f"{name} (simulated)",
        "description": "Says what it was sent; not a language model.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": list(METHODS),
    }
