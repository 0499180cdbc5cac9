"""One HTTP request, as two threads see it: one makes it, and one waits for it or abandons it.

Whether it was sent by then decides what the session records: rejected (never sent) or unknown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar

from gemcli.api.secrets import Secrets
from gemcli.api.sse import Events


class Abandoned(Exception):
    """Nobody waits for this request any longer."""


class Attempt:
    """What is known of one request: whether it was sent, and the answer's status, headers, bytes.

    With `stream` the answer is requested as a stream of events, and `on_event` gets the data of
    each event as it arrives. `sent` tells that the request began to leave this machine, `complete`
    that the last byte of the answer has been read.
    """

    def __init__(self, secrets: Secrets | None = None, *, stream: bool = False) -> None:
        self.secrets = secrets or Secrets()
        self.stream = stream
        self.on_event: Callable[[bytes], object] = lambda _data: None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.sent = False
        self.complete = False
        self.events = Events()
        self._lock = threading.Lock()
        self._started = False
        self._abandoned = False

    @property
    def is_event_stream(self) -> bool:
        """Whether the answer is read as a stream of events; error answers are not."""
        return self.stream and self.status == 200

    @property
    def text(self) -> str:
        """The body as text that may be kept, without secrets."""
        return self.secrets.hide(self.body.decode("utf-8", "replace"))

    def start(self) -> None:
        """Claim the one request of this attempt: a second one would be a hidden resend."""
        if self._started:
            raise RuntimeError("a second request in one attempt: the SDK tried to send again")
        self._started = True

    def mark_sent(self) -> None:
        """Note that the request leaves now. Raises `Abandoned` if nobody waits for it."""
        with self._lock:
            if self._abandoned:
                raise Abandoned
            self.sent = True

    def abandon(self) -> bool:
        """Stop waiting: a request that has not left will not leave. Return whether it was sent."""
        with self._lock:
            self._abandoned = True
            return self.sent

    def set_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the answer's status and headers (names in lower case)."""
        self.status = status
        self.headers = dict(headers)

    def require_wanted(self) -> None:
        """Raise `Abandoned` if nobody waits any longer."""
        if self._abandoned:
            raise Abandoned

    def receive(self, data: bytes) -> None:
        """Note bytes of the answer's body, decompressed. Raises `Abandoned` if nobody waits."""
        self.require_wanted()
        self.body += data
        if self.is_event_stream:
            for event in self.events.feed(data):
                self.on_event(event)


CURRENT_ATTEMPT: ContextVar[Attempt] = ContextVar("CURRENT_ATTEMPT")
"""The attempt that the HTTP client works for in this thread."""
