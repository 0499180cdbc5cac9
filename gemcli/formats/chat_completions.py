"""A conversation as the messages of OpenAI's Chat Completions API, which many other tools read.

Text, images, function calls and their results are carried over; thoughts and signatures are the
Gemini API's own and left out. What has no counterpart is an error, not a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemcli.chat.contents import (
    Content,
    FunctionCall,
    Part,
    function_calls,
    function_responses,
    parts_of,
    text_of,
)
from gemcli.chat.turn_order import identity
from gemcli.errors import GemcliError
from gemcli.text import strict_json

Waiting = tuple[tuple[str, str | None], str]
"""A call that waits for its response: what the response repeats, and the id it has here."""


def dump(history: list[Content], header: Mapping[str, Any]) -> dict[str, Any]:
    """The history as `{"model": …, "messages": […]}`, the system instruction first.

    Raises `GemcliError` (NOT_EXPRESSIBLE) for a Part that these messages cannot hold.
    """
    messages: list[dict[str, Any]] = []
    instruction = header["config"].get("systemInstruction")
    if instruction and not all("text" in part for part in parts_of(instruction)):
        raise _cannot("the system instruction", parts_of(instruction)[0])
    if instruction:
        messages.append({"role": "system", "content": text_of(instruction)})
    waiting: list[Waiting] = []
    for number, content in enumerate(history):
        if content["role"] == "model":
            waiting = [
                (identity(call), _id(call, number, place))
                for place, call in enumerate(function_calls(content))
            ]
            messages.append(_assistant(number, content, [name for _, name in waiting]))
        else:
            messages += _user(number, content, waiting)
    return {"model": header["model"], "messages": messages}


def _id(call: FunctionCall, number: int, place: int) -> str:
    """A call's id, made up where it has none: these messages cannot do without."""
    return str(call.get("id") or f"call_{number}_{place}")


def _assistant(number: int, content: Content, ids: list[str]) -> dict[str, Any]:
    """A model Content as one message."""
    for part in parts_of(content):
        if (
            not part.get("thought")
            and not {"text", "functionCall"} & part.keys()
            and set(part) != {"thoughtSignature"}
        ):
            raise _cannot(f"content {number}", part)
    text = text_of(content)
    calls = [
        {
            "id": identity,
            "type": "function",
            "function": {
                "name": call.get("name"),
                "arguments": strict_json.dumps(call.get("args") or {}),
            },
        }
        for call, identity in zip(function_calls(content), ids, strict=True)
    ]
    return {"role": "assistant", "content": text or None} | ({"tool_calls": calls} if calls else {})


def _user(number: int, content: Content, waiting: list[Waiting]) -> list[dict[str, Any]]:
    """A user Content: a message for each function response, and one for what else was said."""
    left: dict[tuple[str, str | None], list[str]] = {}
    for key, name in reversed(waiting):
        left.setdefault(key, []).append(name)
    messages: list[dict[str, Any]] = []
    for response in function_responses(content):
        if response.get("parts"):
            raise _cannot(f"content {number}", {"functionResponse": response})
        told = strict_json.dumps(response.get("response") or {})
        messages.append(
            {"role": "tool", "tool_call_id": left[identity(response)].pop(), "content": told}
        )
    said = [part for part in parts_of(content) if "functionResponse" not in part]
    if all("text" in part for part in said):
        text = "".join(part["text"] for part in said)
        return messages + ([{"role": "user", "content": text}] if text else [])
    return [*messages, {"role": "user", "content": [_piece(number, part) for part in said]}]


def _piece(number: int, part: Part) -> dict[str, Any]:
    """A Part of a message that is more than text."""
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    blob = part.get("inlineData")
    if isinstance(blob, dict) and str(blob.get("mimeType")).startswith("image/"):
        return {
            "type": "image_url",
            "image_url": {"url": f"data:{blob['mimeType']};base64,{blob.get('data')}"},
        }
    raise _cannot(f"content {number}", part)


def _cannot(where: str, part: Part) -> GemcliError:
    kind = next((key for key in part if key not in ("thought", "thoughtSignature")), "part")
    return GemcliError(
        "NOT_EXPRESSIBLE",
        f"{where} holds {kind}, which has no counterpart in these messages",
        hint="gemcli export contents keeps everything",
    )
