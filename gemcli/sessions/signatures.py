"""Thought signatures: which of them may go out with a request.

A signature is the model's own sealed note about its thoughts, valid only where it was made. It goes
out if its exchange was answered by the same model and backend, otherwise not. Gemini 3 refuses a
function call of the current turn without one, and documents a stand-in for calls that come from
elsewhere (ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gemcli.chat.contents import Content, function_responses, is_blank, parts_of
from gemcli.sessions.journal import Exchange

STAND_IN = "skip_thought_signature_validator"
"""What the API documents for calls whose signature is not to be had."""

_NEEDS_SIGNATURES = re.compile(r"gemini-([3-9]|[1-9]\d)")


def history(exchanges: Iterable[Exchange], model: str, backend: str) -> tuple[list[Content], bool]:
    """The Contents of answered exchanges as `model` at `backend` may be sent them, oldest first.

    The second result tells whether signatures were left out.
    """
    contents: list[Content] = []
    dropped = False
    for exchange in exchanges:
        question, answer = exchange.contents
        if (exchange.request["model"], exchange.request["backend"]) != (model, backend) and _signed(
            answer
        ):
            answer, dropped = _without(answer), True
        contents += [question, answer]
    return contents, dropped


def with_stand_ins(contents: list[Content], model: str) -> tuple[list[Content], bool]:
    """`contents` with the stand-in on the first call of each step of the open turn that has no signature.

    For a request that ends in function responses; the second result tells whether any was set.
    """
    if not _NEEDS_SIGNATURES.search(model):
        return contents, False
    start = max(
        (
            place
            for place, content in enumerate(contents)
            if content["role"] == "user" and not function_responses(content)
        ),
        default=0,
    )
    changed = [
        _stood_in(content) if place > start else content for place, content in enumerate(contents)
    ]
    return changed, changed != contents


def _signed(content: Content) -> bool:
    return any("thoughtSignature" in part for part in parts_of(content))


def _without(content: Content) -> Content:
    """The Content without signatures, and without Parts that held nothing else."""
    bare = [
        {key: value for key, value in part.items() if key != "thoughtSignature"}
        for part in parts_of(content)
    ]
    return {**content, "parts": [part for part in bare if not is_blank(part)]}


def _stood_in(content: Content) -> Content:
    """The Content with the stand-in on its first function call, if that has no signature."""
    parts = parts_of(content)
    first = next((place for place, part in enumerate(parts) if "functionCall" in part), None)
    if content["role"] != "model" or first is None or "thoughtSignature" in parts[first]:
        return content
    signed = {**parts[first], "thoughtSignature": STAND_IN}
    return {**content, "parts": [*parts[:first], signed, *parts[first + 1 :]]}
