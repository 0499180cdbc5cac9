"""The model `simulator/echo`.

It says what it was sent, so that one can see what a conversation remembers.

Its answer is a pure function of the request. It never pretends to understand anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gemcli.chat.contents import Content, Part, function_responses, group_turns, parts_of
from gemcli.simulator import responses, tokens
from gemcli.simulator.request_messages import PART_DATA
from gemcli.text import strict_json

NAME = "simulator/echo"

SHORT = 60
"""Characters of an earlier message that are repeated."""

ENDS = 3
"""How many of the first and of the last earlier messages are repeated.

Those between are counted.
"""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The GenerateContentResponse to a checked request."""
    text, finish = _cut(_speech(request), request.get("generationConfig", {}))
    return responses.answer(request, NAME, [{"text": text}], finish)


def _speech(request: dict[str, Any]) -> str:
    """Everything the model has to say."""
    turns = group_turns(request["contents"])
    messages = [turn[0] for turn in turns]
    sentences = [f"Message {len(turns)} says: {_told(messages[-1])}."]
    if len(turns[-1]) > 1:
        sentences.append(f"Its functions answered: {_functions(request['contents'][-1])}.")
    if messages[:-1]:
        sentences.append(f"Before it: {_earlier(messages[:-1])}.")
    if "systemInstruction" in request:
        sentences.append(
            f"The system instruction says: {_told(request['systemInstruction'], SHORT)}."
        )
    return " ".join(sentences)


def _earlier(messages: Sequence[Content]) -> str:
    told = [f"{number}: {_told(message, SHORT)}" for number, message in enumerate(messages, 1)]
    if len(told) > 2 * ENDS:
        told[ENDS:-ENDS] = [f"({len(told) - 2 * ENDS} more)"]
    return "; ".join(told)


def _functions(content: Content) -> str:
    """The function responses of a Content, and what else the user put beside them."""
    answers = [
        f"{each['name']}: {strict_json.dumps(each.get('response', {}))}"
        for each in function_responses(content)
    ]
    beside = [_named(part) for part in parts_of(content) if "functionResponse" not in part]
    return "; ".join(answers + beside)


def _told(content: Content, limit: int | None = None) -> str:
    return " ".join(_named(part, limit) for part in parts_of(content))


def _named(part: Part, limit: int | None = None) -> str:
    """A Part in words: text in quotes, anything else by its kind in brackets."""
    if "text" in part:
        return f'"{_shortened(part["text"], limit)}"'
    for key in ("inlineData", "fileData"):
        if key in part:
            return f"[{part[key].get('mimeType', key)}]"
    return f"[{next((key for key in part if key in PART_DATA), 'part')}]"


def _shortened(text: str, limit: int | None) -> str:
    if limit is None:
        return text
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _cut(text: str, settings: dict[str, Any]) -> tuple[str, str]:
    """`text` up to the first stop sequence and within the token limit, and the finish reason."""
    stops = [text.find(stop) for stop in settings.get("stopSequences", []) if stop in text]
    text = text[: min(stops, default=None)]
    limit = settings.get("maxOutputTokens", len(text)) * tokens.CHARACTERS
    return text[:limit], "MAX_TOKENS" if len(text) > limit else "STOP"
