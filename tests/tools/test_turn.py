"""Turns in which the model calls functions: what runs, what is recorded when, and what another process goes on with."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemcli import signals
from gemcli.api.backends import Backend
from gemcli.api.endpoint import endpoint_for
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.api.retry import RetryPolicy
from gemcli.chat.contents import Content, user_text
from gemcli.errors import GemcliError
from gemcli.exchange import exchange
from gemcli.requests.call_model import Transport
from gemcli.requests.prepare_request import Request, prepare
from gemcli.sessions import record_lines, records
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.journal import Journal
from gemcli.sessions.store import Store
from gemcli.settings.config import Config
from gemcli.tools.call_tools import ToolEvent, Tooling
from gemcli.tools.declarations import Tool, Toolbox
from gemcli.tools.results import FunctionResult
from gemcli.tools.tool_context import ToolContext
from gemcli.tools.turn import Played, play
from tests.builders import answer, call, overloaded
from tests.support import Model, read_session

BACKEND = Backend("gemini")

pytestmark = pytest.mark.usefixtures("collected")


class House:
    """A session in a directory, tools that are scripts of the shell, and a way to the model."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self.directory = directory
        self.path = directory / "s.jsonl"
        self.gemini = Gemini(endpoint_for(BACKEND, environ, lambda _note: None))
        self.events: list[ToolEvent] = []
        self.told: list[str] = []
        self.tools: list[Tool] = []
        self.max_rounds = 10
        self.left = 30.0

    def tool(self, name: str, script: str | None, **more: Any) -> None:
        """Declare a function, and what runs it; each run is noted in a file."""
        noted = f"echo {name} >> {self.directory}/runs; {script}"
        command = ("sh", "-c", noted) if script is not None else ()
        self.tools.append(Tool(name, {"name": name}, command, **more))

    @property
    def runs(self) -> list[str]:
        """The tools that were run, in order."""
        path = self.directory / "runs"
        return path.read_text().split() if path.exists() else []

    def begin(self) -> None:
        """Make the session; it declares the functions."""
        config: Config = {"tools": [{"functionDeclarations": Toolbox(self.tools).declarations}]}
        header = records.session(model="gemini-test", backend="gemini", config=config, origin=None)
        Store(FileSystem(), self.told.append).create(str(self.path), [header])

    def __call__(self, message: str | None = "hello", **more: Any) -> Played:
        """Send a message, or go on with the calls that are open."""
        until = time.monotonic() + self.left
        context = ToolContext.of_session(str(self.path), os.environ, self.told.append, until)
        tooling = Tooling(
            Toolbox(self.tools), context, self.max_rounds, "gemcli …", on_event=self.events.append, **more
        )
        never = RetryPolicy(0, lambda: 0.0)
        transport = Transport(self.gemini, BACKEND, Limits(20, until), never, notice=self.told.append)
        with Store(FileSystem(), self.told.append).open(str(self.path), 5) as session:

            def request_for(content: Content) -> Request:
                return prepare(session.journal, content, BACKEND)

            result = exchange(session, request_for(user_text(message)), transport) if message else None
            return play(session, result, request_for, transport, tooling)

    def failed(self, message: str | None = "hello", **more: Any) -> GemcliError:
        """The error that ended a turn."""
        with pytest.raises(GemcliError) as caught:
            self(message, **more)
        return caught.value

    @property
    def kinds(self) -> list[str]:
        """The records after the first one, in short."""
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [
            f"{record['state']} {record['call']['name']}" if record["kind"] == "tool" else record["kind"]
            for record in found[1:]
        ]

    @property
    def journal(self) -> Journal:
        """The session as a reader sees it."""
        return read_session(self.path)


@pytest.fixture
def house(tmp_path: Path, model: Model) -> House:
    """A house with a light and a lock."""
    house = House(tmp_path, model.env)
    house.tool("light", "cat")
    house.tool("lock", "echo locked", idempotent=True)
    house.tool("ask", None)
    house.begin()
    return house


def response(name: str, value: Any, **more: Any) -> Any:
    """A Part that answers a call."""
    return {"functionResponse": {**more, "name": name, "response": value}}


