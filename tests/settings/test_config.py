"""Settings: the table against the SDK, options and config files into REST form, and the merge of one call."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import pytest
from google import genai
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gemcli.errors import GemcliError
from gemcli.settings import api_objects, config
from gemcli.settings.api_objects import OBJECTS, names_of
from gemcli.settings.config import CONFIG, Config, check, merge
from gemcli.settings.definitions import OPTIONS, REFUSED, SETTINGS, Setting
from gemcli.text import json_tree, schema, tree, yaml_tree
from gemcli.text.problems import Problems
from gemcli.text.proto_json import fields_of, snake
from tests.builders import error_from, json_values

SAMPLES: dict[str, Any] = {
    "system_instruction": {"parts": [{"text": "Be brief."}]},
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 40,
    "seed": -7,
    "max_output_tokens": 100,
    "stop_sequences": ["END", "no"],
    "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "thinking_config.thinking_budget": 0,
    "thinking_config.thinking_level": "LOW",
    "thinking_config.include_thoughts": True,
    "candidate_count": 1,
    "presence_penalty": -1.5,
    "frequency_penalty": 1.5,
    "response_logprobs": True,
    "logprobs": 3,
    "response_mime_type": "application/json",
    "response_schema": {"type": "STRING"},
    "response_json_schema": {"type": "string", "$id": "x"},
    "response_modalities": ["TEXT", "IMAGE"],
    "media_resolution": "MEDIA_RESOLUTION_LOW",
    "speech_config": {"languageCode": "fr-FR"},
    "image_config": {"aspectRatio": "16:9"},
    "audio_timestamp": True,
    "audio_transcription_config": {"diarization": True},
    "enable_enhanced_civic_answers": True,
    "routing_config": {"manualMode": {"modelName": "gemini-flash"}},
    "model_selection_config": {"featureSelectionPreference": "BALANCED"},
    "tools": [{"googleSearch": {}}],
    "tool_config": {"functionCallingConfig": {"mode": "ANY"}},
    "cached_content": "cachedContents/c1",
    "labels": {"team": "blue"},
    "model_armor_config": {"promptTemplateName": "projects/p/locations/l/templates/t"},
    "service_tier": "flex",
    "generation_output_config": {"outputUriPrefix": "gs://bucket/"},
    "store": False,
}
"""A value in REST form for each setting, by its SDK field."""

VERTEX_ONLY = {
    "audio_timestamp", "routing_config", "model_selection_config", "model_armor_config",
    "generation_output_config",
}  # fmt: skip


class Captured(BaseException):
    """Carries a request's body out of the SDK; no Exception, so that nothing retries or wraps it."""


