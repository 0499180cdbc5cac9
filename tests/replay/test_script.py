"""Turns, scripts and suites as values."""

from __future__ import annotations

from gemcli.chat.contents import Content
from gemcli.replay.script import Turn


def test_a_turn_is_filled_in_when_it_is_sent() -> None:
    """Texts take the place of templates in every part; the turn itself stays as it was."""
    content: Content = {"role": "user", "parts": [{"text": "{{a}}"}, {"text": "b {{a|json}}"}]}
    turn = Turn("t1", content)
    assert turn.rendered({"a": '"{{a}}"'}) == {
        "role": "user",
        "parts": [{"text": '"{{a}}"'}, {"text": 'b "\\"{{a}}\\""'}],
    }
    assert content["parts"][0] == {"text": "{{a}}"}


def test_a_raw_turn_is_sent_as_it_is() -> None:
    """Of a raw turn nothing is filled in, and it may have parts that are no text."""
    content: Content = {"role": "user", "parts": [{"text": "{{a}}"}, {"fileData": {"fileUri": "f"}}]}
    assert Turn("t1", content, raw=True).rendered({"a": "1"}) is content
