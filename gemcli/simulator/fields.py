"""The reader that holds a JSON body against the messages of the API.

The API's own reader takes each field in camelCase or in snake_case, refuses fields it does not
know, and says where. `read` does the same and gives back the message with camelCase names.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gemcli.simulator.request_messages import ENUMS, MESSAGES, PART_DATA
from gemcli.text import strict_json

_TYPE_PREFIX = "type.googleapis.com/google.ai.generativelanguage.v1beta."


class Violation(NamedTuple):
    """One field that does not fit.

    Its path, `""` for the body itself, and the API's words for it.
    """

    field: str
    description: str


def read(message: str, body: Any) -> tuple[dict[str, Any], list[Violation]]:
    """A message from JSON, with camelCase names and without nulls, and everything in it that does not fit."""
    if not isinstance(body, dict):
        return {}, [Violation("", _unknown("", "", "Root element must be a message."))]
    reader = _Reader()
    return reader.message(message, body, ""), reader.violations


def snake(name: str) -> str:
    """A field's name as the API writes it in its refusals: `topP` is `top_p`."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


class _Reader:
    """One walk through a body.

    Collects violations rather than stopping at the first, as the API does.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def message(self, kind: str, value: dict[str, Any], path: str) -> dict[str, Any]:
        known = MESSAGES[kind]
        found: dict[str, Any] = {}
        for key, inner in value.items():
            name = (
                key
                if key in known
                else re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), key)
            )
            if name not in known:
                self._refuse(path, _unknown(key, path, "Cannot find field."))
            elif name in found:
                self._refuse(path, _unknown(key, path, "Proto field is already set."))
            elif inner is not None:
                found[name] = self._field(known[name], key, inner, path)
        if kind == "Part":
            self._one_of(found, path)
        return found

    def _field(self, kind: str, key: str, value: Any, path: str) -> Any:
        inside = f"{path}.{snake(key)}" if path else snake(key)
        if not kind.endswith("*"):
            if isinstance(value, list) and kind != "data":
                return self._refuse(
                    path, _unknown(key, path, "Proto field is not repeating, cannot start list.")
                )
            return self._value(kind, value, inside)
        # The API takes one value where a list belongs; its documentation has long shown {"parts":
        # {"text": …}}.
        items = value if isinstance(value, list) else [value]
        return [
            self._value(kind[:-1], item, f"{inside}[{number}]") for number, item in enumerate(items)
        ]

    def _value(self, kind: str, value: Any, path: str) -> Any:
        if kind in MESSAGES:
            if isinstance(value, dict):
                return self.message(kind, value, path)
            return self._refuse(
                path, f"Invalid value at '{path}' ({_TYPE_PREFIX}{kind}), {_shown(value)}"
            )
        if kind in ENUMS:
            if isinstance(value, str) and value in ENUMS[kind]:
                return value
            return self._refuse(
                path, f"Invalid value at '{path}' ({_TYPE_PREFIX}{kind}), {_shown(value)}"
            )
        scalar = SCALARS[kind]
        try:
            return scalar.convert(value)
        except (ValueError, OverflowError) as trouble:
            return self._refuse(
                path, f"Invalid value at '{path}' ({scalar.name}), {trouble}{_shown(value)}"
            )

    def _one_of(self, part: dict[str, Any], path: str) -> None:
        for name in [name for name in part if name in PART_DATA][1:]:
            words = f"Invalid value at '{path}' (oneof), oneof field 'data' is already set. Cannot set '{name}'"
            self._refuse(path, words)

    def _refuse(self, path: str, words: str) -> None:
        self.violations.append(Violation(path, words))


class Scalar(NamedTuple):
    """A kind of plain value.

    Its name in refusals, and what makes one from JSON or raises `ValueError`.
    """

    name: str
    convert: Callable[[Any], Any]


def _of_type(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError
        return value

    return convert


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    float(value)  # OverflowError for integers that no double can hold
    return value


def _integer(value: Any) -> int:
    """An int32. Protocol Buffers write larger integers as strings, so readers take strings for all of them."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        value = int(value)
    number = _number(value)
    if number != int(number) or not -(2**31) <= number < 2**31:
        raise ValueError
    return int(number)


def _bytes(value: Any) -> str:
    """Base64 in either alphabet, padded or not.

    It stays text, because nobody here needs the bytes.
    """
    if not isinstance(value, str):
        raise ValueError
    try:
        bare = value.rstrip("=").translate(str.maketrans("-_", "+/"))
        base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise ValueError("Base64 decoding failed for ") from None
    return value


SCALARS = {
    "string": Scalar("TYPE_STRING", _of_type(str)),
    "boolean": Scalar("TYPE_BOOL", _of_type(bool)),
    "number": Scalar("TYPE_DOUBLE", _number),
    "integer": Scalar("TYPE_INT32", _integer),
    "bytes": Scalar("TYPE_BYTES", _bytes),
    "struct": Scalar("type.googleapis.com/google.protobuf.Struct", _of_type(dict)),
    "data": Scalar("", lambda value: value),
}
"""Every kind that is neither a message nor an enum."""


def _unknown(key: str, path: str, why: str) -> str:
    place = f" at '{path}'" if path else ""
    return f"Invalid JSON payload received. Unknown name {_shown(key)}{place}: {why}"


def _shown(value: Any) -> str:
    """A value as a refusal quotes it: JSON, and not more of it than anyone reads."""
    text = strict_json.dumps(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
