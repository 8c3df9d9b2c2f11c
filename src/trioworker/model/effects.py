"""What follows from the ends of attempts, besides the rows of the jobs themselves.

Rule of this file: pure. Each sort of effect is one set of columns for one set-based statement,
whatever the number of jobs; `store/postgres/effects.py` says in which order they are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from trioworker.model.cache import Results, results
from trioworker.model.completion import STATUS_OF, duration_ms, error_json
from trioworker.model.follow_ups import Ended, ended
from trioworker.model.options import NO_OPTIONS, JobOptions
from trioworker.model.outcome import Begun, Executed, Interrupted, Retried, Skipped, Succeeded
from trioworker.model.schedule import End
from trioworker.model.script import DEPENDENCIES, Locks, locks
from trioworker.model.user_statement import UserStatement


class Attempts(NamedTuple):
    """Failed attempts that another one follows, in the order of the statement's parameters."""

    ids: Sequence[UUID]
    attempts: Sequence[int]
    errors: Sequence[str]
    ages_s: Sequence[float]
    durations_ms: Sequence[int]


class Labels(NamedTuple):
    """Labels of jobs that have ended, in the order of the statement's parameters."""

    ids: Sequence[UUID]
    labels: Sequence[str]


class ProgressColumns(NamedTuple):
    """What attempts have told of their progress, in the order of the statement's parameters."""

    ids: Sequence[UUID]
    attempts: Sequence[int]
    fractions: Sequence[float]
    notes: Sequence[str]


class Preprocessed(NamedTuple):
    """What scripts have made of arguments, in the order of the statement's parameters."""

    ids: Sequence[UUID]
    args: Sequence[str]


class Expiries(NamedTuple):
    """When jobs that have ended are deleted, in the order of the statement's parameters."""

    ids: Sequence[UUID]
    after_s: Sequence[float]


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """All that a batch stores besides its jobs' own rows; None and empty are nothing to store."""

    attempts: Attempts | None = None
    labels: Labels | None = None
    progress: ProgressColumns | None = None
    preprocessed: Preprocessed | None = None
    expiries: Expiries | None = None
    locks: Locks | None = None
    results: Results | None = None
    schedules: Mapping[str, Sequence[End]] = {}
    """How jobs of schedules have ended, by the schedule's name, in the order of the batch."""
    ended: Sequence[Ended] = ()
    """Jobs whose ends other jobs follow, in the order of the batch."""
    left_slots: Mapping[UUID, bool] = {}
    """Jobs that leave the slot of their concurrency key, if they have one, and whether they ran."""
    handed_over: Sequence[Sequence[UserStatement]] = ()
    """The statements that jobs have handed over, job by job, in the order of the batch."""


def has_effects(executed: Executed) -> bool:
    """Whether anything may follow from this end of an attempt."""
    if type(executed.outcome) in (Retried, Begun) or executed.labels:
        return True
    if executed.progress is not None or executed.preprocessed is not None:
        return True
    if executed.job.kind == DEPENDENCIES or executed.job.defect is not None:
        return True
    if type(executed.outcome) is Succeeded and executed.outcome.statements:
        return True
    options = executed.job.options
    return options is not NO_OPTIONS and options.has_effects


def effects_of(batch: Sequence[Executed], *, now_s: float) -> Effects:
    """What follows from the outcomes of `batch`, all of them stored.

    `now_s` is the worker's monotonic clock.
    """
    return Effects(
        attempts=_attempts(batch, now_s),
        labels=_labels(batch),
        progress=_progress(batch),
        preprocessed=_preprocessed(batch),
        expiries=_expiries(batch),
        locks=locks(batch),
        results=results(batch),
        schedules=schedule_ends(batch, now_s=now_s),
        ended=ended(batch, now_s=now_s),
        left_slots=_left_slots(batch),
        handed_over=_handed_over(batch),
    )


