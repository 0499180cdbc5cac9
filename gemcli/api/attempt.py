"""One HTTP request, as two threads see it: one makes it, and one waits for it or abandons it.

Whether it was sent by then decides what the session records: rejected (never sent) or unknown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar

from gemcli.api.secrets import Secrets
from gemcli.api.sse import Events
from gemcli.errors import GemcliError, ReasonName

MiB = 1024 * 1024

MAX_ANSWER = 128 * MiB
"""The longest answer in bytes, decompressed. The longest real ones hold images, and a few tens."""

MAX_EVENT = 64 * MiB
"""The longest event of an answer in bytes: an image comes in one."""

MAX_VALUES = 2_000_000
"""How many values an answer, or an event of one, has at most, counted as brackets and commas:
`[[],[],…` takes thirty times the memory of its bytes. Long answers have a few 100,000."""

MAX_ERROR_BODY = 1 * MiB
"""How many bytes are read of an error answer. The rest is left unread: only a message is wanted."""

MAX_KEPT = 256 * 1024
"""How many characters are kept of a body that is no answer: as many as a long answer of text."""

_LONGEST_SECRET = 4096


class Abandoned(Exception):
    """Nobody waits for this request any longer."""


class Attempt:
    """What is known of one request: whether it was sent, and the answer's status, headers, bytes.

    `before_leaving` is called by the thread that waits, when the server is connected and nothing is
    left to do but to send; if it raises, nothing is sent. `on_event` gets the data of each event of
    the answer as it arrives, and again as long as it returns False; `body` is only the beginning of
    the answer. `started` is when the request was ready to be sent, on the monotonic clock. `target`
    names the server, `hints` what to do about some errors. `sent` tells that it began to leave this
    machine, `complete` that the answer has been read, as far as it matters. `broken` is why the
    stream broke, if an answer came of it all the same: the part up to its newest checkpoint.
    """

    def __init__(self, before_leaving: Callable[[], object] = lambda: None) -> None:
        self.secrets = Secrets()
        self.hints: Mapping[ReasonName, str] = {}
        self.target = ""
        self.before_leaving = before_leaving
        self.ask_to_leave: Callable[[], object] = self._leave_at_once
        self.on_event: Callable[[bytes], bool] = lambda _data: True
        self.started: float | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.sent = False
        self.complete = False
        self.broken: GemcliError | None = None
        self.events = Events()
        self._received = 0
        self._values = 0
        self._may_leave = threading.Event()
        self._lock = threading.Lock()
        self._abandoned = False

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the request was ready to be sent, without `before_leaving`."""
        return 0 if self.started is None else round((time.monotonic() - self.started) * 1000)

    @property
    def text(self) -> str:
        """The beginning of the body as text that may be kept, without secrets."""
        # Secrets are hidden before the text is cut, which could leave half of one.
        beginning = self.body[: MAX_KEPT + _LONGEST_SECRET].decode("utf-8", "replace")
        return self.secrets.hide(beginning)[:MAX_KEPT]

    def start(self) -> None:
        """Claim the one request of this attempt: a second one would be a hidden resend."""
        if self.started is not None:
            raise RuntimeError("a second request in one attempt: the SDK tried to send again")
        self.started = time.monotonic()

    def mark_sent(self) -> None:
        """Wait until the request may leave, and note that it does. Raises `Abandoned`."""
        if not self._abandoned:
            self.ask_to_leave()
            self._may_leave.wait()
        with self._lock:
            self._require_wanted()
            self.sent = True

    def prepare_to_leave(self) -> None:
        """Call `before_leaving`. The time that it takes does not count as the request's."""
        begun = time.monotonic()
        self.before_leaving()
        if self.started is not None:
            self.started += time.monotonic() - begun

    def let_leave(self) -> None:
        """Let the thread go on that waits in `mark_sent`."""
        self._may_leave.set()

    def abandon(self) -> bool:
        """Stop waiting: a request that has not left will not leave. Return whether it was sent."""
        with self._lock:
            self._abandoned = True
            self._may_leave.set()
            return self.sent

    def set_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the answer's status and headers (names in lower case)."""
        self.status = status
        self.headers = dict(headers)

    def _require_wanted(self) -> None:
        """Raise `Abandoned` if nobody waits any longer."""
        if self._abandoned:
            raise Abandoned

    def receive(self, data: bytes) -> bool:
        """Note bytes of the answer's body, decompressed; return whether more are wanted.

        Raises `Abandoned` if nobody waits, `GemcliError` (ANSWER_TOO_LONG) when a limit is passed.
        """
        self._require_wanted()
        self._received += len(data)
        if self.status != 200:
            self.body += data[: MAX_ERROR_BODY - len(self.body)]
            return self._received < MAX_ERROR_BODY
        if self._received > MAX_ANSWER:
            raise _too_long(f"the answer is longer than {MAX_ANSWER // MiB} MiB")
        self._values += sum(map(data.count, (b"[", b"{", b",")))
        if self._values > MAX_VALUES:
            raise _too_long(f"the answer has more than {MAX_VALUES} values")
        self.body += data[: MAX_KEPT + _LONGEST_SECRET - len(self.body)]
        for event in self.events.feed(data):
            self._values = 0  # each event is parsed for itself
            while not self.on_event(event):
                self._require_wanted()
        if self.events.unread > MAX_EVENT:
            raise _too_long(f"an event of the answer is longer than {MAX_EVENT // MiB} MiB")
        return True

    def _leave_at_once(self) -> None:
        self.prepare_to_leave()
        self.let_leave()


def _too_long(what: str) -> GemcliError:
    """The error of an answer that is longer than any that the API sends."""
    return GemcliError("ANSWER_TOO_LONG", what)


CURRENT_ATTEMPT: ContextVar[Attempt] = ContextVar("CURRENT_ATTEMPT")
"""The attempt that the HTTP client works for in this thread."""
