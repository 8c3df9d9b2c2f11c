"""The progress of jobs is stored while they run and with their outcomes, by who has them."""

import msgspec
import pytest

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.model.job import Job
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from trioworker.model.progress import Progress
from trioworker.model.running import Said
from trioworker.model.state import JobProgress

BOOM = JobError("Boom", "it broke")
DONE = Succeeded(b"1")


async def shown(scene: Scene, job: Job) -> Progress | None:
    """What somebody sees who asks for the job."""
    (state,) = await scene.jobs.states([job.id])
    return (
        None if state.progress is None else Progress(state.progress.fraction, state.progress.note)
    )


async def end(scene: Scene, job: Job, outcome: Outcome, progress: Progress | None = None) -> None:
    """Store the outcome of `job`, with what it told last."""
    (worker,) = scene.query("select worker from trioworker.claim where id = %s", job.claim)
    one = msgspec.structs.replace(executed(job, outcome), progress=progress)
    assert (await scene.store.commit(worker[0], [one], again=False)).lost == set()


def said(job: Job, fraction: float, *, text: str = "") -> Said:
    """What a running job has told, and perhaps written."""
    return Said(job, 0, text, Progress(fraction, f"at {fraction}"))


@on_every_version
async def test_progress_goes_with_the_lines_of_all_running_jobs(scene: Scene) -> None:
    """One statement, for those that tell, those that write, and those that do both."""
    await scene.enqueue(3)
    worker = await scene.worker()
    a, b, c = await scene.pull(worker)
    before = len(scene.statements())
    what = [said(a, 0.25), said(b, 0.5, text="b\n"), Said(c, 0, "c\n")]
    await scene.store.store_running(worker, what)
    (statement,) = scene.statements()[before:]
    assert (statement.name, statement.jobs) == ("store_running", 3)
    assert [await shown(scene, job) for job in (a, b, c)] == [
        Progress(0.25, "at 0.25"), Progress(0.5, "at 0.5"), None,
    ]  # fmt: skip
    await scene.store.store_running(worker, [said(a, 0.75), Said(b, 0, "b\nb\n")])
    assert await shown(scene, a) == Progress(0.75, "at 0.75")
    assert await shown(scene, b) == Progress(0.5, "at 0.5")
    logs = [await scene.jobs.logs(job.id) for job in (a, b, c)]
    assert [[log.text for log in found or ()] for found in logs] == [[], ["b\nb\n"], ["c\n"]]


@pytest.mark.parametrize(
    "outcome",
    [DONE, Failed(BOOM), Cancelled("no"), Snoozed(0.0), Interrupted()],
    ids=lambda outcome: type(outcome).__name__,
)
async def test_what_it_told_last_stays(scene: Scene, outcome: Outcome) -> None:
    """However the attempt ended, and whether or not it was stored before."""
    await scene.enqueue(2)
    worker = await scene.worker()
    a, b = await scene.pull(worker)
    await scene.store.store_running(worker, [said(a, 0.25), said(b, 0.5)])
    await end(scene, a, outcome, Progress(0.3))
    await end(scene, b, outcome)
    assert [await shown(scene, job) for job in (a, b)] == [Progress(0.3), Progress(0.5, "at 0.5")]


async def test_a_later_attempt_begins_anew(scene: Scene) -> None:
    """What the one before has told says nothing of it, stored before or with its end."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    await scene.store.store_running(worker, [said(job, 0.5)])
    await end(scene, job, Retried(BOOM, 0.0), Progress(0.9))
    assert await shown(scene, job) is None
    assert scene.query("select fraction from trioworker.job_progress") == [(0.5,)]
    (job,) = await scene.pull(worker)
    assert await shown(scene, job) is None
    await scene.store.store_running(worker, [said(job, 0.1)])
    assert await shown(scene, job) == Progress(0.1, "at 0.1")
    await end(scene, job, Failed(BOOM))
    await scene.jobs.requeue([job.id])
    assert await shown(scene, job) is None


async def test_who_has_lost_a_job_tells_nothing_of_it(scene: Scene) -> None:
    """Neither of the attempt that was taken away nor of the one that followed."""
    await scene.enqueue()
    old, new = await scene.worker(lease_s=0.01), await scene.worker()
    (lost,) = await scene.pull(old)
    await scene.silence(old)
    await scene.store.reap(claims_max=10, reaped_max=3)
    (job,) = await scene.pull(new)
    await scene.store.store_running(new, [said(job, 0.1)])
    await scene.store.store_running(old, [said(job, 0.8), said(lost, 0.9)])
    late = msgspec.structs.replace(executed(lost), progress=Progress(1.0))
    assert (await scene.store.commit(old, [late], again=False)).lost == {job.id}
    assert await shown(scene, job) == Progress(0.1, "at 0.1")


async def test_simple_jobs_cost_no_statement_more(scene: Scene) -> None:
    """What a batch has told last is one statement, and none when it is stored already."""
    await scene.enqueue(4)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    await scene.store.store_running(worker, [said(jobs[0], 0.5)])
    before = len(scene.statements())
    await scene.store.commit(worker, [executed(job) for job in jobs[:2]], again=False)
    told = [msgspec.structs.replace(executed(job), progress=Progress(1.0)) for job in jobs[2:]]
    await scene.store.commit(worker, told, again=False)
    names = [run.name for run in scene.statements()[before:]]
    assert names == ["commit", "commit", "store_progress"]


async def test_when_it_was_told_is_the_databases_time(scene: Scene) -> None:
    """Later for what is told later."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    found: list[JobProgress] = []
    for fraction in (0.1, 0.2):
        await scene.store.store_running(worker, [said(job, fraction)])
        (state,) = await scene.jobs.states([job.id])
        assert state.progress is not None
        found.append(state.progress)
    (now,) = scene.query("select now()")
    assert found[0].told_at < found[1].told_at <= now[0]
