"""The program as a whole: how runs begin and end."""

from __future__ import annotations

from tests.support import Gemcli, Model, answer, texts


def test_a_conversation_lives_in_a_file(gemcli: Gemcli, model: Model) -> None:
    """Two sends in two processes are one conversation to the model."""
    model.script(answer("Hello Alice"))
    assert gemcli("new", "-s", "a", env=model.env).status == 0
    first = gemcli("send", "-s", "a", "I am Alice", env=model.env)
    assert (first.status, first.json["text"]) == (0, "Hello Alice")
    second = gemcli("send", "-s", "a", "Who am I?", env=model.env)
    assert second.json["turn"] == 2
    assert texts(model.requests[1]["contents"]) == ["I am Alice", "Hello Alice", "Who am I?"]
