"""Python functions as tools: declared and called as the SDK's chats do it, in a process that disturbs nobody."""

from __future__ import annotations

import asyncio
import datetime
import enum
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from google import genai
from google.genai import _extra_utils, _transformers, types
from pydantic import BaseModel

from gemcli.errors import GemcliError
from gemcli.tools import function_host, read_tools
from gemcli.tools.declarations import Toolbox
from gemcli.tools.tool_context import Stopped, ToolContext

HOUSE = '''
"""A house with lights."""
from __future__ import annotations
import neighbour, sys, os, time
lights = {"brightness": 0}

def set_lights(brightness: int) -> dict:
    """Dims the lights.

    Args:
        brightness: from 0 to 100
    """
    print("setting", brightness)
    lights["brightness"] = min(brightness, neighbour.LIMIT)
    return lights

async def get_lights() -> int:
    """How bright it is."""
    return lights["brightness"]

def ask() -> str:
    return input("really? ")

def fail():
    raise RuntimeError("no power")

def name():
    return os.fsdecode(b"caf\\xe9")

def leave():
    sys.exit(3)

def hang():
    os.fork()
    time.sleep(60)
'''


class World:
    """A directory with Python files, and what was told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[str] = []
        self.stop = threading.Event()
        self.until = time.monotonic() + 50
        (directory / "house.py").write_text(HOUSE)
        (directory / "neighbour.py").write_text("LIMIT = 50\n")

    @contextmanager
    def tools(self, *given: str) -> Iterator[Toolbox]:
        """The tools of files in the directory."""
        context = ToolContext(os.environ, self.told.append, self.until, self.stop)
        paths = [f"{self.directory}/{each}" for each in given]
        with read_tools.opened(paths, context) as toolbox:
            yield toolbox


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a house."""
    return World(tmp_path)


def call(toolbox: Toolbox, name: str, timeout: float = 60, **args: Any) -> dict[str, Any]:
    """The response to a call."""
    tool = replace(toolbox.tools[name], timeout=timeout)
    assert tool.function
    return tool.function(tool, args).response


def test_a_house(world: World) -> None:
    """Functions run in one process that keeps their state; whatever happens to it, the next call has one."""
    names = "set_lights,get_lights,ask,fail,name,leave,hang"
    with world.tools(f"house.py:{names}") as toolbox:
        assert [tool.name for tool in toolbox.tools.values()] == names.split(",")
        assert toolbox.declarations[0]["description"].startswith("Dims the lights.\n\nArgs:")
        assert all(tool.runs for tool in toolbox.tools.values())
        assert call(toolbox, "set_lights", brightness=70.0) == {"result": {"brightness": 50}}
        assert world.told == [f"{world.directory}/house.py: setting 70"]
        assert call(toolbox, "get_lights") == {"result": 50}
        assert "EOF when reading a line" in call(toolbox, "ask")["error"]
        assert "because of error no power" in call(toolbox, "fail")["error"]
        assert call(toolbox, "get_lights") == {"result": 50}
        assert call(toolbox, "name") == {"result": "caf?"}
        assert call(toolbox, "leave") == {"error": "its process ended with exit status 3"}
        assert call(toolbox, "get_lights") == {"result": 0}
        assert call(toolbox, "hang", timeout=0.1) == {"error": "no result within 0.1 s"}
        world.stop.set()
        with pytest.raises(Stopped):
            call(toolbox, "get_lights")


def test_not_loaded(world: World) -> None:
    """A file that cannot be loaded is refused before anything is sent; where it broke is told, and nothing else."""
    (world.directory / "broken.py").write_text("def f():\n    pass\n1 / 0\n")
    with pytest.raises(GemcliError) as caught, world.tools("broken.py:f"):
        pass
    assert caught.value.reason == "SETTINGS"
    assert caught.value.message.endswith("broken.py cannot be loaded: ZeroDivisionError: division by zero")
    assert world.told[0].endswith('broken.py", line 3, in <module>')
    assert not any("function_host" in line for line in world.told)


@pytest.mark.parametrize("given", ["house.py", "house.py:", "house.py:a b", "house.py:a,,b"])
def test_no_names(world: World, given: str) -> None:
    """Functions of a file are named: which are tools is not guessed."""
    with pytest.raises(GemcliError) as caught, world.tools(given):
        pass
    assert (caught.value.reason, "FILE.py:NAME" in str(caught.value.hint)) == ("USAGE", True)


