"""Operations, the worlds they run in, and what must hold of a session whatever was done to them."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from gemcli.sessions.journal import Journal
from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import api_error, contents, texts
from tests.crash.faults import Fault
from tests.support import LONG, Model, read_session

ROOT = Path(__file__).parents[2]
SECONDS = 20.0
"""After this long a command counts as hung."""

NEXT = "the next one"

History = list[Any]


@dataclass(frozen=True)
class Ran:
    """A command that has ended: `status` is negative for signals; `calls` are the system calls it made."""

    status: int
    calls: list[str]
    late: bool
    out: str
    err: str

    @property
    def events(self) -> list[Any]:
        """The documents on stdout that are there whole."""
        return [json.loads(line) for line in self.out.split("\n")[:-1]]

    @property
    def printed(self) -> Any:
        """The document that says what was done, `None` if it is not there whole.

        Of events that is the last one, if it has an answer, or says that a replay went through.
        """
        last = self.events[-1] if self.events else {"event": "none"}
        kind = last.get("event")
        whole = kind is None or (kind == "final" and "saved" in last) or (kind == "summary" and last["exit"] == 0)
        return last if whole else None


class Forking:
    """A process that has loaded everything already, and forks a child for each command of the jobs that it is sent.

    It is started by `prefix`, a command that takes another one, if it is to have a world of its own.
    """

    def __init__(self, module: str, prefix: Sequence[str] = ()) -> None:
        command = [*prefix, sys.executable, "-m", module]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def _do(self, job: Mapping[str, Any]) -> Any:
        """Send a job, and wait for its result."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Runner(Forking):
    """Runs one command at a time, perhaps with a fault."""

    def __init__(self, directory: Path, prefix: Sequence[str] = ()) -> None:
        super().__init__("tests.crash.zygote", prefix)
        self._directory = directory
        self._pid = directory / "pid"

    def inside(self, path: Path) -> Path:
        """Where a path of the commands' own world can be looked at from here."""
        return Path(f"/proc/{self._process.pid}/root{path}")

    def strike(self, number: int) -> None:
        """Send a signal to the command that is running: for models, which are asked while it runs."""
        os.kill(int(self._pid.read_text()), number)

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str],
        directory: Path,
        fault: Fault | None = None,
        umask: int = 0o022,
        ignored: Sequence[int] = (),
        kill_after: float | None = None,
    ) -> Ran:
        """Run one command line; `ignored` are signals that the parent ignores, as nohup does.

        With `kill_after` it is killed after so many seconds, unless it has ended by then.
        """
        out, err = self._directory / "out", self._directory / "err"
        for file in (out, err):
            file.write_bytes(b"")  # a command that is killed before it begins has printed nothing
        done = self._do(
            {
                "args": args,
                "env": dict(env),
                "directory": str(directory),
                "fault": asdict(fault or Fault()),
                "out": str(out),
                "err": str(err),
                "umask": umask,
                "ignored": ignored,
                "seconds": SECONDS,
                "pid": str(self._pid),
                "kill_after": kill_after,
            }
        )
        return Ran(**done, out=out.read_text(), err=err.read_text())


@dataclass(frozen=True)
class Operation:
    """One command on the session `s`: what comes before it, its command line, and how it ends undisturbed.

    `partway` are histories it may leave besides the one from before and the new one; an operation of several `turns`
    may leave any number of them. A `long` operation differs little from others, and only the long forms try it.
    """

    name: str
    args: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    damage: Callable[[bytes], bytes] | None = None
    reply: Reply | None = None
    status: int = 0
    partway: tuple[History, ...] = ()
    turns: int = 1
    long: bool = False


TORN = b'{"kind":"request","time":"2026-01-01T00:00:00.000Z","turn":2,"id":"2.1","content":"' + b"never whole " * 60
"""What a crash left of a record; longer than the records that come in its place."""


def _tear(data: bytes) -> bytes:
    return data + TORN


def _forget(data: bytes) -> bytes:
    """Without the last record: the request before it is in doubt."""
    return b"".join(data.splitlines(keepends=True)[:-1])


