"""The documents that commands print: sessions, turns and answers as JSON.

The keys are a contract: more may come, none changes. They have the names of the Python SDK
(`finish_reason`, `usage_metadata`). Contents and Parts keep the wire form of the API, so that they
can be sent back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from gemcli.chat import turn_order
from gemcli.chat.answers import Answer, block_reason, content_of, first_candidate
from gemcli.chat.contents import Content, function_calls, is_blank, parts_of, text_of
from gemcli.errors import GemcliError
from gemcli.sessions.journal import Journal
from gemcli.sessions.totals import totals_of
from gemcli.sessions.turns import ANSWERED, Exchange, Turn

Document = dict[str, object]
"""A JSON object as a command prints it."""


def answer_fields(answer: Answer | None, content: Content) -> Document:
    """What scripts read from an answer. `content` is its model Content, as in the history."""
    return {
        "text": text_of(content),
        "function_calls": function_calls(content),
        **answer_facts(answer),
    }


def answer_facts(answer: Answer | None) -> Document:
    """What the API says about an answer, beside its Content."""
    answer = answer or {}
    return {
        "finish_reason": first_candidate(answer).get("finishReason"),
        "block_reason": block_reason(answer),
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


def turn_document(turn: Turn, journal: Journal, *, full: bool = False) -> Document:
    """One turn: the user's message, and the final answer; with `full` every exchange."""
    first, final = turn.exchanges[0], final_exchange(turn)
    document = {
        "turn": turn.number,
        "time": first.request.get("time"),
        "state": turn_state(turn),
        "reason": failure_of(final).reason,
        "key": first.request.get("key"),
        "model": final.request["model"],
        "user": text_of(first.request["content"]),
        **answer_fields(final.answer, answer_content(final)),
        **hop_facts(final),
        "resumable": journal.resumable is final,
        **durations(final),
    }
    if full:
        exchanges = [exchange_document(exchange, journal) for exchange in turn.exchanges]
        document["exchanges"] = exchanges
    return document


def exchange_document(exchange: Exchange, journal: Journal) -> Document:
    """One request and its outcome; without an answer, the reason and what had arrived."""
    failure = failure_of(exchange)
    return {
        "id": exchange.id,
        "time": exchange.request.get("time"),
        "state": exchange.state,
        "reason": failure.reason,
        "message": failure.message,
        "key": exchange.request.get("key"),
        "model": exchange.request["model"],
        "config": exchange.request.get("config") or {},
        "user_parts": parts_of(exchange.request["content"]),
        "parts": parts_of(answer_content(exchange)),
        "tools": tool_documents(exchange, journal),
        "partial": exchange.failure.get("partial") if exchange.failure else None,
        **answer_facts(exchange.answer),
        **hop_facts(exchange),
        **durations(exchange),
    }


def tool_documents(exchange: Exchange, journal: Journal) -> list[Document]:
    """The tools that were run for the calls of an answer, in the order of the calls."""
    return [
        {
            "id": record["call"].get("id"),
            "name": record["call"].get("name"),
            "args": record["call"].get("args") or {},
            "state": record["state"],
            "response": record.get("response"),
            "elapsed_ms": record.get("elapsed_ms"),
        }
        for _, record in sorted(journal.tool_runs(exchange.id).items())
    ]


def hop_facts(exchange: Exchange) -> Document:
    """In how many hops an answer came, and the size of the context that the first of them had."""
    return {"hops": len(exchange.hops), "context_token_count": exchange.context_token_count}


def final_exchange(turn: Turn) -> Exchange:
    """The exchange with the last answer of a turn, or else its last one."""
    answered = [exchange for exchange in turn.exchanges if exchange.state == ANSWERED]
    return answered[-1] if answered else turn.exchanges[-1]


def answer_content(exchange: Exchange) -> Content:
    """The model Content of an exchange, whether or not it is in the history; else an empty one."""
    return exchange.contents[1] if exchange.contents else content_of(exchange.answer)


class Failure(NamedTuple):
    """Why an exchange has no answer, or not a plain one; None if there is nothing to say."""

    reason: str | None
    message: str | None


def failure_of(exchange: Exchange) -> Failure:
    """Why an exchange has no answer, or why its answer is not a plain success."""
    failure = exchange.failure
    if failure and not exchange.hops:
        return Failure(failure.get("reason"), failure.get("message"))
    error = exchange.verdict.error if exchange.hops else None
    if error is None:
        return Failure(None, None)
    # What became of a further hop is why the answer is not finished.
    why = failure.get("message") if failure else None
    if why is None and exchange.hop_in_doubt:
        why = f"whether hop {len(exchange.hops) + 1} was answered is unknown"
    return Failure(error.reason, f"{error.message}: {why}" if why else error.message)


def durations(exchange: Exchange) -> Document:
    """How often an exchange was tried, and how long its answer took; null if it is not known."""
    return {
        "attempts": len(exchange.attempts),
        "elapsed_ms": exchange.elapsed_ms,
        "waited_ms": exchange.waited_ms,
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
        "time": header.get("time"),
        "last_time": last_time(journal),
        "model": header["model"],
        "backend": header["backend"],
        "project": header.get("project"),
        "location": header.get("location"),
        "config": header["config"],
        "turns": len(journal.live),
        "last_turn": journal.live[-1].number if journal.live else None,
        "origin": header.get("origin"),
    }


def last_time(journal: Journal) -> str | None:
    """When the session was changed last. The records of a fork are older than the fork itself."""
    times = journal.header.get("time"), journal.records[-1].get("time")
    return max(times, key=lambda time: str(time or ""))  # RFC 3339 in UTC sorts as text


def unreadable_session(session: str, error: GemcliError) -> Document:
    """A session that cannot be read."""
    return {"session": session, "error": error.reason, "message": error.message}


def session_totals(journal: Journal) -> dict[str, int]:
    """A session's running totals, with the counters under the SDK's names."""
    return {_snake_case(key): count for key, count in totals_of(journal).items()}


def snake_case(value: Any) -> Any:
    """A JSON value with all keys in snake_case. Only for data whose keys are the API's own."""
    if isinstance(value, dict):
        return {_snake_case(key): snake_case(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [snake_case(inner) for inner in value]
    return value


def _snake_case(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
