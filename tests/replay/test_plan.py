"""Plans: what makes a message of a script the same as before, and what was answered in a session already."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemcli.errors import GemcliError
from gemcli.replay import read_script, script_schema
from gemcli.replay.plan import Plan, RecordedTurns, plans, require_settings
from gemcli.replay.script import Script
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import Record, SessionRecord
from gemcli.settings.config import Config
from tests.builders import failure, header, request, response, turn

Document = dict[str, Any]

FULL: Document = {
    "name": "n",
    "model": "m1",
    "system": "You are a clerk.",
    "config": {"temperature": 0},
    "vars": {"city": "Lyon"},
    "turns": ["In {{city}}", {"user": "second", "config": {"top_k": 3}},
        {"id": "last", "user": "third", "expect": {"contains": "x"}}],
    "on_fail": "stop",
}  # fmt: skip
"""A script with everything in it; texts stand where YAML has numbers too."""


def read(document: Any, **given: str) -> Script:
    """The script that a document holds."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    (script,) = read_script.load(text, "s.yaml", given).scripts
    return script


def planned(document: Any, *content: Record, **given: str) -> list[Plan]:
    """What a script would send to a session with these records."""
    return list(plans(read(document, **given), Journal([*(content or [header()])])))


def keys_of(document: Any, *content: Record, **given: str) -> list[str]:
    """The keys of its messages."""
    return [plan.message.key for plan in planned(document, *content, **given)]


def turn_with(document: Document, place: int, **more: Any) -> Document:
    """The document with other keys in one of its turns."""
    turns = [item if isinstance(item, dict) else {"user": item} for item in document["turns"]]
    turns[place] = turns[place] | more
    return document | {"turns": turns}


# Keys

SAME: dict[str, Any] = {
    "name": FULL | {"name": "other"},
    "on_fail": FULL | {"on_fail": "continue"},
    "on_unknown": FULL | {"on_unknown": "resend"},
    "vars": FULL | {"vars": {"city": "Lyon", "unused": "x"}},
    "rendering": FULL | {"vars": {"town": "Lyon"}, "turns": ["In {{town}}", *FULL["turns"][1:]]},
    "rendered": FULL | {"turns": ["In Lyon", *FULL["turns"][1:]]},
    "filter": FULL | {"turns": ["In {{city|trim}}", *FULL["turns"][1:]]},
    "raw": turn_with(FULL, 0, user="In Lyon", raw=True),
    "id": turn_with(FULL, 0, id="first"),
    "wait": turn_with(FULL, 1, wait=5),
    "expect": turn_with(FULL, 1, expect={"words": "<5", "finish": "SAFETY"}),
    "mapping": turn_with(FULL, 0),
    "number": FULL | {"config": {"temperature": 0.0}},
    "name-of-a-setting": turn_with(FULL, 1, config={"topK": 3}),
    "system-in-config": {name: value for name, value in FULL.items() if name != "system"}
    | {"config": {"temperature": 0, "system_instruction": "You are a clerk."}},
    "tool_results": FULL | {"tool_results": [{"name": "f", "result": 1}]},
    "turn-tool_results": turn_with(FULL, 0, tool_results=[{"name": "f", "result": 1}]),
    "more": FULL | {"turns": [*FULL["turns"], "fourth"]},
    "order-of-keys": dict(reversed(FULL.items())),
    "comment": "# for the night\n" + json.dumps(FULL),
    "yaml": """
name: n
model: m1
system: You are a clerk.
config: {temperature: 0}   # a comment
vars: {city: Lyon}
turns:
  - In {{city}}
  - {user: second, config: {top_k: 3}}
  # another
  - user: >-
      third
""",
}
"""Changes that leave every message what it was."""

CHANGED: dict[str, tuple[int, Document]] = {
    "model": (0, FULL | {"model": "m2"}),
    "system": (0, FULL | {"system": "You are a judge."}),
    "config": (0, FULL | {"config": {"temperature": 1}}),
    "no-config": (0, {name: value for name, value in FULL.items() if name != "config"}),
    "tools": (0, FULL | {"tools": [{"name": "f"}]}),
    "vars": (0, FULL | {"vars": {"city": "Paris"}}),
    "raw": (0, turn_with(FULL, 0, raw=True)),
    "user": (1, turn_with(FULL, 1, user="Second")),
    "white-space": (1, turn_with(FULL, 1, user="second ")),
    "turn-config": (1, turn_with(FULL, 1, config={"top_k": 4})),
    "inserted": (1, FULL | {"turns": [FULL["turns"][0], "new", *FULL["turns"][1:]]}),
    "removed": (1, FULL | {"turns": [FULL["turns"][0], FULL["turns"][2]]}),
    "swapped": (1, FULL | {"turns": [FULL["turns"][0], FULL["turns"][2], FULL["turns"][1]]}),
}
"""Changes that make other messages of all from a place on."""


