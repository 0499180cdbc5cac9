"""Records: how one becomes a line and comes back, what each kind holds, and histories from outside."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import turn_order
from gemcli.chat.contents import Content, user_text
from gemcli.sessions import imported_history, record_lines, record_types, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.totals import totals_of
from gemcli.text import strict_json
from tests.builders import contents, json_values


@given(st.dictionaries(st.text(max_size=5), json_values(), max_size=5), st.text(max_size=5))
def test_round_trip(record: dict[str, Any], kind: str) -> None:
    """Any record is one line and comes back value for value, keys in their order."""
    record = {**record, "kind": kind}
    line = record_lines.encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    assert repr(record_lines.parse(line)) == repr(record_lines.parse(line[:-1])) == repr(record)


NO_RECORDS = ["[]", "null", "5", '"kind"', "{}", '{"kind":1}', '{"kind":null}', '{"Kind":"x"}', '{"kind":"x","a":NaN}']


@pytest.mark.parametrize("line", NO_RECORDS)
def test_no_record(line: str) -> None:
    """What is no object with a kind, or no strict JSON, is no record."""
    message = "not a record: an object with `kind` is expected" if "NaN" not in line else "NaN is not JSON"
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        record_lines.parse(line.encode())


def test_depth() -> None:
    """The deepest value that is accepted from outside can still be read back from inside a record."""
    deepest = strict_json.loads("[" * strict_json.MAX_DEPTH + "]" * strict_json.MAX_DEPTH)
    content: Content = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"x": deepest}}}]}
    record = records.request(1, "1.1", content, model="m", backend="gemini")
    assert record_lines.decode(record_lines.encode(record)) == record
    answer: Any = {"deep": deepest}
    response = records.response("1.1", answer, valid=False, attempts=[], elapsed_ms=0)
    assert record_lines.decode(record_lines.encode(response)) == response


def test_now() -> None:
    """The time is RFC 3339 in UTC with milliseconds, and it is now."""
    before = time.time()
    moment = records.now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
    assert time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before)) <= moment


CONTENT = user_text("q")
SENT: Any = {"model": "m", "backend": "gemini"}
ASKED = {"kind": "request", "turn": 3, "id": "3.2", "content": CONTENT, **SENT}
TOLD: Any = {"answer": {"a": 1}, "valid": True, "attempts": [{}], "elapsed_ms": 7}
FAILED: Any = {"outcome": "rejected", "code": "UNAVAILABLE", "reason": "DNS", "message": "no", "attempts": []}
FAILURE = {"kind": "failure", "request": "3.2", **FAILED}

CONTINUE = {"kind": "continue", "request": "3.2", "hop": 2, "token": "t"}
CALL: Any = {"name": "f"}
TOOL = {"kind": "tool", "request": "3.2", "place": 0, "call": CALL}
RAN: Any = {"response": {"result": 1}, "elapsed_ms": 3}

CONFIG: Any = {"a": 1}

MADE: dict[str, tuple[Any, dict[str, Any]]] = {
    "request": (records.request(3, "3.2", CONTENT, **SENT), ASKED),
    "request-config": (records.request(3, "3.2", CONTENT, **SENT, config=CONFIG), {**ASKED, "config": {"a": 1}}),
    "request-empty-config": (records.request(3, "3.2", CONTENT, **SENT, config={}), ASKED),
    "request-key": (records.request(3, "3.2", CONTENT, **SENT, key=""), {**ASKED, "key": ""}),
    "continue": (records.continuation("3.2", 2, "t"), CONTINUE),
    "continue-config": (records.continuation("3.2", 2, "t", config=CONFIG), CONTINUE | {"config": {"a": 1}}),
    "tool-started": (records.tool_started("3.2", 0, CALL), {**TOOL, "state": "started"}),
    "tool-ended": (records.tool_ended("3.2", 0, CALL, **RAN), {**TOOL, "state": "ended", **RAN}),
    "tool-ended-parts": (records.tool_ended("3.2", 0, CALL, **RAN, parts=[1]),
        {**TOOL, "state": "ended", **RAN, "parts": [1]}),
    "response": (records.response("3.2", **TOLD), {"kind": "response", "request": "3.2", **TOLD}),
    "failure": (records.failure("3.2", **FAILED), FAILURE),
    "failure-partial": (records.failure("3.2", **FAILED, partial=[]), {**FAILURE, "partial": []}),
    "rewind": (records.rewind((1, 2)), {"kind": "rewind", "turns": [1, 2]}),
    "undo": (records.undo((1, 2)), {"kind": "undo", "turns": [1, 2]}),
}  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), MADE.values(), ids=MADE)
def test_kinds(made: Any, expected: dict[str, Any]) -> None:
    """Each kind of record holds what the format says, and the time."""
    assert list(made)[:2] == ["kind", "time"]
    assert {key: value for key, value in made.items() if key != "time"} == expected


def test_session() -> None:
    """The first record says which format, model, backend and config; each session gets an id of its own."""
    plain: Any = {"model": "m", "backend": "gemini", "config": {"a": 1}}
    one = records.session(**plain, origin=None)
    other = records.session(**plain, origin={"kind": "import"})
    assert {key: value for key, value in one.items() if key not in ("time", "id")} == {
        "kind": "session",
        "format": record_types.FORMAT,
        **plain,
    }
    assert other["origin"] == {"kind": "import"}
    assert one["id"] != other["id"]
    assert Journal([one]).header == one


CALLING: Content = {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}
ANSWERING: Content = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}
HEADER = records.session(**SENT, config={}, origin=None)


def test_imported() -> None:
    """A history becomes exchanges numbered from turn 1, calls within their turn, all of it marked as imported."""
    history = [*contents("q1", "a1", "q2"), CALLING, ANSWERING, *contents("q", "a2")[1:], *contents("q3", "a3")]
    made: list[Any] = imported_history.from_contents(history, **SENT)
    names = ["1.1", "2.1", "2.2", "3.1"]
    assert [record["id"] for record in made[::2]] == [record["request"] for record in made[1::2]] == names
    assert all(record["imported"] is True for record in made)
    journal = Journal([HEADER, *made])
    assert journal.history == history
    assert totals_of(journal)["requests"] == 0


def test_imported_open_turn() -> None:
    """A history that ends in a function call is imported open, and can be answered; an empty one has no records."""
    journal = Journal([HEADER, *imported_history.from_contents([*contents("q"), CALLING], **SENT)])
    assert turn_order.open_calls(journal.history) == [{"name": "f"}]
    assert journal.next_exchange(ANSWERING) == (1, "1.2")
    assert imported_history.from_contents([], **SENT) == []
