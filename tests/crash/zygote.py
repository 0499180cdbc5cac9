"""A process that has loaded everything once and forks a child for each command it is sent: `python -m` this.

A fork needs a process without threads, which a test process is not. Jobs and results are JSON, one a line.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from gemcli import cli
from gemcli.simulator import transport
from tests.crash.faults import Fault, Faults


def serve() -> None:
    """Answer jobs until standard input ends."""
    _warm_up()
    gc.freeze()
    for line in sys.stdin.buffer:
        os.write(protocol, json.dumps(_run(json.loads(line))).encode() + b"\n")


def _run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one command in a child. The pipe of its trace ends with it."""
    trace, inlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(trace)
        _child(job, inlet)
    os.close(inlet)
    killing = job["kill_after"] is not None
    until = time.monotonic() + (job["kill_after"] if killing else job["seconds"])
    calls, late = b"", False
    while not late:
        late = not select.select([trace], [], [], max(0.0, until - time.monotonic()))[0]
        chunk = b"" if late else os.read(trace, 1 << 16)
        calls += chunk
        if not chunk:
            break
        late = late or time.monotonic() > until
    os.close(trace)
    if late:
        os.kill(pid, signal.SIGKILL)
        late = not killing
    _, status = os.waitpid(pid, 0)
    return {"status": os.waitstatus_to_exitcode(status), "calls": calls.decode().split()[:10_000], "late": late}


def _child(job: Mapping[str, Any], trace: int) -> NoReturn:
    """Become the program: run one command line and exit with its status, or by the fault."""
    status = 99
    try:
        with open(job["pid"], "w") as file:
            file.write(str(os.getpid()))
        _redirect(job["out"], job["err"])
        os.chdir(job["directory"])
        os.umask(job["umask"])
        for number in job["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        os.environ.clear()
        os.environ.update(job["env"])
        fs = Faults(Fault(**job["fault"]), trace)
        status = cli.main(job["args"], os.environ, fs=fs)
        fs.finish()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _redirect(out: str, err: str) -> None:
    for fd, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, fd)
        os.close(file)


def _warm_up() -> None:
    """Send a message, so that everything that is loaded late is loaded; then be without threads again."""
    with tempfile.TemporaryDirectory() as home:
        environ = {"GEMCLI_HOME": home, "GEMCLI_MODEL": "simulator/echo"}
        with open(script := os.path.join(home, "script.yaml"), "w") as file:
            file.write("- warm\n")
        replay = ["replay", script, "-s", "b"]
        for args in (
            ["new", "-s", "a"],
            ["send", "-s", "a", "warm"],
            ["history", "-s", "a"],
            ["rewind", "-s", "a"],
            replay,
        ):
            if cli.main(args, environ) != 0:
                raise SystemExit(f"the warm-up failed at: {' '.join(args)}")
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(30)


if __name__ == "__main__":
    # What commands print goes to descriptor 1, so the answers to jobs need another one.
    protocol = os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDWR)
    held = os.dup(0)
    sys.stdin = os.fdopen(held, "r")
    os.dup2(null, 0)
    os.dup2(null, 1)
    assert transport
    serve()
