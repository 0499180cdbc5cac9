"""What the crash tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.harness import Runner

MEMORY = "/dev/shm"


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Runs commands in forked children; one for all tests, since it takes a second to start."""
    with Runner(tmp_path_factory.mktemp("runner")) as running:
        yield running


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is such a thing: thousands of fsyncs would wait for a real disk."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="gemcli-") as directory:
        yield Path(directory)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of a torn line looks again at once: nothing writes meanwhile, so it stays one."""
    monkeypatch.setattr("gemcli.sessions.store.PAUSE", 0)
