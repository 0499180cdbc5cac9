"""Plans: what makes a message of a script the same as before, and what was answered in a session already."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import GemcliError
from gemcli.replay import read_script, script_schema
from gemcli.replay.plan import Past, Plan, plans, require_settings
from gemcli.replay.script import Script
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.records import Record
from tests.commands import asked, failed, header, told, turn

Document = dict[str, Any]

FULL: Document = {
    "name": "n",
    "model": "m1",
    "system": "You are a clerk.",
    "config": {"temperature": 0},
    "vars": {"city": "Lyon"},
    "turns": [
        "In {{city}}",
        {"user": "second", "config": {"top_k": 3}},
        {"id": "last", "user": "third", "expect": {"contains": "x"}},
    ],
    "on_fail": "stop",
}
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
    return [plan.key for plan in planned(document, *content, **given)]


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


def test_every_key_of_scripts_has_a_row_here() -> None:
    """The grammar says which keys are part of a message; each is tried above."""
    for name in {*script_schema.TURN.keys, *script_schema.SCRIPT.keys} - {"turns"}:
        assert {name, f"turn-{name}"} & {*CHANGED, *SAME}, name


def test_a_var_of_the_command_line() -> None:
    """A text given with --var is what it makes of the message."""
    assert keys_of(FULL, city="Lyon") == keys_of(FULL)
    assert keys_of(FULL, city="Paris") == keys_of(FULL | {"vars": {"city": "Paris"}})


def test_json_lines_and_lists_are_the_same_messages() -> None:
    """The form of a script is no part of its messages."""
    listed = keys_of(["a", "b"])
    assert keys_of('"a"\n{"user": "b", "id": "x"}\n') == listed
    (plain,) = read_script.load("a\n\nb\n", "s.txt", {}, as_lines=True).scripts
    assert [plan.key for plan in plans(plain, Journal([header()]))] == listed


MESSAGES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: text.strip() and "{{" not in text
)
TURNS = st.lists(
    st.builds(
        lambda user, top_k: {"user": user} | ({"config": {"top_k": top_k}} if top_k else {}),
        MESSAGES,
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=4,
)
BESIDES = st.fixed_dictionaries(
    {},
    optional={
        "wait": st.integers(0, 9),
        "raw": st.just(True),
        "expect": st.fixed_dictionaries({"words": st.just("<9"), "contains": MESSAGES}),
    },
)


@given(TURNS, st.data())
def test_keys_are_of_what_is_sent(turns: list[Document], data: st.DataObject) -> None:
    """Two scripts share keys exactly as far as their messages and configs are the same ones."""
    other = [data.draw(st.just(one) | TURNS.map(lambda drawn: drawn[0])) for one in turns]
    same = next((place for place, pair in enumerate(zip(turns, other, strict=True)) if pair[0] != pair[1]), len(turns))
    told = [turn | data.draw(BESIDES) for turn in other]
    names = data.draw(st.sampled_from([{}, {"name": "x", "on_fail": "stop"}]))
    before, after = keys_of({"turns": turns}), keys_of({"turns": told} | names)
    assert before[:same] == after[:same]
    assert not {*before[same:]} & {*after[same:]}


# What is sent


def test_a_plan() -> None:
    """A message goes out with its templates filled in, to the script's model, with what the call adds."""
    first, second, third = planned(FULL, header(config={"generationConfig": {"topP": 0.5}}))
    assert first.content == {"role": "user", "parts": [{"text": "In Lyon"}]}
    assert [plan.model for plan in (first, second, third)] == ["m1"] * 3
    system = {"parts": [{"text": "You are a clerk."}]}
    assert first.call == {"systemInstruction": system, "generationConfig": {"temperature": 0.0}}
    assert second.call == {"systemInstruction": system, "generationConfig": {"temperature": 0.0, "topK": 3}}
    assert third.call == first.call


def test_a_call_adds_nothing_to_a_session_that_has_it_all() -> None:
    """What the session has already is not recorded with each message again, and what it has besides is in the key."""
    script = {"config": {"temperature": 0}, "turns": ["a"]}
    config = {"generationConfig": {"temperature": 0.0}}
    assert [plan.call for plan in planned(script, header(config=config))] == [{}]
    assert keys_of(script, header(config=config)) == keys_of(script)
    assert keys_of(script, header(config={"generationConfig": {"topP": 0.5}})) != keys_of(script)


