"""Mutants of cached results: taken by jobs that are not equal, or when they are too old."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from sim.oracles.reuse import Reused
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant
from trioworker.model import cache, effects
from trioworker.model.cache import CachedResult
from trioworker.model.job import Job
from trioworker.model.outcome import Executed
from trioworker.store.postgres.store import PostgresStore
from trioworker.worker import cache as looks

ALIKE: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, command_timeout_s=1.0),
    jobs=tuple(f"cached@{second}" for second in range(8) for _ in range(4)),
    chaos_s=9.0,
)
"""Jobs that are equal or not come all the time, and results may be two seconds old."""


@mutant("cache without arguments in the key", caught_by=Reused, plan=ALIKE)
def cache_without_arguments_in_the_key() -> Iterator[None]:
    """Jobs of the same path are taken for equal, whatever their arguments."""
    result_key = cache.result_key

    def by_path(job: Job) -> str:
        return result_key(msgspec.structs.replace(job, args=""))

    with replaced(cache, "result_key", by_path), replaced(looks, "result_key", by_path):
        yield


@mutant("expired result served", caught_by=Reused, plan=ALIKE)
def expired_result_served() -> Iterator[None]:
    """A result is as good as new, however old it is."""
    look = PostgresStore.cached_results

    async def ageless(self: PostgresStore, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        found = await look(self, keys)
        return {key: one._replace(age_s=0.0) for key, one in found.items()}

    with replaced(PostgresStore, "cached_results", ageless):
        yield


@mutant("result kept for ever anew", caught_by=Reused, plan=ALIKE)
def result_kept_for_ever_anew() -> Iterator[None]:
    """A result that was taken over is kept as if it were new."""
    results = cache.results

    def all_of_them(batch: Sequence[Executed]) -> object:
        return results([msgspec.structs.replace(one, cached=False) for one in batch])

    with replaced(effects, "results", all_of_them):
        yield
