"""Turns and exchanges: a message of the user, the requests that it took, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from gemcli.chat import long_answers
from gemcli.chat.answers import Answer, UsageMetadata, Verdict, continuation_token, token_count
from gemcli.chat.contents import Content
from gemcli.chat.merge_answers import merge, sum_usage
from gemcli.sessions.record_types import (
    AttemptRecord,
    ContinueRecord,
    FailureRecord,
    RequestRecord,
    ResponseRecord,
)

if TYPE_CHECKING:
    from gemcli.settings.config import Config

State = Literal["pending", "answered", "refused", "failed", "in_doubt"]

PENDING: Final = "pending"
ANSWERED: Final = "answered"
REFUSED: Final = "refused"
FAILED: Final = "failed"
IN_DOUBT: Final = "in_doubt"

TOKEN_REFUSED = {"BAD_REQUEST", "PERMISSION_DENIED", "MODEL_NOT_FOUND"}
"""The reasons of a failed hop whose token the API does not take: HTTP 400, 403 and 404."""


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
    def is_stuck(self) -> bool:
        """Whether it is no use to go on: the newest token was refused, or is not a new one."""
        tokens = [continuation_token(answer) for answer in self.answers]
        refused = self.failure is not None and self.failure.get("reason") in TOKEN_REFUSED
        return refused or tokens[-1] in tokens[:-1]

    @property
    def answers(self) -> list[Answer]:
        """The answer of each hop, as it was received."""
        return [hop["answer"] for hop in self.hops]

    @property
    def answer(self) -> Answer | None:
        """The API's whole answer, if there is one: its hops as one."""
        if not self.hops:
            return None
        if self._merged is None or self._merged[0] != len(self.hops):
            self._merged = len(self.hops), merge(self.answers)
        return self._merged[1]

    @property
    def verdict(self) -> Verdict:
        """What the answer is worth, as it was decided when its hops were recorded."""
        return long_answers.judge(self.answers or [{}], self._taken)

    @property
    def usage(self) -> UsageMetadata | None:
        """The tokens of all hops together, and of what arrived of those that failed."""
        partials = [failure.get("partial") for failure in self.failures]
        return sum_usage(
            [
                received["usageMetadata"]
                for received in [*self.answers, *partials]
                if isinstance(received, dict) and isinstance(received.get("usageMetadata"), dict)
            ]
        )

    @property
    def context_token_count(self) -> int | None:
        """How many tokens the first hop took in; later ones take in the answer so far as well."""
        usage = self.answers[0].get("usageMetadata") if self.hops else None
        return token_count(usage, "promptTokenCount") or None

    @property
    def attempts(self) -> list[AttemptRecord]:
        """Every HTTP request that was made, of all hops."""
        outcomes = [*self.hops, *self.failures]
        return [attempt for outcome in outcomes for attempt in outcome.get("attempts") or []]

    @property
    def elapsed_ms(self) -> int | None:
        """How long the answer took, all hops together; None if it is not known."""
        times = [hop["elapsed_ms"] for hop in self.hops if hop.get("elapsed_ms") is not None]
        return sum(times) if times else None

    @property
    def waited_ms(self) -> int | None:
        """The part of `elapsed_ms` that went into failed attempts, and the waits after them."""
        return None if self.elapsed_ms is None else sum(map(_waited_ms, self.hops))

    @property
    def answered_config(self) -> Config:
        """What the newest hop that was answered added to the session's config."""
        return self._config(len(self.hops))

    @property
    def newest_config(self) -> Config:
        """What the newest hop, answered or not, added to the session's config."""
        return self._config(self.continued["hop"] if self.continued else 1)

    def _config(self, hop: int) -> Config:
        own = {record["hop"]: record["config"] for record in self.continues if "config" in record}
        return own.get(hop, self.request.get("config") or {})

    @property
    def contents(self) -> list[Content]:
        """What this exchange adds to the history: the user and the model Content, or nothing."""
        if self.state != ANSWERED:
            return []
        return [self.request["content"], long_answers.content(self.answers[: self._taken])]

    @property
    def _taken(self) -> int:
        """How many of the hops are in the history: all up to the last valid one."""
        valid = [number for number, hop in enumerate(self.hops, 1) if hop["valid"]]
        return valid[-1] if valid else 0


def _waited_ms(hop: ResponseRecord) -> int:
    """How long a hop took until the attempt began that was answered: the last one."""
    elapsed_ms = hop.get("elapsed_ms") or 0
    last = (hop.get("attempts") or [])[-1:]
    return max(0, elapsed_ms - last[0].get("elapsed_ms", elapsed_ms)) if last else 0


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
