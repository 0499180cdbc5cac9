"""Markdown: what is shown, and that nothing which was only data can leave its block."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gemcli.formats.markdown import dump
from tests.builders import contents, parts_of

HEADER: Any = {"model": "m", "config": {}}


def model(*parts: Any) -> list[Any]:
    """A history of one turn that was answered with these Parts."""
    return [*contents("q"), {"role": "model", "parts": parts_of(*parts)}]


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
    """Calls are in a block, thoughts are quoted, files are told by their size, signatures are not shown."""
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    call = {"functionCall": {"name": "f", "args": {"é": 1}}, "thoughtSignature": "cw=="}
    assert answered({"text": "hm\n\nso", "thought": True}, call, image, {"text": "", "thoughtSignature": "cw=="}) == (
        "> *Thought:*\n>\n> hm\n>\n> so\n\n"
        '```\nf({"é":1})\n```\n\n'
        '```json\n{"inlineData":{"mimeType":"image/png","data":"(4 characters of base64)"}}\n```\n'
    )


def test_responses_of_functions() -> None:
    """They are not what the user says; an image that belongs to one is told by its size."""
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    plain, with_image = ({"name": "f", "response": {"a": 1}} | more for more in ({}, {"parts": [image]}))
    history = model({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}})
    history.append({"role": "user", "parts": [{"functionResponse": plain}, {"functionResponse": with_image}]})
    assert dump(history, HEADER).partition("## Model\n\n")[2] == (
        '```\nf({})\n```\n\n```\nf({})\n```\n\n## Functions\n\n```\nf: {"a":1}\n```\n\n'
        '```json\n{"functionResponse":{"name":"f","response":{"a":1},"parts":[{"inlineData":{"mimeType":"image/png",'
        '"data":"(4 characters of base64)"}}]}}\n```\n'
    )
    history[-1]["parts"].append({"text": "and this"})
    assert "## User" in dump(history, HEADER).partition("## Model")[2]


def test_code_that_the_api_ran() -> None:
    """Code is code, and so is its output; what a search did is data."""
    search = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {}}, "thoughtSignature": "cw=="}
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)\n"}}
    assert answered(code, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}, search, "a") == (
        "```python\nprint(1)\n```\n\n```\n1\n```\n\n"
        '```json\n{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","args":{}}}\n```\n\n> a\n'
    )


# What a reader of Markdown makes of it


def rendered(*history: Any, header: Any = HEADER) -> list[Token]:
    """The blocks of the document, as CommonMark and GitHub's tables read it; none is HTML that is not ours."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(dump(list(history), header))
    for token in tokens:
        assert "html" not in " ".join([token.type, *(inner.type for inner in token.children or [])]), token
    return tokens


def outline(tokens: Sequence[Token]) -> list[str]:
    """What stands at the top of the document: headings with their text, quotes, blocks of code."""
    found = []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.level == 0 and token.nesting >= 0:
            is_heading = token.type == "heading_open" and following is not None
            found.append(f"# {following.content}" if is_heading and following else token.type)
    return [kind for kind, previous in zip(found, [None, *found], strict=False) if kind != previous]


def code_blocks(tokens: Sequence[Token]) -> list[str]:
    """The content of each block of code, in quotes or not."""
    return [token.content for token in tokens if token.type == "fence"]


TITLE = "# Conversation with m"
PLAIN = [TITLE, "# User", "blockquote_open", "# Model", "blockquote_open", "# User", "blockquote_open", "# Model",
    "blockquote_open"]  # fmt: skip

