"""Keys: what was sent before is known again, and what it came to decides whether it is sent again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.sessions import once, records
from gemcli.sessions.journal import Exchange, Journal
from gemcli.sessions.once import Standing
from tests.commands import asked, failed, header, told, turn
from tests.support import answer

K = "a key"


def under(key: str, request: Any) -> Any:
    """The request with a key."""
    return request | {"key": key}


def keyed(number: int, key: str = K) -> list[Any]:
    """A turn that was answered under a key."""
    request, response = turn(number)
    return [under(key, request), response]


def refused(number: int, finish: str = "SAFETY") -> list[Any]:
    """A turn that was answered under the key, with nothing of use."""
    return [under(K, asked(number, "q")), told(number, "half", valid=False, finish=finish)]


def broken(number: int, outcome: str) -> list[Any]:
    """A turn under the key without an answer."""
    return [under(K, asked(number, "q")), failed(number, outcome)]


def imported(*content: Any) -> list[Any]:
    """Records as a fork has them."""
    return [record | {"imported": True} for record in content]


def journal(*content: Any) -> Journal:
    """A session."""
    return Journal([header(), *content])


# Chains

TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
CONFIGS = st.dictionaries(TEXTS, VALUES, max_size=3)
LINKS = st.tuples(st.sampled_from(["m1", "m2"]), CONFIGS, TEXTS.map(user_text))
"""What one key of a chain is made from: model, config and message."""


def chain(history: list[Any], links: list[tuple[str, dict[str, Any], Any]]) -> list[str]:
    """The keys of a conversation."""
    made = [once.first(history)]
    for model, config, content in links:
        made.append(once.chained(made[-1], model, config, content))
    return made


def turned(value: Any) -> Any:
    """The same value with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(st.lists(TEXTS.map(user_text), max_size=2), st.lists(LINKS, max_size=3))
def test_equal_conversations_have_equal_keys(history: list[Any], links: list[Any]) -> None:
    """The same things said make the same keys, whatever the order of the keys in a mapping and whoever made it."""
    again = [(model, turned(config), turned(content)) for model, config, content in copy.deepcopy(links)]
    assert chain(history, links) == chain(copy.deepcopy(turned(history)), again)


@given(st.lists(LINKS, min_size=1, max_size=4), st.data())
def test_what_is_changed_changes_its_key_and_all_that_follow(links: list[Any], data: st.DataObject) -> None:
    """Another model, config or message gives another key to the message and to all after it; to none before it."""
    place = data.draw(st.integers(0, len(links) - 1))
    part = data.draw(st.integers(0, 2))
    other = data.draw(LINKS.filter(lambda link: link[part] != links[place][part]))
    changed = [*links]
    changed[place] = tuple((other if spot == part else links[place])[spot] for spot in range(3))
    before, after = chain([], links), chain([], changed)
    assert before[: place + 1] == after[: place + 1]
    assert not {*before[place + 1 :]} & {*after[place + 1 :]}


@given(st.lists(LINKS, min_size=1, max_size=3), st.lists(TEXTS.map(user_text), min_size=1, max_size=2))
def test_what_was_said_before_the_script_is_part_of_every_key(links: list[Any], history: list[Any]) -> None:
    """A conversation that goes on from a history shares no key with one that begins."""
    assert not {*chain([], links)} & {*chain(history, links)}


@given(st.lists(LINKS, min_size=2, max_size=3))
def test_the_same_message_said_twice_has_two_keys(links: list[Any]) -> None:
    """A key stands for one place in a conversation."""
    made = chain([], [links[0]] * 3)
    assert len({*made}) == 4


# Finding


def test_newest_is_the_last_under_the_key() -> None:
    """Of several tries the last one counts; others' keys, and requests without one, do not."""
    session = journal(*broken(1, "rejected"), *broken(2, "unknown"), *keyed(3, "other"), *turn(4))
    found = once.newest(session, K)
    assert found is not None
    assert found.id == "2.1"
    assert once.newest(session, "no such key") is None