DENIED = api_error(403, "PERMISSION_DENIED", "Not for you.")
BLOCKED = json_reply({"promptFeedback": {"blockReason": "SAFETY"}})
_NEW, _FIRST, _SECOND = ("new", "-s", "s"), ("send", "-s", "s", "first"), ("send", "-s", "s", "second")
_OTHER = (("new", "-s", "other", "--temperature", "0"), ("send", "-s", "other", "elsewhere"))
_REWOUND = (*_OTHER, ("send", "-s", "other", "away"), ("rewind", "-s", "other"), ("send", "-s", "other", "back"))
_KEYED, _PLAYED = ("send", "-s", "s", "--once", "k", "keyed"), ("replay", "script.json", "-s", "s")
_HALF_PLAYED = (("replay", "half.json", "-s", "s"),)
CUT = Reply(200, {"content-type": "text/event-stream"}, (b'data: {"candidates":[{"content":{"parts":[{"text":"Wh',))

OPERATIONS = (
    Operation("new", _NEW),
    Operation("new-force", (*_NEW, "--force", "--history", "history.json"), (_NEW, _FIRST)),
    Operation("new-history", (*_NEW, "--history", "history.json"), long=True),
    Operation("new-from", (*_NEW, "--from", "other"), _OTHER),
    Operation("new-from-rewound", (*_NEW, "--from", "other", "--at", "2"), _REWOUND, long=True),
    Operation("new-import", (*_NEW, "--history", "home/sessions/other.jsonl"), _REWOUND, long=True),
    Operation("new-force-torn", (*_NEW, "--force", "--from", "other"), (*_OTHER, _NEW, _FIRST), _tear, long=True),
    Operation("send-first", _FIRST, (_NEW,), long=True),
    Operation("send-create", (*_FIRST, "--create"), partway=([],)),
    Operation("send", _SECOND, (_NEW, _FIRST)),
    Operation("send-refused", _SECOND, (_NEW, _FIRST), reply=BLOCKED, status=3, long=True),
    Operation("send-failure", _SECOND, (_NEW, _FIRST), reply=DENIED, status=77),
    Operation("send-torn", _SECOND, (_NEW, _FIRST), damage=_tear),
    Operation("send-no-newline", _SECOND, (_NEW, _FIRST), damage=lambda data: data.removesuffix(b"\n")),
    Operation("send-create-stream", (*_FIRST, "--create", "--stream"), partway=([],), long=True),
    Operation("send-stream", (*_SECOND, "--stream"), (_NEW, _FIRST)),
    Operation("send-stream-torn", (*_SECOND, "--stream"), (_NEW, _FIRST), _tear, long=True),
    Operation("send-stream-cut", (*_SECOND, "--stream"), (_NEW, _FIRST), reply=CUT, status=75, long=True),
    Operation("send-key", _KEYED, (_NEW, _FIRST), long=True),
    Operation("send-key-again", (*_KEYED, "--on-unknown", "resend"), (_NEW, _FIRST, _KEYED), _forget, long=True),
    Operation("send-key-torn", _KEYED, (_NEW, _FIRST), _tear, long=True),
    Operation("rewind", ("rewind", "-s", "s"), (_NEW, _FIRST, _SECOND)),
    Operation("rewind-all", ("rewind", "-s", "s", "--to", "0"), (_NEW, _FIRST, _SECOND), long=True),
    Operation("rewind-torn", ("rewind", "-s", "s"), (_NEW, _FIRST, _SECOND), _tear, long=True),
    Operation("rewind-undo", ("rewind", "-s", "s", "--undo"), (_NEW, _FIRST, _SECOND, ("rewind", "-s", "s"))),
    Operation("replay", _PLAYED, turns=3, long=True),
    Operation("replay-on", _PLAYED, _HALF_PLAYED, turns=2, long=True),
    Operation("replay-torn", _PLAYED, _HALF_PLAYED, _tear, turns=2, long=True),
)
"""Everything that writes to sessions."""

by_operation = pytest.mark.parametrize("operation", [
    pytest.param(operation, id=operation.name, marks=[pytest.mark.torture] if operation.long else [])
    for operation in OPERATIONS
])  # fmt: skip
"""Makes a test one for each operation; those that are `long` are left to the long form."""


def environment(directory: Path, model: Model, home: Path) -> dict[str, str]:
    """The whole environment of commands with this home and model; `directory` gets what belongs to it."""
    certificate = str(one_certificate(directory))
    return {"PATH": os.environ["PATH"], "GEMCLI_HOME": str(home), "SSL_CERT_FILE": certificate, **model.env}


