"""The model `simulator/echo`: it says what it was sent, so that one sees what a conversation keeps.

Its answer is a pure function of the request. It never pretends to understand anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from gemcli.chat.contents import Content, Part, function_responses, group_turns, parts_of
from gemcli.simulator import responses, tokens
from gemcli.simulator.read_request import Message
from gemcli.simulator.request_fields import PART_DATA
from gemcli.simulator.responses import Response
from gemcli.text import strict_json

NAME = "simulator/echo"

SHORT = 60
"""Characters of an earlier message that are repeated."""

ENDS = 3
"""Earlier messages that are repeated, first ones and last ones; those between are counted."""


def answer(request: Message) -> Response:
    """The GenerateContentResponse to a checked request."""
    text, finish = _limited(_text(request), request.get("generationConfig", {}))
    return responses.answer(request, NAME, [{"text": text}], finish)


def _text(request: Message) -> str:
    """All that the model has to say, before any limit."""
    turns = group_turns(request["contents"])
    *earlier, message = [turn[0] for turn in turns]
    sentences = [f"Message {len(turns)} says: {_described(message)}."]
    if len(turns[-1]) > 1:
        sentences.append(f"Its functions answered: {_functions(request['contents'][-1])}.")
    if earlier:
        sentences.append(f"Before it: {_earlier(earlier)}.")
    if "systemInstruction" in request:
        instruction = _described(request["systemInstruction"], SHORT)
        sentences.append(f"The system instruction says: {instruction}.")
    return " ".join(sentences)


def _earlier(messages: Sequence[Content]) -> str:
    """The earlier messages, numbered and shortened."""
    numbered = enumerate(messages, 1)
    listed = [f"{number}: {_described(message, SHORT)}" for number, message in numbered]
    if len(listed) > 2 * ENDS:
        listed[ENDS:-ENDS] = [f"({len(listed) - 2 * ENDS} more)"]
    return "; ".join(listed)


def _functions(content: Content) -> str:
    """The function responses of a Content, and what else the user put beside them."""
    answers = []
    for response in function_responses(content):
        value = strict_json.dumps(response.get("response", {}))
        answers.append(f"{response['name']}: {value}")
    others = [part for part in parts_of(content) if "functionResponse" not in part]
    return "; ".join(answers + [_described_part(part) for part in others])


def _described(content: Content, limit: int | None = None) -> str:
    return " ".join(_described_part(part, limit) for part in parts_of(content))


def _described_part(part: Part, limit: int | None = None) -> str:
    """A Part in words: text in quotes, anything else by its kind in brackets."""
    if "text" in part:
        return f'"{_shortened(part["text"], limit)}"'
    for key in ("inlineData", "fileData"):
        if key in part:
            return f"[{part[key].get('mimeType', key)}]"
    kind = next((key for key in part if key in PART_DATA), "part")
    return f"[{kind}]"


def _shortened(text: str, limit: int | None) -> str:
    if limit is None:
        return text
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _limited(text: str, settings: Message) -> tuple[str, str]:
    """`text` up to the first stop sequence and within the token limit, and the finish reason."""
    stops = [text.find(stop) for stop in settings.get("stopSequences", []) if stop in text]
    text = text[: min(stops, default=None)]
    if "maxOutputTokens" in settings:
        limit = settings["maxOutputTokens"] * tokens.CHARACTERS
        if len(text) > limit:
            return text[:limit], "MAX_TOKENS"
    return text, "STOP"
