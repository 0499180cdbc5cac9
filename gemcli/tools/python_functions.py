"""Python functions as tools: `--tools FILE.py:NAME,…`, as the SDK's chats take functions.

They run in a process for each file, `function_host`, one after another: what a call leaves behind
in its module is there for the next one of the same turn.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from gemcli.errors import GemcliError
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.tools import declarations, results
from gemcli.tools.child_process import Child, TooLong, TooSlow
from gemcli.tools.declarations import Tool
from gemcli.tools.results import FunctionResult
from gemcli.tools.tool_context import Stopped, ToolContext

LOAD_TIMEOUT = 60.0
"""Seconds that a file may take to be loaded."""

LONGEST_DECLARATIONS = 10_000_000


class PythonFile:
    """A Python file with functions that are tools, and the process in which they run.

    Used as a context manager: at the end of the block the process is gone.
    """

    def __init__(self, file: str, names: Sequence[str], context: ToolContext) -> None:
        self._file = file
        self._names = names
        self._context = context
        self._child: Child | None = None
        self._declared: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()

    def tools(self) -> list[Tool]:
        """Its functions, as the SDK declares them. Raises `GemcliError` (SETTINGS)."""
        try:
            self._started()
        except Stopped:
            what = f"{self._file} was not loaded before the deadline"
            raise GemcliError(
                "TIMEOUT", what, outcome="rejected", hint="raise --deadline"
            ) from None
        problems = Problems(self._file)
        tools = declarations.read(problems, self._file, tree.from_value(self._declared))
        problems.require_none(self._file)
        return [replace(tool, function=self.run) for tool in tools or []]

    def run(self, tool: Tool, args: dict[str, Any]) -> FunctionResult:
        """Run a function for one call. Raises `Stopped`."""
        with self._lock:
            try:
                return self._ask(tool, args)
            except GemcliError as error:
                message = error.message
            except TooSlow:
                message = f"no result within {tool.timeout:g} s"
            except TooLong:
                message = f"the result is longer than {tool.output_limit} bytes"
            self._end()
            return results.of_failure(message)

    def _ask(self, tool: Tool, args: dict[str, Any]) -> FunctionResult:
        child = self._started()
        call = json.dumps({"name": tool.name, "args": args}).encode() + b"\n"
        answer = child.ask(call, tool.timeout, tool.output_limit, for_line=True)
        if not answer.endswith(b"\n"):
            message = f"its process ended with exit status {child.status}"
            raise GemcliError("SETTINGS", message)
        return FunctionResult(json.loads(answer)["response"])

    def _started(self) -> Child:
        """The process, started if there is none. Raises `GemcliError` (SETTINGS)."""
        if self._child:
            return self._child
        # Without -P, a file in the working directory could take the place of a module of Python.
        command = [sys.executable, "-P", "-m", "gemcli.tools.function_host", self._file]
        self._child = Child([*command, *self._names], self._file, self._context)
        try:
            line = self._child.ask(b"", LOAD_TIMEOUT, LONGEST_DECLARATIONS, for_line=True)
        except TooSlow:
            what = f"{self._file} was not loaded within {LOAD_TIMEOUT:g} s"
            raise GemcliError("SETTINGS", what) from None
        first: dict[str, Any] = {"error": "its process has ended"}
        if line.endswith(b"\n"):
            first = json.loads(line)
        if "error" in first:
            raise GemcliError("SETTINGS", f"{self._file} cannot be loaded: {first['error']}")
        self._declared = first["declarations"]
        return self._child

    def _end(self) -> None:
        """End the process; the next call starts another one."""
        if self._child:
            self._child.end()
            self._child = None
