"""A line of a suite: one conversation, in the form of gemcli or of published data sets.

    {"turns": ["…", {"user": "…", "expect": …}], …}     a script, as in YAML
    {"messages": [{"role": "user", "content": "…"}, …]}  Chat Completions
    {"contents": [{"role": "user", "parts": […]}, …]}    the Gemini API
    {"history": [{"user": "…", "bot": "…"}, …]}          MT-Bench-101

Of a recorded conversation the user's messages are sent again; what the model answered is left out.
Messages are never templates here. `id` and `question_id` name a conversation that has no `name`.
Other keys are other people's data: they are left alone, unless they look like a slip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeGuard

from gemcli.chat import turn_order as order
from gemcli.chat.contents import Content, function_responses
from gemcli.errors import did_you_mean
from gemcli.replay import script_schema
from gemcli.replay.script import Script
from gemcli.replay.script_schema import SCRIPT
from gemcli.sessions.names import is_session_name
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.text.tree import Literal, Mapping, Node, Sequence, Text

NAMES = ("name", "id", "question_id")
"""The keys that may name a conversation, the first one that is there."""


def is_conversation(node: Mapping) -> bool:
    """Whether an object is a whole conversation."""
    return any(key in SHAPES for key in node)


def read(problems: Problems, node: Node, ignored: dict[str, None]) -> Script | None:
    """The script that a line holds, None if it is wrong; keys left alone go into `ignored`."""
    items = node.items() if isinstance(node, Mapping) else ()
    shapes = [key for key, value in items if key in SHAPES and not _is_null(value)]
    if not isinstance(node, Mapping) or not shapes:
        problems.add("shape", f"a conversation must have one of {', '.join(SHAPES)}", node)
        return None
    if len(shapes) > 1:
        problems.add("exclusive", f"`{shapes[0]}` and `{shapes[1]}` exclude each other", shapes[1])
        return None
    script = Mapping(node.line, node.column)
    for key, value in node.items():
        if key in SHAPES or _is_null(value):
            continue
        if key == "vars":
            message = "`vars` has no use here: messages in a suite are not templates"
            problems.add("unknown-key", message, key)
        elif key in SCRIPT.keys:
            script[key] = value
        elif key in ignored:
            continue
        elif hint := did_you_mean(key, [*SCRIPT.keys, *SHAPES]):
            message = f"`{key[:40]}` is not a key of a conversation"
            problems.add("unknown-key", message, key, hint)
        elif key not in NAMES:
            ignored[str(key)] = None
    _add_turns(problems, script, shapes[0], node[shapes[0]])
    found = script_schema.read(problems, script, _name(node)) if "turns" in script else None
    return found and replace(found, turns=tuple(replace(turn, raw=True) for turn in found.turns))


def _name(node: Mapping) -> str:
    """What a conversation is called: the first of `NAMES` that it has, or else its line."""
    names = (node.get(Text(name)) for name in NAMES)
    name = next((name for name in names if not _is_null(name)), None)
    return str(name) if isinstance(name, Text) and is_session_name(name) else f"line-{node.line}"


def _is_null(node: Node | None) -> bool:
    """Whether it is missing, or JSON's null, which data has where it has nothing."""
    return node is None or (isinstance(node, Literal) and node == "null")


def _add_turns(problems: Problems, script: Mapping, key: Text, value: Node) -> None:
    """Put the messages of a conversation where a script has them."""
    if not isinstance(value, Sequence):
        problems.add("shape", f"`{key}` must be a list", value)
        return
    before = len(problems)
    turns = Sequence(value.line, value.column)
    for item in value:
        turns += SHAPES[key](problems, script, item)
    if turns:
        script[Text("turns", key.line, key.column)] = turns
    elif len(problems) == before:
        problems.add("empty-script", f"there is no message of the user in `{key}`", value)


def _turn(_problems: Problems, _script: Mapping, item: Node) -> Iterator[Node]:
    yield item


def _message(problems: Problems, script: Mapping, item: Node) -> Iterator[Node]:
    """A message of Chat Completions, if it is the user's; a system message goes to the script."""
    role = item.get(Text("role")) if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(role, Text):
        problems.add("shape", "a message must be an object with `role` and `content`", item)
    elif role in ("user", "system", "developer"):
        content = item.get(Text("content"))
        text = _joined(content)
        if text is None:
            message = "`content` must be text, or a list of text parts"
            problems.add("value", message, item if content is None else content)
        elif role == "user":
            yield text
        elif "system" in script:
            problems.add("exclusive", "a second system message", role)
        else:
            script[Text("system", role.line, role.column)] = text
    elif role in ("tool", "function") or _calls_functions(item):
        problems.add("function-call", "a conversation with function calls cannot be replayed", role)
    elif role != "assistant":
        message = f"`role` must be user, assistant, system or developer, not `{role[:40]}`"
        problems.add("value", message, role)


def _calls_functions(message: Mapping) -> bool:
    """Whether a message has calls; the SDKs write null or [] for none."""
    values = [message.get(Text(key)) for key in ("tool_calls", "function_call")]
    return any(not _is_null(value) and value != [] for value in values)


def _joined(content: Node | None) -> Text | None:
    """The text of a message's content; None if it is not all text."""
    if _is_text(content):
        return content
    if not isinstance(content, Sequence):
        return None
    texts = [part.get(Text("text")) if isinstance(part, Mapping) else None for part in content]
    if not all(map(_is_text, texts)):
        return None
    return Text("".join(map(str, texts)), content.line, content.column, plain=False)


def _is_text(node: Node | None) -> TypeGuard[Text]:
    return isinstance(node, Text) and not isinstance(node, Literal)


def _content(problems: Problems, _script: Mapping, item: Node) -> Iterator[Node]:
    """The text of a Content, if it is the user's."""
    before = len(problems)
    content: Content = tree.plain_value(item, problems)
    if len(problems) > before:
        return
    faults = list(order.shape_problems(0, content)) or list(order.content_problems(0, content))
    for fault in faults:
        problems.add(fault.rule, fault.message, item, fault.hint)
    if faults or content["role"] == "model":
        return
    if function_responses(content):
        problems.add("function-call", "a conversation with function calls cannot be replayed", item)
    elif any(set(part) != {"text"} for part in content["parts"]):
        problems.add("value", "a message must consist of text", item)
    else:
        text = "".join(part["text"] for part in content["parts"])
        yield Text(text, item.line, item.column, plain=False)


def _pair(problems: Problems, _script: Mapping, item: Node) -> Iterator[Node]:
    """The user's half of a pair."""
    text = item.get(Text("user")) if isinstance(item, Mapping) else None
    if isinstance(text, Text):
        yield text
    else:
        message = "an item of `history` must be an object with the text `user`"
        problems.add("shape", message, text or item)


SHAPES: dict[str, Callable[[Problems, Mapping, Node], Iterator[Node]]] = {
    "turns": _turn,
    "messages": _message,
    "contents": _content,
    "history": _pair,
}
"""What a conversation's messages stand under, and how each item gives them."""
