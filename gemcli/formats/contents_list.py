"""A history as the list of its Contents.

What the SDK takes as `history=`, as one JSON list or as JSON Lines.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gemcli.chat import turn_order
from gemcli.chat.contents import Content
from gemcli.errors import GemcliError, Problem
from gemcli.text import strict_json


def load(text: str, name: str) -> list[Content]:
    """Read a history from outside: a JSON list of Contents, or JSON Lines with one Content a line.

    `name` is what messages call the file. Raises `GemcliError`: BAD_HISTORY when it cannot be read,
    TURN_ORDER with every breach, by Content and, in JSON Lines, by line.
    """
    contents, lines = _list(text, name) if text.lstrip()[:1] == "[" else _jsonl(text, name)
    problems = [*turn_order.check_import(contents), *_unanswered(contents)]
    if lines:
        problems = [replace(problem, line=lines[problem.index or 0]) for problem in problems]
    turn_order.require(problems, f"{name} is not a history the API would accept")
    return contents


def _unanswered(contents: list[Any]) -> list[Problem]:
    """A session holds exchanges, so a history must end with an answer."""
    last = contents[-1] if contents else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return []
    hint = "leave it out, and send it as a message"
    return [
        Problem(
            "unanswered",
            "the history ends with a user Content that has no answer",
            len(contents) - 1,
            hint=hint,
        )
    ]


def dump(history: list[Content], _header: Mapping[str, Any]) -> list[Content]:
    """The history as one list."""
    return history


def _list(text: str, name: str) -> tuple[list[Any], list[int]]:
    try:
        contents = strict_json.loads(text)
    except ValueError as error:
        raise GemcliError("BAD_HISTORY", f"{name} is not JSON: {error}") from None
    return list(contents), []


def _jsonl(text: str, name: str) -> tuple[list[Any], list[int]]:
    """The values and the number of the line of each, blank lines left out."""
    import jsonlines

    contents, lines, problems = [], [], []
    rows = text.split("\n")
    with jsonlines.Reader(io.StringIO(text), loads=strict_json.loads) as reader:
        number = 0
        while True:
            number += 1
            try:
                contents.append(reader.read(skip_empty=False))
                lines.append(number)
            except EOFError:
                break
            except jsonlines.InvalidLineError as error:
                if rows[number - 1].strip():
                    problems.append(Problem("json", str(error.__cause__ or error), line=number))
    if problems:
        raise GemcliError(
            "BAD_HISTORY", f"{name} is neither a JSON list nor JSON Lines", problems=problems
        )
    return contents, lines
