"""Runs: several conversations one after the other, and random runs of one, again and again, over real HTTP."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.chat import turn_order
from gemcli.errors import GemcliError
from gemcli.exchange import Transport
from gemcli.replay.events import Event
from gemcli.replay.plan import plans
from gemcli.replay.run import Run
from gemcli.sessions import once, records
from gemcli.sessions.journal import Journal
from gemcli.signals import deferred
from gemcli.simulator.simulated_api import Cut
from tests.commands import header, turn
from tests.replay.test_conversation import Reply, World, error, load
from tests.support import Model, answer, examples, json_reply
from tests.support import Reply as HttpReply
from tests.system import clients_collected


@dataclass
class Played:
    """What came of a run."""

    events: list[Event]
    errors: list[GemcliError]
    summary: Event
    watched: list[str] = field(default_factory=list)

    @property
    def turns(self) -> list[Event]:
        """The events of turns."""
        return [event for event in self.events if event["event"] == "turn"]

    @property
    def statuses(self) -> dict[str, list[str]]:
        """What the turns came to, by conversation."""
        found: dict[str, list[str]] = {}
        for event in self.turns:
            found.setdefault(event["run"], []).append(event["status"])
        return found


class Runs(World):
    """A world in which whole suites are played."""

    def suite(self, *documents: Any, dry: bool = False, replies: list[Reply] | None = None, **more: Any) -> Played:
        """Play conversations, each a document; `replies` are the model's."""
        suite = load([{"name": f"c{number}"} | document for number, document in enumerate(documents, 1)])
        suite = replace(suite, scripts=tuple(replace(script, **more) for script in suite.scripts))
        self.model.replies = replies or []
        events: list[Event] = []
        watched: list[str] = []
        run = Run(suite, self, events.append, watched.append)
        if dry:
            run.look()
        else:
            run.play()
        return Played(events, run.tally.errors, run.tally.summary(None), watched)

    def path(self, name: str) -> Path:
        """The file of a conversation's session."""
        return self.directory / f"{name}.jsonl"


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """An empty world."""
    return Runs(tmp_path)


A, B, AB = {"turns": ["a"]}, {"turns": ["b"]}, {"turns": ["a", "b"]}


def test_conversations_in_order(runs: Runs) -> None:
    """Each has a session and a history of its own, and the events of one stand together."""
    played = runs.suite(AB, B)
    assert played.statuses == {"c1": ["ok", "ok"], "c2": ["ok"]}
    assert [(event["run"], event["index"], event["id"]) for event in played.turns] == [
        ("c1", 1, "t1"),
        ("c1", 2, "t2"),
        ("c2", 1, "t1"),
    ]
    assert [len(body["contents"]) for body in runs.model.bodies] == [1, 3, 1]
    assert played.summary["conversations"] == {"total": 2, "passed": 2}
    assert played.summary["sessions"] == [str(runs.path("c1")), str(runs.path("c2"))]
    assert (played.summary["exit"], len(played.watched)) == (0, 3)
    again = runs.suite(AB, B)
    assert (again.statuses, again.summary["turns"]["sent"]) == ({"c1": ["reused", "reused"], "c2": ["reused"]}, 0)
    assert again.summary["usage"]["total"] == 0


def test_a_look(runs: Runs) -> None:
    """What would be sent is told for every conversation, and nothing is written."""
    runs.suite(A)
    played = runs.suite(AB, B, dry=True)
    assert played.statuses == {"c1": ["reused", "planned"], "c2": ["planned"]}
    assert (played.summary["exit"], played.summary["turns"]["planned"]) == (0, 2)
    assert [path.name for path in runs.directory.iterdir()] == ["c1.jsonl"]


def test_a_look_at_a_session_that_is_none(runs: Runs) -> None:
    """A session that cannot be read is an error of its conversation; the others are looked at all the same."""
    runs.path("c1").write_text("hello\n")
    for dry in (True, False):
        played = runs.suite(A, B, dry=dry)
        assert played.statuses == {"c2": ["planned" if dry else "ok"]}
        assert played.summary["turns"]["skipped"] == 1
        assert (played.summary["reason"], played.errors[0].message.startswith("c1: ")) == ("NOT_A_SESSION", True)


