"""ProtoJSON: names of fields in two cases, and base64."""

from __future__ import annotations

import pytest

from gemcli.text.proto_json import camel, fields_of, is_base64, snake


@pytest.mark.parametrize(
    ("in_camel", "in_snake"),
    [("text", "text"), ("topP", "top_p"), ("responseJsonSchema", "response_json_schema")],
)
def test_names_of_fields(in_camel: str, in_snake: str) -> None:
    """Either case is made from the other, and stays as it is when it is the right one already."""
    assert camel(in_snake) == camel(in_camel) == in_camel
    assert snake(in_camel) == snake(in_snake) == in_snake


VALID = ["", "AA==", "AA", "+/+/", "-_-_", "AAA="]


@pytest.mark.parametrize("text", [*VALID, "A", "a*c", "AA AA", "AA=A", "é"])
def test_base64(text: str) -> None:
    """Both alphabets are valid, with padding or without."""
    assert is_base64(text) is (text in VALID)


def test_fields_of() -> None:
    """Fields are text unless they have a type; rows may be broken after a comma."""
    assert fields_of("") == {}
    assert fields_of("name, parts: Part*,\n    id") == {"name": "text", "parts": "Part*", "id": "text"}