def sdk_body(config: Any, vertexai: bool) -> Any:
    """The body that the SDK makes of a config, without contents; nothing is sent."""
    import httpx2

    class Catch(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            raise Captured(request.read())

    client = genai.Client(
        api_key="offline",
        vertexai=vertexai,
        http_options=types.HttpOptions(
            base_url="http://compile.invalid", client_args={"transport": Catch(), "verify": False}
        ),
    )
    with pytest.raises(Captured) as caught:
        client.models.generate_content(model="m", contents=".", config=types.GenerateContentConfig(**config))
    body = json.loads(caught.value.args[0])
    return {key: value for key, value in body.items() if key != "contents" and value != {}}


def camel(value: Any) -> Any:
    """`value` with all its keys in camelCase: the SDK leaves some in snake_case."""
    if isinstance(value, dict):
        return {re.sub("_([a-z])", lambda m: m[1].upper(), key): camel(inner) for key, inner in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


def nested(path: Iterable[str], value: Any) -> Any:
    """`value` under the keys of a path."""
    for key in reversed([*path]):
        value = {key: value}
    return value


def field(setting: Setting) -> str:
    """A setting's place in the SDK's config, with dots."""
    return f"thinking_config.{setting.name}" if "thinkingConfig" in setting.path else setting.name


def from_options(values: dict[str, Any]) -> Config:
    """The Config of options about which there is nothing to say."""
    return config.from_options(values, refuse_note)


def from_yaml(text: str) -> Config:
    """The Config of a config file about which there is nothing to say."""
    return config.from_yaml(text, "c.yaml", refuse_note)


def refuse_note(note: str) -> None:
    """Fail: nothing is unusual."""
    raise AssertionError(note)


def found(text: str) -> list[tuple[str, int | None, int | None]]:
    """The rule, line and column of every problem of a config file."""
    return [(problem.rule, problem.line, problem.column) for problem in error_from(from_yaml, text).problems]


def hint(text: str) -> str | None:
    """The hint of a config file's only problem."""
    (problem,) = error_from(from_yaml, text).problems
    return problem.hint


# The table and the SDK


def test_every_sdk_field_is_in_a_table() -> None:
    """Each field of the SDK's config is a setting or refused by name: a new one is noticed."""
    fields = set(types.GenerateContentConfig.model_fields)
    thinking = {f"thinking_config.{name}" for name in types.ThinkingConfig.model_fields}
    assert {field(setting) for setting in SETTINGS} | set(REFUSED) == fields - {"thinking_config"} | thinking


SDK_NAMES = {
    "HarmMethod": "HarmBlockMethod", "FunctionCallingMode": "FunctionCallingConfigMode",
    "RoutingConfig": "GenerationConfigRoutingConfig", "ModelConfig": "ModelSelectionConfig",
    "OutputConfig": "GenerationOutputConfig", "Empty": "UrlContext",
}  # fmt: skip
"""Objects and enums that have another name in the SDK."""


@pytest.mark.parametrize("enum", api_objects.ENUMS)
def test_enums_are_the_sdks(enum: str) -> None:
    """The names of each enum are those of the SDK, in its order."""
    assert names_of(enum) == [member.value for member in getattr(types, SDK_NAMES.get(enum, enum))]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The SDK's types within a type like `Optional[list[Tool]]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def test_objects_are_the_sdks_at_every_depth() -> None:
    """Each object has the fields of the SDK's type in its place, as deep as there are types; none is left out."""
    roots = {name: getattr(types, SDK_NAMES.get(name, name)) for name in ("Tool", "Content", "SafetySetting")}
    for setting in SETTINGS:
        kind = next((name for name in OBJECTS if f"{name[0].lower()}{name[1:]}" == setting.path[-1]), None)
        if kind:
            roots[kind] = getattr(types, SDK_NAMES.get(kind, kind))
    seen: set[str] = set()
    for name in roots:
        compare(name, roots[name], seen)
    assert seen == OBJECTS.keys()


def compare(name: str, model: type[BaseModel], seen: set[str]) -> None:
    """Compare an object of the table, and those in it, with one of the SDK's types."""
    if name in seen and name != "Empty":
        return
    seen.add(name)
    fields = fields_of(OBJECTS[name])
    assert {snake(key) for key in fields} == set(model.model_fields), name
    for key, written in fields.items():
        annotation = model.model_fields[snake(key)].annotation
        inner = next(models_in(annotation), None)
        kind = written.removesuffix("*").removesuffix("{}")
        assert kind in {*OBJECTS, *api_objects.ENUMS, *api_objects.PLAIN}, (name, key)
        assert (kind in OBJECTS) == (inner is not None) or kind == "any", (name, key)
        assert ("list[" in str(annotation)) == written.endswith("*") or kind == "any", (name, key)
        if inner is not None and kind in OBJECTS:
            compare(kind, inner, seen)


@pytest.mark.parametrize("setting", SETTINGS, ids=field)
def test_place_and_name_are_the_sdks(setting: Setting) -> None:
    """Each setting, given to the SDK, ends up in the request where and as the table says."""
    name = field(setting)
    sample = SAMPLES[name]
    body = camel(sdk_body(nested(name.split("."), sample), name in VERTEX_ONLY))
    body.get("systemInstruction", {}).pop("role", None)
    assert body == nested(setting.path, sample)
    assert check(body) == []


@pytest.mark.parametrize("setting", SETTINGS, ids=field)
@pytest.mark.parametrize("spelling", ["sdk", "api"])
def test_config_files_and_trees_make_the_same_body(setting: Setting, spelling: str) -> None:
    """A config file, in either spelling and within a script too, gives each setting the place and value of the SDK."""
    sample = SAMPLES[field(setting)]
    names = field(setting).split(".") if spelling == "sdk" else setting.path[setting.path[0] == "generationConfig" :]
    value = nested(names, snaked(sample) if spelling == "sdk" and setting.name not in FREE_FORM else sample)
    assert from_yaml(json.dumps(value)) == nested(setting.path, sample)
    text = json.dumps({"config": value})
    for node in (yaml_tree.load(text, Problems()), json_tree.load(text, Problems())):
        read, problems = from_tree(node)
        assert (read, problems.found) == (nested(setting.path, sample), [])


FREE_FORM = {"response_json_schema", "labels"}


def snaked(value: Any) -> Any:
    """`value` with all its keys in snake_case, as the SDK has them."""
    if isinstance(value, dict):
        return {snake(key): snaked(inner) for key, inner in value.items()}
    return [snaked(item) for item in value] if isinstance(value, list) else value


def test_import_loads_neither_sdk_nor_yaml() -> None:
    """Checking options costs no import of the SDK or of PyYAML."""
    program = (
        "import sys; from gemcli.settings import config; config.from_options({'top_p': '0.5'}, print);"
        "sys.exit(any(name in sys.modules for name in ('google.genai', 'yaml', 'pydantic', 'difflib')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Options


def test_options_make_the_body() -> None:
    """Every option's text becomes a value in its place."""
    values = {
        "system_instruction": "Be brief.",
        "temperature": "0.2",
        "top_p": ".9",
        "top_k": "40",
        "seed": "-1",
        "max_output_tokens": "1e3",
        "stop_sequences": ("END", "12"),
        "safety_settings": ("harassment=none", "HARM_CATEGORY_HATE_SPEECH=BLOCK_ONLY_HIGH"),
        "thinking_budget": "0",
        "thinking_level": None,
    }
    assert from_options(values) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {
            "temperature": 0.2, "topP": 0.9, "topK": 40, "seed": -1, "maxOutputTokens": 1000,
            "stopSequences": ["END", "12"], "thinkingConfig": {"thinkingBudget": 0},
        },
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
        ],
    }  # fmt: skip
    assert set(values) == {setting.name for setting in OPTIONS}


def test_options_are_read_without_care() -> None:
    """Absent options leave nothing, numbers are as in a config file, case and prefixes do not matter in names."""
    assert from_options({"temperature": None, "stop_sequences": (), "message": "hello", "json": True}) == {}
    for value in ("1", 1, 1.0):
        body = json.dumps(from_options({"temperature": value}))
        assert body == json.dumps(from_yaml("temperature: 1")) == '{"generationConfig": {"temperature": 1.0}}'
    for text in ("none", "NONE", "BLOCK_NONE", "block-none", " none "):
        (setting,) = from_options({"safety_settings": (f"Harassment={text}",)})["safetySettings"]
        assert setting == {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}


NUMBER, WHOLE = "must be a number from 0 to 2", "must be a whole number of at least 1"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", "nan", f'`--temperature` {NUMBER}, not "nan"'),
        ("temperature", float("nan"), f'`--temperature` {NUMBER}, not "nan"'),
        ("temperature", "1e999", f'`--temperature` {NUMBER}, not "1e999": too large'),
        ("temperature", True, f'`--temperature` {NUMBER}, not "True"'),
        ("temperature", "", f"`--temperature` {NUMBER}, not empty"),
        ("temperature", "٢", f'`--temperature` {NUMBER}, not "٢"'),
        ("top_k", "1.5", f'`--top-k` {WHOLE}, not "1.5"'),
        ("thinking_level", "", "`--thinking-level` must be a thinking level, not empty"),
        ("stop_sequences", ("",), "an item of `--stop` must be text, not empty"),
        ("system_instruction", "", "`--system` must be text, not empty"),
        ("safety_settings", ("x",),
            "an item of `--safety` must be CATEGORY=THRESHOLD, or have `category` and `threshold`"),
        ("safety_settings", ("harassment=",), "`threshold` must be a harm block threshold, not empty"),
        ("safety_settings", ("harassment=none", "harassment=off"),
            "duplicate category HARM_CATEGORY_HARASSMENT in `--safety`"),
    ],
)  # fmt: skip
def test_bad_options(name: str, value: Any, message: str) -> None:
    """A bad value is refused in the words of the command line."""
    caught = error_from(from_options, {name: value})
    assert [problem.message for problem in caught.problems] == [message]


