"""Contents and Parts as plain values, in the wire form of the Gemini API.

A Content is `{"role": "user"|"model", "parts": [Part, …]}`; a Part is an object with one kind of
data (`text`, `functionCall`, `inlineData`, …) and perhaps marks beside it (`thought`,
`thoughtSignature`). They are kept as the dicts that came over the wire, unknown keys included,
because a session must give back exactly what the API sent. Nothing here knows files, sessions or
the SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Part = dict[str, Any]
Content = dict[str, Any]


def user_text(text: str) -> Content:
    """The user Content that says `text`."""
    return {"role": "user", "parts": [{"text": text}]}


def text_of(content: Content | None) -> str:
    """The text of a Content: its text parts joined, thoughts left out; `""` when there is none."""
    return "".join(
        part["text"]
        for part in parts_of(content)
        if isinstance(part.get("text"), str) and not part.get("thought")
    )


def parts_of(content: Content | None) -> list[Part]:
    """The Parts of a Content, `[]` for none at all."""
    return (content or {}).get("parts") or []


def function_calls(content: Content | None) -> list[dict[str, Any]]:
    """The function calls of a Content, in order, each as on the wire (`name`, `args`, perhaps `id`)."""
    return [part["functionCall"] for part in parts_of(content) if "functionCall" in part]


def function_responses(content: Content | None) -> list[dict[str, Any]]:
    """The function responses of a Content, in order, each as on the wire (`name`, `response`, perhaps `id`)."""
    return [part["functionResponse"] for part in parts_of(content) if "functionResponse" in part]


def is_blank(part: Part) -> bool:
    """Whether a Part carries nothing: no data, or empty text without a signature to hand back."""
    return not any(value for key, value in part.items() if key != "thought")


def says_something(content: Content | None) -> bool:
    """Whether a Content has at least one Part that is neither a thought nor blank.

    What makes an answer usable.
    """
    return any(not part.get("thought") and _has_data(part) for part in parts_of(content))


def as_sent(content: Content) -> Content:
    """A model Content as it goes back to the API.

    Role `model`, blank Parts left out, everything else untouched.

    The API sometimes answers without a role and with empty Parts, and refuses both in a request.
    """
    return {
        **content,
        "role": "model",
        "parts": [part for part in parts_of(content) if not is_blank(part)],
    }


def merged(parts: Iterable[Part]) -> list[Part]:
    """The Parts of a streamed answer as one Content has them.

    Neighbours that are plain text, or both plain thoughts, are one Part; a Part with anything else
    to it, such as a signature, stands alone; blank ones are left out.
    """
    whole: list[Part] = []
    for part in parts:
        if is_blank(part):
            continue
        kind = _mergeable(part)
        if kind and whole and _mergeable(whole[-1]) == kind:
            whole[-1] = {**whole[-1], "text": whole[-1]["text"] + part["text"]}
        else:
            whole.append(part)
    return whole


def group_turns(contents: Iterable[Content]) -> list[list[Content]]:
    """Cut a valid history into turns.

    Each starts at a user Content that is not a function response.
    """
    turns: list[list[Content]] = []
    for content in contents:
        if content["role"] == "user" and not function_responses(content):
            turns.append([])
        turns[-1].append(content)
    return turns


def _has_data(part: Part) -> bool:
    """Whether a Part is more than a signature: an answer of only a signature says nothing."""
    return any(value for key, value in part.items() if key not in ("thought", "thoughtSignature"))


def _mergeable(part: Part) -> str | None:
    """`text` or `thought` for a Part that is only that."""
    if set(part) == {"text"}:
        return "text"
    return "thought" if set(part) == {"text", "thought"} and part["thought"] is True else None
