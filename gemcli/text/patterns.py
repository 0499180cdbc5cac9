"""Searching with a regular expression that somebody wrote, which may take for ever.

Python's `re` cannot be stopped: while it searches, no other thread runs, and no signal is handled.
So a process of its own makes the searches, and an alarm ends it if one takes too long.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING

from gemcli.errors import GemcliError

if TYPE_CHECKING:
    import subprocess

TIME_LIMIT = 2.0
"""Seconds that a search may take, if nobody says otherwise."""

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
    """A search has taken too long."""


def found(pattern: str, text: str, seconds: float | None = None) -> bool:
    """Whether a sound regular expression is found in a text.

    Raises `TooSlow`, or `GemcliError` (IO) if the machine has no process left.
    """
    return _searcher.found(pattern, text, TIME_LIMIT if seconds is None else seconds)


class _Searcher:
    """The process that searches: started for the first search, and kept for the next ones."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def found(self, pattern: str, text: str, seconds: float) -> bool:
        with self._lock:
            self._process = self._process or _start()
            answer = ""
            try:
                answer = _ask(self._process, [pattern, text, seconds])
            finally:
                if not answer:  # what came later would be taken for the next answer
                    self.close()
            if not answer:
                raise TooSlow
            return answer == "yes\n"

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[str]:
    import subprocess

    try:
        return subprocess.Popen(  # noqa: S603  # a program of our own
            [sys.executable, "-I", "-S", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
            encoding="ascii",
        )
    except OSError as error:
        what = f"cannot start a process that searches with a pattern: {error.strerror}"
        raise GemcliError("IO", what) from error


def _ask(process: subprocess.Popen[str], question: list[object]) -> str:
    """What the process answers, which is nothing if its alarm has ended it."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    return process.stdout.readline()


_searcher = _Searcher()
