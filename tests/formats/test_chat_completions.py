"""Messages of the Chat Completions API: what is carried over, and what is refused rather than lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import turn_order
from gemcli.chat.contents import SERVER_SIDE, Content
from gemcli.errors import GemcliError
from gemcli.formats.chat_completions import dump, left_out
from gemcli.text import strict_json
from tests.builders import call, error_from, model, result, user


def messages(*history: Content, **config: Any) -> list[dict[str, Any]]:
    """The messages of a history that turn order allows."""
    assert turn_order.check(history) == []
    header: Any = {"model": "m", "config": config}
    document = dump(list(history), header)
    assert document["model"] == "m"
    found: list[dict[str, Any]] = document["messages"]
    return found


def called(history: list[dict[str, Any]]) -> list[str]:
    """The ids of all calls, in order."""
    return [one["id"] for message in history for one in message.get("tool_calls", [])]


def responded(history: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The id and the content of all results, in order."""
    return [(message["tool_call_id"], message["content"]) for message in history if message["role"] == "tool"]


def test_text() -> None:
    """Text is said by user and assistant, after the system; Parts are joined, thoughts and settings left out."""
    signed = {"text": "c", "thoughtSignature": "c2ln"}
    instruction = {"parts": [{"text": "Be "}, {"text": "brief"}]}
    history = [user("a", "b"), model({"text": "hm", "thought": True}, signed, "d"), user("e")]
    assert messages(*history, systemInstruction=instruction, generationConfig={"seed": 1}) == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "cd"},
        {"role": "user", "content": "e"},
    ]
    assert messages() == []


def test_a_call_with_its_id() -> None:
    """A call keeps its id, its arguments are JSON as text, and the result has the same id."""
    said = messages(
        user("q"),
        model("let me see", call("sum", id="c1", args={"b": 1, "a": ["é"]})),
        user(result("sum", id="c1")),
        model("2"),
    )
    assert said[1]["content"] == "let me see"
    (made,) = said[1]["tool_calls"]
    assert (made["id"], made["type"], made["function"]["name"]) == ("c1", "function", "sum")
    assert json.loads(made["function"]["arguments"]) == {"b": 1, "a": ["é"]}
    assert (said[2]["role"], said[2]["tool_call_id"], json.loads(said[2]["content"])) == ("tool", "c1", {"result": 1})


def test_calls_without_ids_get_one() -> None:
    """Every call has an id of its own, in every turn, and its result names it; arguments are an object."""
    said = messages(
        user("q"), model(call(), call()), user(result(), result()), model("a"),
        user("q"), model(call(args={})), user(result()), model("a"),
    )  # fmt: skip
    assert len(set(called(said))) == 3
    assert called(said) == [name for name, _ in responded(said)]
    assert said[1]["content"] is None
    assert [json.loads(one["function"]["arguments"]) for one in said[1]["tool_calls"]] == [{}, {}]


def test_results_find_their_calls() -> None:
    """Results belong to calls by name and id, whatever their order; one without an id to the call without one."""
    results = [result(name, id=at, response={"of": at}) for name, at in (("f", "2"), ("f", "1"))]
    calls = model(call("f", id="1"), call("g"), call("f", id="2"), call("f"))
    said = messages(user("q"), calls, user(*results, result("g", response={}), result(response={"of": "other"})))
    first, other, second, bare = called(said)
    assert (first, second) == ("1", "2")
    assert responded(said) == [("2", '{"of":"2"}'), ("1", '{"of":"1"}'), (other, "{}"), (bare, '{"of":"other"}')]


@pytest.mark.parametrize(
    "history",
    [
        [user("q"), model(call(id="a"), call()), user(result(), result(id="a"))],
        [user("q"), model(call(id=""), call("g")), user(result("g"), result(id=""))],
        [user("q"), model(call(id=1)), user(result(id="1"))],
        [user("q"), model(call("f", id="x"), call("g", id="x")), user(result("g", id="x"), result("f", id="x"))],
    ],
    ids=["with-and-without-id", "empty-id", "number-and-text", "same-id"],
)
def test_ids_that_turn_order_allows(history: list[Content]) -> None:
    """Calls that turn order takes for answered are answered here: each result names a call, each call once."""
    said = messages(*history)
    assert sorted(map(str, called(said))) == sorted(str(name) for name, _ in responded(said))


def test_a_message_beside_results() -> None:
    """What the user says with the results follows them; a call that waits for its response is exported as it is."""
    said = messages(user("q"), model(call(id="1")), user("and more", result(id="1")))
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "user"]
    assert said[3]["content"] == "and more"
    assert messages(user("q"), model(call(id="1")))[-1]["tool_calls"][0]["id"] == "1"


