"""`gemcli send --run-tools`: what the model calls is run, by commands and Python functions, and the turn goes on."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.builders import answer, call, overloaded, unfinished
from tests.support import CANARY, Gemcli, InProcess, Model

TOOLS = """
- name: light
  command: [sh, -c, "echo light >> runs; cat"]
- name: key
  command: [sh, -c, "env | grep -c KEY; echo $GEMCLI_LOCKED >&2"]
- name: nested
  command: [sh, -c, "gemcli send -s a inside; echo status $?"]
- name: hang
  command: [sh, -c, "echo $$ > pid; exec sleep 60"]
- name: ask
"""

HOUSE = '''
def set_light(level: int) -> dict:
    """Sets the light."""
    print("setting it")
    return {"level": level}
'''

RUN = ("--tools", "tools.yaml", "--run-tools")


def prepare(gemcli: Gemcli) -> None:
    """A tools file, a Python file, and a session without tools."""
    (gemcli.directory / "tools.yaml").write_text(TOOLS)
    (gemcli.directory / "house.py").write_text(HOUSE)
    gemcli.ok("new", "-s", "a")


@pytest.fixture
def house(here: InProcess, model: Model) -> InProcess:
    """The program in a directory with tools."""
    here.env.update(model.env)
    prepare(here)
    return here


def runs(gemcli: Gemcli) -> list[str]:
    """The tools that were run."""
    path = gemcli.directory / "runs"
    return path.read_text().split() if path.exists() else []


def kinds(gemcli: Gemcli) -> list[str]:
    """The kinds of the records of the session."""
    return [record["kind"] for record in gemcli.records("a")]


def test_a_turn(house: InProcess, model: Model) -> None:
    """One command plays the whole turn, prints its last answer, and lists what was run for it."""
    model.script(answer("Wait.", call("light", id="c1", args={"level": 3})), answer("It is dim."))
    done = house.ok("send", "-s", "a", "Dim it", *RUN)[0]
    assert (done["text"], done["id"], done["status"]) == ("It is dim.", "1.2", "ok")
    (tool,) = done["tools"]
    assert isinstance(tool.pop("elapsed_ms"), int)
    assert tool == {"id": "c1", "name": "light", "args": {"level": 3}, "response": {"level": 3}, "reused": False}
    assert model.requests[1]["tools"] == model.requests[0]["tools"]
    assert kinds(house) == ["session", "request", "response", "tool", "tool", "request", "response"]
    assert "sh" not in json.dumps([record.get("config") for record in house.records("a")])


def test_nothing_runs_unasked(house: InProcess, model: Model) -> None:
    """Without --run-tools a command is only declared; the call waits, and can be run later."""
    model.script(answer(call("light", args={"level": 3})), answer("Done."))
    done = house("send", "-s", "a", "Dim it", "--tools", "tools.yaml")
    assert (done.status, done.json["tools"], runs(house)) == (5, [], [])
    done = house("send", "-s", "a", "--continue")
    assert (done.status, runs(house)) == (65, [])
    assert "--response light=JSON; or run the functions: gemcli send -s a --continue --run-tools" in done.err
    done = house("send", "-s", "a", "--continue", *RUN)
    assert (done.status, done.json["text"], runs(house)) == (0, "Done.", ["light"])
    assert house.failed("send", "-s", "a", "--continue", *RUN).error["reason"] == "NOTHING_TO_CONTINUE"


def test_stream(house: InProcess, model: Model) -> None:
    """--stream tells of each run before and after it, between the answers; with --text only text is printed."""
    script = [answer("Wait.", call("light", args={"level": 3})), answer("Done.")]
    model.script(*script, *script, *script)
    events = house.ok("send", "-s", "a", "Dim it", *RUN, "--stream")
    assert [event["event"] for event in events] == ["chunk", "call", "tool", "tool", "chunk", "final"]
    assert [event["state"] for event in events[2:4]] == ["started", "ended"]
    assert events[3]["response"] == {"level": 3}
    assert house("send", "-s", "a", "Dim it", *RUN, "--stream", "--text").out == "Wait.\nDone.\n"
    assert house("send", "-s", "a", "Dim it", *RUN, "--text").out == "Done.\n"


def test_python_functions(house: InProcess, model: Model) -> None:
    """Functions of a Python file are declared for a session, and run; what they print is told."""
    tools = ("--tools", "house.py:set_light")
    model.script(answer(call("set_light", args={"level": 3})), answer("Done."))
    house.ok("new", "-s", "p", *tools)
    done = house("send", "-s", "p", "Dim it", *tools, "--run-tools")
    assert not any("config" in record for record in house.records("p")[1:])
    assert (done.status, done.json["tools"][0]["response"]) == (0, {"result": {"level": 3}})
    assert "house.py: setting it" in done.err
    declared = model.requests[0]["tools"][0]["functionDeclarations"]
    assert [(one["name"], one["description"]) for one in declared] == [("set_light", "Sets the light.")]


def test_a_tool_that_fails(house: InProcess, model: Model) -> None:
    """The model is told of it, and so is the user."""
    (house.directory / "tools.yaml").write_text("- {name: light, command: [no-such-program]}")
    model.script(answer(call("light")), answer("It is broken."))
    done = house("send", "-s", "a", "Dim it", *RUN, "--text")
    assert (done.status, done.out) == (0, "It is broken.\n")
    assert done.err.startswith("gemcli: note: light failed: no-such-program cannot be run: ")


def test_max_tool_rounds(house: InProcess, model: Model) -> None:
    """After so many rounds the last calls stay open: status 5, and how to go on."""
    model.script(*[answer(call("light", args={"n": n})) for n in range(4)], answer("Done."))
    done = house("send", "-s", "a", "Dim it", *RUN, "--max-tool-rounds", "2")
    assert (done.status, len(runs(house)), len(done.json["tools"])) == (5, 2, 2)
    assert "functions were called 2 times" in done.err
    assert "gemcli send -s a --continue --run-tools --tools tools.yaml" in done.err
    assert house.ok("send", "-s", "a", "--continue", *RUN)[0]["text"] == "Done."


def test_calls_of_a_long_answer(house: InProcess, model: Model) -> None:
    """Calls count when an answer has ended, however many hops it had, and whichever command asked for the last one."""
    ending = [answer(call("light", args={"level": 3})), answer("Done.")]
    model.script(unfinished("Wait.", token="t1"), *ending)
    done = house.ok("send", "-s", "a", "Dim it", *RUN)[0]
    assert (done["text"], done["id"], len(model.requests)) == ("Done.", "1.2", 3)
    assert model.requests[2]["contents"][1]["parts"][0] == {"text": "Wait."}
    model.script(unfinished("Wait.", call("light"), token="t1"), overloaded(), *ending)
    done = house("send", "-s", "a", "Dim it", *RUN, "--retries", "0")
    assert (done.status, done.json["tools"]) == (4, [])
    done = house.ok("send", "-s", "a", "--continue", *RUN)[0]
    assert (done["text"], done["id"], [tool["args"] for tool in done["tools"]]) == ("Done.", "2.2", [{}, {"level": 3}])


def test_a_failure_on_the_way(house: InProcess, model: Model) -> None:
    """If the results cannot be sent, the hint goes on with the turn, and runs nothing twice."""
    model.script(answer(call("light", id="c", args={"level": 3})), overloaded(), answer("Done."))
    done = house.failed("send", "-s", "a", "Dim it", *RUN, "--retries", "0")
    assert (done.status, done.error["reason"]) == (75, "UNAVAILABLE")
    command = "gemcli send -s a --continue --run-tools --tools tools.yaml"
    assert done.error["hint"] == f"go on with the turn: {command}"
    done = house(*command.split()[1:])
    assert (done.json["text"], done.json["tools"][0]["reused"], runs(house)) == ("Done.", True, ["light"])


def test_cost(house: InProcess, model: Model) -> None:
    """The document of a turn has the tokens and attempts of all its answers, and the time of its message."""
    model.script(answer(call("light", args={})), answer(call("light", args={})), answer("Done."))
    done = house.ok("send", "-s", "a", "Dim it", *RUN)[0]
    assert (done["id"], done["usage_metadata"]["total_token_count"], done["attempts"]) == ("1.3", 3 * 7, 3)
    assert done["time"] == next(record["time"] for record in house.records("a") if record["kind"] == "request")


def test_a_fork(house: InProcess, model: Model) -> None:
    """A copy of an open turn knows what was run for it, and runs nothing twice either."""
    model.script(answer(call("light", id="c", args={"level": 3})), overloaded(), answer("Done."))
    assert house("send", "-s", "a", "Dim it", *RUN, "--retries", "0").status == 75
    house.ok("new", "-s", "b", "--from", "a")
    done = house.ok("send", "-s", "b", "--continue", *RUN)[0]
    assert (done["text"], done["tools"][0]["reused"], runs(house)) == ("Done.", True, ["light"])


def test_once(house: InProcess, model: Model) -> None:
    """A message that is sent once has one turn: a second run goes on with it, and a third one has its answer."""
    send = ("send", "-s", "a", "Dim it", *RUN, "--once", "monday", "--retries", "0")
    model.script(answer(call("light", id="c", args={"level": 3})), overloaded(), answer("Done."))
    assert house(*send).status == 75
    done = house.ok(*send)[0]
    assert (done["text"], done["sent"], runs(house)) == ("Done.", True, ["light"])
    done = house.ok(*send)[0]
    assert (done["text"], done["sent"], done["tools"], len(model.requests)) == ("Done.", False, [], 3)


def test_once_in_doubt(house: InProcess, model: Model) -> None:
    """Whether results were answered may be unknown; then they are sent again only if the user says so."""
    send = ("send", "-s", "a", "Dim it", *RUN, "--once", "monday")
    model.script(answer(call("light", id="c", args={"level": 3})), answer("lost"), answer("Done."))
    house.ok(*send)
    path = house.session("a")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert house(*send).status == 13
    done = house.ok(*send, "--on-unknown", "resend")[0]
    assert (done["text"], runs(house)) == ("Done.", ["light"])


def test_after_responses_by_hand(house: InProcess, model: Model) -> None:
    """Calls that nothing runs are answered by hand, and tools go on from there."""
    model.script(answer(call("ask")), answer(call("light", args={"level": 3})), answer("Done."))
    done = house("send", "-s", "a", "Dim it", *RUN)
    assert (done.status, done.json["function_calls"][0]["name"]) == (5, "ask")
    assert house("send", "-s", "a", "--continue", *RUN).status == 65
    done = house("send", "-s", "a", "--response", "ask=true", *RUN)
    assert (done.json["text"], runs(house)) == ("Done.", ["light"])


def test_environment(house: InProcess, model: Model) -> None:
    """A tool does not get the key, and knows the session that it must not touch."""
    model.script(answer(call("key")), answer("Done."))
    done = house("send", "-s", "a", "Look", *RUN)
    assert done.json["tools"][0]["response"] == {"output": 0}
    assert f"key: {house.session('a')}" in done.err
    assert CANARY not in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["--run-tools"],
        ["--tools", "tools.yaml", "--max-tool-rounds", "3"],
        [*RUN, "--max-tool-rounds", "0"],
        [*RUN, "--dry-run"],
        ["--continue", "--tools", "tools.yaml"],
        ["--continue", "--tool-mode", "any"],
        ["--on-unknown", "resend"],
    ],
)
def test_refused(house: InProcess, model: Model, words: list[str]) -> None:
    """Options that mean nothing together are refused before anything is read or sent."""
    message = [] if "--continue" in words else ["Dim it"]
    assert house("send", "-s", "a", *message, *words).status == 2
    assert model.requests == []


def test_a_tool_on_its_own_session(gemcli: Gemcli, model: Model) -> None:
    """A tool that sends to the session of its turn fails at once, instead of waiting for the lock."""
    gemcli.env.update(model.env)
    prepare(gemcli)
    model.script(answer(call("nested")), answer("Done."))
    begun = time.monotonic()
    done = gemcli.shell("gemcli send -s a Nest --tools tools.yaml --run-tools")
    assert done.json["tools"][0]["response"] == {"output": "status 75"}
    assert "runs this command as a tool" in done.err
    assert time.monotonic() - begun < 30


def test_interrupt(gemcli: Gemcli, model: Model) -> None:
    """Ctrl-C while a tool runs kills it, and ends with 130; what it did is unknown, and only asked for again."""
    gemcli.env.update(model.env)
    prepare(gemcli)
    model.script(answer(call("hang")), answer("Done."))
    process = gemcli.start("send", "-s", "a", "Hang", *RUN)
    pid = gemcli.directory / "pid"
    until = time.monotonic() + 30
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert b"hang did not end" in err
    again = b"gemcli send -s a --continue --run-tools --tools tools.yaml --on-unknown resend"
    assert b"hint: if hang may run again: " + again in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    done = gemcli.failed("send", "-s", "a", "--continue", *RUN)
    assert (done.status, done.error["reason"]) == (13, "IN_DOUBT")
    assert "gemcli send -s a --response hang=JSON" in done.error["hint"]
    assert gemcli.ok("send", "-s", "a", "--response", "hang=1")[0]["text"] == "Done."
