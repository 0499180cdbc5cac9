"""Many writers on one session, with readers, killers and editors among them.

The model notes what each request carried. Afterwards the records are folded once more, by the few lines of `retold`,
and every request must have carried exactly the history that the records before it make.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gemcli.chat.contents import Content
from gemcli.simulator.simulated_api import Reply, json_reply
from tests.builders import answer, contents
from tests.crash.harness import Forking, environment
from tests.crash.swarm import READ
from tests.support import Gemcli, Model, read_session

Command = list[str]

SMALL = (8, 4)
FULL = (64, 50)
SIZES = [pytest.param(*SMALL, id="8x4"), pytest.param(*FULL, id="64x50", marks=pytest.mark.torture)]
"""Writers, and what each sends: in the normal run, and in the long form."""

ROUNDS = 4
"""How often all others may come before a writer's next turn; that the lock goes round makes it about one."""

DATA, NO_INPUT, IO = 65, 66, 74


# Who runs


@dataclass
class Worker:
    """A writer or reader that has ended: `log` has an entry for each command that ended, `out` what it printed."""

    status: int
    killed: bool
    log: list[Any]
    out: list[Any]
    err: str


class Swarm(Forking):
    """Runs many command lines at once; see `tests.crash.swarm`."""

    def __call__(
        self,
        directory: Path,
        env: Mapping[str, str],
        writers: Sequence[list[Command]],
        readers: Sequence[list[Command]] = (),
        *,
        kills: int = 0,
        pause: float = 0.0,
        seconds: float = 1500,
    ) -> list[Worker]:
        """Run all of them in `directory`, and kill so many of the writers; readers pause between two commands."""
        done = self._do(
            {
                "directory": str(directory),
                "env": dict(env),
                "writers": writers,
                "readers": readers,
                "kills": kills,
                "seed": random.random(),
                "pause": pause,
                "seconds": seconds,
            }
        )
        assert not done["late"], "the writers hang"
        return [
            Worker(
                status,
                place in done["killed"],
                _lines(directory / f"log-{place}"),
                _lines(directory / f"out-{place}"),
                (directory / f"err-{place}").read_text(),
            )
            for place, status in enumerate(done["statuses"])
        ]


def _lines(path: Path) -> list[Any]:
    """The documents of the whole lines of a file; a killed writer may have left half a one."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    """One for all tests here, since it takes a second to start."""
    with Swarm("tests.crash.swarm") as running:
        yield running


# What the model saw


def reply_to(message: str) -> str:
    """What the model answers."""
    return f"You said: {message}"


def digest(history: Sequence[Content]) -> str:
    """A fingerprint of some Contents."""
    return hashlib.sha256("".join(map(repr, history)).encode()).hexdigest()


@dataclass
class Ledger(Model):
    """A model that notes of each request its message and a fingerprint of what came before it."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    when_asked: Callable[[str], object] = lambda message: None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        *past, last = json.loads(body)["contents"]
        message, before = last["parts"][0]["text"], digest(past)
        with self.guard:
            self.asked.append((message, before))
            self.when_asked(message)
        return json_reply(answer(reply_to(message)))


# What the records say


@dataclass
class Told:
    """What the records of a session say, folded anew.

    By message: a fingerprint of the history `before` it, the `numbers` of the turns, and those that were `answered`.
    `live` are the turns of the history, oldest first, and `rewinds` and `undos` count those of the same turns.
    """

    before: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)
    live: list[int] = field(default_factory=list)
    rewinds: Counter[tuple[int, ...]] = field(default_factory=Counter)
    undos: Counter[tuple[int, ...]] = field(default_factory=Counter)


