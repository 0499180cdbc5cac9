"""The messages of conversations that other programs wrote down, and which of them are the user's.

Every format is told by its items: Contents have `parts`, messages `role` and `content` or `from`
and `value`, and pairs `user`. The key that they stand under decides only where they do not tell.
What the user said is sent again, a system message goes to the script, answers are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeGuard

from gemcli.chat import turn_order as order
from gemcli.chat.contents import Content, function_responses
from gemcli.settings.api_objects import wire_form
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.text.tree import Literal, Mapping, Node, Sequence, Text

Reader: TypeAlias = Callable[[Problems, Mapping, Node], Iterator[Node]]
"""Gives the message of an item, if it is the user's; settings go into the script."""

USER = ("user", "human")
SYSTEM = ("system", "developer")
MODEL = ("assistant", "model", "gpt", "bot", "chatgpt", "bing", "bard")
FUNCTION = ("tool", "function", "function_call", "function_response", "observation")

NO_CALLS = "a conversation with function calls cannot be replayed"


def is_message(node: Node) -> bool:
    """Whether an object is one message of a conversation, in any of the formats."""
    if not isinstance(node, Mapping):
        return False
    return "parts" in node or {"role", "content"} <= node.keys() or {"from", "value"} <= node.keys()


def reader_of(items: Sequence, otherwise: Reader | None) -> Reader | None:
    """What reads these messages, by the first of them; `otherwise` if that does not tell."""
    first = items[0] if items else None
    if not isinstance(first, Mapping):
        return otherwise
    if "parts" in first:
        return content
    return message if is_message(first) else otherwise


def message(problems: Problems, script: Mapping, item: Node) -> Iterator[Node]:
    """A message of Chat Completions, or of ShareGPT."""
    role, said = _role_and_content(item)
    if not isinstance(item, Mapping) or not isinstance(role, Text):
        hint = "texts alone stand under `turns`" if isinstance(item, Text) else None
        problems.add("shape", "a message must be an object with `role` and `content`", item, hint)
    elif role in USER or role in SYSTEM:
        text = _joined(said)
        if text is None:
            wanted = "`content` must be text, or a list of text parts"
            problems.add("value", wanted, item if said is None else said)
        elif role in USER:
            yield text
        elif "system" in script:
            problems.add("exclusive", "a second system message", role)
        else:
            script[Text("system", role.line, role.column)] = text
    elif role in FUNCTION or _calls_functions(item):
        problems.add("function-call", NO_CALLS, role)
    elif role not in MODEL:
        wanted = "`role` must be user, assistant, system or developer"
        problems.add("value", f"{wanted}, not `{role[:40]}`", role)


def _role_and_content(item: Node) -> tuple[Node | None, Node | None]:
    if not isinstance(item, Mapping):
        return None, None
    if "role" not in item and "from" in item:
        return item[Text("from")], item.get(Text("value"))
    return item.get(Text("role")), item.get(Text("content"))


def _calls_functions(item: Mapping) -> bool:
    """Whether a message has calls; the SDKs write null or [] for none."""
    values = [item.get(Text(key)) for key in ("tool_calls", "function_call")]
    return any(not is_nothing(value) for value in values)


def _joined(said: Node | None) -> Text | None:
    """The text of a message's content; None if it is not all text."""
    if _is_text(said):
        return said
    if not isinstance(said, Sequence):
        return None
    texts = [part.get(Text("text")) if isinstance(part, Mapping) else None for part in said]
    if not all(map(_is_text, texts)):
        return None
    return Text("".join(map(str, texts)), said.line, said.column, plain=False)


def _is_text(node: Node | None) -> TypeGuard[Text]:
    return isinstance(node, Text) and not isinstance(node, Literal)


def content(problems: Problems, _script: Mapping, item: Node) -> Iterator[Node]:
    """A Content of the Gemini API."""
    before = len(problems)
    value: Content = wire_form(tree.plain_value(item, problems))
    if len(problems) > before:
        return
    faults = list(order.shape_problems(0, value)) or list(order.content_problems(0, value))
    for fault in faults:
        problems.add(fault.rule, fault.message, item, fault.hint)
    if faults or value["role"] == "model":
        return
    if function_responses(value):
        problems.add("function-call", NO_CALLS, item)
    elif any(set(part) != {"text"} for part in value["parts"]):
        problems.add("value", "a message must consist of text", item)
    else:
        text = "".join(part["text"] for part in value["parts"])
        yield Text(text, item.line, item.column, plain=False)


def pair(problems: Problems, _script: Mapping, item: Node) -> Iterator[Node]:
    """A pair of question and answer, as in MT-Bench-101."""
    text = item.get(Text("user")) if isinstance(item, Mapping) else None
    if isinstance(text, Text):
        yield text
    else:
        wanted = "an item of `history` must be an object with the text `user`"
        problems.add("shape", wanted, text or item)


def is_null(node: Node | None) -> bool:
    """Whether it is missing, or JSON's null, which data has where it has nothing."""
    return node is None or (isinstance(node, Literal) and node == "null")


def is_nothing(node: Node | None) -> bool:
    """Whether it is one of the ways in which data says that there is nothing."""
    empty = isinstance(node, Mapping | Sequence) and not node
    # Data sets also have lists that were written as text.
    return is_null(node) or empty or (_is_text(node) and node in ("", "[]"))
