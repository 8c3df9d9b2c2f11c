"""Which ticks of a schedule become jobs, whatever happens to the jobs before."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trioworker.errors import UsageError
from trioworker.model.options import JobOptions
from trioworker.model.schedule import (
    HORIZON,
    TICKS_AT_ONCE_MAX,
    CatchUp,
    End,
    Overlap,
    Progress,
    Schedule,
    after_end,
    begin,
    taken_back,
    unstarted,
    when_due,
)
from trioworker.model.ticks import Timing

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def hourly(overlap: Overlap = "skip", catch_up: CatchUp = "none") -> Schedule:
    """A schedule that ticks at each full hour."""
    return Schedule(
        name="s", path="f", timing=Timing(every_s=3600), overlap=overlap, catch_up=catch_up
    )


def begun(schedule: Schedule) -> Progress:
    """The progress of a schedule declared a minute before noon, so that it first ticks at noon."""
    return begin(schedule, Progress(decided_until=NOON - MINUTE), NOON - MINUTE).progress


def ended(
    schedule: Schedule, began: datetime, now: datetime, status: str = "success"
) -> list[datetime]:
    """The ticks that become jobs when the job of noon has run from `began` until `now`."""
    progress = begun(schedule)
    assert progress.last_tick == NOON
    end = End(NOON, status, (now - began).total_seconds())
    return list(after_end(schedule, progress, end, now).ticks)


def test_a_schedule_begins_with_the_first_tick_from_now() -> None:
    """Nothing that passed before it was declared becomes a job; a sweep looks when it is due."""
    move = begin(hourly(), Progress(decided_until=NOON - 9 * HOUR), NOON + MINUTE)
    assert move.ticks == (NOON + HOUR,)
    assert move.progress.pending
    assert move.progress.look_at == NOON + HOUR


@pytest.mark.parametrize("status", ["success", "failure", "canceled", "skipped"])
def test_every_end_leads_to_the_next_tick(status: str) -> None:
    """A schedule goes on, however its job has ended."""
    assert ended(hourly(), NOON, NOON + MINUTE, status) == [NOON + HOUR]


@pytest.mark.parametrize(("overlap", "expected"), [("skip", 3), ("queue_one", 2)], ids=str)
def test_ticks_that_passed_while_the_job_ran(overlap: Overlap, expected: int) -> None:
    """They are dropped, or the last of them runs right after."""
    end = NOON + 2 * HOUR + MINUTE
    assert ended(hourly(overlap), NOON, end) == [NOON + expected * HOUR]


@pytest.mark.parametrize(("catch_up", "expected"), [("none", 6), ("last", 5), ("all", 1)], ids=str)
def test_ticks_that_passed_because_nobody_worked(catch_up: CatchUp, expected: int) -> None:
    """They are dropped, or the last of them is caught up with, or each in its turn."""
    began = NOON + 5 * HOUR + MINUTE
    assert ended(hourly("skip", catch_up), began, began + MINUTE) == [NOON + expected * HOUR]


def test_what_was_dropped_stays_dropped() -> None:
    """Catching up with the last tick does not bring back those that passed while a job ran."""
    schedule = hourly("skip", "last")
    began, end = NOON + 2 * HOUR + MINUTE, NOON + 4 * HOUR + MINUTE
    first = after_end(schedule, begun(schedule), End(NOON, "success", 2 * 3600.0), end)
    assert first.ticks == (NOON + 2 * HOUR,)
    late = End(NOON + 2 * HOUR, "success", 60.0)
    second = after_end(schedule, first.progress, late, end + MINUTE)
    assert began < end
    assert second.ticks == (NOON + 5 * HOUR,)


def test_catching_up_with_all_comes_to_an_end() -> None:
    """Every late tick runs once, one after the other, and then the schedule is on time again."""
    schedule = hourly("skip", "all")
    progress, now, ticks = begun(schedule), NOON + 5 * HOUR + MINUTE, [NOON]
    while ticks[-1] <= now:
        move = after_end(schedule, progress, End(ticks[-1], "success", 1.0), now)
        progress = move.progress
        ticks += move.ticks
    assert ticks == [NOON + n * HOUR for n in range(7)]


def test_failures_are_counted_until_a_success() -> None:
    """A cancelled job is no failure, and one that was run by hand counts like any other."""
    schedule = hourly()
    progress, seen = begun(schedule), []
    for status in ("failure", "failure", "canceled", "failure", "success", "failure"):
        progress = after_end(schedule, progress, End(None, status, 0.0), NOON).progress
        seen.append(progress.failures)
    assert seen == [1, 2, 2, 3, 0, 1]
    assert progress.pending


def test_only_the_end_that_is_waited_for_goes_on() -> None:
    """The end of an older tick, or of this one a second time, makes no job."""
    schedule = hourly()
    progress = begun(schedule)
    old = End(NOON - HOUR, "success", 1.0)
    assert after_end(schedule, progress, old, NOON).ticks == ()
    move = after_end(schedule, progress, End(NOON, "success", 1.0), NOON + MINUTE)
    assert after_end(schedule, move.progress, End(NOON, "success", 1.0), NOON + MINUTE).ticks == ()


def test_a_tick_cancelled_before_its_time_is_not_repeated() -> None:
    """The next one is the one after it, although its time is still to come."""
    schedule = hourly()
    now = NOON - MINUTE / 2
    move = after_end(schedule, begun(schedule), End(NOON, "canceled", 0.0), now)
    assert move.ticks == (NOON + HOUR,)


def test_a_paused_schedule_makes_no_job_until_it_is_resumed() -> None:
    """What passes in the pause is not missed: it goes on with the first tick from then."""
    schedule = hourly("queue_one", "all")
    paused = replace(begun(schedule), paused=True)
    assert when_due(schedule, paused, NOON + HOUR).ticks == ()
    ended_in_pause = after_end(schedule, paused, End(NOON, "success", 1.0), NOON + MINUTE)
    assert ended_in_pause.ticks == ()
    assert ended_in_pause.progress.look_at is None
    resumed = replace(ended_in_pause.progress, paused=False)
    assert begin(schedule, resumed, NOON + 9 * HOUR + MINUTE).ticks == (NOON + 10 * HOUR,)


def test_a_sweep_goes_on_after_a_job_that_has_gone() -> None:
    """The tick that became a job once does not become one again, even if it is due."""
    schedule = hourly()
    assert when_due(schedule, begun(schedule), NOON).ticks == (NOON + HOUR,)


def test_a_moment_is_over_once_it_has_passed() -> None:
    """It becomes a job once; then nothing is looked at any more."""
    schedule = replace(hourly(), timing=Timing(at=NOON))
    assert begin(schedule, Progress(decided_until=NOON - HOUR), NOON - HOUR).ticks == (NOON,)
    over = after_end(schedule, begun(schedule), End(NOON, "success", 1.0), NOON + MINUTE)
    assert over.ticks == ()
    assert over.progress.look_at is None
    too_late = begin(schedule, Progress(decided_until=NOON), NOON)
    assert (too_late.ticks, too_late.progress.look_at) == ((), None)


def test_side_by_side_the_next_tick_waits_for_no_end() -> None:
    """A minute before it is due it is a job; sweeps do that, and ends only count."""
    schedule = hourly("allow")
    progress = begun(schedule)
    # Declared a minute before noon: noon is near, and one tick more is always there.
    assert progress.last_tick == NOON + HOUR
    assert progress.look_at == NOON + HOUR - HORIZON
    assert after_end(schedule, progress, End(NOON, "failure", 1.0), NOON).ticks == ()
    move = when_due(schedule, progress, progress.look_at)
    assert move.ticks == [NOON + 2 * HOUR]


@pytest.mark.parametrize(("catch_up", "late"), [("none", []), ("last", [5]), ("all", [2, 3, 4, 5])])
def test_side_by_side_ticks_are_caught_up_with_as_well(catch_up: CatchUp, late: list[int]) -> None:
    """When no sweep came for hours, the policy decides about the ticks that never became jobs."""
    schedule = hourly("allow", catch_up)
    move = when_due(schedule, begun(schedule), NOON + 5 * HOUR + MINUTE)
    assert move.ticks == [NOON + n * HOUR for n in [*late, 6]]


def test_catching_up_side_by_side_is_bounded() -> None:
    """A sweep makes so many jobs of one schedule at most, and comes again at once."""
    schedule = replace(hourly("allow", "all"), timing=Timing(every_s=1))
    now = NOON + HOUR
    move = when_due(schedule, begun(schedule), now)
    assert len(move.ticks) == TICKS_AT_ONCE_MAX
    assert move.progress.look_at == now
    again = when_due(schedule, move.progress, now)
    assert again.ticks[0] == move.ticks[-1] + timedelta(seconds=1)


def test_what_has_not_begun_can_be_taken_back() -> None:
    """The waiting tick, or all that were made ahead; afterwards they may become jobs again."""
    assert unstarted(hourly(), begun(hourly()), NOON - MINUTE) == (NOON,)
    schedule = hourly("allow")
    progress = begun(schedule)
    assert unstarted(schedule, progress, NOON - MINUTE)[-2:] == [NOON, NOON + HOUR]
    assert begin(schedule, taken_back(progress), NOON - MINUTE).ticks == [NOON, NOON + HOUR]


@given(
    st.sampled_from(("skip", "queue_one", "allow")),
    st.sampled_from(("none", "last", "all")),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.booleans()), max_size=12),
)
def test_no_tick_becomes_a_job_twice(
    overlap: Overlap, catch_up: CatchUp, happenings: list[tuple[int, int, bool]]
) -> None:
    """However long jobs wait and run, and whether their ends are noticed or swept up."""
    schedule = replace(hourly(overlap, catch_up), timing=Timing(every_s=600))
    now = NOON
    move = begin(schedule, Progress(decided_until=now), now)
    ticks = list(move.ticks)
    for waits, runs, swept in happenings:
        now += timedelta(minutes=waits + runs)
        if swept or overlap == "allow":
            move = when_due(schedule, move.progress, now)
        else:
            assert move.progress.last_tick
            end = End(move.progress.last_tick, "success", runs * 60.0)
            move = after_end(schedule, move.progress, end, now)
        ticks += move.ticks
        assert move.progress.look_at is not None
    assert len(set(ticks)) == len(ticks)
    assert ticks == sorted(ticks)


def test_the_job_of_a_tick_says_so() -> None:
    """It is due at the tick, knows its schedule, and its deadline counts from the tick."""
    schedule = replace(
        hourly(), args={"a": 1}, options=JobOptions(labels=("x",)), deadline_s=60.0, tag="t"
    )
    job = schedule.job(UUID(int=7), NOON, NOON - HOUR)
    assert job.scheduled_for == NOON
    assert (job.args, job.tag) == (b'{"a":1}', "t")
    assert job.options == JobOptions(
        labels=("x",), schedule="s", tick=NOON, deadline=NOON + timedelta(seconds=60)
    )
    by_hand = schedule.job(UUID(int=8), None, NOON)
    assert by_hand.scheduled_for is None
    assert by_hand.options.tick is None


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"name": ""}, "the schedule name '' will not do"),
        ({"name": "a\x00b"}, "will not do: 1 to 200 bytes of printable characters"),
        ({"name": "x" * 201}, "1 to 200 bytes"),
        ({"overlap": "later"}, "unknown overlap 'later'; one of skip, queue_one, allow"),
        ({"catch_up": "some"}, "unknown catch_up 'some'; one of none, last, all"),
        ({"tag": ""}, "the tag is empty"),
        ({"priority": 5000}, "priority 5000 is out of range"),
        ({"deadline_s": -1.0}, "a deadline of -1 will not do"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(said: dict[str, object], complaint: str) -> None:
    """One line says what is wrong with it, when it is declared."""
    with pytest.raises(UsageError) as refusal:
        Schedule(**{"name": "s", "path": "f", "timing": Timing(every_s=60)} | said)  # type: ignore[arg-type]  # wrong on purpose
    assert complaint in str(refusal.value)
