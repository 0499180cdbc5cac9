"""What a run needs from the world, as one value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.api.request_thread import interrupted
from gemcli.api.retry import RetryPolicy
from gemcli.app import App
from gemcli.create_session import NewOptions, create_if_missing, header, renewed_header
from gemcli.errors import GemcliError
from gemcli.replay.events import Event
from gemcli.replay.script import Script
from gemcli.requests.call_model import Transport, WaitEvent
from gemcli.sessions import names
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import SessionRecord
from gemcli.sessions.session import Session
from gemcli.signals import deferred
from gemcli.text import patterns

SHORTEST_SEARCH = 0.1
"""Seconds that a pattern has even after the deadline: stored answers are checked all the same."""


@dataclass(frozen=True)
class RunContext:
    """The sessions of a run, its way to the models, its limits, and where it reports to.

    Every script has a session in `directory`; without that, the one script has `session`. New
    sessions record their `origin`. `lock_wait` is how many seconds to wait for a session that
    another process holds, `output_closed` whether events can no longer be printed.
    """

    app: App
    session: str | None
    directory: str | None
    origin: Mapping[str, object]
    limits: Limits
    retry: RetryPolicy
    lock_wait: float
    emit: Callable[[Event], None]
    output_closed: Callable[[], bool]
    _clients: dict[Backend, Gemini] = field(default_factory=dict, init=False)

    def close(self) -> None:
        """Close the connections to the models."""
        for client in self._clients.values():
            client.close()

    def session_name(self, script: Script) -> str | None:
        """The session of a script as the command line names it; a dry run may have none."""
        if self.directory is None:
            return self.session
        return os.path.join(self.directory, script.name + names.SUFFIX)

    def session_exists(self, script: Script) -> bool:
        """Whether the session of a script exists."""
        name = self.session_name(script)
        return name is not None and self.app.store.exists(self.app.path(name))

    def read_session(self, script: Script) -> Journal:
        """The session of a script, or as it would be created; nothing is written."""
        name = self.session_name(script)
        if name is None or not self.session_exists(script):
            first = header(self.app, self._options(script), script.header, self.origin)
            return Journal([first])
        journal = self.app.read(name)
        if settings := self._new_settings(script, journal):
            journal.apply(settings)
        return journal

    @contextmanager
    def open_session(self, script: Script) -> Iterator[Session]:
        """The session of a script, locked; created first if it is missing."""
        name = self.session_name(script)
        if name is None:
            raise RuntimeError("only a dry run can do without a session")
        self.app.store.make_directory(os.path.dirname(self.app.path(name)))
        options = self._options(script)
        created = create_if_missing(self.app, name, options, script.header, self.origin)
        wait = min(self.lock_wait, max(0.0, self.limits.remaining))
        with self.app.open(name, wait) as session:
            if self.directory is None and names.is_path(name) and not created:
                self.app.tell_destinations(session.journal.header)
            if settings := self._new_settings(script, session.journal):
                session.append(settings)
            yield session

    def transport(
        self, journal: Journal, model: str, on_wait: Callable[[WaitEvent], None]
    ) -> Transport:
        """The transport to a model; the client of each backend is made once."""
        backend = backends.backend_for(journal.header, model, self.app.environ)
        if backend not in self._clients:
            self._clients[backend] = self.app.gemini(backend, self.limits.remaining)
        client, notice = self._clients[backend], self.app.output.notice
        return Transport(client, backend, self.limits, self.retry, notice, on_wait)

    def find(self, pattern: str, text: str) -> bool:
        """Whether a pattern is found in an answer, within the limits of the run.

        Raises `TooSlow`, or `GemcliError` (INTERRUPTED, TIMEOUT) if the run is to end.
        """
        seconds = max(SHORTEST_SEARCH, min(patterns.TIME_LIMIT, self.limits.remaining))
        try:
            return patterns.found(pattern, text, seconds)
        except patterns.TooSlow:
            if deferred.arrived:
                raise interrupted(deferred.arrived[0], sent=False) from None
            if self.limits.remaining <= 0:
                what = "there was no time left to check an answer before the deadline"
                raise GemcliError("TIMEOUT", what, hint="raise --deadline") from None
            raise

    def stop_reason(self, wait: float = 0.0) -> GemcliError | None:
        """Why nothing more should be sent after `wait` seconds; None if it may be."""
        if self.output_closed():
            return GemcliError("READER_GONE", "output closed", exit_code=141)
        if self.limits.time_to_start > wait:
            return None
        what = f"a wait of {wait:g} s leaves no time" if wait else "there is no time left"
        message = f"{what} for a request before the deadline"
        return GemcliError("TIMEOUT", message, outcome="rejected", hint="raise --deadline")

    def _new_settings(self, script: Script, journal: Journal) -> SessionRecord | None:
        return renewed_header(self.app, journal, self._options(script), script.header, self.origin)

    def _options(self, script: Script) -> NewOptions:
        return NewOptions(script.model, None, script.config)
