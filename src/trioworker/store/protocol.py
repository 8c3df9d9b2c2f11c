"""The one seam between the worker and where jobs live.

A dozen methods, all of them about batches (a batch of one is a batch). Whoever implements them
promises: a claim is atomic and exclusive; a commit is all or nothing, fenced by the claim, and may
be repeated after any failure; nothing here retries by itself, because the worker decides.
All methods raise `trioworker.errors.StoreError` and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NoReturn, Protocol
from uuid import UUID

import msgspec

from trioworker.model.cache import CachedResult
from trioworker.model.job import Job
from trioworker.model.outcome import Executed
from trioworker.model.planner import FloorColumns
from trioworker.model.running import Said
from trioworker.model.tags import Tags
from trioworker.model.workflow import ChildEnd, Children, Placed, Step
from trioworker.store.scripts import ScriptStore


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker introduces itself. `id` is new at each start: it is the fencing token.

    It belongs to `token`, if it came with one; None for a worker that has the database.
    """

    id: UUID
    name: str
    host: str
    pid: int
    mode: str
    tags: Tags
    lease_s: float
    token: UUID | None = None


class Counters(msgspec.Struct, frozen=True):
    """What a heartbeat reports besides life."""

    done: int
    failed: int
    running: int


class Heartbeat(msgspec.Struct, frozen=True):
    """The answer to a heartbeat: is the lease still ours, and which jobs (id: reason) to cancel."""

    alive: bool
    cancels: Mapping[UUID, str]


class Reaped(msgspec.Struct, frozen=True):
    """What one sweep took back from dead workers: jobs ready again, and jobs given up."""

    ready: Sequence[UUID]
    failed: Sequence[UUID]


class Stored(msgspec.Struct, frozen=True):
    """What came of a commit: the ids that are *not* stored, and what the worker has to do now.

    `handed` are jobs that the very same transaction has made and claimed for it. `own` says that
    it has made more which only this worker may run: it has to pull them. It may `let_go` of what
    the steps of these flows have shared: they have ended.
    """

    lost: AbstractSet[UUID]
    handed: Sequence[Job] = ()
    own: bool = False
    let_go: Sequence[UUID] = ()


class Promoted(msgspec.Struct, frozen=True):
    """How many jobs got a slot that time alone has freed, and in how many seconds to look again.

    None: no time is known at which there will be anything to do.
    """

    jobs: int
    look_s: float | None


class Hint(msgspec.Struct, frozen=True):
    """Something may be worth a look: jobs of `tag` are ready, or `cancel` for worker `worker`.

    Or the job `done` has ended, which somebody waits for; "" for one that is not named. All None:
    the line was down until now, anything may have happened.
    """

    tag: str | None = None
    cancel_for: str | None = None
    done: str | None = None

    @property
    def anything(self) -> bool:
        """Whether it tells of nothing in particular, so that everything is worth a look."""
        return self.tag is None and self.cancel_for is None and self.done is None


class WorkflowStore(Protocol):
    """What a worker asks for the functions that it runs, while they run.

    What is written is fenced: for an attempt that is not in a claim of `worker` nothing is stored,
    and its id is among those returned. All of it may be repeated.
    """

    async def now(self) -> datetime:
        """The time by the database's clock."""
        ...

    async def enqueue(self, worker: UUID, children: Sequence[Children]) -> Placed:
        """Enqueue children in one transaction, of one parent or of many.

        Those whose ids exist are left as they are; but for those that failed, or were canceled,
        before this try of their parent: they are made ready once more.
        """
        ...

    async def ends(self, worker: UUID, ids: Sequence[UUID]) -> Mapping[UUID, ChildEnd]:
        """How those of the children have ended that have; one that is not there any more, too."""
        ...

    async def own_children(self, worker: UUID, ids: Sequence[UUID]) -> Sequence[UUID]:
        """Which of the jobs are children of jobs that the worker holds."""
        ...

    async def steps(self, worker: UUID, job: Job) -> Mapping[str, str]:
        """The results of the job's steps that are stored, by their names."""
        ...

    async def store_steps(self, worker: UUID, steps: Sequence[Step]) -> AbstractSet[UUID]:
        """Store results of steps in one transaction; returns the jobs of those that are not."""
        ...

    async def end_parents(self) -> bool:
        """Cancel what parents that failed have left behind; whether there may be more to do.

        One bounded sweep.
        """
        ...


