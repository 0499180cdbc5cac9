"""Checks: what a script expects of an answer, and whether it holds. Pure, but for a clock.

Every turn expects that there is an answer and that it finished with STOP, or calls functions;
`finish` in `expect` says otherwise. The rest is what the script asks for. All checks are made on
the recorded answer, so they can be changed and made again without sending anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gemcli.chat.answers import Verdict
from gemcli.signals import TimeUp, time_limit
from gemcli.text.schema import compiled

TEXT_CHECKS: dict[str, tuple[Callable[[str, str], bool], Callable[..., bool]]] = {
    "contains": (lambda text, want: want in text, all),
    "icontains": (lambda text, want: want.casefold() in text.casefold(), all),
    "not_contains": (lambda text, want: want not in text, all),
    "equals": (lambda text, want: text.strip() == want.strip(), any),
    "starts_with": (lambda text, want: text.lstrip().startswith(want.lstrip()), any),
    "regex": (lambda text, want: _matches(want, text) is True, all),
    "not_regex": (lambda text, want: _matches(want, text) is False, all),
}
"""Checks of the answer's text.

How one wanted text is looked for, and whether all of a list must hold or any.
"""

PATTERNS = ("regex", "not_regex")
"""Those whose texts are regular expressions (Python's, anywhere in the text)."""

PATIENCE = 2.0
"""Seconds that one pattern may take; a check that takes longer is not met."""

TOKENS = {
    "input": "promptTokenCount",
    "output": "candidatesTokenCount",
    "thoughts": "thoughtsTokenCount",
    "total": "totalTokenCount",
}
"""The names of token counts in scripts and events, with the API's."""


@dataclass(frozen=True)
class Bound:
    """Limits of a number, as written in a script: `<n`, `<=n`, `>n`, `>=n` or `low..high`."""

    text: str
    low: float = float("-inf")
    high: float = float("inf")
    exclusive: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is within the limits."""
        return self.low < value < self.high if self.exclusive else self.low <= value <= self.high


class Expected(NamedTuple):
    """What a script expects of one answer; empty and None where it says nothing."""

    texts: Mapping[str, tuple[str, ...]] = {}
    finish: tuple[str, ...] | None = None
    bounds: Mapping[str, Bound] = {}


NOTHING = Expected()
"""No more than every turn expects."""


class Heard(NamedTuple):
    """What came back, as far as checks look at it.

    `finish` is the finish reason, or why the prompt was blocked.
    """

    verdict: Verdict
    finish: str | None
    latency_ms: int
    tokens: Mapping[str, int | None]

    @property
    def calls(self) -> bool:
        """Whether the answer is valid and calls functions."""
        return self.verdict.error is not None and self.verdict.error.reason == "FUNCTION_CALL"


def bound(text: str) -> Bound:
    """The limits that `text` stands for. Raises `ValueError` when it stands for none."""
    number = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
    if match := re.fullmatch(rf"(<=?|>=?)\s*{number}", text):
        value, exclusive = float(match[2]), len(match[1]) == 1
        return (
            Bound(text, high=value, exclusive=exclusive)
            if match[1][0] == "<"
            else Bound(text, low=value, exclusive=exclusive)
        )
    if (match := re.fullmatch(rf"{number}\s*\.\.\s*{number}", text)) and float(match[1]) <= float(
        match[2]
    ):
        return Bound(text, float(match[1]), float(match[2]))
    raise ValueError


def made(expected: Expected, heard: Heard) -> list[dict[str, Any]]:
    """Every check with what was wanted, what there was if that is a number or a name, and whether it holds."""
    return [*_answered(expected, heard), *_texts(expected, heard), *_bounds(expected, heard)]


def _answered(expected: Expected, heard: Heard) -> Iterator[dict[str, Any]]:
    """The expectation that every turn has: there is an answer, and it ended as it should."""
    named = expected.finish is not None and heard.finish in expected.finish
    # An expected refusal need not say anything, but STOP without an answer is none.
    yield {"check": "answer", "ok": heard.verdict.valid or (named and heard.finish != "STOP")}
    wanted = ("STOP",) if expected.finish is None else expected.finish
    holds = heard.finish in wanted or (expected.finish is None and heard.calls)
    yield {"check": "finish", "want": list(wanted), "got": heard.finish, "ok": holds}


def _texts(expected: Expected, heard: Heard) -> Iterator[dict[str, Any]]:
    for name, wanted in expected.texts.items():
        test, quantity = TEXT_CHECKS[name]
        found = [test(heard.verdict.text, want) for want in wanted]
        if quantity is all:
            yield from (
                {"check": name, "want": want, "ok": ok}
                for want, ok in zip(wanted, found, strict=True)
            )
        else:
            yield {
                "check": name,
                "want": wanted[0] if len(wanted) == 1 else list(wanted),
                "ok": any(found),
            }


def _matches(pattern: str, text: str) -> bool | None:
    """Whether a pattern is found in a text.

    None if that takes too long, as some patterns would for ever.
    """
    try:
        with time_limit(PATIENCE):
            return compiled(pattern).search(text) is not None
    except TimeUp:
        return None


def _bounds(expected: Expected, heard: Heard) -> Iterator[dict[str, Any]]:
    text = heard.verdict.text
    measured: dict[str, float | None] = {
        "words": len(text.split()),
        "chars": len(text),
        "latency_ms": heard.latency_ms,
    }
    measured |= {f"tokens.{name}": count for name, count in heard.tokens.items()}
    for name, limits in expected.bounds.items():
        got = measured[name]
        yield {
            "check": name,
            "want": limits.text,
            "got": got,
            "ok": got is not None and limits.holds(got),
        }
