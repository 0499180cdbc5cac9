"""The application in process: no socket, and every step of a reply when its time has come.

What the SDK makes of it is in `test_clients`.
"""

from __future__ import annotations

import socket
import time

import httpx2
import pytest

from gemcli.simulator.replies import Step
from gemcli.simulator.transport import AppTransport

from .support import ECHO, scripted, sdk_on

URL = "http://simulator.invalid/"


def client(*steps: Step) -> httpx2.Client:
    """A client whose every request gets these steps as an answer."""
    return httpx2.Client(transport=AppTransport(scripted(*steps)))


def test_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole request runs without a socket or a name being looked up."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    with sdk_on(mount="in-process") as sdk:
        assert sdk.models.generate_content(model=ECHO, contents="Hello").text == 'Message 1 says: "Hello".'


def test_steps() -> None:
    """Each step arrives when its time has come, not all at the end; no steps are a head and nothing else."""
    with client(b"one", 0.1, b"two") as http, http.stream("GET", URL) as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"one"
        started = time.monotonic()
        assert next(chunks) == b"two"
        assert time.monotonic() - started >= 0.1
    with client() as http:
        whole = http.get(URL)
    assert (whole.status_code, whole.content) == (200, b"")
