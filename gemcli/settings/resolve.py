"""The settings of a generation.

Options and config files in, the REST form of a request out, checked on the way.

A Config is the body of a generateContent request without `contents`: that is what a session stores
and what is sent. What there is to set stands in `settings_table`; here is what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from gemcli.errors import GemcliError, Problem, counted, did_you_mean, in_order
from gemcli.settings import kinds
from gemcli.settings.definitions import EXCLUSIVE, MISPLACED, OPTIONS, REFUSED, SETTINGS, Setting
from gemcli.settings.kinds import Fault, Path, show
from gemcli.text import yaml_tree

__all__ = [
    "OPTIONS",
    "REFUSED",
    "RULES",
    "SETTINGS",
    "Config",
    "Setting",
    "check",
    "from_options",
    "from_tree",
    "from_yaml",
    "merge",
]

Config = dict[str, Any]
"""The body of a generateContent request without `contents`, in the API's own names."""

Keys = tuple[str, ...]

RULES = {
    "value": "a value is of the setting's kind and within its limits",
    "unknown-key": "a key is one of the settings",
    "refused-key": "a key is not the client's own business",
    "duplicate": "nothing is set twice",
    "exclusive": "settings that exclude each other are not both there",
    "shape": "a config is a mapping",
}
"""Every rule by its stable name, the name that problems carry.

YAML has its own in `yamltext.RULES`.
"""


def _last(path: str) -> str:
    """The last part of a path with dots."""
    return path.rpartition(".")[2]


_BY_PATH: dict[Keys, Setting] = {setting.path: setting for setting in SETTINGS}
_GROUPS = {path[:length] for path in _BY_PATH for length in range(1, len(path))}
_HOMES = {path[-1]: ".".join(path[:-1]) for path in _BY_PATH}
_OPTION_NAMES = {str(setting.option)[2:].replace("-", "_"): setting.name for setting in OPTIONS}
_RIVALS = {_last(one): _last(other) for pair in EXCLUSIVE[:2] for one, other in (pair, pair[::-1])}

# In a config file the keys of generationConfig stand at the top level, by either name.
_BY_KEYS: dict[Keys, Setting] = {
    path[path[0] == "generationConfig" :]: setting for path, setting in _BY_PATH.items()
}
_KEY_GROUPS = {keys[:-1] for keys in _BY_KEYS if len(keys) > 1}
_FIELD_NAMES = {
    wire: field
    for keys, setting in _BY_KEYS.items()
    for wire, field in zip(keys, setting.field.split("."), strict=True)
}
_WIRE_NAMES = {name: wire for wire, field in _FIELD_NAMES.items() for name in (wire, field)}
_KEY_HOMES = {
    name: ".".join(_FIELD_NAMES[key] for key in keys[:-1])
    for keys in _BY_KEYS
    for name in (keys[-1], _FIELD_NAMES[keys[-1]])
}


def from_options(values: Mapping[str, Any]) -> Config:
    """The Config that command-line options ask for.

    `values` holds, by `Setting.name` of the settings in `OPTIONS`, text as typed, a number, or a
    tuple of texts for repeatable ones; None and () mean absent, and other keys are not looked at.
    Text for `system_instruction` is the instruction itself. Raises `GemcliError` SETTINGS with
    every problem at once.
    """
    config: Config = {}
    names: dict[Keys, str] = {}
    for setting in OPTIONS:
        given = values.get(setting.name)
        if given is None or given == ():
            continue
        names[setting.path] = str(setting.option)
        kind = setting.kind
        read = (
            [_typed(kind.item, one) for one in given]
            if isinstance(kind, kinds.ListOf)
            else _typed(kind, given)
        )
        _put(config, setting.path, read)
    problems = []
    for fault in _faults(config):
        option = next(
            (name for path, name in names.items() if path == fault.path[: len(path)]), None
        )
        problems.append(_problem(fault, option or _dotted(fault.path)))
    _require(problems, "options")
    return config


def from_yaml(text: str, name: str) -> Config:
    """The Config that a config file asks for; `name` is what messages call the file.

    A mapping of settings by the names of the SDK or of the wire, with the keys of
    `generationConfig` at the top level; an empty file is an empty Config. Text is text, whatever it
    looks like; numbers and booleans are read where the setting is one. Raises `GemcliError`
    SETTINGS with every problem at once, each with line and column.
    """
    tree = yaml_tree.load(text, name)
    if tree is None:
        return {}
    if not isinstance(tree, yaml_tree.Mapping):
        shape = "text" if isinstance(tree, yaml_tree.Text) else "a list"
        _require(
            [_problem(Fault("shape", f"must be a mapping, not {shape}"), "the config", tree)], name
        )
        return {}
    config, problems = from_tree(tree)
    _require(problems, name)
    return config


