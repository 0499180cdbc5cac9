"""Sending once: what was sent before is found again, and its fate decides whether it is sent now."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.sessions import once, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.once import Delivery, Message
from gemcli.sessions.record_types import Record
from gemcli.sessions.turns import Exchange
from gemcli.settings.config import Config
from tests.builders import ECHO, SCALARS, answer, failure, header, hop, json_values, request, response, turn

K = "a key"


def under(key: str, *content: Record) -> list[Record]:
    """Records with a key on every request."""
    return [record | {"key": key} if record["kind"] == "request" else record for record in content]


def keyed(number: int, key: str = K) -> list[Record]:
    """A turn in which the message was answered."""
    return under(key, request(number, "q"), response(number, "a"))


def refused(number: int, finish: str = "SAFETY") -> list[Record]:
    """A turn in which it was refused."""
    return under(K, request(number, "q"), response(number, "half", valid=False, finish=finish))


def refused_with(body: Any) -> list[Record]:
    """The first turn, with an answer that was not valid."""
    return under(K, request(1, "q"), records.response("1.1", body, valid=False, attempts=[], elapsed_ms=1))


def broken(number: int, outcome: str) -> list[Record]:
    """A turn in which it got no answer."""
    return under(K, request(number, "q"), failure(number, outcome))


def journal(*content: Record) -> Journal:
    """A session."""
    return Journal([header(), *content])


def message(key: str = K, text: str = "q", model: str = ECHO, config: Any = None) -> Message:
    """A message to send."""
    return Message(key, user_text(text), model, config or Config())


def unfinished(*more: Record, **how: Any) -> list[Record]:
    """A first turn in which it got an answer that goes on, and what came after it."""
    return [*under(K, request(1, "q")), hop(1, "a", **how), *more]


NEXT_HOP = records.continuation("1.1", 2, "t")
THOUGHTS: Any = {"text": "hm", "thought": True}

# Chains

TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
VALUES = json_values(SCALARS | TEXTS, TEXTS, 5)
CONFIGS = st.dictionaries(TEXTS, VALUES, max_size=3)
LINKS = st.tuples(st.sampled_from(["m1", "m2"]), CONFIGS, TEXTS.map(user_text))
"""What one key of a chain is made from: model, config and message."""


def chain(history: list[Any], links: list[tuple[str, Any, Any]]) -> list[str]:
    """The keys of a conversation."""
    made = [once.first_key(history)]
    for model, config, content in links:
        made.append(once.next_key(made[-1], model, config, content))
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
def test_what_was_said_before_is_part_of_every_key(links: list[Any], history: list[Any]) -> None:
    """A key is one place: no two conversations share one that began otherwise, nor has a repeated message the same."""
    assert not {*chain([], links)} & {*chain(history, links)}
    assert len({*chain([], [links[0]] * 3)}) == 4


# Finding

LOST = under(K, request(1, "q"), failure(1, "unknown"))
IMPORTED: list[Any] = [record | {"imported": True} for record in keyed(1)]

TRIES: dict[str, tuple[list[Record], Message, str | None]] = {
    "newest": ([*broken(1, "rejected"), *broken(2, "unknown"), *keyed(3, "other"), *turn(4)], message(), "2.1"),
    "no-such-key": (keyed(1), message("another key"), None),
    # The fate of another message under the same key says nothing about this one, unless that was answered.
    "of-this-message": ([*LOST, *under(K, request(2, "x"), failure(2, "rejected"))], message(), "1.1"),
    "of-another": ([*LOST, *under(K, request(2, "x"), failure(2, "rejected"))], message(text="z"), "2.1"),
    "another-was-answered": ([*LOST, *under(K, request(2, "x"), response(2, "a"))], message(), "2.1"),
    "imported": (IMPORTED, message(), None),
    # An answer that an undone rewind brought back counts, not what was tried while it was gone.
    "brought-back": ([*keyed(1), records.rewind([1]), *broken(2, "rejected"), records.undo([1])], message(), "1.1"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "wanted", "found"), TRIES.values(), ids=TRIES)
def test_last_try(content: list[Record], wanted: Message, found: str | None) -> None:
    """The newest exchange under the key that says something about this message."""
    last = once.last_try(journal(*content), wanted)
    assert (last and last.id) == found


def test_own_turns() -> None:
    """The turns sent in this session, without those it was created with and those that were rewound."""
    session = journal(*IMPORTED, *turn(2), *turn(3), records.rewind([3]), *turn(4))
    assert [one.number for one in once.own_turns(session)] == [2, 4]


# What it means

DELIVERIES = {
    "never-sent": ([], Delivery.UNSENT),
    "answered": (keyed(1), Delivery.ANSWERED),
    "rewound": ([*keyed(1), records.rewind([1])], Delivery.UNSENT),
    "brought-back": ([*keyed(1), records.rewind([1]), records.undo([1])], Delivery.ANSWERED),
    "rejected": (broken(1, "rejected"), Delivery.UNSENT),
    "unknown": (broken(1, "unknown"), Delivery.IN_DOUBT),
    "no-outcome": (broken(1, "unknown")[:1], Delivery.IN_DOUBT),
    "no-outcome-and-gone-on": ([broken(1, "unknown")[0], *turn(2)], Delivery.IN_DOUBT),
    "blocked": (refused(1), Delivery.REFUSED),
    "malformed": (refused(1, "MALFORMED_FUNCTION_CALL"), Delivery.RETRYABLE),
    "empty": (refused_with(answer("")), Delivery.RETRYABLE),
    "blocked-prompt": (refused_with({"promptFeedback": {"blockReason": "SAFETY"}}), Delivery.REFUSED),
    # The verdict on record counts: an answer that was refused then, and is fine to us, may be sent again.
    "verdict-of-an-older-version": (refused_with(answer("fine")), Delivery.RETRYABLE),
    # A refusal belongs to the history that the message was sent with.
    "blocked-and-gone-on": ([*turn(1), *refused(2), *turn(3)], Delivery.REFUSED),
    "blocked-and-what-follows-rewound": ([*turn(1), *refused(2), *turn(3), records.rewind([3])], Delivery.REFUSED),
    "blocked-after-a-rewind": ([*turn(1), records.rewind([1]), *refused(2)], Delivery.REFUSED),
    "blocked-in-a-history-taken-back": ([*turn(1), *refused(2), records.rewind([1])], Delivery.UNSENT),
    "blocked-in-a-history-brought-back": ([*turn(1), *refused(2), records.rewind([1]), records.undo([1])],
        Delivery.REFUSED),
    "blocked-and-what-was-out-brought-back": ([*turn(1), records.rewind([1]), *refused(2), records.undo([1])],
        Delivery.UNSENT),
    "blocked-and-what-was-out-is-out-again": (
        [*turn(1), records.rewind([1]), *refused(2), records.undo([1]), records.rewind([1])], Delivery.REFUSED),
    "unfinished": (unfinished(), Delivery.UNFINISHED),
    "unfinished-and-nothing-said": (
        [*under(K, request(1, "q")), hop(1, THOUGHTS, valid=False)], Delivery.UNFINISHED),
    "a-later-hop-rejected": (unfinished(NEXT_HOP, failure(1, "rejected")), Delivery.UNFINISHED),
    "a-later-hop-unknown": (unfinished(NEXT_HOP, failure(1, "unknown")), Delivery.IN_DOUBT),
    "a-later-hop-without-outcome": (unfinished(NEXT_HOP), Delivery.IN_DOUBT),
    "all-hops-answered": (unfinished(NEXT_HOP, response(1, "b")), Delivery.ANSWERED),
    "a-later-hop-blocked": (
        unfinished(NEXT_HOP, response(1, "b", valid=False, finish="SAFETY")), Delivery.ANSWERED),
    # More is only asked for if the user allows more tokens.
    "used-up": (unfinished(finish="MAX_TOKENS"), Delivery.ANSWERED),
    "used-up-and-more-in-doubt": (unfinished(NEXT_HOP, finish="MAX_TOKENS"), Delivery.IN_DOUBT),
    # After another message, an answer cannot go on: it is what there is.
    "unfinished-and-gone-on": (unfinished(*turn(2)), Delivery.ANSWERED),
    "a-later-hop-unknown-and-gone-on": (unfinished(NEXT_HOP, *turn(2)), Delivery.ANSWERED),
    "nothing-said-and-gone-on": (
        [*under(K, request(1, "q")), hop(1, THOUGHTS, valid=False), *turn(2)], Delivery.RETRYABLE),
    "unfinished-and-rewound": (unfinished(records.rewind([1])), Delivery.UNSENT),
    "unfinished-and-brought-back": (unfinished(records.rewind([1]), records.undo([1])), Delivery.UNFINISHED),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), DELIVERIES.values(), ids=DELIVERIES)
def test_delivery(content: list[Record], expected: Delivery) -> None:
    """The fate of the last try decides what is done with the message now."""
    session = journal(*content)
    assert once.delivery(session, once.last_try(session, message())) is expected


# Stored answers


def stored(content: list[Record], wanted: Message | None = None, *, resend: bool = False) -> Exchange | None:
    """The exchange that answers a message in a session."""
    session, wanted = journal(*content), wanted or message()
    last = once.last_try(session, wanted)
    assert last is not None
    return once.stored_answer(session, last, wanted, resend=resend, hint="look")


REWORDED = message(text="q, please")

STORED: dict[str, tuple[list[Record], Message, str | None]] = {
    "answered": (keyed(1), message(), "1.1"),
    "refused": (refused(1), message(), "1.1"),
    "rejected": (broken(1, "rejected"), message(), None),
    "retryable": (refused(1, "MALFORMED_RESPONSE"), message(), None),
    # A refused message may be put in other words.
    "refused-and-reworded": (refused(1), REWORDED, None),
    "rewound-and-reworded": ([*keyed(1), records.rewind([1])], REWORDED, None),
}


@pytest.mark.parametrize(("content", "wanted", "found"), STORED.values(), ids=STORED)
def test_stored_answer(content: list[Record], wanted: Message, found: str | None) -> None:
    """An answer stands, and so does a refusal that would not change; all else is sent."""
    exchange = stored(content, wanted)
    assert (exchange and exchange.id) == found


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (broken(1, "unknown"), "it was sent before, as turn 1, and its outcome is unknown"),
        (broken(1, "unknown")[:1], "it was sent before, as turn 1, and its outcome is not recorded"),
    ],
    ids=["unknown", "no-outcome"],
)
def test_in_doubt(content: list[Record], outcome: str) -> None:
    """What may have been answered is an error that names the turn, unless it may be sent again."""
    with pytest.raises(GemcliError, match=outcome) as caught:
        stored(content)
    assert caught.value.reason == "IN_DOUBT"
    assert stored(content, resend=True) is None


REFUSED_TOKEN = failure(1, "rejected") | {"reason": "BAD_REQUEST"}
SILENT = [*under(K, request(1, "q")), hop(1, THOUGHTS, valid=False)]

# records, whether the message may be sent again: whether the answer must go on
GOING_ON: dict[str, tuple[list[Record], bool, bool]] = {
    "nothing-said": (SILENT, False, True),
    "a-later-hop-unknown": (unfinished(NEXT_HOP, failure(1, "unknown")), True, True),
    "more-tokens-in-doubt": (unfinished(NEXT_HOP, finish="MAX_TOKENS"), True, True),
    "token-refused": (unfinished(NEXT_HOP, REFUSED_TOKEN), False, False),
    "token-repeated": (unfinished(NEXT_HOP, hop(1, "b")), False, False),
    "used-up": (unfinished(finish="MAX_TOKENS"), False, False),
}


@pytest.mark.parametrize(("content", "resend", "expected"), GOING_ON.values(), ids=GOING_ON)
def test_answers_that_must_go_on(content: list[Record], resend: bool, expected: bool) -> None:
    """An unfinished answer stands for its message, and goes on; one with a hop in doubt if that may be asked again."""
    session = journal(*content)
    exchange = stored(content, resend=resend)
    assert exchange is not None
    assert once.must_go_on(session, session.turns[1].exchanges[0]) == expected
    if resend:
        with pytest.raises(GemcliError, match="hop 2 of turn 1 was asked for before, and its outcome is") as caught:
            stored(content)
        assert caught.value.reason == "IN_DOUBT"


def test_unfinished_answers_of_another_message() -> None:
    """An unfinished answer in the history is an error; one that has said nothing yet is let go."""
    with pytest.raises(GemcliError, match="turn 1 was answered for another message"):
        stored(unfinished(), REWORDED)
    assert stored(SILENT, REWORDED) is None


DIFFERENT: dict[str, tuple[Message, str]] = {
    "message": (REWORDED, "answered for another message"),
    "model": (message(model="m2"), "answered by another model, simulator/echo"),
    "config": (message(config={"generationConfig": {"topK": 1}}), "answered with another config"),
    "system": (message(config={"systemInstruction": {}}), "answered with another system instruction"),
}


@pytest.mark.parametrize(("wanted", "what"), DIFFERENT.values(), ids=DIFFERENT)
def test_the_answer_of_another_message(wanted: Message, what: str) -> None:
    """It is an error that names the turn and the difference."""
    for resend in (False, True):
        with pytest.raises(GemcliError, match=f"turn 1 was {what}; this message was not sent") as caught:
            stored(keyed(1), wanted, resend=resend)
        assert (caught.value.reason, caught.value.hint) == ("DIVERGED", "look")


def test_configs_are_compared_as_a_whole() -> None:
    """It does not matter what the session has and what the call added."""
    config = {"generationConfig": {"topK": 1}}
    request: Any
    request, response = keyed(1)
    session = Journal([header(config=config), request | {"config": config}, response])
    last = once.last_try(session, message(config=config))
    assert last is not None
    assert once.stored_answer(session, last, message(config=config), resend=False, hint="") is last
