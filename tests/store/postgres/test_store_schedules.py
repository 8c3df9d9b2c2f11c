"""Each tick of a schedule becomes a job once, in the transaction that decides it."""

from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from tests.store.postgres.schedules import (
    BOOM,
    RARELY,
    admin,
    coming,
    commit,
    declare,
    found,
    rare,
    ticked,
    ticks,
)
from trioworker.ids import new_id
from trioworker.model.options import JobOptions, Limit, Unique
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    Interrupted,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
)
from trioworker.model.ticks import Timing
from trioworker.store.postgres.schedules import tick_id


@on_every_version
async def test_the_end_of_a_tick_makes_the_next_one_a_job(scene: Scene) -> None:
    """It is stored with the outcome: due at its time, with an id that is made of name and tick."""
    await declare(scene, rare(args={"a": 1}, tag="default", priority=3))
    assert ticks(scene) == [("s", coming())]
    await commit(scene, Succeeded(b"1"))
    assert ticks(scene) == [("s", coming(2))]
    assert scene.query(
        "select ready.id, scheduled_for, job.priority, args, kind, path"
        " from trioworker.ready join trioworker.job using (id)"
    ) == [(tick_id("s", coming(2)), coming(2), 3, {"a": 1}, "function", "f")]
    progress = (await found(scene)).progress
    assert (progress.last_tick, progress.pending) == (coming(2), True)


