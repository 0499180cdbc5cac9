"""Turns with functions against the SDK's own chats: the same functions and answers make the same history."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from gemcli.settings.api_objects import wire_form
from gemcli.tools import function_host
from gemcli.tools.declarations import Tool
from gemcli.tools.results import FunctionResult
from tests.builders import answer, call
from tests.support import CANARY, Model
from tests.tools.test_turn import House

pytestmark = pytest.mark.usefixtures("collected")


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: its name
    """
    return f"sunny in {city}"


def set_thermostat(temperature: int, room: str = "hall") -> dict[str, Any]:
    """Sets the temperature of a room."""
    if temperature > 30:
        raise ValueError("too hot")
    return {"room": room, "temperature": temperature}


def nothing() -> None:
    """Does nothing."""


FUNCTIONS: list[Callable[..., Any]] = [get_weather, set_thermostat, nothing]

LONDON = {"city": "London"}

TURNS: dict[str, list[Any]] = {
    "no-call": [answer("Hello.")],
    "one-call": [answer(call("get_weather", args=LONDON)), answer("It is sunny.")],
    "text-before": [answer("Let me see.", call("get_weather", args=LONDON)), answer("It is sunny.")],
    "parallel": [
        answer(
            call("get_weather", id="a", args=LONDON),
            call("get_weather", id="b", args={"city": "Oslo"}),
            call("nothing", id="c"),
        ),
        answer("Both are sunny."),
    ],
    "compositional": [
        answer({**call("get_weather", id="a", args=LONDON), "thoughtSignature": "QUJD"}),
        answer(call("set_thermostat", id="b", args={"temperature": 20.0})),
        answer("Set to 20."),
    ],
    "failures": [
        answer(call("set_thermostat", args={"temperature": 40})),
        answer(call("set_thermostat", args={"temperature": "warm"})),
        answer(call("set_thermostat", args={})),
        answer("I cannot."),
    ],
    "thoughts": [
        answer({"text": "Hm.", "thought": True}, call("nothing")),
        answer({"text": "So.", "thought": True}, "Done."),
    ],
}


def chat_history(model: Model, replies: list[Any], message: str) -> list[Any]:
    """What a chat of the SDK makes of it."""
    model.script(*copy.deepcopy(replies))
    options = types.HttpOptions(base_url=model.url, api_version="v1beta")
    with genai.Client(api_key=CANARY, http_options=options) as client:
        chat = client.chats.create(model="gemini-test", config={"tools": [*FUNCTIONS]})
        chat.send_message(message)
    history = chat.get_history(curated=True)
    return [content.model_dump(mode="json", by_alias=True, exclude_none=True) for content in history]


@pytest.fixture
def house(tmp_path: Path, model: Model) -> House:
    """A session with the functions as tools."""
    house = House(tmp_path, model.env)
    for function in FUNCTIONS:
        house.tools.append(
            Tool(
                function.__name__,
                function_host.declaration(function),
                function=lambda tool, args: FunctionResult(function_host.response(globals()[tool.name], args)),
            )
        )
    house.begin()
    return house


def without_ids(history: list[Any]) -> list[Any]:
    """A history without the ids of responses.

    The SDK's chats leave them out; the API wants them, says its documentation.
    """
    history = copy.deepcopy(history)
    for content in history:
        for part in content["parts"]:
            part.get("functionResponse", {}).pop("id", None)
    return history


@pytest.mark.parametrize("name", TURNS)
def test_histories_are_equal(house: House, model: Model, name: str) -> None:
    """A turn leaves what it leaves in a chat; and what was asked of the model is the same."""
    expected = chat_history(model, TURNS[name], "hello")
    by_chat = [*model.requests]
    model.requests.clear()
    model.script(*copy.deepcopy(TURNS[name]))
    house("hello")
    assert without_ids(house.journal.history) == expected
    assert len(model.requests) == len(by_chat)
    for ours, theirs in zip(model.requests, by_chat, strict=True):
        assert without_ids(ours["contents"]) == theirs["contents"]
        assert ours["tools"] == wire_form(theirs["tools"], "Tool*")


def test_rounds(house: House, model: Model) -> None:
    """A chat makes 10 requests by default, and leaves the last calls unanswered: that is 9 rounds here."""
    endless = [answer(call("get_weather", args={"city": str(n)})) for n in range(20)]
    expected = chat_history(model, endless, "hello")
    assert len(model.requests) == 10
    model.requests.clear()
    model.replies.clear()
    model.script(*copy.deepcopy(endless))
    house.max_rounds = 9
    house("hello")
    assert (len(model.requests), house.journal.history) == (10, expected)


def test_undeclared_functions(house: House, model: Model) -> None:
    """A call of a function that nobody declared ends a chat with a `KeyError`; here the model is told."""
    replies = [answer(call("fly")), answer("I cannot.")]
    with pytest.raises(KeyError):
        chat_history(model, replies, "hello")
    model.replies.clear()
    model.script(*replies)
    assert house("hello").result.verdict.text == "I cannot."
