"""The records of a session file: what each kind holds.

A session is a journal in JSON Lines, UTF-8, one record a line, only ever appended to. Every record
has `kind` and `time` (RFC 3339, UTC; information only). Unknown keys are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from gemcli.chat.answers import Answer
from gemcli.chat.contents import Content, FunctionCall

if TYPE_CHECKING:
    from gemcli.settings.config import Config

FORMAT = 1
"""The newest format that this program reads, and the one it writes."""


class SessionRecord(TypedDict):
    """The first line of a session."""

    kind: Literal["session"]
    time: str
    format: int
    id: str
    model: str
    backend: str
    project: NotRequired[str]
    location: NotRequired[str]
    config: Config
    origin: NotRequired[dict[str, object]]


class RequestRecord(TypedDict):
    """A user Content that is about to be sent; `config` is what this call adds to the session's."""

    kind: Literal["request"]
    time: str
    turn: int
    id: str
    content: Content
    model: str
    backend: str
    config: NotRequired[Config]
    key: NotRequired[str]
    imported: NotRequired[bool]


class AttemptRecord(TypedDict):
    """One HTTP request of an exchange: its `reason` if it failed, and the wait before the next."""

    http: int | None
    elapsed_ms: int
    reason: NotRequired[str]
    wait_s: NotRequired[float]


class ContinueRecord(TypedDict):
    """The next hop of a long answer, about to be asked for, from the token that the last one left.

    `config` is what this hop adds to the session's, if that is not what the request added.
    """

    kind: Literal["continue"]
    time: str
    request: str
    hop: int
    token: str
    config: NotRequired[Config]
    imported: NotRequired[bool]


class ResponseRecord(TypedDict):
    """The API's answer to a request, or to one hop of it, whole and as received.

    `valid` says whether the history takes it, and with it the hops before it.
    """

    kind: Literal["response"]
    time: str
    request: str
    valid: bool
    answer: Answer
    attempts: list[AttemptRecord]
    elapsed_ms: int
    imported: NotRequired[bool]


class FailureRecord(TypedDict):
    """The end of a request without an answer; `outcome` is `rejected` or `unknown`."""

    kind: Literal["failure"]
    time: str
    request: str
    outcome: str
    code: str
    reason: str
    message: str
    attempts: list[AttemptRecord]
    partial: NotRequired[object]


class ToolRecord(TypedDict):
    """A tool that is run for the model: written when it starts, and when it has ended.

    `request` is the exchange whose answer has the `call`, `place` the call's among that answer's.
    """

    kind: Literal["tool"]
    time: str
    request: str
    place: int
    call: FunctionCall
    state: Literal["started", "ended"]
    response: NotRequired[dict[str, Any]]
    parts: NotRequired[list[Any]]
    elapsed_ms: NotRequired[int]
    imported: NotRequired[bool]


class RewindRecord(TypedDict):
    """The turns that leave the history, or with `undo` come back into it, oldest first."""

    kind: Literal["rewind", "undo"]
    time: str
    turns: list[int]


class FormatRecord(TypedDict):
    """By a newer program, before it writes what older ones cannot read."""

    kind: Literal["format"]
    time: str
    format: int


Record = (
    SessionRecord
    | RequestRecord
    | ContinueRecord
    | ResponseRecord
    | FailureRecord
    | ToolRecord
    | RewindRecord
    | FormatRecord
)
