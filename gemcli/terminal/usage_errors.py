"""Wrong command lines, told in gemcli's own words, with what was meant. Loaded only when needed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import click
from click.exceptions import MissingParameter, NoSuchCommand, NoSuchOption

from gemcli.errors import GemcliError, did_you_mean

# What other programs call an option for a key: -k, --key, --api-key, --google-api-key=…, --token.
_KEY_OPTION = re.compile(r"-k|--key.*|--.*api[-_]?key.*|--((api|access|auth)[-_]?)?token", re.I)

OTHER_VARIABLES: Mapping[str, Sequence[str]] = {
    "GEMCLI_MODEL": ["--model"],
    "GOOGLE_CLOUD_PROJECT": ["--project"],
    "GOOGLE_CLOUD_LOCATION": ["--location"],
}
"""Variables that others than click read, with the options that win over them."""

_LIST = "run gemcli history --sessions"
_SHOW = "run gemcli history -s NAME"
_DELETE = 'run rm "$(gemcli history -s NAME --path)"'

_OTHER_WORDS: Mapping[str, str] = {
    "list": _LIST,
    "ls": _LIST,
    "sessions": _LIST,
    "show": _SHOW,
    "cat": _SHOW,
    "delete": _DELETE,
    "remove": _DELETE,
    "rm": _DELETE,
    "undo": "run gemcli rewind -s NAME; with --undo it brings back what it took out",
    "chat": 'run gemcli send -s NAME --create "your message"',
    "help": "run gemcli --help",
    "version": "run gemcli --version",
}
"""What other programs call a command, with what to do in gemcli."""


def explain(
    error: click.UsageError, words: Sequence[str], commands: Collection[str]
) -> GemcliError:
    """The error that tells what is wrong with `words`, the command line, and what to do."""
    named = next((word for word in words if word in commands), "")
    if error.ctx and error.ctx.parent:
        named = error.ctx.info_name or named
    message, hint = _in_our_style(error.format_message()), None
    if isinstance(error, NoSuchOption):
        message = f"no such option '{error.option_name}'"
        if _KEY_OPTION.fullmatch(error.option_name):
            message, hint = _key_option(error.option_name, named)
        else:
            hint = _other_option(error, words, named)
    elif isinstance(error, NoSuchCommand):
        hint = _other_command(error.command_name, commands)
    elif isinstance(error, MissingParameter):
        message, hint = _missing(error, message, words, named)
    elif isinstance(error, click.BadParameter):
        hint = _other_value(error)
    elif "unexpected extra argument" in message and error.ctx:
        hint = _extra_argument(error.ctx, words, named)
    if hint is None:
        # An error of the parser itself does not know its command.
        command = error.ctx.command_path if error.ctx else f"gemcli {named}".strip()
        hint = f"run {command} --help"
    return GemcliError("USAGE", message, hint=hint)


def _key_option(option: str, command: str) -> tuple[str, str]:
    """Message and hint for an option that asks for an API key, and may hold one."""
    hint = "set GEMINI_API_KEY, or name its file in GEMINI_API_KEY_FILE"
    if option == "--key" and command == "send":
        hint = f"use --once NAME to send a message only once; for an API key, {hint}"
        return "no such option '--key'", hint
    return "no option takes an API key: everyone on this machine can see it there", hint


def _other_option(error: NoSuchOption, words: Sequence[str], command: str) -> str | None:
    option, context = error.option_name, error.ctx
    typed = next((word for word in words if _may_hold(word, option)), option)
    if command == "send" and (" " in typed or re.match(r"-\d", typed)):
        message = shlex.quote(typed)
        return f"put -- before a message that begins with a dash: gemcli send -s NAME -- {message}"
    if context and isinstance(context.command, click.Group) and command:
        found = context.command.get_command(context, command)
        if found and any(option in parameter.opts for parameter in found.params):
            return f"options of a command follow its name: gemcli {command} {option} …"
    if command == "history" and option == "--list":
        return _LIST
    for near in error.possibilities or ():
        if did_you_mean(option.strip("-"), [near.strip("-")]):
            return f"did you mean `{near}`?"
    return None


def _may_hold(word: str, option: str) -> bool:
    """Whether an option may come from this word: `-n` and `- ` come from `-n is what?`."""
    if word.startswith(option):
        return True
    return re.match("-[^-]", word) is not None and option[:2] != "--" and option[1:] in word


def _other_command(word: str, commands: Collection[str]) -> str | None:
    if " " in word:
        return f"to send a message: gemcli send -s NAME --create {shlex.quote(word)}"
    if word in _OTHER_WORDS:
        return _OTHER_WORDS[word]
    near = did_you_mean(word, commands)
    return near and f"{near} gemcli --help lists the commands"


def _other_value(error: click.BadParameter) -> str | None:
    """The value of a choice that was meant."""
    choice = error.param and error.param.type
    value = re.match("'(.*)' is not one of", error.message)
    if value is None or not isinstance(choice, click.Choice):
        return None
    return did_you_mean(value[1], choice.choices)


def _missing(
    error: MissingParameter, message: str, words: Sequence[str], command: str
) -> tuple[str, str | None]:
    parameter, context = error.param, error.ctx
    if parameter and isinstance(parameter.type, click.Choice):
        choices = ", ".join(parameter.type.choices)
        return f"missing argument {parameter.human_readable_name}: one of {choices}", None
    if parameter is None or parameter.name != "session" or context is None:
        return message, None
    hint = _extra_argument(context, words, command) if command != "send" else None
    if hint is None:
        example = {"send": '--create "your message"', "replay": "SCRIPT", "export": "FORMAT"}
        hint = f"name a session: gemcli {command} -s NAME {example.get(command, '')}".rstrip()
        if command not in ("new", "send"):
            hint += "; gemcli history --sessions lists them"
    return "missing option -s: which session?", hint


def _extra_argument(context: click.Context, words: Sequence[str], command: str) -> str | None:
    """What an argument too many was meant to be: a word of the message, or the session."""
    if command == "send":
        return "put a message of several words in quotes"
    extra: list[str] = []
    with suppress(ValueError, click.UsageError):  # a `--` has cut the command line
        own = list(words[words.index(command) + 1 :])
        _, extra, _ = context.command.make_parser(context).parse_args(own)
    if extra and command == "replay":
        return (
            "replay plays one script at a time; -s names the session: gemcli replay SCRIPT -s NAME"
        )
    if len(extra) != 1 or _is_given(("-s", "--session"), words):
        return None
    return f"did you mean `-s {shlex.quote(extra[0])}`?"


def blame_variables(
    error: GemcliError, command: click.Command, words: Sequence[str], environ: Mapping[str, str]
) -> GemcliError:
    """`error` with the name of the environment variable that a wrong value came from."""
    variables: dict[str, Sequence[str]] = {
        option.envvar: option.opts for option in command.params if isinstance(option.envvar, str)
    }
    variables.update(OTHER_VARIABLES)
    for variable, opts in variables.items():
        value = environ.get(variable)
        if not value or _is_given(opts, words):
            continue
        # click writes '-n' / '--number', and gemcli the long name.
        names = "|".join(map(re.escape, ["' / '".join(opts), *opts]))
        option = re.compile(rf"(?<![\w-])({names})(?![\w-])")
        message = option.sub(variable, error.message)
        problems = tuple(
            replace(problem, message=option.sub(variable, problem.message))
            for problem in error.problems
        )
        if message == error.message and _names(error.message, value):
            from_there = f"the value comes from {variable}"
            hint = f"{from_there}; {error.hint}" if error.hint else from_there
            error = error.replace(hint=hint)
        error = error.replace(message=message, problems=problems)
    return error


def _is_given(options: Sequence[str], words: Sequence[str]) -> bool:
    """Whether one of these options is on the command line."""
    return any(
        word == option or word.startswith(f"{option}=" if option[:2] == "--" else option)
        for word in words
        for option in options
    )


def _names(message: str, value: str) -> bool:
    """Whether a message is about a value: quotes it, or names a file or session at its end."""
    value = re.escape(value)
    return re.search(rf"'{value}'|[ /]{value}(\.jsonl)?(:|$)", message) is not None


def _in_our_style(message: str) -> str:
    """A message of click as gemcli writes messages: lower-case start, no full stop."""
    if message[1:2].islower():
        message = message[0].lower() + message[1:]
    message = re.sub(r"is not in the range x>=(\S+)", r"is less than \1", message)
    message = re.sub(r"is not in the range (\S+)<=x<=(\S+)", r"is not from \1 to \2", message)
    return message.removesuffix(".")
