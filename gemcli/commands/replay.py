"""`gemcli replay`: send the messages of a script, one by one, each once."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

import click

from gemcli.api.limits import Limits
from gemcli.api.models import check_model
from gemcli.api.retry import RetryPolicy
from gemcli.app import App
from gemcli.errors import SHOWN_PROBLEMS, GemcliError, counted
from gemcli.replay import read_script, template
from gemcli.replay.context import RunContext
from gemcli.replay.events import Event, Tally
from gemcli.replay.in_words import in_words, turn_line
from gemcli.replay.next_command import next_command
from gemcli.replay.run import run
from gemcli.replay.script import Suite
from gemcli.sessions import names
from gemcli.signals import deferred
from gemcli.terminal import inputs
from gemcli.terminal import options as common_options
from gemcli.terminal.combinations import require_meaning
from gemcli.terminal.escapes import one_line
from gemcli.terminal.options import Seconds
from gemcli.terminal.stream import Stream

APART = {"--text": "--json"}


# fmt: off
OPTIONS = (
    click.argument("script", metavar="SCRIPT", help=(
        "YAML, JSON, JSON Lines, or a session; '-' is standard input.")),
    common_options.group("Script",
        click.option("--var", "variables", metavar="NAME=TEXT", multiple=True, help=(
            "The text that replaces {{NAME}}.")),
        click.option("--lines", "as_lines", is_flag=True, help=(
            "SCRIPT is plain text: each line is a message.")),
        click.option("--strict", is_flag=True, help="Treat warnings as errors."),
        click.option("--model", metavar="MODEL", help="Use this model instead of the script's."),
        click.option("--on-fail", type=click.Choice(["stop", "continue"]), help=(
            "What a conversation does when an expectation is not met; the others of a suite go on."
            "  [default: the script's, continue]")),
        click.option("--on-unknown", type=click.Choice(["fail", "resend"]), help=(
            "What to do when it is unknown whether a message was answered."
            "  [default: the script's, fail]")),
        click.option("--dry-run", is_flag=True, help=(
            "Check the script and print what would be sent. Needs no key.")),
    ),
    common_options.group("Sessions",
        common_options.session(required=False),
        click.option("--out", "directory", metavar="DIR", help=(
            "Keep the sessions in DIR/NAME.jsonl: for files with many conversations.")),
        common_options.wait(0),
    ),
    common_options.group("Output",
        common_options.forms("Print a line for each answer, as on a terminal."),
    ),
    common_options.group("Limits and retries",
        common_options.limits(deadline=86400),
        common_options.number("--max-wait", Seconds(0), 300, (
            "Give up if asked to wait longer before sending again.")),
        common_options.number("--grace", Seconds(0), 20, (
            "Time that a request under way has to finish after Ctrl-C (a second Ctrl-C ends it)."
            " No request starts this close to the deadline.")),
    ),
    common_options.everywhere(),
)
# fmt: on


@click.command("replay", cls=common_options.Command)
@common_options.all_of(OPTIONS)
@click.pass_context
def command(
    context: click.Context,
    /,
    script: str,
    session: str | None,
    directory: str | None,
    model: str | None,
    variables: Sequence[str],
    as_lines: bool,
    strict: bool,
    on_fail: str | None,
    on_unknown: str | None,
    retries: int,
    timeout: float,
    deadline: float,
    max_wait: float,
    grace: float,
    wait: float,
    dry_run: bool,
    as_text: bool,
    as_json: bool,
) -> None:
    """Send the messages of a script one by one, and print a JSON event or a line for each answer.

    The session is the journal: an answered message is never sent again, so the same command
    continues where it stopped, and sends nothing once it is done. A missing session is created;
    one that was created with a history is continued. If it is unknown whether a message was
    answered, nothing is sent (13); if the script was changed at an answered turn, nothing is sent
    either (14).

    In -s and --out, {date} and {time} stand for now, as in 2026-01-31 and 235959, local time.

    A script is a list of messages, or a mapping with model, system, config, vars and turns. All
    problems in it are reported before anything is sent. Function calls get its tool_results.

    \b
    Examples:
      gemcli replay nightly.yaml -s 'runs/{date}.jsonl'
      gemcli replay questions.jsonl --out runs | jq -c '[.event, .id, .text]'
      gemcli replay old.jsonl -s again.jsonl --model gemini-2.5-pro
      gemcli replay nightly.yaml --dry-run
    """
    require_meaning(APART)
    app: App = context.obj
    # However near the deadline is, half of the time is for requests to start in.
    limits = Limits(timeout, app.started + deadline, min(grace, deadline / 2))
    # What is wrong with the command is told before standard input is waited for.
    session, directory = _target(context, session, directory, dry_run=dry_run)
    model = None if model is None else check_model(model)
    texts, text = _variables(variables), _script_text(app, script, limits)
    suite = read_script.load(text, script, texts, as_lines=as_lines, strict=strict)
    _require_target(suite, session, directory, dry_run=dry_run)
    suite = _override(suite, model, on_fail, on_unknown)
    _tell(app, suite)
    stream = Stream(lambda: deferred.stopping or limits.remaining <= 0)
    in_text = app.output.is_read(as_text=as_text, as_json=as_json)
    run_context = RunContext(
        app=app,
        session=session,
        directory=directory,
        origin=suite.origin(),
        limits=limits,
        retry=RetryPolicy(retries, random.random, max_wait),
        lock_wait=wait,
        emit=_printer(app, stream, in_text=in_text),
        output_closed=lambda: stream.broken,
    )
    with closing(run_context):
        tally = run(suite, run_context, dry_run=dry_run)
        run_context.emit(tally.summary(next_command(context, session, directory, tally)))
        _finish(stream, tally, in_text=in_text)
        _tell_if_nothing_was_sent(app, tally, directory)


def _printer(app: App, stream: Stream, *, in_text: bool) -> Callable[[Event], None]:
    """What prints an event: a line or two for a person, or JSON, with progress on a terminal."""

    def print_text(event: Event) -> None:
        with app.output.above_status():
            for line in in_words(event, app.output.columns):
                stream.text(one_line(line) + "\n")

    def print_json(event: Event) -> None:
        with app.output.above_status():
            stream.json(event)
        if event["event"] == "turn":
            app.output.progress(turn_line(event))

    return print_text if in_text else print_json


def _tell_if_nothing_was_sent(app: App, tally: Tally, directory: str | None) -> None:
    """Tell why nothing was sent, for whoever expected a new run."""
    if not tally.had_nothing_to_send:
        return
    place = "--out 'runs/{date}'" if directory else "-s 'runs/{date}.jsonl'"
    what = f"nothing was sent: {tally.all_answered()}"
    app.output.notice(f"{what}; a new run needs a new session, as in {place}")


def _finish(stream: Stream, tally: Tally, *, in_text: bool) -> None:
    """Raise `GemcliError` for the gravest failure of the run, once all events are printed."""
    worst = tally.worst
    try:
        stream.flush()
    except (GemcliError, BrokenPipeError):
        # A failed session, or a signal, matters more than that nobody read of it.
        if worst is None or not (worst.status == "io" or worst.reason == "INTERRUPTED"):
            raise
    if worst is not None:
        raise _with_others(worst, tally, in_text=in_text)


def _with_others(worst: GemcliError, tally: Tally, *, in_text: bool) -> GemcliError:
    """The error that ends the run, with the number of the others, and how to see them."""
    others = len(tally.errors) - 1
    if not others:
        return worst
    error = worst.replace(message=f"{worst.message}; {counted(others, 'other failure')}")
    if in_text:
        return error
    see = "standard output has all of them, --text prints a line for each"
    if all(one.status == "expectation" for one in tally.errors):
        see = "run it again with --text to see all, nothing is sent"
    return error.replace(hint=f"{worst.hint}; {see}" if worst.hint else see)


def _target(
    context: click.Context, session: str | None, directory: str | None, *, dry_run: bool
) -> tuple[str | None, str | None]:
    """The session or the directory to replay into, as it is called now; a dry run needs neither.

    With --out, the session in the environment is ignored.
    """
    now = time.localtime()
    if directory is None:
        if session is None and not dry_run:
            raise click.UsageError("no session is given; use -s SESSION or --out DIR")
        return None if session is None else names.filled_in(session, now), None
    if directory == "":
        raise click.UsageError("--out takes a directory; use '.' for this one")
    given = context.get_parameter_source("session") is click.core.ParameterSource.COMMANDLINE
    if session is not None and given:
        raise click.UsageError("-s and --out exclude each other")
    return None, names.filled_in(directory, now)


def _variables(given: Sequence[str]) -> dict[str, str]:
    """The texts of --var by name. Raises `click.UsageError`."""
    variables = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not re.fullmatch(template.NAME, name):
            raise click.UsageError(f"--var takes NAME=TEXT, not {item!r}")
        variables[name] = inputs.argument(text, f"--var {name}")
    return variables


def _override(
    suite: Suite, model: str | None, on_fail: str | None, on_unknown: str | None
) -> Suite:
    """The suite with what the command line says instead of its scripts."""
    scripts = [
        replace(
            script,
            model=model or script.model,
            on_fail=on_fail or script.on_fail,
            on_unknown=on_unknown or script.on_unknown,
        )
        for script in suite.scripts
    ]
    return replace(suite, scripts=tuple(scripts))


def _script_text(app: App, file: str, limits: Limits) -> str:
    """The text of the script, read within the deadline."""
    try:
        with inputs.within(limits.remaining, "the script"):
            return inputs.document(file, app.output.notice)
    except GemcliError as error:
        if names.is_session_name(file) and app.store.exists(app.path(file)):
            command = f'gemcli replay "$(gemcli history -s {file} --path)"'
            hint = f"name a session by its path: {command}"
            raise error.replace(hint=hint) from error.__cause__
        raise


def _tell(app: App, suite: Suite) -> None:
    """Print the warnings about a script, and who else gets the conversation of a session."""
    for warning in suite.warnings[:SHOWN_PROBLEMS]:
        app.output.warning(warning.describe())
    if len(suite.warnings) > SHOWN_PROBLEMS:
        app.output.warning(f"{suite.file} has more than {SHOWN_PROBLEMS} such places")
    for script in suite.scripts:
        if script.header:
            app.tell_destinations(script.header, [turn.config for turn in script.turns])


def _require_target(
    suite: Suite, session: str | None, directory: str | None, *, dry_run: bool
) -> None:
    """Raise `click.UsageError` if the conversations cannot have sessions where they should."""
    if directory is None:
        if len(suite.scripts) > 1 and (session is not None or not dry_run):
            what = f"each of the {len(suite.scripts)} conversations needs a session of its own"
            raise click.UsageError(f"{what}; use --out DIR")
        return
    for script in suite.scripts:
        if not names.is_session_name(script.name):
            what = f"{script.name!r} cannot name a session"
            raise click.UsageError(f"{what}; give the script a `name`")
