"""What a script says of functions: each is declared, and nothing in a result is a template."""

from __future__ import annotations

from collections.abc import Sequence
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
    written = [turn for turn in script.turns if not turn.raw]
    results = [*script.tool_results, *(one for turn in written for one in turn.tool_results)]
    expected = [called for turn in written for called in turn.expect.calls]
    _require_declared(script, [*(one.called for one in results), *expected], problems)
    for result in results:
        _note_template(result, problems)


def _require_declared(script: Script, mentioned: Sequence[Called], problems: Problems) -> None:
    configs = [script.config, *(turn.config for turn in script.turns)]
    functions = [function for config in configs for function in declared_functions(config)]
    declared = dict.fromkeys(str(function.get("name")) for function in functions)
    for called in mentioned if declared else ():
        if called.name not in declared:
            known = ", ".join(islice(declared, MAX_NAMES))
            hint = problems.suggest(called.name, declared) or f"declared are {known}"
            message = f"the function `{called.name}` is not declared"
            problems.add("undeclared", message, _place(called), hint)


def _note_template(result: ToolResult, problems: Problems) -> None:
    text = strict_json.dumps([result.called.args, result.result.response])
    for name in template.names(text)[:1]:
        message = f"`{{{{{shortened(name)}}}}}` in a tool result stays as it is"
        hint = "templates are for messages and expected texts"
        problems.note("result-template", message, _place(result.called), hint)


def _place(called: Called) -> Text:
    return called.name if isinstance(called.name, Text) else Text(called.name)
