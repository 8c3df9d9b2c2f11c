"""Labels are stored with the completion of their job, and ended jobs are found by them."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.model.options import JobOptions
from trioworker.model.outcome import Cancelled, Failed, JobError, Outcome, Retried, Succeeded

BOOM = JobError("Boom", "it broke")
SAID = JobOptions(labels=("b", "a"))


async def labels(scene: Scene, id_: UUID) -> Sequence[str]:
    """What the job is labelled with."""
    (state,) = await scene.jobs.states([id_])
    return state.labels


async def labelled(scene: Scene, label: str, **more: object) -> list[UUID]:
    """The jobs with that label, the newest first."""
    asked: dict[str, object] = {"state": None, "tag": None, "path": None, "before": None} | more
    found = await scene.jobs.newest(label=label, limit=10, **asked)  # type: ignore[arg-type]  # any of them
    return [state.id for state in found]


@on_every_version
@pytest.mark.parametrize("outcome", [Succeeded(b"1"), Failed(BOOM), Cancelled("no")], ids=str)
async def test_labels_come_with_the_end(scene: Scene, outcome: Outcome) -> None:
    """Those that were said of the job, and those it was given while it ran; each once."""
    (id_,) = await scene.enqueue(options=SAID)
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    assert await labels(scene, id_) == []
    end = msgspec.structs.replace(executed(job, outcome), labels=("c", "a"))
    await scene.store.commit(worker, [end], again=False)
    assert await labels(scene, id_) == ["a", "b", "c"]
    assert (await scene.store.commit(worker, [end], again=True)).lost == set()


async def test_an_attempt_that_another_follows_leaves_no_labels(scene: Scene) -> None:
    """They are of how the job ended."""
    (id_,) = await scene.enqueue()
    worker = await scene.worker()
    for outcome in (Retried(BOOM, 0.0), Succeeded(b"1")):
        (job,) = await scene.pull(worker)
        given = (f"attempt {job.attempt}",)
        end = msgspec.structs.replace(executed(job, outcome), labels=given)
        await scene.store.commit(worker, [end], again=False)
    assert await labels(scene, id_) == ["attempt 2"]


async def test_jobs_that_no_worker_ends_have_their_labels(scene: Scene) -> None:
    """Those that a sweep gives up, and those that are cancelled before they begin."""
    (lost,) = await scene.enqueue(options=SAID)
    worker = await scene.worker(lease_s=0.01)
    await scene.pull(worker)
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=0)
    (canceled,) = await scene.enqueue(options=SAID)
    await scene.jobs.cancel([canceled], "no")
    assert await labels(scene, lost) == await labels(scene, canceled) == ["a", "b"]


async def test_simple_jobs_cost_no_statement_more(scene: Scene) -> None:
    """A batch of labels is one statement, and none when there are none."""
    await scene.enqueue(3)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    before = len(scene.statements())
    await scene.store.commit(worker, [executed(jobs[0])], again=False)
    labelled = [msgspec.structs.replace(executed(job), labels=("x", "y")) for job in jobs[1:]]
    await scene.store.commit(worker, labelled, again=False)
    names = [run.name for run in scene.statements()[before:]]
    assert names == ["commit", "commit", "store_labels"]


@on_every_version
async def test_ended_jobs_are_found_by_label(scene: Scene) -> None:
    """The newest first, with what else is asked of them; not those that have not ended."""
    ids = await scene.enqueue(4, options=SAID)
    (other,) = await scene.enqueue(tag="t", options=JobOptions(labels=("b",)))
    worker = await scene.worker(tags=("default", "t"))
    jobs = await scene.pull(worker, tags=("default", "t"))
    outcomes = {ids[0]: Failed(BOOM)}
    batch = [executed(job, outcomes.get(job.id)) for job in jobs if job.id != ids[3]]
    await scene.store.commit(worker, batch, again=False)
    assert await labelled(scene, "b") == [other, ids[2], ids[1], ids[0]]
    assert await labelled(scene, "a") == [ids[2], ids[1], ids[0]]
    assert await labelled(scene, "a", state="success") == [ids[2], ids[1]]
    assert await labelled(scene, "a", state="failure") == [ids[0]]
    assert await labelled(scene, "a", state="running") == []
    assert await labelled(scene, "b", tag="t") == [other]
    assert await labelled(scene, "b", path="g") == []
    assert await labelled(scene, "b", before=ids[2]) == [ids[1], ids[0]]
    assert await labelled(scene, "c") == []
