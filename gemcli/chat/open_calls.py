"""How a function call that waits for its response is named, and answered from a shell. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gemcli.chat.contents import FunctionCall


def how_to_answer(calls: Sequence[FunctionCall]) -> str:
    """The hint that names the command which answers these calls."""
    options = " ".join(option_for(call, calls) for call in calls)
    return f"answer it: gemcli send -s SESSION {options}"


def option_for(call: FunctionCall, calls: Sequence[FunctionCall]) -> str:
    """The option that answers one of the calls."""
    return f"--response {shlex.quote(short_name(call, calls))}=JSON"


def short_name(call: FunctionCall, calls: Sequence[FunctionCall]) -> str:
    """What tells a call from the others: its name, or its id if others have that name, too."""
    name = str(call.get("name"))
    alone = [other.get("name") for other in calls].count(name) == 1
    return name if alone else str(call.get("id", name))
