"""`gemcli send`: one user message, one exchange.

`command` parses and reads the message, `gemcli.send` sends it and prints what comes of it.
`gemcli.exchange` tells the rest of the story.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import click

from gemcli.api.credentials import holds_key
from gemcli.api.limits import Limits
from gemcli.app import App
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError, did_you_mean
from gemcli.requests.call_model import DEFAULT_HOPS
from gemcli.send import print_reply, send_message
from gemcli.send.choose_request import SendOptions
from gemcli.settings.definitions import OPTIONS as SETTINGS
from gemcli.settings.tool_settings import TOOL_OPTIONS
from gemcli.signals import deferred
from gemcli.terminal import inputs
from gemcli.terminal import options as common_options
from gemcli.terminal.answer_printer import printer_for
from gemcli.terminal.combinations import require_meaning
from gemcli.tools import given_responses, read_tools
from gemcli.tools.call_tools import NO_TOOLS, Tooling
from gemcli.tools.tool_context import ToolContext

ALLOWED = ("blocked", "incomplete", "function_call")
"""The statuses that --allow can turn into success."""

APART = {
    "--text": "--json --full",
    "--dry-run": "--text --full --allow --retries --timeout --wait --max-hops --run-tools",
    "--response": "MESSAGE --once --create --skip-empty --no-stdin",
    "--continue": (
        "MESSAGE --response --once --create --skip-empty --no-stdin --max-turns --model --config "
        + " ".join(
            setting.option
            for setting in (*SETTINGS, *TOOL_OPTIONS)
            if setting.name != "max_output_tokens"
        )
    ),
}
"""What excludes each other: a dry run waits for nobody and has no answer, and an answer goes on as
it began."""

NEEDS = {
    "--on-unknown": "--once --continue",
    "--run-tools": "--tools",
    "--max-tool-rounds": "--run-tools",
}
"""The options that mean nothing without another one."""

TO_CONTINUE = {"--tools": "--run-tools"}
"""Those that mean nothing with --continue and without another one: what was declared stays."""

LONGEST_KEY = 256
"""The longest key, in characters."""


# fmt: off
OPTIONS = (
    click.argument("message", required=False, help="The message; '-' is standard input."),
    common_options.group("Message",
        click.option("-n", "--no-stdin", is_flag=True, help="Do not read standard input."),
        click.option("--skip-empty", is_flag=True, help=(
            "Send nothing and exit 0 if the message is empty.")),
        click.option("--once", "key", metavar="NAME", help=(
            "Send only once under this name: if it was answered before, print that answer again.")),
        click.option("--on-unknown", type=click.Choice(["fail", "resend"]), default="fail",
            show_default=True, help=(
            "What to do when it is unknown whether a message was answered (with --once), or "
            "whether a tool did its work (with --continue).")),
    ),
    common_options.group("Instead of MESSAGE",
        click.option("--response", "responses", metavar="NAME=JSON", multiple=True, help=(
            "Answer the function call with this name or id; NAME=@FILE reads a file, NAME=- "
            "standard input.")),
        click.option("--continue", "continues", is_flag=True, help=(
            "Go on with the last answer, where it was cut off; with --run-tools also with the "
            "functions that it calls.")),
    ),
    common_options.group("Session",
        common_options.session(),
        click.option("--create", is_flag=True, help=(
            "Create the session if it is missing, with the settings given here.")),
        click.option("--max-turns", metavar="N", type=common_options.WholeNumber(min=0), help=(
            "Send nothing if the history already has N turns.")),
        common_options.wait(300),
    ),
    common_options.group("Output",
        common_options.forms("Print only the text of the answer, as on a terminal."),
        click.option("--stream", is_flag=True, help=(
            "Print the answer while it arrives: JSONL events, or text with --text.")),
        click.option("--full", is_flag=True, help="Print all Parts of the answer too."),
        click.option("--allow", metavar="STATUS,…", default="", help=(
            "Exit 0 also if the answer is blocked, incomplete or a function_call.")),
        click.option("--dry-run", is_flag=True, help=(
            "Print the request that would be sent, and send nothing. Needs no key.")),
    ),
    common_options.group("Model and generation",
        click.option("--model", metavar="MODEL", help=(
            "Model for this message; with --create, of the session if it is new.")),
        common_options.generation,
    ),
    common_options.group("Tools",
        common_options.tools,
        click.option("--run-tools", is_flag=True, help=(
            "Run the commands and functions of --tools that an answer calls, send what they "
            "return, and print the last answer.")),
        common_options.number("--max-tool-rounds", common_options.WholeNumber(min=1), 10,
            "With --run-tools: act on the calls of at most so many answers in a row."),
    ),
    common_options.group("Limits and retries",
        common_options.limits(deadline=600),
        common_options.number("--max-hops", common_options.WholeNumber(min=1), DEFAULT_HOPS,
            "Make at most so many requests for one long answer."),
    ),
    common_options.everywhere(),
)
# fmt: on


@click.command("send", cls=common_options.Command)
@common_options.all_of(OPTIONS)
@click.pass_obj
def command(
    app: App,
    /,
    message: str | None,
    responses: tuple[str, ...],
    continues: bool,
    session: str,
    as_text: bool,
    as_json: bool,
    stream: bool,
    full: bool,
    no_stdin: bool,
    create: bool,
    model: str | None,
    retries: int,
    timeout: float,
    deadline: float,
    wait: float,
    key: str | None,
    on_unknown: str,
    max_turns: int | None,
    max_hops: int,
    allow: str,
    skip_empty: bool,
    dry_run: bool,
    tools_files: tuple[str, ...],
    run_tools: bool,
    max_tool_rounds: int,
    **settings: Any,
) -> None:
    """Send one message and print the answer: as one JSON document, or on a terminal as text.

    On a terminal the text is printed as it arrives. --json and --text decide it, wherever the
    output goes; --stream prints it as it arrives elsewhere too.

    Without MESSAGE, standard input is the message. With MESSAGE and a pipe or a redirected file,
    standard input follows MESSAGE after a blank line. Request and answer are on disk before
    anything is printed; with --stream, before the final event is printed.

    An answer that is blocked, cut off or a function call is printed too, and has an exit status of
    its own. Function calls are answered with --response instead of MESSAGE, one for each call; or
    --run-tools runs the functions of --tools, and sends what they return.

    A long answer takes several requests. Each part is on disk before the next is asked for; if the
    answer ends early, --continue goes on with it.

    For a loop that may run again, --once gives the message a name: a message that was answered is
    not sent again; one that may have been answered ends with status 13, unless --on-unknown is
    resend.

    \b
    Examples:
      gemcli send -s bug42 "What does this function do?" < main.c
      git diff | gemcli send -s bug42 --text "What could break?"
      gemcli send -s bug42 "In one word?" --temperature 0 | jq -r .text
      gemcli send -s bug42 --stream --text "Now at length"
      gemcli send -s daily --create --once "$(date +%F)" "A word for today?"
      gemcli send -s bug42 --response read_file='"int main(void);"'
      gemcli send -s bug42 --continue
    """
    require_meaning(APART, NEEDS | (TO_CONTINUE if continues else {}))
    if key is not None:
        _check_once(key, app.environ)
    allowed = _allowed(allow)
    has_message = not (responses or continues)
    piped = message == "-" or (message is None and not no_stdin and has_message)
    reader = inputs.only_one(
        {
            "MESSAGE": piped,
            **common_options.stdin_readers(settings),
            **read_tools.readers(tools_files),
            **given_responses.readers(responses),
        }
    )
    no_stdin = no_stdin or (reader is not None and not piped)
    limits = Limits(timeout, app.started + deadline)
    content = None
    if has_message:
        hint = "use -n to leave standard input alone"
        with inputs.within(limits.remaining, "standard input", hint):
            text = inputs.message(message, leave_stdin=no_stdin, notice=app.output.notice)
        if skip_empty and not text.strip():
            return
        content = user_text(_required(text, message, session))
    else:  # whatever the environment says, only a message has a name
        key = None
    if continues:  # and an answer goes on as it began
        model, settings = None, {"max_output_tokens": settings["max_output_tokens"]}
    printer = printer_for(
        app.output,
        lambda: deferred.stopping or limits.remaining < 0,
        as_text=as_text,
        as_json=as_json or full,
        stream=stream,
    )
    context = ToolContext.of_session(
        app.path(session), app.environ, app.output.notice, limits.until
    )
    with ExitStack() as python_files:
        with inputs.within(limits.remaining, "a file named by an option"):
            toolbox = python_files.enter_context(read_tools.opened(tools_files, context))
            config = common_options.config_from(settings, app.output.notice, toolbox.declarations)
            results = given_responses.read(responses, app.output.notice)
        tooling = NO_TOOLS
        if run_tools:
            tooling = Tooling(
                toolbox=toolbox,
                context=context,
                max_rounds=max_tool_rounds,
                command=_to_go_on(session, tools_files),
                resend=on_unknown == "resend",
                on_event=printer.on_tool,
            )
        options = SendOptions(
            session=session,
            content=content,
            responses=results,
            continues=continues,
            model=model,
            config=config,
            create=create,
            limits=limits,
            retries=retries,
            wait=wait,
            key=key,
            resend=on_unknown == "resend",
            max_turns=max_turns,
            max_hops=max_hops,
            stream=stream,
            full=full,
            tooling=tooling,
        )
        if dry_run:
            app.output.json(send_message.preview(app, options))
        else:
            print_reply.send_and_print(app, options, allowed, printer)


def _to_go_on(session: str, tools_files: Sequence[str]) -> str:
    """The command that goes on with a turn of the same tools."""
    tools = " ".join(f"--tools {shlex.quote(file)}" for file in tools_files)
    return f"gemcli send -s {shlex.quote(session)} --continue --run-tools {tools}"


def _required(text: str, message: str | None, session: str) -> str:
    """The text of a message. Raises `GemcliError` (EMPTY_MESSAGE) if there is none."""
    if text.strip():
        return text
    forgotten = message is None and inputs.is_device()
    hint = f'run gemcli send -s {shlex.quote(session)} "your message"' if forgotten else None
    what = "there is no message: give MESSAGE, or pipe one in"
    raise GemcliError("EMPTY_MESSAGE", what, hint=hint)


def _check_once(name: str, environ: Mapping[str, str]) -> None:
    """Raise `GemcliError` (BAD_TEXT, USAGE) unless `name` may be stored with a message."""
    if not 0 < len(inputs.argument(name, "--once")) <= LONGEST_KEY:
        raise click.UsageError(f"--once takes 1 to {LONGEST_KEY} characters")
    if holds_key(name, environ):
        what = "--once was given an API key, which would be stored in the session"
        hint = "use any other name, such as --once monday; set the key in GEMINI_API_KEY"
        raise GemcliError("USAGE", what, hint=hint)


def _allowed(text: str) -> tuple[str, ...]:
    """The statuses named by --allow. Raises `GemcliError` (USAGE) for any other word."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in ALLOWED:
            what = f"--allow takes {', '.join(ALLOWED)}; not {word!r}"
            hint = did_you_mean(word, ALLOWED) or "run gemcli send --help"
            raise GemcliError("USAGE", what, hint=hint)
    return tuple(words)
