"""The documents that commands print: sessions, turns and answers as JSON.

The keys are a contract: more may come, none changes. They have the names of the Python SDK
(`finish_reason`, `usage_metadata`). Contents and Parts keep the wire form of the API, so that they
can be sent back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gemcli.chat import turn_order
from gemcli.chat.answers import Answer, Candidate, content_of
from gemcli.chat.contents import Content, function_calls, is_blank, parts_of, text_of
from gemcli.sessions.journal import ANSWERED, Exchange, Journal, Turn

Document = dict[str, object]
"""A JSON object as a command prints it."""


def answer_fields(answer: Answer | None, content: Content) -> Document:
    """What scripts read from an answer. `content` is its model Content, as in the history."""
    answer = answer or {}
    candidates: list[Candidate] = answer.get("candidates") or [{}]
    feedback = answer.get("promptFeedback") or {}
    return {
        "text": text_of(content),
        "parts": parts_of(content),
        "function_calls": function_calls(content),
        "finish_reason": candidates[0].get("finishReason"),
        "block_reason": feedback.get("blockReason"),
        "usage_metadata": snake_case(answer.get("usageMetadata") or {}),
        "model_version": answer.get("modelVersion"),
        "response_id": answer.get("responseId"),
    }


def chunk_events(chunk: Answer) -> Iterator[Document]:
    """The events of a streamed chunk: one for each of its Parts that is not empty."""
    for part in parts_of(content_of(chunk)):
        if "functionCall" in part:
            yield {"event": "call", "function_call": part["functionCall"]}
        elif isinstance(part.get("text"), str):
            if part["text"]:
                yield {"event": "thought" if part.get("thought") else "chunk", "text": part["text"]}
        elif not is_blank(part):
            yield {"event": "part", "part": part}


def turn_document(turn: Turn) -> Document:
    """One turn: the user's message, the final answer, and every exchange."""
    first = turn.exchanges[0]
    answered = [exchange for exchange in turn.exchanges if exchange.state == ANSWERED]
    final = answered[-1] if answered else turn.exchanges[-1]
    content = final.contents[1] if final.contents else content_of(final.answer)
    answer = answer_fields(final.answer, content)
    return {
        "turn": turn.number,
        "time": first.request.get("time"),
        "state": turn_state(turn),
        "model": final.request["model"],
        "user": text_of(first.request["content"]),
        "text": answer["text"],
        "function_calls": answer["function_calls"],
        "finish_reason": answer["finish_reason"],
        "usage_metadata": answer["usage_metadata"],
        "exchanges": [exchange_document(exchange) for exchange in turn.exchanges],
    }


def exchange_document(exchange: Exchange) -> Document:
    """One request and its outcome; without an answer, the reason."""
    failure = exchange.failure
    answer = exchange.contents[1] if exchange.contents else None
    if answer is None and exchange.answer is not None:
        answer = content_of(exchange.answer)
    return {
        "id": exchange.id,
        "state": exchange.state,
        "user": exchange.request["content"],
        "model": answer,
        "reason": failure.get("reason") if failure else None,
        "message": failure.get("message") if failure else None,
    }


def turn_state(turn: Turn) -> str:
    """`answered`, `open`, `rewound`, or else the state of the turn's last exchange."""
    if turn.rewound:
        return "rewound"
    if turn_order.open_calls(turn.contents):
        return "open"
    return ANSWERED if turn.contents else turn.exchanges[-1].state


def session_document(session: str, path: str, journal: Journal) -> Document:
    """A session as a whole."""
    header = journal.header
    return {
        "session": session,
        "path": path,
        "id": header["id"],
        "model": header["model"],
        "backend": header["backend"],
        "project": header.get("project"),
        "location": header.get("location"),
        "config": header["config"],
        "turns": len(journal.live),
        "last_turn": journal.live[-1].number if journal.live else None,
        "origin": header.get("origin"),
    }


def session_totals(journal: Journal) -> dict[str, int]:
    """A session's running totals, with the counters under the SDK's names."""
    return {_snake_case(key): count for key, count in journal.totals().items()}


def snake_case(value: Any) -> Any:
    """A JSON value with all keys in snake_case. Only for data whose keys are the API's own."""
    if isinstance(value, dict):
        return {_snake_case(key): snake_case(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [snake_case(inner) for inner in value]
    return value


def _snake_case(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