@pytest.mark.parametrize("document", SAME.values(), ids=SAME)
def test_what_makes_no_other_message(document: Any) -> None:
    """What a message is called, expects or is written like is none of the model's business."""
    assert keys_of(document)[:3] == keys_of(FULL)


@pytest.mark.parametrize(("place", "document"), CHANGED.values(), ids=CHANGED)
def test_what_makes_another_message(place: int, document: Document) -> None:
    """A change of what is sent gives new keys to the message and all after it, and to none before it."""
    before, after = keys_of(FULL), keys_of(document)
    assert before[:place] == after[:place]
    assert not {*before[place:]} & {*after[place:]}


def test_the_same_messages_in_other_forms() -> None:
    """A text given with --var is what it makes of the message, and the form of a script is no part of its messages."""
    assert keys_of(FULL, city="Lyon") == keys_of(FULL)
    assert keys_of(FULL, city="Paris") == keys_of(FULL | {"vars": {"city": "Paris"}})
    listed = keys_of(["a", "b"])
    assert keys_of('"a"\n{"user": "b", "id": "x"}\n') == listed
    (plain,) = read_script.load("a\n\nb\n", "s.txt", {}, as_lines=True).scripts
    assert [plan.message.key for plan in plans(plain, Journal([header()]))] == listed
    # A message of a session can hold what UTF-8 cannot.
    text = "\n".join(json.dumps(record) for record in [header(), request(1, "\ud800"), response(1, "a")])
    assert len(keys_of(text)[0]) == 64


# What is sent


def test_a_plan() -> None:
    """A message goes out with its templates filled in, to the script's model, with what the call adds."""
    first, second, third = planned(FULL, header(config={"generationConfig": {"topP": 0.5}}))
    assert first.message.content == {"role": "user", "parts": [{"text": "In Lyon"}]}
    assert [plan.message.model for plan in (first, second, third)] == ["m1"] * 3
    system = {"parts": [{"text": "You are a clerk."}]}
    assert first.call_config == {"systemInstruction": system, "generationConfig": {"temperature": 0.0}}
    assert second.call_config == {"systemInstruction": system, "generationConfig": {"temperature": 0.0, "topK": 3}}
    assert third.call_config == first.call_config


def test_a_call_adds_nothing_to_a_session_that_has_it_all() -> None:
    """What the session has already is not recorded with each message again, and what it has besides is in the key."""
    script = {"config": {"temperature": 0}, "turns": ["a"]}
    config = {"generationConfig": {"temperature": 0.0}}
    assert [plan.call_config for plan in planned(script, header(config=config))] == [{}]
    assert keys_of(script, header(config=config)) == keys_of(script)
    assert keys_of(script, header(config={"generationConfig": {"topP": 0.5}})) != keys_of(script)


def test_what_else_is_part_of_a_key() -> None:
    """The session's model, if the script has none, and the history that it began with; its own turns are not."""
    (plan,) = planned(["a"], header("m1"))
    assert plan.message.model == "m1"
    assert plan.message.key == keys_of({"model": "m1", "turns": ["a"]}, header("m2"))[0]
    base = [record | {"imported": True} for record in turn(1)]
    assert keys_of(["a", "b"], header(), *base) != keys_of(["a", "b"])
    assert keys_of(["a", "b"], header(), *base, *turn(2)) == keys_of(["a", "b"], header(), *base)
    assert keys_of(["a", "b"], header(), *turn(1)) == keys_of(["a", "b"])


# Settings of the session


def test_every_key_of_scripts_has_a_row_here() -> None:
    """Each key that a script or a turn may have is tried above."""
    for name in {*script_schema.TURN.keys, *script_schema.SCRIPT.keys} - {"turns"}:
        assert {name, f"turn-{name}"} & {*CHANGED, *SAME}, name


