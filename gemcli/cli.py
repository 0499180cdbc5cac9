"""The command line: which commands there are, and how each run of the program ends.

A command's module is imported when the command is called. Whatever ends a command ends in `main`:
it alone turns an exception into lines on stderr and an exit status.
"""

from __future__ import annotations

import gc
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

import click
from click.exceptions import Exit, NoArgsIsHelpError

from gemcli import __version__, signals
from gemcli.app import App
from gemcli.errors import EXIT, GemcliError, missing_resource, unexpected
from gemcli.sessions.filesystem import FileSystem
from gemcli.terminal import options
from gemcli.terminal.output import Output
from gemcli.terminal.screen import has_colours, is_dumb

COMMANDS = {
    "new": "Create a session.",
    "send": "Send one message and print the answer.",
    "history": "Show the turns of a session.",
    "rewind": "Take turns out of the history.",
    "export": "Write the history in another format.",
    "replay": "Send the messages of a script, each once.",
}
"""Every command with its summary; the command itself is `gemcli.commands.<name>.command`."""


class Commands(click.Group):
    """A group whose commands are modules that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`, None if it does not exist."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"gemcli.commands.{cmd_name}").command
        for option in command.params:
            # A flag from the environment could not be undone on the command line.
            if isinstance(option, click.Option) and not (option.is_flag or option.envvar):
                option.envvar = environment_variable(cmd_name, option)
        return command

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say where the manual is, too: man may not look beside a program that is only linked."""
        super().format_epilog(ctx, formatter)
        pages = os.path.join(sys.prefix, "share", "man")
        if os.path.exists(os.path.join(pages, "man1", "gemcli.1")):
            formatter.write(f"\n  If man does not find it: man -M {shlex.quote(pages)} gemcli\n")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def environment_variable(command: str, option: click.Option) -> str:
    """The environment variable of an option: `GEMCLI_SEND_TIMEOUT` for `send --timeout`."""
    name = max(option.opts, key=len).lstrip("-")
    return f"GEMCLI_{command}_{name}".replace("-", "_").upper()


EPILOG = """\b
gemcli COMMAND --help   the options of a command, with examples
man gemcli              the manual: files, variables, every exit status

Exit status 0 is a whole answer, 2 a wrong command line; 75 means to try again
later.
"""
"""What the program's help ends with."""


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@options.everywhere(hidden=False)
@click.version_option(__version__, message="gemcli %(version)s")
def gemcli() -> None:
    """Gemini conversations that live in files.

    Each command loads a session and does one thing; what changes the session is appended to its
    file. Results are JSON in a pipe, and on a terminal what you read; --json and --text decide it.
    Whoever has the file can continue the conversation: in a shell, a script or a crontab.

    \b
    First use, with a key from https://aistudio.google.com/apikey:
      export GEMINI_API_KEY=...
      gemcli send -s NAME --create "Hello"
      git diff | gemcli send -s NAME "What could break?"

    Without a key, GEMCLI_MODEL=simulator/echo shows what a model would have seen.
    """


def main(args: Sequence[str], environ: Mapping[str, str], fs: FileSystem | None = None) -> int:
    """Run one command line and return its exit status. All output is written by then."""
    words = list(args[: args.index("--")] if "--" in args else args)
    output = Output(
        errors_json=_wants_json(words, environ), colours=has_colours(environ), dumb=is_dumb(environ)
    )
    app = App(environ, output, fs or FileSystem())
    known: dict[str, Any] = {}
    with signals.raised():
        try:
            # --help and --version end in `Exit`.
            with suppress(Exit), gemcli.make_context("gemcli", list(args), obj=app) as context:
                known = context.meta
                gemcli.invoke(context)
            _flush(sys.stdout)
        except NoArgsIsHelpError as error:
            with suppress(OSError):
                click.echo(error.format_message(), err=True)
            return EXIT["usage"]
        except BaseException as error:  # the last place that can give it a message and a status
            return _report(error, app, words, known.get(options.SESSION))
    return EXIT["ok"]


