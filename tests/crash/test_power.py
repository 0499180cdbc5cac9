"""Power loss, modelled: every disk that POSIX allows at any moment of an operation is read, and gone on with.

An operation runs once, and what each call did to the disk is written down. From that, at each call, follow the disks
that a power loss may leave: data that was not synced is there, lost, halved or zeros, file by file, and of the names
that were not synced in each directory any subset is. Where there are few such disks, all are tried; otherwise those
on which everything and nothing was lost, and a sample.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from gemcli.errors import GemcliError
from gemcli.sessions import store
from tests.crash.faults import Fault
from tests.crash.harness import OPERATIONS, History, Operation, Ran, Runner, World, by_operation
from tests.support import Model

pytestmark = pytest.mark.usefixtures("no_pause")

Tree = tuple[tuple[str, bytes | None], ...]
"""What a disk holds: paths with their bytes, directories with none. Parents come before their children."""

FEW = 48
"""So many disks at one call are all tried; of more, a sample of this size."""
WAYS = 64
"""In so many ways, at most, the unsynced data of one file may be lost."""


@dataclass
class File:
    """A file: what is `safe` on the disk, and the writes and cuts since, oldest first: (offset, data or None)."""

    safe: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        """Make everything safe."""
        for change in self.pending:
            self.safe = _changed(self.safe, change)
        self.pending.clear()

    def ways(self, chance: random.Random) -> list[bytes]:
        """What may be in the file after a power loss: first nothing that was not synced, last all of it."""
        found: dict[bytes, None] = {}
        chosen = _subsets(len(self.pending), chance)
        for subset in chosen:
            picked = [change for change, there in zip(self.pending, subset, strict=True) if there]
            for damage in (None, *range(len(picked))) if picked else (None,):
                for content in self._damaged(picked, damage):
                    found[content] = None
        whole = self._damaged(self.pending, None)[0]
        ways = [way for way in found if way not in (self.safe, whole)]
        if len(ways) > WAYS:
            ways = chance.sample(ways, WAYS)
        return list(dict.fromkeys([self.safe, *ways, whole]))

    def _damaged(self, changes: Sequence[tuple[int, bytes | None]], place: int | None) -> list[bytes]:
        """The content after these changes, one of them damaged in each way, or none."""
        data = None if place is None else changes[place][1]
        if place is not None and not data:
            return []
        half = len(data or b"") // 2
        made: list[bytes | None] = [None]
        if data:
            zeros = bytes(len(data))
            made = [data[:half], data[:half] + zeros[half:], zeros[:half] + data[half:], zeros]
        contents = []
        for damaged in made:
            content = self.safe
            for number, (at, whole) in enumerate(changes):
                content = _changed(content, (at, damaged if number == place else whole))
            contents.append(content)
        return contents


def _changed(content: bytes, change: tuple[int, bytes | None]) -> bytes:
    """A file's content after a write, or a cut. What lies between its end and a write is zeros."""
    at, data = change
    if data is None:
        return content[:at].ljust(at, b"\0")
    return content[:at].ljust(at, b"\0") + data + content[at + len(data) :]


def _subsets(size: int, chance: random.Random) -> list[tuple[bool, ...]]:
    """All subsets of so many things, or some of them if there are too many: none and all, first parts and others."""
    if size <= 5:
        return list(product((False, True), repeat=size))
    firsts = [tuple(number < end for number in range(size)) for end in range(size + 1)]
    return [*firsts, *(tuple(chance.random() < 0.5 for _ in range(size)) for _ in range(16))]


@dataclass
class Directory:
    """A directory: the names that are `safe` on the disk, and those set or taken away since, oldest first."""

    safe: dict[str, File | Directory] = field(default_factory=dict)
    pending: list[dict[str, File | Directory | None]] = field(default_factory=list)

    def sync(self) -> None:
        """Make all names safe; not what they name."""
        self.safe = self.names([True] * len(self.pending))
        self.pending.clear()

    def names(self, there: Sequence[bool]) -> dict[str, File | Directory]:
        """The names, if of those that were not synced these are `there`."""
        names: dict[str, File | Directory | None] = dict(self.safe)
        for change, kept in zip(self.pending, there, strict=True):
            names |= change if kept else {}
        return {name: node for name, node in names.items() if node is not None}

    def ways(self, chance: random.Random) -> list[dict[str, File | Directory]]:
        """The names that may be there after a power loss: first those that were synced, last all."""
        return [self.names(subset) for subset in _subsets(len(self.pending), chance)]


Lies = Callable[[int, File | Directory], bool]
"""Whether a disk ignores a sync, told its number, counted from 1, and what is to be synced."""


