"""A clock that moves when it is told to."""

from datetime import UTC, datetime, timedelta
from typing import Final

from trioworker.errors import UsageError

BEGINNING: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FrozenClock:
    """Stands still at `now`, by default at noon of the first of January 2026, UTC."""

    def __init__(self, now: datetime = BEGINNING) -> None:
        self._now = now
        self.move_to(now)

    @property
    def now(self) -> datetime:
        """What it shows."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Go on by so many seconds. Raises `UsageError` when that leads back."""
        self.move_to(self._now + timedelta(seconds=seconds))

    def move_to(self, now: datetime) -> None:
        """Go on to that time. Raises `UsageError` when that leads back, or has no time zone."""
        if now.tzinfo is None:
            raise UsageError(f"the time {now} has no time zone; give it one")
        if now < self._now:
            raise UsageError(f"a clock does not go back, from {self._now} to {now}")
        self._now = now
