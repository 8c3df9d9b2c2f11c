"""The oracle of children and steps: silent where all is right, and it finds each breach."""

from collections.abc import Callable

import pytest

from sim.handmade import Handmade
from sim.handmade_families import EVERY_WAY, right
from sim.oracles.families import Families
from sim.plan import Plan


def test_a_parent_with_a_step_and_a_child_is_right() -> None:
    """It is stored in order, by who has it."""
    made = Handmade(Plan(seed=0))
    right(made)
    assert made.findings(Families) == []


@pytest.mark.parametrize("breach", EVERY_WAY, ids=lambda breach: breach.__name__)
def test_each_breach_is_found(breach: Callable[[Handmade], None]) -> None:
    """By the one oracle, once."""
    made = Handmade(Plan(seed=0))
    breach(made)
    assert [found.oracle for found in made.findings(Families)] == ["families"]
