"""The oracles of retries: silent where all is right, loud on each half of a breach."""

from collections.abc import Callable
from typing import Final

import pytest

from sim.handmade import Handmade
from sim.handmade_retries import (
    childs_cancel_forgotten,
    one_too_soon,
    past_its_deadline,
    stored_and_told_lost,
    tried,
)
from sim.oracles import Oracle
from sim.oracles.cancels import CancelHeard
from sim.oracles.outcomes import Produced
from sim.oracles.places import Transitions
from sim.oracles.retries import InTime, OnRecord, TriedAgain
from sim.oracles.told import ToldRight
from sim.plan import Plan, Sizes

PLAN: Final = Plan(seed=0, sizes=Sizes(lease_s=5.0))
Story = Callable[[Handmade], None]
RETRIES: Final = (TriedAgain, OnRecord, InTime, Produced, ToldRight, Transitions)


@pytest.mark.parametrize("oracle", RETRIES, ids=lambda oracle: oracle.name)
def test_a_retry_as_it_should_be_is_nothing_to_find(oracle: type[Oracle]) -> None:
    """One attempt fails, and the last one; all is on record."""
    made = Handmade(PLAN)
    tried(made)
    assert made.findings(oracle) == []


@pytest.mark.parametrize(
    ("story", "oracle"),
    [
        (one_too_soon, TriedAgain),
        (past_its_deadline, InTime),
        (childs_cancel_forgotten, CancelHeard),
        (stored_and_told_lost, ToldRight),
    ],
)
def test_an_oracle_finds_its_other_breaches(story: Story, oracle: type[Oracle]) -> None:
    """An oracle with two halves has a trace for the other one."""
    made = Handmade(PLAN)
    story(made)
    assert [finding.oracle for finding in made.findings(oracle)] == [oracle.name]
