"""Jobs over a limit wait outside ready, and each slot that becomes free lets in the next."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, ids_of, on_every_version
from trioworker.model.job import Job
from trioworker.model.options import JobOptions, Limit
from trioworker.model.outcome import (
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
)

ERROR = JobError("Boom", "it broke")


def limited(slots: int = 1, key: str = "k", window_s: float | None = None) -> JobOptions:
    """The options of a job with a limit."""
    return JobOptions(limit=Limit(slots, key, window_s))


async def run(scene: Scene, worker: UUID, outcome: Outcome | None = None) -> Sequence[UUID]:
    """Pull what is ready and store the outcome of all of it; returns the ids."""
    jobs = await scene.pull(worker)
    await scene.store.commit(worker, [executed(job, outcome) for job in jobs], again=False)
    return ids_of(jobs)


def looks(scene: Scene) -> Sequence[object]:
    """In how many seconds which key is looked at, rounded to tens."""
    return scene.query(
        "select key, round(extract(epoch from look_at - now()) / 10) * 10 from"
        " trioworker.concurrency order by key"
    )


@on_every_version
async def test_no_more_than_the_limit_are_ready(scene: Scene) -> None:
    """Two of five may be pulled; each end lets in the next ones, in the order of their enqueue."""
    ids = await scene.enqueue(5, options=limited(2))
    worker = await scene.worker()
    assert scene.places() == {"ready": 2, "waiting": 3}
    assert [await run(scene, worker) for _ in range(3)] == [ids[:2], ids[2:4], ids[4:]]
    assert scene.places() == {"completed": 5}


async def test_nothing_is_left_of_a_key_that_nobody_uses(scene: Scene) -> None:
    """Keys that are computed from arguments do not pile up."""
    await scene.enqueue(3, options=limited(2))
    worker = await scene.worker()
    while await run(scene, worker):
        pass
    for table in ("concurrency", "slot", "spent_slot", "waiting"):
        assert scene.query(f"select * from trioworker.{table}") == [], table  # noqa: S608 - ours


async def test_each_key_has_slots_of_its_own(scene: Scene) -> None:
    """A full key holds back nobody but its own jobs."""
    for key in ("a", "b"):
        await scene.enqueue(3, options=limited(1, key))
    await scene.enqueue(2)
    assert scene.places() == {"ready": 4, "waiting": 4}


async def test_a_limit_without_a_key_is_of_the_path(scene: Scene) -> None:
    """Whoever enqueues ready-made options need not say what the default is."""
    await scene.enqueue(2, options=limited(1, ""))
    assert scene.query("select key from trioworker.slot") == [("f",)]


async def test_the_most_urgent_goes_first(scene: Scene) -> None:
    """Among those that wait priority goes before time, as in a pull."""
    (first,) = await scene.enqueue(options=limited())
    (low,) = await scene.enqueue(options=limited(), priority=-1)
    (late,) = await scene.enqueue(options=limited(), priority=5)
    (early,) = await scene.enqueue(options=limited(), priority=5, due_s=-60)
    worker = await scene.worker()
    order = [await run(scene, worker) for _ in range(4)]
    assert order == [[first], [early], [late], [low]]


async def test_the_newest_limit_counts(scene: Scene) -> None:
    """More slots let in those that wait already; fewer let in nobody until enough have ended."""
    await scene.enqueue(5, options=limited(1))
    await scene.enqueue(options=limited(3))
    assert scene.places() == {"ready": 3, "waiting": 3}
    await scene.enqueue(options=limited(1))
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    for job in jobs[:2]:
        await scene.store.commit(worker, [executed(job)], again=False)
        assert scene.query("select count(*) from trioworker.ready") == [(0,)]
    await scene.store.commit(worker, [executed(jobs[2])], again=False)
    assert scene.query("select count(*) from trioworker.ready") == [(1,)]


async def test_a_batch_frees_the_slots_of_many_keys_at_once(scene: Scene) -> None:
    """The same statements, however many jobs and keys a batch has."""
    for key in ("c", "a", "b"):
        await scene.enqueue(4, options=limited(2, key))
    worker = await scene.worker()
    before = len(scene.statements())
    assert len(await run(scene, worker)) == 6
    assert [statement.name for statement in scene.statements()[before:]] == [
        "pull", "commit", "lock_limits", "release_slots", "promote", "plan_looks",
    ]  # fmt: skip
    assert scene.places() == {"ready": 6, "completed": 6}


@pytest.mark.parametrize("outcome", [Retried(ERROR, 60.0), Snoozed(60.0), Retried(ERROR, 0.0)])
async def test_a_job_that_runs_again_waits_in_line(scene: Scene, outcome: Outcome) -> None:
    """Its slot is somebody else's meanwhile, and it keeps its attempt and its due time."""
    first, second = await scene.enqueue(2, options=limited())
    worker = await scene.worker()
    assert await run(scene, worker, outcome) == [first]
    assert ids_of(await scene.pull(worker)) == [second]
    charged = 1 + isinstance(outcome, Retried)
    delay_s = getattr(outcome, "delay_s", None)
    assert scene.query(
        "select id, attempt, round(extract(epoch from scheduled_for - now())) >= %s - 30"
        " from trioworker.waiting",
        delay_s,
    ) == [(first, charged, True)]


