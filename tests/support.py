"""Helpers of the tests: the installed program as a function, and a scripted model that remembers what it was sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gemcli.cli import main
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Reply, json_reply, simulate

PROGRAM = str(Path(sys.executable).with_name("gemcli"))
"""The installed program: what users run."""

CANARY = "test-key"
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
    """The installed program: `gemcli("send", "-s", "a", "hello")` runs it and returns what came of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(
        self,
        *args: str | bytes | Path,
        stdin: bytes | str | int | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **given: Any,
    ) -> Done:
        """Run the program. `stdin` is what it reads, or a descriptor; None is `/dev/null`."""
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | given
        if isinstance(stdin, str | bytes):
            options["input"] = stdin.encode() if isinstance(stdin, str) else stdin
        else:
            options["stdin"] = subprocess.DEVNULL if stdin is None else stdin
        command, world = [PROGRAM, *args], {**os.environ, **(env or {})}
        assert_untold(*map(os.fsencode, args))  # they stand in the process list
        return Done(subprocess.run(command, cwd=self.directory, env=world, timeout=timeout, check=False, **options))

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[Any]:
        """Start the program and leave it running."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        world = {**os.environ, **(env or {})}
        assert_untold(*map(os.fsencode, args))
        return subprocess.Popen([PROGRAM, *args], cwd=self.directory, env=world, **(pipes | options))

    def session(self, name: str) -> Path:
        """The file of a named session."""
        return Path(os.environ["GEMCLI_HOME"]) / "sessions" / f"{name}.jsonl"

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a named session."""
        return [json.loads(line) for line in self.session(name).read_bytes().splitlines()]


class InProcess(Gemcli):
    """The same program in this process, where the SDK is loaded already; what reads stdin is started all the same."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        super().__init__(directory)
        self._capture = capture

    def __call__(
        self,
        *args: str | bytes | Path,
        stdin: bytes | str | int | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **given: Any,
    ) -> Done:
        """Run the program here. Nothing ends it after `timeout`: what may hang is for `Gemcli`."""
        if stdin is not None or given:
            return super().__call__(*args, stdin=stdin, env=env, timeout=timeout, **given)
        words = [os.fsdecode(arg) for arg in args]
        self._capture.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.directory)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            status = main(words, os.environ)
        out, err = self._capture.readouterr()
        return Done(subprocess.CompletedProcess(words, status, out, err))


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

    def __enter__(self) -> Model:
        self._serving = serve(self._answer)
        self.url = self._serving.__enter__().url
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
        if self.replies:
            return self.replies.pop(0)
        # Whatever the model is called, the simulator's echo answers.
        head, _, verb = target.rpartition(":")
        version = head.split("/")[1]
        return simulate(method, f"/{version}/models/simulator/echo:{verb}", headers, body)


def answer(*parts: str | Mapping[str, Any], finish: str | None = "STOP", **more: Any) -> Any:
    """The body of an answer with these parts (text, or whole Parts) and finish reason."""
    content = {"role": "model", "parts": [{"text": part} if isinstance(part, str) else dict(part) for part in parts]}
    candidate: dict[str, Any] = {"content": content, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-test-001"} | more


def sse(*events: Any, newline: bytes = b"\r\n") -> bytes:
    """The bytes of a stream: values are written as JSON, bytes as they are."""
    datas = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return b"".join(b"data: " + data + newline * 2 for data in datas)


def streaming(*steps: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A 200 with these steps as its stream."""
    return Reply(200, {"content-type": "text/event-stream", **(headers or {})}, steps)


def records_of(name: str = "s") -> list[dict[str, Any]]:
    """The records of a session of the test's own home."""
    path = Path(os.environ["GEMCLI_HOME"], "sessions", f"{name}.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def contents(*texts: str) -> list[Any]:
    """A history that alternates between user and model, beginning with the user."""
    return [{"role": ("user", "model")[place % 2], "parts": [{"text": text}]} for place, text in enumerate(texts)]


def texts(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The text of each Content's first part."""
    return [content["parts"][0]["text"] for content in history]


__all__ = [
    "CANARY",
    "PROGRAM",
    "Done",
    "Gemcli",
    "InProcess",
    "Model",
    "Reply",
    "answer",
    "assert_untold",
    "contents",
    "json_reply",
    "sse",
    "streaming",
    "texts",
]
