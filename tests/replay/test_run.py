"""Runs: several conversations one after the other, and random runs of one, again and again, over real HTTP."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.chat import turn_order
from gemcli.errors import GemcliError
from gemcli.replay.plan import plans
from gemcli.sessions import once, records
from gemcli.sessions.journal import Journal
from gemcli.signals import deferred
from gemcli.simulator.simulated_api import Cut, json_reply
from gemcli.simulator.simulated_api import Reply as HttpReply
from tests.builders import answer, header, turn
from tests.replay.world import Played, Reply, World, blocked, error, load
from tests.support import Model, clients_collected, examples

A, B, AB = {"turns": ["a"]}, {"turns": ["b"]}, {"turns": ["a", "b"]}


def test_conversations_in_order(world: World) -> None:
    """Each has a session and a history of its own, and the events of one stand together; again, nothing is sent."""
    played = world.suite(AB, B)
    assert [event["event"] for event in played.events] == ["run", "turn", "turn", "turn"]
    turns = [(event["run"], event["index"], event["id"], event["status"]) for event in played.turns]
    assert turns == [("c1", 1, "t1", "ok"), ("c1", 2, "t2", "ok"), ("c2", 1, "t1", "ok")]
    assert [len(body["contents"]) for body in world.model.bodies] == [1, 3, 1]
    assert played.summary["conversations"] == {"total": 2, "passed": 2, "planned": 0}
    assert played.summary["sessions"] == [str(world.path("c1")), str(world.path("c2"))]
    assert played.summary["exit"] == 0
    again = world.suite(AB, B)
    assert (again.statuses, again.events[0]["resuming"]) == ({"c1": ["reused", "reused"], "c2": ["reused"]}, 2)
    assert (again.summary["turns"]["sent"], again.summary["usage_metadata"]["total_token_count"]) == (0, 0)


def test_a_dry_run(world: World) -> None:
    """What would be sent is reported for every conversation, and nothing is written."""
    world.suite(A)
    played = world.suite(AB, B, dry=True)
    assert played.statuses == {"c1": ["reused", "planned"], "c2": ["planned"]}
    assert (played.summary["exit"], played.summary["turns"]["planned"]) == (0, 2)
    assert played.summary["conversations"] == {"total": 2, "passed": 0, "planned": 2}
    assert [path.name for path in world.directory.iterdir()] == ["c1.jsonl"]


def test_a_session_that_cannot_be_played(world: World) -> None:
    """It is reported by an event of its own, and the other conversations are played all the same."""
    world.path("c1").write_text("hello\n")
    world.write("c2", header(), *turn(1))
    with world.path("c2").open("ab") as file:
        file.write(b"junk\n{}\n")
    for dry in (True, False):
        played = world.suite(A, A, B, dry=dry)
        errors = [event for event in played.events if event["event"] == "error"]
        assert [(event["run"], event["session"], event["error"]["reason"]) for event in errors] == [
            ("c1", str(world.path("c1")), "NOT_A_SESSION"),
            ("c2", str(world.path("c2")), "CORRUPT"),
        ]
        assert played.statuses == {"c3": ["planned" if dry else "ok"]}
        assert (played.summary["exit"], played.summary["turns"]["skipped"]) == (65, 2)
        assert played.summary["conversations"] == {"total": 3, "passed": int(not dry), "planned": int(dry)}
        assert played.errors[0].message.startswith("c1: ")


CONTINUES: dict[str, Reply] = {
    "server-error": error("SERVER_ERROR"),
    "overloaded": error("UNAVAILABLE"),
    "blocked": blocked(),
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


@pytest.mark.parametrize("reply", [*CONTINUES.values(), *ENDS.values()], ids=[*CONTINUES, *ENDS])
def test_a_conversation_that_fails(world: World, reply: Reply) -> None:
    """Its own failure leaves the others alone; one that all would meet ends the run, and their turns are skipped."""
    played = world.suite(AB, B, replies=[reply])
    ends = reply in ENDS.values()
    assert played.statuses == {"c1": ["error", "skipped"]} | ({} if ends else {"c2": ["ok"]})
    assert played.summary["conversations"] == {"total": 2, "passed": int(not ends), "planned": 0}
    assert (played.summary["turns"]["skipped"], len(world.model.bodies)) == ((2, 1) if ends else (1, 2))
    assert world.path("c2").exists() is not ends
    assert [one.message.startswith("c1/t1") for one in played.errors] == [True]


def test_the_gravest_error_of_several(world: World) -> None:
    """The exit status is that of the gravest; the errors stand in the order of the conversations."""
    played = world.suite(A, B, A, replies=[answer(""), error("SERVER_ERROR")])
    assert [one.reason for one in played.errors] == ["EMPTY_ANSWER", "SERVER_ERROR"]
    assert (played.summary["exit"], played.summary["reason"]) == (75, "SERVER_ERROR")
    again = world.suite(A, B, A)
    assert (again.statuses, again.summary["exit"]) == ({"c1": ["ok"], "c2": ["ok"], "c3": ["reused"]}, 0)


def test_each_conversation_has_its_own_past(world: World) -> None:
    """One was edited, one is in doubt, one is continued, one has a history, one a turn sent by hand."""
    world.suite(A, A, A, replies=[answer("A"), error("TIMEOUT", "unknown")])
    assert world.suite(A, A, A).statuses == {"c1": ["reused"], "c2": ["in_doubt"], "c3": ["ok"]}
    world.write("c4", header(), *(record | {"imported": True} for record in turn(1)))
    world.write("c5", header(), *turn(1))
    played = world.suite(B, A, AB, A, A)
    assert [*played.statuses.values()] == [["error"], ["in_doubt"], ["reused", "ok"], ["ok"], ["error"]]
    assert (played.summary["exit"], played.summary["reason"]) == (14, "DIVERGED")
    assert played.errors[0].message.startswith("c1/t1: turn 1 was answered for another message")


def test_settings_of_a_session_that_changed(world: World) -> None:
    """Its turns are skipped without an event each; the summary counts them."""
    world.suite(A | {"config": {"top_k": 3}})
    played = world.suite(A, B)
    assert played.statuses == {"c2": ["ok"]}
    assert (played.summary["exit"], played.summary["turns"]["skipped"]) == (14, 1)


def test_clients_are_closed(world: World) -> None:
    """A run leaves no connection behind."""
    script, context = world.script(["a"]), world.context()
    transport = context.transport(context.read_session(script), "m1", lambda event: None)
    other = context.transport(context.read_session(script), "m2", lambda event: None)
    assert transport.gemini is other.gemini
    context.close()
    assert world.model.closed


@pytest.mark.parametrize(("left", "closed", "reason"), [(1e6, True, "READER_GONE"), (-1, False, "TIMEOUT")])
def test_over_before_it_begins(world: World, left: float, closed: bool, reason: str) -> None:
    """When nobody reads the events, or no time is left, no session is created."""
    world.left, world.output_closed = left, closed
    played = world.suite(A, B)
    assert (played.turns, [*world.directory.iterdir()]) == ([], [])
    assert ([one.reason for one in played.errors], played.summary["turns"]["skipped"]) == ([reason], 2)


def test_over_between_conversations(world: World) -> None:
    """When the run is over after a conversation, the next is not begun, and that is reported once."""

    def last() -> Any:
        world.output_closed = True
        return answer("A")

    played = world.suite(A, B, A, replies=[last])
    assert (played.statuses, [one.reason for one in played.errors]) == ({"c1": ["ok"]}, ["READER_GONE"])


@pytest.mark.parametrize(("first", "statuses"), [(AB, ["ok", "skipped"]), (A, ["ok"])], ids=["between", "at-the-end"])
def test_a_signal_ends_the_run(world: World, first: Any, statuses: list[str]) -> None:
    """The request under way is recorded, the rest of the run is left out, and the signal is reported once."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGTERM)
        return answer("A")

    played = world.suite(first, B, replies=[interrupt])
    assert (played.statuses, played.summary["conversations"]["passed"]) == ({"c1": statuses}, 0)
    assert [(one.reason, one.exit) for one in played.errors] == [("INTERRUPTED", 143)]
    assert world.suite(AB, B).statuses == {"c1": ["reused", "ok"], "c2": ["ok"]}


