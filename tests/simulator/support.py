"""Short ways to say a request and to ask for its answer."""

from __future__ import annotations

import json
from typing import Any

from gemcli.simulator.simulated_api import App, Reply, simulate

KEY = {"x-goog-api-key": "k"}
PNG = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


def says(role: str, *parts: str | dict[str, Any]) -> dict[str, Any]:
    """A Content of this role; text parts may be given as plain text."""
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def call(name: str, **more: Any) -> dict[str, Any]:
    """A Part that calls a function."""
    return {"functionCall": {"name": name, "args": {}} | more}


def response(name: str, value: Any = None, **more: Any) -> dict[str, Any]:
    """A Part that answers a function call."""
    return {"functionResponse": {"name": name, "response": value if value is not None else {"ok": True}} | more}


def talk(*texts: str) -> list[dict[str, Any]]:
    """Contents that alternate between user and model, the user first."""
    return [says("model" if number % 2 else "user", text) for number, text in enumerate(texts)]


def post(body: Any, verb: str = "generateContent", model: str = "simulator/echo", app: App = simulate) -> Reply:
    """The reply to a POST with this body: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return app("POST", f"/v1beta/models/{model}:{verb}", KEY, data)


def get(target: str, app: App = simulate) -> Reply:
    """The reply to a GET."""
    return app("GET", target, KEY, b"")


def json_of(reply: Reply) -> Any:
    """The JSON body of a reply that is sent in one piece."""
    (data,) = reply.steps
    assert isinstance(data, bytes)
    return json.loads(data)


def text_of(reply: Reply) -> str:
    """What the model said."""
    text = json_of(reply)["candidates"][0]["content"]["parts"][0]["text"]
    assert isinstance(text, str)
    return text


def refusal(body: Any, verb: str = "generateContent") -> str:
    """The message of a body that is refused with 400 INVALID_ARGUMENT."""
    reply = post(body, verb)
    error = json_of(reply)["error"]
    assert (reply.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert isinstance(error["message"], str)
    return error["message"]
