"""Contents and Parts as plain values, in the wire form of the Gemini API.

They are kept as the dicts that came over the wire, unknown keys included, because a session must
give back exactly what the API sent. The types name the keys that gemcli reads; there may be others.
Nothing here knows files, sessions or the SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal, NamedTuple, TypedDict

Role = Literal["user", "model"]


class FunctionCall(TypedDict, total=False):
    """A call that the model asks for."""

    id: str
    name: str
    args: dict[str, Any]


class FunctionResponse(TypedDict, total=False):
    """The result of a call, by the name and the id of the call."""

    id: str
    name: str
    response: dict[str, Any]
    parts: list[Any]


class Part(TypedDict, total=False):
    """One piece of a Content: one kind of data, and perhaps marks beside it."""

    text: str
    inlineData: dict[str, str]
    fileData: dict[str, str]
    functionCall: FunctionCall
    functionResponse: FunctionResponse
    thought: bool
    thoughtSignature: str


class Content(TypedDict, total=False):
    """What the user or the model said in one go."""

    role: Role
    parts: list[Part]


def user_text(text: str) -> Content:
    """The user Content that says `text`."""
    return {"role": "user", "parts": [{"text": text}]}


def parts_of(content: Content | None) -> list[Part]:
    """The Parts of a Content, `[]` if there is none."""
    return (content or {}).get("parts") or []


def text_of(content: Content | None) -> str:
    """The text of a Content: its text parts joined, without thoughts."""
    spoken = [part for part in parts_of(content) if not part.get("thought")]
    return "".join(part["text"] for part in spoken if isinstance(part.get("text"), str))


def function_calls(content: Content | None) -> list[FunctionCall]:
    """The function calls of a Content, in order."""
    return [part["functionCall"] for part in parts_of(content) if "functionCall" in part]


def function_responses(content: Content | None) -> list[FunctionResponse]:
    """The function responses of a Content, in order."""
    return [part["functionResponse"] for part in parts_of(content) if "functionResponse" in part]


def other_parts(content: Content | None) -> list[Part]:
    """The Parts that are neither text, thoughts nor function calls: images, code and the like."""
    return [
        part
        for part in parts_of(content)
        if "functionCall" not in part and not isinstance(part.get("text"), str)
        if has_data(part)
    ]


class ServerSide(NamedTuple):
    """The keys of a Part of the API's own tools: what it is called by, and what it says."""

    name: str
    data: str


SERVER_SIDE = {
    "executableCode": ServerSide("language", "code"),
    "codeExecutionResult": ServerSide("outcome", "output"),
    "toolCall": ServerSide("toolType", "args"),
    "toolResponse": ServerSide("toolType", "response"),
}
"""The Parts of tools that the API runs itself, such as code execution and searches."""

TOOL_PAIR = ("toolCall", "toolResponse")
"""Those of them that are signed, and go back to the API whole and both, or not at all."""


def server_side_data(part: Part) -> object:
    """What a Part of the API's own tools says: code, its output, or an object; None of others."""
    for kind, keys in SERVER_SIDE.items():
        held: object = part.get(kind)
        if isinstance(held, dict):
            return held.get(keys.data)
    return None


MARKS = ("thought", "thoughtSignature")
"""The keys of a Part that only say something about its data."""


def is_blank(part: Part) -> bool:
    """Whether a Part carries nothing: no data, or empty text without a signature to hand back."""
    return not any(value for key, value in part.items() if key != "thought")


def has_data(part: Part) -> bool:
    """Whether a Part carries more than a signature."""
    return any(value for key, value in part.items() if key not in MARKS)


def says_something(content: Content | None) -> bool:
    """Whether a Content can be used: whether any Part is more than a thought or a signature."""
    return any(has_data(part) and not part.get("thought") for part in parts_of(content))


def as_sent(content: Content) -> Content:
    """A model Content as it goes back to the API: with its role, without blank Parts.

    The API sometimes answers without a role and with empty Parts, and refuses both in a request.
    """
    parts = [part for part in parts_of(content) if not is_blank(part)]
    return {**content, "role": "model", "parts": parts}


def merge_parts(parts: Iterable[Part]) -> list[Part]:
    """The Parts of a streamed answer as one Content has them: plain neighbours become one.

    A Part with more than text, such as a signature, stays alone. Blank Parts are left out.
    """
    found: list[Part] = []
    for kind, neighbours in groupby((part for part in parts if not is_blank(part)), _mergeable):
        group = list(neighbours)
        if kind and len(group) > 1:
            group = [{**group[0], "text": "".join(part["text"] for part in group)}]
        found += group
    return found


def _mergeable(part: Part) -> Literal["text", "thought"] | None:
    """What a Part is, if it is only that."""
    if part.keys() == {"text"}:
        return "text"
    plain_thought = part.keys() == {"text", "thought"} and part["thought"] is True
    return "thought" if plain_thought else None


def begins_turn(content: Content) -> bool:
    """Whether a Content is a message of the user, and not the responses of functions."""
    return content["role"] == "user" and not function_responses(content)


def group_turns(contents: Iterable[Content]) -> list[list[Content]]:
    """Cut a valid history into turns; each starts with a user Content that answers no call."""
    turns: list[list[Content]] = []
    for content in contents:
        if begins_turn(content):
            turns.append([])
        turns[-1].append(content)
    return turns
