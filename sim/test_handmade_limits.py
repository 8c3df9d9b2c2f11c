"""What the oracles of concurrency limits allow."""

from typing import Final

import msgspec
import pytest

from sim.handmade import CLIENT, A, Handmade, job
from sim.handmade_limits import LIMITED_PLAN, OPTIONS, in_line, let_in, right_order, slot
from sim.happenings import CancelAsked
from sim.oracles import Oracle
from sim.oracles.limits import NextInLine, SlotFilled, SlotsHeld, WithinLimit
from sim.oracles.places import Transitions

ALL: Final = (SlotsHeld, WithinLimit, NextInLine, SlotFilled)


@pytest.mark.parametrize("oracle", ALL, ids=lambda oracle: oracle.name)
def test_one_after_the_other_is_right(oracle: type[Oracle]) -> None:
    """A slot goes from a job that ends to the next in line, in one commit."""
    made = Handmade(LIMITED_PLAN)
    right_order(made)
    assert made.findings(oracle) == []


def test_one_that_is_being_cancelled_may_be_passed_over() -> None:
    """Whoever cancels it has it locked."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    in_line(made, 1, 2)
    made.say(CLIENT, CancelAsked(jobs=[job(1)]))
    let_in(made, 2)
    assert made.findings(NextInLine) == []


def test_one_that_is_being_replaced_may_be_passed_over() -> None:
    """Whoever stores another job with its key has it locked, and may do so for long."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    in_line(made, 1, options=OPTIONS[:-1] + ', "debounce": {"delay_s": 1.0, "key": "k"}}')
    in_line(made, 2)
    let_in(made, 2)
    assert made.findings(NextInLine) == []


def test_a_more_urgent_one_of_the_future_is_not_next() -> None:
    """Nobody knows here whether it was due."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    in_line(made, 2)
    made.wait(1)
    in_line(made, 1, priority=5)
    let_in(made, 2)
    assert made.findings(NextInLine) == []


def test_what_runs_without_a_claim_does_not_count() -> None:
    """A job whose claim is gone runs on for a moment, and another has its slot."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    made.enqueue(1, options=OPTIONS)
    made.commit(A, (None, slot(1)))
    made.pull(1)
    made.start(1)
    made.commit(A, *made.leave(1), (None, made.completed(1)), (slot(1), None))
    made.enqueue(2, options=OPTIONS)
    made.commit(A, (None, slot(2)))
    made.pull(2)
    made.start(2)
    assert made.findings(WithinLimit) == []


def test_one_that_comes_late_has_not_waited() -> None:
    """It was due a minute ago, and is enqueued and let in now."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    made.wait(60)
    due = made.clock
    made.wait(60)
    in_line(made, 1, due=due)
    let_in(made, 1)
    assert made.findings(SlotFilled) == []


def test_a_mark_on_a_job_in_line_is_no_move() -> None:
    """Whoever frees a slot without a lock on its key marks the next, for the next look."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    in_line(made, 1)
    row = made.waiting[job(1)]
    made.commit(CLIENT, (row, msgspec.structs.replace(row, fresh=True)))
    assert made.findings(Transitions) == []


def test_another_turn_is_a_move() -> None:
    """Nothing but the mark may change while a job is in line."""
    made = Handmade(LIMITED_PLAN)
    made.begin()
    in_line(made, 1)
    row = made.waiting[job(1)]
    made.commit(CLIENT, (row, msgspec.structs.replace(row, priority=1)))
    assert len(made.findings(Transitions)) == 1
