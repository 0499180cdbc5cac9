"""What is refused, and with which message; and that what the API accepts is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from gemcli.chat import turn_order
from gemcli.simulator import request_checks
from gemcli.simulator.contents_checks import (
    ALTERNATE,
    CALL_TURN,
    CHECKED_ELSEWHERE,
    ENDS_WITH_USER,
    ERROR_MESSAGES,
    NO_DATA,
    ORDER_RULES,
    RESPONSE_COUNT,
    RESPONSE_TURN,
)
from gemcli.simulator.request_fields import ENUMS, MESSAGES
from gemcli.simulator.tool_checks import (
    ALLOWED_NAMES,
    CATEGORIES,
    CATEGORY,
    INVALID_NAME,
    NO_DECLARATIONS,
    NOT_AUTO,
    NOT_DECLARED,
    WITH_CACHE,
)

from .support import PNG, call, json_of, post, refusal, response, says, talk

HELLO = [says("user", "Hello")]
CALLED = [says("user", "What time is it?"), says("model", call("now"))]
DECLARATION = "tools[0].function_declarations[0]"


def settings(**values: Any) -> dict[str, Any]:
    """A request with this generationConfig."""
    return {"contents": HELLO, "generationConfig": values}


def test_every_order_rule_has_a_message() -> None:
    """Each rule of turn order has a message here, or a reason why it needs none; and none is left over."""
    assert not ERROR_MESSAGES.keys() & CHECKED_ELSEWHERE.keys()
    assert ERROR_MESSAGES.keys() | CHECKED_ELSEWHERE.keys() == turn_order.RULES.keys()
    assert ERROR_MESSAGES.keys() >= ORDER_RULES


@pytest.mark.parametrize(
    ("body", "start"),
    [
        (b"{", "Invalid JSON payload received. "),
        (b'{"contents": NaN}', "Invalid JSON payload received. NaN"),
        (b"\xff", "Invalid JSON payload received. "),
        (b"[]", 'Invalid JSON payload received. Unknown name "": Root element must be a message.'),
        (b"3", 'Invalid JSON payload received. Unknown name "": Root element must be a message.'),
        (b"", "* GenerateContentRequest.contents: contents is not specified\n"),
    ],
)
def test_bodies(body: bytes, start: str) -> None:
    """The body is one JSON object; none at all is an empty one."""
    assert refusal(body).startswith(start)


TYPES = "type.googleapis.com/google.ai.generativelanguage.v1beta"
STRUCT = "type.googleapis.com/google.protobuf.Struct"
VALID_ROLE = "Please use a valid role: user, model."
MIME_TYPES = (
    "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`."
)
TEMPERATURE = "temperature must be in the range [0.0, 2.0]."


def invalid(place: str, words: str) -> str:
    """The API's message for a value that does not fit its field."""
    return f"Invalid value at '{place}' {words}"


def missing(place: str, words: str) -> str:
    """The API's message for what a rule about a field asks for."""
    return f"* GenerateContentRequest.{place}: {words}\n"


WRONG_VALUES: list[tuple[Any, str]] = [
    ({"contents": ["Hello"]}, invalid("contents[0]", f'({TYPES}.Content), "Hello"')),
    ({"contents": [says("user", {"text": 1})]}, invalid("contents[0].parts[0].text", "(TYPE_STRING), 1")),
    ({"contents": [says("user", {"inlineData": {"mimeType": "image/png", "data": "a*c"}})]},
        invalid("contents[0].parts[0].inline_data.data", '(TYPE_BYTES), Base64 decoding failed for "a*c"')),
    ({"contents": [*CALLED, says("user", response("now", "noon"))]},
        invalid("contents[2].parts[0].function_response.response", f'({STRUCT}), "noon"')),
    ({"contents": [says("user", {"text": "a"} | PNG)]},
        invalid("contents[0].parts[0]", "(oneof), oneof field 'data' is already set. Cannot set 'inlineData'")),
    (settings(maxOutputTokens=1.5), invalid("generation_config.max_output_tokens", "(TYPE_INT32), 1.5")),
    (settings(temperature=True), invalid("generation_config.temperature", "(TYPE_DOUBLE), true")),
    (settings(thinkingConfig={"thinkingLevel": "DEEP"}),
        invalid("generation_config.thinking_config.thinking_level", f'({TYPES}.ThinkingLevel), "DEEP"')),
]  # fmt: skip

