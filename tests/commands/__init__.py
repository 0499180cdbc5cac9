"""Tests of the commands: each option, with what a user expects of it.

Most runs need no process of their own: `Here` runs a command line in this one. Sessions in states that take many
sends to reach are written down record by record.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gemcli.cli import main
from gemcli.sessions import records
from gemcli.settings.config import Config
from tests.support import Done, answer

ECHO = "simulator/echo"

CALL = {"functionCall": {"name": "f", "id": "c1", "args": {}}}
RESPONSE: Any = {"functionResponse": {"name": "f", "id": "c1", "response": {"result": 1}}}


class Here:
    """The program in this process: `here("new", "-s", "a")` runs a command line and returns what came of it."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capture

    def __call__(self, *args: str | Path) -> Done:
        """Run one command line."""
        words = [str(arg) for arg in args]
        status = main(words, os.environ)
        out, err = self._capture.readouterr()
        return Done(subprocess.CompletedProcess(words, status, out, err))


def header(model: str = ECHO, config: Any = None) -> Any:
    """The first record of a session."""
    return records.session(model=model, backend="simulator", config=config or Config(), origin=None)


def asked(turn: int, *parts: str | dict[str, Any], ordinal: int = 1, model: str = ECHO) -> Any:
    """A request."""
    content: Any = {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}
    return records.request(turn, f"{turn}.{ordinal}", content, model=model, backend="simulator")


def told(turn: int, *parts: str | dict[str, Any], ordinal: int = 1, valid: bool = True, finish: str = "STOP") -> Any:
    """The answer to it."""
    return records.response(f"{turn}.{ordinal}", answer(*parts, finish=finish), valid=valid, attempts=[], elapsed_ms=1)


def failed(turn: int, outcome: str) -> Any:
    """The end of a request without an answer."""
    return records.failure(
        f"{turn}.1", outcome=outcome, code="UNAVAILABLE", reason="UNAVAILABLE", message="overloaded", attempts=[]
    )


def turn(number: int, said: str = "", reply: str = "") -> list[Any]:
    """An answered turn."""
    return [asked(number, said or f"question {number}"), told(number, reply or f"answer {number}")]


def write(name: str, *content: Any) -> Path:
    """Write a named session, record by record; its file is the result."""
    path = Path(os.environ["GEMCLI_HOME"]) / "sessions" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records.encode(record) for record in content))
    return path


def mixed() -> list[Any]:
    """A session with a turn in every state: 1 and 6 answered, 2 refused, 3 failed, 4 in doubt, 5 rewound."""
    return [
        header(),
        *turn(1),
        asked(2, "question 2"),
        told(2, "half an answer", valid=False, finish="SAFETY"),
        asked(3, "question 3"),
        failed(3, "rejected"),
        asked(4, "question 4"),
        failed(4, "unknown"),
        *turn(5),
        records.rewind([5]),
        *turn(6),
    ]
