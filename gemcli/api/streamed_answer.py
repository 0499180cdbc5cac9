"""A streamed answer: the chunks it comes in, and the one answer they make. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import cast

from gemcli.api.http_errors import error_of_response
from gemcli.chat.answers import Answer, Candidate, bad_response, invalid_response
from gemcli.chat.contents import Content, merged, parts_of
from gemcli.text import strict_json

Chunk = Answer
"""A piece of a streamed answer has the form of an answer."""


def read(data: bytes) -> Chunk:
    """The chunk in one event. Raises `GemcliError`: BAD_RESPONSE, or what an error event means."""
    try:
        chunk = strict_json.loads(data)
    except ValueError as error:
        raise bad_response(f"an event is not JSON ({error})") from None
    if isinstance(chunk, dict) and "error" in chunk:
        raise error_of_response(_status(chunk["error"]), {}, data)
    if fault := invalid_response(chunk):
        raise bad_response(f"not a chunk of an answer: {fault}")
    return cast("Chunk", chunk)


def join(chunks: Sequence[Chunk]) -> Answer:
    """The one answer that the chunks of a stream make, in the form of an unstreamed one.

    Parts are merged and citations are gathered; of everything else the last value counts.
    """
    answer: Answer = {}
    for chunk in chunks:
        answer.update(chunk)
    by_index: dict[int, list[Candidate]] = {}
    for candidate in _candidates(chunks):
        index: object = candidate.get("index")
        by_index.setdefault(index if isinstance(index, int) else 0, []).append(candidate)
    if by_index:
        answer["candidates"] = [_join_candidate(by_index[index]) for index in sorted(by_index)]
    return answer


def finished(chunks: Sequence[Chunk]) -> bool:
    """Whether a stream is complete: it has a finish reason, or the prompt was blocked."""
    blocked = any((chunk.get("promptFeedback") or {}).get("blockReason") for chunk in chunks)
    return blocked or any(candidate.get("finishReason") for candidate in _candidates(chunks))


def has_candidates(chunks: Sequence[Chunk]) -> bool:
    """Whether a stream began to answer at all."""
    return any(chunk.get("candidates") for chunk in chunks)


def _candidates(chunks: Sequence[Chunk]) -> Iterator[Candidate]:
    for chunk in chunks:
        yield from chunk.get("candidates") or []


def _join_candidate(pieces: Sequence[Candidate]) -> Candidate:
    whole: Candidate = {}
    for piece in pieces:
        whole.update(piece)
    citations = [piece["citationMetadata"] for piece in pieces if "citationMetadata" in piece]
    if len(citations) > 1:
        whole["citationMetadata"] = _gather_citations(citations)
    contents = [piece["content"] for piece in pieces if piece.get("content")]
    if contents:
        content: Content = {}
        for one in contents:
            content.update(one)
        if "parts" in content:
            content["parts"] = merged(part for one in contents for part in parts_of(one))
        whole["content"] = content
    return whole


def _gather_citations(pieces: Sequence[object]) -> object:
    """Objects of lists as one, with each entry once, because chunks may repeat earlier entries."""
    whole: dict[str, object] = {}
    gathered: dict[str, dict[str, object]] = {}
    for piece in pieces:
        if not isinstance(piece, dict):
            return pieces[-1]
        whole.update(piece)
        for name, value in piece.items():
            if isinstance(value, list):
                by_text = {json.dumps(entry, sort_keys=True): entry for entry in value}
                gathered.setdefault(name, {}).update(by_text)
    return whole | {name: list(entries.values()) for name, entries in gathered.items()}


def _status(error: object) -> int:
    """The HTTP status that an error event stands for."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
