"""What oracles allow, and why it is no breach: each a trace in which they must find nothing."""

from collections.abc import Callable
from typing import Final

import pytest

from sim.database.rows import CancelRow, LogRow
from sim.handmade import CLIENT, A, B, Handmade, job
from sim.handmade_limits import in_line, let_in
from sim.handmade_schedules import TICK
from sim.happenings import (
    BodyEnded,
    CancelAsked,
    ClockJumped,
    CommitLost,
    RowChange,
    ServerDown,
    ServerUp,
    StopAsked,
    WorkerPaused,
    WorkerResumed,
)
from sim.oracles import Oracle
from sim.oracles.batches import InOrder, LastChance
from sim.oracles.calm import NoStorm
from sim.oracles.cancels import BEATS, CancelHeard
from sim.oracles.fallback import Fallback
from sim.oracles.fence import Leases, OneAtATime, SelfFence
from sim.oracles.outcomes import AllOrNothing
from sim.oracles.places import Durable
from sim.oracles.stopping import NothingHeld, StopsInTime
from sim.oracles.told import ToldRight
from sim.plan import Plan, Sizes
from trioworker.events import CancelReceived, HeartbeatFailed, LeaseTaken
from trioworker.model.failures import Failure, Step

PLAN: Final = Plan(seed=0, sizes=Sizes(lease_s=5.0, poll_s=1.0))
Story = Callable[[Handmade], None]


def pull_undone(made: Handmade) -> None:
    """A crash of the server undoes a pull, which costs its jobs nothing but time."""
    made.begin()
    made.enqueue(1)
    row = made.ready[job(1)]
    claim = made.claims[made.pull(1)]
    changes = [
        RowChange(table="ready", old=row, new=None),
        RowChange(table="claim", old=None, new=claim),
    ]
    made.say(A, CommitLost(number=9, changes=changes))


def log_beside_its_outcome(made: Handmade) -> None:
    """What a job wrote is stored with its outcome, in one transaction."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.end(1, log="said")
    log = LogRow(id=job(1), attempt=1, chunk=0, text="said")
    made.commit(A, *made.leave(1), (None, made.completed(1)), (None, log))


def log_before_its_outcome(made: Handmade) -> None:
    """What a job writes is stored while it runs, and the rest with its outcome."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.commit(A, (None, LogRow(id=job(1), attempt=1, chunk=0, text="said, ")))
    made.end(1, log="said, done")
    log = LogRow(id=job(1), attempt=1, chunk=1, text="done")
    made.commit(A, *made.leave(1), (None, made.completed(1)), (None, log))


def stored_by_the_first_try(made: Handmade) -> None:
    """A commit whose reply was lost is reported when the retry has found its rows."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.run(1)
    made.store(1, told=False)
    made.fail(1, failure=Failure.CONNECTION, step=Step.AGAIN_WHEN_BACK)
    made.say_stored(1)


def stored_by_its_twin(made: Handmade) -> None:
    """A crash has put a job into the same hands twice, and one of its commits is in doubt."""
    made.begin()
    made.enqueue(1)
    row = made.ready[job(1)]
    made.claims.pop(made.pull(1))
    made.ready[row.id] = row
    made.pull(1)
    made.run(1)
    made.fail(1, failure=Failure.CONNECTION, step=Step.AGAIN_WHEN_BACK, ambiguous=True)
    made.run(1)
    made.store(1)
    made.say_stored(1)


def clock_set(made: Handmade) -> None:
    """The server's clock is set, and by it the worker was silent for long."""
    made.begin(A)
    made.begin(B)
    made.say("server", ClockJumped(seconds=60.0))
    made.wait(60)
    made.lose(A, by=B)


def stopped_by_a_signal(made: Handmade) -> None:
    """A process that is paused in the middle of a body cannot stop it before it goes on."""
    made.begin(A)
    made.enqueue(1)
    made.pull(1, worker=A)
    made.start(1, A)
    made.say(A, WorkerPaused())
    made.wait(10)
    made.begin(B)
    made.start(1, B, attempt=2)
    made.say(A, WorkerResumed())
    made.say(A, BodyEnded(worker=A, job=job(1), attempt=1, outcome=None))


