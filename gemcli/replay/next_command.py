"""The command line that goes on with a run: the same one again, with what it takes now."""

from __future__ import annotations

import shlex

import click

from gemcli.replay.events import Tally

LIMITS = ("retries", "max_wait", "timeout", "deadline", "grace", "wait")
"""The parameters that limit time and retries."""


def next_command(
    context: click.Context, session: str | None, directory: str | None, tally: Tally
) -> str | None:
    """The command that continues the run after its errors; None if no command can."""
    worst, file = tally.worst, context.params["script"]
    run_again = worst and (worst.retryable or worst.reason == "IN_DOUBT" or tally.unfinished)
    if not run_again:
        return None
    if file in ("-", "/dev/stdin") or file.startswith(("/dev/fd/", "/proc/")):
        return None  # a pipe cannot be read again
    # What may have been answered just now is in doubt for the next run.
    in_doubt = any(
        error.reason == "IN_DOUBT" or error.outcome == "unknown" for error in tally.errors
    )
    return _command_line(context, session, directory, resend=in_doubt)


def _command_line(
    context: click.Context, session: str | None, directory: str | None, *, resend: bool
) -> str:
    """The command line that replays the same again; limits of the environment stay there."""
    given = context.params
    file = given["script"]
    words = ["gemcli", "replay", f"./{file}" if file.startswith("-") else file]
    words += ["-s", session] if session else []
    words += ["--out", directory] if directory else []
    words += ["--model", given["model"]] if given["model"] else []
    for variable in given["variables"]:
        words += ["--var", variable]
    words += ["--lines"] if given["as_lines"] else []
    words += ["--on-fail", given["on_fail"]] if given["on_fail"] else []
    on_unknown = "resend" if resend else given["on_unknown"]
    words += ["--on-unknown", on_unknown] if on_unknown else []
    for name in LIMITS:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            words += [f"--{name.replace('_', '-')}", f"{given[name]:.15g}"]
    return shlex.join(words)
