"""GenerateContentResponses.

What a model of the simulator says, with all that the API puts around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gemcli.chat.contents import Part
from gemcli.simulator import tokens
from gemcli.text import strict_json

COUNTS = {
    "prompt_token_count": "promptTokenCount",
    "cached_content_token_count": "cachedContentTokenCount",
    "candidates_token_count": "candidatesTokenCount",
    "tool_use_prompt_token_count": "toolUsePromptTokenCount",
    "thoughts_token_count": "thoughtsTokenCount",
    "total_token_count": "totalTokenCount",
}
"""The counts of `usageMetadata` by their snake_case names."""

BILLED = (
    "promptTokenCount",
    "candidatesTokenCount",
    "toolUsePromptTokenCount",
    "thoughtsTokenCount",
)
"""What the total adds up; cached tokens are prompt tokens already."""


def answer(
    request: Mapping[str, Any],
    version: str,
    parts: Sequence[Part],
    finish: str = "STOP",
    *,
    finish_message: str | None = None,
    usage: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The response to a checked `request` in which the model `version` says `parts` and ends with `finish`.

    `usage` are counts by their wire names that replace those counted here.
    """
    parts = joined(parts)
    # The API leaves these out when nothing was said, rather than giving "" and 0; so do we.
    candidate: dict[str, Any] = {
        "content": {"parts": parts, "role": "model"} if parts else {},
        "finishReason": finish,
    }
    if finish_message is not None:
        candidate["finishMessage"] = finish_message
    return {
        "candidates": [candidate | {"index": 0}],
        "usageMetadata": _usage(request, parts, usage or {}),
        "modelVersion": version,
        "responseId": _identity(request, parts),
    }


def blocked(request: Mapping[str, Any], version: str, reason: str) -> dict[str, Any]:
    """The response to a prompt that was blocked for `reason`.

    No candidates, and only the prompt is counted.
    """
    return {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": _usage(request, (), {}),
        "modelVersion": version,
        "responseId": _identity(request, reason),
    }


def is_prose(part: Part) -> bool:
    """Whether a Part is text, said or thought, and nothing else.

    What streams may split and readers may join.
    """
    marks = {key: value for key, value in part.items() if key != "text"}
    return isinstance(part.get("text"), str) and (not marks or marks == {"thought": True})


def joined(parts: Iterable[Part]) -> list[Part]:
    """`parts` with adjacent prose of the same kind joined and empty prose left out, as one reads a stream."""
    whole: list[Part] = []
    for part in parts:
        if not is_prose(part):
            whole.append(part)
        elif whole and is_prose(whole[-1]) and whole[-1].keys() == part.keys():
            whole[-1] = {**part, "text": whole[-1]["text"] + part["text"]}
        elif part["text"]:
            whole.append(part)
    return whole


def _usage(
    request: Mapping[str, Any], parts: Sequence[Part], given: Mapping[str, int]
) -> dict[str, Any]:
    counted = {
        "promptTokenCount": tokens.of_request(request),
        "candidatesTokenCount": tokens.of_parts(part for part in parts if not part.get("thought")),
        "thoughtsTokenCount": tokens.of_parts(part for part in parts if part.get("thought")),
    }
    usage: dict[str, Any] = {"promptTokenCount": counted["promptTokenCount"]}
    usage |= {name: count for name, count in counted.items() if count} | dict(given)
    total = given.get("totalTokenCount", sum(usage.get(name, 0) for name in BILLED))
    prompt = usage["promptTokenCount"]
    return usage | {"totalTokenCount": total, "promptTokensDetails": tokens.modalities(prompt)}


def _identity(*facts: Any) -> str:
    """A `responseId` that is another for every other request or answer."""
    return hashlib.sha256(strict_json.encode(facts)).hexdigest()[:16]