def begun_under_a_forgotten_claim(made: Handmade) -> None:
    """A crash of the server undoes a pull, and whoever has the reply begins the job later."""
    made.begin(A)
    made.begin(B)
    made.enqueue(1)
    row = made.ready[job(1)]
    claim = made.claims.pop(made.pull(1, worker=A))
    undone = [
        RowChange(table="ready", old=row, new=None),
        RowChange(table="claim", old=None, new=claim),
    ]
    made.say("server", CommitLost(number=9, changes=undone))
    made.ready[row.id] = row
    made.pull(1, worker=B)
    made.start(1, B)
    made.start(1, A)


def stubborn(made: Handmade) -> None:
    """A body that cannot be cancelled runs on after its worker's lease."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1, path="stubborn")
    made.wait(10)
    made.end(1)


def others_go_first(made: Handmade) -> None:
    """A single job that breaks the line again and again is put off."""
    made.fail(1, 2, failure=Failure.REFUSED, step=Step.DIVIDE)
    for _ in range(2):
        made.fail(1, failure=Failure.CONNECTION, step=Step.AGAIN_WHEN_BACK)
    made.say_stored(2)
    made.say_stored(3)
    made.say_stored(1)


def behind_a_floor(made: Handmade) -> None:
    """A job that has only just come may be hidden by a floor."""
    made.begin()
    made.enqueue(2)
    made.wait(1)
    made.enqueue(1, priority=1)
    made.wait(0.4)
    made.pull(2)


def locked_by_its_canceller(made: Handmade) -> None:
    """A job that a client is about to cancel may be passed over."""
    made.begin()
    made.enqueue(1, 2)
    made.say(CLIENT, CancelAsked(jobs=[job(1)]))
    made.wait(5)
    made.pull(2)


def locked_by_another_with_its_key(made: Handmade) -> None:
    """A job that another one with its key is about to replace may be passed over."""
    made.begin()
    made.enqueue(1, options='{"unique": {"key": "k"}}')
    made.enqueue(2)
    made.wait(5)
    made.pull(2)


def never_heard_of(made: Handmade) -> None:
    """A worker cannot report the jobs of a claim whose reply never came."""
    made.begin()
    made.enqueue(1)
    made.pull(1, told=False)
    made.ask_to_stop()
    made.exit()


def stored_and_never_heard_of_again(made: Handmade) -> None:
    """So it is with a job that it had before: what it knew of that is over."""
    made.begin()
    made.enqueue(1)
    row = made.ready[job(1)]
    made.pull(1)
    made.commit(A, *made.leave(1), (None, row))
    made.ready[job(1)] = row
    made.say_stored(1)
    made.pull(1, told=False)
    made.ask_to_stop()
    made.exit()


def asked_twice(made: Handmade) -> None:
    """A second signal ends everything at once, whatever is held."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.ask_to_stop()
    made.say(A, StopAsked())
    made.exit()


def paused_while_it_stops(made: Handmade) -> None:
    """The time that a process cannot run does not count."""
    made.begin()
    made.ask_to_stop()
    made.say(A, WorkerPaused())
    made.wait(60)
    made.say(A, WorkerResumed())
    made.exit()


def a_lease_after_the_start(made: Handmade) -> None:
    """Once the server has been up for a lease, the silent are lost."""
    made.begin(A)
    made.begin(B)
    made.say("server", ServerDown(lost=0))
    made.wait(20)
    made.say("server", ServerUp(health="up"))
    made.wait(5.1)
    made.lose(A, by=B)


def lease_gone_while_it_stops(made: Handmade) -> None:
    """What a worker held under a lease that was taken away is no business of its stop."""
    made.begin(A)
    made.begin(B)
    made.enqueue(1)
    made.pull(1, worker=A)
    made.ask_to_stop(A)
    made.lose(A, by=B)
    made.say(A, LeaseTaken(worker=A, dropped=1))
    made.exit(A)


