"""The grammar of scripts: what may stand where, as tables.

Everything wrong with a script comes out at once.

    script  = [turn, …]  |  {header…, turns: [turn, …]}
    header  = name | model | system | config | vars: {name: text} | on_fail: stop, continue | on_unknown: fail, resend
    turn    = text  |  {id, user: text, raw: true, wait: seconds, config: {…}, expect: {check: …}}
    checks  = contains, icontains, not_contains, equals, starts_with, regex, not_regex: text, or a list of texts
            | finish: a finish reason, or a list of them
            | words, chars, latency_ms: bound  |  tokens: {input, output, thoughts, total: bound}
    bound   = "<n", "<=n", ">n", ">=n" or "low..high"

`{{name}}` in a message, and in the texts of `expect`, stands for one of `vars`. A message is text
whatever it looks like: `- yes`, `- 12:30` and `- null` say just that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemcli.api.models import check_model
from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.replay import checks, crosschecks, template
from gemcli.replay.checks import PATTERNS, TEXT_CHECKS, TOKENS, Bound, Expected
from gemcli.replay.crosschecks import ScriptReading
from gemcli.replay.script import Script, Turn
from gemcli.sessions.names import is_session_name
from gemcli.settings import resolve
from gemcli.text import yaml_tree
from gemcli.text.json_tree import Literal
from gemcli.text.schema import (
    Form,
    Kind,
    Reading,
    choice,
    compiled,
    list_of,
    map_of,
    matching,
    scalar,
)
from gemcli.text.yaml_tree import Node, Text

# Kinds


def _said(node: Text) -> str:
    if isinstance(node, Literal):
        raise ValueError("in JSON, text is in quotes")
    if node.plain and not node:
        raise ValueError('"" is text without a character')
    return str(node)


def _something(node: Text) -> str:
    if not node:
        raise ValueError
    return _said(node)


def _pattern(node: Text) -> str:
    text = _said(node)
    if not template.names(text):
        compiled(text)
    return text


def _model(node: Text) -> str:
    try:
        return check_model(_said(node))
    except GemcliError as error:
        raise ValueError(error.hint) from None


def _name(node: Text) -> str:
    if not is_session_name(_word(node)):
        raise ValueError
    return str(node)


def _id(node: Text) -> str:
    return matching("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")(_word(node))  # type: ignore[no-any-return]


def _word(node: Text) -> Text:
    """The node, unless it is one of JSON's names; a number may well be a name."""
    if isinstance(node, Literal) and node in ("null", "true", "false"):
        _said(node)
    return node


def _flag(node: Text) -> bool:
    if node not in ("true", "false"):
        raise ValueError
    return _unquoted(node) == "true"


def _seconds(node: Text) -> float:
    seconds = float(matching(r"[0-9]{1,6}(\.[0-9]{1,6})?")(node))
    if seconds > LONGEST_WAIT:
        raise ValueError
    return float(_unquoted(node))


def _unquoted(node: Text) -> str:
    if not node.plain:
        raise ValueError("take the quotes off")
    return str(node)


def _bound(node: Text) -> Bound:
    if not node and not node.plain:
        raise ValueError("in YAML, what begins with > is in quotes")
    return checks.bound(node)


def _config(reading: Reading, label: str, node: Node) -> Any:
    if not isinstance(node, yaml_tree.Mapping):
        reading.refuse("shape", f"{label} must be a mapping of settings", node)
        return None
    config, problems = resolve.from_tree(node)
    reading.problems += problems
    return config


def _one_or_more(item: Kind) -> Kind:
    """The kind of one thing or a list of them; a tuple."""

    def read(reading: Reading, label: str, node: Node) -> Any:
        if isinstance(node, yaml_tree.Sequence):
            return tuple(list_of(item)(reading, label, node) or ())
        return (item(reading, label, node),)

    return read


LONGEST_WAIT = 86400

TEXT = scalar("text", _said)
FLAG = scalar("true or false", _flag)
BOUND = scalar("a bound like <=6, >0 or 3..9", _bound)
PATTERN = scalar("a regular expression", _pattern)
NAME = scalar("a name of letters, digits, '.', '_' and '-'", _name)
FINISH = choice(
    "a finish or block reason of the API", dict.fromkeys((*FINISH_REASONS, *BLOCK_REASONS))
)


def _expected(
    *, finish: tuple[str, ...] | None = None, tokens: Mapping[str, Any] | None = None, **more: Any
) -> Expected:
    texts = {name: wanted for name, wanted in more.items() if name in TEXT_CHECKS}
    bounds = {name: limits for name, limits in more.items() if name not in TEXT_CHECKS}
    return Expected(
        texts,
        finish,
        bounds | {f"tokens.{name}": limits for name, limits in (tokens or {}).items()},
    )


