"""The calls of `simulator/echo`, where the request insists on some: what is called, with what."""

from __future__ import annotations

from typing import Any, TypeVar

from gemcli.chat.contents import Content, Part, function_responses, text_of
from gemcli.simulator import gemini_3
from gemcli.simulator.read_request import Message

T = TypeVar("T")

TYPES = ["", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"]
"""The types of a schema, which older clients write as numbers."""


def calls(request: Message) -> list[Part]:
    """The calls of the mode ANY, which come once in a turn: the allowed functions, or the first.

    The API would go on to call for ever; the echo says what was responded.
    """
    config = request.get("toolConfig", {}).get("functionCallingConfig", {})
    message: Content = request["contents"][-1]
    if config.get("mode") != "ANY" or function_responses(message):
        return []
    tools = request.get("tools", [])
    declared = [each for tool in tools for each in tool.get("functionDeclarations", [])]
    allowed = config.get("allowedFunctionNames") or [
        declaration["name"] for declaration in declared[:1]
    ]
    called = [declaration for declaration in declared if declaration["name"] in allowed]
    return [
        {
            "functionCall": {
                "name": declaration["name"],
                "args": arguments(declaration, text_of(message)),
                "id": gemini_3.made_id(request, number),
            }
        }
        for number, declaration in enumerate(called)
    ]


def arguments(declaration: Message, text: str) -> dict[str, Any]:
    """Arguments that a declaration takes: all it names, and `text` wherever there is a choice."""
    schema = declaration.get("parameters") or declaration.get("parametersJsonSchema")
    found = _value(schema, text)
    return found if isinstance(found, dict) else {}


def _value(schema: object, text: str) -> object:
    """A value that a schema takes; None if it does not say what."""
    if not isinstance(schema, dict):
        return None
    for key in ("const", "default", "example"):
        if key in schema:
            return schema[key]
    enum, any_of = _inside(schema, "enum", list), _inside(schema, "anyOf", list)
    if enum or any_of:
        return enum[0] if enum else _value(any_of[0], text)
    kind = _type(schema)
    if kind == "OBJECT":
        properties = _inside(schema, "properties", dict)
        return {name: _value(inner, text) for name, inner in properties.items()}
    if kind == "ARRAY":
        return [_value(schema.get("items"), text)]
    number = schema.get("minimum", 1)
    return {"STRING": text, "BOOLEAN": True, "NUMBER": number, "INTEGER": number}.get(kind)


def _inside(schema: Message, key: str, kind: type[T]) -> T:
    """What a JSON schema, which nobody has checked, has under a key, if it is of this kind."""
    value = schema.get(key)
    return value if isinstance(value, kind) else kind()


def _type(schema: Message) -> str:
    """The type of a schema, or the first of several, as the API writes it."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if type(kind) is int:
        return TYPES[kind] if kind < len(TYPES) else ""
    return str(kind).upper()
