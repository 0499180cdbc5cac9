"""The program between other programs: closed and full outputs, pipes, loops, locales, names.

What counts every time: an answer that was paid for is in the session, and the status is one of gemcli's own, never
1 (Python, the shell) or 120 (Python at its exit).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.builders import header, overloaded, turn, write_session
from tests.support import Gemcli, InProcess, Model

Conversation = Callable[[], list[str]]


@pytest.fixture
def conversation(here: InProcess) -> Conversation:
    """What the user said in each turn of the session `a`; an error unless the session is whole."""

    def messages() -> list[str]:
        here.ok("history", "-s", "a", "--check")
        return [each["user"] for each in here.ok("history", "-s", "a")]

    return messages


@pytest.mark.parametrize(
    ("redirection", "status", "words"),
    [
        (">&-", 74, "cannot write to standard output"),
        ("> /dev/full", 74, "cannot write to standard output"),
        ("--text > /dev/full", 74, "cannot write to standard output"),
        ("<&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&-", 74, ""),
        ("<&- >&- 2>&-", 74, ""),
        ("2> /dev/full", 0, ""),
        ("> /dev/full 2> /dev/full", 74, ""),
    ],
)
def test_send_with_a_missing_stream(
    gemcli: Gemcli, conversation: Conversation, redirection: str, status: int, words: str
) -> None:
    """Whatever stream is closed or full, the turn is in the session, and a failed print has its own status."""
    write_session("a", header())
    done = gemcli.shell(f"gemcli send -s a hello {redirection}")
    assert done.status == status
    assert words in done.err
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    assert conversation() == ["hello"]
    if words:
        assert "the answer is in the session: gemcli history -s a --last" in done.err


def test_send_to_a_pipe_that_nobody_reads(gemcli: Gemcli, conversation: Conversation) -> None:
    """When the reader has gone before the answer is printed, the turn is in the session; the status is 141."""
    write_session("a", header())
    reading, writing = os.pipe()
    os.close(reading)
    done = gemcli("send", "-s", "a", "hello", stdout=writing)
    os.close(writing)
    assert (done.status, done.err) == (141, "")
    assert conversation() == ["hello"]


def test_send_to_a_reader_that_leaves_early(gemcli: Gemcli, conversation: Conversation) -> None:
    """When the reader leaves in the middle of a long answer, the whole answer is in the session."""
    write_session("a", header())
    done = gemcli.shell("head -c 300000 /dev/zero | tr '\\0' x | gemcli send -s a | head -c1")
    assert (done.status, done.out, done.err) == (141, "{", "")
    assert [len(said) for said in conversation()] == [300_000]


def test_send_to_a_command_that_reads_nothing(gemcli: Gemcli, conversation: Conversation) -> None:
    """`| true` ends as success or as a broken pipe, whoever was faster, and the turn is in the session."""
    write_session("a", header())
    done = gemcli.shell("gemcli send -s a hello | true")
    assert done.status in (0, 141)
    assert done.err == ""
    assert conversation() == ["hello"]


@pytest.mark.parametrize("command", ["history -s a", "history -s a --text", "export markdown -s a", "rewind -s a"])
@pytest.mark.parametrize("full", ["> /dev/full", ">&-"])
def test_other_commands_with_a_missing_stdout(gemcli: Gemcli, command: str, full: str) -> None:
    """What cannot be printed is status 74 with one line that says so."""
    write_session("a", header(), *turn(1))
    done = gemcli.shell(f"gemcli {command} {full}")
    assert done.status == 74
    assert "gemcli: error: cannot write to standard output" in done.err
    assert "Traceback" not in done.err


def test_a_reader_of_a_long_history_leaves(gemcli: Gemcli) -> None:
    """A reader that has seen enough ends the command silently."""
    write_session("a", header(), *(record for number in range(1, 40) for record in turn(number, "x" * 5000)))
    done = gemcli.shell("gemcli history -s a | head -c1")
    assert (done.status, done.out, done.err) == (141, "{", "")


@pytest.mark.parametrize("what", ["--help", "--version", "send --help"])
@pytest.mark.parametrize("full", ["> /dev/full", ">&-", ">&- 2>&-", "> /dev/full 2> /dev/full"])
def test_help_that_cannot_be_printed(gemcli: Gemcli, what: str, full: str) -> None:
    """Help that cannot be printed is status 74, without a word of Python's own."""
    done = gemcli.shell(f"gemcli {what} {full}")
    assert done.status == 74
    assert "Exception ignored" not in done.err
    assert "Traceback" not in done.err


def test_help_to_a_pipe_that_nobody_reads(gemcli: Gemcli) -> None:
    """Help that nobody reads ends the command silently."""
    reading, writing = os.pipe()
    os.close(reading)
    done = gemcli("--help", stdout=writing)
    os.close(writing)
    assert (done.status, done.err) == (141, "")


@pytest.mark.parametrize("args", ["", "nope", "send", "history -s missing"])
@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_an_error_that_cannot_be_printed(gemcli: Gemcli, args: str, redirection: str) -> None:
    """An error that nobody can be told of keeps its status."""
    assert gemcli.shell(f"gemcli {args} {redirection}").status == (66 if "missing" in args else 2)


