"""The events of a run for a person who watches: a line or two each."""

from __future__ import annotations

from collections.abc import Iterator

from gemcli.chat.answered_calls import shown
from gemcli.chat.contents import FunctionCall
from gemcli.errors import counted
from gemcli.replay.events import STATUSES, Event
from gemcli.terminal.screen import cut


def in_words(event: Event, columns: int) -> Iterator[str]:
    """The lines for an event, none if there is nothing to tell; answers are cut to `columns`."""
    match event["event"]:
        case "turn":
            yield turn_line(event)
            if event["sent"] and event["text"]:
                yield cut(f"  {' '.join(event['text'].split())}", columns)
        case "tool":
            call = FunctionCall(name=event["name"], args=event["args"])
            yield cut(f"{event['run']}/{event['id']}: {shown(call)}", columns)
        case "wait":
            yield f"sending again in {event['seconds']:.1f} s: {event['message']}"
        case "error":
            yield f"{event['run']}: {event['error']['message']}"
        case "summary":
            yield summary_line(event)


def turn_line(event: Event) -> str:
    """A turn in one line: what it came to, how long the answer took, or why there is none."""
    line = f"{event['run']}/{event['id']}: {event['status'].replace('_', ' ')}"
    if event["sent"] and event["elapsed_ms"] is not None:
        line += f", {event['elapsed_ms'] / 1000:.1f} s"
    if event["error"]:
        line += f" ({event['error']['message']})"
    return line


def summary_line(event: Event) -> str:
    """A run in one line: its turns by status, and what was sent: its tokens and its time."""
    turns = event["turns"]
    counts = [f"{turns[name]} {name.replace('_', ' ')}" for name in STATUSES if turns[name]]
    line = f"{counted(turns['total'], 'turn')}: {', '.join(counts)}"
    if not turns["sent"]:
        return line
    tokens = counted(event["usage_metadata"]["total_token_count"], "token")
    seconds = event["elapsed_ms"] / 1000
    return f"{line}; {tokens}, {seconds:.1f} s"
