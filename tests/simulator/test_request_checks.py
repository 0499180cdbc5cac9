"""What is refused, and in which words; and that what the API accepts is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from gemcli.chat import turn_order
from gemcli.simulator import contents_checks, request_checks
from gemcli.simulator.request_fields import MESSAGES

from .support import PNG, call, json_of, post, refusal, response, says, talk

HELLO = [says("user", "Hello")]
TYPES = "type.googleapis.com/google.ai.generativelanguage.v1beta"
CALLED = [says("user", "What time is it?"), says("model", call("now"))]


def test_every_order_rule_has_words() -> None:
    """Each rule of `gemcli.turns` has words here, or a reason why it needs none; and none is left over."""
    assert not contents_checks.ERROR_MESSAGES.keys() & contents_checks.CHECKED_ELSEWHERE.keys()
    assert contents_checks.ERROR_MESSAGES.keys() | contents_checks.CHECKED_ELSEWHERE.keys() == turn_order.RULES.keys()
    assert contents_checks.ERROR_MESSAGES.keys() >= contents_checks.ORDER_RULES


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
def test_a_body_that_is_no_json_object_is_refused(body: bytes, start: str) -> None:
    """The body is one JSON object; none at all is an empty one."""
    assert refusal(body).startswith(start)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"foo": 1}, None, 'Unknown name "foo": Cannot find field.'),
        ({"contents": [{"foo": 1}]}, "contents[0]", "Unknown name \"foo\" at 'contents[0]': Cannot find field."),
        (
            {"contents": [says("user", {"txt": "a"})]},
            "contents[0].parts[0]",
            "Unknown name \"txt\" at 'contents[0].parts[0]': Cannot find field.",
        ),
        (
            {"contents": HELLO, "generationConfig": {"heat": 1}},
            "generation_config",
            "Unknown name \"heat\" at 'generation_config': Cannot find field.",
        ),
        (
            {"contents": HELLO, "tools": [{"functionDeclarations": [{"nome": "f"}]}]},
            "tools[0].function_declarations[0]",
            "Unknown name \"nome\" at 'tools[0].function_declarations[0]': Cannot find field.",
        ),
        (
            {"contents": [{"role": ["user"]}]},
            "contents[0]",
            "Unknown name \"role\" at 'contents[0]': Proto field is not repeating, cannot start list.",
        ),
        (
            {"generationConfig": {"topP": 1, "top_p": 1}},
            "generation_config",
            "Unknown name \"top_p\" at 'generation_config': Proto field is already set.",
        ),
    ],
)
def test_an_unknown_field_is_refused_with_its_place(body: Any, field: str | None, words: str) -> None:
    """Unknown names are refused in the API's words, with the place in the typed details."""
    message = f"Invalid JSON payload received. {words}"
    assert refusal(body) == message
    violation = {"description": message} | ({"field": field} if field else {})
    assert json_of(post(body))["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    ]


def test_unknown_fields_are_reported_together() -> None:
    """Every field that does not fit is in one refusal."""
    body = {"foo": 1, "contents": [{"bar": 1}]}
    assert refusal(body).count("Cannot find field.") == 2
    assert len(json_of(post(body))["error"]["details"][0]["fieldViolations"]) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"contents": ["Hello"]},
            f"Invalid value at 'contents[0]' ({TYPES}.Content), \"Hello\"",
        ),
        ({"contents": [says("user", {"text": 1})]}, "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 1"),
        (
            {"contents": [says("user", {"inlineData": {"mimeType": "image/png", "data": "a*c"}})]},
            "Invalid value at 'contents[0].parts[0].inline_data.data' (TYPE_BYTES), Base64 decoding failed for \"a*c\"",
        ),
        (
            {"contents": [*CALLED, says("user", response("now", "noon"))]},
            (
                "Invalid value at 'contents[2].parts[0].function_response.response' "
                '(type.googleapis.com/google.protobuf.Struct), "noon"'
            ),
        ),
        (
            {"contents": [says("user", {"text": "a"} | PNG)]},
            (
                "Invalid value at 'contents[0].parts[0]' (oneof), "
                "oneof field 'data' is already set. Cannot set 'inlineData'"
            ),
        ),
        (
            {"generationConfig": {"maxOutputTokens": 1.5}},
            "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), 1.5",
        ),
        (
            {"generationConfig": {"temperature": True}},
            "Invalid value at 'generation_config.temperature' (TYPE_DOUBLE), true",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "DEEP"}}},
            f"Invalid value at 'generation_config.thinking_config.thinking_level' ({TYPES}.ThinkingLevel), \"DEEP\"",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(body: Any, message: str) -> None:
    """Values that do not fit their field are refused in the API's words."""
    assert refusal(body) == message


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([], "* GenerateContentRequest.contents: contents is not specified\n"),
        ([says("assistant", "a")], "Please use a valid role: user, model."),
        ([*talk("a", "b"), {"parts": [{"text": "c"}]}], "Please use a valid role: user, model."),
        ([says("user")], "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n"),
        ([{"role": "user"}], "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n"),
        ([says("user", {})], f"* GenerateContentRequest.contents[0].parts[0].data: {contents_checks.NO_DATA}\n"),
        ([says("user", "a", "")], f"* GenerateContentRequest.contents[0].parts[1].data: {contents_checks.NO_DATA}\n"),
        (talk("a", "", "b"), f"* GenerateContentRequest.contents[1].parts[0].data: {contents_checks.NO_DATA}\n"),
        (
            [says("user", {"thought": True})],
            f"* GenerateContentRequest.contents[0].parts[0].data: {contents_checks.NO_DATA}\n",
        ),
        ([says("user", "a"), says("user", "b")], contents_checks.ALTERNATE),
        ([says("model", "a"), says("user", "b")], contents_checks.ALTERNATE),
        (talk("a", "b"), contents_checks.ENDS_WITH_USER),
        ([says("model", call("now")), says("user", response("now"))], contents_checks.CALL_TURN),
        ([says("user", call("now"))], contents_checks.CALL_TURN),
        ([*CALLED, says("user", "Well?")], contents_checks.CALL_TURN),
        ([says("user", response("now"))], contents_checks.RESPONSE_TURN),
        ([*talk("a", "b"), says("user", response("now"))], contents_checks.RESPONSE_TURN),
        ([*CALLED, says("user", response("now"), response("now"))], contents_checks.RESPONSE_COUNT),
        (
            [*CALLED, says("user", response("then"))],
            f"{contents_checks.RESPONSE_TURN} Got function response with name 'then'.",
        ),
        (
            [CALLED[0], says("model", call("now", id="1")), says("user", response("now", id="2"))],
            f"{contents_checks.RESPONSE_TURN} Got function response with name 'now'.",
        ),
        (
            [CALLED[0], says("model", call("")), says("user", response(""))],
            (
                "* GenerateContentRequest.contents[1].parts[0].function_call.name: Name cannot be empty.\n"
                "* GenerateContentRequest.contents[2].parts[0].function_response.name: Name cannot be empty.\n"
            ),
        ),
    ],
)
def test_contents_out_of_order_are_refused(contents: Any, message: str) -> None:
    """Each order rule is refused with INVALID_ARGUMENT and the API's words for it."""
    assert refusal({"contents": contents}) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 2.1}, "temperature: temperature must be in the range [0.0, 2.0].\n"),
        ({"temperature": -1}, "temperature: temperature must be in the range [0.0, 2.0].\n"),
        ({"topP": 1.01}, "top_p: top_p must be in the range [0.0, 1.0].\n"),
        ({"topK": -1}, "top_k: top_k must not be negative.\n"),
        ({"maxOutputTokens": 0}, "max_output_tokens: max_output_tokens must be positive.\n"),
        ({"stopSequences": list("abcdef")}, "stop_sequences: the number of stop_sequences must not exceed 5.\n"),
        ({"stopSequences": [""]}, "stop_sequences: stop_sequences must not be empty.\n"),
    ],
)
def test_a_setting_beyond_its_limit_is_refused(settings: Any, message: str) -> None:
    """Generation settings keep their limits, under either spelling of their names."""
    words = f"* GenerateContentRequest.generation_config.{message}"
    assert refusal({"contents": HELLO, "generationConfig": settings}) == words
    assert refusal({"contents": HELLO, "generation_config": settings}) == words