GOES_ON: dict[str, Reply] = {
    "server-error": error("SERVER_ERROR"),
    "overloaded": error("UNAVAILABLE"),
    "blocked": answer("half", finish="SAFETY"),
    "empty": answer(""),
    "no-such-model": error("MODEL_NOT_FOUND"),
    "too-long": error("CONTEXT_TOO_LONG"),
}
ENDS: dict[str, Reply] = {
    "bad-key": error("API_KEY_INVALID"),
    "no-key": error("NO_KEY"),
    "not-permitted": error("PERMISSION_DENIED"),
    "daily-quota": error("QUOTA_DAILY"),
    "rate-limit": error("RATE_LIMIT"),
    "no-network": error("CONNECT"),
    "no-names": error("DNS"),
    "no-answer-to-connecting": error("CONNECT_TIMEOUT"),
    "signal": error("INTERRUPTED", "unknown", exit_code=130),
    "deadline": error("TIMEOUT", "rejected"),
    "timeout": error("TIMEOUT", "unknown"),
    "lost": error("CONNECTION_LOST", "unknown"),
    "portal": error("BAD_RESPONSE", "unknown"),
}


@pytest.mark.parametrize("reply", GOES_ON.values(), ids=GOES_ON)
def test_one_conversation_fails(runs: Runs, reply: Reply) -> None:
    """What is wrong with one conversation does not keep the others from being played."""
    played = runs.suite(AB, B, replies=[reply])
    assert played.statuses == {"c1": ["error", "skipped"], "c2": ["ok"]}
    assert played.summary["conversations"] == {"total": 2, "passed": 1}
    assert [one.message.startswith("c1: t1: ") for one in played.errors] == [True]


@pytest.mark.parametrize("reply", ENDS.values(), ids=ENDS)
def test_all_would_fail(runs: Runs, reply: Reply) -> None:
    """What would meet the others as well ends the run: they are not begun, and their turns count as skipped."""
    played = runs.suite(AB, B, replies=[reply])
    assert played.statuses == {"c1": ["error", "skipped"]}
    assert (played.summary["turns"]["skipped"], len(runs.model.bodies)) == (2, 1)
    assert not runs.path("c2").exists()
    assert len(played.errors) == 1


def test_the_gravest_error_of_several(runs: Runs) -> None:
    """The exit status is that of the gravest; the errors stand in the order of the conversations."""
    played = runs.suite(A, B, A, replies=[answer(""), error("SERVER_ERROR")])
    assert [one.reason for one in played.errors] == ["EMPTY_ANSWER", "SERVER_ERROR"]
    assert (played.summary["exit"], played.summary["reason"]) == (75, "SERVER_ERROR")
    again = runs.suite(A, B, A)
    assert (again.statuses, again.summary["exit"]) == ({"c1": ["ok"], "c2": ["ok"], "c3": ["reused"]}, 0)


def test_diverged_and_in_doubt(runs: Runs) -> None:
    """Each conversation has its own past: one was edited, one is in doubt, one goes on."""
    runs.suite(A, A, A, replies=[answer("A"), error("TIMEOUT", "unknown")])
    assert runs.suite(A, A, A).statuses == {"c1": ["reused"], "c2": ["in_doubt"], "c3": ["ok"]}
    played = runs.suite(B, A, AB)
    assert played.statuses == {"c1": ["error"], "c2": ["in_doubt"], "c3": ["reused", "ok"]}
    assert (played.summary["exit"], played.summary["reason"]) == (14, "DIVERGED")
    assert "c1: t1: the message of t1" in played.errors[0].message


def test_settings_of_a_session_that_changed(runs: Runs) -> None:
    """Its turns are skipped without an event each; the summary counts them."""
    runs.suite(A | {"config": {"top_k": 3}})
    played = runs.suite(A, B)
    assert played.statuses == {"c2": ["ok"]}
    assert (played.summary["exit"], played.summary["turns"]["skipped"]) == (14, 1)


def test_over_before_it_begins(runs: Runs) -> None:
    """When nobody listens, or no time is left, nothing is made."""
    runs.reason = error("TIMEOUT")
    played = runs.suite(A, B)
    assert (played.turns, [*runs.directory.iterdir()]) == ([], [])
    assert [one.reason for one in played.errors] == ["TIMEOUT"]
    assert played.summary["turns"]["skipped"] == 2


