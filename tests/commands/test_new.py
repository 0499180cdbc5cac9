"""`gemcli new`: a session from nothing, from a history, from another session."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gemcli.api.models import DEFAULT_MODEL
from gemcli.sessions import record_lines
from gemcli.settings.definitions import OPTIONS
from tests.builders import (
    CALL,
    ECHO,
    RESPONSE,
    contents,
    header,
    mixed,
    records_of,
    request,
    response,
    texts,
    turn,
    write_session,
)
from tests.support import InProcess


def first_record(name: str) -> Any:
    """The session record of a named session."""
    return records_of(name)[0]


def history(here: InProcess, name: str) -> list[dict[str, Any]]:
    """The Contents of a named session."""
    return here("history", "-s", name, "--contents").lines


SETTINGS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "--system": (["Be brief"], {"systemInstruction": {"parts": [{"text": "Be brief"}]}}),
    "--temperature": (["0.5"], {"generationConfig": {"temperature": 0.5}}),
    "--top-p": (["1"], {"generationConfig": {"topP": 1.0}}),
    "--top-k": (["40"], {"generationConfig": {"topK": 40}}),
    "--seed": (["-7"], {"generationConfig": {"seed": -7}}),
    "--max-output-tokens": (["100"], {"generationConfig": {"maxOutputTokens": 100}}),
    "--stop": (["END", "no"], {"generationConfig": {"stopSequences": ["END", "no"]}}),
    "--safety": (
        ["harassment=none", "hate-speech=only-high"],
        {
            "safetySettings": [
                {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
                {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
            ]
        },
    ),
    "--thinking-budget": (["0"], {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}),
    "--thinking-level": (["low"], {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}),
}
"""Each setting as it is typed, and in the form that the session keeps and the API takes."""


@pytest.mark.parametrize("option", [setting.option for setting in OPTIONS])
def test_a_setting_is_kept_in_rest_form(here: InProcess, option: str) -> None:
    """A setting stands in the session record in the API's own form, and is printed so."""
    given, kept = SETTINGS[option]
    made = here("new", "-s", "a", *(word for value in given for word in (option, value))).json
    assert made["config"] == kept == first_record("a")["config"]


def test_an_empty_session(here: InProcess) -> None:
    """Without options a session has the default model, no settings, no turns, and an id of its own, in one record."""
    made = here("new", "-s", "a").json
    assert (made["model"], made["backend"], made["config"], made["turns"]) == (DEFAULT_MODEL, "gemini", {}, 0)
    assert made["path"] == str(here.session("a"))
    record = first_record("a")
    assert (record["kind"], record["format"], record["id"]) == ("session", 1, made["id"])
    assert Path(made["path"]).read_bytes().count(b"\n") == 1
    other = here("new", "-s", "b", "--force").json
    assert (other["backup"], other["id"] != made["id"]) == (None, True)


