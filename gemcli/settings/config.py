"""Configs: options, config files and session files read into what a request carries.

A `Config` is the body of a generateContent request without `contents`, in the API's own names: that
is what a session stores and what is sent. `definitions` says what there is to set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, cast

from gemcli.chat.contents import Content
from gemcli.errors import Problem
from gemcli.settings.api_objects import aliases, camel_case
from gemcli.settings.definitions import (
    BODY,
    EXCLUSIVE,
    GENERATION,
    MISPLACED,
    OPTIONS,
    REFUSED,
    RIVALS,
    SETTINGS,
    THINKING,
)
from gemcli.text import tree, yaml_tree
from gemcli.text.problems import Problems
from gemcli.text.schema import Kind, Schema
from gemcli.text.tree import Node, Text


class ThinkingConfig(TypedDict, total=False):
    """How much the model thinks."""

    thinkingBudget: int
    thinkingLevel: str
    includeThoughts: bool


class GenerationConfig(TypedDict, total=False):
    """How an answer is generated; objects are as in `api_objects`."""

    temperature: float
    topP: float
    topK: int
    seed: int
    maxOutputTokens: int
    stopSequences: list[str]
    thinkingConfig: ThinkingConfig
    candidateCount: int
    presencePenalty: float
    frequencyPenalty: float
    responseLogprobs: bool
    logprobs: int
    responseMimeType: str
    responseSchema: dict[str, object]
    responseJsonSchema: dict[str, object]
    responseModalities: list[str]
    mediaResolution: str
    speechConfig: dict[str, object]
    imageConfig: dict[str, object]
    audioTimestamp: bool
    audioTranscriptionConfig: dict[str, object]
    enableEnhancedCivicAnswers: bool
    routingConfig: dict[str, object]
    modelConfig: dict[str, object]


class SafetySetting(TypedDict, total=False):
    """What is blocked in one category of harm."""

    category: str
    threshold: str
    method: str


class Config(TypedDict, total=False):
    """The body of a generateContent request without `contents`."""

    systemInstruction: Content
    generationConfig: GenerationConfig
    safetySettings: list[SafetySetting]
    tools: list[dict[str, object]]
    toolConfig: dict[str, object]
    cachedContent: str
    labels: dict[str, str]
    modelArmorConfig: dict[str, object]
    serviceTier: str
    outputConfig: dict[str, object]
    store: bool


Notice = Callable[[str], None]
"""Tells the user about something that is unusual but accepted."""


def from_options(values: Mapping[str, object], notice: Notice) -> Config:
    """The Config of command-line options, given by `Setting.name`.

    A value is text as typed, a number, or a tuple of texts; None and () mean absent. Raises
    `GemcliError` SETTINGS with every problem.
    """
    given = tree.Mapping()
    for setting in OPTIONS:
        value = values.get(setting.name)
        if isinstance(value, tuple) and value:
            items = [Text(str(item)) for item in value]
            given[Text(str(setting.option))] = tree.Sequence(items=items)
        elif value is not None and value != ():
            given[Text(str(setting.option))] = Text(str(value))
    return _read(_OPTIONS, given, "options", notice)


def from_yaml(text: str, name: str, notice: Notice) -> Config:
    """The Config of a config file: settings by the names of the SDK or the API.

    The keys of `generationConfig` are at the top level. Raises `GemcliError` SETTINGS with every
    problem.
    """
    problems = Problems()
    node = yaml_tree.load(text, problems)
    problems.require_none(name)
    if node is None or (isinstance(node, Text) and node.plain and not node):
        return {}
    return _read(CONFIG, node, name, notice)


def check(config: object) -> list[Problem]:
    """What is wrong with a stored Config, whose keys are the API's own."""
    problems = Problems()
    _STORED(problems, "the config", tree.from_value(config))
    return problems.found


def merge(session: Config, call: Config) -> Config:
    """The session's Config with that of one call over it. Neither is changed.

    The keys of `generationConfig` and `thinkingConfig` are replaced one by one, safety settings by
    category, everything else whole. Of two `RIVALS` the call's replaces the session's. Other
    settings that exclude each other are kept, for `check` to find: a call must not switch off the
    session's Model Armor by the way.
    """
    merged: Config = {**session, **call}
    ours, theirs = session.get("generationConfig"), call.get("generationConfig")
    if ours and theirs:
        generation = _over(ours, theirs)
        if "thinkingConfig" in ours and "thinkingConfig" in theirs:
            thinking = _over(ours["thinkingConfig"], theirs["thinkingConfig"])
            generation["thinkingConfig"] = thinking
        merged["generationConfig"] = generation
    if "safetySettings" in session and "safetySettings" in call:
        merged["safetySettings"] = _by_category(session["safetySettings"], call["safetySettings"])
    return merged


