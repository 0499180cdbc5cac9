"""Hostile worlds: escapes in streams and scripts on a terminal, names that climb out, what is no file, other people's.

What a session file may be is in `test_bad_input`, what a single answer shows on a terminal in `test_terminal`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gemcli.cli import main
from gemcli.errors import GemcliError
from gemcli.formats import markdown
from gemcli.terminal import inputs
from tests.builders import ECHO, api_error, chunk, contents, header, session_file, sse, streaming, turn, write_session
from tests.support import Done, Gemcli, InProcess, Model
from tests.system.test_terminal import ESCAPES, Terminal, assert_harmless

ALL = "".join(text for text, _ in ESCAPES.values())
SHOWN = "".join(shown for _, shown in ESCAPES.values())
NOBODY = 65534


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in an empty directory."""
    return Terminal(tmp_path)


# On a terminal


def test_a_stream_on_a_terminal(terminal: Terminal, model: Model) -> None:
    """`send --stream --text` shows escapes even if each of their characters comes in a chunk of its own."""
    model.script(streaming(sse(*map(chunk, ALL), chunk("", finish="STOP"))))
    status, printed = terminal("send", "-s", "a", "--create", "--stream", "--text", "hi", env=model.env)
    assert (status, printed.splitlines()[0]) == (0, SHOWN)
    assert_harmless(printed)


def test_events_of_a_stream_on_a_terminal(terminal: Terminal, model: Model) -> None:
    """`send --stream` prints events in which nothing reaches the terminal, the final one included."""
    model.script(streaming(sse(chunk(ALL), chunk("end", finish="STOP"), newline=b"\n")))
    status, printed = terminal("send", "-s", "a", "--create", "--stream", "--json", "hi", env=model.env)
    assert status == 0
    assert_harmless(printed)
    assert [json.loads(line)["text"] for line in printed.splitlines()][-1] == ALL + "end"


def test_a_run_on_a_terminal(terminal: Terminal, model: Model) -> None:
    """`replay` tells of answers and of errors of the API, as events and as progress; none of it is an escape."""
    refused = api_error(400, "INVALID_ARGUMENT", f"no {ALL}\ngemcli: all is well")
    model.script(chunk(ALL, finish="STOP"), refused)
    (terminal.directory / "s.yaml").write_text('- "\\e[2J\\u202e"\n- b\n')
    status, printed = terminal("replay", "s.yaml", "-s", "a", env=model.env)
    assert status == 65
    assert_harmless(printed)
    assert "s/t1: ok" in printed
    assert "s/t2: " in printed
    assert "\ngemcli: all is well" not in printed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("key.yaml", '- {"\\e[31m\\u202e\\L": 1}\n'),
        ("value.yaml", 'turns: [a]\non_fail: "\\e]52;c;aGk=\\a"\n'),
        ("name.json", json.dumps({"turns": ["a"], "name": "\x1b[2J\u2066"})),
        ("regex.yaml", '- user: a\n  expect: {regex: "(\\e[31m\\u202e"}\n'),
        ("bytes.yaml", "- \x9b31m\n"),
        ("\x1b[31m\u202e\n.yaml", "- {}\n"),
    ],
)
def test_problems_that_quote_a_script(here: InProcess, name: str, text: str) -> None:
    """Problems quote what stands in a script, and its name, one line each, without a control character."""
    (here.directory / name).write_text(text, encoding="utf-8")
    done = here("replay", name, "-s", "a")
    assert (done.status, done.out) == (2, "")
    assert_harmless(done.err)
    told = json.loads(here("replay", name, "-s", "a", "--errors", "json").err)
    assert done.err.count("\n") == 1 + len(told["problems"]) + bool(told["hint"])


def test_warnings_that_quote_a_script(here: InProcess) -> None:
    """So do warnings, which come before anything is sent."""
    (here.directory / "\x1b[31m.yaml").write_text("- a # b\n")
    done = here("replay", "\x1b[31m.yaml", "-s", "a", "--dry-run")
    assert done.status == 0
    assert "comment" in done.err
    assert_harmless(done.err)


# In Markdown


def test_a_model_is_named_in_one_line_of_markdown() -> None:
    """The name of a model, which may be anything in somebody's file, stays in the title."""
    assert markdown.dump([], {"model": "m\n\n## User\r\nx", "config": {}}) == "# Conversation with m ## User x\n"


# Names that climb out

CLIMBING = ["../../x", "/etc/x", "a/b", "..", ".", ".hidden", "-n", "a\nb", "a\0b", "x" * 129, "é", "", "a\\..\\b"]


