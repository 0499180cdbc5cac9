"""`gemcli history`: the views of a session, which it never changes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.builders import (
    CALL,
    RESPONSE,
    answer,
    header,
    mixed,
    request,
    response,
    sse,
    streaming,
    turn,
    write_session,
)
from tests.support import InProcess, Model


def test_the_turns_of_the_history(here: InProcess) -> None:
    """Without options the live turns are printed, oldest first, one a line."""
    write_session("a", *mixed())
    lines = here("history", "-s", "a").lines
    assert [(line["turn"], line["user"], line["text"], line["state"]) for line in lines] == [
        (1, "question 1", "answer 1", "answered"),
        (6, "question 6", "answer 6", "answered"),
    ]


def test_all_turns_with_their_states(here: InProcess) -> None:
    """`--all` shows every turn that ever was, with what came of it, and why."""
    write_session("a", *mixed(), request(7, "q"), response(7, CALL))
    lines = here("history", "-s", "a", "--all", "--full").lines
    states = ["answered", "refused", "failed", "in_doubt", "rewound", "answered", "open"]
    assert [(line["turn"], line["state"]) for line in lines] == list(enumerate(states, 1))
    assert [line["text"] for line in lines] == ["answer 1", "half an answer", "", "", "answer 5", "answer 6", ""]
    assert [line["finish_reason"] for line in lines[1:4]] == ["SAFETY", None, None]
    failure = lines[2]["exchanges"][0]
    assert (failure["state"], failure["reason"], failure["message"]) == ("failed", "UNAVAILABLE", "overloaded")
    assert lines[5]["exchanges"][0]["user_parts"] == [{"text": "question 6"}]


def test_an_empty_session_has_no_lines(here: InProcess) -> None:
    """A session without turns prints nothing and is no error."""
    write_session("a", header())
    for option in ([], ["--text"], ["--all"], ["--contents"]):
        done = here("history", "-s", "a", *option)
        assert (done.status, done.out, done.err) == (0, "", "")


def test_text(here: InProcess) -> None:
    """`--text` is `role: text`, a paragraph for each; line ends at the end of a text are not doubled."""
    write_session("a", header(), *turn(1, "one\ntwo\n", "three"), *turn(2, "four", "five\n\n"))
    assert here("history", "-s", "a", "--text").out == ("user: one\ntwo\nmodel: three\n\nuser: four\nmodel: five\n")


def test_text_of_all_turns(here: InProcess) -> None:
    """`--all --text` says of a turn without an answer in the history what became of it."""
    write_session("a", *mixed()[:7])
    assert here("history", "-s", "a", "--all", "--text").out == (
        "user: question 1\nmodel: answer 1\n\n"
        "user: question 2\nmodel: half an answer\nnote: refused: ANSWER_BLOCKED, the answer ended with SAFETY\n\n"
        "user: question 3\nnote: failed: UNAVAILABLE, overloaded\n"
    )


def test_thoughts_are_no_text(here: InProcess) -> None:
    """Thoughts are left out of texts, and kept among the parts."""
    write_session("a", header(), request(1, "q"), response(1, {"text": "hm", "thought": True}, "so"))
    line = here("history", "-s", "a", "--full").json
    assert line["text"] == "so"
    assert line["exchanges"][0]["parts"][0] == {"text": "hm", "thought": True}
    assert here("history", "-s", "a", "--text").out == "user: q\nmodel: so\n"


def test_a_turn_of_two_exchanges(here: InProcess) -> None:
    """A turn with a function call is one line, with both exchanges and the final answer."""
    write_session(
        "a",
        header(),
        request(1, "q"),
        response(1, CALL),
        request(1, RESPONSE, ordinal=2),
        response(1, "end", ordinal=2),
    )
    line = here("history", "-s", "a", "--full").json
    assert (line["user"], line["text"], line["state"], line["function_calls"]) == ("q", "end", "answered", [])
    assert [exchange["id"] for exchange in line["exchanges"]] == ["1.1", "1.2"]
    assert here("history", "-s", "a", "--text").out == ('user: q\ncall: f({})\nresponse: f: {"result":1}\nmodel: end\n')
    assert len(here("history", "-s", "a", "--contents").lines) == 4


def test_full(here: InProcess, model: Model) -> None:
    """`--full` shows what is in the file: the settings of a message, what had arrived of an answer, and why no more."""
    model.script(streaming(sse(answer("Half an", finish=None))))
    assert here("send", "-s", "a", "--create", "--stream", "Hi", env=model.env).status == 75
    here("send", "-s", "a", "Hi", "--temperature", "1", "--once", "k", env=model.env)
    failed, answered = here("history", "-s", "a", "--all", "--full").lines
    exchange = failed["exchanges"][0]
    assert exchange["partial"]["candidates"][0]["content"]["parts"] == [{"text": "Half an"}]
    assert (
        (exchange["state"], exchange["reason"])
        == (failed["state"], failed["reason"])
        == ("in_doubt", exchange["reason"])
    )
    assert exchange["message"]
    exchange = answered["exchanges"][0]
    assert (exchange["config"], exchange["key"]) == ({"generationConfig": {"temperature": 1}}, "k")
    assert (answered["key"], answered["reason"]) == ("k", None)


def test_nothing_twice(here: InProcess) -> None:
    """Without `--full` the texts of a turn are printed once, so history is no larger than the file."""
    path = write_session("a", header(), *turn(1, "question " * 1000, "answer " * 1000))
    assert len(here("history", "-s", "a").out) < path.stat().st_size


def test_last(here: InProcess) -> None:
    """`--last` is the last live turn, with `--all` the last that ever was."""
    write_session("a", *mixed()[:-2])
    assert here("history", "-s", "a", "--last").json["turn"] == 1
    assert here("history", "-s", "a", "--last", "--all").json["turn"] == 5
    assert here("history", "-s", "a", "--last", "--text").out == "answer 1\n"


@pytest.mark.parametrize(("number", "state"), [(1, "answered"), (2, "refused"), (3, "failed"), (5, "rewound")])
def test_one_turn_in_any_state(here: InProcess, number: int, state: str) -> None:
    """`--turn N` shows turn N whether or not it is in the history."""
    write_session("a", *mixed())
    line = here("history", "-s", "a", "--turn", str(number)).json
    assert (line["turn"], line["state"]) == (number, state)


def test_raw(here: InProcess) -> None:
    """`--last --raw` and `--turn N --raw` are the API's whole answer, as it came, refused ones too."""
    write_session("a", header(), request(1, "q"), response(1, "x", valid=False, finish="SAFETY"), *turn(2))
    assert here("history", "-s", "a", "--last", "--raw").json == answer("answer 2")
    assert here("history", "-s", "a", "--turn", "1", "--raw").json == answer("x", finish="SAFETY")