def test_the_first_session_is_held_to_the_end(world: World) -> None:
    """A second run of the same suite meets the first one at once, however far that has come, and sends nothing."""
    seen: list[str | None] = []

    def look() -> Any:
        for name in ("c1", "c2", "c3"):
            try:
                with world.app.open(str(world.path(name)), 0):
                    seen.append(None)
            except GemcliError as busy:
                seen.append(busy.reason)
        second = world.suite(A, A, B)
        assert (second.turns, second.summary["reason"], len(world.model.bodies)) == ([], "SESSION_BUSY", 3)
        return answer("B")

    world.suite(A, A, B, replies=[answer("A"), answer("A"), look])
    assert seen == ["SESSION_BUSY", None, "SESSION_BUSY"]


# Random runs


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

    def __init__(self, world: World, server: Model, length: int) -> None:
        self.world, self.server = world, server
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
                numbers = [one.number for one in journal.live[-given[0] :]]
                self.world.append(records.rewind(numbers), name="c1")
            elif name == "undo" and self.oracle.undo():
                self.world.append(records.undo(journal.undoable), name="c1")

    def run(self, replies: list[str], resend: bool, retries: int) -> Played:
        """Play the script, and compare everything."""
        told = self.oracle.run(len(self.checks), replies, resend=resend, retries=retries)
        expected, requests, status = told
        server = self.server
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
        planned = [plan.message.key for plan in plans(script, journal)]
        live = [one.exchanges[0].request["key"] for one in once.own_turns(journal)]
        assert live == planned[: len(live)]
        assert len({*live}) == len(live)

    def journal(self) -> Journal:
        """The session as it is on the disk."""
        return self.world.app.read(str(self.file))


@pytest.fixture(scope="module")
def server() -> Iterator[Model]:
    """A model on loopback for all random runs."""
    with Model() as running, clients_collected():
        yield running


@pytest.fixture(scope="module")
def loopback(server: Model, tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world for all random runs: a client takes longer to make than a run."""
    client = Gemini(endpoint_for(Backend("gemini"), server.env, print))
    return World(tmp_path_factory.mktemp("runs"), client)


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3), STEPS)
def test_random_runs(
    loopback: World, server: Model, monkeypatch: pytest.MonkeyPatch, length: int, rounds: list[Any]
) -> None:
    """Whatever the model does, and whatever is done to script and session in between, every turn is answered once.

    The turn order is always valid, the model was asked what the events say, and a second complete run sends nothing.
    """
    monkeypatch.setattr(deferred, "sleep", lambda seconds: False)
    machine = Machine(loopback, server, length)
    for steps in rounds:
        for step in steps:
            machine.step(*step)
    machine.run([], True, 0)
    before = machine.file.read_bytes()
    again = machine.run([], False, 0)
    assert (again.summary["turns"]["sent"], machine.file.read_bytes()) == (0, before)
