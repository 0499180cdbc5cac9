"""Short ways to write a request and to ask for its answer, and the SDK's client on an application."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Literal

import httpx2
from google import genai

from gemcli.simulator.replies import Step
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Reply, SimulatedApp, simulate
from gemcli.simulator.transport import AppTransport

KEY = {"x-goog-api-key": "k"}
ECHO = "simulator/echo"
SSE = "streamGenerateContent?alt=sse"
PNG = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}

Mount = Literal["server", "in-process"]


@contextlib.contextmanager
def sdk_on(app: SimulatedApp = simulate, mount: Mount = "server", version: str = "v1beta") -> Iterator[genai.Client]:
    """The SDK's client on an application, over loopback or in process."""
    options: Any = {"api_version": version}
    with contextlib.ExitStack() as stack:
        if mount == "server":
            options["base_url"] = stack.enter_context(serve(app)).url
        else:
            http = stack.enter_context(httpx2.Client(transport=AppTransport(app)))
            options |= {"base_url": "http://simulator.invalid", "httpx_client": http}
            options["async_client_args"] = {"verify": False}
        yield stack.enter_context(genai.Client(api_key="k", vertexai=False, http_options=options))


def scripted(*steps: Step, status: int = 200, **headers: str) -> SimulatedApp:
    """An application whose every reply is these steps."""
    reply = Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, steps)
    return lambda method, target, seen, body: reply


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


def post(body: Any, verb: str = "generateContent", model: str = ECHO, app: SimulatedApp = simulate) -> Reply:
    """The reply to a POST with this body: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return app("POST", f"/v1beta/models/{model}:{verb}", KEY, data)


def json_of(reply: Reply) -> Any:
    """The JSON body of a reply that is sent in one piece."""
    (data,) = reply.steps
    assert isinstance(data, bytes)
    return json.loads(data)


def body_of(reply: Reply) -> bytes:
    """All the bytes of a reply."""
    return b"".join(step for step in reply.steps if isinstance(step, bytes))


def text_of(reply: Reply) -> Any:
    """What the model said."""
    return json_of(reply)["candidates"][0]["content"]["parts"][0]["text"]


def error_of(reply: Reply) -> tuple[int, str, str]:
    """The status, its name and the message of a reply that is an error in the API's form."""
    body = json_of(reply)
    # Errors of a stream without alt=sse come as a list of one.
    error = (body[0] if isinstance(body, list) else body)["error"]
    assert error["code"] == reply.status
    return reply.status, error["status"], error["message"]


def refusal(body: Any, verb: str = "generateContent") -> str:
    """The message of a body that is refused with 400 INVALID_ARGUMENT."""
    code, status, message = error_of(post(body, verb))
    assert (code, status) == (400, "INVALID_ARGUMENT")
    return message
