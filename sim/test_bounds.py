"""Bounds of the product are near in a narrow run, and nowhere else."""

import msgspec

from sim.bounds import NARROW, bounds_of
from sim.plan import Plan

PLAN = Plan(seed=0)


def standing() -> list[object]:
    """What each of them is now."""
    return [getattr(owner, name) for owner, name, _ in NARROW]


def test_bounds_are_moved_for_the_time_of_a_run() -> None:
    """They are as before when it is over; each of them was farther away."""
    before, near = standing(), [value for *_, value in NARROW]
    with bounds_of(msgspec.structs.replace(PLAN, narrow=True)):
        assert standing() == near
    with bounds_of(PLAN):
        assert standing() == before
    assert standing() == before
    assert all(far > value for far, value in zip(before, near, strict=True))  # type: ignore[operator]  # numbers
