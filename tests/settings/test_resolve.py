"""Settings: the table against the SDK, options and config files into REST form, and the merge of one call."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from google import genai
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import GemcliError
from gemcli.settings import kinds, resolve
from gemcli.settings.resolve import OPTIONS, REFUSED, SETTINGS, Config, check, from_options, from_tree, from_yaml, merge
from gemcli.text import json_tree, yaml_tree

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
    "audio_timestamp",
    "routing_config",
    "model_selection_config",
    "model_armor_config",
    "generation_output_config",
}


class Captured(BaseException):
    """Carries a request's body out of the SDK; no Exception, so that nothing retries or wraps it."""


def sdk_body(config: Config, vertexai: bool) -> Config:
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


def nested(path: str, value: Any) -> Config:
    """`value` under a path with dots."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def found(text: str) -> list[tuple[str, int | None, int | None]]:
    """The rule, line and column of every problem of a config file."""
    with pytest.raises(GemcliError) as caught:
        from_yaml(text, "c.yaml")
    return [(problem.rule, problem.line, problem.column) for problem in caught.value.problems]


def hint(text: str) -> str | None:
    """The hint of a config file's only problem."""
    with pytest.raises(GemcliError) as caught:
        from_yaml(text, "c.yaml")
    (problem,) = caught.value.problems
    return problem.hint


# The table and the SDK


def test_every_sdk_field_is_in_a_table() -> None:
    """Each field of the SDK's config is a setting or refused by name: a new one is noticed."""
    fields = set(types.GenerateContentConfig.model_fields)
    thinking = {f"thinking_config.{name}" for name in types.ThinkingConfig.model_fields}
    assert {setting.field for setting in SETTINGS} | set(REFUSED) == fields - {"thinking_config"} | thinking


@pytest.mark.parametrize(
    ("kind", "enum"),
    [
        (kinds.THINKING_LEVEL, types.ThinkingLevel),
        (kinds.HARM_CATEGORY, types.HarmCategory),
        (kinds.HARM_THRESHOLD, types.HarmBlockThreshold),
        (kinds.HARM_METHOD, types.HarmBlockMethod),
        (kinds.MEDIA_RESOLUTION, types.MediaResolution),
        (kinds.MODALITY, types.Modality),
        (kinds.SERVICE_TIER, types.ServiceTier),
    ],
)
def test_enums_are_the_sdks(kind: kinds.Choice, enum: Any) -> None:
    """The names of each choice are those of the SDK, in its order."""
    assert list(kind.values) == [member.value for member in enum]


def test_safety_settings_have_the_sdks_keys() -> None:
    """A safety setting consists of what the SDK's consists of."""
    assert set(kinds.SAFETY_KEYS) == set(types.SafetySetting.model_fields)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_place_and_name_are_the_sdks(setting: resolve.Setting) -> None:
    """Each setting, given to the SDK, ends up in the request where and as the table says."""
    sample = SAMPLES[setting.field]
    body = camel(sdk_body(nested(setting.field, sample), setting.field in VERTEX_ONLY))
    body.get("systemInstruction", {}).pop("role", None)
    assert body == nested(setting.wire, sample)
    assert check(body) == []


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
@pytest.mark.parametrize("spelling", ["field", "key"])
def test_config_file_makes_the_same_body(setting: resolve.Setting, spelling: str) -> None:
    """A config file in either spelling gives each setting the place and value that the SDK gives it."""
    name = setting.field if spelling == "field" else setting.wire.removeprefix("generationConfig.")
    text = json.dumps(nested(name, SAMPLES[setting.field]))
    assert from_yaml(text, "c.yaml") == nested(setting.wire, SAMPLES[setting.field])


def test_table_is_complete_and_tidy() -> None:
    """Names are unique, every option has a metavar, every help text is one short line."""
    for names in ([s.field for s in SETTINGS], [s.wire for s in SETTINGS], [s.name for s in SETTINGS]):
        assert len(set(names)) == len(names)
    assert all(bool(setting.option) == bool(setting.metavar) for setting in SETTINGS)
    assert all(0 < len(setting.help) < 80 and "\n" not in setting.help for setting in SETTINGS)