def suite(key: str, values: list[str]) -> str:
    """A suite with these names."""
    return "".join(json.dumps({key: value, "turns": ["hi"], "model": ECHO}) + "\n" for value in values)


def everything(directory: Path) -> list[str]:
    """Every file below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_ids_of_others_do_not_climb(here: InProcess) -> None:
    """An id of somebody's data that is no name of a session gives way to a name made of its content, within --out."""
    (here.directory / "s.jsonl").write_text(suite("id", CLIMBING))
    done = here("replay", "s.jsonl", "--out", "out/here")
    assert (done.status, done.lines[-1]["conversations"]["passed"]) == (0, len(CLIMBING))
    made = [Path(name) for name in everything(here.directory / "out" / "here")]
    assert len(made) == len(CLIMBING)
    assert all(re.fullmatch(r"[0-9a-f]{12}(-[0-9]+)?\.jsonl", str(path)) for path in made), made
    assert set(os.listdir(here.directory)) == {"out", "s.jsonl"}


def test_names_of_conversations_do_not_climb(here: InProcess) -> None:
    """A `name` that is none is told, each with its line, and nothing is made."""
    (here.directory / "s.jsonl").write_text(suite("name", CLIMBING))
    done = here("replay", "s.jsonl", "--out", "out", "--errors", "json")
    assert done.status == 2
    told = done.error
    assert told["problem_count"] == len(CLIMBING)
    assert [problem["line"] for problem in told["problems"]] == list(range(1, len(told["problems"]) + 1))
    assert everything(here.directory) == ["s.jsonl"]


def test_what_out_makes_is_private(here: InProcess) -> None:
    """--out makes directories of 0700 and sessions of 0600, whatever the umask."""
    (here.directory / "s.jsonl").write_text(suite("name", ["a"]))
    before = os.umask(0)
    try:
        assert here("replay", "s.jsonl", "--out", "out/deep").status == 0
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((here.directory / name).stat().st_mode) for name in everything(here.directory)}
    assert modes == {"out": 0o700, "out/deep": 0o700, "out/deep/a.jsonl": 0o600, "s.jsonl": modes["s.jsonl"]}


@pytest.mark.parametrize("kind", ["file", "fifo", "dangling", "loop"])
def test_an_out_that_is_no_directory(gemcli: Gemcli, kind: str) -> None:
    """--out that is something else than a directory is an error that names it; it is left as it is."""
    (gemcli.directory / "s.jsonl").write_text(suite("name", ["a"]))
    make(kind, gemcli.directory / "out")
    before = everything(gemcli.directory)
    done = gemcli("replay", "s.jsonl", "--out", "out", timeout=20)
    assert done.status in (65, 66, 74)
    assert "Traceback" not in done.err
    assert "out" in done.err
    assert everything(gemcli.directory) == before


# Links


def test_a_session_behind_a_dangling_link(here: InProcess) -> None:
    """Nothing is made in a place that only a link names; every command says why, and what to do."""
    (here.directory / "there").mkdir()
    (here.directory / "a.jsonl").symlink_to("there/real")
    for command in (["new"], ["new", "--force"], ["send", "--create", "hi"], ["history"], ["rewind"]):
        done = here(*command, "-s", "a.jsonl", env={"GEMCLI_MODEL": ECHO})
        assert (done.status, done.out) == (65, "")
        assert "real, which does not exist\nhint: remove the link: rm " in done.err
    assert everything(here.directory) == ["a.jsonl", "there"]


def test_a_backup_stays_with_the_file(here: InProcess) -> None:
    """`new --force` through a link keeps the old session beside the file, and what the link names is the new one."""
    (here.directory / "there").mkdir()
    assert here("new", "-s", "there/real.jsonl").status == 0
    (here.directory / "a.jsonl").symlink_to("there/real.jsonl")
    assert here("new", "-s", "a.jsonl", "--force").status == 0
    assert (here.directory / "a.jsonl").is_symlink()
    assert everything(here.directory) == ["a.jsonl", "there", "there/real.jsonl", "there/real.jsonl.bak-1"]


# A session of somebody else


def foreign(model: str = "gemini-flash-latest", config: Any = None, **more: Any) -> Path:
    """A session `a` whose first record a stranger has written."""
    return write_session("a", header(model) | {"backend": "gemini", "config": config or {}} | more)


NOTE = "gemcli: note: by the settings of the session, parts of the conversation can go to "


