"""What a run of the hot statements touches: as much as its own jobs need, whatever else there is.

Blocks are counted, not seconds. An index over a million rows is one or two levels higher than one
over a thousand, which costs each job a block or two more: hence the factor.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest

from tests.database_fixtures import NEWEST
from tests.store.postgres.backlog import EMPTY, LARGE, SMALL, Depth, fill
from tests.store.postgres.batches import ARGUMENTS, BATCHES, commit_retries, pull
from tests.store.postgres.plans import Planner, planner
from trioworker.store.postgres.statements import load_statements

STATEMENTS: Final = load_statements()
HIGHER_INDEXES: Final = 2.0
FEW: Final = 60
"""Blocks that a statement touches however small its batch is."""
PER_JOB: Final = 30
"""Blocks that one job may cost: some rows in some tables and their indexes, three levels each."""

SORTS_THE_BACKLOG: Final = """
with peek as materialized (
    select ready.ctid as place from trioworker.ready
     where ready.tag = any ($4::text[]) and scheduled_for <= now()
     order by priority desc, scheduled_for, id limit $3 for update skip locked
),
taken as (
    delete from trioworker.ready where ctid = any (array(select place from peek))
    returning id, attempt, reaped
)
insert into trioworker.claim (id, worker, ids, attempts, reaped)
select $1, $2, array_agg(id), array_agg(attempt), array_agg(reaped) from taken returning id
"""


@pytest.fixture(scope="session")
def cost(
    queue_of: Callable[[int, Depth], str], settings: Mapping[str, str]
) -> Callable[[Depth, str, Sequence[object]], int]:
    """`cost(LARGE, sql, arguments)`: the blocks that a run touches; nothing of it stays."""

    def cost_of(depth: Depth, sql: str, arguments: Sequence[object]) -> int:
        with planner(queue_of(NEWEST, depth), settings) as plans:
            return _settled(plans, sql, arguments)

    return cost_of


def _settled(plans: Planner, sql: str, arguments: Sequence[object]) -> int:
    """The blocks of a second run: the first one marks what it finds, and looks tables up."""
    plans.prepare(sql)
    plans.blocks(arguments)
    return plans.blocks(arguments)


Cost = Callable[[Depth, str, Sequence[object]], int]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_statement_costs_what_its_batch_needs(name: str, batch: int, cost: Cost) -> None:
    """Among a thousand jobs and among a million: some blocks per job, nearly as many of them."""
    sql, arguments = STATEMENTS[name].sql, ARGUMENTS[name]
    small, large = (cost(depth, sql, arguments(depth, batch)) for depth in (SMALL, LARGE))
    assert 0 < large <= min(small * HIGHER_INDEXES, batch * PER_JOB) + FEW


@pytest.mark.parametrize("batch", BATCHES)
def test_retries_cost_what_they_need(batch: int, cost: Cost) -> None:
    """A commit of jobs that go back to ready looks each up, and no other."""
    sql = STATEMENTS["commit"].sql
    small, large = (cost(depth, sql, commit_retries(depth, batch)) for depth in (SMALL, LARGE))
    assert large <= min(small * HIGHER_INDEXES, batch * PER_JOB) + FEW


def test_another_tags_backlog_costs_a_pull_nothing(cost: Cost) -> None:
    """A pull of 100 of one tag touches as much beside a million jobs of another tag as alone."""
    sql = STATEMENTS["pull"].sql
    alone = cost(SMALL, sql, pull(SMALL, 100))
    beside = cost(LARGE, sql, pull(LARGE, 100, "shallow"))
    own = cost(LARGE, sql, pull(LARGE, 100, "deep"))
    assert beside <= alone * HIGHER_INDEXES + FEW
    assert abs(own - beside) <= FEW


def test_looking_for_the_next_due_job_costs_the_same_at_any_depth(cost: Cost) -> None:
    """Jobs that are due already are stepped over, not counted."""
    sql = STATEMENTS["next_due"].sql
    assert cost(LARGE, sql, [["deep", "shallow"]]) <= FEW


@pytest.mark.parametrize("state", [None, "ready", "waiting", "success", "failure"])
def test_the_newest_jobs_are_found_at_once(state: str | None, cost: Cost) -> None:
    """A list of 20 reads the newest only; no failure among a million successes is no search."""
    sql = STATEMENTS["list_jobs"].sql
    assert cost(LARGE, sql, [state, None, None, 20, None, None]) <= 20 * PER_JOB + FEW


def test_a_pull_that_sorts_the_backlog_is_found(cost: Cost) -> None:
    """One `order by` over all tags reads like the same and touches the whole queue."""
    small = cost(SMALL, SORTS_THE_BACKLOG, pull(SMALL, 100)[:4])
    large = cost(LARGE, SORTS_THE_BACKLOG, pull(LARGE, 100)[:4])
    assert large > 10 * (small * HIGHER_INDEXES + FEW)


def test_a_plan_made_on_an_empty_queue_serves_a_full_one(
    scene_url: str, settings: Mapping[str, str], cost: Cost
) -> None:
    """The plan is kept while the queue grows: its pulls cost what they cost any other worker."""
    with planner(scene_url, settings) as plans:
        plans.prepare(STATEMENTS["pull"].sql)
        plans.blocks(pull(EMPTY, 100))
        fill(scene_url, SMALL._replace(vacuumed=False))
        plans.blocks(pull(SMALL, 100))
        grown = plans.blocks(pull(SMALL, 100))
    assert grown <= cost(SMALL, STATEMENTS["pull"].sql, pull(SMALL, 100)) * HIGHER_INDEXES + FEW
