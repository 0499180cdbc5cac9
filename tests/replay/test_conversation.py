"""One conversation: its turns in order, each sent once, and what every answer or failure comes to."""

from __future__ import annotations

import copy
import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini
from gemcli.api.retry import RetryPolicy
from gemcli.chat import turn_order
from gemcli.errors import GemcliError, ReasonName
from gemcli.exchange import Limits, Transport
from gemcli.replay import read_script
from gemcli.replay.conversation import Conversation
from gemcli.replay.events import Event, Outcome
from gemcli.replay.script import Script, Suite
from gemcli.sessions import records
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.session import Session
from gemcli.sessions.store import Store
from gemcli.signals import Interrupted, deferred
from tests.commands import CALL, ECHO, header, turn
from tests.support import answer, texts

Reply = Mapping[str, Any] | GemcliError | Callable[[], Mapping[str, Any]]


class Fake:
    """A model in this process: each request takes the next of `replies`, and after the last one is just answered.

    `bodies` are what it was sent.
    """

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.models: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    def generate(self, model: str, body: Mapping[str, Any], seconds: float, grace: float = 0.0) -> dict[str, Any]:
        """Answer one request, as `Gemini.generate` does."""
        self.models.append(model)
        self.bodies.append(copy.deepcopy(dict(body)))
        reply = self.replies.pop(0) if self.replies else answer(f"answer {len(self.bodies)}")
        if isinstance(reply, GemcliError):
            raise reply
        return dict(reply() if callable(reply) else reply)


class World:
    """A world for runs without a network or a command line: sessions are files in a directory, time never passes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = Fake()
        self.notices: list[str] = []
        self.events: list[Event] = []
        self.retries = 0
        self.left = 1e6
        self.reason: GemcliError | None = None
        self.store = Store(FileSystem(), self.notices.append)

    # What a run asks of it

    def name(self, script: Script) -> str:
        """The file of a script's session."""
        return str(self.directory / f"{script.name}.jsonl")

    def look(self, script: Script) -> Journal:
        """The session of a script as it is, or as it would be made."""
        return self.store.read(self.name(script)) if os.path.exists(self.name(script)) else Journal([made(script)])

    @contextmanager
    def open(self, script: Script) -> Iterator[Session]:
        """The session of a script, locked; made first if it is missing."""
        if not os.path.exists(self.name(script)):
            self.store.create(self.name(script), [made(script)])
        with self.store.open(self.name(script), 0) as session:
            yield session

    def line(self, journal: Journal, model: str, on_event: Callable[[Mapping[str, Any]], None]) -> Transport:
        """The line to the model."""
        limits = Limits(9.0, time.monotonic() + self.left)
        retry = RetryPolicy(self.retries, lambda: 0.0)
        return Transport(cast(Gemini, self.model), Backend("gemini"), limits, retry, self.notices.append, on_event)

    def over(self, wait: float = 0.0) -> GemcliError | None:
        """Why nothing more should be sent."""
        return self.reason

    # What tests ask of it

    def play(self, document: Any, *replies: Reply, dry: bool = False, **more: Any) -> list[Outcome]:
        """Play the script that a document holds; what each turn came to. `reply` by `reply` the model answers."""
        script = self.script(document, **more)
        self.model.replies = [*replies]
        if dry:
            return list(Conversation(script, self.look(script), None, self, self.events.append).play())
        with self.open(script) as session, deferred:
            return list(Conversation(script, session.journal, session, self, self.events.append).play())

    def script(self, document: Any, **more: Any) -> Script:
        """The script that a document holds, called s."""
        if isinstance(document, list) or "turns" not in document:
            document = {"turns": document}
        return load({"name": "s"} | document | more).scripts[0]

    @property
    def file(self) -> Path:
        """The file of the session s."""
        return self.directory / "s.jsonl"

    @property
    def history(self) -> list[str]:
        """The texts of the session's history, whose turn order is valid."""
        history = self.store.read(str(self.file)).history
        assert turn_order.check(history) == []
        return texts(history)

    def begin(self, *content: Any) -> None:
        """Write the session, record by record."""
        self.file.write_bytes(b"".join(records.encode(record) for record in content))

    def append(self, *content: Any) -> None:
        """Add records to the session."""
        with self.file.open("ab") as file:
            file.writelines(records.encode(record) for record in content)


