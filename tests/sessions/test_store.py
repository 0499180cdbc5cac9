"""The store: sessions are made whole, opened by one writer at a time, and anything else is refused by name."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from gemcli.errors import GemcliError
from gemcli.sessions.filesystem import FileSystem, P, T
from gemcli.sessions.store import Store
from tests.builders import error_from, header
from tests.sessions.faulty import Faulty
from tests.support import Gemcli


def silent(fs: FileSystem | None = None) -> Store:
    """A store that tells nobody."""
    return Store(fs or FileSystem(), lambda _: None)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A path for a session, with nothing there."""
    return str(tmp_path / "s.jsonl")


def reason(action: Callable[[], object]) -> str:
    """The reason of the error that `action` raises."""
    return error_from(action).reason


def open_and_close(store: Store, path: str, wait: float = 0) -> None:
    """Open a session for writing and write nothing."""
    with store.open(path, wait):
        pass


# Making


def test_a_session_that_was_made_can_be_read_and_opened(path: str) -> None:
    """What `create` writes is the session, and nothing else is left in the directory."""
    made = header()
    assert silent().create(path, [made]) is None
    assert silent().read(path).records == [made]
    with silent().open(path, 0) as session:
        assert session.journal.header == made
        assert session.path == os.path.realpath(path)
    assert os.listdir(os.path.dirname(path)) == ["s.jsonl"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_an_existing_session_is_never_overwritten(path: str) -> None:
    """A second `create` is SESSION_EXISTS, and neither the session nor a draft changes."""
    silent().create(path, [header("first")])
    assert reason(lambda: silent().create(path, [header("second")])) == "SESSION_EXISTS"
    assert silent().read(path).header["model"] == "first"
    assert os.listdir(os.path.dirname(path)) == ["s.jsonl"]


def test_force_keeps_the_old_session(path: str) -> None:
    """With `force` every old session, and what is none, stays under a number of its own."""
    Path(path).write_bytes(b"no session at all\n")
    kept = [silent().create(path, [header(str(number))], force=True) for number in (1, 2, 3)]
    assert kept == [f"{os.path.realpath(path)}.bak-{number}" for number in (1, 2, 3)]
    assert Path(path + ".bak-1").read_bytes() == b"no session at all\n"
    assert [silent().read(path + end).header["model"] for end in (".bak-2", ".bak-3", "")] == ["1", "2", "3"]


def test_there_is_no_moment_without_a_session_under_force(path: str) -> None:
    """At every system call of a replacement the path names a whole session, the old or the new one."""
    silent().create(path, [header("old")])
    seen = []

    class Looking(FileSystem):
        def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            seen.append(silent().read(path).header["model"])
            return function(*args, **kwargs)

    silent(Looking()).create(path, [header("new")], force=True)
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"old", "new"}


def test_a_directory_that_is_missing_or_cannot_be_made(tmp_path: Path) -> None:
    """A missing directory is FILE_MISSING with the command that makes it; a file in the way is IO, and names it."""
    error = error_from(silent().create, str(tmp_path / "no such" / "s.jsonl"), [header()])
    assert error.reason == "FILE_MISSING"
    assert error.hint == f"mkdir -p '{os.path.realpath(tmp_path / 'no such')}'"
    (tmp_path / "file").write_text("")
    error = error_from(silent().make_directory, str(tmp_path / "file" / "a"))
    assert (error.reason, error.message.startswith("cannot make the directory")) == ("IO", True)


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, "DISK_FULL"), (errno.EACCES, "IO")])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_a_session_that_cannot_be_made_leaves_nothing(call: str, number: int, expected: str, path: str) -> None:
    """Any failure before the session has its name leaves the directory as it was."""
    assert reason(lambda: silent(Faulty(**{call: number})).create(path, [header()])) == expected
    assert os.listdir(os.path.dirname(path)) == []


NO_LINKS = [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK]


