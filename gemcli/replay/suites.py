"""A line of a suite: one conversation, in the words of gemcli or of the data sets that others publish.

    {"turns": ["…", {"user": "…", "expect": …}], …}     a script, as in YAML
    {"messages": [{"role": "user", "content": "…"}, …]}  Chat Completions
    {"contents": [{"role": "user", "parts": […]}, …]}    the Gemini API
    {"history": [{"user": "…", "bot": "…"}, …]}          MT-Bench-101

Of a recorded conversation the user's messages are sent again; what the model said then is left out.
Messages are never templates here. `id` and `question_id` name a conversation that has no `name`.
Other keys are other people's data: they are left alone, unless they look like a slip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gemcli.chat import turn_order as order
from gemcli.chat.contents import Content, function_responses
from gemcli.errors import GemcliError, did_you_mean
from gemcli.replay import script_schema
from gemcli.replay.crosschecks import ScriptReading
from gemcli.replay.script import Script
from gemcli.replay.script_schema import HEADER_KEYS
from gemcli.sessions.names import is_session_name
from gemcli.text import yaml_tree
from gemcli.text.json_tree import Literal
from gemcli.text.yaml_tree import Mapping, Node, Sequence, Text

NAMES = ("name", "id", "question_id")
"""The keys that may name a conversation, the first one that is there."""


def is_one(node: Mapping) -> bool:
    """Whether an object is a whole conversation."""
    return any(key in SHAPES for key in node)


def is_foreign(node: Mapping) -> bool:
    """Whether it is one in the words of others."""
    return "turns" not in node and is_one(node)


def read(reading: ScriptReading, node: Node, ignored: dict[str, None]) -> Script | None:
    """The script that a line holds, None when something is wrong with it.

    Keys left alone go into `ignored`.
    """
    items = node.items() if isinstance(node, Mapping) else ()
    shapes = [key for key, value in items if key in SHAPES and not _is_null(value)]
    if not isinstance(node, Mapping) or not shapes:
        reading.refuse("shape", f"a conversation must have one of {', '.join(SHAPES)}", node)
        return None
    if len(shapes) > 1:
        reading.refuse("exclusive", f"`{shapes[1]}` cannot stand beside `{shapes[0]}`", shapes[1])
        return None
    script = Mapping(node.line, node.column)
    for key, value in node.items():
        if key in SHAPES or _is_null(value):
            continue
        if key == "vars":
            reading.refuse(
                "unknown-key", "`vars` has no use here: messages of a suite are no templates", key
            )
        elif key in HEADER_KEYS:
            script[key] = value
        elif key in ignored:
            continue
        elif hint := did_you_mean(key, [*HEADER_KEYS, *SHAPES]):
            reading.refuse("unknown-key", f"`{key[:40]}` is not a key of a conversation", key, hint)
        elif key not in NAMES:
            ignored[str(key)] = None
    _add_turns(reading, script, shapes[0], node[shapes[0]])
    before = len(reading.problems)
    found = script_schema.read(reading, script, _name(node)) if Text("turns") in script else None
    return found if len(reading.problems) == before else None


def _name(node: Mapping) -> str:
    """What a conversation is called: what it says, or else its line."""
    given = next(
        (
            value
            for name in NAMES
            for key, value in node.items()
            if key == name and not _is_null(value)
        ),
        None,
    )
    return str(given) if isinstance(given, Text) and is_session_name(given) else f"line-{node.line}"


def _is_null(node: Node | None) -> bool:
    """Whether it is JSON's null, which data has where it has nothing."""
    return isinstance(node, Literal) and node == "null"


def _add_turns(reading: ScriptReading, script: Mapping, key: Text, value: Node) -> None:
    """Put the messages of a conversation where a script has them."""
    if not isinstance(value, Sequence):
        reading.refuse("shape", f"`{key}` must be a list", value)
        return
    before = len(reading.problems)
    turns = Sequence(value.line, value.column)
    for item in value:
        turns += SHAPES[key](reading, script, item)
    if turns:
        script[Text("turns", key.line, key.column)] = turns
    elif len(reading.problems) == before:
        reading.refuse("empty-script", f"there is no message of the user in `{key}`", value)


def _turn(_reading: ScriptReading, _script: Mapping, item: Node) -> Iterator[Node]:
    yield item


def _message(reading: ScriptReading, script: Mapping, item: Node) -> Iterator[Node]:
    """The message of Chat Completions, if the user said it.

    A system message becomes the script's.
    """
    role = item.get(Text("role")) if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(role, Text):
        reading.refuse("shape", "a message must be an object with `role` and `content`", item)
    elif role in ("user", "system", "developer"):
        said = item.get(Text("content"))
        text = _joined(said)
        if text is None:
            reading.refuse(
                "value",
                "`content` must be text, or a list of text parts",
                item if said is None else said,
            )
        elif role == "user":
            yield text
        elif "system" in script:
            reading.refuse("exclusive", "a second system message", role)
        else:
            script[Text("system", role.line, role.column)] = text
    elif role in ("tool", "function") or any(
        _calls(item.get(Text(key))) for key in ("tool_calls", "function_call")
    ):
        reading.refuse("function-call", "a conversation with function calls cannot be played", role)
    elif role != "assistant":
        reading.refuse(
            "value", f"`role` must be user, assistant, system or developer, not `{role[:40]}`", role
        )


def _calls(node: Node | None) -> bool:
    """Whether the value of a key for calls has any; the SDKs write null for none."""
    return node is not None and not _is_null(node) and node != []


def _joined(said: Node | None) -> Text | None:
    """The text of a message's content; None if it is not all text."""
    if isinstance(said, Text):
        return None if isinstance(said, Literal) else said
    if not isinstance(said, Sequence):
        return None
    texts = [part.get(Text("text")) if isinstance(part, Mapping) else None for part in said]
    if not all(isinstance(text, Text) and not isinstance(text, Literal) for text in texts):
        return None
    return Text("".join(str(text) for text in texts), said.line, said.column, plain=False)


def _content(reading: ScriptReading, _script: Mapping, item: Node) -> Iterator[Node]:
    """The text of a Content, if the user said it."""
    try:
        content: Content = yaml_tree.plain_value(item)
    except GemcliError as error:
        reading.problems += error.problems
        return
    faults = list(order.shape_problems(0, content)) or list(order.content_problems(0, content))
    for fault in faults:
        reading.refuse(fault.rule, fault.message, item, fault.hint)
    if faults or content["role"] == "model":
        return
    if function_responses(content):
        reading.refuse("function-call", "a conversation with function calls cannot be played", item)
    elif any(set(part) != {"text"} for part in content["parts"]):
        reading.refuse("value", "a message must consist of text", item)
    else:
        yield Text(
            "".join(part["text"] for part in content["parts"]), item.line, item.column, plain=False
        )


def _pair(reading: ScriptReading, _script: Mapping, item: Node) -> Iterator[Node]:
    """The user's half of a pair."""
    said = item.get(Text("user")) if isinstance(item, Mapping) else None
    if isinstance(said, Text):
        yield said
    else:
        reading.refuse(
            "shape", "an item of `history` must be an object with `user`, a text", said or item
        )


SHAPES: dict[str, Callable[[ScriptReading, Mapping, Node], Iterator[Node]]] = {
    "turns": _turn,
    "messages": _message,
    "contents": _content,
    "history": _pair,
}
"""What a conversation's messages stand under, and how each item gives them."""
