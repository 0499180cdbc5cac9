"""Checks: what a script expects of an answer, and whether it holds.

Every turn expects an answer that finished with STOP or calls functions; `finish` in `expect`
overrides that. The rest is what the script asks for. Checks look at the recorded answer only, so
they can be changed and run again without sending anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NotRequired, TypedDict

from gemcli.chat.answered_calls import shown
from gemcli.chat.answers import Verdict, block_reason, token_count
from gemcli.chat.contents import FunctionCall
from gemcli.exchange import Result
from gemcli.replay.calls import Called, are_made
from gemcli.text import patterns, strict_json
from gemcli.text.patterns import TooSlow

Find = Callable[[str, str], bool]
"""Whether a regular expression is found in a text; raises `TooSlow`."""


class TextCheck(NamedTuple):
    """A check of the answer's text: the test for one wanted text, and what it asks of the answer.

    Of several wanted texts `all` or `any` must hold. Patterns are searched with `Find`.
    """

    holds: Callable[[str, str, Find], bool]
    quantity: Callable[..., bool]
    says: str


TEXT_CHECKS = {
    "contains": TextCheck(lambda text, want, _: want in text, all, "contain"),
    "icontains": TextCheck(
        lambda text, want, _: want.casefold() in text.casefold(), all, "contain, in any case,"
    ),
    "not_contains": TextCheck(lambda text, want, _: want not in text, all, "not contain"),
    "equals": TextCheck(lambda text, want, _: text.strip() == want.strip(), any, "be"),
    "starts_with": TextCheck(
        lambda text, want, _: text.lstrip().startswith(want.lstrip()), any, "begin with"
    ),
    "regex": TextCheck(lambda text, want, find: find(want, text), all, "match"),
    "not_regex": TextCheck(lambda text, want, find: not find(want, text), all, "not match"),
}

PATTERNS = ("regex", "not_regex")
"""Checks whose texts are regular expressions (Python's, anywhere in the text)."""

MAX_QUOTED = 80
"""How many characters of a text stand in a message."""

TOO_SLOW = f"no result within {patterns.TIME_LIMIT:g} s"
"""What is `got` of a regular expression that was given up."""

TOKENS = {
    "input": "promptTokenCount",
    "output": "candidatesTokenCount",
    "thoughts": "thoughtsTokenCount",
    "total": "totalTokenCount",
}
"""Token counts: their names in scripts and events, and the API's."""


@dataclass(frozen=True)
class Bound:
    """Limits of a number, as written in a script: `<n`, `<=n`, `>n`, `>=n` or `low..high`."""

    text: str
    low: float = float("-inf")
    high: float = float("inf")
    exclusive: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is within the limits."""
        if self.exclusive:
            return self.low < value < self.high
        return self.low <= value <= self.high


class Expected(NamedTuple):
    """What a script expects of one answer; empty or None where it expects nothing."""

    texts: Mapping[str, tuple[str, ...]] = {}
    finish: tuple[str, ...] | None = None
    bounds: Mapping[str, Bound] = {}
    calls: tuple[Called, ...] = ()
    no_calls: bool | None = None


NOTHING = Expected()
"""Only what every turn expects."""


class Observation(NamedTuple):
    """What checks look at; `finish` is the finish reason, or why the prompt was blocked."""

    verdict: Verdict
    finish: str | None
    latency_ms: int
    tokens: Mapping[str, int | None]
    calls: Sequence[FunctionCall] = ()
    """Every call of the turn, answered or not."""

    @property
    def calls_functions(self) -> bool:
        """Whether the answer is valid and calls functions."""
        return self.verdict.error is not None and self.verdict.error.reason == "FUNCTION_CALL"


class Check(TypedDict):
    """The result of one check: what was wanted, what was found, and whether it holds."""

    check: str
    want: NotRequired[str | list[str]]
    got: NotRequired[str | float | None]
    ok: bool


def bound(text: str) -> Bound:
    """The limits that `text` describes. Raises `ValueError` if it is not a bound."""
    number = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
    if match := re.fullmatch(rf"(<=?|>=?)\s*{number}", text):
        operator, value = match[1], float(match[2])
        exclusive = len(operator) == 1
        if operator.startswith("<"):
            return Bound(text, high=value, exclusive=exclusive)
        return Bound(text, low=value, exclusive=exclusive)
    if match := re.fullmatch(rf"{number}\s*\.\.\s*{number}", text):
        low, high = float(match[1]), float(match[2])
        if low <= high:
            return Bound(text, low, high)
    raise ValueError


def observe(result: Result, calls: Sequence[FunctionCall] = ()) -> Observation:
    """What checks look at in the last exchange of a turn that led to these `calls`."""
    usage = result.answer.get("usageMetadata")
    tokens: dict[str, int | None] = dict.fromkeys(TOKENS)
    if isinstance(usage, dict):
        tokens = {name: token_count(usage, counter) for name, counter in TOKENS.items()}
    finish = result.verdict.finish_reason or block_reason(result.answer)
    return Observation(result.verdict, finish, result.latency_ms, tokens, calls)


def run_checks(
    expected: Expected, observation: Observation, find: Find = patterns.found
) -> list[Check]:
    """Every check of an answer, in order, whether or not the ones before it hold."""
    return [
        *_check_finish(expected, observation),
        *_check_calls(expected, observation.calls),
        *_check_texts(expected, observation.verdict.text, find),
        *_check_bounds(expected, observation),
    ]


def unmet(check: Check, text: str) -> str:
    """What was wanted of an answer with this `text`, and what there was, in one line."""
    wanted = check.get("want", "")
    choices = [wanted] if isinstance(wanted, str) else wanted
    if is_too_slow(check):
        return f"the pattern {_quoted(choices[0])} takes too long: {TOO_SLOW}"
    if one := TEXT_CHECKS.get(check["check"]):
        quoted = " or ".join(map(_quoted, choices))
        return f"the answer should {one.says} {quoted}, it is {_quoted(text)}"
    if check["check"] == "calls":
        return f"the model should call {choices[0]}, it called {_shortened(check.get('got'))}"
    if check["check"] == "no_calls":
        return f"the model should call nothing, it called {_shortened(check.get('got'))}"
    name = "the finish reason" if check["check"] == "finish" else f"`{check['check']}`"
    got = check.get("got")
    return f"{name} should be {' or '.join(choices)}, not {'unknown' if got is None else got}"


def _quoted(text: str) -> str:
    """A text as one of a message, not too long."""
    return strict_json.dumps(_shortened(text))


def _shortened(text: object) -> str:
    shown = str(text)
    return shown if len(shown) <= MAX_QUOTED else shown[:MAX_QUOTED] + "…"


def _check_finish(expected: Expected, observation: Observation) -> Iterator[Check]:
    """The checks that every turn has: there is an answer, and it finished as it should."""
    finish = observation.finish
    wanted = ("STOP",) if expected.finish is None else expected.finish
    as_named = finish in wanted
    # An expected refusal may be silent, but STOP without text is not an answer.
    refusal_expected = as_named and finish != "STOP"
    yield {"check": "answer", "ok": observation.verdict.valid or refusal_expected}
    ok = as_named or (expected.finish is None and observation.calls_functions)
    yield {"check": "finish", "want": list(wanted), "got": finish, "ok": ok}


def is_too_slow(check: Check) -> bool:
    """Whether a check failed because its regular expression was given up."""
    return check["check"] in PATTERNS and check.get("got") == TOO_SLOW


def _check_calls(expected: Expected, calls: Sequence[FunctionCall]) -> Iterator[Check]:
    """The checks of a turn's calls; what is found is all of them."""
    found = ", ".join(map(shown, calls)) or "nothing"
    for called, ok in zip(expected.calls, are_made(expected.calls, calls), strict=True):
        yield {"check": "calls", "want": str(called), "got": found, "ok": ok}
    if expected.no_calls:
        yield {"check": "no_calls", "got": found, "ok": not calls}


def _check_texts(expected: Expected, text: str, find: Find) -> Iterator[Check]:
    for name, wanted in expected.texts.items():
        one = TEXT_CHECKS[name]
        if one.quantity is all:
            for want in wanted:
                try:
                    yield {"check": name, "want": want, "ok": one.holds(text, want, find)}
                except TooSlow:
                    yield {"check": name, "want": want, "got": TOO_SLOW, "ok": False}
        else:
            ok = any(one.holds(text, want, find) for want in wanted)
            yield {"check": name, "want": wanted[0] if len(wanted) == 1 else list(wanted), "ok": ok}


def _check_bounds(expected: Expected, observation: Observation) -> Iterator[Check]:
    text = observation.verdict.text
    values: dict[str, float | None] = {
        "words": len(text.split()),
        "chars": len(text),
        "latency_ms": observation.latency_ms,
    }
    for name, count in observation.tokens.items():
        values[f"tokens.{name}"] = count
    for name, limits in expected.bounds.items():
        value = values[name]
        ok = value is not None and limits.holds(value)
        yield {"check": name, "want": limits.text, "got": value, "ok": ok}
