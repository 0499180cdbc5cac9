"""Configs: options, config files and session files read into what a request carries.

A `Config` is the body of a generateContent request without `contents`, in the API's own names: that
is what a session stores and what is sent. `definitions` says what there is to set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, cast

from gemcli.chat.contents import Content
from gemcli.errors import Problem
from gemcli.settings.api_objects import aliases
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
from gemcli.settings.tool_settings import (
    TOOL_OPTIONS,
    are_mixed,
    merge_tool_config,
    tool_problems,
)
from gemcli.text import tree, yaml_tree
from gemcli.text.problems import Problems
from gemcli.text.proto_json import camel
from gemcli.text.schema import Kind, Schema, Values
from gemcli.text.tree import Node, Text


class Config(TypedDict, total=False):
    """The body of a generateContent request without `contents`."""

    systemInstruction: Content
    generationConfig: dict[str, object]
    safetySettings: list[dict[str, str]]
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


def from_options(
    values: Mapping[str, object], notice: Notice, functions: Sequence[dict[str, object]] = ()
) -> Config:
    """The Config of command-line options, given by `Setting.name`, and of declared functions.

    A value is text as typed, a number, or a tuple of texts; None and () mean absent. Raises
    `GemcliError` SETTINGS with every problem.
    """
    given = tree.Mapping()
    for setting in (*OPTIONS, *TOOL_OPTIONS):
        value = values.get(setting.name)
        if isinstance(value, tuple) and value:
            items = [Text(str(item)) for item in value]
            given[Text(setting.option)] = tree.Sequence(items=items)
        elif value is not None and value != ():
            given[Text(setting.option)] = Text(str(value))
    config = _read(_OPTIONS, given, "options", notice)
    if functions:
        config["tools"] = [{"functionDeclarations": [*functions]}, *config.get("tools", [])]
    return config


def with_tools_allowed(config: Config) -> Config:
    """The Config that allows its tools to go together, unless it says otherwise.

    The API wants to be told if functions go together with its own tools.
    """
    if not are_mixed(config):
        return config
    together = {"includeServerSideToolInvocations": True}
    return {**config, "toolConfig": {**together, **config.get("toolConfig", {})}}


def from_yaml(text: str, name: str, notice: Notice) -> Config:
    """The Config of a config file. Raises `GemcliError` SETTINGS with every problem."""
    problems = Problems(name)
    node = yaml_tree.load(text, problems)
    problems.require_none(name)
    for note in problems.notes:
        notice(note.describe())
    if node is None or (isinstance(node, Text) and node.plain and not node):
        return {}
    return _read(CONFIG, node, name, notice, file=name)


def check(config: object) -> list[Problem]:
    """What is wrong with a stored Config, whose keys are the API's own."""
    problems = Problems()
    found = _STORED(problems, "the config", tree.from_value(config))
    return problems.found if found is None else [*tool_problems(found)]


def merge(session: Config, call: Config) -> Config:
    """The session's Config with that of one call over it. Neither is changed.

    The keys of `generationConfig`, `thinkingConfig` and `toolConfig` are replaced one by one,
    safety settings by category, all else whole, and of two `RIVALS` the session's. Other settings
    that exclude each other are kept, for `check` to find: a call must not switch off the session's
    Model Armor.
    """
    merged: Config = {**session, **call}
    old, new = session.get("generationConfig"), call.get("generationConfig")
    if old and new:
        merged["generationConfig"] = _merge_objects(old, new)
        if "thinkingConfig" in old and "thinkingConfig" in new:
            thinking = _merge_objects(old["thinkingConfig"], new["thinkingConfig"])
            merged["generationConfig"]["thinkingConfig"] = thinking
    if "safetySettings" in session and "safetySettings" in call:
        safety = _merge_by_category(session["safetySettings"], call["safetySettings"])
        merged["safetySettings"] = safety
    if "toolConfig" in session and "toolConfig" in call:
        merged["toolConfig"] = merge_tool_config(session["toolConfig"], call["toolConfig"])
    return merged


