"""Scripts: plain values, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gemcli.chat.contents import Content, Part, parts_of
from gemcli.errors import Problem
from gemcli.replay.calls import ToolResult
from gemcli.replay.checks import NOTHING, Expected
from gemcli.replay.template import render
from gemcli.sessions.record_types import SessionRecord
from gemcli.settings.config import Config, merge


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a script.

    `raw` messages are sent as they are, the others are templates. `wait` is the pause in seconds
    before it, `config` what it adds to the script's, `line` where it begins. Calls are answered by
    its own `tool_results` first.
    """

    id: str
    content: Content
    raw: bool = False
    wait: float = 0.0
    config: Config = field(default_factory=Config)
    expect: Expected = NOTHING
    line: int = 1
    tool_results: Sequence[ToolResult] = ()

    def rendered(self, texts: Mapping[str, str]) -> Content:
        """The user Content to send, with `texts` in the place of templates."""
        if self.raw:
            return self.content
        parts: list[Part] = [
            {**part, "text": render(part["text"], texts)} for part in parts_of(self.content)
        ]
        return {**self.content, "parts": parts}


@dataclass(frozen=True, slots=True)
class Script:
    """One conversation to replay; `header` is that of the session that it was read from, if any."""

    name: str
    turns: tuple[Turn, ...]
    model: str | None = None
    config: Config = field(default_factory=Config)
    vars: Mapping[str, str] = field(default_factory=dict)
    on_fail: str | None = None
    on_unknown: str | None = None
    header: SessionRecord | None = None
    tool_results: Sequence[ToolResult] = ()

    def as_raw(self) -> Script:
        """The script, with messages that are no templates."""
        return replace(self, turns=tuple(replace(turn, raw=True) for turn in self.turns))


@dataclass(frozen=True)
class Settings:
    """What a script says besides its messages, or a file for all of its conversations."""

    name: str | None = None
    model: str | None = None
    config: Config = field(default_factory=Config)
    vars: Mapping[str, str] = field(default_factory=dict)
    expect: Expected = NOTHING
    tool_results: Sequence[ToolResult] = ()
    on_fail: str | None = None
    on_unknown: str | None = None

    def under(self, script: Script) -> Script:
        """The script, with these settings where it has none of its own."""
        turns = script.turns
        if self.expect != NOTHING:
            turns = tuple(replace(turn, expect=_over(turn.expect, self.expect)) for turn in turns)
        return replace(
            script,
            turns=turns,
            model=script.model or self.model,
            config=merge(self.config, script.config),
            vars={**self.vars, **script.vars},
            tool_results=(*script.tool_results, *self.tool_results),
            on_fail=script.on_fail or self.on_fail,
            on_unknown=script.on_unknown or self.on_unknown,
        )


def _over(own: Expected, usual: Expected) -> Expected:
    """What is expected by `own`, and by `usual` where `own` has no such check."""
    return Expected(
        {**usual.texts, **own.texts},
        usual.finish if own.finish is None else own.finish,
        {**usual.bounds, **own.bounds},
        own.calls or usual.calls,
        usual.no_calls if own.no_calls is None else own.no_calls,
    )


@dataclass(frozen=True)
class Suite:
    """The conversations of a file, each in a session of its own if there may be `many`.

    `name` is that of the run, `digest` that of the file's bytes; `ignored` are keys without use.
    """

    file: str
    name: str
    digest: str
    scripts: tuple[Script, ...]
    many: bool = False
    warnings: tuple[Problem, ...] = ()
    ignored: tuple[str, ...] = ()

    def origin(self) -> dict[str, Any]:
        """Where a session that this file makes says it came from."""
        return {"kind": "replay", "file": self.file, "script": self.digest}