def test_the_newest_of_this_message() -> None:
    """Another message under the same key says nothing of what became of this one, unless it was answered."""
    lost = [under(K, asked(1, "q")), failed(1, "unknown")]
    other = [under(K, asked(2, "x")), told(2, "half", valid=False, finish="SAFETY")]
    session = journal(*lost, *other)
    ids = [found and found.id for found in (once.newest(session, K, user_text(said)) for said in ("q", "x", "z"))]
    assert ids == ["1.1", "2.1", "2.1"]
    answered = [under(K, asked(2, "x")), told(2, "a")]
    found = once.newest(journal(*lost, *answered), K, user_text("q"))
    assert found is not None
    assert found.id == "2.1"


def test_imported_turns_were_asked_under_no_key() -> None:
    """What a session was created with is not what this session sent."""
    assert once.newest(journal(*imported(*keyed(1))), K) is None


def test_an_answer_that_a_rewind_gave_back_is_the_one_that_counts() -> None:
    """Rewound, tried again without success, and the rewind taken back: the answer is there, so nothing is sent."""
    session = journal(*keyed(1), records.rewind([1]), *broken(2, "rejected"), records.undo([1]))
    found = once.newest(session, K)
    assert found is not None
    assert (found.turn, once.standing(session, found)) == (1, Standing.ANSWERED)


def test_own_turns() -> None:
    """The turns sent in this session, without those it was created with and those that were taken out."""
    session = journal(*imported(*turn(1)), *turn(2), *turn(3), records.rewind([3]), *turn(4))
    assert [one.number for one in once.own_turns(session)] == [2, 4]


# Standing

STANDINGS = {
    "never-sent": ([], Standing.UNSENT),
    "answered": (keyed(1), Standing.ANSWERED),
    "rewound": ([*keyed(1), records.rewind([1])], Standing.UNSENT),
    "brought-back": ([*keyed(1), records.rewind([1]), records.undo([1])], Standing.ANSWERED),
    "rejected": (broken(1, "rejected"), Standing.UNSENT),
    "unknown": (broken(1, "unknown"), Standing.IN_DOUBT),
    "no-outcome": (broken(1, "unknown")[:1], Standing.IN_DOUBT),
    "no-outcome-and-gone-on": ([broken(1, "unknown")[0], *turn(2)], Standing.IN_DOUBT),
    "blocked": (refused(1), Standing.REFUSED),
    "malformed": (refused(1, "MALFORMED_FUNCTION_CALL"), Standing.RETRYABLE),
    "empty": (
        [
            under(K, asked(1, "q")),
            records.response("1.1", answer(""), valid=False, attempts=[], elapsed_ms=1),
        ],
        Standing.RETRYABLE,
    ),
    "blocked-prompt": (
        [
            under(K, asked(1, "q")),
            records.response(
                "1.1", {"promptFeedback": {"blockReason": "SAFETY"}}, valid=False, attempts=[], elapsed_ms=1
            ),
        ],
        Standing.REFUSED,
    ),
    # A refusal is one of the history that the message was sent with.
    "blocked-and-gone-on": ([*turn(1), *refused(2), *turn(3)], Standing.REFUSED),
    "blocked-and-what-follows-rewound": ([*turn(1), *refused(2), *turn(3), records.rewind([3])], Standing.REFUSED),
    "blocked-after-a-rewind": ([*turn(1), records.rewind([1]), *refused(2)], Standing.REFUSED),
    "blocked-in-a-history-taken-back": ([*turn(1), *refused(2), records.rewind([1])], Standing.UNSENT),
    "blocked-in-a-history-brought-back": (
        [*turn(1), *refused(2), records.rewind([1]), records.undo([1])],
        Standing.REFUSED,
    ),
    "blocked-and-what-was-out-brought-back": (
        [*turn(1), records.rewind([1]), *refused(2), records.undo([1])],
        Standing.UNSENT,
    ),
    "blocked-and-what-was-out-is-out-again": (
        [*turn(1), records.rewind([1]), *refused(2), records.undo([1]), records.rewind([1])],
        Standing.REFUSED,
    ),
}


@pytest.mark.parametrize(("content", "standing"), STANDINGS.values(), ids=STANDINGS)
def test_standing(content: list[Any], standing: Standing) -> None:
    """What became of the newest try decides what is done with the message now."""
    session = journal(*content)
    assert once.standing(session, once.newest(session, K)) is standing


