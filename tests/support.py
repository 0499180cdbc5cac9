"""Runners: the installed program, and a command line in this process; and a scripted model that remembers requests.

The third runner, which kills commands at any system call, is in `tests.crash.harness`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from gemcli.chat import turn_order
from gemcli.cli import main
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.store import Store
from gemcli.simulator.replies import JSON
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Reply, json_reply, simulate
from tests.builders import records_of, session_file

PROGRAM = str(Path(sys.executable).with_name("gemcli"))
"""The installed program: what users run."""

CANARY = "canary-key-of-the-tests"
"""The API key of every test that has no other: whatever a test is about, nothing may tell it."""

LONG = "TORTURE_MINUTES" in os.environ
"""Whether this is a run of scripts/torture, which has time."""


def examples(number: int) -> int:
    """How many examples Hypothesis tries of a property: so many, or in the long form twenty times as many."""
    return number * 20 if LONG else number


def assert_untold(*told: bytes | str) -> None:
    """The key of the tests is in none of these, which are what others can see or keep."""
    for one in told:
        data = one.encode("utf-8", "replace") if isinstance(one, str) else one
        assert CANARY.encode() not in data, data


class Done:
    """A finished run of the program: `status`, `out` and `err` as text."""

    def __init__(self, process: subprocess.CompletedProcess[Any]) -> None:
        self.status = process.returncode
        self.bytes = process.stdout or b""
        self.out = self.bytes.decode("utf-8", "replace")
        self.err = (process.stderr or b"").decode("utf-8", "replace")
        assert_untold(self.bytes, process.stderr or b"")

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        assert self.out.count("\n") == 1, (self.status, self.out, self.err)
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON documents on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """The last line on stderr as JSON: the error of a run with `--errors json`."""
        return json.loads(self.err.splitlines()[-1])


class Gemcli:
    """The installed program: `gemcli("send", "-s", "a", "hello")` runs it and returns what came of it.

    `env` is added to the environment of every run.
    """

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.env = dict(env or {})

    def __call__(
        self,
        *args: str | bytes | Path,
        stdin: bytes | str | int | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **given: Any,
    ) -> Done:
        """Run the program. `stdin` is what it reads, or a descriptor; None is `/dev/null`."""
        assert_untold(*map(os.fsencode, args))  # they stand in the process list
        return self._run([PROGRAM, *args], stdin=stdin, env=env, timeout=timeout, **given)

    def shell(self, script: str, env: Mapping[str, str] | None = None, **given: Any) -> Done:
        """Run a line of bash, which finds the program; a pipeline fails with its first failure."""
        world = {"PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}", **(env or {})}
        return self._run(["bash", "-c", f"set -o pipefail; {script}"], env=world, **given)

    def ok(self, *args: str | Path, **given: Any) -> list[Any]:
        """Run a command line that must succeed; the JSON documents that it printed."""
        done = self(*args, **given)
        assert done.status == 0, (args, done.status, done.err)
        return done.lines

    def failed(self, *args: str | Path, **given: Any) -> Done:
        """Run a command line that must not succeed, with its error as JSON."""
        done = self(*args, "--errors", "json", **given)
        assert done.status != 0, (args, done.out)
        return done

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[Any]:
        """Start the program and leave it running."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        assert_untold(*map(os.fsencode, args))
        return subprocess.Popen([PROGRAM, *args], cwd=self.directory, env=self._world(env), **(pipes | options))

    def session(self, name: str) -> Path:
        """The file of a named session."""
        return session_file(name)

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a named session."""
        return records_of(name)

    def _run(
        self,
        command: list[Any],
        stdin: bytes | str | int | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **given: Any,
    ) -> Done:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | given
        if isinstance(stdin, str | bytes):
            options["input"] = stdin.encode() if isinstance(stdin, str) else stdin
        else:
            options["stdin"] = subprocess.DEVNULL if stdin is None else stdin
        world = self._world(env)
        return Done(subprocess.run(command, cwd=self.directory, env=world, timeout=timeout, check=False, **options))

    def _world(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {**os.environ, **self.env, **(env or {})}


class InProcess(Gemcli):
    """The same program in this process, where the SDK is loaded already: twenty times as fast.

    Nothing ends a command after `timeout`: what may hang is for `Gemcli`, which also runs whatever is given other
    descriptors.
    """

    def __init__(
        self, directory: Path, capture: pytest.CaptureFixture[bytes], env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(directory, env)
        self._capture = capture

    def __call__(
        self,
        *args: str | bytes | Path,
        stdin: bytes | str | int | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        fs: FileSystem | None = None,
        **given: Any,
    ) -> Done:
        """Run the program in this process."""
        if isinstance(stdin, int) or given:
            return super().__call__(*args, stdin=stdin, env=env, timeout=timeout, **given)
        words = [os.fsdecode(arg) for arg in args]
        self._capture.readouterr()
        with pytest.MonkeyPatch.context() as patch, _standard_input(stdin):
            patch.chdir(self.directory)
            for name, value in {**self.env, **(env or {})}.items():
                patch.setenv(name, value)
            status = main(words, os.environ, fs or FileSystem())
        out, err = self._capture.readouterr()
        return Done(subprocess.CompletedProcess(words, status, out, err))


@contextlib.contextmanager
def _standard_input(data: bytes | str | None) -> Iterator[None]:
    """Let standard input of this process be a file that holds this; None changes nothing."""
    if data is None:
        yield
        return
    with tempfile.TemporaryFile() as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.seek(0)
        before = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(before, 0)
            os.close(before)


@contextlib.contextmanager
def clients_collected() -> Iterator[None]:
    """Collect the HTTP clients that the block leaves behind; a program closes their connections by ending."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()  # what is left stays: the next collection need not look at it again