def test_the_sessions_model_without_one_of_the_script() -> None:
    """A script without a model asks the session's, which is in the key."""
    (plan,) = planned(["a"], header("m1"))
    assert plan.model == "m1"
    assert plan.key == keys_of({"model": "m1", "turns": ["a"]}, header("m2"))[0]


def test_the_base_is_part_of_every_key() -> None:
    """A session that begins with a history has other keys; its own turns are no part of the base."""
    base = [record | {"imported": True} for record in turn(1)]
    assert keys_of(["a", "b"], header(), *base) != keys_of(["a", "b"])
    assert keys_of(["a", "b"], header(), *base, *turn(2)) == keys_of(["a", "b"], header(), *base)
    assert keys_of(["a", "b"], header(), *turn(1)) == keys_of(["a", "b"])


def test_a_surrogate_has_a_key() -> None:
    """A message of a session can hold what UTF-8 cannot."""
    text = "\n".join(json.dumps(record) for record in [header(), asked(1, "\ud800"), told(1, "a")])
    assert len(keys_of(text)[0]) == 64


# Settings of the session


def made_by(origin: str | None, model: str = "m1", config: Document | None = None) -> Record:
    """A session record that came from somewhere."""
    return header(model, config) | ({"origin": {"kind": origin}} if origin else {})


CONFIG = {"systemInstruction": {"parts": [{"text": "You are a clerk."}]}, "generationConfig": {"temperature": 0.0}}


@pytest.mark.parametrize(
    "first", [made_by("replay", config=CONFIG), made_by(None, "m2"), made_by("fork", "m2"), made_by("import", "m2")]
)
def test_settings_that_go_with_a_session(first: Record) -> None:
    """A script may differ from sessions that were made by hand; those it made itself have its settings."""
    require_settings(read(FULL), first)


@pytest.mark.parametrize(
    "config", [{**CONFIG, "labels": {"a": "b"}}, {**CONFIG, "generationConfig": {"temperature": 0.0, "topK": 3}}]
)
def test_settings_that_are_gone_from_the_script(config: Document) -> None:
    """A session made with a setting that the script has no more would send it still: it is none of this script's."""
    with pytest.raises(GemcliError, match="settings that the script has no more") as caught:
        require_settings(read(FULL), made_by("replay", config=config))
    assert caught.value.reason == "DIVERGED"


@pytest.mark.parametrize("first", [made_by("replay", "m2", CONFIG), made_by("replay", config={})])
def test_settings_that_were_changed_or_added(first: Record) -> None:
    """They go with each message, so a slip in the model or the config can be mended while nothing was answered."""
    require_settings(read(FULL), first)


def test_a_script_without_a_model_takes_what_the_session_has() -> None:
    """The default model may change from day to day; a session keeps the one it began with."""
    require_settings(read(["a"]), made_by("replay", "m2"))


# The past


def sent(document: Any, *answers: str, base: tuple[Record, ...] = ()) -> list[Record]:
    """A session in which a script was played as far as there are answers."""
    content: list[Record] = [header(), *base]
    start = len(base) // 2
    for number, (plan, text) in enumerate(zip(planned(document, *content), answers, strict=False), start + 1):
        content += [asked(number, plan.content["parts"][0]["text"], model=plan.model) | {"key": plan.key}]
        content += [told(number, text)]
    return content


def past_of(document: Any, content: list[Record], *, resend: bool = False) -> list[Any]:
    """What is found for each message: the id of its exchange, None if it is to be sent, or the error."""
    script, journal = read(document), Journal(content)
    found: list[Any] = []
    past = Past(script, journal)
    for place, plan in enumerate(plans(script, journal)):
        try:
            exchange = past.exchange(place, plan, resend=resend)
            found.append(exchange.id if exchange else None)
        except GemcliError as error:
            found.append(error)
    return found


def test_what_was_answered_is_found() -> None:
    """The turns of the history, in their order; what comes after them is to be sent."""
    assert past_of(["a", "b", "c"], sent(["a", "b"], "A", "B")) == ["1.1", "2.1", None]