def made_by(origin: str | None, model: str = "m1", config: Any = None) -> Any:
    """A session record that came from somewhere."""
    return header(model, config) | ({"origin": {"kind": origin}} if origin else {})


CONFIG = {"systemInstruction": {"parts": [{"text": "You are a clerk."}]}, "generationConfig": {"temperature": 0.0}}


SETTINGS: dict[str, tuple[Any, SessionRecord]] = {
    "the-same": (FULL, made_by("replay", config=CONFIG)),
    # A session that was made by hand may have any.
    "by-hand": (FULL, made_by(None, "m2", {"labels": {"a": "b"}})),
    "fork": (FULL, made_by("fork", "m2")),
    "import": (FULL, made_by("import", "m2")),
    # Changed and added settings go out with each message, so a slip can be corrected while nothing was answered.
    "other-model": (FULL, made_by("replay", "m2", CONFIG)),
    "added": (FULL, made_by("replay", config={})),
    # The default model may change from day to day; a session keeps the one it began with.
    "no-model": (["a"], made_by("replay", "m2")),
}


@pytest.mark.parametrize(("document", "first"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_go_with_a_session(document: Any, first: SessionRecord) -> None:
    """A script may be replayed in any session whose settings it still has."""
    require_settings(read(document), first)


@pytest.mark.parametrize(
    "config", [{**CONFIG, "labels": {"a": "b"}}, {**CONFIG, "generationConfig": {"temperature": 0.0, "topK": 3}}]
)
def test_settings_that_are_gone_from_the_script(config: Config) -> None:
    """A session that replay made with a setting would still send it."""
    with pytest.raises(GemcliError, match="settings that the script no longer has") as caught:
        require_settings(read(FULL), made_by("replay", config=config))
    assert caught.value.reason == "DIVERGED"


# The past


def sent(document: Any, *answers: str, base: tuple[Record, ...] = ()) -> list[Record]:
    """A session in which a script was played as far as there are answers."""
    content: list[Record] = [header(), *base]
    start = len(base) // 2
    for number, (plan, text) in enumerate(zip(planned(document, *content), answers, strict=False), start + 1):
        content += [
            request(number, plan.message.content["parts"][0]["text"], model=plan.message.model)
            | {"key": plan.message.key}
        ]
        content += [response(number, text)]
    return content


def past_of(document: Any, content: list[Record], *, resend: bool = False) -> list[Any]:
    """What is found for each message: the id of its exchange, None if it is to be sent, or the error."""
    script, journal = read(document), Journal(content)
    found: list[Any] = []
    recorded = RecordedTurns(script, journal, "it's.jsonl")
    for place, plan in enumerate(plans(script, journal)):
        try:
            exchange = recorded.stored_answer(place, plan.message, 0, resend=resend)
            found.append(exchange.id if exchange else None)
        except GemcliError as error:
            found.append(error)
    return found


BASE = tuple(record | {"imported": True} for record in turn(1))
TRIED = [request(2, "by hand"), failure(2, "rejected"), request(3, "x"), response(3, "x", valid=False, finish="SAFETY")]
TRIED += [request(4, "b"), failure(4, "unknown")]

PLAYED: list[Any] = sent(["a", "b"], "A", "B", base=BASE)
FORKED: list[Any] = [PLAYED[0], *(record | {"imported": True} for record in PLAYED[1:])]

FOUND: dict[str, tuple[Any, list[Record], list[str | None]]] = {
    "answered": (["a", "b", "c"], sent(["a", "b"], "A", "B"), ["1.1", "2.1", None]),
    "behind-a-base": (["a", "b"], sent(["a"], "A", base=BASE), ["2.1", None]),
    # A fork knows what the script sent before it, and what it was forked from began with.
    "forked": (["a", "b", "c"], FORKED, ["2.1", "3.1", None]),
    "forked-at-a-turn": (["a", "b"], FORKED[:5], ["2.1", None]),
    "forked-and-rewound": (["a", "b"], [*FORKED, records.rewind([3])], ["2.1", None]),
    "forked-for-another-script": (["b", "a"], FORKED, [None, None]),
    "forked-for-another-model": ({"model": "m2", "turns": ["a", "b"]}, FORKED, [None, None]),
    "rewound": (["a", "b"], [*sent(["a", "b"], "A", "B"), records.rewind([2])], ["1.1", None]),
    # What is in doubt is a message, not a place: an edited one was never sent.
    "another-after-doubt": (["a", "c"], sent(["a", "b"], "A", "B")[:-1], ["1.1", None]),
    # Messages that were rejected or refused, whoever sent them, are not turns of the history.
    "tries-by-hand": (["a", "b"], [*sent(["a"], "A"), *TRIED], ["1.1", None]),
}


@pytest.mark.parametrize(("document", "content", "expected"), FOUND.values(), ids=FOUND)
def test_stored_answers(document: Any, content: list[Record], expected: list[str | None]) -> None:
    """The turns of the history are found in their order; what comes after them must be sent."""
    assert past_of(document, content) == expected


def test_in_doubt() -> None:
    """A message that may have been answered is an error, or is to be sent again when that is wanted."""
    content = sent(["a", "b"], "A", "B")[:-1]
    first, second = past_of(["a", "b"], content)
    assert (first, second.reason) == ("1.1", "IN_DOUBT")
    assert past_of(["a", "b"], content, resend=True) == ["1.1", None]


def _second(message: str) -> list[Record]:
    """The first message of a script, answered as turn 2."""
    return [request(2, message) | {"key": keys_of([message])[0]}, response(2, "A")]


DIFFERENCES: dict[str, tuple[Any, list[Record], str, int]] = {
    "message": (["a", "x"], sent(["a", "b"], "A", "B"), "turn 2 was answered for another message", 1),
    "first": (["x", "b"], sent(["a", "b"], "A", "B"), "turn 1 was answered for another message", 0),
    "base": (["x"], sent(["a"], "A", base=BASE), "turn 2 was answered for another message", 1),
    "by-hand": (["a", "b"], [*sent(["a"], "A"), *turn(2)], "turn 2 was sent without a key", 1),
    "numbers": (["a", "b"], [header(), request(1, "a"), failure(1, "rejected"), *_second("a"), *turn(3)],
        "turn 3 was sent without a key", 2),
    "model": ({"model": "m9", "turns": ["a"]}, sent(["a"], "A"),
        "turn 1 was answered by another model, simulator/echo", 0),
    "config": (["a", {"user": "b", "config": {"seed": 1}}], sent(["a", "b"], "A", "B"),
        "turn 2 was answered with another config", 1),
    "system": ({"system": "Be brief.", "turns": ["a"]}, sent(["a"], "A"),
        "turn 1 was answered with another system instruction", 0),
    "key": (["a"], [header(), request(1, "a") | {"key": "0" * 64}, response(1, "A")],
        "turn 1 was answered after another history", 0),
}  # fmt: skip


@pytest.mark.parametrize(("document", "content", "what", "kept"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_another_message_was_answered(document: Any, content: list[Record], what: str, kept: int) -> None:
    """The error names the turn and the difference, and its hint the command that takes the turn out."""
    error = next(found for found in past_of(document, content) if isinstance(found, GemcliError))
    assert error.reason == "DIVERGED"
    assert what in error.message
    command = f"""run gemcli rewind -s 'it'"'"'s.jsonl' --to {kept} and"""
    assert str(error.hint).startswith(command)


def test_the_session_of_a_person() -> None:
    """Its turns are not to be taken out: the script continues a copy."""
    for key in ({}, {"key": "by hand"}):
        content = [header(), request(1, "a") | key, response(1, "A")]
        error = next(found for found in past_of(["a"], content) if isinstance(found, GemcliError))
        copy = """gemcli new -s 'it'"'"'s-copy.jsonl' --from 'it'"'"'s.jsonl'"""
        assert str(error.hint).endswith(f"replay into a copy of it: {copy}")


def test_more_answers_than_messages() -> None:
    """The first turn that the script has no message for is named, with how to take it out."""
    journal = Journal(sent(["a", "b", "c"], "A", "B", "C"))
    with pytest.raises(GemcliError, match="the script has no message for turn 3 of the session") as caught:
        RecordedTurns(read(["a", "b"]), journal).require_no_more()
    assert str(caught.value.hint).startswith("run gemcli rewind --to 2 and replay again")
    RecordedTurns(read(["a", "b", "c"]), journal).require_no_more()
