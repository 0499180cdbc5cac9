"""The command line: which commands there are, and how each run of the program ends.

Commands are imported when they are called. Whatever ends a command comes through `main`, the one
place where an exception becomes lines on stderr and an exit status.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import click

from gemcli import __version__, signals
from gemcli.app import App
from gemcli.errors import EXIT, GemcliError
from gemcli.sessions.filesystem import FileSystem
from gemcli.terminal import options
from gemcli.terminal.output import Output

COMMANDS = {
    "new": "Create a session.",
    "send": "Send one message and print the answer.",
    "history": "Show the turns of a session.",
    "rewind": "Take turns out of the history.",
    "export": "Write the history in another format.",
    "replay": "Send the messages of a script, each once.",
}
"""Every command with its summary. `gemcli.commands.<name>.command` is the command itself."""


class Commands(click.Group):
    """A group whose commands are modules, imported only when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`, `None` if there is none."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"gemcli.commands.{cmd_name}").command
        for option in command.params:
            if isinstance(option, click.Option) and option.envvar is None:
                option.envvar = variable(cmd_name, option)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def variable(command: str, option: click.Option) -> str:
    """The environment variable of an option: `GEMCLI_SEND_TIMEOUT` for `send --timeout`."""
    return f"GEMCLI_{command}_{max(option.opts, key=len).lstrip('-')}".replace("-", "_").upper()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@options.everywhere(hidden=False)
@click.version_option(__version__, message="gemcli %(version)s")
def gemcli() -> None:
    """Gemini conversations that live in files.

    Each command loads a session, does one thing that keeps its turn order valid, appends it to the
    file, and prints JSON. A conversation can be continued from a pipe, a script or a crontab, by
    anyone who has the file.
    """


def main(args: Sequence[str], environ: Mapping[str, str], fs: FileSystem | None = None) -> int:
    """Run one command line and return its exit status. Everything is printed when this returns."""
    words = list(args[: args.index("--")] if "--" in args else args)
    debug = "--debug" in words or environ.get("GEMCLI_DEBUG", "").lower() not in (
        "",
        "0",
        "false",
        "no",
        "off",
    )
    output = Output(errors_json=_wants_json(words, environ))
    app = App(environ, output, fs or FileSystem())
    with signals.raised():
        try:
            with gemcli.make_context("gemcli", list(args), obj=app) as context:
                gemcli.invoke(context)
            _flush()
        except click.exceptions.Exit as done:
            return _finish_help(output, done.exit_code)
        except click.exceptions.NoArgsIsHelpError as error:
            with suppress(OSError):
                click.echo(error.format_message(), err=True)
            return EXIT["usage"]
        except BaseException as error:  # the last place that can give it a message and a status
            return _report(error, output, environ, words, debug=debug)
    return EXIT["ok"]


def run() -> NoReturn:
    """The program `gemcli`."""
    try:
        _hold_descriptors()
        for stream in (sys.stdout, sys.stderr):
            # Help text is Unicode, a locale may not be.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        status = main(sys.argv[1:], os.environ)
    except signals.Interrupted as stop:  # one more signal, while the first one was being told
        status = 128 + stop.signum
    except (
        KeyboardInterrupt
    ):  # before `main` has taken signals over, or when it has given them back
        status = 130
    _settle()
    if threading.active_count() > 1:
        # A request that was given up is still waiting in its thread; the interpreter would wait
        # with it.
        os._exit(status)
    sys.exit(status)


def _report(
    error: BaseException,
    output: Output,
    environ: Mapping[str, str],
    words: Sequence[str],
    *,
    debug: bool,
) -> int:
    """Say what ended the command, and return the exit status it means."""
    known = _as_gemcli_error(error, words)
    if debug:
        import traceback

        from gemcli.api.credentials import KEY_VARIABLES
        from gemcli.api.secrets import Secrets

        keys = [environ.get(name) for name in KEY_VARIABLES]
        trace = "".join(traceback.format_exception(error))
        output.debug(Secrets(*keys).hide(trace))
    if known.reason != "READER_GONE":
        output.error(known)
    return known.exit


def _as_gemcli_error(error: BaseException, words: Sequence[str]) -> GemcliError:
    if isinstance(error, GemcliError):
        return error
    if isinstance(error, click.UsageError):
        # The parser's own errors do not know their command.
        named = next((word for word in words if word in COMMANDS), "")
        command = error.ctx.command_path if error.ctx else f"gemcli {named}".strip()
        return GemcliError("USAGE", error.format_message(), hint=f"{command} --help")
    if isinstance(error, signals.Interrupted):
        hint = "gemcli history --last shows what is recorded"
        return GemcliError(
            "INTERRUPTED", f"stopped by {error.name}", hint=hint, exit_code=128 + error.signum
        )
    if isinstance(error, BrokenPipeError):
        return GemcliError("READER_GONE", "nobody reads the output any more", exit_code=141)
    if (
        isinstance(error, OSError) and error.filename is None
    ):  # click's printing of help and version
        return GemcliError("NOT_PRINTED", f"cannot write to standard output: {error.strerror}")
    if isinstance(error, OSError):
        return GemcliError("IO", str(error))
    return GemcliError("BUG", f"{type(error).__name__}: {error}")


def _wants_json(words: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether errors are to be JSON.

    Asked before parsing, because parsing is where errors begin.
    """
    chosen = environ.get("GEMCLI_ERRORS")
    for place, word in enumerate(words):
        if word == "--errors":
            chosen = next(iter(words[place + 1 :]), None)
        elif word.startswith("--errors="):
            chosen = word.partition("=")[2]
    return chosen == "json"


def _finish_help(output: Output, status: int) -> int:
    """End a run whose output click has printed (`--help`, `--version`)."""
    try:
        _flush()
    except OSError as error:
        return _report(error, output, {}, (), debug=False)
    return status


def _flush() -> None:
    # What fails at exit would become Python's own status 120.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _settle() -> None:
    """Give up what the standard streams could not take.

    At exit it would become Python's own status 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _hold_descriptors() -> None:
    """Occupy standard descriptors that the caller closed, or a session file would be opened as stdout.

    The placeholder for an output is open for reading, so that writing to it fails as it would have.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", closefd=False))