def test_limits_are_reported_together() -> None:
    """Every limit that is passed is in one refusal."""
    message = refusal({"contents": HELLO, "generationConfig": {"temperature": 3, "responseMimeType": "text/html"}})
    assert message.startswith("* GenerateContentRequest.generation_config.temperature: ")
    assert (
        "\n* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`" in message
    )


@pytest.mark.parametrize("count", [0, 2])
def test_only_one_candidate_is_given(count: int) -> None:
    """Any candidateCount other than 1 is refused."""
    message = refusal({"contents": HELLO, "generationConfig": {"candidateCount": count}})
    assert message == "Only one candidate can be specified"


def test_thinking_has_a_budget_or_a_level() -> None:
    """A thinkingBudget and a thinkingLevel exclude each other; either alone is fine."""
    both = {"thinkingBudget": 0, "thinkingLevel": "LOW"}
    message = refusal({"contents": HELLO, "generationConfig": {"thinkingConfig": both}})
    assert message == "You can only set only one of thinking budget and thinking level."
    for name, value in both.items():
        assert post({"contents": HELLO, "generationConfig": {"thinkingConfig": {name: value}}}).status == 200


def test_an_empty_system_instruction_is_refused() -> None:
    """A system instruction needs a Part, and the Part needs data."""
    place = "* GenerateContentRequest.system_instruction.parts"
    assert refusal({"contents": HELLO, "systemInstruction": {}}).startswith(f"{place}: ")
    assert refusal({"contents": HELLO, "systemInstruction": {"parts": [{"text": ""}]}}).startswith(f"{place}[0].data: ")


