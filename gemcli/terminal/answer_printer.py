"""How `send` prints an answer: whole or while it arrives, as JSON or as text, on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gemcli.chat.answers import Answer, content_of
from gemcli.chat.contents import Content, function_calls, other_parts, text_of
from gemcli.errors import GemcliError
from gemcli.terminal import conversation, documents
from gemcli.terminal.documents import Document
from gemcli.terminal.escapes import as_json
from gemcli.terminal.output import Output
from gemcli.terminal.screen import cut
from gemcli.terminal.stream import Stream

Event = Mapping[str, object]


class Ending(NamedTuple):
    """What an answer came to: its document, its Content, and the error that ends the command."""

    document: Document
    content: Content
    error: GemcliError | None


class Printer:
    """Prints an answer: while it arrives, or when it is complete."""

    on_wait: Callable[[Event], None] | None = None
    """Told of waits between attempts, if it prints them."""

    def on_chunk(self, chunk: Answer) -> None:
        """Print a piece of the answer."""

    def on_resume(self, event: Event) -> None:
        """Tell that some of what was printed is repeated, if it was."""

    def on_tool(self, event: Event, /) -> None:
        """Tell that a tool starts to run, or has ended."""

    def finish(self, ending: Ending) -> None:
        """Print what is left to print. Raises `BrokenPipeError`, `GemcliError` (NOT_PRINTED)."""

    def fail(self, ending: Ending) -> None:
        """End the output without an answer; the document has only the session. Raises as well."""
        self.finish(ending)


def printer_for(
    output: Output, stop: Callable[[], bool], *, as_text: bool, as_json: bool, stream: bool
) -> Printer:
    """The printer that the options and the terminal ask for; `stop` ends waiting for a reader."""
    to_read = output.is_read(as_text=as_text, as_json=as_json)
    if to_read and output.on_terminal:
        return TerminalPrinter(output, output.stream(stop))
    if not stream:
        return WholePrinter(output, as_text=to_read)
    if to_read:
        return TextPrinter(output, output.stream(stop))
    return EventPrinter(output.stream(stop))


class WholePrinter(Printer):
    """Prints the answer when it is complete."""

    def __init__(self, output: Output, *, as_text: bool) -> None:
        self._output = output
        self._as_text = as_text

    def finish(self, ending: Ending) -> None:
        """Print the document, or its text."""
        if self._as_text:
            self._output.text(text_of(ending.content))
            note_what_is_no_text(self._output, ending)
        else:
            self._output.json(ending.document)

    def fail(self, ending: Ending) -> None:
        """Print nothing."""


class EventPrinter(Printer):
    """Prints an event for each piece of the answer, and a final one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.on_wait = stream.json

    def on_chunk(self, chunk: Answer) -> None:
        """Print what a chunk of the answer brings."""
        for event in documents.chunk_events(chunk):
            self._stream.json(event)

    def on_resume(self, event: Event) -> None:
        """Print the event."""
        self._stream.json(event)

    def on_tool(self, event: Event, /) -> None:
        """Print the event."""
        self._stream.json(event)

    def finish(self, ending: Ending) -> None:
        """Print the final event, and wait for the reader."""
        error = ending.error
        final = {
            "event": "final",
            **ending.document,
            "exit": error.exit if error else 0,
            "error": error.to_json() if error else None,
        }
        self._stream.json(final)
        self._stream.flush()


class TextPrinter(Printer):
    """Prints the text of the answer while it arrives."""

    def __init__(self, output: Output, stream: Stream) -> None:
        self._output = output
        self._stream = stream
        self._line_is_begun = False

    def on_chunk(self, chunk: Answer) -> None:
        """Print the text that a chunk brings."""
        self._print(text_of(content_of(chunk)))

    def on_resume(self, event: Event) -> None:
        """Begin a line, and say what is repeated."""
        self._end_line()
        kept = f"its first {event['text_length']} characters"
        self._output.notice(f"the answer broke off; {kept} are kept, and the rest comes again")

    def on_tool(self, _event: Event, /) -> None:
        """Begin a line for the answer after it."""
        self._end_line()

    def finish(self, ending: Ending) -> None:
        """Print the newline that the text of an answer lacks, and wait for the reader."""
        if "turn" in ending.document:
            self._end_line()
        self._stream.flush()
        note_what_is_no_text(self._output, ending)

    def _print(self, text: str) -> None:
        if text:
            self._line_is_begun = not text.endswith("\n")
            self._stream.text(text)

    def _end_line(self) -> None:
        if self._line_is_begun:
            self._print("\n")


class TerminalPrinter(TextPrinter):
    """Prints the answer while it arrives, for a person: also what is no text, and what it took."""

    def __init__(self, output: Output, stream: Stream) -> None:
        super().__init__(output, stream)
        self.on_wait = self._note_wait

    def _note_wait(self, event: Event) -> None:
        """Say it on a line of its own: an earlier hop may have ended within one."""
        self._end_line()
        self._output.notice(f"sending again in {event['seconds']:.1f} s: {event['message']}")

    def on_chunk(self, chunk: Answer) -> None:
        """Print what a chunk brings; what is no text has a line of its own."""
        for kind, text in conversation.said_in(content_of(chunk), "model"):
            if kind == "model":
                self._print(text)
            elif kind == "call":
                self._print_apart(f"{conversation.ARROWS[kind]}{text}")
            else:
                self._print_apart(*conversation.part_lines(text, self._output.columns))

    def on_tool(self, event: Event, /) -> None:
        """Print what a tool returned, on one line."""
        if "response" in event:
            returned = f"{event['name']}: {as_json(event['response'])}"
            self._print_apart(
                cut(f"{conversation.ARROWS['response']}{returned}", self._output.columns)
            )

    def _print_apart(self, *lines: str) -> None:
        self._end_line()
        self._print("".join(f"{line}\n" for line in lines))

    def finish(self, ending: Ending) -> None:
        """Print a line with the turn, the model, tokens and seconds, if there is an answer."""
        self._end_line()
        self._stream.flush()
        if "turn" in ending.document:
            self._output.aside(summary(ending.document))


def summary(document: Document) -> str:
    """What it took to get an answer, in a line."""
    usage = document["usage_metadata"]
    tokens = usage.get("total_token_count") if isinstance(usage, dict) else None
    elapsed_ms = document["elapsed_ms"]
    facts = [f"turn {document['turn']}", str(document["model_version"] or document["model"])]
    if isinstance(tokens, int):
        facts.append(f"{tokens:,} tokens")
    if not document["sent"]:
        facts.append("answered before")
    elif isinstance(elapsed_ms, int):
        facts.append(f"{elapsed_ms / 1000:.1f} s")
    return " · ".join(facts)


def note_what_is_no_text(output: Output, ending: Ending) -> None:
    """Say what an answer has that its text does not show: images, code, and calls that are allowed.

    Of other calls the error says it.
    """
    labels = [conversation.part_label(part) for part in other_parts(ending.content)]
    if ending.error is None:
        labels += [f"the call of {call.get('name')}" for call in function_calls(ending.content)]
    if labels:
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        session = shlex.quote(str(ending.document["session"]))
        command = f"gemcli history -s {session} --last --full"
        output.notice(f"not shown as text: {labels[0]}{more}; {command} shows it")
