"""A tool that calls gemcli on the session of its own turn: it fails at once, and any other session is free."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from gemcli.tools.tool_context import ToolContext
from tests.builders import ECHO, header, write_session
from tests.support import InProcess


@pytest.mark.parametrize("command", [["send", "hello"], ["rewind"], ["new", "--force", "--wait", "9", "--model", ECHO]])
def test_the_session_of_the_turn(here: InProcess, command: list[str]) -> None:
    """Whoever has locked the session waits for the tool, so there is no use in waiting."""
    path = write_session("a", header())
    link = path.with_name("b.jsonl")
    link.symlink_to(path)
    tell: list[str] = []
    env = dict(ToolContext.of_session(os.path.relpath(path), {"GEMINI_API_KEY": "k", "X": "y"}, tell.append).environ)
    assert env == {"X": "y", "GEMCLI_LOCKED": str(path)}
    begun = time.monotonic()
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for session in ("a", "b"):
            error = here.failed(command[0], "-s", session, *command[1:], env=env).error
            assert (error["reason"], error["exit"]) == ("SESSION_BUSY", 75)
            assert "runs this command as a tool" in error["message"]
    assert time.monotonic() - begun < 5


def test_nested(tmp_path: Path) -> None:
    """A tool of a tool's gemcli knows both sessions."""
    outer = ToolContext.of_session(str(tmp_path / "a.jsonl"), {}, print)
    inner = ToolContext.of_session(str(tmp_path / "b.jsonl"), outer.environ, print)
    assert inner.environ["GEMCLI_LOCKED"].split(os.pathsep) == [f"{tmp_path}/a.jsonl", f"{tmp_path}/b.jsonl"]


def test_others_are_free(here: InProcess) -> None:
    """Reading the session is possible, and so is sending to any other, and to itself once it is free."""
    path = write_session("a", header())
    write_session("b", header())
    env = {"GEMCLI_LOCKED": str(path)}
    here.ok("history", "-s", "a", env=env)
    here.ok("send", "-s", "b", "hello", env=env)
    here.ok("send", "-s", "a", "hello", env=env)
