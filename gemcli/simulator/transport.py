"""An application under an HTTP client, in process: no socket, no thread, no port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

import httpx2

from gemcli.simulator.simulated_api import Cut, Reply, SimulatedApp, simulate


class AppTransport(httpx2.BaseTransport):
    """A transport for `httpx2.Client(transport=…)` in which `app` answers, not a network."""

    def __init__(self, app: SimulatedApp = simulate) -> None:
        self._app = app

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to one request; a pause sleeps, and a cut raises the client's error."""
        target = request.url.raw_path.decode("ascii")
        reply = self._app(request.method, target, request.headers, request.read())
        body = _body(reply, request)
        # What happens before the first bytes happens before the head.
        first = next(body, b"")
        return httpx2.Response(
            reply.status, headers=dict(reply.headers), content=chain([first], body)
        )


def _body(reply: Reply, request: httpx2.Request) -> Iterator[bytes]:
    for step in reply.steps:
        if isinstance(step, bytes):
            yield step
        elif isinstance(step, Cut):
            raise _error(step, request)
        else:
            time.sleep(step)


def _error(cut: Cut, request: httpx2.Request) -> httpx2.TransportError:
    """What the client raises for a broken connection, in its own words."""
    if cut.how == "reset":
        return httpx2.ReadError("[Errno 104] Connection reset by peer", request=request)
    return httpx2.RemoteProtocolError(
        "peer closed connection without sending complete message body", request=request
    )