@pytest.mark.parametrize(
    ("outcome", "failures"),
    [
        (Succeeded(b"1"), 0),
        (Failed(BOOM), 3),
        (Cancelled("enough"), 2),
        (Skipped("no need"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_every_end_goes_on(scene: Scene, outcome: Outcome, failures: int) -> None:
    """However the job ended, the next tick is a job; failures are counted until a success."""
    await declare(scene, rare())
    scene.do("update trioworker.schedule set failures = 2")
    await commit(scene, outcome)
    assert ticks(scene) == [("s", coming(2))]
    assert (await found(scene)).progress.failures == failures


@pytest.mark.parametrize(
    "outcome", [Retried(BOOM, 9.0), Snoozed(9.0), Interrupted()], ids=lambda o: type(o).__name__
)
async def test_what_is_no_end_waits(scene: Scene, outcome: Outcome) -> None:
    """While the job of a tick goes on, the next one is none."""
    await declare(scene, rare())
    await commit(scene, outcome)
    assert ticks(scene) == [("s", coming())]


async def test_an_end_that_no_worker_stores_goes_on_as_well(scene: Scene) -> None:
    """Cancelled before it began, or given up by the reaper: the next tick is a job at once."""
    await declare(scene, rare("canceled"), rare("lost"))
    await scene.jobs.cancel([tick_id("canceled", coming())], "not today")
    assert ticks(scene) == [("canceled", coming(2)), ("lost", coming())]
    worker, jobs = await ticked(scene)
    assert len(jobs) == 2
    await scene.silence(worker)
    scene.do("update trioworker.claim set reaped = array[3, 0]::smallint[]")
    gone, again = (job.options.schedule for job in jobs)
    reaped = await scene.store.reap(claims_max=10, reaped_max=3)
    assert reaped.failed == [jobs[0].id]
    assert (gone, jobs[0].options.tick + RARELY) in ticks(scene)  # type: ignore[operator]  # it has one
    assert (again, jobs[1].options.tick) in ticks(scene)
    assert (await found(scene, str(gone))).progress.failures == 1


async def test_an_outcome_that_is_lost_makes_no_tick_a_job(scene: Scene) -> None:
    """Whoever has lost the lease does not advance the schedule either, however often he tries."""
    await declare(scene, rare())
    worker, (job,) = await ticked(scene)
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=3)
    assert (await scene.store.commit(worker, [executed(job)], again=True)).lost == {job.id}
    assert ticks(scene) == [("s", coming())]
    other, (same,) = await ticked(scene)
    for again in (False, True):
        await scene.store.commit(other, [executed(same)], again=again)
    assert ticks(scene) == [("s", coming(2))]


async def test_one_batch_advances_many_schedules(scene: Scene) -> None:
    """A batch locks, stores and enqueues for all of its schedules with a statement each."""
    await declare(scene, *(rare(f"s{n:02}") for n in range(20)))
    worker, jobs = await ticked(scene)
    before = len(scene.statements())
    await scene.store.commit(worker, [executed(job) for job in jobs], again=False)
    assert [run.name for run in scene.statements()[before:]] == [
        "commit", "lock_schedules", "store_schedules", "enqueue"
    ]  # fmt: skip
    assert ticks(scene) == [(f"s{n:02}", coming(2)) for n in range(20)]


async def test_workers_that_share_schedules_do_not_wait_crosswise(scene: Scene) -> None:
    """Schedules are locked in the order of their names, whatever the order of the batch."""
    schedules = [rare(f"s{n}", overlap="allow") for n in range(6)]
    await declare(scene, *schedules)
    for schedule in schedules * 2:
        await admin(scene).run(schedule.name, new_id())
    worker, jobs = await ticked(scene)
    batches = [jobs[0::2], jobs[1::2][::-1]]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for batch in batches:
                outcomes = [executed(job, Failed(BOOM)) for job in batch]
                nursery.start_soon(partial(scene.store.commit, worker, outcomes, again=False))
    stored = await admin(scene).look(None, 10)
    assert sum(one.progress.failures for one in stored) == len(jobs)


@on_every_version
async def test_a_declaration_that_changes_nothing_does_nothing(scene: Scene) -> None:
    """The same app may start as often as it likes, on any number of hosts at once."""
    schedules = {f"s{n}": rare(f"s{n}", args={"n": n}, deadline_s=60.0) for n in range(20)}
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(admin(scene).declare, schedules)
    assert ticks(scene) == sorted((name, coming()) for name in schedules)
    rows = scene.query("select name, xmin::text from trioworker.schedule order by 1")
    declared = await admin(scene).declare(schedules)
    assert (declared.new, declared.changed) == ([], [])
    assert not any(declared.touched)
    assert scene.query("select name, xmin::text from trioworker.schedule order by 1") == rows


async def test_a_changed_schedule_replaces_the_tick_to_come(scene: Scene) -> None:
    """Another time is another job; the same time is the same job with what is said now."""
    await declare(scene, rare())
    await declare(scene, rare(args={"new": True}))
    assert scene.query("select id, args from trioworker.job") == [
        (tick_id("s", coming()), {"new": True})
    ]
    await declare(scene, rare(timing=Timing(cron="30 12 * * *")))
    ((name, tick),) = ticks(scene)
    assert (name, tick.hour, tick.minute) == ("s", 12, 30)
    assert scene.places() == {"ready": 1}
    assert scene.query("select count(*) from trioworker.job") == [(1,)]


async def test_a_changed_schedule_leaves_a_tick_that_is_due(scene: Scene) -> None:
    """It is a job like any other by now, although nobody has begun it."""
    moment = datetime.now(UTC) + timedelta(seconds=1)
    await declare(scene, rare(timing=Timing(at=moment)))
    with trio.fail_after(30):
        while scene.query("select now() < %s", moment) == [(True,)]:  # noqa: ASYNC110 - the server's clock
            await trio.sleep(0.05)
    await declare(scene, rare(timing=Timing(at=moment), args={"new": True}))
    assert scene.query("select args from trioworker.job") == [({},)]
    assert scene.places() == {"ready": 1}


async def test_a_changed_schedule_leaves_what_runs_in_peace(scene: Scene) -> None:
    """Its end goes on with what is said now."""
    await declare(scene, rare())
    worker, (job,) = await ticked(scene)
    await declare(scene, rare(timing=Timing(every_s=7 * 86_400), priority=5))
    assert ticks(scene) == []
    await scene.store.commit(worker, [executed(job)], again=False)
    ((_, tick),) = ticks(scene)
    assert tick.weekday() == 3  # as 1 January 1970 was
    assert scene.query("select priority from trioworker.ready") == [(5,)]


async def test_a_paused_schedule_makes_no_jobs(scene: Scene) -> None:
    """The tick that waits is undone, and what runs makes none; resumed, it goes on from now."""
    await declare(scene, rare("waits"), rare("runs"))
    worker, jobs = await ticked(scene)
    waits, runs = sorted(jobs, key=lambda job: job.options.schedule == "runs")
    await scene.store.commit(worker, [executed(waits)], again=False)
    for name in ("waits", "runs"):
        assert await admin(scene).pause(name)
    await scene.store.commit(worker, [executed(runs)], again=False)
    assert ticks(scene) == []
    assert scene.query("select count(*) from trioworker.job") == [(2,)]
    assert not await scene.store.sweep_schedules()
    for name in ("waits", "runs", "waits"):
        assert await admin(scene).resume(name)
    assert ticks(scene) == [("runs", coming(2)), ("waits", coming(2))]


async def test_a_schedule_resumed_while_its_job_runs_waits_for_its_end(scene: Scene) -> None:
    """The next tick is none until then, as if nobody had paused it."""
    await declare(scene, rare())
    worker, (job,) = await ticked(scene)
    await admin(scene).pause("s")
    await admin(scene).resume("s")
    assert ticks(scene) == []
    await scene.store.commit(worker, [executed(job)], again=False)
    assert ticks(scene) == [("s", coming(2))]


async def test_what_waits_for_another_attempt_is_not_undone(scene: Scene) -> None:
    """It has begun: a pause, a change or the end of its schedule lets it come to its own end."""
    await declare(scene, rare())
    await commit(scene, Retried(BOOM, 9.0))
    assert await admin(scene).pause("s")
    assert ticks(scene) == [("s", coming())]
    await commit(scene, Succeeded(b"1"))
    assert ticks(scene) == []
    assert not (await found(scene)).progress.pending


async def test_a_deleted_schedule_is_gone(scene: Scene) -> None:
    """With its tick to come; a job of it that runs ends like any other."""
    await declare(scene, rare("waits"), rare("runs"))
    worker, jobs = await ticked(scene)
    waits, runs = sorted(jobs, key=lambda job: job.options.schedule == "runs")
    await scene.store.commit(worker, [executed(waits)], again=False)
    for name in ("waits", "runs"):
        assert await admin(scene).delete(name)
        assert not await admin(scene).delete(name)
    assert (await scene.store.commit(worker, [executed(runs)], again=False)).lost == set()
    assert scene.places() == {"completed": 2}
    assert scene.query("select * from trioworker.schedule") == []


async def test_a_schedule_run_by_hand_stays_on_time(scene: Scene) -> None:
    """Its job stands for no tick: it counts failures, and leaves the tick to come as it is."""
    await declare(scene, rare())
    by_hand = new_id()
    assert await admin(scene).run("s", by_hand)
    assert not await admin(scene).run("nobody", new_id())
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    assert (job.id, job.options.schedule, job.options.tick) == (by_hand, "s", None)
    await scene.store.commit(worker, [executed(job, Failed(BOOM))], again=False)
    assert ticks(scene) == [("s", coming())]
    assert (await found(scene)).progress.failures == 1


async def test_a_limit_holds_for_the_jobs_of_schedules(scene: Scene) -> None:
    """They take slots like any other job, and leave none behind when they are undone."""
    limit = msgspec.structs.replace(rare().options, limit=Limit(1, key="k"))
    soon = Timing(at=datetime.now(UTC) + timedelta(seconds=1))
    await declare(scene, *(rare(f"s{n}", options=limit, timing=soon) for n in range(3)))
    assert scene.places() == {"waiting": 3}
    with trio.fail_after(30):
        while not (await scene.store.promote()).jobs:  # noqa: ASYNC110 - the clock is the server's
            await trio.sleep(0.05)
    assert scene.places() == {"ready": 1, "waiting": 2}
    for n in range(3):
        await admin(scene).delete(f"s{n}")
    assert scene.places() == {}
    assert scene.query("select * from trioworker.slot") == []


async def test_a_definition_that_cannot_be_used_says_so(scene: Scene) -> None:
    """It stops nobody else, is looked at once, and works again when it is declared properly."""
    scene.do(
        "insert into trioworker.schedule (name, definition)"
        " values ('bad', %s), ('worse', '{\"nonsense\": 1}')",
        '{"name": "bad", "path": "f", "timing": {"cron": "61 * * * *"}}',
    )
    await declare(scene, rare())
    assert not await scene.store.sweep_schedules()
    bad, _, worse = await admin(scene).look(None, 10)
    assert "the stored definition cannot be used: the cron line '61 * * * *'" in str(bad.problem)
    assert (bad.progress.look_at, worse.progress.look_at) == (None, None)
    await declare(scene, rare("bad"))
    assert (await found(scene, "bad")).problem is None
    assert ticks(scene) == [("bad", coming()), ("s", coming())]


@on_every_version
@pytest.mark.parametrize("what", ["cancelled", "declared anew"])
async def test_a_tick_is_replaced_while_it_is_about_to_end(scene: Scene, what: str) -> None:
    """Who ends it wants the key for the next tick, who replaces it holds the key: one waits."""
    once = JobOptions(unique=Unique("k"))
    await declare(scene, rare(options=once))
    ((tick, _),) = scene.query("select id, tag from trioworker.ready")
    with scene.under_way("lock_keys", ["unique"], ["k"]) as other:
        async with trio.open_nursery() as nursery:
            if what == "cancelled":
                nursery.start_soon(scene.jobs.cancel, [tick], "no")
            else:
                nursery.start_soon(declare, scene, rare(options=once, tag="changed"))
            await scene.until_blocked()
            replace = '{"unique": {"key": "k", "on_conflict": "replace"}}'
            other.execute("select trioworker.enqueue('f', options => $1)", [replace])
            other.commit()
    assert scene.query("select id, error ->> 'name' from trioworker.job_completed") == [
        (tick, "Replaced")
    ]
    assert scene.places() == {"ready": 1, "completed": 1}
