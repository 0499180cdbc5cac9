"""The program as a whole: how runs begin and end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemcli import __version__
from gemcli.cli import COMMANDS, _as_gemcli_error, main
from gemcli.sessions.filesystem import FileSystem
from gemcli.simulator.simulated_api import json_reply
from tests.builders import answer, header, texts, write_session
from tests.support import Gemcli, Model


def test_a_conversation_lives_in_a_file(gemcli: Gemcli, model: Model) -> None:
    """Two sends in two processes are one conversation to the model."""
    model.script(answer("Hello Alice"))
    assert gemcli("new", "-s", "a", env=model.env).status == 0
    first = gemcli("send", "-s", "a", "I am Alice", env=model.env)
    assert (first.status, first.json["text"]) == (0, "Hello Alice")
    second = gemcli("send", "-s", "a", "Who am I?", env=model.env)
    assert second.json["turn"] == 2
    assert texts(model.requests[1]["contents"]) == ["I am Alice", "Hello Alice", "Who am I?"]


def test_version(gemcli: Gemcli) -> None:
    """--version tells the name and the version."""
    done = gemcli("--version")
    assert (done.status, done.out, done.err) == (0, f"gemcli {__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(gemcli: Gemcli, flag: str) -> None:
    """--help lists every command with its summary, on stdout."""
    done = gemcli(flag)
    assert (done.status, done.err) == (0, "")
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", done.out, re.MULTILINE)


def test_help_of_a_command(gemcli: Gemcli) -> None:
    """A command's help is printed wherever -h stands, even where the rest is wrong."""
    done = gemcli("send", "-s", "no such", "-h")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: gemcli send [OPTIONS] [MESSAGE]")


def test_no_command(gemcli: Gemcli) -> None:
    """Without a command the help goes to stderr, and the status is that of a wrong command line."""
    done = gemcli()
    assert (done.status, done.out) == (2, "")
    assert "Commands:" in done.err


@pytest.mark.parametrize(
    ("args", "words", "hint"),
    [
        (["sned"], "no such command 'sned'", "gemcli --help"),
        (["--nope"], "no such option", "gemcli --help"),
        (["send", "-s", "a", "--txt", "x"], "no such option '--txt'", "gemcli send --help"),
        (["history", "--turn"], "--turn", "gemcli history --help"),
        (["--errors", "xml", "history"], "'xml' is not one of 'text', 'json'", "gemcli --help"),
    ],
    ids=["command", "option", "option-of-command", "value", "choice"],
)
def test_wrong_command_lines(gemcli: Gemcli, args: list[str], words: str, hint: str) -> None:
    """What is wrong with a command line is one line, with the help that has the answer."""
    done = gemcli(*args)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert f"hint: run {hint}\n" in done.err


@pytest.mark.parametrize(
    "args",
    [
        ["--errors", "json", "history", "-s", "no"],
        ["history", "--errors", "json", "-s", "no"],
        ["history", "-s", "no", "--errors=json"],
    ],
    ids=["before", "after", "equals"],
)
def test_errors_as_json_anywhere(gemcli: Gemcli, args: list[str]) -> None:
    """--errors may stand before or after the command, and wins over the environment."""
    assert gemcli(*args, env={"GEMCLI_ERRORS": "text"}).error["reason"] == "SESSION_MISSING"


def test_errors_as_text_over_the_environment(gemcli: Gemcli) -> None:
    """`--errors text` is text although GEMCLI_ERRORS says json; after `--` it is a message."""
    assert gemcli("history", "-s", "no", "--errors", "text", env={"GEMCLI_ERRORS": "json"}).err.startswith("gemcli: ")
    assert gemcli("send", "-s", "no", "--", "--errors=json").err.startswith("gemcli: error: ")


@pytest.mark.parametrize("args", [["--debug", "history", "-s", "no"], ["history", "-s", "no", "--debug"]])
def test_debug(gemcli: Gemcli, args: list[str]) -> None:
    """--debug prints a traceback before the error; without it there never is one."""
    done = gemcli(*args)
    assert done.status == 66
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert done.err.splitlines()[-2].startswith("gemcli: error: there is no session")
    assert "Traceback" not in gemcli("history", "-s", "no").err