def _read(
    schema: Schema[Config], node: Node, name: str, notice: Notice, file: str | None = None
) -> Config:
    """The Config that a tree stands for. Raises `GemcliError` with every problem."""
    problems = Problems(file)
    config = schema(problems, "the config", node)
    problems.require_none(name)
    for note in problems.notes:
        notice(note.describe())
    return config or {}


def _merge_objects(old: Any, new: Any) -> Any:
    """`new` over `old`, without the rivals of what is new; if one is no object, that one."""
    for given in (old, new):
        if not isinstance(given, dict):
            return given
    replaced = {rival for pair in RIVALS for rival in pair if {*pair} & new.keys()}
    return {key: value for key, value in old.items() if key not in replaced} | new


def _merge_by_category(old: Any, new: Any) -> Any:
    """One safety setting for each category; if one is no list of them, that one."""
    for given in (old, new):
        if not isinstance(given, list) or not all(map(_has_category, given)):
            return given
    return list({setting["category"]: setting for setting in (*old, *new)}.values())


def _has_category(setting: object) -> bool:
    return isinstance(setting, dict) and isinstance(setting.get("category"), str)


# The schemas: of thinking, of config files, of what is stored, and of options


def _group(
    group: tuple[str, ...], elsewhere: Mapping[str, str], **groups: Kind[object]
) -> Schema[Values]:
    """The settings of a group, by the API's names, and the groups within it."""
    kinds = {setting.key: setting.kind for setting in SETTINGS if setting.group == group} | groups
    elsewhere = {**_both_spellings(REFUSED), **elsewhere}
    return Schema(dict, kinds, exclusive=(*RIVALS, *EXCLUSIVE), elsewhere=elsewhere)


def _both_spellings(hints: Mapping[str, str]) -> dict[str, str]:
    """The same hints for names in snake_case and in camelCase."""
    return {**hints, **{camel(name): hint for name, hint in hints.items()}}


def _config_at(paths: Mapping[str, tuple[str, ...]]) -> Callable[..., Config]:
    """What makes a Config of values by name: each goes to the path of its name."""

    def make(**values: object) -> Config:
        config: Values = {}
        for name, value in values.items():
            *groups, last = paths[name]
            place = config
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return cast(Config, config)

    return make


_IN_THINKING = {
    one.name: "it belongs under `thinking_config`" for one in SETTINGS if one.group == THINKING
}
_AT_TOP = {one.name: "it belongs at the top level" for one in SETTINGS if one.group != THINKING}
# People also try the names of options: `stop` for `stop_sequences`.
_OPTION_NAMES = {
    setting.option[2:].replace("-", "_"): f"did you mean `{setting.name}`?"
    for setting in OPTIONS
    if setting.name not in setting.option.replace("-", "_")
}

_THINKING = _group(THINKING, _both_spellings(_AT_TOP))
_GENERATION = _group(GENERATION, {}, thinkingConfig=_THINKING)
_STORED = _group(BODY, {}, generationConfig=_GENERATION)

_FILE_KEYS = {key: kind for key, kind in _STORED.keys.items() if key != "generationConfig"} | {
    **_GENERATION.keys,
    "thinkingConfig": replace(_THINKING, aliases=aliases(_THINKING.keys)),
}
CONFIG = Schema(
    _config_at({"thinkingConfig": THINKING, **{one.key: one.path for one in SETTINGS}}),
    _FILE_KEYS,
    exclusive=_STORED.exclusive,
    elsewhere=_both_spellings(MISPLACED | _IN_THINKING | _OPTION_NAMES | REFUSED),
    aliases=aliases(_FILE_KEYS) | {one.alias: one.key for one in SETTINGS if one.alias},
)
"""A config file, and the `config` of a replay script."""

_OPTIONS = Schema(
    _config_at({setting.option: setting.path for setting in (*OPTIONS, *TOOL_OPTIONS)}),
    {setting.option: setting.kind for setting in (*OPTIONS, *TOOL_OPTIONS)},
    exclusive=(("--thinking-budget", "--thinking-level"),),
)