def retold(path: Path) -> Told:
    """Fold the records of a session, checking their order on the way."""
    told = Told()
    stack: list[tuple[int, Any]] = [(0, hashlib.sha256())]
    gone: list[list[tuple[int, Any]]] = []
    last = 0
    pending: tuple[str, str, Content] = ("", "", {})
    for record in map(json.loads, path.read_bytes().splitlines()[1:]):
        if record["kind"] == "request":
            message = record["content"]["parts"][0]["text"]
            assert record["turn"] > last, "numbers rise"
            assert message not in told.before, "no message twice"
            last = told.numbers[message] = record["turn"]
            told.before[message] = stack[-1][1].hexdigest()
            pending = record["id"], message, record["content"]
        elif record["kind"] == "response":
            name, message, content = pending
            assert record["request"] == name, "an answer follows its request"
            said = record["answer"]["candidates"][0]["content"]
            assert said["parts"] == [{"text": reply_to(message)}], "each has the answer to its own message"
            chain = stack[-1][1].copy()
            chain.update((repr(content) + repr(said)).encode())
            stack.append((last, chain))
            told.answered[message] = last
            gone.clear()
        elif record["kind"] == "rewind":
            count = len(record["turns"])
            assert record["turns"] == [number for number, _ in stack[1:]][-count:], "the last ones go"
            gone.append(stack[-count:])
            del stack[-count:]
            told.rewinds[tuple(record["turns"])] += 1
        else:
            assert record["kind"] == "undo", record
            assert record["turns"] == [number for number, _ in gone[-1]], "what went last comes back"
            stack += gone.pop()
            told.undos[tuple(record["turns"])] += 1
    told.live = [number for number, _ in stack[1:]]
    return told


def verify(path: Path, ledger: Ledger, workers: Sequence[Worker]) -> Told:
    """What holds whoever was killed: requests carried what was before them, and what was printed is on the disk."""
    told = retold(path)
    assert len({message for message, _ in ledger.asked}) == len(ledger.asked), "nothing is sent twice"
    for message, before in ledger.asked:
        assert told.before[message] == before, f"{message} was sent with another history than the one before it"
    for place, worker in enumerate(workers):
        printed = [document for document in worker.out if isinstance(document, dict)]
        for document in printed:
            if "text" in document:
                message = document["text"].removeprefix(reply_to(""))
                assert document["saved"] is True
                assert told.answered[message] == document["turn"], "what was printed is there"
        own = [number for message, number in told.numbers.items() if message.startswith(f"{place}: ")]
        assert list(told.numbers) == sorted(told.numbers, key=lambda message: told.numbers[message])
        assert own == sorted(own)
        order = [int(message.partition(": ")[2]) for message in told.numbers if message.startswith(f"{place}: ")]
        assert order == sorted(order), f"the messages of writer {place} are out of order"
        for kind, counted in (("rewound", told.rewinds), ("restored", told.undos)):
            changes = Counter(tuple(turn["turn"] for turn in one[kind]) for one in printed if kind in one)
            assert changes <= counted, "a rewind that was printed is there"
    return told


def verify_ended(workers: Sequence[Worker], allowed: Mapping[str, set[int]]) -> None:
    """Nobody failed but who was killed; `allowed` are the statuses of each command, 0 if it is not named."""
    for worker in workers:
        assert worker.status == (-9 if worker.killed else 0), worker.err
        assert "Traceback" not in worker.err
        for entry in worker.log:
            assert entry["status"] in allowed.get(entry["args"][0], {0}), (entry, worker.err)


def longest_wait(workers: Sequence[Worker]) -> float:
    """Seconds that a command waited for the lock at most."""
    return max(float(entry["waited"]) for worker in workers for entry in worker.log)


def longest_gap(told: Told, writers: int) -> int:
    """How many turns there were at most between two of one writer: a lock that goes round lets each other have one."""
    own = [
        [number for message, number in told.numbers.items() if message.startswith(f"{writer}: ")]
        for writer in range(writers)
    ]
    return max(after - before for numbers in own for before, after in pairwise(numbers))


def send(writer: int, number: int) -> Command:
    """The command line of one message, which nobody else sends."""
    return ["send", "-s", "s", f"{writer}: {number}"]


