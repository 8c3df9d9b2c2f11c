"""What a schedule is, and which of its ticks becomes a job next.

Rule of this file: pure. A tick becomes a job at most once, because whoever decides holds the row
of the schedule and only ever goes forwards: from the last tick that became a job, or from the
moment up to which everything has been decided, whichever is later.

Ticks that passed without a job were missed, and why decides what happens to them: those before the
last job began passed because nobody worked (`catch_up`), the others while it ran (`overlap`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, get_args
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.job import DEFAULT_TAG, Kind, NewJob
from trioworker.model.options import DELAY_S_MAX, NO_OPTIONS, JobOptions, one_of, within
from trioworker.model.ticks import Timing

Overlap = Literal["skip", "queue_one", "allow"]
CatchUp = Literal["none", "last", "all"]
OVERLAPS: Final[tuple[str, ...]] = get_args(Overlap)
CATCH_UPS: Final[tuple[str, ...]] = get_args(CatchUp)

NAME_BYTES_MAX: Final = 200
HORIZON: Final = timedelta(seconds=60)
"""How long before it is due a tick of a schedule with overlap "allow" becomes a job."""
TICKS_AT_ONCE_MAX: Final = 100
"""How many missed ticks of one schedule become jobs in one transaction."""
LONG_DUE: Final = timedelta(hours=1)

_UNTIMED: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Schedule(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A job that is enqueued again and again, as it is stored; `args` are its arguments, decoded.

    `overlap` says what happens to ticks that pass while the job of the one before runs: "skip"
    drops them, "queue_one" runs the last of them right after it, "allow" runs each at its time,
    beside it. `catch_up` says what happens to ticks that passed because nobody worked: "none" drops
    them, "last" runs the last of them, "all" runs every tick there ever is, late ones in turn.
    `deadline_s` counts from the tick. `declared_by` is the module whose app declared it.
    """

    name: str
    path: str
    timing: Timing
    kind: Kind = "function"
    args: dict[str, Any] | list[Any] = {}
    tag: str = DEFAULT_TAG
    priority: int = 0
    options: JobOptions = NO_OPTIONS
    deadline_s: float | None = None
    overlap: Overlap = "skip"
    catch_up: CatchUp = "none"
    declared_by: str = ""

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        check_name(self.name)
        one_of("overlap", self.overlap, OVERLAPS)
        one_of("catch_up", self.catch_up, CATCH_UPS)
        if self.deadline_s is not None:
            within("a deadline", self.deadline_s, 0.001, DELAY_S_MAX)
        self.any_job()

    def any_job(self) -> NewJob:
        """One of its jobs, for what all of them have in common. Raises as `job` does."""
        return self.job(UUID(int=0), None, _UNTIMED)

    def job(self, id_: UUID, tick: datetime | None, now: datetime) -> NewJob:
        """The job of a tick, or of no tick, due at once. Raises `UsageError` for what is no job."""
        deadline = None
        if self.deadline_s is not None:
            deadline = max(now, tick or now) + timedelta(seconds=self.deadline_s)
        return NewJob(
            id=id_,
            kind=self.kind,
            path=self.path,
            args=msgspec.json.encode(self.args),
            tag=self.tag,
            priority=self.priority,
            scheduled_for=tick,
            options=msgspec.structs.replace(
                self.options, schedule=self.name, tick=tick, deadline=deadline
            ),
        )


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a schedule has come.

    `last_tick` is the newest tick that became a job, and `pending` says that the next one waits
    for the end of that job. All ticks up to `decided_until` have been decided. `look_at` is when a
    sweep has to look at the schedule, if nothing happens before; None for never. `failures` counts
    the failures since the last success.
    """

    decided_until: datetime
    paused: bool = False
    last_tick: datetime | None = None
    pending: bool = False
    look_at: datetime | None = None
    failures: int = 0

    @property
    def base(self) -> datetime:
        """No tick up to here may become a job any more."""
        return max(self.decided_until, self.last_tick or self.decided_until)


class End(NamedTuple):
    """How a job of a schedule ended; `tick` is None when it was run by hand.

    `age_s` is how many seconds ago it began, 0 when it never did or nobody knows.
    """

    tick: datetime | None
    status: str
    age_s: float


class Move(NamedTuple):
    """What is decided about a schedule: its progress, and the ticks that become jobs."""

    progress: Progress
    ticks: Sequence[datetime] = ()


def begin(schedule: Schedule, progress: Progress, now: datetime) -> Move:
    """The first tick after now becomes a job; none of those before ever does."""
    fresh = msgspec.structs.replace(
        progress, decided_until=max(now, progress.base), pending=False, look_at=None
    )
    if fresh.paused:
        return Move(fresh)
    if schedule.overlap == "allow":
        return _run_ahead(schedule, fresh, now)
    return _become(fresh, schedule.timing.next(fresh.base))


def after_end(schedule: Schedule, progress: Progress, end: End, now: datetime) -> Move:
    """What the end of one of its jobs leads to; a job that nobody waits for only counts."""
    failures = {"success": 0, "failure": progress.failures + 1}.get(end.status, progress.failures)
    counted = msgspec.structs.replace(progress, failures=failures)
    if not progress.pending or end.tick is None or end.tick != progress.last_tick:
        return Move(counted)
    return _go_on(schedule, counted, end.age_s, now)


def when_due(schedule: Schedule, progress: Progress, now: datetime) -> Move:
    """What a sweep does about a schedule that is due and has no unfinished job to wait for.

    Either its ticks are made jobs ahead of time, or its last job has gone without anybody taking
    notice: deleted by hand, or never enqueued. A tick that became a job once is not repeated.
    """
    if progress.paused:
        return Move(msgspec.structs.replace(progress, pending=False, look_at=None))
    if schedule.overlap == "allow":
        return _run_ahead(schedule, progress, now)
    return _go_on(schedule, progress, 0.0, now)


def unstarted(schedule: Schedule, progress: Progress, now: datetime) -> Sequence[datetime]:
    """Ticks that became jobs, perhaps not begun yet; of those long due only the waiting one."""
    if progress.last_tick is None:
        return ()
    if schedule.overlap != "allow":
        return (progress.last_tick,) if progress.pending else ()
    return [*schedule.timing.ticks(min(now, progress.last_tick) - LONG_DUE, progress.last_tick)]


def taken_back(progress: Progress) -> Progress:
    """The progress when the jobs of the ticks to come are gone as if they had never been."""
    return msgspec.structs.replace(progress, last_tick=None, pending=False)


def check_name(name: str) -> None:
    """Raises `UsageError` when a schedule cannot be called so."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= NAME_BYTES_MAX or not name.isprintable():
        raise UsageError(
            f"the schedule name {name[:60]!r} will not do: 1 to {NAME_BYTES_MAX} bytes of printable"
            " characters"
        )


