"""Turns, scripts and suites as values."""

from __future__ import annotations

from gemcli.chat.contents import Content, user_text
from gemcli.replay.script import Script, Suite, Turn


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


def test_where_a_session_came_from() -> None:
    """A suite names itself by file and digest in the sessions that it makes."""
    suite = Suite("dir/s.yaml", "s", "sha256:0", (Script("s", (Turn("t1", user_text("a")),)),))
    assert suite.origin() == {"kind": "replay", "file": "dir/s.yaml", "script": "sha256:0"}
