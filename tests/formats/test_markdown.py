"""Markdown: what is shown, and that nothing which was only data can leave its block."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.formats.markdown import dump
from tests.builders import contents

HEADER: Any = {"model": "m", "config": {}}


def model(*parts: Any) -> list[Any]:
    """A history of one turn that was answered with these Parts."""
    return [*contents("q"), {"role": "model", "parts": list(parts)}]


def answered(*parts: Any) -> str:
    """What is written below the heading of the answer."""
    return dump(model(*parts), HEADER).partition("## Model\n\n")[2]


def test_document() -> None:
    """A conversation has a title, the system instruction, and a heading for each Content, its text quoted."""
    header: Any = {"model": "m", "config": {"systemInstruction": {"parts": [{"text": "Be brief."}]}}}
    assert dump(contents("hi *you*", "- a\n- b"), header) == (
        "# Conversation with m\n\n## System\n\n> Be brief.\n\n## User\n\n> hi *you*\n\n## Model\n\n> - a\n> - b\n"
    )
    assert dump([], HEADER) == "# Conversation with m\n"


def test_parts() -> None:
    """Calls are JSON in a block, thoughts are quoted, files are told by their size, signatures are not shown."""
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    call = {"functionCall": {"name": "f", "args": {"é": 1}}, "thoughtSignature": "cw=="}
    assert answered({"text": "hm\n\nso", "thought": True}, call, image, {"text": "", "thoughtSignature": "cw=="}) == (
        "> *Thought:*\n> hm\n> \n> so\n\n"
        '```json\n{"functionCall":{"name":"f","args":{"é":1}}}\n```\n\n'
        '```json\n{"inlineData":{"mimeType":"image/png","data":"(4 characters of base64)"}}\n```\n'
    )


def blocks_left(text: str) -> list[str]:
    """What stands outside of code blocks, line by line, read as CommonMark reads fences."""
    outside, fence = [], ""
    for line in re.split("\r\n|\n|\r", text):
        mark = re.match(" {0,3}(`{3,}|~{3,})", line)
        if fence:
            if mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not line.strip(" `~"):
                fence = ""
        elif mark:
            fence = mark[1]
        else:
            outside.append(line)
    assert not fence, "a block was never closed"
    return outside


HOSTILE = [
    "```",
    "````\n# out",
    "~~~\n# out",
    "`" * 50,
    "\n```\n# out\n```json\n",
    "\r```\r# out",
    "\u2028```\u2028# out",
    "\x85```",
]


PARTS: dict[str, Any] = {
    "call": lambda text: {"functionCall": {"name": text, "args": {text: text}}},
    "code": lambda text: {"executableCode": {"code": text}},
    "unknown": lambda text: {"later": text},
    "key": lambda text: {text: 1},
    "data": lambda text: {"inlineData": {"mimeType": text, "data": text}},
}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_fences_hold(part: Any, text: str) -> None:
    """Nothing in a block can close it: what follows the block stands outside, and nothing of the block does."""
    left = blocks_left(answered(part(text), {"text": "after"}))
    assert [line for line in left if line] == ["> after"]


@pytest.mark.parametrize("text", ["`", "```", "`" * 50, "``` ````` ```"], ids=ascii)
def test_fences_are_longer_than_what_they_hold(text: str) -> None:
    """A fence is longer than any run of backticks inside, for readers that look for one anywhere."""
    fence = re.match("`+", answered({"functionCall": {"name": text}}))
    assert fence is not None
    assert len(fence[0]) == max(3, 1 + max(map(len, re.findall("`+", text))))


@given(st.text(max_size=20) | st.text(alphabet="`~\n\r #a\u2028\x85", max_size=20))
def test_any_data_stays_in_its_block(text: str) -> None:
    """Whatever data holds, its block is closed where it ends."""
    left = blocks_left(answered({"functionCall": {"name": text, "args": {"a": [text]}}}, {"text": "after"}))
    assert [line for line in left if line] == ["> after"]


@given(st.text(max_size=20) | st.text(alphabet="`>\n\r #a\u2028\x85", max_size=20))
def test_any_thought_stays_quoted(text: str) -> None:
    """Whatever a thought holds, every line of it is quoted, with any of Markdown's line ends."""
    written = answered({"text": text, "thought": True}).removesuffix("\n")
    assert all(line.startswith(">") for line in re.split("\r\n|\n|\r", written))
