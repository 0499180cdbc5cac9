"""Declared functions, and which of them are called, in the words of the Chat Completions API.

What these cannot say, such as the tools that the Gemini API runs itself, `left_out` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gemcli.settings.tool_settings import declared_functions

if TYPE_CHECKING:
    from gemcli.settings.config import Config

SAID = {"name", "description", "parameters", "parametersJsonSchema"}
"""The keys of a declaration that both APIs have."""

CHOICES = {"NONE": "none", "AUTO": "auto", "ANY": "required"}
"""The modes of function calling that both APIs have."""


def parameters(config: Config) -> dict[str, object]:
    """The parameters `tools` and `tool_choice`, as far as there are any."""
    found: dict[str, object] = {}
    if tools := [_tool(declaration) for declaration in declared_functions(config)]:
        found["tools"] = tools
    if choice := _choice(config):
        found["tool_choice"] = choice
    return found


def left_out(config: Config) -> Iterator[str]:
    """The keys of the tools and their configuration that `parameters` leaves out."""
    for tool in config.get("tools") or []:
        yield from (key for key in tool if key != "functionDeclarations")
    for declaration in declared_functions(config):
        yield from (key for key in declaration if key not in SAID)
    if config.get("toolConfig") and _choice(config) is None:
        yield "toolConfig"


def _tool(declaration: Mapping[str, Any]) -> dict[str, object]:
    """A declaration as a tool, whose parameters are JSON Schema."""
    function = {key: declaration[key] for key in ("name", "description") if key in declaration}
    if "parametersJsonSchema" in declaration:
        function["parameters"] = declaration["parametersJsonSchema"]
    elif "parameters" in declaration:
        function["parameters"] = _json_schema(declaration["parameters"])
    return {"type": "function", "function": function}


def _json_schema(schema: Any) -> Any:
    """A Schema of the API, whose types are in upper case and may be nullable, as JSON Schema."""
    if not isinstance(schema, dict):
        return schema
    found = {key: _inner_schema(key, value) for key, value in schema.items() if key != "nullable"}
    if "type" in schema:
        kind = str(schema["type"]).lower()
        found["type"] = [kind, "null"] if schema.get("nullable") else kind
    return found


def _inner_schema(key: str, value: Any) -> Any:
    """The value of a key of a Schema, with the schemas in it."""
    if key == "properties" and isinstance(value, dict):
        return {name: _json_schema(inner) for name, inner in value.items()}
    if key == "anyOf" and isinstance(value, list):
        return [_json_schema(inner) for inner in value]
    return _json_schema(value) if key in ("items", "additionalProperties") else value


def _choice(config: Config) -> object:
    """Whether functions are called, and which; None where Chat Completions cannot say it."""
    given = config.get("toolConfig") or {}
    calling: Any = given.get("functionCallingConfig") or {}
    if len(given) > 1 or calling.keys() - {"mode", "allowedFunctionNames"}:
        return None
    mode, names = calling.get("mode"), calling.get("allowedFunctionNames")
    if not names:
        return CHOICES.get(str(mode))
    if mode != "ANY" or not isinstance(names, list) or len(names) > 1:
        return None
    return {"type": "function", "function": {"name": names[0]}}
