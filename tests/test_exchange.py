"""The exchange on a real session over real HTTP: what is on the disk when, and when nothing is sent."""

from __future__ import annotations

import errno
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest

from gemcli.api import gemini, http
from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.api.retry import RetryPolicy
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.exchange import Result, continue_answer, exchange
from gemcli.requests.call_model import DEFAULT_HOPS, Transport
from gemcli.requests.prepare_request import prepare, prepare_continuation
from gemcli.sessions import imported_history, records
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.store import Store
from gemcli.settings.config import Config
from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import answer, contents
from tests.support import Model
from tests.system import Listener, listening

P = ParamSpec("P")
T = TypeVar("T")

BACKEND = Backend("gemini")

CALL = {"functionCall": {"name": "roll", "args": {}}}


pytestmark = pytest.mark.usefixtures("collected")


class Talk:
    """A session in a file and a way to the model: `talk("hello")` is one exchange, `goes_on` the rest of its answer."""

    def __init__(self, path: Path, environ: dict[str, str]) -> None:
        self.path = str(path)
        self.gemini = Gemini(endpoint_for(BACKEND, environ, lambda note: None))
        self.notes: list[str] = []
        self.fs = FileSystem()
        self.retries = 0
        self.max_hops = DEFAULT_HOPS
        self.on_chunk: Callable[[Any], None] | None = None
        self.on_resume: Callable[[Any], None] | None = None

    def begin(self, *history: Any, config: Any = None) -> None:
        """Make the session, with a history if one is given."""
        header = records.session(model="gemini-test", backend="gemini", config=config or Config(), origin=None)
        earlier = imported_history.from_contents(history, model="gemini-test", backend="gemini")
        Store(self.fs, self.notes.append).create(self.path, [header, *earlier])

    def __call__(
        self, message: Any = "hello", *, timeout: float = 20, left: float = 60, grace: float = 0, **more: Any
    ) -> Result:
        """One exchange with `timeout` seconds for the request and `left` until the deadline."""
        content = user_text(message) if isinstance(message, str) else message
        transport = self._transport(Limits(timeout, time.monotonic() + left, grace))
        with Store(self.fs, self.notes.append).open(self.path, 5) as session:
            return exchange(session, prepare(session.journal, content, BACKEND, **more), transport)

    def goes_on(self, max_output_tokens: int | None = None) -> Result:
        """Go on with the last answer, as another process would."""
        transport = self._transport(Limits(20, time.monotonic() + 60))
        with Store(self.fs, self.notes.append).open(self.path, 5) as session:
            request = prepare_continuation(session.journal, BACKEND, max_output_tokens)
            return continue_answer(session, request, transport)

    def _transport(self, limits: Limits) -> Transport:
        return Transport(
            self.gemini,
            BACKEND,
            limits,
            RetryPolicy(self.retries, lambda: 0.0),
            notice=self.notes.append,
            on_chunk=self.on_chunk,
            on_resume=self.on_resume,
            max_hops=self.max_hops,
        )

    def failed(self, *args: Any, **more: Any) -> GemcliError:
        """The error of one exchange."""
        with pytest.raises(GemcliError) as caught:
            self(*args, **more)
        return caught.value

    @property
    def bytes(self) -> bytes:
        """The session file."""
        return Path(self.path).read_bytes()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of the session."""
        return [json.loads(line) for line in self.bytes.splitlines()]

    @property
    def history(self) -> list[Any]:
        """The history of the session."""
        return Store(FileSystem(), self.notes.append).read(self.path).history


@pytest.fixture
def talk(tmp_path: Path, model: Model) -> Talk:
    """A way to the scripted model, with no session yet."""
    return Talk(tmp_path / "s.jsonl", model.env)


# Order


def test_request_is_on_the_disk_before_the_call(tmp_path: Path) -> None:
    """The model is asked only when the request stands in the file; the answer follows before anyone hears of it."""
    seen: list[list[dict[str, Any]]] = []

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        seen.append(own.records)
        respond(connection)

    with listening(handle) as listener:
        own = Talk(tmp_path / "s.jsonl", listener.env)
        own.begin()
        result = own("hello")
    assert [record["kind"] for record in seen[0]] == ["session", "request"]
    assert seen[0][1] == own.records[1]
    assert (seen[0][1]["id"], seen[0][1]["content"]) == ("1.1", user_text("hello"))
    assert [record["kind"] for record in own.records] == ["session", "request", "response"]
    assert (result.turn, result.id, len(result.attempts), result.unsaved) == (1, "1.1", 1, None)
    assert own.records[2]["elapsed_ms"] == result.elapsed_ms


class Peeking(FileSystem):
    """Waits with the first write for a connection to the listener, and notes what has come over it by then."""

    def __init__(self) -> None:
        self.connected: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self.peeked = threading.Event()
        self.came: list[bytes | None] = []

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make the call."""
        if function is os.write and not self.came:
            connection = self.connected.get(timeout=20)
            time.sleep(0.05)
            try:
                self.came.append(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except BlockingIOError:
                self.came.append(None)
            self.peeked.set()
        return function(*args, **kwargs)


def respond(connection: socket.socket) -> None:
    """Answer the request that came over a connection."""
    body = json.dumps(answer("hi")).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def test_everything_is_ready_before_the_request_is_on_the_disk(tmp_path: Path) -> None:
    """The request is written down when the server is connected, and only sending is left to do."""
    fs = Peeking()

    def handle(listener: Listener, connection: socket.socket) -> None:
        fs.connected.put(connection)
        fs.peeked.wait(20)  # nothing is read before
        listener.request(connection)
        respond(connection)

    with listening(handle) as listener:
        own = Talk(tmp_path / "s.jsonl", listener.env)
        own.begin()
        own.fs = fs
        own("hello")
    assert fs.came == [None]
    assert [record["kind"] for record in own.records] == ["session", "request", "response"]


def load_slowly(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let it take so many seconds to load what a request needs."""
    connect = gemini._connect

    def slow(*args: Any) -> Any:
        time.sleep(seconds)
        return connect(*args)

    monkeypatch.setattr(gemini, "_connect", slow)


def test_loading_is_not_the_models_time(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded before a request counts neither as its time nor against its time limit."""
    talk.begin()
    load_slowly(monkeypatch, 0.5)
    result = talk("hello", timeout=0.4)
    assert result.elapsed_ms < 400
    assert result.latency_ms < 400
    assert talk.records[-1]["attempts"][0]["elapsed_ms"] < 400


def test_recording_is_not_the_models_time(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk counts neither as the time of the request nor against its time limit."""
    sync = FileSystem.sync

    def slow(self: FileSystem, fd: int) -> None:
        time.sleep(0.5)
        sync(self, fd)

    talk.begin()
    monkeypatch.setattr(FileSystem, "sync", slow)
    assert talk("hello", timeout=0.4).elapsed_ms < 400


def test_the_deadline_includes_loading(talk: Talk, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is not ready by the deadline is rejected: nothing was sent, and nothing is in doubt."""
    talk.begin()
    load_slowly(monkeypatch, 1.0)
    error = talk.failed("hello", left=0.3)
    assert (error.reason, error.outcome, error.attempts) == ("TIMEOUT", "rejected", 1)
    assert "nothing was sent" in error.message
    assert [record["kind"] for record in talk.records] == ["session", "request", "failure"]
    assert (talk.records[2]["outcome"], talk.records[2]["attempts"][0]["elapsed_ms"]) == ("rejected", 0)
    time.sleep(0.9)
    assert model.requests == []


# What goes wrong before the request leaves


def stumbling(error: Exception) -> Callable[..., Any]:
    """A function that raises this error."""

    def stumble(*args: Any, **options: Any) -> Any:
        raise error

    return stumble


def without_threads(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the thread of a request not start."""
    start = threading.Thread.start

    def stumble(thread: threading.Thread) -> None:
        if thread.name == "gemini":
            raise error
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", stumble)


NO_THREADS = RuntimeError("can't start new thread")
NO_FILES = OSError(errno.EMFILE, "Too many open files")
NO_LIBRARY = ImportError("x.so: failed to map segment from shared object")
STAGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "thread": (lambda patch: without_threads(patch, NO_THREADS), "threads"),
    "loading": (lambda patch: patch.setattr(gemini, "_connect", stumbling(NO_LIBRARY)), "memory"),
    "sending": (lambda patch: patch.setattr(http.Client, "_watch_departure", stumbling(NO_FILES)), "files"),
    "recording": (lambda patch: patch.setattr(records, "request", Faltering(MemoryError())), "memory"),
}
"""Where an error is raised before the request leaves, and what this machine lacks then."""


class Faltering:
    """Makes request records, but for the first."""

    def __init__(self, error: Exception) -> None:
        self.errors = [error]

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Make a request record."""
        if self.errors:
            raise self.errors.pop()
        return REQUEST(*args, **options)


REQUEST = records.request


@pytest.mark.parametrize(("stumble", "lacking"), STAGES.values(), ids=STAGES)
def test_whatever_is_raised_before_the_request_leaves(
    stumble: Callable[[pytest.MonkeyPatch], None],
    lacking: str,
    talk: Talk,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is recorded as rejected and says what was missing: nothing was sent, and nothing is in doubt."""
    talk.begin()
    stumble(monkeypatch)
    error = talk.failed("hello")
    assert (error.reason, error.exit, error.outcome) == ("OUT_OF_RESOURCES", 75, "rejected")
    assert lacking in error.message
    assert [record["kind"] for record in talk.records] == ["session", "request", "failure"]
    assert (talk.records[2]["outcome"], talk.records[2]["reason"]) == ("rejected", "OUT_OF_RESOURCES")
    assert model.requests == []
    monkeypatch.undo()
    assert talk("hello").verdict.valid


def test_a_bug_while_an_answer_is_printed(talk: Talk, model: Model) -> None:
    """An error of our own after the request has left is recorded, too: its outcome is unknown."""
    talk.begin()
    talk.on_chunk = stumbling(LookupError("surprise"))
    error = talk.failed("hello")
    assert (error.reason, error.exit, error.outcome) == ("BUG", 70, "unknown")
    assert (talk.records[-1]["outcome"], talk.records[-1]["message"]) == ("unknown", "LookupError: surprise")
    assert len(model.requests) == 1


# Nothing is written, nothing is sent


def says(role: str, *parts: Any) -> dict[str, Any]:
    """A Content with these Parts."""
    return {"role": role, "parts": list(parts)}


def responds(name: str, response: Any) -> dict[str, Any]:
    """A Part with the response of a function."""
    return {"functionResponse": {"name": name, "response": response}}


TALK = contents("one", "two")
CALLED = [*contents("roll"), says("model", CALL)]
REFUSED: dict[str, tuple[list[Any], Any, str, int]] = {
    "open-call": (CALLED, "hello", "OPEN_CALL", 65),
    "other-name": (CALLED, says("user", responds("flip", {})), "TURN_ORDER", 65),
    "scalar-response": (CALLED, says("user", responds("roll", 4)), "TURN_ORDER", 65),
    "responded-twice": (CALLED, says("user", *[responds("roll", {})] * 2), "TURN_ORDER", 65),
    "no-parts": (TALK, says("user"), "TURN_ORDER", 65),
    "empty-text": (TALK, says("user", {"text": ""}), "TURN_ORDER", 65),
    "empty-part": (TALK, says("user", {}), "TURN_ORDER", 65),
    "model": (TALK, says("model", {"text": "hello"}), "TURN_ORDER", 65),
    "call": (TALK, says("user", CALL), "TURN_ORDER", 65),
    "response-to-nothing": (TALK, says("user", responds("roll", {})), "TURN_ORDER", 65),
    "broken-history": ([says("user", {"text": ""}), says("model", {"text": "ok"})], "hello", "TURN_ORDER", 65),
    "broken-config": ([], "hello", "SETTINGS", 2),
    "no-time-left": ([], "hello", "TIMEOUT", 75),
}
"""A history, what cannot be sent after it, and the reason."""


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_it_is_sent(name: str, talk: Talk, model: Model) -> None:
    """What the API would refuse, and what cannot be answered in time, is neither written nor sent."""
    history, message, reason, status = REFUSED[name]
    talk.begin(*history, config={"generationConfig": {"temperature": "99"}} if name == "broken-config" else None)
    before = talk.bytes
    error = talk.failed(message, left=-0.1 if name == "no-time-left" else 60)
    assert (error.reason, error.exit) == (reason, status)
    assert error.outcome == ("rejected" if reason == "TIMEOUT" else None)
    assert bool(error.problems) == (reason in ("TURN_ORDER", "SETTINGS"))
    assert reason != "OPEN_CALL" or "roll" in error.message
    assert (talk.bytes, model.requests) == (before, [])


# The outcome


@pytest.mark.parametrize(
    ("reply", "reason", "outcome"),
    [
        (json_reply({"error": {"code": 503}}, 503), "UNAVAILABLE", "rejected"),
        (Reply(200, {}, (b"<html>",)), "BAD_RESPONSE", "unknown"),
        (Reply(200, {}, (5.0,)), "TIMEOUT", "unknown"),
    ],
    ids=["503", "html", "silence"],
)
def test_failure_is_recorded(reply: Reply, reason: str, outcome: str, talk: Talk, model: Model) -> None:
    """A call without an answer leaves a failure record that says what happened, in the words of the error."""
    talk.begin()
    talk("warm up")
    model.script(reply)
    error = talk.failed("hello", timeout=1)
    record = talk.records[-1]
    assert (error.reason, error.outcome, error.attempts) == (reason, outcome, 1)
    assert (record["kind"], record["request"], record["reason"]) == ("failure", "2.1", reason)
    assert (record["outcome"], record["code"], record["message"]) == (outcome, error.code, error.message)
    assert [attempt["reason"] for attempt in record["attempts"]] == [reason]
    assert record.get("partial") == ("<html>" if reason == "BAD_RESPONSE" else None)


def test_timeout_is_the_smaller_limit(talk: Talk, model: Model) -> None:
    """A deadline that is nearer than the time limit of a request ends it."""
    talk.begin()
    talk("warm up")
    model.script(Reply(200, {}, (10.0,)))
    start = time.monotonic()
    error = talk.failed("hello", timeout=60, left=1)
    assert time.monotonic() - start < 4
    assert (error.reason, error.outcome) == ("TIMEOUT", "unknown")


# Disks that fail


class Failing(FileSystem):
    """Fails the n-th sync (or write) that it makes, counted from 1."""

    def __init__(self, function: Callable[..., Any], number: int) -> None:
        self.function, self.number, self.made = function, number, 0

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make the call, unless it is the one."""
        if function is self.function:
            self.made += 1
            if self.made == self.number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args, **kwargs)


@pytest.mark.parametrize("function", [os.write, os.fsync], ids=["write", "sync"])
def test_answer_cannot_be_written(function: Callable[..., Any], talk: Talk, model: Model) -> None:
    """An answer that could not be saved is handed over all the same, and says why it is not saved."""
    talk.begin()
    talk.fs = Failing(function, 2)
    model.script(answer("dear"))
    result = talk("hello")
    assert (result.answer, result.verdict.text) == (answer("dear"), "dear")
    assert result.unsaved is not None
    assert result.unsaved.reason == "DISK_FULL"
    assert result.unsaved.hint is not None
    assert ("power cut" if function is os.fsync else "only in the output") in result.unsaved.hint
    # What did reach the file stays: it was paid for.
    assert len(talk.history) == (2 if function is os.fsync else 0)