def load(document: Any) -> Suite:
    """The suite that a document holds; several documents are a suite of many conversations."""
    rows = [document] if isinstance(document, dict) else document
    return read_script.load("\n".join(json.dumps(row) for row in rows), "s.jsonl" if rows is document else "s.yaml", {})


def made(script: Script) -> Any:
    """The first record of a session that a script makes."""
    origin = {"kind": "replay", "file": "s.yaml", "script": "sha256:0"}
    return records.session(model=script.model or ECHO, backend="gemini", config=script.config, origin=origin)


def error(reason: ReasonName, outcome: str = "rejected", **more: Any) -> GemcliError:
    """What a call without an answer raises."""
    return GemcliError(reason, "so it goes", outcome=outcome, **more)


def blocked(finish: str = "SAFETY") -> Any:
    """An answer that is of no use."""
    return answer("half", finish=finish)


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    """What the turns came to."""
    return [outcome.status for outcome in outcomes]


def reasons(outcomes: Sequence[Outcome]) -> list[str | None]:
    """The reasons of their errors."""
    return [outcome.error.reason if outcome.error else None for outcome in outcomes]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world."""
    return World(tmp_path)


# Playing, and playing again


def test_a_conversation(world: World) -> None:
    """Each message goes out on top of the answers before it, and everything is in the session."""
    outcomes = world.play(["a", "b", "c"])
    assert statuses(outcomes) == ["ok"] * 3
    assert [texts(body["contents"]) for body in world.model.bodies] == [
        ["a"],
        ["a", "answer 1", "b"],
        ["a", "answer 1", "b", "answer 2", "c"],
    ]
    assert world.history == ["a", "answer 1", "b", "answer 2", "c", "answer 3"]
    assert [outcome.number for outcome in outcomes] == [1, 2, 3]


def test_again(world: World) -> None:
    """A finished conversation sends nothing and changes nothing; the answers are those on record."""
    first = world.play(["a", "b"])
    before = world.file.read_bytes()
    again = world.play(["a", "b"])
    assert statuses(again) == ["reused"] * 2
    assert [outcome.sent for outcome in again] == [False, False]
    assert [one.result and one.result.answer for one in again] == [one.result and one.result.answer for one in first]
    assert (len(world.model.bodies), world.file.read_bytes()) == (2, before)


def test_appended_turns(world: World) -> None:
    """Messages added at the end send only themselves."""
    world.play(["a"])
    assert statuses(world.play(["a", "b"])) == ["reused", "ok"]
    assert world.history == ["a", "answer 1", "b", "answer 2"]


def test_edited(world: World) -> None:
    """A message that is another one where it was answered ends the conversation before anything is sent."""
    world.play(["a", "b"])
    outcomes = world.play(["a", "x", "c"])
    assert statuses(outcomes) == ["reused", "error", "skipped"]
    assert reasons(outcomes) == [None, "DIVERGED", None]
    assert len(world.model.bodies) == 2


def test_cut_short(world: World) -> None:
    """A script with fewer turns than were answered tells of those it has, and raises."""
    world.play(["a", "b"])
    seen: list[Outcome] = []
    script = world.script(["a"])
    conversation = Conversation(script, world.look(script), None, world, world.events.append)
    with pytest.raises(GemcliError, match="turn 2") as caught:
        seen += conversation.play()
    assert (statuses(seen), caught.value.reason) == (["reused"], "DIVERGED")


def test_other_settings(world: World) -> None:
    """Another model or config at an answered turn is told; a setting that is gone even before the first turn."""
    world.play(["a"], model="m1", config={"temperature": 1})
    assert reasons(world.play(["a", "b"], model="m2", config={"temperature": 1})) == ["DIVERGED", None]
    assert reasons(world.play(["a", "b"], model="m1", config={"temperature": 0})) == ["DIVERGED", None]
    with pytest.raises(GemcliError, match="settings that the script has no more"):
        world.play(["a", "b"], model="m1")
    assert len(world.model.bodies) == 1


def test_a_slip_in_the_model_can_be_mended(world: World) -> None:
    """Nothing was answered, so the session goes on with what the script says now, and is not 14 for ever."""
    unknown = GemcliError("MODEL_NOT_FOUND", "no such model", outcome="rejected")
    assert reasons(world.play(["a"], unknown, model="m-typo")) == ["MODEL_NOT_FOUND"]
    assert statuses(world.play(["a", "b"], model="m1")) == ["ok", "ok"]
    assert statuses(world.play(["a", "b"], model="m1")) == ["reused", "reused"]


def test_on_a_base(world: World) -> None:
    """A session with a history is gone on from, again and again."""
    base = [record | {"imported": True} for record in turn(1, "before", "yes")]
    world.begin(header(), *base)
    assert statuses(world.play(["a"])) == ["ok"]
    assert statuses(world.play(["a", "b"])) == ["reused", "ok"]
    assert world.history[:3] == ["before", "yes", "a"]


def test_on_turns_of_somebody_else(world: World) -> None:
    """A turn that was sent by hand is none of the script's, wherever it stands."""
    world.begin(header(), *turn(1))
    assert reasons(world.play(["question 1"])) == ["DIVERGED"]
    world.file.unlink()
    world.play(["a"])
    world.append(*turn(2))
    assert reasons(world.play(["a", "b", "c"])) == [None, "DIVERGED", None]
    with pytest.raises(GemcliError, match="turn 2 of the session"):
        world.play(["a"])
    assert len(world.model.bodies) == 1


