"""The fold: what a session's records say, in one reading.

A journal is made from records in the order of their lines and tells the turns, the state of each
exchange, and the history, which is what the next request carries. Rules and words are those of the
file format; a record that breaks them raises `JournalError`, and the journal is then of no further
use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gemcli.chat import turn_order as order
from gemcli.chat.contents import Content, as_sent, function_responses
from gemcli.chat.shapes import answer_fault, config_fault, content_of
from gemcli.errors import ReasonName
from gemcli.sessions.records import FORMAT, KINDS, Record

PENDING = "pending"
ANSWERED = "answered"
REFUSED = "refused"
FAILED = "failed"
IN_DOUBT = "in_doubt"

USAGE = (
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
)
"""The counters of `usageMetadata` that are added up."""


class JournalError(ValueError):
    """A record that does not fit. `reason` is a key of `errors.REASONS`."""

    def __init__(self, message: str, reason: ReasonName = "CORRUPT") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and what became of it. `state` is one of the five words above."""

    id: str
    turn: int
    request: Record
    state: str = PENDING
    outcome: Record | None = None

    @property
    def answer(self) -> dict[str, Any] | None:
        """The API's whole answer, `None` when there is none."""
        return (
            self.outcome["answer"] if self.outcome and self.outcome["kind"] == "response" else None
        )

    @property
    def usage(self) -> Any:
        """The `usageMetadata` of the answer, or of what arrived of it; None when there is none."""
        partial = (self.outcome or {}).get("partial")
        told = self.answer or (partial if isinstance(partial, dict) else {})
        return told.get("usageMetadata")

    @property
    def contents(self) -> list[Content]:
        """What this exchange adds to the history: the user and the model Content, or nothing."""
        return (
            [self.request["content"], as_sent(content_of(self.answer))]
            if self.state == ANSWERED
            else []
        )


@dataclass(slots=True, eq=False)
class Turn:
    """One user message and everything up to the model's final answer."""

    number: int
    exchanges: list[Exchange] = field(default_factory=list)
    rewound: bool = False

    @property
    def contents(self) -> list[Content]:
        """What the turn adds to the history, oldest first, whether or not it was rewound."""
        return [content for exchange in self.exchanges for content in exchange.contents]


