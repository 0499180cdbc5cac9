"""Turns and exchanges: a message of the user, the requests that it took, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from gemcli.chat import long_answers
from gemcli.chat.answers import Answer, UsageMetadata, Verdict
from gemcli.chat.contents import Content
from gemcli.sessions.records import (
    ContinueRecord,
    FailureRecord,
    RequestRecord,
    ResponseRecord,
)

State = Literal["pending", "answered", "refused", "failed", "in_doubt"]

PENDING: Final = "pending"
ANSWERED: Final = "answered"
REFUSED: Final = "refused"
FAILED: Final = "failed"
IN_DOUBT: Final = "in_doubt"


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its outcome: the record of the answer, or of the failure.

    A long answer has several `hops`, each asked for with one of `continues`. What becomes of a
    later hop does not change the `state` that the earlier ones gave, unless for the better.
    """

    id: str
    turn: int
    request: RequestRecord
    state: State = PENDING
    hops: list[ResponseRecord] = field(default_factory=list)
    continues: list[ContinueRecord] = field(default_factory=list)
    failures: list[FailureRecord] = field(default_factory=list)
    failure: FailureRecord | None = None
    _merged: tuple[int, Answer] | None = None

    @property
    def response(self) -> ResponseRecord | None:
        """The record of the answer: of its last hop."""
        return self.hops[-1] if self.hops else None

    @property
    def continued(self) -> ContinueRecord | None:
        """The newest record of a further hop, whatever became of it."""
        return self.continues[-1] if self.continues else None

    @property
    def hop_in_doubt(self) -> bool:
        """Whether a further hop was asked for, and it is unknown whether it was answered."""
        if not self.continued or self.continued["hop"] <= len(self.hops):
            return False
        return self.failure is None or self.failure["outcome"] != "rejected"

    @property
    def answer(self) -> Answer | None:
        """The API's whole answer, if there is one: its hops as one."""
        if not self.hops:
            return None
        if self._merged is None or self._merged[0] != len(self.hops):
            self._merged = len(self.hops), long_answers.merge(self._received)
        return self._merged[1]

    @property
    def verdict(self) -> Verdict:
        """What the answer is worth, as it was decided when its hops were recorded."""
        return long_answers.judge(self._received or [{}], self._taken)

    @property
    def usage(self) -> UsageMetadata | None:
        """The tokens of all hops together, and of what arrived of those that failed."""
        partials = [failure.get("partial") for failure in self.failures]
        return long_answers.sum_usage(
            [
                received["usageMetadata"]
                for received in [*self._received, *partials]
                if isinstance(received, dict) and isinstance(received.get("usageMetadata"), dict)
            ]
        )

    @property
    def contents(self) -> list[Content]:
        """What this exchange adds to the history: the user and the model Content, or nothing."""
        if self.state != ANSWERED:
            return []
        return [self.request["content"], long_answers.content(self._received[: self._taken])]

    @property
    def _received(self) -> list[Answer]:
        return [hop["answer"] for hop in self.hops]

    @property
    def _taken(self) -> int:
        """How many of the hops are in the history: all up to the last valid one."""
        valid = [number for number, hop in enumerate(self.hops, 1) if hop["valid"]]
        return valid[-1] if valid else 0


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
