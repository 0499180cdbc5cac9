"""Inputs that nobody would write: seeds of a corpus, cut, spliced, flipped, and filled with what breaks readers.

Everything is drawn from one `Random`, so that a seed gives the same input again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

TOKENS = [
    *(b"\0", b"\x00\x00\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xef\xbb\xbf"),
    *(b"\r\n", b"\r", b"\n", b"\n\n", b"\xe2\x80\xa8", b"\xc2\x85", b"\t", b"\x1b[2J", b"\x7f", b" ", b"\x0b\x0c"),
    *(b"{", b"}", b"[", b"]", b"[]", b"{}", b'"', b"'", b":"),
    *(b": ", b",", b"- ", b"\n- ", b"\n  ", b"#", b" # ", b"\\"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0.0"),
    *(b"1E400", b"0x1F", b"1_000", b"9" * 5000, b"1.5", b"-1"),
    *(b"\\ud800", b"\\udc00", b"\\u0000", b"\\ud83d\\ude00", b'"\\x41"', b"\\U00110000", b"\\u2028"),
    *(b"&a ", b"*a", b"!!python/object/apply:os.system ", b"<<: "),
    *(b"|\n", b">-\n", b"? ", b"---\n", b"...\n", b"%YAML 9.9\n"),
    *(b"%TAG ! x:\n", b"@", b"`", b"!", b"{{", b"}}", b"{{a|json}}"),
    *(b"{{a}}", b"(?:", b"(a+)+$", b"[0-", b"\\1", b"(?i"),
    *(b"[" * 300, b"{\"a\":" * 300, b"- " * 150, b"[" * 40 + b"]" * 40, b"a" * 3000, b"a: {" * 120),
    *(b"data: ", b"data:", b"event: x\n", b": c\n", b"[DONE]", b"data: [DONE]\n\n", b"\r\n\r\n", b"id: 1\n"),
]  # fmt: skip
"""What is put in as it is."""

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 10**30, 10**4000, 1.5, -0.0),
    *(1e308, "", " ", "a", "user", "model", "\ud800", "\0"),
    *("1.1", "2.1", "1.2", "rejected", "unknown", "STOP", "SAFETY", "MAX_TOKENS", "\u2028\x1b[31m", "=" * 9, "{{a}}"),
    *([], {}, [[]], [{}], [None], ["a"], [1], [[1], [2]], {"": ""}, {"text": "x"}, {"text": ""}, {"text": 1}),
    *({"text": "t", "thought": True}, {"text": "x", "thoughtSignature": "c2ln"}, {"thoughtSignature": 1}),
    *({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "id": "c1", "args": {"a": 1}}}),
    *({"functionCall": {"name": ["f"], "id": {}}}, {"functionCall": {}}),
    *({"functionCall": None}, {"functionCall": {"args": 1}}),
    {"functionResponse": {"name": "f", "response": {"r": 1}}},
    {"functionResponse": {"name": "f", "id": "c1", "response": 1}},
    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
    *({"inlineData": 1}, {"inlineData": {"mimeType": 1, "data": 2}}),
    *({"executableCode": {"code": "x"}}, {"fileData": {"fileUri": "x"}}, {"role": "user", "parts": [{"text": "q"}]}),
    {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
    *({"role": "model"}, {"parts": None}, {"parts": [{}]}),
    *({"finishReason": "STOP"}, {"finishReason": 1}, {"content": None}),
    *({"content": {"parts": [{"text": "a"}]}}, {"index": []}),
    *({"blockReason": 1}, {"blockReason": "SAFETY"}),
    *({"totalTokenCount": 1.5}, {"promptTokenCount": True}, {"@type": 1}),
    *({"temperature": "hot"}, {"generationConfig": {"thinkingConfig": 1}}),
    *({"safetySettings": [1]}, {"safetySettings": {}}),
    *({"citationSources": [1, {}, [1]]}, {"retryDelay": "1e9s", "@type": "x/RetryInfo"}),
    {"violations": [{"quotaId": []}]},
    {"generationConfig": {"stopSequences": [1]}, "systemInstruction": {"parts": [{"functionCall": {}}]}},
]  # fmt: skip
"""What takes the place of a value in JSON."""

KEYS = [
    *("kind", "turn", "id", "request", "content", "answer"),
    *("valid", "turns", "role", "parts", "text", "functionCall"),
    *("functionResponse", "candidates", "finishReason", "promptFeedback", "usageMetadata", "config", "model"),
    "backend",
    *("outcome", "partial", "imported", "format", "thought", "thoughtSignature", "index", "error", "details", "code"),
    *("generationConfig", "systemInstruction", "safetySettings"),
    *("tools", "citationMetadata", "groundingMetadata", ""),
    *("messages", "contents", "history", "user", "raw", "expect"),
    *("vars", "script", "origin", "project", "key", "time"),
]
"""Keys under which something is put."""

LONGEST = 60_000
"""Bytes of an input at most."""


def mutated(random: Random, corpus: Sequence[bytes]) -> bytes:
    """A seed of the corpus with one to a few things done to it."""
    data = random.choice(corpus)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        data = random.choice(MUTATIONS)(random, data, corpus)
    return data[:LONGEST]


def _flip(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """One bit the other way round."""
    if not data:
        return b"\x80"
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _byte(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Any byte in the place of another, or between two."""
    place = random.randrange(len(data) + 1)
    return data[:place] + bytes([random.randrange(256)]) + data[place + random.randrange(2) :]


