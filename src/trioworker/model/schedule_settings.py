"""What a user says about a schedule, and the schedule that it comes to.

Rule of this file: pure. Everything that can be wrong with it is said here, when it is declared.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypedDict, cast

import msgspec

from trioworker.errors import UsageError
from trioworker.model.job import Kind
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import Handler
from trioworker.model.schedule import CatchUp, Overlap, Schedule
from trioworker.model.ticks import Timing


class ScheduleSettings(JobSettings, total=False):
    """What may be said about a schedule besides its times, and about each of its jobs.

    `overlap` is "skip", "queue_one" or "allow", `catch_up` is "none", "last" or "all"; see
    docs/schedules.md for what they do. `deadline_s` counts from the tick.
    """

    overlap: Overlap
    catch_up: CatchUp


class Times(TypedDict, total=False):
    """When it ticks: one of `cron`, `every_s` and `at`; `timezone` is for a cron line."""

    cron: str | None
    every_s: float | None
    at: datetime | None
    timezone: str


def make_schedule(
    name: str,
    path: str,
    args: dict[str, Any] | list[Any] | None,
    times: Times,
    settings: ScheduleSettings,
    *,
    kind: Kind = "function",
    handler: Callable[[str], Handler] = Handler,
    declared_by: str = "",
) -> Schedule:
    """The schedule `name` of the job `path`. Raises `UsageError` for what could never be."""
    said = dict(settings)
    overlap, catch_up = said.pop("overlap", "skip"), said.pop("catch_up", "none")
    try:
        encoded = _encoded(args)
        resolved = resolve(
            cast("JobSettings", said),
            path=path,
            args=encoded,
            handler=handler,
            now=None,
        )
        return Schedule(
            name=name,
            path=path,
            kind=kind,
            args=msgspec.json.decode(encoded),
            timing=Timing(**times),
            tag=resolved.tag,
            priority=resolved.priority,
            options=resolved.options,
            deadline_s=settings.get("deadline_s"),
            overlap=cast("Overlap", overlap),
            catch_up=cast("CatchUp", catch_up),
            declared_by=declared_by,
        )
    except UsageError as error:
        raise UsageError(f"schedule '{name}': {error}") from None


def _encoded(args: dict[str, Any] | list[Any] | None) -> bytes:
    try:
        return msgspec.json.encode({} if args is None else args)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"the arguments cannot be JSON: {error}") from error
