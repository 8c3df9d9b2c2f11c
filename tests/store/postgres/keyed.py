"""Jobs with keys, and what tests look at when they have enqueued some."""

from uuid import UUID

from tests.store.postgres.scene import Scene, executed
from trioworker.ids import new_id
from trioworker.model.job import NewJob
from trioworker.model.options import Debounce, JobOptions, Limit, OnConflict, Unique, UniqueWhile


def unique_job(
    key: str = "k",
    during: UniqueWhile = "unfinished",
    on_conflict: OnConflict = "keep",
    *,
    period_s: float | None = None,
    limit: Limit | None = None,
    id_: UUID | None = None,
    awaited: bool = False,
) -> NewJob:
    """A job with a unique key."""
    unique = Unique(key, during, period_s, on_conflict)
    options = JobOptions(unique=unique, limit=limit)
    return job_with(options, id_=id_, awaited=awaited)


def debounced_job(key: str = "k", delay_s: float = 60, max_wait_s: float | None = None) -> NewJob:
    """A job of those with the key of which only the last is run."""
    return job_with(JobOptions(debounce=Debounce(delay_s, key, max_wait_s)))


def job_with(options: JobOptions, *, id_: UUID | None = None, awaited: bool = False) -> NewJob:
    """A function job with these options."""
    return NewJob(
        id=id_ or new_id(), kind="function", path="f", args=b"{}", options=options, awaited=awaited
    )


async def enqueue(scene: Scene, *jobs: NewJob) -> list[UUID]:
    """Enqueue them in one call; for each the id that its enqueue comes to."""
    placed = await scene.jobs.enqueue(jobs)
    assert placed.new | placed.first.keys() <= {job.id for job in jobs}
    return [placed.first.get(job.id, job.id) for job in jobs]


def stored(scene: Scene) -> set[UUID]:
    """The ids of all jobs there are."""
    return {row[0] for row in scene.query("select id from trioworker.job")}


def ends(scene: Scene) -> dict[UUID, tuple[str, str]]:
    """How jobs without success ended."""
    rows = scene.query(
        "select id, status, error ->> 'message' from trioworker.job_completed"
        " where status <> 'success'"
    )
    return {id_: (status, message) for id_, status, message in rows}


def pass_time(scene: Scene, seconds: float) -> None:
    """Let all that is known of keys be so much longer ago."""
    scene.do(
        "update trioworker.unique_key set look_at = look_at - %(s)s, until = until - %(s)s,"
        " first_at = first_at - %(s)s".replace("%(s)s", f"interval '{seconds} s'")
    )


async def pull_one(scene: Scene) -> UUID:
    """A worker that has just claimed what is ready."""
    worker = await scene.worker()
    assert await scene.pull(worker)
    return worker


async def finish(scene: Scene) -> None:
    """Let a worker take all that is ready, and succeed."""
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    await scene.store.commit(worker, [executed(job) for job in jobs], again=False)


def due_s(scene: Scene) -> dict[UUID, int]:
    """In how many seconds, to tens, which job is due."""
    rows = scene.query(
        "select id, round(extract(epoch from scheduled_for - now()) / 10) * 10"
        " from trioworker.ready"
    )
    return {id_: int(seconds) for id_, seconds in rows}
