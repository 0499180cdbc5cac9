"""A streamed answer: the chunks it comes in, and the one answer they make. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from gemcli.api.http_errors import error_in_answer
from gemcli.chat import answers
from gemcli.chat.answers import Answer, Candidate, token_of
from gemcli.chat.contents import Content, Part, merge_parts, parts_of

Chunk = Answer
"""A piece of a streamed answer has the form of an answer."""


def read(data: bytes) -> Chunk:
    """The chunk in one event. Raises `GemcliError`: BAD_RESPONSE, or the error that it reports."""
    chunk = answers.read(data)
    if reported := error_in_answer(chunk):
        raise reported
    return chunk


class StreamedAnswer:
    """The one answer that the chunks of a stream make, in the form of one that comes whole.

    Parts are merged and citations are gathered; of everything else the last value counts. A chunk
    with a token to resume from is a checkpoint: a stream that breaks later is continued from there.
    A chunk costs the same however many came before it.
    """

    def __init__(self) -> None:
        self.begun = False  # whether there was a candidate
        self.finished = False  # whether there was a finish reason, or the prompt was blocked
        self.chunks = 0
        self._last_values: Answer = {}
        self._candidates: dict[int, _StreamedCandidate] = {}
        self._checkpoint: Callable[[], Answer] | None = None

    def add(self, chunk: Chunk) -> None:
        """Take in the next chunk."""
        self.chunks += 1
        self._last_values.update(chunk)
        if answers.block_reason(chunk):
            self.finished = True
        has_token = False
        for candidate in chunk.get("candidates") or []:
            self.begun = True
            if candidate.get("finishReason"):
                self.finished = True
            index: object = candidate.get("index")
            number = index if isinstance(index, int) else 0
            self._candidates.setdefault(number, _StreamedCandidate()).add(candidate)
            has_token |= number == 0 and token_of(candidate) is not None
        if has_token and not self.finished:
            self._checkpoint = self._so_far()

    @property
    def answer(self) -> Answer:
        """The answer, as far as it has arrived."""
        answer = self._so_far()
        return answer()

    @property
    def at_checkpoint(self) -> Answer | None:
        """The answer as it was at the newest checkpoint, if there was one."""
        return self._checkpoint() if self._checkpoint else None

    def _so_far(self) -> Callable[[], Answer]:
        """What makes the answer as it is now, however much is added later."""
        last_values = self._last_values.copy()
        candidates = [self._candidates[number].so_far() for number in sorted(self._candidates)]

        def answer() -> Answer:
            if candidates:
                last_values["candidates"] = [candidate() for candidate in candidates]
            return last_values

        return answer


class _StreamedCandidate:
    def __init__(self) -> None:
        self._last_values: Candidate = {}
        self._content: Content = {}
        self._parts: list[Part] = []
        self._citations: list[object] = []

    def add(self, piece: Candidate) -> None:
        checkpoint = self._last_values.pop("continuationToken", None)
        self._last_values.update(piece)
        # An answer that has ended is not resumed from a checkpoint before its end.
        if checkpoint and not token_of(piece) and _may_go_on(piece):
            self._last_values["continuationToken"] = checkpoint
        if "citationMetadata" in piece:
            self._citations.append(piece["citationMetadata"])
        if content := piece.get("content"):
            self._content.update(content)
            self._parts += parts_of(content)

    def so_far(self) -> Callable[[], Candidate]:
        """What makes the candidate as it is now, however much is added later."""
        last_values, content = self._last_values.copy(), self._content.copy()
        parts, citations = len(self._parts), len(self._citations)

        def whole() -> Candidate:
            if citations > 1:
                last_values["citationMetadata"] = _gather_citations(self._citations[:citations])
            if content:
                last_values["content"] = content
                if "parts" in content:
                    content["parts"] = merge_parts(self._parts[:parts])
            return last_values

        return whole


def _may_go_on(piece: Candidate) -> bool:
    """Whether an answer with this piece may have to be resumed."""
    return (piece.get("finishReason") or "CONTINUATION") == "CONTINUATION"


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
