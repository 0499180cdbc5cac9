"""What every test gets: a world of its own, which it cannot leave.

No API key, no configuration and no home of the person who runs the tests; no connection but to this machine. Proofs
that go on for as long as they are given time ask for `budget`; what they counted they tell with `figures`, and
scripts/torture prints it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from gemcli.signals import deferred
from tests.support import CANARY, LONG, Gemcli, InProcess, Model, clients_collected

# Who runs the tests in the background, or under nohup, has these ignored, and so would have every program started
# here: gemcli leaves an ignored signal alone.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What is loaded stays, and need not be visited again and again.
gc.set_threshold(5_000)

# How fast this machine happens to be is nothing that a test is about.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# scripts/test answers for a change, so it tries the same each time; scripts/torture looks for what nobody thought of.
settings.register_profile("the same", settings.get_profile("any machine"), derandomize=True)
settings.load_profile("any machine" if LONG else "the same")

FOREIGN = ("GOOGLE_", "GEMINI_", "GEMCLI_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_", "XDG_")


@pytest.fixture(autouse=True)
def own_world(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Give the test a home of its own and an environment without keys; the home is the result.

    Whatever the test was about, no file that it leaves behind holds the key.
    """
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GEMCLI_HOME", str(home / "gemcli"))
    # Nothing is sent again by itself, unless a test is about that and says --retries.
    monkeypatch.setenv("GEMCLI_SEND_RETRIES", "0")
    # Programs that are started compile their modules once, not each time: a third of what a small command costs.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    yield home
    place = getattr(request.node, "funcargs", {}).get("tmp_path")
    for file in islice(_files([home, *([place] if place else [])]), MOST_FILES):
        assert CANARY.encode() not in file.read_bytes(), f"the key is in {file}"


MOST_FILES, LARGEST_FILE = 200, 1 << 20
"""How many files of a test are searched for the key, and up to which size."""


def _files(directories: Iterable[Path]) -> Iterator[Path]:
    """The plain files below these directories that can be read and are not large."""
    for directory in directories:
        for top, _, names in os.walk(directory):
            for file in (Path(top, name) for name in names):
                with suppress(OSError):
                    kind = file.lstat()
                    if stat.S_ISREG(kind.st_mode) and kind.st_size <= LARGEST_FILE and os.access(file, os.R_OK):
                        yield file


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail any connection of this process that leaves the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


BUDGETED: list[str] = []
"""The tests of this run that share the time of scripts/torture --minutes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count who shares the time."""
    long = [item for item in items if item.get_closest_marker("torture")]
    BUDGETED[:] = [item.nodeid for item in long if "budget" in getattr(item, "fixturenames", ())]


def pytest_collection_finish() -> None:
    """Leave what was collected out of every garbage collection to come."""
    gc.freeze()


@pytest.fixture
def budget() -> float:
    """Seconds that a proof in its long form may take: its share of `--minutes`, on all processors together."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return float(os.environ.get("TORTURE_MINUTES", "1")) * 60 * workers / max(1, len(BUDGETED))


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Tell what a proof has counted: `figures("kills", trials=1014, broken=0)`."""

    def tell(proof: str, **counts: object) -> None:
        record_property("figures", f"{proof}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))

    return tell


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the figures of the long forms."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    told = [text for report in reports for name, text in report.user_properties if name == "figures"]
    if told and LONG:
        terminalreporter.section("figures")
        for line in sorted(told):
            terminalreporter.line(line)


@pytest.fixture
def gemcli(tmp_path: Path) -> Gemcli:
    """The installed program, run in an empty directory."""
    return Gemcli(tmp_path)


@pytest.fixture
def here(
    request: pytest.FixtureRequest, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], collected: None
) -> InProcess:
    """The program in this process, run in the directory of `gemcli`; a test that asks for `model` has it as model."""
    env = request.getfixturevalue("model").env if "model" in request.fixturenames else {}
    return InProcess(tmp_path, capfdbinary, env)


@pytest.fixture
def collected() -> Iterator[None]:
    """Leave neither a connection nor a signal to the next test."""
    with clients_collected():
        yield
    deferred.arrived.clear()


@pytest.fixture
def model() -> Iterator[Model]:
    """A scripted model on loopback, spoken to over real HTTP; `model.env` points the program at it."""
    with Model() as running:
        yield running
