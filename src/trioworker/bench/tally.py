"""The worker that is measured: how it is set up, and what is counted of what it says."""

import os
import socket
from dataclasses import dataclass
from random import Random
from typing import Final

import trio

from trioworker.events import BatchPulled, BatchStored, Event
from trioworker.ids import new_id
from trioworker.model.batching import Fallback, Mode, sizes_for
from trioworker.model.tags import unranked
from trioworker.worker.channel import Signal
from trioworker.worker.config import Ports, WorkerConfig

TAG: Final = "bench"
CONCURRENCY: Final = 100
SEED: Final = 1


def worker_config(
    mode: Mode,
    *,
    batch: int = 1,
    concurrency: int = CONCURRENCY,
    fallback: Fallback = Fallback.PER_JOB,
    drain: bool = True,
) -> WorkerConfig:
    """A worker as users run it, with `batch` for pull and commit where `mode` allows it."""
    return WorkerConfig(
        name="bench",
        host=socket.gethostname(),
        pid=os.getpid(),
        mode=mode,
        tags=unranked(TAG),
        sizes=sizes_for(mode, pull=batch, commit=batch),
        concurrency=concurrency,
        fallback=fallback,
        drain=drain,
    )


def ports() -> Ports:
    """Real ids, repeatable chance."""
    return Ports(new_id, Random(SEED))


class Tally:
    """A sink that counts what a worker pulled and stored. All times in seconds.

    `claimed_s` and `stored_s` are readings of Trio's clock: when the first pull was answered and
    when the last commit was.
    """

    def __init__(self) -> None:
        self.pulls = 0
        self.pull_s = 0.0
        self.commits = 0
        self.commit_s = 0.0
        self.stored = 0
        self.failed = 0
        self.claimed_s: float | None = None
        self.stored_s = 0.0
        self._changed = Signal()

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case BatchPulled(seconds=seconds):
                self.pulls += 1
                self.pull_s += seconds
                if self.claimed_s is None:
                    self.claimed_s = trio.current_time()
            case BatchStored(stored=stored, failed=failed, seconds=seconds):
                self.commits += 1
                self.commit_s += seconds
                self.stored += stored
                self.failed += failed
                self.stored_s = trio.current_time()
                self._changed.set()

    async def until_stored(self, jobs: int) -> None:
        """Return when the outcomes of `jobs` jobs are stored."""
        while self.stored < jobs:
            await self._changed.wait()


@dataclass(frozen=True)
class Drained:
    """How long a worker took for `jobs` jobs: from before its first pull to its last commit.

    `cpu_s` is what this process computed in the meantime, the client's share of the work.
    """

    jobs: int
    seconds: float
    cpu_s: float
    tally: Tally

    @property
    def jobs_per_s(self) -> float:
        """Jobs pulled, run and stored in a second."""
        return self.jobs / self.seconds