def test_a_turn(house: House, model: Model) -> None:
    """Calls are run and answered until an answer has none; each run is recorded before and after."""
    model.script(
        answer("Let me see.", call("light", id="a", args={"level": 3})),
        answer(call("lock"), call("light", args={})),
        answer("Done."),
    )
    played = house("Good night")
    assert played.result.verdict.text == "Done."
    assert [run.result.response for run in played.runs] == [{"level": 3}, {"output": "locked"}, {}]
    assert not any(run.reused for run in played.runs)
    history = house.journal.history
    assert [content["role"] for content in history] == ["user", "model"] * 3
    assert history[2]["parts"] == [response("light", {"level": 3}, id="a")]
    assert history[4]["parts"] == [response("lock", {"output": "locked"}), response("light", {})]
    assert model.requests[2]["contents"] == history[:5]
    assert house.kinds[:5] == ["request", "response", "started light", "ended light", "request"]
    assert sorted(house.kinds[6:10]) == ["ended light", "ended lock", "started light", "started lock"]
    assert [turn.number for turn in house.journal.turns.values()] == [1]
    assert [(event["state"], event["name"]) for event in house.events[:2]] == [("started", "light"), ("ended", "light")]
    assert house.events[1]["response"] == {"level": 3}


def test_side_by_side(house: House, model: Model) -> None:
    """The calls of one answer run at the same time: here each waits for the other."""
    meet = "touch {0}; while ! [ -e {1} ]; do sleep 0.01; done; echo {0}"
    for here, there in (("x", "y"), ("y", "x")):
        house.tool(f"meet_{here}", f"cd {house.directory}; " + meet.format(here, there), timeout=10)
    model.script(answer(call("meet_x"), call("meet_y")), answer("ok"))
    assert [run.result.response for run in house().runs] == [{"output": "x"}, {"output": "y"}]


def test_unknown_function(house: House, model: Model) -> None:
    """A call of a function that nobody declared is answered with an error, and the turn goes on."""
    model.script(answer(call("fly", id="a"), call("lock", id="b")), answer("I cannot fly."))
    played = house("Fly")
    assert played.runs[0].result.response == {"error": "there is no function fly; there are light, lock, ask"}
    assert played.result.verdict.text == "I cannot fly."


def test_by_hand(house: House, model: Model) -> None:
    """If nothing runs one of the calls, none is run, and all wait for the user."""
    model.script(answer(call("light"), call("ask")))
    played = house()
    assert played.result.verdict.error
    assert played.result.verdict.error.reason == "FUNCTION_CALL"
    assert (house.runs, played.runs) == ([], [])
    error = house.failed(None)
    assert (error.reason, "ask" in error.message, "--response" in str(error.hint)) == ("OPEN_CALL", True, True)


def test_declared_elsewhere(house: House, model: Model) -> None:
    """A function that the session declares, and no tool that is given now, is for the user, too."""
    model.script(answer(call("lock")))
    house.tools = house.tools[:1]
    assert house().runs == []
    assert house.journal.open_turn


def test_max_rounds(house: House, model: Model) -> None:
    """A model that calls without end is stopped; the calls stay open, and can be answered later."""
    house.max_rounds = 2
    model.script(*[answer(call("light", args={"n": n})) for n in range(9)])
    played = house()
    assert played.result.verdict.error
    assert played.result.verdict.error.reason == "FUNCTION_CALL"
    assert (len(model.requests), house.runs) == (3, ["light", "light"])
    assert house.journal.open_turn
    played = house(None)
    assert (len(model.requests), len(house.runs)) == (5, 4)
    assert [run.call["args"] for run in played.runs] == [{"n": 2}, {"n": 3}]


def test_refused_answers_end_it(house: House, model: Model) -> None:
    """An answer that is blocked ends the turn where it was; going on uses the runs that are recorded."""
    model.script(answer(call("light", id="a")), answer(finish="SAFETY"), answer("ok"))
    assert not house().result.verdict.valid
    assert house.journal.open_turn
    played = house(None)
    assert played.result.verdict.text == "ok"
    assert [(run.reused, run.result.response) for run in played.runs] == [(True, {})]
    assert house.runs == ["light"]


def test_failed_requests(house: House, model: Model) -> None:
    """If the responses cannot be sent, the runs are on the disk, and the next process sends them."""
    model.script(answer(call("light", id="a"), call("lock", id="b")), overloaded(), answer("ok"))
    assert house.failed().reason == "UNAVAILABLE"
    assert sorted(house.runs) == ["light", "lock"]
    played = house(None)
    assert (played.result.verdict.text, len(house.runs)) == ("ok", 2)
    assert played.result.id == "1.3"
    assert model.requests[2] == model.requests[1]


def crashed(house: House, *lost: str) -> None:
    """Take the records off that a crash during the runs of these tools would not have left."""
    kept = [
        line
        for line in house.path.read_text().splitlines()
        if (record := json.loads(line))["kind"] != "tool"
        or record["state"] == "started"
        or record["call"]["name"] not in lost
    ]
    last = max(place for place, line in enumerate(kept) if json.loads(line)["kind"] == "tool")
    house.path.write_text("\n".join(kept[: last + 1]) + "\n")


