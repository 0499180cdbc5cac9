"""Results of function calls: what the model gets for a value, a failure, text, or a file."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given

from gemcli.tools import results
from tests.builders import json_values

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"

FILES = {
    "png": (PNG, "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
    "webp": (b"RIFF\n\0\0\0WEBPVP8 ", "image/webp"),
    "pdf": (b"%PDF-1.7\n\xe2\xe3", "application/pdf"),
}

TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "object": ('{"a": 1}\n', {"a": 1}),
    "failure": ('{"error": "no"}', {"error": "no"}),
    "list": ("[1, 2]", {"output": [1, 2]}),
    "number": (" 21.5\n", {"output": 21.5}),
    "text": ("two\nlines\r\n\n", {"output": "two\nlines"}),
    "nothing": ("", {"output": ""}),
    "two-values": ('{"a": 1}\n{"a": 2}\n', {"output": '{"a": 1}\n{"a": 2}'}),
    "not-a-number": ("NaN", {"output": "NaN"}),
    "a-key-twice": ('{"a": 1, "a": 2}', {"output": '{"a": 1, "a": 2}'}),
    "deep": ("[" * 81 + "]" * 81, {"output": "[" * 81 + "]" * 81}),
    "riff": ("RIFF of a guitar", {"output": "RIFF of a guitar"}),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text(case: str) -> None:
    """JSON is the value that it is, wrapped unless it is an object; anything else is text."""
    text, response = TEXTS[case]
    assert results.of_bytes(text.encode(), "f") == results.FunctionResult(response)


@pytest.mark.parametrize("case", FILES)
def test_files(case: str) -> None:
    """Images and PDFs are handed over as files that the response refers to, as the SDK's types have them."""
    data, mime_type = FILES[case]
    result = results.of_bytes(data, "chart")
    part: Any = result.part({"name": "draw", "id": "c1"})
    answer = types.Part.model_validate(part).function_response
    assert answer
    assert answer.parts
    blob = answer.parts[0].inline_data
    assert blob
    assert (blob.mime_type, blob.data, blob.display_name) == (mime_type, data, "chart")
    assert answer.response == {"file": {"$ref": "chart"}}
    assert base64.b64decode(part["functionResponse"]["parts"][0]["inlineData"]["data"]) == data


def test_not_text() -> None:
    """Bytes that are neither a known file nor text are no result."""
    with pytest.raises(UnicodeDecodeError):
        results.of_bytes(b"ok \xff", "f")


@given(json_values())
def test_any_value(value: Any) -> None:
    """Whatever JSON comes back, the response is an object that holds it, and the same as its text gives."""
    response = results.of_value(value).response
    assert response == (value if isinstance(value, dict) else {"output": value})
    assert results.of_text(json.dumps(value)).response == response


def test_part() -> None:
    """The Part that answers a call repeats its name, and its id if it has one."""
    failed = results.of_failure("no", output="half")
    response = {"error": "no", "output": "half"}
    assert failed.part({"name": "f"}) == {"functionResponse": {"name": "f", "response": response}}
    answered: Any = failed.part({"id": "c1", "name": "f", "args": {"x": 1}})
    assert answered == {"functionResponse": {"id": "c1", "name": "f", "response": response}}
    assert results.content([answered]) == {"role": "user", "parts": [answered]}