def test_import_loads_neither_sdk_nor_yaml() -> None:
    """Checking options costs no import of the SDK or of PyYAML."""
    program = (
        "import sys; from gemcli.settings import resolve; resolve.from_options({'top_p': '0.5'});"
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
            "temperature": 0.2,
            "topP": 0.9,
            "topK": 40,
            "seed": -1,
            "maxOutputTokens": 1000,
            "stopSequences": ["END", "12"],
            "thinkingConfig": {"thinkingBudget": 0},
        },
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
        ],
    }
    assert set(values) == {setting.name for setting in OPTIONS}


def test_absent_options_leave_nothing() -> None:
    """None and empty tuples are absent options, and foreign parameters are not looked at."""
    assert from_options({"temperature": None, "stop_sequences": (), "message": "hello", "json": True}) == {}


@pytest.mark.parametrize("value", ["1", 1, 1.0])
def test_whole_numbers_are_the_same_everywhere(value: Any) -> None:
    """A whole number for a setting with fractions is written the same from an option and a config file."""
    body = json.dumps(from_options({"temperature": value}))
    assert body == json.dumps(from_yaml("temperature: 1", "c.yaml")) == '{"generationConfig": {"temperature": 1.0}}'


@pytest.mark.parametrize("text", ["none", "NONE", "BLOCK_NONE", "block-none", " none "])
def test_names_are_read_without_care(text: str) -> None:
    """Case, hyphens and the API's prefixes do not matter in names."""
    (setting,) = from_options({"safety_settings": (f"Harassment={text}",)})["safetySettings"]
    assert setting == {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", "2.1", "`--temperature` must be a number from 0 to 2, not 2.1"),
        ("temperature", "nan", '`--temperature` must be a number from 0 to 2, not "nan"'),
        ("temperature", float("nan"), '`--temperature` must be a number from 0 to 2, not "nan"'),
        ("temperature", "1e999", "`--temperature` must be a number from 0 to 2, not Infinity"),
        ("temperature", True, "`--temperature` must be a number from 0 to 2, not true"),
        ("temperature", "", "`--temperature` must be a number from 0 to 2, not empty"),
        ("temperature", "٢", '`--temperature` must be a number from 0 to 2, not "٢"'),
        ("top_k", "1.5", "`--top-k` must be a whole number of at least 1, not 1.5"),
        ("top_k", "0", "`--top-k` must be a whole number of at least 1, not 0"),
        ("seed", str(2**31), "`--seed` must be a whole number from -2147483648 to 2147483647, not 2147483648"),
        ("thinking_budget", "-2", "`--thinking-budget` must be a whole number of at least -1, not -2"),
        ("thinking_level", "hihg", '`--thinking-level` must be a thinking level, not "hihg"'),
        ("stop_sequences", ("",), "`--stop` must be text, not empty"),
        ("stop_sequences", tuple("abcdef"), "`--stop` must have at most 5 items, not 6"),
        ("system_instruction", "", "`--system` must be text, not empty"),
        (
            "safety_settings",
            ("x",),
            '`--safety` must be CATEGORY=THRESHOLD or an object with category and threshold, not "x"',
        ),
        ("safety_settings", ("spam=none",), '`--safety` must be a harm category, not "spam"'),
        ("safety_settings", ("harassment=",), "`--safety` must be a threshold, not empty"),
        (
            "safety_settings",
            ("harassment=none", "harassment=off"),
            "`--safety` repeats the category HARM_CATEGORY_HARASSMENT",
        ),
    ],
)
def test_bad_options(name: str, value: Any, message: str) -> None:
    """A bad value is refused in the words of the command line."""
    with pytest.raises(GemcliError) as caught:
        from_options({name: value})
    assert [problem.message for problem in caught.value.problems] == [message]


