"""The fold: against a plain model of a conversation, rule by rule, and against the SDK's own chat."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
import pytest
from google import genai
from google.genai import types
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gemcli.chat import answers, turn_order
from gemcli.chat.answers import content_of
from gemcli.chat.contents import Content
from gemcli.errors import GemcliError
from gemcli.sessions import imported_history, read_records, record_lines, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.totals import totals_of
from gemcli.sessions.turns import ANSWERED, FAILED, IN_DOUBT, PENDING, REFUSED
from tests.builders import answer, call, contents, error_from, json_values, model, result, user
from tests.support import Model as Server
from tests.support import examples

T = "2026-01-01T00:00:00.000Z"


def header(**more: Any) -> Any:
    """The first record of a session."""
    plain = {"kind": "session", "time": T, "format": 1, "id": "s", "model": "m", "backend": "gemini", "config": {}}
    return plain | more


def asked(name: str, *parts: Any, **more: Any) -> Any:
    """The request `name`; a text stands for its Part, no parts for some text."""
    content = user(*(parts or (f"q{name}",)))
    turn = int(name.partition(".")[0])
    return {"kind": "request", "time": T, "turn": turn, "id": name, "content": content, **SENT, **more}


SENT = {"model": "m", "backend": "gemini"}


def told(name: str, *parts: Any, valid: bool = True, **more: Any) -> Any:
    """The response to request `name`."""
    body = answer(*(parts or (f"a{name}",)))
    plain = {"kind": "response", "time": T, "request": name, "valid": valid, "answer": body}
    return plain | {"attempts": [], "elapsed_ms": 1} | more


def failed(name: str, outcome: str = "rejected") -> Any:
    """The failure of request `name`."""
    plain = {"kind": "failure", "time": T, "request": name, "outcome": outcome, "code": "UNAVAILABLE"}
    return plain | {"reason": "UNAVAILABLE", "message": "no", "attempts": []}


def goes_on(name: str, hop: int, token: str = "t", **more: Any) -> Any:
    """The record of a further hop of the answer to request `name`."""
    return {"kind": "continue", "time": T, "request": name, "hop": hop, "token": token, **more}


def part(name: str, *parts: Any, token: str | None = "t", finish: str | None = "CONTINUATION", **more: Any) -> Any:
    """A hop of the answer to request `name` that left a token."""
    body = answer(*(parts or ("part ",)), finish=finish)
    if token:
        body["candidates"][0]["continuationToken"] = token
    return told(name, **{"answer": body, **more})


def rewound(*numbers: Any) -> Any:
    """A rewind of these turns."""
    return {"kind": "rewind", "time": T, "turns": list(numbers)}


def undone(*numbers: Any) -> Any:
    """An undo of the rewind of these turns."""
    return {"kind": "undo", "time": T, "turns": list(numbers)}


def live(journal: Journal) -> list[int]:
    """The numbers of the turns that make the history."""
    return [turn.number for turn in journal.live]


def reread(journal: Journal) -> Journal:
    """The journal as it comes back from the bytes of a file."""
    return read_records.fold(read_records.scan(b"".join(map(record_lines.encode, journal.records))), "file")


def everything(journal: Journal) -> Any:
    """All that a journal knows, for comparison."""
    exchanges = [
        (one.id, one.turn, one.state, one.request, one.hops, one.continues, one.failures, one.failure)
        for one in journal.exchanges
    ]
    numbers = [(number, turn.number, turn.rewound) for number, turn in journal.turns.items()]
    pending = journal.pending and journal.pending.id
    return journal.records, journal.header, exchanges, numbers, live(journal), pending, journal.undoable


# The fold against a model

OUTCOMES = st.sampled_from(["valid", "valid", "valid", "refused", "rejected", "unknown", "crash"])
TOKENS = st.integers(0, 50)
CALLS = st.lists(st.sampled_from("fg"), max_size=2)
HOP_ENDS = st.sampled_from(["goes on", "goes on", "ended", "blocked", "rejected", "unknown", "crash"])
THOUGHT = {"text": "hm", "thought": True}
PIECES = st.sampled_from([model("some "), model("more "), model(THOUGHT), model(), model("call", call("f"))])


@dataclass
class LongAnswer:
    """What the model knows of an answer that can go on: its hops so far, and how many the history takes."""

    number: int
    question: Content
    stack: list[int]
    hops: list[Content] = field(default_factory=list)
    taken: int = 0

    @property
    def content(self) -> Content:
        """What is in the history: Parts in a row, plain neighbours of the same kind joined."""
        parts: list[Any] = []
        for piece in itertools.chain.from_iterable(hop["parts"] for hop in self.hops[: self.taken]):
            if parts and "text" in piece and "text" in parts[-1] and piece.keys() == parts[-1].keys():
                parts[-1] = parts[-1] | {"text": parts[-1]["text"] + piece["text"]}
            else:
                parts.append(piece)
        return {"role": "model", "parts": parts}


class Conversation(RuleBasedStateMachine):
    """A journal, and beside it plain lists that say what it should tell.

    `spoken` has the Contents of each turn that was ever answered, `stack` the numbers of the live ones, `taken`
    the rewinds that can be undone, `moments` the history as it was after the last record of each turn, `long` the
    answers that left a token, by exchange.
    """

    @initialize()
    def begin(self) -> None:
        """Start with a new session."""
        self.spoken: dict[int, list[Content]] = {}
        self.stack: list[int] = []
        self.taken: list[list[int]] = []
        self.moments: dict[int, list[Content]] = {}
        self.exchanges: dict[int, int] = {}
        self.waiting: list[Any] = []
        self.sums = {"requests": 0, "promptTokenCount": 0, "totalTokenCount": 0}
        self.number = 0
        self.long: dict[str, LongAnswer] = {}
        self.newest = ""
        self.journal = Journal([header()])

    def history(self) -> list[Content]:
        """The model's history."""
        return [content for number in self.stack for content in self.spoken[number]]

    def ask(self, number: int, question: Content) -> str:
        """One request in turn `number`, in the journal and in the model; its id is the result."""
        self.exchanges[number] = place = self.exchanges.get(number, 0) + 1
        self.newest = f"{number}.{place}"
        assert self.journal.next_exchange(question) == (number, self.newest)
        self.journal.apply(records.request(number, self.newest, question, model="m", backend="gemini"))
        self.sums["requests"] += 1
        return self.newest

    def fail(self, name: str, outcome: str, usage: dict[str, int]) -> None:
        """The end of a request, or of a further hop of one, without an answer, or without even a record of that."""
        if outcome == "crash":
            return
        why = {"code": "UNAVAILABLE", "reason": "UNAVAILABLE", "message": "no"}
        partial = {"usageMetadata": usage} if outcome == "unknown" else None
        self.journal.apply(records.failure(name, outcome=outcome, attempts=[], **why, partial=partial))
        if partial:
            self.pay(usage)

    def pay(self, usage: dict[str, int]) -> None:
        """Add up the tokens that were told of."""
        self.sums = {key: value + usage.get(key, 0) for key, value in self.sums.items()}

    def exchange(self, number: int, question: Content, reply: Content, outcome: str, tokens: int) -> None:
        """One request in turn `number`, and what becomes of it, in the journal and in the model."""
        name = self.ask(number, question)
        usage = {"promptTokenCount": tokens, "totalTokenCount": 2 * tokens}
        body: Any = {"candidates": [{"content": reply, "finishReason": "STOP"}], "usageMetadata": usage}
        if outcome in ("valid", "refused"):
            self.journal.apply(records.response(name, body, valid=outcome == "valid", attempts=[], elapsed_ms=1))
            self.pay(usage)
        else:
            self.fail(name, outcome, usage)
        if outcome == "valid":
            self.spoken.setdefault(number, []).extend([question, reply])
            self.stack += [number] if number not in self.stack else []
            self.taken = []
            self.wait()
        self.moments[number] = self.history()

    def hop(self, name: str, piece: Content, outcome: str, tokens: int) -> None:
        """What becomes of the next hop of a long answer, in the journal and in the model."""
        long = self.long[name]
        usage = {"promptTokenCount": tokens, "totalTokenCount": 2 * tokens}
        if outcome in ("rejected", "unknown", "crash"):
            self.fail(name, outcome, usage)
        else:
            long.hops.append(piece)
            said = any("thought" not in part for hop in long.hops for part in hop["parts"])
            valid = said and outcome != "blocked"
            ends = {"goes on": "CONTINUATION", "ended": "STOP", "blocked": "SAFETY"}
            candidate = {"content": piece, "finishReason": ends[outcome]}
            if outcome == "goes on":
                candidate["continuationToken"] = f"t{len(long.hops)}"
            else:
                del self.long[name]
            body: Any = {"candidates": [candidate], "usageMetadata": usage}
            self.journal.apply(records.response(name, body, valid=valid, attempts=[], elapsed_ms=1))
            self.pay(usage)
            if valid:
                self.say(long)
        self.moments[long.number] = self.history()

    def say(self, long: LongAnswer) -> None:
        """A long answer enters the history, or grows there."""
        if long.taken:
            del self.spoken[long.number][-2:]
        long.taken = len(long.hops)
        self.spoken.setdefault(long.number, []).extend([long.question, long.content])
        self.stack += [long.number] if long.number not in self.stack else []
        long.stack = self.stack.copy()
        self.taken = []
        self.wait()

    @property
    def unfinished(self) -> str:
        """The exchange whose answer can go on: the newest, and what it followed is still the history."""
        long = self.long.get(self.newest)
        return self.newest if long and long.stack == self.stack else ""

    @precondition(lambda self: not self.waiting)
    @rule(piece=PIECES, tokens=TOKENS)
    def long_message(self, piece: Content, tokens: int) -> None:
        """A new turn, whose answer goes on."""
        self.number += 1
        question = user(f"q{self.number}")
        name = self.ask(self.number, question)
        self.long[name] = LongAnswer(self.number, question, self.stack.copy())
        self.hop(name, piece, "goes on", tokens)

    @precondition(lambda self: self.waiting)
    @rule(piece=PIECES, tokens=TOKENS)
    def long_answer_to_responses(self, piece: Content, tokens: int) -> None:
        """The responses to the open calls, and an answer that goes on."""
        question = user(*map(result, self.waiting))
        name = self.ask(self.stack[-1], question)
        self.long[name] = LongAnswer(self.stack[-1], question, self.stack.copy())
        self.hop(name, piece, "goes on", tokens)

    @precondition(lambda self: self.unfinished)
    @rule(piece=PIECES, outcome=HOP_ENDS, tokens=TOKENS)
    def go_on(self, piece: Content, outcome: str, tokens: int) -> None:
        """The next hop of the newest answer, and what becomes of it."""
        name = self.unfinished
        hop = len(self.long[name].hops) + 1
        self.journal.apply(records.continuation(name, hop, f"t{hop - 1}"))
        self.sums["requests"] += 1
        self.hop(name, piece, outcome, tokens)
        exchange = self.journal.turns[int(name.partition(".")[0])].exchanges[-1]
        assert exchange.hop_in_doubt == (outcome in ("unknown", "crash"))

    @precondition(lambda self: not self.waiting)
    @rule(outcome=OUTCOMES, tokens=TOKENS, calls=CALLS)
    def message(self, outcome: str, tokens: int, calls: list[str]) -> None:
        """A new turn, answered with text or with function calls, or not answered."""
        self.number += 1
        reply = model(*map(call, calls)) if calls else model(f"a{self.number}")
        self.exchange(self.number, user(f"q{self.number}"), reply, outcome, tokens)

    @precondition(lambda self: self.waiting)
    @rule(outcome=OUTCOMES, tokens=TOKENS, calls=CALLS)
    def responses(self, outcome: str, tokens: int, calls: list[str]) -> None:
        """The responses to the open calls: the same turn goes on, also after a try that failed."""
        reply = model(*map(call, calls)) if calls else model("done")
        self.exchange(self.stack[-1], user(*map(result, self.waiting)), reply, outcome, tokens)

    @precondition(lambda self: self.stack)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        """The last turns out of the history."""
        count = data.draw(st.integers(1, len(self.stack)))
        self.taken.append(self.stack[-count:])
        del self.stack[-count:]
        self.journal.apply(records.rewind(self.taken[-1]))
        self.wait()

    @precondition(lambda self: self.taken)
    @rule()
    def undo(self) -> None:
        """The newest rewind taken back."""
        assert self.journal.undoable == self.taken[-1]
        self.journal.apply(records.undo(self.taken[-1]))
        self.stack += self.taken.pop()
        self.wait()

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        """The history, as it is or as it was at some turn, into a new session."""
        at = data.draw(st.sampled_from([None, 0, *self.moments]))
        source = self.journal if at is None else self.journal.at(at)
        history = self.history() if at is None else self.moments.get(at, [])
        numbers = live(source)
        assert source.history == history
        self.journal = Journal([header(id="fork"), *imported_history.from_session(source)])
        self.stack, self.taken = numbers, []
        self.spoken = {number: source.turns[number].contents for number in numbers}
        self.moments = {
            number: [content for one in numbers[: place + 1] for content in self.spoken[one]]
            for place, number in enumerate(numbers)
        }
        # Tries that were not answered stay behind, so their ids are free again.
        self.exchanges = {n: int(self.journal.turns[n].exchanges[-1].id.partition(".")[2]) for n in numbers}
        self.number = max(numbers, default=0)
        self.sums = dict.fromkeys(self.sums, 0)
        self.newest = f"{self.number}.{self.exchanges[self.number]}" if numbers else ""
        self.long = {
            name: replace(long, stack=numbers.copy())
            for name, long in self.long.items()
            if long.taken and long.number in numbers
        }
        self.wait()

    def wait(self) -> None:
        """Find out which calls the model's history ends in."""
        history = self.history()
        last = history[-1]["parts"] if history else []
        self.waiting = [part["functionCall"]["name"] for part in last if "functionCall" in part]

    @invariant()
    def tells_the_same(self) -> None:
        """The journal tells what the model knows, now and at every turn, and is the same when read again."""
        journal = self.journal
        assert journal.history == self.history()
        assert live(journal) == self.stack
        assert journal.last_number == self.number
        assert (journal.continuable.id if journal.continuable else "") == self.unfinished
        assert journal.undoable == (self.taken[-1] if self.taken else [])
        assert (journal.open_turn.number if journal.open_turn else None) == (self.stack[-1] if self.waiting else None)
        totals = totals_of(journal)
        assert totals["turns"] == len(self.stack)
        assert {key: totals[key] for key in self.sums} == self.sums
        assert turn_order.check(journal.history) == []
        assert set(journal.turns) == set(self.moments)
        for number, history in self.moments.items():
            assert journal.at(number).history == history
        assert everything(reread(journal)) == everything(journal)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(
    max_examples=examples(200), stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


# The rules, one by one

STATES = {
    "answered": ([asked("1.1"), told("1.1")], [ANSWERED]),
    "refused": ([asked("1.1"), told("1.1", valid=False)], [REFUSED]),
    "rejected": ([asked("1.1"), failed("1.1")], [FAILED]),
    "unknown-outcome": ([asked("1.1"), failed("1.1", "unknown")], [IN_DOUBT]),
    "no-outcome-yet": ([asked("1.1")], [PENDING]),
    "hops": ([asked("1.1"), part("1.1"), goes_on("1.1", 2), told("1.1")], [ANSWERED]),
    "hop-pending": ([asked("1.1"), part("1.1"), goes_on("1.1", 2)], [ANSWERED]),
    "hop-never-answered": ([asked("1.1"), part("1.1"), goes_on("1.1", 2), asked("2.1")], [ANSWERED, PENDING]),
    "hop-failed": ([asked("1.1"), part("1.1"), goes_on("1.1", 2), failed("1.1")], [ANSWERED]),
    "hop-in-doubt": ([asked("1.1"), part("1.1"), goes_on("1.1", 2), failed("1.1", "unknown")], [ANSWERED]),
    "hop-blocked": ([asked("1.1"), part("1.1"), goes_on("1.1", 2), told("1.1", valid=False)], [ANSWERED]),
    "nothing-said-yet": ([asked("1.1"), part("1.1", valid=False)], [REFUSED]),
    "said-at-last": ([asked("1.1"), part("1.1", valid=False), goes_on("1.1", 2), part("1.1")], [ANSWERED]),
    "never-said": ([asked("1.1"), part("1.1", valid=False), goes_on("1.1", 2), failed("1.1", "unknown")], [REFUSED]),
    "next-request": ([asked("1.1"), asked("2.1")], [IN_DOUBT, PENDING]),
    "next-rewind": ([asked("1.1"), told("1.1"), asked("2.1"), rewound(1)], [ANSWERED, IN_DOUBT]),
    "next-undo": ([asked("1.1"), told("1.1"), rewound(1), asked("2.1"), undone(1)], [ANSWERED, IN_DOUBT]),
    "tool-between": ([asked("1.1"), {"kind": "tool", "time": T, "request": "1.1"}, told("1.1")], [ANSWERED]),
    "format-between": ([asked("1.1"), {"kind": "format", "time": T, "format": 1}, told("1.1")], [ANSWERED]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "states"), STATES.values(), ids=STATES)
def test_states(body: list[Any], states: list[str]) -> None:
    """What follows a request decides its state."""
    assert [exchange.state for exchange in Journal([header(), *body]).exchanges] == states


ANSWERED_CALL = [asked("1.1"), told("1.1", call())]


def turn(name: str, **more: Any) -> list[Any]:
    """An exchange that was answered."""
    return [asked(name), told(name, **more)]


# message -> name -> records after the header, of which the last is wrong
BREACHES: dict[str, dict[str, list[Any]]] = {
    "a second session record: were two files joined?": {
        "session-after-answer": [*turn("1.1"), header()],
        "session-after-refusal": [*turn("1.1", valid=False), header()],
        "session-while-pending": [asked("1.1"), header()],
        "session-in-doubt": [asked("1.1"), failed("1.1", "unknown"), header()],
        "session-of-another": [asked("1.1"), failed("1.1"), header(id="t")],
    },
    "turn 1 is repeated or out of order: were two copies merged?": {
        "turn-doubled": [*turn("1.1"), asked("1.1")],
        "turn-doubled-after-rewind": [*turn("1.1"), rewound(1), asked("1.1")],
        "turn-doubled-after-failure": [asked("1.1"), failed("1.1"), asked("1.2")],
        "turn-backwards": [*turn("3.1"), asked("1.1")],
    },
    "turn 0 is repeated or out of order: were two copies merged?": {"turn-zero": [asked("0.1")]},
    "the id '1.1' does not follow in turn 1: were two copies merged?": {
        "id-doubled": [*ANSWERED_CALL, asked("1.1", result())],
    },
    "the id '1.1' does not follow in turn 2: were two copies merged?": {"id-of-another-turn": [asked("1.1", turn=2)]},
    "the id '1.x' does not follow in turn 1: were two copies merged?": {"id-without-number": [asked("1.x")]},
    "the id '1.0' does not follow in turn 1: were two copies merged?": {"id-with-zero": [asked("1.0")]},
    "the id '1.01' does not follow in turn 1: were two copies merged?": {"id-leading-zero": [asked("1.01")]},
    "the id '1' does not follow in turn 1: were two copies merged?": {"id-without-dot": [asked("1.1", id="1")]},
    "a new message while turn 1 waits for function responses": {"message-while-open": [*ANSWERED_CALL, asked("2.1")]},
    "function responses for turn 1, which has no open call": {
        "responses-without-call": [asked("1.1", result())],
        "responses-for-rewound-call": [*ANSWERED_CALL, rewound(1), asked("1.2", result())],
    },
    "function responses for turn 2, which has no open call": {
        "responses-for-another-turn": [*ANSWERED_CALL, asked("2.1", result())],
    },
    "an outcome for request '1.1', which is not pending": {
        "response-without-request": [told("1.1")],
        "response-twice": [*turn("1.1"), told("1.1")],
        "response-too-late": [asked("1.1"), asked("2.1"), told("1.1")],
        "failure-without-request": [failed("1.1")],
        "failure-after-response": [*turn("1.1"), failed("1.1")],
        "hop-that-nobody-asked-for": [asked("1.1"), part("1.1"), told("1.1")],
        "hop-after-a-failed-hop": [asked("1.1"), part("1.1"), goes_on("1.1", 2), failed("1.1"), told("1.1")],
    },
    "an outcome for request '2.1', which is not pending": {"response-to-another": [asked("1.1"), told("2.1")]},
    "goes on with the answer to request '1.1', which is not the last": {
        "continue-without-request": [goes_on("1.1", 2)],
        "continue-after-another-request": [asked("1.1"), part("1.1"), asked("2.1"), goes_on("1.1", 2)],
        "continue-after-rewind": [asked("1.1"), part("1.1"), rewound(1), goes_on("1.1", 2)],
        "continue-after-a-rewind-of-others": [
            *turn("1.1"),
            asked("2.1"),
            part("2.1", {"text": "hm", "thought": True}, valid=False),
            rewound(1),
            goes_on("1.1", 2),
        ],
    },
    "goes on with the answer to request '2.1', which is not the last": {
        "continue-of-what-another-history-had": [
            *turn("1.1"),
            asked("2.1"),
            part("2.1", {"text": "hm", "thought": True}, valid=False),
            rewound(1),
            goes_on("2.1", 2),
        ],
    },
    "goes on with the answer to request '1.1', which left no token": {
        "continue-while-pending": [asked("1.1"), goes_on("1.1", 2)],
        "continue-after-failure": [asked("1.1"), failed("1.1", "unknown"), goes_on("1.1", 2)],
        "continue-without-token": [*turn("1.1"), goes_on("1.1", 2)],
        "continue-after-the-end": [asked("1.1"), part("1.1"), goes_on("1.1", 2), told("1.1"), goes_on("1.1", 3)],
    },
    "hop 3 of request '1.1' is repeated or out of order": {
        "continue-too-far": [asked("1.1"), part("1.1"), goes_on("1.1", 3)],
    },
    "hop 2 of request '1.1' is repeated or out of order": {
        "continue-twice": [asked("1.1"), part("1.1"), goes_on("1.1", 2), part("1.1"), goes_on("1.1", 2)],
    },
    "rewinds turns [], which are not the last of the history": {"rewind-nothing": [rewound()]},
    "rewinds turns [1], which are not the last of the history": {
        "rewind-of-empty": [rewound(1)],
        "rewind-not-last": [*turn("1.1"), *turn("2.1"), rewound(1)],
        "rewind-twice": [*turn("1.1"), rewound(1), rewound(1)],
        "rewind-of-refused": [*turn("1.1", valid=False), rewound(1)],
    },
    "rewinds turns [2, 1], which are not the last of the history": {
        "rewind-wrong-order": [*turn("1.1"), *turn("2.1"), rewound(2, 1)],
    },
    "rewinds turns [0, 1], which are not the last of the history": {
        "rewind-more-than-there-are": [*turn("1.1"), rewound(0, 1)],
    },
    "undoes a rewind of turns [], which is not the last one": {"undo-nothing": [undone()]},
    "undoes a rewind of turns [1], which is not the last one": {
        "undo-without-rewind": [*turn("1.1"), undone(1)],
        "undo-twice": [*turn("1.1"), rewound(1), undone(1), undone(1)],
        "undo-after-answer": [*turn("1.1"), rewound(1), *turn("2.1"), undone(1)],
    },
    "undoes a rewind of turns [2], which is not the last one": {
        "undo-older-rewind-first": [*turn("1.1"), *turn("2.1"), rewound(2), rewound(1), undone(2)],
    },
    "a request record with an invalid `content`: there is no role": {
        "content-without-role": [asked("1.1", content={"parts": [{"text": "x"}]})],
    },
    "a request record with an invalid `config`: `generationConfig` is not an object": {
        "config-is-list": [asked("1.1", config={"generationConfig": []})],
    },
    "a request record with an invalid `config`: `tools` is not a list of objects": {
        "tools-are-names": [asked("1.1", config={"tools": ["f"]})],
        "tools-are-one": [asked("1.1", config={"tools": {"googleSearch": {}}})],
    },
    "a request record with an invalid `config`: `functionDeclarations` is not a list of objects": {
        "functions-are-names": [asked("1.1", config={"tools": [{"functionDeclarations": ["f"]}]})],
    },
    "a request record with an invalid `config`: `toolConfig` is not an object": {
        "tool-config-is-mode": [asked("1.1", config={"toolConfig": "ANY"})],
    },
    "a request record with an invalid `config`: `functionCallingConfig` is not an object": {
        "calling-is-mode": [asked("1.1", config={"toolConfig": {"functionCallingConfig": "ANY"}})],
    },
    "a request record with an invalid `config`: `systemInstruction` is not an object": {
        "instruction-is-text": [asked("1.1", config={"systemInstruction": "Be brief."})],
    },
    "a response record with an invalid `answer`: `candidates` is not a list of objects": {
        "answer-with-candidates-as-text": turn("1.1", answer={"candidates": "x"}, valid=False),
    },
    "a response record with an invalid `answer`: `content`: part 0: `text` is a number": {
        "answer-with-text-as-number": [asked("1.1"), told("1.1", {"text": 5})],
    },
}
BROKEN = {name: (body, message) for message, bodies in BREACHES.items() for name, body in bodies.items()}


def lacking(record: Any, key: str, *wrong: Any) -> list[Any]:
    """The record without the key, and with the key holding each of the wrong values."""
    return [{name: value for name, value in record.items() if name != key}, *({**record, key: bad} for bad in wrong)]


BEFORE: dict[str, list[Any]] = {
    "session": [], "response": [header(), asked("1.1")], "failure": [header(), asked("1.1")],
    "continue": [header(), asked("1.1"), part("1.1")],
    "rewind": [header(), *turn("1.1")], "undo": [header(), *turn("1.1"), rewound(1)],
}  # fmt: skip
"""What stands before a record of each kind, where a header is not enough, or too much."""

KINDS: dict[str, Any] = {
    "session": header(), "request": asked("1.1"), "response": told("1.1"), "failure": failed("1.1"),
    "continue": goes_on("1.1", 2), "rewind": rewound(1), "undo": undone(1),
    "tool": {"kind": "tool", "time": T, "request": "1.1", "place": 0, "call": {"name": "f"}, "state": "ended",
             "response": {}, "parts": [], "elapsed_ms": 1},
    "format": {"kind": "format", "time": T, "format": 1},
}  # fmt: skip
"""A sound record of each kind."""

REQUIRED: dict[str, tuple[Any, ...]] = {
    "session.format": ("1", True, 1.0, None),
    "session.id": (5, None),
    "session.model": (5, None),
    "session.backend": (5, None),
    "session.config": ([], None),
    "request.turn": ("1", True, 1.0),
    "request.id": (1.1, None),
    "request.model": (5, None),
    "request.content": ([], "q", None),
    "request.backend": (5, None),
    "response.request": (1.1, None),
    "response.answer": ([], "x", None),
    "response.valid": (1, "true", None),
    "failure.request": (1.1, None),
    "failure.outcome": (5, None),
    "tool.request": (1.1, None),
    "continue.request": (1.1, None),
    "continue.hop": ("2", True, 2.0, None),
    "continue.token": (5, None),
    "rewind.turns": (1, "1", None),
    "undo.turns": (1, "1", None),
    "format.format": ("1", True, None),
}
OPTIONAL: dict[str, tuple[Any, ...]] = {
    "session.project": (5, []),
    "session.location": (5, []),
    "session.origin": (5, "import"),
    "request.config": (5, []),
    "response.elapsed_ms": ("1", True),
    "response.attempts": ({}, "x", [1], [{"elapsed_ms": "1"}]),
    "failure.attempts": ({}, "x", [1], [{"elapsed_ms": "1"}]),
    "continue.config": (5, []),
    "tool.place": ("0", True, -1),
    "tool.call": ([], "f"),
    "tool.state": (1, "over"),
    "tool.response": ([], "x"),
    "tool.parts": ({}, "x"),
    "tool.elapsed_ms": ("1", True),
}


def fold(body: list[Any]) -> Journal:
    """The journal of these records as a file holds them."""
    return read_records.fold(read_records.scan(b"".join(map(record_lines.encode, body))), "file")


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_broken(body: list[Any], message: str) -> None:
    """Each rule of the fold, broken in the last record, is named in full; all before it is accepted."""
    whole = [header(), *body]
    fold(whole[:-1])
    error = error_from(fold, whole)
    assert (error.reason, error.message) == ("CORRUPT", f"file: line {len(whole)}: {message}")


@pytest.mark.parametrize("name", REQUIRED)
def test_required(name: str) -> None:
    """Each key that a kind of record must have is named when it is missing or has a value of another type."""
    kind, _, key = name.partition(".")
    before = BEFORE.get(kind, [header()])
    fold([*before, KINDS[kind]])
    for broken in lacking(KINDS[kind], key, *REQUIRED[name]):
        with pytest.raises(GemcliError, match=f": a {kind} record with a missing or invalid `{key}`$"):
            fold([*before, broken])


@pytest.mark.parametrize("name", OPTIONAL)
def test_optional(name: str) -> None:
    """What a record may leave out may be null, but not of another type."""
    kind, _, key = name.partition(".")
    before = BEFORE.get(kind, [header()])
    for sound in lacking(KINDS[kind], key, None):
        fold([*before, sound])
    for broken in lacking(KINDS[kind], key, *OPTIONAL[name])[1:]:
        with pytest.raises(GemcliError, match=f"record with an? .*invalid `{key}`"):
            fold([*before, broken])


@pytest.mark.parametrize(("table", "required"), [(REQUIRED, True), (OPTIONAL, False)], ids=["required", "optional"])
def test_every_field_is_tested(table: dict[str, Any], required: bool) -> None:
    """The tables above name every field that is checked."""
    fields = [(kind, name, type_) for kind, fields in record_lines.FIELDS.items() for name, type_ in fields.items()]
    assert table.keys() == {f"{kind}.{name}" for kind, name, type_ in fields if isinstance(type_, type) == required}


@pytest.mark.parametrize("bad", ["1", None, True, 1.0])
@pytest.mark.parametrize("record", [rewound, undone])
def test_turn_numbers(record: Callable[..., Any], bad: Any) -> None:
    """The turns of a rewind and of an undo are integers, which a boolean is not."""
    with pytest.raises(GemcliError, match="invalid `turns`: not numbers"):
        fold([header(), asked("1.1"), told("1.1"), record(bad)])


def test_what_is_unknown_or_missing() -> None:
    """Unknown outcomes are in doubt, unknown keys are kept and change nothing, turn numbers may leave gaps."""
    journal = Journal([header(), asked("1.1"), failed("1.1", "perhaps")])
    assert next(journal.exchanges).state == IN_DOUBT
    body = [header(later=1), asked("1.1", later={"turn": 7}), told("1.1", later=None)]
    journal = Journal(body)
    assert journal.records == body
    assert journal.history == [user("q1.1"), model("a1.1")]
    journal = Journal([header(), asked("3.1"), told("3.1"), asked("7.2"), failed("7.2")])
    assert live(journal) == [3]
    assert journal.next_exchange(user("x")) == (8, "8.1")


def test_undo_is_a_stack() -> None:
    """Rewinds are taken back one after the other, the newest first, whatever was not answered in between."""
    body = [header(), *(record for number in "123" for record in turn(f"{number}.1")), rewound(2, 3), rewound(1)]
    body += [asked("4.1"), told("4.1", valid=False), asked("5.1"), failed("5.1"), asked("6.1"), undone(1)]
    journal = Journal(body)
    assert (live(journal), journal.undoable) == ([1], [2, 3])
    journal.apply(undone(2, 3))
    assert (live(journal), journal.undoable) == ([1, 2, 3], [])


def test_open_turn_can_be_rewound_and_brought_back() -> None:
    """A rewind takes the whole turn with its open call; an undo brings the call back, and it can be answered."""
    journal = Journal([header(), *ANSWERED_CALL, rewound(1)])
    assert (journal.history, journal.open_turn) == ([], None)
    journal.apply(undone(1))
    assert journal.open_turn is journal.turns[1]
    assert journal.next_exchange(user(result())) == (1, "1.2")


def test_history_as_sent() -> None:
    """The history is what goes back to the API: the role of an answer is model, and its empty Parts are gone."""
    body = told("1.1", {"text": ""}, {"text": "x", "later": 1}, {}, {"text": "", "thoughtSignature": "cw=="})
    body["answer"]["candidates"][0]["content"].pop("role")
    journal = Journal([header(), asked("1.1"), body])
    assert journal.history[1] == model({"text": "x", "later": 1}, {"text": "", "thoughtSignature": "cw=="})


def test_at() -> None:
    """Turn 0 is the session before any turn, one that never was a KeyError; a rewound turn can be gone back to."""
    journal = Journal([header(), *turn("1.1"), asked("2.1"), failed("2.1")])
    assert journal.at(0).records == [header()]
    assert journal.at(2).history == journal.at(1).history == journal.history
    with pytest.raises(KeyError):
        journal.at(3)
    journal = Journal([header(), *turn("1.1"), *turn("2.1"), rewound(1, 2), *turn("3.1")])
    assert (live(journal.at(2)), live(journal.at(3))) == ([1, 2], [3])
    # The audit of a tool belongs to the turn it ran in.
    body = [header(), *ANSWERED_CALL, {"kind": "tool", "time": T, "request": "1.1"}]
    assert Journal([*body, rewound(1)]).at(1).records == body


def test_settings_may_change_while_nothing_was_answered() -> None:
    """A later session record with the same id counts for all that follows, and for a fork at any turn."""
    other = header(model="m2")
    journal = Journal([header(), asked("1.1"), failed("1.1"), other, *turn("2.1")])
    assert journal.header == other
    assert [journal.at(number).header for number in range(3)] == [other] * 3
    assert [exchange.state for exchange in journal.exchanges] == [FAILED, ANSWERED]


def test_fork_keeps_records() -> None:
    """A fork has the answered exchanges of live turns only, with their numbers and times, marked as imported."""
    body = [header(), asked("1.1"), told("1.1", valid=False), asked("2.1"), told("2.1", call())]
    body += [asked("2.2", result()), failed("2.2"), asked("2.3", result()), told("2.3"), asked("4.1"), told("4.1")]
    kept = [asked("2.1"), told("2.1", call()), asked("2.3", result()), told("2.3")]
    assert imported_history.from_session(Journal([*body, rewound(4)])) == [
        record | {"imported": True} for record in kept
    ]


LONG = [asked("2.1"), part("2.1", token="t1"), goes_on("2.1", 2, "t1"), part("2.1", token="t2")]
"""An answer of two hops that can go on."""


def test_fork_of_a_long_answer() -> None:
    """The hops come along, each with the record that asked for it last; tries that failed stay behind."""
    body = [header(), *turn("1.1"), *LONG, goes_on("2.1", 3, "t2"), failed("2.1"), goes_on("2.1", 3, "t2", config={})]
    body += [part("2.1", token=None, finish="STOP"), *turn("3.1")]
    fork = imported_history.from_session(Journal(body))
    kept = [*turn("1.1"), *LONG, goes_on("2.1", 3, "t2", config={}), part("2.1", token=None, finish="STOP")]
    assert fork == [record | {"imported": True} for record in [*kept, *turn("3.1")]]
    assert Journal([header(), *fork]).history == Journal(body).history
    assert totals_of(Journal([header(), *fork]))["requests"] == 0


def test_a_failed_hop_without_a_reason() -> None:
    """Only the request, the outcome and the kind of a failure are there for certain: a hop may still be asked for."""
    failure: Any = failed("2.1")
    failure.pop("reason", None)
    journal = Journal([header(), *turn("1.1"), *LONG, goes_on("2.1", 3, "t2"), failure])
    assert journal.resumable is journal.continuable is not None


def test_going_back_to_a_long_answer() -> None:
    """A session at the turn of a long answer has its hops, and can go on there; one before that turn has none."""
    journal = Journal([header(), *turn("1.1"), *LONG, *turn("3.1")])
    assert journal.continuable is None
    assert (journal.at(1).continuable, live(journal.at(1))) == (None, [1])
    then = journal.at(2)
    assert then.continuable is then.turns[2].exchanges[0]
    assert then.history == [user("q1.1"), model("a1.1"), user("q2.1"), model("part part ")]


CONTINUABLE = {
    "goes-on": (LONG, True),
    "max-tokens": ([asked("2.1"), part("2.1", finish="MAX_TOKENS")], True),
    "nothing-said-yet": ([asked("2.1"), part("2.1", valid=False)], True),
    "hop-pending": ([*LONG, goes_on("2.1", 3)], True),
    "hop-failed": ([*LONG, goes_on("2.1", 3), failed("2.1")], True),
    "hop-in-doubt": ([*LONG, goes_on("2.1", 3), failed("2.1", "unknown")], True),
    "rewound": ([*LONG, rewound(2)], False),
    "brought-back": ([*LONG, rewound(2), undone(2)], True),
    "stopped-with-a-token": ([asked("2.1"), part("2.1", finish="STOP")], False),
    "blocked-with-a-token": ([*LONG, goes_on("2.1", 3), part("2.1", finish="SAFETY", valid=False)], False),
    "no-token": ([asked("2.1"), part("2.1", token=None)], False),
    "ended": ([*LONG, goes_on("2.1", 3), told("2.1")], False),
    "another-message-after-it": ([*LONG, asked("3.1"), failed("3.1")], False),
    "tool-run-after-it": ([*LONG, {"kind": "tool", "time": T, "request": "2.1"}], True),
    "pending": ([asked("2.1")], False),
    "failed": ([asked("2.1"), failed("2.1", "unknown")], False),
}


@pytest.mark.parametrize(("body", "expected"), CONTINUABLE.values(), ids=CONTINUABLE)
def test_continuable(body: list[Any], expected: bool) -> None:
    """The newest answer can go on if it left a token for that, and stands after the same history as when it came."""
    exchange = Journal([header(), *turn("1.1"), *body]).continuable
    assert (exchange and exchange.id) == ("2.1" if expected else None)


HOPS_IN_DOUBT = {
    "no-hop-asked-for": ([*LONG[:2]], False),
    "all-answered": (LONG, False),
    "pending": ([*LONG, goes_on("2.1", 3)], True),
    "rejected": ([*LONG, goes_on("2.1", 3), failed("2.1")], False),
    "unknown": ([*LONG, goes_on("2.1", 3), failed("2.1", "unknown")], True),
    "asked-for-again": ([*LONG, goes_on("2.1", 3), failed("2.1", "unknown"), goes_on("2.1", 3), failed("2.1")], False),
    "answered-at-last": ([*LONG, goes_on("2.1", 3), goes_on("2.1", 3), told("2.1")], False),
}


@pytest.mark.parametrize(("body", "expected"), HOPS_IN_DOUBT.values(), ids=HOPS_IN_DOUBT)
def test_hops_in_doubt(body: list[Any], expected: bool) -> None:
    """A further hop is in doubt if it was asked for, and its newest try has no certain outcome."""
    exchange = Journal([header(), *body]).turns[2].exchanges[0]
    assert exchange.hop_in_doubt == expected
    assert exchange.state == ANSWERED


def test_a_blocked_hop_leaves_the_earlier_ones_in_the_history() -> None:
    """What the history has of a long answer are its hops up to the last valid one; the whole answer has them all."""
    body = [header(), *LONG, goes_on("2.1", 3), part("2.1", "bad", finish="SAFETY", token=None, valid=False)]
    journal = Journal(body)
    exchange = journal.turns[2].exchanges[0]
    assert journal.history == [user("q2.1"), model("part part ")]
    assert content_of(exchange.answer) == model("part ", "part ", "bad")
    assert (exchange.verdict.valid, exchange.verdict.text) == (True, "part part ")
    assert exchange.verdict.error is not None
    assert exchange.verdict.error.message == "the answer was cut off at hop 3: the answer ended with SAFETY"


def test_the_bill_of_a_long_answer() -> None:
    """Each hop was paid for, and what arrived of the tries that failed; each try is a request."""
    partial = {"usageMetadata": {"totalTokenCount": 5}}
    body = [header(), *LONG, goes_on("2.1", 3), failed("2.1", "unknown") | {"partial": partial}]
    journal = Journal([*body, goes_on("2.1", 3), failed("2.1", "unknown") | {"partial": partial}])
    totals = totals_of(journal)
    assert (totals["requests"], totals["totalTokenCount"], totals["turns"]) == (4, 7 + 7 + 5 + 5, 1)
    exchange = journal.turns[2].exchanges[0]
    assert exchange.usage == {"promptTokenCount": 6, "candidatesTokenCount": 8, "totalTokenCount": 24}
    fork = Journal([header(), *imported_history.from_session(journal), goes_on("2.1", 3), told("2.1")])
    assert (totals_of(fork)["requests"], totals_of(fork)["totalTokenCount"]) == (1, 7)


def test_tool_runs() -> None:
    """Of each call of an exchange the newest record counts; records without what one needs to know do not."""
    calls: list[Any] = [call("f")["functionCall"], call("g")["functionCall"]]
    started = [records.tool_started("1.1", place, calls[place]) for place in (0, 1)]
    ended = records.tool_ended("1.1", 1, calls[1], response={"result": 1}, elapsed_ms=3)
    other = records.tool_started("2.1", 0, calls[0])
    vague = [{"kind": "tool", "time": T, "request": "1.1"} | more for more in ({}, {"state": "ended", "place": 1})]
    body = [header(), *ANSWERED_CALL, *started, ended, *vague, other]
    journal = reread(Journal(body))
    assert journal.tool_runs("1.1") == {0: started[0], 1: ended}
    assert journal.tool_runs("3.1") == {}


def test_totals_count_what_was_billed() -> None:
    """Refused, failed and rewound exchanges count; imported ones do not, nor does what is no number."""
    usage = {"promptTokenCount": 3, "candidatesTokenCount": True, "thoughtsTokenCount": "5", "totalTokenCount": 9}
    body = answer("x") | {"usageMetadata": usage}
    recorded = [asked("1.1", imported=True), told("1.1", imported=True)]
    recorded += [asked("2.1"), told("2.1", answer=body), asked("3.1"), told("3.1", answer=body, valid=False)]
    recorded += [asked("4.1"), failed("4.1"), asked("5.1"), told("5.1", answer={"usageMetadata": None}, valid=False)]
    assert totals_of(Journal([header(), *recorded, rewound(2)])) == {
        "turns": 1, "requests": 4, "promptTokenCount": 6, "cachedContentTokenCount": 0,
        "candidatesTokenCount": 0, "thoughtsTokenCount": 0, "toolUsePromptTokenCount": 0,
        "totalTokenCount": 18,
    }  # fmt: skip


NO_COUNTS = {
    "huge": 10**4299,
    "beyond": 2**53 + 1,
    "negative": -1,
    "fraction": 1.5,
    "boolean": True,
    "text": "9",
    "list": [9],
}


@pytest.mark.parametrize("count", NO_COUNTS.values(), ids=NO_COUNTS)
def test_totals_leave_out_what_is_no_count(count: Any) -> None:
    """A count that no API sends is kept in its record, and is not added: totals can always be printed."""
    recorded = [asked("1.1"), told("1.1", answer=answer("x", usageMetadata={"totalTokenCount": count}))]
    recorded += [asked("2.1"), told("2.1", answer=answer("x", usageMetadata={"totalTokenCount": 9}))]
    journal = reread(Journal([header(), *recorded]))
    assert totals_of(journal)["totalTokenCount"] == 9
    assert json.dumps(totals_of(journal))
    assert next(journal.exchanges).usage == {"totalTokenCount": count}


@pytest.mark.parametrize("number", [10**4299, 2**53 + 1, -1])
def test_numbers_of_records(number: int) -> None:
    """A record with a number that nothing can be calculated with is refused, and named."""
    for record, name in (
        (asked("1.1", turn=number), "turn"),
        (told("1.1", elapsed_ms=number), "elapsed_ms"),
        (told("1.1", attempts=[{"elapsed_ms": number}]), "attempts"),
    ):
        with pytest.raises(record_lines.RecordError, match=f"invalid `{name}`"):
            record_lines.decode(record_lines.encode(record))


def test_totals_name_the_counters_of_the_sdk() -> None:
    """Every counter of the SDK's usage metadata is added up, under its wire name."""
    fields = types.GenerateContentResponseUsageMetadata.model_fields
    counters = {field.alias for name, field in fields.items() if name.endswith("_token_count")}
    assert counters <= totals_of(Journal([header()])).keys()


# The SDK's chat as the oracle

Body = dict[str, Any]


def ours(bodies: Sequence[Body]) -> list[Content]:
    """Our history after the messages m1, m2, … got these answers."""
    journal = Journal([header()])
    for number, body in enumerate(bodies, 1):
        read = answers.read(json.dumps(body).encode())
        turn, name = journal.next_exchange(user(f"m{number}"))
        journal.apply(records.request(turn, name, user(f"m{number}"), model="m", backend="gemini"))
        valid = answers.judge(read).valid
        journal.apply(records.response(name, read, valid=valid, attempts=[], elapsed_ms=1))
    return journal.history


def theirs(bodies: Sequence[Body]) -> list[Any]:
    """The curated history of the SDK's chat after the messages m1, m2, … got these answers over HTTP."""
    with Server() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server.script(*bodies)
        options = types.HttpOptions(base_url=server.url)
        with genai.Client(api_key="k", vertexai=False, http_options=options) as client:
            config = types.GenerateContentConfig(automatic_continuation=False)
            chat = client.chats.create(model="m", config=config)
            for number in range(1, len(bodies) + 1):
                chat.send_message(f"m{number}")
            history = chat.get_history(curated=True)
    return [content.model_dump(mode="json", by_alias=True, exclude_none=True) for content in history]


def blocked(finish: str) -> Body:
    """An answer without content that ended with this finish reason."""
    return {"candidates": [{"finishReason": finish, "index": 0}]}


PLAIN = answer("plain")

AGREED: dict[str, list[Body]] = {
    "one": [answer("a")],
    "three": [answer("a"), answer("b"), answer("c")],
    "unicode": [answer("é\u2028\U0001f600\x00")],
    "several-parts": [answer("a", "b", {"text": "c"})],
    "thought-and-text": [answer({"text": "hm", "thought": True}, "a")],
    "signature": [answer({"text": "a", "thoughtSignature": "c2ln"})],
    "signature-alone-at-the-end": [answer("a", {"text": "", "thoughtSignature": "c2ln"})],
    "code": [answer({"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "one")],
    "image": [answer({"inlineData": {"mimeType": "image/png", "data": "aGk="}})],
    "call": [answer("look", call("f", id="1", args={"a": [1, None]}))],
    "max-tokens": [answer("half", finish="MAX_TOKENS"), PLAIN],
    "continuation": [answer("half", finish="CONTINUATION"), PLAIN],
    "max-tokens-nothing": [{"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]}, PLAIN],
    "unknown-finish-reason": [answer("a", finish="TIDIED_UP"), PLAIN],
    "prompt-blocked": [{"promptFeedback": {"blockReason": "SAFETY"}}, PLAIN],
    "blocked-between": [PLAIN, blocked("SAFETY"), PLAIN],
    "blocked-recitation": [blocked("RECITATION"), PLAIN],
    "malformed-call": [blocked("MALFORMED_FUNCTION_CALL"), PLAIN],
    "no-candidates": [{"usageMetadata": {"totalTokenCount": 1}}, PLAIN],
    "empty-candidates": [{"candidates": []}, PLAIN],
    "empty-object": [{}, PLAIN],
    "no-parts": [answer(), PLAIN],
    "empty-part": [answer({}), PLAIN],
    "two-candidates": [{"candidates": answer("first")["candidates"] + answer("second")["candidates"]}],
}  # fmt: skip


@pytest.mark.parametrize("name", AGREED)
def test_agrees_with_the_sdk(name: str) -> None:
    """For plain answers the folded history is the curated history of the SDK's chat."""
    assert ours(AGREED[name]) == theirs(AGREED[name])


def without_role(body: Body) -> Body:
    """The answer with no role in its content."""
    body["candidates"][0]["content"].pop("role")
    return body


LATER = contents("m2", "plain")

DIFFERENT: dict[str, tuple[str, list[Body], list[Content], list[Content]]] = {
    # name: why, answers, our history, the SDK's
    "safety-with-text": (
        "the SDK does not look at the finish reason: what was cut off by a filter goes out again",
        [answer("half", finish="SAFETY"), PLAIN], LATER, contents("m1", "half", "m2", "plain")),
    "recitation-with-text": ("the same", [answer("half", finish="RECITATION"), PLAIN], LATER,
        contents("m1", "half", "m2", "plain")),
    "malformed-call-with-text": ("the same, for a call that the API could not read",
        [answer("print(f", finish="MALFORMED_FUNCTION_CALL"), PLAIN], LATER, contents("m1", "print(f", "m2", "plain")),
    "unfinished": ("an answer without a finish reason is one that broke off; the SDK keeps it",
        [answer("half", finish=None), PLAIN], LATER, contents("m1", "half", "m2", "plain")),
    "thought-only": ("thoughts are no answer: with only them the model has not said anything yet",
        [answer({"text": "hm", "thought": True}), PLAIN], LATER,
        [user("m1"), model({"text": "hm", "thought": True}), *LATER]),
    "empty-text": ("the SDK takes empty text for an answer, and the API refuses it in the next request",
        [answer(""), PLAIN], LATER, [user("m1"), model(""), *LATER]),
    "empty-part-beside-text": (
        "the SDK drops the whole turn for one empty Part, and the model forgets what was said",
        [answer("a", {}), PLAIN], contents("m1", "a", "m2", "plain"), LATER),
    "no-role": ("the SDK records a Content without a role, which it refuses to load again",
        [without_role(answer("a"))], contents("m1", "a"), [user("m1"), {"parts": [{"text": "a"}]}]),
    "unknown-fields": ("the SDK drops what it does not know", [answer({"text": "a", "mood": "good"})],
        [user("m1"), model({"text": "a", "mood": "good"})], contents("m1", "a")),
    "alphabet-of-base64": ("the SDK writes bytes in its own alphabet; ours go back as they came",
        [answer({"text": "a", "thoughtSignature": "+/+/"})],
        [user("m1"), model({"text": "a", "thoughtSignature": "+/+/"})],
        [user("m1"), model({"text": "a", "thoughtSignature": "-_-_"})]),
}  # fmt: skip


@pytest.mark.parametrize(("why", "bodies", "own", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_differs_from_the_sdk(why: str, bodies: list[Body], own: list[Content], other: list[Content]) -> None:
    """Where our history differs from the SDK's, both are known, and so is the reason."""
    assert ours(bodies) == own, why
    assert theirs(bodies) == other, why


# Whatever a file holds

WORDS = st.sampled_from(["", "1.1", "user", "model", "f"])
VALUES = json_values(
    st.none() | st.booleans() | st.integers(-1, 3) | WORDS, st.sampled_from(["role", "parts", "text"]), 8
)
WHOLE = [
    header(), asked("1.1"), told("1.1", call()), asked("1.2", result()), told("1.2"), asked("2.1"),
    failed("2.1"), rewound(1), undone(1),
]  # fmt: skip


@hypothesis.given(st.data())
def test_any_record_folds_or_is_refused(data: st.DataObject) -> None:
    """Whatever stands where in a record, it folds or is refused, and nothing else."""
    body: list[Any] = [dict(record) for record in WHOLE]
    for _ in range(data.draw(st.integers(1, 3))):
        record = data.draw(st.sampled_from(body))
        record[data.draw(st.sampled_from(sorted(record.keys() - {"kind"})))] = data.draw(VALUES)
    try:
        journal = fold(body)
    except GemcliError:
        return
    assert everything(reread(journal)) == everything(journal)
    assert turn_order.check(journal.history) is not None
    assert all(isinstance(count, int) for count in totals_of(journal).values())
