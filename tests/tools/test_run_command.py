"""Commands as tools: what they get, what the model gets of them, and what is left of those that misbehave."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemcli.tools.child_process import Child
from gemcli.tools.declarations import Tool
from gemcli.tools.results import FunctionResult
from gemcli.tools.run_command import run_command
from gemcli.tools.tool_context import Stopped, ToolContext


class World:
    """What runs have around them, and what they told."""

    def __init__(self, **environ: str) -> None:
        self.told: list[str] = []
        self.stop = threading.Event()
        self.environ = {"PATH": os.environ["PATH"], **environ}
        self.until = time.monotonic() + 20

    def run(self, script: str, args: dict[str, Any] | None = None, **more: Any) -> FunctionResult:
        """The result of a tool whose command is a script of the shell."""
        tool = Tool("t", {"name": "t"}, more.pop("command", ("sh", "-c", script)), **more)
        return run_command(tool, args or {}, ToolContext(self.environ, self.told.append, self.until, self.stop))


@pytest.fixture
def world() -> World:
    """A world in which nothing happened yet."""
    return World()


def gone(pid: int) -> bool:
    """Whether no process of that number runs; one that its parent has not looked at counts as gone."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()[:1] in ("", "Z")


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within seconds."""
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


OUTPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "arguments": ("cat", {"city": "Zürich", "days": 2}),
    "text": ("echo sunny", {"output": "sunny"}),
    "value": ("echo 21.5", {"output": 21.5}),
    "nothing": ("true", {"output": ""}),
    "input-not-read": ("exec <&-; sleep 0.05; echo ok", {"output": "ok"}),
    "status": ("echo half; echo no such city >&2; exit 3", {"error": "exit status 3: no such city", "output": "half"}),
    "silent": ("exit 1", {"error": "exit status 1"}),
    "signal": ("kill -SEGV $$", {"error": "killed by SIGSEGV"}),
    "not-text": (r"printf 'ok \377'", {"error": "the result is not text in UTF-8, from byte 4 on"}),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs(world: World, case: str) -> None:
    """The output is the result; a failure tells what is known of it."""
    script, response = OUTPUTS[case]
    assert world.run(script, {"city": "Zürich", "days": 2}).response == response


def test_not_found(world: World, tmp_path: Path) -> None:
    """A command that is not there, or is no program, is a failure that names it."""
    assert world.run("", command=("no-such-program",)).response == {
        "error": "no-such-program cannot be run: No such file or directory"
    }
    (tmp_path / "data").write_text("data")
    assert world.run("", command=(str(tmp_path / "data"),)).response == {
        "error": f"{tmp_path}/data cannot be run: Permission denied"
    }
    (tmp_path / "data").chmod(0o755)
    assert "Exec format error" in world.run("", command=(str(tmp_path / "data"),)).response["error"]


def test_words_are_no_shell(world: World) -> None:
    """Words of a command are arguments as they stand."""
    assert world.run("", command=("echo", "$HOME;", "*", "a  b")).response == {"output": "$HOME; * a  b"}


def test_long_arguments(world: World) -> None:
    """Arguments longer than a pipe holds arrive, while the tool prints as much; or nobody reads them."""
    long = {"text": "x" * 300_000}
    assert world.run("cat", long).response == long
    assert world.run("exit 0", long).response == {"output": ""}


def test_output_at_the_last_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prints and ends with, just when a wait for its pipes was over in vain, is not lost."""
    wait = Child._wait

    def in_vain(child: Child, pipes: selectors.BaseSelector, end: float) -> list[selectors.SelectorKey]:
        if child.status is not None:
            return wait(child, pipes, end)
        child._process.wait()
        return []

    monkeypatch.setattr(Child, "_wait", in_vain)
    assert world.run("sleep 0.1; echo sunny").response == {"output": "sunny"}


def test_stderr(world: World) -> None:
    """What it writes to stderr is passed on line by line while it runs, whatever the bytes are."""
    world.run(r"echo one >&2; printf 'tw\377o\n\nthree' >&2; cat /dev/zero | tr '\0' x | head -c 5000 >&2")
    assert world.told[:2] == ["t: one", "t: tw\ufffdo"]
    assert "".join(line.removeprefix("t: ") for line in world.told[2:]) == "three" + "x" * 5000


def test_too_much_stderr(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of stderr without end only the beginning is passed on; the run goes on, and its last words are known."""
    monkeypatch.setattr("gemcli.tools.child_process.MOST_TOLD", 100_000)
    result = world.run("yes | head -c 5000000 >&2; echo the end >&2; exit 1")
    assert result.response["error"].endswith("\nthe end")
    assert world.told[-1] == "t: ... (the rest is left out)"
    assert sum(map(len, world.told)) < 500_000


def test_too_long(world: World) -> None:
    """A tool that prints without end is killed at the limit, and the model gets the beginning."""
    begun = time.monotonic()
    result = world.run("echo $$ >&2; exec yes", output_limit=1000)
    assert result.response == {
        "error": "the result is longer than 1000 bytes; this is how it begins",
        "output": "y\n" * 500,
    }
    assert time.monotonic() - begun < 5
    assert gone(int(world.told[0].removeprefix("t: ")))
    assert len(world.run("yes", output_limit=1_000_000).response["output"]) == 4000
    assert world.run("head -c 1000 /dev/zero | tr '\\0' y", output_limit=1000).response == {"output": "y" * 1000}


@pytest.mark.parametrize("deaf", [False, True])
def test_too_slow(world: World, monkeypatch: pytest.MonkeyPatch, deaf: bool) -> None:
    """A tool that hangs is killed with its children, also if it ignores SIGTERM."""
    monkeypatch.setattr("gemcli.tools.child_process.GRACE", 0.2)
    trap = "trap '' TERM; " if deaf else ""
    result = world.run(f"{trap}sleep 60 & echo $! >&2; echo $$ >&2; while :; do sleep 60; done", timeout=0.2)
    assert result.response == {"error": "no result within 0.2 s"}
    pids = [int(line.removeprefix("t: ")) for line in world.told]
    assert len(pids) == 2
    assert soon(lambda: all(map(gone, pids)))


def test_children_left(world: World) -> None:
    """A tool has ended when its process has: children that hold its output are not waited for, and killed."""
    result = world.run("sleep 60 & echo $! >&2; echo done")
    assert result.response == {"output": "done"}
    assert soon(lambda: gone(int(world.told[0].removeprefix("t: "))))


def test_closed_output(world: World) -> None:
    """A tool that closes its output and goes on is waited for."""
    assert world.run("exec >&- 2>&-; sleep 0.2; exit 4").response == {"error": "exit status 4"}


def test_stopped(world: World) -> None:
    """A run that is stopped, or reaches the deadline, has no result: nobody knows what it did."""
    threading.Timer(0.2, world.stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        world.run("echo $$ >&2; exec sleep 60")
    assert soon(lambda: gone(int(world.told[0].removeprefix("t: "))))
    world.stop.clear()
    world.until = time.monotonic() + 0.1
    with pytest.raises(Stopped):
        world.run("exec sleep 60")
    assert time.monotonic() - begun < 5


def test_environment(world: World) -> None:
    """A tool has the environment that it is given, no terminal, and the usual SIGPIPE."""
    world.environ["CITY"] = "Oslo"
    assert world.run("echo $CITY; (exec </dev/tty) 2>/dev/null || echo none").response == {"output": "Oslo\nnone"}
    assert world.run("kill -PIPE $$; echo alive").response == {"error": "killed by SIGPIPE"}
