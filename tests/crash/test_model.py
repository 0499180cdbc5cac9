"""The commands against a plain model: whatever is done to a session, it holds what lists of pairs say it must.

Commands run in this process. The model on the wire is a function (`Wire`) under the code that waits for answers and
judges them; the SDK itself is left out, which makes a command cost two milliseconds. Kills are exceptions that no
handler can act upon: once one is raised, the file system lets nothing through any more (`Struck`), and a test holds
that the files are then those that SIGKILL leaves.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast
from unittest import mock

import httpx2
import hypothesis.strategies as st
import pytest
from google.genai import types
from google.genai.chats import _extract_curated_history  # type: ignore[attr-defined, unused-ignore]
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gemcli.api.attempt import CURRENT_ATTEMPT
from gemcli.api.gemini import Gemini
from gemcli.chat.contents import Content
from gemcli.cli import main
from gemcli.sessions.filesystem import FileSystem, P, T
from tests.builders import answer
from tests.crash.faults import Fault
from tests.crash.harness import OPERATIONS, Operation, Runner, World, kills
from tests.support import Model, read_session

MEMORY = "/dev/shm"

BLOCKED, INCOMPLETE, CALLS, IN_DOUBT, DATA, IO = 3, 4, 5, 13, 65, 74


# The world: a model, a file system that strikes, a process that does not end


CALL_PART = {"functionCall": {"name": "f", "id": "c", "args": {}}}


@dataclass(frozen=True)
class Outcome:
    """What becomes of a request: the answer's `body` or the error's, what `send` exits with, and the record's word.

    `state` is answered, refused, failed or doubt; `again` tells whether a refusal may be sent again under its key.
    """

    name: str
    state: str
    status: int
    body: dict[str, Any] = field(default_factory=dict)
    http: int = 200
    again: bool = False

    @property
    def kind(self) -> str:
        """The kind of record that it leaves."""
        return "response" if self.state in ("answered", "refused") else "failure"

    @property
    def content(self) -> Content:
        """The model Content of the answer."""
        content: Content = self.body["candidates"][0]["content"]
        return content


OUTCOMES = (
    Outcome("text", "answered", 0, answer("plain")),
    Outcome(
        "parts", "answered", 0, answer({"text": "hm", "thought": True}, "two", {"text": "", "thoughtSignature": "c2ln"})
    ),
    Outcome("long", "answered", INCOMPLETE, answer("half", finish="MAX_TOKENS")),
    Outcome("call", "answered", CALLS, answer("look", CALL_PART)),
    Outcome("blocked", "refused", BLOCKED, {"promptFeedback": {"blockReason": "SAFETY"}}),
    Outcome("no-content", "refused", BLOCKED, {"candidates": [{"finishReason": "SAFETY", "index": 0}]}),
    Outcome("empty", "refused", BLOCKED, {"candidates": []}, again=True),
    Outcome("overloaded", "failed", 75, {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}, 503),
    Outcome("denied", "failed", 77, {"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}, 403),
    Outcome("unreachable", "failed", 75),
    Outcome("reset", "doubt", 75),
    Outcome("cut", "doubt", 75, answer("gone")),
)
"""Every way a request can end."""

ANSWERS = OUTCOMES[:4]


class Wire:
    """What stands in for the SDK: it notes the Contents it is sent, and acts out `outcome`."""

    def __init__(self) -> None:
        self.outcome = OUTCOMES[0]
        self.requests: list[list[Content]] = []
        self.meddle: Callable[[], object] | None = None

    def request(self, _self: Gemini, _model: str, body: dict[str, Any], _seconds: float) -> None:
        """Answer in the place of `Gemini._request`."""
        call, outcome = CURRENT_ATTEMPT.get(), self.outcome
        call.start()
        if outcome.name == "unreachable":
            raise httpx2.ConnectError("refused")
        call.mark_sent()
        self.requests.append(body["contents"])
        if self.meddle:
            self.meddle()
        if outcome.name == "reset":
            raise httpx2.ReadError("reset")
        call.set_head(outcome.http, {"content-type": "application/json"})
        data = json.dumps(outcome.body).encode()
        if outcome.http == 200:
            data = b"data: " + data + b"\r\n\r\n"
        if outcome.name == "cut":
            call.receive(data[: len(data) // 2])
            raise httpx2.RemoteProtocolError("peer closed connection")
        call.receive(data)
        call.complete = True


class Killed(BaseException):
    """The process is no more."""


class Struck(FileSystem):
    """The real file system with one fault, for a process that goes on: after a kill nothing reaches the disk.

    `fault` is one of kill-before, kill-after, kill-half, error (`lasting` "" or "all") of `tests.crash.faults`.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.count = 0
        self.dead = False

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one system call, unless it is the one to strike."""
        name = getattr(function, "__name__", "")
        if self.dead:
            if name == "close":  # as the kernel does for the dead, with the lock
                function(*args, **kwargs)
            raise Killed
        self.count += 1
        if self.fault.how == "error":
            if self.count == self.fault.at or (self.fault.lasting and self.count > self.fault.at > 0):
                if name == "close":
                    function(*args, **kwargs)
                raise OSError(self.fault.number, os.strerror(self.fault.number))
        elif self.fault.at and (
            # Half way there is only in a write: the next one.
            (self.count >= self.fault.at and name == "write")
            if self.fault.how == "kill-half"
            else self.count == self.fault.at
        ):
            self._die(name, function, *args, **kwargs)
        return function(*args, **kwargs)

    def _die(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        self.dead = True
        if name == "write" and self.fault.how == "kill-half":
            fd, data = cast(Any, args)
            os.write(fd, data[: max(1, len(data) // 2)])
        elif self.fault.how == "kill-after" or name == "close":
            done = function(*args, **kwargs)
            if name == "open":
                os.close(cast(int, done))
        raise Killed


@dataclass(frozen=True)
class Ran:
    """A command that has ended, or was `killed`: then `status` means nothing."""

    status: int
    killed: bool
    out: str
    err: str
    calls: int

    @property
    def document(self) -> Any:
        """The last document on stdout, `None` if there is none."""
        return json.loads(self.out.splitlines()[-1]) if self.out else None

    @property
    def saved(self) -> bool | None:
        """What was printed of an answer: that it is saved, that it is not, or nothing."""
        return (self.document or {}).get("saved")


class Desk:
    """Runs command lines in this process, in a directory of its own."""

    def __init__(self, wire: Wire) -> None:
        memory = MEMORY if os.access(MEMORY, os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(dir=memory, prefix="gemcli-model-"))
        self.sessions = self.directory / "sessions"
        self._env = {"GEMCLI_HOME": str(self.directory), "GEMINI_API_KEY": "k", "GEMCLI_MODEL": "gemini-test"}
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - `close` closes them
        self._patches: list[Any] = [
            mock.patch.object(Gemini, "_request", lambda *args, **named: wire.request(*args, **named)),
        ]
        for patch in self._patches:
            patch.start()

    def close(self) -> None:
        """Give everything back."""
        for patch in self._patches:
            patch.stop()
        for file in self._files:
            file.close()
        shutil.rmtree(self.directory)

    def __call__(self, *args: str, fault: Fault | None = None) -> Ran:
        """Run one command line, perhaps with a fault."""
        fs = Struck(fault or Fault())
        with self._captured():
            status = main(args, self._env, fs=fs)
        out, err = (_content(file) for file in self._files)
        assert "Traceback" not in err
        assert fs.dead or status != 70, err
        return Ran(status, fs.dead, "" if fs.dead else out, err, fs.count)

    @contextmanager
    def _captured(self) -> Iterator[None]:
        before = [os.dup(fd) for fd in (1, 2)]
        for fd, file in enumerate(self._files, 1):
            file.seek(0)
            file.truncate()
            os.dup2(file.fileno(), fd)
        try:
            yield
        finally:
            for fd, old in enumerate(before, 1):
                os.dup2(old, fd)
                os.close(old)


def _content(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode())


# The model


@dataclass
class Try:
    """A message sent under a key: its turn, its state, and the numbers of the history that it was sent with."""

    turn: int
    state: str
    again: bool
    before: list[int]


def user(message: str) -> Content:
    """The Content of a message."""
    return {"role": "user", "parts": [{"text": message}]}


@dataclass
class Talk:
    """A session as lists of pairs.

    `pairs` are the answered turns by number, `live` the numbers of the history, `taken` the rewinds that can be
    undone, `moments` the live turns as they were after each turn, `tries` what was sent under each key, and `heard`
    what the SDK's chat would have recorded, turn by turn, with the Contents of the wire beside its own.
    """

    name: str
    pairs: dict[int, list[Content]] = field(default_factory=dict)
    live: list[int] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)
    last: int = 0
    moments: dict[int, list[int]] = field(default_factory=dict)
    tries: dict[str, list[Try]] = field(default_factory=dict)
    heard: dict[int, list[tuple[types.Content, Content]]] = field(default_factory=dict)

    @property
    def history(self) -> list[Content]:
        """The Contents of the live turns."""
        return self.at(self.live)

    def at(self, live: Sequence[int]) -> list[Content]:
        """The Contents of these turns."""
        return [content for number in live for content in self.pairs[number]]

    @property
    def waits(self) -> bool:
        """Whether the history ends in a function call."""
        return bool(self.live) and CALL_PART in self.pairs[self.live[-1]][1]["parts"]

    @property
    def curated(self) -> list[Content]:
        """The history as the SDK picks it from everything that was not rewound."""
        heard = [one for number in sorted(self.heard) for one in self.heard[number] if self._stays(number)]
        known = {id(theirs): ours for theirs, ours in heard}
        return [known[id(content)] for content in _extract_curated_history([theirs for theirs, _ in heard])]

    def _stays(self, number: int) -> bool:
        return number in self.live or number not in self.pairs

    def asked(self, message: str, key: str | None, outcome: Outcome | None) -> int:
        """A request was written down, and its outcome, if there is one; the turn's number."""
        self.last += 1
        state = outcome.state if outcome else "doubt"
        if outcome and state in ("answered", "refused"):
            said = outcome.content if state == "answered" else {"role": "model", "parts": []}
            self.heard[self.last] = [
                (types.Content.model_validate(content), content) for content in (user(message), said)
            ]
        if key is not None:
            tried = Try(self.last, state, bool(outcome and outcome.again), list(self.live))
            self.tries.setdefault(key, []).append(tried)
        if outcome and state == "answered":
            self.pairs[self.last] = [user(message), outcome.content]
            self.live.append(self.last)
            self.taken.clear()
        self.moments[self.last] = list(self.live)
        return self.last

    def rewind(self, count: int) -> list[int]:
        """The last turns go."""
        self.taken.append(self.live[-count:])
        del self.live[-count:]
        return self.taken[-1]

    def undo(self) -> list[int]:
        """What went last comes back."""
        back = self.taken.pop()
        self.live += back
        return back

    def recalled(self, key: str) -> Try | None:
        """The try of `key` whose answer stands, or that is in doubt; None if the message is to be sent."""
        tries = self.tries.get(key, [])
        standing = [one for one in tries if one.turn in self.live]
        one = (standing or tries or [None])[-1]  # type: ignore[list-item]
        if one is None or one.state == "failed" or (one.state == "answered" and not standing):
            return None
        if one.state == "refused" and (
            one.again or one.before != [number for number in self.live if number < one.turn]
        ):
            return None
        return one

    def fork(self, name: str, live: Sequence[int]) -> Talk:
        """Another session with these turns, numbers kept."""
        pairs = {number: self.pairs[number] for number in live}
        heard = {number: self.heard[number] for number in live}
        moments = {number: list(live[: place + 1]) for place, number in enumerate(live)}
        return Talk(name, pairs, list(live), [], max(live, default=0), moments, {}, heard)

    def renumbered(self, name: str) -> Talk:
        """Another session with the same history, numbered anew."""
        new = {old: number for number, old in enumerate(self.live, 1)}
        pairs = {new[old]: self.pairs[old] for old in self.live}
        heard = {new[old]: self.heard[old] for old in self.live}
        moments = {number: list(range(1, number + 1)) for number in pairs}
        return Talk(name, pairs, list(pairs), [], len(pairs), moments, {}, heard)


