"""The model `simulator/echo`: it says what it was sent, so that one sees what a conversation keeps.

Its answer is a pure function of the request. It never pretends to understand anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from gemcli.chat.contents import Content, Part, function_responses, group_turns, parts_of
from gemcli.simulator import continuation, echo_calls, responses, tokens
from gemcli.simulator.continuation import Place
from gemcli.simulator.read_request import Message
from gemcli.simulator.request_fields import PART_DATA
from gemcli.simulator.responses import Response
from gemcli.text import strict_json

NAME = "simulator/echo"

SHORT = 60
"""Characters of an earlier message that are repeated."""

ENDS = 3
"""Earlier messages that are repeated, first ones and last ones; those between are counted."""


HOP = 65536
"""Most tokens of one hop; an answer that may have more goes on in another."""


def answer(request: Message) -> Response:
    """The GenerateContentResponse to a checked request."""
    return answer_from(continuation.place_of(request), request)


def answer_from(place: Place, request: Message) -> Response:
    """The response from a place in the answer on; a place counts characters."""
    if called := echo_calls.calls(request):
        return responses.answer(request, NAME, called)
    settings = request.get("generationConfig", {})
    text = _until_stop(_text(request), settings.get("stopSequences", []))
    end, finish = _end(place.sent, len(text), settings.get("maxOutputTokens"))
    said: list[Part] = [{"text": text[place.sent : end]}]
    token = None
    if finish != "STOP":
        output = place.output + tokens.of_parts(said)
        after = place._replace(hop=place.hop + 1, sent=end, output=output)
        token = continuation.token(request, after, finish)
    return responses.answer(request, NAME, said, finish, before=place.output, token=token)


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


def _until_stop(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first stop sequence."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=None)]


def _end(start: int, length: int, limit: int | None) -> tuple[int, str]:
    """Where a hop that begins at `start` ends, and its finish reason.

    As in the API, the limit is one for all hops, and without one above `HOP` there are no more.
    """
    if limit is None:
        return length, "STOP"
    ends = [(length, "STOP"), (limit * tokens.CHARACTERS, "MAX_TOKENS")]
    if limit > HOP:
        ends.append((start + HOP * tokens.CHARACTERS, "CONTINUATION"))
    return min(ends, key=lambda end: end[0])
