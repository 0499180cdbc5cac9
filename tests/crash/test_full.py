"""Disks that are really full: a small one in memory, and files that may not grow. What was paid for is not lost.

Messages are sent until no more fit. Each answer that the model gave is in the session, or was printed with the word
that it is not saved; when there is room again, everything goes on.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import ANSWERED
from tests.builders import contents, texts
from tests.crash.harness import Ran, Runner, environment
from tests.support import Model, read_session

IO = 74
PAGE = resource.getpagesize()
PAGES = 24
"""What fits on the small disk."""

Figures = Callable[..., None]


class Small:
    """A place for sessions that is soon full: `disk` is its directory as it can be looked at from here.

    `make_room` makes it large again.
    """

    def __init__(self, runner: Runner, model: Model, home: Path, disk: Path, directory: Path) -> None:
        self.runner = runner
        self.model = model
        self.disk = disk
        self.sessions = disk / "sessions"
        self.path = self.sessions / "s.jsonl"
        self._directory = directory
        self._env = environment(directory, model, home)

    def __call__(self, *args: str) -> Ran:
        """Run a command."""
        ran = self.runner(*args, env=self._env, directory=self._directory)
        assert not ran.late, ran
        assert "Traceback" not in ran.err, ran.err
        return ran

    def journal(self) -> Journal:
        """The session as a reader sees it; its turn order is valid."""
        return read_session(self.path)

    def stored(self) -> list[str]:
        """The answers that are in the session."""
        return [one.id for one in self.journal().exchanges if one.state == ANSWERED]

    def files(self) -> dict[str, bytes]:
        """What is in the directory of sessions."""
        return {file.name: file.read_bytes() for file in self.sessions.iterdir()}

    def empty(self) -> None:
        """Take everything away."""
        for entry in self.disk.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.model.requests.clear()

    def fill(self, pages: int = 0) -> None:
        """Leave room for so many pages only."""
        ballast = self.disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            size = 0
            try:
                while True:
                    size += file.write(bytes(PAGE))
            except OSError:
                assert size >= pages * PAGE
            file.truncate(size - pages * PAGE)

    def make_room(self) -> None:
        """Take away what fills the disk."""
        (self.disk / "ballast").unlink()


def _unshare() -> list[str]:
    """The command that gives a process mounts of its own; skips the test where that is not permitted."""
    options = ["-m"] if os.geteuid() == 0 else ["-r", "-m"]
    command = ["unshare", *options]
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed: no disk of our own can be mounted")
    tried = subprocess.run(
        [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no disk of our own can be mounted: {tried.stderr.strip()}")
    return command


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runner, Path]]:
    """A disk of a few pages, mounted where only the commands of this runner see it; one for all tests here."""
    place = tmp_path_factory.mktemp("small")
    mount = f'mount -t tmpfs -o size={PAGES * PAGE} tmpfs "$0" && exec "$@"'
    with Runner(tmp_path_factory.mktemp("runner"), [*_unshare(), "sh", "-c", mount, str(place)]) as runner:
        yield runner, place


@pytest.fixture
def small(mounted: tuple[Runner, Path], model: Model, tmp_path: Path) -> Small:
    """A disk of a few pages, with nothing on it."""
    runner, place = mounted
    made = Small(runner, model, place, runner.inside(place), tmp_path)
    made.empty()
    assert made("new", "-s", "probe").status == 0
    assert list(made.files()) == ["probe.jsonl"], "the disk is seen from here"
    made.empty()
    return made


def send_until_full(place: Small, length: int) -> Counter[str]:
    """Send messages of that length until three in a row do not go through; what became of them."""
    assert place("new", "-s", "s").status == 0
    counts, failed = Counter[str](), 0
    while failed < 3:
        paid = len(place.model.requests)
        ran = place("send", "-s", "s", f"{counts.total()} ".ljust(length, "x"))
        assert ran.status in (0, IO), ran
        assert place.path.read_bytes().endswith(b"\n"), "a torn record is cut back"
        paid = len(place.model.requests) - paid
        if ran.status == 0:
            counts["saved"] += 1
            assert (paid, ran.printed["saved"]) == (1, True), ran
        elif paid:
            counts["unsaved"] += 1
            assert (paid, ran.printed["saved"]) == (1, False), ran
        else:
            counts["not sent"] += 1
            assert ran.out == "", ran
        failed = failed + 1 if ran.status else 0
    assert len(place.model.requests) == counts["saved"] + counts["unsaved"]
    assert len(place.stored()) == counts["saved"], "paid = stored + printed as not saved"
    return counts


def goes_on(place: Small) -> None:
    """The next message goes through, on top of the history that a reader sees."""
    history = place.journal().history
    place.model.requests.clear()
    ran = place("send", "-s", "s", "again")
    assert (ran.status, ran.printed["saved"]) == (0, True), ran
    asked = [*history, *contents("again")]
    assert [request["contents"] for request in place.model.requests] == [asked]
    assert place.journal().history[:-1] == asked


@pytest.mark.parametrize("lengths", [
    pytest.param((350, 900), id="two"),
    pytest.param(range(50, 1500, 61), id="many", marks=pytest.mark.torture),
])  # fmt: skip
def test_what_is_paid_is_stored_or_told(lengths: tuple[int, ...], small: Small, figures: Figures) -> None:
    """Sending until the disk is full, every paid answer is in the session or printed as not saved; then it goes on."""
    counts = Counter[str]()
    for length in lengths:
        small.empty()
        small.fill(pages=4)
        counts += send_until_full(small, length)
        small.make_room()
        goes_on(small)
    assert min(counts["saved"], counts["unsaved"], counts["not sent"]) > 0, counts
    told = {name.replace(" ", "_"): count for name, count in sorted(counts.items())}
    figures("a full disk", fillings=len(lengths), paid=counts["saved"] + counts["unsaved"], **told, lost=0)


NEW = {
    "plain": ((), False),
    "history": (("--history", "history.json"), False),
    "force": (("--force", "--history", "history.json"), True),
}


@pytest.mark.parametrize("how", NEW)
def test_new_is_whole_or_not_at_all(how: str, small: Small, tmp_path: Path) -> None:
    """On a full disk `new` is 74 and leaves everything as it was; with room it works."""
    more, exists = NEW[how]
    (tmp_path / "history.json").write_text(json.dumps(contents(*map(str, range(8)))))
    assert small("new", "-s", "s" if exists else "other").status == 0
    if exists:
        assert small("send", "-s", "s", "first").status == 0
    before = small.files()
    small.fill()
    ran = small("new", "-s", "s", *more)
    assert (ran.status, ran.out) == (IO, ""), ran
    assert "No space left" in ran.err
    assert small.files() == before
    small.make_room()
    assert small("new", "-s", "s", *more).status == 0
    goes_on(small)


def test_a_replay_stops_and_goes_on(small: Small, tmp_path: Path, figures: Figures) -> None:
    """A replay that fills the disk ends in 74, every answer stored or told; with room it sends the rest, once."""
    messages = [f"{number} ".ljust(700, "x") for number in range(10)]
    (tmp_path / "script.json").write_text(json.dumps(messages))
    small.fill(pages=5)
    ran = small("replay", "script.json", "-s", "s")
    assert ran.status == IO, ran
    told = [event["saved"] for event in ran.events if event["event"] == "turn" and event["sent"]]
    paid = len(small.model.requests)
    assert len(told) == paid < len(messages)
    assert len(small.stored()) == told.count(True) > 0
    assert small("replay", "script.json", "-s", "s", "--on-unknown", "resend").status == IO
    resent = len(small.model.requests) - paid
    small.make_room()
    assert small("replay", "script.json", "-s", "s", "--on-unknown", "resend").status == 0
    asked = Counter(texts([request["contents"][-1] for request in small.model.requests]))
    assert set(asked) == set(messages)
    # Once more for each answer that was told to be unsaved, and of which only the request is in the session.
    assert asked.total() - len(messages) == told.count(False) + resent <= 2
    assert texts(small.journal().history[::2]) == messages
    figures("a replay on a full disk", paid=asked.total(), told_unsaved=asked.total() - len(messages), lost=0)


@pytest.mark.parametrize("args", [("send", "-s", "s", "second"), ("rewind", "-s", "s")], ids=["send", "rewind"])
def test_a_torn_tail_waits_for_room(args: tuple[str, ...], small: Small) -> None:
    """Without room to set a torn tail aside nothing is cut off and nothing is sent: 74; with room it is mended."""
    for words in (("new", "-s", "s"), ("send", "-s", "s", "first")):
        assert small(*words).status == 0
    torn = b'{"kind":"request","turn":2,"content":"' + b"x" * 100
    with small.path.open("ab") as file:
        file.write(torn)
    before = small.files()
    small.fill()
    small.model.requests.clear()
    ran = small(*args)
    assert (ran.status, ran.out, small.model.requests) == (IO, "", []), ran
    assert small.files() == before
    assert len(small.stored()) == 1
    small.make_room()
    assert small(*args).status == 0
    assert (small.sessions / "s.jsonl.torn-1").read_bytes() == torn
    goes_on(small)


def test_a_file_that_may_not_grow(runner: Runner, model: Model, tmp_path: Path, figures: Figures) -> None:
    """A limit on the size of files (ulimit -f) is a full disk: paid is stored or told, and without it all goes on."""
    for name in ("runner", "home"):
        (tmp_path / name).mkdir()
    # What Python compiles would be cut short by the limit, and break whoever loads it next.
    limit = 'export PYTHONDONTWRITEBYTECODE=1; ulimit -f 12; exec "$@"'
    with Runner(tmp_path / "runner", ["sh", "-c", limit, "sh"]) as limited:
        place = Small(limited, model, tmp_path / "home", tmp_path / "home", tmp_path)
        counts = Counter[str]()
        for length in (300, 400):
            place.empty()
            counts += send_until_full(place, length)
            place.runner = runner
            goes_on(place)
            place.runner = limited
    assert min(counts["saved"], counts["unsaved"] + counts["not sent"]) > 0, counts
    figures("a file that may not grow", paid=counts["saved"] + counts["unsaved"], lost=0)
