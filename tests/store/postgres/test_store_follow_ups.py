"""Handlers and restarts are enqueued in the transaction that stores the end, or not at all."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.errors import Refused
from trioworker.ids import new_id
from trioworker.model.follow_ups import EndedJob
from trioworker.model.job import Job, NewJob
from trioworker.model.options import Handler, JobOptions, Limit, Unique
from trioworker.model.outcome import Failed, JobError, Succeeded
from trioworker.model.schedule import Schedule
from trioworker.model.ticks import Timing
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.schedule_admin import PostgresSchedules

BOOM = Failed(JobError("Boom", "it broke"))
DONE = Succeeded(b'"done"')
TOLD = JobOptions(
    on_error=Handler("tell", "urgent", 5), on_success=Handler("cheer"), on_recovery=Handler("relax")
)


def calls(scene: Scene) -> list[tuple[str, EndedJob]]:
    """Who is told of what, in the order of the ids."""
    rows = scene.query(
        "select path, args::text from trioworker.job where options ? 'handles' order by id"
    )
    return [(path, msgspec.json.decode(args, type=list[EndedJob])[0]) for path, args in rows]


async def hand_out(scene: Scene, count: int, options: JobOptions) -> tuple[UUID, Sequence[Job]]:
    """A worker with so many jobs in hand."""
    await scene.enqueue(count, options=options)
    worker = await scene.worker()
    return worker, await scene.pull(worker)


@on_every_version
async def test_a_batch_tells_the_handlers_of_each_of_its_jobs(scene: Scene) -> None:
    """Failures one, successes another; what they are told is what is stored of the job."""
    worker, jobs = await hand_out(scene, 4, TOLD)
    ends = [executed(job, BOOM if job is jobs[2] else DONE) for job in jobs]
    before = len(scene.statements())
    assert (await scene.store.commit(worker, ends, again=False)).lost == set()
    assert [run.name for run in scene.statements()[before:]] == ["commit", "clock", "enqueue"]
    found = calls(scene)
    assert sorted(path for path, _ in found) == ["cheer", "cheer", "cheer", "tell"]
    assert {fact.id for _, fact in found} == {job.id for job in jobs}
    (told,) = (fact for path, fact in found if path == "tell")
    ((status, error, attempt, completed_at, started_at),) = scene.query(
        "select status, error, attempt, completed_at, started_at from trioworker.job_completed"
        " where id = %s",
        told.id,
    )
    assert (told.status, told.attempt) == (status, attempt)
    assert told.error == JobError(**error)
    second = timedelta(seconds=1)
    assert abs(told.completed_at - completed_at) < second
    assert told.started_at is not None
    assert abs(told.started_at - started_at) < second
    assert scene.query("select tag, priority, attempt from trioworker.ready where tag = 'urgent'")


async def test_an_end_that_is_not_stored_tells_nobody(scene: Scene) -> None:
    """The lease was lost: whoever has the job now will tell."""
    await scene.enqueue(1, options=TOLD)
    worker = await scene.worker(lease_s=0.01)
    jobs = await scene.pull(worker)
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=3)
    assert (await scene.store.commit(worker, [executed(jobs[0], BOOM)], again=True)).lost == {
        jobs[0].id
    }
    assert calls(scene) == []


async def test_a_repeated_commit_tells_once(scene: Scene) -> None:
    """After a lost reply the same batch again adds nothing."""
    worker, jobs = await hand_out(scene, 2, msgspec.structs.replace(TOLD, restart=True))
    batch = [executed(job, BOOM) for job in jobs]
    await scene.store.commit(worker, batch, again=False)
    assert (await scene.store.commit(worker, batch, again=True)).lost == set()
    assert len(calls(scene)) == 2
    assert scene.query("select count(*) from trioworker.job") == [(2 + 2 + 2,)]


async def test_an_end_that_is_refused_leaves_no_handler(scene: Scene) -> None:
    """All or nothing, for the whole batch."""
    worker, jobs = await hand_out(scene, 2, TOLD)
    with pytest.raises(Refused):
        await scene.store.commit(
            worker,
            [executed(jobs[0], DONE), executed(jobs[1], Succeeded(b'"\\u0000"'))],
            again=False,
        )
    assert calls(scene) == []
    assert scene.query("select count(*) from trioworker.job_completed") == [(0,)]


async def test_a_job_that_a_sweep_gives_up_tells_its_error_handler(scene: Scene) -> None:
    """In the sweep's transaction; when it began nobody knows."""
    (lost,) = await scene.enqueue(options=msgspec.structs.replace(TOLD, restart=True))
    worker = await scene.worker(lease_s=0.01)
    await scene.pull(worker)
    await scene.silence(worker)
    reaped = await scene.store.reap(claims_max=10, reaped_max=0)
    assert list(reaped.failed) == [lost]
    ((path, fact),) = calls(scene)
    assert (path, fact.id, fact.attempt, fact.started_at) == ("tell", lost, 1, None)
    assert fact.error is not None
    assert fact.error.name == "WorkerLost"
    assert scene.query(
        "select scheduled_for > now() + interval '5 s' from trioworker.ready"
        " join trioworker.job using (id) where path = 'f'"
    ) == [(True,)]