WRONG_CONTENTS: list[tuple[Any, str]] = [
    ([], missing("contents", "contents is not specified")),
    ([says("assistant", "a")], VALID_ROLE),
    ([*talk("a", "b"), {"parts": [{"text": "c"}]}], VALID_ROLE),
    ([says("user")], missing("contents[0].parts", "contents.parts must not be empty.")),
    ([{"role": "user"}], missing("contents[0].parts", "contents.parts must not be empty.")),
    ([says("user", {})], missing("contents[0].parts[0].data", NO_DATA)),
    ([says("user", "a", "")], missing("contents[0].parts[1].data", NO_DATA)),
    (talk("a", "", "b"), missing("contents[1].parts[0].data", NO_DATA)),
    ([says("user", {"thought": True})], missing("contents[0].parts[0].data", NO_DATA)),
    ([says("user", "a"), says("user", "b")], ALTERNATE),
    ([says("model", "a"), says("user", "b")], ALTERNATE),
    (talk("a", "b"), ENDS_WITH_USER),
    ([says("model", call("now")), says("user", response("now"))], CALL_TURN),
    ([says("user", call("now"))], CALL_TURN),
    ([*CALLED, says("user", "Well?")], CALL_TURN),
    ([says("user", response("now"))], RESPONSE_TURN),
    ([*talk("a", "b"), says("user", response("now"))], RESPONSE_TURN),
    ([*CALLED, says("user", response("now"), response("now"))], RESPONSE_COUNT),
    ([*CALLED, says("user", response("then"))], f"{RESPONSE_TURN} Got function response with name 'then'."),
    ([CALLED[0], says("model", call("now", id="1")), says("user", response("now", id="2"))],
        f"{RESPONSE_TURN} Got function response with name 'now'."),
    ([CALLED[0], says("model", call("")), says("user", response(""))],
        missing("contents[1].parts[0].function_call.name",
        "Name cannot be empty.") + missing("contents[2].parts[0].function_response.name", "Name cannot be empty.")),
]  # fmt: skip

WRONG_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.1}, missing("generation_config.temperature", TEMPERATURE)),
    ({"temperature": -1}, missing("generation_config.temperature", TEMPERATURE)),
    ({"topP": 1.01}, missing("generation_config.top_p", "top_p must be in the range [0.0, 1.0].")),
    ({"topK": -1}, missing("generation_config.top_k", "top_k must not be negative.")),
    ({"maxOutputTokens": 0}, missing("generation_config.max_output_tokens", "max_output_tokens must be positive.")),
    ({"stopSequences": list("abcdef")},
        missing("generation_config.stop_sequences", "the number of stop_sequences must not exceed 5.")),
    ({"stopSequences": [""]}, missing("generation_config.stop_sequences", "stop_sequences must not be empty.")),
    ({"temperature": 3, "responseMimeType": "text/html"},
        missing("generation_config.temperature", TEMPERATURE) + missing("generation_config.response_mime_type",
        MIME_TYPES)),
    ({"candidateCount": 0}, "Only one candidate can be specified"),
    ({"candidateCount": 2}, "Only one candidate can be specified"),
    ({"thinkingConfig": {"thinkingBudget": 0, "thinkingLevel": "LOW"}},
        "You can only set only one of thinking budget and thinking level."),
]  # fmt: skip

WRONG_INSTRUCTIONS: list[tuple[Any, str]] = [
    ({}, missing("system_instruction.parts", "contents.parts must not be empty.")),
    ({"parts": [{"text": ""}]}, missing("system_instruction.parts[0].data", NO_DATA)),
]