async def test_an_interrupted_job_keeps_its_slot(scene: Scene) -> None:
    """It goes on at once, so nobody gets in before it."""
    first, _ = await scene.enqueue(2, options=limited())
    worker = await scene.worker()
    assert await run(scene, worker, Interrupted()) == [first]
    assert ids_of(await scene.pull(worker)) == [first]
    assert scene.places() == {"waiting": 1, "claimed": 1}


async def test_the_slots_of_a_dead_worker_are_freed(scene: Scene) -> None:
    """Its jobs run again in the slots they have; one that is given up makes room for the next."""
    first, second, third = await scene.enqueue(3, options=limited(2))
    worker = await scene.worker(lease_s=0.01)
    assert ids_of(await scene.pull(worker)) == [first, second]
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=1)
    assert scene.places() == {"ready": 2, "waiting": 1}
    worker = await scene.worker(lease_s=0.01)
    assert set(ids_of(await scene.pull(worker, 1, alone_from=9))) <= {first, second}
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=1)
    assert scene.places() == {"ready": 2, "completed": 1}
    assert (third,) in scene.query("select id from trioworker.slot")


async def test_a_cancelled_job_makes_room(scene: Scene) -> None:
    """One that had a slot and one that waited for it are ended, and the third gets in."""
    first, second, third = await scene.enqueue(3, options=limited())
    await scene.jobs.cancel([first, second], "enough")
    assert scene.query("select id from trioworker.ready") == [(third,)]
    await scene.jobs.cancel([third], "enough")
    assert scene.query("select * from trioworker.concurrency") == []


async def test_a_slot_stays_taken_until_its_window_has_passed(scene: Scene) -> None:
    """Two an hour: the third gets in when an hour has passed since the end of the first."""
    ids = await scene.enqueue(4, options=limited(2, window_s=3600.0))
    worker = await scene.worker()
    assert await run(scene, worker) == ids[:2]
    assert await run(scene, worker) == []
    assert looks(scene) == [("k", 3600)]
    scene.do("update trioworker.spent_slot set free_at = now()")
    scene.do("update trioworker.concurrency set look_at = now()")
    assert (await scene.store.promote()).jobs == 2
    assert await run(scene, worker) == ids[2:]
    assert scene.query("select key, slots from trioworker.spent_slot") == [("k", 2)]


async def test_a_window_is_spent_by_runs_only(scene: Scene) -> None:
    """What was skipped, or cancelled before it began, costs nobody a window; a failure does."""
    options = limited(window_s=3600.0)
    ids = await scene.enqueue(4, options=options)
    await scene.jobs.cancel(ids[:1], "enough")
    worker = await scene.worker()
    assert await run(scene, worker, Skipped("cached")) == [ids[1]]
    assert await run(scene, worker, Failed(ERROR)) == [ids[2]]
    assert await run(scene, worker) == []


async def test_the_last_window_takes_its_key_along(scene: Scene) -> None:
    """When nobody waits any more, a look after the last window clears all away."""
    await scene.enqueue(options=limited(window_s=3600.0))
    await run(scene, await scene.worker())
    scene.do("update trioworker.spent_slot set free_at = now()")
    scene.do("update trioworker.concurrency set look_at = now()")
    assert (await scene.store.promote()).look_s is None
    assert scene.query("select * from trioworker.concurrency") == []
    assert scene.query("select * from trioworker.spent_slot") == []


async def test_a_job_of_the_future_waits_and_holds_back_nobody(scene: Scene) -> None:
    """However urgent it is, it takes no slot before it is due; a worker learns when to look."""
    (later,) = await scene.enqueue(options=limited(), priority=9, due_s=3600)
    (now,) = await scene.enqueue(options=limited())
    worker = await scene.worker()
    assert await run(scene, worker) == [now]
    look_s = (await scene.store.promote()).look_s
    assert look_s is not None
    assert 3000 < look_s <= 3600
    scene.do("update trioworker.waiting set scheduled_for = now()")
    scene.do("update trioworker.concurrency set look_at = now()")
    assert (await scene.store.promote()).jobs == 1
    assert await run(scene, worker) == [later]