async def test_a_canceled_job_tells_nobody_and_does_not_come_again(scene: Scene) -> None:
    """Whoever cancelled it knows."""
    (id_,) = await scene.enqueue(options=msgspec.structs.replace(TOLD, restart=True))
    await scene.jobs.cancel([id_], "no more")
    assert scene.query("select id from trioworker.job") == [(id_,)]


async def test_a_handler_of_a_handler_is_never_called(scene: Scene) -> None:
    """Not even when SQL by hand says that it has one."""
    handling = msgspec.structs.replace(TOLD, handles="error")
    worker, jobs = await hand_out(scene, 1, handling)
    await scene.store.commit(worker, [executed(jobs[0], BOOM)], again=False)
    assert scene.query("select count(*) from trioworker.job") == [(1,)]


async def test_a_cancel_of_the_job_spares_its_handlers(scene: Scene) -> None:
    """They belong to nobody."""
    worker, jobs = await hand_out(scene, 1, TOLD)
    await scene.store.commit(worker, [executed(jobs[0], BOOM)], again=False)
    assert not (await scene.jobs.cancel([jobs[0].id], "no")).ended


async def test_a_schedule_that_runs_again_tells_that_it_has_recovered(scene: Scene) -> None:
    """Its row counts the failures; the first success after them is told, the second is not."""
    options = JobOptions(on_recovery=Handler("relax"))
    timing = Timing(every_s=3600.0)
    said = Schedule(name="s", path="f", timing=timing, options=options)
    schedules = PostgresSchedules(scene.database, CLIENT)
    await schedules.declare({"s": said})
    worker = await scene.worker()
    told = []
    for outcome in (BOOM, DONE, DONE):
        await schedules.run("s", new_id())
        (job,) = await scene.pull(worker)
        await scene.store.commit(worker, [executed(job, outcome)], again=False)
        told.append(len(calls(scene)))
        scene.do("delete from trioworker.ready where scheduled_for <= now()")
    assert told == [0, 1, 1]


@on_every_version
async def test_a_job_that_restarts_has_exactly_one_successor(scene: Scene) -> None:
    """With its options, below the same parent, due ten seconds after the last one began."""
    parent = new_id()
    options = JobOptions(restart=True, timeout_s=5.0)
    job = NewJob(
        id=new_id(), kind="function", path="f", args=b'{"a": 1}', priority=4, options=options,
        awaited=True, created_by="me", parent=parent,
    )  # fmt: skip
    await scene.jobs.enqueue([job])
    worker = await scene.worker()
    for ends in range(1, 4):
        scene.do("update trioworker.ready set scheduled_for = now()")
        (claimed,) = await scene.pull(worker)
        await scene.store.commit(
            worker, [executed(claimed, DONE if ends % 2 else BOOM)], again=False
        )
        assert scene.query("select count(*) from trioworker.job") == [(ends + 1,)]
    assert scene.query(
        "select path, args, priority, options, awaited, created_by, parent,"
        " scheduled_for - now() between '5 s' and '10 s'"
        " from trioworker.ready join trioworker.job using (id, priority)"
    ) == [("f", {"a": 1}, 4, {"restart": True, "timeout_s": 5.0}, False, "me", parent, True)]


async def test_a_restarted_job_keeps_to_its_limit_and_its_key(scene: Scene) -> None:
    """It takes the slot and the key that the one before has left."""
    options = JobOptions(restart=True, limit=Limit(1, "k"), unique=Unique("u"))
    worker, jobs = await hand_out(scene, 1, options)
    await scene.store.commit(worker, [executed(jobs[0], BOOM)], again=False)
    assert scene.query("select count(*) from trioworker.waiting") == [(1,)]
    scene.do("update trioworker.waiting set scheduled_for = now()")
    scene.do("update trioworker.concurrency set look_at = now()")
    await scene.store.promote()
    (again,) = await scene.pull(worker)
    assert again.options == options
    assert scene.query("select job from trioworker.unique_key") == [(again.id,)]
