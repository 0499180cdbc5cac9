"""Turn order: the rules a history must keep for the API to accept it, and the check that finds every breach.

The SDK checks almost none of this before it sends. The rules were read from the API's own refusals
and from its documentation of function calling (ai.google.dev/gemini-api/docs/function-calling).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from gemcli.chat.contents import (
    Content,
    function_calls,
    function_responses,
    is_blank,
    parts_of,
    says_something,
)
from gemcli.errors import GemcliError, Problem, ReasonName, counted

RULES = {
    "shape": "a Content is an object with `role` and `parts`; a Part is an object; text is text",
    "role": "role is user or model",
    "first": "the history starts with a user Content",
    "alternate": "user and model Contents alternate",
    "no-parts": "a Content has at least one Part",
    "key": "keys are in the API's wire form, in camelCase",
    "name": "functionCall and functionResponse have a name",
    "blank-part": "a Part is not empty",
    "blank-text": "a user Content has no empty text",
    "call-role": "only model Contents hold functionCall",
    "response-role": "only user Contents hold functionResponse",
    "calls-answered": "the Content after function calls answers each of them once, by name and id",
    "response-object": "functionResponse.response is an object",
    "answer": "a model Content says something: thoughts alone are no answer",
    "base64": "inlineData.data and thoughtSignature are base64",
    "last": "a request ends with a user Content",
}
"""Every rule by its stable name, the name that problems carry."""

ROLE_HINTS = {
    "assistant": 'the Gemini API calls this role "model"',
    "system": "a system instruction is not a Content: give it to `gemcli new --system`",
    "tool": 'function responses have the role "user"',
    "function": 'function responses have the role "user"',
    None: 'add "role": "user" or "role": "model"',
}


def check(contents: Sequence[Any]) -> list[Problem]:
    """Every breach of turn order in a history, oldest Content first.

    `[]` when the API would accept it.

    The history may end with a user Content, with a model Content, or with function calls still
    unanswered (open). `index` of each problem counts Contents from 0.
    """
    problems: list[Problem] = []
    sound: list[tuple[int, Content]] = []
    for index, content in enumerate(contents):
        unreadable = list(shape(index, content))
        problems += unreadable
        if not unreadable:
            sound.append((index, content))
            problems += alone(index, content)
    problems += _order(sound)
    return sorted(problems, key=lambda problem: problem.index or 0)


def check_import(contents: Sequence[Any]) -> list[Problem]:
    """`check`, and what must hold of a history that enters from outside.

    Readable base64, answers that answer.
    """
    problems = check(contents)
    for index, content in enumerate(contents):
        if not isinstance(content, dict) or list(shape(index, content)):
            continue
        if content["role"] == "model" and content["parts"] and not says_something(content):
            problems.append(
                Problem(
                    "answer",
                    "nothing but thoughts or empty text",
                    index,
                    hint="leave this turn out",
                )
            )
        problems += [*_keys(index, content), *_base64(index, content)]
    return sorted(problems, key=lambda problem: problem.index or 0)


def check_request(contents: Sequence[Any]) -> list[Problem]:
    """`check` for contents about to be sent.

    They must also end with a user Content, and there must be one.
    """
    problems = check(contents)
    if not problems and (not contents or contents[-1]["role"] != "user"):
        problems.append(
            Problem(
                "last", "the request would not end with a user Content", max(len(contents) - 1, 0)
            )
        )
    return problems


def open_calls(history: Sequence[Content]) -> list[dict[str, Any]]:
    """The function calls at the end of a history that wait for their responses.

    `[]` when none do.
    """
    return function_calls(history[-1]) if history and history[-1].get("role") == "model" else []


def require(problems: Sequence[Problem], what: str, reason: ReasonName = "TURN_ORDER") -> None:
    """Raise `GemcliError` with every problem when there are any.

    `what` names the thing that was checked.
    """
    if problems:
        count = counted(len(problems), "problem")
        raise GemcliError(reason, f"{what}: {count}", problems=problems)


def shape(index: int, content: Any) -> Iterator[Problem]:
    """What keeps `content` from being read as a Content at all: its kind, its role, its parts."""
    if not isinstance(content, dict):
        yield Problem("shape", f"not an object but {_kind(content)}", index)
        return
    role = content.get("role")
    if role not in ("user", "model"):
        known = ROLE_HINTS.get(role) if role is None or isinstance(role, str) else None
        what = f"the role {role!r} is not known" if role is not None else "there is no role"
        yield Problem("role", what, index, hint=known or "role is user or model")
    parts = content.get("parts")
    if not isinstance(parts, list):
        yield Problem(
            "shape", f"`parts` is {_kind(parts)}, not a list", index, hint=_parts_hint(content)
        )
        return
    for number, part in enumerate(parts):
        if not isinstance(part, dict):
            hint = 'write {"text": "…"}' if isinstance(part, str) else None
            yield Problem(
                "shape", f"part {number} is not an object but {_kind(part)}", index, hint=hint
            )
        else:
            for key, kind in (("text", str), ("functionCall", dict), ("functionResponse", dict)):
                if key in part and not isinstance(part[key], kind):
                    yield Problem("shape", f"part {number}: `{key}` is {_kind(part[key])}", index)


def alone(index: int, content: Content) -> Iterator[Problem]:
    """Breaches that one Content of sound shape commits by itself."""
    user = content["role"] == "user"
    if not content["parts"]:
        yield Problem("no-parts", "there are no parts", index)
    for number, part in enumerate(content["parts"]):
        if part.get("text") == "" and user:
            yield Problem("blank-text", f"part {number} is empty text", index)
        elif is_blank(part) and "text" not in part:
            yield Problem("blank-part", f"part {number} is empty", index)
        if "functionCall" in part and user:
            yield Problem("call-role", f"part {number} is a functionCall in a user Content", index)
        if "functionResponse" in part and not user:
            yield Problem(
                "response-role", f"part {number} is a functionResponse in a model Content", index
            )
        for key in ("functionCall", "functionResponse"):
            if key in part and not (isinstance(part[key].get("name"), str) and part[key]["name"]):
                yield Problem("name", f"part {number}: the {key} has no name", index)
        response = part.get("functionResponse", {}).get("response", {})
        if not isinstance(response, dict):
            hint = 'write {"result": …}'
            yield Problem(
                "response-object",
                f"part {number}: the response is {_kind(response)}",
                index,
                hint=hint,
            )


def _order(contents: Sequence[tuple[int, Content]]) -> Iterator[Problem]:
    """Breaches between neighbours.

    Every Content here has a sound shape, and those without one are left out.
    """
    if contents and contents[0][0] == 0 and contents[0][1]["role"] != "user":
        yield Problem("first", "the history starts with a model Content", 0)
    if contents and contents[0][0] == 0 and function_responses(contents[0][1]):
        yield Problem("calls-answered", "function responses without a call before them", 0)
    for (place, before), (index, content) in pairwise(contents):
        if index != place + 1:
            continue  # what stands between them has no sound shape, and says so itself
        if before["role"] == content["role"]:
            role = content["role"]
            yield Problem(
                "alternate", f"two {role} Contents in a row", index, hint="join them into one"
            )
        calls = Counter(map(identity, function_calls(before) if before["role"] == "model" else []))
        answers = Counter(map(identity, function_responses(content)))
        if content["role"] == "user" and calls != answers:
            yield Problem("calls-answered", _mismatch(calls, answers), index)


def _mismatch(
    calls: Counter[tuple[str, str | None]], answers: Counter[tuple[str, str | None]]
) -> str:
    missing, extra = (
        sorted(map(_named, (calls - answers).elements())),
        sorted(map(_named, (answers - calls).elements())),
    )
    found = []
    if missing:
        found.append(f"no functionResponse for {', '.join(missing)}")
    if extra:
        found.append(f"a functionResponse for {', '.join(extra)}, which was not called")
    return "; ".join(found)


def identity(call: dict[str, Any]) -> tuple[str, str | None]:
    """What tells a function call from others, and what its response repeats.

    The name, and the id if it has one.
    """
    call_id = call.get("id")
    return str(call.get("name")), None if call_id is None else str(call_id)


def _named(call: tuple[str, str | None]) -> str:
    name, call_id = call
    return f"{name} (id {call_id})" if call_id else name


def _keys(index: int, content: Content) -> Iterator[Problem]:
    """Keys as Python has them, which the API reads and gemcli would not."""
    for number, part in enumerate(parts_of(content)):
        for key in part:
            if "_" in key:
                head, *rest = key.split("_")
                hint = f'write "{head + "".join(map(str.title, rest))}"; model_dump(by_alias=True) does'
                yield Problem(
                    "key", f"part {number}: the key `{key}` is not in wire form", index, hint=hint
                )


def _base64(index: int, content: Content) -> Iterator[Problem]:
    import base64
    import binascii

    for number, part in enumerate(parts_of(content)):
        blob = part.get("inlineData")
        values = {"thoughtSignature": part.get("thoughtSignature")}
        values["inlineData.data"] = blob.get("data") if isinstance(blob, dict) else None
        for name, value in values.items():
            if value is None:
                continue
            try:
                # Both alphabets are in use: the API writes the standard one, the SDK the URL-safe
                # one.
                base64.b64decode(value.translate(_STANDARD), validate=True)
            except (binascii.Error, AttributeError, ValueError):
                yield Problem("base64", f"part {number}: `{name}` is not base64", index)


_STANDARD = str.maketrans("-_", "+/")


def _kind(value: Any) -> str:
    """A value's kind in JSON's words."""
    names = {type(None): "null", bool: "a boolean", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _parts_hint(content: Content) -> str | None:
    return (
        'write "parts": [{"text": "…"}]'
        if isinstance(content.get("content"), str) or "text" in content
        else None
    )
