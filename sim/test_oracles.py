"""Every oracle: silent on a trace that is right, and loud on the smallest one that is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pytest

from sim.database.rows import CancelRow, LogRow
from sim.database.transaction import DEADLOCK_TIMEOUT_S
from sim.handmade import CLIENT, A, B, Handmade, job
from sim.handmade_agents import PLAN, SORT_BREACHES
from sim.handmade_keys import KEY_BREACHES
from sim.handmade_retries import off_record, once_too_often, too_late
from sim.happenings import (
    CommitLost,
    Drained,
    FaultFired,
    Healed,
    RowChange,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
)
from sim.oracles import ORACLES, Oracle
from sim.oracles.batches import BatchesGated, Bounded, InOrder, LastChance, Modest
from sim.oracles.calm import STATEMENTS_MAX, NoDeadlock, NoStorm, Quiet
from sim.oracles.cancels import BEATS, CancelHeard
from sim.oracles.fallback import Fallback, RefusedAlone
from sim.oracles.fence import Fenced, Leases, OneAtATime, SelfFence
from sim.oracles.liveness import SETTLING_S, GoesOn, Live, NobodyIdles, ReapedInTime
from sim.oracles.outcomes import AllOrNothing, OncePerClaim, Produced
from sim.oracles.places import Durable, NotEarly, NothingLost, Settled, Transitions
from sim.oracles.retries import InTime, OnRecord, TriedAgain
from sim.oracles.stopping import (
    ExitsAsPromised,
    GivesBackAtOnce,
    NothingHeld,
    NothingUnexpected,
    StartsNothingMore,
    StopsInTime,
)
from sim.oracles.told import ToldRight
from trioworker.events import JobEnded, LeaseDoubtful, OutcomeRefused
from trioworker.model.failures import Failure, Step
from trioworker.model.outcome import Failed, JobError, Succeeded

POISON: Final = Succeeded(b'["\\u0000"]')
PAGE: Final = Path(__file__).parents[1] / "docs" / "simulator" / "oracles.md"
Story = Callable[[Handmade], None]


def right(made: Handmade) -> None:
    """Three jobs are pulled, run and stored, one as refused, in bad weather; then a stop."""
    made.begin()
    made.enqueue(1, 2, 3)
    made.pull(1, 2, 3, asked=2)
    made.run(1)
    made.start(2)
    made.end(2, outcome=POISON)
    made.run(3)
    made.fail(1, 2, 3, failure=Failure.REFUSED, step=Step.DIVIDE)
    made.store(1)
    made.say("chaos", FaultFired(fault="line lost before the effect@worker-a/commit#2"))
    made.fail(2, failure=Failure.CONNECTION, step=Step.AGAIN_WHEN_BACK)
    made.fail(2, failure=Failure.REFUSED, step=Step.REFUSE)
    made.say(A, OutcomeRefused(worker=A, job=job(2), message="no"))
    error = '{"name":"OutcomeRefused","message":"no"}'
    made.store(2, status="failure", result=None, error=error)
    made.store(3)
    made.beat()
    made.statement("reap")
    made.say("chaos", Healed())
    made.say("chaos", Drained())
    made.ask_to_stop()
    made.exit()


def lost(made: Handmade) -> None:
    """A job leaves ready and goes nowhere."""
    made.enqueue(1)
    made.commit(A, (made.ready[job(1)], None))


def wrong_counters(made: Handmade) -> None:
    """A job comes to a claim with an attempt more than it had in ready."""
    made.begin()
    made.enqueue(1)
    made.ready[job(1)] = msgspec.structs.replace(made.ready[job(1)], attempt=2)
    made.pull(1)


def stored_twice(made: Handmade) -> None:
    """What is stored is written over."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.store(1)
    made.commit(A, (made.completed(1), made.completed(1, status="canceled")))


def result_undone(made: Handmade) -> None:
    """A crash of the server takes a result with it."""
    made.begin()
    made.enqueue(1)
    change = RowChange(table="job_completed", old=None, new=made.completed(1))
    made.say(A, CommitLost(number=1, changes=[change]))


