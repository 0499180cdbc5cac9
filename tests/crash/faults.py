"""A file system that strikes at a chosen call: it kills the process, stops it, or fails the call.

What a power loss leaves is worked out from a record of all calls (`Recorder`), in test_power.py.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from gemcli.sessions.filesystem import FileSystem, P, T


@dataclass(frozen=True)
class Fault:
    """What happens, and at which call, counted from 1. Call 0 never comes: nothing happens then.

    `how` is one of

        kill-before, kill-after, kill-half   SIGKILL; `half` after writing half of the bytes
        error                                the call fails with `number`; `lasting` says which later ones do too:
                                             none (""), every one ("all"), or every one of its kind ("kind")
        error-half                           half of the bytes are written, and the next call fails
        short                                half of the bytes are written, which is no error
        signal-before, signal-half           signal `number` before the call, or between the halves of a write

    With `record`, a path, nothing strikes; what each call does to the disk is written down there (`Recorder`).
    """

    at: int = 0
    how: str = "none"
    number: int = 0
    lasting: str = ""
    record: str = ""


class Faults(FileSystem):
    """The real file system with one fault. The name of each call is written to the descriptor `trace`."""

    def __init__(self, fault: Fault, trace: int) -> None:
        self.fault = fault
        self.trace = trace
        self.count = 0
        self._struck = ""
        self._recorder = Recorder(fault.record) if fault.record else None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one system call, unless it is the one to strike."""
        self.count += 1
        name = getattr(function, "__name__", "")
        os.write(self.trace, f"{name}\n".encode())
        if self._recorder:
            return self._recorder.call(function, *args, **kwargs)
        if self.count == self.fault.at:
            self._struck = name
            return self._strike(function, *args, **kwargs)
        if self._fails(name):
            return self._fail(function, *args, **kwargs)
        return function(*args, **kwargs)

    def finish(self) -> None:
        """The command is done: that is recorded, too."""
        if self._recorder:
            self._recorder.call(_nothing)

    def _strike(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        what, _, when = self.fault.how.partition("-")
        if what == "error" and not when:
            return self._fail(function, *args, **kwargs)
        if what == "signal" and when == "before":
            os.kill(os.getpid(), self.fault.number)
        elif what == "kill" and when == "before":
            _kill()
        elif when == "half" or what == "short":
            done = self._half(*args)
            if what == "kill":
                _kill()
            elif what == "signal":
                os.kill(os.getpid(), self.fault.number)
            return cast(T, done)
        try:
            return function(*args, **kwargs)
        finally:
            if what == "kill":
                _kill()

    def _fails(self, name: str) -> bool:
        past = self.count - self.fault.at
        if self.fault.how == "error-half":
            return past == 1
        lasting = self.fault.lasting == "all" or (self.fault.lasting == "kind" and name == self._struck)
        return bool(self._struck) and self.fault.how == "error" and lasting

    def _fail(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if getattr(function, "__name__", "") == "close":
            # A descriptor is closed whatever close says.
            function(*args, **kwargs)
        raise OSError(self.fault.number, os.strerror(self.fault.number))

    def _half(self, *args: Any) -> int:
        fd, data = args
        return os.write(fd, data[: max(1, len(data) // 2)])


class Recorder:
    """Makes calls and writes down what they did to the disk, one JSON object a line, for a model of that disk.

    Each has the moment before the call: `time` on the monotonic clock, and the bytes on stdout and stderr by then
    (`out`, `err`). What the call did is in `did`, with inodes by their numbers:

        write, cut   `file` got `data` (Latin-1) at `at`, or was cut to `size`
        names        in `directory` names were `set`: to an inode, or to null, which takes the name away; with `new`
                     the inode is a new "file" or "directory"
        sync         of the inode `of`
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one call and write it down. A call that failed did nothing."""
        line: dict[str, Any] = {"time": time.monotonic(), "out": os.fstat(1).st_size, "err": os.fstat(2).st_size}
        name = getattr(function, "__name__", "")
        line["call"] = name
        absent = name == "open" and not os.path.lexists(cast(str, args[0]))
        size = os.fstat(cast(int, args[0])).st_size if name == "write" else 0
        try:
            result = function(*args, **kwargs)
            line["did"] = self._did(name, args, size, result, absent=absent)
            return result
        finally:
            os.write(self._fd, json.dumps(line).encode() + b"\n")

    def _did(self, name: str, args: Any, size: int, result: Any, *, absent: bool) -> dict[str, Any] | None:
        if name == "write":
            data = bytes(args[1])[:result].decode("latin-1")
            return {"kind": "write", "file": os.fstat(args[0]).st_ino, "at": size, "data": data}
        if name == "ftruncate":
            return {"kind": "cut", "file": os.fstat(args[0]).st_ino, "size": args[1]}
        if name in ("fsync", "fcntl"):
            return {"kind": "sync", "of": os.fstat(args[0]).st_ino}
        if absent:
            return self._names(args[0], os.fstat(result).st_ino, new="file")
        if name == "mkdir":
            return self._names(args[0], os.stat(args[0]).st_ino, new="directory")
        if name == "link":
            return self._names(args[1], os.stat(args[1]).st_ino)
        if name == "unlink":
            return self._names(args[0], None)
        if name == "replace":
            moved = self._names(args[1], os.stat(args[1]).st_ino)
            assert os.path.dirname(args[0]) == os.path.dirname(args[1])
            moved["set"] = {os.path.basename(args[0]): None, **moved["set"]}
            return moved
        return None

    def _names(self, path: str, inode: int | None, new: str | None = None) -> dict[str, Any]:
        directory, name = os.path.split(path)
        return {"kind": "names", "directory": os.stat(directory).st_ino, "set": {name: inode}, "new": new}


def _nothing() -> None:
    """The call that is none: the end of the command."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
