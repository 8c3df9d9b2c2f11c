"""Mutants of ended jobs: wrong labels, deleted too soon or by halves, and second chances."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sim.database.models import MODELS, Rows, Statement, endings
from sim.database.rows import AttemptRow, LogRow, Row
from sim.database.table import Table
from sim.oracles.endings import Deleted, Labelled, SecondChance
from sim.oracles.follow_ups import Followed
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.model import effects, follow_ups
from trioworker.model.effects import Labels
from trioworker.model.options import JobOptions
from trioworker.model.outcome import Executed
from trioworker.model.state import Requeued
from trioworker.store.postgres.jobs import PostgresJobs

LABELLED: Final = Plan(
    seed=0, sizes=Sizes(workers=1, jobs=20), bodies={"label": 1.0}, labels=0.5, chaos_s=3.0
)
"""Jobs have labels, give themselves others, and try again now and then."""
SHORT_LIVED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, jobs=20, sweep_s=0.5, retention_s=2.0),
    bodies={"log": 1.0, "raise": 1.0},
    delete_after_s=(0.0, 3.0),
    requeues=6,
    narrow=True,
    chaos_s=6.0,
)
"""Jobs are deleted soon after they have ended, and some of them are run once more before that."""
BUSY: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, sweep_s=0.5, concurrency=1),
    jobs=(*("raise",) * 6, *("long@0.5",) * 4),
    delete_after_s=(4.0,),
    requeues=12,
    narrow=True,
    chaos_s=8.0,
)
"""Whatever is run once more has to wait for long until it begins."""
AGAIN: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, jobs=20),
    bodies={"raise": 1.0, "label": 1.0},
    labels=0.5,
    requeues=6,
    chaos_s=6.0,
)
"""Somebody gives jobs that fail a second chance."""
TOLD: Final = Plan(
    seed=0, sizes=Sizes(workers=1, jobs=30), bodies={"ok": 1.0, "raise": 1.0}, told=0.9, chaos_s=3.0
)
"""Jobs tell others how they end; some are muted."""


@mutant("labels of a failed attempt kept", caught_by=Labelled, plan=LABELLED)
def labels_of_a_failed_attempt_kept() -> Iterator[None]:
    """What an attempt gave its job is stored with it, although another one follows."""

    def of_all(batch: Sequence[Executed]) -> Labels | None:
        rows = [
            (one.job.id, label)
            for one in batch
            for label in dict.fromkeys((*one.job.options.labels, *one.labels))
        ]
        return Labels(*zip(*rows, strict=True)) if rows else None

    with replaced(effects, "_labels", of_all):
        yield


@mutant("labels of its own lost", caught_by=Labelled, plan=LABELLED)
def labels_of_its_own_lost() -> Iterator[None]:
    """A job ends with the labels that it was enqueued with, whatever it gave itself."""
    right = effects._labels

    def said(batch: Sequence[Executed]) -> Labels | None:
        return right([Executed(one.job, one.outcome, 0.0, 0.0) for one in batch])

    with replaced(effects, "_labels", said):
        yield


@mutant("deleted by its beginning", caught_by=Deleted, plan=SHORT_LIVED)
def deleted_by_its_beginning() -> Iterator[None]:
    """How old a job is counts from when it was made, and not from its end."""

    async def by_id(s: Statement, limit: int, older_s: float) -> Rows:
        def made_long_ago(id_: UUID) -> bool:
            return (s.now - endings._made_at(id_)).total_seconds() > older_s

        old = sorted(r.id for r in s.rows(s.tables.job_completed) if made_long_ago(r.id))
        return [(id_,) for id_ in old[:limit]]

    with statement("old_jobs", by_id):
        yield


@mutant("deleted by halves", caught_by=Deleted, plan=SHORT_LIVED)
def deleted_by_halves() -> Iterator[None]:
    """A job is deleted, and what it wrote is there for ever."""
    right = MODELS["delete_jobs"]

    async def some(s: Statement, ids: Sequence[UUID]) -> Rows:
        with _blind(s, LogRow):
            return await right(s, ids)

    with statement("delete_jobs", some):
        yield


@mutant("deleted in its second run", caught_by=Deleted, plan=BUSY)
def deleted_in_its_second_run() -> Iterator[None]:
    """When a job is to be deleted is noted at its end, and still counts in its second run."""

    async def keep(s: Statement, ids: Sequence[UUID]) -> None:
        await endings._unlabel(s, ids)
        for id_ in ids:
            await s.delete(s.tables.job_completed, id_)

    async def due(s: Statement, limit: int) -> Rows:
        ids = sorted(row.id for row in s.rows(s.tables.expiry) if row.at <= s.now)
        return [(id_,) for id_ in ids[:limit]]

    with replaced(endings, "_forget", keep), statement("expired_jobs", due):
        yield


@mutant("second chance with old labels", caught_by=SecondChance, plan=AGAIN)
def second_chance_with_old_labels() -> Iterator[None]:
    """A job that is run once more has the labels of its first end all the while."""

    async def nothing(_s: Statement, _ids: Sequence[UUID]) -> None:
        return

    with replaced(endings, "_unlabel", nothing):
        yield


@mutant("second chance without a past", caught_by=SecondChance, plan=AGAIN)
def second_chance_without_a_past() -> Iterator[None]:
    """Of a job that is run once more nobody knows how it had ended."""
    right = MODELS["requeue_jobs"]

    async def forget(s: Statement, ids: Sequence[UUID]) -> Rows:
        insert = s.insert

        async def some(table: Table[Any], row: Row, **options: Any) -> bool:  # noqa: ANN401 - as is
            return isinstance(row, AttemptRow) or await insert(table, row, **options)

        with replaced(s, "insert", some):
            return await right(s, ids)

    with statement("requeue_jobs", forget):
        yield


@mutant("second chance only promised", caught_by=SecondChance, plan=AGAIN)
def second_chance_only_promised() -> Iterator[None]:
    """Whoever asks that jobs be run once more is told of all of them, whatever became of that."""

    async def promise(_self: PostgresJobs, ids: Sequence[UUID]) -> Requeued:
        return Requeued(ids, {})

    with replaced(PostgresJobs, "requeue", promise):
        yield


@mutant("muted in vain", caught_by=Followed, plan=TOLD)
def muted_in_vain() -> Iterator[None]:
    """A job that is muted tells its handlers all the same."""

    def loud(options: JobOptions) -> bool:
        return options.handles is None

    with replaced(follow_ups, "_may_tell", loud):
        yield


@mutant("every success a recovery", caught_by=Followed, plan=TOLD)
def every_success_a_recovery() -> Iterator[None]:
    """Whoever is to hear of recoveries hears of every success."""

    def always(_job: object) -> int:
        return 2

    with replaced(follow_ups, "tries_of", always):
        yield


def _blind(s: Statement, kind: type[Row]) -> Any:  # noqa: ANN401 - a block
    """A block in which a statement sees no rows of a kind."""
    right = s.rows

    def rows(table: Table[Any]) -> Iterator[Any]:
        return (row for row in right(table) if not isinstance(row, kind))

    return replaced(s, "rows", rows)
