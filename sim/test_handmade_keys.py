"""What the oracles of unique keys allow."""

from typing import Final

import pytest

from sim.handmade import Handmade
from sim.handmade_limits import LIMITED_PLAN
from sim.happenings import ClockJumped
from sim.oracles.unique import OneHolder

PERIOD: Final = '{"unique": {"key": "k", "during": "period", "period_s": 60.0}}'


@pytest.mark.parametrize(("seconds", "findings"), [(0.0, 1), (-30.0, 0)])
def test_a_period_of_a_clock_that_was_set_is_not_judged(seconds: float, findings: int) -> None:
    """By the clock as it was the period had passed when the second job came."""
    made = Handmade(LIMITED_PLAN)
    made.enqueue(1, options=PERIOD)
    if seconds:
        made.say("server", ClockJumped(seconds=seconds))
    made.enqueue(2, options=PERIOD)
    assert len(made.findings(OneHolder)) == findings