def test_all_bad_options_at_once() -> None:
    """Every bad option is told of, and so are those that exclude each other."""
    with pytest.raises(GemcliError) as caught:
        from_options({"top_p": "x", "top_k": "y", "thinking_budget": "1", "thinking_level": "low"})
    assert (caught.value.exit, caught.value.message) == (2, "options: 3 problems")
    assert caught.value.problems[-1].message == "`--thinking-level` excludes `thinkingBudget`"


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
    assert from_yaml(text, "c.yaml") == {
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


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_empty_config_file(text: str) -> None:
    """A config file without settings is an empty Config."""
    assert from_yaml(text, "c.yaml") == {}


def test_files_are_not_read_from_config_files() -> None:
    """`@file` means a file on the command line only: in a config file it is text."""
    config = from_yaml("system_instruction: '@file'", "c.yaml")
    assert config == {"systemInstruction": {"parts": [{"text": "@file"}]}}


BAD_FILES: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "unknown-key": ("top_p: 1\ntemprature: 1\n", [("unknown-key", 2, 1)]),
    "unknown-in-group": ("thinking_config:\n  budget: 1\n", [("unknown-key", 2, 3)]),
    "unknown-in-safety": (
        "safety_settings:\n- {category: jailbreak, threshold: none, x: 1}\n",
        [("unknown-key", 2, 45)],
    ),
    "refused-key": ("http_options: {}\n", [("refused-key", 1, 1)]),
    "two-spellings": ("top_p: 1\ntopP: 1\n", [("duplicate", 2, 1)]),
    "twice-a-category": ("safety_settings:\n- jailbreak=off\n- jailbreak=none\n", [("duplicate", 3, 3)]),
    "boolean-as-number": ("top_k: true\n", [("value", 1, 8)]),
    "number-as-boolean": ("store: 1\n", [("value", 1, 8)]),
    "yes-is-text": ("store: yes\n", [("value", 1, 8)]),
    "quoted-number": ("top_k: '1'\n", [("value", 1, 8)]),
    "quoted-boolean": ("store: 'true'\n", [("value", 1, 8)]),
    "nothing": ("top_k:\n", [("value", 1, 7)]),
    "nan": ("temperature: .nan\n", [("value", 1, 14)]),
    "nan-in-schema": ("response_schema: {minimum: .nan}\n", [("yaml-number", 1, 28)]),
    "text-as-list": ("stop_sequences: END\n", [("value", 1, 17)]),
    "list-as-text": ("cached_content: [a]\n", [("value", 1, 17)]),
    "list-as-object": ("tool_config: []\n", [("value", 1, 14)]),
    "list-in-labels": ("labels: {a: [b]}\n", [("value", 1, 13)]),
    "text-in-tools": ("tools: [{}, google_search]\n", [("value", 1, 13)]),
    "text-as-group": ("thinking_config: low\n", [("shape", 1, 18)]),
    "empty-instruction": ("system_instruction: {parts: [{text: ''}]}\n", [("value", 1, 37)]),
    "instruction-without-parts": ("system_instruction: {text: hello}\n", [("value", 1, 21)]),
    "excluding": ("thinking_config:\n  thinking_budget: 1\n  thinking_level: low\n", [("exclusive", 3, 19)]),
    "cache-and-tools": ("tools: [{}]\ncached_content: c\n", [("exclusive", 1, 8)]),
    "a-list": ("- top_p: 1\n", [("shape", 1, 1)]),
    "a-text": ("\nhello\n", [("shape", 2, 1)]),
    "yaml-tag": ("top_p: !!float 1\n", [("yaml-tag", 1, 8)]),
    "several": (
        "temperature: 3\nx: 1\nstore: 'no'\nresponse_schema: {a: .inf}\n",
        [("value", 1, 14), ("unknown-key", 2, 1), ("value", 3, 8), ("yaml-number", 4, 22)],
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_config_files(case: str) -> None:
    """Whatever is wrong with a config file is told with its line and column, all at once."""
    text, expected = BAD_FILES[case]
    assert found(text) == expected


def test_every_rule_is_broken_by_a_test() -> None:
    """The table of rules names those that config files can break, and no others."""
    seen = {rule for _, problems in BAD_FILES.values() for rule, _, _ in problems}
    assert {rule for rule in seen if not rule.startswith("yaml-")} == set(resolve.RULES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("temprature: 1", "did you mean `temperature`?"),
        ("topp: 1", "did you mean `top_p`?"),
        ("stopSequence: [a]", "did you mean `stopSequences`?"),
        ("system: hello", "did you mean `system_instruction`?"),
        ("stop: [a]", "did you mean `stop_sequences`?"),
        ("modelSelectionConfig: {}", "did you mean `modelConfig`?"),
        ("generation_config: {top_p: 1}", "put its keys at the top level"),
        ("generationConfig: {top_p: 1}", "put its keys at the top level"),
        ("model: gemini", "name the model with --model"),
        ("contents: []", "a history comes in with --history"),
        ("thinking_budget: 1", "it belongs under `thinking_config`"),
        ("thinkingLevel: low", "it belongs under `thinking_config`"),
        ("thinking_config: {top_p: 1}", "it belongs at the top level"),
        ("media_resolution: lo", "did you mean `low`?"),
        ("service_tier: zzz", "one of flex, standard, priority"),
        ("candidate_count: 2", "gemcli records one answer"),
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
        config = from_yaml(text, "c.yaml")
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
        ([], ["`config` must be an object, not a list"]),
        ({"generationConfig": []}, ["`generationConfig` must be an object, not a list"]),
        ({"temperature": 1}, ["`temperature` is not a setting"]),
        ({"generationConfig": {"top_p": 1}}, ["`generationConfig.top_p` is not a setting"]),
        ({"generationConfig": {"topK": 40.0}}, []),
        (
            {"generationConfig": {"logprobs": True}},
            ["`generationConfig.logprobs` must be a whole number of at least 0, not true"],
        ),
        (
            {"generationConfig": {"stopSequences": ["a", 1]}},
            ["`generationConfig.stopSequences[1]` must be text, not 1"],
        ),
        (
            {"systemInstruction": "hello"},
            ['`systemInstruction` must be text, or a Content: an object with a list of `parts`, not "hello"'],
        ),
        (
            {"safetySettings": [{"category": "harassment", "threshold": "OFF"}]},
            ['`safetySettings[0].category` must be a harm category, not "harassment"'],
        ),
        ({"httpOptions": {}}, [f"`httpOptions` is not taken: {REFUSED['http_options']}"]),
        ({"safetySettings": [], "modelArmorConfig": {}}, ["`modelArmorConfig` excludes `safetySettings`"]),
    ],
)
def test_check(config: Any, messages: list[str]) -> None:
    """A Config from a session file is checked in the words of the wire, where names are exact."""
    assert [problem.message for problem in check(config)] == messages


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
WIRE_KEYS = [part for setting in SETTINGS for part in setting.path]


@given(st.dictionaries(st.sampled_from(WIRE_KEYS), st.dictionaries(st.sampled_from(WIRE_KEYS), JSON) | JSON) | JSON)
def test_check_never_fails(config: Any) -> None:
    """Any JSON value can be checked, and each problem has one of the rules."""
    assert {problem.rule for problem in check(config)} <= set(resolve.RULES)


# Merging

CONFIGS = st.dictionaries(st.sampled_from([setting.wire for setting in SETTINGS]), st.integers(0, 2), max_size=6).map(
    lambda chosen: assembled(chosen)
)


def assembled(chosen: dict[str, int]) -> Config:
    """A Config of the chosen settings; numbers stand for values, and for sets of safety settings."""
    categories = ("HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_JAILBREAK")
    config: Config = {}
    for wire, number in chosen.items():
        *groups, last = wire.split(".")
        place = config
        for group in groups:
            place = place.setdefault(group, {})
        safety = [{"category": category, "threshold": str(number)} for category in categories[:number]]
        place[last] = safety if wire == "safetySettings" else number
    return config


@given(CONFIGS, CONFIGS)
def test_merge_is_pure_and_idempotent(session: Config, call: Config) -> None:
    """Merging changes neither Config, and merging the same call again changes nothing more."""
    before = copy.deepcopy((session, call))
    merged = merge(session, call)
    assert merge(merged, call) == merged
    assert (session, call) == before


@given(CONFIGS)
def test_merge_with_nothing(config: Config) -> None:
    """Nothing over a Config, or a Config over nothing, is that Config."""
    assert merge(config, {}) == merge({}, config) == config


def test_merge_by_key_and_category() -> None:
    """The call's keys and categories win one by one, and what it does not name stays."""
    session = {
        "systemInstruction": {"parts": [{"text": "a"}]},
        "tools": [{"googleSearch": {}}],
        "safetySettings": [{"category": "A", "threshold": "1"}, {"category": "B", "threshold": "1"}],
        "generationConfig": {"topP": 0.5, "topK": 1, "stopSequences": ["a", "b"]},
    }
    call = {
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


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"thinkingBudget": 1}, {"thinkingLevel": "LOW"}, {"thinkingLevel": "LOW"}),
        ({"thinkingLevel": "LOW"}, {"thinkingBudget": 1}, {"thinkingBudget": 1}),
        (
            {"thinkingBudget": 1, "includeThoughts": True},
            {"thinkingBudget": 2},
            {"thinkingBudget": 2, "includeThoughts": True},
        ),
        ({"includeThoughts": True}, {"thinkingLevel": "LOW"}, {"includeThoughts": True, "thinkingLevel": "LOW"}),
    ],
)
def test_merge_of_thinking(ours: Config, theirs: Config, expected: Config) -> None:
    """A budget replaces a level and the other way round; the wish for thoughts stays."""
    session, call = nested("generationConfig.thinkingConfig", ours), nested("generationConfig.thinkingConfig", theirs)
    assert merge(session, call) == nested("generationConfig.thinkingConfig", expected)


