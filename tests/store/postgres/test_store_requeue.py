"""Jobs that have failed go back to ready as further attempts, with their history."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import pytest

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.ids import new_id
from trioworker.model.options import Debounce, Handler, JobOptions, Limit, Unique
from trioworker.model.outcome import Cancelled, Failed, JobError, Outcome, Succeeded

BOOM = Failed(JobError("Boom", "it broke"))


async def end(
    scene: Scene,
    outcome: Outcome = BOOM,
    count: int = 1,
    options: JobOptions | None = None,
    tag: str = "default",
) -> list[UUID]:
    """So many jobs that a worker ended so, with all that can be stored with an end."""
    said = options or JobOptions(labels=("a",), delete_after_s=60.0)
    ids = await scene.enqueue(count, options=said, tag=tag)
    worker = await scene.worker(tags=(tag,))
    batch = [executed(job, outcome) for job in await scene.pull(worker, tags=(tag,))]
    await scene.store.commit(worker, batch, again=False)
    return ids


async def dead_letters(scene: Scene, **said: object) -> Sequence[UUID]:
    """All that fit."""
    asked: dict[str, object] = {"state": "failure", "path": None, "tag": None, "since": None}
    found = scene.jobs.dead_letters(**(asked | said))  # type: ignore[arg-type]  # any of them
    return [id_ async for ids in found for id_ in ids]


@on_every_version
@pytest.mark.parametrize("outcome", [BOOM, Cancelled("no")], ids=str)
async def test_a_retried_job_is_ready_and_keeps_its_history(scene: Scene, outcome: Outcome) -> None:
    """What its end had stored is gone; the next attempt has the next number."""
    (id_,) = await end(scene, outcome)
    scene.do("insert into trioworker.cancel_request (id, reason) values (%s, 'no')", id_)
    assert await scene.jobs.requeue([id_, new_id()]) == msgspec.structs.replace(
        await scene.jobs.requeue([]), ready=[id_]
    )
    assert scene.places() == {"ready": 1}
    for table in ("job_label", "expiry", "cancel_request"):
        assert scene.query(f"select count(*) from trioworker.{table}") == [(0,)]  # noqa: S608 - ours
    attempts = await scene.jobs.attempts(id_)
    assert attempts is not None
    assert [(one.attempt, one.error.name, one.duration_ms) for one in attempts] == [
        (1, "Boom" if outcome is BOOM else "Cancelled", 500)
    ]
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    assert (job.id, job.attempt) == (id_, 2)
    assert (await scene.store.commit(worker, [executed(job)], again=False)).lost == set()
    assert scene.query("select status, attempt from trioworker.job_completed") == [("success", 2)]


async def test_only_what_ended_without_success_is_retried(scene: Scene) -> None:
    """What succeeded, waits or runs is left as it is."""
    (done,) = await end(scene, Succeeded(b"1"))
    waiting, running = await scene.enqueue(2)
    worker = await scene.worker()
    await scene.pull(worker, size=1)
    before = scene.places()
    assert (await scene.jobs.requeue([done, waiting, running])).ready == []
    assert scene.places() == before


async def test_a_job_that_was_given_up_is_claimed_alone(scene: Scene) -> None:
    """It may take its next worker with it, too, but no neighbours."""
    (id_,) = await scene.enqueue()
    for _ in range(3):
        worker = await scene.worker(lease_s=0.01)
        await scene.pull(worker)
        await scene.silence(worker)
        await scene.store.reap(claims_max=10, reaped_max=2)
    assert (await scene.jobs.requeue([id_])).ready == [id_]
    await scene.enqueue()
    found = [await scene.pull(await scene.worker(), alone_from=2) for _ in range(2)]
    assert [len(jobs) for jobs in found] == [1, 1]


async def test_the_success_of_a_job_that_was_given_up_is_a_recovery(scene: Scene) -> None:
    """Its handler was told that it had failed, though no attempt of it had an outcome."""
    options = JobOptions(on_error=Handler("tell"), on_recovery=Handler("relax"))
    (id_,) = await scene.enqueue(options=options)
    for _ in range(2):
        worker = await scene.worker(lease_s=0.01)
        await scene.pull(worker)
        await scene.silence(worker)
        await scene.store.reap(claims_max=10, reaped_max=1)
    told = "select path from trioworker.job where path <> 'f' order by id"
    assert scene.query(told) == [("tell",)]
    await scene.jobs.requeue([id_])
    worker = await scene.worker()
    for job in [*await scene.pull(worker), *await scene.pull(worker)]:
        await scene.store.commit(worker, [executed(job)], again=False)
    assert scene.query(told) == [("tell",), ("relax",)]


async def test_a_limited_job_waits_for_its_slot(scene: Scene) -> None:
    """As many as there are slots for are ready, the others wait."""
    ids = await end(scene, count=1, options=JobOptions(limit=Limit(1, "k")))
    ids += await end(scene, count=1, options=JobOptions(limit=Limit(1, "k")))
    assert (await scene.jobs.requeue(ids)).ready == sorted(ids)
    assert scene.places() == {"ready": 1, "waiting": 1}
    assert scene.query("select count(*) from trioworker.slot") == [(1,)]


@pytest.mark.parametrize("during", ["unfinished", "queued"])
async def test_a_unique_job_is_kept_out_while_another_has_its_key(
    scene: Scene, during: str
) -> None:
    """It may have the key back once nobody holds it, and then keeps others out."""
    options = JobOptions(unique=Unique("u", during=during))  # type: ignore[arg-type]  # one of them
    first, *_ = await end(scene, options=options)
    second, *_ = await scene.enqueue(options=options)
    found = await scene.jobs.requeue([first])
    assert (found.ready, found.kept_out) == ([], {first: second})
    await scene.jobs.cancel([second], "no")
    found = await scene.jobs.requeue([first, second])
    assert (found.ready, found.kept_out) == ([first], {second: first})
    await scene.enqueue(options=options)
    assert scene.places() == {"ready": 1, "completed": 1}


async def test_a_debounced_job_is_retried_whoever_comes_after_it(scene: Scene) -> None:
    """It is a further attempt, not another request."""
    options = JobOptions(debounce=Debounce(0.001, "d"))
    (first,) = await scene.enqueue(options=options)
    await scene.jobs.cancel([first], "no")
    await scene.enqueue(options=options)
    assert (await scene.jobs.requeue([first])).ready == [first]


async def test_its_next_end_has_all_effects_again(scene: Scene) -> None:
    """A handler for each end; after a failure that was told, the success is a recovery."""
    options = JobOptions(on_error=Handler("tell"), on_recovery=Handler("relax"))
    (id_,) = await end(scene, options=options)
    for outcome in (BOOM, Succeeded(b"1")):
        await scene.jobs.requeue([id_])
        worker = await scene.worker()
        (job,) = [job for job in await scene.pull(worker) if job.id == id_]
        await scene.store.commit(worker, [executed(job, outcome)], again=False)
    paths = "select path from trioworker.job where path <> 'f' order by path"
    assert scene.query(paths) == [("relax",), ("tell",), ("tell",)]


async def test_workers_are_told(scene: Scene) -> None:
    """A hint for each tag, as for jobs that are new."""
    ids = await end(scene, tag="a") + await end(scene, tag="b")
    before = len(scene.statements())
    await scene.jobs.requeue(ids)
    assert [run.name for run in scene.statements()[before:]].count("notify_ready") == 1


@on_every_version
async def test_dead_letters_are_found(scene: Scene) -> None:
    """By how, of what, with which tag and since when they ended; in order."""
    failed = await end(scene, count=3)
    (canceled,) = await end(scene, Cancelled("no"))
    (tagged,) = await end(scene, tag="t")
    await end(scene, Succeeded(b"1"))
    assert await dead_letters(scene) == [*failed, tagged]
    assert await dead_letters(scene, state="canceled") == [canceled]
    assert await dead_letters(scene, tag="t") == [tagged]
    assert await dead_letters(scene, path="f", tag="default") == failed
    assert await dead_letters(scene, path="g") == []
    ((since,),) = scene.query(
        "select completed_at from trioworker.job_completed where id = %s", tagged
    )
    assert isinstance(since, datetime)
    assert await dead_letters(scene, since=since) == [tagged]


async def test_many_dead_letters_come_in_parts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that fail again while they are looked up do not come twice."""
    monkeypatch.setattr("trioworker.store.postgres.jobs.REQUEUED_AT_ONCE_MAX", 2)
    ids = await end(scene, count=5)
    parts = []
    asked = scene.jobs.dead_letters(state="failure", path=None, tag=None, since=None)
    worker = await scene.worker()
    async for part in asked:
        parts.append(part)
        await scene.jobs.requeue(part)
        batch = [executed(job, BOOM) for job in await scene.pull(worker)]
        await scene.store.commit(worker, batch, again=False)
    assert parts == [ids[:2], ids[2:4], ids[4:]]


@on_every_version
async def test_one_whose_options_cannot_be_used_gets_its_slot(scene: Scene) -> None:
    """What it says of its limit can be read all the same, so it does not wait in line for ever."""
    (id_,) = await end(scene, options=JobOptions(limit=Limit(1, "k")))
    broken = """update trioworker.job set options = options || '{"timeout_s": -1}' where id = %s"""
    scene.do(broken, id_)
    await scene.jobs.requeue([id_])
    assert scene.places() == {"ready": 1}
