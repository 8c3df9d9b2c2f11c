"""Mutants of the cancellation: requests that get lost, and requests that do too much."""

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec

from sim.database.models import MODELS, Rows, Statement
from sim.database.rows import CompletedRow
from sim.oracles.cancels import CancelHeard
from sim.oracles.places import NothingLost
from sim.plan import Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.model.outcome import Outcome
from trioworker.worker.attempt import Attempt
from trioworker.worker.execute import Execute

CANCELLED_AT_WORK: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, heartbeat_s=0.3),
    jobs=("long",),
    cancels=1,
    chaos_s=1.0,
)
"""A job is to be cancelled that goes on for many heartbeats more."""
GIVEN_BACK: Final = Plan(
    seed=0,
    sizes=Sizes(
        workers=2, concurrency=1, lease_s=1.0, heartbeat_s=0.3, sweep_s=0.3, command_timeout_s=0.5
    ),
    jobs=("slow",) * 12,
    cancels=8,
    script=[Scripted(fault="worker killed@worker-0#0", at_s=0.6)],
    chaos_s=6.0,
)
"""A worker dies with a job that is to be cancelled, which waits behind others then."""


@mutant("cancel lost", caught_by=CancelHeard, plan=CANCELLED_AT_WORK)
def cancel_lost() -> Iterator[None]:
    """A worker reads that a job of its own is to be cancelled, and does nothing."""

    def deaf(_self: Execute, _job: UUID, _reason: str) -> bool:
        return False

    with replaced(Execute, "cancel", deaf):
        yield


@mutant("cancel that only says so", caught_by=CancelHeard)
def cancel_that_only_says_so() -> Iterator[None]:
    """A job that is cancelled while it runs is marked as such, and runs on."""

    def mark(self: Attempt, outcome: Outcome) -> None:
        self._stopped_as = outcome

    with replaced(Attempt, "stop", mark):
        yield


@mutant("request that leaves no trace", caught_by=CancelHeard)
def request_that_leaves_no_trace() -> Iterator[None]:
    """A request to cancel a running job is answered and not stored."""

    async def forget(_s: Statement, _ids: Sequence[UUID], _reason: str) -> Rows:
        return []

    with statement("request_cancel", forget):
        yield


@mutant("cancelled under its worker", caught_by=NothingLost)
def cancelled_under_its_worker() -> Iterator[None]:
    """A job that runs is completed as canceled at once, while it stands in its worker's claim."""
    unstarted = MODELS["cancel_unstarted"]

    async def all_of_them(
        s: Statement, ids: Sequence[UUID], reason: str, outermost: Sequence[UUID]
    ) -> Rows:
        ended = await unstarted(s, ids, reason, outermost)
        error = msgspec.json.encode({"name": "Cancelled", "message": reason}).decode()
        for claim in list(s.rows(s.tables.claim)):
            for id_, attempt in zip(claim.ids, claim.attempts, strict=True):
                if id_ in ids:
                    row = CompletedRow(
                        id=id_,
                        status="canceled",
                        result=None,
                        error=error,
                        worker=None,
                        attempt=attempt,
                        reaped=0,
                        started_at=None,
                        completed_at=s.now,
                        duration_ms=None,
                    )
                    await s.insert(s.tables.job_completed, row, do_nothing=True)
        return ended

    with statement("cancel_unstarted", all_of_them):
        yield


@mutant("cancel that comes late", caught_by=CancelHeard, plan=GIVEN_BACK)
def cancel_that_comes_late() -> Iterator[None]:
    """No sweep looks for jobs that were given back before their worker heard of the cancel."""

    async def nothing(_s: Statement, _limit: int) -> Rows:
        return []

    with statement("late_cancels", nothing):
        yield
