"""`@app.schedule`: what is declared, and what is refused before anything runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from trioworker.app import App, JobFunction
from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.follow_ups import EndedJob
from trioworker.model.options import Handler, JobOptions, RetryPolicy
from trioworker.model.schedule import Schedule
from trioworker.model.ticks import Timing


def test_a_schedule_takes_from_its_job_what_it_does_not_say() -> None:
    """App, then job, then schedule; a job may have several under names of their own."""
    app = App(tag="reports")

    @app.schedule(cron="0 6 * * MON", timezone="Europe/Berlin", args={"days": 7}, priority=5)
    @app.schedule(name="hourly", every_s=3600, overlap="allow", catch_up="last", deadline_s=60)
    @app.job(retry=3, priority=1)
    def report(days: int = 1) -> None: ...

    assert isinstance(report, JobFunction)
    assert app.schedules == {
        "hourly": Schedule(
            name="hourly",
            path="report",
            timing=Timing(every_s=3600),
            tag="reports",
            priority=1,
            options=JobOptions(retry=RetryPolicy(attempts=3)),
            deadline_s=60,
            overlap="allow",
            catch_up="last",
            declared_by=__name__,
        ),
        "report": Schedule(
            name="report",
            path="report",
            timing=Timing(cron="0 6 * * MON", timezone="Europe/Berlin"),
            args={"days": 7},
            tag="reports",
            priority=5,
            options=JobOptions(retry=RetryPolicy(attempts=3)),
            declared_by=__name__,
        ),
    }
    app.check()


def test_a_schedule_may_name_a_handler_that_comes_later() -> None:
    """Handlers are looked up when the app is whole, and one that is missing is told of."""
    app = App()

    @app.schedule(every_s=60, on_error="alarm")
    @app.job
    def work() -> None: ...

    with pytest.raises(UsageError, match="unknown job 'alarm'"):
        app.check()

    @app.job(tag="alarms")
    def alarm(ended: EndedJob) -> None: ...

    assert app.schedules["work"].options.on_error == Handler("alarm", "alarms")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"cron": "0 0 30 2 *"}, "schedule 'job': the cron line '0 0 30 2 *' will not do"),
        ({"cron": "* * * * *", "timezone": "Mars/Base"}, "there is no time zone 'Mars/Base'"),
        ({"every_s": 0}, "schedule 'job': the interval of a schedule of 0 will not do"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None)}, "has no time zone"),
        ({}, "just one of cron=…, every_s=… and at=…"),
        ({"every_s": 60, "overlap": "maybe"}, "unknown overlap 'maybe'"),
        ({"every_s": 60, "args": {"a": object()}}, "the arguments cannot be JSON"),
        ({"every_s": 60, "limit": 0}, "a limit of 0 jobs would let none run"),
        ({"every_s": 60, "name": ""}, "the schedule name '' will not do"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(
    said: dict[str, Any], complaint: str
) -> None:
    """One line, with the name of the schedule."""
    app = App()

    @app.job
    def job() -> None: ...

    with pytest.raises(UsageError) as refusal:
        app.schedule(**said)(job)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert app.schedules == {}


def test_a_schedule_is_of_a_job_of_this_app() -> None:
    """Below `@app.job`, or on another app's job, it is refused."""
    app, other = App(), App()

    def plain() -> None: ...

    for function in (plain, other.job(plain)):
        with pytest.raises(UsageError, match=r"stands above @app\.job"):
            app.schedule(every_s=60)(function)  # type: ignore[type-var]  # wrong on purpose


def test_two_schedules_have_two_names() -> None:
    """The second one of a job has to be given one."""
    app = App()
    job = app.schedule(every_s=60)(app.job(name="job")(lambda: None))
    with pytest.raises(UsageError, match="two schedules are called 'job'"):
        app.schedule(every_s=90)(job)


def test_arguments_that_do_not_fit_the_job_are_refused_with_the_app() -> None:
    """Before a worker starts, not when the tick comes."""
    app = App()

    @app.schedule(every_s=60, args={"dayz": 1})
    @app.job
    def job(days: int = 1) -> None: ...

    with pytest.raises(InvalidArguments, match="schedule 'job'"):
        app.check()
