"""What may stand in a rules file.

The values that rules are made of, and the tables they are read with.

The grammar is explained in `gemcli.simulator.rules`; `forms` has the kinds that tables are made
from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gemcli.chat.contents import FunctionCall, Part
from gemcli.simulator import api_errors
from gemcli.simulator.api_errors import STATUSES, ApiError
from gemcli.simulator.replies import NOTHING, Amount, CutPoint, Reply
from gemcli.simulator.tokens import COUNTS
from gemcli.text import schema, yaml_tree
from gemcli.text.schema import (
    BASE64,
    COUNT,
    REGEX,
    TEXT,
    Form,
    Reading,
    choice,
    list_of,
    map_of,
    matching,
    scalar,
)

RULES = schema.RULES | {"unreachable": "no rule stands after one that takes every message"}
"""Every rule by its stable name, the name that problems carry.

YAML has its own in `yamltext.RULES`.
"""

FINISH_REASONS = (
    *(
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
    ),
    *(
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
    ),
    *(
        "MISSING_THOUGHT_SIGNATURE",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_OTHER",
        "NO_IMAGE",
    ),
    *("IMAGE_RECITATION", "ESCALATION", "PUP_LIMITED_DISABLED", "CONTINUATION", "MODEL_ARMOR"),
    "FINISH_REASON_UNSPECIFIED",
)
"""The API's finish reasons; a test holds them against those of the SDK."""

BLOCK_REASONS = (
    *(
        "SAFETY",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
        "JAILBREAK",
    ),
    "BLOCKED_REASON_UNSPECIFIED",
)
"""The API's block reasons; a test holds them against those of the SDK."""