def _cut(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Only the beginning, or only the end."""
    place = random.randrange(len(data) + 1)
    return data[:place] if random.random() < 0.7 else data[place:]


def _remove(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A few bytes less."""
    place = random.randrange(len(data) + 1)
    return data[:place] + data[place + random.choice((1, 1, 2, 5, 20, 100)) :]


def _insert(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A token more, or in the place of a few bytes."""
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice(TOKENS) + data[place + random.choice((0, 0, 1, 4)) :]


def _repeat(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A piece many times over."""
    place = random.randrange(len(data) + 1)
    piece = data[place : place + random.choice((1, 3, 10, 50))]
    return data[:place] + piece * random.choice((2, 3, 40)) + data[place:]


def _splice(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """The beginning of one and the end of another."""
    other = random.choice(corpus)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _lines(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A line taken out, doubled, moved, taken from elsewhere, or ended otherwise."""
    lines = data.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    what = random.randrange(6)
    if what == 0:
        del lines[one]
    elif what == 1:
        lines.insert(other, lines[one])
    elif what == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif what == 3:
        lines.insert(one, random.choice(random.choice(corpus).split(b"\n")))
    elif what == 4:
        return b"\r\n".join(lines)
    else:
        lines[one] = b" " * random.choice((1, 2, 8)) + lines[one]
    return b"\n".join(lines)


def _value(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """In a line of JSON, or in the whole of it: another value, a key more, or one less."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    line = lines[place]
    head = line[:6] if line.startswith(b"data: ") else b""
    try:
        value = json.loads(line[len(head) :])
    except (ValueError, RecursionError):
        try:
            value, lines, place = json.loads(data), [b""], 0
        except (ValueError, RecursionError):
            return _insert(random, data, corpus)
    try:
        lines[place] = head + json.dumps(_changed(random, value), ensure_ascii=random.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )
    except (ValueError, RecursionError):
        return data
    return b"\n".join(lines)


def _changed(random: Random, value: Any) -> Any:
    """The value with one thing in it another one."""
    inner = (
        list(value.items() if isinstance(value, dict) else enumerate(value)) if isinstance(value, dict | list) else []
    )
    if not inner or random.random() < 0.15:
        return _filled(random, value)
    key, below = random.choice(inner)
    if random.random() < 0.12:
        if isinstance(value, dict):
            return {name: kept for name, kept in inner if name != key}
        return [kept for number, kept in inner if number != key]
    changed = _changed(random, below) if random.random() < 0.8 else random.choice(VALUES)
    if isinstance(value, dict):
        return {**value, key: changed}
    return [changed if number == key else kept for number, kept in inner]


def _filled(random: Random, value: Any) -> Any:
    """The value with something more in it, or another one."""
    if isinstance(value, dict) and random.random() < 0.7:
        return {**value, random.choice(KEYS): random.choice(VALUES)}
    if isinstance(value, list) and random.random() < 0.7:
        return [*value, random.choice([*VALUES, *value])]
    return random.choice(VALUES)


MUTATIONS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _byte, _cut, _remove, _insert, _insert, _repeat, _splice, _lines, _lines),
    *[_value] * 8,
)
"""What can be done to an input, as often as it pays."""


def smaller(data: bytes, breaks: Callable[[bytes], bool]) -> bytes:
    """The smallest input found that still `breaks`: first without lines, then without bytes."""
    for separator in (b"\n", b""):
        size = 1 << 14
        while size:
            pieces = data.split(separator) if separator else [bytes([byte]) for byte in data]
            place = 0
            while place < len(pieces):
                fewer = pieces[:place] + pieces[place + size :]
                if fewer != pieces and breaks(separator.join(fewer)):
                    pieces = fewer
                else:
                    place += size
            data = separator.join(pieces)
            size //= 2
    return data
