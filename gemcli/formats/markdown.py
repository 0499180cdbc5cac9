"""A conversation to read: Markdown, with a heading for each Content."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gemcli.chat.contents import MARKS, Content, Part, parts_of, server_side_data, text_of
from gemcli.formats import Header
from gemcli.text import strict_json

HEADINGS = {"user": "User", "model": "Model"}

_FENCE = re.compile(
    r"(?P<indent> {0,3})(?P<fence>`{3,}(?=[^`]*\Z)|~{3,})\s*(?P<language>[\w+#.-]*).*"
)
# Backslashes in pairs, perhaps one that escapes the mark, and the mark.
_BACKSLASHES = r"(?<!\\)((?:\\\\)*)(\\?)"
_HTML = re.compile(_BACKSLASHES + r"(<)(?=[A-Za-z/!?])")
_SINGLE_BACKTICK = re.compile(_BACKSLASHES + r"(?<!`)(`)(?!`)")


def dump(history: Sequence[Content], header: Header) -> str:
    """The history as one Markdown document, headed by the model and its system instruction.

    Text is quoted, calls and other data are in blocks of code: nothing in a message can leave its
    place, look like a part of the document, or hide what follows.
    """
    blocks = [f"# Conversation with {_without_html(' '.join(header['model'].split()))}"]
    instruction = text_of(header["config"].get("systemInstruction"))
    if instruction:
        blocks += ["## System", *_quotes(instruction)]
    for content in history:
        responses = all("functionResponse" in part for part in parts_of(content))
        blocks.append(f"## {'Functions' if responses else HEADINGS[content['role']]}")
        for part in parts_of(content):
            blocks += _blocks(part)
    return "\n\n".join(blocks) + "\n"


def _blocks(part: Part) -> list[str]:
    """One Part as Markdown, `[]` if it has nothing to show."""
    text = part.get("text")
    if isinstance(text, str):
        if part.get("thought"):
            return _quotes(f"*Thought:*\n\n{text}")
        return _quotes(text) if text else []
    if "functionCall" in part:
        call = part["functionCall"]
        return [_fenced(f"{call.get('name')}({strict_json.dumps(call.get('args') or {})})")]
    code = server_side_data(part)
    if isinstance(code, str):
        return [_fenced(code.rstrip(), "python" if "executableCode" in part else "")]
    if "functionResponse" in part and not part["functionResponse"].get("parts"):
        response = part["functionResponse"]
        return [_fenced(f"{response.get('name')}: {strict_json.dumps(response.get('response'))}")]
    shown = _without_data({key: value for key, value in part.items() if key not in MARKS})
    return [_fenced(strict_json.dumps(shown), "json")] if shown else []


def _without_data(value: object) -> object:
    """A value in which base64 data, which nobody reads, are replaced by their length."""
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if not isinstance(value, dict):
        return value
    blob = value.get("inlineData")
    if isinstance(blob, dict) and isinstance(blob.get("data"), str):
        size = f"({len(blob['data'])} characters of base64)"
        return {**value, "inlineData": {**blob, "data": size}}
    return {key: _without_data(inner) for key, inner in value.items()}


def _quotes(text: str) -> list[str]:
    """A text as block quotes, one for each of its stretches of prose and blocks of code.

    HTML in prose is shown, not rendered: `<!--` would hide the rest of the document. What is code
    must stay as it is, so each block gets a quote and a fence of its own: whatever stands around
    it, it is code, and a stretch of prose that was taken for code is harmless.
    """
    blocks: list[str] = []
    prose: list[str] = []
    lines = iter(re.split("\r\n|\n|\r", text))
    for line in lines:
        fence = _FENCE.fullmatch(line)
        if not fence:
            prose.append(_without_html(line))
            continue
        code = [inner.removeprefix(fence["indent"]) for inner in _until_closed(lines, fence)]
        blocks += ["\n".join(prose), _fenced("\n".join(code), fence["language"])]
        prose = []
    blocks.append("\n".join(prose))
    return [_quoted(block.strip("\n")) for block in blocks if block.strip("\n")]


def _until_closed(lines: Iterator[str], opening: re.Match[str]) -> Iterator[str]:
    """The lines of code before the fence that closes the block, or before the end."""
    for line in lines:
        if re.fullmatch(f" {{0,3}}{opening['fence']}{opening['fence'][0]}*\\s*", line):
            return
        yield line


def _without_html(line: str) -> str:
    """A line of prose in which each `<` that could begin HTML is escaped, but for those in code.

    What is code is only certain if no backtick outside of the line can pair with one in it: a
    backtick that has no partner in its own line is escaped as well.
    """
    runs = re.findall("`+", line)
    if set(runs) - {"`"} or len(runs) % 2 or "\\`" in line:
        return _SINGLE_BACKTICK.sub(_escaped, _HTML.sub(_escaped, line))
    if "|" in line:  # cells of a table may cut code in two
        return _HTML.sub(_escaped, line)
    pieces = line.split("`")
    pieces[::2] = [_HTML.sub(_escaped, piece) for piece in pieces[::2]]
    return "`".join(pieces)


def _escaped(match: re.Match[str]) -> str:
    """A mark with a backslash before it, unless there is one."""
    pairs, backslash, mark = match.groups()
    return f"{pairs}{backslash or chr(92)}{mark}"


def _quoted(block: str) -> str:
    """The lines of a block as a block quote."""
    return "\n".join(f"> {line}" if line else ">" for line in block.split("\n"))


def _fenced(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any run of backticks inside."""
    runs = re.findall("`+", text)
    longest = max(map(len, runs), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
