"""The kinds of values in scripts: texts, names, times and bounds."""

from __future__ import annotations

import re
from typing import TypeVar

from gemcli.api.models import check_model
from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS
from gemcli.errors import GemcliError
from gemcli.replay import checks, template
from gemcli.replay.checks import Bound
from gemcli.sessions.names import is_session_name
from gemcli.text import tree
from gemcli.text.problems import Problems
from gemcli.text.schema import (
    FILLED_TEXT,
    TEXT,
    Kind,
    choice,
    compiled,
    list_of,
    matched_text,
    matching,
    scalar,
    to_text,
    unquoted,
)
from gemcli.text.tree import Node, Text

T = TypeVar("T")


def _pattern(node: Text) -> str:
    pattern = to_text(node)
    if not template.names(pattern):
        compiled(pattern)
    return pattern


def _model(node: Text) -> str:
    try:
        return check_model(to_text(node))
    except GemcliError as error:
        raise ValueError(error.hint) from None


def _word(node: Text) -> Text:
    """A name, which JSON may write as a number."""
    return to_text(node) if node in ("null", "true", "false") else node


def _name(node: Text) -> str:
    if not is_session_name(_word(node)):
        raise ValueError
    return str(node)


def _id(node: Text) -> Text:
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", _word(node)):
        raise ValueError
    return node


def _flag(node: Text) -> bool:
    if node not in ("true", "false"):
        raise ValueError
    return unquoted(node) == "true"


def _seconds(node: Text) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", node) or float(node) > LONGEST_WAIT:
        raise ValueError
    return float(unquoted(node))


def _bound(node: Text) -> Bound:
    if not node and not node.plain:
        raise ValueError("in YAML, what begins with > is in quotes")
    return checks.bound(node)


def with_note_of_comments(kind: Kind[T]) -> Kind[T]:
    """Text that is told when a comment of YAML follows it: `Fix issue #12` ends before `#12`."""

    def read(problems: Problems, label: str, node: Node) -> T | None:
        if isinstance(node, Text) and node.comment:
            lost = tree.shortened(node.comment)
            message = f"{label} ends before `{lost}`, which is a comment in YAML"
            hint = "put the text in quotes if that belongs to it"
            problems.note("comment", message, node, hint)
        return kind(problems, label, node)

    return read


def one_or_more(item: Kind[T]) -> Kind[tuple[T, ...]]:
    """One thing, or a list of them."""
    items = list_of(item, least=1)

    def read(problems: Problems, label: str, node: Node) -> tuple[T, ...] | None:
        if isinstance(node, tree.Sequence):
            return tuple(items(problems, label, node) or ())
        value = item(problems, label, node)
        return None if value is None else (value,)

    return read


LONGEST_WAIT = 86400

WORDS = with_note_of_comments(TEXT)
FLAG = scalar("true or false", _flag)
SECONDS = scalar(f"a time in seconds, at most {LONGEST_WAIT}", _seconds)
BOUND = scalar("a bound like <=6, >0 or 3..9", _bound)
PATTERN = with_note_of_comments(scalar("a regular expression", _pattern))
ID = scalar("an id of letters, digits, '_' and '-'", _id)
NAME = scalar("a name of letters, digits, '.', '_' and '-'", _name)
VARIABLE = matching("a name of letters, digits and '_'", template.NAME, matched_text)
REASONS = dict.fromkeys((*FINISH_REASONS, *BLOCK_REASONS))
MODEL = scalar("a model's name", _model)
SYSTEM = with_note_of_comments(FILLED_TEXT)
FINISH = choice("a finish or block reason of the API", REASONS)