def test_after_a_rewind(world: World) -> None:
    """What was taken out by hand is sent again; a rewind that is taken back brings its answers back."""
    world.play(["a", "b", "c"])
    world.append(records.rewind([2, 3]))
    assert statuses(world.play(["a", "b", "c"], dry=True)) == ["reused", "planned", "planned"]
    world.append(records.undo([2, 3]))
    assert statuses(world.play(["a", "b", "c"])) == ["reused"] * 3
    world.append(records.rewind([2, 3]))
    assert statuses(world.play(["a", "b", "c"])) == ["reused", "ok", "ok"]
    assert world.history == ["a", "answer 1", "b", "answer 4", "c", "answer 5"]
    assert statuses(world.play(["a", "b", "c"])) == ["reused"] * 3


# What sending can come to

FATES: dict[str, tuple[Reply, str, str, list[str], list[str]]] = {
    # reply: reason, status; then the statuses of the run after it, and of one with on_unknown: resend
    "rate-limit": (error("RATE_LIMIT"), "error", "RATE_LIMIT", ["ok", "ok"], ["ok", "ok"]),
    "server-error": (error("SERVER_ERROR"), "error", "SERVER_ERROR", ["ok", "ok"], ["ok", "ok"]),
    "no-connection": (error("CONNECT"), "error", "CONNECT", ["ok", "ok"], ["ok", "ok"]),
    "bad-key": (error("API_KEY_INVALID"), "error", "API_KEY_INVALID", ["ok", "ok"], ["ok", "ok"]),
    "lost": (
        error("CONNECTION_LOST", "unknown"),
        "error",
        "CONNECTION_LOST",
        ["in_doubt", "skipped"],
        ["ok", "ok"],
    ),
    "timeout": (error("TIMEOUT", "unknown"), "error", "TIMEOUT", ["in_doubt", "skipped"], ["ok", "ok"]),
    "portal": (error("BAD_RESPONSE", "unknown"), "error", "BAD_RESPONSE", ["in_doubt", "skipped"], ["ok", "ok"]),
    "blocked": (blocked(), "error", "ANSWER_BLOCKED", ["error", "skipped"], ["error", "skipped"]),
    "blocked-prompt": (
        {"promptFeedback": {"blockReason": "SAFETY"}},
        "error",
        "PROMPT_BLOCKED",
        ["error", "skipped"],
        ["error", "skipped"],
    ),
    "only-thoughts": (
        answer({"text": "hm", "thought": True}, finish="MAX_TOKENS"),
        "error",
        "MAX_TOKENS_EMPTY",
        ["error", "skipped"],
        ["error", "skipped"],
    ),
    "empty": (answer(""), "error", "EMPTY_ANSWER", ["ok", "ok"], ["ok", "ok"]),
    "malformed": (blocked("MALFORMED_FUNCTION_CALL"), "error", "MALFORMED_ANSWER", ["ok", "ok"], ["ok", "ok"]),
    "call": (answer(CALL), "failed", "FUNCTION_CALL", ["failed", "skipped"], ["failed", "skipped"]),
}


