"""ProtoJSON, the JSON form of Protocol Buffers: fields, their names in two cases, and base64.

The format is described at https://protobuf.dev/programming-guides/json.
"""

from __future__ import annotations

import base64
import re

_STANDARD_ALPHABET = str.maketrans("-_", "+/")


def camel(name: str) -> str:
    """A field's name as JSON has it: `top_p` is `topP`."""
    return re.sub("_([a-z0-9])", lambda match: match[1].upper(), name)


def snake(name: str) -> str:
    """A field's name as its definition has it: `topP` is `top_p`."""
    return re.sub("[A-Z]", r"_\g<0>", name).lower()


def fields_of(written: str) -> dict[str, str]:
    """The fields of a message written like `name, count: integer`: text unless they have a type."""
    fields = (field.split(": ") for field in re.split(r",\s+", written) if field)
    return {field[0]: field[1] if len(field) > 1 else "text" for field in fields}


def is_base64(text: str) -> bool:
    """Whether `text` is base64, in the standard or the URL-safe alphabet, padded or not."""
    try:
        decode_base64(text)
    except ValueError:
        return False
    return True


def decode_base64(text: str) -> bytes:
    """The bytes of base64 that `is_base64` takes; raises `ValueError` for other text."""
    digits = text.rstrip("=").translate(_STANDARD_ALPHABET)
    padding = "=" * (-len(digits) % 4)
    return base64.b64decode(digits + padding, validate=True)
