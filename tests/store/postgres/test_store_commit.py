"""Committing on a real database: what is stored, what the fence keeps out, what a retry finds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.store.postgres.scene import Scene, executed, ids_of, on_every_version
from trioworker.errors import Refused
from trioworker.ids import new_id
from trioworker.model.job import Job
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
)

ERROR = JobError("Boom", "it broke", "a traceback")
OUTCOMES: dict[str, Outcome] = {
    "success": Succeeded(b'{"answer": 42}'),
    "failure": Failed(ERROR),
    "canceled": Cancelled("enough"),
    "skipped": Skipped("not needed"),
    "retried": Retried(ERROR, 60.0),
    "snoozed": Snoozed(120.0),
    "interrupted": Interrupted(),
}
GO_BACK = {"retried": (2, 60), "snoozed": (1, 120), "interrupted": (1, 0)}


@contextmanager
def listening(url: str, channel: str) -> Iterator[Callable[[], list[str]]]:
    """What was notified on `channel` since, asked for once."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("listen {}").format(Identifier(channel)))
        yield lambda: [n.payload for n in connection.notifies(timeout=0.1)]


@on_every_version
async def test_a_mixed_batch_is_stored_in_one_transaction(scene: Scene) -> None:
    """Each outcome has its own effect, whatever its neighbours are."""
    ids = dict(zip(OUTCOMES, await scene.enqueue(7), strict=True))
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    batch = [executed(job, o) for job, o in zip(jobs, OUTCOMES.values(), strict=True)]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()
    done = {
        status: (id_, result, error)
        for id_, status, result, error in scene.query(
            "select id, status, result, error from trioworker.job_completed"
            " where worker = %s and attempt = 1 and reaped = 0",
            worker,
        )
    }
    assert done == {
        "success": (ids["success"], {"answer": 42}, None),
        "failure": (ids["failure"], None, msgspec.to_builtins(ERROR)),
        "canceled": (ids["canceled"], None, {"name": "Cancelled", "message": "enough"}),
        "skipped": (ids["skipped"], None, {"name": "Skipped", "message": "not needed"}),
    }
    back = scene.query(
        "select id, attempt, tag, round(extract(epoch from scheduled_for - now()) / 10)::integer"
        " from trioworker.ready"
    )
    assert sorted(back) == sorted(
        (ids[name], attempt, "default", delay_s // 10)
        for name, (attempt, delay_s) in GO_BACK.items()
    )
    assert scene.places() == {"ready": 3, "completed": 4}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_a_batch_of_one_does_the_same(scene: Scene, outcome: Outcome) -> None:
    """Per job is the same statement with one outcome in it."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    assert (await scene.store.commit(worker, [executed(job, outcome)], again=False)).lost == set()
    goes_back = isinstance(outcome, Retried | Snoozed | Interrupted)
    assert scene.places() == ({"ready": 1} if goes_back else {"completed": 1})


def another_attempt(job: Job) -> Job:
    """The job as if this were its next attempt."""
    return msgspec.structs.replace(job, attempt=job.attempt + 1)


def another_job(job: Job) -> Job:
    """A job that is not in the claim."""
    return msgspec.structs.replace(job, id=new_id())


@pytest.mark.parametrize("changed", [another_attempt, another_job])
@pytest.mark.parametrize("again", [False, True])
async def test_each_part_of_the_fence_holds_alone(
    scene: Scene,
    changed: Callable[[Job], Job],
    again: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A wrong attempt or id: not stored, told by id, and the rest of the batch is."""
    await scene.enqueue(3)
    worker = await scene.worker()
    first, wrong, last = await scene.pull(worker)
    wrong = changed(wrong)
    batch = [executed(first), executed(wrong), executed(last)]
    assert (await scene.store.commit(worker, batch, again=again)).lost == {wrong.id}
    assert scene.places() == {"claimed": 1, "completed": 2}


async def test_outcomes_of_a_claim_that_is_gone_are_not_stored(scene: Scene) -> None:
    """The claim that an outcome came with must still be there, whatever else the worker holds."""
    await scene.enqueue(2)
    worker = await scene.worker()
    batch = [
        executed(msgspec.structs.replace(job, claim=new_id())) for job in await scene.pull(worker)
    ]
    assert (await scene.store.commit(worker, batch, again=True)).lost == {e.job.id for e in batch}
    assert scene.places() == {"claimed": 2}


async def test_another_workers_claim_is_out_of_reach(scene: Scene) -> None:
    """Who does not hold the claim stores nothing of it, and changes nothing."""
    await scene.enqueue(3)
    holder, other = await scene.worker(), await scene.worker()
    jobs = await scene.pull(holder)
    batch = [executed(job) for job in jobs]
    assert (await scene.store.commit(other, batch, again=True)).lost == set(ids_of(jobs))
    assert scene.places() == {"claimed": 3}
    assert (await scene.store.commit(holder, batch, again=False)).lost == set()


@on_every_version
async def test_a_late_commit_after_the_lease_stores_nothing(scene: Scene) -> None:
    """Jobs that were reaped and run by another are never stored by the first, nor overwritten."""
    await scene.enqueue(2)
    slow, quick = await scene.worker(lease_s=0.01), await scene.worker()
    late = [executed(job, Succeeded(b'"late"')) for job in await scene.pull(slow)]
    await scene.silence(slow)
    await scene.store.reap(claims_max=10, reaped_max=3)
    for_quick = await scene.pull(quick)
    assert (await scene.store.commit(slow, late, again=True)).lost == {e.job.id for e in late}
    await scene.store.commit(quick, [executed(job) for job in for_quick], again=False)
    assert (await scene.store.commit(slow, late, again=True)).lost == {e.job.id for e in late}
    assert (
        scene.query("select result, worker, attempt from trioworker.job_completed")
        == [("done", quick, 2)] * 2
    )


@on_every_version
async def test_a_claim_shrinks_until_its_last_job_is_stored(scene: Scene) -> None:
    """What still runs stays claimed, in its order; the claim ends with its last job."""
    await scene.enqueue(4)
    scene.do("update trioworker.ready set attempt = 2, reaped = 1")
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    for stored in (1, 3):
        before = scene.query("select ids from trioworker.claim")[0][0]
        await scene.store.commit(worker, [executed(jobs[stored])], again=False)
        after = scene.query("select ids, attempts, reaped from trioworker.claim")[0]
        left = [id_ for id_ in before if id_ != jobs[stored].id]
        assert after == (left, [2] * len(left), [1] * len(left))
    await scene.store.commit(worker, [executed(jobs[0]), executed(jobs[2])], again=False)
    assert scene.places() == {"completed": 4}
    assert scene.query("select count(*) from trioworker.claim") == [(0,)]


async def test_one_commit_may_concern_several_claims(scene: Scene) -> None:
    """Outcomes of several pulls travel together; each claim loses its own."""
    await scene.enqueue(6)
    worker = await scene.worker()
    pulls = [await scene.pull(worker, 2) for _ in range(3)]
    batch = [executed(pulls[0][0]), *map(executed, pulls[1]), executed(pulls[2][1])]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()
    left = scene.query("select ids from trioworker.claim order by id")
    assert left == [([pulls[0][1].id],), ([pulls[2][0].id],)]


@on_every_version
async def test_a_repeated_commit_finds_what_is_stored(scene: Scene) -> None:
    """After a lost reply the same batch again stores nothing twice and misses nothing."""
    await scene.enqueue(3, awaited=True)
    worker = await scene.worker()
    batch = [executed(job, log="said") for job in await scene.pull(worker)]
    await scene.store.commit(worker, batch[:2], again=False)
    with listening(scene.url, "trioworker_done") as heard:
        assert (await scene.store.commit(worker, batch, again=True)).lost == set()
        assert heard() == [str(batch[2].job.id)]
    assert scene.places() == {"completed": 3}
    everything = {e.job.id for e in batch}
    assert (await scene.store.commit(worker, batch, again=False)).lost == everything
    assert scene.query("select count(*) from trioworker.job_log") == [(3,)]


async def test_what_a_sweep_gave_up_is_not_found_as_stored(scene: Scene) -> None:
    """A job given up carries this worker and this attempt, but its outcome is lost."""
    await scene.enqueue()
    worker = await scene.worker(lease_s=0.01)
    batch = [executed(job) for job in await scene.pull(worker)]
    await scene.silence(worker)
    reaped = await scene.store.reap(claims_max=10, reaped_max=0)
    assert reaped.failed == [batch[0].job.id]
    assert (await scene.store.commit(worker, batch, again=True)).lost == {batch[0].job.id}


@on_every_version
async def test_a_stored_retry_is_found_in_the_history(scene: Scene) -> None:
    """Repeated, it counts as stored and nothing happens twice, whoever has the next attempt."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    batch = [executed(job, Retried(ERROR, 0.0))]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()
    assert (await scene.store.commit(worker, batch, again=True)).lost == set()
    assert scene.query("select attempt from trioworker.ready") == [(2,)]
    other = await scene.worker()
    (next_attempt,) = await scene.pull(other)
    assert (await scene.store.commit(worker, batch, again=True)).lost == set()
    assert (await scene.store.commit(worker, [executed(next_attempt)], again=True)).lost == {job.id}
    assert scene.places() == {"claimed": 1}


async def test_what_went_back_uncharged_is_not_found_as_stored(scene: Scene) -> None:
    """A repeated snooze is lost, not repeated: the same attempt may be another worker's now."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    batch = [executed(job, Snoozed(0.0))]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()
    assert (await scene.store.commit(worker, batch, again=True)).lost == {job.id}
    assert scene.query("select attempt from trioworker.ready") == [(1,)]


async def test_logs_are_stored_with_the_outcome_only(scene: Scene) -> None:
    """A log is stored if and only if its outcome is; each attempt keeps its own."""
    first, second = await scene.enqueue(2)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    lost = executed(another_attempt(jobs[1]), log="never")
    batch = [executed(jobs[0], Retried(ERROR, 0.0), log="one\n"), lost]
    assert (await scene.store.commit(worker, batch, again=False)).lost == {second}
    (again,) = await scene.pull(worker)
    await scene.store.commit(worker, [executed(again, log="two\n")], again=False)
    logs = scene.query("select id, attempt, text from trioworker.job_log order by attempt")
    assert logs == [(first, 1, "one\n"), (first, 2, "two\n")]


async def test_those_who_wait_are_told_once_it_is_stored(scene: Scene) -> None:
    """A NOTIFY goes out for awaited jobs whose outcome is stored, and for no other."""
    (awaited,) = await scene.enqueue(awaited=True)
    (lost,) = await scene.enqueue(awaited=True)
    await scene.enqueue()
    worker = await scene.worker()
    jobs = {job.id: job for job in await scene.pull(worker)}
    jobs[lost] = another_attempt(jobs[lost])
    with listening(scene.url, "trioworker_done") as heard:
        batch = [executed(job) for job in jobs.values()]
        assert (await scene.store.commit(worker, batch, again=False)).lost == {lost}
        assert heard() == [str(awaited)]


@on_every_version
async def test_a_refused_value_leaves_everything_as_it_was(scene: Scene) -> None:
    """All or nothing: with one refused result nothing is stored and the claim is whole."""
    await scene.enqueue(3)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    for poison in (b'"\\u0000"', b"1" + b"0" * 200_000, b'"\xff"', b'"\\ud800"', b"not json"):
        batch = [executed(jobs[0], log="x"), executed(jobs[1], Succeeded(poison))]
        with pytest.raises(Refused):
            await scene.store.commit(worker, batch, again=False)
        assert scene.places() == {"claimed": 3}
    assert scene.query("select count(*) from trioworker.job_log") == [(0,)]
    assert (await scene.store.commit(worker, [executed(j) for j in jobs], again=True)).lost == set()


async def test_a_plain_batch_is_a_single_statement(scene: Scene) -> None:
    """Without logs, waiters and earlier tries a batch costs one round trip."""
    await scene.enqueue(5)
    worker = await scene.worker()
    batch = [executed(job) for job in await scene.pull(worker)]
    before = len(scene.statements())
    await scene.store.commit(worker, batch, again=False)
    (statement,) = scene.statements()[before:]
    assert (statement.name, statement.lane, statement.jobs) == ("commit", "commit", 5)


async def test_times_are_by_the_databases_clock(scene: Scene) -> None:
    """started_at is the commit's time less the age of the start; the duration is in ms."""
    await scene.enqueue()
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    await scene.store.commit(worker, [executed(job)], again=False)
    (row,) = scene.query(
        "select duration_ms, extract(epoch from completed_at - started_at)::float8,"
        " now() - completed_at < interval '5 seconds' from trioworker.job_completed"
    )
    assert row == (500, pytest.approx(0.5, abs=0.3), True)