def from_tree(tree: yaml_tree.Mapping) -> tuple[Config, list[Problem]]:
    """The Config that a mapping asks for, as in `from_yaml`, and everything wrong with it, line by line."""
    reading = _Reading()
    reading.mapping(tree, ())
    return reading.config, reading.finish()


def check(config: Any) -> list[Problem]:
    """What is wrong with a Config that was not made here, such as the one in a session file.

    `[]` if nothing.
    """
    faults = islice(_faults(config), yaml_tree.MAX_PROBLEMS)
    return [_problem(fault, _dotted(fault.path) or "config") for fault in faults]


def merge(session: Config, call: Config) -> Config:
    """The session's Config with that of one call over it. Neither is changed.

    The keys of `generationConfig` and `thinkingConfig` are replaced one by one, safety settings by
    category, everything else whole. A thinking budget replaces a level and the other way round, as
    the two kinds of response schema do. What else is exclusive stays side by side, for `check` to
    find: a call must not switch off the session's Model Armor by the way. So does what is no such
    thing at all.
    """
    merged = {**session, **call}
    ours, theirs = session.get("generationConfig", {}), call.get("generationConfig", {})
    if ours and theirs:
        generation = _over(ours, theirs)
        if "thinkingConfig" in ours and "thinkingConfig" in theirs:
            generation["thinkingConfig"] = _over(ours["thinkingConfig"], theirs["thinkingConfig"])
        merged["generationConfig"] = generation
    if "safetySettings" in session and "safetySettings" in call:
        merged["safetySettings"] = _by_category(session["safetySettings"], call["safetySettings"])
    return merged


class _Reading:
    """Reads the tree of a config file into a Config, and remembers where each value stood."""

    def __init__(self) -> None:
        self.config: Config = {}
        self.problems: list[Problem] = []
        self.nodes: dict[Keys, yaml_tree.Node] = {}

    def mapping(self, tree: yaml_tree.Mapping, group: Keys) -> None:
        """Read the settings in `tree`, which stands under the keys `group`."""
        seen: dict[str, yaml_tree.Text] = {}
        for key, node in tree.items():
            if len(self.problems) >= yaml_tree.MAX_PROBLEMS:
                break
            name = _WIRE_NAMES.get(key, str(key))
            keys = (*group, name)
            if name in seen:
                fault = Fault(
                    "duplicate", f"sets the same as `{seen[name]}` in line {seen[name].line}"
                )
                self.problems.append(_problem(fault, key, key))
            elif keys in _BY_KEYS:
                self.value(_BY_KEYS[keys], node)
            elif keys not in _KEY_GROUPS:
                siblings = [
                    _spelled_like(key, known[-1])
                    for known in (*_BY_KEYS, *_KEY_GROUPS)
                    if known[:-1] == group
                ]
                self.problems.append(
                    _problem(_unknown(key, (key,), siblings, _KEY_HOMES), key, key)
                )
            elif isinstance(node, yaml_tree.Mapping):
                self.mapping(node, keys)
            else:
                self.problems.append(_problem(Fault("shape", "must be a mapping"), key, node))
            seen.setdefault(name, key)

    def value(self, setting: Setting, node: yaml_tree.Node) -> None:
        """Read one setting's value; numbers that JSON cannot hold become problems."""
        try:
            _put(self.config, setting.path, setting.kind.from_node(node))
        except GemcliError as error:
            self.problems += error.problems
        self.nodes[setting.path] = node

    def finish(self) -> list[Problem]:
        """Every problem of the file, in the order of its lines."""
        for fault in islice(_faults(self.config), yaml_tree.MAX_PROBLEMS):
            path = next(path for path in self.nodes if path == fault.path[: len(path)])
            node, rest = self.nodes[path], fault.path[len(path) :]
            label = _BY_PATH[path].field + _dotted(rest, start=".")
            self.problems.append(_problem(fault, label, _locate(node, rest)))
        return in_order(self.problems)


