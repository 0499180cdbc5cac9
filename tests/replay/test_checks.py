"""Checks: what is expected of an answer, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import answers
from gemcli.replay import checks
from gemcli.replay.checks import NOTHING, TEXT_CHECKS, Bound, Check, Expected, Observation, bound, run_checks, unmet
from gemcli.text import patterns
from gemcli.text.patterns import TooSlow
from tests.builders import answer

NO_TOKENS: dict[str, int | None] = dict.fromkeys(checks.TOKENS)
CALL = {"functionCall": {"name": "f", "args": {}}}


def observed(body: Any, *, latency_ms: int = 100, tokens: Mapping[str, int | None] = NO_TOKENS) -> Observation:
    """What comes of the body of an answer."""
    blocked = body.get("promptFeedback", {}).get("blockReason")
    verdict = answers.judge(body)
    return Observation(verdict, blocked or verdict.finish_reason, latency_ms, {**NO_TOKENS, **tokens})


def holds(text: str, check: str, *wanted: str) -> list[bool]:
    """Whether a check of text holds of an answer, as often as it is made."""
    found = run_checks(Expected({check: wanted}), observed(answer(text or CALL)))
    return [one["ok"] for one in found if one["check"] == check]


def basic(expected: Expected, body: dict[str, Any]) -> tuple[bool, bool]:
    """Whether there is an answer as expected, and whether it finished so."""
    first, second = run_checks(expected, observed(body))[:2]
    assert (first["check"], second["check"]) == ("answer", "finish")
    return first["ok"], second["ok"]


# What every turn expects

BLOCKED: dict[str, Any] = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
SILENT_SAFETY: dict[str, Any] = {"candidates": [{"finishReason": "SAFETY"}]}


@pytest.mark.parametrize(
    ("finish", "body", "ok"),
    [
        # Nothing is said of the finish: an answer that ended with STOP, or function calls
        (None, answer("a"), (True, True)),
        (None, answer(CALL), (True, True)),
        (None, answer("a", CALL), (True, True)),
        (None, answer("a", finish="MAX_TOKENS"), (True, False)),
        (None, answer(CALL, finish="MAX_TOKENS"), (True, True)),
        (None, answer(finish="MAX_TOKENS"), (False, False)),
        (None, answer(), (False, True)),
        (None, answer({"text": "hm", "thought": True}), (False, True)),
        (None, answer("a", finish=None), (False, False)),
        (None, answer("a", finish="SAFETY"), (False, False)),
        (None, SILENT_SAFETY, (False, False)),
        (None, BLOCKED, (False, False)),
        (None, {}, (False, False)),
        # STOP is expected: function calls end with it too, an empty answer is none
        (("STOP",), answer("a"), (True, True)),
        (("STOP",), answer(CALL), (True, True)),
        (("STOP",), answer(), (False, True)),
        (("STOP",), answer({"text": "hm", "thought": True}), (False, True)),
        (("STOP", "SAFETY"), answer(), (False, True)),
        (("STOP", "SAFETY"), SILENT_SAFETY, (True, True)),
        # Something else is expected: it need not say anything
        (("MAX_TOKENS",), answer("a", finish="MAX_TOKENS"), (True, True)),
        (("MAX_TOKENS",), answer(finish="MAX_TOKENS"), (True, True)),
        (("MAX_TOKENS",), answer("a"), (True, False)),
        (("MAX_TOKENS",), answer(CALL), (True, False)),
        (("SAFETY",), answer("a", finish="SAFETY"), (True, True)),
        (("SAFETY",), SILENT_SAFETY, (True, True)),
        (("SAFETY",), answer("a"), (True, False)),
        (("RECITATION", "SAFETY"), SILENT_SAFETY, (True, True)),
        (("RECITATION",), SILENT_SAFETY, (False, False)),
        (("PROHIBITED_CONTENT",), BLOCKED, (True, True)),
        (("SAFETY",), BLOCKED, (False, False)),
        (("PROHIBITED_CONTENT",), answer("a"), (True, False)),
        (("SAFETY",), {}, (False, False)),
    ],
)
def test_every_turn_expects_an_answer(finish: tuple[str, ...] | None, body: Any, ok: tuple[bool, bool]) -> None:
    """There is an answer that finished as it should: with STOP or calls, or as the script says."""
    assert basic(Expected(finish=finish), body) == ok


def test_the_two_checks_say_what_there_was() -> None:
    """The finish reason that came is told beside those that were wanted."""
    assert run_checks(NOTHING, observed(answer("a", finish="SAFETY"))) == [
        {"check": "answer", "ok": False},
        {"check": "finish", "want": ["STOP"], "got": "SAFETY", "ok": False},
    ]
    wanted = Expected(finish=("SAFETY", "OTHER"))
    assert run_checks(wanted, observed(BLOCKED))[1] == {
        "check": "finish", "want": ["SAFETY", "OTHER"], "got": "PROHIBITED_CONTENT", "ok": False,
    }  # fmt: skip
    assert run_checks(NOTHING, observed({}))[1]["got"] is None


# Text


@pytest.mark.parametrize(
    ("check", "text", "want", "ok"),
    [
        ("contains", "Hello Alice", "lo Al", True),
        ("contains", "Hello Alice", "alice", False),
        ("contains", "a\nb", "a\nb", True),
        ("contains", "a", " a", False),
        ("contains", "a", "", True),
        ("icontains", "Hello ALICE", "aLiCe", True),
        ("icontains", "STRASSE", "straße", True),
        ("icontains", "straße", "STRASSE", True),
        ("icontains", "İ", "i̇", True),
        ("icontains", "Bob", "alice", False),
        ("not_contains", "Hello", "hello", True),
        ("not_contains", "Hello", "ell", False),
        ("not_contains", "", "a", True),
        ("equals", " yes\n", "yes", True),
        ("equals", "yes", "\n yes \t", True),
        ("equals", "Yes", "yes", False),
        ("equals", "yes.", "yes", False),
        ("equals", "a  b", "a b", False),
        ("starts_with", "\n  Dear Sir", "Dear", True),
        ("starts_with", "Dear Sir", "  Dear", True),
        ("starts_with", "Dear", "Dear ", False),
        ("starts_with", "Oh Dear", "Dear", False),
        ("regex", "one 42 two", "[0-9]{2}", True),
        ("regex", "a\nb", "^b", False),
        ("regex", "a\nb", "(?m)^b$", True),
        ("regex", "a\nb", "a.b", False),
        ("regex", "Merci", "(?i)merci", True),
        ("regex", "é", r"^\w$", True),
        ("regex", "", "^$", True),
        ("not_regex", "fine", "(?i)sorry", True),
        ("not_regex", "Sorry", "(?i)sorry", False),
        # Of most lists every text must hold, and each is told; of `equals` and `starts_with` one is enough.
        ("contains", "ab", ("a", "x"), [True, False]),
        ("icontains", "ab", ("A", "X"), [True, False]),
        ("not_contains", "ab", ("x", "b"), [True, False]),
        ("regex", "ab", ("^a", "^b"), [True, False]),
        ("not_regex", "ab", ("^a", "^b"), [False, True]),
        ("equals", "ab", ("x", "ab"), [True]),
        ("equals", "ab", ("a", "b"), [False]),
        ("starts_with", "ab", ("b", "a"), [True]),
        ("starts_with", "ab", ("b", "x"), [False]),
    ],
)
def test_texts(check: str, text: str, want: str | tuple[str, ...], ok: bool | list[bool]) -> None:
    """Each check of text looks for one text, or several, in its own way."""
    wanted, expected = (want, ok) if isinstance(want, tuple) else ((want,), [ok])
    assert holds(text, check, *wanted) == expected


def test_what_was_wanted_is_told() -> None:
    """A check names the text it looked for, or the list where one is enough; thoughts are not looked at."""
    expected = Expected({"contains": ("a", "b", "secret"), "equals": ("c",), "starts_with": ("d", "e")})
    assert run_checks(expected, observed(answer({"text": "secret", "thought": True}, "ab")))[2:] == [
        {"check": "contains", "want": "a", "ok": True},
        {"check": "contains", "want": "b", "ok": True},
        {"check": "contains", "want": "secret", "ok": False},
        {"check": "equals", "want": "c", "ok": False},
        {"check": "starts_with", "want": ["d", "e"], "ok": False},
    ]


@given(st.text(min_size=1), st.text(), st.text())
def test_what_was_said_is_found(want: str, before: str, after: str) -> None:
    """A text is found wherever it stands, in any case; and what contains it does not lack it."""
    text = before + want + after
    for check, ok in (("contains", True), ("icontains", True), ("not_contains", False)):
        assert TEXT_CHECKS[check].holds(text, want, patterns.found) is ok
    assert TEXT_CHECKS["equals"].holds(f" {text}\n", text, patterns.found)
    assert TEXT_CHECKS["starts_with"].holds(f"\n{text}", text, patterns.found)


# Numbers


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("<6", [0, 5.999], [6, 7]),
        ("<=6", [0, 6], [6.001]),
        (">0", [0.1, 1e15], [0]),
        (">=0", [0], [-1]),
        ("3..9", [3, 9, 4.5], [2.999, 9.001]),
        ("3 .. 9", [3, 9], [2, 10]),
        ("5..5", [5], [4, 6]),
        ("< 0.5", [0.499], [0.5]),
        (">= 1.25", [1.25], [1.249]),
    ],
)
def test_bounds(written: str, inside: list[float], outside: list[float]) -> None:
    """`<` and `>` leave their number out, all other bounds have theirs."""
    limits = bound(written)
    assert limits.text == written
    assert [limits.holds(value) for value in inside] == [True] * len(inside)
    assert [limits.holds(value) for value in outside] == [False] * len(outside)


INVALID_BOUNDS = ["", "6", "=6", "==6", "<", "<-1", "9..3", "3..", "..9", "3...9", "1..2..3", "<1e3", "<٣", "<6 words"]


@pytest.mark.parametrize("written", [*INVALID_BOUNDS, "a..b", " <6"])
def test_invalid_bounds(written: str) -> None:
    """A number alone, a range that is empty, and all else is refused."""
    with pytest.raises(ValueError, match=r"^$"):
        bound(written)


def test_measures() -> None:
    """Words are what white space parts, characters are those of Unicode; an answer without text has neither."""
    limits = Bound("<=2", high=2)
    expected = Expected(bounds={"words": limits, "chars": limits, "latency_ms": limits})
    assert run_checks(expected, observed(answer(" 😀é  b\n"), latency_ms=3))[2:] == [
        {"check": "words", "want": "<=2", "got": 2, "ok": True},
        {"check": "chars", "want": "<=2", "got": 7, "ok": False},
        {"check": "latency_ms", "want": "<=2", "got": 3, "ok": False},
    ]
    nothing = Expected(bounds={"words": bound("0..0"), "chars": bound("<1")})
    assert [check["ok"] for check in run_checks(nothing, observed(SILENT_SAFETY))[2:]] == [True, True]


@pytest.mark.parametrize("name", checks.TOKENS)
def test_tokens(name: str) -> None:
    """Tokens are counted as the API told; what it did not tell is within no bound."""
    expected = Expected(bounds={f"tokens.{name}": bound(">=0")})
    for count, ok in ((0, True), (5, True), (None, False)):
        assert run_checks(expected, observed(answer("a"), tokens={name: count}))[2:] == [
            {"check": f"tokens.{name}", "want": ">=0", "got": count, "ok": ok}
        ]


def test_all_checks_are_made() -> None:
    """Checks come in one order, each is made whether or not others hold, and nothing is left out."""
    expected = Expected(
        dict.fromkeys(TEXT_CHECKS, ("zz",)),
        ("SAFETY",),
        {name: bound("<0") for name in ("words", "tokens.total")},
    )
    found = run_checks(expected, observed(answer("a")))
    assert [check["check"] for check in found] == ["answer", "finish", *TEXT_CHECKS, "words", "tokens.total"]
    assert {check["check"] for check in found if check["ok"]} == {"answer", "not_contains", "not_regex"}


@pytest.mark.parametrize("check", ["regex", "not_regex"])
def test_a_pattern_that_takes_too_long(check: str) -> None:
    """It is given up, and is not met, whichever way it was meant; the others are made all the same."""

    def find(pattern: str, text: str) -> bool:
        if pattern == "slow":
            raise TooSlow
        return True

    expected = Expected({check: ("slow", "quick"), "contains": ("!",)})
    *_, slow, quick, other = run_checks(expected, observed(answer("a!")), find)
    assert slow == {"check": check, "want": "slow", "got": "no result within 2 s", "ok": False}
    assert (quick["ok"], other["ok"]) == (check == "regex", True)
    assert (checks.is_too_slow(slow), checks.is_too_slow(quick)) == (True, False)
    assert unmet(slow, "a!") == 'the pattern "slow" takes too long: no result within 2 s'


UNMET: dict[str, tuple[Check, str]] = {
    "contains": (
        {"check": "contains", "want": "Paris", "ok": False},
        'the answer should contain "Paris", it is "Lyon"',
    ),
    "icontains": (
        {"check": "icontains", "want": "a", "ok": False},
        'the answer should contain, in any case, "a", it is "Lyon"',
    ),
    "equals": (
        {"check": "equals", "want": ["a", "b"], "ok": False},
        'the answer should be "a" or "b", it is "Lyon"',
    ),
    "not_regex": ({"check": "not_regex", "want": "L", "ok": False}, 'the answer should not match "L", it is "Lyon"'),
    "finish": (
        {"check": "finish", "want": ["STOP", "SAFETY"], "got": "MAX_TOKENS", "ok": False},
        "the finish reason should be STOP or SAFETY, not MAX_TOKENS",
    ),
    "words": ({"check": "words", "want": "<=6", "got": 9, "ok": False}, "`words` should be <=6, not 9"),
    "tokens": (
        {"check": "tokens.output", "want": "<6", "got": None, "ok": False},
        "`tokens.output` should be <6, not unknown",
    ),
}


@pytest.mark.parametrize(("check", "message"), UNMET.values(), ids=UNMET)
def test_what_is_said_of_a_check_that_failed(check: Check, message: str) -> None:
    """A person who has only this line knows what was wanted, and what came."""
    assert unmet(check, "Lyon") == message


def test_a_long_text_is_shortened_in_a_message() -> None:
    """Whatever the model says, the message is one line of a bearable length."""
    message = unmet({"check": "contains", "want": "w" * 500, "ok": False}, "a\n" * 500)
    assert len(message) < 400
    assert "\n" not in message
    assert message.endswith('\\na\\n…"')
