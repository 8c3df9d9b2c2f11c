"""`PostgresStore`: the worker's transactions, in terms of named statements.

Rule of this file: it knows which statements make a transaction and in which order, and nothing of
connections, retries or clocks. The simulator runs it as it is over a modelled database.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, NoReturn
from uuid import UUID

from trioworker.errors import Refused, ServerUnavailable
from trioworker.model.cache import CachedResult
from trioworker.model.completion import columns
from trioworker.model.effects import has_effects
from trioworker.model.job import Job, claims_of
from trioworker.model.outcome import Begun, Executed, Failed, JobError
from trioworker.model.planner import FloorColumns
from trioworker.model.running import Said, said_columns
from trioworker.model.tags import Tags
from trioworker.store.postgres.approvals import APPROVALS_PER_SWEEP_MAX, sweep_approvals
from trioworker.store.postgres.cancels import cancel_late
from trioworker.store.postgres.database import Database, Lane, Row, Transaction
from trioworker.store.postgres.effects import (
    NOTHING_FOLLOWED,
    notify_done,
    store_effects_of,
    store_ends,
)
from trioworker.store.postgres.flows import STRANDED
from trioworker.store.postgres.handing import claimed
from trioworker.store.postgres.limits import LimitSaid, limits_said, settle_limits
from trioworker.store.postgres.lost_flows import (
    LOST_FLOWS_PER_SWEEP_MAX,
    LostFlows,
    end_lost_flows,
)
from trioworker.store.postgres.schedules import DUE_PER_SWEEP_MAX, sweep_schedules
from trioworker.store.postgres.scripts import PostgresScripts
from trioworker.store.postgres.unique import forget_keys
from trioworker.store.postgres.workflow import PostgresWorkflow
from trioworker.store.protocol import (
    Counters,
    Heartbeat,
    Hint,
    Promoted,
    Reaped,
    Stored,
    WorkerInfo,
)

PULL: Final = "pull"
COMMIT: Final = "commit"
CONTROL: Final = "control"
RUNNING: Final = "running"
WORKER_LANES: Final = (
    Lane(PULL, durable=False),
    Lane(COMMIT),
    Lane(CONTROL, size=2),
    Lane(RUNNING),
)

READY_CHANNEL: Final = "trioworker_ready"
CANCEL_CHANNEL: Final = "trioworker_cancel"
DONE_CHANNEL: Final = "trioworker_done"

LOST_PER_SWEEP_MAX: Final = 100
FORGET_PER_SWEEP_MAX: Final = 100
DELETED_PER_SWEEP_MAX: Final = 1_000
FORGET_RESULTS_PER_SWEEP_MAX: Final = 1_000
FORGET_AFTER_S: Final = 86_400.0
LOOKS_PER_SWEEP_MAX: Final = 500
CANCELS_PER_SWEEP_MAX: Final = 100
KEYS_PER_ROUND_MAX: Final = 1_000
KEY_ROUNDS_MAX: Final = 100

WORKER_LOST: Final = Failed(JobError("WorkerLost", "workers died with this job in their hands"))


class PostgresStore:
    """A `Store` over a `Database` with the lanes `WORKER_LANES`.

    `now_s` reads the worker's monotonic clock; results are dated by their age at the commit.
    """

    commits_at_once: int = 1

    def __init__(self, database: Database, *, now_s: Callable[[], float]) -> None:
        self._database = database
        self._now_s = now_s
        self._flushes = 0
        self.scripts = PostgresScripts(database, PULL)
        self.workflow = PostgresWorkflow(database, running=RUNNING, control=CONTROL, now_s=now_s)

    async def register(self, worker: WorkerInfo) -> None:
        """See `Store.register`."""
        await self._database.run(
            CONTROL,
            "register_worker",
            worker.id,
            worker.name,
            worker.host,
            worker.pid,
            worker.mode,
            worker.tags.names,
            worker.tags.ranks,
            worker.lease_s,
            worker.token,
        )

    async def retire(self, worker: UUID) -> None:
        """See `Store.retire`."""
        await self._database.run(CONTROL, "retire_worker", worker)

    async def heartbeat(self, worker: UUID, counters: Counters) -> Heartbeat:
        """See `Store.heartbeat`."""

        async def body(tx: Transaction) -> Heartbeat:
            alive = await tx.run(
                "heartbeat", worker, counters.done, counters.failed, counters.running
            )
            cancels = await tx.run("cancels_for_worker", worker)
            return Heartbeat(bool(alive), {row[0]: row[1] for row in cancels})

        return await self._database.transact(CONTROL, body)

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
        """See `Store.pull`."""
        rows = await self._database.run(
            PULL,
            "pull",
            claim,
            worker,
            size,
            tags.names,
            floors.tags,
            floors.priorities,
            floors.scheduled_for,
            floors.ids,
            alone_from,
            tags.ranks,
            jobs=size,
        )
        now_s = self._now_s()
        return [claimed(row, claim, now_s) for row in rows]

    async def adopt(self, worker: UUID, known: AbstractSet[UUID]) -> Sequence[Job]:
        """See `Store.adopt`."""
        rows = await self._database.run(PULL, "adopt", worker, list(known))
        now_s = self._now_s()
        return [claimed(tuple(row)[:-1], row[-1], now_s) for row in rows]

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """See `Store.commit`.

        A batch without logs, waiters and effects and at its first try is a single statement.
        """
        now_s = self._now_s()
        try:
            outcomes = columns(batch, now_s)
        except UnicodeDecodeError as error:
            raise Refused(f"a result is not UTF-8: {error}") from error
        arguments = (worker, claims_of(executed.job for executed in batch), *outcomes)
        logs = [executed for executed in batch if executed.log]
        awaited = [executed for executed in batch if executed.job.awaited]
        hooked = [executed for executed in batch if has_effects(executed)]
        if not (again or logs or awaited or hooked):
            rows = await self._database.run(COMMIT, "commit", *arguments, jobs=len(batch))
            return Stored({row[0] for row in rows})

        async def body(tx: Transaction) -> Stored:
            lost = {row[0] for row in await tx.run("commit", *arguments, jobs=len(batch))}
            await _store_logs(tx, [e for e in logs if e.job.id not in lost])
            stored = [e for e in hooked if e.job.id not in lost]
            room = len(batch) - len(lost)
            followed = NOTHING_FOLLOWED
            if stored:
                followed = await store_effects_of(tx, worker, stored, now_s=now_s, room=room)
            told = [e for e in awaited if e.job.id not in lost and type(e.outcome) is not Begun]
            await notify_done(tx, [*told, *followed.ended])
            if again and lost:
                lost -= await _stored_before(tx, worker, batch, lost)
            return Stored(lost, followed.handed, own=followed.own, let_go=followed.let_go)

        return await self._database.transact(COMMIT, body)

    async def kept_flows(self, worker: UUID, flows: Sequence[UUID]) -> AbstractSet[UUID]:
        """See `Store.kept_flows`."""
        rows = await self._database.run(CONTROL, "kept_flows", worker, flows)
        return {row[0] for row in rows}

    async def cached_results(self, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        """See `Store.cached_results`."""
        rows = await self._database.run(PULL, "cached_results", keys)
        return {row[0]: CachedResult(row[1], row[2], row[3].encode()) for row in rows}

    async def store_running(
        self, worker: UUID, said: Sequence[Said], *, number: int | None = None
    ) -> None:
        """See `Store.store_running`."""
        self._flushes += 1
        columns = (*said_columns(said), self._flushes if number is None else number)
        await self._database.run(RUNNING, "store_running", worker, *columns, jobs=len(said))

    async def next_due_s(self, tags: Sequence[str]) -> float | None:
        """See `Store.next_due_s`."""
        rows = await self._database.run(PULL, "next_due", tags)
        seconds: float | None = rows[0][0]
        return seconds

    async def reap(self, *, claims_max: int, reaped_max: int) -> Reaped:
        """See `Store.reap`."""

        async def body(tx: Transaction) -> Sequence[Row]:
            await tx.run("mark_lost", LOST_PER_SWEEP_MAX)
            rows = await tx.run("reap", claims_max, reaped_max)
            # Jobs that are ready again keep their slots.
            lost = {row[0]: STRANDED if row[2] else WORKER_LOST for row in rows if row[1]}
            await store_ends(tx, lost, left=dict.fromkeys(lost, True))
            return rows

        rows = await self._database.transact(CONTROL, body)
        flows = await self._end_lost_flows(reaped_max)
        return Reaped(
            ready=[*(row[0] for row in rows if not row[1]), *flows.again],
            failed=[*(row[0] for row in rows if row[1]), *flows.failed],
        )

    async def _end_lost_flows(self, reaped_max: int) -> LostFlows:
        rows = await self._database.run(CONTROL, "lost_flows", LOST_FLOWS_PER_SWEEP_MAX)
        if not rows:
            return LostFlows((), ())
        lost = [(row[0], row[1]) for row in rows]
        end = partial(end_lost_flows, lost=lost, reaped_max=reaped_max)
        return await self._database.transact(CONTROL, end)

    async def promote(self) -> Promoted:
        """See `Store.promote`."""

        async def body(tx: Transaction) -> int:
            rows = await tx.run("due_limits", LOOKS_PER_SWEEP_MAX)
            return await settle_limits(tx, [LimitSaid(*row) for row in rows])

        look_s = await self._next_look_s()
        if look_s is None or look_s > 0:
            return Promoted(0, look_s)
        jobs = await self._database.transact(CONTROL, body)
        return Promoted(jobs, await self._next_look_s())

    async def _next_look_s(self) -> float | None:
        rows = await self._database.run(CONTROL, "next_look")
        seconds: float | None = rows[0][0]
        return seconds

    async def sweep_schedules(self) -> bool:
        """See `Store.sweep_schedules`."""

        async def body(tx: Transaction) -> int:
            looked_at, made = await sweep_schedules(tx)
            await settle_limits(tx, limits_said(made))
            return looked_at

        return await self._database.transact(CONTROL, body) == DUE_PER_SWEEP_MAX

    async def sweep_flows(self) -> bool:
        """See `Store.sweep_flows`."""
        looked_at = await self._database.transact(CONTROL, sweep_approvals)
        return looked_at == APPROVALS_PER_SWEEP_MAX

    async def cancel_late(self) -> bool:
        """See `Store.cancel_late`."""
        # There are none nearly always, which takes no transaction to see.
        if not await self._database.run(CONTROL, "late_cancels", CANCELS_PER_SWEEP_MAX):
            return False
        body = partial(cancel_late, limit=CANCELS_PER_SWEEP_MAX)
        return await self._database.transact(CONTROL, body)

    async def tidy(self) -> None:
        """See `Store.tidy`."""
        await self._database.run(CONTROL, "forget_workers", FORGET_PER_SWEEP_MAX, FORGET_AFTER_S)
        await self._database.run(CONTROL, "sweep_cancels")
        await self._database.run(CONTROL, "forget_results", FORGET_RESULTS_PER_SWEEP_MAX)
        await self._database.run(CONTROL, "mend_looks", LOOKS_PER_SWEEP_MAX)
        await self._forget_keys()

    async def _forget_keys(self) -> None:
        for _ in range(KEY_ROUNDS_MAX):
            due = await self._database.transact(
                CONTROL, lambda tx: forget_keys(tx, KEYS_PER_ROUND_MAX)
            )
            if due < KEYS_PER_ROUND_MAX:
                return

    async def delete_ended(self, *, older_s: float | None) -> bool:
        """See `Store.delete_ended`."""
        more = await self._delete("expired_jobs")
        if older_s is None:
            return more
        return await self._delete("old_jobs", older_s) or more

    async def _delete(self, found_by: str, *arguments: float) -> bool:
        """Delete the jobs that a statement finds and locks; whether there may be more."""

        async def body(tx: Transaction) -> int:
            rows = await tx.run(found_by, DELETED_PER_SWEEP_MAX, *arguments)
            await _run_for(tx, "delete_jobs", [row[0] for row in rows])
            return len(rows)

        return await self._database.transact(CONTROL, body) >= DELETED_PER_SWEEP_MAX

    async def ping(self) -> None:
        """See `Store.ping`."""

        async def body(tx: Transaction) -> None:
            rows = await tx.run("ping")
            if not rows[0][0]:
                # Raised in here so that the connection goes, and the next may find the primary.
                raise ServerUnavailable("the server is a standby and takes no writes")

        await self._database.transact(COMMIT, body)

    async def listen(self, heard: Callable[[Hint], None]) -> NoReturn:
        """See `Store.listen`."""
        await self._database.listen(
            (READY_CHANNEL, CANCEL_CHANNEL, DONE_CHANNEL),
            lambda channel, payload: heard(_hint(channel, payload)),
        )


def _hint(channel: str, payload: str) -> Hint:
    if channel == READY_CHANNEL:
        return Hint(tag=payload)
    if channel == CANCEL_CHANNEL:
        return Hint(cancel_for=payload)
    if channel == DONE_CHANNEL:
        return Hint(done=payload)
    return Hint()


async def _store_logs(tx: Transaction, executed: Sequence[Executed]) -> None:
    if executed:
        await tx.run(
            "store_logs",
            [e.job.id for e in executed],
            [e.job.attempt for e in executed],
            [e.log_chunk for e in executed],
            [e.log for e in executed],
        )


async def _run_for(tx: Transaction, name: str, ids: Sequence[UUID]) -> None:
    if ids:
        await tx.run(name, ids)


async def _stored_before(
    tx: Transaction, worker: UUID, batch: Sequence[Executed], lost: AbstractSet[UUID]
) -> AbstractSet[UUID]:
    missing = [e.job for e in batch if e.job.id in lost]
    rows = await tx.run(
        "find_stored", worker, [job.id for job in missing], [job.attempt for job in missing]
    )
    return {row[0] for row in rows}
