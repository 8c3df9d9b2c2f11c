"""No two jobs have a key at once, whoever enqueues them when, and none is held by what is over."""

from collections.abc import Sequence
from uuid import UUID

import psycopg
import pytest
import trio

from tests.store.postgres.keyed import (
    debounced_job,
    ends,
    enqueue,
    finish,
    job_with,
    pass_time,
    pull_one,
    stored,
    unique_job,
)
from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.errors import DuplicateJob
from trioworker.ids import new_id
from trioworker.model.job import NewJob
from trioworker.model.options import JobOptions, Limit
from trioworker.model.outcome import JobError, Retried, Snoozed

ERROR = JobError("Boom", "it broke")


@on_every_version
async def test_a_second_one_is_kept_out_while_the_first_is_unfinished(scene: Scene) -> None:
    """In the queue and in a worker's hands; once that has stored the end, the key is free."""
    first = unique_job()
    assert await enqueue(scene, first) == [first.id]
    assert await enqueue(scene, unique_job()) == [first.id]
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    assert await enqueue(scene, unique_job()) == [first.id]
    await scene.store.commit(worker, [executed(jobs[0], Retried(ERROR, 60))], again=False)
    assert await enqueue(scene, unique_job()) == [first.id]
    assert stored(scene) == {first.id}
    await scene.jobs.cancel([first.id], "no more")
    second = unique_job()
    assert await enqueue(scene, second) == [second.id]


@on_every_version
async def test_a_queued_one_keeps_others_out_until_it_is_claimed(scene: Scene) -> None:
    """While it runs the next may wait behind it; one that went back to the queue counts again."""
    first, second, third = (unique_job(during="queued") for _ in range(3))
    assert await enqueue(scene, first) == [first.id]
    assert await enqueue(scene, unique_job(during="queued")) == [first.id]
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    assert await enqueue(scene, second, third) == [second.id, second.id]
    await scene.store.commit(worker, [executed(jobs[0], Snoozed(60))], again=False)
    assert await enqueue(scene, third) == [second.id]


async def test_a_period_is_over_in_its_time(scene: Scene) -> None:
    """Neither the end of the job ends it, nor that the job is deleted."""
    first, second = (unique_job(during="period", period_s=100) for _ in range(2))
    assert await enqueue(scene, first) == [first.id]
    await finish(scene)
    assert await enqueue(scene, second) == [first.id]
    scene.do("delete from trioworker.job_completed; delete from trioworker.job")
    pass_time(scene, 90)
    assert await enqueue(scene, second) == [first.id]
    pass_time(scene, 11)
    assert await enqueue(scene, second) == [second.id]


async def test_the_first_one_says_how_long_it_holds_the_key(scene: Scene) -> None:
    """What the second one would have held is of no account."""
    first = unique_job(during="queued")
    await enqueue(scene, first)
    assert await enqueue(scene, unique_job(during="period", period_s=9)) == [first.id]
    await pull_one(scene)
    second = unique_job(during="unfinished")
    assert await enqueue(scene, second) == [second.id]


@on_every_version
async def test_an_unstarted_one_is_replaced(scene: Scene) -> None:
    """It ends as canceled and names the one in its place; who waits for it is told."""
    first, second = unique_job(awaited=True), unique_job(on_conflict="replace")
    await enqueue(scene, first)
    assert await enqueue(scene, second) == [second.id]
    assert ends(scene) == {first.id: ("canceled", f"replaced by job {second.id}")}
    assert scene.query("select id from trioworker.ready") == [(second.id,)]
    assert "notify_done" in [run.name for run in scene.statements()]


async def test_one_that_runs_is_not_replaced(scene: Scene) -> None:
    """The new one is kept out like any other, as long as the first holds the key."""
    first = unique_job()
    await enqueue(scene, first)
    await pull_one(scene)
    assert await enqueue(scene, unique_job(on_conflict="replace")) == [first.id]
    assert ends(scene) == {}


async def test_one_that_raises_stores_nothing_of_its_call(scene: Scene) -> None:
    """The error names the job that holds the key."""
    first, other = unique_job(), job_with(JobOptions())
    await enqueue(scene, first)
    with pytest.raises(DuplicateJob, match=f"'k' is held by job {first.id}") as raised:
        await enqueue(scene, other, unique_job("free"), unique_job(on_conflict="raise"))
    assert raised.value.first == first.id
    assert stored(scene) == {first.id}
    assert scene.query("select key from trioworker.unique_key") == [("k",)]


