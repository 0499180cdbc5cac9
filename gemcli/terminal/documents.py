"""What commands print of sessions, turns and answers.

The keys are a contract: they are added to, never changed.

Names are those of the Python SDK (`finish_reason`, `usage_metadata`); Contents and Parts are in the
wire form of the API, so that they can be handed back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gemcli.chat import turn_order as order
from gemcli.chat.answers import Answer, Candidate, content_of
from gemcli.chat.contents import Content, function_calls, is_blank, parts_of, text_of
from gemcli.sessions.journal import ANSWERED, Exchange, Journal, Turn


def answer_view(answer: Answer | None, content: Content) -> dict[str, Any]:
    """The parts of an answer that scripts ask for.

    `content` is its model Content as the history has it.
    """
    answer = answer or {}
    candidates: list[Candidate] = answer.get("candidates") or [{}]
    feedback = answer.get("promptFeedback") or {}
    return {
        "text": text_of(content),
        "parts": parts_of(content),
        "function_calls": function_calls(content),
        "finish_reason": candidates[0].get("finishReason"),
        "block_reason": feedback.get("blockReason"),
        "usage_metadata": snake(answer.get("usageMetadata") or {}),
        "model_version": answer.get("modelVersion"),
        "response_id": answer.get("responseId"),
    }


def chunk_events(chunk: Answer) -> Iterator[dict[str, Any]]:
    """The events that a chunk of a stream is told as, one for each of its Parts that has anything to show."""
    for part in parts_of(content_of(chunk)):
        if "functionCall" in part:
            yield {"event": "call", "function_call": part["functionCall"]}
        elif isinstance(part.get("text"), str):
            if part["text"]:
                yield {"event": "thought" if part.get("thought") else "chunk", "text": part["text"]}
        elif not is_blank(part):
            yield {"event": "part", "part": part}


def turn_view(turn: Turn) -> dict[str, Any]:
    """One turn: what was said, what came of it, and each of its exchanges."""
    first, last = turn.exchanges[0], turn.exchanges[-1]
    final = next((one for one in reversed(turn.exchanges) if one.state == ANSWERED), last)
    shown = answer_view(
        final.answer, final.contents[1] if final.contents else content_of(final.answer)
    )
    return {
        "turn": turn.number,
        "time": first.request.get("time"),
        "state": turn_state(turn),
        "model": final.request["model"],
        "user": text_of(first.request["content"]),
        "text": shown["text"],
        "function_calls": shown["function_calls"],
        "finish_reason": shown["finish_reason"],
        "usage_metadata": shown["usage_metadata"],
        "exchanges": [exchange_view(one) for one in turn.exchanges],
    }


def exchange_view(exchange: Exchange) -> dict[str, Any]:
    """One request and its outcome: the Contents, and why there is no answer if there is none."""
    outcome: Mapping[str, object] = exchange.outcome or {}
    answer = exchange.contents[1] if exchange.contents else None
    if answer is None and exchange.answer is not None:
        answer = content_of(exchange.answer)
    return {
        "id": exchange.id,
        "state": exchange.state,
        "user": exchange.request["content"],
        "model": answer,
        "reason": outcome.get("reason"),
        "message": outcome.get("message"),
    }


def turn_state(turn: Turn) -> str:
    """One word for a turn: `answered`, `open` or `rewound`, or else the state of its last exchange."""
    if turn.rewound:
        return "rewound"
    if order.open_calls(turn.contents):
        return "open"
    return ANSWERED if turn.contents else turn.exchanges[-1].state


def session_view(session: str, path: str, journal: Journal) -> dict[str, Any]:
    """A session as a whole."""
    header = journal.header
    view: dict[str, Any] = {
        "session": session,
        "path": path,
        "id": header["id"],
        "model": header["model"],
    }
    view |= {
        "backend": header["backend"],
        "project": header.get("project"),
        "location": header.get("location"),
    }
    view |= {"config": header["config"], "turns": len(journal.live)}
    return view | {
        "last_turn": journal.live[-1].number if journal.live else None,
        "origin": header.get("origin"),
    }


def totals_view(journal: Journal) -> dict[str, Any]:
    """A session's running totals, with the counters under the SDK's names."""
    totals: dict[str, Any] = snake(journal.totals())
    return totals


def snake(value: Any) -> Any:
    """A value with the keys of all its objects in snake_case.

    For data whose keys are the API's own.
    """
    if isinstance(value, dict):
        return {
            re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower(): snake(inner)
            for key, inner in value.items()
        }
    return [snake(inner) for inner in value] if isinstance(value, list) else value
