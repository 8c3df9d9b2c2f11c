"""What the oracles of slots and of restarts allow."""

from collections.abc import Callable

import pytest

from sim.handmade import Handmade, job
from sim.handmade_follow_ups import RESTARTS, come_again
from sim.handmade_limits import LIMITED_PLAN
from sim.handmade_slots import beside_a_last_chance, both_busy, in_hand, one_of_two
from sim.happenings import CancelAsked, FaultFired, Happening
from sim.oracles.follow_ups import RestFirst
from sim.oracles.slots import NoSlotIdles


def test_a_job_in_hand_begins_at_once() -> None:
    """One that waits in its worker beside a free slot is found as well as one in the queue."""
    made = Handmade(LIMITED_PLAN)
    in_hand(made)
    assert len(made.findings(NoSlotIdles)) == 1


@pytest.mark.parametrize("allowed", [both_busy, beside_a_last_chance])
def test_a_job_may_wait(allowed: Callable[[Handmade], None]) -> None:
    """For a slot, and for the end of a job on its last chance."""
    made = Handmade(LIMITED_PLAN)
    allowed(made)
    assert made.findings(NoSlotIdles) == []


def test_a_worker_that_has_just_pulled_may_leave_a_job() -> None:
    """It was not idle: it has brought another one meanwhile."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    made.enqueue(1, 2, 3)
    made.wait(29)
    made.pull(1)
    made.start(1)
    made.wait(1)
    made.pull(2)
    made.end(1)
    made.wait(1)
    made.pull(3)
    assert len(made.findings(NoSlotIdles)) == 1  # of job 1


def test_a_job_that_is_being_cancelled_may_wait() -> None:
    """Whoever cancels it has it locked."""
    made = Handmade(LIMITED_PLAN)
    made.say("client", CancelAsked(jobs=[job(2)]))
    one_of_two(made)
    assert made.findings(NoSlotIdles) == []


def test_a_slot_is_not_judged_in_trouble() -> None:
    """A fault of a moment ago explains a wait."""
    made = Handmade(LIMITED_PLAN)
    one_of_two(made)
    trouble = Happening(29.0, "chaos", FaultFired(fault="slow@worker-a/pull#0"))
    made.happenings.insert(-2, trouble)
    assert made.findings(NoSlotIdles) == []


@pytest.mark.parametrize(
    ("ran_s", "rest_s", "findings"), [(3, 7, 0), (3, 6, 1), (12, 0, 0), (12, 11, 1)]
)
def test_a_restart_rests_for_what_is_left_of_ten_seconds(
    ran_s: float, rest_s: float, findings: int
) -> None:
    """Not less, and not more."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    made.enqueue(1, options=RESTARTS)
    made.pull(1)
    made.start(1)
    made.wait(ran_s)
    made.end(1)
    come_again(made, rest_s=rest_s)
    assert len(made.findings(RestFirst)) == findings