def test_in_doubt(house: House, model: Model) -> None:
    """What was under way in a crash runs again only if its declaration or the user allows it."""
    called = answer(call("light", id="a"), call("lock", id="b"))
    model.script(called, answer("lost"), answer("ok"), answer("ok"))
    house()
    crashed(house, "light", "lock")
    error = house.failed(None)
    assert (error.reason, error.message.startswith("light: started before")) == ("IN_DOUBT", True)
    assert (len(house.runs), len(model.requests)) == (2, 2)
    assert house(None, resend=True).result.verdict.text == "ok"
    assert len(house.runs) == 4
    crashed(house, "lock")
    played = house(None)
    assert [(run.call["name"], run.reused) for run in played.runs] == [("light", True), ("lock", False)]
    assert house.runs[-1:] == ["lock"]
    assert len(house.runs) == 5


def test_records_of_other_calls(house: House, model: Model) -> None:
    """What was recorded of a call that the answer does not have, or has elsewhere, is nobody's result."""
    model.script(answer(call("light", args={"n": 1})), answer("done"))
    house.max_rounds = 0
    house()
    house.max_rounds = 10
    with house.path.open("ab") as file:
        for place, number in ((0, 2), (1, 1)):
            other: Any = {"name": "light", "args": {"n": number}}
            run = records.tool_ended("1.1", place, other, response={"output": "other"}, elapsed_ms=1)
            file.write(record_lines.encode(run))
    assert [run.reused for run in house(None).runs] == [False]
    assert house.runs == ["light"]


def test_the_deadline_ends_tools(house: House, model: Model) -> None:
    """A tool that still runs at the deadline is killed, and in doubt; what has ended is recorded."""
    house.tool("hang", "exec sleep 60")
    model.script(answer(call("light", id="a"), call("hang", id="b")))
    house.left = 1.0
    error = house.failed()
    assert (error.reason, error.outcome, "hang did not end" in error.message) == ("TIMEOUT", "unknown", True)
    assert sorted(house.kinds[2:]) == ["ended light", "started hang", "started light"]
    house.left = 30
    assert house.failed(None).reason == "IN_DOUBT"


@pytest.fixture
def interrupting() -> Iterator[None]:
    """Signals end what runs, as in the program."""
    with signals.raised():
        yield


@pytest.mark.usefixtures("interrupting")
def test_a_signal_ends_tools(house: House, model: Model) -> None:
    """Ctrl-C while tools run kills them; what has ended is recorded, and nothing more is sent."""
    ready = house.directory / "ready"
    house.tool("hang", f"touch {ready}; exec sleep 60")
    model.script(answer(call("light", id="a"), call("hang", id="b")))

    def interrupt() -> None:
        while not (ready.exists() and "ended light" in house.kinds):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    error = house.failed()
    assert (error.reason, error.exit) == ("INTERRUPTED", 130)
    assert "hang did not end" in error.message
    assert sorted(house.kinds[2:]) == ["ended light", "started hang", "started light"]


@pytest.mark.usefixtures("interrupting")
def test_a_signal_between_tools(house: House, model: Model) -> None:
    """Ctrl-C before the next tool starts: what was started has ended, so nothing is in doubt."""

    class Interrupting(list[ToolEvent]):
        def append(self, event: ToolEvent) -> None:
            super().append(event)
            if event["state"] == "started":
                os.kill(os.getpid(), signal.SIGINT)

    house.events = Interrupting()
    house.tools = [Tool("switch", {"name": "switch"}, function=lambda _tool, _args: FunctionResult({"on": True}))]
    model.script(answer(call("switch", id="a"), call("switch", id="b")))
    error = house.failed()
    assert (error.message, error.outcome) == ("stopped by SIGINT; no tool is in doubt", "rejected")
    assert house.kinds[2:] == ["started switch", "ended switch"]


def test_results_that_cannot_be_recorded(house: House, model: Model) -> None:
    """If another program changes the session meanwhile, tools that still run are killed, and nothing is sent."""
    house.tool("meddle", f"echo >> {house.path}")
    house.tool("hang", "exec sleep 60")
    model.script(answer(call("meddle"), call("hang")), answer("not asked for"))
    begun = time.monotonic()
    assert house.failed().reason == "SESSION_CHANGED"
    assert (len(model.requests), time.monotonic() - begun < 10) == (1, True)


def test_a_tool_with_a_bug(house: House, model: Model) -> None:
    """An error that nobody has foreseen ends the turn; it does not hang."""

    def broken(_tool: Tool, _args: dict[str, Any]) -> Any:
        raise KeyError("bug")

    house.tools[0] = replace(house.tools[0], command=(), function=broken)
    model.script(answer(call("light")))
    with pytest.raises(KeyError):
        house()
