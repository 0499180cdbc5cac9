"""The grammar of answers in rules files: what the model says, in one hop or in more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from gemcli.chat.answers import FINISH_REASONS
from gemcli.chat.contents import FunctionCall, Part
from gemcli.simulator import long_answers
from gemcli.simulator.rules import Answer, Carrier
from gemcli.simulator.tokens import COUNTS
from gemcli.text import schema, tree
from gemcli.text.problems import Problems
from gemcli.text.schema import BASE64, COUNT, TEXT, Schema, choice, list_of, matching
from gemcli.text.tree import Node, Text


def _hop(
    *,
    text: str = "",
    thoughts: str = "",
    calls: Sequence[Part] = (),
    signature: str | None = None,
    parts: Sequence[Part] | None = None,
    token: Carrier | None = None,
    **ending: Any,
) -> Answer:
    if parts is None:
        parts = [{"text": thoughts, "thought": True}, {"text": text}, *_signed(calls, signature)]
        parts = [part for part in parts if part.get("text") != "" or "thoughtSignature" in part]
    return Answer(tuple(parts), carrier=token, **ending)


def _answer(
    *,
    hops: int = 1,
    next_hops: Sequence[Answer] = (),
    checkpoints: int | None = None,
    **said: Any,
) -> Answer:
    """The answer of these keys, cut into so many hops, or with the next ones given."""
    first, *others = long_answers.cut(_hop(**said), hops)
    return replace(first, next_hops=(*others, *next_hops), checkpoints=checkpoints)


def _signed(calls: Sequence[Part], signature: str | None) -> list[Part]:
    """The calls, with the signature on the first one, or on an empty last part."""
    if signature is None:
        return list(calls)
    first, *others = calls or [{"text": ""}]
    return [{**first, "thoughtSignature": signature}, *others]


def _call(*, name: str, args: Mapping[str, Any] | None = None, **more: Any) -> Part:
    return {"functionCall": cast(FunctionCall, {"name": name, "args": args or {}, **more})}


def _part(problems: Problems, label: str, node: Node) -> Part | None:
    """A Part in the API's form; its text is text, whatever it looks like."""
    part = cast(Part | None, schema.any_object(problems, label, node))
    if part is None or not isinstance(node, tree.Mapping):
        return None
    if not part:
        problems.add("value", f"{label} must have a key", node)
    if "text" in part:
        part["text"] = TEXT(problems, "`text`", node[Text("text")]) or ""
    return part


def _usage(**counts: int) -> dict[str, int]:
    return {COUNTS[name]: count for name, count in counts.items()}


TOKENS = matching("a whole number", "[0-9]{1,9}", lambda match: int(match[0]))
HOPS = matching("a number from 1 to 999", "[1-9][0-9]{0,2}", lambda match: int(match[0]))
MODEL = matching(
    "a model's name", "(?:models/)?([A-Za-z0-9][A-Za-z0-9._/-]*)", lambda match: match[1]
)

CALL = Schema(_call, {"name": TEXT, "args": schema.any_object, "id": TEXT}, required=("name",))
HOP_KEYS: dict[str, schema.Kind[object]] = {
    "text": TEXT,
    "thoughts": TEXT,
    "calls": list_of(CALL, least=1),
    "signature": BASE64,
    "parts": list_of(_part, least=1),
    "finish": choice("a finish reason of the API", FINISH_REASONS),
    "finish_message": TEXT,
    "usage": Schema(_usage, dict.fromkeys(COUNTS, TOKENS)),
    "model_version": MODEL,
    "token": choice("last, early, none or repeated", get_args(Carrier)),
}
PARTS_ALONE = [("parts", other) for other in ("text", "thoughts", "calls", "signature")]
HOP = Schema(_hop, HOP_KEYS, exclusive=PARTS_ALONE, short="text")
ANSWER = Schema(
    _answer,
    {**HOP_KEYS, "hops": HOPS, "next_hops": list_of(HOP, least=1), "checkpoints": COUNT},
    exclusive=[*PARTS_ALONE, ("hops", "next_hops")],
    short="text",
)
