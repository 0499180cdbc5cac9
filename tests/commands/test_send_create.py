"""`gemcli send --create`: what is checked before a session is made, and whose settings it has afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import ECHO, answer, api_error, contents, failure, header, overloaded, request, write_session
from tests.support import InProcess, Model

UNKNOWN_MODEL = api_error(404, "NOT_FOUND", "models/gemini-flsh is not found")
REFUSED_SETTING = api_error(400, "INVALID_ARGUMENT", "temperature is too hot")


def asked(model: Model) -> list[str]:
    """The models of the requests so far."""
    return [target.partition("/models/")[2].partition(":")[0] for target in model.targets]


def test_create(here: InProcess) -> None:
    """`--create` makes a missing session with the settings given, and leaves an existing one as it is."""
    first = here("send", "-s", "a", "--create", "--model", ECHO, "--system", "Be brief", "--seed", "1", "one")
    assert first.json["turn"] == 1
    record = here.records("a")[0]
    assert (record["model"], record["config"]["generationConfig"]) == (ECHO, {"seed": 1})
    second = here("send", "-s", "a", "--create", "--seed", "2", "two")
    assert second.json["turn"] == 2
    assert 'The system instruction says: "Be brief"' in second.json["text"]
    records = here.records("a")
    assert records[0] == record
    assert [each.get("config") for each in records if each["kind"] == "request"] == [
        None,
        {"generationConfig": {"seed": 2}},
    ]
    assert here("send", "-s", "a", "--text", "three").out.startswith("Message 3")


def test_no_message(here: InProcess) -> None:
    """Without a message no session is made."""
    assert here("send", "-s", "a", "--create").status == 2
    assert not here.session("a").exists()


@pytest.mark.parametrize(
    ("options", "env", "status"),
    [
        ([], {}, 77),
        ([], {"GEMINI_API_KEY": "not one\u20ac"}, 77),
        (["--model", "gemini flash"], {"GEMINI_API_KEY": "a-key"}, 2),
        (["--model", "simulator/rules:nowhere.yaml"], {}, 66),
        ([], {"GEMINI_API_KEY": "a-key", "GOOGLE_GEMINI_BASE_URL": "http://example.com"}, 78),
        ([], {"GOOGLE_GENAI_USE_VERTEXAI": "true"}, 78),
        ([], {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_PROJECT": "no/project"}, 2),
        (["--temperature", "warm"], {}, 2),
        (["--config", "no"], {}, 66),
    ],
    ids=["no-key", "bad-key", "model", "rules", "base-url", "no-project", "project", "setting", "config"],
)
@pytest.mark.parametrize("more", [[], ["--stream"], ["--once", "today"]], ids=["plain", "stream", "once"])
def test_nothing_is_made_of_what_cannot_be_sent(
    here: InProcess, more: list[str], options: list[str], env: dict[str, str], status: int
) -> None:
    """What is missing is found before a session is made, so that the corrected command makes it."""
    done = here("send", "-s", "a", "--create", "hi", *options, *more, env=env)
    assert (done.status, here.session("a").exists()) == (status, False)
    assert here("send", "-s", "a", "--create", "hi", "--model", ECHO).status == 0
    assert here.records("a")[0]["model"] == ECHO


@pytest.fixture
def here(here: InProcess) -> InProcess:
    """The program in this process."""
    here.env |= {"GEMCLI_MODEL": "gemini-test"}
    return here


def test_the_corrected_command_makes_the_session(here: InProcess, model: Model) -> None:
    """After a rejected first request the settings of the next --create are the session's, all of them."""
    model.script(UNKNOWN_MODEL, REFUSED_SETTING)
    words = ["send", "-s", "a", "--create", "hi", "--system", "Be brief"]
    assert here(*words, "--model", "gemini-flsh").status == 78
    assert here(*words, "--model", "gemini-m1", "--temperature", "99").status == 65
    done = here(*words, "--model", "gemini-m1")
    assert (done.status, done.err) == (0, "")
    assert here("send", "-s", "a", "more").status == 0
    assert asked(model) == ["gemini-flsh", "gemini-m1", "gemini-m1", "gemini-m1"]
    assert [body["generationConfig"] for body in model.requests[1:]] == [{"temperature": 99}, {}, {}]
    assert all("systemInstruction" in body for body in model.requests)
    shown = here("history", "-s", "a", "--all").lines
    assert [turn["state"] for turn in shown] == ["failed", "failed", "answered", "answered"]


def test_a_misspelt_model(here: InProcess, model: Model) -> None:
    """The name that was meant is suggested: one that is known, or that has answered in the session."""
    model.script(UNKNOWN_MODEL)
    done = here("send", "-s", "a", "--create", "hi", "--model", "gemini-flsh-latest")
    assert "hint: did you mean `gemini-flash-latest`? Or check the model's name" in done.err
    assert here("send", "-s", "a", "--create", "hi", "--model", "my-tuned-one").status == 0
    model.script(UNKNOWN_MODEL)
    assert "hint: did you mean `my-tuned-one`?" in here("send", "-s", "a", "hi", "--model", "my-tunde-one").err