class Disk:
    """A disk under a directory, with what is safe on it and what is not. `lies` tells which syncs it ignores."""

    def __init__(self, root: Path) -> None:
        self.nodes: dict[int, File | Directory] = {}
        self.root = self._load(root)
        self.syncs = 0
        self.lies: Lies | None = None

    def _load(self, path: Path) -> File | Directory:
        node: File | Directory
        if path.is_dir():
            node = Directory({child.name: self._load(child) for child in sorted(path.iterdir())})
        else:
            node = File(path.read_bytes())
        self.nodes[path.stat().st_ino] = node
        return node

    def apply(self, did: Mapping[str, Any]) -> None:
        """Do what a call did."""
        if did["kind"] == "names":
            if did["new"]:
                (inode,) = did["set"].values()
                self.nodes[inode] = File() if did["new"] == "file" else Directory()
            change = {name: None if inode is None else self.nodes[inode] for name, inode in did["set"].items()}
            directory = self.nodes[did["directory"]]
            assert isinstance(directory, Directory)
            directory.pending.append(change)
        elif did["kind"] == "sync":
            self.syncs += 1
            if not self.lies or not self.lies(self.syncs, self.nodes[did["of"]]):
                self.nodes[did["of"]].sync()
        else:
            file = self.nodes[did["file"]]
            assert isinstance(file, File)
            data = did["data"].encode("latin-1") if did["kind"] == "write" else None
            file.pending.append((did["at"] if data is not None else did["size"], data))

    def losses(self, chance: random.Random) -> tuple[int, list[Tree]]:
        """How many disks a power loss may leave now, and those that are tried."""
        nodes = {id(node): node for node in self.nodes.values() if node.pending}
        ways = {key: node.ways(chance) for key, node in nodes.items()}
        total = prod(map(len, ways.values()))
        picks: list[tuple[int, ...]]
        if total <= FEW:
            picks = list(product(*(range(len(some)) for some in ways.values())))
        else:
            picks = [tuple(0 for _ in ways), tuple(len(some) - 1 for some in ways.values())]
            picks += [tuple(chance.randrange(len(some)) for some in ways.values()) for _ in range(FEW - 2)]
        trees = {self._tree({key: ways[key][at] for key, at in zip(ways, pick, strict=True)}): None for pick in picks}
        return total, list(trees)

    def _tree(self, chosen: Mapping[int, Any]) -> Tree:
        found: list[tuple[str, bytes | None]] = []

        def walk(node: File | Directory, path: str) -> None:
            if isinstance(node, File):
                found.append((path, chosen.get(id(node), node.safe)))
                return
            if path:
                found.append((path, None))
            for name, child in sorted(chosen.get(id(node), node.safe).items()):
                walk(child, f"{path}/{name}" if path else name)

        walk(self.root, "")
        return tuple(found)


@dataclass(frozen=True)
class Moment:
    """A moment of an operation, and a disk that a power loss may leave then: what was printed and asked before it."""

    tree: Tree
    out: str
    err: str
    asked: tuple[Any, ...]
    after: str
    """The calls that were made by then, the last few of them."""


