"""Thought signatures: which go out to whom, what stays of the Parts that had one, and the documented stand-in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gemcli.api.backends import Backend
from gemcli.chat.contents import Content, user_text
from gemcli.prepare_request import prepare
from gemcli.sessions import records, signatures
from gemcli.sessions.journal import Journal
from gemcli.sessions.signatures import STAND_IN, with_stand_ins
from gemcli.sessions.turns import Exchange
from tests.builders import answer, model, user
from tests.support import InProcess, Model

SIGNED = {"text": "a", "thoughtSignature": "c2ln"}
CALL = {"functionCall": {"name": "f", "args": {}}}
RESULT = {"functionResponse": {"name": "f", "response": {}}}


def exchange(question: Content, *parts: Any, name: str = "m", backend: str = "gemini") -> list[Any]:
    """The records of an answered exchange, as turn 1."""
    return [
        records.request(1, "1.1", question, model=name, backend=backend),
        records.response("1.1", answer(*parts), valid=True, attempts=[], elapsed_ms=1),
    ]


def answered(*parts: Any, name: str = "m", backend: str = "gemini") -> Exchange:
    """One answered exchange."""
    header = records.session(model="m", backend="gemini", config={}, origin=None)
    return Journal([header, *exchange(user_text("q"), *parts, name=name, backend=backend)]).turns[1].exchanges[0]


# Which signatures go out


@pytest.mark.parametrize(
    ("name", "backend", "kept"),
    [("m", "gemini", True), ("other", "gemini", False), ("m", "vertex", False), ("other", "vertex", False)],
)
def test_only_to_the_same_model_and_backend(name: str, backend: str, kept: bool) -> None:
    """A signature goes out if its exchange was answered by this model at this backend, and else does not."""
    contents, dropped = signatures.history([answered(SIGNED)], name, backend)
    assert contents[1] == model(SIGNED if kept else {"text": "a"})
    assert dropped is not kept


def test_each_exchange_for_itself() -> None:
    """In a history of several models each signature goes by its own exchange; without any, nothing is left out."""
    mixed = [answered(SIGNED), answered(SIGNED, name="other"), answered(SIGNED, backend="vertex")]
    contents, dropped = signatures.history(mixed, "m", "gemini")
    assert [content["parts"][0] for content in contents[1::2]] == [SIGNED, {"text": "a"}, {"text": "a"}]
    assert dropped
    assert signatures.history([answered({"text": "a"}, name="other")], "m", "gemini")[1] is False


def test_everything_else_stays() -> None:
    """Unknown keys, thoughts and calls go out as they came in; only the signature is gone, and the record keeps it."""
    parts: list[dict[str, Any]] = [
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {**CALL, "thoughtSignature": "c2ln", "new": {"b": 1, "a": None}},
        {"text": "a", "partMetadata": {"thoughtSignature": "inside"}},
    ]
    one = answered(*parts)
    before = copy.deepcopy(one.response)
    contents, _ = signatures.history([one], "other", "gemini")
    assert contents[1]["parts"] == [
        {"text": "hm", "thought": True},
        {**CALL, "new": {"b": 1, "a": None}},
        {"text": "a", "partMetadata": {"thoughtSignature": "inside"}},
    ]
    assert one.response == before


@pytest.mark.parametrize(
    "part",
    [
        {"thoughtSignature": "c2ln"},
        {"text": "", "thoughtSignature": "c2ln"},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
    ],
    ids=["alone", "empty-text", "empty-thought"],
)
def test_nothing_blank_is_left_behind(part: dict[str, Any]) -> None:
    """A Part that held nothing but its signature goes with it; to the same model it goes out as it is."""
    assert signatures.history([answered({"text": "a"}, part)], "other", "gemini")[0][1] == model({"text": "a"})
    assert signatures.history([answered({"text": "a"}, part)], "m", "gemini")[0][1] == model({"text": "a"}, part)


# The stand-in

GEMINI_3 = ["gemini-3-pro", "gemini-3.1-flash-lite", "gemini-4", "gemini-10-pro", "models/gemini-3-pro"]
OTHERS = [
    "gemini-2.5-pro", "gemini-1.5-flash", "gemini-flash-latest", "gemini-exp-1206", "gemma-3-27b",
    "simulator/echo",
]  # fmt: skip


@pytest.mark.parametrize("name", GEMINI_3)
def test_the_first_call_gets_it(name: str) -> None:
    """Of parallel calls without signatures the first gets the stand-in: the API signs only that one."""
    history = [user_text("q"), model({"text": "so"}, CALL, CALL), user(RESULT, RESULT)]
    before = copy.deepcopy(history)
    sent, changed = with_stand_ins(history, name)
    assert changed
    assert sent[1]["parts"] == [{"text": "so"}, {**CALL, "thoughtSignature": STAND_IN}, CALL]
    assert (sent[0], sent[2], history) == (before[0], before[2], before)


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_do_not_know_it(name: str) -> None:
    """The stand-in is for Gemini 3 and later; others are sent the call as it is."""
    history = [user_text("q"), model(CALL), user(RESULT)]
    assert with_stand_ins(history, name) == (history, False)


def test_where_none_is_needed() -> None:
    """A first call that is signed keeps its signature; with a new message no call is of the current turn."""
    history = [user_text("q"), model({**CALL, "thoughtSignature": "c2ln"}, CALL), user(RESULT, RESULT)]
    assert with_stand_ins(history, "gemini-3-pro") == (history, False)
    history = [user_text("q"), model(CALL), user(RESULT), model({"text": "a"}), user_text("next")]
    assert with_stand_ins(history, "gemini-3-pro") == (history, False)


def test_every_step_of_the_open_turn_gets_it() -> None:
    """Each step of the open turn has its own first call; turns before it are not touched."""
    closed = [user_text("q"), model(CALL), user(RESULT), model({"text": "a"})]
    history = [*closed, user_text("q"), model(CALL), user(RESULT), model(CALL), user(RESULT)]
    sent, changed = with_stand_ins(history, "gemini-3-pro")
    assert changed
    assert [("thoughtSignature" in content["parts"][0]) for content in sent] == [False] * 5 + [True, False, True, False]


@pytest.mark.parametrize(
    ("asked", "target", "signature", "notes"),
    [
        ("gemini-3-pro", None, "c2ln", []),
        ("gemini-3-pro", "gemini-3-flash", STAND_IN, ["left out", "stand-in"]),
        ("gemini-3-pro", "gemini-2.5-pro", None, ["left out"]),
    ],
    ids=["same", "another-3", "older"],
)
def test_prepare(asked: str, target: str | None, signature: str | None, notes: list[str]) -> None:
    """The responses of an open call go out with its signature, the stand-in or neither, and notes tell which."""
    header = records.session(model=asked, backend="gemini", config={}, origin=None)
    opened = exchange(user_text("q"), {**CALL, "thoughtSignature": "c2ln"}, name=asked)
    request = prepare(Journal([header, *opened]), user(RESULT), Backend("gemini"), model=target)
    assert request.body["contents"][1]["parts"][0].get("thoughtSignature") == signature
    assert request.content == user(RESULT)
    assert len(request.notes) == len(notes)
    for note, word in zip(request.notes, notes, strict=True):
        assert word in note


# On the wire


def begin(here: InProcess, scripted: Model) -> None:
    """A session `a` whose first answer is signed."""
    scripted.script(answer({"text": "hm", "thought": True}, SIGNED, {"text": "", "thoughtSignature": "ZW5k"}))
    here.ok("new", "-s", "a")
    here.ok("send", "-s", "a", "one")


def sent(scripted: Model) -> list[dict[str, Any]]:
    """The Parts of the first answer as the last request had them."""
    parts: list[dict[str, Any]] = scripted.requests[-1]["contents"][1]["parts"]
    return parts


BARE = [{"text": "hm", "thought": True}, {"text": "a"}]
WHOLE = [BARE[0], SIGNED, {"text": "", "thoughtSignature": "ZW5k"}]


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
def test_another_model_for_one_message(here: InProcess, model: Model, stream: list[str]) -> None:
    """--model leaves the signatures of the session's model out and says so; the next message has them again."""
    begin(here, model)
    told = here.ok("send", "-s", "a", "two", "--model", "gemini-other", *stream)[-1]
    assert sent(model) == BARE
    assert told["notes"] == ["thought signatures of another model or backend were left out"]
    assert here.ok("send", "-s", "a", "three", *stream)[-1]["notes"] == []
    assert sent(model) == WHOLE