def early(made: Handmade) -> None:
    """A job that is due in a second is claimed now."""
    made.begin()
    made.wait(1)
    due = made.clock
    made.wait(-1)
    made.enqueue(1, scheduled_for=due)
    made.pull(1)


def out_of_thin_air(made: Handmade) -> None:
    """A success is stored of a job that failed."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.end(1, outcome=Failed(JobError("Error", "no")))
    made.store(1)


def run_again(made: Handmade) -> None:
    """One claim, two executions."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.run(1)
    made.run(1)


def log_alone(made: Handmade) -> None:
    """What a job writes is stored by another worker than the one that holds it."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.commit(B, (None, LogRow(id=job(1), attempt=1, chunk=0, text="said")))


def told_too_much(made: Handmade) -> None:
    """A worker says that it has stored what it has not."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.say_stored(1)


def unfenced(made: Handmade) -> None:
    """A worker completes a job that another one holds."""
    made.begin(A)
    made.begin(B)
    made.enqueue(1)
    made.pull(1, worker=B)
    made.commit(A, *made.leave(1), (None, made.completed(1, A)))


def taken_early(made: Handmade) -> None:
    """A lease is taken away four seconds after a heartbeat, and it is five seconds long."""
    made.begin(A)
    made.begin(B)
    made.wait(4)
    made.lose(A, by=B)


def runs_on(made: Handmade) -> None:
    """A body begins after its worker's lease."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.wait(5.1)
    made.start(1)


def overlap(made: Handmade) -> None:
    """A reaped job begins in another worker while the first one still runs it."""
    made.begin(A)
    made.enqueue(1)
    made.pull(1, worker=A)
    made.start(1, A)
    made.begin(B)
    made.start(1, B, attempt=2)


def again_as_a_whole(made: Handmade) -> None:
    """A refused batch is tried again as it is."""
    made.fail(1, 2, failure=Failure.REFUSED, step=Step.AGAIN)


def refused_without_poison(made: Handmade) -> None:
    """The server refuses what every server takes."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.run(1)
    made.fail(1, failure=Failure.REFUSED, step=Step.REFUSE)


def four_at_once(made: Handmade) -> None:
    """A pull of more jobs than a pull may bring."""
    made.statement("pull", jobs=4)


def two_last_chances(made: Handmade) -> None:
    """Two jobs that the next loss would give up are claimed together."""
    made.begin()
    made.enqueue(1, 2, reaped=PLAN.sizes.reaped_max)
    made.pull(1, 2)


def passed_over(made: Handmade) -> None:
    """The worse of two jobs is claimed, long after both were ready."""
    made.begin()
    made.enqueue(1)
    made.enqueue(2, priority=-1)
    made.wait(2)
    made.pull(2)


def too_many_in_hand(made: Handmade) -> None:
    """Fifteen jobs where there is room for fourteen."""
    made.begin()
    for first in range(1, 16, 3):
        made.enqueue(first, first + 1, first + 2)
        made.pull(first, first + 1, first + 2)


def hoards(made: Handmade) -> None:
    """Three jobs for two slots, and nothing known of how long they take."""
    made.begin()
    made.enqueue(1, 2, 3)
    made.pull(1, 2, 3)


def kept(made: Handmade) -> None:
    """A worker stops with a job in its claim, and does not say so."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.ask_to_stop()
    made.exit()


def stops_late(made: Handmade) -> None:
    """A stop takes a minute."""
    made.begin()
    made.ask_to_stop()
    made.wait(60)
    made.exit()


def begins_while_it_stops(made: Handmade) -> None:
    """A job begins after the signal."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.ask_to_stop()
    made.start(1)


def given_back_late(made: Handmade) -> None:
    """What has not begun goes back a second after the signal."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.ask_to_stop()
    made.wait(1)
    made.say(A, JobEnded(worker=A, job=job(1), attempt=1, outcome="Interrupted"))


def exits_unasked(made: Handmade) -> None:
    """A process ends, and nobody wanted it to."""
    made.begin()
    made.say(A, WorkerExited(status=0))


def crashes(made: Handmade) -> None:
    """An error comes out of a worker."""
    made.begin()
    made.say(A, WorkerCrashed(error="KeyError: 1"))


def never_drained(made: Handmade) -> None:
    """The world heals, and the queue does not drain."""
    made.say("chaos", Healed())


def idles(made: Handmade) -> None:
    """A job waits for half a minute for a worker that has nothing to do."""
    made.begin()
    made.enqueue(1)
    made.wait(30)
    made.pull(1)


def reaped_late(made: Handmade) -> None:
    """A killed worker's job is ready again after a minute."""
    made.begin(A)
    made.begin(B)
    made.enqueue(1)
    made.pull(1, worker=A)
    made.say(A, WorkerKilled())
    made.wait(SETTLING_S + 60)
    made.lose(A, by=B)
    made.reap(1, by=B)


