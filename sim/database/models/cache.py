"""Results that equal jobs take: cached_results, store_results, forget_results."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sim.database.models import Rows, Statement, models
from sim.database.rows import ResultRow
from sim.database.values import later


@models("cached_results")
async def cached_results(s: Statement, keys: Sequence[str]) -> Rows:
    """The results that are kept under the keys."""
    found = [row for key in keys if (row := s.find(s.tables.result_cache, key)) is not None]
    return s.shuffled(
        [(row.key, row.job, (s.now - row.stored_at).total_seconds(), row.result) for row in found]
    )


@models("store_results")
async def store_results(
    s: Statement,
    keys: Sequence[str],
    jobs: Sequence[UUID],
    results: Sequence[str],
    ttls_s: Sequence[float],
) -> Rows:
    """Keeps results for equal jobs, in the order of their keys."""
    for key, job, result, ttl_s in sorted(zip(keys, jobs, results, ttls_s, strict=True)):
        row = ResultRow(
            key=key, job=job, result=result, stored_at=s.now, expires_at=later(s.now, ttl_s)
        )
        await s.insert(s.tables.result_cache, row, on_conflict=partial(_new, row))
    return []


def _new(new: ResultRow, _old: ResultRow) -> ResultRow:
    return new


@models("forget_results")
async def forget_results(s: Statement, limit: int) -> Rows:
    """Deletes results whose time is over."""

    def over(row: ResultRow) -> bool:
        return row.expires_at < s.now

    gone: list[ResultRow] = []
    found = s.shuffled(list(filter(over, s.rows(s.tables.result_cache))))
    for row in sorted(found, key=lambda row: row.expires_at):
        if len(gone) == limit:
            break
        locked = await s.lock(s.tables.result_cache, row.key, still=over, skip_locked=True)
        if locked is not None:
            gone.append(locked)
    for row in gone:
        await s.delete(s.tables.result_cache, row.key)
    return s.shuffled([(row.key,) for row in gone])
