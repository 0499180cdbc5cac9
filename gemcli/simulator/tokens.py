"""How the simulator counts tokens: crudely, but always alike, and growing with the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gemcli.chat.answers import USAGE_COUNTERS
from gemcli.chat.contents import Part, parts_of
from gemcli.simulator.read_request import Message
from gemcli.text import strict_json
from gemcli.text.proto_json import snake

CHARACTERS = 4
"""Characters to a token; English prose averages about this in the real tokenizer."""

MEDIA = 258
"""Tokens for an image or a file: what the API bills for a small image."""

COUNTS = {snake(name): name for name in USAGE_COUNTERS}
"""The counters of `usageMetadata` by their snake_case names."""

BILLED = [f"{name}TokenCount" for name in ("prompt", "candidates", "toolUsePrompt", "thoughts")]
"""What the total adds up; cached tokens are prompt tokens already."""


def of_request(request: Message) -> int:
    """Tokens of a prompt: every Part of its Contents and of its system instruction."""
    contents = [request.get("systemInstruction"), *request.get("contents", [])]
    return sum(_of_part(part) for content in contents for part in parts_of(content))


def by_modality(count: int) -> list[dict[str, object]]:
    """The `promptTokensDetails` of `count` tokens. Everything is called text here."""
    return [{"modality": "TEXT", "tokenCount": count}]


def of_parts(parts: Sequence[Part]) -> int:
    """Tokens of what a model says."""
    return sum(_of_part(part) for part in parts)


def usage(
    request: Message, parts: Sequence[Part], given: Mapping[str, int], before: int = 0
) -> dict[str, object]:
    """The `usageMetadata` of a hop; what is `given` replaces what is counted here.

    To the API, what the hops `before` put out belongs to the prompt of this one.
    """
    counts = {"promptTokenCount": of_request(request) + before}
    for name, is_thought in (("candidatesTokenCount", False), ("thoughtsTokenCount", True)):
        count = sum(_of_part(part) for part in parts if bool(part.get("thought")) is is_thought)
        if count:  # like the API, leave a count out while it is zero
            counts[name] = count
    counts.update(given)
    billed = sum(counts.get(name, 0) for name in BILLED)
    counts["totalTokenCount"] = given.get("totalTokenCount", billed)
    return {**counts, "promptTokensDetails": by_modality(counts["promptTokenCount"])}


def usage_so_far(usage: Mapping[str, int], characters: int) -> dict[str, int]:
    """The usage when so many characters of the answer were sent: counts grow with each chunk."""
    whole = usage.get("candidatesTokenCount", 0)
    candidates = min(whole, _of_characters(characters))
    total = usage.get("totalTokenCount", 0) - whole + candidates
    changed = {"candidatesTokenCount": candidates, "totalTokenCount": total}
    # Like the API, leave a count out while it is zero.
    so_far = {name: changed.get(name, value) for name, value in usage.items()}
    return {name: value for name, value in so_far.items() if changed.get(name) != 0}


def _of_characters(characters: int) -> int:
    """Tokens of a text so long: 0 for an empty one, else at least 1."""
    return -(-characters // CHARACTERS)


def _of_part(part: Part) -> int:
    if "text" in part:
        return _of_characters(len(part["text"]))
    if "inlineData" in part or "fileData" in part:
        return MEDIA
    return _of_characters(len(strict_json.dumps(part)))
