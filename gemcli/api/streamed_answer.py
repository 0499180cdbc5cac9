"""A streamed answer: the chunks it comes in, and the one answer they make. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from gemcli.api.http_errors import refusal
from gemcli.chat.answers import Answer, invalid_response
from gemcli.chat.contents import merged, parts_of
from gemcli.errors import GemcliError
from gemcli.text import strict_json


def read(data: bytes) -> Answer:
    """The chunk in one event of a stream.

    Raises `GemcliError`: BAD_RESPONSE, or what an error event says.
    """
    try:
        chunk = strict_json.loads(data)
    except ValueError as error:
        raise GemcliError(
            "BAD_RESPONSE", f"an event is not JSON ({error})", outcome="unknown", http=200
        ) from None
    if isinstance(chunk, dict) and "error" in chunk:
        code = chunk["error"].get("code") if isinstance(chunk["error"], dict) else None
        raise refusal(code if isinstance(code, int) and 400 <= code < 600 else 500, {}, data)
    if fault := invalid_response(chunk):
        raise GemcliError(
            "BAD_RESPONSE", f"not a chunk of an answer: {fault}", outcome="unknown", http=200
        )
    checked: Answer = chunk
    return checked


def join(chunks: Sequence[Mapping[str, Any]]) -> Answer:
    """The chunks of a stream as the one answer they make, in the form of an unstreamed one.

    Parts are merged by `contents.merged`, citations gathered; of everything else the last word
    counts.
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
    return cast("Answer", answer)


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
        whole |= piece
    if "citationMetadata" in whole:
        whole["citationMetadata"] = _gathered(
            piece["citationMetadata"] for piece in pieces if "citationMetadata" in piece
        )
    contents = [content for piece in pieces if (content := piece.get("content"))]
    if contents:
        whole["content"] = {name: value for content in contents for name, value in content.items()}
        if "parts" in whole["content"]:
            whole["content"]["parts"] = merged(
                part for content in contents for part in parts_of(content)
            )
    return whole


def _gathered(pieces: Iterable[Any]) -> Any:
    """Objects of lists as one, each entry once; of what is no such thing the last word counts."""
    whole: Any = None
    known: dict[str, set[str]] = {}
    for piece in pieces:
        if not (isinstance(whole, dict) and isinstance(piece, dict)):
            whole, known = (dict(piece) if isinstance(piece, dict) else piece), {}
            continue
        for key, value in piece.items():
            before = whole.get(key)
            if not (isinstance(before, list) and isinstance(value, list)):
                whole[key] = value
                known.pop(key, None)
                continue
            # Compared by their text: a list of thousands would take for ever to search.
            if key not in known:
                whole[key], known[key] = list(before), set(map(_text, before))
            fresh = [entry for entry in value if _text(entry) not in known[key]]
            whole[key] += fresh
            known[key].update(map(_text, fresh))
    return whole


def _text(entry: Any) -> str:
    """A JSON value as text, whatever the order of its keys."""
    return json.dumps(entry, sort_keys=True)
