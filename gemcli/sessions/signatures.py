"""Thought signatures: which of them may go out with a request.

A signature is the model's own sealed note about its thoughts, valid only where it was made. It goes
out if its exchange was answered by the same model and backend, otherwise not. Gemini 3 refuses a
function call of the current turn without one, and documents a stand-in for calls that come from
elsewhere (ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gemcli.chat.contents import Content, Part, function_responses, is_blank, parts_of
from gemcli.sessions.turns import Exchange

STAND_IN = "skip_thought_signature_validator"
"""What the API documents for calls whose signature cannot be had."""

_NEEDS_SIGNATURES = re.compile(r"gemini-([3-9]|[1-9]\d)")


def history(exchanges: Iterable[Exchange], model: str, backend: str) -> tuple[list[Content], bool]:
    """What `model` at `backend` may get of the history, and whether signatures were left out."""
    contents: list[Content] = []
    dropped = False
    for exchange in exchanges:
        question, answer = exchange.contents
        request = exchange.request
        same = (request["model"], request["backend"]) == (model, backend)
        if not same and any("thoughtSignature" in part for part in parts_of(answer)):
            answer = _without_signatures(answer)
            dropped = True
        contents += [question, answer]
    return contents, dropped


def _without_signatures(content: Content) -> Content:
    """The Content without signatures, and without Parts that held nothing else."""
    parts = [part.copy() for part in parts_of(content)]
    for part in parts:
        part.pop("thoughtSignature", None)
    return {**content, "parts": [part for part in parts if not is_blank(part)]}


def with_stand_ins(contents: list[Content], model: str) -> tuple[list[Content], bool]:
    """`contents` with stand-ins in the open turn, and whether any was added."""
    if not _NEEDS_SIGNATURES.search(model):
        return contents, False
    start = 0
    for place, content in enumerate(contents):
        if content["role"] == "user" and not function_responses(content):
            start = place
    open_turn = [_with_stand_in(content) for content in contents[start:]]
    return contents[:start] + open_turn, open_turn != contents[start:]


def _with_stand_in(content: Content) -> Content:
    """The Content with the stand-in on its first function call, if that has no signature."""
    parts = parts_of(content)
    calls = [place for place, part in enumerate(parts) if "functionCall" in part]
    if not calls or "thoughtSignature" in parts[calls[0]]:
        return content
    first: Part = {**parts[calls[0]], "thoughtSignature": STAND_IN}
    return {**content, "parts": [*parts[: calls[0]], first, *parts[calls[0] + 1 :]]}