def read_session(path: Path) -> Journal:
    """A session as a reader sees it, who tells of nothing but a torn last line; its turn order is valid."""
    notes: list[str] = []
    journal = Store(FileSystem(), notes.append).read(str(path))
    assert len(notes) == (journal.torn_bytes > 0), notes
    assert turn_order.check(journal.history) == []
    return journal


def as_asked(reply: Reply, target: str) -> Reply:
    """An answer in JSON as a stream of one event, if the request to `target` asked for a stream."""
    is_answer = reply.status == 200 and reply.headers.get("content-type") == JSON
    if not is_answer or not target.endswith(":streamGenerateContent?alt=sse"):
        return reply
    steps = tuple(b"data: " + step + b"\r\n\r\n" if isinstance(step, bytes) else step for step in reply.steps)
    return reply._replace(headers={**reply.headers, "content-type": "text/event-stream"}, steps=steps)


@dataclass
class Model:
    """A scripted model on loopback: each request takes the next of `replies`; after the last one it echoes.

    `requests` are the JSON bodies it was sent, oldest first, and `targets` and `headers` the rest of each request.
    """

    replies: list[Reply] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """Requests that had the key where it does not belong."""
    during: Callable[[int], object] | None = None
    """Called with the number of each request, counted from 1, before it is answered."""

    def __enter__(self) -> Self:
        self._serving = serve(self._answer)
        self._server = self._serving.__enter__()
        self.url = self._server.url
        return self

    def __exit__(self, *error: Any) -> None:
        kind, value, trace = error
        self._serving.__exit__(kind, value, trace)
        assert self.told == [], "the key is somewhere else than in its header"

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes this the model."""
        return {"GEMINI_API_KEY": CANARY, "GOOGLE_GEMINI_BASE_URL": self.url, "GEMCLI_MODEL": "gemini-test"}

    def script(self, *replies: Reply | Mapping[str, Any]) -> None:
        """Answer the next requests with these: whole replies, or JSON bodies of a 200."""
        self.replies += [reply if isinstance(reply, Reply) else json_reply(dict(reply)) for reply in replies]

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        self.targets.append(target)
        self.headers.append(dict(headers))
        if CANARY in target or CANARY.encode() in body:
            self.told.append(target)
        self.requests.append(json.loads(body) if body else None)
        if self.during:
            self.during(len(self.requests))
        if self.replies:
            return as_asked(self.replies.pop(0), target)
        # Whatever the model is called, the simulator's echo answers.
        head, _, verb = target.rpartition(":")
        version = head.split("/")[1]
        return simulate(method, f"/{version}/models/simulator/echo:{verb}", headers, body)
