"""What commands print: the keys of every document, retyped as the contract they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import GemcliError
from gemcli.formats import markdown, replay_script
from gemcli.sessions import read_records, record_lines, records
from gemcli.sessions.journal import Journal
from gemcli.terminal import documents, session_table
from tests.builders import answer, json_values

T = "2026-01-01T00:00:00.000Z"
HEADER: Any = {
    "kind": "session", "time": T, "format": 1, "id": "s1", "model": "m", "backend": "gemini",
    "config": {"a": 1},
}  # fmt: skip
CALL = {"functionCall": {"name": "f", "args": {"someKey": 1}}}
RESULT = {"functionResponse": {"name": "f", "response": {}}}
THOUGHT = {"text": "hm", "thought": True}
USAGE = {"prompt_token_count": 3, "candidates_token_count": 4, "total_token_count": 7}


def asked(name: str, *parts: Any, model: str = "m") -> Any:
    """The request `name`, at a time of its own."""
    content = {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}
    record = {"kind": "request", "time": f"T{name}", "turn": int(name.partition(".")[0]), "id": name}
    return record | {"content": content, "model": model, "backend": "gemini"}


def told(name: str, *parts: Any, valid: bool = True, **more: Any) -> Any:
    """The response to request `name`."""
    body = answer(*parts, **more)
    return {"kind": "response", "time": T, "request": name, "valid": valid, "answer": body}


FAILURE: Any = {"kind": "failure", "time": T, "outcome": "rejected", "reason": "DNS", "message": "no such host"}


def test_answer_fields() -> None:
    """An answer is shown with exactly these keys; names are the SDK's, Parts and calls are as on the wire."""
    body = answer(THOUGHT, "a", CALL, {"text": "b", "thoughtSignature": "cw=="}, responseId="r1")
    content = body["candidates"][0]["content"]
    assert documents.answer_fields(body, content) == {
        "text": "ab", "function_calls": [{"name": "f", "args": {"someKey": 1}}],
        "finish_reason": "STOP", "block_reason": None, "usage_metadata": USAGE,
        "model_version": "gemini-test-001", "response_id": "r1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "block_reason"),
    [
        (None, None),
        ({}, None),
        ({"candidates": None, "promptFeedback": None, "usageMetadata": None}, None),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY"),
    ],
)
def test_answer_fields_of_nothing(body: Any, block_reason: str | None) -> None:
    """No answer has the same keys: text is always a string, lists are lists, unknown facts are null."""
    assert documents.answer_fields(body, {"role": "model", "parts": []}) == {
        "text": "", "function_calls": [], "finish_reason": None, "block_reason": block_reason,
        "usage_metadata": {}, "model_version": None, "response_id": None,
    }  # fmt: skip


def test_turn_document() -> None:
    """A turn is shown with exactly these keys; what it ended in is its last answer, what began it its message."""
    body = [HEADER, asked("1.1", "q", "?"), told("1.1", CALL), asked("1.2", RESULT, model="n"), told("1.2", "a", {})]
    journal = Journal(body)
    assert documents.turn_document(journal.turns[1], journal) == {
        "turn": 1, "time": "T1.1", "state": "answered", "reason": None, "key": None, "model": "n",
        "user": "q?", "text": "a", "function_calls": [], "finish_reason": "STOP", "block_reason": None,
        "usage_metadata": USAGE, "model_version": "gemini-test-001", "response_id": None,
        "hops": 1, "context_token_count": 3, "resumable": False,
        "attempts": 0, "elapsed_ms": None, "waited_ms": None,
    }  # fmt: skip


