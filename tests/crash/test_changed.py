"""Other programs change the session while the model is asked: nothing of theirs is touched, and no answer is lost."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gemcli.simulator.simulated_api import Reply
from tests.crash.harness import DENIED, Operation, Ran, Runner, World
from tests.support import Model, read_session

SEND = Operation("send", ("send", "-s", "s", "second"), (("new", "-s", "s"), ("send", "-s", "s", "first")))

IO = 74


def replace(path: Path) -> None:
    """What an editor does: another file under the name."""
    draft = path.with_name("draft~")
    draft.write_bytes(path.read_bytes().replace(b"first", b"FIRST"))
    draft.replace(path)


def replace_with_itself(path: Path) -> None:
    """What `sed -i` without a match does: the same bytes in another file."""
    draft = path.with_name("draft~")
    draft.write_bytes(path.read_bytes())
    draft.replace(path)


def truncate(path: Path) -> None:
    """What `> file` does in a shell."""
    os.truncate(path, 0)


def cut(path: Path) -> None:
    """The last record goes, as when an old copy is written over the file."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def append(path: Path) -> None:
    """A program that does not lock appends."""
    with path.open("ab") as file:
        file.write(b'{"kind":"tool","request":"1.1"}\n')


def delete(path: Path) -> None:
    """The file goes."""
    path.unlink()


def delete_directory(path: Path) -> None:
    """The whole directory goes elsewhere."""
    path.parent.rename(path.parent.with_name("elsewhere"))


def turn_into_directory(path: Path) -> None:
    """Something else altogether stands under the name."""
    path.unlink()
    path.mkdir()


CHANGES = (replace, replace_with_itself, truncate, cut, append, delete, turn_into_directory)


def run_meddled(runner: Runner, directory: Path, meddle: Callable[[Path], None], *replies: Reply) -> tuple[World, Ran]:
    """Run a send during whose call `meddle` happens to the session."""
    with Model() as model:
        world = World(SEND, runner, model, directory)
        world.restore()
        model.script(*replies)
        model.during = lambda number: meddle(world.path)
        ran = world.command(*SEND.args)
        model.during = None
        assert len(model.requests) == 1
        return world, ran


def content_of(path: Path) -> bytes | None:
    """The bytes of a file, `None` if there is none."""
    return path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_session_changed_during_the_call_is_left_alone(
    change: Callable[[Path], None], runner: Runner, tmp_path: Path
) -> None:
    """The answer is printed as not saved, a whole session with it stands beside, the other program's file as it is."""
    theirs: list[bytes | None] = []

    def meddle(path: Path) -> None:
        change(path)
        theirs.append(content_of(path))

    world, ran = run_meddled(runner, tmp_path, meddle)
    assert ran.status == IO
    assert ran.printed["saved"] is False
    assert ran.printed["text"].startswith('Message 2 says: "second".')
    assert "changed by another program" in ran.err
    assert [content_of(world.path)] == theirs
    lost = world.path.with_name("s.jsonl.lost-1")
    assert str(lost) in ran.err
    assert read_session(lost).history == world.after
    assert stat.S_IMODE(lost.stat().st_mode) == 0o600
    taken = world.command("rewind", "-s", str(lost))
    assert [turn["turn"] for turn in taken.printed["rewound"]] == [2]


def test_a_directory_that_goes_leaves_the_answer_on_stdout(runner: Runner, tmp_path: Path) -> None:
    """When there is nowhere to keep the answer, it is still printed, as not saved, with status 74."""
    world, ran = run_meddled(runner, tmp_path, delete_directory)
    assert ran.status == IO
    assert ran.printed["saved"] is False
    assert ran.printed["text"].startswith('Message 2 says: "second".')
    assert not world.sessions.exists()


def test_a_second_lost_turn_gets_a_file_of_its_own(runner: Runner, tmp_path: Path) -> None:
    """What was kept before is never overwritten."""

    def meddle(path: Path) -> None:
        path.with_name("s.jsonl.lost-1").write_bytes(b"theirs")
        replace(path)

    world, ran = run_meddled(runner, tmp_path, meddle)
    assert ran.status == IO
    assert world.path.with_name("s.jsonl.lost-1").read_bytes() == b"theirs"
    assert read_session(world.path.with_name("s.jsonl.lost-2")).history == world.after


def test_a_failure_in_a_changed_session_says_both(runner: Runner, tmp_path: Path) -> None:
    """The call's own error decides the status; that it could not be recorded is a note, and nothing is written."""
    world, ran = run_meddled(runner, tmp_path, replace, DENIED)
    assert ran.status == 77
    assert ran.printed is None
    assert "the failure could not be recorded" in ran.err
    assert b"failure" not in world.path.read_bytes()
    assert not list(world.sessions.glob("*.lost-*"))


def test_a_link_to_another_file_during_the_call_is_left_alone(runner: Runner, tmp_path: Path) -> None:
    """When the name becomes a link to another session, that session gets nothing of ours."""

    def meddle(path: Path) -> None:
        other = path.with_name("elsewhere.jsonl")
        other.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(other)

    world, ran = run_meddled(runner, tmp_path, meddle)
    assert ran.status == IO
    assert b"Message 2" not in world.path.with_name("elsewhere.jsonl").read_bytes()
    assert read_session(world.path.with_name("s.jsonl.lost-1")).history == world.after


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_sessions_are_private_whatever_the_umask(umask: int, runner: Runner, model: Model, tmp_path: Path) -> None:
    """Sessions, backups, torn tails and lost turns are 0600, and the directories made for them 0700."""
    home = tmp_path / "a" / "home"
    with Model() as meddled:
        env = {"GEMCLI_HOME": str(home), **meddled.env}

        def run(*args: str) -> Ran:
            return runner(*args, env=env, directory=tmp_path, umask=umask)

        path = home / "sessions" / "s.jsonl"
        assert run("new", "-s", "s").status == 0
        assert run("new", "-s", "s", "--force").status == 0
        assert run("send", "-s", "made", "--create", "hello").status == 0
        with path.open("ab") as file:
            file.write(b'{"torn')
        assert run("send", "-s", "s", "hello").status == 0
        meddled.during = lambda number: append(path)
        assert run("send", "-s", "s", "hello").status == IO
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (home / "sessions").iterdir()}
    names = ["made.jsonl", "s.jsonl", "s.jsonl.bak-1", "s.jsonl.lost-1", "s.jsonl.torn-1"]
    assert modes == dict.fromkeys(names, 0o600)
    for directory in (home.parent, home, home / "sessions"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_mode_that_the_user_gave_a_session_stays(runner: Runner, model: Model, tmp_path: Path) -> None:
    """Appending does not change who may read a session."""
    world = World(SEND, runner, model, tmp_path)
    world.restore()
    world.path.chmod(0o640)
    assert world.command(*SEND.args).status == 0
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o640
