"""What a commit stores besides its jobs' own rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sim.database.models import Rows, Statement, models
from sim.database.rows import AttemptRow
from sim.database.values import later


@models("store_attempts")
async def store_attempts(s: Statement, worker: UUID | None, *columns: Sequence[Any]) -> Rows:
    """Keeps failed attempts."""
    for id_, attempt, error, age_s, duration_ms in zip(*columns, strict=True):
        row = AttemptRow(
            id=id_,
            attempt=attempt,
            error=error,
            worker=worker,
            started_at=later(s.now, -age_s),
            duration_ms=duration_ms,
        )
        await s.insert(s.tables.job_attempt, row, do_nothing=True)
    return []
