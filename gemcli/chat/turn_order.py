"""Turn order: the rules of a history that the API accepts, and a check that finds every breach.

The SDK checks almost none of this before it sends. The rules come from the API's own refusals and
from its documentation of function calling (ai.google.dev/gemini-api/docs/function-calling).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

from gemcli.chat.contents import (
    Content,
    FunctionCall,
    FunctionResponse,
    function_calls,
    function_responses,
    is_blank,
)
from gemcli.errors import Problem

RULES = {
    "shape": "a Content is an object with `role` and `parts`; a Part is an object; text is text",
    "role": "role is user or model",
    "first": "the history starts with a user Content",
    "alternate": "user and model Contents alternate",
    "no-parts": "a Content has at least one Part",
    "name": "functionCall and functionResponse have a name",
    "blank-part": "a Part is not empty",
    "blank-text": "a user Content has no empty text",
    "call-role": "only model Contents hold functionCall",
    "response-role": "only user Contents hold functionResponse",
    "calls-answered": "the Content after function calls answers each of them once, by name and id",
    "response-object": "functionResponse.response is an object",
    "last": "a request ends with a user Content",
}
"""Every rule by its stable name, which problems carry."""

ROLE_HINTS = {
    "assistant": 'the Gemini API calls this role "model"',
    "system": "a system instruction is not a Content: give it to `new --system`",
    "tool": 'function responses have the role "user"',
    "function": 'function responses have the role "user"',
    None: 'add "role": "user" or "role": "model"',
}
"""What to do about a role that is none of the Gemini API's."""

_PART_TYPES = (("text", str), ("functionCall", dict), ("functionResponse", dict))


def check(contents: Sequence[object]) -> list[Problem]:
    """Every breach of turn order in a history, by Content; it may end in any role, or in calls."""
    problems: list[Problem] = []
    readable: list[tuple[int, Content]] = []
    for index, value in enumerate(contents):
        unreadable = list(shape_problems(index, value))
        problems += unreadable
        if not unreadable:
            content = cast("Content", value)
            readable.append((index, content))
            problems += content_problems(index, content)
    problems += _order_problems(readable)
    return _by_index(problems)


def check_request(contents: Sequence[Content]) -> list[Problem]:
    """`check` for contents about to be sent, which must end with a user Content."""
    problems = check(contents)
    if not problems and (not contents or contents[-1]["role"] != "user"):
        what = "the request would not end with a user Content"
        problems.append(Problem("last", what, max(len(contents) - 1, 0)))
    return problems


def _by_index(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.index or 0)


def open_calls(history: Sequence[Content]) -> list[FunctionCall]:
    """The function calls at the end of a history that wait for their responses."""
    return function_calls(history[-1]) if history and history[-1].get("role") == "model" else []


# One Content


def shape_problems(index: int, content: object) -> Iterator[Problem]:
    """What keeps a value from being read as a Content at all: its type, its role, its parts."""
    if not isinstance(content, dict):
        yield Problem("shape", f"not an object but {type_name(content)}", index)
        return
    role = content.get("role")
    if role not in ("user", "model"):
        what = "there is no role" if role is None else f"the role {role!r} is not known"
        known = ROLE_HINTS.get(role) if role is None or isinstance(role, str) else None
        yield Problem("role", what, index, hint=known or "role is user or model")
    parts = content.get("parts")
    if not isinstance(parts, list):
        what = f"`parts` is {type_name(parts)}, not a list"
        # As other APIs have it.
        has_text = isinstance(content.get("content"), str) or "text" in content
        hint = 'write "parts": [{"text": "…"}]' if has_text else None
        yield Problem("shape", what, index, hint=hint)
        return
    for number, part in enumerate(parts):
        if not isinstance(part, dict):
            what = f"part {number} is not an object but {type_name(part)}"
            hint = 'write {"text": "…"}' if isinstance(part, str) else None
            yield Problem("shape", what, index, hint=hint)
            continue
        for key, kind in _PART_TYPES:
            if key in part and not isinstance(part[key], kind):
                what = f"part {number}: `{key}` is {type_name(part[key])}"
                yield Problem("shape", what, index)


def invalid_content(content: object) -> str | None:
    """What keeps a value from being a Content, whatever its role and if it has no parts."""
    if not isinstance(content, dict):
        return " is not an object"
    parts = content.get("parts")
    readable = {"role": "model", "parts": [] if parts is None else parts}
    problem = next(shape_problems(0, readable), None)
    return f": {problem.message}" if problem else None


def content_problems(index: int, content: Content) -> Iterator[Problem]:
    """The breaches that a readable Content commits by itself."""
    user = content["role"] == "user"
    if not content["parts"]:
        yield Problem("no-parts", "there are no parts", index)
    for number, part in enumerate(content["parts"]):
        if part.get("text") == "" and user:
            yield Problem("blank-text", f"part {number} is empty text", index)
        elif is_blank(part) and "text" not in part:
            yield Problem("blank-part", f"part {number} is empty", index)
        if "functionCall" in part:
            if user:
                what = f"part {number} is a functionCall in a user Content"
                yield Problem("call-role", what, index)
            if not _has_name(part["functionCall"]):
                yield Problem("name", f"part {number}: the functionCall has no name", index)
        if "functionResponse" in part:
            if not user:
                what = f"part {number} is a functionResponse in a model Content"
                yield Problem("response-role", what, index)
            if not _has_name(part["functionResponse"]):
                yield Problem("name", f"part {number}: the functionResponse has no name", index)
            response: object = part["functionResponse"].get("response", {})
            if not isinstance(response, dict):
                what = f"part {number}: the response is {type_name(response)}"
                yield Problem("response-object", what, index, hint='write {"result": …}')


def _has_name(call: FunctionCall | FunctionResponse) -> bool:
    name: object = call.get("name")
    return isinstance(name, str) and name != ""


# Neighbours


def _order_problems(contents: Sequence[tuple[int, Content]]) -> Iterator[Problem]:
    """The breaches between neighbours; Contents that cannot be read are missing here."""
    if contents and contents[0][0] == 0:
        first = contents[0][1]
        if first["role"] != "user":
            yield Problem("first", "the history starts with a model Content", 0)
        if function_responses(first):
            yield Problem("calls-answered", "function responses without a call before them", 0)
    for (place, before), (index, content) in pairwise(contents):
        if index != place + 1:
            continue
        role = content["role"]
        if before["role"] == role:
            what = f"two {role} Contents in a row"
            yield Problem("alternate", what, index, hint="join them into one")
        calls = Counter(map(identity, open_calls([before])))
        responses = Counter(map(identity, function_responses(content)))
        if role == "user" and calls != responses:
            yield Problem("calls-answered", _mismatch(calls, responses), index)


Identity = tuple[str, str | None]
"""What tells a function call from others, and what its response repeats: name, and id if any."""


def identity(call: FunctionCall | FunctionResponse) -> Identity:
    """The identity of a function call or response."""
    call_id = call.get("id")
    return str(call.get("name")), None if call_id is None else str(call_id)


def _mismatch(calls: Counter[Identity], responses: Counter[Identity]) -> str:
    found = []
    if missing := _listed(calls - responses):
        found.append(f"no functionResponse for {missing}")
    if extra := _listed(responses - calls):
        found.append(f"a functionResponse for {extra}, which was not called")
    return "; ".join(found)


def _listed(calls: Counter[Identity]) -> str:
    names = [f"{name} (id {id_})" if id_ else name for name, id_ in calls.elements()]
    return ", ".join(sorted(names))


def type_name(value: object) -> str:
    """The type of a value in JSON's words."""
    names = {type(None): "null", bool: "a boolean", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
