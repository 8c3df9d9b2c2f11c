"""Results that equal jobs take over: which jobs are equal, and how old a result may be.

Rule of this file: pure. Equal are jobs of the same kind, path and language with the same arguments,
as the database writes them: the order of names does not matter. How old a result may be is for the
job to say that asks for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID

from trioworker.model.job import Job
from trioworker.model.outcome import Executed, Succeeded

CACHED_BYTES_MAX: Final = 1024 * 1024
"""A larger result is not kept for others."""


class CachedResult(NamedTuple):
    """A result that is kept: which job's it is, and how old. `result` is JSON."""

    job: UUID
    age_s: float
    result: bytes


class Results(NamedTuple):
    """Results to be kept, in the order of the statement's parameters; each key once, in order."""

    keys: Sequence[str]
    jobs: Sequence[UUID]
    results: Sequence[str]
    ttls_s: Sequence[float]


def result_key(job: Job) -> str:
    """What all jobs have in common that are equal to this one."""
    parts = (job.kind, job.path, job.options.language or "", job.args)
    digest = blake2b(digest_size=24)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()


def asks(job: Job) -> bool:
    """Whether the job takes the result of an equal one."""
    return job.options.cache_ttl_s is not None


def hits(
    jobs: Iterable[Job], found: Mapping[str, CachedResult], *, now_s: float
) -> Sequence[Executed]:
    """The ends of those `jobs` for which a result was found that is not too old.

    `now_s` is the worker's monotonic clock.
    """
    ends = []
    for job in jobs:
        cached, ttl_s = found.get(result_key(job)), job.options.cache_ttl_s
        if cached is None or ttl_s is None or cached.age_s > ttl_s:
            continue
        log = f"from the cache: the result of job {cached.job}, {cached.age_s:.0f} s old\n"
        ends.append(Executed(job, Succeeded(cached.result), now_s, 0.0, log, cached=True))
    return ends


def results(batch: Iterable[Executed]) -> Results | None:
    """What of a batch is kept for others: of equal jobs the last result, and none twice over.

    What came from the cache is not kept again: it would never grow old.
    """
    rows: dict[str, tuple[str, UUID, str, float]] = {}
    for executed in batch:
        job, outcome = executed.job, executed.outcome
        ttl_s = job.options.cache_ttl_s
        if ttl_s is None or executed.cached or not isinstance(outcome, Succeeded):
            continue
        if len(outcome.result) <= CACHED_BYTES_MAX:
            key = result_key(job)
            rows[key] = (key, job.id, outcome.result.decode(), ttl_s)
    return Results(*zip(*(rows[key] for key in sorted(rows)), strict=True)) if rows else None