class PowerWorld(World):
    """A world whose operation was run once, and written down: what it did to the disk, printed and asked, and when."""

    def __init__(self, operation: Operation, runner: Runner, model: Model, directory: Path) -> None:
        super().__init__(operation, runner, model, directory)
        self.restore()
        self._first = Disk(self.directory)
        times: list[float] = []
        model.during = lambda number: times.append(time.monotonic())
        if operation.reply:
            model.script(operation.reply)
        record = directory / "record"
        ran = self.command(*operation.args, fault=Fault(record=str(record)))
        assert ran.status == operation.status, ran
        self._out, self._err = ran.out.encode(), ran.err.encode()
        self._lines = [json.loads(line) for line in record.read_text().splitlines()]
        self._asked = list(zip(times, model.requests, strict=True))
        self.syncs = sum(line.get("did") is not None and line["did"]["kind"] == "sync" for line in self._lines)
        self.possible = 0
        """How many disks power losses may leave, at all calls together."""

    def moments(self, lies: Lies | None = None) -> Iterator[Moment]:
        """Every moment with every disk, or a sample of the disks; `lies` tells which syncs the disk ignores."""
        disk, chance = deepcopy(self._first), random.Random(7)
        disk.lies = lies
        calls: list[str] = []
        seen: set[tuple[Tree, int, int, int]] = set()
        trees: list[Tree] = []
        for line in self._lines:
            asked = tuple(request for moment, request in self._asked if moment < line["time"])
            if not trees:
                possible, trees = disk.losses(chance)
                self.possible += possible
            for tree in trees:
                if (fact := (tree, line["out"], line["err"], len(asked))) not in seen:
                    seen.add(fact)
                    out, err = self._out[: line["out"]].decode(), self._err[: line["err"]].decode()
                    yield Moment(tree, out, err, asked, " ".join(calls[-6:]))
            calls.append(line["call"])
            if line.get("did"):
                disk.apply(line["did"])
                trees = []

    def check(self, moment: Moment) -> History | None:
        """Make a disk of that moment the world, and verify it; the history that a reader finds."""
        shutil.rmtree(self.directory)
        for path, data in moment.tree:
            place = self.directory / path
            place.parent.mkdir(exist_ok=True)
            place.mkdir() if data is None else place.write_bytes(data)
        self.model.requests[:] = moment.asked
        if self.operation.reply and "gemcli: error: " in moment.err:
            journal = self.journal()
            assert journal, moment
            last = list(journal.exchanges)[-1]
            assert last.response or last.failure, f"what was told is not there: {moment}"
        return self.verify(Ran(-signal.SIGKILL, [moment.after], False, moment.out, moment.err))

    def broken(self, lies: Lies) -> tuple[int, int]:
        """How many of how many disks do not hold what must hold, if syncs are ignored."""
        broken = tried = 0
        with mock.patch.object(store, "PAUSE", 0):  # nothing writes meanwhile, so a bad line stays one
            for moment in self.moments(lies):
                tried += 1
                broken += self._breaks(moment)
        return broken, tried

    def _breaks(self, moment: Moment) -> bool:
        try:
            self.check(moment)
        except (AssertionError, GemcliError):
            return True
        return False


IN_SHORT = [operation for operation in OPERATIONS if not operation.long or operation.name == "replay"]


def go_on_at_any_moment(world: PowerWorld, most: int, figures: Callable[..., None]) -> None:
    """Verify every disk, and send the next message on at most so many of them; tell how many there were."""
    moments = list(world.moments())
    trees = list(dict.fromkeys(moment.tree for moment in moments))
    chosen = set(trees if len(trees) <= most else random.Random(8).sample(trees, most))
    for moment in moments:
        now = world.check(moment)
        if moment.tree in chosen:
            chosen.remove(moment.tree)
            world.verify_next(now)
    assert len(trees) >= 3
    counts = {"possible": world.possible, "moments": len(moments), "disks": len(trees)}
    figures(f"power losses: {world.operation.name}", **counts, broken=0)


@pytest.mark.parametrize("operation", IN_SHORT, ids=lambda operation: operation.name)
def test_a_power_loss_leaves_a_session_that_holds(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """On every disk that a power loss may leave: the old history or the new one, and all that was printed or asked.

    On a few of them the next message is sent, too; the long form does that on every disk.
    """
    go_on_at_any_moment(PowerWorld(operation, runner, model, tmp_path), 6, figures)


@pytest.mark.torture
@by_operation
def test_the_next_message_goes_through_after_any_power_loss(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """On every disk that a power loss may leave, the next message builds on what a reader sees."""
    go_on_at_any_moment(PowerWorld(operation, runner, model, tmp_path), 10**6, figures)


MUTANTS: dict[str, Lies] = {
    "files": lambda _, node: isinstance(node, File),
    "directories": lambda _, node: isinstance(node, Directory),
    "anything": lambda _, __: True,
}
"""File systems that do not put on the disk what they are told to."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_file_system_that_does_not_sync_is_caught(
    mutant: str, runner: Runner, model: Model, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """The proof has teeth: without fsync of files, of directories, or of both, there are disks that do not hold."""
    broken = tried = 0
    for operation in (one for one in OPERATIONS if one.name in ("send-create", "new-force")):
        (place := tmp_path / operation.name).mkdir()
        world = PowerWorld(operation, runner, model, place)
        lost, seen = world.broken(MUTANTS[mutant])
        assert lost > 0, f"{operation.name} would not notice"
        broken, tried = broken + lost, tried + seen
    figures(f"power losses without fsync of {mutant}", disks=tried, broken=broken)


@pytest.mark.torture
@by_operation
def test_every_sync_is_needed(
    operation: Operation, runner: Runner, model: Model, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """Without any single one of its syncs an operation leaves disks that do not hold."""
    world = PowerWorld(operation, runner, model, tmp_path)
    useless = [
        number
        for number in range(1, world.syncs + 1)
        if not world.broken(lambda count, _, number=number: count == number)[0]  # type: ignore[misc]
    ]
    figures(f"single syncs left out: {operation.name}", syncs=world.syncs, unnoticed=len(useless))
    assert useless == []
