"""The program `gemcli-simulator`: the simulated API over HTTP, for any Gemini client."""

from __future__ import annotations

import errno
import ipaddress
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import click

from gemcli.errors import EXIT, GemcliError
from gemcli.simulator import echo_model, read_rules, rules_model, server
from gemcli.simulator.simulated_api import MODEL_NAME, Model, SimulatedApp, application
from gemcli.terminal import inputs
from gemcli.terminal.output import Output

NAME = "gemcli-simulator"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _model_names(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> list[str]:
    names = tuple(name.removeprefix("models/") for name in names)
    for name in names:
        if not MODEL_NAME.fullmatch(name):
            raise click.BadParameter(f"{name!r} is not a model's name")
    return list(names)


@click.command(NAME, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    callback=_model_names,
    help="Serve this model name and no other (repeatable). It is still the simulator that answers.",
)
@click.option("--rules", "file", metavar="FILE", help="Answer by the rules in this YAML file.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Listen on this port; 0 picks a free one.",
)
@click.option(
    "--host",
    default=server.LOOPBACK,
    metavar="ADDRESS",
    show_default=True,
    help="Listen on this address; by default, only this machine reaches it.",
)
@click.option("--verbose", is_flag=True, help="Write one line for each request to stderr.")
@click.pass_obj
def main(
    output: Output, models: list[str], file: str | None, port: int, host: str, verbose: bool
) -> int:
    """Serve a simulated Gemini API over HTTP, for any Gemini client.

    Prints its URL as one line when it is ready, and runs until INT or TERM. Any key is accepted,
    and any model name served: simulator/echo answers, which says what it was sent. With --rules,
    simulator/rules answers: the first rule whose conditions hold replies to the message.

    \b
    Examples:
      gemcli-simulator --port 8080
      gemcli-simulator --rules review.yaml --model gemini-flash-latest

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
    when    contains, matches, turn, after_call, model, hop; all must hold
    reply   answer, block, error or raw; without one the echo answers
    how     delay, drip, cut; times limits how often the rule is used

    The whole grammar: gemcli-simulator(1)
    """  # noqa: D301 - \b is click's mark for text that is not wrapped
    app, answering = _app(models, file)
    # Blocked before any thread starts, so that no thread is interrupted and `sigwait` gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    log = output.log if verbose else None
    try:
        with server.serve(app, host=host, port=port, log=log) as serving:
            names = ", ".join(models) or "any model name"
            output.notice(f"serving {names}: {answering} answers, whatever the key")
            if not ipaddress.ip_address(serving.server_name).is_loopback:
                output.notice("other machines can reach it, and nothing is encrypted")
            output.text(serving.url)
            return 128 + signal.sigwait(SIGNALS)
    except BrokenPipeError:  # the URL could not be printed
        raise
    except OSError as error:
        raise _cannot_listen(error, host, port) from error


def _app(names: list[str], file: str | None) -> tuple[SimulatedApp, str]:
    """The application that serves these names, or any if there are none; and who answers."""
    listed: dict[str, Model] = {echo_model.NAME: echo_model.answer}
    answering = echo_model.NAME
    make: Callable[[str], Model] = _echo
    if file is not None:
        played = rules_model.RulesModel(read_rules.load(inputs.document(file), file))
        listed |= {name: played.named(name) for name in (rules_model.NAME, *played.rules.models)}
        answering = rules_model.NAME
        make = played.named
    if names:
        return application({name: make(name) for name in names}), answering
    return application(listed, make), answering


def _echo(_name: str) -> Model:
    return echo_model.answer


def _cannot_listen(error: OSError, host: str, port: int) -> GemcliError:
    hint = None
    if error.errno == errno.EADDRINUSE:
        hint = "another program listens there; --port 0 picks a free port"
    return GemcliError("IO", f"cannot listen on {host}, port {port}: {error.strerror}", hint=hint)


def run(args: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    output = Output(program=NAME)
    try:
        return int(main.main(args, NAME, standalone_mode=False, obj=output) or 0)
    except click.UsageError as usage:
        message = usage.format_message().removesuffix(".")
        message = message[:1].lower() + message[1:]
        error = GemcliError("USAGE", message, hint=f"run {NAME} --help")
    except GemcliError as known:
        error = known
    except (KeyboardInterrupt, click.Abort):  # while the rules were read
        return EXIT["signal"] + signal.SIGINT
    except BrokenPipeError:
        return EXIT["signal"] + signal.SIGPIPE
    with suppress(OSError):
        output.error(error)
    return error.exit


if __name__ == "__main__":
    sys.exit(run())
