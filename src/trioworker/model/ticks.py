"""When a schedule ticks: by a cron line in a time zone, at an interval, or at one moment.

Rule of this file: pure, and only forwards. Every answer is the first tick after some moment, so
that whoever asks from wherever gets the same ticks, in the nights when the clocks change, too.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from trioworker.errors import UsageError
from trioworker.model.bounds import check_text
from trioworker.model.options import DELAY_S_MAX, within

CRON_BYTES_MAX: Final = 200
EVERY_S_MIN: Final = 1.0
LOOK_BACK: Final = tuple(
    timedelta(**{unit: count})
    for unit, count in (("minutes", 2), ("hours", 2), ("days", 2), ("days", 40), ("days", 800))
)
"""How far back the last tick before a moment is looked for: a little, then always further."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAP_DAY: Final = datetime(2000, 2, 28, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Timing(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One of three: a cron line, an interval of seconds, or a moment with a time zone.

    `cron` has five fields (minute, hour, day of the month, month, day of the week) or six, seconds
    first, and is read in `timezone`. `every_s` ticks at whole multiples since 1970 in UTC, so that
    no restart moves it.
    """

    cron: str | None = None
    every_s: float | None = None
    at: datetime | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises `UsageError` for what never ticks or cannot be read."""
        if sum(said is not None for said in (self.cron, self.every_s, self.at)) != 1:
            raise UsageError("a schedule ticks by just one of cron=…, every_s=… and at=…")
        if self.cron is None and self.timezone != "UTC":
            raise UsageError("only a cron line is read in a time zone; drop timezone=…")
        if self.every_s is not None:
            within("the interval of a schedule", self.every_s, EVERY_S_MIN, DELAY_S_MAX)
        if self.at is not None and not isinstance(self.at, datetime):
            raise UsageError(f"the time of a schedule is a datetime, not {self.at!r}")
        if self.at is not None and self.at.tzinfo is None:
            raise UsageError(f"the time {self.at} has no time zone; give it one")
        if self.cron is not None:
            check_text("the cron line", self.cron)
            check_text("the time zone", self.timezone)
            _check_cron(self.cron, _zone(self.timezone))

    def next(self, after: datetime) -> datetime | None:
        """The first tick after a moment, in UTC; None when there is none any more."""
        if self.cron is not None:
            return _next_of_cron(self.cron, self.timezone, (after - _EPOCH) // timedelta(seconds=1))
        if self.every_s is not None:
            every = timedelta(microseconds=round(self.every_s * 1_000_000))
            return _EPOCH + ((after - _EPOCH) // every + 1) * every
        assert self.at is not None
        return self.at.astimezone(UTC) if self.at > after else None

    def ticks(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Every tick after `after`, up to and including `until`, in order."""
        tick = self.next(after)
        while tick is not None and tick <= until:
            yield tick
            tick = self.next(tick)

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick after `after`, up to and including `until`; None when there is none."""
        for back in LOOK_BACK:
            if until - back <= after:
                break
            if (found := _last_of(self.ticks(until - back, until))) is not None:
                return found
        return _last_of(self.ticks(after, until))


def _last_of(ticks: Iterator[datetime]) -> datetime | None:
    found = None
    for found in ticks:  # noqa: B007 - the last one stays
        pass
    return found


@lru_cache(maxsize=4096)
def _next_of_cron(line: str, timezone: str, after_s: int) -> datetime | None:
    """The first tick after a second, given in seconds since 1970.

    In the hour that comes twice cronsim may begin with a tick of the first of the two.
    """
    after = _EPOCH + timedelta(seconds=after_s)
    for tick in CronSim(line, after.astimezone(_zone(timezone))):
        in_utc = tick.astimezone(UTC)
        if in_utc > after:
            return in_utc
    return None


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """The time zone. Raises `UsageError` when there is none of this name."""
    if name == "UTC":
        return UTC  # which cronsim knows to be without surprises
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(
            f"there is no time zone {name!r}; write it as Europe/Berlin or America/New_York"
        ) from None


def _check_cron(line: str, zone: tzinfo) -> None:
    if len(line) > CRON_BYTES_MAX or not line.isascii() or not line.isprintable():
        raise UsageError(
            f"the cron line {line[:60]!r} will not do: at most {CRON_BYTES_MAX} plain characters"
        )
    try:
        comes = any(islice(CronSim(line, _LEAP_DAY.astimezone(zone)), 1))
    except CronSimError as error:
        raise UsageError(
            f"the cron line {line!r} will not do: {_plain(error)}; its fields are minute, hour, day"
            " of the month, month, day of the week, as in '*/5 8-18 * * MON-FRI'"
        ) from None
    if not comes:
        raise UsageError(f"the cron line {line!r} names a time that never comes")


def _plain(error: CronSimError) -> str:
    text = str(error)
    never = ", or one that its months never have" if text.endswith("day-of-month") else ""
    return text[:1].lower() + text[1:] + never
