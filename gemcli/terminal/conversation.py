"""A conversation to read: as plain text in a pipe, and as lines with roles on a terminal.

Both show the same: what was said, calls and their responses, what else came, and what went wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, cast

from gemcli.chat.answers import Answer, content_of, invalid_response
from gemcli.chat.contents import (
    MARKS,
    SERVER_SIDE,
    Content,
    FunctionResponse,
    Part,
    has_data,
    parts_of,
    server_side_data,
)
from gemcli.sessions.turns import ANSWERED, Exchange, Turn
from gemcli.terminal import documents
from gemcli.terminal.escapes import as_json
from gemcli.terminal.screen import Line, Look, Piece, cut, wrapped

Kind = Literal["user", "model", "call", "response", "part", "note"]

INDENT = "  "
LOOKS: dict[Kind, Look] = {"note": "warning", "part": "faint"}
ARROWS: dict[Kind, str] = {"call": "→ ", "response": "← "}

UNFINISHED = {"FUNCTION_CALL": "open", "INCOMPLETE": "incomplete"}
"""What a turn is whose last answer says that more is to come, by its reason."""

MOST_LINES = 20
"""How many lines of a Part that is no text a terminal shows: pages that were searched are long."""


class Said(NamedTuple):
    """Something that is shown of a turn, in order."""

    kind: Kind
    text: str


def said(turn: Turn) -> Iterator[Said]:
    """What is shown of a turn: all its exchanges, and what became of it if it is not finished."""
    for exchange in turn.exchanges:
        yield from said_in(exchange.request["content"], "user")
        yield from said_in(_received(exchange), "model")
        if exchange.state != ANSWERED:
            yield Said("note", _outcome(exchange))
    final = documents.final_exchange(turn)
    failure = documents.failure_of(final)
    if turn.rewound:
        yield Said("note", "rewound")
    elif final.state == ANSWERED and failure.reason:
        yield Said("note", f"{UNFINISHED.get(failure.reason, failure.reason)}: {failure.message}")


def plain_text(turns: Iterable[Turn]) -> str:
    """The turns as `kind: text`, with a blank line between them."""
    paragraphs = []
    for turn in turns:
        lines = [f"{kind}: {text.rstrip()}\n" for kind, text in said(turn)]
        paragraphs.append("".join(lines))
    return "\n".join(paragraphs)


def answer_text(turn: Turn) -> str:
    """The text of a turn's answer; without one, what else is shown of the turn."""
    content = documents.answer_content(documents.final_exchange(turn))
    text = "".join(each.text for each in said_in(content, "model") if each.kind == "model")
    return text or plain_text([turn])


def lines_of(turn: Turn, columns: int) -> Iterator[Line]:
    """A turn as lines for a terminal of this width."""
    speaker: Kind | None = None
    for kind, text in said(turn):
        role: Kind = "user" if kind == "user" else "model"
        if kind in ("user", "model", "call", "part") and speaker != role:
            speaker = role
            yield _heading(turn, role, columns)
        if kind in ARROWS:
            yield [Piece(cut(f"{INDENT}{ARROWS[kind]}{text}", columns))]
            continue
        look = LOOKS.get(kind, "plain")
        wrap = part_lines if kind == "part" else wrapped
        for line in wrap(text, columns - len(INDENT)):
            yield [Piece(INDENT), Piece(line, look)] if line else []


def part_lines(text: str, columns: int) -> list[str]:
    """What is shown of a Part that is no text, in lines of this width."""
    lines = list(wrapped(text, columns))
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]


def said_in(content: Content, role: Literal["user", "model"]) -> Iterator[Said]:
    """What is shown of a Content. Neighbouring texts are one; thoughts are left out."""
    text = ""
    for part in parts_of(content):
        if isinstance(part.get("text"), str):
            text += "" if part.get("thought") else part["text"]
            continue
        if text:
            yield Said(role, text)
            text = ""
        if "functionCall" in part:
            call = part["functionCall"]
            yield Said("call", f"{call.get('name')}({as_json(call.get('args') or {})})")
        elif "functionResponse" in part:
            yield from _response(part["functionResponse"])
        elif has_data(part):
            yield Said("part", part_text(part))
    if text:
        yield Said(role, text)


def _response(response: FunctionResponse) -> Iterator[Said]:
    """A function response, and the images and files that belong to it."""
    yield Said("response", f"{response.get('name')}: {as_json(response.get('response'))}")
    media: object = response.get("parts")
    for part in media if isinstance(media, list) else []:
        yield Said("part", part_label(part) if isinstance(part, dict) else as_json(part))


def part_label(part: Mapping[str, object]) -> str:
    """A Part that is neither text nor a call, in a few words."""
    found = ((key, value) for key, value in part.items() if value and key not in MARKS)
    kind, data = next(found, ("empty", None))
    if not isinstance(data, dict):
        return kind
    what = data.get("mimeType") or kind
    if kind == "inlineData":
        size = len(str(data.get("data"))) * 3 // 4
        return f"{what}, about {size:,} bytes"
    if kind == "fileData":
        return f"{what}, {data.get('fileUri')}"
    if kind in SERVER_SIDE:
        return f"{kind} {data.get(SERVER_SIDE[kind].name) or ''}".rstrip()
    return f"{kind}: {as_json(data)}"


def part_text(part: Part) -> str:
    """A Part that is neither text nor a call, with what it says; code stays as it is."""
    label = part_label(part)
    said = server_side_data(part)
    if isinstance(said, str):
        return f"{label}\n{said.rstrip()}"
    return label if said is None else f"{label}: {as_json(said)}"


def _received(exchange: Exchange) -> Content:
    """The model Content, or what had arrived of one before the answer broke off."""
    partial = exchange.failure.get("partial") if exchange.failure and not exchange.hops else None
    if partial is not None and invalid_response(partial) is None:
        return content_of(cast("Answer", partial))
    return documents.answer_content(exchange)


def _outcome(exchange: Exchange) -> str:
    """What became of a request that was not answered, and why."""
    state = exchange.state.replace("_", " ")
    failure = documents.failure_of(exchange)
    why = ", ".join(str(one) for one in failure if one)  # a session may hold anything there
    return f"{state}: {why}" if why else state


def _heading(turn: Turn, role: Kind, columns: int) -> Line:
    """Who speaks; of a turn's first line also its number and when, of an answer by which model."""
    if role == "user":
        about = " · ".join(filter(None, [str(turn.number), local_time(turn)]))
    else:
        about = str(documents.final_exchange(turn).request["model"])
    look: Look = "user" if role == "user" else "model"
    return [Piece(role, look), Piece(cut(f"  {about}", columns - len(role)), "faint")]


def local_time(turn: Turn) -> str | None:
    """When a turn was sent, in local time; None if that is not known."""
    from datetime import datetime

    try:
        sent = datetime.fromisoformat(turn.exchanges[0].request["time"])
    except (KeyError, TypeError, ValueError):
        return None
    return f"{sent.astimezone():%Y-%m-%d %H:%M}"
