"""A man page made from Markdown: a small renderer of roff behind markdown-it-py's parser.

A page begins with its name and what it is about, `# gemcli-send(1): send one message`, and has
sections (`##`), subsections (`###`), paragraphs, lists, code and tables. Each row of a table
becomes an entry: the first cell is its term, the second its text, and each further cell follows as
"Heading: cell.". Comments are left out. Anything else raises `ValueError`, so nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

SECTIONS = {"1": "User Commands", "5": "File Formats"}
"""What a section of the manual is called in the header of its pages."""

ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
"""Characters that roff takes for commands, or shows as others that a shell does not understand."""

FONTS = {
    "strong_open": r"\fB",
    "strong_close": r"\fR",
    "em_open": r"\fI",
    "em_close": r"\fR",
    "softbreak": " ",
}

IGNORED = {"html_block", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_close"}


def roff(markdown: str, version: str) -> str:
    """The man page that a Markdown text describes, in ASCII."""
    lines: list[str] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for line in _blocks(tokens, version):
        after_heading = lines and lines[-1].startswith((".SH", ".SS"))
        if not (line == ".PP" and after_heading):
            lines.append(line)
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that roff shows character for character, unless its line begins with a dot."""
    return "".join(ESCAPES.get(char) or _ascii(char) for char in text)


def _ascii(char: str) -> str:
    return char if char.isascii() else f"\\[u{ord(char):04X}]"


def _blocks(tokens: Sequence[Token], version: str) -> Iterator[str]:
    """The lines of a page."""
    headings: list[str] = []
    cells: list[str] = []
    list_items = 0
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else token
        match token.type:
            case "heading_open":
                yield from _heading(token.tag, following.content, version)
            case "paragraph_open":
                if not list_items:
                    yield ".PP"
            case "list_item_open":
                list_items += 1
                yield r".IP \(bu 2"
            case "list_item_close":
                list_items -= 1
            case "fence" | "code_block":
                yield from (".PP", ".RS 4", ".nf")
                yield from (_line(escape(row)) for row in token.content.splitlines())
                yield from (".fi", ".RE")
            case "table_open":
                headings = []
            case "tr_open":
                cells = []
            case "th_open":
                headings.append(following.content)
            case "td_open":
                cells.append(_inline(following))
                if len(cells) == len(headings):
                    yield from _entry(headings, cells)
            case "inline":
                if tokens[place - 1].type == "paragraph_open":
                    yield _line(_inline(token))
            case kind:
                if not kind.endswith("_close") and kind not in (*IGNORED, "bullet_list_open"):
                    raise ValueError(f"a man page cannot show {kind}: {token.content!r}")


def _heading(tag: str, text: str, version: str) -> Iterator[str]:
    if tag == "h1":
        title = re.fullmatch(r"([\w-]+)\((\d)\): (.*)", text)
        if title is None:
            raise ValueError(f"the title of a page is NAME(SECTION): SUMMARY, not {text!r}")
        name, section, summary = title.groups()
        yield rf".\" Made by scripts/gen_docs from man/{name}.{section}.md: change that, not this."
        header = f'{section} "" "gemcli {version}" "{SECTIONS[section]}"'
        yield f".TH {escape(name.upper())} {header}"
        yield from (".nh", ".ad l", ".SH NAME", rf"{escape(name)} \- {escape(summary)}")
    else:
        yield f".SH {escape(text.upper())}" if tag == "h2" else f".SS {escape(text)}"


def _entry(headings: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    """A row of a table."""
    term, text, *more = cells
    sentences = [_sentence(text)]
    for heading, cell in zip(headings[2:], more, strict=True):
        if cell:
            sentences.append(f"{_capital(escape(heading))}: {cell}.")
    yield from (".TP", term, _line(" ".join(sentences)))


def _sentence(text: str) -> str:
    """A cell as a sentence; names keep their case."""
    start = text if text.startswith("gemcli") else _capital(text)
    return start if start.endswith((".", "?", "!", "]")) else f"{start}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _inline(token: Token) -> str:
    """A row of text with its fonts."""
    text, link = "", ""
    for child in token.children or []:
        if child.type == "text":
            text += escape(child.content)
        elif child.type == "code_inline":
            text += rf"\fB{escape(child.content)}\fR"
        elif child.type == "link_open":
            link, before = str(child.attrs["href"]), text
        elif child.type == "link_close":
            text = before + _link(text[len(before) :], link)
        elif child.type in FONTS:
            text += FONTS[child.type]
        else:
            raise ValueError(f"a man page cannot show {child.type}: {token.content!r}")
    return text


def _link(text: str, target: str) -> str:
    """A link: another page of the manual by its name, and else the address behind the text."""
    if target.endswith(".md"):
        name, _, section = text.partition("(")
        return rf"\fB{name}\fR({section}"
    return text if escape(target) == text else f"{text} <{escape(target)}>"


def _line(text: str) -> str:
    """A line of text that is no command, whatever it begins with."""
    return rf"\&{text}" if text.startswith(".") else text
