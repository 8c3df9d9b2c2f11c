"""Cancelling beside pulls and commits that are under way: each job ends once, or is told once."""

from uuid import UUID

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, ids_of, on_every_version
from trioworker.ids import new_id
from trioworker.model.job import NewJob
from trioworker.model.outcome import Cancelled, Interrupted
from trioworker.model.state import Cancellation
from trioworker.store.postgres import cancels
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.protocol import Counters, Hint

NO_FLOORS: tuple[list[object], ...] = ([], [], [], [])


async def told(scene: Scene, worker: UUID) -> dict[UUID, str]:
    """What the worker learns with its next heartbeat."""
    return dict((await scene.store.heartbeat(worker, Counters(0, 0, 0))).cancels)


async def cancel(scene: Scene, ids: list[UUID], into: list[Cancellation]) -> None:
    """Cancel the jobs and note what came of it."""
    into.append(await scene.jobs.cancel(ids, "enough"))


@on_every_version
async def test_each_job_is_cancelled_where_it_stands(scene: Scene) -> None:
    """Unstarted jobs end, the holder of a running one is told, ended ones are left alone."""
    ready, waiting, running, done = await scene.enqueue(4)
    worker, other = await scene.worker(), await scene.worker()
    scene.do("update trioworker.ready set priority = 1 where id = any(%s)", [running, done])
    held, over = await scene.pull(worker, 2)
    await scene.store.commit(worker, [executed(over)], again=False)
    scene.do("delete from trioworker.ready where id = %s", waiting)
    scene.do(
        "insert into trioworker.waiting (id, reason, attempt, reaped) values (%s, 'flow', 3, 2)",
        waiting,
    )
    found = await scene.jobs.cancel([ready, waiting, running, done, new_id()], "enough")
    assert (list(found.ended), list(found.asked)) == ([ready, waiting], [running])
    assert held.id == running
    assert await told(scene, worker) == {running: "enough"}
    assert await told(scene, other) == {}
    error = {"name": "Cancelled", "message": "enough"}
    ended = "select id, error, attempt, reaped from trioworker.job_completed where status = %s"
    assert sorted(scene.query(ended, "canceled")) == [
        (ready, error, 1, 0),
        (waiting, error, 3, 2),
    ]
    assert scene.places() == {"claimed": 1, "completed": 3}


@on_every_version
async def test_a_job_that_is_given_back_before_its_worker_hears_is_cancelled(scene: Scene) -> None:
    """No worker has it, so nobody would hear of it: a sweep finds it, ready or waiting."""
    ids = await scene.enqueue(3)
    worker = await scene.worker()
    held = await scene.pull(worker, 3)
    assert (await scene.jobs.cancel(ids, "enough")).asked == ids
    assert not await scene.store.cancel_late()
    assert scene.places() == {"claimed": 3}
    back = [executed(job, Interrupted()) for job in held[1:]]
    assert not (await scene.store.commit(worker, back, again=False)).lost
    scene.do("delete from trioworker.ready where id = %s", held[2].id)
    scene.do(
        "insert into trioworker.waiting (id, reason, attempt, reaped) values (%s, 'flow', 1, 0)",
        held[2].id,
    )
    assert not await scene.store.cancel_late()
    assert scene.places() == {"claimed": 1, "completed": 2}
    canceled = "select error ->> 'message' from trioworker.job_completed where status = 'canceled'"
    assert scene.query(canceled) == [("enough",)] * 2


@on_every_version
async def test_a_cancel_that_meets_a_pull_tells_the_worker(scene: Scene) -> None:
    """It waits for the pull, then finds the claim; the job does not end behind the worker."""
    ids = await scene.enqueue(2)
    worker = await scene.worker()
    found: list[Cancellation] = []
    async with trio.open_nursery() as nursery:
        with scene.under_way("pull", new_id(), worker, 10, ["default"], *NO_FLOORS, 3, [0]):
            nursery.start_soon(cancel, scene, ids, found)
            await scene.until_blocked()
    assert (list(found[0].ended), list(found[0].asked)) == ([], ids)
    assert await told(scene, worker) == dict.fromkeys(ids, "enough")
    assert scene.places() == {"claimed": 2}