class Store(Protocol):
    """Everything a worker asks of the place where jobs live."""

    @property
    def scripts(self) -> ScriptStore:
        """Where deployed scripts come from."""
        ...

    @property
    def workflow(self) -> WorkflowStore:
        """What functions ask of it."""
        ...

    @property
    def commits_at_once(self) -> int:
        """How many commits of a worker may be under way while full batches wait for them."""
        ...

    async def register(self, worker: WorkerInfo) -> None:
        """Make the worker known. May be repeated."""
        ...

    async def retire(self, worker: UUID) -> None:
        """Note that the worker stopped of its own will."""
        ...

    async def heartbeat(self, worker: UUID, counters: Counters) -> Heartbeat:
        """Renew the worker's lease on all its claims at once."""
        ...

    async def pull(
        self,
        worker: UUID,
        claim: UUID,
        size: int,
        tags: Tags,
        floors: FloorColumns,
        *,
        alone_from: int,
    ) -> Sequence[Job]:
        """Claim up to `size` due jobs as the claim `claim`, best first.

        A job is better than those of tags of a lower rank; with the same rank its own order counts.
        A job that has lost `alone_from` workers or more is claimed alone, in its turn.
        Raises an ambiguous error when the claim may have been made: `adopt` then finds it.
        """
        ...

    async def adopt(self, worker: UUID, known: AbstractSet[UUID]) -> Sequence[Job]:
        """The jobs of this worker's claims that are not `known` to it."""
        ...

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """Store a batch of outcomes in one transaction.

        Those that are not stored had no claim any more: their lease was lost. `again` says that an
        earlier try may have stored some of the batch unseen; those count as stored, and what that
        try has handed over is found by `adopt`. No more jobs are handed over than are stored.
        """
        ...

    async def kept_flows(self, worker: UUID, flows: Sequence[UUID]) -> AbstractSet[UUID]:
        """Those of the flows that are under way and keep to this worker."""
        ...

    async def cached_results(self, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        """The results that are kept under the keys; those that have none are left out."""
        ...

    async def store_running(
        self, worker: UUID, said: Sequence[Said], *, number: int | None = None
    ) -> None:
        """Store what jobs have said that still run, in one statement.

        What is said of a job that is not this worker's any more, or has ended, is dropped. The same
        again, grown, takes the place of what an earlier try may have stored. Of the worker's
        flushes it is this `number`, from 1 on, or the one after the last of this store; what comes
        after one with a higher number is dropped, too.
        """
        ...

    async def next_due_s(self, tags: Sequence[str]) -> float | None:
        """Seconds until the next scheduled job of the tags is due; None when there is none."""
        ...

    async def reap(self, *, claims_max: int, reaped_max: int) -> Reaped:
        """Take back up to `claims_max` claims of dead workers; one bounded sweep.

        Flows whose steps only such a worker could have run end with it, or are ready again.
        """
        ...

    async def promote(self) -> Promoted:
        """Make ready the jobs that a concurrency limit holds back no longer; one bounded sweep.

        The end of a job lets in the next one with its commit. This is for what time brings about,
        a job that becomes due or a window that passes, and for jobs that were enqueued in
        transactions of somebody else's.
        """
        ...

    async def sweep_schedules(self) -> bool:
        """Make jobs of due ticks that no end of a job makes jobs of; whether there may be more.

        One bounded sweep: it runs ahead of schedules whose jobs may overlap, and heals those whose
        last job has gone unnoticed.
        """
        ...

    async def sweep_flows(self) -> bool:
        """End approvals that nobody gave in time; whether there may be more. One bounded sweep."""
        ...

    async def cancel_late(self) -> bool:
        """Cancel jobs that were asked to and that no worker holds; whether there may be more.

        One bounded sweep. It is for those that a worker gave back at the very moment when it was
        to be told, or died with, and for flows that began at that moment.
        """
        ...

    async def tidy(self) -> None:
        """Delete what nobody needs any more; one bounded sweep."""
        ...

    async def delete_ended(self, *, older_s: float | None) -> bool:
        """Delete jobs that are to be deleted some time after their end; whether there may be more.

        One bounded sweep: those that ask for it, and those that ended more than `older_s` seconds
        ago, the oldest first.
        """
        ...

    async def ping(self) -> None:
        """Return when the store takes work; raises `StoreError` while it does not."""
        ...

    async def listen(self, heard: Callable[[Hint], None]) -> NoReturn:
        """Pass hints on until the line is lost. Raises `StoreError` then."""
        ...
