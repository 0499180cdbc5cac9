"""What a script says of functions: each is declared, and nothing in a result is a template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from gemcli.replay import template
from gemcli.replay.calls import Called, ToolResult
from gemcli.replay.script import Script
from gemcli.settings.tool_settings import declared_functions
from gemcli.text import strict_json
from gemcli.text.problems import Problems
from gemcli.text.schema import MAX_NAMES
from gemcli.text.tree import Text, shortened


def check_functions(script: Script, problems: Problems) -> None:
    """Find results and expected calls of functions that nobody declared.

    A script that declares none is for a session that has its own tools. In recorded messages a
    model may have called what there never was.
    """
    declared = dict.fromkeys(_declared(script))
    for called in _called(script) if declared else ():
        if called.name not in declared:
            known = ", ".join(islice(declared, MAX_NAMES))
            hint = problems.suggest(called.name, declared) or f"declared are {known}"
            message = f"the function `{called.name}` is not declared"
            problems.add("undeclared", message, _place(called), hint)
    _note_templates(script.tool_results, problems)
    for turn in script.turns:
        _note_templates(() if turn.raw else turn.tool_results, problems)


def _declared(script: Script) -> Iterator[str]:
    """The names of the functions that a request of the script may declare."""
    for config in (script.config, *(turn.config for turn in script.turns)):
        yield from (str(function.get("name")) for function in declared_functions(config))


def _called(script: Script) -> Iterator[Called]:
    """What is said of functions, in tool results and in expectations."""
    yield from (result.called for result in script.tool_results)
    for turn in (turn for turn in script.turns if not turn.raw):
        yield from (result.called for result in turn.tool_results)
        yield from turn.expect.calls


def _note_templates(results: Sequence[ToolResult], problems: Problems) -> None:
    for result in results:
        text = strict_json.dumps([result.called.args, result.result.response])
        for name in template.names(text)[:1]:
            message = f"`{{{{{shortened(name)}}}}}` in a tool result stays as it is"
            hint = "templates are for messages and expected texts"
            problems.note("result-template", message, _place(result.called), hint)


def _place(called: Called) -> Text:
    return called.name if isinstance(called.name, Text) else Text(called.name)