def beats_no_more(made: Handmade) -> None:
    """Half a minute between two heartbeats."""
    made.begin()
    made.wait(30)
    made.beat()


def fails_for_no_reason(made: Handmade) -> None:
    """A lease is in doubt in a world without faults."""
    made.begin()
    made.say(A, LeaseDoubtful(worker=A, silent_s=4.0))


def deadlocks(made: Handmade) -> None:
    """Two of our own transactions wait for each other."""
    made.wait(DEADLOCK_TIMEOUT_S)
    message = "deadlock detected"
    made.fail(1, failure=Failure.CONTENTION, step=Step.AGAIN, message=message)


def storms(made: Handmade) -> None:
    """A thousand statements a second."""
    made.begin()
    for _ in range(STATEMENTS_MAX + 10):
        made.wait(0.001)
        made.statement("ping")


def deaf(made: Handmade) -> None:
    """A job that is to be cancelled runs on, heartbeat after heartbeat."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.commit(CLIENT, (None, CancelRow(id=job(1), reason="no", requested_at=made.clock)))
    for _ in range(BEATS):
        made.wait(1)
        made.beat()


BREACHES: Final[dict[type[Oracle], Story]] = SORT_BREACHES | KEY_BREACHES | {
    NothingLost: lost, Transitions: wrong_counters, Settled: stored_twice,
    Durable: result_undone, NotEarly: early, Produced: out_of_thin_air,
    OncePerClaim: run_again, AllOrNothing: log_alone, ToldRight: told_too_much,
    Fenced: unfenced, Leases: taken_early, SelfFence: runs_on, OneAtATime: overlap,
    Fallback: again_as_a_whole, RefusedAlone: refused_without_poison,
    BatchesGated: four_at_once, LastChance: two_last_chances, InOrder: passed_over,
    Bounded: too_many_in_hand, Modest: hoards, NothingHeld: kept, StopsInTime: stops_late,
    StartsNothingMore: begins_while_it_stops, GivesBackAtOnce: given_back_late,
    ExitsAsPromised: exits_unasked, NothingUnexpected: crashes, Live: never_drained,
    NobodyIdles: idles, ReapedInTime: reaped_late, GoesOn: beats_no_more,
    Quiet: fails_for_no_reason, NoDeadlock: deadlocks, NoStorm: storms, CancelHeard: deaf,
    TriedAgain: once_too_often, OnRecord: off_record, InTime: too_late,
}  # fmt: skip
"""For each oracle the smallest trace that it must find something in."""


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.name)
def test_an_oracle_is_silent_where_all_is_right(oracle: type[Oracle]) -> None:
    """Nothing is found in a life with a refused outcome and a lost line, from birth to exit."""
    made = Handmade(PLAN)
    right(made)
    assert made.findings(oracle) == []


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.name)
def test_an_oracle_finds_its_breach(oracle: type[Oracle]) -> None:
    """The smallest breach of each is found, by name, once."""
    made = Handmade(PLAN)
    BREACHES[oracle](made)
    assert [finding.oracle for finding in made.findings(oracle)] == [oracle.name]


def test_the_page_has_every_oracle() -> None:
    """docs/simulator/oracles.md has a row for each, beside the number of its invariant."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("|")
    ]
    of_invariants = {row[2]: row[0].split(", ") for row in rows if len(row) == 4}
    of_hygiene = {row[1] for row in rows if len(row) == 3}
    for oracle in ORACLES:
        told = of_invariants[oracle.name] if oracle.invariant else of_hygiene
        assert (str(oracle.invariant) if oracle.invariant else oracle.name) in told
