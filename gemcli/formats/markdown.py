"""A conversation to read: Markdown, with a heading for each Content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gemcli.chat.contents import Content, Part, parts_of, text_of
from gemcli.text import strict_json

HEADINGS = {"user": "User", "model": "Model"}


def dump(history: list[Content], header: Mapping[str, Any]) -> str:
    """The history as one Markdown document, headed by the model and its system instruction.

    What was said stands as it was said, for it usually is Markdown, unless it would swallow what
    follows it, or pass for it: then it is quoted. Calls, files and other data are shown as blocks
    that nothing in them can leave.
    """
    blocks = [f"# Conversation with {' '.join(header['model'].split())}"]
    if instruction := text_of(header["config"].get("systemInstruction")):
        blocks += ["## System", _said(instruction)]
    for content in history:
        blocks.append(f"## {HEADINGS[content['role']]}")
        blocks += [block for part in parts_of(content) if (block := _block(part))]
    return "\n\n".join(blocks) + "\n"


def _block(part: Part) -> str:
    """One Part as Markdown, `""` for one that has nothing to show."""
    text = part.get("text")
    if isinstance(text, str):
        return _quoted(["*Thought:*", *_lines(text)]) if part.get("thought") else _said(text)
    shown = {
        key: _shortened(value)
        for key, value in part.items()
        if key not in ("thought", "thoughtSignature")
    }
    return _fenced(strict_json.dumps(shown), "json") if shown else ""


def _said(text: str) -> str:
    """A message: as it is, or quoted if it does not keep to itself."""
    return text if _keeps_to_itself(_lines(text)) else _quoted(_lines(text))


# What may begin a block of code, behind what may begin a list or a quotation.
_FENCE = re.compile(r"([ \t>*+\d.)-]*)(`{3,}(?=[^`]*$)|~{3,})(.*)")

# What passes for a heading of ours, and HTML, which may do so too, or go on until its end is found.
_LOUD = re.compile(
    r"[ \t]*#{1,2}[ \t]+(user|model|system|conversation with\b.*)[ \t#]*$|[ \t>*+\d.)-]*<[a-z/!?]",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")


def _keeps_to_itself(lines: list[str]) -> bool:
    """Whether what follows these lines is read as if they were not there. When in doubt, no.

    Blocks of code count as closed where an equal fence stands at the same depth, and all between is
    no less deep: then they are, whatever list they are in.
    """
    fence: tuple[str, str] | None = None
    before = ""
    for line in lines:
        if fence:
            depth, marks = fence
            if line.strip() and not line.startswith(depth):
                return False
            end = line.strip(" \t")
            if len(end) >= len(marks) and not end.strip(marks[0]):
                if not line.startswith(depth + marks[0]):
                    return False
                fence = None
        elif match := _FENCE.match(line):
            if match[1].strip(" "):
                return False
            fence = match[1], match[2]
        elif _LOUD.match(line) or (
            _UNDERLINE.fullmatch(line) and _LOUD.match(f"# {before.strip()}")
        ):
            return False
        before = line
    return fence is None


def _lines(text: str) -> list[str]:
    """The lines of a text, with any of Markdown's line ends."""
    return re.split("\r\n|\n|\r", text)


def _quoted(lines: list[str]) -> str:
    return "\n".join(f"> {line}" for line in lines)


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