def test_a_turn_in_full() -> None:
    """In full, a turn has its exchanges too: all that the records say of them, and nothing of it twice."""
    config = {"generationConfig": {"temperature": 1}}
    attempts = [{"http": 503, "elapsed_ms": 20, "reason": "UNAVAILABLE"}, {"http": 200, "elapsed_ms": 300}]
    timed = told("1.2", "a", {}, responseId="r") | {"attempts": attempts, "elapsed_ms": 1000}
    own = asked("1.2", RESULT, model="n") | {"config": config, "key": "k"}
    journal = Journal([HEADER, asked("1.1", "q", "?"), told("1.1", CALL), own, timed])
    lean, full = (documents.turn_document(journal.turns[1], journal, full=full) for full in (False, True))
    exchanges: Any = full.pop("exchanges")
    assert full == lean
    assert exchanges == [
        {
            "id": "1.1", "time": "T1.1", "state": "answered", "reason": "FUNCTION_CALL",
            "message": "the model waits for the responses of f", "key": None, "model": "m", "config": {},
            "user_parts": [{"text": "q"}, {"text": "?"}], "parts": [CALL], "tools": [], "partial": None,
            "finish_reason": "STOP", "block_reason": None, "usage_metadata": USAGE,
            "model_version": "gemini-test-001", "response_id": None, "hops": 1, "context_token_count": 3,
            "attempts": 0, "elapsed_ms": None, "waited_ms": None,
        },
        {
            "id": "1.2", "time": "T1.2", "state": "answered", "reason": None, "message": None,
            "key": "k", "model": "n", "config": config, "user_parts": [RESULT], "parts": [{"text": "a"}], "tools": [],
            "partial": None, "finish_reason": "STOP", "block_reason": None, "usage_metadata": USAGE,
            "model_version": "gemini-test-001", "response_id": "r", "hops": 1, "context_token_count": 3,
            "attempts": 2, "elapsed_ms": 1000, "waited_ms": 700,
        },
    ]  # fmt: skip


def test_turns_without_an_answer() -> None:
    """A failed turn has the same keys, and says why; a refused one shows what came, though it is not in the history."""
    cut = FAILURE | {"request": "1.1", "partial": answer("Half an", finish=None), "attempts": [{"elapsed_ms": 3}]}
    refused = told("2.1", "half", valid=False, finish="SAFETY")
    journal = Journal([HEADER, asked("1.1", "q"), cut, asked("2.1", "q"), refused])
    view: Any = documents.turn_document(journal.turns[1], journal, full=True)
    exchange = view.pop("exchanges")[0]
    assert view == {
        "turn": 1, "time": "T1.1", "state": "failed", "reason": "DNS", "key": None, "model": "m",
        "user": "q", "text": "", "function_calls": [], "finish_reason": None, "block_reason": None,
        "usage_metadata": {}, "model_version": None, "response_id": None,
        "hops": 0, "context_token_count": None, "resumable": False,
        "attempts": 1, "elapsed_ms": None, "waited_ms": None,
    }  # fmt: skip
    assert (exchange["parts"], exchange["reason"], exchange["message"]) == ([], "DNS", "no such host")
    assert exchange["partial"] == cut["partial"]
    view = documents.turn_document(journal.turns[2], journal, full=True)
    assert (view["state"], view["text"], view["finish_reason"]) == ("refused", "half", "SAFETY")
    assert view["reason"] == "ANSWER_BLOCKED"
    assert view["exchanges"][0]["parts"] == [{"text": "half"}]


def hop(name: str, text: str, finish: str = "CONTINUATION") -> Any:
    """A hop of the answer to request `name`, in 1000 ms after one attempt of 100 ms that failed."""
    body = answer(text, finish=finish)
    if finish == "CONTINUATION":
        body["candidates"][0]["continuationToken"] = f"after {text}"
    attempts = [{"http": 503, "elapsed_ms": 100}, {"http": 200, "elapsed_ms": 600}]
    record = {"kind": "response", "time": T, "request": name, "valid": True, "answer": body}
    return record | {"attempts": attempts, "elapsed_ms": 1000}


def goes_on(name: str, number: int) -> Any:
    """The record of a further hop."""
    return {"kind": "continue", "time": T, "request": name, "hop": number, "token": "t"}


HOPS = [asked("1.1", "q"), hop("1.1", "Once "), goes_on("1.1", 2), hop("1.1", "upon ")]


