"""What tests are made of: Contents, answers, streams, error answers, and sessions written down record by record."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import pytest
from hypothesis import strategies as st

from gemcli.api.limits import Limits
from gemcli.errors import GemcliError
from gemcli.sessions import record_lines, records
from gemcli.settings.config import Config
from gemcli.simulator.simulated_api import Reply, json_reply

ECHO = "simulator/echo"

CALL: Any = {"functionCall": {"name": "f", "id": "c1", "args": {}}}
RESPONSE: Any = {"functionResponse": {"name": "f", "id": "c1", "response": {"result": 1}}}


def lasting(seconds: float) -> Limits:
    """Limits of a request that may take so many seconds, in a command that may take twice as long and loads first."""
    return Limits(seconds, time.monotonic() + 2 * seconds + 10)


# Contents


def parts_of(*parts: str | Mapping[str, Any]) -> list[Any]:
    """A list of Parts: a text stands for a Part with that text."""
    return [{"text": part} if isinstance(part, str) else dict(part) for part in parts]


def user(*parts: str | Mapping[str, Any]) -> Any:
    """A user Content."""
    return {"role": "user", "parts": parts_of(*parts)}


def model(*parts: str | Mapping[str, Any]) -> Any:
    """A model Content."""
    return {"role": "model", "parts": parts_of(*parts)}


def call(name: str = "f", **more: Any) -> dict[str, Any]:
    """A Part with a function call."""
    return {"functionCall": {"name": name, "args": {}} | more}


def result(name: str = "f", **more: Any) -> dict[str, Any]:
    """A Part with a function response."""
    return {"functionResponse": {"name": name, "response": {"result": 1}} | more}


def contents(*texts: str) -> list[Any]:
    """A history that alternates between user and model, beginning with the user."""
    return [{"role": ("user", "model")[place % 2], "parts": parts_of(text)} for place, text in enumerate(texts)]


def texts(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The text of each Content's first Part."""
    return [content["parts"][0]["text"] for content in history]


# Answers


def answer(*parts: str | Mapping[str, Any], finish: str | None = "STOP", **more: Any) -> Any:
    """The body of an answer with these Parts and finish reason."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts_of(*parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-test-001"} | more


def unfinished(
    *parts: str | Mapping[str, Any], token: str | None = "t", finish: str | None = "CONTINUATION", **more: Any
) -> Any:
    """The body of an answer, or a chunk of one, that leaves a token to go on from."""
    body = answer(*parts, finish=finish, **more)
    body["candidates"][0]["continuationToken"] = token
    return body


def chunk(*parts: str | Mapping[str, Any], finish: str | None = None, **more: Any) -> Any:
    """One event of a streamed answer."""
    candidate: dict[str, Any] = {"content": {"parts": parts_of(*parts)}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def checkpoint(token: Any, *parts: str | Mapping[str, Any], finish: str | None = None, **more: Any) -> Any:
    """An event with a token, from which the answer can be resumed."""
    event = chunk(*parts, finish=finish, **more)
    event["candidates"][0]["continuationToken"] = token
    return event


def sse(*events: Any, newline: bytes = b"\r\n") -> bytes:
    """The bytes of a stream: values are written as JSON, bytes as they are."""
    datas = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return b"".join(b"data: " + data + newline * 2 for data in datas)


def streaming(*steps: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A 200 with these steps as its stream."""
    return Reply(200, {"content-type": "text/event-stream", **(headers or {})}, steps)


def raw(code: int, body: bytes, **headers: str) -> Reply:
    """An HTTP answer with just this body."""
    return Reply(code, {"content-type": "application/json"} | headers, (body,))


def slowly(seconds: float, text: str = "hi") -> Reply:
    """An answer that takes a while."""
    return streaming(seconds, sse(answer(text)))


# Whatever JSON can hold

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ANY_TEXT = st.text(max_size=8)


