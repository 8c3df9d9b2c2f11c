"""The jobs that this server has handed to agents, so that none of them has to send one back.

Rule of this file: it is a memory, not the truth. What it has forgotten, or what another server has
handed out, is asked of the store again; the fence of the commit decides in any case.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from trioworker.model.cache import asks, result_key
from trioworker.model.job import Job
from trioworker.model.options import NO_OPTIONS
from trioworker.model.script import DEPENDENCIES
from trioworker.store.protocol import Store
from trioworker.store.wire import Which

BYTES_MAX: Final = 128 * 1024 * 1024
"""What the remembered jobs may take up, by their arguments and `JOB_BYTES` each."""
JOB_BYTES: Final = 1_000
ASKED_MAX: Final = 10_000
"""Of how many pulls it is remembered that they came."""
SCRIPTS: Final = frozenset({"script", DEPENDENCIES})
_UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Claims:
    """Jobs by their claims, those of the oldest claims forgotten first.

    Keys are the integers of ids: there are thousands a second, and the hash of a UUID is Python.
    """

    def __init__(self, store: Store, *, bytes_max: int = BYTES_MAX) -> None:
        self._store = store
        self._bytes_max = bytes_max
        self._bytes = 0
        self._claims: OrderedDict[tuple[int, int], dict[int, Job]] = OrderedDict()
        self._asked: OrderedDict[tuple[int, int], None] = OrderedDict()

    def is_first(self, worker: UUID, claim: UUID) -> bool:
        """Whether this server is asked for this claim for the first time, as far as it remembers.

        The database would refuse it the second time only while some of its jobs are unsettled.
        """
        key = (worker.int, claim.int)
        if key in self._asked:
            return False
        self._asked[key] = None
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        return True

    def remember(self, worker: UUID, jobs: Iterable[Job]) -> None:
        """These were handed to `worker`."""
        for claim, members in groupby(jobs, lambda job: job.claim):
            known = self._claims.setdefault((worker.int, claim.int), {})
            for job in members:
                if job.id.int not in known:
                    known[job.id.int] = job
                    self._bytes += _bytes(job)
        while self._bytes > self._bytes_max and self._claims:
            _, forgotten = self._claims.popitem(last=False)
            self._bytes -= sum(map(_bytes, forgotten.values()))

    def forget(self, worker: UUID, jobs: Iterable[Job]) -> None:
        """These are not in the hands of `worker` any more."""
        for claim, members in groupby(jobs, lambda job: job.claim):
            known = self._claims.get((worker.int, claim.int))
            if known is None:
                continue
            for job in members:
                if (had := known.pop(job.id.int, None)) is not None:
                    self._bytes -= _bytes(had)
            if not known:
                del self._claims[worker.int, claim.int]

    async def find(self, worker: UUID, which: Sequence[Which]) -> list[Job]:
        """The jobs that are meant, in order; one that `worker` does not hold is an empty shell."""
        found = self._found(worker, which)
        if None in found:
            self.remember(worker, await self._store.adopt(worker, set()))
            found = self._found(worker, which)
        return [job or _shell(one) for job, one in zip(found, which, strict=True)]

    async def cache_keys(self, worker: UUID) -> AbstractSet[str]:
        """Under which keys the jobs in the hands of `worker` look for the results of others."""
        known = {UUID(int=claim) for owner, claim in self._claims if owner == worker.int}
        self.remember(worker, await self._store.adopt(worker, known))
        held = [jobs for (owner, _), jobs in self._claims.items() if owner == worker.int]
        return {result_key(job) for jobs in held for job in jobs.values() if asks(job)}

    async def held_scripts(self, worker: UUID, paths: Sequence[str]) -> AbstractSet[str]:
        """Those of the paths that jobs in the hands of `worker` name as scripts."""
        wanted = {*paths}
        if not wanted <= self._scripts_of(worker):
            known = {UUID(int=claim) for owner, claim in self._claims if owner == worker.int}
            self.remember(worker, await self._store.adopt(worker, known))
        return wanted & self._scripts_of(worker)

    def _scripts_of(self, worker: UUID) -> AbstractSet[str]:
        held = [jobs for (owner, _), jobs in self._claims.items() if owner == worker.int]
        return {job.path for jobs in held for job in jobs.values() if job.kind in SCRIPTS}

    def _found(self, worker: UUID, which: Iterable[Which]) -> list[Job | None]:
        found: list[Job | None] = []
        for claim, members in groupby(which, lambda one: one.claim):
            known = self._claims.get((worker.int, claim.int), {})
            for one in members:
                job = known.get(one.id.int)
                found.append(job if job is not None and job.attempt == one.attempt else None)
        return found


def _bytes(job: Job) -> int:
    return JOB_BYTES + len(job.args)


def _shell(one: Which) -> Job:
    """Enough of a job for the store to say that its lease was lost, or that it is stored."""
    return Job(
        one.id, one.claim, one.attempt, 0, "", "", "null", "", 0, _UNKNOWN,
        awaited=False, options=NO_OPTIONS,
    )  # fmt: skip
