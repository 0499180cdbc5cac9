"""The wire, all of it: every condition of an answer × every form of printing × every state of a session.

What each cell must show: the exit status and the reason, how often the message was sent, the outcome in the record,
the old history untouched byte for byte and at most one exchange more, and on stdout nothing but what is in the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import httpx2
import pytest

from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.chat import turn_order
from gemcli.chat.contents import user_text
from gemcli.cli import main
from gemcli.errors import REASONS, GemcliError, ReasonName
from gemcli.exchange import prepare
from gemcli.sessions import records
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.store import Store
from gemcli.signals import deferred
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Cut
from tests.support import Model, Reply, answer, assert_untold, json_reply, sse, streaming
from tests.system import Listener, clients_collected, listening
from tests.system.test_answers import ANSWERS, CALL, REFUSALS, THOUGHT
from tests.system.test_retries import free_port
from tests.system.test_stream import EVENTS, JOINED, STREAM, arrived

P = ParamSpec("P")
T = TypeVar("T")

FORMS = {"json": [], "stream": ["--stream"], "text": ["--text"], "stream-text": ["--stream", "--text"]}
"""The ways to print an answer."""

COLUMNS = ("fresh", "three-turns", "open-call")
"""The states of a session: empty, with three turns, and with a function call that waits for its response."""

SENT_AGAIN = {
    *("RATE_LIMIT", "SERVER_TIMEOUT", "SERVER_ERROR", "UNAVAILABLE", "CONNECT", "DNS", "CONNECT_TIMEOUT"),
}
"""What is sent once more by itself when it was rejected; everything else is final at once. Retyped."""

UNSENT, UNSAVED = "unsent", "unsaved"
"""The outcomes of a command that wrote nothing and sent nothing, and of one whose answer found no place."""


@dataclass
class Cell:
    """One row in one column and form: the world in which the message is sent."""

    path: Path
    env: dict[str, str]
    patch: pytest.MonkeyPatch
    options: list[str]
    fs: FileSystem = field(default_factory=FileSystem)
    requests: Callable[[], int] = int


Trouble = Callable[[Cell], contextlib.AbstractContextManager[None]]
"""What makes the world of a cell a bad one."""


class Row(NamedTuple):
    """One condition, and what a script must learn of it.

    `outcome` is `rejected` or `unknown` for a failure that is recorded, UNSENT when nothing may be written, UNSAVED
    for an answer that is printed only, and None for one that is in the file. `whole` and `stream` are what the server
    replies (`None`: the row has no such form). `said` is the text that an answer has, or that had arrived of a
    stream; `kept` what the record of a failure keeps.
    """

    exit: int
    reason: str | None = None
    outcome: str | None = None
    whole: Reply | None = None
    stream: Reply | None = None
    trouble: Trouble | None = None
    valid: bool = False
    said: str = ""
    body: Mapping[str, Any] | None = None
    parts: list[dict[str, Any]] | None = None
    kept: Any = None
    slow: bool = False


def refused(name: str) -> Row:
    """An HTTP answer of the table in test_answers: the same in every form."""
    case = REFUSALS[name]
    return Row(case.exit, case.reason, case.outcome, case.reply, case.reply)


def broken(exit_code: int, reason: str, outcome: str | None, stream: Reply, said: str = "", **more: Any) -> Row:
    """A stream that breaks, or ends as no good answer."""
    return Row(exit_code, reason, outcome, None, stream, said=said, **more)


def lost(reply: Reply) -> Row:
    """A connection that breaks before the answer, or in it."""
    return Row(75, "CONNECTION_LOST", "unknown", reply, reply)


def fine(*steps: Any) -> Row:
    """A stream that is an answer all the same."""
    return Row(0, stream=streaming(*steps), said="Hello", valid=True)


def answered(body: Mapping[str, Any], exit_code: int = 0, reason: str | None = None, **more: Any) -> Row:
    """An answer, whole and as a stream of one event; `valid` unless its status is 3."""
    parts = [part for one in (body.get("candidates") or [{}])[:1] for part in one.get("content", {}).get("parts", [])]
    parts = [part for part in parts if any(value for key, value in part.items() if key != "thought")]
    said = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    own: dict[str, Any] = {"whole": json_reply(dict(body)), "stream": streaming(sse(body))}
    own |= {"valid": exit_code != 3, "said": said, "body": body, "parts": parts}
    return Row(exit_code, reason, **(own | more))


def trouble(make: Trouble, exit_code: int, reason: str, outcome: str, **more: Any) -> Row:
    """A world in which the message cannot be sent, or its answer not be received."""
    well = {"whole": json_reply(answer("fine")), "stream": streaming(sse(answer("fine")))}
    return Row(exit_code, reason, outcome, trouble=make, **(well | more))


# Bad worlds


def environment(**values: str) -> Trouble:
    """Other variables of the environment."""

    @contextlib.contextmanager
    def make(cell: Cell) -> Iterator[None]:
        cell.env |= values
        yield

    return make


def option(*words: str) -> Trouble:
    """Other options."""

    @contextlib.contextmanager
    def make(cell: Cell) -> Iterator[None]:
        cell.options += words
        yield

    return make


def server(handle: Callable[[Listener, socket.socket, Cell], None]) -> Trouble:
    """A bare server that reads the request before it does what it does."""

    @contextlib.contextmanager
    def make(cell: Cell) -> Iterator[None]:
        def one(listener: Listener, connection: socket.socket) -> None:
            listener.request(connection)
            handle(listener, connection, cell)

        with listening(one) as listener:
            cell.env |= listener.env
            cell.requests = lambda: len(listener.seen)
            yield

    return make


@contextlib.contextmanager
def nobody_listens(cell: Cell) -> Iterator[None]:
    """No server at the base URL."""
    cell.env["GOOGLE_GEMINI_BASE_URL"] = f"http://127.0.0.1:{free_port()}"
    yield


@contextlib.contextmanager
def unknown_host(cell: Cell) -> Iterator[None]:
    """A name that no name server knows."""

    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    cell.env["GOOGLE_GEMINI_BASE_URL"] = "https://gemini.invalid"
    cell.patch.setattr(socket, "getaddrinfo", unknown)
    yield


@contextlib.contextmanager
def plain_server_under_https(cell: Cell) -> Iterator[None]:
    """An https URL behind which nobody speaks TLS."""
    cell.env["GOOGLE_GEMINI_BASE_URL"] = cell.env["GOOGLE_GEMINI_BASE_URL"].replace("http:", "https:")
    yield


@contextlib.contextmanager
def slow_connection(cell: Cell) -> Iterator[None]:
    """A connection that does not come about in time; `test_network` has one that really hangs."""

    def slow(*args: Any, **options: Any) -> Any:
        raise httpx2.ConnectTimeout("timed out")

    cell.patch.setattr(httpx2.HTTPTransport, "handle_request", slow)
    yield


@contextlib.contextmanager
def busy(cell: Cell) -> Iterator[None]:
    """A session that somebody else holds."""
    cell.options += ["--wait", "0"]
    with cell.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def damaged(cell: Cell) -> Iterator[None]:
    """A session with a line in it that is none."""
    first, _, rest = cell.path.read_bytes().partition(b"\n")
    cell.path.write_bytes(first + b"\n{nonsense\n" + rest + b"{}\n")
    yield


@contextlib.contextmanager
def gone(cell: Cell) -> Iterator[None]:
    """No session."""
    cell.path.unlink()
    yield


class FullDisk(FileSystem):
    """A disk on which the n-th write finds no room, nor does any after it."""

    def __init__(self, number: int) -> None:
        self.left = number

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make the call, unless there is no room."""
        if function is os.write:
            self.left -= 1
            if self.left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args, **kwargs)