async def test_jobs_of_one_call_come_in_its_order(scene: Scene) -> None:
    """Whatever way their ids sort; one that is replaced in the same call has been a job, too."""
    second, first = unique_job(on_conflict="replace"), unique_job()
    third, fourth = unique_job(), unique_job(on_conflict="replace")
    assert await enqueue(scene, first, second, third, fourth) == [
        first.id, second.id, second.id, fourth.id
    ]  # fmt: skip
    assert stored(scene) == {first.id, second.id, fourth.id}
    assert ends(scene) == {
        first.id: ("canceled", f"replaced by job {second.id}"),
        second.id: ("canceled", f"replaced by job {fourth.id}"),
    }


async def test_an_enqueue_may_be_repeated(scene: Scene) -> None:
    """Whoever holds the key by then: a job that is stored neither conflicts nor replaces."""
    first, second = unique_job(on_conflict="raise"), unique_job(on_conflict="replace")
    await enqueue(scene, first)
    assert await enqueue(scene, first) == [first.id]
    await enqueue(scene, second)
    assert await enqueue(scene, first, second) == [first.id, second.id]
    assert ends(scene).keys() == {first.id}
    third = unique_job(on_conflict="replace")
    assert await enqueue(scene, second, third) == [second.id, third.id]
    assert ends(scene).keys() == {first.id, second.id}


async def test_a_lost_worker_keeps_no_key(scene: Scene) -> None:
    """Its job holds the key as long as it is unfinished, and no longer."""
    first, second = unique_job(), unique_job()
    await enqueue(scene, first)
    worker = await pull_one(scene)
    assert await enqueue(scene, second) == [first.id]
    scene.do("update trioworker.worker set lost_at = now() where id = %s", worker)
    await scene.store.reap(claims_max=10, reaped_max=0)
    assert await enqueue(scene, second) == [second.id]


async def test_a_deleted_job_keeps_no_key(scene: Scene) -> None:
    """Whoever deletes jobs by hand need not know of keys."""
    await enqueue(scene, unique_job())
    scene.do("delete from trioworker.ready; delete from trioworker.job")
    second = unique_job()
    assert await enqueue(scene, second) == [second.id]


@on_every_version
async def test_of_many_at_once_one_is_stored(scene: Scene) -> None:
    """Whoever of them comes first, all others are told its id; the key is free, and was held."""
    old = unique_job()
    await enqueue(scene, old)
    await finish(scene)
    answers: list[UUID] = []

    async def one() -> None:
        answers.extend(await enqueue(scene, unique_job()))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert {old.id, *answers} == stored(scene)
    assert len(answers) == 20
    assert len(set(answers)) == 1


async def test_of_many_that_replace_the_last_one_is_left(scene: Scene) -> None:
    """Each of the others was replaced once, in keys that are given in any order."""
    jobs: list[NewJob] = []

    async def one(keys: Sequence[str]) -> None:
        mine = [unique_job(key, on_conflict="replace") for key in keys]
        jobs.extend(mine)
        assert await enqueue(scene, *mine) == [job.id for job in mine]

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(one, "abc")
            nursery.start_soon(one, "cba")
    assert scene.places() == {"ready": 3, "completed": 57}
    assert len(stored(scene)) == 60


@on_every_version
async def test_who_waited_for_the_key_sees_who_has_taken_it(scene: Scene) -> None:
    """A job that was not there when the wait began keeps out the one that waited."""
    first, second = unique_job(), unique_job()
    await enqueue(scene, unique_job())
    await finish(scene)
    answers: list[UUID] = []

    async def late() -> None:
        answers.extend(await enqueue(scene, second))

    with scene.under_way("lock_keys", ["unique"], ["k"]) as other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late)
            await scene.until_blocked()
            other.execute(
                "insert into trioworker.job (id, kind, path, args, tag)"
                " values ($1, 'noop', 'f', '{}', 'default')",
                [first.id],
            )
            other.execute(
                "insert into trioworker.ready (id, tag, priority, scheduled_for)"
                " values ($1, 'default', 0, now())",
                [first.id],
            )
            other.execute(
                "update trioworker.unique_key set job = $1, during = 'unfinished'", [first.id]
            )
            other.commit()
    assert answers == [first.id]


async def test_a_job_that_is_claimed_meanwhile_is_not_replaced(scene: Scene) -> None:
    """Who has waited for its row looks again, and finds the key held or free."""
    first, second = unique_job(), unique_job(on_conflict="replace")
    await enqueue(scene, first)
    answers: list[UUID] = []

    async def late() -> None:
        answers.extend(await enqueue(scene, second))

    worker = await scene.worker()
    pull = [new_id(), worker, 1, ["default"], [], [], [], [], 3, [0]]
    with scene.under_way("pull", *pull) as other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late)
            await scene.until_blocked()
            other.commit()
    assert answers == [first.id]
    assert scene.places() == {"claimed": 1}