async def test_a_cancel_that_meets_a_pull_that_fails_ends_the_jobs(scene: Scene) -> None:
    """When the pull is rolled back the jobs are still ready, and the cancel ends them."""
    ids = await scene.enqueue(2)
    worker = await scene.worker()
    found: list[Cancellation] = []
    async with trio.open_nursery() as nursery:
        with scene.under_way(
            "pull", new_id(), worker, 10, ["default"], *NO_FLOORS, 3, [0]
        ) as connection:
            nursery.start_soon(cancel, scene, ids, found)
            await scene.until_blocked()
            connection.rollback()
    assert (list(found[0].ended), list(found[0].asked)) == (ids, [])
    assert await told(scene, worker) == {}


async def test_a_pull_passes_over_what_is_being_cancelled(scene: Scene) -> None:
    """The pull does not wait; what the cancel ends is claimed by nobody."""
    first, second = await scene.enqueue(2)
    worker = await scene.worker()
    with scene.under_way("cancel_unstarted", [first], "enough", []), trio.fail_after(30):
        assert ids_of(await scene.pull(worker)) == [second]
    assert await scene.pull(worker) == []
    assert scene.places() == {"claimed": 1, "completed": 1}


async def test_two_who_cancel_the_same_jobs_crosswise_wait_for_each_other(scene: Scene) -> None:
    """Rows are locked in the order of their ids, so there is no deadlock, and each ends once."""
    ids = await scene.enqueue(50)
    found: list[Cancellation] = []
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            with psycopg.connect(scene.url) as other:
                other.execute("select from trioworker.ready where id = %s for update", [ids[25]])
                nursery.start_soon(cancel, scene, ids, found)
                nursery.start_soon(cancel, scene, ids[::-1], found)
                await scene.until_blocked(2)
    assert sorted(id_ for each in found for id_ in each.ended) == ids
    assert scene.places() == {"completed": 50}


async def test_a_job_that_went_back_is_cancelled_by_whoever_pulls_it(scene: Scene) -> None:
    """The request outlives the claim: the next worker is told when it holds the job."""
    (id_,) = await scene.enqueue()
    first, second = await scene.worker(), await scene.worker()
    (job,) = await scene.pull(first)
    await scene.jobs.cancel([id_], "enough")
    await scene.store.commit(first, [executed(job, Interrupted())], again=False)
    assert await told(scene, first) == {}
    (again,) = await scene.pull(second)
    assert await told(scene, second) == {id_: "enough"}
    await scene.store.commit(second, [executed(again, Cancelled("enough"))], again=False)
    assert await told(scene, second) == {}


async def test_a_cancel_that_meets_the_commit_changes_nothing(scene: Scene) -> None:
    """What is stored while somebody asks is stored; the request is swept, not kept for ever."""
    (id_,) = await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    columns: list[list[object]] = [[id_], [1], [], ['"done"'], [], [0.5], [500], [], []]
    with scene.under_way("commit", worker, [job.claim], *columns):
        found = await scene.jobs.cancel([id_], "enough")
    assert (list(found.ended), list(found.asked)) == ([], [id_])
    assert scene.query("select status from trioworker.job_completed") == [("success",)]
    await scene.store.tidy()
    assert scene.query("select count(*) from trioworker.cancel_request") == [(0,)]


async def test_requests_are_kept_as_long_as_they_may_be_needed(scene: Scene) -> None:
    """A sweep deletes the requests of ended jobs and no other; the first reason stays."""
    ids = await scene.enqueue(2)
    worker = await scene.worker()
    first, _ = await scene.pull(worker)
    await scene.jobs.cancel(ids, "enough")
    await scene.jobs.cancel(ids, "I said enough")
    await scene.store.commit(worker, [executed(first)], again=False)
    await scene.store.tidy()
    assert scene.query("select id, reason from trioworker.cancel_request") == [(ids[1], "enough")]