def test_all_bad_options_at_once() -> None:
    """Every bad option is told of, and so are those that exclude each other."""
    with pytest.raises(GemcliError) as caught:
        from_options({"top_p": "x", "top_k": "y", "thinking_budget": "1", "thinking_level": "low"})
    assert (caught.value.exit, caught.value.message) == (2, "options: 3 problems")
    assert caught.value.problems[-1].message == "`--thinking-budget` and `--thinking-level` exclude each other"


# What is unusual


@pytest.mark.parametrize(
    ("text", "path", "value", "note"),
    [
        ("temperature: 3", "temperature", 3.0, "should be a number from 0 to 2, not 3; it is sent as given [range]"),
        ("top_k: 0", "topK", 0, "should be a whole number of at least 1, not 0; it is sent as given [range]"),
        ("seed: 2147483648", "seed", 2**31, "[range]"),
        ("stop_sequences: [a, b, c, d, e, f]", "stopSequences", [*"abcdef"], "at most 5 items, not 6"),
        ("media_resolution: ULTRA", "mediaResolution", "ULTRA", "[unknown-value] (known today: low, medium, high)"),
        ("media_resolution: hihg", "mediaResolution", "hihg", "(did you mean `high`?)"),
        ("image_config: {output_compression_quality: 500}", "imageConfig", {"outputCompressionQuality": 500}, None),
    ],
)
def test_what_is_unusual_goes_out_with_a_note(text: str, path: str, value: Any, note: str | None) -> None:
    """The API knows better what its limits and names are than a table of today: they are noted, and never refused."""
    notes: list[str] = []
    read = config.from_yaml(text, "c.yaml", notes.append)
    assert read == {"generationConfig": {path: value}}
    assert len(notes) == (note is not None)
    assert all(found.startswith("c.yaml:1:") and (note or "") in found for found in notes)
    assert check(read) == []


