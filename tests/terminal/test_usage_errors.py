"""Wrong command lines: what is told about them, and what was meant."""

from __future__ import annotations

import pytest

from tests.builders import header, write_session
from tests.support import InProcess

# command line -> what is wrong with it, and what to do
WRONG: dict[tuple[str, ...], tuple[str, str]] = {
    ("sned",): ("no such command 'sned'", "did you mean `send`? gemcli --help lists the commands"),
    ("histroy", "-s", "a"): ("no such command 'histroy'", "did you mean `history`? gemcli --help lists the commands"),
    ("xyz",): ("no such command 'xyz'", "run gemcli --help"),
    ("why is this?",): (
        "no such command 'why is this?'",
        "to send a message: gemcli send -s NAME --create 'why is this?'",
    ),
    ("--nope",): ("no such option '--nope'", "run gemcli --help"),
    ("-s", "a", "send", "hi"): ("no such option '-s'", "options of a command follow its name: gemcli send -s …"),
    ("--model", "m", "send", "hi"): (
        "no such option '--model'",
        "options of a command follow its name: gemcli send --model …",
    ),
    ("--model", "m", "rewind"): ("no such option '--model'", "run gemcli --help"),
    ("send", "-s", "a", "--txt", "x"): ("no such option '--txt'", "did you mean `--text`?"),
    ("send", "-s", "a", "--zzz", "x"): ("no such option '--zzz'", "run gemcli send --help"),
    ("history", "-s", "a", "-5"): ("no such option '-5'", "run gemcli history --help"),
    ("send", "-s", "a", "-5 degrees?"): (
        "no such option '-5'",
        "put -- before a message that begins with a dash: gemcli send -s NAME -- '-5 degrees?'",
    ),
    ("send", "-s", "a", "- one"): (
        "no such option '- '",
        "put -- before a message that begins with a dash: gemcli send -s NAME -- '- one'",
    ),
    ("send", "-s", "a", "--why do you ask?"): (
        "no such option '--why do you ask?'",
        "put -- before a message that begins with a dash: gemcli send -s NAME -- '--why do you ask?'",
    ),
    ("send", "-s", "a", "-n is what?"): (
        "no such option '- '",
        "put -- before a message that begins with a dash: gemcli send -s NAME -- '-n is what?'",
    ),
    ("replay", "a.yaml", "b.yaml", "--out", "o"): (
        "got unexpected extra argument (b.yaml)",
        "replay plays one script at a time; -s names the session: gemcli replay SCRIPT -s NAME",
    ),
    ("list",): ("no such command 'list'", "run gemcli history --sessions"),
    ("ls",): ("no such command 'ls'", "run gemcli history --sessions"),
    ("sessions",): ("no such command 'sessions'", "run gemcli history --sessions"),
    ("history", "--list"): ("no such option '--list'", "run gemcli history --sessions"),
    ("show", "a"): ("no such command 'show'", "run gemcli history -s NAME"),
    ("delete", "a"): ("no such command 'delete'", 'run rm "$(gemcli history -s NAME --path)"'),
    ("rm", "-s", "a"): ("no such command 'rm'", 'run rm "$(gemcli history -s NAME --path)"'),
    ("undo",): ("no such command 'undo'", "run gemcli rewind -s NAME; with --undo it brings back what it took out"),
    ("chat",): ("no such command 'chat'", 'run gemcli send -s NAME --create "your message"'),
    ("help", "send"): ("no such command 'help'", "run gemcli --help"),
    ("version",): ("no such command 'version'", "run gemcli --version"),
    ("send", "-s", "a", "two", "words"): (
        "got unexpected extra argument (words)",
        "put a message of several words in quotes",
    ),
    ("send", "two", "words"): (
        "missing option -s: which session?",
        'name a session: gemcli send -s NAME --create "your message"',
    ),
    ("history", "a"): ("got unexpected extra argument (a)", "did you mean `-s a`?"),
    ("history", "--last", "a"): ("got unexpected extra argument (a)", "did you mean `-s a`?"),
    ("history", "-s", "a", "b"): ("got unexpected extra argument (b)", "run gemcli history --help"),
    ("history", "--last"): (
        "missing option -s: which session?",
        "name a session: gemcli history -s NAME; gemcli history --sessions lists them",
    ),
    ("history", "--turn"): ("option '--turn' requires an argument", "run gemcli history --help"),
    ("new",): ("missing option -s: which session?", "name a session: gemcli new -s NAME"),
    ("new", "a"): ("missing option -s: which session?", "did you mean `-s a`?"),
    ("rewind", "a"): ("missing option -s: which session?", "did you mean `-s a`?"),
    ("--", "history", "a"): ("got unexpected extra argument (a)", "run gemcli history --help"),
    ("--", "rewind", "a"): (
        "missing option -s: which session?",
        "name a session: gemcli rewind -s NAME; gemcli history --sessions lists them",
    ),
    ("new", "--model", "--", "a"): ("missing option -s: which session?", "name a session: gemcli new -s NAME"),
    ("export", "markdown", "a"): ("missing option -s: which session?", "did you mean `-s a`?"),
    ("export", "-s", "a"): (
        "missing argument FORMAT: one of contents, request, script, openai, markdown",
        "run gemcli export --help",
    ),
    ("export", "markdwon", "-s", "a"): (
        "invalid value for 'FORMAT': 'markdwon' is not one of 'contents', 'request', 'script', 'openai', 'markdown'",
        "did you mean `markdown`?",
    ),
    ("send", "-s", "a", "x", "--on-unknown", "xyz"): (
        "invalid value for '--on-unknown': 'xyz' is not one of 'fail', 'resend'",
        "run gemcli send --help",
    ),
    ("send", "-s", "a", "x", "--max-turns", "two"): (
        "invalid value for '--max-turns': 'two' is not a valid whole number",
        "run gemcli send --help",
    ),
    ("send", "-s", "a", "x", "--timeout", "long"): (
        "invalid value for '--timeout': 'long' is not a valid number of seconds",
        "run gemcli send --help",
    ),
    ("send", "-s", "a", "x", "--retries", "-1"): (
        "invalid value for '--retries': -1 is less than 0",
        "run gemcli send --help",
    ),
    ("send", "-s", "a", "x", "--timeout", "0"): (
        "invalid value for '--timeout': 0.0 is not from 0.001 to 1000000",
        "run gemcli send --help",
    ),
    ("send", "-s", "a", "x", "--allow", "blokced"): (
        "--allow takes blocked, incomplete, function_call; not 'blokced'",
        "did you mean `blocked`?",
    ),
    ("--errors", "xml", "history"): (
        "invalid value for '--errors': 'xml' is not one of 'text', 'json'",
        "run gemcli --help",
    ),
}