@pytest.mark.parametrize(
    ("session", "project", "told"),
    [("./a.jsonl", "theirs", True), ("./a.jsonl", "mine", False), ("./a.jsonl", None, False), ("a", "theirs", False)],
)
def test_a_session_that_chooses_a_project(here: InProcess, session: str, project: str | None, told: bool) -> None:
    """A file that lets somebody else's project have the conversation is told; one with a plain name was made here."""
    place = {"project": project} if project else {}
    shutil.copy(foreign(backend="vertex", **place), here.directory)
    environ = {"GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9", "GOOGLE_CLOUD_PROJECT": "mine"}
    done = here("send", "-s", session, "hi", env={**environ, "GOOGLE_APPLICATION_CREDENTIALS": "/none"})
    assert (NOTE in done.err) == told
    assert not told or done.err.startswith(f"{NOTE}the Google Cloud project theirs\n")


def test_a_model_in_a_strangers_project(here: InProcess) -> None:
    """A model of another project than the session's is not asked: its owner would get the conversation."""
    foreign("projects/theirs/locations/global/endpoints/1", backend="vertex")
    environ = {"GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9", "GOOGLE_CLOUD_PROJECT": "mine"}
    for command in (["send", "-s", "a", "hi"], ["replay", "s.yaml", "-s", "a"]):
        (here.directory / "s.yaml").write_text("- hi\n")
        done = here(*command, env=environ)
        assert (done.status, "belongs to another project than mine" in done.err) == (2, True), done.err
    assert len(here.records("a")) == 1


URL_CONTEXT: Any = {"tools": [{"urlContext": {}}]}
PAGES = NOTE + "the web pages that it names\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("send -s ./a.jsonl hi", True),
        ("replay s.yaml -s ./a.jsonl", True),
        ("replay ./a.jsonl -s b", True),
        ("new -s b --from ./a.jsonl", True),
        ("new -s b --history ./a.jsonl", True),
        ("new -s b --history request.json", True),
        ("send -s a hi", False),
        ("new -s b --from a", False),
        ("send -s ./b.jsonl --create --config own.json hi", False),
    ],
)
def test_settings_that_reach_others(here: InProcess, model: Model, command: str, told: bool) -> None:
    """Who else gets a conversation by the settings of a file is told, once; one's own settings are no news."""
    first = header("m") | {"backend": "gemini", "config": URL_CONTEXT}
    shutil.copy(write_session("a", first, *turn(1)), here.directory)
    (here.directory / "s.yaml").write_text("[one, two]\n")
    (here.directory / "own.json").write_text(json.dumps(URL_CONTEXT))
    (here.directory / "request.json").write_text(json.dumps({"contents": contents("q", "a"), **URL_CONTEXT}))
    err = here(*command.split(), env=model.env).err
    assert (err.startswith(PAGES), err.count(NOTE)) == (told, told)


def test_settings_of_a_message_that_reach_others(here: InProcess, model: Model) -> None:
    """A message of a stranger's session that is sent again brings its own settings, which are told too."""
    asked, answered = turn(1)
    write_session("a", header("m"), asked | {"config": URL_CONTEXT}, answered)
    assert here("replay", str(session_file("a")), "-s", "b", env=model.env).err == PAGES


def test_a_model_that_names_a_file(here: InProcess) -> None:
    """A file of the reader that a session gives out as rules is not quoted."""
    (here.directory / "private").write_text("token: abcdef\nother: {: ]\n")
    foreign("simulator/rules:private")
    for command in (["send", "-s", "a", "hi"], ["new", "-s", "b", "--from", "a"], ["send", "-s", "b", "hi"]):
        done = here(*command)
        assert "abcdef" not in done.err + done.out
    assert (done.status, "private is not a rules file" in done.err) == (2, True)


def test_texts_of_a_stranger_on_a_terminal(terminal: Terminal) -> None:
    """Whatever stands in a session, nothing of it reaches the terminal as it is."""
    texts = {"id": ALL, "time": ALL, "origin": {"kind": ALL, "file": ALL, "session": ALL}, "model": ALL}
    config: Any = {"systemInstruction": {"parts": [{"text": ALL}]}}
    asked, told = turn(1, ALL, ALL)
    told["answer"] |= {"modelVersion": ALL, "responseId": ALL}
    records = header() | texts | {"config": config}, asked | {"model": ALL, "time": ALL, "key": ALL}, told
    write_session("a", *records)
    path = str(session_file("a"))
    for command in (
        ["history", "-s", path],
        ["history", "-s", path, "--all", "--full", "--json"],
        ["history", "-s", path, "--check"],
        ["history", "--sessions"],
        ["history", "--sessions", "--json"],
        ["export", "markdown", "-s", path],
        ["export", "script", "-s", path],
        ["send", "-s", path, "hi"],
        ["rewind", "-s", path],
        ["new", "-s", "b", "--from", path],
        ["replay", path, "-s", "c", "--dry-run"],
    ):
        status, printed = terminal(*command)
        assert status in (0, 2, 65), command
        assert_harmless(printed)


