"""Every condition of sending × every form of printing × every state of a session.

A cell is one message that is sent under a condition (see `conditions`) with the options of a form to a session in some
state. Each must show: the exit status and the reason, how often the message was sent, what is recorded, the old history
untouched byte for byte, and on stdout nothing but what is in the file. Then the session must take the next message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from gemcli.api.backends import Backend
from gemcli.chat import turn_order
from gemcli.chat.contents import user_text
from gemcli.errors import EXIT, REASONS, ReasonName
from gemcli.requests.prepare_request import prepare
from gemcli.sessions.filesystem import FileSystem
from gemcli.sessions.store import Store
from gemcli.signals import deferred
from tests.builders import header, request, response, turn, write_session
from tests.support import Done, InProcess, Model, assert_untold
from tests.system.conditions import CALL, CONDITIONS, Cell, Condition, environment
from tests.system.test_contract import ERROR, SEND

FORMS = {"json": [], "stream": ["--stream"], "text": ["--text"], "stream-text": ["--stream", "--text"]}
"""The ways to print an answer."""

RESPONSE = {"functionResponse": {"name": "roll", "id": "c1", "response": {"result": 4}}}

ROLL = request(2, "roll", model="gemini-test", backend="gemini")

STATES: dict[str, tuple[list[Any], list[str], Any]] = {
    "fresh": ([], ["hello"], user_text("hello")),
    "three-turns": ([*turn(1), *turn(2), *turn(3)], ["hello"], user_text("hello")),
    "open-call": (
        [*turn(1), ROLL, response(2, CALL)],
        ["--response", 'roll={"result": 4}'],
        {"role": "user", "parts": [RESPONSE]},
    ),
}
"""The states of a session: its records after the header, what is typed, and the Content that this sends."""

SENT_AGAIN = {"RATE_LIMIT", "SERVER_TIMEOUT", "SERVER_ERROR", "UNAVAILABLE", "CONNECT", "DNS", "CONNECT_TIMEOUT"}
"""What is sent once more by itself when it was rejected; everything else is final at once."""


def read_history(path: Path) -> list[Any]:
    """The history of a session."""
    return Store(FileSystem(), lambda note: None).read(str(path)).history


class Matrix:
    """The program in this process and a scripted model: `matrix(condition, form, state)` checks one cell."""

    def __init__(self, here: InProcess, model: Model) -> None:
        self._here = here
        self._model = model
        self.env = dict(model.env)
        self.options = ["--retries", "1", "--errors", "json"]

    def __call__(self, condition: Condition, form: str, state: str) -> None:
        """Send one message in this world, and compare everything that can be seen of it."""
        old, typed, content = STATES[state]
        path = write_session("s", header("gemini-test", backend="gemini"), *old)
        history = read_history(path)
        self._model.replies[:] = [condition.reply] * 3
        self._model.requests.clear()
        waits: list[float] = []

        with pytest.MonkeyPatch.context() as patch:
            cell = Cell(path, dict(self.env), patch, [*self.options, *FORMS[form]])
            cell.requests = lambda: len(self._model.requests)
            patch.setattr(deferred, "sleep", lambda seconds: waits.append(seconds))
            with (condition.world or environment())(cell):
                before = path.read_bytes() if path.exists() else b""
                done = self._here("send", "-s", "s", *typed, *cell.options, env=cell.env, fs=cell.fs)
                requests = cell.requests()
        deferred.arrived.clear()
        after = path.read_bytes() if path.exists() else b""
        self.look(done.bytes, done.err.encode(), *(file.read_bytes() for file in path.parent.iterdir()))

        attempts = 2 if condition.ends == "rejected" and condition.reason in SENT_AGAIN else 1
        assert len(waits) == attempts - 1
        if condition.world is None:
            assert requests == attempts
        elif condition.ends != "rejected":
            assert requests == (0 if condition.ends == "unsent" else 1)

        error = self._error(condition, done, attempts)
        assert after.startswith(before)
        added = [json.loads(line) for line in after[len(before) :].splitlines()]
        if condition.ends == "unsent":
            assert added == []
        elif condition.ends in ("answered", "blocked"):
            recorded_answer(condition, content, added)
        elif condition.ends in ("rejected", "unknown"):
            recorded_failure(condition, content, added, error, attempts)
        PRINTED[form](condition, done)

        if condition.reason not in ("CORRUPT", "SESSION_MISSING"):
            parts = [{"text": condition.text}] if condition.parts is None else condition.parts
            new = [content, {"role": "model", "parts": parts}] if condition.ends == "answered" else []
            goes_on(path, [*history, *new])

    def look(self, *told: bytes) -> None:
        """Look at everything that was printed and is in a file: the key is not there."""
        assert_untold(*told)

    def _error(self, condition: Condition, done: Done, attempts: int) -> dict[str, Any]:
        """The error on stderr; every line there is JSON, and the error is the last."""
        lines = [json.loads(line) for line in done.err.splitlines()]
        error = lines.pop() if lines and lines[-1]["level"] == "error" else {}
        assert (done.status, error.get("reason")) == (condition.exit, condition.reason), done.err
        assert {line["level"] for line in lines} <= ({"note", "debug"} if "--debug" in self.options else {"note"})
        if condition.reason is None:
            others = [line for line in lines if not line["message"].startswith("not shown as text: ")]
            assert "--debug" in self.options or others == []
            return {}
        assert list(error) == ERROR
        reason = REASONS[cast("ReasonName", condition.reason)]
        assert (error["exit"], error["code"], error["retryable"]) == (condition.exit, reason.code, reason.retryable)
        if condition.http is not None:
            told = error["http"], error["retry_after_s"], error["attempts"]
            assert told == (condition.http, condition.retry_after, attempts)
        return error


# What is in the file


def recorded_answer(condition: Condition, content: dict[str, Any], added: list[dict[str, Any]]) -> None:
    """The request and its answer, value for value."""
    request, end = added
    assert (request["kind"], request["content"], end["request"]) == ("request", content, request["id"])
    assert (end["kind"], end["valid"], len(end["attempts"])) == ("response", condition.ends == "answered", 1)
    if condition.body is not None:
        # As text, so that neither the order of keys nor 1 and 1.0 and True pass for the same.
        assert json.dumps(end["answer"]) == json.dumps(condition.body)


def recorded_failure(
    condition: Condition, content: dict[str, Any], added: list[dict[str, Any]], error: dict[str, Any], attempts: int
) -> None:
    """The request and its failure, as the error tells it."""
    request, end = added
    assert (request["kind"], request["content"], end["request"]) == ("request", content, request["id"])
    assert (end["kind"], end["outcome"], end["reason"]) == ("failure", condition.ends, condition.reason)
    assert [end[key] for key in ("outcome", "code", "message")] == [
        error[key] for key in ("outcome", "code", "message")
    ]
    assert [attempt["reason"] for attempt in end["attempts"]] == [condition.reason] * attempts
    assert all("wait_s" in attempt for attempt in end["attempts"][:-1])
    if condition.kept is not None:
        assert end["partial"] == condition.kept
    elif condition.ends == "rejected":
        assert "partial" not in end


def goes_on(path: Path, history: list[Any]) -> None:
    """The session loads, has this history, and the API would take the next message on top of it."""
    journal = Store(FileSystem(), lambda note: None).read(str(path))
    assert journal.history == history
    calls = turn_order.open_calls(history)
    replies = [{"name": call["name"], "response": {}} | ({"id": call["id"]} if "id" in call else {}) for call in calls]
    then: Any = (
        {"role": "user", "parts": [{"functionResponse": reply} for reply in replies]} if calls else user_text("next")
    )
    assert prepare(journal, then, Backend("gemini")).body["contents"] == [*history, then]


# What is on stdout: nothing, or what is in the file


def printed_json(condition: Condition, done: Done) -> None:
    """One document, if there is an answer."""
    if condition.ends not in ("answered", "blocked", "unsaved"):
        assert done.out == ""
        return
    document, saved = done.json, condition.ends != "unsaved"
    parts = document.pop("parts", None)
    assert list(document) == SEND
    shown = {"text", "functionCall"}
    others = [part for part in condition.parts or [] if part.keys() - {"thoughtSignature"} and not part.keys() & shown]
    assert parts == (condition.parts if others else None)
    assert (document["text"], document["saved"]) == (condition.text, saved)
    if saved:
        reason = REASONS[cast("ReasonName", condition.reason)] if condition.reason else None
        assert (document["reason"], document["status"]) == (condition.reason, reason.status if reason else "ok")
        assert EXIT[document["status"]] == condition.exit
    if condition.reason == "FUNCTION_CALL":
        calls = [part["functionCall"] for part in condition.parts or [] if "functionCall" in part]
        assert document["function_calls"] == calls


def printed_events(condition: Condition, done: Done) -> None:
    """The chunks of the text, and a final event with the answer or the error."""
    *events, final = done.lines
    assert (final["event"], final["exit"]) == ("final", condition.exit)
    assert (final["error"] or {}).get("reason") == condition.reason
    assert {event["event"] for event in events} <= {"chunk", "wait", "thought", "call", "part"}
    assert "".join(event["text"] for event in events if event["event"] == "chunk") == condition.text
    if condition.ends in ("answered", "blocked", "unsaved"):
        assert final.keys() == {"event", "exit", "error", *SEND}
        assert (final["text"], final["saved"]) == (condition.text, condition.ends != "unsaved")
    else:
        assert final.keys() == {"event", "session", "time", "exit", "error"}
        assert final["error"] == {key: value for key, value in done.error.items() if key != "level"}


def printed_text(condition: Condition, done: Done) -> None:
    """The text of an answer."""
    if condition.ends in ("answered", "blocked", "unsaved"):
        assert_text(done, condition.text, ended=True)
    else:
        assert done.out == ""


def printed_streamed_text(condition: Condition, done: Done) -> None:
    """The text as far as it arrived; that of an answer ends its line."""
    assert_text(done, condition.text, ended=condition.ends in ("answered", "blocked", "unsaved"))


def assert_text(done: Done, text: str, *, ended: bool) -> None:
    """The text was printed. How half a surrogate pair is printed is not a matter of the matrix."""
    if "\ud800" not in text:
        newline = "\n" if ended and text and not text.endswith("\n") else ""
        assert done.out == text + newline


PRINTED = {"json": printed_json, "stream": printed_events, "text": printed_text, "stream-text": printed_streamed_text}


# The cells


@pytest.fixture
def matrix(here: InProcess, model: Model) -> Matrix:
    """The program in this process, with no session yet."""
    return Matrix(here, model)


def run(matrix: Matrix, rows: Mapping[str, Condition], form: str, state: str) -> tuple[int, list[str]]:
    """Check every row: how many cells there were, and what was wrong with which."""
    wrong = []
    for name, row in rows.items():
        try:
            matrix(row, form, state)
        except Exception as error:  # every wrong cell is told, not the first one only
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return len(rows), wrong


SHORT = {("json", "open-call"), ("stream", "open-call"), ("text", "three-turns"), ("stream-text", "three-turns")}
"""The cells of the short form; those of a fresh session are in test_secrets, and the long form has all of them."""

CELLS = [
    pytest.param(form, state, marks=[] if (form, state) in SHORT else [pytest.mark.torture])
    for form in FORMS
    for state in STATES
]


@pytest.mark.parametrize(("form", "state"), CELLS)
def test_every_condition(form: str, state: str, matrix: Matrix) -> None:
    """Each condition ends in its status, reason and records, is sent as often as it may be, and harms no history."""
    slow = "text" not in form and state == "open-call"
    rows = {name: row for name, row in CONDITIONS.items() if slow or not row.slow}
    cells, wrong = run(matrix, rows, form, state)
    assert not wrong, "\n\n".join(wrong)
    assert cells > 160


@pytest.mark.torture
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("form", FORMS)
def test_every_slow_condition(form: str, state: str, matrix: Matrix, figures: Callable[..., None]) -> None:
    """The same for the conditions that wait for a clock, in every form and state."""
    cells, wrong = run(matrix, {name: row for name, row in CONDITIONS.items() if row.slow}, form, state)
    figures(f"wire, slow, {form} {state}", cells=cells, wrong=len(wrong))
    assert not wrong, "\n\n".join(wrong)
    assert cells > 1


def test_every_condition_in_one_session(here: InProcess, model: Model) -> None:
    """After every refusal and every useless answer in one session, the history is what was answered."""
    here.ok("new", "-s", "s")
    here.ok("send", "-s", "s", "first question")
    before = read_history(here.session("s"))
    rows = [row for row in CONDITIONS.values() if row.world is None and row.ends != "answered" and not row.slow]
    for place, row in enumerate(rows):
        model.script(row.reply)
        assert here("send", "-s", "s", f"lost {place}").status == row.exit
    assert all(sent["contents"][:-1] == before for sent in model.requests[1:])
    assert len(model.requests) == 1 + len(rows)
    goes_on(here.session("s"), before)


@pytest.mark.parametrize("name", ["429-seconds", "200-html", "answer-text"])
def test_the_installed_program(name: str, here: InProcess, model: Model) -> None:
    """A process of its own tells a script the same as the cells say."""
    row = CONDITIONS[name]
    here.ok("new", "-s", "s")
    model.script(row.reply)
    done = super(InProcess, here).__call__("send", "-s", "s", "hi", "--errors", "json")
    error = done.error["reason"] if done.err else None
    assert (done.status, error, done.out == "") == (row.exit, row.reason, row.ends != "answered")
    assert (done.err.count("\n"), len(model.requests)) == (1 if row.reason else 0, 1)
