"""Where the API takes Contents that the rules of `gemcli.turns` do not allow, because its own SDK sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from gemcli.chat.contents import Content, function_responses


def as_read(contents: Sequence[Content]) -> list[Content]:
    """The Contents as the API reads them, for the rules about neighbours.

    Their indexes may be others.
    """
    read = list(_answers_joined(contents))
    for index, content in enumerate(read[1:], 1):
        # Automatic function calling leaves the ids of calls out: then the name alone says which one
        # is answered.
        if any("id" not in response for response in function_responses(content)):
            read[index - 1 : index + 1] = map(_without_ids, read[index - 1 : index + 1])
    return read


def _answers_joined(contents: Sequence[Content]) -> Iterator[Content]:
    """`contents` with each run of model Contents as one.

    Chats send a streamed answer back chunk by chunk.
    """
    for role, run in groupby(contents, key=lambda content: content.get("role")):
        if role == "model":
            yield {"role": role, "parts": [part for content in run for part in content["parts"]]}
        else:
            yield from run


def _without_ids(content: Content) -> Content:
    parts: list[Any] = [
        {key: _without_id(key, value) for key, value in part.items()} for part in content["parts"]
    ]
    return {**content, "parts": parts}


def _without_id(key: str, value: Any) -> Any:
    if key in ("functionCall", "functionResponse"):
        return {name: inner for name, inner in value.items() if name != "id"}
    return value
