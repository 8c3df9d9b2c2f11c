"""Mutants of the commit stage: what becomes of outcomes when storing them fails."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final
from uuid import UUID

import msgspec
import trio

from sim.oracles.batches import BatchesGated
from sim.oracles.calm import NoStorm
from sim.oracles.fallback import Fallback, RefusedAlone
from sim.oracles.outcomes import OncePerClaim, Produced
from sim.oracles.stopping import NothingHeld, NothingUnexpected
from sim.oracles.told import ToldRight
from sim.plan import Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant, of_scenario
from trioworker.errors import StoreError
from trioworker.events import OutcomeRefused
from trioworker.model.batching import BatchPolicy, cut
from trioworker.model.completion import refused
from trioworker.model.failures import Failure, Step, next_step
from trioworker.model.job import Job
from trioworker.model.outcome import Executed, Failed, JobError
from trioworker.worker import commit as stage
from trioworker.worker import patience
from trioworker.worker.channel import BatchChannel
from trioworker.worker.commit import Commit, _Group
from trioworker.worker.holdings import Holdings
from trioworker.worker.pull import Pull

TRIES: Final = 3
TWELVE_ERRORS: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1),
    jobs=("ok",),
    exactly=[f"internal error@worker-0/commit#{ordinal}" for ordinal in range(12)],
    script=[Scripted(fault="worker stopped@worker-0#0", at_s=36.0)],
    chaos_s=40.0,
)
"""One outcome that can be stored in no form, and time to try it again and to look for claims."""
THREE_DEADLOCKS: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1),
    jobs=("ok",),
    exactly=[f"deadlock@worker-0/commit#{ordinal}" for ordinal in range(3)],
    script=[Scripted(fault="worker stopped@worker-0#0", at_s=2.0)],
    chaos_s=3.0,
)
"""One outcome fails three times, and then its worker stops, before it looks for claims."""
TWICE_IN_HAND: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, grace_s=0.0),
    jobs=("long",),
    script=[
        Scripted(fault="server crashed@server#0", after="worker-0/pull#1", at_s=0.1, for_s=0.2),
        Scripted(fault="worker stopped@worker-0#0", at_s=2.5),
    ],
    chaos_s=3.0,
)
"""A crash has the worker run a job twice at a time, and a stop ends both at the same moment."""


@mutant(
    "whole batch again for ever",
    caught_by=Fallback,
    seen_in="river: the set goes back whole, and one refused row fails every later flush",
)
def whole_batch_again() -> Iterator[None]:
    """A failed batch is never divided: it is tried again as it is, whatever the server said."""

    def never_divide(failure: Failure, *, size: int, tries: int, alike: int) -> Step:
        step = next_step(failure, size=size, tries=tries, alike=alike)
        return Step.AGAIN if step is Step.DIVIDE else step

    with replaced(stage, "next_step", never_divide):
        yield


@mutant(
    "dropped after three tries",
    caught_by=NothingHeld,
    seen_in="river until June 2026: after three tries the error was logged and the set dropped",
    plan=THREE_DEADLOCKS,
)
def dropped_after_three_tries() -> Iterator[None]:
    """Outcomes that could not be stored in three tries are logged and forgotten."""
    after_failure = Commit._after_failure

    async def give_up(self: Commit, group: _Group, error: StoreError) -> None:
        await after_failure(self, group, error)
        if group.tries >= TRIES and self._pending[0] is group:
            self._settle(group)

    with replaced(Commit, "_after_failure", give_up):
        yield


@mutant(
    "stopped by a failed commit",
    caught_by=NothingUnexpected,
    seen_in="graphile-worker: the first failed batch is fatal, and the whole pool shuts down",
)
def stopped_by_a_failed_commit() -> Iterator[None]:
    """The first commit that fails ends the worker, with all that it has in its hands."""

    async def fatal(_self: Commit, _group: _Group, error: StoreError) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with replaced(Commit, "_after_failure", fatal):
        yield


@mutant(
    "failed commit, failed job",
    caught_by=Produced,
    seen_in="pg-boss: complete() stands inside the handler's try, so fail() is called",
)
def failed_commit_failed_job() -> Iterator[None]:
    """A commit that fails makes its jobs failures, although they succeeded."""
    after_failure = Commit._after_failure

    async def blame(self: Commit, group: _Group, error: StoreError) -> None:
        failure = Failed(JobError(type(error).__name__, str(error)))
        group.batch = [msgspec.structs.replace(one, outcome=failure) for one in group.batch]
        await after_failure(self, group, error)

    with replaced(Commit, "_after_failure", blame):
        yield


@mutant(
    "fallback that runs again", caught_by=OncePerClaim, plan=of_scenario("serialization-failure")
)
def fallback_that_runs_again() -> Iterator[None]:
    """A batch that must be divided is executed again, job by job, instead of stored so."""
    channels: dict[UUID, BatchChannel[Job]] = {}
    make = Pull.__init__

    def note(self: Pull, *arguments: object, **named: object) -> None:
        make(self, *arguments, **named)  # type: ignore[arg-type]  # handed on as they came
        channels[self._worker] = self._jobs

    def again(self: Commit, group: _Group) -> None:
        self._pending.popleft()
        channels[self._worker].put([executed.job for executed in group.batch])

    with replaced(Pull, "__init__", note), replaced(Commit, "_divide", again):
        yield


@mutant("fallback that skips one", caught_by=Fallback)
def fallback_that_skips_one() -> Iterator[None]:
    """After a refused outcome the loop goes one too far: the next job's outcome is left out."""
    refuse = Commit._refuse

    def one_too_far(self: Commit, group: _Group, error: StoreError) -> None:
        refuse(self, group, error)
        if len(self._pending) > 1:
            skipped = self._pending[1]
            del self._pending[1]
            self._holdings.release(executed.job for executed in skipped.batch)

    with replaced(Commit, "_refuse", one_too_far):
        yield