def full(number: int) -> Trouble:
    """No room for the n-th record."""

    @contextlib.contextmanager
    def make(cell: Cell) -> Iterator[None]:
        cell.fs = FullDisk(number)
        yield

    return make


def replaced(listener: Listener, connection: socket.socket, cell: Cell) -> None:
    """An editor that writes the session anew while the model thinks: as it was before this message."""
    draft = cell.path.with_name("draft")
    draft.write_bytes(b"".join(cell.path.read_bytes().splitlines(keepends=True)[:-1]))
    os.replace(draft, cell.path)
    body = json.dumps(answer("fine")).encode()
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    connection.sendall(head + (sse(answer("fine")) if "--stream" in cell.options else body))


@contextlib.contextmanager
def a_bug(cell: Cell) -> Iterator[None]:
    """A library that does what nobody thought of."""

    def surprise(*args: Any, **options: Any) -> Any:
        raise LookupError("surprise")

    cell.patch.setattr(Gemini, "_request", surprise)
    yield


def stopped_by(number: signal.Signals) -> Trouble:
    """A signal while the model thinks."""

    def handle(listener: Listener, connection: socket.socket, cell: Cell) -> None:
        os.kill(os.getpid(), number)
        listener.stop.wait()

    return server(handle)


def garbage(listener: Listener, connection: socket.socket, cell: Cell) -> None:
    """Something that is not HTTP."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


# The rows, in the order of FACTS.md, section 3


def said(*parts: Any, finish: str | None = None) -> Any:
    """A chunk of a stream."""
    return answer(*parts, finish=finish)


def failed_stream(*steps: Any) -> Reply:
    """A stream that says "half" and then this."""
    return streaming(sse(said("half")), *steps)


HALF = said("half")
SHORT = {"content-type": "application/json", "content-length": "5000"}
WHOLE_EVENTS = sse(said("Hel"), said("lo", finish="STOP"))

_REFUSED = (
    *("400", "400-call-turn", "400-role", "400-parts", "400-too-long", "400-key-detail", "400-key-words", "400-region"),
    *("401", "402", "403", "404", "408", "409", "413-html", "429", "429-seconds", "429-milliseconds", "429-header"),
    *("429-words", "429-per-day", "429-limit-0", "499", "500", "502-html", "503", "503-header", "504"),
    *("500-list", "500-error-text", "301", "302-nowhere", "304", "201", "204"),
    *("200-html", "200-empty", "200-null", "200-list", "200-cut-json", "200-candidates-text", "200-content-text"),
)

_ANSWERED = (
    *("text", "unknown-finish", "thought-and-text", "signature", "max-tokens", "continuation"),
    *("prompt-blocked", "prompt-blocked-with-text", "empty-object", "no-candidates", "no-parts", "no-content"),
    *("empty-part", "empty-text", "thought-only", "signature-only", "max-tokens-empty", "max-tokens-thoughts"),
    *("malformed-call-bare", "safety-bare", "safety-with-call"),
    *("blocked-SAFETY", "blocked-RECITATION", "blocked-PROHIBITED_CONTENT", "blocked-SPII", "blocked-OTHER"),
    *("blocked-MODEL_ARMOR", "broken-MALFORMED_FUNCTION_CALL", "broken-UNEXPECTED_TOOL_CALL"),
    *("broken-TOO_MANY_TOOL_CALLS", "broken-MISSING_THOUGHT_SIGNATURE"),
)

ROWS: dict[str, Row] = {
    **{name: refused(name) for name in _REFUSED},
    # Below HTTP
    "connection-refused": trouble(nobody_listens, 75, "CONNECT", "rejected"),
    "unknown-host": trouble(unknown_host, 75, "DNS", "rejected"),
    "no-tls": trouble(plain_server_under_https, 78, "TLS", "rejected"),
    "connect-timeout": trouble(slow_connection, 75, "CONNECT_TIMEOUT", "rejected"),
    "read-timeout": trouble(
        option("--timeout", "1"),
        75,
        "TIMEOUT",
        "unknown",
        whole=Reply(200, {}, (60.0,)),
        stream=Reply(200, {}, (60.0,)),
        slow=True,
    ),
    "deadline": trouble(
        option("--deadline", "1"),
        75,
        "TIMEOUT",
        "unknown",
        whole=Reply(200, {}, (b"{", 60.0)),
        stream=failed_stream(60.0),
        said="half",
        slow=True,
    ),
    "closed": lost(Reply(200, {}, (Cut("close"),))),
    "reset": lost(Reply(200, {}, (Cut("reset"),))),
    "short-body": lost(Reply(200, SHORT, (b'{"paid', Cut("close")))),
    "short-error": lost(Reply(503, SHORT, (b"{", Cut("close")))),
    "garbage": trouble(server(garbage), 75, "CONNECTION_LOST", "unknown"),
    # Streams
    "sse-done": fine(WHOLE_EVENTS, sse(b"[DONE]")),
    "sse-comment": fine(b": hi\n\n", WHOLE_EVENTS),
    "sse-no-space": fine(WHOLE_EVENTS.replace(b"data: ", b"data:")),
    "sse-close-after-finish": fine(WHOLE_EVENTS, 0.05, Cut("close")),
    "sse-reset-after-finish": fine(WHOLE_EVENTS, 0.05, Cut("reset")),
    "sse-close": broken(75, "CONNECTION_LOST", "unknown", failed_stream(Cut("close")), "half", kept=HALF),
    "sse-reset": broken(75, "CONNECTION_LOST", "unknown", failed_stream(0.05, Cut("reset")), "half", kept=HALF),
    "sse-cut-in-json": broken(75, "STREAM_CUT", "unknown", failed_stream(b'data: {"candi'), "half", kept=HALF),
    "sse-cut-in-first": broken(75, "STREAM_CUT", "unknown", streaming(b'data: {"pai'), kept='data: {"pai'),
    "sse-cut-between": broken(75, "STREAM_CUT", "unknown", failed_stream(), "half", kept=HALF),
    "sse-stall": trouble(
        option("--timeout", "1"),
        75,
        "TIMEOUT",
        "unknown",
        whole=None,
        stream=failed_stream(60.0),
        said="half",
        kept=HALF,
        slow=True,
    ),
    "sse-wrong-types": broken(
        76, "BAD_RESPONSE", "unknown", streaming(sse({"candidates": "nope"})), kept=sse({"candidates": "nope"}).decode()
    ),
    "sse-html": broken(76, "BAD_RESPONSE", "unknown", failed_stream(sse(b"<html>")), "half", kept=HALF),
    "sse-error-first": broken(75, "UNAVAILABLE", "rejected", streaming(sse({"error": {"code": 503}}))),
    "sse-daily-first": broken(
        69, "QUOTA_DAILY", "rejected", streaming(sse({"error": {"code": 429, "message": "limit: 0"}}))
    ),
    "sse-error": broken(75, "UNAVAILABLE", "unknown", failed_stream(sse({"error": {"code": 503}})), "half", kept=HALF),
    "sse-error-no-code": broken(75, "SERVER_ERROR", "unknown", failed_stream(sse({"error": "x"})), "half", kept=HALF),
    "sse-no-candidates": broken(3, "EMPTY_ANSWER", None, streaming(sse({"usageMetadata": {}}))),
    "sse-safety": broken(3, "ANSWER_BLOCKED", None, failed_stream(sse(said(finish="SAFETY"))), "half"),
    # Answers
    **{name: answered(ANSWERS[name].body, ANSWERS[name].exit, ANSWERS[name].reason) for name in _ANSWERED},
    "call": answered(answer(CALL), 5, "FUNCTION_CALL"),
    "thought-text-call": answered(answer(THOUGHT, "I will", CALL), 5, "FUNCTION_CALL"),
    "no-finish-reason": answered(answer("half", finish=None), 3, "MALFORMED_ANSWER", stream=None),
    # Not sent
    "no-key": trouble(environment(GEMINI_API_KEY=""), 77, "NO_KEY", UNSENT),
    "blank-key": trouble(environment(GEMINI_API_KEY="   "), 77, "BAD_KEY", UNSENT),
    "key-newline": trouble(environment(GEMINI_API_KEY="a\nb"), 77, "BAD_KEY", UNSENT),
    "key-quotes": trouble(environment(GEMINI_API_KEY="“abc”"), 77, "BAD_KEY", UNSENT),
    "unprotected-url": trouble(environment(GOOGLE_GEMINI_BASE_URL="http://example.org"), 78, "BASE_URL", UNSENT),
    "model-dots": trouble(option("--model", "../x"), 2, "MODEL_NAME", UNSENT),
    "model-query": trouble(option("--model", "a?b"), 2, "MODEL_NAME", UNSENT),
    "model-return": trouble(option("--model", "a\rb"), 2, "MODEL_NAME", UNSENT),
    "session-busy": trouble(busy, 75, "SESSION_BUSY", UNSENT),
    "session-missing": trouble(gone, 66, "SESSION_MISSING", UNSENT),
    "session-damaged": trouble(damaged, 65, "CORRUPT", UNSENT),
    "disk-full": trouble(full(1), 74, "DISK_FULL", UNSENT),
    "too-many-turns": trouble(option("--max-turns", "0"), 65, "TOO_MANY_TURNS", UNSENT),
    # Not saved
    "disk-full-for-the-answer": trouble(full(2), 74, "DISK_FULL", UNSAVED, said="fine"),
    "session-changed": trouble(server(replaced), 74, "SESSION_CHANGED", UNSAVED, said="fine"),
    # This machine
    "bug": trouble(a_bug, 70, "BUG", "rejected"),
    **{
        number.name: trouble(stopped_by(number), 128 + number, "INTERRUPTED", "unknown")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    },
}

_WHOLE = ("two-texts", "two-candidates", "no-finish-reason")
"""What is another answer as a stream: neighbours are merged, candidates joined, and a finish reason is a must."""

MORE: dict[str, Row] = {
    **{f"refused-{name}": refused(name) for name in REFUSALS if name not in _REFUSED},
    **{
        f"answered-{name}": answered(case.body, case.exit, case.reason, **({"stream": None} if name in _WHOLE else {}))
        for name, case in ANSWERS.items()
        if name not in _ANSWERED
    },
}
"""The rest of the tables in test_answers."""


# The matrix


def session(column: str) -> list[records.Record]:
    """The records of a session in one of the states."""

    def exchange(turn: int, question: str, *parts: Any) -> list[records.Record]:
        name = f"{turn}.1"
        asked = records.request(turn, name, user_text(question), model="gemini-test", backend="gemini")
        return [asked, records.response(name, answer(*parts), valid=True, attempts=[], elapsed_ms=1)]

    made: list[records.Record] = [records.session(model="gemini-test", backend="gemini", config={}, origin=None)]
    if column == "three-turns":
        for turn in (1, 2, 3):
            made += exchange(turn, f"question {turn}", f"answer {turn}")
    if column == "open-call":
        made += exchange(1, "question", "answer") + exchange(2, "roll", CALL)
    return made


RESPONSE = {"functionResponse": {"name": "roll", "id": "c1", "response": {"result": 4}}}


def message(column: str) -> Any:
    """What the user says next: a text, or the response to the open call, which no command line can give yet."""
    return {"role": "user", "parts": [RESPONSE]} if column == "open-call" else user_text("hello")


def goes_on(path: Path, history: list[Any]) -> None:
    """The session loads, has this history, and the API would take the next message on top of it."""
    journal = Store(FileSystem(), lambda note: None).read(str(path))
    assert journal.history == history
    calls = turn_order.open_calls(history)
    answers = [{"functionResponse": {**call, "response": {}}} for call in calls]
    for response in answers:
        response["functionResponse"].pop("args", None)
    then: Any = {"role": "user", "parts": answers} if calls else user_text("next")
    assert prepare(journal, then, Backend("gemini")).body["contents"] == [*history, then]


class Matrix:
    """The program in this process and a scripted model: `matrix(row, form, column)` checks one cell."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], model: Model) -> None:
        self._capture = capture
        self._model = model
        self.env = dict(model.env)
        self.options = ["--retries", "1", "--errors", "json"]
        self.path = Path(os.environ["GEMCLI_HOME"]) / "sessions" / "s.jsonl"
        self.path.parent.mkdir(parents=True)

    def __call__(self, row: Row, form: str, column: str) -> None:
        """Send one message in this world, and compare everything that can be seen of it."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(b"".join(map(records.encode, session(column))))
        self.path.chmod(0o600)
        history = Store(FileSystem(), lambda note: None).read(str(self.path)).history
        streams = "stream" in form
        reply = row.stream if streams else row.whole
        assert reply is not None
        self._model.replies[:] = [reply] * 3
        begun = len(self._model.requests)
        waits: list[float] = []

        def no_sleep(seconds: float) -> bool:
            waits.append(seconds)
            return False

        with pytest.MonkeyPatch.context() as patch:
            cell = Cell(self.path, dict(self.env), patch, [*self.options, *FORMS[form]])
            cell.requests = lambda: len(self._model.requests) - begun
            patch.setattr(deferred, "sleep", no_sleep)
            patch.setattr("gemcli.commands.send.user_text", lambda text: message(column))
            with (row.trouble or environment())(cell):
                before = self.path.read_bytes() if self.path.exists() else b""
                self._capture.readouterr()
                words = ["send", "-s", "s", "hello", *cell.options]
                status = main(words, {**os.environ, **cell.env}, cell.fs)
                out, err = (data.decode() for data in self._capture.readouterr())
                requests = cell.requests()
        deferred.arrived.clear()

        assert (status, self._reason(err)) == (row.exit, row.reason), err
        self.look(out.encode(), err.encode(), *(file.read_bytes() for file in self.path.parent.iterdir()))
        attempts = 2 if row.outcome == "rejected" and row.reason in SENT_AGAIN else 1
        assert len(waits) == attempts - 1
        if row.trouble is None:
            assert requests == attempts
        elif row.outcome != "rejected":
            assert requests == (0 if row.outcome == UNSENT else 1)
        if row.outcome == UNSENT:
            assert (self.path.read_bytes() if self.path.exists() else b"") == before
        elif row.outcome == UNSAVED:
            assert self.path.read_bytes().startswith(before)
        else:
            assert self.path.read_bytes().startswith(before)
            added = [json.loads(line) for line in self.path.read_bytes()[len(before) :].splitlines()]
            self._recorded(row, streams, message(column), added, attempts)
        self._printed(row, form, out, err)
        if row.reason not in ("CORRUPT", "SESSION_MISSING"):
            goes_on(self.path, [*history, *self._entered(row, message(column))])

    def look(self, *told: bytes) -> None:
        """Look at everything that was printed and is in a file: the key is not there."""
        assert_untold(*told)

    def _reason(self, err: str) -> str | None:
        """The reason of the error on stderr; every line there is JSON, and the error is the last."""
        lines = [json.loads(line) for line in err.splitlines()]
        assert {line["level"] for line in lines[:-1]} <= ({"note", "debug"} if "--debug" in self.options else {"note"})
        return lines[-1]["reason"] if lines and lines[-1]["level"] == "error" else None

    def _recorded(
        self, row: Row, streams: bool, content: dict[str, Any], added: list[dict[str, Any]], attempts: int
    ) -> None:
        """What is in the file: the request, and what came of it."""
        request, end = added
        assert (request["kind"], request["content"], end["request"]) == ("request", content, request["id"])
        assert len(end["attempts"]) == attempts
        assert all("wait_s" in attempt for attempt in end["attempts"][:-1])
        if row.outcome is None:
            assert (end["kind"], end["valid"]) == ("response", row.valid)
            if row.body is not None and not streams:
                assert json.dumps(end["answer"]) == json.dumps(row.body)
            return
        code = REASONS[cast("ReasonName", row.reason)].code
        assert (end["kind"], end["outcome"], end["reason"], end["code"]) == ("failure", row.outcome, row.reason, code)
        assert {attempt["reason"] for attempt in end["attempts"]} == {row.reason}
        if row.kept is not None:
            assert end["partial"] == row.kept
        elif row.outcome == "rejected":
            assert "partial" not in end

    def _printed(self, row: Row, form: str, out: str, err: str) -> None:
        """What is on stdout: nothing, or what is in the file."""
        printed = row.said.encode("utf-8", "replace").decode() if "\ud800" not in row.said else None
        saved, answered = row.outcome is None, row.outcome in (None, UNSAVED)
        if form == "json":
            if not answered:
                assert out == ""
                return
            document = json.loads(out)
            assert out.count("\n") == 1
            assert (document["text"], document["saved"]) == (row.said, saved)
            assert document["reason"] == (row.reason if saved else None)
        elif form == "stream":
            *events, final = [json.loads(line) for line in out.splitlines()]
            assert (final["event"], final["exit"]) == ("final", row.exit)
            assert (final["error"] or {}).get("reason") == row.reason
            told = "".join(event["text"] for event in events if event["event"] == "chunk")
            assert told == row.said
            assert {event["event"] for event in events} <= {"chunk", "wait", "thought", "call", "part"}
            if answered:
                assert (final["text"], final["saved"]) == (row.said, saved)
            else:
                assert final["error"] == {
                    key: value for key, value in json.loads(err.splitlines()[-1]).items() if key != "level"
                }
        elif printed is not None:
            ended = printed + "\n" if printed and not printed.endswith("\n") else printed
            if answered:
                assert out == ended
            else:
                assert out == (printed if form == "stream-text" else "")

    def _entered(self, row: Row, content: dict[str, Any]) -> list[dict[str, Any]]:
        """What the history has more than before."""
        if row.outcome is not None or not row.valid:
            return []
        parts = row.parts if row.parts is not None else [{"text": row.said}]
        return [content, {"role": "model", "parts": parts}]


@pytest.fixture
def matrix(capfdbinary: pytest.CaptureFixture[bytes], model: Model) -> Iterator[Matrix]:
    """The program in this process, with no session yet."""
    with clients_collected():
        yield Matrix(capfdbinary, model)


def run(matrix: Matrix, rows: Mapping[str, Row], form: str, column: str) -> tuple[int, list[str]]:
    """Check every row that has this form: how many cells there were, and what was wrong with which."""
    wrong, cells = [], 0
    for name, row in rows.items():
        if (row.stream if "stream" in form else row.whole) is None:
            continue
        cells += 1
        try:
            matrix(row, form, column)
        except Exception as error:  # every wrong cell is told, not the first one only
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return cells, wrong


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", FORMS)
def test_every_condition(form: str, column: str, matrix: Matrix, figures: Callable[..., None]) -> None:
    """Each condition ends in its status, reason, outcome and number of requests, and harms no history."""
    rows = {name: row for name, row in ROWS.items() if not row.slow or ("text" not in form and column == "open-call")}
    cells, wrong = run(matrix, rows, form, column)
    figures(f"wire {form} {column}", cells=cells, wrong=len(wrong))
    assert not wrong, "\n\n".join(wrong)
    assert cells > 80


@pytest.mark.torture
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", FORMS)
def test_every_answer(form: str, column: str, matrix: Matrix, figures: Callable[..., None]) -> None:
    """The same for every answer that any test knows, and for the slow ones in every form."""
    slow = {name: row for name, row in ROWS.items() if row.slow}
    cells, wrong = run(matrix, MORE | slow, form, column)
    figures(f"wire, more, {form} {column}", cells=cells, wrong=len(wrong))
    assert not wrong, "\n\n".join(wrong)
    assert cells > 50


# A stream that ends at any byte, in any way

ENDINGS: dict[str, tuple[Any, ...]] = {
    "clean": (),
    "close": (Cut("close"),),
    "reset": (0.05, Cut("reset")),
    "stall": (60.0,),
}


def cut_stream(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """A model that says the first so many bytes of a stream, and ends it in the way that the message names."""
    size, ending = json.loads(body)["contents"][0]["parts"][0]["text"].split()
    return streaming(STREAM[: int(size)], *ENDINGS[ending])


@pytest.mark.torture
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_byte_of_a_stream(ending: str, model: Model, figures: Callable[..., None]) -> None:
    """Cut at any byte in any way, a stream is an answer if its finish reason arrived; else a failure that keeps it."""

    def one(size: int) -> str | None:
        heard: list[Any] = []
        gemini = Gemini(endpoint_for(Backend("gemini"), env, lambda note: None))
        body = {"contents": [user_text(f"{size} {ending}")]}
        try:
            result: Any = gemini.stream("gemini-test", body, 3 if ending == "stall" else 60, heard.append)
        except GemcliError as error:
            result = error
        most = arrived(size, ended=ending == "clean")
        whole = len(heard)
        # A reset may take away what nobody has read yet.
        right = heard == EVENTS[:whole] and (whole <= most if ending == "reset" else whole == most)
        if whole == len(EVENTS):
            right = right and result == JOINED[-1]
        else:
            right = right and isinstance(result, GemcliError) and result.outcome == "unknown"
            right = right and (result.partial == JOINED[whole] if whole else not isinstance(result.partial, dict))
            # Of nothing, or of "dat", nobody can say that it was a stream.
            right = right and result.exit == (76 if ending == "clean" and size <= len(b"data:") else 75)
        return None if right else f"{size}: {whole} of {most} events, {result!r}"

    # The limit of a stall is waited for by many at once.
    with serve(cut_stream) as server, ThreadPoolExecutor(32 if ending == "stall" else 4) as pool:
        env = model.env | {"GOOGLE_GEMINI_BASE_URL": server.url}
        one(len(STREAM))  # loads the SDK
        with clients_collected():
            wrong = [told for told in pool.map(one, range(len(STREAM) + 1)) if told]
    figures(f"stream cut, {ending}", bytes=len(STREAM), wrong=len(wrong))
    assert not wrong, "\n".join(wrong)


def test_the_reasons_of_the_wire_are_all_here() -> None:
    """No reason for which a message can fail on its way is missing from the matrix."""
    elsewhere = {
        # of other commands and options
        *("USAGE", "SETTINGS", "SCRIPT", "NO_SUCH_TURN", "BAD_HISTORY", "NOT_EXPRESSIBLE", "FILE_MISSING"),
        *("SESSION_EXISTS", "EXPECTATION", "IN_DOUBT", "DIVERGED", "EMPTY_MESSAGE"),
        # of sessions and messages: test_bad_input, test_exchange, test_store
        *("NOT_A_SESSION", "NEWER_FORMAT", "OPEN_CALL", "BAD_TEXT", "IO", "NO_LOCK"),
        # of outputs: test_pipes; of Vertex AI: test_vertex
        *("NOT_PRINTED", "READER_GONE", "NO_PROJECT", "NO_CREDENTIALS", "PROJECT_NAME", "LOCATION_NAME"),
        # of the HTTP client: api/test_http
        "UNEXPECTED_HOST",
    }
    assert set(REASONS) - {row.reason for row in ROWS.values()} <= elsewhere
