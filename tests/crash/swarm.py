"""Many commands at once, in children of one process that has loaded everything: `python -m` this.

Each writer runs its list of command lines one after the other and then ends; each reader runs its own again and
again until the writers have ended. Some writers may be killed on the way. Jobs and results are JSON, one a line.
Of each child three files are left in the job's directory: what it printed (`out-N`, `err-N`), and a line for each
command that has ended (`log-N`).
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from gemcli import cli
from gemcli.sessions.filesystem import FileSystem
from tests.crash import zygote
from tests.support import read_session

READ = "@read"
"""Not a command: read the session whose path follows, as `Store.read` does, and check its turn order."""


class Watched(FileSystem):
    """The real file system. `waited` is how long the lock has taken so far; who got it last stands in `holder`."""

    def __init__(self, holder: mmap.mmap) -> None:
        self.waited = 0.0
        self._holder = holder

    def lock(self, fd: int, *, wait: bool) -> None:
        """Take the lock, and note how long that took."""
        begun = time.monotonic()
        try:
            super().lock(fd, wait=wait)
        finally:
            self.waited += time.monotonic() - begun
        self._holder[:4] = os.getpid().to_bytes(4, "little")


class Killer:
    """Kills writers: each of `count` times when some number of commands has ended, the holder of the lock or anyone."""

    def __init__(self, job: Mapping[str, Any], writers: Mapping[int, int], holder: mmap.mmap) -> None:
        self._chance = random.Random(job["seed"])
        # Killed writers do less than they had to, so the last moments are not waited for.
        total = sum(map(len, job["writers"])) // 2
        self._moments = sorted(self._chance.sample(range(1, total), job["kills"])) if job["kills"] else []
        self._writers = writers
        self._holder = holder
        self.killed: set[int] = set()

    def see(self, ended: int) -> None:
        """So many commands have ended: kill if it is time, a little later."""
        while self._moments and ended >= self._moments[0]:
            self._moments.pop(0)
            time.sleep(self._chance.uniform(0, 0.01))
            holding = int.from_bytes(self._holder[:4], "little")
            alive = [pid for pid in self._writers if pid not in self.killed]
            victim = holding if holding in alive and self._chance.random() < 0.7 else self._chance.choice(alive)
            os.kill(victim, signal.SIGKILL)
            self.killed.add(victim)


def serve() -> None:
    """Do jobs until standard input ends."""
    zygote._warm_up()
    gc.freeze()
    for line in sys.stdin.buffer:
        os.write(protocol, json.dumps(_run(json.loads(line))).encode() + b"\n")


def _run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Start all children, let them go at once, and wait for the end of all: how each ended, and who was killed."""
    gate, opened = os.pipe()
    progress, inlet = os.pipe()
    holder = mmap.mmap(-1, 4)
    children: dict[int, int] = {}
    for place in range(len(job["writers"]) + len(job["readers"])):
        pid = os.fork()
        if pid == 0:
            for fd in (opened, progress):
                os.close(fd)
            _child(job, place, gate, inlet, holder)
        children[pid] = place
    writers = {pid: place for pid, place in children.items() if place < len(job["writers"])}
    for fd in (gate, inlet, opened):
        os.close(fd)
    killer = Killer(job, writers, holder)
    late = _watch(progress, killer, time.monotonic() + job["seconds"])
    os.close(progress)
    (Path(job["directory"]) / "stop").touch()
    for pid in children if late else ():
        os.kill(pid, signal.SIGKILL)
    statuses = {place: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, place in children.items()}
    (Path(job["directory"]) / "stop").unlink()
    killed = sorted(writers[pid] for pid in killer.killed if statuses[writers[pid]] == -signal.SIGKILL)
    return {"statuses": [statuses[place] for place in sorted(statuses)], "killed": killed, "late": late}


def _watch(progress: int, killer: Killer, until: float) -> bool:
    """Count the commands that end, until the last writer is gone; whether that took too long."""
    ended = 0
    while select.select([progress], [], [], max(0.0, until - time.monotonic()))[0]:
        if not (chunk := os.read(progress, 4096)):
            return False
        ended += len(chunk)
        killer.see(ended)
    return True


def _child(job: Mapping[str, Any], place: int, gate: int, inlet: int, holder: mmap.mmap) -> NoReturn:
    """Become the writer or reader at `place`."""
    status = 99
    directory = Path(job["directory"])
    try:
        zygote._redirect(str(directory / f"out-{place}"), str(directory / f"err-{place}"))
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(job["env"])
        log = os.open(directory / f"log-{place}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fs = Watched(holder)
        os.read(gate, 1)  # ends when the gate opens
        if place < len(job["writers"]):
            for args in job["writers"][place]:
                os.write(log, _logged(args, fs))
                os.write(inlet, b".")
        else:
            os.close(inlet)
            _read(job["readers"][place - len(job["writers"])], fs, log, directory / "stop", job["pause"])
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _read(commands: list[list[str]], fs: Watched, log: int, stop: Path, pause: float) -> None:
    """Run commands again and again until `stop` exists; what they print is thrown away."""
    while not stop.exists():
        for args in commands:
            os.write(log, _logged(args, fs))
            os.ftruncate(1, 0)
            os.lseek(1, 0, os.SEEK_SET)
            time.sleep(pause)


def _logged(args: list[str], fs: Watched) -> bytes:
    """Run one command line; the line that says how it went."""
    fs.waited = 0.0
    entry: dict[str, Any] = {"args": args}
    if args[0] == READ:
        entry |= {"status": 0, "turns": len(read_session(Path(args[1])).live)}
    else:
        entry |= {"status": cli.main(args, os.environ, fs=fs)}
    return json.dumps(entry | {"waited": fs.waited}).encode() + b"\n"


if __name__ == "__main__":
    # What commands print goes to descriptor 1, so the answers to jobs need another one.
    protocol = os.dup(1)
    os.dup2(2, 1)
    sys.stdin = os.fdopen(os.dup(0), "r")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    serve()
