"""What a session has cost so far."""

from __future__ import annotations

from collections.abc import Mapping

from gemcli.chat.answers import USAGE_COUNTERS, token_count
from gemcli.sessions.journal import Journal
from gemcli.sessions.record_types import Record


def totals_of(journal: Journal) -> dict[str, int]:
    """Live turns, and the requests and tokens that were paid for, answered or not."""
    counts = {"turns": len(journal.live), "requests": 0, **dict.fromkeys(USAGE_COUNTERS, 0)}
    for record in journal.records:
        if record.get("imported"):
            continue
        counts["requests"] += record["kind"] in ("request", "continue")
        usage = _usage_of(record)
        for counter in USAGE_COUNTERS:
            counts[counter] += token_count(usage, counter)
    return counts


def _usage_of(record: Record) -> Mapping[str, object] | None:
    """The tokens that a record tells of: those of an answer, or of the part that arrived."""
    if record["kind"] == "response":
        return record["answer"].get("usageMetadata")
    received = record.get("partial") if record["kind"] == "failure" else None
    return received.get("usageMetadata") if isinstance(received, dict) else None
