"""Options that mean nothing together are refused; all others have their say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pytest

from gemcli.commands import history, new, rewind, send
from gemcli.terminal.combinations import Table
from tests.builders import header, mixed, request, response, session_file, turn, write_session
from tests.support import InProcess

HISTORY = {
    "--text": [], "--json": [], "--full": [], "--last": [], "--raw": [], "--turn": ["6"], "--all": [], "--contents": [],
    "--check": [], "--usage": [], "--path": [], "--sessions": [], "--session": ["a"],
}  # fmt: skip
REWIND = {"--number": ["1"], "--to": ["1"], "--undo": [], "--dry-run": [], "--text": [], "--json": [], "--wait": ["1"]}
NEW = {
    "--from": ["a"], "--history": ["h.json"], "--at": ["1"], "--force": [], "--wait": ["1"], "--text": [], "--json": [],
    "--model": ["simulator/echo"],
}  # fmt: skip


SEND = {
    "--text": [], "--json": [], "--stream": [], "--full": [], "--no-stdin": [], "--create": [], "--once": ["k"],
    "--on-unknown": ["fail"], "--max-turns": ["9"], "--skip-empty": [], "--dry-run": [],
    "--allow": ["incomplete"], "--model": ["simulator/echo"], "--retries": ["1"], "--timeout": ["9"], "--wait": ["1"],
    "--deadline": ["9"],
}  # fmt: skip


def words(options: Mapping[str, list[str]], *names: str) -> list[str]:
    """These options as they are typed."""
    return [word for name in names for word in (name, *options[name])]


def pairs(options: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Every two of these options."""
    return list(combinations(options, 2))


def is_apart(apart: Table, one: str, other: str) -> bool:
    """Whether a table keeps two options apart."""
    return other in apart.get(one, "").split() or one in apart.get(other, "").split()


@pytest.fixture(autouse=True)
def session() -> None:
    """A session with turns of every kind, of which the last live one is not the last."""
    write_session("a", *mixed(), request(7, "no"), response(7, "no", valid=False, finish="SAFETY"))


def test_every_pair_of_history(here: InProcess) -> None:
    """Two options are refused, or what is printed is what neither prints alone. JSON is what a pipe gets anyway."""
    env = {"GEMCLI_SESSION": "a"}
    alone = {option: here("history", *words(HISTORY, option), env=env).out for option in HISTORY}
    for pair in pairs(HISTORY):
        done = here("history", *words(HISTORY, *pair), env={} if {"--session", "--sessions"} & {*pair} else env)
        unheard = {"--json", "--session"} | ({"--text"} if "--path" in pair else set())
        if is_apart(history.APART, *pair):
            assert (done.status, done.out) == (2, ""), pair
            assert "exclude each other" in done.err, pair
        elif done.status == 2:
            assert "--raw needs --last or --turn" in done.err, pair
        else:
            assert done.status == 0, pair
            assert unheard & {*pair} or done.out not in {alone[option] for option in pair}, pair


def test_every_pair_of_rewind(here: InProcess) -> None:
    """What excludes each other is refused before anything is written."""
    for pair in pairs(REWIND):
        path = write_session("b", header(), *turn(1), *turn(2), {"kind": "rewind", "turns": [2]})
        before = path.read_bytes()
        done = here("rewind", "-s", "b", *words(REWIND, *pair))
        assert done.status == (2 if is_apart(rewind.APART, *pair) else 0), pair
        assert ("--dry-run" not in pair and done.status == 0) or path.read_bytes() == before, pair


def test_every_pair_of_new(here: InProcess) -> None:
    """A session has one origin and is printed in one form."""
    (here.directory / "h.json").write_text(
        '[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"a"}]}]'
    )
    for pair in pairs(NEW):
        session_file("b").unlink(missing_ok=True)
        done = here("new", "-s", "b", *words(NEW, *pair), env={"GEMCLI_MODEL": "simulator/echo"})
        lacking = [option for option, needed in new.NEEDS.items() if option in pair and needed not in pair]
        assert done.status == (2 if lacking or is_apart(new.APART, *pair) else 0), pair


def test_every_pair_of_send(here: InProcess) -> None:
    """What excludes each other, or lacks what it needs, is refused before anything is written."""
    for pair in pairs(SEND):
        path = write_session("b", header())
        before = path.read_bytes()
        done = here("send", "-s", "b", "Hello", *words(SEND, *pair))
        apart, lacking = is_apart(send.APART, *pair), "--on-unknown" in pair and "--once" not in pair
        assert done.status == (2 if apart or lacking else 0), pair
        if done.status == 2:
            assert (" exclude " if apart else " needs ") in done.err, pair
            assert (done.out, path.read_bytes()) == ("", before), pair


def test_what_is_needed_may_come_from_the_environment(here: InProcess) -> None:
    """It is there, however it was said."""
    write_session("b", header())
    assert here("send", "-s", "b", "--on-unknown", "fail", "Hello", env={"GEMCLI_SEND_ONCE": "k"}).status == 0


def test_the_environment_is_no_choice(here: InProcess) -> None:
    """A session named by the environment does not stand in the way of the list of all."""
    assert here("history", "--sessions", env={"GEMCLI_SESSION": "a"}).json["session"] == "a"
    assert here("history", "--sessions", "-s", "a").status == 2