def test_the_name_of_a_file_is_noted() -> None:
    """Only --system reads a file: what looks like one in a config file is told, and sent as it is."""
    notes: list[str] = []
    read = config.from_yaml("system_instruction: '@system.txt'", "c.yaml", notes.append)
    assert read == {"systemInstruction": {"parts": [{"text": "@system.txt"}]}}
    assert len(notes) == 1
    assert "--system @FILE" in notes[0]


def test_a_note_about_the_yaml_is_told() -> None:
    """Two stop sequences that YAML reads as one are noted, as in scripts."""
    notes: list[str] = []
    assert config.from_yaml("stop_sequences:\n- a\n - b\n", "c.yaml", notes.append) == {
        "generationConfig": {"stopSequences": ["a - b"]}
    }
    assert len(notes) == 1
    assert "[yaml-dash]" in notes[0]


def test_unknown_names_are_unusual_everywhere() -> None:
    """New names of enums are noted in options and within objects too."""
    notes: list[str] = []
    assert config.from_options({"safety_settings": ("spam=none",)}, notes.append)["safetySettings"] == [
        {"category": "spam", "threshold": "BLOCK_NONE"}
    ]
    text = "tools: [{function_declarations: [{name: f, parameters: {type: tuple}}]}]"
    tools = config.from_yaml(text, "c.yaml", notes.append)["tools"]
    assert tools == [{"functionDeclarations": [{"name": "f", "parameters": {"type": "tuple"}}]}]
    assert [note.partition(" should be ")[0] for note in notes] == ["`category`", "c.yaml:1:63: `type`"]


# Config files