@pytest.mark.parametrize("number", NO_LINKS)
def test_a_file_system_without_hard_links(number: int, path: str) -> None:
    """There too a session is made whole, never over another file, and `force` keeps a copy of the old one."""
    store = silent(Faulty(link=number))
    assert store.create(path, [header("first")]) is None
    assert reason(lambda: store.create(path, [header("second")])) == "SESSION_EXISTS"
    assert store.read(path).header["model"] == "first"
    assert store.create(path, [header("second")], force=True) == os.path.realpath(path) + ".bak-1"
    assert [store.read(path + end).header["model"] for end in (".bak-1", "")] == ["first", "second"]
    assert sorted(os.listdir(os.path.dirname(path))) == ["s.jsonl", "s.jsonl.bak-1"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_file_system_without_hard_links_that_fails(path: str) -> None:
    """A name that was taken and cannot be used is given back."""
    assert reason(lambda: silent(Faulty(link=errno.EPERM, replace=errno.EIO)).create(path, [header()])) == "IO"
    assert os.listdir(os.path.dirname(path)) == []


def test_a_crash_on_a_file_system_without_hard_links(path: str) -> None:
    """At every moment the name is free, or that of an empty file or of the whole session."""
    seen = []

    class Killed(Faulty):
        def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            seen.append(Path(path).read_bytes() if os.path.exists(path) else None)
            return super().call(function, *args, **kwargs)

    store = silent(Killed(link=errno.EPERM))
    store.create(path, [header()])
    whole = Path(path).read_bytes()
    states = [state for number, state in enumerate(seen) if number == 0 or state != seen[number - 1]]
    assert states == [None, b"", whole]
    Path(path).write_bytes(b"")
    assert reason(lambda: store.create(path, [header()])) == "SESSION_EXISTS"
    assert store.create(path, [header()], force=True) is not None


def test_a_writer_that_finds_a_name_just_taken_waits(path: str) -> None:
    """Whoever opens the empty file, before the session stands in its place, gets the session."""

    class Waiting(Faulty):
        def replace(self, source: str, target: str) -> None:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(reason, lambda: open_and_close(silent(), path)).result() == "SESSION_BUSY"
            super().replace(source, target)

    silent(Waiting(link=errno.EPERM)).create(path, [header()])
    open_and_close(silent(), path)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOTTY])
def test_a_file_system_that_cannot_sync_directories(number: int, path: str) -> None:
    """Nothing better can be done there, so it is no error."""
    store = silent(DirectoryFails(number))
    store.create(path, [header()])
    store.create(path, [header()], force=True)
    open_and_close(store, path)


def test_a_directory_that_fails_to_be_synced(path: str) -> None:
    """The session is there, and the error says so: 74."""
    error = error_from(silent(DirectoryFails(errno.EIO)).create, path, [header()])
    assert (error.reason, error.exit) == ("IO", 74)
    assert error.message.startswith(f"{os.path.realpath(path)} is there, but its name may not be on the disk: ")
    assert os.listdir(os.path.dirname(path)) == ["s.jsonl"]
    open_and_close(silent(), path)


class DirectoryFails(FileSystem):
    """Syncs files, and fails to sync directories."""

    def __init__(self, number: int) -> None:
        self.number = number

    def sync(self, fd: int) -> None:
        """Sync a file."""
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(self.number, os.strerror(self.number))
        super().sync(fd)


@pytest.mark.parametrize("force", [False, True])
def test_a_link_to_nothing_is_refused(force: bool, tmp_path: Path) -> None:
    """A session is never made in a place that was not named; a link to a directory on the way is followed."""
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "nowhere")
    error = error_from(lambda: silent().create(str(tmp_path / "a.jsonl"), [header()], force=force))
    assert (error.reason, error.exit) == ("NOT_A_SESSION", 65)
    assert error.hint == f"remove the link: rm {tmp_path / 'a.jsonl'}"
    for action in (silent().read, lambda path: open_and_close(silent(), path)):
        assert error_from(action, str(tmp_path / "a.jsonl")).message == error.message
    assert os.listdir(tmp_path) == ["a.jsonl"]
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    silent().create(str(tmp_path / "link" / "b.jsonl"), [header()])
    (tmp_path / "c.jsonl").symlink_to(tmp_path / "real" / "b.jsonl")
    assert reason(lambda: silent().create(str(tmp_path / "c.jsonl"), [header()])) == "SESSION_EXISTS"
    assert silent().create(str(tmp_path / "c.jsonl"), [header()], force=True) is not None
    assert (tmp_path / "c.jsonl").is_symlink()


