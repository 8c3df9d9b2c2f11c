"""Which claims a worker holds, and which of them it will not adopt."""

from datetime import UTC, datetime
from uuid import UUID

import trio
import trio.testing

from trioworker.model.job import Job
from trioworker.model.options import NO_OPTIONS
from trioworker.worker.holdings import Holdings


def job(number: int, claim: int) -> Job:
    """A job in a claim."""
    return Job(
        id=UUID(int=number), claim=UUID(int=claim), attempt=1, reaped=0, kind="function",
        path="test", args="{}", tag="default", priority=0, awaited=False, options=NO_OPTIONS,
        scheduled_for=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_a_claim_is_held_until_its_last_job_has_left() -> None:
    """Jobs leave one by one; their claim is known as long as one of them is there."""
    holdings = Holdings()
    holdings.take([job(1, 7), job(2, 7), job(3, 8)])
    holdings.release([job(1, 7), job(3, 8)])
    assert (len(holdings), holdings.claims) == (1, {UUID(int=7)})
    holdings.release([job(2, 7)])
    assert (len(holdings), holdings.claims) == (0, set())


def test_an_abandoned_job_is_out_of_hand_and_its_claim_known() -> None:
    """To adopt it would be to run it again, which no failed commit may cause."""
    holdings = Holdings()
    holdings.take([job(1, 7)])
    holdings.abandon(job(1, 7))
    assert (len(holdings), holdings.claims) == (0, {UUID(int=7)})