@pytest.mark.parametrize(("reply", "status", "reason", "again", "resent"), FATES.values(), ids=FATES)
def test_a_turn_without_a_usable_answer(
    world: World, reply: Reply, status: str, reason: str, again: list[str], resent: list[str]
) -> None:
    """It ends the conversation; the next run sends it again, or not, as its outcome says."""
    outcomes = world.play(["a", "b"], reply)
    assert (statuses(outcomes), reasons(outcomes)) == ([status, "skipped"], [reason, None])
    assert (outcomes[0].sent, outcomes[0].number, len(world.model.bodies)) == (True, 1, 1)
    # A look does not change what the run does.
    looked = world.play(["a", "b"], dry=True)
    assert statuses(looked) == (["planned", "planned"] if again == ["ok", "ok"] else again)
    before = world.file.read_bytes()
    outcomes = world.play(["a", "b"])
    assert statuses(outcomes) == again
    if again != ["ok", "ok"]:
        assert (world.file.read_bytes(), len(world.model.bodies)) == (before, 1)
        assert statuses(world.play(["a", "b"], on_unknown="resend")) == resent
    if resent == ["ok", "ok"]:
        assert world.history == ["a", "answer 2", "b", "answer 3"]


def test_in_doubt_names_its_turn(world: World) -> None:
    """The turn in doubt has the number that it was sent as; those after it are not looked at."""
    world.play(["a", "b", "c"], answer("A"), error("TIMEOUT", "unknown"))
    outcomes = world.play(["a", "b", "c"])
    assert statuses(outcomes) == ["reused", "in_doubt", "skipped"]
    assert (outcomes[1].number, outcomes[1].sent, reasons(outcomes)[1]) == (2, False, "IN_DOUBT")


def test_killed_before_the_outcome(world: World) -> None:
    """A request whose outcome was never written is in doubt."""
    world.play(["a"])
    world.file.write_bytes(b"".join(world.file.read_bytes().splitlines(keepends=True)[:2]))
    assert statuses(world.play(["a", "b"])) == ["in_doubt", "skipped"]
    assert statuses(world.play(["a", "b"], on_unknown="resend")) == ["ok", "ok"]
    assert world.history == ["a", "answer 2", "b", "answer 3"]


def test_in_doubt_twice(world: World) -> None:
    """Sent again without an outcome once more, it is in doubt once more."""
    lost = error("CONNECTION_LOST", "unknown")
    world.play(["a"], lost)
    assert reasons(world.play(["a"], lost, on_unknown="resend")) == ["CONNECTION_LOST"]
    assert statuses(world.play(["a"])) == ["in_doubt"]


def test_a_refusal_in_a_history_that_was_taken_out(world: World) -> None:
    """A message that was refused after an answer is sent again when that answer was rewound."""
    world.play(["a", "b"], answer("A"), blocked())
    assert statuses(world.play(["a", "b"])) == ["reused", "error"]
    world.append(records.rewind([1]))
    assert statuses(world.play(["a", "b"])) == ["ok", "ok"]


