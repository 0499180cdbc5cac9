"""What must hold between the parts of a script, which may each be sound: ids, templates, configs.

These walk the tree and not what was read from it, so that they find what is wrong beside other
mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS
from gemcli.errors import Problem
from gemcli.replay import template
from gemcli.replay.checks import PATTERNS, TEXT_CHECKS
from gemcli.settings import resolve
from gemcli.text import yaml_tree
from gemcli.text.schema import Reading, compiled
from gemcli.text.yaml_tree import Node, Text

RULES = {
    "unquoted-message": "a message with a colon in it is in quotes",
    "empty-message": "a message says something",
    "empty-script": "a script has a message",
    "duplicate-id": "the ids of turns differ",
    "duplicate-name": "the names of a file's conversations differ",
    "function-call": "a conversation goes on without responses of functions",
    "undefined": "a template names one of `vars`",
    "unused": "what --var defines is used",
    "filter": "a template's filter is one of " + ", ".join(template.FILTERS),
    "system-template": "what looks like a template in `system` is sent as it is (`--strict`)",
    "refusal-not-last": "only the last message of a script is expected to be refused (`--strict`)",
    "comment": "no text of a message is lost to a comment (`--strict`)",
}
"""The rules that only scripts have, by their stable names.

The others are in `forms`, `settings` and `yamltext`.
"""


REFUSALS = {
    *BLOCK_REASONS,
    *(name for name, reason in FINISH_REASONS.items() if reason not in (None, "INCOMPLETE")),
}
"""The ends of answers that never enter the history."""

MAX_NAMES = 20
"""So many names are told in a hint at most."""


class ScriptReading(Reading):
    """The problems of one script, the warnings, and the texts that templates may stand for.

    `given` texts win over the script's own; `used` are the names that it declares or has templates
    for.
    """

    def __init__(self, given: Mapping[str, str], *, templates: bool = True) -> None:
        super().__init__()
        self.warnings: list[Problem] = []
        self.templates = templates
        self.given = given
        self.vars: dict[str, str] = dict(given)
        self.used: set[str] = set()


def check(reading: ScriptReading, node: yaml_tree.Mapping) -> None:
    """Refuse what does not go together in the tree of a script."""
    _beside_each_other(reading, node)
    _check_configs(reading, node)
    _check_system(reading, node.get(Text("system")))
    turns = node.get(Text("turns"))
    if isinstance(turns, yaml_tree.Sequence):
        _check_ids(reading, turns)
        _check_refusals(reading, turns)
        _check_templates(reading, turns)


def whole_config(values: Mapping[str, Any]) -> resolve.Config:
    """The config of a script with its system instruction."""
    system = (
        {"systemInstruction": {"parts": [{"text": values["system"]}]}} if "system" in values else {}
    )
    return system | (values.get("config") or {})


def _beside_each_other(reading: ScriptReading, node: yaml_tree.Mapping) -> None:
    """Refuse what says the same twice: `system` and a system instruction in `config`."""
    config = node.get(Text("config"))
    system = next((key for key in node if key == "system"), None)
    names = ("system_instruction", "systemInstruction")
    if (
        system is not None
        and isinstance(config, yaml_tree.Mapping)
        and any(name in config for name in names)
    ):
        reading.refuse(
            "exclusive", "`system` cannot stand beside `config.system_instruction`", system
        )


def _check_configs(reading: ScriptReading, node: yaml_tree.Mapping) -> None:
    """Refuse settings that are sound by themselves, and exclude each other where they come together."""
    config = _sound_config(node)
    if config is None:
        return
    problems = resolve.check(config)
    for problem in problems:
        reading.refuse(problem.rule, problem.message, node.get(Text("config"), node), problem.hint)
    turns = node.get(Text("turns"))
    maps = (
        [turn for turn in turns if isinstance(turn, yaml_tree.Mapping)]
        if isinstance(turns, list)
        else []
    )
    for turn in maps if not problems else ():
        own = _sound_config(turn)
        for problem in resolve.check(resolve.merge(config, own)) if own else ():
            what = f"{problem.message} (with the script's `config`)"
            reading.refuse(problem.rule, what, turn.get(Text("config"), turn), problem.hint)


def _sound_config(node: yaml_tree.Mapping) -> resolve.Config | None:
    """The config of a script or a turn, with its system instruction.

    None if something is wrong with it alone.
    """
    given, system = node.get(Text("config"), yaml_tree.Mapping()), node.get(Text("system"))
    if not isinstance(given, yaml_tree.Mapping):
        return None
    config, problems = resolve.from_tree(given)
    told = {"system": str(system)} if isinstance(system, Text) and system else {}
    return None if problems else whole_config({"config": config} | told)


def _check_system(reading: ScriptReading, system: Node | None) -> None:
    """Warn of templates where there are none."""
    if isinstance(system, Text) and (names := template.names(system)):
        what = f"`{{{{{next(iter(names))}}}}}` in `system` is sent as it is"
        hint = "templates are for messages and expectations"
        reading.warnings.append(
            Problem("system-template", what, line=system.line, column=system.column, hint=hint)
        )


def _check_refusals(reading: ScriptReading, turns: yaml_tree.Sequence) -> None:
    """Warn of a refusal that is expected before the end: nothing can follow it."""
    for turn in turns[:-1]:
        expected = turn.get(Text("expect")) if isinstance(turn, yaml_tree.Mapping) else None
        finish = expected.get(Text("finish")) if isinstance(expected, yaml_tree.Mapping) else None
        wanted = finish if isinstance(finish, list) else [finish]
        if finish and all(isinstance(name, Text) and name in REFUSALS for name in wanted):
            what = "a message after a refused one is never sent"
            hint = "make this the last turn, or a script of its own"
            reading.warnings.append(
                Problem("refusal-not-last", what, line=turn.line, column=turn.column, hint=hint)
            )


def take_vars(reading: ScriptReading, node: yaml_tree.Mapping) -> None:
    """Take the names in `vars`, for templates to be checked against, whatever else is wrong with them."""
    given = node.get(Text("vars"))
    if isinstance(given, yaml_tree.Mapping):
        texts = {
            str(name): str(text) if isinstance(text, Text) else "?" for name, text in given.items()
        }
        reading.vars = texts | dict(reading.given)
        reading.used |= texts.keys()


def _check_ids(reading: ScriptReading, turns: yaml_tree.Sequence) -> None:
    seen: dict[str, Node] = {}
    for number, turn in enumerate(turns, 1):
        given = turn.get(Text("id")) if isinstance(turn, yaml_tree.Mapping) else None
        name = str(given) if isinstance(given, Text) else f"t{number}"
        if name in seen:
            what = f"`{name}` is the id of the turn in line {seen[name].line} already"
            reading.refuse("duplicate-id", what, given or turn)
        seen.setdefault(name, turn)


def _check_templates(reading: ScriptReading, turns: yaml_tree.Sequence) -> None:
    """Refuse what templates make impossible, and messages that are empty with or without them."""
    for turn in turns:
        message = turn.get(Text("user")) if isinstance(turn, yaml_tree.Mapping) else turn
        # What `raw` is unless it is false, a slip perhaps, is no matter for templates.
        raw = isinstance(turn, yaml_tree.Mapping) and turn.get(Text("raw"), "false") != "false"
        missing = (
            message is not turn and message == "" and isinstance(message, Text) and message.plain
        )
        if isinstance(message, Text) and not missing:
            _check_message(reading, message, raw=raw or not reading.templates)
        for check, text in _expected_texts(turn):
            if not _undefined(reading, text) and check in PATTERNS and template.names(text):
                try:
                    compiled(template.render(text, reading.vars))
                except ValueError as error:
                    what = f"`{check}` is no regular expression once its templates are filled in: {error}"
                    reading.refuse("value", what, text)


def _check_message(reading: ScriptReading, message: Text, *, raw: bool) -> None:
    if message.comment:
        hint = "put the message in quotes if # belongs to it"
        what = "what follows this message is a comment"
        reading.warnings.append(
            Problem("comment", what, line=message.line, column=message.column, hint=hint)
        )
    if not raw and _undefined(reading, message, "; raw: true sends it as it is"):
        return
    said = str(message) if raw else template.render(message, reading.vars)
    if not said.strip():
        filled = " once its templates are filled in" if message.strip() else ""
        # What is there of `- # text` in a list.
        advice = None if message or not message.plain else "put it in quotes if it begins with #"
        reading.refuse("empty-message", f"the message is empty{filled}", message, advice)


def _expected_texts(turn: Node) -> Iterator[tuple[str, Text]]:
    """Every text that a turn's checks of text look for, with the name of its check."""
    expected = turn.get(Text("expect")) if isinstance(turn, yaml_tree.Mapping) else None
    for check, wanted in expected.items() if isinstance(expected, yaml_tree.Mapping) else ():
        if check in TEXT_CHECKS:
            yield from (
                (str(check), one)
                for one in (wanted if isinstance(wanted, list) else [wanted])
                if isinstance(one, Text)
            )


def _undefined(reading: ScriptReading, text: Text, advice: str = "") -> bool:
    """Whether templates in a text stand for nothing.

    Each is refused, with more `advice` in its hint.
    """
    reading.used.update(template.names(text))
    faults = template.faults(text, reading.vars)
    for rule, name in faults:
        if rule == "filter":
            reading.refuse(
                rule, f"`{name}` is no filter", text, f"there are {', '.join(template.FILTERS)}"
            )
        else:
            known = ", ".join(islice(reading.vars, MAX_NAMES))
            own = (
                "define it in `vars`, or with --var"
                if reading.templates
                else "define it with --var"
            )
            hint = (
                reading.near(name, reading.vars)
                or (f"there are {known}" if known else own) + advice
            )
            reading.refuse(rule, f"`{{{{{name}}}}}` is defined nowhere", text, hint)
    return bool(faults)