class Journal:
    """A session in memory: its `header`, its `turns` by number, the `live` ones, and the records they came from.

    `live` are the turns that make the history, oldest first. A turn enters it with its first answer
    and only a rewind takes turns off its end, so it is a stack, and the fold stays linear.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        """Fold `records`, the session record first.

        Raises `JournalError` naming the record's fault.
        """
        self.records: list[Record] = []
        self.header: Record = {}
        self.turns: dict[int, Turn] = {}
        self.live: list[Turn] = []
        self.pending: Exchange | None = None
        self._rewinds: list[list[int]] = []
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take in the next record. Raises `JournalError` when it does not fit what came before."""
        kind = record["kind"]
        if not self.records:
            self._session(record)
        elif kind not in KINDS:
            raise JournalError(
                f"records of kind {kind!r} are not known to this version", "NEWER_FORMAT"
            )
        else:
            _APPLY[kind](self, record)
        self.records.append(record)

    # What a session tells

    @property
    def history(self) -> list[Content]:
        """The Contents that the next request carries, oldest first."""
        return [content for turn in self.live for content in turn.contents]

    @property
    def open_turn(self) -> Turn | None:
        """The turn whose function calls wait for responses, if the history ends in one."""
        last = self.live[-1] if self.live else None
        # Not the whole turn: it is asked for at every request, and a turn may have many exchanges.
        answered = (
            (one for one in reversed(last.exchanges) if one.state == ANSWERED) if last else iter(())
        )
        newest = next(answered, None)
        return last if newest and order.open_calls(newest.contents) else None

    @property
    def last_number(self) -> int:
        """The highest turn number given so far, 0 before the first turn."""
        return next(reversed(self.turns), 0)

    @property
    def exchanges(self) -> Iterator[Exchange]:
        """Every exchange of every turn, in file order of the turns."""
        return (exchange for turn in self.turns.values() for exchange in turn.exchanges)

    @property
    def undoable(self) -> list[int]:
        """The turns that `undo` would bring back, oldest first.

        `[]` when there is nothing to undo.
        """
        return list(self._rewinds[-1]) if self._rewinds else []

    def next_exchange(self, content: Content) -> tuple[int, str]:
        """The turn number and exchange id that a request with `content` gets."""
        turn = self.open_turn if function_responses(content) else None
        if turn is None:
            number = self.last_number + 1
            return number, f"{number}.1"
        return turn.number, f"{turn.number}.{_ordinal(turn.exchanges[-1].id) + 1}"

    def at(self, number: int) -> Journal:
        """The session as it was after the last record of turn `number`.

        0 is the session before any turn.

        Raises `KeyError` when there never was such a turn.
        """
        if number == 0:
            return Journal(self.records[:1])
        if number not in self.turns:
            raise KeyError(number)
        last = max(
            line for line, record in enumerate(self.records) if _turn_of(record) == str(number)
        )
        return Journal(self.records[: last + 1])

    def fork(self) -> list[Record]:
        """The history as records for another session: numbers and times kept, marked `imported`."""
        answered = (
            exchange
            for turn in self.live
            for exchange in turn.exchanges
            if exchange.state == ANSWERED
        )
        pairs = ((exchange.request, exchange.outcome) for exchange in answered)
        return [record | {"imported": True} for pair in pairs for record in pair if record]

    def totals(self) -> dict[str, int]:
        """Counts since the session began.

        Live turns, requests, and tokens as billed, in the API's names.

        Refused, broken and rewound answers count, for they were paid; imported and forked ones do
        not.
        """
        own = [exchange for exchange in self.exchanges if not exchange.request.get("imported")]
        usages = [exchange.usage for exchange in own]
        sums = {name: sum(token_count(usage, name) for usage in usages) for name in USAGE}
        return {"turns": len(self.live), "requests": len(own)} | sums

    # One method for each kind of record

    def _session(self, record: Record) -> None:
        if record["kind"] != "session":
            raise JournalError(
                "not a gemcli session: the first line is not a session record", "NOT_A_SESSION"
            )
        self._format(record)
        for name, kind in (("id", str), ("model", str), ("backend", str), ("config", dict)):
            _require(record, name, kind)
        if fault := config_fault(record["config"]):
            raise JournalError(f"a config that is none: {fault}")
        for name, kind in (("project", str), ("location", str), ("origin", dict)):
            _optional(record, name, kind)
        self.header = record

    def _format(self, record: Record) -> None:
        if (number := _require(record, "format", int)) > FORMAT:
            raise JournalError(
                f"format {number} is newer than {FORMAT}, which this version reads", "NEWER_FORMAT"
            )

    def _request(self, record: Record) -> None:
        number, name = _require(record, "turn", int), _require(record, "id", str)
        content = _content(record.get("content"), "the content")
        for field_name in ("model", "backend"):
            _require(record, field_name, str)
        if fault := config_fault(record.get("config") or {}):
            raise JournalError(f"a config that is none: {fault}")
        self._give_up_pending()
        open_turn = self.open_turn
        if function_responses(content):
            if open_turn is None or open_turn.number != number:
                raise JournalError(f"function responses for turn {number}, which has no open call")
            turn = open_turn
        elif open_turn is not None:
            raise JournalError(
                f"a new message while turn {open_turn.number} waits for function responses"
            )
        else:
            if number <= self.last_number:
                raise JournalError(
                    f"turn {number} stands here again or out of order: were two copies merged?"
                )
            turn = Turn(number)
        last = _ordinal(turn.exchanges[-1].id) if turn.exchanges else 0
        if not _is_id(name, number) or _ordinal(name) <= last:
            raise JournalError(
                f"the id {name!r} does not follow in turn {number}: were two copies merged?"
            )
        self.turns[number] = turn
        self.pending = Exchange(name, number, record)
        turn.exchanges.append(self.pending)

    def _response(self, record: Record) -> None:
        exchange = self._take_pending(record)
        if fault := answer_fault(_require(record, "answer", dict)):
            raise JournalError(f"an answer that is none: {fault}")
        _optional(record, "elapsed_ms", int)
        _attempts(record)
        if _require(record, "valid", bool):
            exchange.state = ANSWERED
            self._rewinds.clear()
            if not self.live or self.live[-1].number != exchange.turn:
                self.live.append(self.turns[exchange.turn])
        else:
            exchange.state = REFUSED
        exchange.outcome = record

    def _failure(self, record: Record) -> None:
        exchange = self._take_pending(record)
        _attempts(record)
        rejected = _require(record, "outcome", str) == "rejected"
        exchange.state, exchange.outcome = (FAILED if rejected else IN_DOUBT), record

    def _tool(self, record: Record) -> None:
        _require(record, "request", str)

    def _rewind(self, record: Record) -> None:
        self._give_up_pending()
        numbers = _numbers(record)
        if not numbers or [turn.number for turn in self.live[-len(numbers) :]] != numbers:
            raise JournalError(f"rewinds turns {numbers}, which are not the last of the history")
        for turn in self.live[-len(numbers) :]:
            turn.rewound = True
        del self.live[-len(numbers) :]
        self._rewinds.append(numbers)

    def _undo(self, record: Record) -> None:
        self._give_up_pending()
        numbers = _numbers(record)
        if not self._rewinds or self._rewinds[-1] != numbers:
            raise JournalError(
                f"takes back a rewind of turns {numbers}, which cannot be taken back here"
            )
        for number in self._rewinds.pop():
            self.turns[number].rewound = False
            self.live.append(self.turns[number])

    def _second_session(self, _record: Record) -> None:
        raise JournalError("a second session record: were two files joined?")

    def _give_up_pending(self) -> None:
        """A request followed by anything but its outcome never gets one.

        It is in doubt for good.
        """
        if self.pending:
            self.pending.state, self.pending = IN_DOUBT, None

    def _take_pending(self, record: Record) -> Exchange:
        name = _require(record, "request", str)
        if self.pending is None or self.pending.id != name:
            raise JournalError(f"an outcome for request {name!r}, which is not the one under way")
        exchange, self.pending = self.pending, None
        return exchange


