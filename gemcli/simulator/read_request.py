"""The reader of request bodies, which checks every field against the tables of `request_fields`.

Like the API's, it takes each field in camelCase or in snake_case, and refuses those it does not
know, all at once and each with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gemcli.simulator.api_errors import invalid_argument, invalid_fields
from gemcli.simulator.request_fields import ENUMS, MESSAGES, PART_DATA
from gemcli.text import strict_json
from gemcli.text.proto_json import camel, is_base64, snake

Message = dict[str, Any]
"""A message that was read: fields in camelCase, each of its own kind, none of them null."""


def read_message(kind: str, body: bytes) -> Message:
    """The message of this kind in a JSON body; raises `ApiError` with all that does not fit."""
    try:
        # To the API, no body at all is an empty message.
        value = strict_json.loads(body) if body.strip() else {}
    except ValueError as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from None
    reader = _Reader()
    message = reader.root(kind, value)
    if reader.violations:
        raise invalid_fields(reader.violations)
    return message


class _Reader:
    """One walk through a body, which collects what does not fit and goes on, as the API's does."""

    def __init__(self) -> None:
        self.violations: list[tuple[str, str]] = []

    def root(self, kind: str, value: object) -> Message:
        """The message in a whole body."""
        if isinstance(value, dict):
            return self._message(kind, value, "")
        self._unknown("", "", "Root element must be a message.")
        return {}

    def _message(self, kind: str, value: Message, path: str) -> Message:
        fields = MESSAGES[kind]
        found: Message = {}
        for key, inner in value.items():
            name = key if key in fields else camel(key)
            if name not in fields:
                self._unknown(key, path, "Cannot find field.")
            elif name in found:
                self._unknown(key, path, "Proto field is already set.")
            elif inner is not None:
                found[name] = self._field(fields[name], key, inner, path)
        if kind == "Part":
            self._require_one_kind_of_data(found, path)
        return found

    def _field(self, kind: str, key: str, value: object, path: str) -> object:
        inside = f"{path}.{snake(key)}" if path else snake(key)
        if kind.endswith("*"):
            item_kind = kind.removesuffix("*")
            # The API takes one value for a list: its documentation long had {"parts": {…}}.
            items = enumerate(value if isinstance(value, list) else [value])
            return [self._value(item_kind, item, f"{inside}[{index}]") for index, item in items]
        if kind.endswith("{}") and isinstance(value, dict):
            item_kind = kind.removesuffix("{}")
            return {
                name: self._value(item_kind, item, f"{inside}[{index}].value")
                for index, (name, item) in enumerate(value.items())
            }
        if isinstance(value, list) and kind != "data":
            self._unknown(key, path, "Proto field is not repeating, cannot start list.")
            return None
        return self._value(kind, value, inside)

    def _value(self, kind: str, value: object, path: str) -> object:
        if kind in SCALARS:
            type_name, convert = SCALARS[kind]
            try:
                return convert(value)
            except (ValueError, OverflowError) as error:
                self._invalid(path, type_name, f"{error}{_quoted(value)}")
                return None
        if kind in MESSAGES and isinstance(value, dict):
            return self._message(kind, value, path)
        if kind in ENUMS and isinstance(value, str) and value.upper() in ENUMS[kind]:
            return value.upper()
        if kind in ENUMS and type(value) is int and value >= 0:
            return value  # older clients send the numbers of enums
        self._invalid(path, f"{_TYPE_PREFIX}{kind}", _quoted(value))
        return None

    def _require_one_kind_of_data(self, part: Message, path: str) -> None:
        names = [name for name in part if name in PART_DATA]
        for name in names[1:]:
            self._invalid(path, "oneof", f"oneof field 'data' is already set. Cannot set '{name}'")

    def _invalid(self, path: str, type_name: str, words: str) -> None:
        self.violations.append((path, f"Invalid value at '{path}' ({type_name}), {words}"))

    def _unknown(self, key: str, path: str, why: str) -> None:
        place = f" at '{path}'" if path else ""
        message = f"Invalid JSON payload received. Unknown name {_quoted(key)}{place}: {why}"
        self.violations.append((path, message))


_TYPE_PREFIX = "type.googleapis.com/google.ai.generativelanguage.v1beta."


def _quoted(value: object) -> str:
    """A value as an error quotes it: JSON, at most 200 characters of it."""
    text = strict_json.dumps(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _of_type(kind: type) -> Callable[[object], object]:
    def convert(value: object) -> object:
        if not isinstance(value, kind):
            raise ValueError
        return value

    return convert


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    float(value)  # OverflowError for integers that no double can hold
    return value


def _integer(value: object) -> int:
    """An int32. ProtoJSON writes larger integers as strings, so readers take strings for all."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        value = int(value)
    number = _number(value)
    if number != int(number) or not -(2**31) <= number < 2**31:
        raise ValueError
    return int(number)


def _bytes(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if not is_base64(value):
        raise ValueError("Base64 decoding failed for ")
    return value


SCALARS: dict[str, tuple[str, Callable[[object], object]]] = {
    "text": ("TYPE_STRING", _of_type(str)),
    "boolean": ("TYPE_BOOL", _of_type(bool)),
    "number": ("TYPE_DOUBLE", _number),
    "integer": ("TYPE_INT32", _integer),
    "bytes": ("TYPE_BYTES", _bytes),
    "struct": ("type.googleapis.com/google.protobuf.Struct", _of_type(dict)),
    "data": ("", lambda value: value),
}
"""Every plain kind: its type in errors, and what reads a value or raises `ValueError`."""
