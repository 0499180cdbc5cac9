"""The grammar of scripts, as tables; gemcli-script(5) explains it.

A message is text whatever it looks like: `- yes`, `- 12:30` and `- null` say just that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gemcli.chat.contents import user_text
from gemcli.replay.checks import PATTERNS, TEXT_CHECKS, TOKENS, Bound, Expected
from gemcli.replay.script import Script, Settings, Turn
from gemcli.replay.script_hints import NOT_IN_SCRIPTS, NOT_IN_TURNS
from gemcli.replay.script_values import (
    BOUND,
    FINISH,
    FLAG,
    ID,
    MODEL,
    NAME,
    PATTERN,
    SECONDS,
    SYSTEM,
    VARIABLE,
    WORDS,
    one_or_more,
)
from gemcli.settings.config import CONFIG, Config
from gemcli.text import tree
from gemcli.text.problems import Place, Problems
from gemcli.text.schema import Kind, Schema, Values, choice, list_of, map_of
from gemcli.text.tree import Node, Text


def _expected(
    *, finish: tuple[str, ...] | None = None, tokens: Mapping[str, Bound] | None = None, **more: Any
) -> Expected:
    texts = {name: more.pop(name) for name in [*more] if name in TEXT_CHECKS}
    bounds = more | {f"tokens.{name}": bound for name, bound in (tokens or {}).items()}
    return Expected(texts, finish, bounds)


EXPECT = Schema(
    _expected,
    {
        **{name: one_or_more(PATTERN if name in PATTERNS else WORDS) for name in TEXT_CHECKS},
        "finish": one_or_more(FINISH),
        "words": BOUND,
        "chars": BOUND,
        "latency_ms": BOUND,
        "tokens": Schema(dict, dict.fromkeys(TOKENS, BOUND)),
    },
)

TURN: Schema[Values] = Schema(
    dict,
    {"id": ID, "user": WORDS, "raw": FLAG, "wait": SECONDS, "config": CONFIG, "expect": EXPECT},
    required=("user",),
    elsewhere=NOT_IN_TURNS,
)


def _turn(problems: Problems, _label: str, node: Node) -> Turn | None:
    """One message, alone or with settings."""
    if isinstance(node, Text):
        text = WORDS(problems, "a message", node) if node else node
        return None if text is None else Turn("", user_text(text), line=node.line)
    if not isinstance(node, tree.Mapping):
        problems.add("shape", "a turn must be text or a mapping, not a list", node)
        return None
    if len(node) == 1 and (key := next(iter(node))) not in TURN.keys:
        known = TURN.elsewhere.get(key) or problems.suggest(key, TURN.keys)
        hint = known or "a turn with settings has `user`"
        if key.plain and key not in TURN.elsewhere:  # a key in quotes, as in JSON, was meant as one
            hint = f"put the message in quotes; {hint}"
        message = f"this is a mapping with the key `{key[:40]}`, not a message"
        problems.add("unquoted-message", message, node, hint)
        return None
    values = TURN(problems, "a turn", node)
    if values is None:
        return None
    return Turn(values.pop("id", ""), user_text(values.pop("user")), **values, line=node.line)


MAX_MESSAGES = 100_000
"""Most messages in a file: more are a mistake, or data that should be split."""


def refuse_so_many(problems: Problems, place: Place) -> None:
    """Refuse the message that is one too many, and all after it."""
    message = f"more than {MAX_MESSAGES:,} messages"
    problems.add("too-many", message, place, "split the file")


def _turns(problems: Problems, label: str, node: Node) -> tuple[Turn, ...] | None:
    if node == []:
        problems.add("empty-script", "there is no message", node)
        return None
    if isinstance(node, tree.Sequence) and len(node) > MAX_MESSAGES:
        refuse_so_many(problems, node[MAX_MESSAGES])
        return None
    turns = list_of(_turn)(problems, label, node)
    return None if turns is None else tuple(turn for turn in turns if turn is not None)


def _settings(*, system: str | None = None, **values: Any) -> Settings:
    if system is not None:
        instruction: Config = {"systemInstruction": {"parts": [{"text": system}]}}
        values["config"] = {**instruction, **values.get("config", {})}
    return Settings(**values)


def _script(*, turns: tuple[Turn, ...], **values: Any) -> tuple[Settings, tuple[Turn, ...]]:
    return _settings(**values), turns


SETTINGS: dict[str, Kind[object]] = {
    "name": NAME,
    "model": MODEL,
    "system": SYSTEM,
    "config": CONFIG,
    "vars": map_of(VARIABLE, WORDS),
    "expect": EXPECT,
    "on_fail": choice("stop or continue", ("stop", "continue")),
    "on_unknown": choice("fail or resend", ("fail", "resend")),
}
"""What a script says besides its messages, and a suite for all of its conversations."""

SCRIPT = Schema(
    _script, {**SETTINGS, "turns": _turns}, required=("turns",), elsewhere=NOT_IN_SCRIPTS
)

SUITE = Schema(_settings, SETTINGS, elsewhere=NOT_IN_SCRIPTS)
"""A suite without its conversations."""


def read(problems: Problems, node: Node, name: str) -> Script | None:
    """The script that a tree holds, None if it is wrong; `name` is for one without a name."""
    if isinstance(node, tree.Sequence):
        node = node.under("turns")
    elif isinstance(node, Text):
        hint = "a script is a list of messages, or a mapping with `turns`; --lines sends each line"
        problems.add("shape", "this is text, not a script", node, hint)
        return None
    values = SCRIPT(problems, "a script", node)
    if values is None or not _has_one_instruction(problems, node):
        return None
    settings, turns = values
    numbered = enumerate(turns, 1)
    turns = tuple(replace(turn, id=turn.id or f"t{number}") for number, turn in numbered)
    return settings.under(Script(settings.name or name, turns))


def read_settings(problems: Problems, node: Node) -> Settings | None:
    """The settings that a file has for all of its conversations, None if they are wrong."""
    settings = SUITE(problems, "a suite", node)
    return settings if settings and _has_one_instruction(problems, node) else None


def _has_one_instruction(problems: Problems, node: Node) -> bool:
    """Whether a mapping does not have both `system` and the setting of the same meaning."""
    if not isinstance(node, tree.Mapping) or "system" not in node:
        return True
    system, config = node[Text("system")], node.get(Text("config"))
    names = config.keys() if isinstance(config, tree.Mapping) else ()
    if "systemInstruction" not in names and "system_instruction" not in names:
        return True
    message = "`system` and `config.system_instruction` exclude each other"
    problems.add("exclusive", message, system)
    return False
