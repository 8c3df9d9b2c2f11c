"""The counters see the states that they are named after, and none that is not named."""

from collections.abc import Callable
from random import Random
from typing import Final

import pytest

from sim.counters import STATES, count
from sim.counting.retries import OUT_OF_TIME
from sim.database.rows import LogRow
from sim.handmade import CLIENT, A, B, Handmade, job
from sim.handmade_progress import progress
from sim.happenings import (
    CancelAsked,
    ClockJumped,
    FaultFired,
    ServerDown,
    ServerUp,
    WorkerKilled,
    WorkerPaused,
    WorkerResumed,
)
from sim.plan import Plan, Sizes, draw_plan
from sim.run import run
from trioworker.events import (
    BatchAdopted,
    CancelReceived,
    FlushFailed,
    JobEnded,
    LeaseDoubtful,
    LeaseTaken,
    OutcomeRefused,
    StatementRun,
)
from trioworker.model.failures import Failure, Step
from trioworker.model.outcome import Failed, JobError, Retried
from trioworker.model.retry import cut_at_deadline, past_deadline, settled

PLAN: Final = Plan(seed=0, sizes=Sizes(lease_s=5.0))
Story = Callable[[Handmade], None]


def poison_in_the_middle(made: Handmade) -> None:
    """The second of three is refused, on its own."""
    made.fail(1, 2, 3, failure=Failure.REFUSED, step=Step.DIVIDE)
    made.say_stored(1)
    made.fail(2, failure=Failure.REFUSED, step=Step.REFUSE)
    made.say(A, OutcomeRefused(worker=A, job=job(2), message="no"))


def found_stored(made: Handmade) -> None:
    """A commit took effect, its reply was lost, and the retry finds that out."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.store(1, told=False)
    made.fail(1, failure=Failure.CONNECTION, step=Step.AGAIN_WHEN_BACK, ambiguous=True)
    made.say_stored(1)


def stored_by_the_retry(made: Handmade) -> None:
    """A commit never arrived, and the retry stores what it should have."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.fail(1, failure=Failure.CONNECTION, step=Step.AGAIN_WHEN_BACK, ambiguous=True)
    made.store(1)


def killed_with_outcomes(made: Handmade) -> None:
    """A process dies between the end of a job and its commit."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.run(1)
    made.say(A, WorkerKilled())


def fenced_and_renewed(made: Handmade) -> None:
    """A lease is in doubt, and then a heartbeat comes through."""
    made.begin()
    made.wait(4.2)
    made.say(A, LeaseDoubtful(worker=A, silent_s=4.2))
    made.beat()


def fenced_and_lost(made: Handmade) -> None:
    """A lease is in doubt, and then it is gone."""
    made.begin(A)
    made.begin(B)
    made.say(A, LeaseDoubtful(worker=A, silent_s=4.0))
    made.lose(A, by=B)
    made.say(A, LeaseTaken(worker=A, dropped=0))


def paused_for_long(made: Handmade) -> None:
    """A process is stopped for longer than its lease."""
    made.begin()
    made.say(A, WorkerPaused())
    made.wait(6)
    made.say(A, WorkerResumed())


def away_for_long(made: Handmade) -> None:
    """The server is away for longer than a lease, and comes back with another time."""
    made.begin()
    made.say("server", ServerDown(lost=0))
    made.wait(6)
    made.say("server", ClockJumped(seconds=-1.0))
    made.say("server", ServerUp(health="up"))


def both_adopt(made: Handmade) -> None:
    """Two workers find claims of their own that they did not know."""
    made.begin(A)
    made.begin(B)
    made.say(A, BatchAdopted(worker=A, jobs=[job(1)]))
    made.say(B, BatchAdopted(worker=B, jobs=[job(2)]))


def given_back(made: Handmade) -> None:
    """A job that never began goes back because its worker stops."""
    made.begin()
    made.ask_to_stop()
    made.say(A, JobEnded(worker=A, job=job(1), attempt=1, outcome="Interrupted"))


def cancelled_while_it_waits(made: Handmade) -> None:
    """A worker hears that a job is to be cancelled that it has not begun."""
    made.begin()
    made.say(A, CancelReceived(worker=A, job=job(1)))


def tried_again(made: Handmade) -> None:
    """A job fails for the first time, and then for the last."""
    made.begin()
    made.enqueue(1, options='{"retry":{"attempts":2}}')
    made.pull(1)
    made.retry(1)
    made.pull(1)
    error = '{"name":"Error","message":"attempt 2 of 2: no"}'
    made.store(1, status="failure", result=None, error=error, attempt=2)


def out_of_time(made: Handmade) -> None:
    """One job does not end before its deadline, one does not begin, one is not tried again."""
    made.begin()
    made.enqueue(1, 2, 3)
    made.pull(1, 2, 3)
    for number, failure in enumerate((cut_at_deadline(), past_deadline()), start=1):
        error = f'{{"name":"DeadlineExceeded","message":"{failure.error.message}"}}'
        made.store(number, status="failure", result=None, error=error)
    late = settled(Retried(JobError("Error", "no"), 9.0), None, tries=1, left_s=1.0, rng=Random(0))
    assert isinstance(late, Failed)
    error = f'{{"name":"DeadlineExceeded","message":"{late.error.message}"}}'
    made.store(3, status="failure", result=None, error=error)


def cancelled_with_its_parent(made: Handmade) -> None:
    """A client cancels a job, and its child ends, too."""
    made.enqueue(1)
    made.enqueue(2, parent=job(1))
    made.say(CLIENT, CancelAsked(jobs=[job(1)]))
    ended = made.completed(2, None, status="canceled")
    made.commit(CLIENT, (made.ready.pop(job(2)), None), (None, ended))


def lost_and_remembered(made: Handmade) -> None:
    """A worker dies with a job in its hands, and another makes it ready again."""
    made.begin(A)
    made.begin(B)
    made.enqueue(1)
    made.pull(1)
    made.lose(A, by=B)
    made.reap(1, by=B)


def flushed(made: Handmade) -> None:
    """What two jobs write is stored while they run, after a first try in vain; then one goes on."""
    made.say(A, FlushFailed(worker=A, failure="connection", message="cut"))
    made.say(A, StatementRun(name="store_running", lane="running", jobs=2, rows=0))
    first = LogRow(id=job(1), attempt=1, chunk=0, text="on")
    made.commit(A, (None, first))
    grown = LogRow(id=job(1), attempt=1, chunk=0, text="one")
    made.commit(A, (first, grown))
    made.commit(A, (grown, None))


def told(made: Handmade) -> None:
    """What a job tells is stored while it runs; its next attempt ends before that comes to pass."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    first = progress(made, 0.5)
    made.commit(A, (None, first))
    last = progress(made, 1.0, attempt=2)
    made.commit(A, *made.leave(1), (None, made.completed(1)), (first, last))


