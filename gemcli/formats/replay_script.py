"""The user's side of a conversation as a YAML script: the messages, to be sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gemcli.chat.contents import Content, function_responses, parts_of, text_of
from gemcli.errors import GemcliError


def dump(
    history: list[Content], header: Mapping[str, Any], calls: Sequence[dict[str, Any]] = ()
) -> str:
    """The user's messages with model, system instruction and config, in the order they were sent.

    `calls` are the configs that the messages had besides, one for each, if any had one. Raises
    `GemcliError` (NOT_EXPRESSIBLE) for a message that a script cannot hold: function responses, or
    parts that are no text.
    """
    import yaml

    script: dict[str, Any] = {"model": header["model"]}
    if config := _settings(header["config"]):
        system = config.pop("system_instruction", None)
        script |= ({"system": system} if system else {}) | ({"config": config} if config else {})
    own = dict(enumerate(calls, 1))
    script["turns"] = [
        _message(number, content, own.get(number)) for number, content in enumerate(history[::2], 1)
    ]
    text: str = yaml.dump(
        script,
        Dumper=_dumper(),
        allow_unicode=True,
        sort_keys=False,
        width=1_000_000,
        default_flow_style=False,
    )
    return text


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """A config as scripts have it.

    The keys of generationConfig at its top level, an instruction as its text.
    """
    flat = {**config, **config.get("generationConfig", {})}
    flat.pop("generationConfig", None)
    instruction = flat.get("systemInstruction")
    if instruction and all(set(part) == {"text"} for part in parts_of(instruction)):
        flat = {"system_instruction": text_of(flat.pop("systemInstruction")), **flat}
    return flat


def _message(number: int, content: Content, call: dict[str, Any] | None) -> str | dict[str, Any]:
    """A user Content as a turn of a script; `raw` where its text would be taken for a template."""
    if function_responses(content) or any(set(part) != {"text"} for part in parts_of(content)):
        raise GemcliError(
            "NOT_EXPRESSIBLE",
            f"message {number} has parts that are no text, which a script cannot hold",
            hint="gemcli export contents keeps everything",
        )
    text = text_of(content)
    more = ({"raw": True} if "{{" in text else {}) | ({"config": _settings(call)} if call else {})
    return {"user": text, **more} if more else text


def _dumper() -> type[Any]:
    """A YAML writer that shows text of several lines as a block where YAML allows it."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """SafeDumper with literal blocks and without aliases."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
            """Never write an alias: scripts refuse them."""
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # YAML reads these as line breaks, which only double quotes can hold.
        breaks = any(mark in value for mark in "\r\x85\u2028\u2029")
        # In a config, a plain number, boolean or null would be read as one.
        looks_typed = value[:1] in "+-.0123456789~" or value.lower() in ("true", "false", "null")
        style = '"' if breaks else "|" if "\n" in value else '"' if looks_typed else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
