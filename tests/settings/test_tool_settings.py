"""Tools in settings: options into REST form, what is merged by key, and what the API would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.settings import config
from gemcli.settings.config import check, merge, with_tools_allowed
from gemcli.settings.tool_settings import BUILT_IN_TOOLS, TOOL_OPTIONS
from tests.builders import error_from

ROLL: Any = {"name": "roll", "description": "Roll a die."}
FUNCTIONS: Any = {"functionDeclarations": [ROLL]}
SEARCH: Any = {"googleSearch": {}}


def calling(**values: Any) -> dict[str, Any]:
    """A toolConfig with these settings of function calling."""
    return {"functionCallingConfig": values}


def test_options_make_tools() -> None:
    """Functions stand in one tool before the API's own, and each option has its place."""
    values = {
        "tool": ("google-search", "url-context", "code-execution"),
        "tool_mode": "validated",
        "allowed_functions": ("roll", "flip"),
    }
    assert config.from_options(values, print, [ROLL]) == {
        "tools": [FUNCTIONS, SEARCH, {"urlContext": {}}, {"codeExecution": {}}],
        "toolConfig": calling(mode="VALIDATED", allowedFunctionNames=["roll", "flip"]),
    }
    assert set(values) == {setting.name for setting in TOOL_OPTIONS}
    assert len(BUILT_IN_TOOLS) == len(values["tool"])


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"tool": ("gogle-search",)}, 'not "gogle-search"', "did you mean `google-search`?"),
        ({"tool": ("googleSearch",)}, 'not "googleSearch"', "did you mean `google-search`?"),
        ({"tool": ("maps",)}, 'not "maps"', "use one of google-search, url-context, code-execution"),
        ({"tool": ("url-context", "url-context")}, "url-context is given twice", None),
        ({"allowed_functions": ("",)}, "must be text", None),
    ],
)
def test_bad_options(values: Any, message: str, hint: str | None) -> None:
    """What is no tool is refused, with the name that was meant."""
    (problem,) = error_from(config.from_options, values, print).problems
    assert message in problem.message
    assert problem.hint == hint


def test_a_mode_of_tomorrow_is_sent() -> None:
    """A mode that is unknown today goes out as it is, with a note."""
    notes: list[str] = []
    assert config.from_options({"tool_mode": "SOMETIMES"}, notes.append) == {"toolConfig": calling(mode="SOMETIMES")}
    assert len(notes) == 1


TOGETHER: list[tuple[Any, Any]] = [
    ({"tools": [FUNCTIONS, SEARCH]}, {"includeServerSideToolInvocations": True}),
    ({"tools": [{**FUNCTIONS, **SEARCH}]}, {"includeServerSideToolInvocations": True}),
    ({"tools": [FUNCTIONS, SEARCH], "toolConfig": calling(mode="ANY")},
        {"includeServerSideToolInvocations": True, **calling(mode="ANY")}),
    ({"tools": [FUNCTIONS, SEARCH], "toolConfig": {"includeServerSideToolInvocations": False}},
        {"includeServerSideToolInvocations": False}),
    ({"tools": [FUNCTIONS]}, None),
    ({"tools": [SEARCH, {"functionDeclarations": []}]}, None),
    ({}, None),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), TOGETHER)
def test_functions_beside_the_apis_own_tools(given: Any, expected: Any) -> None:
    """The API is told that both may be used, unless the settings say it already."""
    assert with_tools_allowed(given).get("toolConfig") == expected


MERGED: list[tuple[Any, Any, Any]] = [
    (calling(mode="ANY", allowedFunctionNames=["f"]), calling(mode="NONE"), calling(mode="NONE")),
    (calling(mode="ANY", allowedFunctionNames=["f"]), calling(mode="VALIDATED"),
        calling(mode="VALIDATED", allowedFunctionNames=["f"])),
    (calling(mode="ANY", allowedFunctionNames=["f"]), calling(allowedFunctionNames=["g"]),
        calling(mode="ANY", allowedFunctionNames=["g"])),
    ({"includeServerSideToolInvocations": True}, calling(mode="ANY"),
        {"includeServerSideToolInvocations": True, **calling(mode="ANY")}),
    (calling(mode="ANY"), {"retrievalConfig": {"languageCode": "de"}},
        {**calling(mode="ANY"), "retrievalConfig": {"languageCode": "de"}}),
]  # fmt: skip


@pytest.mark.parametrize(("session", "call", "expected"), MERGED)
def test_merge(session: Any, call: Any, expected: Any) -> None:
    """ToolConfig is merged by key, and the list of allowed functions ends with the modes that take one."""
    assert merge({"toolConfig": session}, {"toolConfig": call}) == {"toolConfig": expected}


def test_tools_are_replaced_whole() -> None:
    """The tools of a call take the place of the session's."""
    assert merge({"tools": [FUNCTIONS]}, {"tools": [SEARCH]}) == {"tools": [SEARCH]}


@pytest.mark.parametrize(
    ("allowed", "rules"),
    [
        (calling(mode="ANY", allowedFunctionNames=["roll"]), []),
        (calling(mode="VALIDATED", allowedFunctionNames=["roll"]), []),
        (calling(allowedFunctionNames=["roll"]), ["value"]),
        (calling(mode="AUTO", allowedFunctionNames=["rol"]), ["value", "unknown-function"]),
        (calling(mode="ANY", allowedFunctionNames=["rol", "x"]), ["unknown-function"] * 2),
        (calling(mode="AUTO"), []),
    ],
)
def test_allowed_functions(allowed: Any, rules: list[str]) -> None:
    """Allowed functions are declared, and the mode is one that takes them."""
    problems = check({"tools": [FUNCTIONS], "toolConfig": allowed})
    assert [problem.rule for problem in problems] == rules
    assert check({"cachedContent": "c", "toolConfig": calling(mode="ANY", allowedFunctionNames=["f"])})[0].rule == (
        "exclusive"
    )
