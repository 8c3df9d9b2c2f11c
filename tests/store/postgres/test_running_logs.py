"""What running jobs write is stored while they run, and never by who has lost them."""

from collections.abc import Sequence

import msgspec
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.model.job import Job
from trioworker.model.outcome import Interrupted, JobError, Outcome, Retried, Succeeded
from trioworker.model.running import Said

DONE = Succeeded(b'"done"')


def texts(scene: Scene) -> Sequence[tuple[int, int, str]]:
    """All pieces there are."""
    return scene.query("select attempt, chunk, text from trioworker.job_log order by id, 1, 2")


async def end(scene: Scene, job: Job, log: str, chunk: int, outcome: Outcome = DONE) -> None:
    """Store the outcome of `job`, with the last piece of its log."""
    (worker,) = scene.query("select worker from trioworker.claim where id = %s", job.claim)
    one = msgspec.structs.replace(executed(job, outcome, log=log), log_chunk=chunk)
    assert (await scene.store.commit(worker[0], [one], again=False)).lost == set()


@on_every_version
async def test_pieces_of_all_running_jobs_are_one_statement(scene: Scene) -> None:
    """Of whatever claims; the outcome brings the last piece, and who looks sees one text."""
    await scene.enqueue(3)
    worker = await scene.worker()
    jobs = [*await scene.pull(worker, 2), *await scene.pull(worker, 1)]
    before = len(scene.statements())
    await scene.store.store_running(worker, [Said(job, 0, "one\n") for job in jobs])
    (statement,) = scene.statements()[before:]
    assert (statement.name, statement.jobs) == ("store_running", 3)
    await end(scene, jobs[0], "two\n", 1)
    (log,) = await scene.jobs.logs(jobs[0].id) or ()
    assert (log.attempt, log.text) == (1, "one\ntwo\n")
    assert len(texts(scene)) == 4


async def test_a_piece_may_be_stored_again_and_longer(scene: Scene) -> None:
    """As it is when nobody knows whether the first try was stored."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    await scene.store.store_running(worker, [Said(job, 0, "on")])
    await scene.store.store_running(worker, [Said(job, 0, "one")])
    await end(scene, job, "one\ntwo", 0)
    assert texts(scene) == [(1, 0, "one\ntwo")]


async def test_a_flush_that_comes_late_or_twice_changes_nothing(scene: Scene) -> None:
    """As requests of agents may: neither does its piece come back nor do those after it go."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    for number, text in enumerate(("a", "b", "c")):
        await scene.store.store_running(worker, [Said(job, number, text)], number=number + 1)
    for late in (1, 2, 3):
        await scene.store.store_running(worker, [Said(job, 0, "late")], number=late)
    assert texts(scene) == [(1, 0, "a"), (1, 1, "b"), (1, 2, "c")]


async def test_who_has_lost_a_job_writes_nothing_about_it(scene: Scene) -> None:
    """Neither about the attempt that was taken away nor about the one that followed."""
    await scene.enqueue()
    old, new = await scene.worker(lease_s=0.01), await scene.worker()
    (lost,) = await scene.pull(old)
    await scene.silence(old)
    await scene.store.reap(claims_max=10, reaped_max=3)
    await scene.store.store_running(old, [Said(lost, 0, "too late")])
    (job,) = await scene.pull(new)
    await scene.store.store_running(new, [Said(job, 0, "mine")])
    await scene.store.store_running(old, [Said(job, 0, "not mine"), Said(lost, 0, "too late")])
    assert texts(scene) == [(2, 0, "mine")]


async def test_what_comes_after_the_outcome_is_dropped(scene: Scene) -> None:
    """An earlier flush that was on its way takes nothing back."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    await end(scene, job, "all of it", 0, Retried(JobError("Boom", "it broke"), 0.0))
    await scene.store.store_running(worker, [Said(job, 0, "all")])
    assert texts(scene) == [(1, 0, "all of it")]


async def test_a_flush_waits_for_a_commit_of_the_job(scene: Scene) -> None:
    """And then finds that the job is no longer there to write about."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    columns: Sequence[Sequence[object]] = ([job.id], [1], [], ['"done"'], [], [0.0], [1], [], [])
    with scene.under_way("commit", worker, [job.claim], *columns) as other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.store.store_running, worker, [Said(job, 0, "too late")])
            await scene.until_blocked()
            other.commit()
    assert texts(scene) == []


@pytest.mark.parametrize("live", [True, False])
async def test_a_run_that_begins_anew_leaves_nothing_of_the_one_before(
    scene: Scene,
    live: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """The log of an attempt is that of its last run, however that comes to be stored."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    await scene.store.store_running(worker, [Said(job, 0, "a")])
    await end(scene, job, "b", 1, Interrupted())
    (job,) = await scene.pull(worker)
    if live:
        await scene.store.store_running(worker, [Said(job, 0, "x")])
    await end(scene, job, "y", int(live))
    assert texts(scene) == ([(1, 0, "x"), (1, 1, "y")] if live else [(1, 0, "y")])