def test_a_retry_is_part_of_the_turn(world: World) -> None:
    """What is rejected is sent again at once, with an event that says who waits; the turn is one turn."""
    world.retries = 2
    outcomes = world.play(["a"], error("RATE_LIMIT", retry_after=0.0), error("RATE_LIMIT", retry_after=0.0))
    assert (statuses(outcomes), len(world.model.bodies)) == (["ok"], 3)
    assert [event["event"] for event in world.events] == ["wait", "wait"]
    assert world.events[0] == {
        "event": "wait",
        "seconds": 0.0,
        "reason": "RATE_LIMIT",
        "message": "so it goes",
        "id": "t1",
    }
    assert outcomes[0].result is not None
    assert len(outcomes[0].result.attempts) == 3


def test_models_and_configs(world: World) -> None:
    """Each message goes to the script's model with the script's config and its own over that."""
    turn_config = {"user": "b", "config": {"top_k": 3}}
    world.play(["a", turn_config], model="m1", system="Be brief", config={"temperature": 0})
    assert world.model.models == ["m1", "m1"]
    first, second = world.model.bodies
    assert first["systemInstruction"] == second["systemInstruction"] == {"parts": [{"text": "Be brief"}]}
    assert first["generationConfig"] == {"temperature": 0.0}
    assert second["generationConfig"] == {"temperature": 0.0, "topK": 3}
    requests = [record for record in world.store.read(str(world.file)).records if record["kind"] == "request"]
    assert ["config" in request for request in requests] == [False, True]


