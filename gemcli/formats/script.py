"""The user's side of a conversation as a YAML script: the messages, to be sent again."""

from __future__ import annotations

from typing import Any

from gemcli.contents import Content, function_responses, parts_of, text_of
from gemcli.errors import GemcliError


def dump(history: list[Content], header: dict[str, Any]) -> str:
    """The user's messages with model, system instruction and config, in the order they were sent.

    Raises `GemcliError` (NOT_EXPRESSIBLE) for a message that a script cannot hold: function responses, or parts
    that are no text.
    """
    import yaml

    script: dict[str, Any] = {"model": header["model"]}
    config = dict(header["config"])
    instruction = config.get("systemInstruction")
    if instruction and all(set(part) == {"text"} for part in parts_of(instruction)):
        script["system"] = text_of(config.pop("systemInstruction"))
    # A config file has the keys of generationConfig at its top level.
    if config := {**config, **config.pop("generationConfig", {})}:
        config.pop("generationConfig", None)
        script["config"] = config
    script["turns"] = [_message(number, content) for number, content in enumerate(history[::2], 1)]
    text: str = yaml.dump(
        script, Dumper=_dumper(), allow_unicode=True, sort_keys=False, width=1_000_000, default_flow_style=False
    )
    return text


def _message(number: int, content: Content) -> str | dict[str, Any]:
    """A user Content as a turn of a script; `raw` where its text would be taken for a template."""
    if function_responses(content) or any(set(part) != {"text"} for part in parts_of(content)):
        raise GemcliError(
            "NOT_EXPRESSIBLE",
            f"message {number} has parts that are no text, which a script cannot hold",
            hint="gemcli export contents keeps everything",
        )
    text = text_of(content)
    return {"user": text, "raw": True} if "{{" in text else text


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