async def test_asking_again_tells_the_worker_again(scene: Scene) -> None:
    """A hint may be lost; each request sends one to the holder, and none when nobody holds it."""
    send, receive = trio.open_memory_channel[Hint](10)
    (id_,) = await scene.enqueue()
    worker = await scene.worker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.store.listen, send.send_nowait)
        with trio.fail_after(30):
            assert await receive.receive() == Hint()
            await scene.database.run(CLIENT, "request_cancel", [id_], "while it is ready")
            await scene.pull(worker)
            for _ in range(2):
                await scene.jobs.cancel([id_], "enough")
                assert await receive.receive() == Hint(cancel_for=str(worker))
        with pytest.raises(trio.WouldBlock):
            receive.receive_nowait()
        nursery.cancel_scope.cancel()
    assert await told(scene, worker) == {id_: "while it is ready"}


async def family(scene: Scene, *parents: int | None) -> list[UUID]:
    """A job for each number: the child of the job with that number, None for one without parent."""
    ids = [new_id() for _ in parents]
    await scene.jobs.enqueue(
        [
            NewJob(
                id=id_,
                kind="function",
                path="f",
                args=b"{}",
                parent=None if parent is None else ids[parent],
            )
            for id_, parent in zip(ids, parents, strict=True)
        ]
    )
    return ids


@on_every_version
async def test_all_below_a_job_are_cancelled_with_it(scene: Scene) -> None:
    """Children and theirs, where they stand: unstarted ones end, running ones' workers are told."""
    ids = await family(scene, None, 0, 0, 1, 1, None)
    worker = await scene.worker()
    scene.do("update trioworker.ready set priority = 1 where id = any (%s)", [ids[2], ids[3]])
    running = ids_of(await scene.pull(worker, 2))
    found = await scene.jobs.cancel([ids[0]], "enough")
    assert sorted(found.ended) == [ids[0], ids[1], ids[4]]
    assert sorted(found.asked) == sorted(running) == [ids[2], ids[3]]
    assert not found.more
    assert await told(scene, worker) == dict.fromkeys(running, "enough")
    assert scene.query("select id from trioworker.ready") == [(ids[5],)]


async def test_a_parent_that_has_ended_is_a_way_to_its_children(scene: Scene) -> None:
    """It is left as it is; what it has left behind is cancelled."""
    parent, child, grandchild = await family(scene, None, 0, 1)
    worker = await scene.worker()
    jobs = await scene.pull(worker, 2)
    await scene.store.commit(worker, [executed(job) for job in jobs], again=False)
    found = await scene.jobs.cancel([parent], "enough")
    assert (list(found.ended), list(found.asked)) == ([grandchild], [])
    assert scene.query(
        "select status from trioworker.job_completed where id = any (%s)", [parent, child]
    ) == [("success",), ("success",)]


async def test_a_ring_of_parents_is_walked_once(scene: Scene) -> None:
    """Only SQL by hand can make one; cancelling it ends all the same."""
    ids = await family(scene, None, 0, 1)
    scene.do("update trioworker.job set parent = %s where id = %s", ids[2], ids[0])
    with trio.fail_after(30):
        found = await scene.jobs.cancel([ids[1]], "enough")
    assert sorted(found.ended) == ids


async def test_a_family_without_end_is_cancelled_in_steps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request has a bound and says that there is more; asked again, it goes on."""
    monkeypatch.setattr(cancels, "CHILDREN_MAX", 3)
    ids = await family(scene, None, *[0] * 7)
    steps = [await scene.jobs.cancel([ids[0]], "enough") for _ in range(3)]
    assert [(len(step.ended), step.more) for step in steps] == [(4, True), (4, False), (0, False)]
    assert scene.places() == {"completed": 8}
