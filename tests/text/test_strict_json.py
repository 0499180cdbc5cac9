"""Strict JSON: what is refused, and that everything else comes back value for value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.text import strict_json
from gemcli.text.strict_json import MAX_DEPTH, dumps, encode, loads
from tests.builders import SCALARS, json_values

REFUSED = {
    "nan": ("[NaN]", "NaN is not JSON"),
    "infinity": ('{"a": Infinity}', "Infinity is not JSON"),
    "minus-infinity": ("-Infinity", "-Infinity is not JSON"),
    "overflow": ("1e999", "the number 1e999 is too large"),
    "overflow-negative": ("-1e999", "the number -1e999 is too large"),
    "overflow-long": ("9" * 400 + ".0", f"the number {'9' * 40} is too large"),
    "duplicate-key": ('[{"a": 1, "b": 2, "a": 1}]', 'duplicate key "a"'),
    "duplicate-escaped": ('{"a": 1, "\\u0061": 2}', 'duplicate key "a"'),
    "duplicate-long": ('{"%s": 1, "%s": 2}' % (("x" * 81,) * 2), "duplicate key of 81 characters"),
    "duplicate-empty": ('{"": 1, "": 2}', 'duplicate key ""'),
    "empty": ("", "a value is missing (column 1)"),
    "two-documents": ("1 2", "something follows the value (column 3)"),
    "no-value": ("[1, , 2]", "a value is missing (column 5)"),
    "bare-control": ('"\t"', "a text has a bare control character (column 2)"),
    "not-utf-8": (b'"\xff"', "byte 2 (0xff) is not UTF-8"),
    "cut-utf-8": (b'"\xc3', "byte 2 (0xc3) is not UTF-8"),
    "utf-16": ("{}".encode("utf-16-le"), "a key in double quotes is missing (column 2)"),
    "surrogate-bytes": (b'"\xed\xa0\x80"', "byte 2 (0xed) is not UTF-8"),
    "deep": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(data: str | bytes, message: str) -> None:
    """What is not strict JSON is a ValueError of one line that says what is wrong."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        loads(data)
    assert str(caught.value) == message


def test_huge_integers() -> None:
    """An integer of thousands of digits is refused, not an error of Python's own."""
    assert loads("9" * 4300) == int("9" * 4300)
    with pytest.raises(ValueError, match=r"\Aan integer has more than 4300 digits\Z"):
        loads("[" + "9" * 5000 + "]")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(opening: str) -> None:
    """The deepest nesting allowed is read, one level more is refused; brackets side by side and in text are none."""
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> str:
        return opening * depth + "1" + closing * depth

    for depth, limit in ((MAX_DEPTH, {}), (3, {"max_depth": 3})):
        assert loads(nested(depth), **limit)
        with pytest.raises(ValueError, match=rf"\Anested more than {depth} levels deep\Z"):
            loads(nested(depth + 1), **limit)
    assert len(loads("[" + ",".join([f"{opening}1{closing}"] * 1000) + "]")) == 1000
    assert loads(json.dumps([opening * 1000])) == [opening * 1000]


def test_writing() -> None:
    """JSON is written on one line, text as text and half a surrogate pair as the escape it was; NaN is not."""
    assert dumps({"b": [1, 2.5, None, True], "a": "é\n\u2028"}) == '{"b":[1,2.5,null,true],"a":"é\\n\u2028"}'
    assert encode({"a": "é"}) == '{"a":"é"}'.encode()
    for text in ('"\\ud800"', '["\\udfff\\ud800"]', '{"\\udc80":1}'):
        assert encode(loads(text)) == text.encode()
        assert loads(encode(loads(text))) == loads(text)
    for value in (float("nan"), float("inf"), [float("-inf")]):
        with pytest.raises(ValueError, match="JSON"):
            dumps(value)
        with pytest.raises(ValueError, match="JSON"):
            encode(["\ud800", value])


TEXT = st.text(st.characters(), max_size=8)
VALUES = json_values(SCALARS | TEXT, TEXT, 20)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same in kind, value and order of keys."""
    return repr(one) == repr(other)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    """Every JSON value comes back as it was, order of keys and kinds of numbers included, and takes one line."""
    data = strict_json.encode(value)
    assert b"\n" not in data
    assert same(loads(data), value)
    assert same(loads(dumps(value)), value)


@given(st.binary(max_size=40) | st.text(alphabet='[]{}",:1e9.-\\u d8NaIfinty', max_size=30))
def test_anything(data: bytes | str) -> None:
    """Whatever it is, it is a value that can be written back, or a ValueError."""
    try:
        value = loads(data)
    except ValueError:
        return
    assert same(loads(encode(value)), value)
