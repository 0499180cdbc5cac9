"""A conversation as the messages of OpenAI's Chat Completions API, which many other tools read.

Text, images, function calls and their results are carried over, and the settings that both APIs
have, declarations of functions among them. Thoughts, signatures, what the API's own tools did and
other settings are the Gemini API's own: they are left out, and `left_out` names them. Another Part
that has no counterpart is an error, not a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gemcli.chat.contents import (
    SERVER_SIDE,
    Content,
    FunctionCall,
    Part,
    function_calls,
    function_responses,
    parts_of,
    text_of,
)
from gemcli.chat.turn_order import Identity, identity
from gemcli.errors import GemcliError
from gemcli.formats import Header, chat_completion_tools
from gemcli.text import strict_json

if TYPE_CHECKING:
    from gemcli.settings.config import Config

Message = dict[str, object]


def dump(history: Sequence[Content], header: Header) -> dict[str, Any]:
    """The history as `{"model": …, "messages": […]}`, the system instruction first, and settings.

    Raises `GemcliError` (NOT_EXPRESSIBLE) for a Part that these messages cannot hold.
    """
    messages = _system(header["config"].get("systemInstruction"))
    calls: list[FunctionCall] = []
    call_ids: list[str] = []
    for number, content in enumerate(history):
        if content["role"] == "model":
            calls = function_calls(content)
            # These messages need an id for each call.
            call_ids = [
                str(call.get("id") or f"call_{number}_{place}") for place, call in enumerate(calls)
            ]
            messages.append(_assistant(number, content, call_ids))
        else:
            messages += _tool_results(number, content, calls, call_ids)
            messages += _user(number, content)
    return {"model": header["model"], "messages": messages, **_parameters(header["config"])}


PARAMETERS = {
    "temperature": "temperature",
    "topP": "top_p",
    "seed": "seed",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
"""The settings that both APIs have, and what Chat Completions calls them."""


def _parameters(config: Config) -> dict[str, object]:
    generation = config.get("generationConfig", {})
    found = {name: generation[key] for key, name in PARAMETERS.items() if key in generation}
    return {**found, **chat_completion_tools.parameters(config)}


def left_out(history: Sequence[Content], header: Header) -> list[str]:
    """What `dump` leaves out: marks of Parts, and settings."""
    found: dict[str, None] = {}
    for content in history:
        for part in parts_of(content):
            marks = part.keys() - {"inlineData", "functionCall", "functionResponse"}
            if part.get("thought"):
                found["thoughts"] = None
            found |= dict.fromkeys(sorted(marks - {"text", "thought"}))
    generation = header["config"].get("generationConfig", {})
    found |= dict.fromkeys(key for key in generation if key not in PARAMETERS)
    found |= dict.fromkeys(chat_completion_tools.left_out(header["config"]))
    own = ("systemInstruction", "generationConfig", "tools", "toolConfig")
    return [*found, *(key for key in header["config"] if key not in own)]


def _system(instruction: Content | None) -> list[Message]:
    if not instruction:
        return []
    for part in parts_of(instruction):
        if "text" not in part:
            raise _not_expressible("the system instruction", part)
    return [{"role": "system", "content": text_of(instruction)}]


def _assistant(number: int, content: Content, call_ids: Sequence[str]) -> Message:
    """A model Content as one message."""
    for part in parts_of(content):
        known = part.keys() & {"text", "functionCall", *SERVER_SIDE} or part.get("thought")
        if not known and set(part) != {"thoughtSignature"}:
            raise _not_expressible(f"content {number}", part)
    message: Message = {"role": "assistant", "content": text_of(content) or None}
    tool_calls = []
    for call, call_id in zip(function_calls(content), call_ids, strict=True):
        arguments = strict_json.dumps(call.get("args") or {})
        function = {"name": call.get("name"), "arguments": arguments}
        tool_calls.append({"id": call_id, "type": "function", "function": function})
    if tool_calls:
        message["tool_calls"] = tool_calls
    return message


def _tool_results(
    number: int, content: Content, calls: Sequence[FunctionCall], call_ids: Sequence[str]
) -> list[Message]:
    """The function responses of a user Content, each as a message with the id of its call."""
    waiting: dict[Identity, list[str]] = {}
    for call, call_id in zip(calls, call_ids, strict=True):
        waiting.setdefault(identity(call), []).append(call_id)
    messages: list[Message] = []
    for response in function_responses(content):
        if response.get("parts"):
            raise _not_expressible(f"content {number}", {"functionResponse.parts": response})
        call_id = waiting[identity(response)].pop(0)
        text = strict_json.dumps(response.get("response") or {})
        messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
    return messages


def _user(number: int, content: Content) -> list[Message]:
    """What a user Content says besides function responses, as one message if there is anything."""
    parts = [part for part in parts_of(content) if "functionResponse" not in part]
    if all("text" in part for part in parts):
        text = "".join(part["text"] for part in parts)
        return [{"role": "user", "content": text}] if text else []
    return [{"role": "user", "content": [_content_part(number, part) for part in parts]}]


def _content_part(number: int, part: Part) -> Message:
    """A Part of a message that is more than text."""
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    blob: object = part.get("inlineData")
    if isinstance(blob, dict) and str(blob.get("mimeType")).startswith("image/"):
        url = f"data:{blob['mimeType']};base64,{blob.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    raise _not_expressible(f"content {number}", part)


def _not_expressible(where: str, part: Mapping[str, object]) -> GemcliError:
    kind = next((key for key in part if key not in ("thought", "thoughtSignature")), "part")
    what = f"{where} holds {kind}, which has no counterpart in these messages"
    return GemcliError("NOT_EXPRESSIBLE", what)
