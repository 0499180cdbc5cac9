"""A conversation to read: Markdown, with a heading for each Content."""

from __future__ import annotations

import re
from typing import Any

from gemcli import strictjson
from gemcli.contents import Content, Part, parts_of, text_of

HEADINGS = {"user": "User", "model": "Model"}


def dump(history: list[Content], header: dict[str, Any]) -> str:
    """The history as one Markdown document, headed by the model and its system instruction.

    What was said stands as it was said, for it usually is Markdown; calls, files and other data are shown as
    blocks that nothing in them can leave.
    """
    blocks = [f"# Conversation with {header['model']}"]
    if instruction := text_of(header["config"].get("systemInstruction")):
        blocks += ["## System", instruction]
    for content in history:
        blocks.append(f"## {HEADINGS[content['role']]}")
        blocks += [block for part in parts_of(content) if (block := _block(part))]
    return "\n\n".join(blocks) + "\n"


def _block(part: Part) -> str:
    """One Part as Markdown, `""` for one that has nothing to show."""
    text = part.get("text")
    if isinstance(text, str):
        return _quoted(text) if part.get("thought") else text
    shown = {key: _shortened(value) for key, value in part.items() if key not in ("thought", "thoughtSignature")}
    return _fenced(strictjson.dumps(shown), "json") if shown else ""


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in ["*Thought:*", *re.split("\r\n|\n|\r", text)])


def _fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _shortened(value: Any) -> Any:
    """The value with base64 data told by its length: nobody reads it."""
    if isinstance(value, dict) and isinstance(value.get("data"), str):
        return {**value, "data": f"({len(value['data'])} characters of base64)"}
    return value
