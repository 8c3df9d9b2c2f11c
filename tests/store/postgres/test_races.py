"""The same asked twice at the same moment is done once: what `docs/guarantees.md` promises."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.ids import new_id
from trioworker.model.job import NewJob
from trioworker.model.options import Handler, JobOptions
from trioworker.model.outcome import Failed, JobError
from trioworker.store.postgres.enqueue import columns_of
from trioworker.store.postgres.store import WORKER_LANES

COMMIT_OF_ONE: Sequence[object] = ([1], [], ['"done"'], [], [0.5], [500], [], [])
"""The columns of a success, after those with the ids."""


async def meanwhile(
    scene: Scene, name: str, *arguments: object, what: Callable[[], Awaitable[object]]
) -> None:
    """Somebody else has run the statement `name`, and commits when `what` waits for them."""
    async with trio.open_nursery() as nursery:
        with scene.under_way(name, *arguments) as other:
            nursery.start_soon(what)
            await scene.until_blocked()
            other.commit()


@on_every_version
async def test_a_job_that_is_enqueued_twice_at_once_is_one_job(scene: Scene) -> None:
    """The second enqueue waits, and finds that the id exists."""
    job = NewJob(id=new_id(), kind="function", path="first", args=b"{}")
    again = NewJob(id=job.id, kind="function", path="second", args=b"{}")
    answers: list[frozenset[UUID]] = []

    async def late() -> None:
        answers.append(frozenset((await scene.jobs.enqueue([again])).new))

    await meanwhile(scene, "enqueue", *columns_of([job]), what=late)
    assert answers == [frozenset()]
    assert scene.query("select path from trioworker.job") == [("first",)]
    assert scene.places() == {"ready": 1}


async def test_an_enqueue_that_fails_leaves_the_job_to_the_other(scene: Scene) -> None:
    """Whoever waited for one that is rolled back stores its own."""
    job = NewJob(id=new_id(), kind="function", path="f", args=b"{}")
    async with trio.open_nursery() as nursery:
        with scene.under_way("enqueue", *columns_of([job])) as other:
            nursery.start_soon(scene.jobs.enqueue, [job])
            await scene.until_blocked()
            other.rollback()
    assert scene.places() == {"ready": 1}


@on_every_version
async def test_a_job_that_is_committed_twice_at_once_ends_once(scene: Scene) -> None:
    """The line was lost, but not the transaction: who tries again waits for it, and counts it."""
    options = JobOptions(on_success=Handler("tell"), labels=("a",))
    (id_,) = await scene.enqueue(options=options)
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    lost: list[frozenset[UUID]] = []

    async def again() -> None:
        lost.append(frozenset((await scene.store.commit(worker, [executed(job)], again=True)).lost))

    await meanwhile(scene, "commit", worker, [job.claim], [id_], *COMMIT_OF_ONE, what=again)
    assert lost == [frozenset()]
    assert scene.query("select id, result from trioworker.job_completed") == [(id_, "done")]
    # Whoever has stored it tells its handlers, which this first one does not.
    assert scene.query("select id from trioworker.job where path = 'tell'") == []


async def test_a_job_that_is_retried_twice_at_once_is_ready_once(scene: Scene) -> None:
    """By hand: the second one finds it in the queue."""
    (id_,) = await scene.enqueue()
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    failed = Failed(JobError("Boom", "it broke"))
    await scene.store.commit(worker, [executed(job, failed) for job in jobs], again=False)
    again: list[Sequence[UUID]] = []

    async def late() -> None:
        again.append((await scene.jobs.requeue([id_])).ready)

    await meanwhile(scene, "requeue_jobs", [id_], what=late)
    assert again == [[]]
    assert scene.query("select id, attempt from trioworker.ready") == [(id_, 2)]


def test_only_pulls_may_be_forgotten_in_a_crash() -> None:
    """Results, logs and heartbeats wait for the disk."""
    assert [lane.name for lane in WORKER_LANES if not lane.durable] == ["pull"]
