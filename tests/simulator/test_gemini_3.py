"""What Gemini 3 and later models ask of function calls, and how the simulator speaks in their name."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.simulator import echo_model, gemini_3, read_rules
from gemcli.simulator.contents_checks import ENDS_WITH_USER, NOT_PAIRED, NOT_WHOLE, RESPONSE_COUNT, RESPONSE_TURN
from gemcli.simulator.gemini_3 import ENDS_WITH_MODEL, UNSIGNED_CALL
from gemcli.simulator.rules_model import RulesModel
from gemcli.simulator.simulated_api import SimulatedApp, application
from gemcli.simulator.tool_checks import NOT_SHOWN

from .support import PNG, call, error_of, json_of, post, response, says, talk

NEW = "gemini-4-argon"
OLD = "gemini-2.5-flash"
STAND_INS = ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"]
ANY_NAME = application({}, lambda _: echo_model.answer)
HELLO = says("user", "Hello")
TOOL_CONFIG: dict[str, Any] = {"toolConfig": {"includeServerSideToolInvocations": True}}


def playing(*lines: str) -> SimulatedApp:
    """An application whose models, of any name, play these rules."""
    rules = read_rules.load("rules:\n" + "".join(f"  - {line}\n" for line in lines), "r.yaml")
    return application({}, RulesModel(rules).named)


def refused(contents: list[Any], model: str = NEW, **more: Any) -> str | None:
    """Why Contents are refused, None if they are not."""
    reply = post({"contents": contents, **more}, model=model, app=ANY_NAME)
    if reply.status == 200:
        return None
    code, status, message = error_of(reply)
    assert (code, status) == (400, "INVALID_ARGUMENT")
    return message


def signed(part: dict[str, Any], signature: str = "c2ln") -> dict[str, Any]:
    """A Part with a signature."""
    return {**part, "thoughtSignature": signature}


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        *[(name, True) for name in (NEW, "gemini-3-flash-preview", "gemini-3.8-flash", "gemini-20")],
        *[(name, True) for name in ("gemini-flash-latest", "gemini-pro-latest", "tuned/gemini-3-x")],
        *[(name, False) for name in (OLD, "gemini-1.5-pro", "gemini-x", "gemini-1x", "simulator/echo", "gemma-3")],
    ],
)
def test_names(model: str, asked: bool) -> None:
    """Which names are those of Gemini 3 or later."""
    assert gemini_3.is_asked({"model": f"models/{model}"}) == asked


CALLED = [HELLO, says("model", call("f")), says("user", response("f"))]
PARALLEL = [HELLO, says("model", signed(call("f")), call("g")), says("user", response("f"), response("g"))]
SECOND = [*PARALLEL, says("model", "Hm.", call("h")), says("user", response("h"))]


@pytest.mark.parametrize(
    ("contents", "name", "position"),
    [
        (CALLED, "f", 2),
        (SECOND, "h", 4),
        ([*talk("a", "b"), *CALLED], "f", 4),
        ([HELLO, says("model", call("f"), signed(call("g"))), says("user", response("f"), response("g"))], "f", 2),
        (PARALLEL, None, 0),
        ([*CALLED, says("model", "ok"), HELLO], None, 0),
        *[([HELLO, says("model", signed(call("f"), each)), CALLED[-1]], None, 0) for each in STAND_INS],
        ([HELLO, says("model", "Hm. "), says("model", signed(call("f"))), CALLED[-1]], None, 0),
    ],
)
def test_signatures(contents: list[Any], name: str | None, position: int) -> None:
    """The first call of each step of this turn is signed, or has a stand-in; older models ask for none."""
    expected = name and UNSIGNED_CALL.format(name=name, position=position)
    assert (refused(contents), refused(contents, OLD)) == (expected, None)


@pytest.mark.parametrize("beside", ["and hurry", PNG])
def test_nothing_behind_responses(beside: Any) -> None:
    """Nothing follows the last responses in their Content; before them and further back all is well."""
    calls = [HELLO, says("model", signed(call("f")))]
    behind = says("user", response("f"), beside)
    assert (refused([*calls, behind]), refused([*calls, behind], OLD)) == (ENDS_WITH_MODEL, None)
    assert refused([*calls, says("user", beside, response("f"))]) is None
    assert refused([*calls, behind, says("model", "ok"), HELLO]) is None
    assert (refused(talk("a", "b")), refused(talk("a", "b"), OLD)) == (ENDS_WITH_USER, ENDS_WITH_USER)


def test_responses_that_do_not_match() -> None:
    """Ids, names and the number of responses are those of the calls."""
    calls = [HELLO, says("model", signed(call("f", id="1")), call("f", id="2"))]
    both = response("f", id="1"), response("f", id="2")
    assert refused([*calls, says("user", *both)]) is None
    assert refused([*calls, says("user", both[0])]) == RESPONSE_COUNT
    for wrong in (response("f", id="1"), response("f", id="3"), response("g", id="2")):
        name = wrong["functionResponse"]["name"]
        assert refused([*calls, says("user", both[0], wrong)]) == (
            f"{RESPONSE_TURN} Got function response with name '{name}'."
        )


def test_own_calls() -> None:
    """Calls in such a model's name have ids, each another, and the first one is signed; what is given stays."""
    app = playing("{answer: {text: Hm., calls: [{name: f}, {name: f, id: c2}, {name: f}]}}")
    parts = [json_of(post({"contents": [HELLO]}, model=model, app=app)) for model in (NEW, OLD)]
    new, old = (answer["candidates"][0]["content"]["parts"][1:] for answer in parts)
    assert [part["functionCall"].get("id") for part in old] == [None, "c2", None]
    ids = [part["functionCall"]["id"] for part in new]
    assert (ids[1], len({*ids})) == ("c2", 3)
    assert ["thoughtSignature" in part for part in new + old] == [True, *[False] * 5]
    results = [{"functionResponse": {"name": "f", "id": each, "response": {}}} for each in ids]
    assert refused([HELLO, says("model", *new), says("user", *results)]) is None
    (other,) = [json_of(post({"contents": talk("b")}, model=NEW, app=app))["candidates"][0]["content"]["parts"][1]]
    assert other["functionCall"]["id"] not in ids
    given = playing("{answer: {calls: [{name: f}], signature: c2ln}}")
    (part,) = json_of(post({"contents": [HELLO]}, model=NEW, app=given))["candidates"][0]["content"]["parts"]
    assert part["thoughtSignature"] == "c2ln"


