"""A conversation to read: Markdown, with a heading for each Content."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gemcli.chat.contents import Content, Part, parts_of, text_of
from gemcli.formats import Header
from gemcli.text import strict_json

HEADINGS = {"user": "User", "model": "Model"}
HIDDEN = ("thought", "thoughtSignature")


def dump(history: Sequence[Content], header: Header) -> str:
    """The history as one Markdown document, headed by the model and its system instruction.

    Text is quoted, and other data is in blocks of code: nothing in a message can leave its place
    or look like a part of the document.
    """
    blocks = [f"# Conversation with {' '.join(header['model'].split())}"]
    instruction = text_of(header["config"].get("systemInstruction"))
    if instruction:
        blocks += ["## System", _quoted(instruction)]
    for content in history:
        blocks.append(f"## {HEADINGS[content['role']]}")
        blocks += filter(None, map(_block, parts_of(content)))
    return "\n\n".join(blocks) + "\n"


def _block(part: Part) -> str:
    """One Part as Markdown, `""` if it has nothing to show."""
    text = part.get("text")
    if isinstance(text, str):
        if part.get("thought"):
            return _quoted(f"*Thought:*\n{text}")
        return _quoted(text) if text else ""
    shown = {key: _without_data(value) for key, value in part.items() if key not in HIDDEN}
    return _fenced(strict_json.dumps(shown), "json") if shown else ""


def _without_data(value: object) -> object:
    """A value with its base64 data, which nobody reads, replaced by its length."""
    if isinstance(value, dict) and isinstance(value.get("data"), str):
        return {**value, "data": f"({len(value['data'])} characters of base64)"}
    return value


def _quoted(text: str) -> str:
    """A text as a block quote; its lines end as Markdown's do."""
    return "\n".join(f"> {line}" for line in re.split("\r\n|\n|\r", text))


def _fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any run of backticks inside."""
    runs = re.findall("`+", text)
    longest = max(map(len, runs), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
