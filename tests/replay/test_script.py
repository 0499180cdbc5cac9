"""Turns, scripts and suites as values."""

from __future__ import annotations

from gemcli.chat.contents import Content
from gemcli.replay.script import Turn


def test_a_turn_is_filled_in_when_it_is_sent() -> None:
    """Texts take the place of templates in every part; the turn stays as it was, and a raw one is sent as it is."""
    content: Content = {"role": "user", "parts": [{"text": "{{a}}"}, {"text": "b {{a|json}}"}]}
    filled = Turn("t1", content).rendered({"a": '"{{a}}"'})
    assert filled == {"role": "user", "parts": [{"text": '"{{a}}"'}, {"text": 'b "\\"{{a}}\\""'}]}
    assert content["parts"][0] == {"text": "{{a}}"}
    content = {"role": "user", "parts": [{"text": "{{a}}"}, {"fileData": {"fileUri": "f"}}]}
    assert Turn("t1", content, raw=True).rendered({"a": "1"}) is content
