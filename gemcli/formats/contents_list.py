"""A history as the list of its Contents, which the SDK takes as `history=`: JSON or JSON Lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from gemcli.chat import turn_order
from gemcli.chat.contents import Content
from gemcli.errors import GemcliError, Problem, require_none
from gemcli.text import strict_json


def load(text: str, name: str) -> list[Content]:
    """Read a history from outside: a JSON list of Contents, or JSON Lines with one Content a line.

    `name` is what messages call the file. Raises `GemcliError`: BAD_HISTORY if it cannot be read,
    TURN_ORDER with every breach, by Content and, in JSON Lines, by line.
    """
    is_list = text.lstrip().startswith("[")
    contents, lines = (_read_list if is_list else _read_lines)(text, name)
    problems = turn_order.check_import(contents) + _unanswered(contents)
    if lines:
        problems = [replace(problem, line=lines[problem.index or 0]) for problem in problems]
    require_none(problems, f"{name} is not a history the API would accept", "TURN_ORDER")
    return cast("list[Content]", contents)


def _unanswered(contents: Sequence[object]) -> list[Problem]:
    """A session holds exchanges, so a history must end with an answer."""
    last = contents[-1] if contents else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return []
    what = "the history ends with a user Content that has no answer"
    hint = "leave it out, and send it as a message"
    return [Problem("unanswered", what, len(contents) - 1, hint=hint)]


def _read_list(text: str, name: str) -> tuple[list[object], list[int]]:
    """The values of a JSON list, which have no lines of their own."""
    try:
        return list(strict_json.loads(text)), []
    except ValueError as error:
        raise GemcliError("BAD_HISTORY", f"{name} is not JSON: {error}") from None


def _read_lines(text: str, name: str) -> tuple[list[object], list[int]]:
    """The values of JSON Lines and the number of the line of each; blank lines are skipped."""
    import jsonlines

    contents: list[object] = []
    lines: list[int] = []
    problems: list[Problem] = []
    rows = text.split("\n")
    with jsonlines.Reader(io.StringIO(text), loads=strict_json.loads) as reader:
        for number, row in enumerate(rows, 1):
            try:
                contents.append(reader.read(skip_empty=False))
                lines.append(number)
            except EOFError:
                break
            except jsonlines.InvalidLineError as error:
                if row.strip():
                    problems.append(Problem("json", str(error.__cause__ or error), line=number))
    if problems:
        what = f"{name} is neither a JSON list nor JSON Lines"
        raise GemcliError("BAD_HISTORY", what, problems=problems)
    return contents, lines
