"""Mutated inputs for every reader: each is accepted, and then holds what was promised, or refused with a clear error.

A failure prints what repeats it: the target, its seed, and the smallest input that was found to break it, which is to
be kept in `tests/data/fuzz/<target>`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import Random

import pytest

from gemcli.errors import GemcliError
from tests.fuzz.mutate import mutated, smaller
from tests.fuzz.targets import TARGETS, corpus

SECONDS = 1.0
"""Processor time that an input of at most `mutate.LONGEST` bytes may take."""

FIRST = int(os.environ.get("FUZZ_SEED", "0"))
"""The seed of the first input; the others follow one by one."""


class Broken(AssertionError):
    """An input that did something else than to be accepted or refused."""


def attempt(name: str, data: bytes) -> bool:
    """Whether a target accepts an input. Raises `Broken` for what is neither taken nor refused, or takes too long."""
    start = time.process_time()
    try:
        accepted = TARGETS[name].read(data)
    except GemcliError:
        accepted = False
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}") from error
    if time.process_time() - start > SECONDS:
        raise Broken(f"took {time.process_time() - start:.1f} s")
    return accepted


def breaks(name: str, kind: type[BaseException]) -> Callable[[bytes], bool]:
    """Whether an input breaks a target by this kind of error."""

    def check(data: bytes) -> bool:
        try:
            attempt(name, data)
        except Broken as broken:
            return type(broken.__cause__) is kind
        return False

    return check


def fuzz(name: str, seed: int, seeds: list[bytes]) -> bool:
    """Make the input of this seed and try it; whether it was accepted."""
    data = mutated(Random(seed), seeds)
    try:
        return attempt(name, data)
    except Broken as broken:
        smallest = smaller(data, breaks(name, type(broken.__cause__))) if broken.__cause__ else data
        pytest.fail(
            f"{name}, seed {seed} (FUZZ_SEED={seed} repeats it): {broken}\nsmallest: {smallest[:2000]!r}", pytrace=False
        )


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed(name: str) -> None:
    """Each input of the corpus, whatever it once broke, is accepted or refused; some of them are accepted."""
    assert sum(attempt(name, data) for data in corpus(name)) > 0


@pytest.mark.parametrize("name", TARGETS)
def test_mutated(name: str) -> None:
    """A few hundred mutations of each corpus are accepted or refused; both happens."""
    seeds = corpus(name)
    accepted = sum(fuzz(name, seed, seeds) for seed in range(FIRST, FIRST + COUNTS.get(name, 300)))
    assert accepted > 0


@pytest.mark.torture
def test_mutated_for_long(budget: float, figures: Callable[..., None]) -> None:
    """As many mutations as there is time for, from seeds that no run had before."""
    corpora = {name: corpus(name) for name in TARGETS}
    inputs = dict.fromkeys(TARGETS, 0)
    accepted, start, until = 0, time.monotonic(), time.monotonic() + budget
    seed = FIRST or int.from_bytes(os.urandom(6)) << 16
    first = seed
    while time.monotonic() < until:
        for name, seeds in corpora.items():
            # Sessions and answers are what is most worth it, and the quickest to read.
            for _ in range(SHARES.get(name, 20)):
                accepted += fuzz(name, seed, seeds)
                inputs[name] += 1
                seed += 1
    total = sum(inputs.values())
    rate = round(total / (time.monotonic() - start))
    figures("fuzz", inputs=total, accepted=accepted, uncaught=0, per_second=rate, seed=first, **inputs)


COUNTS = {"session": 1200, "history": 800, "body": 800, "stream": 500, "rules": 200, "script": 250}
SHARES = {
    "session": 200,
    "history": 80,
    "body": 100,
    **dict.fromkeys(("stream", "error", "message", "word", "header"), 60),
}
