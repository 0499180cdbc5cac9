"""What the tools of a command have around them."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from gemcli.api import key_file
from gemcli.api.credentials import KEY_VARIABLES

SECRET = {*KEY_VARIABLES, key_file.VARIABLE}
"""Variables that tools do not get."""


class Stopped(Exception):
    """Nobody waits for a run any longer; what it has done is unknown."""


@dataclass(frozen=True)
class ToolContext:
    """What all runs of a command share.

    `environ` is for the tools, and `tell` gets what they write to stderr, line by line. `until`, on
    the monotonic clock, is when the last run must have ended; `stop` ends all of them before.
    """

    environ: Mapping[str, str]
    tell: Callable[[str], None]
    until: float = math.inf
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of_session(
        cls,
        path: str,
        environ: Mapping[str, str],
        tell: Callable[[str], None],
        until: float = math.inf,
    ) -> Self:
        """For turns of the session at `path`, which the tools cannot change; they have no key."""
        inner = {name: value for name, value in environ.items() if name not in SECRET}
        held = [inner.get("GEMCLI_LOCKED"), os.path.abspath(path)]
        inner["GEMCLI_LOCKED"] = os.pathsep.join(filter(None, held))
        return cls(inner, tell, until)
