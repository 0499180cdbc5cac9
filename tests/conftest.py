"""What every test gets: a world of its own, which it cannot leave.

No API key, no configuration and no home of the person who runs the tests; no connection but to this machine.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Gemcli, Model

# Who runs the tests in the background, or under nohup, has these ignored, and so would have every program started
# here: gemcli leaves an ignored signal alone.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

FOREIGN = ("GOOGLE_", "GEMINI_", "GEMCLI_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_")


@pytest.fixture(autouse=True)
def own_world(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the test a home of its own and an environment without keys; the home is the result."""
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GEMCLI_HOME", str(home / "gemcli"))
    # Nothing is sent again by itself, unless a test is about that and says --retries.
    monkeypatch.setenv("GEMCLI_SEND_RETRIES", "0")
    return home


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail any connection of this process that leaves the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def gemcli(tmp_path: Path) -> Gemcli:
    """The installed program, run in an empty directory."""
    return Gemcli(tmp_path)


@pytest.fixture
def model() -> Iterator[Model]:
    """A scripted model on loopback, spoken to over real HTTP; `model.env` points the program at it."""
    with Model() as running:
        yield running