async def test_an_enqueue_in_somebodys_transaction_locks_no_key(scene: Scene) -> None:
    """SQL enqueues while a client and a worker use the key; a look finds the job afterwards."""
    options = '{"limit": {"slots": 2, "key": "k"}}'
    await scene.enqueue(options=limited(1))
    worker = await scene.worker()
    with scene.under_way("ping") as connection:
        connection.execute(
            "select trioworker.enqueue('f', options => $1::jsonb) from generate_series(1, 2)",
            [options],
        )
        await scene.enqueue(options=limited(1))
        assert len(await run(scene, worker)) == 1
        assert (await scene.store.promote()).jobs == 0
    assert scene.places() == {"ready": 1, "waiting": 2, "completed": 1}
    assert (await scene.store.promote()).jobs == 0
    assert scene.query("select slots from trioworker.concurrency") == [(1,)]
    while await run(scene, worker):
        pass
    assert scene.places() == {"completed": 4}


async def test_sql_says_a_limit_as_clients_do(scene: Scene) -> None:
    """A key that nobody has used is made by the look, with what the newest job says."""
    for slots in (1, 2):
        options = msgspec.json.encode({"limit": {"slots": slots}}).decode()
        scene.do("select trioworker.enqueue('f', options => %s)", options)
    await scene.enqueue(options=limited(2, "f"))
    assert (await scene.store.promote()).look_s is None
    assert scene.places() == {"ready": 2, "waiting": 1}


async def test_a_job_that_somebody_holds_is_passed_over(scene: Scene) -> None:
    """Its cancellation is under way: the next one gets in, and a rollback costs it only time."""
    ids = await scene.enqueue(3, options=limited())
    worker = await scene.worker()
    with scene.under_way("cancel_unstarted", [ids[1]], "enough", []) as connection:
        assert await run(scene, worker) == ids[:1]
        assert await run(scene, worker) == ids[2:]
        connection.rollback()
    assert (await scene.store.promote()).jobs == 1
    assert await run(scene, worker) == [ids[1]]


async def test_two_ends_at_once_let_in_two(scene: Scene) -> None:
    """Whoever waits for a key counts what was stored during the wait."""
    await scene.enqueue(4, options=limited(2))
    worker = await scene.worker()
    jobs = [*await scene.pull(worker, 1), *await scene.pull(worker, 1)]
    async with trio.open_nursery() as nursery:
        with scene.under_way("lock_limits", [], ["k"], [None], [None], [None]):
            for job in jobs:
                nursery.start_soon(commit, scene, worker, job)
            await scene.until_blocked(2)
    assert scene.places() == {"ready": 2, "completed": 2}


async def test_crosswise_batches_wait_in_line(scene: Scene) -> None:
    """Two batches with the same keys in different orders are both stored at the first try."""
    keys = ["a", "b", "a", "b"]
    for key in keys:
        await scene.enqueue(options=limited(2, key))
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    async with trio.open_nursery() as nursery:
        with scene.under_way("lock_limits", [], ["a"], [None], [None], [None]):
            nursery.start_soon(commit, scene, worker, *jobs[:2])
            nursery.start_soon(commit, scene, worker, *reversed(jobs[2:]))
            await scene.until_blocked(2)
    assert scene.places() == {"completed": 4}


async def commit(scene: Scene, worker: UUID, *jobs: Job) -> None:
    """Store that the jobs have succeeded."""
    assert (
        await scene.store.commit(worker, [executed(j) for j in jobs], again=False)
    ).lost == set()


async def test_a_slot_that_nobody_noticed_is_found(scene: Scene) -> None:
    """Somebody's SQL has freed it without a lock on its key; the same for a key without jobs."""
    await scene.enqueue(2, options=limited())
    await scene.enqueue(options=limited(1, "idle"))
    await scene.enqueue(2, options=limited(1, "busy"))
    scene.do("delete from trioworker.slot where key <> 'busy'")
    scene.do("delete from trioworker.ready where id not in (select id from trioworker.slot)")
    assert (await scene.store.promote()).look_s is None
    await scene.store.tidy()
    assert (await scene.store.promote()).jobs == 1
    assert scene.query("select key from trioworker.slot order by key") == [("busy",), ("k",)]
    assert scene.query("select key from trioworker.concurrency order by key") == [("busy",), ("k",)]


@pytest.mark.parametrize(
    "limit",
    [
        {"slots": 0}, {"slots": 2.5}, {"slots": "many"}, {}, {"slots": 2**31},
        {"slots": 1, "window_s": 0}, {"slots": 1, "window_s": "1 hour"},
        {"slots": 1, "key": "k" * 1001},
    ],
)  # fmt: skip
async def test_sql_with_an_impossible_limit_is_refused(
    scene: Scene, limit: dict[str, object]
) -> None:
    """At the enqueue: no worker meets what it cannot read when it looks for slots."""
    options = msgspec.json.encode({"limit": limit}).decode()
    with pytest.raises((psycopg.DataError, psycopg.IntegrityError)):
        scene.do("select trioworker.enqueue('f', options => %s)", options)
    assert scene.places() == {}
