"""GenerateContentResponses: what a model says, with all that the API puts around it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from gemcli.chat.contents import Part
from gemcli.simulator import gemini_3, tokens
from gemcli.simulator.read_request import Message
from gemcli.text import strict_json

Response = dict[str, Any]
"""A GenerateContentResponse, as on the wire."""


def answer(
    request: Message,
    version: str,
    parts: Iterable[Part],
    finish: str = "STOP",
    *,
    finish_message: str | None = None,
    usage: Mapping[str, int] | None = None,
    before: int = 0,
    token: str | None = None,
) -> Response:
    """The answer of the model `version`; `usage` replaces counts, by their names on the wire.

    A hop of a long answer has the tokens that were put out `before` it, and the `token` that
    resumes the answer after it.
    """
    parts = gemini_3.signed(joined(parts), request)
    candidate: dict[str, object] = {
        # The API leaves role and parts out of an empty answer; so do we.
        "content": {"parts": parts, "role": "model"} if parts else {},
        "finishReason": finish,
    }
    if finish_message is not None:
        candidate["finishMessage"] = finish_message
    if token is not None:
        candidate["continuationToken"] = token
    candidate["index"] = 0
    return {
        "candidates": [candidate],
        "usageMetadata": tokens.usage(request, parts, usage or {}, before),
        "modelVersion": version,
        "responseId": _response_id(request, parts),
    }


def blocked(request: Message, version: str, reason: str, before: int = 0) -> Response:
    """The response to a prompt that was blocked: no candidates, and only the prompt is counted."""
    return {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": tokens.usage(request, (), {}, before),
        "modelVersion": version,
        "responseId": _response_id(request, reason),
    }


def is_prose(part: Part) -> bool:
    """Whether a Part is text or a thought and nothing else, so that it may be split and joined."""
    if not isinstance(part.get("text"), str):
        return False
    marks = {key: value for key, value in part.items() if key != "text"}
    return marks in ({}, {"thought": True})


def joined(parts: Iterable[Part]) -> list[Part]:
    """`parts` with adjacent prose of the same kind joined and empty prose left out."""
    whole: list[Part] = []
    for part in parts:
        if not is_prose(part):
            whole.append(part)
        elif whole and is_prose(whole[-1]) and whole[-1].keys() == part.keys():
            whole[-1] = {**part, "text": whole[-1]["text"] + part["text"]}
        elif part["text"]:
            whole.append(part)
    return whole


def _response_id(*facts: object) -> str:
    return hashlib.sha256(strict_json.encode(facts)).hexdigest()[:16]
