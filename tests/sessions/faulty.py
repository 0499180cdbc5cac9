"""A file system that writes down its calls, and fails some."""

from __future__ import annotations

import os
from collections.abc import Callable

from gemcli.sessions.filesystem import FileSystem, P, T


class Faulty(FileSystem):
    """Writes down each call, and fails those that `broken` names with their errno."""

    def __init__(self, **broken: int) -> None:
        self.calls: list[str] = []
        self.broken = broken

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make the call or fail it."""
        name = getattr(function, "__name__", "")
        self.calls.append(name)
        if name in self.broken:
            raise OSError(self.broken[name], os.strerror(self.broken[name]))
        return function(*args, **kwargs)
