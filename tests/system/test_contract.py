"""The contract with scripts: the keys of every JSON document, typed here a second time.

Keys are added to, never changed or taken away. Whoever changes one of these lists breaks somebody's script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders import CALL, answer, header, mixed, request, response, turn, write_session
from tests.support import InProcess, Model

SESSION = [
    "session", "path", "id", "time", "last_time", "model", "backend", "project", "location",
    "config", "turns", "last_turn", "origin",
]  # fmt: skip
NEW = [*SESSION, "backup"]
COUNTERS = [
    "turns", "requests", "prompt_token_count", "cached_content_token_count",
    "candidates_token_count", "thoughts_token_count", "tool_use_prompt_token_count",
    "total_token_count",
]  # fmt: skip
SEND = [
    "session", "turn", "id", "key", "time", "model", "sent", "text", "function_calls",
    "finish_reason", "block_reason", "usage_metadata", "model_version", "response_id", "status",
    "reason", "hops", "context_token_count", "resumable", "attempts", "elapsed_ms", "waited_ms",
    "saved", "tools", "totals", "notes",
]  # fmt: skip
TURN = [
    "turn", "time", "state", "reason", "key", "model", "user", "text", "function_calls",
    "finish_reason", "block_reason", "usage_metadata", "model_version", "response_id", "hops",
    "context_token_count", "resumable", "attempts", "elapsed_ms", "waited_ms",
]  # fmt: skip
EXCHANGE = [
    "id", "time", "state", "reason", "message", "key", "model", "config", "user_parts", "parts",
    "tools", "partial", "finish_reason", "block_reason", "usage_metadata", "model_version", "response_id",
    "hops", "context_token_count", "attempts", "elapsed_ms", "waited_ms",
]  # fmt: skip
ERROR = [
    "level", "code", "reason", "exit", "message", "hint", "retryable", "retry_after_s", "http",
    "attempts", "outcome", "problems", "problem_count",
]  # fmt: skip
PROBLEM = ["rule", "message", "index", "line", "column", "hint", "file"]

API_FORM = {"parts", "user_parts", "partial", "config", "function_calls", "problems"}
"""Keys below which values are in the form of the API (Contents, Parts, config) or are no keys of ours."""


def keys(value: Any, *, of: str = "") -> Iterator[str]:
    """Every key of a document and of the objects in it, but for what is in the API's own form."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in API_FORM or not isinstance(inner, dict | list):
                yield from keys(inner, of=key)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, of=of)


def assert_snake_case(document: Any) -> None:
    """Names of our own are in snake_case."""
    assert [key for key in keys(document) if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", key)] == []


def assert_turn(document: dict[str, Any]) -> None:
    """A turn has exactly the promised keys."""
    assert list(document) == TURN
    assert isinstance(document["text"], str)
    assert isinstance(document["user"], str)
    assert_snake_case(document)


def test_new(here: InProcess) -> None:
    """`new` prints the session, with the same keys whatever it was made from."""
    made = here("new", "-s", "a", "--max-output-tokens", "5").json
    assert list(made) == NEW
    assert_snake_case(made)
    assert made["config"] == {"generationConfig": {"maxOutputTokens": 5}}
    assert (made["origin"], made["backup"], made["last_turn"]) == (None, None, None)
    forked = here("new", "-s", "b", "--from", "a").json
    assert list(forked) == NEW
    assert list(forked["origin"]) == ["kind", "session", "id", "turn"]


def test_send(here: InProcess, model: Model) -> None:
    """`send` prints the answer, where it stands and what was used, under the SDK's names."""
    usage = {"promptTokenCount": 3, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}]}
    model.script(answer("Hi", usageMetadata=usage, responseId="r1"))
    done = here("send", "-s", "a", "--create", "hello")
    assert list(done.json) == SEND
    assert list(done.json["totals"]) == COUNTERS
    assert_snake_case(done.json)
    assert done.json["usage_metadata"] == {
        "prompt_token_count": 3,
        "prompt_tokens_details": [{"modality": "TEXT", "token_count": 3}],
    }
    assert (done.json["status"], done.json["reason"], done.json["saved"]) == ("ok", None, True)