def test_config_file() -> None:
    """A config file takes both spellings, keeps text as text and reads numbers where a setting is one."""
    text = """
temperature: 1e-1
topK: 40
stop_sequences: [no, 12, 'END']
thinking_config: {thinkingLevel: low, include_thoughts: true}
safety_settings:
  - harassment=none
  - {category: hate_speech, threshold: "off"}
labels: {team: 007}
response_schema: {type: INTEGER, minimum: 1, nullable: true, title: '5'}
system_instruction: null
"""
    assert from_yaml(text) == {
        "generationConfig": {
            "temperature": 0.1,
            "topK": 40,
            "stopSequences": ["no", "12", "END"],
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
            "responseSchema": {"type": "INTEGER", "minimum": 1, "nullable": True, "title": "5"},
        },
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "OFF"},
        ],
        "labels": {"team": "007"},
        "systemInstruction": {"parts": [{"text": "null"}]},
    }


def test_small_config_files() -> None:
    """A config file without settings is an empty Config."""
    for text in ("", "# nothing\n", "{}"):
        assert from_yaml(text) == {}


def test_names_are_converted_at_every_depth() -> None:
    """Both spellings become the API's, but for the user's own names: in schemas, labels and free-form objects."""
    text = """
tools:
- function_declarations:
  - name: get_it
    parameters: {type: object, properties: {my_key: {type: string, max_items: 3, enum: [1, yes]}}}
    parameters_json_schema: {my_key: {max_items: 3, one_of: [null, 1.5]}}
  google_search: {time_range_filter: {start_time: 2026-01-01T00:00:00Z}}
  mcp_servers: [{streamable_http_transport: {headers: {my_header: 7}}}]
tool_config: {function_calling_config: {mode: any, allowedFunctionNames: [get_it]}}
response_json_schema: {any_of: []}
labels: {my_label: 007}
system_instruction: {parts: [{text: a}, {inline_data: {mime_type: image/png, data: AAAA}}]}
"""
    parameters = {"type": "OBJECT", "properties": {"my_key": {"type": "STRING", "maxItems": 3, "enum": ["1", "yes"]}}}
    function = {"name": "get_it", "parameters": parameters}
    function["parametersJsonSchema"] = {"my_key": {"max_items": 3, "one_of": [None, 1.5]}}
    assert from_yaml(text) == {
        "tools": [
            {
                "functionDeclarations": [function],
                "googleSearch": {"timeRangeFilter": {"startTime": "2026-01-01T00:00:00Z"}},
                "mcpServers": [{"streamableHttpTransport": {"headers": {"my_header": "7"}}}],
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_it"]}},
        "generationConfig": {"responseJsonSchema": {"any_of": []}},
        "labels": {"my_label": "007"},
        "systemInstruction": {"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
    }


BAD_FILES: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "unknown-key": ("top_p: 1\ntemprature: 1\n", [("unknown-key", 2, 1)]),
    "unknown-in-group": ("thinking_config:\n  budget: 1\n", [("unknown-key", 2, 3)]),
    "unknown-in-safety": ("safety_settings:\n- {category: jailbreak, threshold: none, x: 1}\n",
        [("unknown-key", 2, 42)]),
    "refused-key": ("http_options: {}\n", [("unknown-key", 1, 1)]),
    "two-spellings": ("top_p: 1\ntopP: 1\n", [("duplicate", 2, 1)]),
    "twice-a-category": ("safety_settings:\n- jailbreak=off\n- jailbreak=none\n", [("duplicate", 3, 3)]),
    "boolean-as-number": ("top_k: true\n", [("value", 1, 8)]),
    "number-as-boolean": ("store: 1\n", [("value", 1, 8)]),
    "yes-is-text": ("store: yes\n", [("value", 1, 8)]),
    "quoted-number": ("top_k: '1'\n", [("value", 1, 8)]),
    "quoted-boolean": ("store: 'true'\n", [("value", 1, 8)]),
    "nothing": ("top_k:\n", [("value", 1, 7)]),
    "nan": ("temperature: .nan\n", [("value", 1, 14)]),
    "nan-in-schema": ("response_json_schema: {minimum: .nan}\n", [("number", 1, 33)]),
    "text-as-list": ("stop_sequences: END\n", [("shape", 1, 17)]),
    "list-as-text": ("cached_content: [a]\n", [("value", 1, 17)]),
    "list-as-object": ("tool_config: []\n", [("shape", 1, 14)]),
    "list-in-labels": ("labels: {a: [b]}\n", [("value", 1, 13)]),
    "text-in-tools": ("tools: [{}, google_search]\n", [("shape", 1, 13)]),
    "unknown-in-tools": ("tools: [{google_serch: {}}]\n", [("unknown-key", 1, 10)]),
    "unknown-deep": ("tools: [{function_declarations: [{name: f, parameters: {items: {minItem: 1}}}]}]\n",
        [("unknown-key", 1, 65)]),
    "type-deep": ("speech_config: {voice_config: {prebuilt_voice_config: [a]}}\n", [("shape", 1, 55)]),
    "empty-object": ("tools: [{url_context: {a: b}}]\n", [("unknown-key", 1, 24)]),
    "no-threshold": ("safety_settings: [{category: jailbreak}]\n", [("missing-key", 1, 19)]),
    "text-as-group": ("thinking_config: low\n", [("shape", 1, 18)]),
    "empty-instruction": ("system_instruction: {parts: [{text: ''}]}\n", [("value", 1, 37)]),
    "instruction-without-parts": ("system_instruction: {role: user}\n", [("value", 1, 21)]),
    "excluding": ("thinking_config:\n  thinking_budget: 1\n  thinking_level: low\n", [("exclusive", 3, 3)]),
    "cache-and-tools": ("tools: [{}]\ncached_content: c\n", [("exclusive", 2, 1)]),
    "a-list": ("- top_p: 1\n", [("shape", 1, 1)]),
    "a-text": ("\nhello\n", [("shape", 2, 1)]),
    "yaml-tag": ("top_p: !!float 1\n", [("yaml-tag", 1, 8)]),
    "several": ("temperature: a\nx: 1\nstore: 'no'\nresponse_json_schema: {a: .inf}\n",
        [("value", 1, 14), ("unknown-key", 2, 1), ("value", 3, 8), ("number", 4, 27)]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_config_files(case: str) -> None:
    """Whatever is wrong with a config file is told with its line and column, all at once."""
    text, expected = BAD_FILES[case]
    assert found(text) == expected


def test_every_rule_is_broken_by_a_test() -> None:
    """The table of rules names those that config files can break, and no others."""
    seen = {rule for _, problems in BAD_FILES.values() for rule, _, _ in problems}
    noted = {"range", "unknown-value"}
    assert {rule for rule in seen if not rule.startswith("yaml-")} == {*schema.RULES, *tree.RULES} - noted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("temprature: 1", "did you mean `temperature`?"),
        ("topp: 1", "did you mean `top_p`?"),
        ("stopSequence: [a]", "did you mean `stopSequences`?"),
        ("system: hello", "did you mean `system_instruction`?"),
        ("stop: [a]", "did you mean `stop_sequences`?"),
        ("modelSelectionConfig: {}", "did you mean `model_selection_config`?"),
        ("generation_config: {top_p: 1}", "put its keys at the top level"),
        ("generationConfig: {top_p: 1}", "put its keys at the top level"),
        ("model: gemini", "name the model with --model"),
        ("contents: []", "a history comes in with --history"),
        ("thinking_budget: 1", "it belongs under `thinking_config`"),
        ("thinkingLevel: low", "it belongs under `thinking_config`"),
        ("thinking_config: {top_p: 1}", "it belongs at the top level"),
        ("thinking_config: {level: 1}", "the keys are thinkingBudget, thinkingLevel, includeThoughts"),
        ("zzz: 1", None),
    ],
)
def test_hints(text: str, expected: str | None) -> None:
    """A wrong key or name is answered with the right one where it can be told."""
    assert hint(text) == expected


@given(st.text())
def test_any_config_file_gives_a_config_or_an_error(text: str) -> None:
    """Reading a config file ends in a sound Config or a `GemcliError` with problems."""
    try:
        config = from_yaml(text)
    except GemcliError as error:
        problems = error.problems
    else:
        problems = ()
        assert check(config) == []
    assert all(problem.line for problem in problems)


# Configs from elsewhere


@pytest.mark.parametrize(
    ("config", "messages"),
    [
        ([], ["the config must be a mapping, not a list"]),
        ({"generationConfig": []}, ["`generationConfig` must be a mapping, not a list"]),
        ({"temperature": 1}, ["`temperature` is not a key of the config"]),
        ({"generationConfig": {"top_p": 1}}, ["`top_p` is not a key of `generationConfig`"]),
        ({"generationConfig": {"topK": 40.0, "temperature": 9}}, []),
        ({"generationConfig": {"logprobs": True}}, ["`logprobs` must be a whole number of at least 0, not true"]),
        ({"generationConfig": {"stopSequences": ["a", 1]}}, ["an item of `stopSequences` must be text, not 1"]),
        ({"systemInstruction": 5}, ["`systemInstruction` must be text, not 5"]),
        ({"safetySettings": [{"category": 5, "threshold": "OFF"}]}, ["`category` must be a harm category, not 5"]),
        ({"tools": [{"function_declarations": [{"name": "f"}]}]}, []),
        ({"httpOptions": {}}, ["`httpOptions` is not a key of the config"]),
        ({"safetySettings": [], "modelArmorConfig": {}},
            ["`safetySettings` and `modelArmorConfig` exclude each other"]),
    ],
)  # fmt: skip
def test_check(config: Any, messages: list[str]) -> None:
    """A Config from a session file has the API's own names, but within objects, where the API takes both spellings."""
    assert [problem.message for problem in check(config)] == messages


WIRE_KEYS = [part for setting in SETTINGS for part in setting.path]


@given(
    st.dictionaries(
        st.sampled_from(WIRE_KEYS), st.dictionaries(st.sampled_from(WIRE_KEYS), json_values()) | json_values()
    )
    | json_values()
)
def test_check_never_fails(config: Any) -> None:
    """Any JSON value can be checked, and each problem has one of the rules."""
    assert {problem.rule for problem in check(config)} <= schema.RULES.keys() | {"number"}


# Merging

CONFIGS = st.dictionaries(st.sampled_from([setting.path for setting in SETTINGS]), st.integers(0, 2), max_size=6).map(
    lambda chosen: assembled(chosen)
)


def assembled(chosen: dict[tuple[str, ...], int]) -> Any:
    """A Config of the chosen settings; numbers stand for values, and for sets of safety settings."""
    categories = ("HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_JAILBREAK")
    config: dict[str, Any] = {}
    for path, number in chosen.items():
        *groups, last = path
        place = config
        for group in groups:
            place = place.setdefault(group, {})
        safety = [{"category": category, "threshold": str(number)} for category in categories[:number]]
        place[last] = safety if last == "safetySettings" else number
    return config


@given(CONFIGS, CONFIGS)
def test_merge_is_pure_and_idempotent(session: Config, call: Config) -> None:
    """Merging changes neither Config, merging the same call again changes nothing more, and nothing changes nothing."""
    before = copy.deepcopy((session, call))
    merged = merge(session, call)
    assert merge(merged, call) == merged
    assert (session, call) == before
    assert merge(session, {}) == merge({}, session) == session


def test_merge_by_key_and_category() -> None:
    """The call's keys and categories win one by one, and what it does not name stays."""
    session: Config = {
        "systemInstruction": {"parts": [{"text": "a"}]},
        "tools": [{"googleSearch": {}}],
        "safetySettings": [{"category": "A", "threshold": "1"}, {"category": "B", "threshold": "1"}],
        "generationConfig": {"topP": 0.5, "topK": 1, "stopSequences": ["a", "b"]},
    }
    call: Config = {
        "tools": [{"urlContext": {}}],
        "safetySettings": [{"category": "C", "threshold": "2"}, {"category": "A", "threshold": "2"}],
        "generationConfig": {"topK": 2, "stopSequences": ["c"]},
    }
    assert merge(session, call) == {
        "systemInstruction": {"parts": [{"text": "a"}]},
        "tools": [{"urlContext": {}}],
        "safetySettings": [
            {"category": "A", "threshold": "2"},
            {"category": "B", "threshold": "1"},
            {"category": "C", "threshold": "2"},
        ],
        "generationConfig": {"topP": 0.5, "topK": 2, "stopSequences": ["c"]},
    }


BUDGETS: list[tuple[Any, Any, Any]] = [
    ({"thinkingBudget": 1}, {"thinkingLevel": "LOW"}, {"thinkingLevel": "LOW"}),
    ({"thinkingLevel": "LOW"}, {"thinkingBudget": 1}, {"thinkingBudget": 1}),
    ({"thinkingBudget": 1, "includeThoughts": True}, {"thinkingBudget": 2},
        {"thinkingBudget": 2, "includeThoughts": True}),
    ({"includeThoughts": True}, {"thinkingLevel": "LOW"}, {"includeThoughts": True, "thinkingLevel": "LOW"}),
]  # fmt: skip


@pytest.mark.parametrize("configs", BUDGETS)
def test_merge_of_thinking(configs: tuple[Any, Any, Any]) -> None:
    """A budget replaces a level and the other way round; the wish for thoughts stays."""
    session, call, expected = (nested(("generationConfig", "thinkingConfig"), config) for config in configs)
    assert merge(session, call) == expected


def test_merge_of_what_excludes_each_other() -> None:
    """One kind of response schema replaces the other; a call's safety settings do not switch off Model Armor."""
    call = nested(("generationConfig", "responseJsonSchema"), {})
    assert merge(nested(("generationConfig", "responseSchema"), {}), call) == call
    merged = merge({"modelArmorConfig": {}}, {"safetySettings": []})
    assert [problem.rule for problem in check(merged)] == ["exclusive"]


def test_large_configs_are_quick() -> None:
    """A config with thousands of tools is read and checked in about a second."""
    started = time.process_time()
    text = json.dumps({"tools": [{"functionDeclarations": [{"name": f"f{i}"}]} for i in range(2000)]})
    assert check(from_yaml(text)) == []
    assert time.process_time() - started < 1.5


# Configs within other files


def from_tree(node: tree.Node | None) -> tuple[Any, Problems]:
    """The config under the key `config`, and what is wrong with it."""
    assert isinstance(node, tree.Mapping)
    problems = Problems()
    return CONFIG(problems, "`config`", node[tree.Text("config")]), problems


def test_problems_of_a_tree_have_their_places_in_the_whole_file() -> None:
    """Everything wrong is found, with places as they are in the file around it."""
    text = "turns: [a]\nconfig:\n  top_k: x\n  seeed: 1\n  top_p: 0.5\n"
    _, problems = from_tree(yaml_tree.load(text, Problems()))
    places = [(problem.rule, problem.line, problem.column) for problem in problems.found]
    assert places == [("value", 3, 10), ("unknown-key", 4, 3)]


def test_text_in_json_is_no_number() -> None:
    """What JSON has in quotes is text, even if it looks like a number."""
    config = json_tree.load('{"config": {"temperature": "1"}}', Problems())
    assert [(problem.rule, problem.column) for problem in from_tree(config)[1].found] == [("value", 28)]
    config = json_tree.load('{"config": {"stop_sequences": ["1", "null"]}}', Problems())
    assert from_tree(config)[0] == {"generationConfig": {"stopSequences": ["1", "null"]}}


def test_the_table_is_complete_and_tidy() -> None:
    """Names and places are unique, every option has a metavar, every help text is one short line."""
    for names in ([one.name for one in SETTINGS], [one.path for one in SETTINGS]):
        assert len({*names}) == len(names)
    assert all(bool(one.option) == bool(one.metavar) for one in SETTINGS)
    assert all(0 < len(one.help) < 80 and "\n" not in one.help for one in SETTINGS)


def test_a_function_stands_once() -> None:
    """Functions of the same name are refused, in one tool or in two."""
    one = "tools: [{function_declarations: [{name: f}, {name: f}]}]"
    two = "tools: [{function_declarations: [{name: f}]}, {function_declarations: [{name: f}]}]"
    for text in (one, two):
        with pytest.raises(GemcliError, match="1 problem") as caught:
            from_yaml(text)
        assert "duplicate function f" in caught.value.problems[0].message