def run() -> NoReturn:
    """The program `gemcli`."""
    try:
        _occupy_descriptors()
        for stream in (sys.stdout, sys.stderr):
            # The help has characters that the locale's encoding may lack.
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        status = main(sys.argv[1:], os.environ)
    except signals.Interrupted as stop:  # a second signal, while the first one was reported
        status = 128 + (signals.deferred.first or stop.signum)
    except KeyboardInterrupt:  # before or after the time in which `main` handles signals
        status = 130
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            _flush(stream)
    if threading.active_count() > 1:
        # A request that was given up still waits in its thread; sys.exit would wait for it.
        os._exit(status)
    gc.freeze()  # Python would look for garbage in all that was loaded, once more before it ends
    sys.exit(status)


def _report(error: BaseException, app: App, words: Sequence[str], session: str | None) -> int:
    """Print what ended the command, and return the exit status."""
    known = _as_gemcli_error(error, words).of_session(session)
    if known.status in ("usage", "data", "no_input"):
        known = _with_its_variable(known, words, app.environ)
    if isinstance(error, click.UsageError):
        known = _without_keys(known, app.environ)
    if _wants_debug(words, app.environ):
        import traceback

        from gemcli.api.credentials import hide_keys

        trace = "".join(traceback.format_exception(error))
        app.output.debug(hide_keys(trace, app.environ))
    if known.reason != "READER_GONE":
        app.output.error(known)
    return known.exit


def _as_gemcli_error(error: BaseException, words: Sequence[str]) -> GemcliError:
    if isinstance(error, GemcliError):
        return error
    if isinstance(error, click.UsageError):
        from gemcli.terminal import usage_errors

        return usage_errors.explain(error, words, COMMANDS)
    if isinstance(error, signals.Interrupted):
        what, status = f"stopped by {error.name}", 128 + error.signum
        hint = "run gemcli history -s SESSION --last to see what is recorded"
        return GemcliError("INTERRUPTED", what, hint=hint, exit_code=status)
    if isinstance(error, BrokenPipeError):
        return GemcliError("READER_GONE", "output closed", exit_code=141)
    if isinstance(error, OSError) and not missing_resource(error):
        if error.filename is None:  # click could not print the help or the version
            return GemcliError("NOT_PRINTED", f"cannot write to standard output: {error.strerror}")
        return GemcliError("IO", f"{error.filename}: {error.strerror}")
    return unexpected(error)


def _with_its_variable(
    error: GemcliError, words: Sequence[str], environ: Mapping[str, str]
) -> GemcliError:
    """An error with the environment variable that the wrong value came from, if it did."""
    from gemcli.terminal.usage_errors import blame_variables

    named = next((word for word in words if word in COMMANDS), "")
    command = gemcli.get_command(click.Context(gemcli), named) or gemcli
    return blame_variables(error, command, words, environ)


def _without_keys(error: GemcliError, environ: Mapping[str, str]) -> GemcliError:
    """An error that quotes the command line, without the API keys in it."""
    from gemcli.api.credentials import hide_keys

    hint = hide_keys(error.hint, environ) if error.hint else None
    return error.replace(message=hide_keys(error.message, environ), hint=hint)


def _wants_debug(words: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether to print tracebacks. Known without parsing, because parsing may fail."""
    off = ("", "0", "false", "no", "off")
    return "--debug" in words or environ.get("GEMCLI_DEBUG", "").lower() not in off


def _wants_json(words: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether errors are printed as JSON. Known without parsing, because parsing may fail."""
    chosen = environ.get("GEMCLI_ERRORS")
    for place, word in enumerate(words):
        if word == "--errors":
            chosen = next(iter(words[place + 1 :]), None)
        elif word.startswith("--errors="):
            chosen = word.partition("=")[2]
    return chosen == "json"


def _flush(stream: TextIO) -> None:
    # Output that cannot be written would otherwise end Python with its own status, 120.
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


def _occupy_descriptors() -> None:
    """Open standard descriptors that the caller closed: a session file must not become stdout."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # For reading only, so that writing fails as it would have.
            os.open(os.devnull, os.O_RDONLY)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", closefd=False))
