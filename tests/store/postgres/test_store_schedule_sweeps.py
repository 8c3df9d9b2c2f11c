"""What no end of a job brings about: sweeps run ahead, and heal what was cut."""

from datetime import timedelta
from functools import partial

import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from tests.store.postgres.schedules import (
    RARELY,
    admin,
    coming,
    declare,
    found,
    rare,
    ticked,
    ticks,
)
from trioworker.model.outcome import Succeeded
from trioworker.model.schedule import HORIZON
from trioworker.model.ticks import Timing
from trioworker.store.postgres.schedules import tick_id
from trioworker.store.postgres.store import PostgresStore

MANY = 10_000

DUE_NOW = """
insert into trioworker.schedule (name, definition, decided_until)
select 's' || n, jsonb_build_object(
           'name', 's' || n, 'path', 'f', 'catch_up', 'last',
           'timing', jsonb_build_object('at', due)
       ), due - interval '1 second'
  from generate_series(1, %s) as n, date_trunc('second', now()) as due
"""
"""Schedules that are all due in the same second, and of which no tick is a job yet."""


async def sweep(store: PostgresStore) -> None:
    """All that there is to do about schedules."""
    while await store.sweep_schedules():
        pass


@on_every_version
async def test_schedules_due_at_once_are_enqueued_once_each(scene: Scene) -> None:
    """Ten thousand in the same second, and three workers that race for them."""
    scene.do(DUE_NOW, MANY)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            store = PostgresStore(scene.database, now_s=trio.current_time)
            nursery.start_soon(sweep, store)
    assert scene.places() == {"ready": MANY}
    assert scene.query(
        "select count(distinct options ->> 'schedule'), count(distinct options ->> 'tick')"
        " from trioworker.job"
    ) == [(MANY, 1)]
    await sweep(scene.store)
    assert scene.places() == {"ready": MANY}
    made = [run for run in scene.statements() if run.name == "enqueue"]
    assert len(made) < MANY / 100


async def test_a_schedule_whose_job_has_gone_goes_on_when_it_is_due(scene: Scene) -> None:
    """Deleted by hand, it cannot end any more; the tick itself is not repeated."""
    await declare(scene, rare("gone"), rare("waits"))
    scene.do(
        "with gone as (delete from trioworker.ready where id = %s returning id)"
        " delete from trioworker.job where id in (select id from gone)",
        tick_id("gone", coming()),
    )
    await sweep(scene.store)
    assert ticks(scene) == [("waits", coming())]
    scene.do("update trioworker.schedule set look_at = now()")
    await sweep(scene.store)
    assert ticks(scene) == [("gone", coming(2)), ("waits", coming())]
    assert (await found(scene, "gone")).progress.failures == 0


async def test_a_tick_whose_job_was_deleted_after_its_end_is_not_repeated(scene: Scene) -> None:
    """Retention takes jobs; the schedule remembers up to which tick it has been."""
    await declare(scene, rare())
    worker, (job,) = await ticked(scene)
    await scene.store.commit(worker, [executed(job)], again=False)
    scene.do("delete from trioworker.job_completed")
    scene.do("delete from trioworker.job")
    scene.do("delete from trioworker.ready")
    scene.do("update trioworker.schedule set look_at = now()")
    await sweep(scene.store)
    assert ticks(scene) == [("s", coming(3))]
    declared = await admin(scene).declare({"s": rare()})
    assert declared.changed == []


async def test_an_end_that_did_not_go_on_is_healed(scene: Scene) -> None:
    """A tick that became no job, whatever the reason, costs a sweep and not the schedule."""
    await declare(scene, rare())
    worker, (job,) = await ticked(scene)
    scene.do("update trioworker.job set options = null")
    (bare,) = [executed(job, Succeeded(b"1"))]
    scene.do("delete from trioworker.claim")
    scene.do(
        "insert into trioworker.job_completed (id, status, worker, attempt) values (%s, %s, %s, 1)",
        bare.job.id, "success", worker,
    )  # fmt: skip
    scene.do("update trioworker.schedule set look_at = now()")
    await sweep(scene.store)
    assert ticks(scene) == [("s", coming(2))]


async def test_a_job_that_runs_long_is_waited_for(scene: Scene) -> None:
    """However late it is, and whatever a sweep sees while others change it."""
    await declare(scene, rare())
    worker, (job,) = await ticked(scene)
    scene.do("update trioworker.schedule set look_at = now() - interval '9 days'")
    await sweep(scene.store)
    assert ticks(scene) == []
    await scene.store.commit(worker, [executed(job)], again=False)
    assert ticks(scene) == [("s", coming(2))]


async def test_a_sweep_and_the_end_of_a_job_do_not_both_go_on(scene: Scene) -> None:
    """Whoever comes second finds what the first has decided: no tick is skipped, none is twice."""
    await declare(scene, *(rare(f"s{n}") for n in range(30)))
    worker, jobs = await ticked(scene)
    scene.do("update trioworker.schedule set look_at = now()")
    async with trio.open_nursery() as nursery:
        for job in jobs:
            commit = partial(scene.store.commit, worker, [executed(job)], again=False)
            nursery.start_soon(commit)
            nursery.start_soon(sweep, scene.store)
    assert ticks(scene) == sorted((f"s{n}", coming(2)) for n in range(30))


async def test_a_schedule_in_other_hands_is_passed_over(scene: Scene) -> None:
    """A sweep waits for nobody."""
    await declare(scene, rare("held"), rare("free"))
    scene.do("delete from trioworker.ready")
    scene.do("delete from trioworker.job")
    scene.do("update trioworker.schedule set look_at = now()")
    with scene.under_way("lock_schedules", ["held"]):
        with trio.fail_after(10):
            await sweep(scene.store)
        assert ticks(scene) == [("free", coming(2))]


async def test_side_by_side_ticks_become_jobs_ahead_of_time(scene: Scene) -> None:
    """Those of the next minute and one more; the jobs that run do not matter."""
    schedule = rare(timing=Timing(every_s=20), overlap="allow")
    await declare(scene, schedule)
    first = ticks(scene)
    assert 4 <= len(first) <= 5
    await ticked(scene)
    scene.do("update trioworker.schedule set look_at = now()")
    await sweep(scene.store)
    progress = (await found(scene)).progress
    assert progress.last_tick
    assert progress.last_tick >= first[-1][1]
    assert progress.look_at == progress.last_tick - HORIZON
    assert not progress.pending


async def test_side_by_side_ticks_are_undone_by_a_pause(scene: Scene) -> None:
    """All that have not begun; after it the schedule goes on, and no tick is a job twice."""
    schedule = rare(timing=Timing(every_s=20), overlap="allow")
    await declare(scene, schedule)
    await admin(scene).pause("s")
    assert ticks(scene) == []
    assert scene.query("select count(*) from trioworker.job") == [(0,)]
    await admin(scene).resume("s")
    assert 4 <= len(ticks(scene)) <= 5


async def test_a_schedule_written_in_sql_is_found(scene: Scene) -> None:
    """A row with a name and a definition is enough: a sweep lets it begin."""
    timing = f'{{"every_s": {RARELY.total_seconds()}}}'
    definition = f'{{"name": "by hand", "path": "f", "timing": {timing}}}'
    scene.do(
        "insert into trioworker.schedule (name, definition) values ('by hand', %s)", definition
    )
    await sweep(scene.store)
    assert ticks(scene) == [("by hand", coming())]
    assert timedelta(0) < coming() - (await found(scene, "by hand")).now
