"""The outside world as one object.

Environment, output, clock, sessions by name, the way to a model.

Commands get an `App` and nothing else from outside, so a test can hand them another world.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemcli.errors import GemcliError
from gemcli.sessions import names
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.store import Store
from gemcli.terminal.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemcli.api.backends import Backend
    from gemcli.api.gemini import Gemini
    from gemcli.sessions.journal import Journal
    from gemcli.sessions.session import Session


@dataclass(frozen=True)
class App:
    """What a command may use.

    `started` is when the program began, on the monotonic clock (seconds).
    """

    environ: Mapping[str, str]
    output: Output
    fs: FileSystem = field(default_factory=FileSystem)
    started: float = field(default_factory=time.monotonic)

    @property
    def store(self) -> Store:
        """The sessions on disk."""
        return Store(self.fs, self.output.notice)

    def path(self, session: str) -> str:
        """The file of a session named on the command line."""
        return names.session_path(session, self.environ)

    def read(self, session: str) -> Journal:
        """The session as it is now; see `Store.read`.

        SESSION_MISSING tells the command that makes it.
        """
        try:
            return self.store.read(self.path(session))
        except GemcliError as error:
            _add_hint(error, session)
            raise

    def require(self, session: str) -> None:
        """Raise `GemcliError` (SESSION_MISSING) when there is nothing where the session should be."""
        if not self.store.exists(self.path(session)):
            self.read(session)

    @contextmanager
    def open(self, session: str, wait: float) -> Iterator[Session]:
        """The session, locked; see `Store.open`. Waits at most `wait` seconds for the lock."""
        try:
            with self.store.open(self.path(session), wait) as opened:
                yield opened
        except GemcliError as error:
            _add_hint(error, session)
            raise

    def gemini(self, backend: Backend, *, dry: bool = False) -> Gemini:
        """The way to `backend`. Raises `GemcliError` when the environment has none.

        Nothing is sent.

        A `dry` one needs no key and is good for looking at requests only.
        """
        from gemcli.api.endpoint import endpoint_for, endpoint_without_key
        from gemcli.api.gemini import Gemini

        return Gemini(
            endpoint_without_key(backend, self.environ)
            if dry
            else endpoint_for(backend, self.environ, self.output.notice)
        )


def _add_hint(error: GemcliError, session: str) -> None:
    """Tell how a missing session is made, in the words of the command line that missed it."""
    if error.reason == "SESSION_MISSING":
        error.hint = f"make it: gemcli new -s {shlex.quote(session)}"
