"""Which claims this worker holds, by how many of their jobs are still in its hands.

One counter per claim is all that is needed to adopt what is unknown, to see when the worker is
empty, and to hold the bound on jobs in memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from uuid import UUID

from trioworker.model.job import Job
from trioworker.worker.channel import Signal


class Holdings:
    """Claims in hand.

    `settled` is set whenever the last job of a claim has left, `emptied` when the last of all has.
    """

    def __init__(self) -> None:
        self._jobs_left: dict[UUID, int] = {}
        self._abandoned: Counter[UUID] = Counter()
        self._jobs = 0
        self.settled = Signal()
        self.emptied = Signal()

    def __len__(self) -> int:
        return self._jobs

    @property
    def claims(self) -> AbstractSet[UUID]:
        """The ids of the claims of which at least one job is in hand, or was abandoned."""
        return self._jobs_left.keys() | self._abandoned.keys()

    def has(self, claim: UUID) -> bool:
        """Whether a job of the claim is in hand."""
        return claim in self._jobs_left

    def take(self, jobs: Iterable[Job]) -> None:
        """Note jobs that came in."""
        for claim, size in _runs(jobs):
            self._jobs_left[claim] = self._jobs_left.get(claim, 0) + size
            self._jobs += size

    def release(self, jobs: Iterable[Job]) -> None:
        """Note jobs whose fate is settled: stored, lost, or abandoned."""
        for claim, size in _runs(jobs):
            left = self._jobs_left[claim] - size
            assert left >= 0
            if left:
                self._jobs_left[claim] = left
            else:
                del self._jobs_left[claim]
                self.settled.set()
            self._jobs -= size
        if not self._jobs:
            self.emptied.set()

    def abandon(self, job: Job) -> None:
        """Note a job that stays claimed: to adopt it would be to run it again, and again."""
        self._abandoned[job.claim] += 1
        self.release((job,))

    def resume(self, job: Job) -> None:
        """Note that a job that was abandoned is in hand again."""
        self.take((job,))
        self._abandoned -= Counter((job.claim,))


def _runs(jobs: Iterable[Job]) -> Iterator[tuple[UUID, int]]:
    """How many neighbours share a claim: batches come claim by claim, and hashing ids costs."""
    claim, size = None, 0
    for job in jobs:
        if job.claim is not claim:
            if claim is not None:
                yield claim, size
            claim, size = job.claim, 0
        size += 1
    if claim is not None:
        yield claim, size
