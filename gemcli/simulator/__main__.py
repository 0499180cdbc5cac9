"""`python -m gemcli.simulator`: the simulated API on a loopback port, for any Gemini client."""

from __future__ import annotations

import re
import signal
import sys

import click

from gemcli.simulator import echo
from gemcli.simulator.app import application
from gemcli.simulator.server import serve

USAGE, IO = 2, 74  # the statuses of gemcli itself
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _model_name(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name):
            raise click.BadParameter(f"{name!r} is not a model's name")
    return tuple(name.removeprefix("models/") for name in names)


@click.command("gemcli.simulator", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Listen here; 0 picks a free port.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    callback=_model_name,
    help="Answer to this model name too (repeatable). It is still the echo that answers.",
)
@click.option("--verbose", is_flag=True, help="Write one line for each request to stderr.")
def main(port: int, models: tuple[str, ...], verbose: bool) -> int:
    """Serve a simulated Gemini API on loopback, print its URL, and run until INT or TERM.

    Any key is accepted. The model is simulator/echo, which says what it was sent.
    """
    # Blocked before any thread starts, so that no thread is interrupted and `sigwait` gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    app = application(dict.fromkeys((echo.NAME, *models), echo.answer))
    with serve(app, port=port, log=(lambda line: click.echo(line, err=True)) if verbose else None) as server:
        click.echo(server.url)
        return 128 + signal.sigwait(SIGNALS)


def run() -> int:
    """Run the command; the exit status. Errors are one line on stderr."""
    try:
        return int(main.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        message, status = error.format_message(), USAGE
    except OSError as error:
        message, status = f"cannot serve: {error.strerror or error}", IO
    click.echo(f"gemcli.simulator: error: {message}", err=True)
    return status


if __name__ == "__main__":
    sys.exit(run())
