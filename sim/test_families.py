"""The oracle of children and steps: silent where all is right, and it finds each breach."""

import gc
import weakref
from collections.abc import Callable

import pytest

from sim.families import FAMILIES, PARENT
from sim.handmade import Handmade
from sim.handmade_families import EVERY_WAY, right
from sim.happenings import BodyEnded
from sim.oracles.families import Families
from sim.plan import Plan, Scripted, Sizes, draw_plan
from sim.run import run
from trioworker.model.outcome import Failed


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


@pytest.mark.parametrize("seed", range(2))
def test_an_outage_of_any_length_costs_no_parent_its_children(seed: int) -> None:
    """While its lease lasts it waits for the server, however often that is asked in vain."""
    away = Scripted(fault="server away for long@server#0", after="worker-0/enqueue#0", for_s=300.0)
    plan = Plan(
        seed=seed,
        sizes=Sizes(workers=1, concurrency=8, lease_s=900.0),
        jobs=(PARENT,) * 8,
        script=[away],
        chaos_s=400.0,
    )
    result = run(plan)
    ended = [each.event for each in result.trace if isinstance(each.event, BodyEnded)]
    names = {end.outcome.error.name for end in ended if isinstance(end.outcome, Failed)}
    assert (result.findings, len(ended) > len(plan.jobs), names) == ([], True, {"SimError"})


@pytest.mark.parametrize("plan", [Plan(seed=1, jobs=(*FAMILIES, "retry")), draw_plan(4)])
def test_nothing_of_a_run_is_kept(plan: Plan) -> None:
    """Or each of thousands of runs in one process would be slower than the one before."""
    trace = run(plan).trace
    gone = weakref.ref(trace)
    del trace
    gc.collect()
    assert gone() is None