def heartbeat_of_a_goodbye(made: Handmade) -> None:
    """A worker that stops sends a last heartbeat beside the one that is on its way."""
    made.begin(A)
    made.begin(B)
    made.ask_to_stop(A)
    made.wait(5.1)
    made.lose(A, by=B)
    for _ in range(2):
        made.statement("heartbeat", A)


def heartbeats_failed(made: Handmade) -> None:
    """A worker whose heartbeats fail has not heard of the request yet."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.commit(CLIENT, (None, CancelRow(id=job(1), reason="no", requested_at=made.clock)))
    for _ in range(BEATS):
        made.beat()
        made.say(A, HeartbeatFailed(worker=A, failure="timeout", message="slow"))
    made.say(A, CancelReceived(worker=A, job=job(1)))
    made.end(1, outcome=None)


def beside_what_runs(made: Handmade) -> None:
    """A last chance is pulled while another job runs, and the next job when it is stored."""
    made.begin()
    made.enqueue(1, 3)
    made.enqueue(2, reaped=PLAN.sizes.reaped_max)
    made.pull(1)
    made.pull(2)
    made.store(2)
    made.pull(3)


def one_tick_after_the_other(made: Handmade) -> None:
    """A schedule that has ticks to catch up has the next one enqueued with the end of each."""
    made.begin()
    end = ("commit", "lock_schedules", "enqueue", "store_schedules")
    for number in range(1, 61):
        made.enqueue(number, options=TICK)
        made.pull(number)
        made.run(number)
        made.store(number)
        for name in (*end, "pull", "pull", "pull"):
            made.wait(0.001)
            made.statement(name)


def let_in_by_another(made: Handmade) -> None:
    """Each time that a job in line is due all workers look, and all but one come too late."""
    made.begin(A)
    made.begin(B)
    in_line(made, *range(1, 31))
    for number in range(1, 31):
        let_in(made, number)
        for name in ("next_look", "due_limits", "lock_limits", "promote", "plan_looks"):
            made.statement(name, B)
        made.statement("next_look", B)
        made.wait(0.05)


ALLOWED: Final[list[tuple[type[Oracle], Story]]] = [
    (Durable, pull_undone),
    (AllOrNothing, log_beside_its_outcome),
    (AllOrNothing, log_before_its_outcome),
    (ToldRight, stored_by_the_first_try),
    (ToldRight, stored_by_its_twin),
    (Leases, clock_set),
    (Leases, a_lease_after_the_start),
    (OneAtATime, stopped_by_a_signal),
    (OneAtATime, begun_under_a_forgotten_claim),
    (SelfFence, stopped_by_a_signal),
    (SelfFence, stubborn),
    (Fallback, others_go_first),
    (InOrder, behind_a_floor),
    (InOrder, locked_by_its_canceller),
    (InOrder, locked_by_another_with_its_key),
    (LastChance, beside_what_runs),
    (NothingHeld, never_heard_of),
    (NothingHeld, stored_and_never_heard_of_again),
    (NothingHeld, asked_twice),
    (NothingHeld, lease_gone_while_it_stops),
    (Leases, heartbeat_of_a_goodbye),
    (StopsInTime, paused_while_it_stops),
    (CancelHeard, heartbeats_failed),
    (NoStorm, one_tick_after_the_other),
    (NoStorm, let_in_by_another),
]


@pytest.mark.parametrize(
    ("oracle", "story"), ALLOWED, ids=[f"{o.name}: {s.__name__}" for o, s in ALLOWED]
)
def test_what_an_oracle_allows_is_no_finding(oracle: type[Oracle], story: Story) -> None:
    """Each exception that an oracle's docstring names is one."""
    made = Handmade(PLAN)
    story(made)
    assert made.findings(oracle) == []


def test_a_last_chance_allows_nothing_after_it() -> None:
    """What is pulled while it is in hand is found, also in a claim of its own."""
    made = Handmade(PLAN)
    made.begin()
    made.enqueue(1, reaped=PLAN.sizes.reaped_max)
    made.enqueue(2)
    made.pull(1)
    made.pull(2)
    (finding,) = made.findings(LastChance)
    assert f"pulled beside job {job(1)}" in finding.message