def _locate(node: yaml_tree.Node, path: Path) -> yaml_tree.Node:
    """The node at `path` below `node`, or the last one on the way that was written out."""
    for step in path:
        if isinstance(node, yaml_tree.Sequence) and isinstance(step, int):
            node = node[step]
        elif isinstance(node, yaml_tree.Mapping) and step in node:
            node = node[yaml_tree.Text(str(step))]
    return node


def _typed(kind: kinds.Kind, given: Any) -> Any:
    """The value of an option: click gives text, or a number where it was told to."""
    return kind.read(str(given)) if type(given) in (str, int, float) else given


def _over(ours: Any, theirs: Any) -> Any:
    """`theirs` over `ours`, which loses what one of theirs replaces under another name.

    Or what is no object.
    """
    for given in (ours, theirs):
        if not isinstance(given, dict):
            return given
    replaced = {_RIVALS.get(key) for key in theirs}
    return {key: value for key, value in ours.items() if key not in replaced} | theirs


def _by_category(ours: Any, theirs: Any) -> Any:
    """The safety settings of both, one for each category; or what is no list of such."""
    for given in (ours, theirs):
        items = given if isinstance(given, list) else [None]
        if not all(
            isinstance(item, dict) and isinstance(item.get("category"), str) for item in items
        ):
            return given
    return list({item["category"]: item for item in (*ours, *theirs)}.values())


def _put(config: Config, path: Sequence[str], value: Any) -> None:
    """Set the value at `path`, making the objects that lead to it."""
    for key in path[:-1]:
        config = config.setdefault(key, {})
    config[path[-1]] = value


def _unknown(key: str, path: Path, siblings: Iterable[str], homes: Mapping[str, str]) -> Fault:
    """The fault of a key that is no setting where it stands.

    `homes` tells under which keys settings belong.
    """
    snake = _snake(key)
    if snake in REFUSED:
        return Fault("refused-key", f"is not taken: {REFUSED[snake]}", path)
    hint = MISPLACED.get(snake)
    if not hint and key in homes:
        hint = f"it belongs under `{homes[key]}`" if homes[key] else "it belongs at the top level"
    # People also try the names of options: `stop` for `stop_sequences`.
    near = did_you_mean(_OPTION_NAMES.get(snake, key), siblings)
    return Fault("unknown-key", "is not a setting", path, hint or near)


def _problem(fault: Fault, label: str, node: yaml_tree.Node | None = None) -> Problem:
    """The problem that users are told of.

    `label` names the value in their words, `node` is where it stands.
    """
    line, column = (node.line, node.column) if node is not None else (None, None)
    return Problem(
        fault.rule, f"`{label}` {fault.message}", line=line, column=column, hint=fault.hint
    )


def _require(problems: Sequence[Problem], what: str) -> None:
    """Raise `GemcliError` SETTINGS with every problem when there are any; `what` was checked."""
    if problems:
        count = counted(len(problems), "problem")
        raise GemcliError("SETTINGS", f"{what}: {count}", problems=problems)


def _dotted(path: Path, start: str = "") -> str:
    """A path as people write it: `generationConfig.stopSequences[2]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text if start else text.removeprefix(".")


def _spelled_like(key: str, wire: str) -> str:
    """The name of the setting `wire` in the style of `key`: camelCase or snake_case."""
    return wire if key != key.lower() else _FIELD_NAMES[wire]


def _snake(name: str) -> str:
    """`topP` as `top_p`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _faults(config: Any) -> Iterator[Fault]:
    """Everything wrong with a Config, each with its path from the top."""
    yield from _walk(config, ())
    present = set(_present(config, ()))
    for one, other in EXCLUSIVE:
        if one in present and other in present:
            yield Fault(
                "exclusive", f"excludes `{_last(one)}`", tuple(other.split(".")), "give one of them"
            )


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault("shape", f"must be an object, not {show(value)}", path)
        return
    for key, inner in value.items():
        where = (*path, key)
        if where in _GROUPS:
            yield from _walk(inner, where)
        elif where in _BY_PATH:
            yield from (fault.under(*where) for fault in _BY_PATH[where].kind.faults(inner))
        else:
            yield _unknown(
                key,
                where,
                [known[-1] for known in (*_BY_PATH, *_GROUPS) if known[:-1] == path],
                _HOMES,
            )


def _present(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The dotted paths of the settings that a Config has."""
    if path in _BY_PATH:
        yield ".".join(path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _present(inner, (*path, key))