class Place:
    """A directory with a new session `s` in it, and the environment that finds it."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self.directory = directory
        self.path = directory / "home" / "sessions" / "s.jsonl"
        self.env = environment(directory, ledger, directory / "home")
        self.gemcli = Gemcli(directory)
        assert self.gemcli("new", "-s", "s", env=self.env).status == 0
        looking = [["history", "-s", "s"], ["history", "-s", "s", "--check"], [READ, str(self.path)]]
        self.readers = [looking, [["export", "contents", "-s", "s"], [READ, str(self.path)]]]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """The model of these tests."""
    with Ledger() as running:
        yield running


@pytest.mark.parametrize(("writers", "sends"), SIZES)
def test_each_of_many_sends_sees_exactly_those_before_it(
    writers: int, sends: int, swarm: Swarm, ledger: Ledger, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """All sends succeed, in an order that is each writer's own, each sees its predecessors, and readers never fail."""
    place = Place(tmp_path, ledger)
    jobs = [[send(writer, number) for number in range(sends)] for writer in range(writers)]
    pause = 0.1 if (writers, sends) == FULL else 0.002
    workers = swarm(tmp_path, place.env, jobs, place.readers, pause=pause)
    verify_ended(workers, {})
    assert [worker.err for worker in workers] == [""] * len(workers)
    told = verify(place.path, ledger, workers[:writers])
    total = writers * sends
    assert len(ledger.asked) == len(told.answered) == total
    assert told.live == list(range(1, total + 1))
    assert len(read_session(place.path).live) == total
    looks = [[entry["turns"] for entry in worker.log if "turns" in entry] for worker in workers[writers:]]
    assert all(seen == sorted(seen) for seen in looks)
    assert len(set(looks[0])) > 1, "readers ran meanwhile"
    gap = longest_gap(told, writers)
    assert gap <= ROUNDS * writers or total < FULL[0] * FULL[1]
    wait = longest_wait(workers)
    reads = sum(len(worker.log) for worker in workers[writers:])
    waits = {"longest_gap": gap, "longest_wait_s": round(wait, 2)}
    figures(f"senders {writers}x{sends}", turns=total, wrong=0, reads=reads, failed=0, **waits)


def mixed(writer: int, sends: int) -> list[Command]:
    """What one writer does: its sends, and between them rewinds, undos and exports."""
    chance = random.Random(writer)
    others = [
        ["rewind", "-s", "s"],
        ["rewind", "-s", "s", "-n", "2"],
        ["rewind", "-s", "s", "--undo"],
        ["rewind", "-s", "s", "--undo"],
        ["export", "contents", "-s", "s"],
        ["history", "-s", "s", "--check"],
    ]
    jobs: list[Command] = []
    for number in range(sends):
        jobs.append(send(writer, number))
        if chance.random() < 0.4:
            jobs.append(chance.choice(others))
    return jobs