def test_counting_tokens_needs_contents_that_are_sound_by_themselves() -> None:
    """Counting refuses missing Contents, unknown roles and empty Parts, though not their order."""
    assert refusal({}, "countTokens") == "* CountTokensRequest.contents: contents is not specified\n"
    assert refusal({"contents": [says("robot", "a")]}, "countTokens") == "Please use a valid role: user, model."
    assert refusal({"contents": [says("user")]}, "countTokens").endswith("contents.parts must not be empty.\n")


@pytest.mark.parametrize(
    "body",
    [
        {"contents": [{"parts": [{"text": "a single Content needs no role"}]}]},
        {"contents": {"parts": {"text": "one value may stand for a list"}}},
        {"contents": [*CALLED, says("user", response("now"))]},
        {"contents": [*CALLED, says("user", response("now"), "and hurry")]},
        {"contents": [HELLO[0], says("model", call("a"), call("b")), says("user", response("b"), response("a"))]},
        {"contents": [HELLO[0], says("model", call("a", id="1")), says("user", response("a", id="1"))]},
        {"contents": [HELLO[0], says("model", call("a", id="1")), says("user", response("a"))]},
        {"contents": [HELLO[0], says("model", "a streamed "), says("model", "answer"), HELLO[0]]},
        {
            "contents": [
                *(HELLO[0], says("model", call("a", id="1")), says("model", call("b"))),
                says("user", response("b"), response("a")),
            ]
        },
        {"contents": [HELLO[0], says("model", "a", {"text": "", "thoughtSignature": "AA"}), HELLO[0]]},
        {"contents": [HELLO[0], says("model", {"thought": True, "text": "hm"}), HELLO[0]]},
        {"contents": [says("user", PNG, "What is this?")], "safety_settings": []},
        {"contents": HELLO, "systemInstruction": {"parts": [{"text": "Be brief"}]}, "cachedContent": None},
        {"contents": HELLO, "generationConfig": {"maxOutputTokens": "10", "seed": 1.0, "topK": 0, "stopSequences": []}},
    ],
)
def test_what_the_api_accepts_is_accepted(body: Any) -> None:
    """Forms that the API is known to take are not refused."""
    assert post(body).status == 200


def test_the_users_own_data_is_left_alone() -> None:
    """Names inside arguments, responses and schemas are the user's, whatever they look like."""
    data = {"snake_case": None, "camelCase": {"inline_data": [None]}}
    body = {
        "contents": [
            CALLED[0],
            says("model", {"function_call": {"name": "f", "args": data}}),
            says("user", response("f", data)),
        ],
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": data}]}],
        "generation_config": {"response_schema": data},
    }
    request = request_checks.generate_request(json.dumps(body).encode())
    assert request["contents"][1]["parts"][0]["functionCall"]["args"] == data
    assert request["contents"][2]["parts"][0]["functionResponse"]["response"] == data
    assert request["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == data
    assert request["generationConfig"]["responseSchema"] == data


@pytest.mark.parametrize("name", sorted(MESSAGES.keys() & vars(types).keys()))
def test_every_field_the_sdk_knows_is_known(name: str) -> None:
    """The tables have every field of the SDK's own types, so that no client of it is refused for a field."""
    fields = getattr(types, name).model_fields.values()
    assert {field.alias for field in fields} <= MESSAGES[name].keys()
