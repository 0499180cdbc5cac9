"""The grammar of scripts, as tables; gemcli-script(5) explains it.

A message is text whatever it looks like: `- yes`, `- 12:30` and `- null` say just that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gemcli.chat.contents import user_text
from gemcli.replay.calls import Called, ToolResult
from gemcli.replay.checks import PATTERNS, TEXT_CHECKS, TOKENS, Bound, Expected
from gemcli.replay.script import Script, Settings, Turn
from gemcli.replay.script_hints import NOT_IN_SCRIPTS, NOT_IN_TOOL_RESULTS, NOT_IN_TURNS
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
from gemcli.settings.api_objects import kind_of
from gemcli.settings.config import CONFIG, Config
from gemcli.text import tree
from gemcli.text.problems import Place, Problems
from gemcli.text.schema import (
    COUNT,
    Kind,
    Schema,
    Values,
    any_object,
    any_value,
    choice,
    list_of,
    map_of,
)
from gemcli.text.tree import Node, Text
from gemcli.tools import declarations, results
from gemcli.tools.declarations import Tool


def _expected(
    *,
    finish: tuple[str, ...] | None = None,
    tokens: Mapping[str, Bound] | None = None,
    calls: Sequence[Called] = (),
    no_calls: bool | None = None,
    **more: Any,
) -> Expected:
    texts = {name: more.pop(name) for name in [*more] if name in TEXT_CHECKS}
    bounds = more | {f"tokens.{name}": bound for name, bound in (tokens or {}).items()}
    return Expected(texts, finish, bounds, tuple(calls), no_calls)


def _function(problems: Problems, label: str, node: Node) -> Text | None:
    """The name of a function, which knows its place."""
    name = declarations.NAME(problems, label, node)
    return node if name and isinstance(node, Text) else None


CALLED = Schema(Called, {"name": _function, "args": any_object}, required=("name",), short="name")


def _tool_result(
    *,
    name: Text,
    result: Any,
    args: Mapping[str, Any] | None = None,
    parts: Sequence[Any] = (),
    times: int | None = None,
) -> ToolResult:
    answer = replace(results.of_value(result), parts=tuple(parts))
    return ToolResult(Called(name, args or {}), answer, times)


TOOL_RESULT = Schema(
    _tool_result,
    {
        **CALLED.keys,
        "result": any_value,
        "parts": list_of(kind_of("FunctionResponsePart")),
        "times": COUNT,
    },
    required=("name", "result"),
    elsewhere=NOT_IN_TOOL_RESULTS,
)


EXPECT = Schema(
    _expected,
    {
        **{name: one_or_more(PATTERN if name in PATTERNS else WORDS) for name in TEXT_CHECKS},
        "finish": one_or_more(FINISH),
        "calls": list_of(CALLED, least=1),
        "no_calls": FLAG,
        "words": BOUND,
        "chars": BOUND,
        "latency_ms": BOUND,
        "tokens": Schema(dict, dict.fromkeys(TOKENS, BOUND)),
    },
    exclusive=(("calls", "no_calls"),),
)

TURN: Schema[Values] = Schema(
    dict,
    {
        "id": ID,
        "user": WORDS,
        "raw": FLAG,
        "wait": SECONDS,
        "config": CONFIG,
        "expect": EXPECT,
        "tool_results": list_of(TOOL_RESULT),
    },
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


def _settings(*, system: str | None = None, tools: Sequence[Tool] = (), **values: Any) -> Settings:
    config: Config = {}
    if system is not None:
        config["systemInstruction"] = {"parts": [{"text": system}]}
    if tools:
        # What runs them stays behind: a script answers the calls itself.
        config["tools"] = [{"functionDeclarations": [tool.declaration for tool in tools]}]
    return Settings(config={**config, **values.pop("config", {})}, **values)


def _script(*, turns: tuple[Turn, ...], **values: Any) -> tuple[Settings, tuple[Turn, ...]]:
    return _settings(**values), turns


SETTINGS: dict[str, Kind[object]] = {
    "name": NAME,
    "model": MODEL,
    "system": SYSTEM,
    "tools": declarations.read,
    "config": CONFIG,
    "vars": map_of(VARIABLE, WORDS),
    "expect": EXPECT,
    "tool_results": list_of(TOOL_RESULT),
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
    if values is None or not _says_once(problems, node):
        return None
    settings, turns = values
    numbered = enumerate(turns, 1)
    turns = tuple(replace(turn, id=turn.id or f"t{number}") for number, turn in numbered)
    return settings.under(Script(settings.name or name, turns))


def read_settings(problems: Problems, node: Node) -> Settings | None:
    """The settings that a file has for all of its conversations, None if they are wrong."""
    settings = SUITE(problems, "a suite", node)
    return settings if settings and _says_once(problems, node) else None


IN_CONFIG = {"system": ("system_instruction", "systemInstruction"), "tools": ("tools",)}
"""Keys of a script that are short for a setting, with the names of that."""


def _says_once(problems: Problems, node: Node) -> bool:
    """Whether a mapping does not have both a key and the setting of the same meaning."""
    if not isinstance(node, tree.Mapping):
        return True
    config = node.get(Text("config"))
    settings = {*config} if isinstance(config, tree.Mapping) else set[Text]()
    twice = [key for key, names in IN_CONFIG.items() if key in node and settings & {*names}]
    for key in twice:
        message = f"`{key}` and `config.{IN_CONFIG[key][0]}` exclude each other"
        problems.add("exclusive", message, node[Text(key)])
    return not twice