@mutant("one refused, all refused", caught_by=RefusedAlone)
def one_refused_all_refused() -> Iterator[None]:
    """When the server refuses a batch, every job in it is stored as refused."""
    after_failure = Commit._after_failure

    async def condemn(self: Commit, group: _Group, error: StoreError) -> None:
        size = len(group.batch)
        await after_failure(self, group, error)
        if size > 1 and error.sqlstate == "22P05":
            for part in list(self._pending)[:size]:
                for one in part.batch:
                    self._emit(OutcomeRefused(worker=self._worker, job=one.job.id, message="no"))
                part.batch = [refused(one, "no", bare=False) for one in part.batch]

    with replaced(Commit, "_after_failure", condemn):
        yield


@mutant(
    "retry that forgets the first try",
    caught_by=ToldRight,
)
def retry_that_forgets() -> Iterator[None]:
    """After a lost reply the batch is stored as if for the first time.

    What is stored already is taken for lost.
    """
    after_failure = Commit._after_failure

    async def forget(self: Commit, group: _Group, error: StoreError) -> None:
        error.ambiguous = False
        await after_failure(self, group, error)

    with replaced(Commit, "_after_failure", forget):
        yield


@mutant(
    "no pause between tries",
    caught_by=NoStorm,
    seen_in="pgqueuer: five tries at exit with no real pause, and no growing delay before",
)
def no_pause_between_tries() -> Iterator[None]:
    """A failed commit is tried again at once, and a server that is away is asked all the time."""

    def at_once(_tries: int, _rng: Random) -> float:
        return 0.0

    with replaced(stage, "backoff_s", at_once), replaced(patience, "backoff_s", at_once):
        yield


@mutant(
    "bad weather taken for a bad result",
    caught_by=Fallback,
    seen_in=OURS,
    plan=of_scenario("weather-is-no-refusal"),
)
def bad_weather() -> Iterator[None]:
    """Every failure counts against a single outcome, whatever it was.

    Two deadlocks and one unknown error make a success a failure.
    """

    def count_all(failure: Failure, *, size: int, tries: int, alike: int) -> Step:
        del alike
        return next_step(failure, size=size, tries=tries, alike=tries)

    with replaced(stage, "next_step", count_all):
        yield


@mutant("abandoned job adopted", caught_by=OncePerClaim, seen_in=OURS, plan=TWELVE_ERRORS)
def abandoned_job_adopted() -> Iterator[None]:
    """An outcome that can be stored in no form is forgotten with its claim.

    Which is then adopted, and the job run again.
    """

    def forget(self: Holdings, job: Job) -> None:
        self.release((job,))

    with replaced(Holdings, "abandon", forget):
        yield


@mutant("outcomes mixed up", caught_by=Produced)
def outcomes_mixed_up() -> Iterator[None]:
    """Each job of a batch gets the outcome of its neighbour."""
    advance = Commit._advance

    async def mix(self: Commit, group: _Group) -> None:
        if not group.failures:
            outcomes = [executed.outcome for executed in group.batch]
            turned = [*outcomes[1:], *outcomes[:1]]
            group.batch = [
                _with_outcome(executed, outcome)
                for executed, outcome in zip(group.batch, turned, strict=True)
            ]
        await advance(self, group)

    def _with_outcome(executed: Executed, outcome: object) -> Executed:
        return msgspec.structs.replace(executed, outcome=outcome)

    with replaced(Commit, "_advance", mix):
        yield


@mutant("twice in a transaction", caught_by=BatchesGated, seen_in=OURS, plan=TWICE_IN_HAND)
def twice_in_a_transaction() -> Iterator[None]:
    """A job that a crash of the server has handed out twice is stored twice at once.

    Both outcomes fit the claim: the job can be completed and ready.
    """

    def blindly(batch: Sequence[Executed], policy: BatchPolicy) -> list[list[Executed]]:
        once = len({executed.job.id for executed in batch}) == len(batch)
        return cut(batch, policy) if once else [list(batch)]

    with replaced(stage, "cut", blindly):
        yield
