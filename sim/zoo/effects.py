"""Mutants of what a commit writes: the fence, the effects, and whether they last."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim import world
from sim.database.models import MODELS, Rows, Statement
from sim.database.models import commit as model
from sim.database.rows import ClaimRow, CompletedRow
from sim.database.statement import Still
from sim.database.table import Table
from sim.oracles.batches import BatchesGated
from sim.oracles.calm import NoDeadlock
from sim.oracles.fence import Fenced
from sim.oracles.outcomes import AllOrNothing, Produced
from sim.oracles.places import Durable, Settled
from sim.oracles.told import ToldRight
from sim.plan import Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant, of_scenario, statement
from trioworker.model import batching, completion
from trioworker.model.batching import BatchPolicy
from trioworker.model.completion import Completion
from trioworker.model.outcome import Executed, Interrupted, Outcome, Snoozed
from trioworker.store.postgres.database import Lane
from trioworker.store.postgres.store import COMMIT, CONTROL, PULL, RUNNING, PostgresStore
from trioworker.worker import commit as stage

_STALLED: Final = [f"stalled, then carried out@worker-1/reap#{number}" for number in range(2, 8)]
ZOMBIE_AND_SWEEPER: Final = Plan(
    seed=0,
    sizes=Sizes(
        workers=2, pull=1, commit=1, concurrency=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5,
        command_timeout_s=5.0,
    ),
    jobs=("slow", "slow"),
    script=[Scripted(fault="worker paused@worker-0#0", at_s=0.3, for_s=2.4)],
    exactly=_STALLED,
    lasting=dict.fromkeys(_STALLED, 0.8),
)  # fmt: skip
"""A worker wakes up without a lease and commits, while another is about to take its claims."""
_STALLED_COMMIT: Final = "stalled, then carried out@worker-0/commit#0"
COMMIT_OF_A_ZOMBIE: Final = Plan(
    seed=0,
    sizes=Sizes(
        workers=2, pull=1, concurrency=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5,
        command_timeout_s=10.0,
    ),
    jobs=("long", "long"),
    script=[Scripted(fault="worker paused@worker-0#0", after="worker-0/commit#0", for_s=4.0)],
    exactly=[_STALLED_COMMIT],
    lasting={_STALLED_COMMIT: 3.5},
    chaos_s=8.0,
)  # fmt: skip
"""A worker's commit comes so late that another has taken its job and is still running it."""
_STALLED_RETRY: Final = "stalled, then carried out@worker-0/commit#1"
RETRY_OF_A_ZOMBIE: Final = Plan(
    seed=0,
    sizes=Sizes(
        workers=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5, command_timeout_s=10.0, reaped_max=0,
    ),
    jobs=("ok",),
    exactly=[
        "line lost before the effect@worker-0/commit#0",
        _STALLED_RETRY,
        *(f"line lost before the effect@worker-0/heartbeat#{number}" for number in range(40)),
    ],
    lasting={_STALLED_RETRY: 3.0},
    chaos_s=5.0,
)  # fmt: skip
"""A worker tries a commit again, while a sweep takes it for dead and gives its job up."""


@mutant(
    "completion by id",
    caught_by=Fenced,
    seen_in="river, graphile-worker, pgqueuer, oban: by id, with no owner and no attempt",
    plan=COMMIT_OF_A_ZOMBIE,
)
def completion_by_id() -> Iterator[None]:
    """A commit names jobs by id alone, so that a late one closes another worker's new attempt."""
    fenced = MODELS["commit"]

    async def unfenced(
        s: Statement, worker: UUID, _claims: Sequence[UUID], *columns: Sequence[Any]
    ) -> Rows:
        ids, attempts, *rest = columns
        claims = [claim for claim in s.rows(s.tables.claim) if set(claim.ids) & set(ids)]
        newest = {
            id_: attempt
            for claim in claims
            for id_, attempt in zip(claim.ids, claim.attempts, strict=True)
        }
        attempts = [newest.get(id_, attempt) for id_, attempt in zip(ids, attempts, strict=True)]
        return await fenced(s, worker, [claim.id for claim in claims], ids, attempts, *rest)

    async def whosever(s: Statement, _worker: UUID, claims: Sequence[UUID]) -> list[ClaimRow]:
        locked = [await s.lock(s.tables.claim, claim) for claim in sorted(set(claims))]
        return [claim for claim in locked if claim is not None]

    with statement("commit", unfenced), replaced(model, "held_claims", whosever):
        yield