async def test_the_slot_of_a_replaced_job_goes_to_the_next(scene: Scene) -> None:
    """Also when the one in its place has another limit."""
    first = unique_job(limit=Limit(1, "one"))
    behind = job_with(JobOptions(limit=Limit(1, "one")))
    await enqueue(scene, first, behind)
    assert scene.places() == {"ready": 1, "waiting": 1}
    await enqueue(scene, unique_job(on_conflict="replace", limit=Limit(1, "two")))
    await scene.store.promote()
    assert scene.places() == {"ready": 2, "completed": 1}
    assert sorted(scene.query("select key from trioworker.slot")) == [("one",), ("two",)]


async def test_the_next_in_line_is_let_in_while_another_one_is_replaced(scene: Scene) -> None:
    """The transaction that replaces it may last, and another slot becomes free meanwhile."""
    limit = Limit(2, "l")
    first, running = unique_job(limit=limit), job_with(JobOptions(limit=limit))
    line = [job_with(JobOptions(limit=limit)) for _ in range(2)]
    await enqueue(scene, first, running, *line)
    with scene.under_way("replace_jobs", [first.id], [new_id()]):
        await finish(scene)
        assert scene.query("select id from trioworker.waiting") == [(line[1].id,)]
    await scene.store.promote()
    assert scene.places() == {"ready": 2, "completed": 2}


async def test_so_it_is_while_sql_replaces_one(scene: Scene) -> None:
    """In a transaction of the user's, which may last even longer."""
    limit = Limit(2, "l")
    first, running = unique_job(limit=limit), job_with(JobOptions(limit=limit))
    line = [job_with(JobOptions(limit=limit)) for _ in range(2)]
    await enqueue(scene, first, running, *line)
    with psycopg.connect(scene.url) as users:
        users.execute("select trioworker.replace_job(%s, %s)", (first.id, new_id()))
        await finish(scene)
        assert scene.query("select id from trioworker.waiting") == [(line[1].id,)]
    await scene.store.promote()
    assert scene.places() == {"ready": 2, "completed": 2}


async def test_a_replaced_job_may_have_waited_for_a_slot(scene: Scene) -> None:
    """The new one waits in its place."""
    holder, first = job_with(JobOptions(limit=Limit(1, "l"))), unique_job(limit=Limit(1, "l"))
    await enqueue(scene, holder, first)
    second = unique_job(on_conflict="replace", limit=Limit(1, "l"))
    await enqueue(scene, second)
    assert scene.query("select id from trioworker.waiting") == [(second.id,)]
    assert ends(scene).keys() == {first.id}


async def test_what_is_unique_and_what_is_debounced_have_keys_apart(scene: Scene) -> None:
    """The same word for both is two keys."""
    jobs = [unique_job("k"), debounced_job("k")]
    assert await enqueue(scene, *jobs) == [job.id for job in jobs]
    assert scene.places() == {"ready": 2}


@on_every_version
async def test_keys_that_nothing_holds_are_swept(scene: Scene) -> None:
    """Those that are held stay, however often somebody looks; a period stays until it is over."""
    held = [
        unique_job("queued", "queued"), unique_job("unfinished"), debounced_job("debounce"),
        unique_job("period", "period", period_s=1000),
    ]  # fmt: skip
    await enqueue(scene, unique_job("ended"), unique_job("begun", "queued"))
    await finish(scene)
    await enqueue(scene, *held)
    for _ in range(2):
        pass_time(scene, 61)
        await scene.store.tidy()
        rows = scene.query("select key from trioworker.unique_key order by key")
        assert [row[0] for row in rows] == ["debounce", "period", "queued", "unfinished"]
    pass_time(scene, 1000)
    scene.do("delete from trioworker.ready; delete from trioworker.job")
    await scene.store.tidy()
    assert scene.query("select key from trioworker.unique_key") == []


async def test_a_sweep_leaves_a_key_that_is_taken_at_the_moment(scene: Scene) -> None:
    """Who takes it has just locked it; the sweep passes over it and waits for nobody."""
    await enqueue(scene, unique_job())
    await finish(scene)
    pass_time(scene, 61)
    with scene.under_way("lock_keys", ["unique"], ["k"]):
        await scene.store.tidy()
    assert scene.query("select key from trioworker.unique_key") == [("k",)]
    await scene.store.tidy()
    assert scene.query("select key from trioworker.unique_key") == []


async def test_jobs_without_keys_cost_what_they_did(scene: Scene) -> None:
    """No statement more."""
    await scene.enqueue(3)
    names = [run.name for run in scene.statements()]
    assert names == ["enqueue", "notify_ready"]
