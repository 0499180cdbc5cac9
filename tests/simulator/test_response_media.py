"""Images and documents that functions respond with: which are taken, and how they are referred to."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.simulator.response_media import MIME_TYPE, MIME_TYPES, NAME_TWICE, NO_MEDIA, NO_SUCH_NAME

from .support import call, post, refusal, response, says

PLACE = "* GenerateContentRequest.contents[2].parts[0].function_response"


def body(*parts: Any, value: Any = None) -> dict[str, Any]:
    """A request with the response of a function that has these parts."""
    answered = response("f", value, parts=list(parts))
    return {"contents": [says("user", "a"), says("model", call("f")), says("user", answered)]}


def png(name: str | None = None, kind: str = "image/png") -> dict[str, Any]:
    """An image, perhaps with a name."""
    return {"inlineData": {"mimeType": kind, "data": "iVBORw0KGgo=", **({"displayName": name} if name else {})}}


@pytest.mark.parametrize(
    "request_body",
    [
        body(),
        body(png(), png()),
        body(*(png(kind, kind) for kind in MIME_TYPES)),
        body(png("a"), png("b"), value={"x": [{"$ref": "b"}, {"y": {"$ref": "a"}}]}),
        body(png(), value={"$ref": "#/$defs/a"}),
        body(png("a"), value={"$ref": {"x": [None]}, "y": {"$ref": "b", "z": 1}}),
        body(value={"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}),
        body({"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}}),
    ],
)
def test_taken(request_body: dict[str, Any]) -> None:
    """Media of the kinds that the API takes, each named once; without names a `$ref` is like any value."""
    assert post(request_body).status == 200


@pytest.mark.parametrize(
    ("request_body", "place", "words"),
    [
        (body(png(kind="image/gif")), "parts[0].inline_data.mime_type", MIME_TYPE),
        (body({"fileData": {"fileUri": "https://example.com/a.pdf"}}), "parts[0].file_data.mime_type", MIME_TYPE),
        (body({}), "parts[0]", NO_MEDIA),
        (body(png("a"), png("a")), "parts[1].inline_data.display_name", NAME_TWICE),
        (body(png("a"), value={"x": [{"$ref": "b"}]}), "response", NO_SUCH_NAME.format(name="b")),
    ],
)
def test_refused(request_body: dict[str, Any], place: str, words: str) -> None:
    """Other kinds, none at all, a name twice, and a reference to nothing."""
    assert refusal(request_body) == f"{PLACE}.{place}: {words}\n"


def test_fields() -> None:
    """The parts of a response have fields of their own, and no text."""
    assert "Unknown name \"text\" at 'contents[2].parts[0].function_response.parts[0]'" in refusal(body({"text": "a"}))