def test_debug_does_not_show_the_key(gemcli: Gemcli, model: Model) -> None:
    """A traceback of a failed request has no key in it, although the server quotes it."""
    fault = {"error": {"code": 403, "message": "test-key may not", "status": "PERMISSION_DENIED"}}
    model.script(json_reply(fault, 403))
    gemcli("new", "-s", "a", env=model.env)
    done = gemcli("send", "-s", "a", "x", "--debug", env=model.env)
    assert done.status == 77
    assert "Traceback" in done.err
    assert "test-key" not in done.err


@pytest.mark.parametrize("value", ["1", "0"])
def test_debug_from_the_environment(gemcli: Gemcli, value: str) -> None:
    """GEMCLI_DEBUG=1 is --debug; 0 is not, as for any other flag."""
    done = gemcli("history", "-s", "no", env={"GEMCLI_DEBUG": value})
    assert ("Traceback" in done.err) == (value == "1")


class Bug(FileSystem):
    """A file system with a bug in it."""

    def open(self, path: str, flags: int) -> int:
        """Fail as only a bug would."""
        raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
def test_a_bug_is_one_line(capfd: pytest.CaptureFixture[str], debug: list[str]) -> None:
    """A bug is 70 with one line and a request to report it; the traceback comes with --debug only."""
    write_session("a", header())
    assert main(["history", "-s", "a", *debug], os.environ, Bug()) == 70
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith(
        "gemcli: error: ZeroDivisionError: division by zero\nhint: report this bug, with the output of --debug\n"
    )
    assert ("Traceback" in err) == bool(debug)


def test_python_m_gemcli(tmp_path: Path) -> None:
    """`python -m gemcli` is the same program."""
    command = [sys.executable, "-m", "gemcli", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"gemcli {__version__}\n"


def wait_until_it_reads(process: subprocess.Popen[bytes]) -> None:
    """Write more to stdin than a pipe holds: this returns when the program has begun to read it."""
    assert process.stdin is not None
    process.stdin.write(b"x" * 200_000)
    process.stdin.flush()


@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["int", "term", "hup"],
)
def test_a_signal_while_waiting_for_input(gemcli: Gemcli, signum: signal.Signals, status: int) -> None:
    """A signal ends a waiting program with its own status and one line, and nothing is written."""
    write_session("a", header())
    with gemcli.start("send", "-s", "a", stdin=subprocess.PIPE) as process:
        wait_until_it_reads(process)
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, b"")
    assert f"gemcli: error: stopped by {signum.name}".encode() in err
    assert b"Traceback" not in err
    assert len(gemcli.records("a")) == 1


def test_a_signal_while_waiting_for_the_answer(gemcli: Gemcli, model: Model) -> None:
    """A signal during a request ends it at once; the turn is in doubt, and the session goes on."""
    model.script(json_reply(answer("late"))._replace(steps=(60.0, b"{}")))
    gemcli("new", "-s", "a", env=model.env)
    with gemcli.start("send", "-s", "a", "x", env=model.env) as process:
        until = time.monotonic() + 30
        while not model.requests and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, b"")
    assert b"stopped by SIGTERM; whether the message was answered is unknown" in err
    assert gemcli("history", "-s", "a", "--all").json["state"] == "in_doubt"
    assert gemcli("send", "-s", "a", "again", env=model.env).json["turn"] == 2


@pytest.mark.parametrize("place", ["_occupy_descriptors", "main"])
def test_ctrl_c_around_the_command(place: str) -> None:
    """Ctrl-C between loading and the moment when signals are taken over ends the program in the same way."""
    code = f"import os; from gemcli import cli; cli.{place} = lambda *args: os.kill(os.getpid(), 2); cli.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_nohup(gemcli: Gemcli) -> None:
    """A signal that the parent ignores, as nohup does, stays ignored."""
    write_session("a", header())
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = gemcli.start("send", "-s", "a", "--text", stdin=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        wait_until_it_reads(process)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(b"hi", timeout=60)
    assert (process.returncode, out[-7:]) == (0, b'xxhi".\n')


def test_a_reader_that_goes_away_is_a_signal() -> None:
    """A pipe that nobody reads any more ends the program as the signal would, and says nothing."""
    error = _as_gemcli_error(BrokenPipeError(), ())
    assert (error.reason, error.exit) == ("READER_GONE", 141)
