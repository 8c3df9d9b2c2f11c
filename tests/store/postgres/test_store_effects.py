"""What follows from an outcome is stored with it, or not at all."""

from uuid import UUID

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.model.outcome import Failed, JobError, Retried, Succeeded

ERROR = JobError("Boom", "it broke", "a traceback")


@on_every_version
async def test_a_failed_attempt_that_another_follows_is_kept(scene: Scene) -> None:
    """Error, worker and times of the attempt are there; one that ends the job is not copied."""
    first, _ = await scene.enqueue(2)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    batch = [executed(jobs[0], Retried(ERROR, 0.0)), executed(jobs[1], Failed(ERROR))]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()
    assert scene.query(
        "select id, attempt, error, worker, duration_ms from trioworker.job_attempt"
    ) == [
        (
            first,
            1,
            {"name": "Boom", "message": "it broke", "traceback": "a traceback"},
            worker,
            int(batch[0].duration_s * 1000),
        )
    ]


async def test_an_outcome_that_is_lost_has_no_effect(scene: Scene) -> None:
    """Whoever has lost the lease leaves in the history that, and nothing of the outcome."""
    await scene.enqueue()
    worker = await scene.worker(lease_s=0.01)
    (job,) = await scene.pull(worker)
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=3)
    batch = [executed(job, Retried(ERROR, 0.0))]
    assert (await scene.store.commit(worker, batch, again=True)).lost == {job.id}
    assert scene.query(
        "select id, attempt, error->>'name', worker, started_at, duration_ms"
        " from trioworker.job_attempt"
    ) == [(job.id, 1, "WorkerLost", worker, None, None)]


async def test_who_looks_at_a_job_sees_its_earlier_attempts(scene: Scene) -> None:
    """In order, those that a worker took with it among them; not the last one."""
    first, _ = await scene.enqueue(2)
    failing, dying = await scene.worker(), await scene.worker(lease_s=0.01)
    await scene.store.commit(
        failing,
        [executed(job, Retried(ERROR, 0.0)) for job in await scene.pull(failing)],
        again=False,
    )
    await scene.pull(dying)
    await scene.silence(dying)
    await scene.store.reap(claims_max=10, reaped_max=3)
    found = await scene.jobs.attempts(first)
    assert found is not None
    assert [(one.attempt, one.error.name, one.worker) for one in found] == [
        (1, "Boom", failing),
        (2, "WorkerLost", dying),
    ]
    assert [(one.started_at is None, one.duration_ms) for one in found] == [
        (False, 500),
        (True, None),
    ]
    assert await scene.jobs.attempts((await scene.enqueue())[0]) == []
    assert await scene.jobs.attempts(UUID(int=1)) is None


async def test_what_a_sweep_gives_up_is_no_attempt_but_the_end(scene: Scene) -> None:
    """Its last loss is in the completion, those before are in the history."""
    await scene.enqueue()
    for _ in range(2):
        worker = await scene.worker(lease_s=0.01)
        await scene.pull(worker)
        await scene.silence(worker)
        await scene.store.reap(claims_max=10, reaped_max=1)
    assert scene.query("select attempt from trioworker.job_attempt") == [(1,)]
    assert scene.query("select attempt, reaped from trioworker.job_completed") == [(2, 2)]


async def test_a_repeated_retry_is_kept_once(scene: Scene) -> None:
    """After a lost reply the same batch again adds nothing."""
    await scene.enqueue(2)
    worker = await scene.worker()
    batch = [executed(job, Retried(ERROR, 0.0)) for job in await scene.pull(worker)]
    await scene.store.commit(worker, batch[:1], again=False)
    await scene.store.commit(worker, batch, again=True)
    await scene.store.commit(worker, [executed(batch[0].job, Succeeded(b"1"))], again=True)
    assert scene.query("select attempt from trioworker.job_attempt") == [(1,), (1,)]
