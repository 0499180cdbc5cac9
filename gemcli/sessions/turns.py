"""Turns and exchanges: a message of the user, the requests that it took, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from gemcli.chat.answers import Answer, UsageMetadata, content_of
from gemcli.chat.contents import Content, as_sent
from gemcli.sessions.records import FailureRecord, RequestRecord, ResponseRecord

State = Literal["pending", "answered", "refused", "failed", "in_doubt"]

PENDING: Final = "pending"
ANSWERED: Final = "answered"
REFUSED: Final = "refused"
FAILED: Final = "failed"
IN_DOUBT: Final = "in_doubt"


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its outcome: the record of the answer, or of the failure."""

    id: str
    turn: int
    request: RequestRecord
    state: State = PENDING
    response: ResponseRecord | None = None
    failure: FailureRecord | None = None

    @property
    def answer(self) -> Answer | None:
        """The API's whole answer, if there is one."""
        return self.response["answer"] if self.response else None

    @property
    def usage(self) -> UsageMetadata | None:
        """The `usageMetadata` of the answer, or of the part of it that arrived."""
        received = self.failure.get("partial") if self.failure else self.answer
        return received.get("usageMetadata") if isinstance(received, dict) else None

    @property
    def contents(self) -> list[Content]:
        """What this exchange adds to the history: the user and the model Content, or nothing."""
        if self.state != ANSWERED:
            return []
        return [self.request["content"], as_sent(content_of(self.answer))]


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
