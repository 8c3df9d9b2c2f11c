"""`client.schedules`: look at schedules and change them, from a program on Trio or on asyncio.

Rule of this file: like the client it belongs to, it turns what a user says into what is stored, and
says what is wrong in words a user can act on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Unpack
from uuid import UUID

import msgspec

from trioworker.app import App
from trioworker.enqueuing import check_kind
from trioworker.errors import Refused, UnknownSchedule, UsageError
from trioworker.ids import new_id
from trioworker.model.job import Kind
from trioworker.model.options import Handler
from trioworker.model.schedule_settings import ScheduleSettings, Times, make_schedule
from trioworker.model.schedule_state import ScheduleState, state_of
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.schedules import Found

LIMIT_MAX: Final = 10_000


class Schedules:
    """What a program may ask about schedules. All methods raise `UsageError` and `StoreError`."""

    def __init__(self, schedules: PostgresSchedules, app: App | None) -> None:
        self._schedules = schedules
        self._app = app

    async def add(
        self,
        name: str,
        path: str,
        args: dict[str, Any] | list[Any] | None = None,
        *,
        cron: str | None = None,
        every_s: float | None = None,
        at: datetime | None = None,
        timezone: str = "UTC",
        kind: Kind = "function",
        **settings: Unpack[ScheduleSettings],
    ) -> None:
        """Let the job `path` be run again and again, as `App.schedule` says.

        One of the same name becomes as said here: the tick to come is replaced.
        """
        check_kind(kind, path)
        if self._app is not None:
            if kind == "function":
                self._app.validate(path, msgspec.json.encode({} if args is None else args))
            settings = ScheduleSettings(**{**self._app.settings_of(path, kind), **settings})
        schedule = make_schedule(
            name,
            path,
            args,
            Times(cron=cron, every_s=every_s, at=at, timezone=timezone),
            settings,
            kind=kind,
            handler=Handler if self._app is None else self._app.handler,
        )
        try:
            await self._schedules.declare({name: schedule})
        except (Refused, UnicodeDecodeError) as error:
            raise UsageError(f"the database refuses the schedule {name!r}: {error}") from error

    async def list(self, limit: int = 1_000) -> Sequence[ScheduleState]:
        """Up to `limit` schedules, by name."""
        if not 1 <= limit <= LIMIT_MAX:
            raise UsageError(f"a limit of {limit} will not do; it goes from 1 to {LIMIT_MAX}")
        return [_state(found) for found in await self._schedules.look(None, limit)]

    async def get(self, name: str) -> ScheduleState:
        """How the schedule stands. Raises `UnknownSchedule`."""
        for found in await self._schedules.look([_storable(name)], 1):
            return _state(found)
        raise _unknown(name)

    async def pause(self, name: str) -> None:
        """Let none of its ticks become a job until it is resumed. Raises `UnknownSchedule`.

        A tick whose job has not begun is undone; one that runs comes to its end.
        """
        if not await self._schedules.pause(_storable(name)):
            raise _unknown(name)

    async def resume(self, name: str) -> None:
        """Go on with the first tick from now. Raises `UnknownSchedule`."""
        if not await self._schedules.resume(_storable(name)):
            raise _unknown(name)

    async def run(self, name: str) -> UUID:
        """Run its job now, beside its ticks; returns the job's id. Raises `UnknownSchedule`."""
        job = new_id()
        if not await self._schedules.run(_storable(name), job):
            raise _unknown(name)
        return job

    async def delete(self, name: str) -> None:
        """Forget it. A tick whose job has not begun is undone. Raises `UnknownSchedule`."""
        if not await self._schedules.delete(_storable(name)):
            raise _unknown(name)


def _storable(name: str) -> str:
    """A name that can be asked for; what could be none is unknown."""
    if not name.isprintable():
        raise _unknown(name)
    return name


def _unknown(name: str) -> UnknownSchedule:
    return UnknownSchedule(
        f"there is no schedule {name!r}; `trioworker schedules list` shows those there are"
    )


def _state(found: Found) -> ScheduleState:
    return state_of(
        found.name, found.schedule, found.progress, problem=found.problem, now=found.now
    )
