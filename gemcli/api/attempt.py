"""One HTTP request and its answer as they are on the wire, watched from two threads.

The thread that makes the request fills a `Call`; the one that waits may abandon it. Whether the
request had left this machine by then decides what the journal says: rejected (never sent) or
unknown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar

from gemcli.api.sse import Events


class Abandoned(Exception):
    """Nobody waits for this request any more."""


class Call:
    """What is known of one request.

    Whether it was sent, and the answer's status, headers and bytes so far.

    `token` is the access token that went with it, if one did: the answer may quote it, and nobody
    else may. With `sink` the answer is a stream, and the data of each of its events is handed to
    `sink` as it arrives.
    """

    def __init__(self, sink: Callable[[bytes], None] | None = None) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.token = b""
        self.events = Events()
        self._sink = sink
        self._lock = threading.Lock()
        self._started = False
        self._sent = False
        self._abandoned = False

    @property
    def sent(self) -> bool:
        """Whether the request had begun to leave this machine."""
        return self._sent

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is asked for as a stream."""
        return self._sink is not None

    @property
    def streams(self) -> bool:
        """Whether the answer is being read as a stream of events: errors are not."""
        return self.wants_stream and self.status == 200

    def start(self) -> None:
        """Claim the one request this call may make; a second one is a hidden resend and refused."""
        if self._started:
            raise RuntimeError(
                "a second request in one call: the SDK tried to send again by itself"
            )
        self._started = True

    def leave(self) -> None:
        """Mark the request as leaving now. Raises `Abandoned` if nobody waits for it any more."""
        with self._lock:
            if self._abandoned:
                raise Abandoned
            self._sent = True

    def abandon(self) -> bool:
        """Stop waiting for the answer.

        From now on the request will not leave; whether it has is the result.
        """
        with self._lock:
            self._abandoned = True
            return self._sent

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the answer's status and headers (names in lower case)."""
        self.status = status
        self.headers = dict(headers)

    def feed(self, data: bytes) -> None:
        """Note some bytes of the answer's body, decompressed.

        Raises `Abandoned` if nobody waits for more.
        """
        if self._abandoned:
            raise Abandoned
        self.body += data
        if self._sink and self.streams:
            for event in self.events.feed(data):
                self._sink(event)


CALL: ContextVar[Call] = ContextVar("CALL")
"""The call that the HTTP client of this thread is making."""
