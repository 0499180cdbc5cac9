"""One conversation, in the form of gemcli or of published data sets.

    {"turns": ["…", {"user": "…", "expect": …}], …}          a script, as in YAML
    {"messages": [{"role": "user", "content": "…"}, …]}       Chat Completions
    {"contents": [{"role": "user", "parts": […]}, …]}         the Gemini API
    {"history": [{"user": "…", "bot": "…"}, …]}               MT-Bench-101
    {"conversations": [{"from": "human", "value": "…"}, …]}   ShareGPT
    {"conversation": [{"role": "user", "content": "…"}, …]}   LMSYS-Chat
    [{"role": "user", "parts": […]}, …]                       messages of any of these, alone

Each message tells its format by itself. What the user said is sent again, a system message is the
system instruction, answers are left out; what functions returned becomes the turn's `tool_results`,
should the model call them again. Recorded messages are never templates. Other keys are
other people's data: they are left alone, unless they are settings or look like a slip.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from gemcli.errors import did_you_mean
from gemcli.replay import recorded_messages, script_schema
from gemcli.replay.recorded_messages import is_message, is_nothing, is_null
from gemcli.replay.script import Script
from gemcli.replay.script_hints import CONFIG_KEYS
from gemcli.replay.script_schema import SCRIPT
from gemcli.sessions.names import is_session_name
from gemcli.settings.request_settings import HARMLESS, RequestSettings
from gemcli.text.problems import Problems
from gemcli.text.tree import FLOAT, Mapping, Node, Sequence, Text

SHAPES = ("turns", "messages", "contents", "history", "conversations", "conversation")
"""What the messages of a conversation stand under; they are recorded ones, but for `turns`."""

NAMES = ("name", "id", "question_id", "conversation_id", "conversation_hash")
"""The keys that may name a conversation, the first one that is there."""

SYSTEM_KEYS = ("system_prompt", "system_message")
"""What data sets call the system instruction of recorded messages."""

OTHER_MODELS = ("history", "conversations", "conversation")
"""The keys of data sets whose `model` is the one that answered."""

OWN_MODELS = ("gemini-", "models/", "simulator/")
"""How a model beside `messages` begins that is taken over: others are of another service."""

MAX_IGNORED = 1000
"""Most keys of others that are listed; further ones are taken for data without a look."""


def is_conversation(node: Node) -> bool:
    """Whether a node is a whole conversation: an object of its own, or recorded messages."""
    if isinstance(node, Sequence):
        return bool(node) and is_message(node[0])
    return isinstance(node, Mapping) and any(key in SHAPES for key in node)


def is_recorded(node: Node) -> bool:
    """Whether a node is a conversation, and no script of gemcli."""
    if isinstance(node, Mapping) and "turns" in node:
        turns = node[Text("turns")]
        return isinstance(turns, Sequence) and is_conversation(turns)
    return is_conversation(node)


def own_name(node: Node) -> str | None:
    """What a conversation calls itself: the first of `NAMES` that it has, if that can be one."""
    names = (node.get(Text(name)) for name in NAMES) if isinstance(node, Mapping) else ()
    name = next((name for name in names if not is_null(name)), None)
    return str(name) if isinstance(name, Text) and is_session_name(name) else None


def read(problems: Problems, node: Node, ignored: dict[str, None], name: str = "") -> Script | None:
    """The script that a conversation is, None if it is wrong; keys left alone go into `ignored`.

    One without a name is called `name`, or else after what it says.
    """
    if isinstance(node, Sequence) and is_conversation(node):
        node = node.under("messages")
    items = node.items() if isinstance(node, Mapping) else ()
    shapes = [key for key, value in items if key in SHAPES and not is_null(value)]
    if not isinstance(node, Mapping) or not shapes:
        problems.add("shape", f"a conversation must have one of {', '.join(SHAPES)}", node)
        return None
    if len(shapes) > 1:
        problems.add("exclusive", f"`{shapes[0]}` and `{shapes[1]}` exclude each other", shapes[1])
        return None
    return _Conversation(problems, node, shapes[0], ignored).read(name)


class _Conversation:
    """Reads one conversation, whose messages stand under the key `shape`."""

    def __init__(
        self, problems: Problems, node: Mapping, shape: Text, ignored: dict[str, None]
    ) -> None:
        self.problems = problems
        self.node = node
        self.shape = shape
        self.ignored = ignored
        self.recorded = shape != "turns" or is_recorded(node)
        self.script = Mapping(node.line, node.column)

    def read(self, name: str) -> Script | None:
        self._read_keys()
        self._read_messages()
        if "turns" not in self.script:
            return None
        script = script_schema.read(self.problems, self.script, own_name(self.node) or name)
        if script is None:
            return None
        script = script.as_raw() if self.recorded else script
        return script if script.name else replace(script, name=_digest(script))

    def _read_keys(self) -> None:
        """Put settings where a script has them."""
        items = self.node[self.shape]
        first = items[0] if isinstance(items, Sequence) and items else None
        chat = not (isinstance(first, Mapping) and "parts" in first)
        settings = RequestSettings(self.problems, self.node.get(Text("config")), chat=chat)
        for key, value in self.node.items():
            if key in SHAPES or is_null(value) or (self.recorded and is_nothing(value)):
                continue
            if key == "model" and self._is_of_others(value):
                self.ignored["model"] = None
            elif key == "system" or (self.recorded and key in SYSTEM_KEYS):
                self._set_system(key, value)
            elif key in SCRIPT.keys and not (self.recorded and key == "tools"):
                self.script[key] = value
            elif not (self.recorded and settings.take(key, value)):
                self._leave_alone(key, value)
        config = settings.config()
        if config is not None and not is_null(config):
            self.script[Text("config", self.node.line, self.node.column)] = config

    def _is_of_others(self, model: Node) -> bool:
        """Whether a model is not one to send to, but the one that answered elsewhere."""
        if self.shape != "messages" or not isinstance(model, Text):
            return self.shape in OTHER_MODELS
        return not model.startswith(OWN_MODELS)

    def _leave_alone(self, key: Text, value: Node) -> None:
        """Ignore a key, unless it is nearly one of ours."""
        if key in self.ignored or key in NAMES or len(self.ignored) >= MAX_IGNORED:
            return
        # No key of ours takes a number; LMSYS-Chat has one under `turn`.
        is_number = isinstance(value, Text) and value.plain and FLOAT.fullmatch(value)
        is_known = is_number or (self.recorded and key in HARMLESS)
        # Beside recorded messages anything may stand, like `openai_moderation`.
        known = SCRIPT.keys if self.recorded else [*SCRIPT.keys, *SHAPES]
        near = None if is_known else did_you_mean(key, known)
        if hint := CONFIG_KEYS.get(key) or near:
            message = f"`{key[:40]}` is not a key of a conversation"
            self.problems.add("unknown-key", message, key, hint)
        else:
            self.ignored[str(key)] = None

    def _read_messages(self) -> None:
        """Put the messages where a script has them."""
        items = self.node[self.shape]
        if not isinstance(items, Sequence):
            self.problems.add("shape", f"`{self.shape}` must be a list", items)
            return
        before = len(self.problems)
        turns = self._sent_again(items) if self.recorded else items
        if turns:
            self.script[Text("turns", self.shape.line, self.shape.column)] = turns
        elif len(self.problems) == before:
            message = f"there is no message of the user in `{self.shape}`"
            self.problems.add("empty-script", message, items)

    def _sent_again(self, items: Sequence) -> Sequence:
        """The user's messages of recorded ones; a system message becomes the script's."""
        turns: list[tuple[Text, list[Mapping]]] = []
        for item in items:
            said = recorded_messages.read(self.problems, item)
            if said is None:
                continue
            if said.system is not None:
                self._set_system(said.system, said.text)
            elif said.function is None:
                turns.append((said.text, []))
            elif turns:
                turns[-1][1].append(said.function)
            else:
                message = "a function is called before the first message"
                self.problems.add("function-call", message, item)
        return Sequence(items.line, items.column, [self._turn(*turn) for turn in turns])

    def _turn(self, text: Text, functions: list[Mapping]) -> Node:
        """A message, with the results of the calls that it led to."""
        results = recorded_messages.tool_results(self.problems, functions)
        if not results:
            return text
        turn = Mapping(text.line, text.column)
        turn[Text("user", text.line, text.column)] = text
        turn[Text("tool_results", results.line, results.column)] = results
        return turn

    def _set_system(self, at: Text, value: Node) -> None:
        if "system" in self.script:
            self.problems.add("exclusive", "a second system message", at)
        else:
            self.script[Text("system", at.line, at.column)] = value


def _digest(script: Script) -> str:
    """A name for what a conversation sends: the same in every order and every file."""
    turns = [[turn.content, turn.config] for turn in script.turns]
    said = json.dumps([script.model, script.config, turns], sort_keys=True)
    return hashlib.sha256(said.encode("ascii")).hexdigest()[:12]