def effects_of_replaced(ended: Mapping[UUID, JobOptions]) -> Effects:
    """What follows from the ends of jobs in whose places others come, by what they had asked for.

    Theirs is the end of a cancelled job: nobody is told of it. Their schedules go on at the next
    sweep, for whoever replaces a job holds keys, and waits for no schedule.
    """
    return Effects(
        labels=_label_columns((id_, options.labels) for id_, options in ended.items()),
        expiries=_expiry_columns((id_, options.delete_after_s) for id_, options in ended.items()),
    )


def schedule_ends(batch: Sequence[Executed], *, now_s: float) -> Mapping[str, Sequence[End]]:
    """The ends of jobs of schedules, which may be due to make their next ticks jobs."""
    ends: dict[str, list[End]] = {}
    for executed in batch:
        options = executed.job.options
        status = STATUS_OF.get(type(executed.outcome))
        if options.schedule is not None and status is not None:
            end = End(options.tick, status, now_s - executed.started_s)
            ends.setdefault(options.schedule, []).append(end)
    return ends


def _attempts(batch: Sequence[Executed], now_s: float) -> Attempts | None:
    rows = [
        (
            executed.job.id,
            executed.job.attempt,
            error_json(executed.outcome.error),
            now_s - executed.started_s,
            duration_ms(executed),
        )
        for executed in batch
        if isinstance(executed.outcome, Retried)
    ]
    return Attempts(*zip(*rows, strict=True)) if rows else None


def _labels(batch: Sequence[Executed]) -> Labels | None:
    """Those that were said of the jobs, and those they were given while they ran."""
    return _label_columns(
        (executed.job.id, (*executed.job.options.labels, *executed.labels))
        for executed in batch
        if type(executed.outcome) in STATUS_OF
    )


def _label_columns(given: Iterable[tuple[UUID, Sequence[str]]]) -> Labels | None:
    rows = [(id_, label) for id_, labels in given for label in dict.fromkeys(labels)]
    return Labels(*zip(*rows, strict=True)) if rows else None


def _progress(batch: Sequence[Executed]) -> ProgressColumns | None:
    """What is not stored yet. An attempt that another one follows leaves none: that begins anew."""
    rows = [
        (executed.job.id, executed.job.attempt, told.fraction, told.note)
        for executed in batch
        if (told := executed.progress) is not None and type(executed.outcome) is not Retried
    ]
    return ProgressColumns(*zip(*rows, strict=True)) if rows else None


def _preprocessed(batch: Sequence[Executed]) -> Preprocessed | None:
    rows = [
        (executed.job.id, executed.preprocessed)
        for executed in batch
        if executed.preprocessed is not None and type(executed.outcome) in STATUS_OF
    ]
    return Preprocessed(*zip(*rows, strict=True)) if rows else None


def _expiries(batch: Sequence[Executed]) -> Expiries | None:
    return _expiry_columns(
        (executed.job.id, executed.job.options.delete_after_s)
        for executed in batch
        if type(executed.outcome) in STATUS_OF
    )


def _expiry_columns(given: Iterable[tuple[UUID, float | None]]) -> Expiries | None:
    rows = [(id_, after_s) for id_, after_s in given if after_s is not None]
    return Expiries(*zip(*rows, strict=True)) if rows else None


def _handed_over(batch: Sequence[Executed]) -> Sequence[Sequence[UserStatement]]:
    outcomes = (executed.outcome for executed in batch)
    return [o.statements for o in outcomes if isinstance(o, Succeeded) and o.statements]


def _left_slots(batch: Sequence[Executed]) -> Mapping[UUID, bool]:
    """An interrupted job keeps its slot: it goes on at once, and so does a flow that has begun.

    One with a defect may have one.
    """
    return {
        executed.job.id: not isinstance(executed.outcome, Skipped)
        for executed in batch
        if executed.job.options.limit is not None or executed.job.defect is not None
        if not isinstance(executed.outcome, Interrupted | Begun)
    }