def test_the_answers_of_another_model(here: InProcess, model: Model) -> None:
    """What another model signed stays out of later messages to the session's own."""
    here.ok("new", "-s", "a")
    model.script(answer(SIGNED))
    here.ok("send", "-s", "a", "one", "--model", "gemini-other")
    told = here.ok("send", "-s", "a", "two")[0]
    assert sent(model) == [{"text": "a"}]
    assert len(told["notes"]) == 1
    here.ok("send", "-s", "a", "three", "--model", "gemini-other")
    assert sent(model) == [SIGNED]


FORKS: dict[str, tuple[list[str], bool]] = {
    "as-it-was": ([], True),
    "same-model": (["--model", "gemini-test"], True),
    "other-model": (["--model", "gemini-other"], False),
    "other-backend": (["--project", "p"], False),
}


@pytest.mark.parametrize(("options", "kept"), FORKS.values(), ids=FORKS)
def test_a_fork(here: InProcess, model: Model, options: list[str], kept: bool) -> None:
    """A fork sends the signatures if it has the model and backend of its source, and else none of them."""
    begin(here, model)
    here.ok("new", "-s", "b", "--from", "a", *options)
    told = here.ok("send", "-s", "b", "two", "--dry-run")[0]
    assert told["body"]["contents"][1]["parts"] == (WHOLE if kept else BARE)
    notes = ["thought signatures of another model or backend were left out"]
    assert told["notes"] == ([] if kept else notes)


def test_export_and_import_keep_them(here: InProcess, model: Model, tmp_path: Path) -> None:
    """`export contents` has every signature, and a session begun with it sends them to the same model."""
    begin(here, model)
    here("send", "-s", "a", "two")
    done = here("export", "contents", "-s", "a")
    (tmp_path / "c.json").write_text(done.out)
    here.ok("new", "-s", "b", "--history", str(tmp_path / "c.json"))
    here.ok("send", "-s", "b", "three")
    assert sent(model) == WHOLE