def test_a_request_that_cannot_be_saved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not sent, and is no turn of the session."""
    world.play(["a"])

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        outcomes = world.play(["a", "b"])
    assert reasons(outcomes) == [None, "DISK_FULL"]
    assert (outcomes[1].sent, outcomes[1].number, len(world.model.bodies)) == (False, None, 1)


def test_an_answer_that_cannot_be_saved(world: World) -> None:
    """It is told with what keeps it from the session, and nothing follows it."""

    def meddle() -> Any:
        with world.file.open("ab") as file:
            file.write(b"{}\n")
        return answer("A")

    outcomes = world.play(["a", "b"], meddle)
    assert (statuses(outcomes), reasons(outcomes)) == (["error", "skipped"], ["SESSION_CHANGED", None])
    assert outcomes[0].result is not None
    assert outcomes[0].result.verdict.text == "A"


# Expectations


def test_checks_are_made_again_on_the_record(world: World) -> None:
    """An expectation that was changed is looked at anew, for nothing."""
    met, unmet = {"user": "a", "expect": {"contains": "answer"}}, {"user": "a", "expect": {"contains": "zebra"}}
    assert statuses(world.play([unmet])) == ["failed"]
    assert statuses(world.play([unmet])) == ["failed"]
    assert statuses(world.play([met])) == ["reused"]
    outcomes = world.play([unmet])
    assert [(check["check"], check["ok"]) for check in outcomes[0].checks] == [
        ("answer", True),
        ("finish", True),
        ("contains", False),
    ]
    assert outcomes[0].sent is False
    assert len(world.model.bodies) == 1


@pytest.mark.parametrize(
    ("on_fail", "expected"), [("stop", ["failed", "skipped"]), ("continue", ["failed", "ok"]), (None, ["failed", "ok"])]
)
def test_on_fail(world: World, on_fail: str | None, expected: list[str]) -> None:
    """An expectation that is not met ends the conversation, or does not: the answer is in the history either way."""
    script: dict[str, Any] = {"turns": [{"user": "a", "expect": {"equals": "zebra"}}, "b"]}
    script |= {"on_fail": on_fail} if on_fail else {}
    assert statuses(world.play(script)) == expected
    assert statuses(world.play(script)) == [status.replace("ok", "reused") for status in expected]


def test_on_fail_that_is_changed(world: World) -> None:
    """A conversation that stopped at an expectation goes on when the script says so, or the expectation is met now."""
    unmet = {"user": "a", "expect": {"equals": "zebra"}}
    world.play([unmet, "b"], on_fail="stop")
    assert statuses(world.play(["a", "b"], on_fail="stop", dry=True)) == ["reused", "planned"]
    assert statuses(world.play([unmet, "b"], on_fail="continue")) == ["failed", "ok"]


def test_an_incomplete_answer(world: World) -> None:
    """It is in the history, and a failure of its own kind unless it is expected."""
    cut = answer("half", finish="MAX_TOKENS")
    outcomes = world.play(["a", "b"], cut)
    assert (statuses(outcomes), reasons(outcomes)) == (["failed", "ok"], ["INCOMPLETE", None])
    assert world.history[:2] == ["a", "half"]
    assert statuses(world.play([{"user": "a", "expect": {"finish": ["STOP", "MAX_TOKENS"]}}, "b"])) == ["reused"] * 2


def test_what_failed_first_counts(world: World) -> None:
    """A check of the text is what is told of an answer that is fine; of one that is cut short, that it is."""
    expected = {"user": "a", "expect": {"contains": "zebra"}}
    assert reasons(world.play([expected])) == ["EXPECTATION"]
    world.file.unlink()
    assert reasons(world.play([expected], answer("half", finish="MAX_TOKENS"))) == ["INCOMPLETE"]
    world.file.unlink()
    assert reasons(world.play([expected], blocked())) == ["ANSWER_BLOCKED"]


def test_expected_texts_are_templates(world: World) -> None:
    """`{{name}}` in an expectation stands for what it stands for in a message."""
    script = {
        "vars": {"city": "Lyon", "sign": "{{city}}"},
        "turns": [
            {"user": "a", "expect": {"contains": ["{{city}}", "{{sign}}"], "equals": ["x", "{{city}} {{sign}}"]}}
        ],
    }
    (outcome,) = world.play(script, answer("Lyon {{city}}"))
    assert outcome.status == "ok"
    assert [check["want"] for check in outcome.checks[2:]] == ["Lyon", "{{city}}", ["x", "Lyon {{city}}"]]


def test_an_expected_refusal(world: World) -> None:
    """It passes as the last turn, which is the end of it; nothing can follow what is in no history."""
    expected = {"user": "a", "expect": {"finish": "SAFETY"}}
    assert statuses(world.play([expected], blocked())) == ["ok"]
    assert statuses(world.play([expected])) == ["reused"]
    assert len(world.model.bodies) == 1
    outcomes = world.play([expected, "b"])
    assert (statuses(outcomes), reasons(outcomes)) == (["error", "skipped"], ["ANSWER_BLOCKED", None])
    assert str(outcomes[0].error) == "refused as expected, so no message can follow it"


def test_an_expected_refusal_that_might_be_another_one_next_time(world: World) -> None:
    """What was answered as expected is not sent again, even if sending again may bring something else."""
    expected = {"user": "a", "expect": {"finish": "MALFORMED_FUNCTION_CALL"}}
    assert statuses(world.play([expected], blocked("MALFORMED_FUNCTION_CALL"))) == ["ok"]
    assert statuses(world.play([expected], dry=True)) == ["reused"]
    assert statuses(world.play([expected])) == ["reused"]
    assert len(world.model.bodies) == 1
    # Once it is not expected any more, it is sent again.
    assert statuses(world.play(["a"])) == ["ok"]


def test_a_call_of_a_function(world: World) -> None:
    """An answer that calls functions passes as the last turn; before others the turn fails, for nobody answers it."""
    assert statuses(world.play(["a"], answer(CALL))) == ["ok"]
    assert statuses(world.play(["a"])) == ["reused"]
    outcomes = world.play(["a", "b"])
    assert (statuses(outcomes), reasons(outcomes)) == (["failed", "skipped"], ["FUNCTION_CALL", None])
    assert statuses(world.play(["a", "b"], on_fail="continue")) == ["failed", "skipped"]
    assert len(world.model.bodies) == 1


def test_a_call_that_is_not_as_expected(world: World) -> None:
    """With an expectation that is not met either, whichever it is, the conversation ends all the same."""
    outcomes = world.play([{"user": "a", "expect": {"contains": "zebra"}}, "b"], answer("let me see", CALL))
    assert (statuses(outcomes), reasons(outcomes)) == (["failed", "skipped"], ["EXPECTATION", None])
    outcomes = world.play([{"user": "a", "expect": {"finish": "MAX_TOKENS"}}, "b"])
    assert (statuses(outcomes), reasons(outcomes)) == (["failed", "skipped"], ["EXPECTATION", None])


def test_a_base_with_an_open_call(world: World) -> None:
    """A script cannot go on from a history that waits for the responses of functions."""
    opened = [header(), *(record | {"imported": True} for record in turn(1))]
    opened[-1]["answer"]["candidates"][0]["content"]["parts"] = [CALL]
    world.begin(*opened)
    outcomes = world.play(["a", "b"])
    assert (statuses(outcomes), reasons(outcomes)) == (["error", "skipped"], ["OPEN_CALL", None])
    assert outcomes[0].sent is False


# Looking, waiting, stopping


def test_a_look(world: World) -> None:
    """Without the right to append nothing is sent or written: what would be sent is planned."""
    assert statuses(world.play(["a", "b"], dry=True)) == ["planned"] * 2
    assert (world.model.bodies, [*world.directory.iterdir()]) == ([], [])
    world.play(["a"])
    before = world.file.read_bytes()
    assert statuses(world.play(["a", "b"], dry=True)) == ["reused", "planned"]
    assert world.file.read_bytes() == before


def test_a_pause_of_the_script(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wait` comes before its message is sent, with an event; never before one that is not sent."""
    slept: list[float] = []
    monkeypatch.setattr(deferred, "sleep", lambda seconds: slept.append(seconds))
    script = ["a", {"user": "b", "wait": 2.5}]
    world.play(script, dry=True)
    assert (slept, world.events) == ([], [])
    world.play(script)
    assert slept == [2.5]
    assert world.events == [
        {"event": "wait", "seconds": 2.5, "reason": "SCRIPT", "message": "the script says so", "id": "t2"}
    ]
    world.play(script)
    assert slept == [2.5]


