"""A streamed answer: the chunks it comes in, and the one answer they make. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gemcli import strictjson
from gemcli.contents import merged, parts_of
from gemcli.errors import GemcliError
from gemcli.refusals import refusal
from gemcli.shapes import answer_fault


def read(data: bytes) -> dict[str, Any]:
    """The chunk in one event of a stream. Raises `GemcliError`: BAD_RESPONSE, or what an error event says."""
    try:
        chunk = strictjson.loads(data)
    except ValueError as error:
        raise GemcliError("BAD_RESPONSE", f"an event is not JSON ({error})", outcome="unknown", http=200) from None
    if isinstance(chunk, dict) and "error" in chunk:
        code = chunk["error"].get("code") if isinstance(chunk["error"], dict) else None
        raise refusal(code if isinstance(code, int) and 400 <= code < 600 else 500, {}, data)
    if fault := answer_fault(chunk):
        raise GemcliError("BAD_RESPONSE", f"not a chunk of an answer: {fault}", outcome="unknown", http=200)
    checked: dict[str, Any] = chunk
    return checked


def join(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The chunks of a stream as the one answer they make, in the form of an unstreamed one.

    Parts are merged by `contents.merged`, citations gathered; of everything else the last word counts.
    """
    answer: dict[str, Any] = {}
    candidates: dict[int, list[Mapping[str, Any]]] = {}
    for chunk in chunks:
        answer |= chunk
        for candidate in chunk.get("candidates") or []:
            index = candidate.get("index")
            candidates.setdefault(index if isinstance(index, int) else 0, []).append(candidate)
    if candidates:
        answer["candidates"] = [_joined(candidates[place]) for place in sorted(candidates)]
    return answer


def finished(chunks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a stream said all there is: a finish reason, or that the prompt was blocked."""
    blocked = any((chunk.get("promptFeedback") or {}).get("blockReason") for chunk in chunks)
    return blocked or any(candidate.get("finishReason") for candidate in _candidates(chunks))


def has_candidates(chunks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a stream began to answer at all."""
    return bool(_candidates(chunks))


def _candidates(chunks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [candidate for chunk in chunks for candidate in chunk.get("candidates") or []]


def _joined(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The pieces of one candidate as a whole."""
    whole: dict[str, Any] = {}
    for piece in pieces:
        if "citationMetadata" in whole and "citationMetadata" in piece:
            piece = {**piece, "citationMetadata": _gathered(whole["citationMetadata"], piece["citationMetadata"])}
        whole |= piece
    contents = [content for piece in pieces if (content := piece.get("content"))]
    if contents:
        whole["content"] = {name: value for content in contents for name, value in content.items()}
        if "parts" in whole["content"]:
            whole["content"]["parts"] = merged(part for content in contents for part in parts_of(content))
    return whole


def _gathered(before: Any, after: Any) -> Any:
    """Two objects of lists as one, each entry once."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    gathered = {**before, **after}
    for key in before.keys() & after.keys():
        if isinstance(before[key], list) and isinstance(after[key], list):
            gathered[key] = before[key] + [entry for entry in after[key] if entry not in before[key]]
    return gathered
