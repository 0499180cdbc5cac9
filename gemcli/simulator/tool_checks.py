"""What the API refuses in functions that a request declares, in schemas, and in safety settings.

The messages were read from errors of the API that people have published; where none is known, they
follow the API's style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemcli.simulator import gemini_3
from gemcli.simulator.read_request import Message
from gemcli.simulator.request_fields import ENUMS

FUNCTION_NAME = re.compile("[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
INVALID_NAME = (
    "[FIELD_INVALID] Invalid function name. Must start with a letter or an underscore. "
    "Must be a-z, A-Z, 0-9, or contain underscores (_), dots (.), colons (:), or dashes (-), "
    "with a maximum length of 128."
)
NOT_SHOWN = (
    "Please enable tool_config.include_server_side_tool_invocations "
    "to use Built-in tools with Function calling."
)
NOT_DECLARED = "function is not declared"
NOT_AUTO = "AUTO is not supported with include_server_side_tool_invocations, use VALIDATED."
NO_DECLARATIONS = "Function calling config is set without function_declarations."
ALLOWED_NAMES = "only allowed when mode is ANY or VALIDATED"
WITH_CACHE = (
    "CachedContent can not be used with GenerateContent request setting "
    "system_instruction, tools or tool_config."
)
CATEGORIES = {
    7: "HARM_CATEGORY_HARASSMENT",
    8: "HARM_CATEGORY_HATE_SPEECH",
    9: "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    10: "HARM_CATEGORY_DANGEROUS_CONTENT",
    11: "HARM_CATEGORY_CIVIC_INTEGRITY",
}
CATEGORY = (
    "element predicate failed: $.category in (HarmCategory.HARM_CATEGORY_HATE_SPEECH, "
    "HarmCategory.HARM_CATEGORY_SEXUALLY_EXPLICIT, HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT, "
    "HarmCategory.HARM_CATEGORY_HARASSMENT, HarmCategory.HARM_CATEGORY_CIVIC_INTEGRITY)"
)
NOT_OBJECT = ENUMS["Type"] - {"OBJECT"}
NOT_STRING = ENUMS["Type"] - {"STRING"}
FORMATS = ("enum", "date-time")


def tool_errors(request: Message) -> Iterator[str]:
    """What is wrong with each function that a request declares, and with how they are called."""
    names: set[str] = set()
    for number, tool in enumerate(request.get("tools", [])):
        for index, declaration in enumerate(tool.get("functionDeclarations", [])):
            name = declaration.get("name", "")
            place = f"tools[{number}].function_declarations[{index}]"
            if not FUNCTION_NAME.fullmatch(name):
                yield _broken(f"{place}.name", INVALID_NAME)
            elif name in names:
                yield f"Duplicate function declaration found: {name}\n"
            names.add(name)
            yield from _parameter_errors(declaration, place)
    calling = request.get("toolConfig", {}).get("functionCallingConfig", {})
    place = "tool_config.function_calling_config"
    if calling.get("allowedFunctionNames") and calling.get("mode") not in ("ANY", "VALIDATED"):
        yield _broken(f"{place}.allowed_function_names", ALLOWED_NAMES)
    for index, name in enumerate(calling.get("allowedFunctionNames", [])):
        if names and name not in names:
            yield _broken(f"{place}.allowed_function_names[{index}]", NOT_DECLARED)
    if calling.get("mode") == "AUTO" and gemini_3.shows_server_side(request):
        yield _broken(f"{place}.mode", NOT_AUTO)


def _parameter_errors(declaration: Message, place: str) -> Iterator[str]:
    parameters = declaration.get("parameters")
    if parameters is not None:
        if parameters.get("type") in NOT_OBJECT:
            yield _broken(f"{place}.parameters", "schema should be of type OBJECT")
        yield from schema_errors(parameters, f"{place}.parameters")
    if "response" in declaration:
        yield from schema_errors(declaration["response"], f"{place}.response")


def schema_errors(schema: Message, place: str) -> Iterator[str]:
    """What is missing in a schema, or does not fit its type, and in the schemas inside it."""
    kind, properties = schema.get("type"), schema.get("properties", {})
    if kind is None and not schema.keys() & {"anyOf", "ref"}:
        words = "must be specified when not using one_of, any_of or all_of fields"
        yield _broken(f"{place}.type", words)
    if kind == "OBJECT" and not properties and "additionalProperties" not in schema:
        yield _broken(f"{place}.properties", "should be non-empty for OBJECT type")
    if kind == "ARRAY" and "items" not in schema:
        yield _broken(f"{place}.items", "missing field.")
    if "enum" in schema and kind in NOT_STRING:
        yield _broken(f"{place}.enum", "only allowed for STRING type")
    if kind == "STRING" and schema.get("format", "enum") not in FORMATS:
        words = "only 'enum' and 'date-time' are supported for STRING type"
        yield _broken(f"{place}.format", words)
    for index, name in enumerate(schema.get("required", [])):
        if name not in properties:
            yield _broken(f"{place}.required[{index}]", "property is not defined")
    for name, inner in properties.items():
        yield from schema_errors(inner, f"{place}.properties[{name}]")
    for index, inner in enumerate(schema.get("anyOf", [])):
        yield from schema_errors(inner, f"{place}.any_of[{index}]")
    if "items" in schema:
        yield from schema_errors(schema["items"], f"{place}.items")


def safety_errors(request: Message) -> Iterator[str]:
    """Safety settings whose category is none of those that can be set."""
    for index, setting in enumerate(request.get("safetySettings", [])):
        category = setting.get("category")
        if category not in CATEGORIES and category not in CATEGORIES.values():
            yield _broken(f"safety_settings[{index}]", CATEGORY)


def combination_errors(request: Message) -> Iterator[str]:
    """The API's message for fields that are sound one by one and not together."""
    config = request.get("toolConfig", {})
    declared = any(tool.get("functionDeclarations") for tool in request.get("tools", []))
    if request.get("cachedContent") and request.keys() & {
        "systemInstruction",
        "tools",
        "toolConfig",
    }:
        yield WITH_CACHE
    elif (
        config.get("functionCallingConfig")
        and not declared
        and not request.get("cachedContent")
        and not config.get("includeServerSideToolInvocations")
    ):
        yield NO_DECLARATIONS
    elif (
        declared
        and any(tool.keys() - {"functionDeclarations"} for tool in request["tools"])
        and gemini_3.is_asked(request)
        and not gemini_3.shows_server_side(request)
    ):
        yield NOT_SHOWN


def _broken(place: str, message: str) -> str:
    return f"* GenerateContentRequest.{place}: {message}\n"
