"""The simulated API as one pure function, from a request to a status, headers and a body.

An application never sleeps and opens nothing: pauses and broken connections are steps of its reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from gemcli.simulator import echo_model, request_checks, tokens
from gemcli.simulator.api_errors import ApiError
from gemcli.simulator.read_request import Message
from gemcli.simulator.replies import Cut, Reply, ScriptedReply, build_reply, error_reply, json_reply
from gemcli.simulator.responses import Response
from gemcli.simulator.streams import Framing

__all__ = ["Cut", "Model", "Reply", "SimulatedApp", "application", "json_reply", "simulate"]

SimulatedApp = Callable[[str, str, Mapping[str, str], bytes], Reply]
"""An application: method, target (path and query), headers and body to a reply."""

Model = Callable[[Message], Response | ScriptedReply]
"""A model: a checked GenerateContentRequest to a GenerateContentResponse, or to more."""


MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
"""What can be the name of a model, without `models/`."""


class Models(NamedTuple):
    """The models of an application: those in its list, and what makes any other one."""

    listed: Mapping[str, Model]
    others: Callable[[str], Model] | None

    def find(self, name: str) -> Model | None:
        """The model of this name, None if it is not served."""
        if name not in self.listed and self.others and MODEL_NAME.fullmatch(name):
            return self.others(name)
        return self.listed.get(name)


def application(
    listed: Mapping[str, Model], others: Callable[[str], Model] | None = None
) -> SimulatedApp:
    """The API with these models, by name and without `models/`; `others` makes any other one."""
    models = Models(listed, others)

    def app(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        path, _, query = target.partition("?")
        path = unquote(path)
        parameters = parse_qs(query)
        framing = _framing(path, parameters)
        try:
            _require_key(parameters, {name.lower(): value for name, value in headers.items()})
            return build_reply(_route(models, method, path, body), framing)
        except ApiError as error:
            return error_reply(error, framing)

    return app


simulate: SimulatedApp = application({echo_model.NAME: echo_model.answer})
"""The simulated API as it comes: the model `simulator/echo` and no other."""


def _framing(path: str, parameters: Mapping[str, list[str]]) -> Framing:
    """The framing that is asked for; streams are arrays unless `alt=sse` is given."""
    if not path.endswith(":streamGenerateContent"):
        return "json"
    return "sse" if parameters.get("alt") == ["sse"] else "array"


def _require_key(parameters: Mapping[str, list[str]], headers: Mapping[str, str]) -> None:
    """Refuse a caller without any key, as the API does. Which key it is does not matter here."""
    bearer = re.fullmatch(r"(?i:bearer)\s+(\S.*)", headers.get("authorization", "").strip())
    key = headers.get("x-goog-api-key", "").strip() or "".join(parameters.get("key", ()))
    if not key and not bearer:
        raise ApiError(
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API.",
        )


_PATH = re.compile(
    r"/(?P<version>v1|v1beta)/models(?:/(?P<model>[^:]+)(?::(?P<verb>\w+))?)?/?", re.DOTALL
)


def _route(models: Models, method: str, path: str, body: bytes) -> ScriptedReply:
    """What answers one request."""
    place = _PATH.fullmatch(path)
    if place is None:
        raise ApiError("NOT_FOUND", "Requested entity was not found.")
    version, name, verb = place["version"], place["model"], place["verb"]
    if method == "GET" and name is None:
        # All models fit on one page, so pageSize and pageToken change nothing.
        return ScriptedReply({"models": [_description(each) for each in models.listed]})
    model = models.find(name or "")
    if method == "GET" and verb is None:
        if model is None:
            message = f"Model is not found: models/{name} for api version {version}"
            raise ApiError("NOT_FOUND", message)
        return ScriptedReply(_description(name))
    if method == "POST" and verb in VERBS:
        if model is None:
            raise ApiError(
                "NOT_FOUND",
                f"models/{name} is not found for API version {version}, "
                f"or is not supported for {verb}. Call ModelService.ListModels to see "
                "the list of available models and their supported methods.",
            )
        return VERBS[verb](model, name, body)
    raise ApiError("NOT_FOUND", "Requested entity was not found.")


def _generate(model: Model, name: str, body: bytes) -> ScriptedReply:
    answer = model(request_checks.generate_request(body, name))
    return answer if isinstance(answer, ScriptedReply) else ScriptedReply(answer)


def _count_tokens(_model: Model, _name: str, body: bytes) -> ScriptedReply:
    count = tokens.of_request(request_checks.count_request(body))
    return ScriptedReply({"totalTokens": count, "promptTokensDetails": tokens.by_modality(count)})


VERBS: dict[str, Callable[[Model, str, bytes], ScriptedReply]] = {
    "generateContent": _generate,
    "streamGenerateContent": _generate,  # the same answer in another framing
    "countTokens": _count_tokens,
}
"""What can be asked of a model: the part of the path after the colon, and what answers it."""


def _description(name: str) -> dict[str, object]:
    """A model as `models.get` and `models.list` show it."""
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": f"{name} (simulated)",
        "description": "A simulation; not a language model.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        # The API does not list streamGenerateContent either.
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