_APPLY: dict[str, Callable[[Journal, Record], None]] = {
    "request": Journal._request,
    "response": Journal._response,
    "failure": Journal._failure,
    "tool": Journal._tool,
    "rewind": Journal._rewind,
    "undo": Journal._undo,
    "format": Journal._format,
    "session": Journal._second_session,
}


def _require(record: Record, name: str, kind: type) -> Any:
    value = record.get(name)
    # A boolean is an int to Python, never to a journal.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise JournalError(
            f"a {record['kind']} record whose `{name}` is missing or of the wrong kind"
        )
    return value


def _optional(record: Record, name: str, kind: type) -> Any:
    """`_require` for what may be missing, or null."""
    return None if record.get(name) is None else _require(record, name, kind)


def _attempts(record: Record) -> None:
    """Refuse attempts that are not objects, or whose time is no number."""
    attempts = _optional(record, "attempts", list) or []
    if not all(
        isinstance(one, dict) and isinstance(one.get("elapsed_ms", 0), int) for one in attempts
    ):
        raise JournalError("a response record whose `attempts` are not objects, each with its time")


def _content(value: Any, what: str) -> Content:
    if problem := next(order.shape(0, value), None):
        raise JournalError(f"{what}: {problem.message}")
    content: Content = value
    return content


def _numbers(record: Record) -> list[int]:
    numbers = _require(record, "turns", list)
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise JournalError(f"a {record['kind']} record whose `turns` are not numbers")
    return list(numbers)


def _is_id(name: str, turn: int) -> bool:
    head, _, tail = name.partition(".")
    return (
        head == str(turn)
        and tail.isascii()
        and tail.isdigit()
        and len(tail) < 10
        and tail[0] != "0"
    )


def _ordinal(name: str) -> int:
    """The exchange's place in its turn: 2 of `"7.2"`."""
    return int(name.partition(".")[2])


def _turn_of(record: Record) -> str | None:
    """The number of the turn a record belongs to, as its id has it.

    `None` for those that belong to none.
    """
    name = record.get("id" if record["kind"] == "request" else "request")
    return name.partition(".")[0] if isinstance(name, str) else None


def token_count(usage: Any, name: str) -> int:
    """A counter of `usageMetadata`, in which 0 is left out; what is no number counts nothing."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
