"""Ended jobs are deleted when their time has come, with all that belongs to them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.ids import IdMaker, new_id
from trioworker.model.job import NewJob
from trioworker.model.options import NO_OPTIONS, JobOptions
from trioworker.model.outcome import JobError, Retried
from trioworker.model.progress import Progress

TABLES = (
    "job", "job_completed", "job_log", "job_attempt", "job_label", "job_progress", "expiry",
)  # fmt: skip
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


def left(scene: Scene) -> dict[str, int]:
    """How many jobs each table knows, those left out that know none."""
    counts = {
        table: scene.query(f"select count(distinct id) from trioworker.{table}")[0][0]  # noqa: S608 - our own names
        for table in TABLES
    }
    return {table: count for table, count in counts.items() if count}


async def end(
    scene: Scene, count: int = 1, *, days: float = 0.0, options: JobOptions = NO_OPTIONS
) -> list[UUID]:
    """So many jobs that ended, with their second attempt, so many days after 1 January 2020."""
    moment = BEGINNING + timedelta(days=days)
    make_id = IdMaker(now_ms=lambda: int(moment.timestamp() * 1000))
    ids = [make_id() for _ in range(count)]
    await scene.jobs.enqueue([new_job(id_, options) for id_ in ids])
    worker = await scene.worker()
    for outcome in (Retried(JobError("Boom", "it broke"), 0.0), None):
        batch = [
            msgspec.structs.replace(
                executed(job, outcome, log="text"), labels=("a",), progress=Progress(0.5)
            )
            for job in await scene.pull(worker)
        ]
        await scene.store.commit(worker, batch, again=False)
    ended_at(scene, moment, ids)
    return ids


def new_job(id_: UUID, options: JobOptions = NO_OPTIONS) -> NewJob:
    """A job with that id."""
    return NewJob(id=id_, kind="function", path="f", args=b"{}", options=options)


def ended_at(scene: Scene, moment: datetime, ids: Sequence[UUID]) -> None:
    """Let the jobs have ended then."""
    scene.do(
        "update trioworker.job_completed set completed_at = %s where id = any (%s)", moment, ids
    )


def older_s(scene: Scene, days: float) -> float:
    """What is asked to delete that ended more than so many days before `BEGINNING`, or after."""
    ((now,),) = scene.query("select now()")
    return float((now - BEGINNING).total_seconds() - days * 86_400.0)


@on_every_version
async def test_a_job_is_deleted_some_time_after_its_end(scene: Scene) -> None:
    """Not before; then with its log, labels, attempts, progress, and what was asked."""
    await end(scene, options=JobOptions(delete_after_s=3600.0))
    await end(scene)
    assert left(scene) == {**dict.fromkeys(TABLES, 2), "expiry": 1}
    assert not await scene.store.delete_ended(older_s=None)
    assert left(scene)["job"] == 2
    scene.do("update trioworker.expiry set at = now()")
    await scene.store.delete_ended(older_s=None)
    assert left(scene) == {**dict.fromkeys(TABLES[:-1], 1)}


async def test_a_job_that_no_worker_ends_is_deleted_as_well(scene: Scene) -> None:
    """One that is cancelled before it begins, for instance."""
    (id_,) = await scene.enqueue(options=JobOptions(delete_after_s=0.0))
    await scene.jobs.cancel([id_], "no")
    await scene.store.delete_ended(older_s=None)
    assert left(scene) == {}


@on_every_version
async def test_the_oldest_jobs_are_deleted_first(scene: Scene) -> None:
    """Those that ended before the bound, in bounded batches; a younger one is kept."""
    ids = [(await end(scene, days=days))[0] for days in (3, 1, 2, 9)]
    rows = await scene.database.run("control", "old_jobs", 2, older_s(scene, 5))
    assert [row[0] for row in rows] == [ids[1], ids[2]]
    await scene.database.run("control", "delete_jobs", [row[0] for row in rows])
    assert left(scene) == dict.fromkeys(TABLES[:-1], 2)
    assert not await scene.store.delete_ended(older_s=older_s(scene, 5))
    assert scene.query("select id from trioworker.job") == [(ids[3],)]


async def test_ids_that_say_nothing_of_their_age_are_no_obstacle(scene: Scene) -> None:
    """A job with an id of its maker's is deleted by the time of its end."""
    old, young = uuid4(), uuid4()
    await scene.jobs.enqueue([new_job(old), new_job(young)])
    await scene.jobs.cancel([old, young], "no")
    ended_at(scene, BEGINNING, [old])
    await scene.store.delete_ended(older_s=older_s(scene, 5))
    assert scene.query("select id from trioworker.job") == [(young,)]


async def test_a_long_wait_is_no_age(scene: Scene) -> None:
    """A job that was made long ago and ended just now is kept."""
    ids = await end(scene)
    ended_at(scene, BEGINNING + timedelta(days=9), ids)
    await scene.store.delete_ended(older_s=older_s(scene, 5))
    assert left(scene)["job"] == 1


async def test_jobs_that_have_not_ended_stay(scene: Scene) -> None:
    """However old they are, and whatever a row by hand says of them."""
    old = UUID(int=(7 << 76) | (2 << 62) | 1)
    await scene.jobs.enqueue([new_job(old)])
    scene.do("insert into trioworker.expiry (id, at) values (%s, now())", old)
    await scene.store.delete_ended(older_s=1.0)
    assert left(scene) == {"job": 1}


@on_every_version
async def test_what_a_job_that_goes_on_may_ask_for_stays(scene: Scene) -> None:
    """Ended children of an unfinished job, whichever sweep would take them, until it has ended."""
    (parent, other) = await scene.enqueue(2)
    children = [new_id(), uuid4(), new_id()]
    soon = JobOptions(delete_after_s=0.0)
    options = [NO_OPTIONS, NO_OPTIONS, soon]
    await scene.jobs.enqueue(
        [
            msgspec.structs.replace(new_job(id_, given), parent=parent)
            for id_, given in zip(children, options, strict=True)
        ]
    )
    orphan = msgspec.structs.replace(new_job(new_id(), soon), parent=new_id())
    await scene.jobs.enqueue([orphan])
    await scene.jobs.cancel([*children, orphan.id, other], "no")
    await scene.store.delete_ended(older_s=0.0)
    found = {row[0] for row in scene.query("select id from trioworker.job")}
    assert found == {parent, *children}
    await scene.jobs.cancel([parent], "no")
    await scene.store.delete_ended(older_s=0.0)
    assert left(scene) == {}


async def test_two_sweeps_delete_different_jobs(scene: Scene) -> None:
    """What another one has in hand is passed over, nobody waits."""
    await end(scene, 4, options=JobOptions(delete_after_s=0.0))
    with scene.under_way("expired_jobs", 3):
        await scene.store.delete_ended(older_s=None)
        assert left(scene)["job"] == 3
    await scene.store.delete_ended(older_s=None)
    assert left(scene) == {}


async def test_requests_to_cancel_jobs_that_are_gone_are_forgotten(scene: Scene) -> None:
    """Nobody would ever ask for them."""
    scene.do("insert into trioworker.cancel_request (id, reason) values (%s, 'no')", new_id())
    await scene.store.tidy()
    assert scene.query("select * from trioworker.cancel_request") == []
