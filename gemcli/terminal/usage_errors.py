"""Wrong command lines, told in gemcli's own words. Loaded only when there is one."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import click

from gemcli.errors import GemcliError

# What other programs call an option for a key: -k, --key, --api-key, --google-api-key=…, --token.
_KEY_OPTION = re.compile(r"-k|--key.*|--.*api[-_]?key.*|--((api|access|auth)[-_]?)?token", re.I)


def explain(
    error: click.UsageError, words: Sequence[str], commands: Collection[str]
) -> GemcliError:
    """The error that tells what is wrong with `words`, the command line, and what to do."""
    # An error of the parser itself does not know its command.
    named = next((word for word in words if word in commands), "")
    command = error.ctx.command_path if error.ctx else f"gemcli {named}".strip()
    if isinstance(error, click.NoSuchOption) and _KEY_OPTION.fullmatch(error.option_name):
        return _key_option(error.option_name, named)
    message = _in_our_style(error.format_message())
    return GemcliError("USAGE", message, hint=f"run {command} --help")


def _key_option(option: str, command: str) -> GemcliError:
    """The error for an option that asks for an API key, and may hold one."""
    message = "no option takes an API key: everyone on this machine can see it there"
    hint = "set GEMINI_API_KEY in the environment"
    if option == "--key" and command == "send":
        message = "no such option '--key'"
        hint = f"use --once NAME to send a message only once; for an API key, {hint}"
    return GemcliError("USAGE", message, hint=hint)


def _in_our_style(message: str) -> str:
    """A message of click as gemcli writes messages: lower-case start, no full stop."""
    if message[1:2].islower():
        message = message[0].lower() + message[1:]
    return message.removesuffix(".")
