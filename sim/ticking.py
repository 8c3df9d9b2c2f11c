"""What a plan says of schedules: when they tick, and what people do to them meanwhile.

Rule of this file: like the plan itself this is data, and can be written into a scenario file.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

import msgspec

from sim.database.server import EPOCH
from trioworker.errors import UsageError
from trioworker.model.schedule import CatchUp, Overlap, Schedule
from trioworker.model.ticks import Timing

PAUSED: Final = "pause"
RESUMED: Final = "resume"
RUN: Final = "run"
CHANGED: Final = "change"
DELETED: Final = "delete"
DEEDS: Final = (PAUSED, RESUMED, RUN, CHANGED, DELETED)

NIGHTS: Final = (
    datetime(2026, 3, 29, 0, 59, 55, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 59, 55, tzinfo=UTC),
)
"""Five seconds before the clocks of Europe go forward, and before they go back."""
ZONE: Final = "Europe/Berlin"
LINES: Final = ("*/2 * * * * *", "*/3 0-59 1-3 * * *", "0 2 * * *", "30 2 * * *", "* * * * *")
"""Some tick by seconds, and some at a time of day that those nights have twice, or never."""


class Ticking(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, which ticks by `cron`, or once at `at_s`, or every so many seconds.

    `at_s` counts from the beginning; `body` is that of its jobs.
    """

    every_s: float = 1.0
    cron: str | None = None
    timezone: str = "UTC"
    at_s: float | None = None
    body: str = "ok"
    overlap: Overlap = "skip"
    catch_up: CatchUp = "none"
    deadline_s: float | None = None

    def schedule(self, name: str, begins: datetime) -> Schedule:
        """The schedule in a world that `begins` then."""
        return Schedule(
            name=name,
            path=self.body,
            timing=self._timing(begins),
            tag="tag-0",
            overlap=self.overlap,
            catch_up=self.catch_up,
            deadline_s=self.deadline_s,
        )

    def _timing(self, begins: datetime) -> Timing:
        if self.cron is not None:
            return Timing(cron=self.cron, timezone=self.timezone)
        if self.at_s is not None:
            return Timing(at=begins + timedelta(seconds=self.at_s))
        return Timing(every_s=self.every_s)


class Deed(NamedTuple):
    """What somebody does to a schedule of the plan, and when."""

    at_s: float
    what: str
    number: int


def deed_of(said: str) -> Deed:
    """What an entry of `Plan.meddling` says. Raises `UsageError`."""
    words, _, seconds = said.partition("@")
    what, _, number = words.partition(" ")
    try:
        deed = Deed(float(seconds), what, int(number))
    except ValueError:
        deed = Deed(-1.0, what, -1)
    if what not in DEEDS or deed.number < 0 or not deed.at_s >= 0:
        raise UsageError(f"'{said}' is done to no schedule; write it as 'pause 0@2.5'")
    return deed


def draw_begins(rng: Random) -> datetime:
    """A quiet night, or one in which the clocks change."""
    return rng.choice((EPOCH, EPOCH, *NIGHTS))


def draw_schedules(rng: Random) -> list[Ticking]:
    """None most of the time, or some of all sorts."""
    return [_draw_one(rng) for _ in range(rng.choice((0, 0, 0, 2, 3)))]


def draw_meddling(rng: Random, schedules: int, until_s: float) -> list[str]:
    """What is done to them until some time; nothing in half of the worlds."""
    said = []
    for _ in range(rng.choice((0, 0, 4, 12))):
        deed, number = rng.choice(DEEDS), rng.randrange(max(1, schedules))
        at_s, again_s = rng.uniform(0.0, until_s), rng.uniform(0.1, 1.0)
        said.append(f"{deed} {number}@{at_s:.2f}")
        if deed == PAUSED:
            said.append(f"{RESUMED} {number}@{at_s + again_s:.2f}")
        if deed == DELETED:
            said.append(f"{CHANGED} {number}@{at_s + again_s:.2f}")
    return said if schedules else []


def _draw_one(rng: Random) -> Ticking:
    overlap: Overlap = rng.choice(("skip", "queue_one", "allow"))
    cron, at_s = rng.choice(((None, None),) * 3 + ((rng.choice(LINES), None),) * 2 + ((None, 3.0),))
    return Ticking(
        # Where ticks become jobs a minute ahead, there are so many of them.
        every_s=2.0 if overlap == "allow" else 1.0,
        cron=cron,
        timezone=rng.choice(("UTC", ZONE)) if cron is not None else "UTC",
        at_s=at_s,
        body=rng.choice(("ok", "slow", "slow", "raise", "label")),
        overlap=overlap,
        catch_up=rng.choice(("none", "last", "all")),
        deadline_s=rng.choice((None, None, 1.0, 5.0)),
    )
