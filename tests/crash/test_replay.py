"""Scripted conversations, killed, stopped and failed at every step: each message is sent once, in its order.

What may be sent a second time is what is in doubt, and only when that is allowed; so the requests that the model
got are counted, message by message.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gemcli.chat.contents import function_responses
from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import IN_DOUBT, PENDING
from tests.builders import answer, call
from tests.crash.faults import Fault
from tests.crash.harness import CHANGING, Ran, Runner, Sandbox, Seen, failures, kills, kills_to_try
from tests.support import LONG, Model, read_session

IO, DOUBT = 74, 13
RESEND = ("--on-unknown", "resend")
MESSAGES = ("My name is Alice", "Explain what a monad is", "What was my name?")


FUNCTIONS = {
    "tools": [{"name": "look"}, {"name": "find"}],
    "tool_results": [{"name": "look", "result": 1}, {"name": "find", "result": 2}],
    "turns": MESSAGES,
}
"""The same messages; on the way to its second answer the model calls functions, twice."""

CALLS = {MESSAGES[1]: ("look", "find"), "look, find": ("find",)}
"""What the model calls, by what it was asked."""


def said(content: Any) -> str:
    """What a user Content says: its text, or the functions that it brings the results of."""
    names = [one["name"] for one in function_responses(content)]
    return ", ".join(names) or str(content["parts"][0]["text"])


class Watched(Model):
    """A model that also tells when it has answered a request: `afterwards` gets its number, from 1."""

    afterwards: Callable[[int], None] | None = None

    def settle(self) -> None:
        """Return when everything that was sent so far has been taken, also from clients that are dead by now."""
        with socket.create_connection(
            ("127.0.0.1", self._server.server_port)
        ) as last:  # connections are accepted in their order
            last.sendall(b"POST / HTTP/1.1\r\nContent-Length: none\r\n\r\n")
            assert b" 411 " in last.recv(100)
        while self._server._connections:
            time.sleep(0.001)

    def _answer(self, *request: Any) -> Any:
        reply = super()._answer(*request)
        number = len(self.requests)
        if not self.afterwards:
            return reply
        # The mount sends the steps one after the other, so the last one comes when the answer is out.
        return reply._replace(steps=_Told(reply.steps, lambda: self.afterwards and self.afterwards(number)))


class _Told(tuple[Any, ...]):
    """Steps of a reply, with something to do when they are done."""

    _done: Callable[[], object]

    def __new__(cls, steps: Sequence[Any], done: Callable[[], object]) -> _Told:
        told = super().__new__(cls, steps)
        told._done = done
        return told

    def __iter__(self) -> Any:
        yield from super().__iter__()
        self._done()


class ReplayWorld(Sandbox):
    """A directory in which conversations are played, again and again from the same start.

    `conversations` are the messages of each session, by its name; `replay` is the command line that plays them.
    """

    model: Watched

    def __init__(
        self, runner: Runner, model: Watched, directory: Path, conversations: Mapping[str, Sequence[str]], *replay: str
    ) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(runner, model, directory, "out")
        self._start.mkdir()
        self.conversations = conversations
        self.replay = ("replay", *replay)

    @classmethod
    def of_three(cls, runner: Runner, model: Watched, directory: Path) -> ReplayWorld:
        """One conversation of three messages, which makes its session `out/s.jsonl`."""
        world = cls(runner, model, directory, {"s": MESSAGES}, "script.json", "-s", "out/s.jsonl")
        world.add("script.json", json.dumps(MESSAGES))
        (world._start / "out").mkdir()
        return world

    @classmethod
    def of_suite(cls, runner: Runner, model: Watched, directory: Path, size: int) -> ReplayWorld:
        """A suite of two-turn conversations in the shape of MT-Bench, each a session in `out`."""
        lines, conversations = [], {}
        for number in range(81, 81 + size):
            spoken = (f"Question {number}: describe it.\nIn two lines.", f"Now {number} again, without the letter e.")
            lines.append(json.dumps({"question_id": number, "category": "writing", "turns": spoken}))
            conversations[str(number)] = spoken
        world = cls(runner, model, directory, conversations, "suite.jsonl", "--out", "out")
        world.add("suite.jsonl", "".join(f"{line}\n" for line in lines))
        return world

    def add(self, name: str, text: str) -> None:
        """Put a file into the start."""
        (self._start / name).write_text(text)

    def play(self, *more: str, fault: Fault | None = None, kill_after: float | None = None) -> Ran:
        """Play the script from where things are now."""
        return self.command(*self.replay, *more, fault=fault, kill_after=kill_after)

    def command(self, *args: str, fault: Fault | None = None, kill_after: float | None = None) -> Ran:
        """Run any command here, until the model has taken all that it sent."""
        ran = super().command(*args, fault=fault, kill_after=kill_after)
        self.model.settle()
        return ran

    def journal(self, name: str) -> Journal | None:
        """A session as a reader sees it, `None` if there is none. Its turn order is checked."""
        path = self.sessions / f"{name}.jsonl"
        return read_session(path) if path.exists() else None

    def journals(self) -> dict[str, Journal]:
        """The sessions that are there, by name."""
        found = {name: self.journal(name) for name in self.conversations}
        return {name: journal for name, journal in found.items() if journal}

    def asked(self) -> Counter[str]:
        """How often the model was asked each message."""
        return Counter(said(request["contents"][-1]) for request in self.model.requests)

    def answered(self) -> set[str]:
        """The messages whose answers are in the histories."""
        return {said(one) for journal in self.journals().values() for one in journal.history[::2]}

    @property
    def everything(self) -> Counter[str]:
        """Every message once."""
        return Counter(text for spoken in self.conversations.values() for text in spoken)

    def in_doubt(self) -> set[str]:
        """The messages of which nobody knows whether they were answered, for their newest request says so."""
        newest = {
            said(one.request["content"]): one for journal in self.journals().values() for one in journal.exchanges
        }
        return {text for text, one in newest.items() if one.state in (PENDING, IN_DOUBT)}

    def verify(self, ran: Ran) -> None:
        """What holds after anything: what was sent was written down, what was printed is there, all in order."""
        written: list[Any] = []
        for name, journal in self.journals().items():
            heard = [said(one) for one in journal.history[::2]]
            assert heard == list(self.conversations[name][: len(heard)]), f"the order is broken: {ran}"
            written += [one.request["content"] for one in journal.exchanges]
        for request in self.model.requests:
            assert request["contents"][-1] in written, f"the model was asked something that is not on the disk: {ran}"
        answered = self.answered()
        for event in ran.events:
            if event.get("event") == "turn" and event["text"] is not None and event["saved"]:
                assert event["user"] in answered, f"what was printed is not there: {ran}"
        # Whatever was sent is answered, or in doubt, or was printed as not saved: nothing is forgotten.
        assert set(self.asked()) <= answered | self.in_doubt(), ran

    def step(self, *more: str, fault: Fault | None = None, kill_after: float | None = None) -> Ran:
        """Play the script once more. What was answered is not sent again, nor, without RESEND, what is in doubt."""
        answered, doubtful, before = self.answered(), self.in_doubt(), self.asked()
        ran = self.play(*more, fault=fault, kill_after=kill_after)
        self.verify(ran)
        new = self.asked() - before
        assert max(new.values(), default=1) == 1, f"sent twice in one run: {ran}"
        assert not answered & set(new), f"sent although it was answered: {ran}"
        assert more or not doubtful & set(new), f"sent although it is in doubt: {ran}"
        assert answered <= self.answered(), f"an answer is gone: {ran}"
        return ran

    def torn(self) -> bool:
        """Whether the session `s` ends in the middle of a line."""
        path = self.sessions / "s.jsonl"
        return path.exists() and not path.read_bytes().endswith(b"\n")

    def finish(self) -> None:
        """Go on until all is done: what is in doubt stops its conversation (13), and is sent again when allowed.

        That makes one more request for each message that was not answered, and none for the others.
        """
        answered, doubtful, before = self.answered(), self.in_doubt(), self.asked()
        plain = self.step()
        assert plain.status == (DOUBT if doubtful else 0), plain
        self.verify_doubt(plain, doubtful)
        if doubtful:
            assert self.step(*RESEND).status == 0
        assert self.asked() == before + (self.everything - Counter(answered))
        self.verify_done()

    def verify_doubt(self, ran: Ran, doubtful: set[str]) -> None:
        """What is in doubt was told, and nothing else as if it were."""
        assert {event["user"] for event in ran.events if event.get("status") == "in_doubt"} == doubtful
        assert summary(ran)["turns"]["in_doubt"] == len(doubtful)

    def verify_done(self) -> None:
        """Every conversation is there, each request carried the history before it, and one more run sends nothing."""
        histories = {}
        for name, spoken in self.conversations.items():
            journal = self.journal(name)
            assert journal
            histories[name] = journal.history
            assert [said(one) for one in journal.history[::2]] == list(spoken)
        for request in self.model.requests:
            length = len(request["contents"])
            assert any(history[:length] == request["contents"] for history in histories.values())
        requests = len(self.model.requests)
        again = self.play()
        assert (again.status, len(self.model.requests)) == (0, requests), again
        assert all(event["sent"] is False for event in again.events if "sent" in event), again
        strays = [name for name in os.listdir(self.sessions) if not re.fullmatch(KNOWN, name)]
        assert strays == []


class WithFunctions(ReplayWorld):
    """The conversation with functions: the results of calls are messages like the others."""

    @classmethod
    def of_three(cls, runner: Runner, model: Watched, directory: Path) -> ReplayWorld:
        """The script, which makes its session `out/s.jsonl`."""
        spoken = [*MESSAGES[:2], "look, find", "find", MESSAGES[2]]
        world = cls(runner, model, directory, {"s": spoken}, "script.json", "-s", "out/s.jsonl")
        world.add("script.json", json.dumps(FUNCTIONS))
        (world._start / "out").mkdir()
        return world

    def verify_doubt(self, ran: Ran, doubtful: set[str]) -> None:
        """The turn is told, whatever in it is in doubt."""
        assert summary(ran)["turns"]["in_doubt"] == len(doubtful)


class Calling(Watched):
    """A model that calls functions."""

    def _answer(self, *request: Any) -> Any:
        calls = CALLS.get(said(json.loads(request[3])["contents"][-1]), ()) if request[3] else ()
        if calls:
            self.script(answer(*(call(name, id=f"c{place}") for place, name in enumerate(calls))))
        return super()._answer(*request)


class KeyedLoop(ReplayWorld):
    """The same conversation as a loop in a shell: `send --once` for each message, until one fails."""

    def play(self, *more: str, fault: Fault | None = None, kill_after: float | None = None) -> Ran:
        """Run the loop; a fault strikes at a call counted over all of its commands."""
        calls: list[str] = []
        out = ""
        for number, message in enumerate(MESSAGES):
            struck = fault and Fault(max(0, fault.at - len(calls)), fault.how)
            key = ("send", "-n", "-s", "out/s.jsonl", "--create", "--once", f"line {number}")
            ran = self.command(*key, *more, "--", message, fault=struck, kill_after=kill_after)
            calls += ran.calls
            out += ran.out
            if ran.status:
                break
        return Ran(ran.status, calls, False, out, ran.err)

    def verify_doubt(self, ran: Ran, doubtful: set[str]) -> None:
        """What is in doubt ended the loop, with a word on how to send it again."""
        assert ("--on-unknown resend" in ran.err) == bool(doubtful), ran


KNOWN = r"[a-z0-9]+\.jsonl(\.(torn|lost)-[0-9]+)?|\.[a-z0-9]+\.jsonl\.new-[0-9a-f]+"
"""Names that may stand in the directory of the sessions."""


def summary(ran: Ran) -> Any:
    """The last event, which must be the summary, with the status that the program ended with."""
    last = ran.events[-1]
    assert last["event"] == "summary", ran
    assert last["exit"] == ran.status, ran
    return last


def striking(world: ReplayWorld, numbers: Sequence[int], *, late: bool = False) -> None:
    """Kill the run when the model has got these requests, counted from 1; `late` is after they were answered."""

    def strike(number: int) -> None:
        if number in numbers:
            world.runner.strike(signal.SIGKILL)

    if late:
        world.model.afterwards = strike
    else:
        world.model.during = strike


@pytest.fixture
def model() -> Iterator[Watched]:
    """A model that tells of its requests, on loopback."""
    with Watched() as running:
        yield running


@pytest.fixture
def world(runner: Runner, model: Watched, tmp_path: Path) -> ReplayWorld:
    """One conversation of three messages, at its start."""
    made = ReplayWorld.of_three(runner, model, tmp_path)
    made.restore()
    return made


@pytest.fixture
def calls(world: ReplayWorld) -> list[str]:
    """The system calls of an undisturbed run."""
    made = world.play().calls
    world.restore()
    return made


def strike_everywhere(world: ReplayWorld, faults: Iterable[Fault], check: Callable[[Ran, Fault], object]) -> None:
    """Play with each fault, check the run, and go on from every state that is left, until all is done."""
    left = Seen()
    for fault in faults:
        world.restore()
        check(world.step(fault=fault), fault)
        if left.first(sorted(world.asked()), state=world.state()):
            world.finish()


def killed(ran: Ran, fault: Fault) -> None:
    """The fault has killed the program."""
    assert ran.status == -signal.SIGKILL, fault


def test_a_kill_at_any_call_sends_nothing_twice(world: ReplayWorld, calls: list[str]) -> None:
    """Killed at any call of the file system, a run of three turns is gone on with, each message sent as it may be."""
    strike_everywhere(world, kills_to_try(calls), killed)
    assert calls.count("write") >= 7, "the session and three times request and response"


@pytest.mark.parametrize("late", [False, True], ids=["before the answer", "after the answer"])
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_kill_in_the_request_is_in_doubt(turn: int, late: bool, world: ReplayWorld, model: Watched) -> None:
    """Killed while the model has the request, a turn is in doubt (13), also when asked again and again; then resent."""
    striking(world, [turn], late=late)
    ran = world.play()
    assert ran.status == -signal.SIGKILL
    world.verify(ran)
    assert world.asked() == Counter(MESSAGES[:turn])
    if not late:
        assert world.in_doubt() == {MESSAGES[turn - 1]}
        for _ in range(2):
            again = world.step()
            assert (again.status, summary(again)["turns"]["in_doubt"]) == (DOUBT, 1)
            assert "--on-unknown resend" in summary(again)["next"]
        assert len(model.requests) == turn
    doubtful = world.in_doubt()
    world.finish()
    assert world.asked() == Counter(MESSAGES) + Counter(doubtful)


def test_each_resend_is_one_request(world: ReplayWorld) -> None:
    """Killed in the resend too, a message is in doubt again, and sent once more for each time that it is allowed."""
    striking(world, [2, 3, 4])
    for number, more in enumerate([(), RESEND, RESEND]):
        assert world.play(*more).status == -signal.SIGKILL
        assert world.asked()[MESSAGES[1]] == number + 1
        assert world.play().status == DOUBT
    world.finish()
    assert world.asked() == Counter({MESSAGES[0]: 1, MESSAGES[1]: 4, MESSAGES[2]: 1})


@pytest.mark.parametrize("number", [25, pytest.param(100, marks=pytest.mark.torture)])
def test_kills_at_random(number: int, world: ReplayWorld) -> None:
    """Killed at so many random moments, the runs that go on included, every message is sent once.

    And once more, at most, for each time that it was in doubt and that was allowed.
    """
    moments = random.Random(100)
    whole, killed = min(duration(world) for _ in range(3)), Counter[str]()
    while killed.total() < number:
        world.restore()
        allowed, status, runs = Counter[str](), None, 0
        while status != 0:
            runs += 1
            doubtful = world.in_doubt()
            ran = world.step(
                *(RESEND if doubtful else ()), kill_after=moments.uniform(0, whole * 1.5) if runs < 5 else None
            )
            allowed += Counter(doubtful)
            status = ran.status
            assert status in (0, -signal.SIGKILL), ran
            if status:
                killed["in doubt" if world.in_doubt() else f"{len(world.answered())} answered"] += 1
        extra = world.asked() - Counter(MESSAGES)
        assert extra <= allowed
        assert set(world.asked()) == set(MESSAGES)
        world.verify_done()
    assert len(killed) >= 2, killed  # on a busy machine most moments fall into a request


def test_a_loop_over_keys_killed_at_any_call_sends_nothing_twice(
    runner: Runner, model: Watched, tmp_path: Path
) -> None:
    """`send --once` in a loop, killed at any call and run again: each message is answered once, in order."""
    world = KeyedLoop.of_three(runner, model, tmp_path)
    world.restore()
    calls = world.play().calls
    # Killed after a call is killed before the next one, and only some calls change what is on the disk.
    points = [fault for fault in kills(calls) if fault.how != "kill-after" and calls[fault.at - 1] in CHANGING]
    writes = [at for at, call in enumerate(calls, 1) if call == "write"]
    assert len(writes) == 7
    # The third message goes the way of the second.
    strike_everywhere(world, [fault for fault in points if LONG or fault.at <= writes[5]], killed)


def test_a_kill_within_a_turn_sends_nothing_twice(runner: Runner, tmp_path: Path) -> None:
    """Killed before any record of a turn with functions, or in a request, it is gone on with from there."""
    with Calling() as model:
        world = WithFunctions.of_three(runner, model, tmp_path)
        world.restore()
        calls = world.play().calls
        writes = [fault for fault in kills(calls) if fault.how == "kill-before" and calls[fault.at - 1] == "write"]
        assert len(writes) == calls.count("write") == 11
        strike_everywhere(world, writes[3:9], killed)
        for number in (2, 3, 4):  # while the model has a request, and again in what goes on
            world.restore()
            striking(world, [number, number + 1])
            assert world.play().status == -signal.SIGKILL
            model.during = None
            world.finish()


def duration(world: ReplayWorld) -> float:
    """Seconds that an undisturbed run takes."""
    world.restore()
    begun = time.monotonic()
    assert world.play().status == 0
    return time.monotonic() - begun


@pytest.mark.torture
def test_a_second_kill_at_any_call_sends_nothing_twice(
    world: ReplayWorld, calls: list[str], model: Watched, tmp_path: Path
) -> None:
    """Killed again at any call of the run that goes on, with RESEND where it is in doubt, the next one still can."""
    left, ends, trials = Seen(), Seen(), 0
    for number, fault in enumerate(kills(calls)):
        world.restore()
        world.step(fault=fault)
        asked = sorted(world.asked())
        if not left.first(asked, state=world.state()):
            continue
        world.keep(kept := tmp_path / f"left-{number}")
        requests = list(model.requests)
        more = RESEND if world.in_doubt() else ()
        calls = world.play(*more).calls
        for second in kills(calls):
            if calls[second.at - 1] not in CHANGING or second.how == "kill-after":
                continue
            world.restore(kept)
            model.requests[:] = requests
            assert world.step(*more, fault=second).status == -signal.SIGKILL
            trials += 1
            if ends.first(sorted(world.asked().items()), state=world.state()):
                world.finish()
    assert trials > 100, trials


@pytest.mark.parametrize("number", [
    signal.SIGTERM,
    pytest.param(signal.SIGINT, marks=pytest.mark.torture),
    pytest.param(signal.SIGHUP, marks=pytest.mark.torture),
], ids=lambda number: number.name)  # fmt: skip
def test_a_signal_at_any_call_leaves_nothing_in_doubt(
    number: signal.Signals, world: ReplayWorld, calls: list[str]
) -> None:
    """Stopped at any call, also between the halves of a write: 128+n, a summary, nothing in doubt, and no torn line.

    The next run sends the rest, and only that.
    """
    faults = [Fault(at, "signal-before", number) for at in range(1, len(calls) + 1)]
    faults += [Fault(at, "signal-half", number) for at, call in enumerate(calls, 1) if call == "write"]

    def stopped(ran: Ran, fault: Fault) -> None:
        where = f"{fault} ({calls[fault.at - 1]}): {ran}"
        assert ran.status == 128 + number, where
        assert not ran.events or summary(ran)["reason"] == "INTERRUPTED", where
        assert world.in_doubt() == set(), where
        assert not world.torn(), where

    strike_everywhere(world, faults, stopped)


SOME = (errno.ENOSPC, errno.EIO)
EVERY = (*SOME, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EMFILE)


@pytest.mark.parametrize(("lasting", "numbers"), [
    pytest.param("", SOME, id="once"),
    pytest.param("", EVERY, id="once-every-number", marks=pytest.mark.torture),
    pytest.param("kind", SOME, id="its-kind", marks=pytest.mark.torture),
    pytest.param("all", SOME, id="everything", marks=pytest.mark.torture),
])  # fmt: skip
def test_a_call_that_fails_stops_the_run(
    lasting: str, numbers: tuple[int, ...], world: ReplayWorld, calls: list[str]
) -> None:
    """A failing call is 74, and nothing more is sent, or it does not matter; what was paid is stored or printed."""
    unsaved = Counter[bool]()
    strike_everywhere(
        world,
        failures(calls, lasting, numbers),
        lambda ran, fault: unsaved.update([verify_failed(world, ran, fault)]),
    )
    assert unsaved[True] >= 3 * len(numbers), "each of three answers could not be written"


def test_an_answer_that_cannot_be_saved_stops_the_suite(runner: Runner, model: Watched, tmp_path: Path) -> None:
    """A write or fsync that fails ends the whole suite with 74, not only the conversation; the next run goes on."""
    world, unsaved = ReplayWorld.of_suite(runner, model, tmp_path, 2), 0
    world.restore()
    for at, one in enumerate(world.play().calls, 1):
        if one in ("write", "fsync"):
            world.restore()
            fault = Fault(at, "error", errno.EIO)
            ran = world.step(fault=fault)
            unsaved += verify_failed(world, ran, fault)
            asked = list(world.asked())
            assert asked == list(world.everything)[: len(asked)], f"it went on with another conversation: {ran}"
            world.finish()
    assert unsaved == 2 * 4, "each of four answers could not be written, or not be synced"


def verify_failed(world: ReplayWorld, ran: Ran, fault: Fault) -> bool:
    """What holds after a failed call; whether an answer was printed that is not saved."""
    where = f"{fault}: {ran}"
    assert ran.status in (0, IO), where
    events = [event for event in ran.events if event["event"] == "turn" and event["sent"]]
    # Every request that was made is told of, with its answer; at most the last one is not saved, which is 74.
    assert [event["user"] for event in events] == [request["contents"][-1]["parts"][0]["text"]
                                                   for request in world.model.requests], where  # fmt: skip
    assert all(event["text"] for event in events), where
    saved = [event["saved"] for event in events]
    assert False not in saved[:-1], where
    if ran.status == 0:
        assert saved == [True] * world.everything.total(), where
        return False
    assert "gemcli: error: " in ran.err, where
    # The real one gives back what it was given rather than fail, so nothing need be told when it does.
    assert not ran.events or ran.calls[-1] == "realpath" or summary(ran)["exit"] == IO, where
    # A copy of the session is for an answer that could not go into it.
    assert not any(world.sessions.glob("*.lost-*")) or False in saved, where
    return False in saved


def test_a_write_cut_short_by_a_full_disk_is_taken_back(world: ReplayWorld, calls: list[str]) -> None:
    """A disk that is full after half a record leaves no torn line, and the run stops; the next one goes on."""
    faults = [Fault(at, "error-half", errno.ENOSPC) for at, call in enumerate(calls, 1) if call == "write"]

    def failed(ran: Ran, fault: Fault) -> None:
        assert ran.status == IO, ran
        verify_failed(world, ran, fault)
        assert not world.torn(), ran

    strike_everywhere(world, faults, failed)
    assert len(faults) == 7


def test_a_suite_killed_between_requests_sends_each_message_once(
    runner: Runner, model: Watched, tmp_path: Path
) -> None:
    """A suite of 8 conversations that is killed twice while no request is under way makes exactly 16 requests."""
    suite_killed_twice(ReplayWorld.of_suite(runner, model, tmp_path, 8), random.Random(8))


@pytest.mark.torture
def test_eighty_conversations_killed_between_requests(runner: Runner, model: Watched, tmp_path: Path) -> None:
    """80 two-turn conversations, killed twice while no request is under way: exactly 160 requests."""
    for seed in range(5):
        suite_killed_twice(ReplayWorld.of_suite(runner, model, tmp_path / str(seed), 80), random.Random(seed))


def suite_killed_twice(world: ReplayWorld, moments: random.Random) -> None:
    """Play a suite that is killed twice, before calls at which nothing is sent or in doubt, and to its end."""
    world.restore()
    clean = world.play()
    assert (clean.status, world.asked()) == (0, world.everything)
    assert clean.calls.count("mkdir") == 1
    world.verify_done()
    world.restore()
    for _ in range(2):
        kept = len(world.answered())
        assert world.step(fault=Fault(moments.choice(idle(world)), "kill-before")).status == -signal.SIGKILL
        assert world.in_doubt() == set()
        assert len(world.answered()) >= kept
    assert world.step().status == 0
    assert world.asked() == world.everything
    world.verify_done()


def idle(world: ReplayWorld) -> list[int]:
    """The calls of a run from here before which no request is written down without its answer."""
    requests = list(world.model.requests)
    world.keep(kept := world.directory.with_name("kept"))
    calls = world.play().calls
    world.restore(kept)
    world.model.requests[:] = requests
    shutil.rmtree(kept)
    points, under_way = [], False
    for at, one in enumerate(calls, 1):
        points += [] if under_way else [at]
        # A session is locked before its requests and answers are written, which take turns.
        under_way = one != "flock" and (not under_way if one == "write" else under_way)
    return points


def test_a_suite_killed_in_requests_resends_what_is_in_doubt(runner: Runner, model: Watched, tmp_path: Path) -> None:
    """A suite killed twice in a request plays the other conversations, and ends with 13; allowed, it sends two more."""
    suite_killed_in_requests(ReplayWorld.of_suite(runner, model, tmp_path, 8), (3, 9))


@pytest.mark.torture
@pytest.mark.parametrize("numbers", [(1, 2), (2, 160), (57, 118), (158, 159)])
def test_eighty_conversations_killed_in_requests(
    numbers: tuple[int, int], runner: Runner, model: Watched, tmp_path: Path
) -> None:
    """80 conversations killed twice in a request: 162 requests in all, two of them allowed resends."""
    suite_killed_in_requests(ReplayWorld.of_suite(runner, model, tmp_path, 80), numbers)


def suite_killed_in_requests(world: ReplayWorld, numbers: tuple[int, int]) -> None:
    """Play a suite that is killed in these requests, and to its end."""
    world.restore()
    striking(world, numbers)
    for number in numbers:
        assert world.step().status == -signal.SIGKILL
        assert len(world.model.requests) == number
    assert len(world.in_doubt()) == 2
    world.finish()
    assert len(world.model.requests) == world.everything.total() + 2