SEARCH = signed({"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s1", "args": {"queries": ["x"]}}})
FOUND = signed({"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s1", "response": {"hits": []}}})


def without(part: dict[str, Any], name: str) -> dict[str, Any]:
    """A Part without its signature, or without a key of its data."""
    return {
        key: {field: value for field, value in data.items() if field != name} if isinstance(data, dict) else data
        for key, data in part.items()
        if key != name
    }


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([SEARCH, FOUND], None),
        ([SEARCH, FOUND, signed(call("f"))], None),
        ([SEARCH], NOT_PAIRED),
        ([FOUND], NOT_PAIRED),
        ([SEARCH, FOUND, FOUND], NOT_PAIRED),
        ([without(SEARCH, "id"), FOUND], f"parts[0].tool_call.id: {NOT_WHOLE}"),
        ([SEARCH, without(FOUND, "toolType")], f"parts[1].tool_response.tool_type: {NOT_WHOLE}"),
        ([SEARCH, without(FOUND, "thoughtSignature")], f"parts[1].thought_signature: {NOT_WHOLE}"),
    ],
)
def test_server_side_tools(parts: list[Any], message: str | None) -> None:
    """Their Parts come back whole, signed, both halves of them, if the request says that it has them."""
    contents = [HELLO, says("model", *parts, "Found."), HELLO]
    if any("functionCall" in part for part in parts):
        contents = [HELLO, says("model", *parts), says("user", response("f"))]
    if message and message != NOT_PAIRED:
        message = f"* GenerateContentRequest.contents[1].{message}\n"
    assert refused(contents, **TOOL_CONFIG) == refused(contents, OLD, **TOOL_CONFIG) == message
    assert refused(contents) is None


def test_own_server_side_tools() -> None:
    """Where the request has them, the simulator signs its own, and takes the whole answer back."""
    parts = f"{[without(SEARCH, 'thoughtSignature'), without(FOUND, 'thoughtSignature'), {'text': 'x'}]}"
    app = playing(f"{{answer: {{parts: {parts}}}}}")
    body = {"contents": [HELLO], **TOOL_CONFIG}
    content = json_of(post(body, model="simulator/rules", app=app))["candidates"][0]["content"]
    assert ["thoughtSignature" in part for part in content["parts"]] == [True, True, False]
    body["contents"] = [HELLO, content, HELLO]
    assert post(body, model="simulator/rules", app=app).status == 200


@pytest.mark.parametrize("tool", ["googleSearch", "urlContext", "codeExecution"])
def test_functions_and_built_in_tools(tool: str) -> None:
    """Both together need the server-side invocations to be shown."""
    functions: dict[str, Any] = {"functionDeclarations": [{"name": "f"}]}
    both = [functions, {tool: {}}]
    assert (refused([HELLO], tools=both), refused([HELLO], OLD, tools=both)) == (NOT_SHOWN, None)
    assert refused([HELLO], tools=[functions | {tool: {}}]) == NOT_SHOWN
    assert refused([HELLO], tools=both, **TOOL_CONFIG) is None
    assert [refused([HELLO], tools=[each]) for each in both] == [None, None]