def test_nothing_is_sent_when_it_is_over(world: World) -> None:
    """When nobody listens, or time is up, what would be sent is skipped; what was answered is still told of."""
    world.play(["a"])
    world.reason = error("TIMEOUT")
    outcomes = world.play(["a", "b", "c"])
    assert statuses(outcomes) == ["reused", "skipped", "skipped"]
    assert reasons(outcomes) == [None, "TIMEOUT", None]
    assert len(world.model.bodies) == 1


def test_over_is_asked_with_the_pause(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that would not end in time is not begun."""
    asked: list[float] = []

    def over(wait: float = 0.0) -> GemcliError | None:
        asked.append(wait)
        return error("TIMEOUT") if wait else None

    monkeypatch.setattr(world, "over", over)
    monkeypatch.setattr(deferred, "sleep", lambda seconds: pytest.fail("slept"))
    assert statuses(world.play(["a", {"user": "b", "wait": 9}])) == ["ok", "skipped"]
    assert asked == [0.0, 9.0]


def test_no_time_left(world: World) -> None:
    """A request that could not begin in time is not written down, and was not sent."""
    world.left = -1
    outcomes = world.play(["a", "b"])
    assert (statuses(outcomes), reasons(outcomes)) == (["error", "skipped"], ["TIMEOUT", None])
    assert (outcomes[0].sent, world.history) == (False, [])


def test_a_signal(world: World) -> None:
    """The request under way is answered and recorded, and nothing is sent after it."""

    def interrupt() -> Any:
        deferred.arrive(signal.SIGINT)
        return answer("A")

    seen: list[Outcome] = []
    script = world.script(["a", {"user": "b", "wait": 60}, "c"])
    world.model.replies = [interrupt]
    with pytest.raises(Interrupted), world.open(script) as session, deferred:
        seen += Conversation(script, session.journal, session, world, world.events.append).play()
    assert statuses(seen) == ["ok", "skipped", "skipped"]
    assert (reasons(seen), seen[1].error and seen[1].error.exit) == ([None, "INTERRUPTED", None], 130)
    assert (world.history, world.events) == (["a", "A"], [])
