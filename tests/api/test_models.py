"""Names of models, which become part of a URL."""

from __future__ import annotations

import pytest

from gemcli.api.models import DEFAULT_MODEL, check_model, with_suggestion
from gemcli.errors import GemcliError
from tests.builders import error_from

MODELS = ["gemini-2.5-pro", "models/gemini-2.5-pro", "tunedModels/my-model_1", "simulator/echo"]


@pytest.mark.parametrize("model", [DEFAULT_MODEL, *MODELS, "publishers/google/models/g@001", "x" * 256])
def test_models(model: str) -> None:
    """A model's name stands in a URL as it is."""
    assert check_model(model) == model


BAD_MODELS = (
    *("", " ", "a b", "a?b", "a#b", "a:b", "a%2e", "é", "a\\b", "a\n", "a\r", "@a", "x" * 257),
    *("..", "a/..", "../a", "a/../b", "./a", "/a", "a/", "a//b"),
)


@pytest.mark.parametrize("model", BAD_MODELS)
def test_refused_models(model: str) -> None:
    """A name that would change the URL is refused before anything is sent."""
    caught = error_from(check_model, model)
    assert (caught.reason, caught.exit) == ("MODEL_NAME", 2)
    assert repr(model[:80]) in caught.message


def test_default_model_is_an_alias() -> None:
    """The model of a session that names none has no number or date in it, for those are retired."""
    assert not any(character.isdigit() for character in DEFAULT_MODEL)


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("gemini-flsh-latest", "gemini-flash-latest"),
        ("gemini-2.5-pro", "gemini-pro-latest"),
        ("simulator/ecko", "simulator/echo"),
        ("my-modell", "my-model"),
        (DEFAULT_MODEL, None),
        ("llama", None),
    ],
)
def test_suggestions(model: str, meant: str | None) -> None:
    """What was meant by a name that does not exist stands before any other hint."""
    error = GemcliError("MODEL_NOT_FOUND", "no", hint="check it")
    hint = with_suggestion(error, model, ["my-model"]).hint
    assert hint == (f"did you mean `{meant}`? Or check it" if meant else "check it")