@pytest.mark.parametrize(("words", "told"), WRONG.items(), ids=map(" ".join, WRONG))
def test_wrong_command_lines(here: InProcess, words: tuple[str, ...], told: tuple[str, str]) -> None:
    """What is wrong is one line, and the hint says what was meant, or which help has the answer."""
    done = here(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"gemcli: error: {told[0]}\nhint: {told[1]}\n"


def test_a_session_from_the_environment_and_one_too_many(here: InProcess) -> None:
    """Where GEMCLI_SESSION names one, a stray argument is still taken for another."""
    done = here("history", "a", env={"GEMCLI_SESSION": "b"})
    assert done.err == "gemcli: error: got unexpected extra argument (a)\nhint: did you mean `-s a`?\n"


BLAMED = {
    "number": (["send", "hi"], "GEMCLI_SEND_TIMEOUT", "x", 2, "invalid value for 'GEMCLI_SEND_TIMEOUT'"),
    "short-and-long": (["rewind"], "GEMCLI_REWIND_NUMBER", "x", 2, "invalid value for 'GEMCLI_REWIND_NUMBER'"),
    "choice": (["new", "--force"], "GEMCLI_NEW_BACKEND", "x", 2, "invalid value for 'GEMCLI_NEW_BACKEND'"),
    "setting": (["send", "hi"], "GEMCLI_SEND_TEMPERATURE", "x", 2, "`GEMCLI_SEND_TEMPERATURE` must be a number"),
    "own-check": (["send", "hi"], "GEMCLI_SEND_ALLOW", "x", 2, "GEMCLI_SEND_ALLOW takes"),
    "file": (["send", "hi"], "GEMCLI_SEND_CONFIG", "no.yaml", 66, "hint: the value comes from GEMCLI_SEND_CONFIG"),
    "model": (["send", "hi"], "GEMCLI_SEND_MODEL", "a b", 2, "hint: the value comes from GEMCLI_SEND_MODEL; use"),
    "default-model": (["new", "--force"], "GEMCLI_MODEL", "a b", 2, "hint: the value comes from GEMCLI_MODEL; use"),
    "session": (["history"], "GEMCLI_SESSION", "nope", 66, "hint: the value comes from GEMCLI_SESSION; make it"),
    "session-name": (["history"], "GEMCLI_SESSION", "a b", 2, "hint: the value comes from GEMCLI_SESSION; use"),
    "errors": (["history"], "GEMCLI_ERRORS", "xml", 2, "invalid value for 'GEMCLI_ERRORS'"),
}


@pytest.mark.parametrize(("words", "variable", "value", "status", "told"), BLAMED.values(), ids=BLAMED)
def test_a_wrong_value_from_a_variable(
    here: InProcess, words: list[str], variable: str, value: str, status: int, told: str
) -> None:
    """The variable is named where the value comes from it, not where the option is given or something else is wrong."""
    write_session("a", header())
    env = {"GEMCLI_SESSION": "a", variable: value}
    done = here(*words, env=env)
    assert (done.status, done.out) == (status, "")
    assert told in done.err
    option = "-s" if variable == "GEMCLI_SESSION" else f"--{variable.rpartition('_')[2].lower()}"
    assert variable not in here(*words, option, value, env=env).err
    if variable != "GEMCLI_ERRORS":
        assert variable not in here(*words, "--zzz", env=env).err
