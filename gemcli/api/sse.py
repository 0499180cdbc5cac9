"""Server-Sent Events as they come over the wire: bytes in, the data of each event out.

More tolerant than the SDK's reader, because what is refused here was paid for: comments, `[DONE]`,
a missing space after the colon, a byte order mark, CRLF, an event cut anywhere by the network. An
answer that is one JSON object, as from a proxy that cannot stream, counts as one event. The format
is that of the HTML standard (html.spec.whatwg.org/multipage/server-sent-events.html), as far as
answers of the API use it.
"""

from __future__ import annotations

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Events:
    """A parser that is fed bytes as they arrive."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line that has not ended
        self._data: list[bytes] = []  # of an event that has not ended
        self._begun = False
        self.is_object = False  # whether a JSON object came in place of events
        self.unread = 0  # bytes since the last blank line

    @property
    def rest(self) -> bytes:
        """The bytes of an event that has not ended: what a cut stream leaves behind."""
        return b"\n".join([*self._data, b"".join(self._pieces)])

    def feed(self, data: bytes) -> list[bytes]:
        """Take in some bytes; return the data of each event that they complete."""
        self.unread += len(data)
        self._pieces.append(data)
        if b"\n" not in data:
            return []
        lines = b"".join(self._pieces).split(b"\n")
        self._pieces = [lines.pop()]
        events = [self._take(line.rstrip(b"\r")) for line in lines]
        return [event for event in events if event is not None]

    def end(self) -> list[bytes]:
        """End the stream; return the data of a last event whose blank line was left out."""
        if not self.rest:
            return []
        last_line = b"".join(self._pieces).rstrip(b"\r")
        self._pieces = []
        events = [self._take(last_line), self._end_event()]
        return [event for event in events if event is not None]

    def _take(self, line: bytes) -> bytes | None:
        """Take in one line; return the data of the event that it ends, if any."""
        if line.strip() and not self._begun:
            self._begun = True
            line = line.removeprefix(BYTE_ORDER_MARK)
            self.is_object = line.lstrip().startswith(b"{")
        if self.is_object:
            self._data.append(line)
            return None
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        return self._end_event()

    def _end_event(self) -> bytes | None:
        """End an event; return its data, if any."""
        self.unread = 0
        data = b"\n".join(self._data)
        self._data = []
        return data if data and data.strip() != b"[DONE]" else None