STORIES: Final[list[tuple[Story, tuple[str, ...]]]] = [
    (poison_in_the_middle, ("a poison in the middle of a per-job fallback",)),
    (found_stored, ("an ambiguous commit found stored",)),
    (stored_by_the_retry, ("an ambiguous commit stored by the retry",)),
    (killed_with_outcomes, ("a crash between execution and commit",)),
    (fenced_and_renewed, ("a worker fenced itself and renewed its lease",)),
    (fenced_and_lost, ("a worker fenced itself and lost its lease",)),
    (paused_for_long, ("a worker paused for longer than its lease",)),
    (
        away_for_long,
        ("the server away for longer than a lease", "the server's clock set back"),
    ),
    (both_adopt, ("a lost reply adopted", "two workers adopting")),
    (given_back, ("jobs given back that had not begun",)),
    (
        tried_again,
        (
            "a failed attempt that its policy follows with another",
            "a job that failed at its last attempt",
        ),
    ),
    (out_of_time, tuple(OUT_OF_TIME.values())),
    (lost_and_remembered, ("an attempt lost with its worker, on record",)),
    (cancelled_with_its_parent, ("a child cancelled because its parent was",)),
    (
        flushed,
        (
            "lines of several running jobs stored at once",
            "a flush that failed",
            "a run whose first piece drops those of an earlier run",
        ),
    ),
    (
        told,
        (
            "progress stored while its job runs",
            "progress stored with the outcome",
            "progress of an attempt in the place of an earlier one's",
        ),
    ),
    (cancelled_while_it_waits, ("a job cancelled while it waits in a worker",)),
]


@pytest.mark.parametrize(("story", "states"), STORIES, ids=[story.__name__ for story, _ in STORIES])
def test_a_state_is_counted_where_it_comes_to_pass(story: Story, states: tuple[str, ...]) -> None:
    """And only there: a life in which all goes well has none of them."""
    made, quiet = Handmade(PLAN), Handmade(PLAN)
    story(made)
    quiet.begin()
    quiet.enqueue(1)
    quiet.pull(1)
    quiet.run(1)
    quiet.store(1)
    assert set(states) <= count(made.happenings).keys()
    assert not set(states) & count(quiet.happenings).keys()


def test_a_fault_is_counted_by_its_class() -> None:
    """Where and when it struck is left out."""
    made = Handmade(PLAN)
    made.say("chaos", FaultFired(fault="slow@worker-0/pull#3"))
    made.say("chaos", FaultFired(fault="slow@worker-1/commit#0"))
    assert count(made.happenings) == {"slow": 2}


def test_nothing_is_counted_that_has_no_name() -> None:
    """Whatever happens in a run, its states are in the list that must be complete."""
    assert count(run(draw_plan(3)).trace).keys() <= set(STATES)
