"""Rules: what the model `simulator/rules` answers, how, and where it fails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gemcli.chat.contents import Part
from gemcli.simulator.api_errors import ApiError
from gemcli.simulator.replies import CutPoint, Reply


@dataclass(frozen=True)
class AfterCall:
    """The condition that a function has answered, perhaps with at least these values."""

    name: str
    result: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class When:
    """The conditions of a rule; None for those it does not have."""

    contains: str | None = None
    matches: re.Pattern[str] | None = None
    turn: int | None = None
    after_call: AfterCall | None = None
    model: str | None = None
    hop: int = 1


Carrier = Literal["last", "early", "none", "repeated"]
"""Which chunk of a hop carries its token: the last one, or the one before it. Or the token is that
of the request again, or there is none."""


@dataclass(frozen=True)
class Answer:
    """What a rule makes the model say: Parts in wire form, and how the answer ends.

    A long answer has more hops than this one, and perhaps a token after each so many chunks.
    """

    parts: tuple[Part, ...]
    finish: str | None = None
    finish_message: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    model_version: str | None = None
    carrier: Carrier | None = None
    next_hops: tuple[Answer, ...] = ()
    checkpoints: int | None = None


@dataclass(frozen=True)
class Rule:
    """One rule; at most one of `answer`, `block`, `error` and `raw` is set."""

    line: int
    when: When = field(default_factory=When)
    times: int | None = None
    answer: Answer | None = None
    block: str | None = None
    error: ApiError | None = None
    raw: Reply | None = None
    delay: float = 0.0
    drip: float = 0.0
    cut: CutPoint | None = None

    @property
    def replies(self) -> bool:
        """Whether the rule says what is replied, and not only how."""
        return any((self.answer, self.block, self.error, self.raw))


@dataclass(frozen=True)
class Rules:
    """The rules of a file, in order, and what messages call the file."""

    name: str
    rules: tuple[Rule, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The model names that conditions ask for, each once."""
        return tuple(dict.fromkeys(rule.when.model for rule in self.rules if rule.when.model))
