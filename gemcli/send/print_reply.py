"""How a message ends for the user: its answer or its failure, printed, and the exit status.

The document is made here. Whether it is printed whole, or as text, or while the answer arrives, is
up to the printer.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gemcli.app import App
from gemcli.chat.contents import other_parts, parts_of
from gemcli.errors import GemcliError
from gemcli.exchange import Result
from gemcli.send import send_message
from gemcli.send.choose_request import SendOptions
from gemcli.send.send_message import Reply
from gemcli.sessions import records
from gemcli.terminal import documents
from gemcli.terminal.answer_printer import Ending, Printer
from gemcli.terminal.documents import Document
from gemcli.tools.call_tools import Run


def send_and_print(
    app: App, options: SendOptions, allowed: Sequence[str], printer: Printer
) -> None:
    """Send the message, and print what comes of it."""
    answered = False
    try:
        with send_message.send(app, options, printer) as reply:
            answered = True
            ending = exit_error(options.session, reply.result, allowed)
            with print_result(options.session, reply.result):
                content = reply.result.verdict.content
                printer.finish(Ending(answer_document(options, reply), content, ending))
            if ending:
                raise ending
    except GemcliError as error:
        if not answered:
            # That the output may be closed matters less than the failure.
            with suppress(GemcliError, BrokenPipeError):
                nothing: Document = {"session": options.session, "time": records.now()}
                printer.fail(Ending(nothing, {}, error.of_session(options.session)))
        raise


def answer_document(options: SendOptions, reply: Reply) -> Document:
    """What `send` prints."""
    result = reply.result
    error = result.verdict.error
    content = result.verdict.content
    document = {
        "session": options.session,
        "turn": result.turn,
        "id": result.id,
        "key": options.key,
        "time": result.time,
        "model": result.model,
        "sent": reply.sent,
        **documents.answer_fields(result.answer, content),
        "status": error.status if error else "ok",
        "reason": error.reason if error else None,
        "hops": result.hops,
        "context_token_count": result.context_token_count,
        "resumable": result.resumable,
        "attempts": len(result.attempts),
        "elapsed_ms": result.elapsed_ms,
        "waited_ms": result.waited_ms,
        "saved": result.unsaved is None,
        "tools": [_run_document(run) for run in reply.runs],
        "totals": documents.session_totals(reply.journal),
        "notes": list(result.notes),
    }
    # A stream has printed each Part as an event; elsewhere an image must not get lost.
    if options.full or (other_parts(content) and not options.stream):
        document["parts"] = parts_of(content)
    return document


def _run_document(run: Run) -> Document:
    """A tool that was run for a call, by this command or, if it is reused, by an earlier one."""
    return {
        "id": run.call.get("id"),
        "name": run.call["name"],
        "args": run.call.get("args") or {},
        "response": run.result.response,
        "elapsed_ms": run.elapsed_ms,
        "reused": run.reused,
    }


def exit_error(session: str, result: Result, allowed: Sequence[str]) -> GemcliError | None:
    """The error that ends the command after the answer is printed, if any."""
    error = result.verdict.error
    if error and error.status in allowed:
        error = None
    error = result.unsaved or error
    return error.of_session(session) if error else None


@contextmanager
def print_result(session: str, result: Result) -> Iterator[None]:
    """Print an answer in the block. If that fails, the error says whether and where it is saved."""
    try:
        yield
    except (GemcliError, BrokenPipeError) as error:
        if result.unsaved:
            raise result.unsaved from error
        if isinstance(error, BrokenPipeError):
            raise
        command = f"gemcli history -s {shlex.quote(session)} --last"
        raise error.replace(hint=f"the answer is in the session: {command}") from error
