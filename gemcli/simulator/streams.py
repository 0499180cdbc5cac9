"""How an answer is streamed: cut into chunks, each a GenerateContentResponse, and framed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from gemcli.chat.contents import Part, parts_of
from gemcli.simulator import tokens
from gemcli.simulator.responses import Response, is_prose
from gemcli.text import strict_json

Framing = Literal["json", "sse", "array"]
"""How a body is framed: one JSON document, Server-Sent Events (`alt=sse`), or a JSON array."""

# Twelve characters and on to the end of the word; but a word that goes on is cut, because some
# scripts have no spaces.
_PIECE = re.compile(r".{1,12}\S{0,8}\s?", re.DOTALL)


Checkpoints = Mapping[int, str]
"""Continuation tokens by the number of the chunk that carries them, from 1."""


def chunks(answer: Response, checkpoints: Checkpoints | None = None) -> list[Response]:
    """The chunks of an answer: at least one, one Part in each, prose cut at ends of words.

    As in the API, all else about the candidate is on the last chunk only, and what is not about the
    candidate, such as the usage, on each. Joined again they are `answer`, value for value, but for
    the checkpoints; the last chunk does not repeat the token of the one before it.
    """
    candidates = answer.get("candidates") or [{}]
    content = candidates[0].get("content")
    *begun, ending = pieces(parts_of(content)) or [{}]
    if len(candidates) != 1 or not begun:
        return [answer]
    checkpoints = checkpoints or {}
    found = []
    characters = 0
    for number, piece in enumerate(begun, 1):
        if not piece.get("thought"):
            characters += len(piece.get("text", ""))
        found.append(_chunk(answer, piece, characters, checkpoints.get(number)))
    last = {**candidates[0], "content": {**content, "parts": [ending]}}
    if last.get("continuationToken") == checkpoints.get(len(begun)):
        last.pop("continuationToken", None)
    return [*found, {**answer, "candidates": [last]}]


def pieces(parts: Iterable[Part]) -> list[Part]:
    """The Parts of an answer as its chunks have them, one in each."""
    return [piece for part in parts for piece in _pieces(part)]


def framed(values: Sequence[object], framing: Framing) -> list[bytes]:
    """The bytes of each value in a body of this framing; a body of `json` has one value."""
    documents = [strict_json.encode(value) for value in values]
    if framing == "sse":
        return [b"data: " + document + b"\r\n\r\n" for document in documents]
    if framing == "array":
        # Each value but the last can be read before the next one is written.
        first, *others = documents
        documents = [b"[" + first, *(b",\r\n" + other for other in others)]
        documents[-1] += b"]"
    return documents


def _pieces(part: Part) -> list[Part]:
    """A Part in pieces: prose by words, anything else whole, because nobody can join it."""
    if not is_prose(part) or not part["text"]:
        return [part]
    return [{**part, "text": text} for text in _PIECE.findall(part["text"])]


def _chunk(answer: Response, piece: Part, characters: int, token: str | None) -> Response:
    """A chunk before the last one; `characters` of the answer are out with it."""
    whole = answer["candidates"][0]
    candidate: Response = {"content": {**whole["content"], "parts": [piece]}}
    if "index" in whole:
        candidate["index"] = whole["index"]
    if token is not None:
        candidate["continuationToken"] = token
    chunk = {**answer, "candidates": [candidate]}
    if "usageMetadata" in answer:
        chunk["usageMetadata"] = tokens.usage_so_far(answer["usageMetadata"], characters)
    return chunk