def declaring(*functions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request that declares these functions."""
    return {"contents": HELLO, "tools": [{"functionDeclarations": list(functions)}], **more}


def taking(schema: dict[str, Any]) -> dict[str, Any]:
    """A request that declares a function with this parameter `p`."""
    return declaring({"name": "f", "parameters": {"type": "OBJECT", "properties": {"p": schema}}})


def unknown(name: str, words: str) -> str:
    """The API's message for a name in the schema of that parameter."""
    return f"Invalid JSON payload received. Unknown name \"{name}\" at '{PARAMETERS}.properties[0].value': {words}"


PARAMETERS = f"{DECLARATION}.parameters"
AUTO = {"functionCallingConfig": {"mode": "AUTO"}}
CALLING = {"functionCallingConfig": {"mode": "ANY"}}
NO_TYPE = "must be specified when not using one_of, any_of or all_of fields"
NO_PROPERTIES = "should be non-empty for OBJECT type"
HARM = "HARM_CATEGORY_HARASSMENT"

WRONG_PARTS: list[tuple[Any, str]] = [
    ({"inlineData": {"data": "AA=="}},
        missing("contents[0].parts[0].inline_data.mime_type", "must be a MIME type, like image/png.")),
    ({"inlineData": {"mimeType": "png", "data": "AA=="}},
        missing("contents[0].parts[0].inline_data.mime_type", "must be a MIME type, like image/png.")),
    ({"inlineData": {"mimeType": "image/png"}}, missing("contents[0].parts[0].inline_data.data", "must not be empty.")),
    ({"inlineData": {}}, missing("contents[0].parts[0].data", NO_DATA)),
    ({"fileData": {"mimeType": "image/png"}},
        missing("contents[0].parts[0].file_data.file_uri", "must not be empty.")),
]  # fmt: skip

WRONG_TOOLS: list[tuple[Any, str]] = [
    *[(declaring({"name": name}), missing(f"{DECLARATION}.name", INVALID_NAME))
        for name in ("", "get weather", "1st", "é", "a" * 129)],
    (declaring({}), missing(f"{DECLARATION}.name", INVALID_NAME)),
    (declaring({"name": "f"}, {"name": "g"}, {"name": "f"}), "Duplicate function declaration found: f\n"),
    (declaring({"name": "f", "parameters": {"type": "object"}}), missing(f"{PARAMETERS}.properties", NO_PROPERTIES)),
    (declaring({"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}),
        missing(f"{PARAMETERS}.properties", NO_PROPERTIES)),
    (declaring({"name": "f", "parameters": {"type": "STRING"}}),
        missing(PARAMETERS, "schema should be of type OBJECT")),
    (declaring({"name": "f", "parameters": {"type": "any"}}), invalid(f"{PARAMETERS}.type", f'({TYPES}.Type), "any"')),
    (taking({"type": ["string", "null"]}), unknown("type", "Proto field is not repeating, cannot start list.")),
    (taking({"type": "STRING", "const": 1}), unknown("const", "Cannot find field.")),
    (taking({}), missing(f"{PARAMETERS}.properties[p].type", NO_TYPE)),
    (taking({"type": "ARRAY"}), missing(f"{PARAMETERS}.properties[p].items", "missing field.")),
    (taking({"type": "ARRAY", "items": {"type": "OBJECT"}}),
        missing(f"{PARAMETERS}.properties[p].items.properties", NO_PROPERTIES)),
    (taking({"anyOf": [{"type": "STRING"}, {}]}), missing(f"{PARAMETERS}.properties[p].any_of[1].type", NO_TYPE)),
    (taking({"type": "INTEGER", "enum": ["1"]}),
        missing(f"{PARAMETERS}.properties[p].enum", "only allowed for STRING type")),
    (taking({"type": "STRING", "format": "uri"}), missing(f"{PARAMETERS}.properties[p].format",
        "only 'enum' and 'date-time' are supported for STRING type")),
    (taking({"type": "OBJECT", "properties": {"q": {"type": "STRING"}}, "required": ["q", "r"]}),
        missing(f"{PARAMETERS}.properties[p].required[1]", "property is not defined")),
    (settings(responseSchema={"type": "OBJECT"}),
        missing("generation_config.response_schema.properties", NO_PROPERTIES)),
    ({"contents": HELLO, "tools": [{"googleSearch": {}}], "toolConfig": CALLING}, NO_DECLARATIONS),
    ({"contents": HELLO, "toolConfig": CALLING}, NO_DECLARATIONS),
    (declaring({"name": "f"}, toolConfig={"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}}),
        missing("tool_config.function_calling_config.allowed_function_names", ALLOWED_NAMES)),
    (declaring({"name": "f"}, toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}),
        missing("tool_config.function_calling_config.allowed_function_names[0]", NOT_DECLARED)),
    (declaring({"name": "f"}, toolConfig={"includeServerSideToolInvocations": True} | AUTO),
        missing("tool_config.function_calling_config.mode", NOT_AUTO)),
    (declaring({"name": "f"}, cachedContent="cachedContents/x"), WITH_CACHE),
]  # fmt: skip

WRONG_SAFETY: list[tuple[Any, str]] = [
    ({"category": "HARM_CATEGORY_ANGER", "threshold": "OFF"},
        invalid("safety_settings[0].category", f'({TYPES}.HarmCategory), "HARM_CATEGORY_ANGER"')),
    ({"category": HARM, "threshold": "BLOCK_MOST"},
        invalid("safety_settings[0].threshold", f'({TYPES}.SafetySetting.HarmBlockThreshold), "BLOCK_MOST"')),
    ({"threshold": "OFF"}, missing("safety_settings[0]", CATEGORY)),
    ({"category": "HARM_CATEGORY_VIOLENCE", "threshold": "OFF"}, missing("safety_settings[0]", CATEGORY)),
    ({"category": "HARM_CATEGORY_JAILBREAK", "threshold": "OFF"}, missing("safety_settings[0]", CATEGORY)),
    ({"category": 3, "threshold": 3}, missing("safety_settings[0]", CATEGORY)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *WRONG_VALUES,
        *[({"contents": [says("user", part)]}, message) for part, message in WRONG_PARTS],
        *WRONG_TOOLS,
        *[({"contents": HELLO, "safetySettings": [value]}, message) for value, message in WRONG_SAFETY],
        *[({"contents": contents}, message) for contents, message in WRONG_CONTENTS],
        *[(settings(**values), message) for values, message in WRONG_SETTINGS],
        *[({"contents": HELLO, "generation_config": values}, message) for values, message in WRONG_SETTINGS],
        *[({"contents": HELLO, "systemInstruction": value}, message) for value, message in WRONG_INSTRUCTIONS],
    ],
)
def test_refused(body: Any, message: str) -> None:
    """What breaks a rule is refused with INVALID_ARGUMENT in the API's words; broken limits are told together."""
    assert refusal(body) == message


@pytest.mark.parametrize(
    ("body", "field", "name", "words"),
    [
        ({"foo": 1}, "", "foo", "Cannot find field."),
        ({"contents": [{"foo": 1}]}, "contents[0]", "foo", "Cannot find field."),
        ({"contents": [says("user", {"txt": "a"})]}, "contents[0].parts[0]", "txt", "Cannot find field."),
        (settings(heat=1), "generation_config", "heat", "Cannot find field."),
        ({"tools": {"functionDeclarations": {"nome": "f"}}}, DECLARATION, "nome", "Cannot find field."),
        ({"contents": {"role": ["a"]}}, "contents[0]", "role", "Proto field is not repeating, cannot start list."),
        (settings(topP=1, top_p=1), "generation_config", "top_p", "Proto field is already set."),
    ],
)
def test_unknown_fields(body: Any, field: str, name: str, words: str) -> None:
    """Unknown names are refused in the API's words, with the place in the typed details."""
    place = f" at '{field}'" if field else ""
    message = f'Invalid JSON payload received. Unknown name "{name}"{place}: {words}'
    assert refusal(body) == message
    violation = {"description": message} | ({"field": field} if field else {})
    assert json_of(post(body))["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    ]


def test_unknown_fields_together() -> None:
    """Every field that does not fit is in one refusal."""
    body = {"foo": 1, "contents": [{"bar": 1}]}
    assert refusal(body).count("Cannot find field.") == 2
    assert len(json_of(post(body))["error"]["details"][0]["fieldViolations"]) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "* CountTokensRequest.contents: contents is not specified\n"),
        ({"contents": [says("robot", "a")]}, VALID_ROLE),
        ({"contents": [says("user")]}, missing("contents[0].parts", "contents.parts must not be empty.")),
    ],
)
def test_counting_tokens(body: Any, message: str) -> None:
    """Counting refuses missing Contents, unknown roles and empty Parts, though not their order."""
    assert refusal(body, "countTokens") == message


ACCEPTED: dict[str, dict[str, Any]] = {
    "a single Content needs no role": {"contents": [{"parts": [{"text": "a"}]}]},
    "one value may stand for a list": {"contents": {"parts": {"text": "a"}}},
    "a response": {"contents": [*CALLED, says("user", response("now"))]},
    "a response with text": {"contents": [*CALLED, says("user", response("now"), "and hurry")]},
    "responses in any order": {
        "contents": [HELLO[0], says("model", call("a"), call("b")), says("user", response("b"), response("a"))]
    },
    "ids": {"contents": [HELLO[0], says("model", call("a", id="1")), says("user", response("a", id="1"))]},
    "no id in the response": {"contents": [HELLO[0], says("model", call("a", id="1")), says("user", response("a"))]},
    "a stream sent back": {"contents": [HELLO[0], says("model", "a "), says("model", "b"), HELLO[0]]},
    "streamed calls sent back": {
        "contents": [
            *(HELLO[0], says("model", call("a", id="1")), says("model", call("b"))),
            says("user", response("b"), response("a")),
        ]
    },
    "a signature": {"contents": [HELLO[0], says("model", "a", {"text": "", "thoughtSignature": "AA"}), HELLO[0]]},
    "a thought": {"contents": [HELLO[0], says("model", {"thought": True, "text": "hm"}), HELLO[0]]},
    "a list without values": {"contents": [says("user", PNG, "What is this?")], "safety_settings": []},
    "null": {"contents": HELLO, "systemInstruction": {"parts": [{"text": "Be brief"}]}, "cachedContent": None},
    "thinking with a budget": settings(thinkingConfig={"thinkingBudget": 0}),
    "thinking with a level": settings(thinkingConfig={"thinkingLevel": "LOW"}),
    "thinking with a level in lower case": settings(thinkingConfig={"thinkingLevel": "low"}),
    "functions": declaring(
        {"name": "_get.weather:now-1"},
        {"name": "f", "parameters": {"type": "object", "properties": {"a_b": {"type": "string"}}, "required": ["a_b"]}},
        {"name": "g", "parametersJsonSchema": {"type": ["object", "null"], "const": 1}},
        toolConfig={"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["f"]}},
    ),
    "AUTO": declaring({"name": "f"}, toolConfig=AUTO),
    "built-in tools": {"contents": HELLO, "tools": [{"googleSearch": {}}, {"urlContext": {}}, {"codeExecution": {}}]},
    "functions and built-in tools": declaring({"name": "f"}, toolConfig={"includeServerSideToolInvocations": True}),
    "the number of an enum": declaring({"name": "f", "parameters": {"type": 6, "properties": {"a": {"type": 1}}}}),
    "a file": {"contents": [says("user", {"fileData": {"fileUri": "https://example.com/a.pdf"}})]},
    "a type with parameters": {
        "contents": [says("user", {"inlineData": {"mimeType": "text/plain; charset=utf-8", "data": "AA=="}})]
    },
    "every category": {
        "contents": HELLO,
        "safetySettings": [{"category": each, "threshold": "off"} for each in (*CATEGORIES, *CATEGORIES.values())],
    },
    "integers in other forms": settings(maxOutputTokens="10", seed=1.0, topK=0, stopSequences=[]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    """Forms that the API is known to take are not refused."""
    assert post(ACCEPTED[name]).status == 200


def test_data_of_the_user() -> None:
    """Names inside arguments, responses and schemas are the user's, whatever they look like."""
    data = {"snake_case": None, "camelCase": {"inline_data": [None]}}
    called = says("model", {"function_call": {"name": "f", "args": data}})
    body = {
        "contents": [HELLO[0], called, says("user", response("f", data))],
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": data}]}],
        "generation_config": {"response_json_schema": data},
    }
    assert request_checks.generate_request(json.dumps(body).encode(), "m") == {
        "model": "models/m",
        "contents": [HELLO[0], says("model", call("f", args=data)), says("user", response("f", data))],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": data}]}],
        "generationConfig": {"responseJsonSchema": data},
    }


@pytest.mark.parametrize("name", sorted(MESSAGES.keys() & vars(types).keys()))
def test_every_field_the_sdk_knows_is_known(name: str) -> None:
    """The tables have every field of the SDK's own types, so that no client of it is refused for a field."""
    fields = getattr(types, name).model_fields.values()
    assert {field.alias for field in fields} <= MESSAGES[name].keys()


SDK_ENUMS = {
    "CodeExecutionResult.Outcome": types.Outcome,
    "ExecutableCode.Language": types.Language,
    "FunctionCallingConfig.Mode": types.FunctionCallingConfigMode,
    "FunctionDeclaration.Behavior": types.Behavior,
    "FunctionResponse.Scheduling": types.FunctionResponseScheduling,
    "GenerationConfig.MediaResolution": types.MediaResolution,
    "GenerationConfig.Modality": types.Modality,
    "HarmCategory": types.HarmCategory,
    "SafetySetting.HarmBlockThreshold": types.HarmBlockThreshold,
    "ServiceTier": types.ServiceTier,
    "ThinkingLevel": types.ThinkingLevel,
    "ToolType": types.ToolType,
    "Type": types.Type,
}


@pytest.mark.parametrize("name", ENUMS)
def test_every_name_the_sdk_knows_is_known(name: str) -> None:
    """The same for the values of enums."""
    assert {str(value).upper() for value in SDK_ENUMS[name].__members__} <= ENUMS[name]