# The two against each other

FAULTS = st.builds(
    Fault,
    at=st.integers(1, 26),
    how=st.sampled_from(["kill-before", "kill-after", "kill-half", "error"]),
    number=st.sampled_from([errno.ENOSPC, errno.EIO]),
    lasting=st.sampled_from(["", "all"]),
)
SELDOM = st.one_of(st.none(), st.none(), FAULTS)
KEYS = st.sampled_from(["a", "b", "c"])


class Commands(RuleBasedStateMachine):
    """One session and its model, and what is done to both."""

    counts: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        """Start with a new session."""
        self.counts["examples"] += 1
        self.wire = Wire()
        self.desk = Desk(self.wire)
        self.talk = Talk("s1")
        self.made = 1
        self.said = 0
        assert self.desk("new", "-s", "s1").status == 0

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "desk"):
            self.desk.close()

    # Helpers

    @property
    def path(self) -> Path:
        """The session's file."""
        return self.desk.sessions / f"{self.talk.name}.jsonl"

    def run(self, *args: str, fault: Fault | None = None) -> Ran:
        """Run a command on the session."""
        self.counts["commands"] += 1
        self.wire.requests.clear()
        return self.desk(args[0], "-s", self.talk.name, *args[1:], fault=fault)

    def records(self) -> list[str]:
        """The kinds of the whole records in the file."""
        lines = self.path.read_bytes().split(b"\n")
        kinds = [json.loads(line)["kind"] for line in lines[:-1] if _whole(line)]
        return kinds + ([json.loads(lines[-1])["kind"]] if _whole(lines[-1]) else [])

    def message(self) -> str:
        """A message that was not sent before."""
        self.said += 1
        return f"message {self.said}"

    def next_name(self) -> str:
        """A name for another session."""
        self.made += 1
        return f"s{self.made}"

    def send(self, message: str, key: str | None, outcome: Outcome, stream: bool, fault: Fault | None = None) -> Ran:
        """Send a message; the request, if there is one, carries the history."""
        self.wire.outcome = outcome
        options = ["--once", key] if key else []
        options += ["--stream"] if stream else []
        ran = self.run("send", "-n", "--retries", "0", *options, message, fault=fault)
        assert self.wire.requests in ([], [[*self.talk.history, user(message)]])
        return ran

    # Rules

    @rule(outcome=st.sampled_from(OUTCOMES) | st.sampled_from(ANSWERS), stream=st.booleans())
    def sent(self, outcome: Outcome, stream: bool) -> None:
        """A message, and whatever becomes of it."""
        self.exchange(self.message(), None, outcome, stream)

    @precondition(lambda self: not self.talk.waits)
    @rule(count=st.integers(1, 3))
    def chatted(self, count: int) -> None:
        """Some plain turns, so that there is something to take away."""
        for _ in range(count):
            self.exchange(self.message(), None, OUTCOMES[0], stream=False)

    @rule(key=KEYS, outcome=st.sampled_from(OUTCOMES), stream=st.booleans())
    def sent_under_a_key(self, key: str, outcome: Outcome, stream: bool) -> None:
        """A message that may have been sent before: what was answered is printed again, and what is in doubt is 13."""
        past = self.talk.recalled(key)
        if past is None:
            self.exchange(f"key {key}", key, outcome, stream)
            return
        self.counts["recalled"] += 1
        before = self.path.read_bytes()
        ran = self.send(f"key {key}", key, outcome, stream)
        assert self.wire.requests == []
        assert self.path.read_bytes() == before or not before.endswith(b"\n")  # a torn tail is mended
        if past.state == "doubt":
            assert ran.status == IN_DOUBT
        else:
            assert (ran.document["turn"], ran.document["sent"]) == (past.turn, False)
            assert (ran.status == BLOCKED) == (past.state == "refused")

    @precondition(lambda self: not self.talk.waits)
    @rule(key=KEYS)
    def taken_back_and_sent_again(self, key: str) -> None:
        """An answer that was taken out of the history does not keep its message from being sent again."""
        for _ in range(2):
            if self.talk.recalled(key) is None:
                self.exchange(f"key {key}", key, OUTCOMES[0], stream=False)
                assert self.changed("rewind", "-n", "1", fault=None)
                self.talk.rewind(1)

    def exchange(self, message: str, key: str | None, outcome: Outcome, stream: bool) -> None:
        """Send what was not sent before, undisturbed."""
        before = self.records()
        ran = self.send(message, key, outcome, stream)
        if self.talk.waits:
            assert (ran.status, self.wire.requests) == (DATA, [])
            assert self.records() == before
            return
        assert ran.status == outcome.status, ran
        assert len(self.wire.requests) == (outcome.name != "unreachable")
        assert self.records() == [*before, "request", outcome.kind]
        number = self.talk.asked(message, key, outcome)
        assert (ran.saved is True) == (outcome.kind == "response")
        if ran.saved:
            assert ran.document["turn"] == number
            assert ran.document["totals"]["turns"] == len(self.talk.live)
        self.counts[outcome.name] += 1

    @precondition(lambda self: not self.talk.waits)
    @rule(outcome=st.sampled_from(OUTCOMES), key=st.none() | KEYS, stream=st.booleans(), fault=FAULTS)
    def struck(self, outcome: Outcome, key: str | None, stream: bool, fault: Fault) -> None:
        """A message during which the program is killed, or a system call fails.

        The request is on the disk before the model is asked; an answer is there if it was printed as saved; and if
        the program lived, an answer that came was printed. Nothing else than its own records is new.
        """
        if key and self.talk.recalled(key):
            return
        before = self.records()
        message = f"key {key}" if key else self.message()
        ran = self.send(message, key, outcome, stream, fault)
        new = self.records()[len(before) :]
        assert self.records()[: len(before)] == before
        assert new in ([], ["request"], ["request", outcome.kind]), new
        if self.wire.requests:
            assert new, "the model was asked what is not on the disk"
            if outcome.kind == "response" and not ran.killed:
                assert ran.saved is not None, f"an answer that came was not printed: {ran}"
        whole = len(new) == 2
        if ran.saved or (not ran.killed and ran.status == outcome.status and outcome.kind == "response"):
            assert whole, f"what was printed as saved is not there: {ran}"
        if ran.saved is False:
            assert ran.status == IO
        if new:
            self.talk.asked(message, key, outcome if whole else None)
        self.counts["killed" if ran.killed else "failed"] += fault.at <= ran.calls

    @precondition(lambda self: not self.talk.waits)
    @rule(outcome=st.sampled_from(ANSWERS))
    def edited(self, outcome: Outcome) -> None:
        """An editor replaces the file during the call: it is left alone, and a whole session stands beside it."""
        message = self.message()
        kept = set(self.desk.sessions.glob("*.lost-*"))

        def replace_file() -> None:
            draft = self.path.with_name("draft~")
            draft.write_bytes(self.path.read_bytes())
            draft.replace(self.path)

        self.wire.meddle = replace_file
        ran = self.send(message, None, outcome, stream=False)
        self.wire.meddle = None
        assert (ran.status, ran.saved) == (IO, False)
        (lost,) = set(self.desk.sessions.glob("*.lost-*")) - kept
        assert read_session(lost).history == [*self.talk.history, user(message), outcome.content]
        self.talk.asked(message, None, None)
        self.counts["edited"] += 1

    @precondition(lambda self: self.talk.live)
    @rule(data=st.data(), to=st.booleans(), fault=SELDOM)
    def rewind(self, data: st.DataObject, to: bool, fault: Fault | None) -> None:
        """The last turns out of the history, by count or by the turn that is to be the last; or too many."""
        live = self.talk.live
        count = data.draw(st.integers(0 if to else 1, len(live) + (not to)))
        if to:
            ran = self.changed("rewind", "--to", str([0, *live][len(live) - count]), fault=fault, nothing=count == 0)
        else:
            ran = self.changed("rewind", "-n", str(count), fault=fault, impossible=count > len(live))
        if ran:
            taken = self.talk.rewind(count)
            assert ran.killed or [turn["turn"] for turn in ran.document["rewound"]] == taken

    @rule()
    def undone_or_not(self) -> None:
        """The newest rewind taken back, if there is one; otherwise it is 65."""
        self.undo(None)

    @precondition(lambda self: self.talk.taken)
    @rule(fault=SELDOM)
    def undone(self, fault: Fault | None) -> None:
        """The newest rewind taken back, when there is one."""
        self.undo(fault)

    def undo(self, fault: Fault | None) -> None:
        """Take the newest rewind back."""
        ran = self.changed("undo", "--undo", fault=fault, impossible=not self.talk.taken)
        if ran:
            taken = self.talk.undo()
            assert ran.killed or [turn["turn"] for turn in ran.document["restored"]] == taken

    def changed(
        self, kind: str, *args: str, fault: Fault | None, impossible: bool = False, nothing: bool = False
    ) -> Ran | None:
        """Run a rewind; what it did, if it did something. What fails or cannot be done leaves no record."""
        before = self.records()
        ran = self.run("rewind", *args, fault=fault)
        new = self.records()[len(before) :]
        if impossible or nothing:
            assert new == []
            assert fault or ran.status == (DATA if impossible else 0)
            return None
        assert new in ([], [kind])
        if not ran.killed and ran.status == 0:
            assert new == [kind]
        assert fault or ran.status == 0
        self.counts[kind] += len(new)
        # With an error that lasts, the record cannot even be cut back: it is there, although it was not printed.
        return replace(ran, killed=ran.killed or ran.status != 0) if new else None

    @rule(data=st.data(), stay=st.booleans(), fault=SELDOM)
    def forked(self, data: st.DataObject, stay: bool, fault: Fault | None) -> None:
        """The history, as it is or as it was after some turn, in a new session that is whole or not there."""
        at = data.draw(st.none() | st.sampled_from([0, *self.talk.moments]))
        name = self.next_name()
        live = self.talk.live if at is None else self.talk.moments.get(at, [])
        options = [] if at is None else ["--at", str(at)]
        self.begun(self.talk.fork(name, live), ["--from", self.talk.name, *options], fault, stay)

    @precondition(lambda self: self.talk.live)
    @rule(stay=st.booleans(), fault=SELDOM)
    def imported(self, stay: bool, fault: Fault | None) -> None:
        """The exported history in a new session, numbered anew. An empty one is refused."""
        file = self.desk.directory / "contents.json"
        file.write_text(self.run("export", "contents").out)
        self.begun(self.talk.renumbered(self.next_name()), ["--history", str(file)], fault, stay)

    def begun(self, talk: Talk, options: list[str], fault: Fault | None, stay: bool) -> None:
        """Make a session; go on with it, if it is there, or stay with the old one."""
        before = self.path.read_bytes()
        self.counts["commands"] += 1
        ran = self.desk("new", "-s", talk.name, *options, fault=fault)
        assert self.path.read_bytes() == before, "the source is left alone"
        made = (self.desk.sessions / f"{talk.name}.jsonl").exists()
        assert fault or ran.status == 0, ran
        assert made or ran.killed or ran.status != 0
        if made:
            assert read_session(self.desk.sessions / f"{talk.name}.jsonl").history == talk.history
            self.talk = self.talk if stay else talk
            self.counts["begun"] += 1

    @rule()
    def reload(self) -> None:
        """What the reading commands print is what the model knows."""
        printed = [json.loads(line) for line in self.run("history", "--contents").out.splitlines()]
        assert printed == self.talk.history
        assert self.run("export", "contents").document == self.talk.history
        checked = self.run("history", "--check")
        assert (checked.status, checked.document["turns"]) == (0, len(self.talk.live))
        everything = [json.loads(line) for line in self.run("history", "--all").out.splitlines()]
        assert [turn["turn"] for turn in everything] == list(self.talk.moments)

    @invariant()
    def holds(self) -> None:
        """The session loads, is valid, and holds what the model says, and what the SDK's chat would have kept."""
        journal = read_session(self.path)
        assert journal.history == self.talk.history
        assert [turn.number for turn in journal.live] == self.talk.live
        assert journal.last_number == self.talk.last
        assert journal.undoable == (self.talk.taken[-1] if self.talk.taken else [])
        assert self.talk.curated == journal.history


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def run_machine(examples: int, steps: int, *, always_the_same: bool = False) -> None:
    """Run the machine; fails with the shortest list of commands that breaks something."""
    run_state_machine_as_test(
        Commands,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=always_the_same,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_commands_do_what_the_model_says() -> None:
    """Any commands, faults and kills in any order leave the session that a list of pairs predicts."""
    Commands.counts.clear()
    run_machine(40, 25, always_the_same=True)
    assert min(Commands.counts[what] for what in ("killed", "failed", "edited", "recalled", "undo", "begun")) > 0


@pytest.mark.torture
def test_commands_do_what_the_model_says_for_long(budget: float, figures: Callable[..., None]) -> None:
    """The same, 50 steps long, until the time is over; 20,000 examples at most."""
    Commands.counts.clear()
    begun = time.monotonic()
    while (took := time.monotonic() - begun) < budget and Commands.counts["examples"] < 20_000:
        run_machine(50, 50)
    rate = round(Commands.counts["commands"] / took)
    figures("commands", **dict(Commands.counts), per_second=rate, broken=0)


STRUCK = [operation for operation in OPERATIONS if operation.name in ("send", "send-torn", "rewind", "new-force")]


@pytest.mark.parametrize("operation", STRUCK, ids=lambda operation: operation.name)
def test_a_simulated_kill_leaves_what_a_kill_leaves(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call the exception strikes at, before, after or half way, the files are those that SIGKILL leaves."""
    world = World(operation, runner, model, tmp_path)
    monkeypatch.chdir(world.directory)
    chance = random.Random(operation.name)
    faults = kills(world.calls)
    for fault in chance.sample(faults, 8):
        assert world.run(fault).status == -9
        expected = world.state()
        world.restore()
        os.chdir(world.directory)
        fs = Struck(fault)
        main(operation.args, world.env, fs=fs)
        assert fs.dead
        assert world.state() == expected, fault