def test_every_standing_has_a_row_here() -> None:
    """The table above is whole."""
    assert {standing for _, standing in STANDINGS.values()} == {*Standing}


def test_the_past_of_a_model_that_said_less() -> None:
    """The verdict that is on record counts: an answer refused then, and fine to us, may be sent again."""
    session = journal(under(K, asked(1, "q")), told(1, "fine", valid=False))
    assert once.standing(session, once.newest(session, K)) is Standing.RETRYABLE


# Recalling


def recalled(*content: Any, resend: bool = False) -> Exchange | None:
    """What is recalled of the key in a session."""
    session = journal(*content)
    return once.recall(session, once.newest(session, K), resend=resend)


@pytest.mark.parametrize("content", [keyed(1), refused(1)], ids=["answered", "refused"])
def test_what_is_recalled(content: list[Any]) -> None:
    """An answer is given again, and so is a refusal that would not change."""
    found = recalled(*content)
    assert found is not None
    assert found.id == "1.1"


@pytest.mark.parametrize("content", [[], broken(1, "rejected"), refused(1, "MALFORMED_RESPONSE")])
def test_what_is_sent_again(content: list[Any]) -> None:
    """What never counted, or may come out better, is for sending."""
    assert recalled(*content) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (broken(1, "unknown"), "what came of it is unknown"),
        (broken(1, "unknown")[:1], "what came of it is not recorded"),
    ],
    ids=["unknown", "no-outcome"],
)
def test_in_doubt(content: list[Any], said: str) -> None:
    """What may have been answered is an error that names the turn, unless it is to be sent again."""
    with pytest.raises(GemcliError, match=said) as caught:
        recalled(*content)
    assert (caught.value.reason, "turn 1" in caught.value.message) == ("IN_DOUBT", True)
    assert recalled(*content, resend=True) is None


# What follows N turns


def following(place: int, *content: Any, said: str = "q") -> str | None:
    """The id of what was sent behind `place` turns."""
    found = once.following(journal(*content), place, user_text(said))
    return found.id if found else None


def test_following() -> None:
    """The answered turn in that place, whatever was asked; behind the last one the newest try of this message."""
    assert following(0, *turn(1), *turn(2)) == "1.1"
    assert following(1, *turn(1), *broken(2, "rejected"), *turn(3)) == "3.1"
    assert following(1, *turn(1), *broken(2, "unknown")) == "2.1"
    assert following(1, *turn(1), *broken(2, "unknown"), said="another") is None
    assert following(1, *turn(1)) is None
    assert following(0) is None
    assert following(0, *imported(*turn(1))) == "1.1"


def test_following_after_a_rewind() -> None:
    """A turn that was taken out is no try of what takes its place."""
    assert following(0, asked(1, "q"), told(1, "a"), records.rewind([1])) is None


def test_following_what_other_messages_hide() -> None:
    """The newest try of this message counts, also under tries of others, and under turns that were taken out."""
    lost = [asked(1, "q"), failed(1, "unknown")]
    assert following(0, *lost, asked(2, "x"), failed(2, "rejected")) == "1.1"
    assert following(0, *lost, asked(2, "x"), told(2, "half", valid=False, finish="SAFETY")) == "1.1"
    assert following(0, *lost, asked(2, "x"), told(2, "a"), records.rewind([2])) == "1.1"
    assert following(0, *lost, asked(2, "q"), failed(2, "rejected")) == "2.1"


def test_a_try_in_another_place_is_none_of_this_one() -> None:
    """A message that was lost at the beginning is another one behind an answered turn, and the other way round."""
    assert following(1, asked(1, "q"), failed(1, "unknown"), *turn(2)) is None
    assert following(0, *turn(1), asked(2, "q"), failed(2, "unknown"), records.rewind([1])) is None


@pytest.mark.parametrize(("content", "have"), [([], "0 turns"), (turn(1), "1 turn,")], ids=["none", "one"])
def test_following_more_than_there_is(content: list[Any], have: str) -> None:
    """A message cannot follow turns that are not there: one before it is missing."""
    with pytest.raises(GemcliError, match=have) as caught:
        following(2, *content)
    assert caught.value.reason == "DIVERGED"