def test_the_model_of_the_environment(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """GEMCLI_MODEL is the model of sessions that name none; an empty one is none."""
    monkeypatch.setenv("GEMCLI_MODEL", "from-env")
    assert here("new", "-s", "a").json["model"] == "from-env"
    assert here("new", "-s", "b", "--model", "simulator/echo").json["model"] == "simulator/echo"
    monkeypatch.setenv("GEMCLI_MODEL", "")
    assert here("new", "-s", "c").json["model"] == DEFAULT_MODEL


def test_an_existing_session_is_kept(here: InProcess) -> None:
    """Without --force an existing session is 73, and not touched."""
    path = write_session("a", header(), *turn(1))
    before = path.read_bytes()
    done = here("new", "-s", "a")
    assert (done.status, done.out) == (73, "")
    assert "a.jsonl already exists" in done.err
    assert "hint: --force keeps it as a backup" in done.err
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.jsonl"]


def test_force_keeps_what_it_replaces(here: InProcess) -> None:
    """With --force the old session is kept as .bak-1, the next as .bak-2, whole; the printed backup is its file."""
    path = write_session("a", header(), *turn(1))
    old = path.read_bytes()
    first = here("new", "-s", "a", "--force").json
    middle = path.read_bytes()
    second = here("new", "-s", "a", "--force").json
    assert [first["backup"], second["backup"]] == [f"{path}.bak-1", f"{path}.bak-2"]
    assert Path(first["backup"]).read_bytes() == old
    assert Path(second["backup"]).read_bytes() == middle
    assert here("history", "-s", "a").out == ""
    assert here("history", "-s", f"./{os.path.relpath(first['backup'], here.directory)}").json["turn"] == 1


# --history


@pytest.mark.parametrize("form", ["list", "pretty", "jsonl", "jsonl-with-blank-lines"])
def test_a_history_from_a_file(here: InProcess, tmp_path: Path, form: str) -> None:
    """A history comes in as a JSON list or as JSON Lines, value for value, and counts as no request."""
    told_ = [*contents("q1", "a1"), contents("q2")[0], {"role": "model", "parts": [CALL]}]
    told_ += [
        {"role": "user", "parts": [RESPONSE]},
        {"role": "model", "parts": [{"text": "a2", "later": {"é": [1.5]}}]},
    ]
    lines = [json.dumps(content, ensure_ascii=False) for content in told_]
    text = {
        "list": json.dumps(told_),
        "pretty": "\n  " + json.dumps(told_, indent=2),
        "jsonl": "\n".join(lines),
        "jsonl-with-blank-lines": "\n\n".join(lines) + "\n\n",
    }[form]
    (tmp_path / "h").write_text(text)
    made = here("new", "-s", "a", "--history", tmp_path / "h").json
    assert (made["turns"], made["last_turn"]) == (2, 2)
    assert made["origin"] == {"kind": "import", "file": str(tmp_path / "h")}
    assert history(here, "a") == told_
    usage = here("history", "-s", "a", "--usage").json
    assert (usage["turns"], usage["requests"], usage["total_token_count"]) == (2, 0, 0)


def test_a_history_that_ends_in_a_call(here: InProcess, tmp_path: Path) -> None:
    """A history may end in calls that wait for their responses: the turn is open."""
    (tmp_path / "h").write_text(json.dumps([contents("q")[0], {"role": "model", "parts": [CALL]}]))
    assert here("new", "-s", "a", "--history", tmp_path / "h").status == 0
    assert here("history", "-s", "a").json["state"] == "open"


def test_a_session_file_as_history(here: InProcess) -> None:
    """A session file brings its history, model and config; options win over them."""
    path = write_session("a", header(config={"generationConfig": {"topK": 3, "seed": 1}}), *mixed()[1:])
    made = here("new", "-s", "b", "--history", path, "--seed", "2").json
    assert (made["model"], made["turns"], made["last_turn"]) == ("simulator/echo", 2, 6)
    assert made["config"] == {"generationConfig": {"topK": 3, "seed": 2}}
    assert made["origin"] == {"kind": "import", "file": str(path), "id": first_record("a")["id"], "turn": 6}
    assert history(here, "b") == history(here, "a")


# --from


def test_a_fork_has_the_history_only(here: InProcess) -> None:
    """A fork copies the live turns with their numbers, model and config; what was rewound or refused stays behind."""
    write_session("a", header(config={"generationConfig": {"topK": 3}}), *mixed()[1:])
    made = here("new", "-s", "b", "--from", "a").json
    assert (made["model"], made["config"], made["turns"]) == ("simulator/echo", {"generationConfig": {"topK": 3}}, 2)
    assert made["origin"] == {"kind": "fork", "session": "a", "id": first_record("a")["id"], "turn": 6}
    assert history(here, "b") == history(here, "a")
    assert [line["turn"] for line in here("history", "-s", "b", "--all").lines] == [1, 6]
    assert b"half an answer" not in Path(made["path"]).read_bytes()


@pytest.mark.parametrize(("at", "turns"), [(0, []), (1, [1]), (2, [1]), (3, [1]), (4, [1]), (5, [1, 5]), (6, [1, 6])])
def test_a_fork_at_a_turn(here: InProcess, at: int, turns: list[int]) -> None:
    """`--at N` is the session as it was after turn N: a rewound turn is still there, at its own time."""
    write_session("a", *mixed())
    made = here("new", "-s", "b", "--from", "a", "--at", str(at)).json
    assert [line["turn"] for line in here("history", "-s", "b").lines] == turns
    assert (made["turns"], made["origin"]["turn"]) == (len(turns), at)


def test_a_fork_at_no_turn(here: InProcess) -> None:
    """A turn that never was is 65, with the command that lists the turns; nothing is made."""
    write_session("a", *mixed())
    done = here("new", "-s", "b", "--from", "a", "--at", "9")
    assert (done.status, done.out) == (65, "")
    assert "a has no turn 9" in done.err
    assert "hint: run gemcli history -s a --all to see its turns" in done.err
    assert not here.session("b").exists()


def test_a_fork_with_other_settings(here: InProcess) -> None:
    """Options win over the settings of the source; another model may answer."""
    write_session("a", header(config={"generationConfig": {"topK": 3, "seed": 1}}), *turn(1))
    made = here("new", "-s", "b", "--from", "a", "--seed", "5", "--model", "gemini-x").json
    assert made["config"] == {"generationConfig": {"topK": 3, "seed": 5}}
    assert (made["model"], made["backend"]) == ("gemini-x", "gemini")


def test_the_model_of_the_environment_does_not_change_a_fork(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """GEMCLI_MODEL is a default: a fork keeps the model of its source."""
    monkeypatch.setenv("GEMCLI_MODEL", "from-env")
    write_session("a", header())
    assert here("new", "-s", "b", "--from", "a").json["model"] == "simulator/echo"


def test_a_fork_of_an_open_turn(here: InProcess) -> None:
    """A fork may end in calls that wait; forked before them it does not."""
    write_session("a", header(), *turn(1), request(2, "q"), response(2, CALL))
    assert here("new", "-s", "b", "--from", "a").json["turns"] == 2
    assert here("history", "-s", "b", "--last").json["state"] == "open"
    assert here("new", "-s", "c", "--from", "a", "--at", "1").json["turns"] == 1


def test_a_turn_of_two_exchanges_is_forked_whole(here: InProcess) -> None:
    """`--at` takes a turn with all of its calls and responses."""
    call = [request(1, "q"), response(1, CALL), request(1, RESPONSE, ordinal=2), response(1, "a", ordinal=2)]
    write_session("a", header(), *call, *turn(2))
    here("new", "-s", "b", "--from", "a", "--at", "1")
    assert len(history(here, "b")) == 4


def test_a_session_can_be_made_from_itself(here: InProcess) -> None:
    """`new --force -s a --from a --at N` goes on from an earlier turn under the same name; the rest is the backup."""
    path = write_session("a", header(), *turn(1), *turn(2))
    made = here("new", "-s", "a", "--from", "a", "--at", "1", "--force").json
    assert (made["turns"], made["backup"]) == (1, f"{path}.bak-1")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--at", "1"], "--at needs --from"),
        (["--from", "x", "--history", "y"], "--from and --history exclude each other"),
        (["--from", "x", "--at", "-1"], "--at"),
        (["--from", "x", "--at", "one"], "--at"),
        (["extra"], "unexpected extra argument"),
    ],
    ids=["at-alone", "from-and-history", "negative", "no-number", "argument"],
)
def test_options_that_do_not_fit(here: InProcess, args: list[str], words: str) -> None:
    """Options that make no sense together are 2, before any file is looked at."""
    done = here("new", "-s", "a", *args)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert "hint: run gemcli new --help" in done.err


