"""The program as a whole: how runs begin and end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gemcli import __version__
from gemcli.cli import COMMANDS, _as_gemcli_error, main
from gemcli.sessions.filesystem import FileSystem
from tests.builders import header, write_session
from tests.support import Gemcli, InProcess


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(here: InProcess, flag: str) -> None:
    """--help lists every command with its summary, on stdout."""
    done = here(flag)
    assert (done.status, done.err) == (0, "")
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", done.out, re.MULTILINE)


def test_help_of_a_command(here: InProcess) -> None:
    """A command's help is printed wherever -h stands, even where the rest is wrong."""
    done = here("send", "-s", "no such", "-h")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: gemcli send [OPTIONS] [MESSAGE]")


def test_no_command(here: InProcess) -> None:
    """Without a command the help goes to stderr, and the status is that of a wrong command line."""
    done = here()
    assert (done.status, done.out) == (2, "")
    assert "Commands:" in done.err


@pytest.mark.parametrize(
    "args",
    [
        ["--errors", "json", "history", "-s", "no"],
        ["history", "--errors", "json", "-s", "no"],
        ["history", "-s", "no", "--errors=json"],
    ],
    ids=["before", "after", "equals"],
)
def test_errors_as_json_anywhere(here: InProcess, args: list[str]) -> None:
    """--errors may stand before or after the command, and wins over the environment."""
    assert here(*args, env={"GEMCLI_ERRORS": "text"}).error["reason"] == "SESSION_MISSING"


def test_errors_as_text_over_the_environment(here: InProcess) -> None:
    """`--errors text` is text although GEMCLI_ERRORS says json; after `--` it is a message."""
    assert here("history", "-s", "no", "--errors", "text", env={"GEMCLI_ERRORS": "json"}).err.startswith("gemcli: ")
    assert here("send", "-s", "no", "--", "--errors=json").err.startswith("gemcli: error: ")


@pytest.mark.parametrize(
    ("args", "value"),
    [
        (["--debug", "history", "-s", "no"], "0"),
        (["history", "-s", "no", "--debug"], ""),
        (["history", "-s", "no"], "1"),
    ],
)
def test_debug(here: InProcess, args: list[str], value: str) -> None:
    """--debug and GEMCLI_DEBUG=1 print a traceback before the error; without them there never is one."""
    done = here(*args, env={"GEMCLI_DEBUG": value})
    assert done.status == 66
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert done.err.splitlines()[-2].startswith("gemcli: error: there is no session")
    assert "Traceback" not in here("history", "-s", "no", env={"GEMCLI_DEBUG": "0"}).err


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


@pytest.mark.parametrize("place", ["_occupy_descriptors", "main"])
def test_ctrl_c_around_the_command(place: str) -> None:
    """Ctrl-C between loading and the moment when signals are taken over ends the program in the same way."""
    code = f"import os; from gemcli import cli; cli.{place} = lambda *args: os.kill(os.getpid(), 2); cli.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_reader_that_goes_away_is_a_signal() -> None:
    """A pipe that nobody reads any more ends the program as the signal would, and says nothing."""
    error = _as_gemcli_error(BrokenPipeError(), ())
    assert (error.reason, error.exit) == ("READER_GONE", 141)


def test_where_the_manual_is(here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help names the directory of the man pages that are installed with the program, if they are."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "a b"))
    assert "man -M" not in here("--help").out
    pages = tmp_path / "a b" / "share" / "man" / "man1"
    pages.mkdir(parents=True)
    (pages / "gemcli.1").touch()
    assert f"If man does not find it: man -M '{tmp_path}/a b/share/man' gemcli\n" in here("--help").out


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_no_marks_of_its_source(here: InProcess, command: str) -> None:
    """The mark for text that is not wrapped is not shown."""
    assert "\\b" not in here(*filter(None, [command]), "--help").out
