"""`gemcli rewind`: whole turns out of the history and back, nothing out of the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gemcli.sessions import record_lines
from tests.builders import CALL, RESPONSE, failure, header, mixed, request, response, turn, write_session
from tests.support import Done, InProcess


@pytest.fixture
def five() -> Path:
    """A session of five turns, named a."""
    return write_session("a", header(), *(record for number in range(1, 6) for record in turn(number)))


def live(here: InProcess, name: str = "a") -> list[int]:
    """The numbers of the live turns; an error unless the session is sound."""
    assert here("history", "-s", name, "--check").status == 0
    return [line["turn"] for line in here("history", "-s", name).lines]


def refused(done: Done, status: int, words: str) -> None:
    """The run failed with this status and these words, and printed nothing."""
    assert (done.status, done.out) == (status, "")
    assert words in done.err


@pytest.mark.parametrize(
    ("args", "gone", "left"),
    [
        ([], [5], [1, 2, 3, 4]),
        (["-n", "1"], [5], [1, 2, 3, 4]),
        (["-n", "2"], [4, 5], [1, 2, 3]),
        (["--number", "5"], [1, 2, 3, 4, 5], []),
        (["--to", "4"], [5], [1, 2, 3, 4]),
        (["--to", "1"], [2, 3, 4, 5], [1]),
        (["--to", "0"], [1, 2, 3, 4, 5], []),
        (["--to", "5"], [], [1, 2, 3, 4, 5]),
    ],
    ids=["default", "last", "two", "all", "to-4", "to-1", "to-0", "to-5"],
)
def test_several_turns(here: InProcess, five: Path, args: list[str], gone: list[int], left: list[int]) -> None:
    """`-n` takes that many turns, `--to` makes a turn the last. The file grows by a record, in a dry run not at all."""
    before = five.read_bytes()
    plan = here("rewind", "-s", "a", *args, "--dry-run").json
    assert five.read_bytes() == before
    done = here("rewind", "-s", "a", *args).json
    assert ([each["turn"] for each in done["rewound"]], done["turns"]) == (gone, len(left))
    assert done["last_turn"] == (left[-1] if left else None)
    assert live(here) == left
    assert (plan["dry_run"], done["dry_run"]) == (True, False)
    assert [each["turn"] for each in plan["rewound"]] == gone
    assert (plan["turns"], plan["last_turn"]) == (done["turns"], done["last_turn"])
    assert {each["state"] for each in done["rewound"]} == ({"rewound"} if gone else set())
    assert five.read_bytes().startswith(before)
    assert five.read_bytes().count(b"\n") == before.count(b"\n") + bool(gone)


def test_undo(here: InProcess, five: Path) -> None:
    """`--undo` brings back what the last rewind took, then what the one before took, and so on."""
    here("rewind", "-s", "a")
    here("rewind", "-s", "a", "-n", "2")
    assert live(here) == [1, 2]
    plan = here("rewind", "-s", "a", "--undo", "--dry-run").json
    assert live(here) == [1, 2]
    done = here("rewind", "-s", "a", "--undo").json
    assert [each["turn"] for each in done["restored"]] == [each["turn"] for each in plan["restored"]] == [3, 4]
    assert (done["turns"], done["last_turn"]) == (4, 4)
    assert [each["state"] for each in done["restored"]] == ["answered", "answered"]
    here("rewind", "-s", "a", "--undo")
    assert live(here) == [1, 2, 3, 4, 5]
    refused(here("rewind", "-s", "a", "--undo"), 65, "there is no rewind to undo in a")


def test_undo_after_an_answer(here: InProcess) -> None:
    """After the next answer a rewind is final, and the hint says how to get at older turns."""
    write_session("a", header(), *turn(1), *turn(2))
    assert here("rewind", "-s", "a").status == 0
    assert here("send", "-s", "a", "x").json["turn"] == 3
    done = here("rewind", "-s", "a", "--undo")
    refused(done, 65, "there is no rewind to undo")
    assert "gemcli new -s NEW --from a --at N" in done.err


def test_undo_after_a_failure(here: InProcess) -> None:
    """A turn that failed or was refused since then does not make a rewind final."""
    write_session("a", header(), *turn(1))
    here("rewind", "-s", "a")
    path = Path(here("history", "-s", "a", "--path").out.strip())
    with path.open("ab") as file:
        file.write(b"".join(map(record_lines.encode, [request(2, "q"), failure(2, "rejected")])))
    assert here("rewind", "-s", "a", "--undo").json["last_turn"] == 1
    assert live(here) == [1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-n", "6"], "cannot take 6 from a: it has 5 turns in its history"),
        (["-n", "99999999999999999999"], "cannot take 99999999999999999999 from a"),
        (["--to", "6"], "turn 6 is not in the history of a"),
        (["--undo"], "there is no rewind to undo"),
    ],
    ids=["past-the-start", "far-past-the-start", "to-nowhere", "nothing-to-undo"],
)
def test_what_cannot_be(here: InProcess, five: Path, args: list[str], words: str) -> None:
    """What is not there cannot be taken or brought back: 65, and not a byte is written."""
    before = five.read_bytes()
    refused(here("rewind", "-s", "a", *args), 65, words)
    refused(here("rewind", "-s", "a", *args, "--dry-run"), 65, words)
    assert five.read_bytes() == before


def test_an_empty_history(here: InProcess) -> None:
    """In a session without turns there is nothing to take; `--to 0` has nothing to do."""
    path = write_session("a", header())
    refused(here("rewind", "-s", "a"), 65, "cannot take 1 from a: it has 0 turns in its history")
    assert here.failed("rewind", "-s", "a").error["reason"] == "NO_SUCH_TURN"
    assert here("rewind", "-s", "a", "--to", "0").json["rewound"] == []
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize(
    "words", ["-n 1 --to 1", "-n 1 --undo", "--to 0 --undo", "-n 0", "-n -1", "--to -1", "-n x", "1"]
)
def test_options_that_do_not_fit(here: InProcess, five: Path, words: str) -> None:
    """Options that exclude each other, and numbers that are none, are 2 and write nothing."""
    before = five.read_bytes()
    assert here("rewind", "-s", "a", *words.split()).status == 2
    assert five.read_bytes() == before


@pytest.mark.parametrize(("length", "word"), [(5, "refused"), (7, "failed"), (8, "pending"), (9, "in doubt")])
def test_after_a_turn_that_never_was_in_the_history(here: InProcess, length: int, word: str) -> None:
    """After a turn that was refused, failed or interrupted the answered one before it goes, and a note says so."""
    write_session("a", *mixed()[:length])
    done = here("rewind", "-s", "a")
    newest = length // 2
    assert done.err == f"gemcli: note: turn {newest} is not in the history ({word}), so it is not counted\n"


def test_a_rewind_to_a_turn_counts_nothing(here: InProcess) -> None:
    """Where the last turn is named, there is nothing to say of turns that are not in the history."""
    write_session("a", *mixed()[:9])
    done = here("rewind", "-s", "a", "--to", "0")
    assert (done.status, done.err) == (0, "")
    assert [each["turn"] for each in done.json["rewound"]] == [1]


def test_an_open_turn_goes_whole(here: InProcess) -> None:
    """A turn goes with its calls and responses, so no call is left without its response."""
    call = [request(2, "q"), response(2, CALL), request(2, RESPONSE, ordinal=2), response(2, CALL, ordinal=2)]
    write_session("a", header(), *turn(1), *call)
    done = here("rewind", "-s", "a")
    assert (done.json["rewound"][0]["turn"], done.err) == (2, "")
    assert live(here) == [1]


def test_numbers_are_never_used_twice(here: InProcess, five: Path) -> None:
    """After a rewind the next turn has a number above all that ever were, and does not see what was taken."""
    here("rewind", "-s", "a", "--to", "1")
    done = here("send", "-s", "a", "new").json
    assert done["turn"] == 6
    assert done["text"] == 'Message 2 says: "new". Before it: 1: "question 1".'
    assert done["totals"]["turns"] == 2


def test_a_busy_session(here: InProcess, five: Path) -> None:
    """A session that another process holds is 75 after --wait, and is not changed; a dry run needs no lock."""
    import fcntl

    before = five.read_bytes()
    with five.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(here("rewind", "-s", "a", "--wait", "0.1"), 75, "is in use by another gemcli")
        assert here("rewind", "-s", "a", "--dry-run").status == 0
    assert five.read_bytes() == before
    assert here("rewind", "-s", "a", "--wait", "0").status == 0


def test_a_torn_tail_is_mended_first(here: InProcess, five: Path) -> None:
    """What a crash tore off is kept beside the session, with a note; then the rewind is done. A dry run leaves it."""
    torn = five.read_bytes() + b'{"kind":"requ'
    five.write_bytes(torn)
    assert here("rewind", "-s", "a", "--dry-run").status == 0
    assert (five.read_bytes(), os.listdir(five.parent)) == (torn, ["a.jsonl"])
    done = here("rewind", "-s", "a")
    assert done.status == 0
    assert f"what was there is in {five}.torn-1" in done.err
    assert Path(f"{five}.torn-1").read_bytes() == b'{"kind":"requ'
    assert live(here) == [1, 2, 3, 4]
