"""`@app.schedule`: what an app says about when its jobs are run.

Rule of this file: like the app itself it describes, and knows no database. A worker that serves
the app stores what is declared here when it starts.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar, Unpack

import msgspec

from trioworker.errors import UsageError
from trioworker.model.job_settings import JobSettings
from trioworker.model.options import Handler
from trioworker.model.schedule import Schedule
from trioworker.model.schedule_settings import ScheduleSettings, Times, make_schedule


class Schedulable(Protocol):
    """A registered job, as far as a schedule needs to know it."""

    name: str
    settings: JobSettings
    function: Callable[..., Any]

    @property
    def signature(self) -> Any:  # noqa: ANN401 - of one call, or of many
        """How JSON becomes a call."""
        ...


J = TypeVar("J", bound=Schedulable)


class _Declared(NamedTuple):
    """A schedule as it was declared, before all handlers need exist."""

    function: Schedulable
    args: dict[str, Any] | list[Any] | None
    times: Times
    settings: ScheduleSettings


class Scheduling:
    """The schedules of an app; the app is one of these."""

    jobs: Mapping[str, Any]

    def __init__(self) -> None:
        self._scheduled: dict[str, _Declared] = {}

    def schedule(
        self,
        *,
        cron: str | None = None,
        every_s: float | None = None,
        at: datetime | None = None,
        timezone: str = "UTC",
        name: str | None = None,
        args: dict[str, Any] | list[Any] | None = None,
        **settings: Unpack[ScheduleSettings],
    ) -> Callable[[J], J]:
        """Run a job again and again; stands above `@app.job`, as often as it has schedules.

        One of three says when: a `cron` line, read in `timezone`; `every_s` seconds, at whole
        multiples since 1970 in UTC; or once, `at` a moment. `name` is by default the job's, `args`
        are those of its jobs, and `settings` go before what the job says. Raises `UsageError` when
        the name is taken, it never ticks, or a setting could never be.
        """
        times = Times(cron=cron, every_s=every_s, at=at, timezone=timezone)

        def declare(function: J) -> J:
            if self.jobs.get(getattr(function, "name", "")) is not function:
                raise UsageError("@app.schedule stands above @app.job, and both are of one app")
            called = function.name if name is None else name
            if called in self._scheduled:
                raise UsageError(
                    f"two schedules are called '{called}'; give one another name with name=…"
                )
            declared = _Declared(function, args, times, settings)
            _made(called, declared, Handler)
            self._scheduled[called] = declared
            return function

        return declare

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """The schedules by name. Raises `UsageError` when one names no handler."""
        return {
            name: _made(name, declared, self.handler) for name, declared in self._scheduled.items()
        }

    def check_schedules(self) -> None:
        """Raise `UsageError` when a schedule's arguments do not fit its job."""
        for name, schedule in self.schedules.items():
            try:
                self._scheduled[name].function.signature.check(msgspec.json.encode(schedule.args))
            except UsageError as error:
                raise type(error)(f"schedule '{name}': {error}") from None

    def handler(self, name: str) -> Handler:
        """The job `name` as a handler; an app says which there are."""
        return Handler(name)


def _made(name: str, declared: _Declared, handler: Callable[[str], Handler]) -> Schedule:
    function, args, times, settings = declared
    return make_schedule(
        name,
        function.name,
        args,
        times,
        ScheduleSettings(**{**function.settings, **settings}),
        handler=handler,
        declared_by=function.function.__module__,
    )
