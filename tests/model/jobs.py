"""Claimed jobs for tests that need some."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from trioworker.model.job import Job
from trioworker.model.options import NO_OPTIONS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claimed_job(number: int, tag: str = "a", priority: int = 0) -> Job:
    """Job `number`, due `number` seconds after NOW."""
    return Job(
        id=UUID(int=number),
        claim=UUID(int=99),
        attempt=1,
        reaped=0,
        kind="function",
        path="f",
        args="{}",
        tag=tag,
        priority=priority,
        scheduled_for=NOW + timedelta(seconds=number),
        awaited=False,
        options=NO_OPTIONS,
    )
