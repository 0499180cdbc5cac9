"""Server-Sent Events: the same events however the network cuts them, and whatever else a stream may hold."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.api.sse import Events


def read(*pieces: bytes) -> list[bytes]:
    """The events of a whole stream that arrives in these pieces."""
    events = Events()
    found = [event for piece in pieces for event in events.feed(piece)]
    found += events.end()
    assert events.rest == b""
    return found


payloads = st.lists(
    st.binary(min_size=1, max_size=20).map(lambda data: b"{" + data.translate(None, b"\r\n") + b"}"), max_size=5
)
noise = st.lists(st.sampled_from([b"", b": keep-alive", b"event: message", b"id: 7", b"retry: 10"]), max_size=3)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """The bytes of a stream, and the events in it."""
    newline = draw(st.sampled_from([b"\n", b"\r\n"]))
    lines: list[bytes] = []
    events = draw(payloads)
    for event in events:
        lines += draw(noise)
        lines += [b"data:" + draw(st.sampled_from([b"", b" "])) + event, *draw(noise), b""]
    return b"".join(line + newline for line in lines), events


@given(streams(), st.data())
def test_cuts_of_the_network_do_not_matter(stream: tuple[bytes, list[bytes]], data: st.DataObject) -> None:
    """Any stream cut into any pieces gives the same events, in order."""
    whole, events = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    assert read(*(whole[start:end] for start, end in pairwise([0, *cuts, len(whole)]))) == events


def test_byte_by_byte() -> None:
    """An event is there with the last byte of its blank line, and not before; the end adds nothing, even twice."""
    events, arrived = Events(), {}
    stream = b"data: {}\r\n\r\ndata: 2\n\n"
    for place in range(len(stream)):
        for event in events.feed(stream[place : place + 1]):
            arrived[place] = event
    assert arrived == {11: b"{}", len(stream) - 1: b"2"}
    assert (events.end(), events.end()) == ([], [])


FORMS = {
    "nothing": (b"", []),
    "blank-lines": (b"\n\n\r\n\r\n", []),
    "lf": (b"data: {}\n\n", [b"{}"]),
    "crlf": (b"data: {}\r\n\r\n", [b"{}"]),
    "no-space": (b"data:{}\n\n", [b"{}"]),
    "two-spaces": (b"data:  {}\n\n", [b" {}"]),
    "no-line-end": (b"data: {}", [b"{}"]),
    "no-blank-line": (b"data: {}\n", [b"{}"]),
    "no-blank-line-crlf": (b"data: {}\r\n", [b"{}"]),
    "two-lines": (b"data: {\ndata: }\n\n", [b"{\n}"]),
    "two-lines-no-end": (b"data: {\ndata: }", [b"{\n}"]),
    "comments": (b": comment\n\ndata: {}\n: data: no\n\n", [b"{}"]),
    "other-fields": (b"event: error\nid: 1\nretry: 5\ndata: {}\nunknown\n\n", [b"{}"]),
    "other-names": (b"Data: {}\ndatas: {}\n data: {}\n\n", []),
    "no-data": (b"data\n\ndata:\n\ndata: \n\n", []),
    "done": (b"data: [DONE]\n\n", []),
    "done-no-space": (b"data:[DONE]\n\n", []),
    "done-in-the-middle": (b"data: [DONE] \n\ndata: {}\n\n", [b"{}"]),
    "done-as-text": (b'data: {"text":"[DONE]"}\n\n', [b'{"text":"[DONE]"}']),
    "colons": (b'data: {"a":"data: b: c"}\n\n', [b'{"a":"data: b: c"}']),
    "line-separator-of-unicode": (b"data: \xe2\x80\xa8\n\n", [b"\xe2\x80\xa8"]),
    "byte-order-mark": (b"\xef\xbb\xbfdata: {}\n\n", [b"{}"]),
    "html": (b"<html>\n\n<body>data: x</body>", []),
    "object": (b"{}", [b"{}"]),
    "object-on-lines": (b'\r\n\xef\xbb\xbf {\r\n\r\n"data": 1}\r\n', [b' {\n\n"data": 1}\n']),
    "event-and-object": (b"data: {}\n\n{}\n\n", [b"{}"]),
    "list": (b"[{}]", []),
}


@pytest.mark.parametrize(("stream", "events"), FORMS.values(), ids=FORMS)
def test_forms(stream: bytes, events: list[bytes]) -> None:
    """Each form of an event that servers send is read, and what is no event is passed over."""
    assert read(stream) == events


RESTS = {
    "nothing": (b"data: {}\n\n", b""),
    "in-a-line": (b"data: {}\n\ndata: {", b"data: {"),
    "after-a-line": (b"data: {}\n\ndata: {\n", b"{"),
    "in-the-blank-line": (b"data: {}\n\ndata: {\r\n\r", b"{"),
    "no-event": (b"<html>", b"<html>"),
}


@pytest.mark.parametrize(("stream", "rest"), RESTS.values(), ids=RESTS)
def test_rest(stream: bytes, rest: bytes) -> None:
    """`rest` is what has arrived of an event that has not ended."""
    events = Events()
    events.feed(stream)
    assert events.rest.startswith(rest)
    assert bool(events.rest) == bool(rest)


def test_a_large_event_in_small_pieces() -> None:
    """An event of many megabytes, such as a picture, takes time in proportion to its size."""
    piece = b"x" * 4096
    events = Events()
    events.feed(b"data: ")
    start = time.monotonic()
    for _ in range(2000):
        assert events.feed(piece) == []
    assert len(events.feed(b"\n\n")[0]) == 2000 * 4096
    assert time.monotonic() - start < 3