HOSTILE = [
    "## User\n\nforged",
    "ok\r## User\rforged",
    "see:\n```python\nprint(1)",
    "## &#85;ser",
    "User\n----\nforged",
    "12) <!--",
    "<!-- hidden",
    "a <!-- hidden",
    "\\\\<!-- hidden",
    "\\<b> \\\\\\<b>",
    "`<b>` `\\`<b>` ``<b>`",
    "</blockquote><h2>User</h2>",
    "<details><summary>x",
    "<script>",
    "<![CDATA[",
    "<?php",
    "<a@b.c> <http://x.y>",
    "- a\n  ```\n</blockquote>",
    "- a\n    ```\n    <b>\n\n    ```\n<!--",
    "```\ncode\n~~~\n</blockquote>",
    "```",
    "````\n# out",
    "~~~\n# out",
    "~~~ ```\n~~~\n<!--",
    "` ``` `\n<b>",
    "`" * 50,
    "\n```\n# out\n```json\n",
    "\r```\r# out",
    "\u2028```\u2028# out",
    "\x85```",
    "    <pre>\n<pre>",
    "\t<pre>",
    "[a]: <b\n[a]: </b>",
    "|a|\n|-|\n|`|<b>|`",
    "> out\n<b>",
    "\n\n\n",
    " ",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_stays_in_its_quote(text: str) -> None:
    """A message can neither look like a heading of the document nor hide what follows it."""
    blocks = [kind for kind in outline(rendered(*contents(text, text, "q", "a"))) if kind != "blockquote_open"]
    assert blocks == [TITLE, "# User", "# Model", "# User", "# Model"]
    assert outline(rendered(*contents("q", "a", "q", "a"))) == PLAIN


MARKDOWN = st.text(alphabet="`~<>!-#&;/abh12).=*_[]()|:\\ \t\n\r\u2028\x85", max_size=40)
LINES = st.lists(st.sampled_from(HOSTILE), max_size=4).map("\n".join)


@given(MARKDOWN | LINES | st.text(max_size=20), MARKDOWN, st.booleans())
def test_any_text_stays_in_its_quote(question: str, reply: str, thought: bool) -> None:
    """Whatever is said, thought or instructed, the document has our headings, and quotes below them."""
    header: Any = {"model": "m", "config": {"systemInstruction": {"parts": [{"text": f"a{reply}"}]}}}
    said = [*contents(question), {"role": "model", "parts": [{"text": reply, "thought": thought}]}, *contents("z")]
    blocks = outline(rendered(*said, header=header))
    assert [kind for kind in blocks if kind != "blockquote_open"] == [
        TITLE, "# System", "# User", "# Model", "# User",
    ]  # fmt: skip


CODE = "#include <vector>\n\nstd::vector<int> a; // `x`\n\\<b>\n  </blockquote>"


@pytest.mark.parametrize("fence", ["```", "````", "~~~", "   ```"])
def test_code_is_not_touched(fence: str) -> None:
    """A block of code is shown as it was written, with its language; the prose around it is quoted as well."""
    indent = fence[: len(fence) - len(fence.lstrip())]
    code = "\n".join(indent + line for line in CODE.split("\n"))
    tokens = rendered(*contents("q", f"Use <b>this</b>:\n\n{fence} c++ x\n{code}\n{fence}\n\nand *that*."))
    assert code_blocks(tokens) == [CODE + "\n"]
    assert [token.info for token in tokens if token.type == "fence"] == ["c++"]
    assert [token.content for token in tokens if token.type == "inline"][-2:] == [
        "Use \\<b>this\\</b>:", "and *that*.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Use `<div>` or `a<b>`, not <b>.", ["<div>", "a<b>"]),
        ("it`s `<b>`", []),
        ("\\`<b>` `", []),
        ("| `<b>` | `c` |", ["\\<b>", "c"]),
        ("``a`<b>``", ["a\\`\\<b>"]),
    ],
)
def test_code_in_a_line(line: str, code: list[str]) -> None:
    """Code within a line is shown as it was written, if it is certain to be code."""
    tokens = rendered(*contents("q", f"``\n\n{line}\nand `<more>`"))
    found = [inner.content for token in tokens for inner in token.children or [] if inner.type == "code_inline"]
    assert found == [*code, "<more>"]


MARKS = ["`", "``", "```", "<b>", "<!--", "<", "\\", "|", "\n", "\n\n", " ", "    ", "a", "- ", "> ", "[", "](", "]: ",
    "|-|\n", "*", "#", "</b>"]  # fmt: skip


@given(st.lists(st.sampled_from(MARKS), max_size=16).map("".join))
@example("it`s\n`<b>`")
@example("`<b>`\n``\n`")
def test_code_hides_no_html(text: str) -> None:
    """However backticks pair up across lines, there is no HTML between them."""
    rendered(*contents(text, "a"))


@given(st.text(alphabet="`~<>!-a \t", max_size=12))
def test_any_code(code: str) -> None:
    """Any line between fences is one block of code with just this line."""
    if not code.lstrip(" ").startswith("~~~"):
        assert code_blocks(rendered(*contents("q", f"~~~~~~\n{code}\n~~~~~~"))) == [code + "\n"]


def test_a_model_with_a_name_of_html() -> None:
    """The title is no HTML, either: a rules file may have any name."""
    assert rendered(header={"model": "simulator/rules:<!--", "config": {}})[1].content.endswith("\\<!--")


# Data


PARTS: dict[str, Any] = {
    "call": lambda text: {"functionCall": {"name": text, "args": {text: text}}},
    "code": lambda text: {"executableCode": {"code": text}},
    "output": lambda text: {"codeExecutionResult": {"output": text}},
    "unknown": lambda text: {"later": text},
    "key": lambda text: {text: 1},
    "data": lambda text: {"inlineData": {"mimeType": text, "data": text}},
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_data_stays_in_its_block(part: Any) -> None:
    """Nothing in a block can close it: what follows the block stands outside, and nothing of the block does."""
    for text in HOSTILE:
        blocks = outline(rendered(*model(part(text), {"text": "after"})))
        assert blocks == [TITLE, "# User", "blockquote_open", "# Model", "fence", "blockquote_open"], text


@pytest.mark.parametrize("text", ["`", "```", "`" * 50, "``` ````` ```"], ids=ascii)
def test_fences_are_longer_than_what_they_hold(text: str) -> None:
    """A fence is longer than any run of backticks inside, for readers that look for one anywhere."""
    fence = re.match("`+", answered({"functionCall": {"name": text}}))
    assert fence is not None
    assert len(fence[0]) == max(3, 1 + max(map(len, re.findall("`+", text))))


@given(st.text(max_size=20) | MARKDOWN)
def test_any_data_stays_in_its_block(text: str) -> None:
    """Whatever data holds, its block is closed where it ends."""
    part = {"functionCall": {"name": text, "args": {"a": [text]}}}
    assert outline(rendered(*model(part, {"text": "after"})))[-2:] == ["fence", "blockquote_open"]