def test_merge_of_schemas() -> None:
    """One kind of response schema replaces the other."""
    session, call = nested("generationConfig.responseSchema", {}), nested("generationConfig.responseJsonSchema", {})
    assert merge(session, call) == call


def test_merge_keeps_model_armor() -> None:
    """A call's safety settings do not switch off the session's Model Armor: the two are a problem."""
    merged = merge({"modelArmorConfig": {}}, {"safetySettings": []})
    assert [problem.rule for problem in check(merged)] == ["exclusive"]


def test_large_configs_are_quick() -> None:
    """A config with thousands of tools is read and checked in about a second."""
    started = time.monotonic()
    text = json.dumps({"tools": [{"functionDeclarations": [{"name": f"f{i}"}]} for i in range(5000)]})
    assert check(from_yaml(text, "c.yaml")) == []
    assert time.monotonic() - started < 3


# Configs within other files


def tree_of(node: yaml_tree.Node | None) -> yaml_tree.Mapping:
    """The config that stands under the key `config`."""
    assert isinstance(node, yaml_tree.Mapping)
    config = node[yaml_tree.Text("config")]
    assert isinstance(config, yaml_tree.Mapping)
    return config


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_a_tree_is_read_like_a_file(setting: resolve.Setting) -> None:
    """Each setting, within a script in YAML or in JSON, gives what it gives in a config file of its own."""
    value: Any = SAMPLES[setting.field]
    for name in reversed(setting.field.split(".")):
        value = {name: value}
    alone = from_yaml(json.dumps(value), "c.yaml")
    text = json.dumps({"config": value})
    for node in (yaml_tree.load(text, "s.yaml"), json_tree.load(text, [])):
        assert from_tree(tree_of(node)) == (alone, [])


def test_problems_of_a_tree_have_their_places_in_the_whole_file() -> None:
    """Everything wrong is given back, in the order of lines, with places as they are in the file around it."""
    node = yaml_tree.load("turns: [a]\nconfig:\n  top_k: x\n  seeed: 1\n  top_p: 0.5\n", "s.yaml")
    config, problems = from_tree(tree_of(node))
    assert [(problem.rule, problem.line, problem.column) for problem in problems] == [
        ("value", 3, 10),
        ("unknown-key", 4, 3),
    ]
    assert config["generationConfig"]["topP"] == 0.5


def test_text_in_json_is_no_number() -> None:
    """What JSON has in quotes is text, even if it looks like a number: a setting that is text takes it as it is."""
    node = json_tree.load('{"config": {"temperature": "1", "stop_sequences": ["1", "null"]}}', [])
    config, problems = from_tree(tree_of(node))
    assert [(problem.rule, problem.line, problem.column) for problem in problems] == [("value", 1, 28)]
    assert config["generationConfig"]["stopSequences"] == ["1", "null"]


def test_an_empty_tree_sets_nothing() -> None:
    """A config without keys is no mistake."""
    assert from_tree(yaml_tree.Mapping()) == ({}, [])