# What is no file, where text is expected


def make(kind: str, path: Path) -> None:
    """Something that is no plain file."""
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    else:
        path.symlink_to(path.name if kind == "loop" else "nowhere")


@pytest.mark.parametrize(("kind", "status"), [("directory", 74), ("socket", 74), ("loop", 74), ("dangling", 66)])
@pytest.mark.parametrize(
    "command",
    [
        ["replay", "x", "-s", "a"],
        ["new", "-s", "a", "--history", "x"],
        ["new", "-s", "a", "--config", "x"],
        ["new", "-s", "a", "--system", "@x"],
        ["send", "-s", "rules", "hi"],
    ],
    ids=lambda command: command[0] + command[-2],
)
def test_what_cannot_be_read_as_text(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, command: list[str], kind: str, status: int
) -> None:
    """Directories, sockets, loops and dangling links as a script, a history, a config or rules are told by name."""
    monkeypatch.chdir(here.directory)  # the names of sockets have to be short
    make(kind, here.directory / "x")
    write_session("rules", header("simulator/rules:x"))
    done = here(*command)
    assert (done.status, done.out) == (status, "")
    assert " x" in done.err
    assert not here.session("a").exists()
    assert len(here.records("rules")) == 1


def test_files_through_fifos(gemcli: Gemcli) -> None:
    """What the shell's <(…) gives is read like a file."""
    script = "gemcli new -s a --model simulator/echo --history <(cat h) --system @<(echo be brief) --config <(cat c)"
    (gemcli.directory / "h").write_text(
        '[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"a"}]}]'
    )
    (gemcli.directory / "c").write_text("seed: 7\n")
    done = gemcli.shell(script)
    assert (done.status, done.json["turns"], done.json["config"]["generationConfig"]) == (0, 1, {"seed": 7})


@pytest.mark.parametrize(
    "read",
    [
        lambda zero: inputs.document("/dev/zero"),
        lambda zero: inputs.document("-", stdin=zero),
        lambda zero: inputs.message("-", leave_stdin=False, notice=print, stdin=zero),
    ],
    ids=["file", "script-from-stdin", "message-from-stdin"],
)
def test_what_never_ends(monkeypatch: pytest.MonkeyPatch, read: Callable[[int], str]) -> None:
    """A device or a pipe without an end is given up once it is longer than anything could be."""
    monkeypatch.setattr(inputs, "LARGEST_FILE", 3 << 20)
    zero = os.open("/dev/zero", os.O_RDONLY)
    try:
        with pytest.raises(GemcliError, match="3,145,728 bytes") as caught:
            read(zero)
    finally:
        os.close(zero)
    assert (caught.value.reason, caught.value.exit) == ("TOO_LARGE", 65)


# Other people's files