def test_raw_keeps_unknown_fields_in_their_order(here: InProcess) -> None:
    """What the API may say one day comes back value for value, keys in their order."""
    strange = {
        "zeta": 1,
        "candidates": [{"content": {"parts": [{"text": "x", "new": {"b": 1.50, "a": None}}]}}],
        "a": [],
    }
    recorded = response(1, "x") | {"answer": strange}
    write_session("a", header(), request(1, "q"), recorded)
    assert here("history", "-s", "a", "--last", "--raw").out == json.dumps(strange, separators=(",", ":")) + "\n"


def test_contents(here: InProcess) -> None:
    """`--contents` is what the next request carries: answered live turns only, as the API takes them."""
    refused_role = response(7, "x")
    refused_role["answer"]["candidates"][0]["content"] = {"parts": [{"text": "x"}, {"text": ""}]}
    write_session("a", *mixed(), request(7, "q"), refused_role)
    lines = here("history", "-s", "a", "--contents").lines
    assert [content["role"] for content in lines] == ["user", "model"] * 3
    assert lines[-1] == {"role": "model", "parts": [{"text": "x"}]}


def test_check(here: InProcess) -> None:
    """`--check` of a sound session counts what is in its history."""
    write_session("a", *mixed())
    assert here("history", "-s", "a", "--check").json == {
        "session": "a",
        "ok": True,
        "turns": 2,
        "contents": 4,
        "torn_bytes": 0,
    }


def test_check_tells_every_breach(here: InProcess) -> None:
    """`--check` names every breach with its Content and rule, and ends with 65; the session still shows."""
    write_session("a", header(), request(1, ""), response(1, "x"), request(2, "q", {}), response(2, RESPONSE))
    done = here("history", "-s", "a", "--check")
    assert (done.status, done.out) == (65, "")
    assert done.err.splitlines() == [
        "gemcli: error: the turn order of a is broken: 3 problems",
        "  content 0: part 0 is empty text [blank-text]",
        "  content 2: part 1 is empty [blank-part]",
        "  content 3: part 0 is a functionResponse in a model Content [response-role]",
    ]
    assert here("history", "-s", "a").status == 0


def test_usage_counts_what_was_paid(here: InProcess) -> None:
    """`--usage` counts refused and rewound answers too, for they were billed, and no tokens for failures."""
    write_session("a", *mixed())
    usage = here("history", "-s", "a", "--usage").json
    assert (usage["turns"], usage["requests"]) == (2, 6)
    assert (usage["prompt_token_count"], usage["candidates_token_count"], usage["total_token_count"]) == (12, 16, 28)


