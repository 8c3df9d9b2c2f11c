"""Mutants of what follows a failed attempt: too many others, too soon, too late, and off record."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.models import MODELS, Rows, Statement
from sim.database.rows import AttemptRow, Row
from sim.database.table import Table
from sim.oracles.cancels import CancelHeard
from sim.oracles.retries import InTime, OnRecord, TriedAgain
from sim.oracles.told import ToldRight
from sim.plan import Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.model import retry
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.store.postgres import handing, store
from trioworker.worker import execute

FAILING: Final = Plan(
    seed=0, sizes=Sizes(workers=1), jobs=("fail for good", "fail twice"), chaos_s=3.0
)
"""Two jobs fail, and their policies say what follows."""
OVERDUE: Final = Plan(
    seed=0, sizes=Sizes(workers=1), jobs=("hang until the deadline",), chaos_s=3.0
)
"""A job runs that does not end by itself."""
DYING: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=("long", "long"),
    script=[Scripted(fault="worker killed@worker-0#0", at_s=0.5)],
    chaos_s=4.0,
)
"""A worker dies with a job in its hands, and another sweeps."""
FAMILIES: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, jobs=30, concurrency=1),
    bodies={"slow": 1.0},
    children=0.9,
    cancels=5,
    enqueue_s=0.0,
    chaos_s=6.0,
)
"""Jobs with many children are cancelled."""
UNHEARD: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1),
    jobs=("fail twice",),
    exactly=["line lost after the effect@worker-0/commit of transaction#9"],
    chaos_s=3.0,
)
"""The reply to the commit of a retry is lost; those before it are of heartbeats and sweeps."""


@mutant(
    "retried for ever",
    caught_by=TriedAgain,
    seen_in="rq and celery, for jobs that kill their worker: the attempt is not counted",
    plan=FAILING,
)
def retried_for_ever() -> Iterator[None]:
    """Every attempt is taken for the first one, so that none is the last."""

    def first(_job: Job) -> int:
        return 1

    with replaced(execute, "tries_of", first):
        yield


@mutant("retried at once", caught_by=TriedAgain, plan=FAILING)
def retried_at_once() -> Iterator[None]:
    """The pause between two attempts is left out."""

    def none(_policy: RetryPolicy, _tries: int, _rng: object) -> float:
        return 0.0

    with replaced(retry, "pause_s", none):
        yield


@mutant("deadline forgotten", caught_by=InTime, plan=OVERDUE)
def deadline_forgotten() -> Iterator[None]:
    """A worker that claims a job does not note by when it must have ended."""
    right = handing.claimed

    def timeless(*arguments: Any) -> Job:  # noqa: ANN401 - those of the right one
        return msgspec.structs.replace(right(*arguments), deadline_s=None)

    with replaced(store, "claimed", timeless):
        yield


@mutant("child not cancelled", caught_by=CancelHeard, plan=FAMILIES)
def child_not_cancelled() -> Iterator[None]:
    """A job is cancelled, and those below it live on."""

    async def alone(s: Statement, ids: Sequence[UUID], limit: int) -> Rows:
        unfinished = [i for i in dict.fromkeys(ids) if not s.find(s.tables.job_completed, i)]
        return [(id_, None) for id_ in unfinished[:limit]]

    with statement("family", alone):
        yield


@mutant("attempt lost from history", caught_by=OnRecord, plan=FAILING)
def attempt_lost_from_history() -> Iterator[None]:
    """What became of a failed attempt is not stored with the one that follows."""

    async def forget(_s: Statement, _worker: UUID | None, *_columns: Sequence[Any]) -> Rows:
        return []

    with statement("store_attempts", forget):
        yield


@mutant("lost attempt off record", caught_by=OnRecord, plan=DYING)
def lost_attempt_off_record() -> Iterator[None]:
    """A sweep makes jobs ready again and keeps no trace of the attempt that was lost."""
    right = MODELS["reap"]

    async def forget(s: Statement, limit: int, reaped_max: int) -> Rows:
        insert = s.insert

        async def some(table: Table[Any], row: Row, **options: Any) -> bool:  # noqa: ANN401 - as is
            return isinstance(row, AttemptRow) or await insert(table, row, **options)

        with replaced(s, "insert", some):
            return await right(s, limit, reaped_max)

    with statement("reap", forget):
        yield


@mutant("stored retry told as lost", caught_by=ToldRight, plan=UNHEARD)
def stored_retry_told_as_lost() -> Iterator[None]:
    """Who repeats a commit looks for completed jobs only, and not for attempts that were stored."""

    async def completed(
        s: Statement, worker: UUID, ids: Sequence[UUID], attempts: Sequence[int]
    ) -> Rows:
        rows = [(s.find(s.tables.job_completed, i), n) for i, n in zip(ids, attempts, strict=True)]
        return [
            (row.id,)
            for row, attempt in rows
            if row is not None and (row.worker, row.attempt) == (worker, attempt)
        ]

    with statement("find_stored", completed):
        yield