def test_an_answer_in_hops() -> None:
    """It is one answer: tokens, attempts and times are those of all hops; the context is that of the first."""
    journal = Journal([HEADER, *HOPS, goes_on("1.1", 3), hop("1.1", "a time.", "STOP")])
    view: Any = documents.turn_document(journal.turns[1], journal, full=True)
    (exchange,) = view.pop("exchanges")
    assert (view["text"], view["finish_reason"], view["reason"]) == ("Once upon a time.", "STOP", None)
    assert exchange["parts"] == [{"text": "Once upon a time."}]
    for document in (view, exchange):
        assert document["usage_metadata"]["total_token_count"] == 21
        assert (document["hops"], document["context_token_count"]) == (3, 3)
        assert (document["attempts"], document["elapsed_ms"], document["waited_ms"]) == (6, 3000, 1200)
    assert view["resumable"] is False


def test_tools_that_were_run() -> None:
    """An exchange tells what was run for its calls, and what came of it, in the order of the calls."""
    calls: list[Any] = [{"name": "f", "id": name, "args": {"a": 1}} for name in ("c1", "c2")]
    slow, quick = calls
    ended = records.tool_ended("1.1", 1, quick, response={"output": 1}, elapsed_ms=7)
    body = [HEADER, asked("1.1", "q"), told("1.1", *({"functionCall": call} for call in calls))]
    body += [records.tool_started("1.1", 1, quick), ended, records.tool_started("1.1", 0, slow)]
    journal = Journal(body)
    view: Any = documents.turn_document(journal.turns[1], journal, full=True)
    common = {"name": "f", "args": {"a": 1}}
    assert view["exchanges"][0]["tools"] == [
        common | {"id": "c1", "state": "started", "response": None, "elapsed_ms": None},
        common | {"id": "c2", "state": "ended", "response": {"output": 1}, "elapsed_ms": 7},
    ]


FAILED_HOP: Any = [goes_on("1.1", 3), FAILURE | {"request": "1.1", "attempts": [{"elapsed_ms": 5}]}]


@pytest.mark.parametrize(
    ("after", "why", "resumable"),
    [
        ([], "", True),
        (FAILED_HOP, ": no such host", True),
        ([goes_on("1.1", 3)], ": whether hop 3 was answered is unknown", True),
        ([{"kind": "rewind", "time": T, "turns": [1]}], "", False),
        ([asked("2.1", "q"), told("2.1", "a")], "", False),
    ],
    ids=["unfinished", "failed", "in-doubt", "rewound", "not-the-last"],
)
def test_an_unfinished_answer(after: list[Any], why: str, resumable: bool) -> None:
    """It says that it is not finished, why if that is known, and whether `send --continue` can go on with it."""
    journal = Journal([HEADER, *HOPS, *after])
    view: Any = documents.turn_document(journal.turns[1], journal, full=True)
    assert (view["text"], view["hops"], view["reason"]) == ("Once upon ", 2, "INCOMPLETE")
    assert view["resumable"] is resumable
    assert view["exchanges"][0]["message"] == f"the answer is not finished{why}"
    assert view["attempts"] == (5 if after is FAILED_HOP else 4)


ANSWERED = [asked("1.1", "q"), told("1.1", "a")]
OPEN = [asked("1.1", "q"), told("1.1", CALL)]
REWIND: Any = {"kind": "rewind", "time": T, "turns": [1]}

STATES = {
    "answered": ("answered", ANSWERED),
    "open": ("open", OPEN),
    "open-after-failure": ("open", [*OPEN, asked("1.2", RESULT), FAILURE | {"request": "1.2"}]),
    "rewound": ("rewound", [*ANSWERED, REWIND]),
    "rewound-open": ("rewound", [*OPEN, REWIND]),
    "refused": ("refused", [asked("1.1", "q"), told("1.1", valid=False)]),
    "failed": ("failed", [asked("1.1", "q"), FAILURE | {"request": "1.1"}]),
    "in-doubt": ("in_doubt", [asked("1.1", "q"), FAILURE | {"request": "1.1", "outcome": "unknown"}]),
    "pending": ("pending", [asked("1.1", "q")]),
    "given-up": ("in_doubt", [asked("1.1", "q"), asked("2.1", "q")]),
}


