"""The installed program under strace, which kills it at, or fails, the system calls that it really makes.

This is the second proof, independent of the seam: a dry run of the same command shows every call that touches the
sessions, whoever makes it, and each of them is struck in a run of its own.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.harness import OPERATIONS, Operation, Ran, Runner, World, by_operation
from tests.crash.test_errno import verify
from tests.support import PROGRAM, Model

NAMES = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "link", "linkat", "rename", "renameat"),
    *("renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "flock", "fcntl"),
)
"""The calls that matter. Not every kind of machine has all of them."""

LINE = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<args>.*)")
ERRORS = (errno.ENOSPC, errno.EIO)

Figures = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    """Skip where there is no strace, or where it may not trace."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    tried = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "-e", "inject=fsync:error=EIO:when=9", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"strace cannot trace here: {tried.stderr.strip().splitlines()[-1]}")


@dataclass(frozen=True)
class Point:
    """The system call `name`, the `at`th of them that a thread makes; on `paths` only, if there are any."""

    name: str
    at: int
    paths: tuple[str, ...]
    call: str


class Traced:
    """A world whose operation is run by the installed program, under strace."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self._trace = directory / "trace"

    def points(self) -> list[Point]:
        """Every call that touches the sessions: of those on the session and its directories, and those on drafts.

        A draft has another name in each run, so its calls are counted among all; sessions are made before there are
        threads, and the counts are the same in each run.
        """
        world = self.world
        directories = (world.directory, world.directory / "home", world.sessions)
        paths = tuple(map(str, (world.path, *directories, world.path.with_name("s.jsonl.torn-1"))))
        assert self.run((), paths).status == world.operation.status
        found = self._calls(paths, "")
        if world.operation.args[0] == "new" or "--create" in world.operation.args or world.before is None:
            assert self.run((), ()).status == world.operation.status
            found += self._calls((), ".new-")
        return found

    def _calls(self, paths: tuple[str, ...], part: str) -> list[Point]:
        counts, found = Counter[tuple[str, str]](), []
        for line in filter(None, map(LINE.match, self._trace.read_text(errors="replace").splitlines())):
            counts[line["pid"], line["name"]] += 1
            if part in line["args"]:
                number = counts[line["pid"], line["name"]]
                found.append(Point(line["name"], number, paths, f"{line['name']}({line['args']}"))
        # Two threads that make the same call would both be struck at it; the sessions belong to one.
        return list({(point.name, point.at): point for point in found}.values())

    def run(self, inject: tuple[str, ...], paths: tuple[str, ...]) -> Ran:
        """Run the operation from the start under strace."""
        world = self.world
        world.restore()
        if world.operation.reply:
            world.model.script(world.operation.reply)
        traced = "trace=" + ",".join(f"?{name}" for name in NAMES)
        only = [word for path in paths for word in ("-P", path)]
        command = ["strace", "-f", "-y", "-q", "-o", str(self._trace), *only, "-e", traced, *inject, PROGRAM]
        options = {"GEMCLI_SEND_RETRIES": "0", "PYTHONHASHSEED": "0"}
        done = subprocess.run(
            [*command, *world.operation.args],
            cwd=world.directory,
            env=world.env | options,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        world.model.replies.clear()
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, [], False, done.stdout, done.stderr)

    def kill(self, point: Point) -> None:
        """Kill the program at that call, and verify what is left, and that the next message goes through."""
        ran = self.run(("-e", f"inject={point.name}:signal=SIGKILL:when={point.at}"), point.paths)
        assert ran.status == -signal.SIGKILL, (point, ran)
        self.world.verify_next(self.world.verify(ran))

    def fail(self, point: Point, number: int) -> bool:
        """Let that call fail, verify what is left, and that the next message goes through; whether it did fail."""
        name = errno.errorcode[number]
        ran = self.run(("-e", f"inject={point.name}:error={name}:when={point.at}"), point.paths)
        verify(self.world, ran, (point, name))
        self.world.verify_next(self.world.history())
        return "(INJECTED)" in self._trace.read_text(errors="replace")


def world_of(name: str, runner: Runner, model: Model, directory: Path) -> World:
    """The world of the operation of that name."""
    return World(next(one for one in OPERATIONS if one.name == name), runner, model, directory)


@pytest.mark.parametrize("name", ["new", "rewind"])
def test_a_kill_at_a_real_call_loses_nothing(
    name: str, runner: Runner, model: Model, tmp_path: Path, figures: Figures
) -> None:
    """Killed at any system call on the sessions, the old session is there, or the new one, and the next send works."""
    traced = Traced(world_of(name, runner, model, tmp_path), tmp_path)
    points = traced.points()
    assert {"openat", "write", "fsync"} <= {point.name for point in points}
    for point in points:
        traced.kill(point)
    figures(f"kills under strace: {name}", trials=len(points), broken=0)


def test_a_real_send_that_is_killed_loses_nothing(
    runner: Runner, model: Model, tmp_path: Path, figures: Figures
) -> None:
    """Killed before its request is synced, a send has asked nobody; killed before its answer is, the turn is whole."""
    traced = Traced(world_of("send", runner, model, tmp_path), tmp_path)
    path = str(traced.world.path)
    asked = []
    for number in (1, 2):
        traced.kill(Point("fsync", number, (path,), "fsync"))
        asked.append(traced.world.history())
    assert [len(history or []) for history in asked] == [4, 6], "one answer more, before that of the next message"
    figures("kills under strace: send, in short", trials=2, broken=0)


def test_a_real_call_that_fails_is_told(runner: Runner, model: Model, tmp_path: Path, figures: Figures) -> None:
    """A rewind whose write or sync fails is 74 and leaves the session as it was."""
    traced = Traced(world_of("rewind", runner, model, tmp_path), tmp_path)
    for call, number in (("write", errno.ENOSPC), ("fsync", errno.EIO)):
        assert traced.fail(Point(call, 1, (str(traced.world.path),), call), number)
    figures("failing calls under strace: rewind, in short", cases=2, lost=0)


@pytest.mark.torture
@by_operation
def test_a_kill_at_every_real_call_of_every_operation(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, figures: Figures
) -> None:
    """Killed at any system call on the sessions, no operation loses a turn, and the next send works."""
    traced = Traced(World(operation, runner, model, tmp_path), tmp_path)
    points = traced.points()
    for point in points:
        traced.kill(point)
    assert len(points) >= 4
    figures(f"kills under strace: {operation.name}", trials=len(points), broken=0)


@pytest.mark.torture
@by_operation
def test_every_real_call_of_every_operation_fails(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, figures: Figures
) -> None:
    """With ENOSPC or EIO at any system call on the sessions: 74, or it does not matter; what was paid is not lost."""
    traced = Traced(World(operation, runner, model, tmp_path), tmp_path)
    cases = [(point, number) for point in traced.points() for number in ERRORS]
    for point, number in cases:
        assert traced.fail(point, number), point
    figures(f"failing calls under strace: {operation.name}", cases=len(cases), lost=0)
