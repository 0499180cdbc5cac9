"""The user's side of a conversation as a YAML script: the messages, to be sent again.

What functions returned is on that side too, as the `tool_results` of each message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gemcli.chat.answered_calls import answered_calls
from gemcli.chat.contents import Content, group_turns, parts_of, text_of
from gemcli.errors import GemcliError
from gemcli.formats import Header

if TYPE_CHECKING:
    import yaml

Config = Mapping[str, object]


def dump(history: Sequence[Content], header: Header, calls: Sequence[Config] = ()) -> str:
    """The model, the config and the user's messages, with `calls` as the config of each turn.

    Raises `GemcliError` (NOT_EXPRESSIBLE) for a message that is more than text.
    """
    import yaml

    script: dict[str, object] = {"model": header["model"]}
    config = _settings(header["config"])
    system = config.pop("system_instruction", None)
    if system:
        script["system"] = system
    if config:
        script["config"] = config
    turns = zip_longest(group_turns(history), calls)
    script["turns"] = [_turn(*one, number) for number, one in enumerate(turns, 1)]
    text: str = yaml.dump(
        script,
        Dumper=_dumper(),
        allow_unicode=True,
        sort_keys=False,
        width=1_000_000,
        default_flow_style=False,
    )
    return text


def _settings(config: Config) -> dict[str, object]:
    """A config as scripts have it: without `generationConfig`, the instruction as text."""
    flat = dict(config)
    generation = flat.pop("generationConfig", None)
    if isinstance(generation, dict):
        flat |= generation
    instruction: Any = flat.get("systemInstruction")
    if instruction and _is_text(instruction):
        del flat["systemInstruction"]
        flat = {"system_instruction": text_of(instruction), **flat}
    return flat


def _is_text(content: Content) -> bool:
    """Whether a Content is nothing but text."""
    return all(set(part) == {"text"} for part in parts_of(content))


def _turn(contents: Sequence[Content], call: Config | None, number: int) -> str | dict[str, object]:
    """A turn as a script has it: its first Content, and what answers the calls after that."""
    content = contents[0]
    if not _is_text(content):
        what = f"message {number} has parts that are not text, which a script cannot hold"
        raise GemcliError("NOT_EXPRESSIBLE", what)
    if any("functionResponse" not in part for one in contents[2::2] for part in parts_of(one)):
        what = f"message {number} has more than responses in the answer to its function calls"
        raise GemcliError("NOT_EXPRESSIBLE", f"{what}, which a script cannot hold")
    turn: dict[str, object] = {"user": text_of(content)}
    if any(mark in text_of(content) for mark in ("{{", "{%")):
        # It would be taken for a template.
        turn["raw"] = True
    if call:
        turn["config"] = _settings(call)
    if results := answered_calls(contents):
        turn["tool_results"] = results
    return turn if len(turn) > 1 else text_of(content)


def _dumper() -> type[yaml.SafeDumper]:
    """A YAML writer that shows text of several lines as a block where YAML allows it."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """SafeDumper with literal blocks and without aliases."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's signature
            """Never write an alias: scripts refuse them."""
            return True

    def represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=_style(value))

    Dumper.add_representer(str, represent_text)
    return Dumper


def _style(text: str) -> str | None:
    """The YAML style that keeps a text a text: double quotes, a literal block, or any."""
    if any(mark in text for mark in "\r\x85\u2028\u2029"):
        # YAML reads these as line breaks, which only double quotes can hold.
        return '"'
    if "\n" in text:
        return "|"
    # In a config, a plain number, boolean or null would be read as one.
    if text[:1] in "+-.0123456789~" or text.lower() in ("true", "false", "null"):
        return '"'
    return None
