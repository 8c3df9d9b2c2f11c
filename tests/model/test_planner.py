"""How many to claim and from where: never more than can start soon, never stuck at nothing."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.model.jobs import claimed_job
from trioworker.model.planner import FLOOR_AGE_MAX_S, Backoff, Floors, Load, alone_from, claim_size

loads = st.builds(
    Load,
    concurrency=st.integers(1, 1000),
    running=st.integers(0, 1000),
    buffered=st.integers(0, 1000),
    mean_s=st.none() | st.floats(0, 1e5),
)


@given(loads, st.integers(1, 1000), st.floats(0, 60))
def test_never_more_than_the_pull_size_in_hand(
    load: Load, pull_size: int, start_within_s: float
) -> None:
    """What waits here after the claim is at most the pull size."""
    size = claim_size(load, pull_size=pull_size, start_within_s=start_within_s)
    assert 0 <= size <= pull_size
    assert size == 0 or load.buffered + size <= pull_size


@given(loads, st.integers(1, 1000))
def test_idle_slots_are_always_worth_a_claim(load: Load, pull_size: int) -> None:
    """With nothing waiting and a slot free, something is claimed."""
    if load.running < load.concurrency and load.buffered == 0:
        assert claim_size(load, pull_size=pull_size, start_within_s=1.0) >= 1


def test_slow_jobs_are_left_for_others() -> None:
    """Ten busy slots with jobs of a minute claim nothing within a second's horizon."""
    load = Load(concurrency=10, running=10, buffered=0, mean_s=60.0)
    assert claim_size(load, pull_size=100, start_within_s=1.0) == 0


def test_fast_jobs_fill_the_batch() -> None:
    """Jobs of a millisecond are claimed in full batches although every slot is busy."""
    load = Load(concurrency=10, running=10, buffered=0, mean_s=0.001)
    assert claim_size(load, pull_size=100, start_within_s=1.0) == 100


def test_a_steady_load_does_not_degrade_into_pulls_of_one() -> None:
    """Busy slots claim only when half of what may wait has been started."""
    nearly_full = Load(concurrency=10, running=10, buffered=90, mean_s=0.01)
    half_empty = Load(concurrency=10, running=10, buffered=50, mean_s=0.01)
    assert claim_size(nearly_full, pull_size=100, start_within_s=1.0) == 0
    assert claim_size(half_empty, pull_size=100, start_within_s=1.0) == 50


def test_a_last_chance_is_the_one_after_which_a_job_is_given_up() -> None:
    """With three lost workers the fourth is the end; a job that lost none is never alone."""
    assert [alone_from(reaped_max) for reaped_max in (0, 1, 2, 3)] == [1, 1, 2, 3]


def test_floors_follow_full_pulls_lane_by_lane() -> None:
    """Each lane's floor is the last job that was taken from it."""
    floors = Floors()
    floors.at(100.0)
    floors.advance(
        [
            claimed_job(1, "a", 5),
            claimed_job(2, "a", 0),
            claimed_job(3, "a", 0),
            claimed_job(4, "b", 0),
        ],
        full=True,
    )
    at = floors.at(100.1)
    assert list(zip(at.tags, at.priorities, at.ids, strict=True)) == [
        ("a", 5, UUID(int=1)),
        ("a", 0, UUID(int=3)),
        ("b", 0, UUID(int=4)),
    ]


def test_floors_end_with_a_short_pull_and_with_age() -> None:
    """Nothing stays hidden behind a floor: a short pull or half a second ends it."""
    floors = Floors()
    floors.at(0.0)
    floors.advance([claimed_job(1)], full=True)
    floors.advance([claimed_job(2)], full=False)
    assert floors.at(0.1).tags == []
    floors.advance([claimed_job(3)], full=True)
    assert floors.at(0.2).tags == ["a"]
    assert floors.at(FLOOR_AGE_MAX_S + 0.3).tags == []


def test_backoff_doubles_to_its_cap_and_starts_again() -> None:
    """The delays are first, twice, four times, … up to the last, until a reset."""
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_s() for _ in range(4)] == [0.5, 1.0, 2.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5
