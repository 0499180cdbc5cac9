"""What a person reads of a run."""

from __future__ import annotations

from pathlib import Path

from gemcli.replay.in_words import in_words
from tests.builders import answer
from tests.replay.world import World


def words(events: list[dict[str, object]]) -> list[str]:
    """All lines, without what differs from run to run."""
    return [line for event in events for line in in_words(event, 40)]


def test_a_run(tmp_path: Path) -> None:
    """A line for each turn, its answer on one line, why it failed, and a summary."""
    turns = [
        {"user": "hi", "expect": {"contains": "one"}},
        {"user": "again", "expect": {"contains": "three"}},
    ]
    world = World(tmp_path)
    replies = [answer("one\n" + "long " * 20), answer("two")]
    played = world.suite({"turns": turns}, replies=replies)
    first, said, second, said_2, summary = words([*played.events, played.summary])
    assert (first, said) == ("c1/t1: ok, 0.0 s", "  one long long long long long long lon…")
    assert second.startswith('c1/t2: failed, 0.0 s (the answer should contain "three"')
    assert said_2 == "  two"
    assert summary.startswith("2 turns: 1 ok, 1 failed; ")
    again = world.suite({"turns": turns})
    assert words(again.events)[0] == "c1/t1: reused"
    assert words([again.summary]) == ["2 turns: 1 reused, 1 failed"]
