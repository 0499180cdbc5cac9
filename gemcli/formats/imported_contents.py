"""Contents from outside: brought into wire form, and checked for all that the API would refuse.

For the API a field that is null is left out, and `function_call` is another name of `functionCall`;
both come from the SDK's `model_dump`. An answer may have keys that gemcli does not know: those of
model Contents are kept, unless they look like a slip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any, NamedTuple, cast

from gemcli.chat import turn_order
from gemcli.chat.contents import (
    Content,
    function_calls,
    function_responses,
    merge_parts,
    parts_of,
    says_something,
)
from gemcli.errors import Problem, did_you_mean
from gemcli.settings.api_objects import OBJECTS, fields_in
from gemcli.text.proto_json import camel, is_base64

RULES = {
    "key": "keys are those of the API",
    "type": "values are of the type that the API has them in",
    "base64": "inlineData.data and thoughtSignature are base64",
    "data": "a Part holds exactly one kind of data, with all that belongs to it",
    "answer": "a model Content says something: thoughts alone are no answer",
    "unanswered": "a history ends with an answer",
}
"""The rules of an import beside those of `turn_order`, by their stable names."""

DATA = (
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult", "toolCall", "toolResponse",
)  # fmt: skip
"""What a Part can hold: exactly one of these."""

REQUIRED = {"Blob": ("mimeType", "data"), "FileData": ("fileUri",)}
"""What media cannot do without."""

TYPES = {"text": str, "filled": str, "bytes": str, "flag": bool, "object": dict}
"""The types of JSON values, by the kinds of `api_objects`; those of lists and objects aside."""


def join_answers(contents: Sequence[object]) -> tuple[list[object], list[int]]:
    """Model Contents in a row as one, and the place of each Content in what was given.

    A chat of the SDK keeps a streamed answer as one Content for each chunk, the last without Parts.
    """
    joined: list[object] = []
    places: list[int] = []
    for is_answer, run in groupby(enumerate(contents), key=lambda item: _is_answer(item[1])):
        row = list(run)
        if is_answer and len(row) > 1 and all(_is_sound(content) for _, content in row):
            answers = [cast("Content", content) for _, content in row]
            parts = merge_parts(part for answer in answers for part in parts_of(answer))
            row = [(row[0][0], {**answers[0], "parts": parts})]
        places += [place for place, _ in row]
        joined += [content for _, content in row]
    return joined, places


def fill_in_ids(contents: Sequence[object]) -> tuple[list[object], int]:
    """Contents whose function responses have the ids of their calls, and how many got one.

    A chat of the SDK leaves the ids out of the responses to calls that it answers by itself.
    """
    filled = list(contents)
    count = 0
    for place, (before, content) in enumerate(pairwise(contents), 1):
        sound = isinstance(content, dict) and _is_sound(content)
        if sound and _is_answer(before) and _is_sound(before):
            with_ids = _with_ids(cast("Content", before), cast("Content", content))
            count += with_ids != content
            filled[place] = with_ids
    return filled, count


def _with_ids(answer: Content, content: Content) -> Content:
    """The Content in which each response without an id has that of the first call of its name."""
    taken = [response.get("id") for response in function_responses(content)]
    waiting = [call for call in function_calls(answer) if call.get("id") not in (None, *taken)]
    parts = []
    for part in parts_of(content):
        response = part.get("functionResponse")
        if response and "id" not in response:
            call = next((one for one in waiting if one.get("name") == response.get("name")), None)
            if call:
                waiting.remove(call)
                part = {**part, "functionResponse": {"id": call["id"], **response}}
        parts.append(part)
    return {**content, "parts": parts}


def _is_answer(content: object) -> bool:
    return isinstance(content, dict) and content.get("role") == "model"


def _is_sound(content: Any) -> bool:
    """Whether the Parts of a Content can be put behind those of another; it may have none."""
    return not any(turn_order.shape_problems(0, {"parts": [], **content}))


def check(contents: Sequence[object]) -> tuple[list[Problem], list[str]]:
    """What is wrong with a history, by Content, and the unknown keys that are kept."""
    problems = turn_order.check(contents)
    kept: dict[str, None] = {}
    for index, value in enumerate(contents):
        if any(turn_order.shape_problems(index, value)):
            continue
        content = cast("Content", value)
        problems += _content_problems(index, content)
        for fault in _faults(content, "Content", ""):
            if fault.rule == "key" and content["role"] == "model" and not fault.hint:
                kept[fault.path.rpartition(".")[2]] = None
            else:
                message = f"`{fault.path}` {fault.what}"
                problems.append(Problem(fault.rule, message, index, hint=fault.hint))
    return sorted(problems, key=lambda problem: problem.index or 0), list(kept)


def _content_problems(index: int, content: Content) -> Iterator[Problem]:
    """What an answer, and each Part, must have."""
    if content["role"] == "model" and content["parts"] and not says_something(content):
        what, hint = "nothing but thoughts or empty text", "leave this turn out"
        yield Problem("answer", what, index, hint=hint)
    for number, part in enumerate(content["parts"]):
        values = cast("dict[str, object]", part)
        data = [key for key in values if key in DATA]
        if len(data) > 1:
            what = f"part {number} has both `{data[0]}` and `{data[1]}`"
            yield Problem("data", what, index, hint="make each a Part of its own")
        marks = values.keys() - {"thought", "thoughtSignature"}
        if marks and not data and marks <= fields_in("Part").keys():
            what = f"part {number} has no data, only `{next(iter(values))}`"
            yield Problem("data", what, index)


class _Fault(NamedTuple):
    """What is wrong with the value at a path."""

    rule: str
    path: str
    what: str
    hint: str | None = None


def _faults(value: object, kind: str, path: str) -> Iterator[_Fault]:
    """What is wrong with a value that should be of one of the API's kinds, and within it."""
    is_list, is_object = kind.endswith("*"), kind in OBJECTS
    expected = list if is_list else dict if is_object else TYPES.get(kind, object)
    if not isinstance(value, expected):
        if not path.endswith("functionResponse.response"):  # `turn_order` says what to write
            yield _Fault("type", path, f"is {turn_order.type_name(value)}")
    elif isinstance(value, list) and is_list:
        for number, item in enumerate(value):
            yield from _faults(item, kind[:-1], f"{path}[{number}]")
    elif isinstance(value, dict) and is_object:
        yield from _faults_within(value, kind, f"{path}." if path else "")
    elif isinstance(value, str) and kind == "bytes" and (len(value) % 4 or not is_base64(value)):
        yield _Fault("base64", path, "is not base64")


def _faults_within(value: Mapping[str, object], kind: str, path: str) -> Iterator[_Fault]:
    fields = fields_in(kind)
    for key in REQUIRED.get(kind, ()):
        if not value.get(key):
            yield _Fault("data", path + key, "is missing")
    for key, inner in value.items():
        if key in fields:
            yield from _faults(inner, fields[key], path + key)
        else:
            hint = _suggestion(key, kind)
            yield _Fault("key", path + key[:40], "is not a key of the API", hint)


@lru_cache(1000)
def _suggestion(key: str, kind: str) -> str | None:
    """A hint if a key is nearly that of a field, or means one."""
    return did_you_mean(camel(key), fields_in(kind))
