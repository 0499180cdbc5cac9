"""`gemcli replay`: send the messages of a script, one by one, each once."""

from __future__ import annotations

import os
import random
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import click

from gemcli.api import backends
from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini, preload
from gemcli.api.models import check_model
from gemcli.api.retry import RetryPolicy
from gemcli.app import App
from gemcli.create_session import NewOptions, create_if_missing, header
from gemcli.errors import GemcliError
from gemcli.exchange import Limits, Transport
from gemcli.replay import events, read_script, template
from gemcli.replay.run import Run
from gemcli.replay.script import Script, Suite
from gemcli.sessions import names, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.session import Session
from gemcli.signals import deferred
from gemcli.terminal import inputs, options
from gemcli.terminal.output import Stream

LIMITS = ("retries", "max_wait", "timeout", "deadline", "grace", "wait")
"""The parameters that say how long things may take, and how often to try."""


@click.command("replay", short_help="Send the messages of a script, each once.")
@click.argument(
    "script", metavar="SCRIPT", help="YAML, JSON, JSON Lines, or a session; '-' is standard input."
)
@options.session(required=False)
@click.option(
    "--out",
    "directory",
    metavar="DIR",
    help="Play into DIR/NAME.jsonl: for files with many conversations.",
)
@click.option("--model", metavar="MODEL", help="Another model than the script's.")
@click.option(
    "--var",
    "variables",
    metavar="NAME=TEXT",
    multiple=True,
    help="The text that {{NAME}} stands for.",
)
@click.option(
    "--lines", "as_lines", is_flag=True, help="SCRIPT is plain text: each line a message."
)
@click.option("--strict", is_flag=True, help="Take warnings about the script for mistakes.")
@click.option("--on-fail", type=click.Choice(["stop", "continue"]), help=(
    "When an expectation is not met: go on, or not.  [default: the script's, continue]"))  # fmt: skip
@click.option("--on-unknown", type=click.Choice(["fail", "resend"]), help=(
    "What to do when nobody knows if a message was answered.  [default: the script's, fail]"))  # fmt: skip
@options.limits(deadline=86400)
@click.option("--max-wait", metavar="SECONDS", type=options.Seconds(0), default=300, show_default=True, help=(
    "Longest wait before sending again; a longer one ends the run."))  # fmt: skip
@click.option("--grace", metavar="SECONDS", type=options.Seconds(0), default=20, show_default=True, help=(
    "How long a request may go on after Ctrl-C, unless there is a second one; and how long it has at least before the "
    "deadline: none begins later."))  # fmt: skip
@options.wait(0)
@click.option(
    "--dry-run", is_flag=True, help="Check the script and tell what would be sent. Needs no key."
)
@options.everywhere()
@click.pass_context
def command(
    context: click.Context,
    /,
    script: str,
    session: str | None,
    directory: str | None,
    variables: Sequence[str],
    **given: Any,
) -> None:
    """Send the messages of a script one by one, and tell of each answer as a JSON event.

    The session is the journal: what was answered is never sent again, so the same command goes on
    where it stopped, and sends nothing once it is done. A session that is missing is made; one that
    was made with a history is gone on from. When it is not known whether a message was answered,
    nothing is sent (13); when the script has changed where it was answered already, nothing is sent
    either (14).

    A script is a list of messages, or a mapping with model, system, config, vars and turns.
    Everything wrong with it is told before anything is sent.

    \b
    Examples:
      gemcli replay nightly.yaml -s runs/monday.jsonl
      gemcli replay questions.jsonl --out runs | jq -c '[.event, .id, .reply]'
      gemcli replay old.jsonl -s again.jsonl --model gemini-2.5-pro
      gemcli replay nightly.yaml --dry-run
    """
    app: App = context.obj
    if directory is not None and session is not None:
        if context.get_parameter_source("session") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("-s and --out exclude each other.")
        session = None  # that of the environment
    if directory == "":
        raise click.UsageError("--out takes a directory, '.' for this one.")
    order = Order(script, session, directory, _texts(variables), _limits_given(context), **given)
    suite = _suite(app, order)
    stream = Stream(lambda: deferred.stopping or order.limits(app).remaining <= 0)
    with Stage(app, order, suite, stream) as stage:
        play(app, order, suite, stage, stream)