def test_a_closed_stdin_is_no_message(gemcli: Gemcli) -> None:
    """Without MESSAGE and without stdin there is nothing to send."""
    write_session("a", header())
    done = gemcli.shell("gemcli send -s a <&-")
    assert done.status == 2
    assert "there is no message" in done.err


def test_a_session_never_becomes_a_standard_stream(gemcli: Gemcli) -> None:
    """With all streams closed, nothing is written into the session but its records."""
    write_session("a", header())
    assert gemcli.shell("gemcli send -s a <&- >&- 2>&-").status == 2
    assert gemcli.shell("gemcli send -s missing x <&- >&- 2>&-").status == 66
    assert [record["kind"] for record in gemcli.records("a")] == ["session"]


def test_a_loop_that_leaves_stdin_alone(gemcli: Gemcli, conversation: Conversation) -> None:
    """With -n a `while read` loop sends each line, and nothing else."""
    write_session("a", header())
    done = gemcli.shell('printf "one\\ntwo\\n" | while read -r line; do gemcli send -n -s a --text "$line"; done')
    assert (done.status, done.err) == (0, "")
    assert conversation() == ["one", "two"]


def test_a_loop_over_a_file_without_n(gemcli: Gemcli, conversation: Conversation) -> None:
    """A loop that reads from a file keeps its lines without -n, too: a file already read from is left alone."""
    write_session("a", header())
    done = gemcli.shell('printf "one\\ntwo\\n" > q; while read -r line; do gemcli send -s a --text "$line"; done < q')
    assert done.status == 0
    assert conversation() == ["one", "two"]
    assert done.err.count("already read from, so it is left alone (-n says so)") == 2


def test_a_loop_over_a_pipe_without_n(gemcli: Gemcli, conversation: Conversation) -> None:
    """Without -n the first `send` of a loop over a pipe takes the rest of it, as any command would."""
    write_session("a", header())
    assert gemcli.shell('printf "one\\ntwo\\n" | while read -r line; do gemcli send -s a "$line"; done').status == 0
    assert conversation() == ["one\n\ntwo\n"]


def test_xargs(gemcli: Gemcli, conversation: Conversation) -> None:
    """Each line that xargs takes is a message of its own."""
    write_session("a", header())
    assert gemcli.shell("printf 'one\\ntwo\\n' | xargs -I{} gemcli send -s a {}").status == 0
    assert conversation() == ["one", "two"]


def test_a_pipe_from_a_session_into_itself(gemcli: Gemcli, conversation: Conversation) -> None:
    """An answer can be piped into the session that it came from: the lock is free before anything is printed."""
    write_session("a", header())
    done = gemcli.shell("gemcli send -s a --text one | gemcli send -s a --text")
    assert done.status == 0
    assert conversation() == ["one", 'Message 1 says: "one".\n']


def test_a_lone_dash_reads_a_file_from_where_it_stands(gemcli: Gemcli, conversation: Conversation) -> None:
    """`-` asks for stdin, so a file that was already read from is read to its end."""
    write_session("a", header())
    assert gemcli.shell("printf 'one\\ntwo\\n' > q; { read -r line; gemcli send -s a -; } < q").status == 0
    assert conversation() == ["two\n"]


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=["c", "c-without-utf8-mode", "latin1", "ascii"],
)
def test_text_is_utf_8_in_any_locale(gemcli: Gemcli, locale: dict[str, str]) -> None:
    """Text from arguments and stdin is UTF-8 on the way in, in the file and on the way out, whatever the locale."""
    write_session("a", header())
    done = gemcli("send", "-s", "a", "--text", "grüße", stdin="日本 😀", env=locale)
    assert (done.status, done.err) == (0, "")
    assert "grüße\n\n日本 😀" in done.bytes.decode("utf-8")
    assert "grüße\n\n日本 😀".encode() in gemcli.session("a").read_bytes().replace(b"\\n", b"\n")
    shown = gemcli("history", "-s", "a", "--text", env=locale)
    assert "user: grüße\n\n日本 😀" in shown.bytes.decode("utf-8")


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_and_errors_in_any_locale(gemcli: Gemcli, locale: dict[str, str]) -> None:
    """A file whose name is not ASCII, or not even UTF-8, is opened, and told of without a traceback."""
    assert gemcli("new", "-s", "./grün.jsonl", env=locale).status == 0
    assert (gemcli.directory / "grün.jsonl").exists()
    done = gemcli("history", "-s", b"./gr\xfcn.jsonl", env=locale)
    assert done.status == 66
    assert "there is no session at ./gr" in done.err
    assert "Traceback" not in done.err
    assert gemcli("new", "-s", b"./gr\xfcn.jsonl", env=locale).status == 0
    assert gemcli("history", "-s", b"./gr\xfcn.jsonl", "--path", env=locale).status == 0


