"""The messages of Chat Completions as Contents: the way back from `chat_completions`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gemcli.errors import Problem
from gemcli.text import strict_json

READ = {"role", "content", "tool_calls", "function_call", "tool_call_id"}
"""The keys of a message that are read."""

_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


def are_messages(values: Sequence[object]) -> bool:
    """Whether values are such messages, and not Contents."""
    return bool(values) and all(
        isinstance(value, dict) and "role" in value and "parts" not in value
        and ("content" in value or "tool_calls" in value)
        for value in values
    )  # fmt: skip


class Reader:
    """Reads messages into `contents`; `places` has the message that each of them begins with.

    `system` are the texts of system messages, `left_out` the keys that hold what is not read.
    """

    def __init__(self, messages: Sequence[object]) -> None:
        self.contents: list[dict[str, Any]] = []
        self.places: list[int] = []
        self.system: list[str] = []
        self.left_out: dict[str, None] = {}
        self.problems: list[Problem] = []
        self._names: dict[str, str] = {}
        self._takes_results = False
        for place, message in enumerate(messages):
            if isinstance(message, dict):
                self._read(place, message)
            else:
                self._fault(place, "shape", "a message must be an object with `role` and `content`")

    def _read(self, place: int, message: Mapping[str, Any]) -> None:
        role = message.get("role")
        for key, value in message.items():
            if key not in READ and value:
                self.left_out[key] = None
        if role in ("system", "developer"):
            self._system(place, message)
        elif role == "user":
            parts = self._parts(place, message.get("content"))
            if self._takes_results:  # what is said with results stands beside them
                self.contents[-1]["parts"] += parts
            else:
                self._add(place, "user", parts)
            self._takes_results = False
        elif role == "assistant":
            calls = self._calls(place, message)
            self._add(place, "model", self._parts(place, message.get("content")) + calls)
            self._takes_results = False
        elif role in ("tool", "function"):
            if not self._takes_results:
                self._add(place, "user", [])
            self.contents[-1]["parts"].append(self._result(place, message))
            self._takes_results = True
        else:
            self._fault(place, "role", f"the role {role!r} is not known")

    def _add(self, place: int, role: str, parts: list[dict[str, Any]]) -> None:
        self.contents.append({"role": role, "parts": parts})
        self.places.append(place)

    def _fault(self, place: int, rule: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(rule, message, place, hint=hint))

    def _system(self, place: int, message: Mapping[str, Any]) -> None:
        if self.contents:
            what = "a system message after the first message of the conversation"
            self._fault(place, "role", what, "join it with the first system message")
            return
        parts = self._parts(place, message.get("content"))
        self.system += [part["text"] for part in parts if "text" in part]
        if any("text" not in part for part in parts):
            self._fault(place, "shape", "a system message must be text")

    def _parts(self, place: int, content: object) -> list[dict[str, Any]]:
        """The Parts of a message's content: text, or a list of texts, images and sounds."""
        if content is None or content == "":
            return []
        if isinstance(content, str):
            return [{"text": content}]
        parts = []
        for item in content if isinstance(content, list) else [content]:
            part = _part(item)
            if part is None:
                what = (
                    "`content` must be text, or a list of texts, and of images and sounds as data"
                )
                self._fault(place, "shape", what)
            else:
                parts.append(part)
        return parts

    def _calls(self, place: int, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        older = message.get("function_call")
        tool_calls = message.get("tool_calls") or ([{"function": older}] if older else [])
        for call in tool_calls if isinstance(tool_calls, list) else [tool_calls]:
            function = call.get("function") if isinstance(call, dict) else None
            name = function.get("name") if isinstance(function, dict) else None
            if not isinstance(function, dict) or not isinstance(name, str):
                self._fault(place, "shape", "a tool call must have a `function` with its `name`")
                continue
            given = _object(function.get("arguments") or "{}")
            if given is None:
                self._fault(place, "shape", f"the arguments of {name} are not a JSON object")
            made: dict[str, Any] = {"name": name, "args": given or {}}
            if isinstance(call_id := call.get("id"), str):
                made["id"] = call_id
                self._names[call_id] = name
            parts.append({"functionCall": made})
        return parts

    def _result(self, place: int, message: Mapping[str, Any]) -> dict[str, Any]:
        """A tool message as the response to its call; what is no object is wrapped."""
        call_id = message.get("tool_call_id")
        name = self._names.get(str(call_id)) or message.get("name")
        if not isinstance(name, str):
            self._fault(place, "calls-answered", f"no call before it has the id {call_id!r}")
        text = "".join(part.get("text", "") for part in self._parts(place, message.get("content")))
        response = _object(text)
        made = {"name": name, "response": {"output": text} if response is None else response}
        if isinstance(call_id, str):
            made["id"] = call_id
        return {"functionResponse": made}


def _part(item: object) -> dict[str, Any] | None:
    """An item of a message's content as a Part, None if it has no counterpart."""
    if not isinstance(item, dict):
        return None
    if isinstance(text := item.get("text"), str):
        return {"text": text}
    if isinstance(image := item.get("image_url"), dict):
        url = _DATA_URL.fullmatch(str(image.get("url")))
        return {"inlineData": {"mimeType": url[1], "data": url[2]}} if url else None
    if isinstance(sound := item.get("input_audio"), dict):
        mime_type = f"audio/{sound.get('format')}"
        return {"inlineData": {"mimeType": mime_type, "data": sound.get("data")}}
    return None


def _object(text: object) -> dict[str, Any] | None:
    """The JSON object that a text is, if it is one."""
    try:
        value = strict_json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