@dataclass(frozen=True)
class When:
    """The conditions of a rule; None for those it does not have."""

    contains: str | None = None
    matches: re.Pattern[str] | None = None
    turn: int | None = None
    after_call: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a rule makes the model say: Parts in wire form, and how the answer ends."""

    parts: tuple[Part, ...]
    finish: str = "STOP"
    finish_message: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """One rule, which stands at `line` of its file.

    At most one of `answer`, `block`, `error` and `raw` is set.
    """

    line: int
    when: When = field(default_factory=When)
    times: int | None = None
    answer: Answer | None = None
    block: str | None = None
    error: ApiError | None = None
    raw: Reply | None = None
    delay: float = 0.0
    drip: float = 0.0
    cut: CutPoint | None = None


def _answer(
    *,
    text: str = "",
    thoughts: str = "",
    calls: Sequence[Part] = (),
    signature: str | None = None,
    parts: Sequence[Part] | None = None,
    **ending: Any,
) -> Answer:
    """The Answer of these keys; `finish`, `finish_message` and `usage` are taken as they are."""
    if parts is None:
        said: list[Part] = [{"text": thoughts, "thought": True}] if thoughts else []
        said += [{"text": text}] if text else []
        parts = [*said, *_signed(calls, signature)]
    return Answer(tuple(parts), **ending)


def _signed(calls: Sequence[Part], signature: str | None) -> list[Part]:
    """The calls with the signature where the API puts it.

    On the first, or by itself at the end of the answer.
    """
    if signature is None:
        return list(calls)
    first, *others = calls or [{"text": ""}]
    return [{**first, "thoughtSignature": signature}, *others]


def _call(*, name: str, args: Mapping[str, Any] | None = None, id: str | None = None) -> Part:  # noqa: A002
    call: FunctionCall = {"name": name, "args": dict(args or {})}
    if id is not None:
        call["id"] = id
    return {"functionCall": call}


def _part(reading: Reading, label: str, node: yaml_tree.Node) -> Part | None:
    """A Part as on the wire; its text is text, whatever it looks like."""
    part: Part | None = schema.data(reading, label, node)
    if part is None or not isinstance(node, yaml_tree.Mapping):
        return None
    if not part:
        reading.refuse("value", f"{label} must have a key", node)
    if "text" in part:
        part["text"] = TEXT(reading, "`text`", node[yaml_tree.Text("text")])
    return part


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


def _cut(reading: Reading, label: str, node: yaml_tree.Node) -> CutPoint | None:
    cut: CutPoint | None = CUT(reading, label, node)
    if (
        cut is not None
        and cut.error is not None
        and cut.after != NOTHING
        and cut.after.unit == "bytes"
    ):
        reading.refuse(
            "value", f"{label} must count chunks before an error, like 2 chunks, not bytes", node
        )
    return cut


def _rule(reading: Reading, _label: str, node: yaml_tree.Node) -> Rule | None:
    values = RULE(reading, "a rule", node)
    return None if values is None else Rule(line=node.line, **values)


def _rules(reading: Reading, label: str, node: yaml_tree.Node) -> tuple[Rule, ...]:
    """The rules of a list, none of them behind one that takes everything."""
    rules = list_of(_rule)(reading, label, node)
    if rules is None or not isinstance(node, yaml_tree.Sequence):
        return ()
    for (rule, _), (_, following) in pairwise(zip(rules, node, strict=True)):
        if rule is not None and rule.when == When() and rule.times is None:
            message = f"never reached: the rule in line {rule.line} takes every message"
            reading.refuse("unreachable", message, following)
            break
    return tuple(rules)


def _header(node: yaml_tree.Text) -> str:
    if node.lower() == "transfer-encoding":
        raise ValueError("the server decides that")
    return str(matching("[!#$%&'*+.^_`|~0-9A-Za-z-]+")(node))


def _amount(match: re.Match[str]) -> Amount:
    return Amount(int(match[1]), "chunks" if match[2] and match[2].startswith("chunk") else "bytes")


def _seconds(match: re.Match[str]) -> float:
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


# Of the statuses that share an HTTP code the first one is what the API mostly means by it.
_BY_CODE = {str(status.code): name for name, status in reversed(STATUSES.items())}
_DURATION = r"([0-9]{1,6}(?:\.[0-9]{1,9})?)(ms|s)?"
TIME = scalar("a time like 0.5, 2s or 500ms", matching(_DURATION, _seconds))
DELAY = scalar(
    "a time like 2.5s", matching(_DURATION, lambda match: match[0] if match[2] else f"{match[0]}s")
)
AMOUNT = scalar(
    "an amount like 30 bytes or 2 chunks", matching(r"([0-9]{1,9})(?: ?(bytes?|chunks?))?", _amount)
)
TOKENS = scalar("a whole number", matching("[0-9]{1,9}", lambda match: int(match[0])))
STATUS = scalar(
    "an HTTP status from 200 to 599", matching("[2-5][0-9]{2}", lambda match: int(match[0]))
)
MODEL = scalar(
    "a model's name", matching("(?:models/)?([A-Za-z0-9][A-Za-z0-9._/-]*)", lambda match: match[1])
)
HEADER = scalar("a header's name", _header)
HEADER_VALUE = scalar("printable ASCII", matching("[!-~]([ -~]*[!-~])?"))
HEADERS = map_of(HEADER, HEADER_VALUE)

WHEN = Form(
    When, {"contains": TEXT, "matches": REGEX, "turn": COUNT, "after_call": TEXT, "model": MODEL}
)
CALL = Form(_call, {"name": TEXT, "args": schema.data, "id": TEXT}, required=("name",))
ANSWER = Form(
    _answer,
    {
        "text": TEXT,
        "thoughts": TEXT,
        "calls": list_of(CALL),
        "signature": BASE64,
        "parts": list_of(_part),
        "finish": choice("a finish reason of the API", FINISH_REASONS),
        "finish_message": TEXT,
        "usage": Form(
            lambda **counts: {COUNTS[name]: count for name, count in counts.items()},
            dict.fromkeys(COUNTS, TOKENS),
        ),
    },
    exclusive=[("parts", other) for other in ("text", "thoughts", "calls", "signature")],
    short="text",
)
ERROR = Form(
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
RAW = Form(_raw, {"status": STATUS, "headers": HEADERS, "body": TEXT}, short="body")
CUT = Form(
    CutPoint,
    {
        "after": AMOUNT,
        "how": choice("reset, close or clean", ("reset", "close", "clean")),
        "error": ERROR,
    },
    exclusive=[("how", "error")],
    short="how",
)
RULE = Form(
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
FILE = Form(
    lambda rules: rules,
    {"rules": _rules},
    required=("rules",),
    hint="it begins with a line `rules:`",
)
"""The whole file: makes the tuple of its rules."""
