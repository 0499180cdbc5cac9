"""Options that several commands share, as decorators.

They only parse; `config_from` reads the files that they name. The table of settings is imported
where it is used, because `history` and `rewind` start faster without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gemcli.settings.config import Config
    from gemcli.settings.definitions import Setting

F = TypeVar("F", bound=Callable[..., Any])


class WholeNumber(click.IntRange):
    """A whole number, called so where it is wrong."""

    name = "whole number"


class Seconds(click.FloatRange):
    """A time in seconds, at most a million: beyond, the system's timers overflow."""

    name = "number of seconds"

    def __init__(self, minimum: float) -> None:
        super().__init__(min=minimum, max=1_000_000)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number of seconds. NaN is refused here, because it passes every comparison."""
        seconds = float(super().convert(value, param, ctx))
        if seconds != seconds:
            self.fail("NaN is not a number of seconds", param, ctx)
        return seconds


def all_of(options: Sequence[Callable[[Any], Any]]) -> Callable[[F], F]:
    """One decorator for many options, which the help lists in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


HEADINGS: dict[click.Parameter, str] = {}
"""The heading that the help has for an option which is in a group."""


def group(heading: str, *options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options that the help lists under a heading of their own."""

    def decorate(function: F) -> F:
        before = list(getattr(function, "__click_params__", []))
        function = all_of(options)(function)
        parameters: list[click.Parameter] = getattr(function, "__click_params__", [])
        HEADINGS.update(dict.fromkeys(parameters[len(before) :], heading))
        return function

    return decorate


def headed(context: click.Context) -> dict[str, list[click.Option]]:
    """The options that the help shows, by heading."""
    found: dict[str, list[click.Option]] = {}
    for option in context.command.get_params(context):
        if isinstance(option, click.Option) and not option.hidden:
            found.setdefault(HEADINGS.get(option, "Options"), []).append(option)
    return found


class Command(click.Command):
    """A command whose help lists its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group of options under its heading."""
        for heading, options in headed(ctx).items():
            records = (option.get_help_record(ctx) for option in options)
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record])


def session(*, required: bool = True) -> Callable[[F], F]:
    """`--session`: which session."""
    text = "Session: a name, or a path (with '/' or ending in .jsonl).  [env: GEMCLI_SESSION]"
    return click.option(
        "-s",
        "--session",
        metavar="SESSION",
        envvar="GEMCLI_SESSION",
        required=required,
        callback=_remember_session,
        help=text,
    )


SESSION = "gemcli.session"
"""The key under which a click context, and so the whole program, knows the session."""


def _remember_session(
    context: click.Context, _option: click.Parameter, session: str | None
) -> str | None:
    """Keep the session for the hints of errors."""
    context.meta[SESSION] = session
    return session


def required(session: str | None) -> str:
    """The session, for a command that can do without in some cases. Raises `click.UsageError`."""
    if session is None:
        context = click.get_current_context()
        option = next(option for option in context.command.params if option.name == "session")
        raise click.MissingParameter(ctx=context, param=option)
    return session


def number(name: str, kind: Seconds | WholeNumber, default: float, text: str) -> Callable[[F], F]:
    """An option with a number: so many seconds, or tries if `kind` counts whole numbers."""
    unit = "SECONDS" if isinstance(kind, Seconds) else "N"
    return click.option(
        name, metavar=unit, type=kind, default=default, show_default=True, help=text
    )


def wait(seconds: float) -> Callable[[F], F]:
    """`--wait`: how long to wait for a session that another gemcli uses."""
    text = "Wait this long while another gemcli uses the session."
    return number("--wait", Seconds(0), seconds, text)


def limits(*, deadline: float) -> Callable[[F], F]:
    """`--retries`, `--timeout` and `--deadline`, which is `deadline` seconds by default."""
    text = "How often to retry a request that the API rejected or never got."
    retries = number("--retries", WholeNumber(min=0), 4, text)
    timeout = number("--timeout", Seconds(0.001), 300, "Time limit for one request.")
    text = "Time limit for the whole command, waits included."
    until = number("--deadline", Seconds(0.001), deadline, text)
    return all_of([retries, timeout, until])


def forms(text: str) -> Callable[[F], F]:
    """`--text`, which `text` explains, and `--json`: without them it depends on the terminal."""
    as_json = "Print JSON, as in a pipe."
    return all_of(
        [
            click.option("--text", "as_text", is_flag=True, help=text),
            click.option("--json", "as_json", is_flag=True, help=as_json),
        ]
    )


def everywhere(*, hidden: bool = True) -> Callable[[F], F]:
    """`--errors` and `--debug`, before or after the command: `cli` finds them without parsing."""
    errors = click.option(
        "--errors",
        type=click.Choice(["text", "json"]),
        envvar="GEMCLI_ERRORS",
        expose_value=False,
        hidden=hidden,
        help="Write stderr as text, or as one JSON object per line.",
    )
    text = "Print a traceback with an error."
    debug = click.option("--debug", is_flag=True, expose_value=False, hidden=hidden, help=text)
    return all_of([errors, debug])


def generation(function: F) -> F:
    """The settings of a generation, one option each by its `Setting.name`, and `--config FILE`."""
    from gemcli.settings.definitions import OPTIONS

    text = "Read settings from a YAML file; options win over it."
    options = _options_of(OPTIONS)
    options.append(click.option("--config", "config_file", metavar="FILE", help=text))
    return all_of(options)(function)


def tools(function: F) -> F:
    """`--tools FILE`, and one option for each of `TOOL_OPTIONS`."""
    from gemcli.settings.tool_settings import TOOL_OPTIONS

    text = (
        "Declare the functions in a YAML or JSON file, - for standard input; or those of a Python "
        "file, as in FILE.py:NAME,NAME."
    )
    files = click.option("--tools", "tools_files", metavar="FILE", multiple=True, help=text)
    return all_of([files, *_options_of(TOOL_OPTIONS)])(function)


def _options_of(settings: Sequence[Setting]) -> list[Callable[[Any], Any]]:
    return [
        click.option(
            setting.option,
            setting.name,
            metavar=setting.metavar,
            multiple=setting.repeatable,
            help=setting.help[0].upper() + setting.help[1:] + ".",
        )
        for setting in settings
    ]


def stdin_readers(values: Mapping[str, Any]) -> dict[str, bool]:
    """Which options of those that `generation` adds read standard input."""
    config, system = values.get("config_file"), values.get("system_instruction")
    return {"--config": config == "-", "--system": system == "@-"}


def config_from(
    values: Mapping[str, Any],
    notice: Callable[[str], None],
    functions: Sequence[dict[str, object]] = (),
) -> Config:
    """The Config of the options that `generation` and `tools` add, `--config` under the others.

    `functions` are the declarations that `--tools` names. What is unusual but accepted goes to
    `notice`. Raises `GemcliError` (SETTINGS) with every problem, and what `inputs.document` raises.
    """
    from gemcli.settings import config
    from gemcli.terminal import inputs

    given = dict(values)
    instruction = given.get("system_instruction")
    if instruction and instruction.startswith("@"):
        given["system_instruction"] = inputs.document(instruction[1:], notice)
    asked = config.from_options(given, notice, functions)
    if name := given.get("config_file"):
        text = inputs.document(name, notice)
        shown = "standard input" if name == "-" else name
        asked = config.merge(config.from_yaml(text, shown, notice), asked)
    return config.with_tools_allowed(asked)