def test_path(here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--path` is the absolute path of the file, which need not load; a link is not followed."""
    path = write_session("a", header())
    assert here("history", "-s", "a", "--path").out == f"{path}\n"
    path.write_text("nonsense")
    assert here("history", "-s", "a", "--path").out == f"{path}\n"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.jsonl").symlink_to(path)
    assert here("history", "-s", "l.jsonl", "--path").out == f"{tmp_path}/l.jsonl\n"
    assert here("history", "-s", "no.jsonl", "--path").status == 66


def test_sessions(here: InProcess) -> None:
    """`--sessions` lists the named sessions in order; one that does not load is listed with its error."""
    assert here("history", "--sessions").out == ""
    write_session("b", header(), *turn(1))
    write_session("c", header())
    path = write_session("a", header())
    path.write_text("nonsense\nmore\n")
    for stray in ("b.jsonl.bak-1", ".x.jsonl", "notes.txt"):
        (path.parent / stray).write_text("")
    done = here("history", "--sessions")
    assert done.status == 0
    assert [(line["session"], line.get("turns"), line.get("error")) for line in done.lines] == [
        ("a", None, "NOT_A_SESSION"),
        ("b", 1, None),
        ("c", 0, None),
    ]


def test_sessions_whose_names_nobody_gave(here: InProcess) -> None:
    """A file in the directory of sessions whose name is no session name does not break the list."""
    path = write_session("good", header())
    (path.parent / "a b.jsonl").write_bytes(path.read_bytes())
    (path.parent / "d.jsonl").mkdir()
    done = here("history", "--sessions")
    assert done.status == 0
    assert [line["session"] for line in done.lines if "error" not in line] == ["good"]


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["--last"], 65, "empty has no turns yet"),
        (["--turn", "9"], 65, "empty has no turn 9"),
        (["--turn", "0"], 2, "--turn"),
        (["--turn", "-1"], 2, "--turn"),
        (["--turn", "one"], 2, "--turn"),
        (["-s", "mixed", "--turn", "3", "--raw"], 65, "turn 3 of mixed has no answer"),
        (["--raw"], 2, "--raw needs --last or --turn"),
        (["--check", "--usage"], 2, "--check and --usage exclude each other"),
        (["--contents", "--path"], 2, "--contents and --path exclude each other"),
        (["--sessions", "--check"], 2, "--check and --sessions exclude each other"),
        (["-s", ""], 2, "session"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_shown(here: InProcess, args: list[str], status: int, words: str) -> None:
    """What is not there is 65, so that a script does not take "" for an answer; a wrong command line is 2."""
    write_session("empty", header())
    write_session("mixed", *mixed())
    done = here("history", "-s", "empty", *args)
    assert (done.status, done.out) == (status, "")
    assert words in done.err


def test_no_session_at_all(here: InProcess) -> None:
    """Without -s and GEMCLI_SESSION there is nothing to show."""
    done = here("history")
    assert (done.status, done.out) == (2, "")
    assert "missing option -s: which session?" in done.err


READERS = {
    "turns": ["history", "-s", "a"],
    "last": ["history", "-s", "a", "--last"],
    "usage": ["history", "-s", "a", "--usage"],
    "contents": ["history", "-s", "a", "--contents"],
    "sessions": ["history", "--sessions"],
    "export": ["export", "markdown", "-s", "a"],
    "dry rewind": ["rewind", "-s", "a", "--dry-run"],
    "dry send": ["send", "-s", "a", "--dry-run", "more"],
    "fork": ["new", "-s", "b", "--from", "a"],
    "import": ["new", "-s", "b", "--history"],
    "replay": ["replay", "--dry-run", "-s", "b"],
}


@pytest.mark.parametrize("name", READERS)
def test_a_torn_last_line(here: InProcess, name: str) -> None:
    """Whoever only reads says once that a record is left out, and changes nothing."""
    path = write_session("a", header(), *turn(1))
    torn = path.read_bytes() + b'{"kind":"requ'
    path.write_bytes(torn)
    file = [str(path)] if name in ("import", "replay") else []
    done = here(*READERS[name], *file)
    assert done.status == 0
    assert done.err.count("a crash tore") == 1, done.err
    assert path.read_bytes() == torn
    assert set(os.listdir(path.parent)) <= {"a.jsonl", "b.jsonl"}


def test_check_counts_what_is_torn(here: InProcess) -> None:
    """A torn last line does not break the session: `--check` counts its bytes, until the next writer moves it."""
    path = write_session("a", header(), *turn(1))
    path.write_bytes(path.read_bytes() + b'{"kind":"requ')
    done = here("history", "-s", "a", "--check")
    assert (done.status, done.json["ok"], done.json["torn_bytes"]) == (0, True, 13)
    assert "(13 bytes); it is left out, and the next command that writes moves it to a file of its own" in done.err
    assert "torn-1" in here("rewind", "-s", "a").err
    done = here("history", "-s", "a", "--check")
    assert (done.json["torn_bytes"], done.err) == (0, "")


def test_a_writer_at_work_tears_nothing(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A last line that is still being written is read again, not told of."""
    path = write_session("a", header(), *turn(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    monkeypatch.setattr(time, "sleep", lambda _: path.write_bytes(whole))
    done = here("history", "-s", "a", "--check")
    assert (done.json["torn_bytes"], done.err) == (0, "")
