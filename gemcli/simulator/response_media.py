"""What the API refuses in images and documents that a function responds with.

The rules are those of https://ai.google.dev/gemini-api/docs/function-calling; the API's own words
for them are not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from gemcli.simulator.read_request import Message

MIME_TYPES = ("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain")

NO_MEDIA = "must have inline_data or file_data."
MIME_TYPE = f"must be one of {', '.join(MIME_TYPES)}."
NAME_TWICE = "must not be that of another part."
NO_SUCH_NAME = "refers to `{name}`, which is the display_name of no part."


def errors(response: Message, place: str) -> Iterator[str]:
    """What is wrong with the media of a function's response at `place`."""
    names: set[str] = set()
    for number, part in enumerate(response.get("parts", [])):
        path = f"{place}.parts[{number}]"
        key = "inline_data" if "inlineData" in part else "file_data"
        media = part.get("inlineData") or part.get("fileData")
        if not media:
            yield _broken(path, NO_MEDIA)
            continue
        if media.get("mimeType") not in MIME_TYPES:
            yield _broken(f"{path}.{key}.mime_type", MIME_TYPE)
        name = media.get("displayName", "")
        if name in names:
            yield _broken(f"{path}.{key}.display_name", NAME_TWICE)
        names |= {name} - {""}
    # Without media, a `$ref` is a value like any other, such as that of a JSON schema.
    if names:
        for name in _references(response.get("response")):
            if name not in names:
                yield _broken(f"{place}.response", NO_SUCH_NAME.format(name=name))


def _references(value: object) -> Iterator[str]:
    """The names in every `{"$ref": name}` inside a value."""
    if isinstance(value, dict):
        name = value.get("$ref")
        if len(value) == 1 and isinstance(name, str):
            yield name
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _broken(place: str, message: str) -> str:
    return f"* GenerateContentRequest.{place}: {message}\n"
