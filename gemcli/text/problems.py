"""What is wrong with a document, collected so that users learn of everything at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gemcli.errors import GemcliError, Problem, ReasonName, counted, did_you_mean, in_order

MAX_PROBLEMS = 100
"""Most problems kept of one document: with more, it is not what it was taken for."""


def how_many(problems: Sequence[Problem]) -> str:
    """The number of problems found; of a document with as many as are kept, there may be more."""
    more = "at least " if len(problems) >= MAX_PROBLEMS else ""
    return more + counted(len(problems), "problem")


class Place(Protocol):
    """Anything that knows where it began: line and column from 1, or 0 if it was in no file."""

    line: int
    column: int


class Problems:
    """The problems of one document, and the notes about what is unusual but accepted.

    Each names the `file`, if it is given.
    """

    def __init__(self, file: str | None = None) -> None:
        self.file = file
        self.found: list[Problem] = []
        self.notes: list[Problem] = []

    def __len__(self) -> int:
        return len(self.found)

    @property
    def full(self) -> bool:
        """Whether further problems would not be kept: time to stop looking for them."""
        return len(self.found) >= MAX_PROBLEMS

    def add(self, rule: str, message: str, at: Place, hint: str | None = None) -> None:
        """Keep a problem, once."""
        if not self.full:
            _keep(self.found, self._problem(rule, message, at, hint))

    def note(self, rule: str, message: str, at: Place, hint: str | None = None) -> None:
        """Keep a note about what is accepted but may be a mistake."""
        if len(self.notes) < MAX_PROBLEMS:
            _keep(self.notes, self._problem(rule, message, at, hint))

    def suggest(self, word: str, known: Iterable[str]) -> str | None:
        """The hint that names the nearest known word; None once nobody would read it."""
        return None if self.full else did_you_mean(word, known)

    def include(self, other: Problems) -> None:
        """Take over everything found in a part of the document."""
        self.found += other.found[: MAX_PROBLEMS - len(self.found)]
        self.notes += other.notes[: MAX_PROBLEMS - len(self.notes)]

    def require_none(self, name: str, reason: ReasonName = "SETTINGS") -> None:
        """Raise `GemcliError` with every problem if there is one; `name` is the document's."""
        if self.found:
            found = in_order(self.found)
            raise GemcliError(reason, f"{name}: {how_many(found)}", problems=found)

    def _problem(self, rule: str, message: str, at: Place, hint: str | None) -> Problem:
        line, column = at.line or None, at.column or None
        return Problem(rule, message, line=line, column=column, hint=hint, file=self.file)


def _keep(problems: list[Problem], problem: Problem) -> None:
    # What stands once and holds for many, as the settings of a suite, is looked at many times.
    if problem not in problems:
        problems.append(problem)
