"""The outside world as one value: environment, output, sessions, and the API.

Commands get an `App` and nothing else from outside, so a test can give them another world.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gemcli.errors import GemcliError, did_you_mean
from gemcli.sessions import names
from gemcli.sessions.filesystem import FileSystem
from gemcli.terminal.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemcli.api.backends import Backend
    from gemcli.api.gemini import Gemini
    from gemcli.sessions.journal import Journal
    from gemcli.sessions.record_types import SessionRecord
    from gemcli.sessions.session import Session
    from gemcli.sessions.store import Store
    from gemcli.settings.config import Config


@dataclass(frozen=True)
class App:
    """What a command may use. `started` is the program's start on the monotonic clock."""

    environ: Mapping[str, str]
    output: Output
    fs: FileSystem = field(default_factory=FileSystem)
    started: float = field(default_factory=time.monotonic)

    @cached_property
    def store(self) -> Store:
        """The sessions on disk. Help and version do without."""
        from gemcli.sessions.store import Store

        what = "waiting for another gemcli that uses the session"
        held = [*filter(None, self.environ.get("GEMCLI_LOCKED", "").split(os.pathsep))]
        return Store(self.fs, self.output.notice, lambda: self.output.waiting(what), held)

    def path(self, session: str) -> str:
        """The file of a session named on the command line."""
        return names.session_path(session, self.environ)

    def similar(self, session: str) -> str | None:
        """A hint that names a session like `session`, None if there is none."""
        with suppress(GemcliError):
            named = self.store.names(names.sessions_directory(self.environ))
            if not names.is_path(session):
                return did_you_mean(session, named)
            if names.dashed(session) in named:
                return f"did you mean `{names.dashed(session)}`?"
            directory = os.path.dirname(session)
            files = self.store.names(directory or ".")
            known = [os.path.join(directory, name + names.SUFFIX) for name in files]
            return did_you_mean(session, known)
        return None

    def read(self, session: str) -> Journal:
        """The session as it is now, without a lock; see `Store.read`."""
        with self._hint_to_create(session):
            return self.store.read(self.path(session))

    def require(self, session: str) -> None:
        """Raise `GemcliError` (SESSION_MISSING) unless the session exists."""
        if not self.store.exists(self.path(session)):
            self.read(session)  # raises it, with the hint

    @contextmanager
    def open(self, session: str, wait: float) -> Iterator[Session]:
        """The session, locked; waits at most `wait` seconds for the lock. See `Store.open`."""
        with self._hint_to_create(session), self.store.open(self.path(session), wait) as opened:
            yield opened

    def tell_destinations(self, header: SessionRecord, configs: Iterable[Config] = ()) -> None:
        """Say who else gets the conversation of a session that may be somebody else's."""
        from gemcli.settings.destinations import destinations

        configs = [header["config"], *configs]
        if found := destinations(header.get("project"), configs, self.environ):
            what = "by the settings of the session, parts of the conversation can go to"
            self.output.notice(f"{what} {', '.join(found)}")

    @contextmanager
    def _hint_to_create(self, session: str) -> Iterator[None]:
        """Add to the error of a missing session what was meant, and the command that makes it."""
        try:
            yield
        except GemcliError as error:
            if error.reason != "SESSION_MISSING":
                raise
            near = self.similar(session)
            hint = f"make it: gemcli new -s {shlex.quote(session)}"
            if near:
                hint = f"{near} or {hint}"
            else:
                hint = f"{hint}; gemcli history --sessions lists the others"
            raise error.replace(hint=hint) from error.__cause__

    def gemini(self, backend: Backend, seconds: float = 60.0, *, dry: bool = False) -> Gemini:
        """The client for `backend`. With `dry` it needs no key, and can only show requests.

        The rules of a simulated model are read within so many `seconds`. Raises `GemcliError`.
        """
        from gemcli.api.endpoint import endpoint_for, endpoint_without_key
        from gemcli.api.gemini import Gemini

        with _rules_within(seconds, backend):
            if dry:
                return Gemini(endpoint_without_key(backend, self.environ))
            return Gemini(endpoint_for(backend, self.environ, self.output.notice))

    def require_endpoint(self, backend: Backend, seconds: float) -> None:
        """Raise `GemcliError` (NO_KEY, BASE_URL, …) if no request to `backend` could be made."""
        from gemcli.api.endpoint import endpoint_for

        with _rules_within(seconds, backend):
            endpoint_for(backend, self.environ, lambda _message: None)


@contextmanager
def _rules_within(seconds: float, backend: Backend) -> Iterator[None]:
    """Limit the time that the block takes to read the rules of `backend`, if it has any."""
    if backend.rules is None:
        yield
        return
    from gemcli.terminal import inputs

    with inputs.within(seconds, f"the rules in {backend.rules}"):
        yield
