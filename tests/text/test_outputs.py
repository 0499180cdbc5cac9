"""What gemcli prints is known when it is read again."""

from __future__ import annotations

import pytest

from gemcli.text.outputs import hint

OTHERS = ("", "- a", "# Conversation", '{"turn": 1}', "[1", '{"user": "a"}', '["turn", "state", "user"]')


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts_are_not_known(text: str) -> None:
    """A script or a history is not taken for an output."""
    assert hint(text) is None


def test_outputs_are_known() -> None:
    """Each is told by its first line."""
    assert "Markdown is for reading" in (hint("# Conversation with m\n\n## User\n") or "")
    assert "output of gemcli history" in (hint('{"turn": 1, "state": "answered", "user": "a"}\n{') or "")