def test_history(here: InProcess) -> None:
    """`history` prints the same keys for a turn in any state."""
    write_session("a", *mixed(), request(7, "call it"), response(7, CALL))
    lines = here("history", "-s", "a", "--all").lines
    assert len(lines) == 7
    for line in lines:
        assert_turn(line)
    assert lines[6]["function_calls"] == [CALL["functionCall"]]
    for line in here("history", "-s", "a", "--all", "--full").lines:
        assert list(line) == [*TURN, "exchanges"]
        assert [list(exchange) for exchange in line["exchanges"]] == [EXCHANGE]
        assert_snake_case(line)


def test_history_views(here: InProcess) -> None:
    """The other views of `history` have their keys, too; a Content is in the API's form."""
    write_session("a", header(), *turn(1))
    write_session("bad", header(), {"kind": "nonsense"})
    usage = here("history", "-s", "a", "--usage").json
    assert list(usage) == ["session", *COUNTERS]
    assert all(type(usage[name]) is int for name in COUNTERS)
    assert list(here("history", "-s", "a", "--check").json) == ["session", "ok", "turns", "contents", "torn_bytes"]
    good, bad = here("history", "--sessions").lines
    assert (list(good), list(bad)) == (SESSION, ["session", "error", "message"])
    assert [set(content) for content in here("history", "-s", "a", "--contents").lines] == [{"parts", "role"}] * 2


def test_rewind(here: InProcess) -> None:
    """`rewind` prints the turns that it took, `--undo` those that it brought back."""
    write_session("a", header(), *turn(1))
    gone = here("rewind", "-s", "a").json
    assert list(gone) == ["session", "rewound", "turns", "last_turn", "dry_run"]
    assert_turn(gone["rewound"][0])
    back = here("rewind", "-s", "a", "--undo").json
    assert list(back) == ["session", "restored", "turns", "last_turn", "dry_run"]
    assert_turn(back["restored"][0])


def test_errors(here: InProcess) -> None:
    """An error is one JSON object with all its keys, and so is each of its problems; stdout stays empty."""
    (here.directory / "h.json").write_text('[{"role":"user","parts":[]},{"role":"assistant","parts":[]}]')
    done = here("new", "-s", "a", "--history", "h.json", "--errors", "json")
    assert done.out == ""
    assert list(done.error) == ERROR
    assert [list(problem) for problem in done.error["problems"]] == [PROBLEM] * 2
    assert done.error["level"] == "error"
    assert done.error["exit"] == done.status == 65
    assert_snake_case(done.error)


def test_errors_json_from_the_environment(here: InProcess) -> None:
    """GEMCLI_ERRORS=json makes every line on stderr a JSON object with `level`, notes included."""
    write_session("a", *mixed()[:5])
    done = here("rewind", "-s", "a", env={"GEMCLI_ERRORS": "json"})
    notes = [json.loads(line) for line in done.err.splitlines()]
    assert [list(note) for note in notes] == [["level", "message"]]
    assert notes[0]["level"] == "note"


@pytest.mark.parametrize(
    "args",
    [["--nope"], ["nope"], ["send"], ["send", "-s", "a", "--timeout", "soon"], ["history", "--last=3"], []],
    ids=["option", "command", "no-session", "type", "flag-value", "nothing"],
)
def test_usage_errors_are_json_too(here: InProcess, args: list[str]) -> None:
    """What is wrong with the command line itself is told as JSON, when that was asked for."""
    done = here("--errors", "json", *args)
    assert done.status == 2
    assert (done.error["reason"], done.error["exit"], done.out) == ("USAGE", 2, "")
    assert done.error["message"]
