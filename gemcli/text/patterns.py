"""Searching with a regular expression that somebody wrote, which may take for ever.

Python's `re` cannot be stopped: while it searches, no other thread runs, and signals are looked at
rarely or never. So the search is made in a process of its own, which is ended if it takes too long.
The process is started for the first search, and kept for the next ones.
"""

from __future__ import annotations

import atexit
import json
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from gemcli.errors import GemcliError

if TYPE_CHECKING:
    import subprocess

TIME_LIMIT = 2.0
"""Seconds that a search may take, if nobody says otherwise."""

POLL_INTERVAL = 0.1
"""Seconds between two looks at whether to go on waiting."""

# The alarm ends the process, also when nobody is left to wait for it.
PROGRAM = """
import json, re, signal, sys, warnings
warnings.simplefilter("ignore")
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
signal.signal(signal.SIGALRM, signal.SIG_DFL)
for line in sys.stdin:
    pattern, text, seconds = json.loads(line)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    found = re.search(pattern, text) is not None
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("yes" if found else "no", flush=True)
"""


class TooSlow(Exception):
    """A search has taken too long, or was not to go on."""


def found(
    pattern: str,
    text: str,
    seconds: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether a sound regular expression is found in a text.

    Raises `TooSlow`, or `GemcliError` (IO) if the machine has no process left.
    """
    return _searcher.found(pattern, text, TIME_LIMIT if seconds is None else seconds, stopped)


class _Searcher:
    """The process that searches, one text at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def found(self, pattern: str, text: str, seconds: float, stopped: Callable[[], bool]) -> bool:
        with self._lock:
            process = self._process or self._start()
            try:
                answer = _ask(process, pattern, text, seconds, stopped)
            except BaseException:  # its answer, if it came now, would be taken for the next one
                self.close()
                raise
            return answer == b"yes\n"

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(BrokenPipeError), process:  # closes the pipes, and waits
                pass

    def _start(self) -> subprocess.Popen[bytes]:
        import subprocess

        try:
            self._process = subprocess.Popen(  # noqa: S603  # a program of our own
                [sys.executable, "-I", "-S", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is not for it
            )
        except OSError as error:
            what = f"cannot start a process that searches with a pattern: {error.strerror}"
            raise GemcliError("IO", what) from error
        return self._process


def _ask(
    process: subprocess.Popen[bytes],
    pattern: str,
    text: str,
    seconds: float,
    stopped: Callable[[], bool],
) -> bytes:
    """What the process answers. Raises `TooSlow`."""
    until = time.monotonic() + seconds
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    try:
        process.stdin.write(json.dumps([pattern, text, seconds]).encode() + b"\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], POLL_INTERVAL)[0]:
            if stopped() or time.monotonic() > until:
                raise TooSlow
        answer = process.stdout.readline()
    except BrokenPipeError:
        raise TooSlow from None
    if not answer:
        raise TooSlow
    return answer


_searcher = _Searcher()
atexit.register(_searcher.close)
