"""`python -m gemcli.simulator`: the simulated API on a loopback port, for any Gemini client."""

from __future__ import annotations

import re
import signal
import sys

import click

from gemcli.errors import GemcliError
from gemcli.simulator import echo_model, rules, rules_model
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Model, SimulatedApp, application
from gemcli.terminal.inputs import file_text

USAGE, IO = 2, 74  # exit statuses of gemcli itself
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _model_names(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> list[str]:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name):
            raise click.BadParameter(f"{name!r} is not a model's name")
    return [name.removeprefix("models/") for name in names]


def _print_to_stderr(line: str) -> None:
    click.echo(line, err=True)


@click.command("gemcli.simulator", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Listen here; 0 picks a free port.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    callback=_model_names,
    help="Answer to this model name too (repeatable). It is still the simulator that answers.",
)
@click.option("--rules", "file", metavar="FILE", help="Answer by the rules in this YAML file.")
@click.option("--verbose", is_flag=True, help="Write one line for each request to stderr.")
def main(port: int, models: list[str], file: str | None, verbose: bool) -> int:
    """Serve a simulated Gemini API on loopback, print its URL, and run until INT or TERM.

    Any key is accepted. The model is simulator/echo, which says what it was sent. With --rules it
    is simulator/rules: the first rule whose conditions hold replies to the message.

    \b
      rules:
        - when: {contains: weather}
          answer: {calls: [{name: get_weather, args: {city: Boston}}]}
        - when: {after_call: get_weather}
          answer: It is sunny in Boston.
        - when: {turn: 2}
          times: 1
          error: {status: RESOURCE_EXHAUSTED, retry_delay: 2.5s}
        - {drip: 200ms, cut: {after: 2 chunks, how: reset}}

    \b
    when    contains, matches, turn, after_call, model; all must hold
    reply   answer, block, error or raw; without one the echo answers
    how     delay, drip, cut; times limits how often the rule is used

    The whole grammar: gemcli-simulator(1)
    """  # noqa: D301 - \b is click's mark for text that is not wrapped
    # Blocked before any thread starts, so that no thread is interrupted and `sigwait` gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    app = _app(models, file)
    with serve(app, port=port, log=_print_to_stderr if verbose else None) as server:
        click.echo(server.url)
        return 128 + signal.sigwait(SIGNALS)


def _app(names: list[str], file: str | None) -> SimulatedApp:
    """The application that answers to these names, by the rules in `file` if there is one."""
    models: dict[str, Model] = {echo_model.NAME: echo_model.answer}
    if file is None:
        models.update(dict.fromkeys(names, echo_model.answer))
    else:
        played = rules_model.RulesModel(rules.load(file_text(file), file))
        for name in (rules_model.NAME, *played.rules.models, *names):
            models[name] = played.named(name)
    return application(models)


def run() -> int:
    """Run the command and return its exit status; an error is a line, and one for each problem."""
    try:
        return int(main.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        message, status = error.format_message(), USAGE
    except GemcliError as error:
        lines = [error.message, *(problem.describe() for problem in error.problems)]
        message, status = "\n  ".join(lines), error.exit
    except OSError as error:
        message, status = f"cannot serve: {error.strerror or error}", IO
    _print_to_stderr(f"gemcli.simulator: error: {message}")
    return status


if __name__ == "__main__":
    sys.exit(run())