EXPECT = Form(
    _expected,
    {name: _one_or_more(PATTERN if name in PATTERNS else TEXT) for name in TEXT_CHECKS}
    | {"finish": _one_or_more(FINISH)}
    | dict.fromkeys(("words", "chars", "latency_ms"), BOUND)
    | {"tokens": Form(dict, dict.fromkeys(TOKENS, BOUND))},
)

TURN_KEYS: dict[str, Kind] = {
    "id": scalar("an id of letters, digits, '_' and '-'", _id),
    "user": TEXT,
    "raw": FLAG,
    "wait": scalar(f"a time in seconds, at most {LONGEST_WAIT}", _seconds),
    "config": _config,
    "expect": EXPECT,
}
"""The keys of a turn."""

HEADER_KEYS: dict[str, Kind] = {
    "name": NAME,
    "model": scalar("a model's name", _model),
    "system": scalar("text", _something),
    "config": _config,
    "vars": map_of(scalar("a name of letters, digits and '_'", matching(template.NAME)), TEXT),
    "on_fail": choice("stop or continue", ("stop", "continue")),
    "on_unknown": choice("fail or resend", ("fail", "resend")),
}
"""The keys of a script besides `turns`."""

KEYED = {
    "turns": {
        "user": True,
        "config": True,
        "id": False,
        "raw": False,
        "wait": False,
        "expect": False,
    },
    "script": {
        "model": True,
        "system": True,
        "config": True,
        "name": False,
        "vars": False,
        "on_fail": False,
        "on_unknown": False,
    },
}
"""Whether a key is part of what makes a message the same as before (of vars and `raw`, what they make of it is)."""

_CONFIG_KEYS = {
    name: "it belongs under `config`"
    for setting in resolve.SETTINGS
    for name in (
        setting.field.partition(".")[0],
        setting.path[setting.path[0] == "generationConfig"],
    )
}
"""The settings that people put beside `config`, by the names they have in it, with what to do about it."""

_TURN = Form(dict, TURN_KEYS, required=("user",), elsewhere=_CONFIG_KEYS)


# Scripts


def read(reading: ScriptReading, node: Node, name: str) -> Script | None:
    """The script that a tree holds; None when something is wrong, which `reading` then knows.

    `name` is what a script without a name of its own is called.
    """
    if isinstance(node, yaml_tree.Sequence):
        header = yaml_tree.Mapping(node.line, node.column)
        header[Text("turns", node.line, node.column)] = node
        node = header
    elif isinstance(node, Text):
        hint = "a script is a list of messages, or a mapping with `turns`; --lines sends each line of a text"
        reading.refuse("shape", "this is text, and no script", node, hint)
        return None
    before = len(reading.problems)
    crosschecks.take_vars(reading, node)
    form = Form(dict, HEADER_KEYS | {"turns": _turns}, required=("turns",), elsewhere=_CONFIG_KEYS)
    values = form(reading, "a script", node)
    crosschecks.check(reading, node)
    return _script(reading, values, name) if len(reading.problems) == before else None


def _script(reading: ScriptReading, values: Mapping[str, Any], name: str) -> Script:
    numbered = enumerate(values["turns"], 1)
    turns = tuple(Turn(**({"id": f"t{number}"} | turn)) for number, turn in numbered)
    settled = {key: values.get(key) for key in ("model", "on_fail", "on_unknown")}
    return Script(
        values.get("name", name),
        turns,
        config=crosschecks.whole_config(values),
        vars=reading.vars,
        **settled,
    )


def _turns(reading: Reading, label: str, node: Node) -> Any:
    """The kind of the list of messages."""
    if node == []:
        reading.refuse("empty-script", "there is no message", node)
        return None
    return list_of(_turn)(reading, label, node)


def _turn(reading: Reading, _label: str, node: Node) -> dict[str, Any] | None:
    """The fields of a Turn that a list item gives."""
    values: dict[str, Any] | None
    if isinstance(node, yaml_tree.Mapping):
        if len(node) == 1 and (key := next(iter(node))) not in TURN_KEYS:
            # A key in quotes, as all of JSON's are, was meant as one.
            advice = ["put the message in quotes"] if key.plain else []
            hint = "; ".join(
                [*advice, reading.near(key, TURN_KEYS) or "a turn with settings has `user`"]
            )
            what = f"this is a mapping with the key `{key[:40]}`, not a message"
            reading.refuse("unquoted-message", what, node, hint)
            return None
        values = _TURN(reading, "a turn", node)
        if values is None:
            return None
    elif isinstance(node, Text):
        values = {"user": TEXT(reading, "a message", node) if node else ""}
    else:
        reading.refuse("shape", "a turn must be text or a mapping, not a list", node)
        return None
    message = values.pop("user")
    raw = values.get("raw", False) or (isinstance(reading, ScriptReading) and not reading.templates)
    return {"line": node.line} | values | {"raw": raw, "content": user_text(message or "")}