def test_images() -> None:
    """An image is a data URL, in its place between the texts."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert messages(user("see", image, "?"))[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "?"},
    ]


@pytest.mark.parametrize(
    ("history", "what"),
    [
        ([user({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}})], "content 0 holds inlineData"),
        ([user({"inlineData": {"data": "AAAA"}})], "content 0 holds inlineData"),
        ([user("q", {"fileData": {"fileUri": "gs://b/f"}})], "content 0 holds fileData"),
        ([user("q"), model({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})], "content 1 holds inlineData"),
        ([user("q"), model({"later": {}, "thoughtSignature": "c2ln"}, "a")], "content 1 holds later"),
        ([user({"inlineData": "AAAA"})], "content 0 holds inlineData"),
        (
            [user("q"), model(call()), user(result(parts=[{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]))],
            "content 2 holds functionResponse.parts",
        ),
    ],
    ids=[
        "audio", "no-type", "file", "model-image", "signed", "malformed", "result-image",
    ],
)  # fmt: skip
def test_what_has_no_counterpart(history: list[Content], what: str) -> None:
    """A Part that messages cannot hold is named and nothing is lost: 65, with what keeps everything."""
    assert turn_order.check(history) == []
    caught = error_from(dump, history, {"model": "m", "config": {}})
    assert (caught.reason, caught.exit) == ("NOT_EXPRESSIBLE", 65)
    assert caught.message.startswith(what)
    assert "export contents" in str(caught.hint)


def test_what_the_tools_of_the_api_did() -> None:
    """A search or code that ran at Google is no call of these messages: the answer's text stands without it."""
    parts = [{kind: {"id": "s1"}, "thoughtSignature": "c2ln"} for kind in SERVER_SIDE]
    history = [user("q"), model(*parts, "a", call("f", id="c1")), user(result("f", id="c1")), model("b")]
    said = messages(*history)
    assert (said[1]["content"], called(said)) == ("a", ["c1"])
    assert left_out(history, {"model": "m", "config": {}}) == [
        "executableCode",
        "thoughtSignature",
        *list(SERVER_SIDE)[1:],
    ]


def test_a_system_instruction_that_is_no_text() -> None:
    """A system instruction that is more than text is refused, too."""
    instruction: Any = {"parts": [{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}
    with pytest.raises(GemcliError) as caught:
        dump([user("q")], {"model": "m", "config": {"systemInstruction": instruction}})
    assert caught.value.reason == "NOT_EXPRESSIBLE"


# Any history

IDS = st.one_of(st.none(), st.sampled_from(["", "a", "b"]), st.integers(0, 1))
TEXTS = st.fixed_dictionaries({"text": st.sampled_from(["x", "\ud800", "END"])}, optional={"thought": st.booleans()})
DATA = st.one_of(st.none(), st.text(max_size=2), st.fixed_dictionaries({}, optional={"mimeType": st.just("image/x")}))
PARTS = TEXTS | st.builds(lambda key, value: {key: value}, st.sampled_from(["inlineData", "fileData", "new"]), DATA)
CALLS = st.builds(
    lambda name, identity, args: {"name": name, "id": identity, "args": args},
    st.sampled_from("fg"),
    IDS,
    st.sampled_from([None, {}, {"a": 1}, [1]]),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Content]:
    """Histories with calls and their responses in any order, most of which turn order allows."""
    history: list[Content] = []
    for _ in range(draw(st.integers(0, 2))):
        history.append(user(*draw(st.lists(PARTS, min_size=1, max_size=2))))
        for calls in draw(st.lists(st.lists(CALLS, min_size=1, max_size=3), max_size=2)):
            history.append(model(*({"functionCall": one} for one in calls)))
            answers = [{"name": one["name"], "id": one["id"]} for one in draw(st.permutations(calls))]
            history.append(user(*({"functionResponse": one} for one in answers)))
        history.append(model("a", *draw(st.lists(PARTS, max_size=1))))
    return history


@given(histories())
def test_any_history(history: list[Content]) -> None:
    """A history that turn order allows is exported or refused with the reason; every call has its own result."""
    if turn_order.check(history):
        return
    try:
        said = dump(history, {"model": "m", "config": {}})["messages"]
    except GemcliError as error:
        if error.reason != "NOT_EXPRESSIBLE":
            raise
        return
    assert strict_json.loads(strict_json.dumps(said)) == said
    waiting: list[str] = []
    for message in said:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            assert waiting == []
            waiting = [one["id"] for one in message.get("tool_calls", [])]
