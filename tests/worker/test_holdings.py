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


async def test_whoever_waits_for_a_claim_is_woken_when_it_is_settled() -> None:
    """Not while a job of it is in hand, and however many of other claims are."""
    holdings = Holdings()
    holdings.take([job(1, 7), job(2, 7), job(3, 8)])
    woken: list[str] = []

    async def wait() -> None:
        await holdings.settled.wait()
        woken.append("woken")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        holdings.release([job(1, 7)])
        await trio.testing.wait_all_tasks_blocked()
        assert (woken, holdings.has(UUID(int=7))) == ([], True)
        holdings.release([job(2, 7)])
    assert (woken, holdings.has(UUID(int=7)), len(holdings)) == (["woken"], False, 1)


def test_an_abandoned_job_is_out_of_hand_and_its_claim_known() -> None:
    """To adopt it would be to run it again, which no failed commit may cause."""
    holdings = Holdings()
    holdings.take([job(1, 7)])
    holdings.abandon(job(1, 7))
    assert (len(holdings), holdings.claims) == (0, {UUID(int=7)})
    holdings.resume(job(1, 7))
    assert (len(holdings), holdings.has(UUID(int=7))) == (1, True)
    holdings.release([job(1, 7)])
    assert (len(holdings), holdings.claims) == (0, set())
