"""How the simulator counts tokens.

Crudely, but always the same way, and growing with the conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gemcli.chat.contents import Part, parts_of
from gemcli.text import strict_json

CHARACTERS = 4
"""Characters to a token; English prose averages about this in the real tokenizer."""

MEDIA = 258
"""Tokens for an image or a file: what the API bills for a small image."""


def of_text(text: str) -> int:
    """Tokens of a text: none for no text, else at least one."""
    return -(-len(text) // CHARACTERS)


def of_request(request: Mapping[str, Any]) -> int:
    """Tokens of a prompt: every Part of its Contents and of its system instruction."""
    contents = [request.get("systemInstruction"), *request.get("contents", [])]
    return sum(of_parts(parts_of(content)) for content in contents)


def modalities(count: int) -> list[dict[str, Any]]:
    """`promptTokensDetails` for `count` tokens. Everything is called text here."""
    return [{"modality": "TEXT", "tokenCount": count}]


def of_parts(parts: Iterable[Part]) -> int:
    """Tokens of some Parts."""
    return sum(map(_of_part, parts))


def _of_part(part: Part) -> int:
    if "text" in part:
        return of_text(part["text"])
    if "inlineData" in part or "fileData" in part:
        return MEDIA
    return of_text(strict_json.dumps(part))