def _read(kind: Schema, node: Node, name: str, notice: Notice) -> Config:
    """The Config that a tree stands for. Raises `GemcliError` with every problem."""
    problems = Problems()
    config: Config = kind(problems, "the config", node)
    problems.require_none(name)
    for note in problems.notes:
        notice(note.describe())
    return config


def _over(ours: Any, theirs: Any) -> Any:
    """`theirs` over `ours`, without what one of theirs replaces; or the one that is no object."""
    for given in (ours, theirs):
        if not isinstance(given, dict):
            return given
    replaced = {rival for pair in RIVALS for rival in pair if {*pair} & theirs.keys()}
    return {key: value for key, value in ours.items() if key not in replaced} | theirs


def _by_category(ours: Any, theirs: Any) -> Any:
    """The safety settings of both, one for each category; or the value that is no list of them."""
    for given in (ours, theirs):
        if not isinstance(given, list) or not all(map(_has_category, given)):
            return given
    return list({setting["category"]: setting for setting in (*ours, *theirs)}.values())


def _has_category(setting: object) -> bool:
    return isinstance(setting, dict) and isinstance(setting.get("category"), str)


# The schemas: of thinking, of config files, of what is stored, and of options


def _group(group: tuple[str, ...], elsewhere: Mapping[str, str], **groups: Kind[Any]) -> Schema:
    """The settings of a group, by the API's names, and the groups within it."""
    kinds = {setting.key: setting.kind for setting in SETTINGS if setting.group == group}
    return Schema(
        dict,
        {**kinds, **groups},
        exclusive=(*RIVALS, *EXCLUSIVE),
        elsewhere={**_REFUSED, **elsewhere},
    )


def _both_spellings(hints: Mapping[str, str]) -> dict[str, str]:
    """The same hints for names in snake_case and in camelCase."""
    return {**hints, **{camel_case(name): hint for name, hint in hints.items()}}


def _assemble(paths: Mapping[str, tuple[str, ...]], values: Mapping[str, object]) -> Config:
    """The Config that has each value at the path that goes with its name."""
    config: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = paths[name]
        place = config
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return cast(Config, config)


def _from_keys(**values: object) -> Config:
    return _assemble(_FILE_PATHS, values)


def _from_option_values(**values: object) -> Config:
    return _assemble(_OPTION_PATHS, values)


_REFUSED = _both_spellings(REFUSED)
_IN_THINKING = {
    setting.name: "it belongs under `thinking_config`"
    for setting in SETTINGS
    if setting.group == THINKING
}
_AT_TOP = {
    setting.name: "it belongs at the top level" for setting in SETTINGS if setting.group != THINKING
}
# People also try the names of options: `stop` for `stop_sequences`.
_OPTION_NAMES = {
    str(setting.option)[2:].replace("-", "_"): f"did you mean `{setting.name}`?"
    for setting in OPTIONS
    if setting.name not in str(setting.option).replace("-", "_")
}

_THINKING = _group(THINKING, _both_spellings(_AT_TOP))
_GENERATION = _group(GENERATION, {}, thinkingConfig=_THINKING)
_STORED = _group(BODY, {}, generationConfig=_GENERATION)

_FILE_PATHS = {setting.key: setting.path for setting in SETTINGS} | {"thinkingConfig": THINKING}
_FILE_KEYS = {key: kind for key, kind in _STORED.keys.items() if key != "generationConfig"} | {
    **_GENERATION.keys,
    "thinkingConfig": replace(_THINKING, aliases=aliases(_THINKING.keys)),
}
_FILE_ALIASES = {setting.alias: setting.key for setting in SETTINGS if setting.alias}
CONFIG = Schema(
    _from_keys,
    _FILE_KEYS,
    exclusive=_STORED.exclusive,
    elsewhere=_both_spellings(MISPLACED | _IN_THINKING | _OPTION_NAMES | REFUSED),
    aliases=aliases(_FILE_KEYS) | _FILE_ALIASES,
)
"""A config file, and the `config` of a replay script."""

_OPTION_PATHS = {str(setting.option): setting.path for setting in OPTIONS}
_OPTIONS = Schema(
    _from_option_values,
    {str(setting.option): setting.kind for setting in OPTIONS},
    exclusive=(("--thinking-budget", "--thinking-level"),),
)