def test_over_between_conversations(runs: Runs) -> None:
    """When time is up after a conversation, the next is not begun, and that is said once."""

    def last() -> Any:
        runs.reason = error("TIMEOUT")
        return answer("A")

    played = runs.suite(A, B, A, replies=[last])
    assert (played.statuses, [one.reason for one in played.errors]) == ({"c1": ["ok"]}, ["TIMEOUT"])


def test_a_signal_ends_the_run(runs: Runs) -> None:
    """What is under way is recorded, the rest of the run is left out, and the signal is told once."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGTERM)
        return answer("A")

    played = runs.suite(AB, B, replies=[interrupt])
    assert played.statuses == {"c1": ["ok", "skipped"]}
    assert [(one.reason, one.exit) for one in played.errors] == [("INTERRUPTED", 143)]
    assert runs.suite(AB, B).statuses == {"c1": ["reused", "ok"], "c2": ["ok"]}


def test_a_signal_in_the_last_turn(runs: Runs) -> None:
    """With nothing left of its conversation the run ends all the same."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGTERM)
        return answer("A")

    played = runs.suite(A, B, replies=[interrupt])
    assert (played.statuses, [one.exit for one in played.errors]) == ({"c1": ["ok"]}, [143])


def test_what_is_wrong_with_a_conversation(runs: Runs) -> None:
    """A session that cannot be played is told of by an event of its own, and the others are played."""
    runs.suite(A, A, A)
    for name in ("c1", "c2"):
        runs.path(name).write_bytes(runs.path(name).read_bytes() + b"junk\n{}\n")
    for dry in (False, True):
        played = runs.suite(A, A, AB, dry=dry)
        told = [event for event in played.events if event["event"] == "error"]
        assert [(event["run"], event["session"]) for event in told] == [
            (name, str(runs.path(name))) for name in ("c1", "c2")
        ]
        assert {event["error"]["reason"] for event in told} == {"CORRUPT"}
        assert (played.statuses["c3"][0], played.summary["exit"]) == ("reused", 65)


def test_a_busy_session(runs: Runs) -> None:
    """The session that another run holds ends this one at once, before anything is sent."""
    runs.suite(A)
    with runs.store.open(str(runs.path("c1")), 0):
        played = runs.suite(AB, B)
    assert (played.turns, played.summary["reason"], len(runs.model.bodies)) == ([], "SESSION_BUSY", 1)


def test_the_first_session_is_held_to_the_end(runs: Runs) -> None:
    """A second run of the same suite meets the first one at once, however far that has come."""
    seen: list[str | None] = []

    def look() -> Any:
        for name in ("c1", "c2", "c3"):
            try:
                with runs.store.open(str(runs.path(name)), 0):
                    seen.append(None)
            except GemcliError as busy:
                seen.append(busy.reason)
        return answer("B")

    runs.suite(A, A, B, replies=[answer("A"), answer("A"), look])
    assert seen == ["SESSION_BUSY", None, "SESSION_BUSY"]


# Random runs


class Loopback(Runs):
    """A world whose model is spoken to over HTTP."""

    def __init__(self, directory: Path, model: Model) -> None:
        super().__init__(directory)
        self.server = model
        self.gemini = Gemini(endpoint_for(Backend("gemini"), model.env, self.notices.append))

    def line(self, journal: Journal, model: str, on_event: Callable[[Mapping[str, Any]], None]) -> Transport:
        """The line to the server."""
        return replace(super().line(journal, model, on_event), gemini=self.gemini)


INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0s"}
HTTP: dict[str, HttpReply] = {
    "ok": json_reply(answer("fine")),
    "429": json_reply({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m", "details": [INFO]}}, 429),
    "500": json_reply({"error": {"code": 500, "status": "INTERNAL", "message": "m"}}, 500),
    "blocked": json_reply(answer("half", finish="SAFETY")),
    "empty": json_reply(answer("")),
    "cut": json_reply(answer("half", finish="MAX_TOKENS")),
    "reset": HttpReply(200, {}, (Cut("reset"),)),
}
"""What the model does with a request."""

EXITS = {"429": 75, "500": 75, "blocked": 3, "empty": 3, "cut": 4, "reset": 75}
FAULTS = [name for name in HTTP if name != "ok"]
RUNS = st.tuples(
    st.just("run"),
    st.builds(
        lambda fine, then: ["ok"] * fine + then, st.integers(0, 2), st.lists(st.sampled_from(FAULTS), max_size=3)
    ),
    st.booleans(),
    st.integers(0, 1),
)
EDITS = (
    st.just(("append",))
    | st.tuples(st.just("check"), st.integers(0, 3))
    | st.tuples(st.just("rewind"), st.integers(1, 2))
    | st.just(("undo",))
)
STEPS = st.lists(st.tuples(RUNS, st.lists(EDITS, max_size=2)).map(lambda pair: [pair[0], *pair[1]]), max_size=5)
"""Runs with edits between them."""


@dataclass
class Oracle:
    """What a script's session should hold, as simply as it can be said.

    `live` are the answered turns as pairs of place and a number never used twice; `finish` how the answers of those
    ended; `doubts` the places in doubt, `refusals` those refused, with the turns that were live then.
    """

    live: list[tuple[int, int]] = field(default_factory=list)
    finish: dict[int, str] = field(default_factory=dict)
    doubts: set[int] = field(default_factory=set)
    refusals: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    rewound: list[list[tuple[int, int]]] = field(default_factory=list)
    count: int = 0

    def run(self, length: int, replies: list[str], *, resend: bool, retries: int) -> tuple[list[str], int, int]:
        """Statuses of a run before checks, the requests it makes, and its exit status."""
        said, requests, exits, left = [], 0, [], [*replies]
        for place in range(length):
            if place < len(self.live):
                said.append("cut" if self.finish[self.live[place][1]] == "cut" else "reused")
                exits += [4] if said[-1] == "cut" else []
                continue
            if place in self.doubts and not resend:
                return [*said, "in_doubt", *["skipped"] * (length - place - 1)], requests, 13
            refused = self.refusals.get(place)
            if refused is not None and refused == self.live[: len(refused)]:
                return [*said, "error", *["skipped"] * (length - place - 1)], requests, 3
            for _ in range(1 + retries):
                reply = left.pop(0) if left else "ok"
                requests += 1
                if reply not in ("429", "500"):
                    break
            self.doubts.discard(place)
            self.refusals.pop(place, None)
            if reply not in ("ok", "cut"):
                self.doubts |= {place} if reply == "reset" else set()
                self.refusals |= {place: [*self.live]} if reply == "blocked" else {}
                return [*said, "error", *["skipped"] * (length - place - 1)], requests, EXITS[reply]
            self.count += 1
            self.live.append((place, self.count))
            self.finish[self.count] = reply
            self.rewound.clear()
            said.append(reply)
            exits += [4] if reply == "cut" else []
        return said, requests, max(exits, default=0)

    def rewind(self, count: int) -> bool:
        """Take turns out; whether there are so many."""
        if count > len(self.live):
            return False
        self.rewound.append(self.live[-count:])
        del self.live[-count:]
        return True

    def undo(self) -> bool:
        """Bring turns back; whether any are to be had."""
        if not self.rewound:
            return False
        self.live += self.rewound.pop()
        return True


class Machine:
    """One session with its script, played against the model and compared with the oracle after each step."""

    def __init__(self, world: Loopback, length: int) -> None:
        self.world = world
        self.file = world.path("c1")
        self.file.unlink(missing_ok=True)
        self.oracle = Oracle()
        self.checks = ["met"] * length

    def document(self) -> dict[str, Any]:
        """The script as it is now."""
        expected: dict[str, Any] = {"met": {"not_contains": "zebra"}, "unmet": {"contains": "zebra"}}
        return {
            "turns": [
                {"user": f"message {place}", "expect": expected[check] | {"finish": ["STOP", "MAX_TOKENS"]}}
                if check == "unmet"
                else {"user": f"message {place}", "expect": expected[check]}
                for place, check in enumerate(self.checks)
            ]
        }

    def step(self, name: str, *given: Any) -> None:
        """Do one thing."""
        if name == "run":
            self.run(*given)
        elif name == "append":
            self.checks.append("met")
        elif name == "check":
            place = given[0] % len(self.checks)
            self.checks[place] = {"met": "unmet", "unmet": "met"}[self.checks[place]]
        elif self.file.exists():
            journal = self.journal()
            if name == "rewind" and self.oracle.rewind(given[0]):
                self.append(records.rewind([one.number for one in journal.live[-given[0] :]]))
            elif name == "undo" and self.oracle.undo():
                self.append(records.undo(journal.undoable))

    def run(self, replies: list[str], resend: bool, retries: int) -> Played:
        """Play the script, and compare everything."""
        told = self.oracle.run(len(self.checks), replies, resend=resend, retries=retries)
        expected, requests, status = told
        server = self.world.server
        server.replies = [HTTP[reply] for reply in replies]
        server.requests.clear()
        self.world.retries = retries
        played = self.world.suite(self.document(), on_unknown="resend" if resend else None)
        # Checks come on top of what the oracle knows.
        wanted, unmet = [], []
        for place, said in enumerate(expected):
            answered = said in ("ok", "cut", "reused")
            unmet += [place] if answered and self.checks[place] == "unmet" else []
            cut = said == "cut" and self.checks[place] == "met"
            wanted.append("failed" if place in unmet or cut else said)
        was_cut = [place for place, said in enumerate(expected) if said == "cut" and place not in unmet]
        wanted = ["reused" if status == "cut" else status for status in wanted]
        assert [event["status"] for event in played.turns] == wanted
        assert played.summary["exit"] == ((status if status != 4 else 0) or (4 if was_cut else 10 if unmet else 0))
        # What the events say is what the model was asked, and nothing that had an answer was sent.
        sent = [event for event in played.turns if event["sent"]]
        assert (
            sum(event["attempts"] or event["error"]["attempts"] for event in sent) == len(server.requests) == requests
        )
        assert played.summary["turns"]["sent"] == len(sent)
        waits = [event for event in played.events if event["event"] == "wait"]
        assert len(waits) == len(server.requests) - len(sent)
        for body in server.requests:
            assert turn_order.check_request(body["contents"]) == []
        self.require_whole()
        return played

    def require_whole(self) -> None:
        """The history is valid, and has the answered turns of the script, each once, in their places."""
        journal = self.journal()
        assert turn_order.check(journal.history) == []
        assert len(journal.live) == len(self.oracle.live)
        script = load(self.document()).scripts[0]
        planned = [plan.key for plan in plans(script, journal)]
        live = [one.exchanges[0].request["key"] for one in once.own_turns(journal)]
        assert live == planned[: len(live)]
        assert len({*live}) == len(live)

    def journal(self) -> Journal:
        """The session as it is on the disk."""
        return self.world.store.read(str(self.file))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record by hand, as `gemcli rewind` does."""
        with self.file.open("ab") as file:
            file.write(records.encode(record))


@pytest.fixture(scope="module")
def server() -> Iterator[Model]:
    """A model on loopback for all random runs."""
    with Model() as running, clients_collected():
        yield running


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3), STEPS)
def test_random_runs(
    server: Model,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    rounds: list[Any],
) -> None:
    """Whatever the model does, and whatever is done to script and session in between, every turn is answered once.

    The turn order is always valid, the model was asked what the events say, and a second complete run sends nothing.
    """
    monkeypatch.setattr(deferred, "sleep", lambda seconds: False)
    machine = Machine(WORLDS.setdefault(server.url, Loopback(tmp_path_factory.mktemp("runs"), server)), length)
    for steps in rounds:
        for step in steps:
            machine.step(*step)
    machine.run([], True, 0)
    before = machine.file.read_bytes()
    again = machine.run([], False, 0)
    assert (again.summary["turns"]["sent"], machine.file.read_bytes()) == (0, before)


WORLDS: dict[str, Loopback] = {}
"""One world for all examples: a client takes longer to make than a run."""


def test_a_base_and_a_foreign_turn(runs: Runs) -> None:
    """In a suite too a session with a history is gone on from, and one with somebody's turn is not."""
    base = [record | {"imported": True} for record in turn(1)]
    runs.path("c1").write_bytes(b"".join(records.encode(record) for record in [header(), *base]))
    runs.path("c2").write_bytes(b"".join(records.encode(record) for record in [header(), *turn(1)]))
    played = runs.suite(A, A)
    assert (played.statuses, played.summary["exit"]) == ({"c1": ["ok"], "c2": ["error"]}, 14)
