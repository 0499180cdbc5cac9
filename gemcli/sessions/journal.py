"""The fold: what a session's records mean, in one reading.

A journal takes records in the order of their lines and knows the turns, the state of each exchange,
and the history, which is what the next request carries. A record that breaks the rules of the file
format raises `RecordError`, and the journal is then of no further use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gemcli.chat import turn_order
from gemcli.chat.answers import continuation_token
from gemcli.chat.contents import Content, FunctionCall, function_responses
from gemcli.chat.long_answers import is_continuable
from gemcli.sessions.record_lines import RecordError
from gemcli.sessions.record_types import (
    ContinueRecord,
    FailureRecord,
    Record,
    RequestRecord,
    ResponseRecord,
    SessionRecord,
    ToolRecord,
)
from gemcli.sessions.turns import ANSWERED, FAILED, IN_DOUBT, PENDING, REFUSED, Exchange, Turn

EXCHANGE_ID = re.compile(r"([0-9]+)\.([1-9][0-9]{0,8})")
"""The id of an exchange: the number of its turn, and its place in the turn."""

TOOL_KEYS = {
    "started": {"place", "call"},
    "ended": {"place", "call", "response", "elapsed_ms"},
}
"""What a `tool` record must have to be of use, by its state."""


class Journal:
    """A session in memory: its `records`, its `header`, and its `turns` by number.

    `live` are the turns that make the history. A turn enters with its first answer, and only a
    rewind takes turns off the end, so it is a stack, and the fold stays linear. `torn_bytes` is how
    much a crash left at the end of the file that is no record.
    """

    header: SessionRecord

    def __init__(self, records: Iterable[Record]) -> None:
        """Fold `records`, the session record first. Raises `RecordError`."""
        self.records: list[Record] = []
        self.turns: dict[int, Turn] = {}
        self.live: list[Turn] = []
        self.pending: Exchange | None = None
        self.torn_bytes = 0
        self._rewinds: list[list[int]] = []
        self._newest: Exchange | None = None
        self._rewinds_before_newest: list[list[int]] = []
        self._tool_runs: dict[str, dict[int, ToolRecord]] = {}
        for record in records:
            self.apply(record)

    # What a session knows

    @property
    def answered(self) -> Iterator[Exchange]:
        """The exchanges that make the history, oldest first."""
        for turn in self.live:
            for exchange in turn.exchanges:
                if exchange.state == ANSWERED:
                    yield exchange

    @property
    def history(self) -> list[Content]:
        """The Contents that the next request carries, oldest first."""
        return [content for exchange in self.answered for content in exchange.contents]

    @property
    def open_turn(self) -> Turn | None:
        """The turn whose function calls wait for responses, if the history ends in one."""
        return self.live[-1] if self.open_exchange else None

    @property
    def open_exchange(self) -> Exchange | None:
        """The exchange whose function calls wait for responses, if the history ends in one."""
        last = self.live[-1].exchanges if self.live else []
        # Only the last answer of the turn is looked at: a turn may have many exchanges.
        answered = next((each for each in reversed(last) if each.state == ANSWERED), None)
        return answered if answered and turn_order.open_calls(answered.contents) else None

    @property
    def open_calls(self) -> list[FunctionCall]:
        """The function calls at the end of the history, which wait for responses."""
        exchange = self.open_exchange
        return turn_order.open_calls(exchange.contents) if exchange else []

    @property
    def last_number(self) -> int:
        """The highest turn number given so far, 0 before the first turn."""
        return next(reversed(self.turns), 0)

    @property
    def exchanges(self) -> Iterator[Exchange]:
        """Every exchange of every turn, in file order of the turns."""
        return (exchange for turn in self.turns.values() for exchange in turn.exchanges)

    @property
    def models(self) -> set[str]:
        """The models that have answered in this session."""
        return {exchange.request["model"] for exchange in self.answered}

    @property
    def in_doubt(self) -> Exchange | None:
        """The newest exchange, if it is unknown whether it was answered."""
        newest = self._newest
        return newest if newest and newest.state in (PENDING, IN_DOUBT) else None

    @property
    def continuable(self) -> Exchange | None:
        """The newest exchange, if its answer can go on and the history before it is as it was."""
        newest = self._unfollowed
        return newest if newest and is_continuable(newest.answer or {}) else None

    @property
    def resumable(self) -> Exchange | None:
        """The exchange that is `continuable`, if there is any use in it."""
        newest = self.continuable
        return newest if newest and not newest.is_stuck else None

    @property
    def _unfollowed(self) -> Exchange | None:
        """The newest exchange, if the history before it is as it was."""
        return self._newest if self._rewinds == self._rewinds_before_newest else None

    @property
    def open_runs(self) -> dict[int, ToolRecord]:
        """The newest record of each tool that was run for the calls that wait, by their places."""
        exchange, calls = self.open_exchange, self.open_calls
        runs = self.tool_runs(exchange.id).items() if exchange else ()
        return {place: run for place, run in runs if run["call"] in calls[place : place + 1]}

    def tool_runs(self, exchange: str) -> dict[int, ToolRecord]:
        """The newest record of each tool that was run for the calls of an exchange, by place."""
        return self._tool_runs.get(exchange, {})

    @property
    def only_rejected(self) -> bool:
        """Whether no request of this session, if there was any, can have been answered."""
        return all(exchange.state == FAILED for exchange in self.exchanges)

    @property
    def undoable(self) -> list[int]:
        """The turns that an undo would bring back, oldest first."""
        return list(self._rewinds[-1]) if self._rewinds else []

    def next_exchange(self, content: Content) -> tuple[int, str]:
        """The turn number and exchange id that a request with `content` gets."""
        turn = self.open_turn if function_responses(content) else None
        if turn is None:
            number = self.last_number + 1
            return number, f"{number}.1"
        return turn.number, f"{turn.number}.{_ordinal(turn.exchanges[-1].id) + 1}"

    def at(self, number: int) -> Journal:
        """The session as it was when turn `number` ended; 0 is before any turn, else `KeyError`."""
        if number and number not in self.turns:
            raise KeyError(number)
        kept = [
            place
            for place, record in enumerate(self.records)
            if _turn_of(record) == str(number) or record["kind"] == "session"
        ]
        return Journal(self.records[: max(kept) + 1])

    # The fold

    def apply(self, record: Record) -> None:
        """Take in the next record. Raises `RecordError` if it does not follow what came before."""
        if record["kind"] == "request":
            self._request(record)
        elif record["kind"] == "continue":
            self._continue(record)
        elif record["kind"] == "response":
            self._response(record)
        elif record["kind"] == "failure":
            self._failure(record)
        elif record["kind"] == "rewind":
            self._rewind(record["turns"])
        elif record["kind"] == "undo":
            self._undo(record["turns"])
        elif record["kind"] == "session":
            self._session(record)
        elif record["kind"] == "tool":
            self._tool(record)
        # Records of the kind `format` change nothing.
        self.records.append(record)

    def _session(self, record: SessionRecord) -> None:
        """Take the settings of a session: of a new one, or others while nothing was answered."""
        if self.records and (record["id"] != self.header["id"] or not self.only_rejected):
            raise RecordError("a second session record: were two files joined?")
        self.header = record

    def _request(self, record: RequestRecord) -> None:
        self._give_up_pending()
        turn = self._turn_for(record)
        name = record["id"]
        last = _ordinal(turn.exchanges[-1].id) if turn.exchanges else 0
        parts = EXCHANGE_ID.fullmatch(name)
        if not parts or parts[1] != str(turn.number) or int(parts[2]) <= last:
            raise RecordError(
                f"the id {name!r} does not follow in turn {turn.number}: were two copies merged?"
            )
        self.pending = Exchange(name, turn.number, record)
        self._newest = self.pending
        self._rewinds_before_newest = self._rewinds.copy()
        turn.exchanges.append(self.pending)
        self.turns[turn.number] = turn

    def _turn_for(self, record: RequestRecord) -> Turn:
        """The turn that a request belongs to: the open one, or a new one."""
        number = record["turn"]
        open_turn = self.open_turn
        if function_responses(record["content"]):
            if open_turn is None or open_turn.number != number:
                raise RecordError(f"function responses for turn {number}, which has no open call")
            return open_turn
        if open_turn is not None:
            raise RecordError(
                f"a new message while turn {open_turn.number} waits for function responses"
            )
        if number <= self.last_number:
            raise RecordError(f"turn {number} is repeated or out of order: were two copies merged?")
        return Turn(number)

    def _continue(self, record: ContinueRecord) -> None:
        name, hop = record["request"], record["hop"]
        exchange = self._unfollowed
        if exchange is None or exchange.id != name:
            raise RecordError(f"goes on with the answer to request {name!r}, which is not the last")
        last = exchange.response
        if last is None or not continuation_token(last["answer"]):
            raise RecordError(f"goes on with the answer to request {name!r}, which left no token")
        if hop != len(exchange.hops) + 1:
            raise RecordError(f"hop {hop} of request {name!r} is repeated or out of order")
        exchange.continues.append(record)
        exchange.failure = None
        self.pending = exchange

    def _response(self, record: ResponseRecord) -> None:
        exchange = self._take_pending(record)
        exchange.hops.append(record)
        if record["valid"]:
            exchange.state = ANSWERED
            self._rewinds.clear()
            self._rewinds_before_newest.clear()
            if not self.live or self.live[-1].number != exchange.turn:
                self.live.append(self.turns[exchange.turn])
        elif exchange.state != ANSWERED:
            exchange.state = REFUSED

    def _failure(self, record: FailureRecord) -> None:
        exchange = self._take_pending(record)
        exchange.failures.append(record)
        exchange.failure = record
        if not exchange.hops:
            exchange.state = FAILED if record["outcome"] == "rejected" else IN_DOUBT

    def _tool(self, record: ToolRecord) -> None:
        if record.keys() >= TOOL_KEYS.get(record.get("state", ""), {"state"}):
            self._tool_runs.setdefault(record["request"], {})[record["place"]] = record

    def _rewind(self, numbers: list[int]) -> None:
        self._give_up_pending()
        last = self.live[-len(numbers) :]
        if not numbers or [turn.number for turn in last] != numbers:
            raise RecordError(f"rewinds turns {numbers}, which are not the last of the history")
        for turn in last:
            turn.rewound = True
        del self.live[-len(numbers) :]
        self._rewinds.append(numbers)

    def _undo(self, numbers: list[int]) -> None:
        self._give_up_pending()
        if not self._rewinds or self._rewinds[-1] != numbers:
            raise RecordError(f"undoes a rewind of turns {numbers}, which is not the last one")
        for number in self._rewinds.pop():
            self.turns[number].rewound = False
            self.live.append(self.turns[number])

    def _give_up_pending(self) -> None:
        """Mark the pending request as in doubt: a record follows it that is not its outcome."""
        if self.pending and not self.pending.hops:
            self.pending.state = IN_DOUBT
        self.pending = None

    def _take_pending(self, record: ResponseRecord | FailureRecord) -> Exchange:
        """The request that an outcome belongs to, which is the last record before it."""
        exchange = self.pending
        if exchange is None or exchange.id != record["request"]:
            raise RecordError(f"an outcome for request {record['request']!r}, which is not pending")
        self.pending = None
        return exchange


def _ordinal(name: str) -> int:
    """The place of an exchange in its turn: 2 for the id `7.2`."""
    return int(name.partition(".")[2])


def _turn_of(record: Record) -> str | None:
    """The number of the turn that a record belongs to, as it stands in its id, if to one."""
    name = record["id"] if record["kind"] == "request" else record.get("request")
    return name.partition(".")[0] if isinstance(name, str) else None
