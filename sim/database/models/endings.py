"""What is stored with the end of a job, and what becomes of ended jobs."""

from collections.abc import Sequence
from uuid import UUID

from sim.database.models import Rows, Statement, models


@models("job_origins")
async def job_origins(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Which job each of the jobs belongs to, and who enqueued it."""
    jobs = [s.find(s.tables.job, id_) for id_ in set(ids)]
    return s.shuffled([(job.id, job.parent, job.created_by) for job in jobs if job is not None])
