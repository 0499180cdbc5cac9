"""Commands as tools: the arguments of a call on standard input as JSON, the result on its output.

Whatever goes wrong becomes a result that tells the model of it, and the user too.
"""

from __future__ import annotations

import signal
from typing import Any

from gemcli.text import strict_json
from gemcli.tools import results
from gemcli.tools.child_process import Child, TooLong, TooSlow
from gemcli.tools.declarations import Tool
from gemcli.tools.results import FunctionResult
from gemcli.tools.tool_context import ToolContext

BEGINNING = 4_000
"""Bytes that the model gets of an output that is too long: each later request has them, too."""


def run_command(tool: Tool, args: dict[str, Any], context: ToolContext) -> FunctionResult:
    """Run the command of a tool for one call. Raises `Stopped`."""
    data = strict_json.encode(args) + b"\n"
    try:
        with Child(tool.command, tool.name, context) as child:
            output = child.ask(data, tool.timeout, tool.output_limit)
            if child.status:
                return _of_status(child, output)
            return results.of_bytes(output, tool.name)
    except OSError as error:
        message = f"{tool.command[0]} cannot be run: {error.strerror}"
    except TooSlow:
        message = f"no result within {tool.timeout:g} s"
    except TooLong as error:
        message = f"the result is longer than {tool.output_limit} bytes; this is how it begins"
        beginning = error.args[0][:BEGINNING].decode("utf-8", "replace")
        return results.of_failure(message, output=beginning)
    except UnicodeDecodeError as error:
        message = f"the result is not text in UTF-8, from byte {error.start + 1} on"
    return results.of_failure(message)


def _of_status(child: Child, output: bytes) -> FunctionResult:
    """The failure of a command that ended with another status than 0."""
    status = child.status or 0
    killer = signal.Signals(-status).name if status < 0 else None
    message = f"killed by {killer}" if killer else f"exit status {status}"
    if said := child.last_words.decode("utf-8", "replace").strip():
        message = f"{message}: {said}"
    printed = output.decode("utf-8", "replace").rstrip("\r\n")
    return results.of_failure(message, **({"output": printed} if printed else {}))
