"""Thought signatures: which go out to whom, what stays of the Parts that had one, and the documented stand-in."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gemcli.api.backends import Backend
from gemcli.chat.contents import Content, parts_of, user_text
from gemcli.requests.prepare_request import prepare
from gemcli.sessions import records, signatures
from gemcli.sessions.journal import Journal
from gemcli.sessions.signatures import LEFT_OUT, STAND_IN, TOOLS_LEFT_OUT, Target, with_stand_ins
from gemcli.sessions.turns import Exchange
from tests.builders import answer, model, overloaded, unfinished, user
from tests.support import InProcess, Model

SIGNED = {"text": "a", "thoughtSignature": "c2ln"}
CALL = {"functionCall": {"name": "f", "args": {}}}
RESULT = {"functionResponse": {"name": "f", "response": {}}}


def exchange(
    question: Content, *parts: Any, name: str = "m", backend: str = "gemini", version: str | None = None, place: int = 1
) -> list[Any]:
    """The records of an answered exchange, as turn 1."""
    reply = answer(*parts)
    del reply["modelVersion"]
    if version:
        reply["modelVersion"] = version
    return [
        records.request(1, f"1.{place}", question, model=name, backend=backend),
        records.response(f"1.{place}", reply, valid=True, attempts=[], elapsed_ms=1),
    ]


def answered(*parts: Any, imported: bool = False, **asked: Any) -> Exchange:
    """One answered exchange."""
    header = records.session(model="m", backend="gemini", config={}, origin=None)
    request, response = exchange(user_text("q"), *parts, **asked)
    if imported:
        request["imported"] = response["imported"] = True
    return Journal([header, request, response]).turns[1].exchanges[0]


def sent_to(to: Target, *exchanges: Exchange) -> tuple[list[list[Any]], list[str]]:
    """The Parts of each answer as they go out with the next message, and the notes about it."""
    contents, notes = signatures.sendable(exchanges, user_text("next"), to)
    assert contents[-1] == user_text("next")
    return [parts_of(content) for content in contents[1:-1:2]], notes


# Whose signatures they are, and who gets them

HERE = Target("m", "m", "gemini")
OTHER = Target("other", "other", "gemini")
LATEST = Target("m-latest", "m-2", "gemini")
SIGNERS: dict[str, tuple[dict[str, Any], Target, bool]] = {
    "same": ({}, HERE, True),
    "other-model": ({"name": "other"}, HERE, False),
    "other-backend": ({"backend": "vertex"}, HERE, False),
    "version-that-answered": ({"name": "m-latest", "version": "m"}, HERE, True),
    "alias-of-another": ({"name": "m", "version": "m-2"}, HERE, False),
    "with-its-collection": ({"name": "models/m"}, HERE, True),
    "published": ({"version": "publishers/google/models/m", "backend": "vertex"}, Target("m", "m", "vertex"), True),
    "no-version": ({"name": "m-latest"}, LATEST, True),
    "fork": ({"imported": True, "version": "m"}, HERE, True),
    "fork-of-another": ({"imported": True, "version": "n"}, HERE, False),
    "import-that-does-not-say": ({"imported": True}, HERE, False),
    "import-that-says": ({"imported": True, "name": "m-2", "version": "m-2"}, LATEST, True),
    "import-that-says-an-alias": ({"imported": True, "name": "m-latest", "version": "m-latest"}, LATEST, True),
    "import-that-says-another": ({"imported": True, "name": "m", "version": "m"}, LATEST, False),
    "older-version-of-the-alias": ({"name": "m-latest", "version": "m-1"}, LATEST, False),
    "older-version-in-a-fork": ({"imported": True, "name": "m-latest", "version": "m-1"}, LATEST, False),
}


@pytest.mark.parametrize("name", SIGNERS)
def test_who_gets_them(name: str) -> None:
    """A signature goes out to the version of the model that answered, at its backend, and to nobody else."""
    made, to, kept = SIGNERS[name]
    parts, notes = sent_to(to, answered(SIGNED, **made))
    assert parts == [[SIGNED if kept else {"text": "a"}]]
    assert notes == ([] if kept else [LEFT_OUT])


def of(name: str, version: str | None, backend: str = "gemini") -> Exchange:
    """An exchange with `name` that this version answered."""
    return answered(SIGNED, name=name, version=version, backend=backend)


TARGETS: dict[str, tuple[list[Exchange], str]] = {
    "never-asked": ([], "m-latest"),
    "answered": ([of("m-latest", "m-1")], "m-1"),
    "moved": ([of("m-latest", "m-1"), of("m-latest", "m-2")], "m-2"),
    "silent-since": ([of("m-latest", "m-1"), of("m-latest", None)], "m-1"),
    "under-other-names": ([of("m", "m-1"), of("m-latest", "m-1", "vertex")], "m-latest"),
    "prefixed": ([of("m-latest", "models/m-1")], "m-1"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_whom_a_name_means(name: str) -> None:
    """An alias stands for the version that answered last under it at this backend."""
    before, version = TARGETS[name]
    assert signatures.target("m-latest", "gemini", before) == ("m-latest", version, "gemini")


def test_an_alias_that_moves_on() -> None:
    """When an alias answers with a new version, the signatures of the old one stay behind."""
    before = [of("m-latest", "m-1"), of("m-latest", "m-2")]
    to = signatures.target("m-latest", "gemini", before)
    assert sent_to(to, *before) == ([[{"text": "a"}], [SIGNED]], [LEFT_OUT])


def test_each_exchange_for_itself() -> None:
    """In a history of several models each signature goes by its own exchange; without any, nothing is left out."""
    mixed = [answered(SIGNED), answered(SIGNED, name="other"), answered(SIGNED, backend="vertex")]
    assert sent_to(HERE, *mixed) == ([[SIGNED], [{"text": "a"}], [{"text": "a"}]], [LEFT_OUT])
    assert sent_to(HERE, answered({"text": "a"}, name="other"))[1] == []


def test_everything_else_stays() -> None:
    """Unknown keys, thoughts and calls go out as they came in; only the signature is gone, and the record keeps it."""
    parts: list[dict[str, Any]] = [
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {**CALL, "thoughtSignature": "c2ln", "new": {"b": 1, "a": None}},
        {"text": "a", "partMetadata": {"thoughtSignature": "inside"}},
    ]
    one = answered(*parts)
    before = copy.deepcopy(one.response)
    contents, _ = signatures.sendable([one], user(RESULT), OTHER)
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
    one = answered({"text": "a"}, part)
    assert sent_to(OTHER, one)[0] == [[{"text": "a"}]]
    assert sent_to(HERE, one)[0] == [[{"text": "a"}, part]]


# Server-side tools

TOOL_CALL = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {}, "id": "t"}, "thoughtSignature": "c2ln"}
TOOL_RESPONSE = {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {}, "id": "t"}, "thoughtSignature": "c2"}
SIGNED_CALL = {**CALL, "thoughtSignature": "c2ln"}

TOOL_PARTS: dict[str, tuple[list[Any], list[Any], list[str]]] = {
    "beside-text": ([TOOL_CALL, TOOL_RESPONSE, SIGNED], [{"text": "a"}], [LEFT_OUT, TOOLS_LEFT_OUT]),
    "beside-a-call": ([TOOL_CALL, TOOL_RESPONSE, SIGNED_CALL], [CALL], [LEFT_OUT, TOOLS_LEFT_OUT]),
    "half-signed": ([TOOL_CALL, {"toolResponse": {"id": "t"}}, SIGNED], [{"text": "a"}], [LEFT_OUT, TOOLS_LEFT_OUT]),
    "unsigned": ([{"toolCall": {"id": "t"}}, {"toolResponse": {"id": "t"}}, SIGNED],
        [{"toolCall": {"id": "t"}}, {"toolResponse": {"id": "t"}}, {"text": "a"}], [LEFT_OUT]),
    "nothing-else": ([TOOL_CALL, TOOL_RESPONSE], [TOOL_CALL, TOOL_RESPONSE], []),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOL_PARTS)
def test_server_side_tools_go_whole_or_not_at_all(name: str) -> None:
    """Another model gets no toolCall or toolResponse that lacks its signature; the same model gets all as it was."""
    parts, left, notes = TOOL_PARTS[name]
    one = answered(*parts)
    content = user(RESULT) if "functionCall" in parts[-1] else user_text("next")
    contents, told = signatures.sendable([one], content, OTHER)
    assert (parts_of(contents[1]), told) == (left, notes)
    assert parts_of(signatures.sendable([one], content, HERE).contents[1]) == parts


# The stand-in

GEMINI_3 = [
    "gemini-3-pro", "gemini-3.1-flash-lite", "gemini-4-argon", "gemini-10-pro", "models/gemini-3-pro",
    "gemini-flash-latest", "gemini-flash-lite-latest",
]  # fmt: skip
OTHERS = [
    "gemini-2.5-pro", "gemini-1.5-flash", "gemini-1.5-flash-latest", "gemini-exp-1206", "gemma-3-27b",
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
    """The stand-in is for Gemini 3 and later, and aliases that may mean one; others are sent the call as it is."""
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


def test_another_model_for_one_message(here: InProcess, model: Model) -> None:
    """--model leaves the signatures of the session's model out and says so; the next message has them again."""
    begin(here, model)
    told = here.ok("send", "-s", "a", "two", "--model", "gemini-other")[0]
    assert sent(model) == BARE
    assert told["notes"] == ["thought signatures of another model or backend were left out"]
    assert here.ok("send", "-s", "a", "three")[0]["notes"] == []
    assert sent(model) == WHOLE


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