# The process itself, in this one


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules and paths as they are, whatever is loaded."""
    monkeypatch.setattr("sys.modules", dict(sys.modules))
    monkeypatch.setattr("sys.path", [*sys.path])


LOADED: dict[str, str] = {
    "def f(:": "invalid syntax",
    "def g(): pass": "f is not a function of the file",
    "f = 3": "f is not a function",
    "class f: pass": "f is not a function",
}


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("source", LOADED)
def test_load(tmp_path: Path, source: str) -> None:
    """What is no function of the file is told."""
    (tmp_path / "broken_tools.py").write_text(source)
    with pytest.raises(Exception, match=LOADED[source]):
        function_host.load(str(tmp_path / "broken_tools.py"), ["f"])


@pytest.mark.usefixtures("modules")
def test_no_module_is_replaced(tmp_path: Path) -> None:
    """A file that is called like a module in use is refused: others would get it instead."""
    (tmp_path / "types.py").write_text("def f(): pass")
    with pytest.raises(ImportError, match="rename the file"):
        function_host.load(str(tmp_path / "types.py"), ["f"])


class Room(BaseModel):
    """What the model may be asked for."""

    name: str
    level: int | None = None


class Colour(enum.Enum):
    """A choice."""

    RED = "red"


def nothing() -> None:
    """No parameters, and no result."""


def numbers(a: int, b: float = 1.5, c: int | None = None) -> float:
    """Adds them."""
    return a + b + (c or 0)


def rooms(first: Room, others: list[Room], labels: dict[str, str]) -> list[Room]:
    """All of them."""
    return [first, *others, Room(name=labels["x"])]


def kinds(kind: Literal["day", "date", "bytes", "set", "object"]) -> Any:
    """Values that JSON has not."""
    return {
        "day": Colour.RED,
        "date": datetime.date(2026, 1, 2),
        "bytes": b"\xff\0",
        "set": {1},
        "object": {"none": None, "list": (1, [None])},
    }[kind]


async def later(seconds: float) -> str:
    """It takes a while."""
    return f"{seconds} s"


FUNCTIONS = [nothing, numbers, rooms, kinds, later]

ROOM = {"name": "hall", "level": 2.0}
CALLS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (nothing, {}),
    (nothing, {"unknown": 1}),
    (numbers, {"a": 1.0}),
    (numbers, {"a": 1, "b": 2, "c": 3}),
    (numbers, {"a": 1.5}),
    (numbers, {"a": "1"}),
    (numbers, {}),
    (numbers, {"a": 1, "c": "x"}),
    (rooms, {"first": ROOM, "others": [ROOM, {"name": "attic"}], "labels": {"x": "y"}}),
    (rooms, {"first": {"level": 3}, "others": [], "labels": {}}),
    *[(kinds, {"kind": kind}) for kind in ("day", "date", "bytes", "set", "object", "other")],
    (later, {"seconds": 0.5}),
    (later, {"seconds": []}),
]


@pytest.fixture(scope="module")
def client() -> Any:
    """A client of the SDK that asks nobody."""
    return genai.Client(api_key="none")._api_client


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_declarations_are_the_sdk_s(client: Any, function: Callable[..., Any]) -> None:
    """The model is told of a function what the SDK's chats tell of it."""
    declared: Any = _transformers.t_tool(client, function)
    wire = declared.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert [function_host.declaration(function)] == wire["functionDeclarations"]


@pytest.mark.parametrize("place", range(len(CALLS)))
def test_responses_are_the_sdk_s(place: int) -> None:
    """A call returns what it does in the SDK's chats: the same value, or the same error."""
    function, args = CALLS[place]
    part = types.Part(function_call=types.FunctionCall(name=function.__name__, args=args))
    candidate = types.Candidate(content=types.Content(role="model", parts=[part]))
    answer = types.GenerateContentResponse(candidates=[candidate])
    if function is later:
        expected = asyncio.run(_extra_utils.get_function_response_parts_async(answer, {"later": function}))
    else:
        expected = _extra_utils.get_function_response_parts(answer, {function.__name__: function})
    wire = expected[0].model_dump(mode="json", by_alias=True, exclude_none=True)["functionResponse"]
    assert function_host.response(function, args) == wire["response"]


def test_what_json_cannot_hold() -> None:
    """A value that cannot be sent is a failure; the SDK would fail when it sends it."""

    def thing() -> object:
        return object()

    assert "Unable to serialize" in function_host.response(thing, {})["error"]