@pytest.mark.parametrize(("state", "body"), STATES.values(), ids=STATES)
def test_turn_state(state: str, body: list[Any]) -> None:
    """A turn has one word for its state."""
    assert documents.turn_state(Journal([HEADER, *body]).turns[1]) == state


def test_session_document() -> None:
    """A session is shown with exactly these keys."""
    plain: dict[str, object] = {
        "session": "a", "path": "/a.jsonl", "id": "s1", "time": T, "last_time": T,
        "model": "m", "backend": "gemini", "config": {"a": 1},
    }  # fmt: skip
    plain |= {"project": None, "location": None}
    assert documents.session_document("a", "/a.jsonl", Journal([HEADER])) == plain | {
        "turns": 0,
        "last_turn": None,
        "origin": None,
    }
    origin = {"kind": "fork", "session": "b"}
    forked = Journal([HEADER | {"origin": origin}, asked("4.1", "q"), told("4.1", "a"), asked("5.1", "q")])
    plain |= {"last_time": "T5.1"}
    assert documents.session_document("a", "/a.jsonl", forked) == plain | {"turns": 1, "last_turn": 4, "origin": origin}


def test_the_last_time_of_a_fork() -> None:
    """A fork has the records of its source, and is not older than itself; in the table neither."""
    older: list[Any] = [HEADER | {"time": "2026-02-01T00:00:00.000Z"}, asked("1.1", "q"), told("1.1", "a")]
    for record in older[1:]:
        record["time"] = T
    fork = Journal(older)
    assert documents.session_document("a", "/a.jsonl", fork)["last_time"] == "2026-02-01T00:00:00.000Z"
    assert session_table.row("a", fork).changed == session_table.seconds("2026-02-01T00:00:00.000Z")


def test_snake_case() -> None:
    """Keys become snake_case all the way down, values stay."""
    wire = {"promptTokensDetails": {"topK": ["someValue", 1]}, "already_snake": {"v1Beta": None}}
    name = {"prompt_tokens_details": {"top_k": ["someValue", 1]}, "already_snake": {"v1_beta": None}}
    assert documents.snake_case([wire]) == [name]


# Whatever a session file holds

WORDS = st.sampled_from(["", "1.1", "user", "model", "f"])
KEYS = ["role", "parts", "text", "content", "candidates", "systemInstruction", "generationConfig"]
VALUES = json_values(st.none() | st.booleans() | st.integers(-1, 3) | WORDS, st.sampled_from(KEYS), 8)
BODY: list[dict[str, Any]] = [
    HEADER | {"config": {"systemInstruction": {"parts": [{"text": "s"}]}}}, *ANSWERED, asked("2.1", "q"),
    told("2.1", "half", valid=False), asked("3.1", "q"), FAILURE | {"request": "3.1"},
]  # fmt: skip


def shown(journal: Journal) -> None:
    """Everything that reading commands print of a journal."""
    documents.session_document("a", "/a", journal)
    documents.session_totals(journal)
    for turn in journal.turns.values():
        documents.turn_document(turn, journal, full=True)
    for write in (markdown.dump, replay_script.dump):
        try:
            write(journal.history, journal.header)
        except GemcliError as error:
            assert error.reason == "NOT_EXPRESSIBLE"  # noqa: PT017 - most can be written


@given(st.data())
def test_anything_is_shown_or_refused(data: st.DataObject) -> None:
    """Whatever stands where in a file, it is refused with its line, or every view can show it."""
    body = [dict(record) for record in BODY]
    record = data.draw(st.sampled_from(body))
    record[data.draw(st.sampled_from(sorted(record.keys() - {"kind"})))] = data.draw(VALUES)
    try:
        journal = read_records.fold(read_records.scan(b"".join(map(record_lines.encode, body))), "x")
    except GemcliError as error:
        assert error.exit == 65  # noqa: PT017 - the rest is shown
        return
    shown(journal)
