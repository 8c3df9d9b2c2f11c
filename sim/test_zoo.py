"""The zoo: every planted bug is found, and what finds it is silent without the bug."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from sim.oracles import ORACLES
from sim.zoo import MUTANTS, first_seeds, plan_for
from sim.zoo.__main__ import BEGIN, END, rows
from sim.zoo.hunting import findings_of, hunt

PAGE: Final = Path(__file__).parents[1] / "docs" / "simulator" / "zoo.md"
HUNT: Final = "hunt for all of them again: python -m sim.zoo"
AT_LEAST: Final = 24
SEEDS: Final = range(200)
"""Tried when the seed that found a mutant first does not any more."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_its_oracle(name: str) -> None:
    """The seed that found it first finds it, or one of the first few after a change of the code."""
    mutant = MUTANTS[name]
    assert hunt(mutant, [first_seeds()[name], *SEEDS]) is not None, f"it survives; {HUNT}"


def test_without_a_mutant_the_same_seeds_are_clean(pytestconfig: pytest.Config) -> None:
    """A finding in the zoo is the mutant's, and nobody else's; and it is gone with the mutant.

    Each plan is run once, however many mutants share it; what `test_seeds.py` runs is left to it.
    """
    drawn: range = pytestconfig.getoption("--seeds")
    plans = {}
    for name, mutant in MUTANTS.items():
        seed = first_seeds()[name]
        if mutant.plan is not None or seed not in drawn:
            plan = plan_for(mutant, seed)
            plans[msgspec.json.encode(plan)] = (name, plan)
    found = {name: findings_of(plan) for name, plan in plans.values()}
    assert {name: told for name, told in found.items() if told} == {}


def test_every_oracle_has_its_mutant() -> None:
    """An oracle that no planted bug needs has not shown that it can find one."""
    needed = {mutant.caught_by for mutant in MUTANTS.values()}
    assert [oracle.name for oracle in ORACLES if oracle not in needed] == []
    assert len(MUTANTS) >= AT_LEAST


def test_the_page_shows_the_zoo_as_it_is() -> None:
    """docs/simulator/zoo.md has the table of the last hunt, word for word."""
    page = PAGE.read_text("utf-8")
    shown = page.partition(BEGIN)[2].partition(END)[0]
    assert shown == rows(first_seeds()), HUNT