@dataclass(frozen=True)
class Order:
    """What the command line asks `replay` for.

    Times are in seconds; `again` are the words that limited them.
    """

    file: str
    session: str | None
    directory: str | None
    texts: Mapping[str, str]
    again: Sequence[str]
    model: str | None
    as_lines: bool
    strict: bool
    on_fail: str | None
    on_unknown: str | None
    retries: int
    max_wait: float
    timeout: float
    deadline: float
    grace: float
    wait: float
    dry_run: bool

    def limits(self, app: App) -> Limits:
        """The limits in time. However near the deadline is, half of the time is for requests to begin in."""
        return Limits(self.timeout, app.started + self.deadline, min(self.grace, self.deadline / 2))

    def words(self, on_unknown: str | None) -> str:
        """The command line that plays the same again, with this for `--on-unknown`."""
        words = ["gemcli", "replay", f"./{self.file}" if self.file.startswith("-") else self.file]
        words += ["-s", self.session] if self.session else []
        words += ["--out", self.directory] if self.directory else []
        words += ["--model", self.model] if self.model else []
        words += [word for name, text in self.texts.items() for word in ("--var", f"{name}={text}")]
        words += ["--lines"] if self.as_lines else []
        words += ["--on-fail", self.on_fail] if self.on_fail else []
        words += ["--on-unknown", on_unknown] if on_unknown else []
        return shlex.join([*words, *self.again])


def _texts(variables: Sequence[str]) -> dict[str, str]:
    """The texts of --var by name. Raises `click.UsageError`."""
    texts = {}
    for given in variables:
        name, equals, text = given.partition("=")
        if not equals or not re.fullmatch(template.NAME, name):
            raise click.UsageError(f"--var takes NAME=TEXT; not {given!r}.")
        texts[name] = inputs.argument(text, f"--var {name}")
    return texts


def _limits_given(context: click.Context) -> list[str]:
    """The limits that stand on the command line, for one that goes on.

    Those of the environment hold by themselves.
    """
    given = []
    for name in LIMITS:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            given += [f"--{name.replace('_', '-')}", f"{context.params[name]:.15g}"]
    return given


def _text(app: App, order: Order) -> str:
    """The text of the script, read within the deadline."""
    try:
        with inputs.within(order.limits(app).remaining, "the script"):
            return inputs.document(order.file)
    except GemcliError as missing:
        if names.is_session_name(order.file) and app.store.exists(app.path(order.file)):
            hint = f'a session is played by its path: gemcli replay "$(gemcli history -s {order.file} --path)"'
            raise missing.replace(hint=hint) from missing.__cause__
        raise


def _suite(app: App, order: Order) -> Suite:
    """The conversations of the script, as the command line wants them."""
    text = _text(app, order)
    suite = read_script.load(
        text, order.file, order.texts, as_lines=order.as_lines, strict=order.strict
    )
    if order.session is None and order.directory is None and not order.dry_run:
        raise click.UsageError("Where to: -s SESSION, or --out DIR.")
    if suite.many and order.directory is None and (order.session is not None or not order.dry_run):
        raise click.UsageError(
            f"{order.file} has a conversation in every line, each with a session: --out DIR."
        )
    if order.directory is not None and not all(
        names.is_session_name(script.name) for script in suite.scripts
    ):
        raise click.UsageError(
            f"{suite.scripts[0].name!r} cannot name a session: give the script a `name`."
        )
    model = None if order.model is None else check_model(order.model)
    for warning in suite.warnings:
        app.output.notice(warning.describe())
    wanted = [
        replace(
            script,
            model=model or script.model,
            on_fail=order.on_fail or script.on_fail,
            on_unknown=order.on_unknown or script.on_unknown,
        )
        for script in suite.scripts
    ]
    return replace(suite, scripts=tuple(wanted))


