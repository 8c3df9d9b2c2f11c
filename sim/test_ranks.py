"""Ranks of tags in the simulator: drawn, told, judged and counted."""

from typing import Final

from sim.counters import count
from sim.handmade import Handmade
from sim.lab.planned import planned
from sim.oracles.batches import InOrder
from sim.plan import Plan, Sizes, draw_plan, tags_of
from trioworker.model.tags import Tags

PLAN: Final = Plan(seed=0, sizes=Sizes(tags=3, workers=2), ranks=(5, 0))
WAITED: Final = "a lower ranked tag waited for a higher ranked"


def two_tags(*, claimed: int) -> Handmade:
    """Job 1 is of the higher ranked tag, job 2 has the higher priority; one of them is claimed."""
    made = Handmade(PLAN)
    made.begin(t=5, other=0)
    made.enqueue(1)
    made.enqueue(2, tag="other", priority=7)
    made.wait(2)
    made.pull(claimed)
    return made


def test_who_ignores_a_rank_is_found_out() -> None:
    """A job of a lower ranked tag may not be claimed before one of a higher, whatever it has."""
    assert [each.oracle for each in two_tags(claimed=2).findings(InOrder)] == [InOrder.name]
    assert two_tags(claimed=1).findings(InOrder) == []


def test_it_counts_where_a_rank_decides() -> None:
    """Only where a job was left behind that would have gone first, were it not for its tag."""
    assert count(two_tags(claimed=1).happenings)[WAITED] == 1
    assert count(two_tags(claimed=2).happenings)[WAITED] == 0


def test_workers_rank_the_same_tags_differently() -> None:
    """The ranks of a plan are dealt out in turn, and each worker begins one later."""
    names = ("tag-0", "tag-1", "tag-2")
    assert tags_of(PLAN, 0) == Tags(names, (5, 0, 5))
    assert tags_of(PLAN, 1) == Tags(names, (0, 5, 0))
    assert tags_of(Plan(seed=0), 1) == Tags(("tag-0",), (0,))


def test_a_plan_tells_its_ranks() -> None:
    """Those that make a difference, worker by worker."""
    assert "on 3 tags (tag-0=5, tag-1, tag-2=5; tag-0, tag-1=5, tag-2)" in planned(PLAN)[1]
    assert any("tag-0=" in line for seed in range(40) for line in planned(draw_plan(seed)))
