"""The messages of conversations that other programs wrote down, and what of them is sent again.

Every format is told by the message: Contents have `parts`, others `role` and `content`, `from` and
`value`, or the pair `user` and `bot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeGuard, cast

from gemcli.chat import turn_order
from gemcli.chat.answered_calls import answered_calls
from gemcli.chat.contents import Content, function_calls, function_responses
from gemcli.formats.read_chat_completions import Reader
from gemcli.settings.api_objects import wire_form
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.text.tree import Literal, Mapping, Node, Text

USER = ("user", "human")
SYSTEM = ("system", "developer")
MODEL = ("assistant", "model", "gpt", "bot", "chatgpt", "bing", "bard")
RESULT = ("tool", "function")
OTHER_FUNCTION = ("function_call", "function_response", "observation")


class Said(NamedTuple):
    """What a message contributes: a text of the user, or with a `system` key the instruction.

    A `function` message calls functions, or has what they returned.
    """

    text: Text = Text("")
    system: Text | None = None
    function: Mapping | None = None


def is_message(node: Node) -> bool:
    """Whether an object is a message: the pair, which looks like a turn, is not known alone."""
    if not isinstance(node, Mapping):
        return False
    return "parts" in node or {"role", "content"} <= node.keys() or {"from", "value"} <= node.keys()


def read(problems: Problems, item: Node) -> Said | None:
    """What is sent again of a message: nothing if it is the model's, or wrong."""
    if isinstance(item, Mapping):
        if "parts" in item:
            return _content(problems, item)
        if isinstance(role := item.get(Text("role")), Text):
            return _message(problems, item, role, item.get(Text("content")))
        if isinstance(role := item.get(Text("from")), Text):
            return _message(problems, item, role, item.get(Text("value")))
        if isinstance(text := item.get(Text("user")), Text):
            return Said(text)
    hint = "texts alone stand under `turns`" if isinstance(item, Text) else None
    message = "a message must be an object with `role` and `content`"
    problems.add("shape", message, item, hint)
    return None


def _message(problems: Problems, item: Mapping, role: Text, value: Node | None) -> Said | None:
    """What is said in a message of Chat Completions, or of ShareGPT."""
    calls = [item.get(Text(key)) for key in ("tool_calls", "function_call")]
    if role in USER or role in SYSTEM:
        text = _joined(value)
        if text is not None:
            return Said(text, role if role in SYSTEM else None)
        message = "`content` must be text, or a list of text parts"
        problems.add("value", message, item if value is None else value)
    elif role in RESULT or not all(map(is_nothing, calls)):
        return Said(function=item)
    elif role in OTHER_FUNCTION:
        hint = "write it as Chat Completions have it, with `tool_calls` and the role `tool`"
        problems.add("function-call", f"`{role}` is no role that can be replayed", role, hint)
    elif role not in MODEL:
        message = f"`role` must be user, assistant, system or developer, not `{role[:40]}`"
        problems.add("value", message, role)
    return None


def _joined(value: Node | None) -> Text | None:
    """The text of a message's content; None if it is not all text."""
    if _is_text(value):
        return value
    if not isinstance(value, tree.Sequence):
        return None
    texts = [part.get(Text("text")) if isinstance(part, Mapping) else None for part in value]
    if not all(map(_is_text, texts)):
        return None
    return Text("".join(map(str, texts)), value.line, value.column, plain=False)


def _content(problems: Problems, item: Mapping) -> Said | None:
    """What is said in a Content of the Gemini API."""
    before = len(problems)
    value: Content = wire_form(tree.plain_value(item, problems))
    if len(problems) > before:
        return None
    shape_problems = list(turn_order.shape_problems(0, value))
    faults = shape_problems or list(turn_order.content_problems(0, value))
    for fault in faults:
        problems.add(fault.rule, fault.message, item, fault.hint)
    if faults:
        return None
    if function_calls(value) or all("functionResponse" in part for part in value["parts"]):
        return Said(function=item)
    if value["role"] == "model":
        return None
    if any(set(part) != {"text"} for part in value["parts"]):
        problems.add("value", "a message must consist of text, or of function responses", item)
    else:
        text = "".join(part["text"] for part in value["parts"])
        return Said(Text(text, item.line, item.column, plain=False))
    return None


def tool_results(problems: Problems, messages: Sequence[Mapping]) -> tree.Sequence | None:
    """What functions returned in the `function` messages of one turn, as a script has it."""
    if not messages:
        return None
    contents = list(_contents(problems, messages))
    found = answered_calls(contents)
    if len(found) < sum(len(function_responses(content)) for content in contents):
        problems.add(
            "function-call", "a result belongs to none of the calls before it", messages[0]
        )
    line, column = messages[0].line, messages[0].column
    results = tree.Sequence(line, column)
    for one in found:
        result = cast("Mapping", tree.from_value(one))
        result[Text("name")] = Text(one["name"], line, column, plain=False)
        results.append(result)
    return results


def _contents(problems: Problems, messages: Sequence[Mapping]) -> Iterator[Content]:
    """The messages as Contents; those of Chat Completions are read as `new --history` does."""
    values = [tree.plain_value(message, problems) for message in messages]
    reader = Reader([value for value in values if "parts" not in value])
    for fault in reader.problems:
        problems.add("function-call", fault.message, messages[fault.index or 0], fault.hint)
    yield from cast("list[Content]", reader.contents)
    yield from (wire_form(value) for value in values if "parts" in value)


def _is_text(node: Node | None) -> TypeGuard[Text]:
    return isinstance(node, Text) and not isinstance(node, Literal)


def is_null(node: Node | None) -> bool:
    """Whether it is missing, or JSON's null, which data has where it has nothing."""
    return node is None or (isinstance(node, Literal) and node == "null")


def is_nothing(node: Node | None) -> bool:
    """Whether it is one of the ways in which data says that there is nothing."""
    empty = isinstance(node, Mapping | tree.Sequence) and not node
    # Data sets also have lists that were written as text.
    return is_null(node) or empty or (_is_text(node) and node in ("", "[]"))