IMPORTS: dict[str, tuple[list[str], list[Any], bool]] = {
    "nobody-says-whose": ([], BARE, True),
    "of-this-model": (["--history-model", "gemini-test"], WHOLE, False),
    "of-another": (["--history-model", "gemini-other"], BARE, False),
}


@pytest.mark.parametrize(("options", "parts", "noted"), IMPORTS.values(), ids=IMPORTS)
def test_an_import(here: InProcess, model: Model, options: list[str], parts: list[Any], noted: bool) -> None:
    """`export contents` has every signature; a session begun with it sends them if they are said to be of its model.

    So it does when the model, under that name, has answered as some version.
    """
    begin(here, model)
    done = here("export", "contents", "-s", "a")
    made = here("new", "-s", "b", "--history", "-", *options, stdin=done.out)
    assert ("--history-model MODEL" in made.err) == noted
    for message in ("two", "three"):
        here.ok("send", "-s", "b", message)
        assert sent(model) == parts


def test_the_model_of_a_history(here: InProcess, model: Model) -> None:
    """`--history-model` is for histories that do not say it, and takes the name of a model."""
    begin(here, model)
    done = here("export", "contents", "-s", "a")
    (here.directory / "c.json").write_text(done.out)
    path = str(here.session("a"))
    assert here("new", "-s", "b", "--history", path, "--history-model", "gemini-test").status == 2
    assert here("new", "-s", "b", "--history-model", "gemini-test").status == 2
    assert (
        here.failed("new", "-s", "b", "--history", "c.json", "--history-model", "a b").error["reason"] == "MODEL_NAME"
    )
    assert not here.session("b").exists()
    here.ok("new", "-s", "b", "--history", "c.json", "--history-model", "gemini-pro")
    turn = here.ok("history", "-s", "b")[0]
    assert (turn["model"], turn["model_version"]) == ("gemini-pro", "gemini-pro")


