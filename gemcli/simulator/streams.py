"""How an answer is streamed.

Cut into chunks, each a GenerateContentResponse of its own, and framed for the wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Literal

from gemcli.chat.contents import Part, parts_of
from gemcli.simulator import tokens
from gemcli.simulator.responses import is_prose
from gemcli.text import strict_json

Form = Literal["whole", "sse", "array"]
"""The form of a body: one JSON document, Server-Sent Events (`alt=sse`), or a JSON array of chunks."""

# Twelve characters and on to the end of the word, but a word without end is cut: some scripts have
# no spaces.
_PIECE = re.compile(r".{1,12}\S{0,8}\s?", re.DOTALL)


def chunks(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a GenerateContentResponse.

    At least one, one Part in each, prose cut at ends of words.

    `finishReason` and everything else about the candidate is on the last one only; what is not
    about it, the counted usage included, is on each, as in the API. Joined again they are `answer`,
    value for value.
    """
    candidates = answer.get("candidates") or [{}]
    pieces = [piece for part in parts_of(candidates[0].get("content")) for piece in _pieces(part)]
    if len(candidates) != 1 or len(pieces) < 2:
        return [answer]
    said = accumulate(0 if piece.get("thought") else len(piece.get("text", "")) for piece in pieces)
    *begun, last = (
        _chunk(answer, piece, characters) for piece, characters in zip(pieces, said, strict=True)
    )
    candidate = {**candidates[0], "content": last["candidates"][0]["content"]}
    return [*begun, {**answer, "candidates": [candidate]}]


def framed(values: Sequence[Any], form: Form) -> list[bytes]:
    """The bytes of each chunk in a body of this form."""
    documents = [strict_json.encode(value) for value in values]
    if form == "sse":
        return [b"data: " + document + b"\r\n\r\n" for document in documents]
    if form == "array":
        starts = [b"[", *(b",\r\n" for _ in documents[1:])]
        ends = [*(b"" for _ in documents[1:]), b"]"]
        return [
            start + document + end
            for start, document, end in zip(starts, documents, ends, strict=True)
        ]
    return documents


def _pieces(part: Part) -> Iterator[Part]:
    """A Part in pieces: prose by words, anything else whole, so that calls and signatures stay in one piece."""
    if not is_prose(part) or not part["text"]:
        yield part
        return
    for piece in _PIECE.findall(part["text"]):
        yield {**part, "text": piece}


def _chunk(answer: dict[str, Any], piece: Part, said: int) -> dict[str, Any]:
    """A chunk with this piece, as it is before the last one.

    So many characters were said by then.
    """
    candidate = answer["candidates"][0]
    begun = {"content": {**candidate["content"], "parts": [piece]}}
    begun |= {"index": candidate["index"]} if "index" in candidate else {}
    counted = (
        {"usageMetadata": _usage(answer["usageMetadata"], said)}
        if "usageMetadata" in answer
        else {}
    )
    return {**answer, "candidates": [begun], **counted}


def _usage(usage: dict[str, Any], said: int) -> dict[str, Any]:
    """The usage when only so many characters were said.

    Counts of the answer grow from chunk to chunk.
    """
    whole = usage.get("candidatesTokenCount", 0)
    count = min(whole, -(-said // tokens.CHARACTERS))
    now = {
        "candidatesTokenCount": count,
        "totalTokenCount": usage.get("totalTokenCount", 0) - whole + count,
    }
    # Like the API, leave a count out while it is zero.
    return {name: now.get(name, value) for name, value in usage.items() if now.get(name) != 0}