def play(app: App, order: Order, suite: Suite, stage: Stage, stream: Stream) -> None:
    """Play, or look, and print what happens.

    Raises `GemcliError` for what the run came to, when it is printed.
    """
    run = Run(suite, stage, stream.json, app.output.progress)
    resuming = sum(stage.exists(script) for script in suite.scripts)
    stream.json(events.run_event(suite, resuming, dry_run=order.dry_run))
    if order.dry_run:
        run.look()
    else:
        run.play()
    worst = run.tally.worst
    stream.json(run.tally.summary(_following(order, worst, run.tally.errors)))
    try:
        stream.flush()
    except (GemcliError, BrokenPipeError):
        # That the session failed, or a signal came, says more than that nobody read.
        if worst is None or not (worst.status == "io" or worst.reason == "INTERRUPTED"):
            raise
    if worst is not None:
        more = len(run.tally.errors) - 1
        suffix = f" (and {more} more, in the events)" if more else ""
        raise worst.replace(message=worst.message + suffix)


def _following(
    order: Order, worst: GemcliError | None, errors: Sequence[GemcliError]
) -> str | None:
    """The command that goes on after a run that met `errors`, if one does."""
    once = order.file in ("-", "/dev/stdin") or order.file.startswith(("/dev/fd/", "/proc/"))
    if worst is None or once or not (worst.retryable or worst.reason == "IN_DOUBT"):
        return None
    # What may have been answered just now is in doubt for the next run.
    unknown = any(error.reason == "IN_DOUBT" or error.outcome == "unknown" for error in errors)
    return order.words("resend" if unknown else order.on_unknown)


class Stage:
    """The world of a run: the sessions of its scripts, and the ways to the models, each made once."""

    def __init__(self, app: App, order: Order, suite: Suite, stream: Stream) -> None:
        self._app = app
        self._order = order
        self._suite = suite
        self._stream = stream
        self._stack = ExitStack()
        self._ways: dict[Backend, Gemini] = {}

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def name(self, script: Script) -> str | None:
        """What the session of a script is called."""
        if self._order.directory is None:
            return self._order.session
        return os.path.join(self._order.directory, script.name + names.SUFFIX)

    def exists(self, script: Script) -> bool:
        """Whether the session of a script is there."""
        name = self.name(script)
        return name is not None and self._app.store.exists(self._app.path(name))

    def look(self, script: Script) -> Journal:
        """The session of a script as it is, or as it would be made."""
        name = self.name(script)
        return (
            self._app.read(name)
            if name and self.exists(script)
            else Journal([self._header(script)])
        )

    @contextmanager
    def open(self, script: Script) -> Iterator[Session]:
        """The session of a script, locked; made first if it is missing."""
        name = self.name(script)
        if name is None:
            raise RuntimeError("a run without a session only looks")
        if not self.exists(script):
            self._make(name, script)
        with self._app.open(
            name, min(self._order.wait, max(0.0, self._order.limits(self._app).remaining))
        ) as session:
            yield session

    def line(
        self, journal: Journal, model: str, on_event: Callable[[Mapping[str, Any]], None]
    ) -> Transport:
        """The line to a model."""
        order, notice = self._order, self._app.output.notice
        backend = backends.backend_for(journal.header, model, self._app.environ)
        if backend not in self._ways:
            # Loaded before the clock of the first request runs: its latency is the model's.
            preload().join()
            self._ways[backend] = self._stack.enter_context(closing(self._app.gemini(backend)))
        retry = RetryPolicy(order.retries, random.random, order.max_wait)
        return Transport(
            self._ways[backend], backend, order.limits(self._app), retry, notice, on_event
        )

    def over(self, wait: float = 0.0) -> GemcliError | None:
        """Why nothing more should be sent after `wait` seconds, if so."""
        if self._stream.broken:
            return GemcliError("READER_GONE", "nobody reads the events any more", exit_code=141)
        if self._order.limits(self._app).time_to_start <= wait:
            what = f"a wait of {wait:g} s leaves no time" if wait else "there is no time left"
            what += " for a request before the deadline"
            return GemcliError("TIMEOUT", what, outcome="rejected", hint="--deadline allows more")
        return None

    def _make(self, name: str, script: Script) -> None:
        if self._order.directory:
            self._app.store.make_directory(self._order.directory)
        wanted = NewOptions(script.model, None, script.config)
        create_if_missing(self._app, name, wanted, script.header, self._suite.origin())

    def _header(self, script: Script) -> records.SessionRecord:
        """The session record that a script's session begins with."""
        wanted = NewOptions(script.model, None, script.config)
        return header(self._app, wanted, script.header, self._suite.origin())