@mutant("stored again by the retry", caught_by=Settled)
def stored_again() -> Iterator[None]:
    """A retry after a lost reply writes over what the first try has stored."""
    once = MODELS["commit"]

    async def upsert(
        s: Statement, worker: UUID, claims: Sequence[UUID], *columns: Sequence[Any]
    ) -> Rows:
        lost = await once(s, worker, claims, *columns)
        for (id_,) in lost:
            await s.update(
                s.tables.job_completed,
                id_,
                lambda row: msgspec.structs.replace(row, completed_at=s.now, worker=worker),
            )
        return lost

    with statement("commit", upsert):
        yield


@mutant("given up, taken for stored", caught_by=ToldRight, seen_in=OURS, plan=RETRY_OF_A_ZOMBIE)
def given_up_taken_for_stored() -> Iterator[None]:
    """A retry takes the failure that a sweep left of its job for the outcome that it looks for."""

    async def any_row(
        s: Statement, worker: UUID, ids: Sequence[UUID], attempts: Sequence[int]
    ) -> Rows:
        found = [(s.find(s.tables.job_completed, id_), id_) for id_ in ids]
        return [
            (id_,)
            for (done, id_), attempt in zip(found, attempts, strict=True)
            if done is not None and (done.worker, done.attempt) == (worker, attempt)
        ]

    with statement("find_stored", any_row):
        yield


@mutant("results that need not last", caught_by=Durable)
def results_that_need_not_last() -> Iterator[None]:
    """Commits of results do not wait for the disk, as if they were pulls."""
    lanes = (
        Lane(PULL, durable=False),
        Lane(COMMIT, durable=False),
        Lane(CONTROL, size=2),
        Lane(RUNNING),
    )
    with replaced(world, "WORKER_LANES", lanes):
        yield


@mutant("log on its own", caught_by=AllOrNothing)
def log_on_its_own() -> Iterator[None]:
    """What a job wrote is stored first, in a transaction of its own."""
    commit = PostgresStore.commit

    async def logs_first(
        self: PostgresStore, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> object:
        logs = [one for one in batch if one.log]
        if logs:
            ids, attempts = [one.job.id for one in logs], [one.job.attempt for one in logs]
            texts = [one.log for one in logs]
            chunks = [one.log_chunk for one in logs]
            await self._database.run(COMMIT, "store_logs", ids, attempts, chunks, texts)
        bare = [msgspec.structs.replace(one, log="") for one in batch]
        return await commit(self, worker, bare, again=again)

    with replaced(PostgresStore, "commit", logs_first):
        yield


TALKING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=("talk",) * 10,
    script=[Scripted(fault="worker paused@worker-0#0", at_s=1.2, for_s=4.0)],
    chaos_s=6.0,
)
"""A worker is paused while its jobs write, and another takes them from it."""


@mutant("log flush unfenced", caught_by=AllOrNothing, plan=TALKING)
def log_flush_unfenced() -> Iterator[None]:
    """What running jobs write is stored whoever has them by now."""

    async def for_anybody(
        s: Statement, _worker: UUID, _claims: object, *columns: Sequence[Any]
    ) -> Rows:
        return await MODELS["store_logs"](s, *columns[:4])

    with statement("store_running", for_anybody):
        yield


