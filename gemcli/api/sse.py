"""Server-Sent Events as they come over the wire: bytes in, the data of each event out.

More forgiving than the SDK's reader, because what is refused here was paid for: comments, `[DONE]`,
a missing space after the colon, a byte order mark, CRLF, an event cut by any network boundary. The
format is that of the HTML standard (html.spec.whatwg.org/multipage/server-sent-events.html), as far
as answers of the API use it.
"""

from __future__ import annotations

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Events:
    """A parser to be fed as bytes arrive; `rest` is what is not yet an event."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []
        self._begun = False

    @property
    def rest(self) -> bytes:
        """Bytes of an event that has not ended: what a cut stream leaves behind."""
        return b"\n".join([*self._data, b"".join(self._pieces)])

    def feed(self, data: bytes) -> list[bytes]:
        """Take in some bytes; the data of every event that they complete, in order."""
        self._pieces.append(data)
        if b"\n" not in data:
            return []
        lines = b"".join(self._pieces).split(b"\n")
        self._pieces = [lines.pop()]
        return [event for line in lines if (event := self._line(line.rstrip(b"\r"))) is not None]

    def end(self) -> list[bytes]:
        """The stream is over: the data of a last event whose closing blank line was left out."""
        return self.feed(b"\n\n") if self.rest else []

    def _line(self, line: bytes) -> bytes | None:
        """Take in one line; the data of the event that it closes."""
        if not self._begun:
            self._begun, line = True, line.removeprefix(BYTE_ORDER_MARK)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        data, self._data = b"\n".join(self._data), []
        return data if data and data.strip() != b"[DONE]" else None
