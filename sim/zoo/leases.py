"""Mutants of the leases: who is taken for dead, and who does not notice that he is."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
import trio

from sim.database.models import MODELS, Rows, Statement
from sim.database.models import leases as model
from sim.database.rows import ClaimRow, WorkerRow
from sim.oracles.calm import Quiet
from sim.oracles.fence import Fenced, Leases, OneAtATime, SelfFence
from sim.oracles.liveness import GoesOn, ReapedInTime
from sim.oracles.places import Transitions
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant, of_scenario, statement
from trioworker.worker.execute import Execute
from trioworker.worker.heartbeat import HeartbeatTask
from trioworker.worker.maintenance import Maintenance


@mutant(
    "reaping by elapsed time",
    caught_by=Transitions,
    seen_in="river's rescuer, oban's Lifeline: long jobs run two or three times at once",
)
def reaping_by_elapsed_time() -> Iterator[None]:
    """A claim that is older than a lease is taken back, whoever holds it and however he is."""
    by_death = MODELS["reap"]
    is_dead = model.is_dead

    async def by_age(s: Statement, limit: int, reaped_max: int) -> Rows:
        old = {
            claim.worker
            for claim in s.rows(s.tables.claim)
            if claim.claimed_at < s.now - timedelta(seconds=_lease_s(s, claim))
        }

        def is_old(worker: WorkerRow | None) -> bool:
            return is_dead(worker) or (worker is not None and worker.id in old)

        with replaced(model, "is_dead", is_old):
            return await by_death(s, limit, reaped_max)

    with statement("reap", by_age):
        yield


def _lease_s(s: Statement, claim: ClaimRow) -> float:
    worker = s.find(s.tables.worker, claim.worker)
    return 0.0 if worker is None else worker.lease_s


@mutant(
    "heartbeat that outlives its lease",
    caught_by=Leases,
    seen_in="procrastinate: a worker that is back with its id revives the heartbeat",
)
def heartbeat_that_outlives_its_lease() -> Iterator[None]:
    """A heartbeat that comes too late revives the worker whose lease was taken away."""

    async def revive(s: Statement, worker: UUID, done: int, failed: int, running: int) -> Rows:
        def renewed(row: WorkerRow) -> WorkerRow:
            return msgspec.structs.replace(
                row,
                last_heartbeat=s.clock(),
                jobs_done=done,
                jobs_failed=failed,
                jobs_running=running,
            )

        updated = await s.update(s.tables.worker, worker, renewed)
        return [] if updated is None else [(worker,)]

    with statement("heartbeat", revive):
        yield


@mutant("zombie that does not notice", caught_by=Leases)
def zombie_that_does_not_notice() -> Iterator[None]:
    """A worker is told that its lease is gone and goes on under the same id."""

    async def unaware(s: Statement, worker: UUID, done: int, failed: int, running: int) -> Rows:
        await beat(s, worker, done, failed, running)
        return [(worker,)]

    beat = MODELS["heartbeat"]
    with statement("heartbeat", unaware):
        yield


IN_DOUBT: Final = of_scenario("doubt-begins-nothing")


@mutant("fence that stops nothing", caught_by=SelfFence, plan=IN_DOUBT)
def fence_that_stops_nothing() -> Iterator[None]:
    """A worker that cannot renew its lease goes on as if nothing were."""

    async def sleep(_self: HeartbeatTask) -> None:
        await trio.sleep_forever()

    with replaced(HeartbeatTask, "_guard", sleep):
        yield


DEAF_HEARTBEAT: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, pull=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=("long",) * 4,
    exactly=[f"line lost before the effect@worker-0/heartbeat#{number}" for number in range(40)],
    chaos_s=6.0,
)
"""No heartbeat of the one worker comes through, and the other has time for its jobs."""


@mutant("fence that lets finish what runs", caught_by=OneAtATime, plan=DEAF_HEARTBEAT)
def fence_that_lets_finish_what_runs() -> Iterator[None]:
    """A worker in doubt begins nothing more, and lets what runs come to its end."""

    def let_go(_self: Execute) -> None:
        return

    with replaced(Execute, "interrupt", let_go):
        yield


@mutant("fence that lets the next begin", caught_by=SelfFence, seen_in=OURS, plan=IN_DOUBT)
def fence_that_lets_the_next_begin() -> Iterator[None]:
    """A worker in doubt stops what runs and begins the next job that waits in its hands."""

    def let_go(_self: Execute, *, held: bool) -> None:
        del held

    with replaced(Execute, "hold", let_go):
        yield


_LATE: Final = [
    f"carried out, then the reply stalled@worker-0/commit of transaction#{number}"
    for number in range(2)
]
LATE_REPLY: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=("slow",) * 3,
    exactly=[
        *_LATE,
        *(f"line lost before the effect@worker-0/heartbeat#{number}" for number in range(1, 40)),
    ],
    lasting=dict.fromkeys(_LATE, 0.45),
    chaos_s=6.0,
)
"""The answer to the first heartbeat comes nearly half a second late, and no other gets through."""


@mutant("lease counted from the reply", caught_by=SelfFence, plan=LATE_REPLY)
def lease_counted_from_the_reply() -> Iterator[None]:
    """The fence counts from when the answer to a heartbeat came.

    That may be long after the server saw it.
    """
    renew = HeartbeatTask._renew

    def from_now(self: HeartbeatTask, _sent_s: float) -> None:
        renew(self, trio.current_time())

    with replaced(HeartbeatTask, "_renew", from_now):
        yield


SLOW_REGISTRATION: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, lease_s=1.5, heartbeat_s=0.5, command_timeout_s=5.0, sweep_s=20.0),
    jobs=("slow@1.3", "slow@1.3", "slow@1.3", "slow@1.3", "slow@1.3"),
    exactly=[
        "carried out, then the reply stalled@worker-0/register_worker#0",
        *(f"line lost before the effect@worker-0/heartbeat#{ordinal}" for ordinal in range(40)),
    ],
    lasting={"carried out, then the reply stalled@worker-0/register_worker#0": 1.25},
    chaos_s=6.0,
)
"""The answer to a registration takes nearly a lease, and then no heartbeat comes through."""


@mutant("lease counted from the welcome", caught_by=SelfFence, seen_in=OURS, plan=SLOW_REGISTRATION)
def lease_counted_from_the_welcome() -> Iterator[None]:
    """The first lease counts from when the answer to the registration came."""
    began = HeartbeatTask.lease_began

    def from_now(self: HeartbeatTask, _sent_s: float) -> None:
        began(self, trio.current_time())

    with replaced(HeartbeatTask, "lease_began", from_now):
        yield


@mutant(
    "heartbeat slower than its lease",
    caught_by=Quiet,
    seen_in="pgqueuer: heartbeats slower than their own timeout, so live jobs are picked again",
)
def heartbeat_slower_than_its_lease() -> Iterator[None]:
    """A worker beats every one and a half leases."""
    make = HeartbeatTask.__init__

    def slow(self: HeartbeatTask, *arguments: object, **named: object) -> None:
        make(self, *arguments, **named)  # type: ignore[arg-type]  # handed on as they came
        self._config = msgspec.structs.replace(self._config, heartbeat_s=1.5 * self._config.lease_s)

    with replaced(HeartbeatTask, "__init__", slow):
        yield


@mutant("lost workers not counted", caught_by=Fenced)
def lost_workers_not_counted() -> Iterator[None]:
    """A reaped job is ready as if it had not been: one that kills its workers does so for ever."""
    make_ready = model._make_ready

    async def forget(s: Statement, id_: UUID, attempt: int, reaped: int) -> None:
        await make_ready(s, id_, attempt - 1, reaped - 1)

    with replaced(model, "_make_ready", forget):
        yield


@mutant("never given up", caught_by=Transitions)
def never_given_up() -> Iterator[None]:
    """A job may lose any number of workers."""
    reap = MODELS["reap"]

    async def for_ever(s: Statement, limit: int, _reaped_max: int) -> Rows:
        return await reap(s, limit, 1_000_000)

    with statement("reap", for_ever):
        yield


@mutant("taken for dead too soon", caught_by=Leases)
def taken_for_dead_too_soon() -> Iterator[None]:
    """The server is told of half the lease that the worker thinks it has."""
    register = MODELS["register_worker"]

    async def half(s: Statement, *arguments: object) -> Rows:
        *same, lease_s, token = arguments
        assert isinstance(lease_s, float)
        return await register(s, *same, lease_s / 2, token)

    with statement("register_worker", half):
        yield


@mutant(
    "patience with the dead",
    caught_by=ReapedInTime,
    seen_in="graphile-worker: jobs of a crashed worker stay locked for four hours",
)
def patience_with_the_dead() -> Iterator[None]:
    """A silent worker is lost after ten leases."""
    mark_lost = MODELS["mark_lost"]

    async def later(s: Statement, limit: int) -> Rows:
        silent = [
            row
            for row in s.rows(s.tables.worker)
            if row.last_heartbeat < s.now - timedelta(seconds=10 * row.lease_s)
        ]
        return await mark_lost(s, limit) if silent else []

    with statement("mark_lost", later):
        yield


@mutant("everybody dead after a restart", caught_by=Leases)
def everybody_dead_after_a_restart() -> Iterator[None]:
    """After a start of the server the workers that could not renew meanwhile are all reaped."""
    mark_lost = MODELS["mark_lost"]

    async def at_once(s: Statement, limit: int) -> Rows:
        vars(s)["started_at"] = s.started_at - timedelta(days=1)
        return await mark_lost(s, limit)

    with statement("mark_lost", at_once):
        yield


@mutant("sweeps end at the first failure", caught_by=GoesOn)
def sweeps_end_at_the_first_failure() -> Iterator[None]:
    """A sweep that fails is the last one of its worker."""

    async def once(self: Maintenance) -> None:
        while True:
            await trio.sleep(self._config.sweep_s * self._ports.rng.uniform(0.8, 1.2))
            try:
                await self._reap_all()
            except Exception:  # noqa: BLE001 - as careless as it is meant to be
                await trio.sleep_forever()

    with replaced(Maintenance, "run", once):
        yield