@mutant("nobody is told", caught_by=AllOrNothing)
def nobody_is_told() -> Iterator[None]:
    """Who waits for a job hears nothing of its end."""

    async def nothing(_s: Statement, ids: Sequence[UUID]) -> Rows:
        return [("",)] * len(ids)

    with statement("notify_done", nothing):
        yield


@mutant("snooze charged", caught_by=Produced)
def snooze_charged() -> Iterator[None]:
    """A job that asks for another time pays with an attempt."""
    with _charged(Snoozed):
        yield


@mutant(
    "stop charged",
    caught_by=Produced,
    seen_in="celery: a warm stop marks prefetched tasks as failed",
)
def stop_charged() -> Iterator[None]:
    """A job that is interrupted by the end of its worker pays with an attempt."""
    with _charged(Interrupted):
        yield


def _charged(kind: type[Outcome]) -> Any:  # noqa: ANN401 - what `replaced` returns
    complete = completion.complete

    def charge(outcome: Outcome) -> Completion:
        done = complete(outcome)
        return done._replace(charged=True) if isinstance(outcome, kind) else done

    return replaced(completion, "complete", charge)


@mutant("policy forgotten", caught_by=BatchesGated)
def policy_forgotten() -> Iterator[None]:
    """Under the simple policy all outcomes share their transactions all the same."""

    def full(batch: Sequence[Executed], _policy: BatchPolicy) -> list[list[Executed]]:
        return batching.cut(batch, BatchPolicy.FULL)

    with replaced(stage, "cut", full):
        yield


@mutant("lock order reversed", caught_by=NoDeadlock, plan=ZOMBIE_AND_SWEEPER)
def lock_order_reversed() -> Iterator[None]:
    """A commit locks its claims and then its worker's row, to be sure of the lease.

    A sweep locks the worker's row first and then its claims, for which it waits.
    """
    claims_only = MODELS["commit"]
    lock = Statement.lock

    async def and_then_the_worker(
        s: Statement, worker: UUID, claims: Sequence[UUID], *columns: Sequence[Any]
    ) -> Rows:
        lost = await claims_only(s, worker, claims, *columns)
        await lock(s, s.tables.worker, worker)
        return lost

    async def wait_for_claims(
        self: Statement,
        table: Table[Any],
        key: UUID,
        *,
        still: Still[Any] | None = None,
        skip_locked: bool = False,
    ) -> object:
        skip_locked = skip_locked and table is not self.tables.claim
        return await lock(self, table, key, still=still, skip_locked=skip_locked)

    with statement("commit", and_then_the_worker), replaced(Statement, "lock", wait_for_claims):
        yield


@mutant(
    "completed twice",
    caught_by=Settled,
    seen_in="solid_queue: a stale heartbeat and a late finish left a job both finished and failed",
    plan=of_scenario("zombie-commit"),
)
def completed_twice() -> Iterator[None]:
    """A late outcome takes the place of what another worker has stored of the job."""
    fenced = MODELS["commit"]

    async def overwrite(
        s: Statement, worker: UUID, claims: Sequence[UUID], *columns: Sequence[Any]
    ) -> Rows:
        ids, attempts, statuses, results, *_ = columns
        lost = {id_ for (id_,) in await fenced(s, worker, claims, *columns)}
        for place, id_ in enumerate(ids):
            done = s.find(s.tables.job_completed, id_) if id_ in lost else None
            if done is not None and (done.worker, done.attempt) != (worker, attempts[place]):
                status = statuses[place] if statuses else "success"
                change = _over(worker, attempts[place], status, results[place])
                await s.update(s.tables.job_completed, id_, change)
        return [(id_,) for id_ in lost]

    def _over(worker: UUID, attempt: int, status: str | None, result: str | None) -> Any:  # noqa: ANN401 - a function
        def change(row: CompletedRow) -> CompletedRow:
            return msgspec.structs.replace(
                row,
                worker=worker,
                attempt=attempt,
                status=status or row.status,
                result=result,
            )

        return change

    with statement("commit", overwrite):
        yield
