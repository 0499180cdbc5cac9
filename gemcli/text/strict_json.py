"""JSON as data that must survive: nothing is accepted that cannot be written back, value for value.

Everything that reads JSON from outside uses it: journals, answers of the API, imported histories.
Python's own reader takes more than RFC 8259 allows: NaN, Infinity, numbers that overflow to
infinity, duplicate keys and absurd nesting are refused here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

MAX_DEPTH = 200
"""Deepest nesting of arrays and objects accepted. Protocol Buffers, and so the API, stop at 100."""

MAX_EXACT = 2**53
"""The largest integer that every reader of JSON takes exactly. Sums of such numbers stay short.

Longer integers are data like any other, but nothing is calculated with them: Python neither reads
nor writes numbers of more than 4,300 digits.
"""

_FAULTS = {
    "Expecting value": "a value is missing",
    "Expecting property name": "a key in double quotes is missing",
    "Expecting ':'": "a ':' is missing",
    "Expecting ','": "a ',' is missing",
    "Illegal trailing comma": "a ',' has nothing after it",
    "Unterminated string": "a text has no closing quote",
    "Invalid control character": "a text has a bare control character",
    "Invalid \\": "a text has an invalid escape",
    "Extra data": "something follows the value",
}
"""The beginnings of the messages of Python's reader, with what they mean."""


def loads(data: str | bytes | bytearray, max_depth: int = MAX_DEPTH) -> Any:
    """Read one JSON document, from text or from bytes in UTF-8.

    Raises `ValueError` (one line, says what and where) for anything that is not strict JSON, or
    nests more than `max_depth` levels deep.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise ValueError(f"{syntax_fault(error)} ({line}column {error.colno})") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"byte {error.start + 1} (0x{byte:02x}) is not UTF-8") from None
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):
            raise ValueError("an integer has more than 4300 digits") from None
        raise
    # Counting brackets is a cheap upper bound of the depth; only suspects are walked.
    if text.count("[") + text.count("{") > max_depth and _deeper_than(value, max_depth):
        raise ValueError(f"nested more than {max_depth} levels deep")
    return value


def syntax_fault(error: json.JSONDecodeError) -> str:
    """What is wrong with the syntax, without its place, in words that are not Python's."""
    known = (ours for theirs, ours in _FAULTS.items() if error.msg.startswith(theirs))
    return next(known, error.msg[:1].lower() + error.msg[1:])


def dumps(value: object) -> str:
    """Compact JSON on one line, text unescaped; raises `ValueError` for NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(value: object) -> bytes:
    """`dumps` in UTF-8. Lone surrogates, which UTF-8 cannot hold, are kept as JSON escapes."""
    try:
        return dumps(value).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = next(key for key, count in counts.items() if count > 1)
        # A part of a long one could be half a secret, which nobody would recognise.
        named = json.dumps(key) if len(key) <= 80 else f"of {len(key)} characters"
        raise ValueError(f"duplicate key {named}")
    return mapping


def _deeper_than(value: object, limit: int) -> bool:
    """Whether containers nest more than `limit` levels; breadth first, so without recursion."""
    level: list[object] = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _children(outer)]
    return any(isinstance(value, dict | list) for value in level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