class Stranger(InProcess):
    """The program as a user to whom not everything belongs: `nobody` if the tests run as root.

    It runs in a child of this process, for another user may not be able to run the interpreter; so everything has to
    be loaded.
    """

    def __call__(self, *args: Any, **given: Any) -> Done:
        """Run the program."""
        world = {"HOME": str(self.directory), "GEMCLI_HOME": str(self.directory / "home"), "GEMCLI_MODEL": ECHO}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                self._become([str(arg) for arg in args], world, out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            out.seek(0)
            err.seek(0)
            return Done(subprocess.CompletedProcess(args, os.waitstatus_to_exitcode(status), out.read(), err.read()))

    def _become(self, words: list[str], world: dict[str, str], out: int, err: int) -> NoReturn:
        """Become another user, run the program and end."""
        status = 99
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.chdir(self.directory)
            os.environ.update(world)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            status = main(words, os.environ)
        finally:
            os._exit(status)

    def own(self, path: Path) -> Path:
        """Give a file to the stranger."""
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        return path


@pytest.fixture
def stranger(here: InProcess, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Stranger]:
    """A stranger in a directory of its own, which others can look into."""
    write_session("warm", header(), *turn(1))
    (here.directory / "q.jsonl").write_text(suite("name", ["a"]))
    for command in ("send -s warm hi", "export contents -s warm", "rewind -s warm", "replay q.jsonl --out out", "new"):
        here(*command.split(), "--debug")
    directory = Path(tempfile.mkdtemp(prefix="gemcli-", dir="/tmp"))
    directory.chmod(0o755)
    one = Stranger(directory, capfdbinary)
    one.own(directory)
    try:
        yield one
    finally:
        shutil.rmtree(directory)


def others_session(stranger: Stranger, mode: int, *, own: bool) -> Path:
    """A session of one turn with this mode, the stranger's own or not."""
    path = stranger.directory / "s.jsonl"
    shutil.copy(write_session("made", header(), *turn(1)), path)
    path.chmod(mode)
    return stranger.own(path) if own else path


def assert_refused(done: Done) -> None:
    """The command failed as 74 for want of permission, and printed nothing."""
    assert (done.status, done.out) == (74, ""), done.err
    assert "Permission denied" in done.err
    assert "Traceback" not in done.err


def test_a_session_that_may_only_be_read(stranger: Stranger) -> None:
    """A read-only session can be shown, forked and exported; what would write to it is 74 before anything is sent."""
    path = others_session(stranger, 0o444, own=True)
    before = path.read_bytes()
    assert stranger("history", "-s", "s.jsonl").json["user"] == "question 1"
    assert stranger("new", "-s", "fork.jsonl", "--from", "s.jsonl").json["turns"] == 1
    assert stranger("rewind", "-s", "s.jsonl", "--dry-run").status == 0
    for command in (["send", "hi"], ["rewind"], ["send", "--create", "hi"]):
        assert_refused(stranger(command[0], "-s", "s.jsonl", *command[1:]))
    assert path.read_bytes() == before
    assert sorted(os.listdir(stranger.directory)) == ["fork.jsonl", "s.jsonl"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that is somebody else's")
def test_a_session_of_somebody_else(stranger: Stranger) -> None:
    """A session that only another user may read is 74 for every command, and not taken for a missing one."""
    others_session(stranger, 0o600, own=False)
    for command in (["history"], ["send", "--create", "hi"], ["export", "contents"], ["rewind"]):
        assert_refused(stranger(command[0], "-s", "s.jsonl", *command[1:]))
    assert_refused(stranger("new", "-s", "x.jsonl", "--history", "s.jsonl"))
    assert stranger("new", "-s", "s.jsonl").status == 73
    assert os.listdir(stranger.directory) == ["s.jsonl"]


def test_a_directory_that_may_not_be_written_to(stranger: Stranger) -> None:
    """Nothing new is made in such a directory, and a session in it goes on: it is only appended to."""
    path = others_session(stranger, 0o600, own=True)
    (stranger.directory / "q.jsonl").write_text(suite("name", ["a"]))
    stranger.directory.chmod(0o555)
    try:
        assert stranger("send", "-s", "s.jsonl", "hi").json["turn"] == 2
        for command in (
            ["new", "-s", "x.jsonl"],
            ["new", "-s", "s.jsonl", "--force"],
            ["send", "-s", "x", "--create", "hi"],
        ):
            assert_refused(stranger(*command))
        done = stranger("replay", "q.jsonl", "--out", "out")
        assert (done.status, done.lines[-1]["reason"], done.lines[-1]["turns"]["sent"]) == (74, "IO", 0)
        assert "cannot make the directory out: Permission denied" in done.err
        with path.open("ab") as file:
            file.write(b'{"torn')
        # What the crash left cannot be kept aside, so it is not cut off either.
        assert_refused(stranger("send", "-s", "s.jsonl", "hi"))
        assert path.read_bytes().endswith(b'{"torn')
    finally:
        stranger.directory.chmod(0o755)
    assert sorted(os.listdir(stranger.directory)) == ["q.jsonl", "s.jsonl"]


def test_files_that_may_not_be_read(stranger: Stranger) -> None:
    """A script, a history or a config without permission is 74, by name, and no session is made."""
    secret = stranger.directory / "x"
    secret.write_text("- a\n")
    secret.chmod(0)
    for command in (["replay", "x"], ["new", "--history", "x"], ["new", "--config", "x"], ["new", "--system", "@x"]):
        done = stranger(command[0], "-s", "a.jsonl", *command[1:])
        assert_refused(done)
        assert "cannot read x" in done.err
    assert os.listdir(stranger.directory) == ["x"]
