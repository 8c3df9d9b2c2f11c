"""What people are shown of a schedule: what was said about it, and how far it has come."""

from datetime import datetime
from typing import Any

import msgspec

from trioworker.model.schedule import Progress, Schedule


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands. Without a `path` its definition cannot be used: see `problem`.

    `next_tick` is what it waits for: in the past while its job is due or runs, None while it is
    paused and once it is over. `last_tick` is the newest tick that became a job, and `failures` how
    often its jobs have failed since one succeeded.
    """

    name: str
    state: str
    next_tick: datetime | None = None
    last_tick: datetime | None = None
    failures: int = 0
    problem: str | None = None
    path: str | None = None
    kind: str | None = None
    args: Any = None
    cron: str | None = None
    every_s: float | None = None
    at: datetime | None = None
    timezone: str | None = None
    overlap: str | None = None
    catch_up: str | None = None
    tag: str | None = None
    priority: int = 0
    declared_by: str = ""


def state_of(
    name: str,
    schedule: Schedule | None,
    progress: Progress,
    *,
    problem: str | None,
    now: datetime,
) -> ScheduleState:
    """How the schedule stands at `now`."""
    coming = None if schedule is None else _next_tick(schedule, progress, now)
    state = "paused" if progress.paused else "active"
    if schedule is None:
        return ScheduleState(name=name, state="broken", problem=problem, failures=progress.failures)
    return ScheduleState(
        name=name,
        state="over" if coming is None and state == "active" else state,
        next_tick=coming,
        last_tick=progress.last_tick,
        failures=progress.failures,
        path=schedule.path,
        kind=schedule.kind,
        args=schedule.args,
        cron=schedule.timing.cron,
        every_s=schedule.timing.every_s,
        at=schedule.timing.at,
        timezone=schedule.timing.timezone,
        overlap=schedule.overlap,
        catch_up=schedule.catch_up,
        tag=schedule.tag,
        priority=schedule.priority,
        declared_by=schedule.declared_by,
    )


def _next_tick(schedule: Schedule, progress: Progress, now: datetime) -> datetime | None:
    if progress.paused:
        return None
    if progress.pending:
        return progress.last_tick
    if schedule.overlap == "allow":
        return schedule.timing.next(max(now, progress.decided_until))
    return None if progress.look_at is None else schedule.timing.next(progress.base)
