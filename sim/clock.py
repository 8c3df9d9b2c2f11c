"""Virtual time: it stands still while anybody has something to do, and jumps when nobody has.

Rule of this file: public parts of Trio only. Trio asks its clock how long it may sleep exactly when
no task can run; this clock answers by being there already. Trio's own `MockClock` needs one more
turn of the loop for each jump, and it has no alarms.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Final

import trio

from sim.trio_inside import nobody_can_run, somebody_waits_for_idleness

NEVER: Final = inf


class VirtualClock(trio.abc.Clock):
    """A clock that begins at 0 and costs nothing to wait for. `now_s` is for reading only.

    An alarm is a deadline without a task and without a cancel scope: `action` is called between two
    turns of the loop, so it may do no more than wake somebody.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._tickets = 0

    def start_clock(self) -> None:
        """See `trio.abc.Clock`: there is nothing to start."""

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return self.now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See `trio.abc.Clock`: no time at all, for it is that late now.

        Without any deadline the loop spins, so that whoever watches it can end the run.
        """
        if somebody_waits_for_idleness():
            return NEVER
        alarms = self._alarms
        while alarms and alarms[0][0] < deadline and nobody_can_run():
            self.now_s, _, action = heappop(alarms)
            action()
        if nobody_can_run() and deadline != NEVER:
            self.now_s = max(self.now_s, deadline)
        return 0.0

    def call_at(self, at_s: float, action: Callable[[], None]) -> None:
        """Set an alarm; those of one moment go off in the order in which they were set."""
        self._tickets += 1
        heappush(self._alarms, (at_s, self._tickets, action))