def json_values(
    scalars: st.SearchStrategy[Any] | None = None,
    keys: st.SearchStrategy[str] = ANY_TEXT,
    leaves: int = 12,
) -> st.SearchStrategy[Any]:
    """Values made of these scalars, in lists and objects with these keys."""
    return st.recursive(
        SCALARS | ANY_TEXT if scalars is None else scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=leaves,
    )


# Errors

P = ParamSpec("P")


def error_from(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> GemcliError:
    """The error in which a call must end."""
    with pytest.raises(GemcliError) as caught:
        function(*args, **kwargs)
    return caught.value


def api_error(code: int, status: str, message: Any = "it did not work", *details: Any, **headers: str) -> Reply:
    """An error answer as the API writes one."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = list(details)
    return json_reply({"error": error}, code, {name.replace("_", "-"): value for name, value in headers.items()})


def retry_info(delay: Any) -> dict[str, Any]:
    """The detail of an error that says when to try again."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota_failure(name: Any) -> dict[str, Any]:
    """The detail of an error that names the quota that is used up."""
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


def overloaded(message: str = "overloaded") -> Reply:
    """A 503."""
    return api_error(503, "UNAVAILABLE", message)


# Sessions


def header(model: str = ECHO, config: Any = None, backend: str = "simulator") -> Any:
    """The first record of a session."""
    return records.session(model=model, backend=backend, config=config or Config(), origin=None)


def request(
    turn: int, *parts: str | dict[str, Any], ordinal: int = 1, model: str = ECHO, backend: str = "simulator"
) -> Any:
    """A request."""
    content: Any = {"role": "user", "parts": parts_of(*parts)}
    return records.request(turn, f"{turn}.{ordinal}", content, model=model, backend=backend)


def response(
    turn: int, *parts: str | dict[str, Any], ordinal: int = 1, valid: bool = True, finish: str = "STOP"
) -> Any:
    """The answer to it."""
    return records.response(f"{turn}.{ordinal}", answer(*parts, finish=finish), valid=valid, attempts=[], elapsed_ms=1)


def hop(
    turn: int, *parts: str | dict[str, Any], token: str | None = "t", finish: str = "CONTINUATION", valid: bool = True
) -> Any:
    """A hop of the answer to it, which left a token."""
    record = response(turn, *parts, valid=valid, finish=finish)
    if token:
        record["answer"]["candidates"][0]["continuationToken"] = token
    return record


def failure(turn: int, outcome: str) -> Any:
    """The end of a request without an answer."""
    return records.failure(
        f"{turn}.1", outcome=outcome, code="UNAVAILABLE", reason="UNAVAILABLE", message="overloaded", attempts=[]
    )


def turn(number: int, message: str = "", reply: str = "") -> list[Any]:
    """An answered turn."""
    return [request(number, message or f"question {number}"), response(number, reply or f"answer {number}")]


def mixed() -> list[Any]:
    """A session with a turn in every state: 1 and 6 answered, 2 refused, 3 failed, 4 in doubt, 5 rewound."""
    return [
        header(),
        *turn(1),
        request(2, "question 2"),
        response(2, "half an answer", valid=False, finish="SAFETY"),
        request(3, "question 3"),
        failure(3, "rejected"),
        request(4, "question 4"),
        failure(4, "unknown"),
        *turn(5),
        records.rewind([5]),
        *turn(6),
    ]


def session_file(name: str) -> Path:
    """The file of a named session of the test's own home."""
    return Path(os.environ["GEMCLI_HOME"]) / "sessions" / f"{name}.jsonl"


def write_session(name: str, *content: Any) -> Path:
    """Write a named session, record by record; its file is the result."""
    path = session_file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record_lines.encode(record) for record in content))
    path.chmod(0o600)
    return path


def records_of(name: str = "s") -> list[Any]:
    """The records of a named session of the test's own home."""
    return [json.loads(line) for line in session_file(name).read_bytes().splitlines()]
