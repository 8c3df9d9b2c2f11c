"""The oracles of ended jobs: what they allow, and the other halves of what they find."""

from collections.abc import Callable

import pytest

from sim.counters import count
from sim.database.rows import ExpiryRow, LabelRow
from sim.handmade import CLIENT, A, Handmade, job
from sim.handmade_endings import ended, promised_in_vain, second_chance
from sim.happenings import RequeueAsked
from sim.oracles import Oracle
from sim.oracles.endings import Deleted, Labelled, SecondChance
from sim.oracles.places import NothingLost, Settled, Transitions
from sim.plan import Plan, Sizes

PLAN = Plan(seed=0, sizes=Sizes(lease_s=5.0))
Story = Callable[[Handmade], None]


def deleted_in_its_time(made: Handmade) -> None:
    """A job is deleted a minute after its end, as it had asked."""
    made.begin()
    made.enqueue(1, options='{"delete_after_s": 60.0}')
    made.pull(1)
    made.run(1)
    row = made.completed(1)
    made.wait(60)
    expiry = ExpiryRow(id=job(1), at=made.clock)
    made.commit(A, *made.leave(1), (None, row), (None, expiry))
    made.commit(A, (made.jobs[job(1)], None), (row, None), (expiry, None))


def left_behind(made: Handmade) -> None:
    """A label outlives its job."""
    ended(made)
    label = LabelRow(id=job(1), label="red")
    made.commit(A, (None, label))
    made.commit(A, (made.jobs[job(1)], None), (made.completed(1), None))


def again_after_a_success(made: Handmade) -> None:
    """What has succeeded is run once more."""
    ended(made)
    made.say(CLIENT, RequeueAsked(jobs=[job(1)]))
    made.run_once_more(1)


def run_once_more_and_done(made: Handmade) -> None:
    """A job fails, and succeeds when it is run once more."""
    second_chance(made)
    made.pull(1)
    made.start(1, attempt=2)
    made.end(1, attempt=2)
    made.store(1, attempt=2)


@pytest.mark.parametrize("oracle", [SecondChance, Settled, Transitions, NothingLost, Labelled])
def test_a_second_chance_that_somebody_asked_for_is_right(oracle: type[Oracle]) -> None:
    """The job is where it was before, with another attempt."""
    made = Handmade(PLAN)
    second_chance(made)
    assert made.findings(oracle) == []


@pytest.mark.parametrize("oracle", [Deleted, Settled, Transitions, NothingLost])
def test_a_job_that_is_deleted_in_its_time_is_not_lost(oracle: type[Oracle]) -> None:
    """It has ended, and all of it goes."""
    made = Handmade(PLAN)
    deleted_in_its_time(made)
    assert made.findings(oracle) == []


@pytest.mark.parametrize(
    ("story", "state"),
    [
        (deleted_in_its_time, "a job deleted when its time has come"),
        (left_behind, "a job deleted because it is old"),
        (run_once_more_and_done, "a job run once more that succeeds"),
    ],
)
def test_what_becomes_of_ended_jobs_is_counted(story: Story, state: str) -> None:
    """Where it comes to pass, and not in a life that ends there."""
    made, quiet = Handmade(PLAN), Handmade(PLAN)
    story(made)
    ended(quiet)
    assert count(made.happenings)[state] == 1
    assert not count(quiet.happenings)[state]


def test_a_promise_that_is_not_kept_is_found() -> None:
    """Who is told that a job will run once more is told of what has been stored."""
    made = Handmade(PLAN)
    promised_in_vain(made)
    (finding,) = made.findings(SecondChance)
    assert "was not made so" in finding.message


def test_what_is_left_of_a_deleted_job_is_found() -> None:
    """Nothing of it may stay."""
    made = Handmade(PLAN)
    left_behind(made)
    told = [finding.message for finding in made.findings(Deleted)]
    assert any("1 of its rows were left" in message for message in told)