def test_behind_a_base() -> None:
    """What a session was created with is not looked at."""
    base = [record | {"imported": True} for record in turn(1)]
    assert past_of(["a", "b"], sent(["a"], "A", base=tuple(base))) == ["2.1", None]


def test_after_a_rewind() -> None:
    """What was taken out is to be sent, and what stands before it is not."""
    content = [*sent(["a", "b"], "A", "B"), records.rewind([2])]
    assert past_of(["a", "b"], content) == ["1.1", None]


def test_in_doubt() -> None:
    """A message that may have been answered is an error, or is to be sent again when that is wanted."""
    content = sent(["a", "b"], "A", "B")[:-1]
    first, second = past_of(["a", "b"], content)
    assert (first, second.reason) == ("1.1", "IN_DOUBT")
    assert past_of(["a", "b"], content, resend=True) == ["1.1", None]


def test_another_message_after_one_in_doubt_is_sent() -> None:
    """What is in doubt is a message, not a place: an edited one was never sent."""
    assert past_of(["a", "c"], sent(["a", "b"], "A", "B")[:-1]) == ["1.1", None]


def _second(message: str) -> list[Record]:
    """The first message of a script, answered as turn 2."""
    return [asked(2, message) | {"key": keys_of([message])[0]}, told(2, "A")]


BASE = tuple(record | {"imported": True} for record in turn(1))

DIFFERENCES: dict[str, tuple[Any, list[Record], str, str]] = {
    "message": (["a", "x"], sent(["a", "b"], "A", "B"), "the message of t2 is not the one", "--to 1 "),
    "first": (["x", "b"], sent(["a", "b"], "A", "B"), "the message of t1 is not the one", "--to 0 "),
    "base": (["x"], sent(["a"], "A", base=BASE), "the message of t1 is not the one", "--to 1 "),
    "by-hand": (["a", "b"], [*sent(["a"], "A"), *turn(2)], "turn 2 of the session was not sent by this", "--to 1 "),
    "numbers": (
        ["a", "b"],
        [header(), asked(1, "a"), failed(1, "rejected"), *_second("a"), *turn(3)],
        "turn 3 of the session was not sent by this",
        "--to 2 ",
    ),
    "model": (
        {"model": "m9", "turns": ["a"]},
        sent(["a"], "A"),
        "t1 was answered by simulator/echo in turn 1, and is to go to m9 now",
        "--to 0 ",
    ),
    "config": (
        ["a", {"user": "b", "config": {"seed": 1}}],
        sent(["a", "b"], "A", "B"),
        "t2 was answered with another config in turn 2",
        "--to 1 ",
    ),
    "system": (
        {"system": "Be brief.", "turns": ["a"]},
        sent(["a"], "A"),
        "t1 was answered with another system instruction in turn 1",
        "--to 0 ",
    ),
}


@pytest.mark.parametrize(("document", "content", "said", "hint"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_was_answered_is_something_else(document: Any, content: list[Record], said: str, hint: str) -> None:
    """Where another message was answered, the error names the turn, what differs, and how to go on."""
    error = next(found for found in past_of(document, content) if isinstance(found, GemcliError))
    assert error.reason == "DIVERGED"
    assert said in error.message
    assert hint in str(error.hint)


def test_more_answers_than_messages() -> None:
    """A script that was cut short, or a message sent by hand after its last one: the turn is named."""
    content = sent(["a", "b", "c"], "A", "B", "C")
    with pytest.raises(GemcliError, match="turn 3 of the session is no turn of this script") as caught:
        Past(read(["a", "b"]), Journal(content), "it's.jsonl").require_no_more()
    assert str(caught.value.hint).startswith("""gemcli rewind -s 'it'"'"'s.jsonl' --to 2 takes it out""")
    Past(read(["a", "b", "c"]), Journal(content)).require_no_more()


def test_tries_that_never_made_it_are_no_turns() -> None:
    """What was rejected or refused in a session, by anyone, is no part of its history."""
    tried = [asked(2, "by hand"), failed(2, "rejected"), asked(3, "x"), told(3, "x", valid=False, finish="SAFETY")]
    assert past_of(["a", "b"], [*sent(["a"], "A"), *tried]) == ["1.1", None]