def test_a_relative_path_is_a_session(gemcli: Gemcli) -> None:
    """A path is taken as it is: from the directory one is in, through links, with blanks in it."""
    assert gemcli.shell("mkdir 'a b' && gemcli new -s 'a b/c' --model simulator/echo").status == 0
    assert gemcli.shell("ln -s 'a b/c' link.jsonl && cd 'a b' && gemcli send -s ../link.jsonl hi").status == 0
    assert (gemcli.directory / "link.jsonl").is_symlink()
    assert (gemcli.directory / "a b" / "c").read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("name", ["a", "A9", "_a", "a.b", "a-b_c.d", "9", "a.", "é.jsonl", "x" * 128])
def test_a_session_name(here: InProcess, name: str) -> None:
    """Letters, digits, `.`, `_` and `-` make a name; anything that ends in .jsonl is a path instead."""
    made = here("new", "-s", name)
    assert made.status == 0
    path = here.directory / name if name.endswith(".jsonl") else here.session(name)
    assert path.is_file()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", ".a", "-a", "..", ".", "a\n", "a\tb", "é", "a:b", "a\\b", "a*", "x" * 129, "a\x1b[31m", "~"],
    ids=ascii,
)
def test_what_is_no_session_name(here: InProcess, name: str) -> None:
    """Anything else is a usage error that tells what a name is, and makes no file."""
    done = here("new", f"--session={name}")
    assert done.status == 2
    assert "is not a session name" in done.err
    assert "letters, digits" in done.err
    assert "\x1b" not in done.err
    assert not here.session("a").parent.exists()


def test_an_empty_session_is_not_the_one_of_the_environment(here: InProcess) -> None:
    """`-s ''`, as from an unset variable, is an error even where GEMCLI_SESSION would serve."""
    write_session("a", header())
    assert here("send", "-s", "", "x", env={"GEMCLI_SESSION": "a"}).status == 2
    assert len(here.records("a")) == 1


def test_the_session_of_the_environment(here: InProcess) -> None:
    """GEMCLI_SESSION serves when -s is absent, and -s wins over it."""
    write_session("a", header(), *turn(1, "in a"))
    write_session("b", header(), *turn(1, "in b"))
    env = {"GEMCLI_SESSION": "a"}
    assert here("history", env=env).json["user"] == "in a"
    assert here("history", "-s", "b", env=env).json["user"] == "in b"


def test_options_from_the_environment(here: InProcess) -> None:
    """Any option can come from `GEMCLI_<COMMAND>_<OPTION>`, under the name that it has on the command line."""
    write_session("a", header(), *turn(1), *turn(2))
    text = here("history", "-s", "a", env={"GEMCLI_HISTORY_LAST": "1", "GEMCLI_HISTORY_TEXT": "1"})
    assert text.out == "user: question 2\nmodel: answer 2\n"
    env = {"GEMCLI_NEW_SYSTEM": "Be brief", "GEMCLI_NEW_TEMPERATURE": "0.5", "GEMCLI_NEW_STOP": "END"}
    made = here("new", "-s", "b", env=env).json
    assert made["config"] == {
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "generationConfig": {"temperature": 0.5, "stopSequences": ["END"]},
    }
    assert here("rewind", "-s", "a", env={"GEMCLI_REWIND_NUMBER": "2"}).json["turns"] == 0


@pytest.mark.slow
def test_a_silent_pipe_is_told_of(gemcli: Gemcli) -> None:
    """After five seconds of silence on a pipe, one note says what the program waits for; then it goes on waiting."""
    write_session("a", header())
    process = gemcli.start("send", "-s", "a", "--text", "hello", stdin=subprocess.PIPE)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            b"gemcli: note: waiting for the end of standard input (-n leaves it alone)\n"
        )
        out, err = process.communicate(b"late", timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert out == b'Message 1 says: "hello\n\nlate".\n'


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["at-once", "stream"])
def test_streams_that_do_not_wait(gemcli: Gemcli, stream: list[str]) -> None:
    """Pipes that a parent has set to O_NONBLOCK, as node and ssh do, are read and written whole, however slow."""
    write_session("a", header())
    (stdin, typing), (reading, stdout) = os.pipe(), os.pipe()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    with gemcli.start("send", "-s", "a", "--text", *stream, stdin=stdin, stdout=stdout) as process:
        os.close(stdin)
        os.close(stdout)
        with open(typing, "wb") as ours:
            time.sleep(0.5)
            ours.write(b"x" * 300_000)
        time.sleep(1)
        with open(reading, "rb") as theirs:
            out = theirs.read()
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert out == b'Message 1 says: "' + b"x" * 300_000 + b'".\n'


def test_a_long_message_to_a_stderr_that_nobody_reads(gemcli: Gemcli, model: Model) -> None:
    """A server's long message to a full pipe on stderr does not keep the program from ending in time."""
    model.script(*[overloaded("x" * 150_000)] * 10)
    reading, stderr = os.pipe()
    os.set_blocking(stderr, False)
    with suppress(BlockingIOError):
        while True:
            os.write(stderr, b"-" * 4096)
    os.set_blocking(stderr, True)
    try:
        done = gemcli("send", "-s", "a", "--create", "--deadline", "3", "hi", env=model.env, stderr=stderr, timeout=20)
    finally:
        os.close(reading)
        os.close(stderr)
    assert (done.status, done.out) == (75, "")
    assert model.requests