@pytest.mark.parametrize("option", ["--backend=gemini", "--project=p", "--location=europe-west4"])
def test_a_place_for_a_model_of_the_simulator(here: InProcess, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """What the simulator has no use for is refused, wherever the model is named."""
    for words in (["--model", "simulator/echo"], ["--model", "simulator/rules:r.yaml"], []):
        monkeypatch.setenv("GEMCLI_MODEL", "simulator/echo")
        done = here("new", "-s", "b", option, *words)
        assert (done.status, here.session("b").exists()) == (2, False)
        assert "--location are not for a model of the simulator" in done.err


def test_a_fork_of_a_missing_session(here: InProcess) -> None:
    """The source that is missing is the one that is named, with what was meant; nothing asks to make it."""
    write_session("base", header())
    for source, hint in (
        ("nope", "run gemcli history --sessions to see the sessions"),
        ("bsae", "did you mean `base`?"),
    ):
        done = here("new", "-s", "b", "--from", source)
        assert done.status == 66
        assert f"{source}.jsonl\nhint: {hint}\n" in done.err


def test_the_name_of_a_branch(here: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`feature/x` is a path, so it is asked whether a name was meant; no file is made without a word."""
    monkeypatch.chdir(tmp_path)
    done = here("new", "-s", "feature/x")
    assert (done.status, done.out) == (66, "")
    directory = tmp_path / "feature"
    assert f"hint: did you mean `-s feature-x`? feature/x is a path: mkdir -p {directory}\n" in done.err
    directory.mkdir()
    done = here("new", "-s", "feature/x")
    assert (done.status, done.err.count("note: feature/x is a path, the file ")) == (0, 1)
    assert "-s feature-x would be a name" in done.err
    for path in ("./feature/y", "feature/y.jsonl", f"{directory}/z"):
        assert here("new", "-s", path).err == ""


def test_a_fork_goes_on(here: InProcess) -> None:
    """A fork is sent with the turns it came with, and gives the next one a number above them."""
    write_session("a", *mixed())
    assert here("new", "-s", "b", "--from", "a").status == 0
    done = here("send", "-s", "b", "new")
    assert done.json["turn"] == 7
    assert 'Before it: 1: "question 1"; 2: "question 6".' in done.json["text"]
    assert texts(here("history", "-s", "b", "--contents").lines)[::2] == ["question 1", "question 6", "new"]


def test_records_are_not_shared_with_the_source(here: InProcess) -> None:
    """A rewind in the fork changes nothing in the source."""
    source = write_session("a", header(), *turn(1))
    before = source.read_bytes()
    here("new", "-s", "b", "--from", "a")
    assert here("rewind", "-s", "b").status == 0
    assert source.read_bytes() == before
    assert record_lines.decode(before.splitlines()[1]).get("imported") is None


# Histories from elsewhere


def test_a_script_from_a_pipe_is_no_history(here: InProcess) -> None:
    """The command of the hint reads the same pipe."""
    done = here("new", "-s", "b", "--history", "-", stdin=b"turns: [a]\n")
    assert done.status == 65
    assert done.err.endswith("hint: gemcli replay - -s NAME sends its messages\n")


def test_requests_on_standard_input(here: InProcess) -> None:
    """`export request | new --history -` takes the settings along, which options of `new` win over."""
    here.ok("new", "-s", "a", "--model", ECHO, "--system", "Be brief", "--temperature", "0.5", "--seed", "1")
    for message in ("one", "two"):
        here.ok("send", "-s", "a", message, "--top-k", "3")
    body = here("export", "request", "-s", "a")
    done = here("new", "-s", "b", "--history", "-", "--seed", "2", stdin=body.bytes)
    assert done.err == "gemcli: note: standard input: the last message has no answer and was left out: send it again\n"
    assert done.json["config"] == {
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "generationConfig": {"temperature": 0.5, "seed": 2, "topK": 3},
    }
    assert texts(here("history", "-s", "b", "--contents").lines) == texts(
        here("history", "-s", "a", "--contents").lines[:2]
    )


def test_the_model_of_a_request_is_not_taken_over(here: InProcess, tmp_path: Path) -> None:
    """A file does not choose what is asked: a note names its model, unless it is the session's."""
    said = {"model": "gpt-x", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    (tmp_path / "h").write_text(json.dumps(said))
    done = here("new", "-s", "a", "--history", "h", "--model", "gemini-x")
    assert done.json["model"] == "gemini-x"
    assert done.err == "gemcli: note: h: the model is gemini-x, not gpt-x; --model chooses another\n"
    assert here("new", "-s", "b", "--history", "h", "--model", "gpt-x").err == ""


def test_an_export_that_failed(here: InProcess, tmp_path: Path) -> None:
    """The empty file that a failed `export > h` leaves is 65, and makes no session."""
    (tmp_path / "h").write_text("")
    done = here("new", "-s", "a", "--history", "h")
    assert (done.status, done.out) == (65, "")
    assert "h is empty" in done.err
    assert not here.session("a").exists()