class Sandbox:
    """A directory that commands run in, again and again from the same start."""

    def __init__(self, runner: Runner, model: Model, directory: Path, sessions: str) -> None:
        self.runner = runner
        self.model = model
        self.directory = directory / "world"
        self.sessions = self.directory / sessions
        self.env = environment(directory, model, self.directory / "home")
        self._start = directory / "start"

    def keep(self, place: Path) -> None:
        """Remember how things are now, in a directory that does not exist."""
        shutil.copytree(self.directory, place)

    def restore(self, place: Path | None = None) -> None:
        """Go back to the start, or to what was kept; the model forgets what it was asked."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(place or self._start, self.directory)
        self.model.requests.clear()
        self.model.replies.clear()

    def command(self, *args: str, fault: Fault | None = None, kill_after: float | None = None) -> Ran:
        """Run any command here."""
        ran = self.runner(*args, env=self.env, directory=self.directory, fault=fault, kill_after=kill_after)
        assert not ran.late, f"hangs: {ran.calls[-12:]}"
        assert "Traceback" not in ran.err, ran.err
        assert ran.status != 70, ran.err
        return ran

    def state(self) -> dict[str, bytes]:
        """The files here, without what differs from run to run: two worlds of one state go on alike."""
        files = sorted(path for path in self.directory.rglob("*") if path.is_file())
        return {
            re.sub(r"[0-9a-f]{8,}", "#", str(path.relative_to(self.directory))): VOLATILE.sub(b"#", path.read_bytes())
            for path in files
        }


class World(Sandbox):
    """A world for one operation on the session `s`.

    `before` and `after` are the session's history at the start and after an undisturbed run (`None`: there is no
    session), and `calls` the system calls of that run.
    """

    def __init__(self, operation: Operation, runner: Runner, model: Model, directory: Path) -> None:
        super().__init__(runner, model, directory, "home/sessions")
        self.operation = operation
        self.path = self.sessions / "s.jsonl"
        self._prepare()
        self.before = self.history()
        clean = self.run()
        assert clean.status == operation.status, clean
        self.calls = clean.calls
        self.after = self.history()

    def _prepare(self) -> None:
        self.directory.mkdir()
        (self.directory / "history.json").write_text(json.dumps(contents("one", "two", "three", "four")))
        (self.directory / "script.json").write_text(json.dumps(["first", "second", "third"]))
        (self.directory / "half.json").write_text(json.dumps(["first"]))
        for args in self.operation.before:
            ran = self.command(*args)
            assert ran.status == 0, ran
        if self.operation.damage:
            self.path.write_bytes(self.operation.damage(self.path.read_bytes()))
        self.keep(self._start)

    def run(self, fault: Fault | None = None) -> Ran:
        """Run the operation from the start."""
        self.restore()
        if self.operation.reply:
            self.model.script(self.operation.reply)
        ran = self.command(*self.operation.args, fault=fault)
        self.model.replies.clear()
        return ran

    def run_next(self, message: str = NEXT, fault: Fault | None = None) -> Ran:
        """Send another message, to whatever the operation has left."""
        self.model.requests.clear()
        return self.command("send", "-s", "s", "--create", message, fault=fault)

    def journal(self) -> Journal | None:
        """The session as a reader sees it, `None` if there is none. Its turn order is checked."""
        return read_session(self.path) if self.path.exists() else None

    def history(self) -> History | None:
        """The history of the session as a reader sees it, `None` if there is none."""
        journal = self.journal()
        return None if journal is None else journal.history

    def verify(self, ran: Ran) -> History | None:
        """What holds after any fault in the operation; the history that is there now."""
        now = self.history()
        assert self._expected(now), (ran, now)
        for event in ran.events:
            if event.get("event") == "turn" and event["saved"]:
                assert event["user"] in texts(now or []), f"a turn that was printed is not there: {ran}"
        if ran.printed is not None and ran.printed.get("saved", True):
            assert now == self.after, f"what was printed is not there: {ran}"
        if self.operation.damage is _tear:
            assert any(TORN in file.read_bytes() for file in self.sessions.iterdir()), f"the torn tail is gone: {ran}"
        if "--force" in self.operation.args and now == self.after:
            kept = [read_session(file).history for file in self.sessions.glob("s.jsonl.bak-*")]
            assert self.before in kept, f"the session before is gone: {ran}"
        self.verify_requests()
        if ran.printed and ran.printed.get("id") and ran.printed.get("saved"):
            journal = self.journal()
            answered = [one.id for one in journal.exchanges if one.answer] if journal else []
            assert ran.printed["id"] in answered, f"an answer that was printed is not there: {ran}"
        return now

    def remains(self, directory: Path) -> Iterator[tuple[Fault, History | None, Path]]:
        """Every state of the disk that a kill leaves: the first such kill, the history then, and a copy of it all."""
        left = Seen()
        for number, fault in enumerate(kills_to_try(self.calls)):
            history = self.verify(self.run(fault))
            if left.first(state=self.state()):
                self.keep(kept := directory / f"left-{number}")
                yield fault, history, kept

    def _expected(self, now: History | None) -> bool:
        """Whether the operation may leave this history."""
        if now in (self.before, self.after, *self.operation.partway):
            return True
        done = len(now or []) - len(self.before or [])
        return self.operation.turns > 1 and done >= 0 and done % 2 == 0 and now == (self.after or [])[: len(now or [])]

    def verify_requests(self) -> None:
        """Every request that the model got was written down before."""
        journal = self.journal()
        asked = [one.request["content"] for one in journal.exchanges] if journal else []
        for request in self.model.requests:
            assert request["contents"][-1] in asked, "the model was asked something that is not on the disk"

    def verify_next(self, history: History | None, message: str = NEXT) -> None:
        """The next message goes through, and the model sees exactly the history that a reader saw."""
        ran = self.run_next(message)
        assert ran.status == 0, ran
        assert ran.printed["saved"] is True
        asked = [*(history or []), {"role": "user", "parts": [{"text": message}]}]
        assert [request["contents"] for request in self.model.requests] == [asked]
        now = self.history()
        assert now is not None
        assert now[:-1] == asked
        strays = [name for name in os.listdir(self.sessions) if not KNOWN.fullmatch(name)]
        assert strays == []


VOLATILE = re.compile(rb'"time":"[^"]*"?|"elapsed_ms":\d+|"id":"[0-9a-f]{16}"')

KNOWN = re.compile(r"(s|other)\.jsonl(\.(torn|bak|lost)-[0-9]+)?|\.(s|other)\.jsonl\.new-[0-9a-f]+")
"""Names that may stand in the directory of sessions, whatever has happened."""


class Seen:
    """States that were met before."""

    def __init__(self) -> None:
        self._states: set[tuple[tuple[str, bytes], ...]] = set()

    def first(self, *facts: object, state: dict[str, bytes]) -> bool:
        """Whether this state (with these facts about it) is met for the first time."""
        key = (("", repr(facts).encode()), *sorted(state.items()))
        new = key not in self._states
        self._states.add(key)
        return new


CHANGING = frozenset({"open", "write", "fsync", "fcntl", "ftruncate", "link", "replace", "unlink", "mkdir"})
"""Calls that can change what is on the disk. Between two of them a killed process leaves the same files."""


def kills(calls: Sequence[str]) -> list[Fault]:
    """Every way to kill a process that makes these calls."""
    return [
        Fault(at, how)
        for at, call in enumerate(calls, 1)
        for how in ("kill-before", "kill-after", *(["kill-half"] if call == "write" else []))
    ]


def kills_to_try(calls: Sequence[str]) -> list[Fault]:
    """Every way in the long form; otherwise those around changes of the disk, and around the last call."""
    return [fault for fault in kills(calls) if LONG or calls[fault.at - 1] in CHANGING or fault.at == len(calls)]


def failures(calls: Sequence[str], lasting: str, numbers: Sequence[int]) -> list[Fault]:
    """An error of each number at every call; in the short form only EIO at calls that change nothing on the disk."""
    return [
        Fault(at, "error", number, lasting)
        for at, call in enumerate(calls, 1)
        for number in numbers
        if LONG or call in CHANGING or number == errno.EIO
    ]


def one_certificate(directory: Path) -> Path:
    """A file with a single certificate: the SDK loads all of them for each client, which takes longer than the rest."""
    import certifi

    end = "-----END CERTIFICATE-----\n"
    file = directory / "certificate.pem"
    file.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    return file