@pytest.mark.parametrize(("writers", "sends"), SIZES)
def test_killed_writers_take_nothing_with_them(
    writers: int, sends: int, swarm: Swarm, ledger: Ledger, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """Half of the writers are killed, and rewinds, undos and exports stand among the sends.

    No other command fails, what was printed is there, each request carried the history of its moment, and readers
    never fail.
    """
    place = Place(tmp_path, ledger)
    jobs = [mixed(writer, sends) for writer in range(writers)]
    pause = 0.1 if (writers, sends) == FULL else 0.002
    workers = swarm(tmp_path, place.env, jobs, place.readers, kills=writers // 2, pause=pause)
    verify_ended(workers, {"rewind": {0, DATA}})
    # What the last one killed has torn is mended by the next writer.
    assert place.gemcli(*send(writers, 0), env=place.env).status == 0
    told = verify(place.path, ledger, workers[:writers])
    spared = [writer for writer in range(writers) if not workers[writer].killed]
    assert {args[3] for writer in spared for args in jobs[writer] if args[0] == "send"} <= told.answered.keys()
    assert [turn.number for turn in read_session(place.path).live] == told.live
    killed = writers - len(spared)
    assert killed > 0
    wait = longest_wait(workers)
    doubt = len(told.before) - len(told.answered)
    changes = {"rewinds": told.rewinds.total(), "undos": told.undos.total()}
    figures(
        f"killed {writers}x{sends}",
        killed=killed,
        answered=len(told.answered),
        in_doubt=doubt,
        live=len(told.live),
        **changes,
        lost=0,
        longest_wait_s=round(wait, 2),
    )


class Editors:
    """Programs that change the session while the model is asked, and what the session must hold after that.

    `history` are the Contents of the session; a change keeps the answer that is under way out of it.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.history: list[Content] = []
        self.sound: dict[str, str] = {}
        self.unsaved: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._committed: list[Content] = []
        self._chance = random.Random(seed)
        self._git("init", "-q")
        self._commit()

    def during(self, message: str) -> None:
        """The model is asked: note what it must have been told, and perhaps change the session under it."""
        self.sound[message] = digest(self.history)
        name = self._chance.choice(["", "", "", "", "commit", "replace", "sed", "checkout"])
        self.counts[name] += 1
        if name == "replace":
            draft = self.path.with_name("draft~")
            draft.write_bytes(self.path.read_bytes())
            draft.replace(self.path)
        elif name == "sed":
            subprocess.run(["sed", "-i", "s/not there//", self.path], check=True)
        elif name == "checkout":
            self._git("checkout", "-q", "--", self.path.name)
            self.history = list(self._committed)
        elif name == "commit":
            self._commit()
        if name in ("", "commit"):
            self.history += contents(message, reply_to(message))
        else:
            self.unsaved.add(message)

    def _commit(self) -> None:
        self._git("add", self.path.name)
        self._git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "x")
        self._committed = list(self.history)

    def _git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.path.parent, check=True, capture_output=True)


EDITED_SIZES = [pytest.param(6, 4, id="6x4"), pytest.param(16, 25, id="16x25", marks=pytest.mark.torture)]


@pytest.mark.parametrize(("writers", "sends"), EDITED_SIZES)
def test_editors_among_many_writers_keep_their_changes(
    writers: int, sends: int, swarm: Swarm, ledger: Ledger, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """An editor, `sed -i` and `git checkout` replace the file under calls.

    Each answer is in the session or in a whole one beside it, as was printed; the session is the editors', and each
    request carried it.
    """
    place = Place(tmp_path, ledger)
    editors = Editors(place.path, seed=writers)
    ledger.when_asked = editors.during
    jobs = [[send(writer, number) for number in range(sends)] for writer in range(writers)]
    workers = swarm(tmp_path, place.env, jobs)
    # A checkout takes the file away for a moment, and makes an empty one that it then fills.
    verify_ended(workers, {"send": {0, IO, DATA, NO_INPUT}})
    assert ledger.asked == list(editors.sound.items()), "each request carried what the session was then"
    assert read_session(place.path).history == editors.history
    statuses = {entry["args"][3]: entry["status"] for worker in workers for entry in worker.log}
    assert {message for message, status in statuses.items() if status == 0} == editors.sound.keys() - editors.unsaved
    assert {message for message, status in statuses.items() if status == IO} == editors.unsaved
    printed = {document["text"]: document["saved"] for worker in workers for document in worker.out}
    assert printed == {reply_to(message): message not in editors.unsaved for message in editors.sound}
    lost = [retold(file) for file in place.path.parent.glob("s.jsonl.lost-*")]
    assert len(lost) == len(editors.unsaved)
    for message in editors.unsaved:
        assert [told.before[message] for told in lost if message in told.answered] == [editors.sound[message]]
    changes = {name: count for name, count in sorted(editors.counts.items()) if name}
    missed = len(statuses) - len(editors.sound)
    figures(f"edited {writers}x{sends}", asked=len(ledger.asked), unsaved_kept=len(lost), refused=missed, **changes)