def test_an_alias_gets_the_stand_in(here: InProcess, model: Model) -> None:
    """A call from elsewhere goes to an alias with the stand-in, until the alias has answered as an older model."""
    history = [user("q"), {"role": "model", "parts": [{**CALL, "thoughtSignature": "c2ln"}]}]
    here.ok("new", "-s", "b", "--history", "-", "--model", "gemini-flash-latest", stdin=json.dumps(history))
    model.script(answer(CALL, modelVersion="gemini-2.5-flash"), answer("done"))
    assert here("send", "-s", "b", "--response", "f=1").status == 5
    assert sent(model)[0]["thoughtSignature"] == STAND_IN
    here.ok("send", "-s", "b", "--response", "f=1")
    assert model.requests[-1]["contents"][1]["parts"] == model.requests[-1]["contents"][3]["parts"] == [CALL]


def test_a_hop_is_asked_for_as_the_answer_was(here: InProcess, model: Model) -> None:
    """Whatever version begins an answer, its next hop is asked for with the same body, in another process too."""
    begin(here, model)
    newer = {"modelVersion": "gemini-test-002"}
    model.script(unfinished("b", token="dG9rZW4=", **newer), overloaded(), answer("c", **newer))
    assert here("send", "-s", "a", "two", "--retries", "0").status == 4
    here.ok("send", "-s", "a", "--continue")
    first, failed, again = model.requests[1:]
    assert first["contents"][1]["parts"] == WHOLE
    assert failed == again == {**first, "continuationToken": "dG9rZW4="}
    here.ok("send", "-s", "a", "three")
    assert sent(model) == BARE
