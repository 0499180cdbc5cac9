"""Results of function calls, as Parts that answer the model: a value, a failure, or a file.

The API reads `output` in a response as the result, and `error` as a failure; without both, the
whole object is the result. What is no object is wrapped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gemcli.chat.contents import Content, FunctionCall, FunctionResponse, Part
from gemcli.text import strict_json

FILES = {
    rb"\x89PNG\r\n\x1a\n": "image/png",
    rb"\xff\xd8\xff": "image/jpeg",
    rb"RIFF.{4}WEBP": "image/webp",
    rb"%PDF-": "application/pdf",
}
"""The files that a result may be: how they begin, and their types."""

MAX_DEPTH = 80
"""Deepest nesting of a result that is read as JSON: the API takes 100, with what is around it."""


@dataclass(frozen=True)
class FunctionResult:
    """What a function returned: the `response` for the model, and the files that belong to it."""

    response: dict[str, Any]
    parts: tuple[dict[str, Any], ...] = ()

    def part(self, call: FunctionCall) -> Part:
        """The Part that answers `call`: it repeats the name, and the id if the call has one."""
        answer: FunctionResponse = {}
        if "id" in call:
            answer["id"] = call["id"]
        answer["name"] = call.get("name", "")
        answer["response"] = self.response
        if self.parts:
            answer["parts"] = list(self.parts)
        return {"functionResponse": answer}


def of_value(value: object) -> FunctionResult:
    """The result that is this JSON value."""
    return FunctionResult(value if isinstance(value, dict) else {"output": value})


def of_failure(message: str, **more: object) -> FunctionResult:
    """The result that tells the model why there is none."""
    return FunctionResult({"error": message, **more})


def of_bytes(data: bytes, name: str) -> FunctionResult:
    """The result that a file or an output is: an image or a PDF, JSON, or else text.

    `name` is what the response calls a file. Raises `UnicodeDecodeError` for what is none of them.
    """
    return of_file(data, name) or of_text(data.decode("utf-8"))


def of_file(data: bytes, name: str) -> FunctionResult | None:
    """The result that is an image or a PDF; None for other data."""
    for beginning, mime_type in FILES.items():
        if re.match(beginning, data, re.DOTALL):
            encoded = base64.b64encode(data).decode("ascii")
            blob = {"mimeType": mime_type, "data": encoded, "displayName": name}
            return FunctionResult({"file": {"$ref": name}}, ({"inlineData": blob},))
    return None


def of_text(text: str) -> FunctionResult:
    """The result that is written here: JSON, or text without the newlines at its end."""
    try:
        return of_value(strict_json.loads(text, MAX_DEPTH))
    except ValueError:
        return of_value(text.rstrip("\r\n"))


def content(parts: Iterable[Part]) -> Content:
    """The user Content that answers calls: all their Parts, in the order of the calls."""
    return {"role": "user", "parts": list(parts)}