def _go_on(schedule: Schedule, progress: Progress, age_s: float, now: datetime) -> Move:
    """The tick after one whose job has ended, having begun `age_s` seconds ago."""
    base, timing = progress.base, schedule.timing
    if progress.paused:
        return Move(msgspec.structs.replace(progress, pending=False, look_at=None))
    if schedule.catch_up == "all":
        return _become(progress, timing.next(base))
    began = now - timedelta(seconds=max(0.0, age_s))
    late = None
    if schedule.catch_up == "last":
        late = timing.last(base, began)
    if schedule.overlap == "queue_one":
        late = timing.last(max(base, began), now) or late
    decided = msgspec.structs.replace(progress, decided_until=max(now, base))
    return _become(decided, late or timing.next(decided.decided_until))


def _become(progress: Progress, tick: datetime | None) -> Move:
    """The tick becomes the job that the next one waits for; None ends the schedule."""
    if tick is None:
        return Move(msgspec.structs.replace(progress, pending=False, look_at=None))
    waiting = msgspec.structs.replace(progress, last_tick=tick, pending=True, look_at=tick)
    return Move(waiting, (tick,))


def _run_ahead(schedule: Schedule, progress: Progress, now: datetime) -> Move:
    """Ticks of the next minute become jobs, and one more; of those missed, what `catch_up` says."""
    base, timing = progress.base, schedule.timing
    missed: Sequence[datetime] = ()
    if schedule.catch_up == "all":
        missed = [*islice(timing.ticks(base, now), TICKS_AT_ONCE_MAX)]
    elif schedule.catch_up == "last" and (last := timing.last(base, now)) is not None:
        missed = [last]
    if len(missed) == TICKS_AT_ONCE_MAX:
        more = msgspec.structs.replace(progress, last_tick=missed[-1], pending=False, look_at=now)
        return Move(more, missed)
    start = max(base, now)
    ticks = [*missed, *timing.ticks(start, now + HORIZON)]
    beyond = timing.next(max([start, *ticks]))
    ticks += [] if beyond is None else [beyond]
    done = msgspec.structs.replace(
        progress,
        decided_until=start,
        last_tick=ticks[-1] if ticks else progress.last_tick,
        pending=False,
        look_at=None if beyond is None else beyond - HORIZON,
    )
    return Move(done, ticks)
