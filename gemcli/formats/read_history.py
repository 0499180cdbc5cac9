"""Histories from outside, in any form: Contents, a request, or the messages of Chat Completions.

    [{"role": "user", "parts": […]}, …]      a list of Contents, also as JSON Lines
    {"contents": […], "generationConfig": …}  the body of a generateContent request
    {"messages": […], "temperature": …}       the body of a Chat Completions request
    [{"role": "user", "content": "…"}, …]     its messages, also as JSON Lines

A request ends with a message that it asks to be answered: this message is left out, with a note.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from gemcli.chat.contents import Content
from gemcli.errors import GemcliError, Problem, counted, require_none
from gemcli.formats import imported_contents, read_chat_completions
from gemcli.settings.api_objects import wire_form
from gemcli.settings.config import CONFIG, Config
from gemcli.settings.request_settings import HARMLESS, RequestSettings
from gemcli.text import outputs, strict_json, tree
from gemcli.text.problems import Problems

EMPTY = "leave out --history for a session without a history"
SHAPES = "use a list of Contents, JSON Lines of them, or the body of a request"

STANDARD_INPUT = "standard input"
"""What messages call the file `-`."""


@dataclass
class History:
    """A history from outside, its settings, and notes about what was changed or left out.

    `model` is the one that a request names.
    """

    contents: list[Content]
    config: Config = field(default_factory=Config)
    model: str | None = None
    notes: list[str] = field(default_factory=list)


def load(text: str, name: str) -> History:
    """Read a history from outside; `name` is what messages call the file.

    Raises `GemcliError`: BAD_HISTORY if it cannot be read or is empty, TURN_ORDER with every
    breach, by Content and, in JSON Lines, by line; SETTINGS for those of a request.
    """
    text = text.removeprefix("\ufeff")
    if hint := outputs.hint(text):
        raise GemcliError("BAD_HISTORY", f"{name} is not a history", hint=hint)
    values, lines = _values(text, name)
    body = values[0] if len(values) == 1 and isinstance(values[0], dict) else {}
    if "messages" in body:
        history = _messages(body["messages"], [], name)
        _take_settings(history, body, name, is_chat=True)
    elif "contents" in body:
        history = _contents(body["contents"], [], name, is_request=True)
        _take_settings(history, body, name, is_chat=False)
    elif read_chat_completions.are_messages(values):
        history = _messages(values, lines, name)
    else:
        history = _contents(values, lines, name, is_request=False)
    if not history.contents:
        raise GemcliError("BAD_HISTORY", f"{name} has no message with an answer", hint=EMPTY)
    return history


# The forms


def _contents(values: object, lines: list[int], name: str, *, is_request: bool) -> History:
    if not isinstance(values, list):
        raise GemcliError("BAD_HISTORY", f"`contents` of {name} is not a list", hint=SHAPES)
    formed = [wire_form(value) for value in values]
    return _checked(formed, list(range(len(values))), lines, name, is_request=is_request)


def _messages(values: object, lines: list[int], name: str) -> History:
    if not isinstance(values, list):
        raise GemcliError("BAD_HISTORY", f"`messages` of {name} is not a list", hint=SHAPES)
    read = read_chat_completions.Reader(values)
    problems = [_in_line(problem, lines) for problem in read.problems]
    require_none(problems, f"{name} is not a history that Contents can hold", "BAD_HISTORY")
    history = _checked(read.contents, read.places, lines, name, is_request=True)
    if read.system:
        history.config["systemInstruction"] = {"parts": [{"text": text} for text in read.system]}
    if read.left_out:
        history.notes.append(f"left out of the messages: {', '.join(read.left_out)}")
    return history


def _checked(
    values: Sequence[object],
    places: list[int],
    lines: list[int],
    name: str,
    *,
    is_request: bool,
) -> History:
    """The history that values in wire form are; `places` has where each stood."""
    notes = []
    contents, joined = imported_contents.join_answers(values)
    if fewer := len(values) - len(contents):
        notes.append(f"{counted(fewer, 'model Content')} joined with those before")
    contents, filled = imported_contents.fill_in_ids(contents)
    if filled:
        notes.append(f"the ids of calls filled in, in {counted(filled, 'Content')} with responses")
    if is_request and _is_unanswered(contents):
        contents = contents[:-1]
        notes.append("the last message has no answer and was left out: send it again")
    problems, kept = imported_contents.check(contents)
    if _is_unanswered(contents):
        what = "the history ends with a user Content that has no answer"
        hint = "leave it out, and send it as a message"
        problems.append(Problem("unanswered", what, len(contents) - 1, hint=hint))
    given = (replace(problem, index=places[joined[problem.index or 0]]) for problem in problems)
    in_lines = [_in_line(problem, lines) for problem in given]
    require_none(in_lines, f"{name} is not a history the API would accept", "TURN_ORDER")
    if kept:
        notes.append(f"unknown keys of model Contents are kept: {', '.join(kept)}")
    return History(cast("list[Content]", contents), notes=notes)


def _is_unanswered(contents: Sequence[object]) -> bool:
    """Whether a user Content comes last: a session holds exchanges."""
    last = contents[-1] if contents else None
    return isinstance(last, dict) and last.get("role") == "user"


def _in_line(problem: Problem, lines: list[int]) -> Problem:
    """A problem with the line of its value, if values have lines."""
    return replace(problem, line=lines[problem.index or 0]) if lines else problem


def _take_settings(history: History, body: dict[str, Any], name: str, *, is_chat: bool) -> None:
    """Put the settings of a request into the history. Raises `GemcliError` with every problem."""
    problems = Problems()
    settings = RequestSettings(problems, None, chat=is_chat)
    for key, value in cast(tree.Mapping, tree.from_value(body)).items():
        if body[key] in (None, [], {}) or key in ("contents", "messages", "model"):
            continue
        if not settings.take(key, value) and not (is_chat and key in HARMLESS):
            message = f"`{key[:40]}` is not a key of a request"
            problems.add("unknown-key", message, key, problems.suggest(key, CONFIG.keys))
    config = CONFIG(problems, "the request", settings.config() or tree.Mapping())
    problems.require_none(f"the settings of {name}")
    history.config = {**history.config, **(config or {})}
    history.notes += [note.describe() for note in problems.notes]
    history.model = body["model"] if isinstance(body.get("model"), str) else None


# JSON and JSON Lines


def _values(text: str, name: str) -> tuple[list[Any], list[int]]:
    """The values of a JSON list, of one JSON object, or of JSON Lines with the line of each."""
    start = text.lstrip()[:1]
    if not start:
        hint = f"run the command that wrote it again, or {EMPTY}"
        raise GemcliError("BAD_HISTORY", f"{name} is empty", hint=hint)
    try:
        value = strict_json.loads(text)
    except ValueError as error:
        if start == "[":
            raise GemcliError("BAD_HISTORY", f"{name} is not JSON: {error}") from None
        return _lines(text, name)
    if isinstance(value, list):
        return value, []
    if not isinstance(value, dict) or not value.keys() & {"contents", "messages", "role", "parts"}:
        hint = _hint(value, name) or SHAPES
        raise GemcliError("BAD_HISTORY", f"{name} is not a history", hint=hint)
    return [value], []


def _lines(text: str, name: str) -> tuple[list[Any], list[int]]:
    """The values of JSON Lines and the number of the line of each; blank lines are skipped."""
    import jsonlines

    values: list[Any] = []
    lines: list[int] = []
    problems: list[Problem] = []
    rows = text.split("\n")
    with jsonlines.Reader(io.StringIO(text), loads=strict_json.loads) as reader:
        for number, row in enumerate(rows, 1):
            try:
                values.append(reader.read(skip_empty=False))
                lines.append(number)
            except EOFError:
                break
            except jsonlines.InvalidLineError as error:
                if row.strip():
                    problems.append(Problem("json", str(error.__cause__ or error), line=number))
    if hint := _hint(text, name):
        raise GemcliError("BAD_HISTORY", f"{name} is not a history", hint=hint)
    if problems:
        what = f"{name} is neither a JSON list nor JSON Lines"
        raise GemcliError("BAD_HISTORY", what, problems=problems, hint=SHAPES)
    if isinstance(values[0], dict) and values[0].keys() & {"contents", "messages", "turns"}:
        what = f"each line of {name} is a conversation, and a session has one"
        hint = f"gemcli replay {_argument(name)} --out DIR sends the messages of each again"
        raise GemcliError("BAD_HISTORY", what, hint=hint)
    return values, lines


def _hint(value: object, name: str) -> str | None:
    """What to do with something that is no history but a script."""
    if isinstance(value, str):
        is_script = re.match(r"(- |(model|system|turns):)", value) is not None
    else:
        is_script = isinstance(value, dict) and "turns" in value
    return f"gemcli replay {_argument(name)} -s NAME sends its messages" if is_script else None


def _argument(name: str) -> str:
    """The file on a command line, of which messages call `-` standard input."""
    return "-" if name == STANDARD_INPUT else shlex.quote(name)
