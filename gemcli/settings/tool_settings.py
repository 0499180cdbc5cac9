"""The tools of a request: their options, how settings of two places are merged, what goes together.

The rules are those of ai.google.dev/gemini-api/docs/function-calling and its page about combining
functions with the API's own tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gemcli.errors import Problem, did_you_mean
from gemcli.settings.api_objects import kind_of
from gemcli.settings.definitions import BODY, Setting
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.text.schema import FILLED_TEXT, choice, list_of
from gemcli.text.tree import Node

BUILT_IN_TOOLS = {
    "google-search": "googleSearch",
    "url-context": "urlContext",
    "code-execution": "codeExecution",
}
"""The API's own tools that need no settings, by the names that `--tool` takes."""

RESTRICTING = ("ANY", "VALIDATED")
"""The modes in which the API takes a list of allowed functions."""


def _built_in_tools(problems: Problems, label: str, node: Node) -> list[dict[str, object]] | None:
    others = {key: name for name, key in BUILT_IN_TOOLS.items()}
    names = list_of(choice("one of the API's tools", BUILT_IN_TOOLS, others))(problems, label, node)
    if names is None or not isinstance(node, tree.Sequence):
        return None
    for place, name in enumerate(names):
        if name in names[:place]:
            problems.add("duplicate", f"{label}: {name} is given twice", node)
    return [{BUILT_IN_TOOLS[name]: {}} for name in names if name]


CALLING = ("toolConfig", "functionCallingConfig")

# fmt: off
TOOL_OPTIONS = (
    Setting(BODY, "tools", _built_in_tools,
        f"one of the API's own tools: {', '.join(BUILT_IN_TOOLS)}",
        "--tool", "NAME", repeatable=True, alias="tool"),
    Setting(CALLING, "mode", kind_of("FunctionCallingMode"),
        "when functions are called: auto, any (always), none, validated",
        "--tool-mode", "MODE", alias="tool_mode"),
    Setting(CALLING, "allowedFunctionNames", list_of(FILLED_TEXT),
        "with the modes any and validated: a function that may be called",
        "--allowed-function", "NAME", repeatable=True, alias="allowed_functions"),
)
# fmt: on
"""What options set in `tools` and `toolConfig`; config files have both as the API does."""


def declared_functions(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The declarations of the functions that a config has among its tools."""
    tools = config.get("tools") or []
    return [one for tool in tools for one in tool.get("functionDeclarations") or []]


def are_mixed(config: Mapping[str, Any]) -> bool:
    """Whether there are functions as well as the API's own tools."""
    own = any(tool.keys() - {"functionDeclarations"} for tool in config.get("tools") or [])
    return own and bool(declared_functions(config))


def merge_tool_config(old: Any, new: Any) -> Any:
    """`new` over `old`, key by key; a mode that takes no list of functions ends that of `old`.

    If one is no object, that one.
    """
    for given in (old, new):
        if not isinstance(given, dict):
            return given
    merged = {**old, **new}
    before, after = (each.get("functionCallingConfig") for each in (old, new))
    if isinstance(before, dict) and isinstance(after, dict):
        kept = {**before}
        if after.get("mode", RESTRICTING[0]) not in RESTRICTING:
            kept.pop("allowedFunctionNames", None)
        merged["functionCallingConfig"] = {**kept, **after}
    return merged


def tool_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What the API would refuse about allowed functions, in a config whose parts are sound."""
    calling = (config.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = calling.get("allowedFunctionNames") or []
    if allowed and calling.get("mode") not in RESTRICTING:
        message = "a list of allowed functions needs the mode ANY or VALIDATED"
        hint = "use --tool-mode any, or validated, which may also answer with text"
        yield Problem("value", message, hint=hint)
    declared = [str(function.get("name")) for function in declared_functions(config)]
    for name in allowed if declared else ():
        if name not in declared:
            hint = did_you_mean(name, declared) or f"declared are {', '.join(declared)}"
            yield Problem("unknown-function", f"the function {name} is not declared", hint=hint)
