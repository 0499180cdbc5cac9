"""A streamed answer: the chunks it comes in, and the one answer they make. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gemcli.api.http_errors import error_in_answer
from gemcli.chat import answers
from gemcli.chat.answers import Answer, Candidate
from gemcli.chat.contents import Content, MergedParts, parts_of

Chunk = Answer
"""A piece of a streamed answer has the form of an answer."""


def read(data: bytes) -> Chunk:
    """The chunk in one event. Raises `GemcliError`: BAD_RESPONSE, or the error that it reports."""
    chunk = answers.read(data)
    if reported := error_in_answer(chunk):
        raise reported
    return chunk


class StreamedAnswer:
    """The one answer that the chunks of a stream make, in the form of an unstreamed one.

    Parts are merged and citations are gathered; of everything else the last value counts. A chunk
    costs the same however many came before it.
    """

    def __init__(self) -> None:
        self.begun = False  # whether there was a candidate
        self.finished = False  # whether there was a finish reason, or the prompt was blocked
        self.chunks = 0
        self._last_values: Answer = {}
        self._candidates: dict[int, _StreamedCandidate] = {}

    def add(self, chunk: Chunk) -> None:
        """Take in the next chunk."""
        self.chunks += 1
        self._last_values.update(chunk)
        if (chunk.get("promptFeedback") or {}).get("blockReason"):
            self.finished = True
        for candidate in chunk.get("candidates") or []:
            self.begun = True
            if candidate.get("finishReason"):
                self.finished = True
            index: object = candidate.get("index")
            number = index if isinstance(index, int) else 0
            self._candidates.setdefault(number, _StreamedCandidate()).add(candidate)

    @property
    def answer(self) -> Answer:
        """The answer, as far as it has arrived."""
        answer = self._last_values.copy()
        if self._candidates:
            in_order = sorted(self._candidates)
            answer["candidates"] = [self._candidates[number].whole for number in in_order]
        return answer


class _StreamedCandidate:
    def __init__(self) -> None:
        self._last_values: Candidate = {}
        self._content: Content = {}
        self._parts = MergedParts()
        self._citations: list[object] = []

    def add(self, piece: Candidate) -> None:
        self._last_values.update(piece)
        if "citationMetadata" in piece:
            self._citations.append(piece["citationMetadata"])
        if content := piece.get("content"):
            self._content.update(content)
            for part in parts_of(content):
                self._parts.add(part)

    @property
    def whole(self) -> Candidate:
        whole = self._last_values.copy()
        if len(self._citations) > 1:
            whole["citationMetadata"] = _gather_citations(self._citations)
        if self._content:
            whole["content"] = self._content.copy()
            if "parts" in self._content:
                whole["content"]["parts"] = self._parts.all
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
