"""When schedules tick, in the nights when the clocks change and on the days that are rare."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.errors import UsageError
from trioworker.model.ticks import Timing

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
LINES = ("*/7 * * * *", "30 2 * * *", "0 */2 * * *", "15,45 1-3 * * *", "0 0 29 2 *", "0 0 L * MON")


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def after(timing: Timing, moment: str, count: int = 1) -> list[str]:
    """The next ticks after a moment in UTC, as UTC to the minute."""
    ticks = timing.ticks(utc(moment), datetime(9000, 1, 1, tzinfo=UTC))
    return [f"{tick:%Y-%m-%d %H:%M}" for tick in islice(ticks, count)]


@pytest.mark.parametrize(
    ("line", "zone", "start", "expected"),
    [
        # 29 March 2026: after 01:59 comes 03:00. What is due in between runs once, at 03:00.
        ("30 2 * * *", BERLIN, "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
        ("0 3 * * *", BERLIN, "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 01:00"]),
        ("*/30 * * * *", BERLIN, "2026-03-29 00:15", ["2026-03-29 00:30", "2026-03-29 01:00"]),
        # 25 October 2026: 02:00 to 02:59 come twice. A time of day runs once, an interval goes on.
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25 01:10", ["2026-10-26 01:30"]),
        ("45 2 * * *", BERLIN, "2026-10-25 01:10", ["2026-10-26 01:45"]),
        ("*/30 * * * *", BERLIN, "2026-10-25 00:15",
         ["2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2026-10-25 02:00"]),
        # The same in New York, on 8 March and 1 November 2026.
        ("30 2 * * *", NEW_YORK, "2026-03-07 12:00", ["2026-03-08 07:00", "2026-03-09 06:30"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31 12:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
        ("0 * * * *", NEW_YORK, "2026-11-01 04:30",
         ["2026-11-01 05:00", "2026-11-01 06:00", "2026-11-01 07:00"]),
        # Leap days, 2100 has none; the ends of months and years.
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 29 2 *", "UTC", "2096-03-01 00:00", ["2104-02-29 00:00"]),
        ("59 23 31 12 *", "UTC", "2026-12-31 23:58", ["2026-12-31 23:59", "2027-12-31 23:59"]),
        ("0 0 1 1 *", BERLIN, "2026-12-31 22:00", ["2026-12-31 23:00", "2027-12-31 23:00"]),
        ("0 0 L * *", "UTC", "2028-02-01 00:00", ["2028-02-29 00:00", "2028-03-31 00:00"]),
    ],
)  # fmt: skip
def test_a_cron_line_ticks_in_its_time_zone(
    line: str, zone: str, start: str, expected: list[str]
) -> None:
    """The two nights of each year, leap days and year ends are those of the calendar."""
    timing = Timing(cron=line, timezone=zone)
    assert after(timing, start, len(expected)) == expected


def test_an_interval_ticks_at_whole_multiples() -> None:
    """Whoever asks, and whenever it was declared: the ticks are the same, and exact."""
    assert after(Timing(every_s=600), "2026-12-31 23:45", 2) == [
        "2026-12-31 23:50",
        "2027-01-01 00:00",
    ]
    timing = Timing(every_s=1.1)
    first = timing.next(utc("2026-01-01 00:00"))
    assert first
    last = timing.last(first, first + timedelta(days=10_000))
    assert last
    assert (last - first) % timedelta(seconds=1.1) == timedelta(0)


def test_a_moment_ticks_once() -> None:
    """Before it, it is the next tick; from then on there is none."""
    at = datetime(2026, 12, 24, 18, tzinfo=ZoneInfo(BERLIN))
    timing = Timing(at=at)
    assert timing.next(at - timedelta(microseconds=1)) == at
    assert timing.next(at) is None


@given(
    st.sampled_from(LINES),
    st.sampled_from((BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "Asia/Kathmandu")),
    st.integers(0, 200_000_000),
    st.integers(0, 200_000),
)
def test_ticks_only_go_forwards_and_are_the_same_for_everybody(
    line: str, zone: str, start_s: int, later_s: int
) -> None:
    """The next tick lies after the moment, and none lies between the two for one who asks later."""
    timing, start = Timing(cron=line, timezone=zone), EPOCH + timedelta(seconds=start_s)
    tick = timing.next(start)
    assert tick
    assert tick > start
    later = start + timedelta(seconds=later_s)
    if later < tick:
        assert timing.next(later) == tick
    assert timing.last(start, later) == max(timing.ticks(start, later), default=None)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"cron": "0 0 30 2 *"}, "'0 0 30 2 *' will not do: bad day-of-month, or one that its"),
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "* * * *"}, "wrong number of fields"),
        ({"cron": "@hourly"}, "its fields are minute, hour"),
        ({"cron": "* " * 150}, "at most 200 plain characters"),
        ({"cron": "0 0 1 1 *\n"}, "plain characters"),
        ({"cron": "0 0 30 2 0#5,0#5", "timezone": "Europe/Berlinn"}, "no time zone 'Europe/B"),
        ({"cron": "* * * * *", "timezone": "Europe"}, "there is no time zone 'Europe'"),
        ({"cron": "* * * * *", "timezone": ""}, "there is no time zone ''"),
        ({"every_s": 0.5}, "the interval of a schedule of 0.5 will not do"),
        ({"every_s": float("nan")}, "the interval of a schedule of nan will not do"),
        ({"at": utc("2026-01-01").replace(tzinfo=None)}, "has no time zone"),
        ({"every_s": 60, "cron": "* * * * *"}, "just one of"),
        ({"every_s": 60, "timezone": BERLIN}, "only a cron line is read in a time zone"),
        ({}, "just one of"),
    ],
)
def test_what_never_ticks_is_refused(said: dict[str, object], complaint: str) -> None:
    """One line says what is wrong with it."""
    with pytest.raises(UsageError) as refusal:
        Timing(**said)  # type: ignore[arg-type]  # wrong on purpose
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)
