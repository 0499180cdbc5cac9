"""Rules files read: the grammar, which gemcli-simulator(1) explains, as tables at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from gemcli.chat.answers import BLOCK_REASONS
from gemcli.simulator import api_errors
from gemcli.simulator.api_errors import STATUSES, ApiError
from gemcli.simulator.read_answers import ANSWER, MODEL
from gemcli.simulator.replies import NOTHING, Amount, CutPoint, Reply
from gemcli.simulator.rules import AfterCall, Rule, Rules, When
from gemcli.text import schema, tree, yaml_tree
from gemcli.text.problems import Problems
from gemcli.text.schema import (
    COUNT,
    REGEX,
    TEXT,
    Schema,
    Values,
    choice,
    list_of,
    map_of,
    matched_text,
    matching,
    scalar,
)
from gemcli.text.tree import Node, Text

RULES = {"unreachable": "no rule follows one that takes every message"}
"""The rule that only rules files have, by its stable name."""


def _error(
    *,
    status: str,
    message: str | None = None,
    retry_delay: str | None = None,
    quota_id: str | None = None,
    reason: str | None = None,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ApiError:
    """The error of these keys, in the API's own words where it has no message."""
    usual = api_errors.QUOTA_MESSAGE if quota_id is not None else STATUSES[status].message
    words = usual if message is None else message
    details = [
        None if reason is None else api_errors.error_info(reason),
        None if quota_id is None else api_errors.quota_failure(quota_id),
        None if field is None else api_errors.bad_request([(field, words)]),
        None if retry_delay is None else api_errors.retry_info(retry_delay),
    ]
    return ApiError(status, words, [detail for detail in details if detail is not None], headers)


def _raw(*, status: int = 200, headers: Mapping[str, str] | None = None, body: str = "") -> Reply:
    return Reply(status, headers or {}, (body.encode(),))


def _cut(problems: Problems, label: str, node: Node) -> CutPoint | None:
    cut = CUT(problems, label, node)
    counts_bytes = cut is not None and cut.after != NOTHING and cut.after.unit == "bytes"
    if cut is not None and cut.error is not None and counts_bytes:
        message = f"{label} must count chunks before an error, like 2 chunks, not bytes"
        problems.add("value", message, node)
    return cut


def _rule(problems: Problems, _label: str, node: Node) -> Rule | None:
    values = RULE(problems, "a rule", node)
    return None if values is None else Rule(line=node.line, **values)


def _rules(problems: Problems, label: str, node: Node) -> tuple[Rule, ...]:
    """The rules of a list, none of them after one that takes everything."""
    rules = list_of(_rule, least=1)(problems, label, node)
    if rules is None or not isinstance(node, tree.Sequence):
        return ()
    found = [(rule, where) for rule, where in zip(rules, node, strict=False) if rule is not None]
    begun = [(rule, where) for rule, where in found if rule.when.hop == 1]
    for (rule, _), (_, following) in pairwise(begun):
        if rule.when == When() and rule.times is None:
            message = f"never reached: the rule in line {rule.line} takes every message"
            problems.add("unreachable", message, following)
            break
    return tuple(rule for rule, _ in found)


def _amount(match: re.Match[str]) -> Amount:
    return Amount(int(match[1]), "chunks" if match[2] and match[2].startswith("chunk") else "bytes")


def _seconds(match: re.Match[str]) -> float:
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _header(node: Text) -> str:
    if node.lower() == "transfer-encoding":
        raise ValueError("the server sets it")
    if not re.fullmatch("[!#$%&'*+.^_`|~0-9A-Za-z-]+", node):
        raise ValueError
    return str(node)


# Of the statuses that share an HTTP code the first one is what the API mostly means by it.
_BY_CODE = {str(status.code): name for name, status in reversed(STATUSES.items())}
_DURATION = r"([0-9]{1,6}(?:\.[0-9]{1,9})?)(ms|s)?"
_AMOUNT = "([0-9]{1,9})(?: ?(bytes?|chunks?))?"


TIME = matching("a time like 0.5, 2s or 500ms", _DURATION, _seconds)
DELAY = matching("a time like 2.5s", _DURATION, lambda match: match[1] + (match[2] or "s"))
AMOUNT = matching("an amount like 30 bytes or 2 chunks", _AMOUNT, _amount)
STATUS = matching("an HTTP status from 200 to 599", "[2-5][0-9]{2}", lambda match: int(match[0]))
HEADER = scalar("a header's name", _header)
HEADER_VALUE = matching("printable ASCII", "[!-~]([ -~]*[!-~])?", matched_text)
HEADERS = map_of(HEADER, HEADER_VALUE)

AFTER_CALL = Schema(
    AfterCall, {"name": TEXT, "result": schema.any_object}, required=("name",), short="name"
)
WHEN = Schema(
    When,
    {
        "contains": TEXT,
        "matches": REGEX,
        "turn": COUNT,
        "after_call": AFTER_CALL,
        "model": MODEL,
        "hop": COUNT,
    },
)
ERROR = Schema(
    _error,
    {
        "status": choice("a google.rpc status", STATUSES, also=_BY_CODE),
        "message": TEXT,
        "retry_delay": DELAY,
        "quota_id": TEXT,
        "reason": TEXT,
        "field": TEXT,
        "headers": HEADERS,
    },
    required=("status",),
    short="status",
)
RAW = Schema(_raw, {"status": STATUS, "headers": HEADERS, "body": TEXT}, short="body")
CUT = Schema(
    CutPoint,
    {
        "after": AMOUNT,
        "how": choice("reset, close or clean", ("reset", "close", "clean")),
        "error": ERROR,
    },
    exclusive=[("how", "error")],
    short="how",
)
RULE: Schema[Values] = Schema(
    dict,
    {
        "when": WHEN,
        "times": COUNT,
        "answer": ANSWER,
        "block": choice("a block reason of the API", BLOCK_REASONS),
        "error": ERROR,
        "raw": RAW,
        "delay": TIME,
        "drip": TIME,
        "cut": _cut,
    },
    exclusive=schema.any_two("answer", "block", "error", "raw"),
)


FILE = Schema(
    lambda rules: rules,
    {"rules": _rules},
    required=("rules",),
    hint="it begins with a line `rules:`",
)
"""The whole file: a tuple of its rules."""


def load(text: str, name: str) -> Rules:
    """Read a rules file called `name`. Raises `GemcliError` SETTINGS with every problem at once."""
    problems = Problems(name)
    node = yaml_tree.load(text, problems)
    rules = None if node is None else FILE(problems, "a rules file", node)
    problems.require_none(name)
    return Rules(name, rules or ())
