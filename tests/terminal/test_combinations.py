"""Options that mean nothing together are refused; all others have their say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pytest

from gemcli.commands import history, new, rewind, send
from gemcli.terminal.options import Table
from tests.builders import header, mixed, request, response, turn, write_session
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


@pytest.mark.parametrize(("one", "other"), pairs(HISTORY))
def test_every_pair_of_history(here: InProcess, one: str, other: str) -> None:
    """Two options are refused, or what is printed is what neither prints alone. JSON is what a pipe gets anyway."""
    env = {} if {"--session", "--sessions"} & {one, other} else {"GEMCLI_SESSION": "a"}
    done = here("history", *words(HISTORY, one, other), env=env)
    if is_apart(history.APART, one, other):
        assert (done.status, done.out) == (2, "")
        assert "exclude each other" in done.err
        return
    if done.status == 2:
        assert "--raw needs --last or --turn" in done.err
        return
    assert done.status == 0
    unheard = {"--json", "--session"} | ({"--text"} if "--path" in (one, other) else set())
    if not unheard & {one, other}:
        alone = {here("history", *words(HISTORY, name), env={"GEMCLI_SESSION": "a"}).out for name in (one, other)}
        assert done.out not in alone


@pytest.mark.parametrize(("one", "other"), pairs(REWIND))
def test_every_pair_of_rewind(here: InProcess, one: str, other: str) -> None:
    """What excludes each other is refused before anything is written."""
    path = write_session("b", header(), *turn(1), *turn(2))
    here("rewind", "-s", "b")
    before = path.read_bytes()
    done = here("rewind", "-s", "b", *words(REWIND, one, other))
    assert done.status == (2 if is_apart(rewind.APART, one, other) else 0)
    assert ("--dry-run" not in (one, other) and done.status == 0) or path.read_bytes() == before


@pytest.mark.parametrize(("one", "other"), pairs(NEW))
def test_every_pair_of_new(here: InProcess, one: str, other: str) -> None:
    """A session has one origin and is printed in one form."""
    (here.directory / "h.json").write_text(
        '[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"a"}]}]'
    )
    done = here("new", "-s", "b", *words(NEW, one, other), env={"GEMCLI_MODEL": "simulator/echo"})
    lacking = [option for option, needed in new.NEEDS.items() if option in (one, other) and needed not in (one, other)]
    assert done.status == (2 if lacking or is_apart(new.APART, one, other) else 0)


@pytest.mark.parametrize(("one", "other"), pairs(SEND))
def test_every_pair_of_send(here: InProcess, one: str, other: str) -> None:
    """What excludes each other, or lacks what it needs, is refused before anything is written."""
    path = write_session("b", header())
    before = path.read_bytes()
    done = here("send", "-s", "b", "Hello", *words(SEND, one, other))
    lacking = "--on-unknown" in (one, other) and "--once" not in (one, other)
    assert done.status == (2 if lacking or is_apart(send.APART, one, other) else 0)
    if done.status == 2:
        assert (" needs " if lacking and not is_apart(send.APART, one, other) else " exclude ") in done.err
        assert (done.out, path.read_bytes()) == ("", before)


def test_what_is_needed_may_come_from_the_environment(here: InProcess) -> None:
    """It is there, however it was said."""
    write_session("b", header())
    assert here("send", "-s", "b", "--on-unknown", "fail", "Hello", env={"GEMCLI_SEND_ONCE": "k"}).status == 0


def test_the_environment_is_no_choice(here: InProcess) -> None:
    """A session named by the environment does not stand in the way of the list of all."""
    assert here("history", "--sessions", env={"GEMCLI_SESSION": "a"}).json["session"] == "a"
    assert here("history", "--sessions", "-s", "a").status == 2
