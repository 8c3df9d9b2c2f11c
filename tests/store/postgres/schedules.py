"""Schedules on a scene: declared, due when a test says so, and looked at."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tests.store.postgres.scene import Scene, executed
from trioworker.model.job import Job
from trioworker.model.outcome import JobError, Outcome
from trioworker.model.schedule import Schedule
from trioworker.model.ticks import Timing
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.schedules import Found

RARELY: Final = timedelta(days=3650)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
BOOM: Final = JobError("Boom", "it broke")


def rare(name: str = "s", **said: Any) -> Schedule:  # noqa: ANN401 - any of its fields
    """A schedule whose next tick is years away."""
    timing = Timing(every_s=RARELY.total_seconds())
    fields: dict[str, Any] = {"name": name, "path": "f", "timing": timing} | said
    return Schedule(**fields)


def admin(scene: Scene) -> PostgresSchedules:
    """What people do with schedules, on the database of the scene."""
    return PostgresSchedules(scene.database, CLIENT)


async def declare(scene: Scene, *schedules: Schedule) -> None:
    """Make the schedules be as said."""
    await admin(scene).declare({schedule.name: schedule for schedule in schedules})


async def found(scene: Scene, name: str = "s") -> Found:
    """The schedule as it is stored."""
    (one,) = await admin(scene).look([name], 10)
    return one


async def ticked(scene: Scene, size: int = 100) -> tuple[UUID, Sequence[Job]]:
    """Let every tick that waits be due, and a worker pull them."""
    scene.do("update trioworker.ready set scheduled_for = now() - interval '1 second'")
    worker = await scene.worker(lease_s=0.01)
    return worker, await scene.pull(worker, size)


async def commit(scene: Scene, *outcomes: Outcome) -> None:
    """Let the ticks that wait be run, and end so."""
    worker, jobs = await ticked(scene)
    batch = [executed(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()


def ticks(scene: Scene) -> list[tuple[str, datetime]]:
    """The schedules and ticks of the jobs in ready, in order."""
    rows = scene.query(
        "select job.options ->> 'schedule', (job.options ->> 'tick')::timestamptz"
        " from trioworker.job where id in (select id from trioworker.ready) order by 1, 2"
    )
    return [(name, tick.astimezone(UTC)) for name, tick in rows]


def coming(number: int = 1) -> datetime:
    """The first tick of a rare schedule from now, or the second."""
    return EPOCH + ((datetime.now(UTC) - EPOCH) // RARELY + number) * RARELY
