"""What one worker is told, and what all its parts share: frozen records, made once."""

from collections.abc import Callable
from random import Random
from uuid import UUID

import msgspec

from trioworker.events import Emit, JobEnded
from trioworker.model.batching import BatchPolicy, BatchSizes, Fallback, Mode
from trioworker.model.outcome import Executed
from trioworker.model.tags import Tags
from trioworker.runners.deployed import DeployedScripts
from trioworker.runners.shared_folders import SharedFolders
from trioworker.store.protocol import Store


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """See docs/configuration.md for the settings of the same names. All times in seconds."""

    name: str
    host: str
    pid: int
    mode: Mode
    tags: Tags
    sizes: BatchSizes
    concurrency: int
    policy: BatchPolicy = BatchPolicy.FULL
    fallback: Fallback = Fallback.PER_JOB
    start_within_s: float = 1.0
    poll_s: float = 1.0
    heartbeat_s: float = 5.0
    lease_s: float = 30.0
    sweep_s: float = 5.0
    grace_s: float = 30.0
    flush_s: float = 10.0
    log_flush_s: float = 1.0
    retention_s: float | None = None
    reaped_max: int = 3
    drain: bool = False
    report_jobs: bool = False
    """Emit an event for every job that starts and ends, not only for batches."""


class Ports(msgspec.Struct, frozen=True):
    """Where identity and chance come from; the simulator brings its own."""

    new_id: Callable[[], UUID]
    rng: Random


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of one worker share: who it is, where its jobs live, whom it tells."""

    worker: UUID
    config: WorkerConfig
    store: Store
    ports: Ports
    emit: Emit
    scripts: DeployedScripts | None = None
    shared: SharedFolders | None = None

    def report_end(self, executed: Executed) -> None:
        """Tell of one job that has ended, if each is to be told of."""
        if self.config.report_jobs:
            job, outcome = executed.job, type(executed.outcome).__name__
            self.emit(
                JobEnded(worker=self.worker, job=job.id, attempt=job.attempt, outcome=outcome)
            )
