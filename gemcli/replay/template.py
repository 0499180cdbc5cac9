"""Templates: `{{name}}` in a message is replaced by a text once, which is never looked at again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Mapping

FILTERS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text, ensure_ascii=False),
    "trim": str.strip,
}
"""What `{{name|filter}}` does: `json` writes a JSON string, `trim` removes outer white space."""

NAME = r"[A-Za-z_][A-Za-z0-9_]*"

# Braces around most other things are text, like those of LaTeX.
_TEMPLATE = re.compile(rf"\{{\{{[ \t]*({NAME})[ \t]*(?:\|[ \t]*([A-Za-z_]+)[ \t]*)?\}}\}}")


# What other template languages would replace or run: {{user.name}}, {{a|b|c}}, {{#if x}}, {% if %}.
_FOREIGN = re.compile(
    rf"\{{\{{[ \t]*(?:[#/]{NAME}|{NAME}[ \t]*[.(|\[])[^{{}}\n]{{0,200}}\}}\}}"
    r"|\{%[-+]?[ \t]*[A-Za-z][^%\n]{0,200}%\}"
)


def render(text: str, texts: Mapping[str, str]) -> str:
    """The text with every template replaced once. Raises `KeyError` for what `faults` names."""

    def put_in(match: re.Match[str]) -> str:
        value = texts[match[1]]
        return FILTERS[match[2]](value) if match[2] else value

    return _TEMPLATE.sub(put_in, text)


def rendered_length(text: str, texts: Mapping[str, str]) -> int:
    """How long the text will be, but for the work of filters; it is not made for that."""
    matches = _TEMPLATE.finditer(text)
    return len(text) + sum(len(texts[match[1]]) - len(match[0]) for match in matches)


def faults(text: str, known: Container[str]) -> list[tuple[str, str]]:
    """What is wrong with the templates in a text: the rule, and the name that breaks it."""
    found = []
    for match in _TEMPLATE.finditer(text):
        if match[1] not in known:
            found.append(("undefined", match[1]))
        if match[2] and match[2] not in FILTERS:
            found.append(("filter", match[2]))
    return found + [("template", text) for text in foreign(text)]


def foreign(text: str) -> list[str]:
    """What looks like a template of another language, and is sent as it is."""
    matches = (match[0] for match in _FOREIGN.finditer(text))
    return [match for match in matches if not _TEMPLATE.fullmatch(match)]


def names(text: str) -> list[str]:
    """The names that the templates in a text stand for."""
    return [match[1] for match in _TEMPLATE.finditer(text)]
