"""Names of models, which become part of a URL."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gemcli.api.backends import RULES_PREFIX
from gemcli.errors import GemcliError, did_you_mean

DEFAULT_MODEL = "gemini-flash-latest"
"""The model of a session that names none: an alias, because dated names are retired."""

KNOWN = (
    DEFAULT_MODEL,
    "gemini-flash-lite-latest",
    "gemini-pro-latest",
    "simulator/echo",
)
"""Names to suggest for one that does not exist. Others are not known here, and change."""

_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._@-]*"
_MODEL = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*\Z")


def check_model(model: str) -> str:
    """`model` if a URL can hold it or it names a rules file. Raises `GemcliError` (MODEL_NAME)."""
    names_rules = model.startswith(RULES_PREFIX) and model != RULES_PREFIX
    if not names_rules and (not _MODEL.match(model) or len(model) > 256):
        raise GemcliError("MODEL_NAME", f"{model[:80]!r} is not a model name")
    return model


def with_suggestion(error: GemcliError, model: str, seen: Iterable[str]) -> GemcliError:
    """The error of a model that does not exist, with the name that was meant by `model`.

    `seen` are names that worked before.
    """
    known = {*KNOWN, *seen}
    near = None if model in known else did_you_mean(model, known)
    return error.replace(hint=f"{near} Or {error.hint}") if near else error
