"""Jobs that follow from the end of another one: its handlers are told, and it is run again.

    how the job ended                       whom it tells             is it restarted
    --------------------------------------  ------------------------  ---------------
    failure                                 on_error                  yes
    success                                 on_success                yes
    success after attempts of it, or its    on_success, on_recovery   yes
    schedule's last run, that failed
    canceled                                nobody: it was wanted so  no
    skipped                                 nobody: nothing was run   yes

Rule of this file: pure. A job that is muted tells nobody, and neither does a handler, so that no
handler can be the reason for another one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from trioworker.model.completion import storable_error
from trioworker.model.job import ARGS_BYTES_MAX, UNCLAIMED, Job, NewJob, compact
from trioworker.model.options import Handler, HandlerOf, JobOptions
from trioworker.model.outcome import (
    Executed,
    Failed,
    JobError,
    Outcome,
    Skipped,
    Succeeded,
)
from trioworker.model.retry import tries_of

FACT_BYTES_MAX: Final = 64 * 1024
RESTART_AFTER_S: Final = 10.0
"""A job that restarts begins at most once in so many seconds."""

IdOf: TypeAlias = Callable[[UUID, int, str], UUID]
"""Makes the id of the job that follows: of the id and the attempt of the one before, and why."""

_encode: Final = msgspec.json.Encoder().encode


class EndedJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one argument of a handler: which job has ended, and how.

    `args` and `result` are decoded JSON; one that has more than 64 KiB is None, and its name is
    among the `left_out`. `result` is of a success, `error` of a failure. `started_at` is None when
    nobody knows it, because the job's worker was lost. `tick` is the time that a job of a schedule
    stands for.
    """

    id: UUID
    kind: str
    path: str
    tag: str
    status: Literal["success", "failure"]
    attempt: int
    completed_at: datetime
    started_at: datetime | None = None
    args: Any = None
    result: Any = None
    error: JobError | None = None
    schedule: str | None = None
    tick: datetime | None = None
    left_out: tuple[str, ...] = ()


A_CALL_OF_A_HANDLER: Final = _encode(
    [
        EndedJob(
            id=UUID(int=1),
            kind="function",
            path="f",
            tag="t",
            status="failure",
            attempt=1,
            completed_at=datetime(1970, 1, 1, tzinfo=UTC),
        )
    ]
)
"""Arguments that every function takes that can be a handler."""


class Ended(NamedTuple):
    """A job that has ended and is followed by others; it began `age_s` seconds ago."""

    job: Job
    outcome: Outcome
    age_s: float


class Origin(NamedTuple):
    """What a restarted job has in common with the one before, besides what a worker knows."""

    parent: UUID | None
    created_by: str


NO_ORIGIN: Final = Origin(None, "")


def ended(batch: Sequence[Executed], *, now_s: float) -> Sequence[Ended]:
    """Those of the batch that others may follow, in its order."""
    return [
        Ended(executed.job, executed.outcome, now_s - executed.started_s)
        for executed in batch
        if isinstance(executed.outcome, Succeeded | Failed | Skipped)
        if executed.job.options.restart or _may_tell(executed.job.options)
    ]


def restarts(ends: Sequence[Ended]) -> Sequence[UUID]:
    """The jobs of `ends` that are run again."""
    return [end.job.id for end in ends if end.job.options.restart]


def follow_ups(
    ends: Sequence[Ended],
    *,
    now: datetime,
    failures: Mapping[str, int],
    origins: Mapping[UUID, Origin],
    id_of: IdOf,
) -> Sequence[NewJob]:
    """The jobs that follow from `ends`, which come in the order of their batch.

    `now` is the database's clock. `failures` says how often each schedule had failed in a row
    before; `origins` are those of the `restarts`.
    """
    counted = dict(failures)
    jobs = []
    for end in ends:
        after_failures = tries_of(end.job) > 1 or _counts_as_recovered(end, counted)
        for of, handler in _told(end, after_failures=after_failures):
            jobs.append(_call(end, of, handler, now, id_of))
        if end.job.options.restart:
            jobs += _again(end, now, origins.get(end.job.id, NO_ORIGIN), id_of)
    return jobs


def facts(end: Ended, now: datetime) -> EndedJob:
    """What a handler is told."""
    job, outcome = end.job, end.outcome
    result = outcome.result if isinstance(outcome, Succeeded) else b"null"
    known = {"args": job.args.encode(), "result": result}
    kept = {name: text for name, text in known.items() if len(text) <= FACT_BYTES_MAX}
    return EndedJob(
        id=job.id,
        kind=job.kind,
        path=job.path,
        tag=job.tag,
        status="success" if isinstance(outcome, Succeeded) else "failure",
        attempt=job.attempt,
        completed_at=now,
        started_at=None if job.claim == UNCLAIMED else now - timedelta(seconds=end.age_s),
        error=storable_error(outcome.error) if isinstance(outcome, Failed) else None,
        schedule=job.options.schedule,
        tick=job.options.tick,
        left_out=tuple(name for name in known if name not in kept),
        **{name: msgspec.Raw(text) for name, text in kept.items() if text != b"null"},
    )


def _may_tell(options: JobOptions) -> bool:
    if options.muted or options.handles is not None:
        return False
    handlers = (options.on_error, options.on_success, options.on_recovery)
    return any(handler is not None for handler in handlers)


def _counts_as_recovered(end: Ended, failures: dict[str, int]) -> bool:
    """Whether the schedule had failed before this end, which then counts itself."""
    schedule = end.job.options.schedule
    if schedule is None:
        return False
    before = failures.get(schedule, 0)
    if isinstance(end.outcome, Failed):
        failures[schedule] = before + 1
    elif isinstance(end.outcome, Succeeded):
        failures[schedule] = 0
    return before > 0


def _told(end: Ended, *, after_failures: bool) -> Iterator[tuple[HandlerOf, Handler]]:
    options = end.job.options
    if not _may_tell(options):
        return
    if isinstance(end.outcome, Failed) and options.on_error is not None:
        yield "error", options.on_error
    if isinstance(end.outcome, Succeeded):
        if options.on_success is not None:
            yield "success", options.on_success
        if after_failures and options.on_recovery is not None:
            yield "recovery", options.on_recovery


def _call(end: Ended, of: HandlerOf, handler: Handler, now: datetime, id_of: IdOf) -> NewJob:
    """It belongs to no other job: who cancels an ended job does not mean its handlers."""
    return NewJob(
        id=id_of(end.job.id, end.job.attempt, of),
        kind="function",
        path=handler.path,
        args=_encode([facts(end, now)]),
        tag=handler.tag,
        priority=handler.priority,
        options=JobOptions(handles=of),
    )


def _again(end: Ended, now: datetime, origin: Origin, id_of: IdOf) -> Iterator[NewJob]:
    """The same job once more; nobody waits for this one."""
    job = end.job
    # PostgreSQL shows JSON with spaces, which must not make it too long for another time.
    args = compact(job.args)
    if len(args) > ARGS_BYTES_MAX:
        return
    rest_s = RESTART_AFTER_S - (0.0 if job.claim == UNCLAIMED else end.age_s)
    yield NewJob(
        id=id_of(job.id, job.attempt, "restart"),
        kind=job.kind,  # type: ignore[arg-type]  # NewJob says so if it is none
        path=job.path,
        args=args,
        tag=job.tag,
        priority=job.priority,
        scheduled_for=now + timedelta(seconds=rest_s) if rest_s > 0 else None,
        options=job.options,
        created_by=origin.created_by,
        parent=origin.parent,
    )
