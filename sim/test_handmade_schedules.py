"""What the oracles of schedules allow."""

import pytest

from sim.handmade import CLIENT, Handmade, job
from sim.handmade_limits import LIMITED_PLAN
from sim.handmade_schedules import DEFINITION, TICK, beside, ended, schedule
from sim.happenings import Committed
from sim.oracles.places import Transitions
from sim.oracles.schedules import InTurn, ScheduleGoesOn, TickOnce, TickWithItsEnd


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


@pytest.mark.parametrize(("options", "findings"), [(TICK, 0), (None, 1)])
def test_a_job_disappears_only_as_that_of_a_tick(options: str | None, findings: int) -> None:
    """Who changes a schedule takes back what has not begun; any other job stays."""
    made = Handmade(LIMITED_PLAN)
    made.enqueue(1, options=options)
    gone, ready = made.happenings[0].event, made.ready[job(1)]
    assert isinstance(gone, Committed)
    made.commit(CLIENT, (gone.changes[0].new, None), (ready, None))
    assert len(made.findings(Transitions)) == findings


def test_a_schedule_that_was_changed_begins_anew() -> None:
    """The job of a tick before goes on beside the next one."""
    made = Handmade(LIMITED_PLAN)
    beside(made, DEFINITION[:-1] + ', "priority": 1}')
    assert made.findings(InTurn) == []


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