def test_drafts_are_looked_for_once_in_a_directory(path: str) -> None:
    """Thousands of sessions of one run do not list their directory thousands of times."""
    fs = Faulty()
    store = silent(fs)
    for number in range(3):
        store.create(f"{path}.{number}", [header()])
    assert fs.calls.count("listdir") == 1


def test_directories_are_made_private_as_far_as_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing parents are made 0700; those that exist keep their mode. A relative path is one from here."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    silent().make_directory(str(tmp_path / "a" / "b"))
    silent().make_directory("a/b/c")
    made = (tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c")
    assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o755, 0o700, 0o700, 0o700]


# Reading and opening


@pytest.mark.parametrize("action", [lambda path: silent().read(path), lambda path: open_and_close(silent(), path)])
def test_a_missing_session_is_named(action: Callable[[str], object], path: str) -> None:
    """Nothing at the path is SESSION_MISSING, and nothing is made."""
    error = error_from(action, path)
    assert (error.reason, error.exit) == ("SESSION_MISSING", 66)
    assert path in error.message
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "CORRUPT"),
        (b"\n", "CORRUPT"),
        (b"hello\n", "NOT_A_SESSION"),
        (b'{"kind":"request"}\n', "NOT_A_SESSION"),
        (b'[{"role":"user"}]\n', "NOT_A_SESSION"),
        (b"\x7fELF\0\0\0", "NOT_A_SESSION"),
        (b'{"kind":"session","format":99}\n', "NEWER_FORMAT"),
        (b'{"kind":"session","format":true}\n', "CORRUPT"),
        (b'{"kind":"session","format":1}\n', "CORRUPT"),
    ],
)
def test_what_is_no_session_is_refused_and_left_alone(data: bytes, expected: str, path: str) -> None:
    """Readers and writers refuse other files alike, with status 65 and not a byte changed."""
    Path(path).write_bytes(data)
    assert reason(lambda: silent().read(path)) == expected
    assert reason(lambda: open_and_close(silent(), path)) == expected
    assert Path(path).read_bytes() == data
    assert os.listdir(os.path.dirname(path)) == ["s.jsonl"]


def test_a_reader_looks_again_before_it_calls_a_line_bad(path: str) -> None:
    """A bad line that is gone a moment later was a write in progress."""
    silent().create(path, [header()])
    good = Path(path).read_bytes()
    Path(path).write_bytes(good + b"half a record\n")
    reads = []

    class Mending(FileSystem):
        def read(self, fd: int, size: int) -> bytes:
            data = super().read(fd, size)
            reads.append(len(data))
            if len(reads) == 2:
                Path(path).write_bytes(good)
            return data

    assert len(silent(Mending()).read(path).records) == 1
    assert len(reads) == 3


def test_a_second_writer_waits_or_is_refused(path: str) -> None:
    """A session that is open is SESSION_BUSY for a second writer, and free again whatever ends the block."""
    silent().create(path, [header()])
    with suppress(ZeroDivisionError), silent().open(path, 0):
        assert reason(lambda: open_and_close(silent(), path)) == "SESSION_BUSY"
        assert reason(lambda: open_and_close(silent(), path, 0.1)) == "SESSION_BUSY"
        assert reason(lambda: silent().create(path, [header()], force=True)) == "SESSION_BUSY"
        assert len(silent().read(path).records) == 1
        raise ZeroDivisionError
    open_and_close(silent(), path)
    assert os.listdir(os.path.dirname(path)) == ["s.jsonl"]


