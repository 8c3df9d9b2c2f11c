"""What the oracles of schedules allow."""

from sim.handmade import CLIENT, Handmade, job
from sim.handmade_limits import LIMITED_PLAN
from sim.handmade_schedules import TICK, ended, schedule
from sim.oracles.schedules import ScheduleGoesOn, TickOnce, TickWithItsEnd


def test_an_end_that_its_schedule_is_told_of_is_right() -> None:
    """The row changes in the commit that stores the end."""
    made = Handmade(LIMITED_PLAN)
    ended(made, noted=True)
    assert made.findings(TickWithItsEnd) == []


def test_a_job_that_nobody_waits_for_may_end_alone() -> None:
    """Its schedule is gone, or has gone on."""
    made = Handmade(LIMITED_PLAN)
    row = schedule(made, job(1))
    made.commit(CLIENT, (None, row))
    made.commit(CLIENT, (row, None))
    ended(made, noted=True)
    assert made.findings(TickWithItsEnd) == []


def test_a_schedule_whose_job_is_ready_goes_on() -> None:
    """However long it has been due: somebody will run it."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    made.enqueue(1, options=TICK)
    row = schedule(made, job(1))
    made.commit(CLIENT, (None, row))
    made.wait(600)
    made.commit(CLIENT, (row, None))
    assert made.findings(ScheduleGoesOn) == []
    assert made.findings(TickOnce) == []
