"""Histories that a session begins with, as records marked `imported`: they were not sent by it."""

from __future__ import annotations

from collections.abc import Sequence

from gemcli.chat.answers import Answer
from gemcli.chat.contents import Content, group_turns
from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import Record


def from_session(journal: Journal) -> list[Record]:
    """The history of another session; numbers and times are kept."""
    made: list[Record] = []
    for exchange in journal.answered:
        made.append({**exchange.request, "imported": True})
        asked = {record["hop"]: record for record in exchange.continues}
        for number, hop in enumerate(exchange.hops, 1):
            if number > 1:
                made.append({**asked[number], "imported": True})
            made.append({**hop, "imported": True})
        # What has run for an open turn is not to run again in a copy of it.
        runs = journal.tool_runs(exchange.id).values()
        made += [{**run, "imported": True} for run in runs]
    return made


def from_contents(
    contents: Sequence[Content], *, model: str, backend: str, answered_by: str | None = None
) -> list[Record]:
    """A valid history from outside as request and response records, numbered from turn 1.

    `answered_by` is the model that gave the answers, and signed its thoughts, if that is known.
    """
    made: list[Record] = []
    for number, turn in enumerate(group_turns(contents), 1):
        exchanges = zip(turn[::2], turn[1::2], strict=True)
        for place, (question, content) in enumerate(exchanges, 1):
            exchange = f"{number}.{place}"
            name = answered_by or model
            asked = records.request(number, exchange, question, model=name, backend=backend)
            answer: Answer = {"candidates": [{"content": content}]}
            if answered_by:
                answer["modelVersion"] = answered_by
            answered = records.response(exchange, answer, valid=True, attempts=[], elapsed_ms=0)
            asked["imported"] = answered["imported"] = True
            made += [asked, answered]
    return made