def test_no_descriptor_stays_open(path: str) -> None:
    """Every way through the store closes what it opened."""

    class Counting(FileSystem):
        open_now = 0

        def open(self, path: str, flags: int) -> int:
            fd = super().open(path, flags)
            self.open_now += 1
            return fd

        def close(self, fd: int) -> None:
            self.open_now -= 1
            super().close(fd)

    fs = Counting()
    store = silent(fs)
    store.create(path, [header()])
    reason(lambda: store.create(path, [header()]))
    store.create(path, [header()], force=True)
    store.read(path)
    with store.open(path, 0):
        reason(lambda: open_and_close(store, path))
    Path(path).write_bytes(b"broken\n")
    reason(lambda: store.read(path))
    reason(lambda: open_and_close(store, path))
    reason(lambda: store.read(os.path.dirname(path)))
    assert fs.open_now == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_to_be_one(number: int, path: str) -> None:
    """Without locks nothing is written: NO_LOCK, 74; reading still works."""
    silent().create(path, [header()])
    store = silent(Faulty(flock=number))
    with pytest.raises(GemcliError) as error, store.open(path, 0):
        pass
    assert (error.value.reason, error.value.exit) == ("NO_LOCK", 74)
    assert len(store.read(path).records) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_path_that_cannot_be_looked_at_is_an_error_and_no_loop(number: int, path: str) -> None:
    """When it cannot be told whether the lock is that of the session, opening ends with IO."""
    silent().create(path, [header()])

    class Limited(Faulty):
        made = 0

        def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            self.made += 1
            assert self.made < 1000, "it goes round in circles"
            return super().call(function, *args, **kwargs)

    assert reason(lambda: open_and_close(silent(Limited(stat=number)), path)) == "IO"
    Path(path).with_name("missing").mkdir()
    with pytest.raises(GemcliError):
        silent(Limited(stat=number, mkdir=number)).make_directory(str(Path(path).with_name("missing") / "a"))


# Names


def test_names_are_the_sessions_of_a_directory(tmp_path: Path) -> None:
    """Drafts, backups and other files are no sessions; a directory that does not exist has none, a file is IO."""
    for name in ("b.jsonl", "a.jsonl", ".c.jsonl.new-00ff", ".hidden.jsonl", "a.jsonl.bak-1", "notes.txt"):
        (tmp_path / name).write_text("")
    assert silent().names(str(tmp_path)) == ["a", "b"]
    assert silent().names(str(tmp_path / "none")) == []
    assert reason(lambda: silent().names(str(tmp_path / "notes.txt"))) == "IO"


# What is no file at all

COMMANDS = (
    ("history",),
    ("send", "x"),
    ("send", "x", "--create"),
    ("rewind",),
    ("rewind", "--dry-run"),
    ("new", "--force"),
    ("export", "contents"),
)


def listen(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


NO_FILES: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "socket": listen,
    "loop": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "directory": Path.mkdir,
    "tty": lambda path: path.symlink_to("/dev/ptmx"),
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_is_no_session(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FIFOs, sockets, devices, directories and loops of links are NOT_A_SESSION at once for readers and writers."""
    monkeypatch.chdir(tmp_path)  # the names of sockets have to be short
    path = Path("x.jsonl")
    make(path)
    names = os.listdir()
    for action in (
        lambda: silent().read(str(path)),
        lambda: open_and_close(silent(), str(path), 5),
        lambda: silent().create(str(path), [header()], force=True, wait=5),
    ):
        assert reason(action) == "NOT_A_SESSION"
    assert reason(lambda: silent().create(str(path), [header()])) == "SESSION_EXISTS"
    assert os.listdir() == names


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_hangs_on_a_fifo(command: tuple[str, ...], gemcli: Gemcli) -> None:
    """A FIFO as a session is 65 at once, whatever the command."""
    os.mkfifo(gemcli.directory / "x.jsonl")
    name, *rest = command
    done = gemcli(name, "-s", "./x.jsonl", *rest, env={"GEMCLI_MODEL": "simulator/echo"}, timeout=20)
    assert (done.status, done.out) == (65, "")
    assert "not a session" in done.err
