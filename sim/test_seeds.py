"""The swarm: every invariant over many seeds, under faults and after them."""

import itertools
import time
from collections.abc import Iterable

import pytest

from sim.batch import Totals, again, summaries
from sim.counters import STATES

REPLAY = "python -m sim replay {seed}"
TWICE_EVERY = 40
SEEDS_FOR_ALL_STATES = 360


@pytest.fixture(scope="module")
def totals(request: pytest.FixtureRequest) -> Totals:
    """All seeds that were asked for, run once for the tests of this file."""
    seeds: range = request.config.getoption("--seeds")
    minutes: float | None = request.config.getoption("--minutes")
    found = Totals()
    for summary in summaries(_bounded(seeds, minutes)):
        found.add(summary)
    return found


def _bounded(seeds: range, minutes: float | None) -> Iterable[int]:
    """The seeds, and with `minutes` those that follow until the time is over."""
    yield from seeds
    until_s = time.monotonic() + (minutes or 0.0) * 60
    for seed in itertools.count(seeds.stop):
        if time.monotonic() >= until_s:
            return
        yield seed


@pytest.mark.timeout(0)
def test_no_seed_breaks_an_invariant(totals: Totals) -> None:
    """Whatever goes wrong in the world, no oracle finds anything."""
    told = [
        f"{REPLAY.format(seed=seed)}    # {finding}"
        for seed, findings in sorted(totals.failed.items())
        for finding in findings
    ]
    assert not told, "\n".join(told)


def test_everything_interesting_happens(totals: Totals, request: pytest.FixtureRequest) -> None:
    """Every fault strikes and every state that the oracles are about is reached."""
    if len(request.config.getoption("--seeds")) < SEEDS_FOR_ALL_STATES:
        pytest.skip(f"fewer than {SEEDS_FOR_ALL_STATES} seeds need not reach every state")
    assert [state for state in STATES if not totals.states[state]] == []


def test_a_seed_is_the_same_every_time(totals: Totals, request: pytest.FixtureRequest) -> None:
    """Run again, in another process, a seed gives the same trace; the first difference is named."""
    seeds: range = request.config.getoption("--seeds")
    told = [again(seed, totals.digests[seed]) for seed in seeds[::TWICE_EVERY]]
    assert [line for line in told if line is not None] == []