def test_the_settings_are_copied(here: InProcess, model: Model) -> None:
    """A fork, of any turn, has the settings that the session has."""
    model.script(UNKNOWN_MODEL)
    assert here("send", "-s", "a", "--create", "hi", "--model", "gemini-flsh").status == 78
    assert here("send", "-s", "a", "--create", "hi", "--model", "gemini-m1").status == 0
    for at in ([], ["--at", "0"], ["--at", "1"], ["--at", "2"]):
        assert here("new", "-s", "b", "--force", "--from", "a", *at).json["model"] == "gemini-m1"


def test_the_same_command_again(here: InProcess, model: Model) -> None:
    """A command that is only run again adds nothing but its request."""
    model.script(overloaded(), overloaded())
    for status in (75, 75, 0):
        assert here("send", "-s", "a", "--create", "hi", "--seed", "1").status == status
    kinds = [record["kind"] for record in here.records("a")]
    assert kinds == ["session", *["request", "failure"] * 2, "request", "response"]
    assert not any("config" in record for record in here.records("a") if record["kind"] == "request")


KEPT: dict[str, list[Any]] = {
    "made-by-new": [header("gemini-m1"), request(1, "q"), failure(1, "rejected")],
    "in-doubt": [header("gemini-m1") | {"origin": {"kind": "send"}}, request(1, "q"), failure(1, "unknown")],
    "killed": [header("gemini-m1") | {"origin": {"kind": "send"}}, request(1, "q")],
}


@pytest.mark.parametrize("records", KEPT.values(), ids=KEPT)
def test_other_sessions_keep_their_settings(here: InProcess, model: Model, records: list[Any]) -> None:
    """What `new` made, or what may have been answered, keeps its settings: a note says what holds for one message."""
    write_session("a", *records)
    done = here("send", "-s", "a", "--create", "hi", "--model", "gemini-m2", "--seed", "1")
    assert (done.status, asked(model)) == (0, ["gemini-m2"])
    assert "a exists and has other settings: these hold for this message only" in done.err
    assert here.records("a")[0]["model"] == "gemini-m1"
    assert not [record for record in here.records("a")[1:] if record["kind"] == "session"]
    again = here("send", "-s", "a", "--create", "hi", "--model", "gemini-m1")
    assert (again.status, again.err) == (0, "")


def test_an_answered_session_keeps_its_settings(here: InProcess, model: Model) -> None:
    """Once something was answered, refused or not, the settings stay."""
    model.script(answer(finish="SAFETY"))
    assert here("send", "-s", "a", "--create", "hi", "--model", "gemini-m1").status == 3
    done = here("send", "-s", "a", "--create", "hi", "--model", "gemini-m2")
    assert "hold for this message only" in done.err
    assert here("send", "-s", "a", "hi").err == ""
    assert asked(model) == ["gemini-m1", "gemini-m2", "gemini-m1"]


def test_dry_run_of_a_missing_session(here: InProcess) -> None:
    """`--create --dry-run` shows the request of the session that would be made, and makes none; it needs no key."""
    words = ["send", "-s", "a", "hi", "--dry-run", "--model", "gemini-m1", "--system", "Be brief"]
    shown = here(*words, "--create").json
    assert (shown["model"], shown["body"]["contents"]) == ("gemini-m1", contents("hi"))
    assert shown["body"]["systemInstruction"]["parts"] == [{"text": "Be brief"}]
    assert not here.session("a").exists()
    assert here(*words).status == 66


def test_dry_run_after_a_rejected_request(here: InProcess, model: Model) -> None:
    """It shows the settings that the session would take, and writes nothing."""
    model.script(REFUSED_SETTING)
    assert here("send", "-s", "a", "--create", "hi", "--temperature", "99").status == 65
    before = here.session("a").read_bytes()
    shown = here("send", "-s", "a", "--create", "hi", "--dry-run").json
    assert shown["body"].get("generationConfig", {}) == {}
    assert here.session("a").read_bytes() == before


def test_a_replay_takes_the_corrected_settings(here: InProcess, model: Model) -> None:
    """A script that is corrected after its first message was rejected is played as if for the first time."""
    script = here.directory / "s.yaml"
    script.write_text("system: Be brief\nturns: [hi, more]\n")
    model.script(UNKNOWN_MODEL)
    assert here("replay", script, "-s", "a", env={"GEMCLI_MODEL": "gemini-flsh"}).status == 78
    script.write_text("turns: [hi, more]\n")
    assert here("replay", script, "-s", "a", "--dry-run").status == 0
    assert here("replay", script, "-s", "a").status == 0
    assert asked(model) == ["gemini-flsh", "gemini-test", "gemini-test"]
    assert ["systemInstruction" in body for body in model.requests] == [True, False, False]
